"""What is not built reads as what is built: the same bytes, order and index."""

import io
import json
import os
import pathlib
import re
import zipfile
from concurrent import futures

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from conftest import build, run_python
from dicom_files import dicom_bytes
from PIL import Image

import medical_images as mi
from medical_images import prepared_image
from medical_images.unbuilt import from_corpus

NUM_IMAGES, BROKEN, LOST = 24, 5, 7
IN_ORDER = tfds.ReadConfig(interleave_cycle_length=1)  # one shard after the other


def picture(number, kind):
    """An image of one of several sizes, in another look each."""
    height, width = ((40, 60), (48, 32), (56, 56))[number % 3]
    ramp = np.linspace(0, 200, width * height).reshape(height, width)
    pixels = np.stack([ramp, ramp[::-1], np.full_like(ramp, 9 * number)], -1).astype(np.uint8)
    file, exif = io.BytesIO(), Image.Exif()
    if kind == "jpeg" and number % 4 == 1:
        exif[0x0112] = 6  # lies on its side, so it is converted
    Image.fromarray(pixels).save(file, kind, exif=exif)
    return file.getvalue(), (width, height)


def write_rich(folder):
    """Masks, boxes, labels and numbers; of its rows one names no image, one has no known class."""
    for name in ("img", "mask"):
        (folder / name).mkdir(parents=True)
    lines = ["id,patient,dx,findings,age,x1,y1,x2,y2,what,note"]
    for k in range(NUM_IMAGES):
        data, size = picture(k, ("png", "jpeg")[k % 2])
        if k != LOST:
            (folder / "img" / f"{k}.{('png', 'jpg')[k % 2]}").write_bytes(data)
        size = size[::-1] if k % 4 == 1 else size
        Image.fromarray(np.eye(*size[::-1], dtype=np.uint8)).save(folder / "mask" / f"{k}.png")
        findings = "|".join(name for bit, name in enumerate("abc") if k >> bit & 1)
        dx, age = "?" if k == BROKEN else ("nv", "mel")[k % 3 == 0], "" if k % 5 == 0 else 30 + k
        row = f"{k},P{k // 2},{dx},{findings},{age},{k % 9},2,{k % 9 + 12},20,{'xy'[k % 2]},Nr. {k}"
        lines.append(row)
        if k % 6 == 0:
            lines.append(row.replace(",2,", ",3,"))  # a second box
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    box = {"columns": ["x1", "y1", "x2", "y2"], "label": "what", "values": ["x", "y"]}
    return {
        "name": "rich",
        "tables": [{"path": "t.csv"}],
        "images": {"path": "img/{id}.*"},
        "features": {
            "dx": {"type": "class", "values": ["nv", "mel"]},
            "findings": {"type": "labels", "values": ["a", "b", "c"]},
            "age": {"type": "float"},
            "box": {"type": "boxes", **box},
            "lesion": {"type": "mask", "path": "mask/{id}.png"},
            "note": {"type": "text"},
            "id": {"type": "id"},
        },
        "supervised": "dx",
        "group": "patient",
        "splits": {"train": 0.75, "test": 0.25},
        "rejects": {"max_fraction": 0.2},
    }


def write_resized(folder):
    return write_rich(folder) | {
        "images": {"path": "img/{id}.*", "resize": {"size": [32, 40]}},
        "splits": {"folds": 3},
    }


def write_frames(folder):
    """DICOM files of three frames."""
    folder.mkdir(parents=True)
    frames = (np.arange(6 * 3 * 16 * 16).reshape(6, 3, 16, 16) % 251).astype(np.uint8)
    for number, pixels in enumerate(frames):
        fields = {"NumberOfFrames": 3, "PatientAge": f"{40 + number:03}Y"}
        (folder / f"{number}.dcm").write_bytes(dicom_bytes(pixels, **fields))
    return {
        "name": "frames",
        "images": {"path": "{scan}.dcm/{frame}", "channels": 1, "frames": "all"},
        "derive": {"age": {"from": "dicom.PatientAge"}},
        "features": {
            "scan": {"type": "id"},
            "frame": {"type": "int"},
            "age": {"type": "int", "format": "age"},
        },
        "group": "scan",
        "splits": {"train": 0.5, "test": 0.5},
    }


def write_zip(folder):
    """JPEG files in a zip file: some with metadata that is cut out, two of the same bytes."""
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        for k in range(12):
            pixels = np.full((24, 32, 3), 9 * (k - (k == 7)), np.uint8)
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "jpeg", comment="of somebody" if k % 3 else None)
            archive.writestr(f"{k}.jpg", file.getvalue())
    features = {"k": {"type": "id"}}
    shares = {"train": 0.5, "test": 0.5}
    images = {"path": "all.zip/{k}.jpg"}
    return {"name": "zipped", "images": images, "features": features, "splits": shares}


def write_spec(folder, spec):
    path = folder / "corpus.yaml"
    path.write_text(json.dumps(spec))
    return path


@pytest.fixture(
    scope="module", params=["phantom", write_rich, write_resized, write_frames, write_zip]
)
def both(request, tmp_path_factory):
    """What is not built, and what is built in several shards."""
    folder = tmp_path_factory.mktemp("corpus") / "corpus"
    if request.param == "phantom":
        spec = mi.write_phantom(folder, num_images=120, height=24, width=32)
    else:
        spec = write_spec(folder, request.param(folder))
    builder = build(spec, tmp_path_factory.mktemp("data"), name="", num_shards=3)
    return from_corpus(spec), builder


def assert_equal(found, expected):
    """Elements of two datasets, feature by feature."""
    assert found.element_spec == expected.element_spec
    assert len(found) == len(expected) > 0
    for one, other in zip(tfds.as_numpy(found), tfds.as_numpy(expected), strict=True):
        for left, right in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
            np.testing.assert_array_equal(left, right)


class TestAsBuilt:
    def test_examples_are_the_very_bytes_of_the_shards(self, both):
        corpus, builder = both
        for name, info in builder.info.splits.items():
            files = [str(path) for path in info.filepaths]
            expected = list(tf.data.TFRecordDataset(files).as_numpy_iterator())
            for _ in range(2):  # not checked in full the second time
                assert corpus.fetch(name, np.arange(len(expected))) == expected
            some = [len(expected) - 1, 0, 0]
            assert corpus.fetch(name, some) == [expected[number] for number in some]

    def test_info_index_and_certificate_are_those_of_the_build(self, both):
        corpus, builder = both
        info, other = corpus.info, builder.info
        assert info.full_name == other.full_name
        assert info.supervised_keys == other.supervised_keys
        assert repr(info.features) == repr(other.features)
        sizes = [{name: s.num_examples for name, s in i.splits.items()} for i in (info, other)]
        assert sizes[0] == sizes[1]
        assert str(mi.certificate(corpus)) == str(mi.certificate(builder))
        told = {**info.metadata, "images": None}
        assert told == {**other.metadata, "images": None}
        for split in (None, *info.splits, "train[:40%]" if "train" in info.splits else "fold_1"):
            pd.testing.assert_frame_equal(mi.index(corpus, split), mi.index(builder, split))

    def test_elements_are_those_of_the_builder(self, both):
        corpus, builder = both
        first, *_, last = builder.info.splits
        slices = [first, f"{first}[:10%]", f"{first}[60%:]+{last}", f"{last}[-2:]"]
        for split in [*slices, mi.even_splits(builder, first, 2)[1]]:
            assert_equal(
                corpus.as_dataset(split), builder.as_dataset(split=split, read_config=IN_ORDER)
            )
        encoded = {"image": tfds.decode.SkipDecoding()}
        assert_equal(
            corpus.as_dataset(last, decoders=encoded),
            builder.as_dataset(split=last, decoders=encoded, read_config=IN_ORDER),
        )
        if builder.info.supervised_keys:
            assert_equal(
                corpus.as_dataset(last, as_supervised=True),
                builder.as_dataset(split=last, as_supervised=True, read_config=IN_ORDER),
            )
        else:
            with pytest.raises(ValueError, match="no supervised feature"):
                corpus.as_dataset(last, as_supervised=True)

    def test_slices_folds_and_counts_are_those_of_the_builder(self, both):
        corpus, builder = both
        arguments = () if mi.certificate(builder)["folds"] else ("train", 2)
        assert mi.folds(corpus, *arguments) == mi.folds(builder, *arguments)
        if builder.info.supervised_keys:
            for name in builder.info.splits:
                counts = mi.class_counts(corpus, name)
                assert counts == mi.class_counts(builder, name)
                assert counts.splits == (name,)

    def test_several_threads_read_the_same(self, both):
        corpus, _ = both
        name, info = next(iter(corpus.info.splits.items()))
        count = info.num_examples
        expected = corpus.fetch(name, np.arange(count))
        order = np.random.default_rng(0).integers(0, count, (40, 5))
        with futures.ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda positions: corpus.fetch(name, positions), order))
        assert found == [[expected[number] for number in positions] for positions in order]


def test_loading_is_that_of_the_built_dataset(tmp_path):
    from medical_images.loading import load

    spec = write_spec(tmp_path / "c", write_rich(tmp_path / "c"))
    built = build(spec, tmp_path / "data", name="", file_format="array_record", num_shards=2)
    corpus = from_corpus(spec)
    arguments = {"oversample": "balanced", "seed": 3, "epoch": 1}
    found, expected = (mi.sampling.epoch_indices(x, "train", **arguments) for x in (corpus, built))
    np.testing.assert_array_equal(found, expected)
    found, expected = (
        mi.MetadataEncoder.fit(source, split="train", features=["age", "findings", "note"])
        for source in (corpus, built)
    )
    assert found.to_json() == expected.to_json()
    for keys in ({"shuffle": False}, {"oversample": "balanced", "seed": 3}):
        keys |= {"image_size": (24, 24), "batch_size": 4}
        pairs = [load(source, "train", **keys) for source in (corpus, built)]
        for _ in range(2):  # epochs
            found, expected = (
                [part.numpy() for batch in ds for part in tf.nest.flatten(batch, True)]
                for ds in pairs
            )
            assert len(found) == len(expected) > 3
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, other)


class TestFaults:
    @pytest.fixture
    def corpus(self, tmp_path):
        """Its files and, by position in `train`, its row and file."""
        folder = tmp_path / "corpus"
        spec = write_spec(folder, write_rich(folder) | {"splits": {"train": 1}})
        unbuilt = from_corpus(spec)
        lines = (folder / "t.csv").read_text().splitlines()
        row_of = {}
        for number, line in enumerate(lines[1:], 2):
            row_of.setdefault(line.split(",")[0], number)
        ids = mi.index(unbuilt, "train")["id"]
        files = [next((folder / "img").glob(f"{name}.*")) for name in ids]
        return unbuilt, list(zip(files, map(row_of.get, ids), strict=True)), spec

    def test_an_image_that_cannot_be_used_is_told_by_its_row(self, corpus, tmp_path):
        unbuilt, rows, spec = corpus
        place = next(k for k, (file, _) in enumerate(rows) if file.suffix == ".jpg")
        file, line = rows[place]
        file.write_bytes(file.read_bytes()[:-40] + bytes(40))  # no end, and the same length
        row = rf"image {place} of split 'train' \(t.csv line {line}\)"
        message = f"{row} cannot be used: (truncated|corrupt)"
        with pytest.raises(mi.BuildError, match=message) as refused:
            unbuilt.fetch("train", [place - 1, place])
        assert "lists all such images" in str(refused.value)
        assert file.name not in str(refused.value)
        with pytest.raises(tf.errors.OpError, match=message):
            list(unbuilt.as_dataset("train"))
        assert len(unbuilt.fetch("train", np.delete(np.arange(len(rows)), place))) == len(rows) - 1
        built = build(spec, tmp_path / "data", name="")  # plans without it, as the error says
        assert built.info.splits["train"].num_examples == len(rows) - 1

    def test_a_damaged_mask_is_told_by_its_feature(self, corpus):
        unbuilt, rows, spec = corpus
        (spec.parent / "mask" / f"{rows[3][0].stem}.png").write_bytes(b"<html>")
        with pytest.raises(
            mi.BuildError, match=r"line \d+\) cannot be used: mask_unreadable: .*'lesion'"
        ):
            unbuilt.fetch("train", [3])

    def test_a_file_that_is_gone_or_longer_is_told_by_its_row(self, corpus):
        unbuilt, rows, _ = corpus
        rows[0][0].unlink()
        rows[1][0].write_bytes(rows[1][0].read_bytes() + b"more")
        for place in (0, 1):
            with pytest.raises(mi.BuildError, match=f"t.csv line {rows[place][1]}: its image file"):
                unbuilt.fetch("train", [place])

    def test_a_full_check_is_done_once_unless_the_file_changes(self, corpus, monkeypatch):
        unbuilt, rows, _ = corpus
        checked = []

        def counted(data, parts, check=prepared_image.is_sound_jpeg):
            checked.append(data)
            return check(data, parts)

        monkeypatch.setattr(prepared_image, "is_sound_jpeg", counted)
        places = np.array([k for k, (file, _) in enumerate(rows) if file.suffix == ".jpg"])
        first = unbuilt.fetch("train", places)
        assert len(checked) == len(places)
        assert unbuilt.fetch("train", places) == first
        assert len(checked) == len(places)
        os.utime(rows[places[0]][0], (1, 1))
        assert unbuilt.fetch("train", places) == first
        assert len(checked) == len(places) + 1

    def test_a_damaged_scan_that_is_accepted_is_converted_each_time(self, tmp_path):
        noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
        for k in range(2):
            file = io.BytesIO()
            Image.fromarray(noise + np.uint8(k)).save(file, "jpeg")
            data = file.getvalue()
            halved = data[: len(data) // 2] + b"\xff\xd9"
            (tmp_path / f"{k}.jpg").write_bytes(halved if k else data)
        spec = {"name": "m", "images": {"path": "{id}.jpg", "corrupt_scan": "write"}}
        spec |= {"features": {"id": {"type": "id"}}, "splits": {"train": 1}}
        path = write_spec(tmp_path, spec)
        unbuilt, built = from_corpus(path), build(path, tmp_path / "data", name="")
        assert built.info.metadata["images"] == {"converted": 1}
        for _ in range(3):
            assert_equal(
                unbuilt.as_dataset("train"), built.as_dataset(split="train", read_config=IN_ORDER)
            )

    def test_what_is_not_there_is_told(self, corpus):
        unbuilt, rows, spec = corpus
        with pytest.raises(ValueError, match="no split 'trian'; did you mean 'train'"):
            unbuilt.fetch("trian", [0])
        for place in (-1, len(rows)):
            with pytest.raises(IndexError, match=rf"no position {place} in split 'train' of 22"):
                unbuilt.fetch("train", [0, place])
        assert unbuilt.fetch("train", []) == []
        refused = json.loads(spec.read_text()) | {"rejects": {}}
        with pytest.raises(mi.RejectedError, match="label_unknown"):
            from_corpus(refused, root=spec.parent)


def test_what_was_rejected_is_told(tmp_path):
    folder = tmp_path / "corpus"
    spec = write_rich(folder)
    unbuilt = from_corpus(spec, root=folder)  # no file is needed
    assert unbuilt.info.full_name == "medical_images/rich/1.0.0"
    assert "rejected: 1 image_missing, 1 label_unknown" in str(unbuilt)
    ids = set(mi.index(unbuilt)["id"])
    assert ids == set(map(str, range(NUM_IMAGES))) - {str(BROKEN), str(LOST)}


def test_a_split_gives_its_examples_at_once(phantom_corpus, phantom_builder):
    found = from_corpus(phantom_corpus, "train[:10%]+test")
    assert_equal(found, phantom_builder.as_dataset(split="train[:10%]+test", read_config=IN_ORDER))
    pathlib_root = from_corpus(str(phantom_corpus), root=phantom_corpus.parent)
    counts = mi.class_counts(pathlib_root, "validation")
    assert counts == mi.class_counts(phantom_builder, "validation")
    with pytest.raises(ValueError, match="Unknown split 'trian'"):
        from_corpus(phantom_corpus, "trian")


def test_a_dataset_is_extended_as_by_a_build(phantom_corpus, phantom_builder, tmp_path):
    text = phantom_corpus.read_text(encoding="utf-8")
    root = {"root": str(phantom_corpus.parent)}
    path = tmp_path / "corpus.yaml"
    former = "{extend: medical_images/mine:1.0.0, train: 0.8, validation: 0.1, test: 0.1}"
    path.write_text(re.sub("^splits: .*", f"splits: {former}", text, flags=re.M))
    data_dir = pathlib.Path(phantom_builder.data_dir).parents[2]
    unbuilt = from_corpus(path, **root, data_dir=data_dir)
    for name in phantom_builder.info.splits:
        found, expected = (mi.index(source, name) for source in (unbuilt, phantom_builder))
        assert list(found["image_id"]) == list(expected["image_id"])


def test_its_folder_is_private_and_goes_with_it(phantom_corpus, tmp_path):
    """Also with the process; and TensorFlow is not imported before a dataset is asked for."""
    seen = run_python(
        """
import os, pathlib, stat, sys, numpy as np, medical_images as mi
from medical_images.unbuilt import from_corpus
first, second = from_corpus(sys.argv[1]), from_corpus(sys.argv[1])
first.fetch("train", np.arange(9))
print(len(mi.index(first, "test")), len(mi.slices(first, "train", [0.5, 0.5])), end=" ")
folders = list(map(str, pathlib.Path(os.environ["TMPDIR"]).glob("medical_images_*")))
print(len(folders), [oct(stat.S_IMODE(os.stat(folder).st_mode)) for folder in folders], end=" ")
if os.fork() == 0:
    del first
    sys.exit()
os.wait()
del first
print([os.path.exists(folder) for folder in folders].count(True), "tensorflow" in sys.modules)
list(second.as_dataset("test"))
""",
        phantom_corpus,
        TMPDIR=str(tmp_path),
    )
    assert seen.split() == ["70", "2", "2", "['0o700',", "'0o700']", "1", "False"]
    assert list(tmp_path.glob("medical_images_*")) == []  # TFDS leaves an empty one
