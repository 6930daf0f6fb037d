"""Images, masks and boxes of a whole build: resized together, and what cannot be used left out."""

import json
import zipfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from conftest import build, shard_bytes
from PIL import Image

import medical_images as mi

NUM_IMAGES = 12


def lesion_of(number):
    """Where the bright rectangle of an image lies: x1, y1, x2, y2."""
    return 20 + 4 * number, 12, 60 + 4 * number, 40 + number


@pytest.fixture
def corpus(tmp_path):
    """Dark images of several sizes with a bright rectangle, told by masks, runs and boxes."""
    folder = tmp_path / "corpus"
    for name in ("img", "mask"):
        (folder / name).mkdir(parents=True)
    lines = ["id,x1,y1,x2,y2,runs"]
    for k in range(NUM_IMAGES):
        width, height = (160, 90) if k % 2 else (120, 120)
        x1, y1, x2, y2 = lesion_of(k)
        x2 = min(x2, width)
        labels = np.zeros((height, width), np.uint8)
        labels[y1:y2, x1:x2] = 1
        Image.fromarray(labels * 200).convert("RGB").save(folder / "img" / f"{k}.png")
        paletted = Image.fromarray(labels, "P")
        paletted.putpalette([9, 9, 9, 255, 0, 0])
        paletted.save(folder / "mask" / f"{k}.png")
        runs = " ".join(f"{x * height + y1 + 1} {y2 - y1}" for x in range(x1, x2))
        lines.append(f"{k},{x1},{y1},{x2},{y2},{runs}")
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    return folder


def spec_of(folder, images="", **others):
    spec = {
        "name": "mine",
        "tables": [{"path": "t.csv"}],
        "images": {"path": "img/{id}.png", **json.loads(images or "{}")},
        "features": {
            "id": {"type": "id"},
            "lesion": {"type": "mask", "path": "mask/{id}.png", "values": ["skin", "lesion"]},
            "drawn": {"type": "mask", "runs": {"column": "runs"}},
            "box": {"type": "boxes", "columns": ["x1", "y1", "x2", "y2"]},
        },
        "splits": {"train": 1},
        **others,
    }
    path = folder / "corpus.yaml"
    path.write_text(json.dumps(spec))
    return path


@pytest.mark.parametrize(
    "resize",
    ["{}", '{"max_side": 64}', '{"size": [64, 80]}', '{"size": [50, 70], "fit": "stretch"}'],
)
@pytest.mark.parametrize("beam", [{}, {"beam_runner": "FnApiRunner"}], ids=["local", "beam"])
def test_masks_and_boxes_lie_where_the_image_shows_them(corpus, tmp_path, resize, beam):
    images = "{}" if resize == "{}" else f'{{"resize": {resize}}}'
    builder = build(spec_of(corpus, images), tmp_path / "data", **beam)
    examples = list(tfds.as_numpy(builder.as_dataset(split="train")))
    again = of_array_records(spec_of(corpus, images), tmp_path / "other")
    again = list(again.as_data_source(split="train"))
    assert len(examples) == len(again) == NUM_IMAGES
    by_id = {example["id"]: example for example in again}
    for example in examples:
        image, lesion = example["image"], example["lesion"]
        height, width = image.shape[:2]
        if "size" in resize and "max" not in resize:
            assert (height, width) == tuple(json.loads(resize)["size"])
        assert lesion.shape == (height, width, 1)
        assert set(np.unique(lesion)) <= {0, 1}
        np.testing.assert_array_equal(lesion, example["drawn"])
        # All but the smoothed edge agrees with what is seen.
        assert np.mean((image[..., :1] > 100) == (lesion == 1)) > 0.97
        rows, columns = np.nonzero(lesion[..., 0])
        seen = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
        told = example["box"]["bbox"][0] * [height, width, height, width]
        assert np.abs(told - seen).max() <= 1
        other = by_id[example["id"]]
        for name in ("image", "lesion", "drawn"):
            np.testing.assert_array_equal(other[name], example[name])


def of_array_records(spec, data_dir):
    config = mi.MedicalImagesConfig(name="mine", spec=str(spec))
    builder = mi.Builder(config=config, data_dir=data_dir, file_format="array_record")
    builder.download_and_prepare()
    return builder


def test_masks_may_stand_in_a_container_of_their_own(corpus, tmp_path):
    expected = build(spec_of(corpus), tmp_path / "expected")
    with zipfile.ZipFile(corpus / "masks.zip", "w") as file:
        for path in sorted((corpus / "mask").iterdir()):
            file.write(path, f"all/{path.name}")
            path.unlink()
    path = spec_of(corpus)
    path.write_text(path.read_text().replace("mask/{id}.png", "masks.zip/all/{id}.png"))
    found = build(path, tmp_path / "data")
    assert shard_bytes(found) == shard_bytes(expected)


def test_jpeg_written_as_png_is_the_same_in_both_readers(tmp_path):
    spec = mi.write_phantom(tmp_path / "corpus", num_images=20, height=60, width=70)
    spec.write_text(spec.read_text().replace("images:\n", "images:\n  jpeg: png\n", 1))
    one_by_one, builder = build(spec, tmp_path / "data"), of_array_records(spec, tmp_path / "other")
    assert builder.info.metadata["images"] == {"converted": 20}
    for split in builder.info.splits:
        examples = tfds.as_numpy(one_by_one.as_dataset(split=split))
        for one, other in zip(examples, builder.as_data_source(split=split), strict=True):
            np.testing.assert_array_equal(one["image"], other["image"])
            assert one["image_id"] == other["image_id"]


def test_a_mask_that_is_missing_damaged_or_of_another_size_rejects_its_image(corpus, tmp_path):
    (corpus / "mask" / "3.png").unlink()
    (corpus / "mask" / "4.png").write_bytes((corpus / "mask" / "5.png").read_bytes())
    (corpus / "mask" / "6.png").write_bytes(b"<html>")
    with pytest.raises(mi.CorpusError) as refused:
        build(spec_of(corpus), tmp_path / "data")
    for code in ("mask_missing", "mask_size", "mask_unreadable"):
        assert f"{code}:" in str(refused.value)
    builder = build(spec_of(corpus, rejects={"max_fraction": 0.5}), tmp_path / "data")
    assert builder.info.splits["train"].num_examples == NUM_IMAGES - 3
    assert set(mi.index(builder, "train")["id"]) == set(map(str, range(NUM_IMAGES))) - set("346")


def test_an_image_without_a_mask_may_have_an_empty_one(corpus, tmp_path):
    (corpus / "mask" / "3.png").unlink()
    path = spec_of(corpus)
    spec = json.loads(path.read_text())
    spec["features"]["lesion"]["absent"] = "empty"
    path.write_text(json.dumps(spec))
    builder = build(path, tmp_path / "data")
    for example in tfds.as_numpy(builder.as_dataset(split="train")):
        assert bool(example["lesion"].any()) == (example["id"] != b"3")


@pytest.mark.parametrize("beam", [{}, {"beam_runner": "FnApiRunner"}], ids=["local", "beam"])
def test_a_mask_may_be_cut_in_several_files(corpus, tmp_path, beam):
    """Each half of the lesion in a file of its own, of which some images have but one."""
    (corpus / "half").mkdir()
    whole = {}
    for path in sorted((corpus / "mask").iterdir()):
        labels = np.array(Image.open(path))
        middle = 32 + 4 * int(path.stem)
        for number, part in enumerate((slice(0, middle), slice(middle, None)), 1):
            half = np.zeros_like(labels)
            half[:, part] = labels[:, part] * 255
            labels[:, part] *= number
            if number == 1 or path.stem != "3":
                Image.fromarray(half).save(corpus / "half" / f"{path.stem}_{number}.png")
            else:
                labels[:, part] = 0
        whole[path.stem.encode()] = labels
    spec = json.loads(spec_of(corpus).read_text())
    spec["features"]["lesion"] = {
        "type": "mask",
        "path": ["half/{id}_1.png", "half/{id}_2.png"],
        "values": ["skin", "left", "right"],
    }
    (corpus / "corpus.yaml").write_text(json.dumps(spec))
    builder = build(corpus / "corpus.yaml", tmp_path / "data", **beam)
    for example in tfds.as_numpy(builder.as_dataset(split="train")):
        np.testing.assert_array_equal(example["lesion"][..., 0], whole[example["id"]])


def test_accepted_codes_are_not_counted_against_the_share(corpus, tmp_path):
    (corpus / "mask" / "3.png").unlink()
    spec = spec_of(corpus, rejects={"accept": ["mask_missing"]})
    builder = build(spec, tmp_path / "data")
    assert builder.info.metadata["rejects"]["rejected"] == {"mask_missing": 1}
    (corpus / "img" / "5.png").write_bytes(b"")
    with pytest.raises(mi.CorpusError, match="empty"):
        build(
            spec, tmp_path / "data", download_mode=tfds.download.GenerateMode.REUSE_CACHE_IF_EXISTS
        )


def test_resized_images_may_be_jpeg(corpus, tmp_path):
    images = '{"resize": {"max_side": 64, "format": "jpeg", "quality": 90}}'
    builder = build(spec_of(corpus, images), tmp_path / "data")
    raw = builder.as_dataset(split="train", decoders={"image": tfds.decode.SkipDecoding()})
    assert all(bytes(e["image"])[:2] == b"\xff\xd8" for e in tfds.as_numpy(raw))
    assert all(max(tf.io.decode_jpeg(e["image"]).shape[:2]) == 64 for e in raw)
