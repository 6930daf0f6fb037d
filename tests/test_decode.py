"""Decoding at load time: what is decoded, how well, and what follows a crop."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from conftest import build
from hypothesis import given, settings
from hypothesis import strategies as st
from image_readers import drawn, encoded
from PIL import Image

import medical_images as mi
from medical_images.resizing import place, resize_labels
from medical_images.spec_images import Resize
from medical_images.transforms.crop import Crop, move_boxes
from medical_images.transforms.decode import decode, decode_image, resize_mask


def natural(height, width, *, number=0):
    """Noise with the spectrum of photographs, 1/f in amplitude: (height, width, 3)."""
    draw = np.random.default_rng(number)
    across, down = np.meshgrid(np.fft.rfftfreq(width) * width, np.fft.fftfreq(height) * width)
    frequency = np.maximum(1, np.hypot(across, down))[..., np.newaxis]
    noise = np.fft.rfft2(draw.normal(size=(height, width, 3)), axes=(0, 1))
    array = np.fft.irfft2(noise / frequency, (height, width), axes=(0, 1))
    grey = array.mean(2, keepdims=True)
    array = grey + 0.3 * (array - grey)  # colours are less rich in detail
    return np.clip(128 + 45 * array / array.std(), 0, 255).astype(np.uint8)


def ramp(height, width):
    """Brightness grows evenly, in red downwards and in green across: (height, width, 3)."""
    down = np.linspace(20, 235, 2 * height + 1)[1::2, np.newaxis]
    across = np.linspace(20, 235, 2 * width + 1)[1::2]
    channels = np.broadcast_arrays(down, across, np.full((height, width), 128.0))
    return np.rint(np.stack(channels, -1)).astype(np.uint8)


def deep(height, width):
    return np.random.default_rng(0).integers(0, 65536, (height, width), dtype=np.uint16)


GREY = drawn(height=90, width=121)[..., 1]
KINDS = {  # name: (data, channels, dtype)
    "jpeg": (encoded(natural(450, 600), "JPEG", quality=92), 3, "uint8"),
    "progressive jpeg": (encoded(natural(97, 131), "JPEG", progressive=True), 3, "uint8"),
    "jpeg 4:4:4": (encoded(natural(97, 131), "JPEG", subsampling=0), 3, "uint8"),
    "grey jpeg": (encoded(GREY, "JPEG"), 1, "uint8"),
    "grey jpeg to rgb": (encoded(GREY, "JPEG"), 3, "uint8"),
    "png": (encoded(drawn(), "PNG"), 3, "uint8"),
    "grey png": (encoded(GREY, "PNG"), 1, "uint8"),
    "grey png to rgb": (encoded(GREY, "PNG"), 3, "uint8"),
    "rgba png": (encoded(Image.fromarray(drawn()).convert("RGBA"), "PNG"), 4, "uint8"),
    "16 bit png": (encoded(deep(45, 62), "PNG"), 1, "uint16"),
    "8 bit png as 16": (encoded(GREY, "PNG"), 1, "uint16"),
    "bmp": (encoded(drawn(), "BMP"), 3, "uint8"),
    "one pixel": (encoded(drawn()[:1, :1], "JPEG"), 3, "uint8"),
}
kinds = pytest.mark.parametrize(("data", "channels", "dtype"), KINDS.values(), ids=KINDS)


def full(data, *, channels=3, dtype="uint8"):
    feature = tfds.features.Image(shape=(None, None, channels), dtype=np.dtype(dtype))
    return feature.decode_example(tf.constant(data))


def antialiased(data, size, **kwargs):
    """What is best: the whole image, with the filter of TensorFlow and Pillow."""
    return tf.image.resize(full(data, **kwargs), size, antialias=True).numpy()


def psnr(found, expected):
    error = np.mean((np.asarray(found, float) - expected) ** 2)
    return 10 * np.log10(255**2 / error)


@kinds
def test_without_a_size_it_is_what_tfds_decodes(data, channels, dtype):
    found = decode_image(data, None, channels=channels, dtype=dtype)
    np.testing.assert_array_equal(found, full(data, channels=channels, dtype=dtype))
    assert found.dtype == dtype


@kinds
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize(
    "crop", [None, Crop(), Crop.centre(0.7)], ids=["whole", "random", "centre"]
)
def test_the_same_in_a_dataset_as_eagerly(data, channels, dtype, antialias, crop):
    size, seed = (31, 44), tf.constant([3, 4])

    def decoded(data):
        return decode_image(
            data, size, channels=channels, dtype=dtype, antialias=antialias, crop=crop, seed=seed
        )

    eager = decoded(data)
    ds = tf.data.Dataset.from_tensors(data).map(decoded)
    assert ds.element_spec == tf.TensorSpec([*size, channels], dtype)
    np.testing.assert_array_equal(next(iter(ds)), eager)
    assert eager.shape == (*size, channels)


@pytest.mark.parametrize(
    ("size", "ratio"),
    [
        ((450, 600), 1),
        ((226, 300), 1),
        ((225, 300), 2),
        ((224, 224), 2),
        ((112, 151), 2),
        ((112, 150), 4),
        ((50, 60), 8),
        ((1, 1), 8),
        ((500, 100), 1),
        ((900, 1200), 1),
    ],
)
def test_the_smallest_scale_that_is_enough_is_decoded(size, ratio):
    data = KINDS["jpeg"][0]
    reduced = tf.io.decode_jpeg(data, 3, ratio=ratio)
    expected = np.floor(tf.image.resize(reduced[: 450 // ratio + (ratio == 8)], size) + 0.5)
    if ratio in (1, 2):  # of 450, a quarter and an eighth are taken to the nearest pixel
        np.testing.assert_array_equal(decode_image(data, size, channels=3), expected)
    whole = np.floor(tf.image.resize(full(data), size) + 0.5)
    in_full = decode_image(data, size, channels=3, reduced=False)
    np.testing.assert_array_equal(in_full, whole)
    assert np.array_equal(in_full, decode_image(data, size, channels=3)) == (ratio == 1)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("value", [0, 255, 65535])
@pytest.mark.parametrize("size", [(7, 9), (40, 9), (90, 9), (90, 131), (1, 1)])
def test_what_is_even_stays_so(value, antialias, size):
    dtype = "uint8" if value < 256 else "uint16"
    data = encoded(np.full((45, 62), value, dtype), "PNG")
    found = decode_image(data, size, channels=1, dtype=dtype, antialias=antialias)
    assert found.shape == (*size, 1)
    assert set(np.unique(found)) == {value}


def test_sixteen_bits_are_kept():
    data = encoded(deep(60, 80), "PNG")
    for size in ((60, 80), (45, 70), (100, 90)):
        found = decode_image(data, size, channels=1, dtype="uint16").numpy().astype(int)
        expected = tf.image.resize(full(data, channels=1, dtype="uint16"), size).numpy()
        assert np.abs(found - expected).max() <= 0.51
    smooth = np.linspace(0, 65535, 80).astype(np.uint16) * np.ones((60, 1), np.uint16)
    data = encoded(smooth, "PNG")
    found = decode_image(data, (20, 30), channels=1, dtype="uint16", antialias=True).numpy()
    expected = antialiased(data, (20, 30), channels=1, dtype="uint16")
    assert np.abs(found.astype(float) - expected).max() < 65535 / 200
    assert len(np.unique(found)) == 30


@pytest.mark.parametrize(
    "size", [(64, 64), (128, 128), (200, 200), (224, 224), (300, 400), (512, 300)]
)
def test_antialiasing_is_exact_in_full_and_near_that_for_png(size):
    data = encoded(natural(301, 403), "PNG")
    expected = antialiased(data, size)
    exact = decode_image(data, size, channels=3, antialias=True, reduced=False)
    assert np.abs(exact.numpy() - expected).max() <= 0.51
    assert psnr(decode_image(data, size, channels=3, antialias=True), expected) > 41


@pytest.mark.parametrize(
    ("size", "bound"), [((64, 64), 36), ((128, 128), 40), ((200, 200), 36), ((300, 400), 41)]
)
def test_antialiasing_at_a_reduced_scale(size, bound):
    data = KINDS["jpeg"][0]
    expected = antialiased(data, size)
    found = psnr(decode_image(data, size, channels=3, antialias=True), expected)
    assert found > bound
    assert found > psnr(decode_image(data, size, channels=3), expected) + 1
    aliased = decode_image(data, size, channels=3, reduced=False)
    assert found > psnr(aliased, expected) + 4


def test_lesions_at_a_reduced_scale_are_near_the_slow_one():
    data = encoded(drawn(height=450, width=600), "JPEG", quality=92)
    for side, bound in ((64, 43), (100, 41), (112, 39), (128, 43), (224, 43)):
        expected = antialiased(data, (side, side))
        found = decode_image(data, (side, side), channels=3, antialias=True)
        assert psnr(found, expected) > bound
        assert psnr(decode_image(data, (side, side), channels=3), expected) > 37


@pytest.mark.realdata
def test_microscopy_at_a_reduced_scale_is_near_the_slow_one(realdata):
    paths = sorted((realdata / "bccd").rglob("*.jpg"))[::40]
    assert paths
    for path in paths:
        data = path.read_bytes()
        for side in (64, 120, 224):
            expected = antialiased(data, (side, side))
            assert psnr(decode_image(data, (side, side), channels=3), expected) > 38
            found = decode_image(data, (side, side), channels=3, antialias=True)
            assert psnr(found, expected) > 44


@pytest.mark.parametrize(
    ("name", "bounds"), [("china.jpg", (39.5, 36, 32)), ("flower.jpg", (42, 39.5, 37.5))]
)
def test_photographs_of_fine_detail_at_a_reduced_scale(name, bounds):
    folder = pathlib.Path(pytest.importorskip("sklearn.datasets").__file__).parent / "images"
    data = (folder / name).read_bytes()
    for side, bound in zip((64, 128, 200), bounds, strict=True):
        expected = antialiased(data, (side, side))
        found = decode_image(data, (side, side), channels=3, antialias=True)
        assert psnr(found, expected) > bound
        aliased = decode_image(data, (side, side), channels=3)
        assert 29 < psnr(aliased, expected) < psnr(found, expected)


def test_stripes_finer_than_the_result_become_grey_only_with_antialiasing():
    stripes = np.zeros((120, 120), np.uint8)
    stripes[:, ::2] = 255
    data = encoded(stripes, "PNG")
    assert decode_image(data, (40, 40), channels=1).numpy().std() > 100
    assert decode_image(data, (40, 40), channels=1, antialias=True).numpy()[:, 1:-1].std() < 30
    # Only the axis that shrinks is averaged.
    tall = decode_image(data, (240, 30), channels=1, antialias=True).numpy()
    assert tall[:, 1:-1].std() < 12
    wide = decode_image(data, (30, 240), channels=1, antialias=True).numpy()
    np.testing.assert_allclose(
        wide[3], tf.image.resize(stripes[:1, :, None], (1, 240))[0], atol=0.6
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 230), st.integers(1, 230), st.integers(1, 60), st.integers(1, 60))
def test_odd_sizes_are_not_displaced(height, width, rows, columns):
    data = encoded(ramp(height, width), "JPEG", quality=98, subsampling=0)
    whole = tf.image.resize(full(data), (rows, columns)).numpy()
    for antialias in (False, True):
        found = decode_image(data, (rows, columns), channels=3, antialias=antialias).numpy()
        # Half a pixel of the result, at the far edge; and a few levels of JPEG.
        slope = 215 / np.minimum([rows, columns], [height, width])
        apart = np.abs(found - whole)[..., :2].max((0, 1))
        assert (apart <= slope / 2 + 9).all()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**31 - 1), st.sampled_from([0.1, 0.5])
)
def test_random_parts_lie_in_the_image_and_have_the_size_asked_for(height, width, seed, least):
    crop = Crop(scale=(least, 0.8), ratio=(0.5, 2))
    window = crop.window(tf.constant([height, width]), tf.constant([seed, 1])).numpy()
    top, left, rows, columns = window
    assert top >= 0
    assert left >= 0
    assert 0 < rows <= height - top
    assert 0 < columns <= width - left
    if (rows, columns) != (height, width) and min(rows, columns) > 20:
        assert least - 0.05 <= rows * columns / (height * width) <= 0.85
        assert 0.45 <= columns / rows <= 2.2
    again = crop.window(tf.constant([height, width]), tf.constant([seed, 1]))
    np.testing.assert_array_equal(again, window)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize(("height", "width"), [(450, 600), (397, 523)])
def test_a_part_shows_what_lies_there(kind, reduced, height, width):
    options = {"quality": 98, "subsampling": 0} if kind == "JPEG" else {}
    array = ramp(height, width)
    data = encoded(array, kind, **options)
    crops = [Crop(scale=(0.05, 0.9)), Crop.centre(0.875), Crop.centre(0.2)]
    for number, crop in enumerate(crops * 6):
        seed = tf.constant([number, 0])
        top, left, rows, columns = crop.window(tf.constant([height, width]), seed).numpy()
        part = array[top : top + rows, left : left + columns]
        expected = tf.image.resize(part, (24, 32)).numpy()
        found = decode_image(
            data, (24, 32), channels=3, reduced=reduced, crop=crop, seed=seed
        ).numpy()
        # At a reduced scale, a pixel of that scale may be added at each side.
        span = np.ptp(expected, axis=(0, 1))[:2] / [24, 32]
        apart = np.abs(found - expected)[..., :2].max((0, 1))
        assert (apart <= (span * 1.1 if reduced and kind == "JPEG" else 0) + 5).all()


def test_a_part_in_full_scale_is_cut_from_the_image():
    data = KINDS["jpeg 4:4:4"][0]
    crop, seed = Crop(scale=(0.1, 0.5)), tf.constant([1, 2])
    top, left, rows, columns = crop.window(tf.constant([97, 131]), seed).numpy()
    found = decode_image(data, None, channels=3, crop=crop, seed=seed)
    expected = full(data)[top : top + rows, left : left + columns]
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=30, deadline=None)
@given(*[st.integers(1, 70)] * 4)
def test_masks_take_the_label_nearest(height, width, rows, columns):
    labels = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
    placement = place(width, height, Resize(size=(rows, columns), fit="stretch"))
    found = resize_mask(encoded(labels, "PNG"), (rows, columns))
    np.testing.assert_array_equal(found[..., 0], resize_labels(labels, placement))


def test_boxes_are_cut_off_and_left_out_with_their_labels():
    boxes = {
        "bbox": tf.constant([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], [0, 0.75, 0.25, 1.0]]),
        "label": tf.constant([7, 8, 9]),
    }
    moved = move_boxes(boxes, tf.constant([25, 0, 75, 100]), tf.constant([100, 200]))
    np.testing.assert_array_equal(moved["label"], [7])
    np.testing.assert_allclose(moved["bbox"], [[0, 0, 1 / 3, 1]])


def lesions(count=8, *, kind="JPEG"):
    """Dark images with a bright rectangle, its mask and its box, as encoded feature dicts."""
    examples = []
    for k in range(count):
        height, width = (450, 600) if k % 2 else (331, 405)
        top, left = 90 + 9 * k, 120 + 7 * k
        labels = np.zeros((height, width), np.uint8)
        labels[top : top + 150, left : left + 160] = 1
        box = np.float32([top / height, left / width, (top + 150) / height, (left + 160) / width])
        image = np.stack([labels * 220] * 3, -1)
        examples.append((encoded(image, kind), encoded(labels, "PNG"), box[np.newaxis], k))
    images, masks, boxes, numbers = zip(*examples, strict=True)
    return tf.data.Dataset.from_tensor_slices(
        {
            "image": list(images),
            "lesion": list(masks),
            "box": {"bbox": np.stack(boxes), "label": np.arange(count)[:, np.newaxis]},
            "number": list(numbers),
        }
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("crop", [None, Crop(scale=(0.3, 1)), Crop.centre(0.8)])
@pytest.mark.parametrize("size", [(56, 72), None])
def test_masks_and_boxes_lie_where_the_image_shows_them(kind, crop, size):
    ds = decode(lesions(kind=kind), size, masks=["lesion"], crop=crop, antialias=True)
    seen = 0
    for number, example in enumerate(tfds.as_numpy(ds)):
        assert example["number"] == number
        image, lesion = example["image"], example["lesion"]
        if size is not None:
            assert image.shape[:2] == size
        assert lesion.shape == (*image.shape[:2], 1)
        assert np.mean((image[..., :1] > 110) == (lesion == 1)) > 0.97
        rows, columns = np.nonzero(lesion[..., 0])
        assert len(example["box"]["bbox"]) == len(example["box"]["label"]) == bool(len(rows))
        if len(rows):
            seen += 1
            shown = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
            told = example["box"]["bbox"][0] * np.tile(image.shape[:2], 2)
            assert np.abs(told - shown).max() <= 1
    assert seen > 4


def test_seed_epoch_and_place_decide_the_part():
    one = next(iter(lesions()))
    ds = tf.data.Dataset.from_tensors(one).repeat(3)

    def images(**kwargs):
        decoded = decode(ds, (32, 32), crop=Crop(scale=(0.1, 0.6)), **kwargs)
        return np.stack([example["image"] for example in decoded])

    first = images(seed=1)
    np.testing.assert_array_equal(first, images(seed=1, num_parallel_calls=1))
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first, images(seed=2))
    assert not np.array_equal(first, images(seed=1, epoch=1))
    epoch = images(seed=1, epoch=tf.constant(1, tf.int64))
    np.testing.assert_array_equal(epoch, images(seed=1, epoch=1))


def test_features_tell_channels_types_and_masks(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    lines = ["id"]
    for k in range(6):
        array = deep(40, 50)
        Image.fromarray(array).save(folder / f"{k}.png")
        Image.fromarray((array > 30000).astype(np.uint8)).save(folder / f"{k}_mask.png")
        lines.append(str(k))
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    spec = folder / "corpus.yaml"
    spec.write_text(
        "name: mine\ntables: [{path: t.csv}]\n"
        "images: {path: '{id}.png', exclude: '*_mask.png', channels: 1, dtype: uint16}\n"
        "features:\n  id: {type: id}\n  part: {type: mask, path: '{id}_mask.png'}\n"
        "splits: {train: 1}\n"
    )
    builder = build(spec, tmp_path / "data")
    skip = {name: tfds.decode.SkipDecoding() for name in ("image", "part")}
    encoded_ds = builder.as_dataset(split="train", decoders=skip)
    found = decode(encoded_ds, features=builder.info.features)
    assert found.element_spec["image"] == tf.TensorSpec([None, None, 1], tf.uint16)
    for example, expected in zip(found, builder.as_dataset(split="train"), strict=True):
        assert example.keys() == expected.keys()
        for name in example:
            np.testing.assert_array_equal(example[name], expected[name])
    resized = decode(encoded_ds, (20, 20), features=builder.info.features)
    assert resized.element_spec["image"] == tf.TensorSpec([20, 20, 1], tf.uint16)
    assert resized.element_spec["part"] == tf.TensorSpec([20, 20, 1], tf.uint8)


def test_other_images_of_colours_are_not_taken_for_masks():
    colours, grey = encoded(drawn(), "PNG"), encoded(GREY, "PNG")
    ds = tf.data.Dataset.from_tensors({"image": colours, "other": colours, "mask": grey})
    shapes = {"image": (None, None, 3), "other": (None, None, 3), "mask": (None, None, 1)}
    features = {name: tfds.features.Image(shape=shape) for name, shape in shapes.items()}
    (found,) = decode(ds, (20, 30), features=features)
    assert found["mask"].shape == (20, 30, 1)
    assert found["other"].numpy() == colours


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"image": "imag"}, "no feature 'imag': did you mean 'image'"),
        ({"image": "imag", "masks": ["lesio"]}, "'imag'.*; no feature 'lesio'"),
        ({"masks": ["number"]}, r"encoded.*'number': tfds.decode.SkipDecoding"),
        ({"boxes": ["bx"]}, "no feature 'bx'"),
        ({"image_size": (0, 3)}, r"size is \(0, 3\)"),
        ({"image_size": (7,)}, r"size is \(7,\); it takes \(height, width\)"),
        ({"image_size": 224}, "size is 224"),
        ({"image_size": (24.0, "a")}, r"size is \(24.0, 'a'\)"),
        ({"channels": 2, "dtype": tf.float32}, "`channels` is 2.*; `dtype` is float32"),
    ],
)
def test_what_cannot_be_decoded_is_told_at_once(kwargs, message):
    with pytest.raises(ValueError, match=message):
        decode(lesions(1), **kwargs)


def test_decoded_images_and_pairs_are_told_apart():
    decoded = decode(lesions(1), masks=["lesion"])
    with pytest.raises(ValueError, match=r"'image': tfds.decode.SkipDecoding"):
        decode(decoded)
    pairs = lesions(1).map(lambda element: (element["image"], element["number"]))
    with pytest.raises(ValueError, match="as_supervised"):
        decode(pairs)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"scale": (0, 1)}, "`scale`"),
        ({"scale": (0.5, 0.2), "ratio": (2, 1)}, "`scale`.*`ratio`"),
        ({"fraction": 1.5}, "`fraction` is 1.5"),
        ({"scale": 0.5, "ratio": 1}, "`scale` is 0.5.*`ratio` is 1"),
    ],
)
def test_impossible_crops_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        Crop(**kwargs)
    with pytest.raises(ValueError, match="needs `seed`"):
        decode_image(KINDS["png"][0], (4, 4), channels=3, crop=Crop())


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize(("height", "width"), [(3, 2000), (2000, 2), (1, 1500)])
def test_an_axis_may_grow_where_the_other_shrinks_far(height, width, antialias):
    for kind in ("JPEG", "PNG"):
        data = encoded(ramp(height, width), kind)
        found = decode_image(data, (40, 50), channels=3, antialias=antialias).numpy()
        expected = antialiased(data, (40, 50))
        assert np.abs(found - expected).max() < 10


def test_damaged_bytes_are_an_error_not_pixels():
    data = KINDS["jpeg"][0]
    for damaged in (data[:100], b"", b"<html>"):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode_image(damaged, (32, 32), channels=3)


def test_a_built_phantom_is_decoded_alike(phantom_builder):
    skip = {"image": tfds.decode.SkipDecoding()}
    ds = phantom_builder.as_dataset(split="test", decoders=skip)
    found = decode(ds, features=phantom_builder.info.features)
    for one, other in zip(found, phantom_builder.as_dataset(split="test"), strict=True):
        np.testing.assert_array_equal(one["image"], other["image"])
    counts = mi.class_counts(phantom_builder, "train")
    train = phantom_builder.as_dataset(split="train", decoders=skip)
    batch = next(iter(decode(mi.transforms.oversample(train, counts), (16, 16)).batch(8)))
    assert batch["image"].shape == (8, 16, 16, 3)
