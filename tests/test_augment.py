"""Random changes of images while they are loaded."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import run_python
from hypothesis import given, settings
from hypothesis import strategies as st

from medical_images.transforms.augment import augment, mix
from medical_images.transforms.augmenting.keras_layers import run_layers
from medical_images.transforms.augmenting.keras_seeds import Seeds, seeded
from medical_images.transforms.augmenting.moved_boxes import move_boxes, places_of
from medical_images.transforms.augmenting.pure_changes import from_float, key_of, seed_of, to_float
from medical_images.transforms.elements import COPY

L = keras.layers
HEIGHT, WIDTH = 24, 32
FIXED = {  # nothing is drawn
    "AutoContrast": L.AutoContrast,
    "CenterCrop": lambda: L.CenterCrop(20, 16),
    "ContrastLimitedAdaptiveHistogramEqualization": L.ContrastLimitedAdaptiveHistogramEqualization,
    "Equalization": L.Equalization,
    "Resizing": lambda: L.Resizing(20, 16),
}
COLOUR = {
    "RandomBrightness": lambda: L.RandomBrightness(0.3),
    "RandomColorDegeneration": lambda: L.RandomColorDegeneration(0.5),
    "RandomColorJitter": lambda: L.RandomColorJitter(
        brightness_factor=0.2, contrast_factor=0.3, saturation_factor=0.3, hue_factor=0.2
    ),
    "RandomContrast": lambda: L.RandomContrast(0.4),
    "RandomErasing": L.RandomErasing,
    "RandomGaussianBlur": lambda: L.RandomGaussianBlur((1.0, 1.0)),
    "RandomGrayscale": L.RandomGrayscale,
    "RandomHue": lambda: L.RandomHue(0.3),
    "RandomInvert": L.RandomInvert,
    "RandomPosterization": lambda: L.RandomPosterization(4),
    "RandomSaturation": lambda: L.RandomSaturation(0.4),
    "RandomSharpness": lambda: L.RandomSharpness(0.5),
    "Solarization": lambda: L.Solarization(0.5, 0.5),
}
ZEROS = {"fill_mode": "constant", "fill_value": 0.0}
GEOMETRIC = {
    "RandomCrop": lambda: L.RandomCrop(20, 16),
    "RandomElasticTransform": lambda: L.RandomElasticTransform((1.0, 1.0), **ZEROS),
    "RandomFlip": L.RandomFlip,
    "RandomPerspective": lambda: L.RandomPerspective((1.0, 1.0), 0.5, fill_value=0.0),
    "RandomRotation": lambda: L.RandomRotation(0.2, **ZEROS),
    "RandomShear": lambda: L.RandomShear(0.3, 0.3, **ZEROS),
    "RandomTranslation": lambda: L.RandomTranslation(0.2, 0.2, **ZEROS),
    "RandomZoom": lambda: L.RandomZoom(0.4, **ZEROS),
}
PLAIN = {
    "Dropout": lambda: L.Dropout(0.2),
    "GaussianDropout": lambda: L.GaussianDropout(0.3),
    "GaussianNoise": lambda: L.GaussianNoise(1.0),
}
CHOOSING = {"AugMix": L.AugMix, "RandAugment": L.RandAugment}
REFUSED = {"CutMix", "MixUp", "MaxNumBoundingBoxes"}
RANDOM = {**COLOUR, **GEOMETRIC, **CHOOSING}
ALL = {**FIXED, **RANDOM, **PLAIN}

IMAGE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
SHAPE = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
SHAPE[4:18, 6:22] = 200


def dataset(count=8, **features) -> tf.data.Dataset:
    features = {"image": IMAGE, **features}
    numbers = tf.data.Dataset.range(count)
    return numbers.map(lambda n: {"n": n, COPY: n % 3, **features})


def images(ds) -> list[np.ndarray]:
    return [element["image"] for element in ds.as_numpy_iterator()]


def equal(first, second) -> bool:
    return all((a == b).all() for a, b in zip(first, second, strict=True))


def test_the_tables_below_name_every_layer_for_images_of_keras():
    base = L.RandomFlip.__mro__[1]
    known = {
        name
        for name, value in vars(L).items()
        if isinstance(value, type) and issubclass(value, base) and value is not base
    }
    assert known == {*FIXED, *RANDOM, *REFUSED}


@pytest.mark.parametrize("name", ALL)
def test_the_same_seed_and_epoch_give_the_same_pixels(name):
    make = functools.partial(augment, dataset(), to="all", seed=3)
    first = images(make(ALL[name]()))
    assert equal(first, images(make(ALL[name]())))
    assert first[0].dtype == np.uint8
    if name in FIXED:
        assert len({one.tobytes() for one in first}) == 1
    else:
        assert len({one.tobytes() for one in first}) > 1
        other = images(augment(dataset(), ALL[name](), to="all", seed=3, epoch=1))
        assert not equal(first, other)


@pytest.mark.parametrize("name", {**FIXED, **COLOUR, **GEOMETRIC, "RandAugment": L.RandAugment})
def test_an_image_becomes_what_keras_makes_of_it_with_the_same_draws(name):
    layer = ALL[name]()
    ds = augment(dataset(count=4), layer, to="all", seed=5)
    for place, found in enumerate(images(ds)):
        with seeded(layer, Seeds(seed_of(key_of(5, 0), place))):
            wanted = layer(tf.cast(IMAGE, tf.float32)[tf.newaxis], training=True)[0]
        assert (found == from_float(wanted, tf.uint8).numpy()).all()


@pytest.mark.parametrize("name", {**CHOOSING, **PLAIN})
def test_eager_images_are_those_of_the_pipeline(name):
    ds = augment(dataset(count=3), ALL[name](), to="all", seed=7)
    for place, found in enumerate(images(ds)):
        seed = seed_of(key_of(7, 0), place)
        pixels, _, _ = run_layers([ALL[name]()], tf.cast(IMAGE, tf.float32), seed=seed)
        assert (found == from_float(pixels, tf.uint8).numpy()).all()


PROGRAM = """
import hashlib, keras, numpy as np, tensorflow as tf
from medical_images.transforms.augment import augment
L = keras.layers
layers = [
    L.RandomFlip(), L.RandomRotation(0.2), L.RandomColorJitter(brightness_factor=0.2),
    L.RandomZoom(0.3), L.RandomErasing(),
]
image = np.arange(24 * 32 * 3).reshape(24, 32, 3).astype(np.uint8)
ds = augment(tf.data.Dataset.from_tensors({"image": image}).repeat(6), layers, to="all", seed=2)
pixels = b"".join(e["image"].numpy().tobytes() for e in ds)
print(hashlib.sha256(pixels).hexdigest())
"""


def test_two_processes_and_two_backends_of_keras_give_the_same_pixels():
    seen = {run_python(PROGRAM).split()[-1] for _ in range(2)}
    assert len(seen) == 1
    pytest.importorskip("torch")
    switch = "import os; os.environ['KERAS_BACKEND'] = 'torch'\n"
    assert run_python(switch + PROGRAM).split()[-1] in seen


def test_the_seeds_that_layers_were_made_with_do_not_matter():
    first, second = (images(augment(dataset(), L.RandomFlip(seed=s), to="all")) for s in (1, 2))
    assert equal(first, second)


def test_a_layer_is_left_as_it_was():
    layer = L.RandAugment(seed=1)
    twin = L.RandAugment(seed=1)
    augment(dataset(), layer, to="all")
    with pytest.raises(ValueError, match="cannot be run"):
        augment(dataset(image=IMAGE[..., :2]), layer, to="all")
    batch = tf.cast(IMAGE, tf.float32)[tf.newaxis]
    assert equal(layer(batch).numpy(), twin(batch).numpy())
    assert vars(layer).keys() == vars(twin).keys()


class Brighter(keras.Layer):
    """A layer of somebody else, with a generator of its own."""

    def __init__(self):
        super().__init__()
        self.source = keras.random.SeedGenerator(1)

    def call(self, batch):
        return batch + keras.random.uniform((1, 1, 1, 1), seed=self.source) * 50


def test_other_layers_are_run_alike_and_keep_what_they_are_built_with():
    layers = [Brighter(), L.Normalization(mean=1.0, variance=4.0), L.Conv2D(3, 3, padding="same")]
    first, second = (images(augment(dataset(), layers, to="all")) for _ in range(2))
    assert equal(first, second)
    assert layers[-1].weights


@pytest.mark.parametrize("wrap", [keras.Sequential, L.Pipeline, tuple])
def test_layers_may_come_in_a_sequence(wrap):
    layers = [L.RandomFlip(), L.RandomBrightness(0.3)]
    listed = images(augment(dataset(), layers, to="all"))
    assert equal(listed, images(augment(dataset(), wrap(layers), to="all")))


def test_draws_are_even_and_independent_of_one_another():
    ramp = np.arange(2, dtype=np.uint8).reshape(1, 2, 1)
    ds = dataset(count=2000, image=ramp)
    flips = np.array(
        [
            [
                one[0, 0, 0]
                for one in images(augment(ds, L.RandomFlip("horizontal"), to="all", **kw))
            ]
            for kw in ({}, {"epoch": 1}, {"seed": 1}, {"seed": 2**40})
        ]
    )
    assert (abs(flips.mean(axis=1) - 0.5) < 0.05).all()
    both = np.corrcoef(np.concatenate([flips, np.roll(flips, 1, axis=1)]))
    assert (abs(both - np.eye(8)) < 0.1).all()


# Which elements are changed


def changed_of(ds) -> list[bool]:
    return [not (one == IMAGE).all() for one in images(ds)]


INVERT = L.RandomInvert((1.0, 1.0))


def test_copies_are_changed_and_originals_pass_bit_by_bit():
    assert changed_of(augment(dataset(count=6), INVERT)) == [False, True, True] * 2


def test_everything_else_of_an_element_passes():
    ds = augment(dataset(count=6, note="a"), INVERT)
    assert [(e["n"], e[COPY], e["note"]) for e in ds.as_numpy_iterator()] == [
        (n, n % 3, b"a") for n in range(6)
    ]
    assert int(ds.cardinality()) == 6


@pytest.mark.parametrize(
    ("label", "to"),
    [
        ([0, 1, 2, 3, -1], ["b", "d"]),
        ([0, 1, 2, 3, -1], {1, 3}),
        ([[0, 2], [2, 1], [2, 2], [3, 1], [2, -1]], ["b", "d"]),
        (tf.one_hot([[0, 2], [2, 1], [2, 2], [3, 1], [-1, -1]], 4).numpy().sum(1), ["b", "d"]),
    ],
    ids=["names", "numbers", "several", "multi-hot"],
)
def test_classes_are_chosen_by_name_and_number(label, to):
    ds = dataset(count=5)
    ds = tf.data.Dataset.zip(ds, tf.data.Dataset.from_tensor_slices(label))
    ds = ds.map(lambda element, label: {**element, "label": label})
    assert ds.element_spec["label"].dtype in (tf.int32, tf.float32)
    ds = augment(ds, INVERT, to=to, label="label", names=["a", "b", "c", "d"])
    assert changed_of(ds) == [False, True, False, True, False]


def test_the_epoch_may_be_a_tensor():
    layer = L.RandomRotation(0.2)

    def one_epoch(epoch):
        return augment(dataset(), layer, to="all", seed=1, epoch=epoch)

    together = images(tf.data.Dataset.range(2).flat_map(one_epoch))
    assert equal(together, images(one_epoch(0)) + images(one_epoch(1)))


# Pixels


@pytest.mark.parametrize("dtype", [tf.uint8, tf.uint16])
def test_every_pixel_value_survives(dtype):
    values = tf.cast(tf.range(dtype.max + 1), dtype)
    assert (from_float(to_float(values), dtype).numpy() == values.numpy()).all()


def test_pixels_of_sixteen_bits_are_treated_as_those_of_eight():
    deep = IMAGE.astype(np.uint16) * 257
    layers = [L.RandomFlip(), L.RandomBrightness(0.5)]
    shallow_images = images(augment(dataset(), layers, to="all"))
    deep_images = images(augment(dataset(image=deep), layers, to="all"))
    assert deep_images[0].dtype == np.uint16
    for shallow, found in zip(shallow_images, deep_images, strict=True):
        assert abs(found / 257 - shallow).max() <= 0.5 + 1e-3


def test_images_of_floats_are_neither_scaled_nor_clipped():
    image = np.array([[[-3.5], [700.25]]], np.float32)
    for found in images(augment(dataset(image=image), L.RandomFlip("horizontal"), to="all")):
        assert sorted(found.ravel().tolist()) == [-3.5, 700.25]


def test_sizes_may_be_unknown():
    spec = {"image": tf.TensorSpec((None, None, 3), tf.uint8)}
    sizes = [(10, 20), (31, 7)]
    ds = tf.data.Dataset.from_generator(
        lambda: ({"image": np.zeros((*size, 3), np.uint8)} for size in sizes), output_signature=spec
    )
    ds = augment(ds, [L.RandomFlip(), L.RandomRotation(0.1), L.RandomBrightness(0.1)], to="all")
    assert [one.shape for one in images(ds)] == [(10, 20, 3), (31, 7, 3)]
    with pytest.raises(ValueError, match="it may need known sizes"):
        augment(ds, L.RandomCrop(5, 5), to="all")


def test_a_stateless_function_is_given_the_image_and_a_seed():
    def brighter(image, seed):
        if tf.shape(image)[0] > 1:  # traced as TensorFlow traces functions
            image = tf.image.stateless_random_brightness(image, 0.3, seed)
        return image

    first, second = (images(augment(dataset(), brighter, to="all")) for _ in range(2))
    assert equal(first, second)
    assert len({one.tobytes() for one in first}) > 5
    fixed = images(augment(dataset(), tf.image.flip_up_down, to="all"))
    assert equal(fixed, [IMAGE[::-1]] * 8)


def test_a_seed_that_has_a_default_is_given_too():
    def flipped(image, strength=1.0, seed=(1, 2)):
        return tf.image.stateless_random_flip_left_right(image, seed)

    def named(image, *, seed):
        return flipped(image, seed=seed)

    found = images(augment(dataset(), flipped, to="all"))
    assert len({one.tobytes() for one in found}) == 2
    assert equal(found, images(augment(dataset(), named, to="all")))


def test_the_shape_of_what_numpy_functions_return_is_known_again():
    def noisy(image, seed):
        return tf.numpy_function(
            lambda image, seed: image + np.uint8(seed[0] % 7), (image, seed), tf.uint8
        )

    assert augment(dataset(), noisy).element_spec["image"].shape == IMAGE.shape


# Masks and boxes


def box_of(mask) -> list[float]:
    rows, columns = np.nonzero(mask[..., 0])
    if not len(rows):
        return [0.0] * 4
    height, width, _ = mask.shape
    low, high = (rows.min(), columns.min()), (rows.max() + 1, columns.max() + 1)
    return [low[0] / height, low[1] / width, high[0] / height, high[1] / width]


@pytest.mark.parametrize("name", {**FIXED, **COLOUR, **GEOMETRIC, **PLAIN})
def test_masks_and_boxes_follow_the_image(name):
    drawn = np.repeat(SHAPE, 3, axis=2)
    box = np.array(box_of(SHAPE), np.float32)
    ds = dataset(image=drawn, mask=SHAPE, box=box, boxes=np.stack([box, np.zeros_like(box)]))
    ds = augment(ds, ALL[name](), to="all", seed=1, masks=["mask"], boxes=["box", "boxes"])
    for element in ds.as_numpy_iterator():
        mask = element["mask"]
        assert set(np.unique(mask)) <= {0, 200}
        assert element["box"] == pytest.approx(box_of(mask), abs=1e-6)
        assert element["boxes"][0] == pytest.approx(element["box"])
        assert not element["boxes"][1].any()
        if name in GEOMETRIC:
            differ = (element["image"][..., :1] > 100) != (mask > 100)
            assert differ.mean() < 0.06  # along the edges, which are smoothed in the image
        elif name not in FIXED:
            assert (mask == SHAPE).all()


def test_masks_and_boxes_follow_operations_that_are_chosen_at_random():
    image = np.repeat(SHAPE, 3, axis=2)
    ds = dataset(count=40, image=image, mask=SHAPE, box=np.array(box_of(SHAPE), np.float32))
    ds = augment(ds, L.RandAugment(factor=0.3), to="all", masks=["mask"], boxes=["box"])
    moved = 0
    for element in ds.as_numpy_iterator():
        box, around = element["box"], box_of(element["mask"])  # the mask is mirrored at the edges
        assert (box[:2] >= np.array(around[:2]) - 1e-6).all()
        assert (box[2:] <= np.array(around[2:]) + 1e-6).all()
        moved += (element["mask"] != SHAPE).any()
    assert 4 < moved < 36


def test_a_mask_is_filled_with_zeros_and_keeps_large_numbers():
    mask = np.where(SHAPE > 0, 70000, 5).astype(np.int32)
    white = {"fill_mode": "constant", "fill_value": 255.0}
    layers = [L.RandomTranslation((0.3, 0.3), 0.0, **white), L.RandomElasticTransform(**white)]
    ds = augment(dataset(mask=mask), layers, to="all", masks=["mask"])
    for element in ds.as_numpy_iterator():
        assert set(np.unique(element["mask"])) == {0, 5, 70000}
        assert (element["image"][0] == 255).all()


def test_an_image_may_have_no_box():
    ds = dataset().map(lambda e: {**e, "boxes": tf.zeros((e["n"] % 2, 4))})
    ds = augment(ds, [make() for make in GEOMETRIC.values()], to="all", boxes=["boxes"])
    assert [e["boxes"].shape for e in ds.as_numpy_iterator()] == [(0, 4), (1, 4)] * 4


@pytest.mark.parametrize("to", ["all", "copies"])
def test_boxes_in_dicts_that_are_not_seen_any_more_are_left_out_with_their_labels(to):
    half = np.float32([[0, 0, 1, 0.5], [0, 0, 1, 1], [0, 0, 0, 0], [0, 0.5, 1, 1]])
    ds = dataset().map(lambda e: {**e, "box": {"bbox": half, "label": tf.range(4)}})
    only_left = L.RandomTranslation(0.0, (0.5, 0.5), fill_mode="constant")  # moved to the right
    ds = augment(ds, only_left, to=to, boxes=["box"])
    assert ds.element_spec["box"]["label"].shape.as_list() == [None]
    for element in ds.as_numpy_iterator():
        if to == "copies" and not element[COPY]:
            np.testing.assert_array_equal(element["box"]["bbox"], half)
            continue
        assert element["box"]["label"].tolist() == [0, 1, 2]
        np.testing.assert_allclose(element["box"]["bbox"][:2], [[0, 0.5, 1, 1]] * 2)


fractions = st.integers(0, 1000).map(lambda n: n / 1000)


@settings(max_examples=50, deadline=None)
@given(
    st.tuples(fractions, fractions, fractions, fractions), st.integers(1, 40), st.integers(1, 40)
)
def test_a_box_whose_pixels_stay_is_the_box_to_half_a_pixel(corners, height, width):
    y, x = sorted(corners[::2]), sorted(corners[1::2])
    box = np.array([y[0], x[0], y[1], x[1]], np.float32)
    (found,) = move_boxes(box[np.newaxis], places_of(height, width), height, width).numpy()
    if box[0] == box[2] or box[1] == box[3]:
        assert not found.any()
        return
    pixel = np.array([1 / height, 1 / width] * 2)
    thin = np.tile(box[2:] - box[:2], 2) < pixel
    assert (abs(found - box) <= np.where(thin, pixel, pixel / 2) + 1e-5).all()


# Refusals


def keeps_no_seed(image):
    return tf.image.random_flip_left_right(image)


NOISE = L.RandomFlip()
LABEL = {"label": np.int64(1)}


@pytest.mark.parametrize(
    ("layer", "arguments", "features", "message"),
    [
        (INVERT, {"to": "copy"}, {}, r"`to` is 'copy'; it must be .* such as \['copy'\]"),
        (INVERT, {"to": []}, {}, "`to` is empty"),
        (INVERT, {"to": [1]}, {}, "`label` must be their feature"),
        (INVERT, {"to": ["b"], "label": "label"}, LABEL, "give the `names` of all classes"),
        (
            INVERT,
            {"to": ["ml", 7], "label": "label", "names": ["nv", "mel"]},
            LABEL,
            "(?s)2 problems.*did you mean 'mel'.*class 7",
        ),
        (INVERT, {"to": 1}, LABEL, r"`to` is 1; it must be 'copies', 'all' or a collection"),
        (INVERT, {"to": [0.5], "label": "label"}, LABEL, "class 0.5; classes are numbered"),
        (INVERT, {"to": [1], "label": "score"}, {"score": 0.5}, "`label` is 'score': TensorSpec"),
        (INVERT, {"image": "pair"}, {"pair": {"a": 1}}, "'pair' is .* must be uint8"),
        (INVERT, {"boxes": ["pair"]}, {"pair": {"a": 1}}, "or a dict with .* as `bbox`"),
        (L.Rescaling(1 / 255), {}, {}, "rounded to integers again; rescale in the model"),
        (L.RandomFlip, {}, {}, "found the class RandomFlip"),
        (INVERT, {"image": "imago"}, {}, "no feature 'imago'.*did you mean 'image'"),
        (INVERT, {"masks": "mask"}, {}, r"`masks` is 'mask'; it must be a list"),
        (INVERT, {"boxes": ["n"]}, {}, "boxes 'n' are .* must be float32"),
        (INVERT, {"masks": ["n"]}, {}, "mask 'n' is .* must be integers"),
        (INVERT, {}, {"image": b"\xff\xd8"}, "still encoded; decode it first"),
        (INVERT, {}, {"image": IMAGE[np.newaxis]}, "single images, before `batch`"),
        (INVERT, {}, {"image": IMAGE.astype(np.int64)}, "int64; it must be uint8, uint16 or"),
        (L.MixUp(), {}, {}, "give it to `mix`"),
        (L.MaxNumBoundingBoxes(3), {}, {}, "changes no image"),
        (L.RandomCrop(20, 16), {}, {}, r"\(20, 16, 3\) where it is changed.*to='all'"),
        (L.RandomBrightness(0.1, value_range=(0, 1)), {}, {}, r"with value_range=\(0, 255\)"),
        (L.RandomFlip(dtype="float16"), {}, {}, "computes in float16"),
        (L.RandomFlip(data_format="channels_first"), {}, {}, "channels_last"),
        ([INVERT, max], {}, {}, "found builtin_function_or_method"),
        ("RandomFlip", {}, {}, "takes a Keras 3 layer"),
        (keeps_no_seed, {}, {}, "do not come from the seed .*RandomUniform"),
        (lambda image: tf.cast(NOISE(image), tf.uint8), {}, {}, "give a layer itself"),
        (lambda image: tf.cast(image, tf.float32), {}, {}, "becomes float32; return the type"),
        (lambda image: image[1:], {}, {}, "where it is changed"),
        (lambda image: image @ image, {}, {}, "cannot be run on uint8 'image' .24, 32, 3."),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_before_anything_is_read(
    layer, arguments, features, message
):
    with pytest.raises(ValueError, match=message):
        augment(dataset(**features), layer, **arguments)


class Dimmed(L.RandomFlip.__mro__[1]):
    """A layer of somebody else, made as Keras's are, that says nothing of masks."""

    _USE_BASE_FACTOR = False

    def transform_images(self, images, transformation, training=True):
        return images / 2


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (L.AugMix(), "cannot follow AugMix"),
        (L.RandomCrop(40, 40), "cannot follow RandomCrop: it enlarges"),
        (L.Conv2D(3, 3, padding="same"), "cannot follow Conv2D"),
        (tf.image.flip_up_down, "mask cannot follow a function"),
        (Dimmed(), "Dimmed has no transform_segmentation_masks"),
    ],
)
def test_masks_that_cannot_follow_are_refused(layer, message):
    with pytest.raises(ValueError, match=message):
        augment(dataset(mask=SHAPE), layer, to="all", masks=["mask"])


def test_without_copy_numbers_it_is_said_how_to_get_them():
    ds = tf.data.Dataset.from_tensors({"image": IMAGE})
    with pytest.raises(ValueError, match="with_copy_numbers=True"):
        augment(ds, INVERT)
    with pytest.raises(ValueError, match="feature dicts"):
        augment(tf.data.Dataset.from_tensors((IMAGE, 1)), INVERT)


# Batches

VALUES = np.array([0, 20, 90, 250])


def batches(labels=(0, 1, 2, 3, 2, 1), dtype=np.uint8) -> tf.data.Dataset:
    """Images of one value each, that of their class."""
    labels = np.array(labels)
    pixels = np.broadcast_to(VALUES[labels][:, None, None, None], (len(labels), 20, 30, 1))
    features = {"image": pixels.astype(dtype), "label": labels, "n": np.arange(len(labels))}
    return tf.data.Dataset.from_tensor_slices(features).batch(4)


@pytest.mark.parametrize("make", [lambda: L.MixUp(0.6), L.CutMix], ids=["MixUp", "CutMix"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_labels_are_mixed_in_the_shares_of_the_pixels(make, dtype):
    ds = mix(batches(dtype=dtype), make(), num_classes=4, label="label", seed=4)
    again = mix(batches(dtype=dtype), make(), num_classes=4, label="label", seed=4)
    mixed = 0
    for found, same in zip(ds.as_numpy_iterator(), again.as_numpy_iterator(), strict=True):
        assert (found["image"] == same["image"]).all()
        assert (found["label"] == same["label"]).all()
        assert found["image"].dtype == dtype
        assert found["label"].sum(axis=1) == pytest.approx(1)
        wanted = found["label"] @ VALUES
        # CutMix counts the area of its patch before it is cut to whole pixels
        room = 0.51 if isinstance(make(), L.MixUp) else 20
        assert abs(found["image"].mean(axis=(1, 2, 3)) - wanted).max() < room
        mixed += (found["label"].max(axis=1) < 0.999).sum()
    assert mixed > 1
    assert [found["n"].tolist() for found in ds.as_numpy_iterator()] == [[0, 1, 2, 3], [4, 5]]


def test_batches_and_epochs_are_mixed_differently():
    same = batches(labels=[0, 1, 2, 3] * 3)

    def labels(**kwargs):
        ds = mix(same, L.MixUp(0.6), num_classes=4, label="label", **kwargs)
        return [found["label"].tobytes() for found in ds.as_numpy_iterator()]

    seen = labels() + labels(epoch=1) + labels(seed=1)
    assert len(set(seen)) == 9


def test_labels_that_are_many_are_mixed_and_none_is_a_row_of_zeros():
    many = batches().map(lambda e: {**e, "label": tf.one_hot(e["label"], 4) + tf.one_hot([0], 4)})
    (first, _) = mix(many, L.MixUp(0.6), num_classes=4, label="label").as_numpy_iterator()
    assert first["label"].sum(axis=1) == pytest.approx(2)
    whole = many.map(lambda e: {**e, "label": tf.cast(e["label"], tf.int64)})
    (same, _) = mix(whole, L.MixUp(0.6), num_classes=4, label="label").as_numpy_iterator()
    assert (same["label"] == first["label"]).all()
    none = batches().map(lambda e: {**e, "label": tf.fill(tf.shape(e["label"]), -1)})
    (first, _) = mix(none, L.CutMix(), num_classes=4, label="label").as_numpy_iterator()
    assert not first["label"].any()


def test_more_classes_than_announced_are_noticed():
    with pytest.raises(tf.errors.InvalidArgumentError, match="not under num_classes=3"):
        list(mix(batches(), L.MixUp(), num_classes=3, label="label"))


@pytest.mark.parametrize(
    ("ds", "layer", "label", "message"),
    [
        (batches(), L.RandomFlip(), "label", "must be keras.layers.MixUp or CutMix"),
        (batches().unbatch(), L.MixUp(), "label", "(?s)2 problems.*batches, after `batch`"),
        (batches(), L.MixUp(), "image", "label 'image' is .* must be integers"),
        (batches(), L.MixUp(), "lable", "did you mean 'label'"),
    ],
)
def test_batches_that_cannot_be_mixed_are_refused(ds, layer, label, message):
    with pytest.raises(ValueError, match=message):
        mix(ds, layer, num_classes=4, label=label)
