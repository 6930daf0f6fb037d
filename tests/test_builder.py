"""The dataset as TFDS and its users see it."""

import collections
import csv
import json
import pathlib
import shutil
import traceback

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from conftest import DUMMY_DATA, build, run_python, shard_bytes
from PIL import Image

import medical_images as mi
from medical_images import corpus, shards
from medical_images.rejects import RejectLog

CLASSES = ["nv", "mel", "bkl", "bcc", "akiec", "vasc", "df"]


class DummyDataTest(tfds.testing.DatasetBuilderTestCase):
    """TFDS's own checks of a builder, on the small frozen corpus."""

    DATASET_CLASS = mi.Builder
    EXAMPLE_DIR = DUMMY_DATA
    BUILDER_CONFIG_NAMES_TO_TEST = [  # noqa: RUF012
        mi.MedicalImagesConfig(name="dummy", spec=str(DUMMY_DATA / "corpus.yaml"))
    ]
    SPLITS = {"train": 48, "validation": 6, "test": 6}  # noqa: RUF012


def ids(ds) -> list[bytes]:
    return [example["image_id"] for example in tfds.as_numpy(ds)]


def test_features_have_the_declared_types(phantom_builder):
    features = phantom_builder.info.features
    assert features["image"].shape == (None, None, 3)
    assert features["label"].names == CLASSES
    assert features["age"].dtype == np.float32
    assert phantom_builder.info.supervised_keys == ("image", "label")


def test_every_row_is_written_once_with_its_own_values(phantom_builder, phantom_corpus):
    rows = {
        cells[0]: cells
        for cells in csv.reader((phantom_corpus.parent / "metadata.csv").open(encoding="utf-8"))
    }
    header = rows.pop("image_id")
    written = {}
    for split in phantom_builder.info.splits:
        for example in tfds.as_numpy(phantom_builder.as_dataset(split=split)):
            written[example["image_id"].decode()] = example
    assert written.keys() == rows.keys()
    for image_id, cells in rows.items():
        row, example = dict(zip(header, cells, strict=True)), written[image_id]
        assert CLASSES[example["label"]] == row["dx"]
        assert example["note"].decode() == row["note"]
        assert (np.isnan(example["age"]) and not row["age"]) or example["age"] == float(row["age"])
        image = phantom_corpus.parent / "images" / f"{image_id}.jpg"
        np.testing.assert_array_equal(example["image"], tf.io.decode_jpeg(image.read_bytes()))


def test_no_patient_is_in_two_splits(phantom_builder):
    patients = mi.index(phantom_builder).groupby("_group")["_split"].nunique()
    assert len(patients) > 100
    assert patients.max() == 1


def test_a_dataset_loads_by_name_without_this_package(phantom_builder):
    seen = run_python(
        """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "medical_images":
            raise AssertionError("imported")
sys.meta_path.insert(0, Refuse())
import tensorflow_datasets as tfds, collections, json
ds, info = tfds.load("medical_images/mine", data_dir=sys.argv[1], split="train[:10%]",
                     with_info=True, shuffle_files=True)
labels = collections.Counter(info.features["label"].int2str(int(e["label"])) for e in ds)
print(json.dumps([labels, info.metadata["class_counts"]["train"]["label"]]))
""",
        phantom_builder.data_dir_root,
    )
    labels, metadata = json.loads(seen.splitlines()[-1])
    assert labels == {k: v for k, v in mi.class_counts(phantom_builder, "train[:10%]").items() if v}
    assert metadata == mi.class_counts(phantom_builder, "train")


@pytest.mark.parametrize("cut", ["train[:10%]", "train[37%:52%]", "train[90%:]", "train[5:150]"])
def test_index_tells_what_a_slice_holds(phantom_builder, cut):
    examples = list(tfds.as_numpy(phantom_builder.as_dataset(split=cut)))
    index = mi.index(phantom_builder, cut)
    assert index["image_id"].tolist() == [e["image_id"].decode() for e in examples]
    counts = collections.Counter(CLASSES[e["label"]] for e in examples)
    assert mi.class_counts(phantom_builder, cut) == {name: counts[name] for name in CLASSES}


def test_index_holds_all_metadata_typed(phantom_builder):
    index = mi.index(phantom_builder, "validation")
    assert list(index["label"].cat.categories) == CLASSES
    assert index["age"].dtype == np.float64
    assert index["_position"].is_monotonic_increasing
    assert "image" not in index


def test_counting_an_unknown_feature_names_the_known_ones(phantom_builder):
    with pytest.raises(ValueError, match=r"'lable'.*did you mean 'label'"):
        mi.class_counts(phantom_builder, "train", "lable")


def test_metadata_holds_class_counts_and_certificate(phantom_builder):
    metadata = tfds.builder(
        "medical_images/mine", data_dir=phantom_builder.data_dir_root
    ).info.metadata
    assert metadata["class_counts"]["test"]["label"] == mi.class_counts(phantom_builder, "test")
    certificate = metadata["certificate"]
    assert certificate["group_overlap"] == 0
    images = [split["images"]["achieved"] for split in certificate["splits"].values()]
    assert sum(images) == 700 == metadata["rows"]
    assert certificate["largest_deviation"]["images"] < 1


def test_formats_and_shard_counts_keep_the_order(phantom_corpus, phantom_builder, tmp_path):
    expected = ids(phantom_builder.as_dataset(split="validation"))
    records = build(phantom_corpus, tmp_path / "tf", num_shards=3)
    assert records.info.splits["train"].num_shards == 3
    in_order = tfds.ReadConfig(interleave_cycle_length=1)  # TFDS else mixes the shards it reads
    assert ids(records.as_dataset(split="validation", read_config=in_order)) == expected
    build(phantom_corpus, tmp_path / "ar", num_shards=3, file_format="array_record")
    source = tfds.data_source("medical_images/mine", data_dir=tmp_path / "ar", split="validation")
    assert [example["image_id"] for example in source] == expected


def test_tfds_own_writer_gives_the_same_order(phantom_corpus, phantom_builder, tmp_path):
    builder = build(phantom_corpus, tmp_path, engine="tfds")
    assert builder.info.disable_shuffling is False
    for split in ("train", "test"):
        theirs = list(tfds.as_numpy(builder.as_dataset(split=split)))
        ours = list(tfds.as_numpy(phantom_builder.as_dataset(split=split)))
        for a, b in zip(theirs, ours, strict=True):
            assert a.keys() == b.keys()
            for name in a:
                np.testing.assert_array_equal(a[name], b[name])


def test_beam_writes_the_same_bytes(phantom_corpus, tmp_path):
    local = build(phantom_corpus, tmp_path / "local", num_shards=4)
    beam = build(phantom_corpus, tmp_path / "beam", num_shards=4, beam_runner="FnApiRunner")
    assert shard_bytes(local) == shard_bytes(beam)


def test_images_that_prove_unusable_are_left_out_of_plan_index_and_certificate(
    phantom_corpus, tmp_path, capsys
):
    corpus = tmp_path / "corpus"
    shutil.copytree(phantom_corpus.parent, corpus)
    bad = ["PH_0000003", "PH_0000011", "PH_0000207"]
    (corpus / "images" / f"{bad[0]}.jpg").write_bytes(b"<html>not found</html>")
    for name in bad[1:]:
        path = corpus / "images" / f"{name}.jpg"
        path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(mi.CorpusError, match=r"truncated.*2 rows") as refused:
        build(corpus / "corpus.yaml", tmp_path / "data")
    assert "not_an_image" in str(refused.value)
    assert not list((tmp_path / "data").glob("medical_images/mine/1*"))
    spec = corpus / "corpus.yaml"
    spec.write_text(spec.read_text() + "\nrejects: {max_fraction: 0.01}\n")
    local = build(spec, tmp_path / "data")
    told = "3 images that cannot be used are left out (1 not_an_image, 2 truncated), and the others"
    assert told in capsys.readouterr().out
    beam = build(spec, tmp_path / "beam", beam_runner="FnApiRunner")
    # As if they had never been there.
    table = corpus / "metadata.csv"
    rows = table.read_text().splitlines(keepends=True)
    table.write_text("".join(row for row in rows if not any(name in row for name in bad)))
    without = build(spec, tmp_path / "without")
    for builder in (local, beam):
        assert sums_of(builder) == sums_of(without)
        told, expected = builder.info.metadata, without.info.metadata
        assert told["certificate"] == expected["certificate"]
        assert told["class_counts"] == expected["class_counts"]
        assert told["rejects"]["rejected"] == {"not_an_image": 1, "truncated": 2}
        verified = mi.verify(builder)
        assert not verified


def test_nothing_is_noted_of_an_image_as_written_that_is_left_out(phantom_corpus, tmp_path):
    folder = tmp_path / "corpus"
    shutil.copytree(phantom_corpus.parent, folder)
    names = sorted(path.name for path in (folder / "images").iterdir())
    for name in names[1:3]:
        shutil.copy(folder / "images" / names[0], folder / "images" / name)
    spec = (
        folder / "corpus.yaml"
    ).read_text() + "\nrejects: {max_fraction: 0.1}\nduplicates: report\n"
    (folder / "corpus.yaml").write_text(spec)
    planned = corpus.plan_corpus(mi.load_spec(folder / "corpus.yaml"))
    noted = planned.accepted.log.entries
    assert set(noted["outcome"]) == {"noted"}
    copies = [f"images/{name}" for name in names[:3]]  # their labels differ
    assert set(noted["path"]) == set(copies)
    lost = noted[noted["path"] == copies[1]].iloc[:1]
    fault = RejectLog().adding(outcome="rejected", code="truncated", kind="row", entries=lost)
    entries = planned.without(fault).accepted.log.entries
    found = set(zip(entries["path"], entries["outcome"], strict=True))
    assert found == {(copies[0], "noted"), (copies[1], "rejected"), (copies[2], "noted")}


def sums_of(builder):
    """Names and bytes of shards and index."""
    folder = pathlib.Path(builder.data_dir)
    paths = [*folder.glob("*.tfrecord-*"), *folder.glob("index/*.parquet")]
    return {path.name: path.read_bytes() for path in paths}


def test_max_examples_per_split_takes_the_first_of_the_line(
    phantom_corpus, phantom_builder, tmp_path
):
    builder = build(phantom_corpus, tmp_path, max_examples_per_split=9)
    assert {s.num_examples for s in builder.info.splits.values()} == {9}
    assert ids(builder.as_dataset(split="train")) == ids(
        phantom_builder.as_dataset(split="train[:9]")
    )
    assert len(mi.index(builder, "train")) == 9
    assert sum(builder.info.metadata["class_counts"]["train"]["label"].values()) == 9


def test_max_shard_size_is_honoured(phantom_corpus, tmp_path):
    limit = 100_000
    builder = build(phantom_corpus, tmp_path, min_shard_size=1, max_shard_size=limit)
    sizes = [p.stat().st_size for p in pathlib.Path(builder.data_dir).glob("*.tfrecord-*")]
    assert len(sizes) > 10
    assert max(sizes) <= limit


def test_overwrite_builds_anew(phantom_corpus, tmp_path):
    build(phantom_corpus, tmp_path, max_examples_per_split=5)
    again = build(
        phantom_corpus,
        tmp_path,
        download_mode=tfds.download.GenerateMode.REUSE_CACHE_IF_EXISTS,
    )
    assert again.info.splits["train"].num_examples > 500


def test_a_refused_corpus_leaves_a_built_dataset_alone(phantom_corpus, tmp_path):
    built = build(phantom_corpus, tmp_path, max_examples_per_split=5)
    before = shard_bytes(built)
    broken = mi.load_spec(phantom_corpus).spec.model_dump(by_alias=True)
    broken["features"]["label"]["values"] = ["nv", "mel"]
    with pytest.raises(mi.RejectedError):
        build(
            mi.CorpusSpec.from_dict(broken),
            tmp_path,
            root=str(phantom_corpus.parent),
            download_mode=tfds.download.GenerateMode.REUSE_CACHE_IF_EXISTS,
        )
    assert shard_bytes(built) == before


@pytest.mark.parametrize("beam", [{}, {"beam_runner": "FnApiRunner"}], ids=["local", "beam"])
@pytest.mark.parametrize("what", ["lost", "cut"])
def test_an_image_that_changes_during_the_build_stops_it(tmp_path, monkeypatch, what, beam):
    """It changes after planning; the message names the row, not the file."""
    spec = mi.write_phantom(tmp_path / "corpus", num_images=40, height=8, width=8)
    image = tmp_path / "corpus" / "images" / "PH_0000007.jpg"
    whole, bounds_of = image.read_bytes(), shards.split_bounds

    def changing(*args, **kwargs):
        image.unlink(missing_ok=True) if what == "lost" else image.write_bytes(whole[:-9])
        return bounds_of(*args, **kwargs)

    monkeypatch.setattr(shards, "split_bounds", changing)  # called when all is planned
    with pytest.raises(mi.BuildError, match=r"metadata.csv line 9: its image file") as caught:
        build(spec, tmp_path / "data", **beam)
    assert "PH_" not in str(caught.value)
    assert not list((tmp_path / "data").glob("medical_images/mine/1*"))


def test_the_default_config_is_the_phantom_and_the_only_one_listed():
    assert list(mi.Builder.builder_configs) == ["phantom"]


def test_a_config_of_an_unknown_engine_is_refused():
    with pytest.raises(ValueError, match="none of auto, local, beam, tfds"):
        mi.MedicalImagesConfig(name="x", engine="spark")


def test_beam_without_a_runner_is_refused(phantom_corpus, tmp_path):
    with pytest.raises(ValueError, match="needs a runner"):
        build(phantom_corpus, tmp_path, engine="beam")


def test_a_split_of_few_records_has_no_more_shards_than_these(tmp_path):
    spec = mi.write_phantom(tmp_path / "corpus", num_images=40, height=8, width=8)
    builder = build(str(spec), tmp_path / "data", num_shards=10)
    assert {name: split.num_shards for name, split in builder.info.splits.items()} == {
        "train": 10,
        "validation": 4,
        "test": 4,
    }
    assert sum(split.num_examples for split in builder.info.splits.values()) == 40


def test_workers_do_not_keep_an_older_working_directory(tmp_path, monkeypatch):
    """Two corpora with the same file names, built from their own folders by the same workers."""
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        mi.write_phantom(folder, num_images=40, height=8, width=8, seed=seed)
        monkeypatch.chdir(folder)
        builder = build("corpus.yaml", "data", workers=2, num_shards=4)
        for example in tfds.as_numpy(builder.as_dataset(split="train")):
            path = folder / "images" / f"{example['image_id'].decode()}.jpg"
            np.testing.assert_array_equal(example["image"], tf.io.decode_jpeg(path.read_bytes()))


def test_an_overwrite_that_fails_leaves_the_old_dataset(tmp_path):
    corpus = tmp_path / "corpus"
    spec = mi.write_phantom(corpus, num_images=40, height=8, width=8)
    before = shard_bytes(build(spec, tmp_path / "data"))
    (corpus / "images" / "PH_0000007.jpg").write_bytes(b"<html>not found</html>")
    overwrite = tfds.download.GenerateMode.REUSE_CACHE_IF_EXISTS
    with pytest.raises(mi.CorpusError, match="not_an_image"):
        build(spec, tmp_path / "data", download_mode=overwrite)
    old = tfds.builder("medical_images/mine", data_dir=tmp_path / "data")
    assert shard_bytes(old) == before
    assert not list(pathlib.Path(old.data_dir).parent.glob(".1.0.0*"))


def test_a_changed_spec_is_not_taken_for_that_of_the_dataset(tmp_path):
    spec = mi.write_phantom(tmp_path / "corpus", num_images=40, height=8, width=8)
    build(spec, tmp_path / "data")
    text = spec.read_text(encoding="utf-8").replace("[nv, mel,", "[mel, nv,")
    spec.write_text(text, encoding="utf-8")
    with pytest.raises(mi.SpecError, match="differs from that of the dataset"):
        build(spec, tmp_path / "data")


def test_16_bit_images_keep_their_values(tmp_path):
    pixels = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    Image.fromarray(pixels).save(tmp_path / "1.png")
    spec = mi.CorpusSpec.from_dict(
        {
            "name": "mine",
            "images": {"path": "{id}.png", "channels": 1, "dtype": "uint16"},
            "features": {"id": {"type": "id"}},
            "splits": {"train": 1},
        }
    )
    builder = build(spec, tmp_path / "data", root=str(tmp_path))
    (example,) = tfds.as_numpy(builder.as_dataset(split="train"))
    np.testing.assert_array_equal(example["image"][..., 0], pixels)


@pytest.mark.parametrize("option", ["num_shards", "min_shard_size", "max_examples_per_split"])
def test_options_out_of_range_are_refused_before_anything_is_read(tmp_path, option):
    with pytest.raises(mi.SpecError, match=f"{option}: is -1"):
        build(DUMMY_DATA / "corpus.yaml", tmp_path, **{option: -1})


def test_a_config_name_cannot_leave_the_data_folder():
    with pytest.raises(mi.SpecError, match="no name of a config"):
        mi.MedicalImagesConfig(name="../../evil", spec=str(DUMMY_DATA / "corpus.yaml"))


def test_a_dataset_set_aside_by_a_killed_build_comes_back(tmp_path):
    spec = mi.write_phantom(tmp_path / "corpus", num_images=40, height=8, width=8)
    built = pathlib.Path(build(spec, tmp_path / "data").data_dir)
    before, aside = (
        shard_bytes(tfds.builder_from_directory(built)),
        built.with_name(".1.0.0.replaced"),
    )
    built.rename(aside)
    again = build(spec, tmp_path / "data")
    assert again.info.splits["train"].num_examples == 32
    assert shard_bytes(again) == before
    built.rename(aside)
    (spec.parent / "images" / "PH_0000007.jpg").write_bytes(b"not an image")
    overwrite = tfds.download.GenerateMode.REUSE_CACHE_IF_EXISTS
    with pytest.raises(mi.CorpusError):
        build(spec, tmp_path / "data", download_mode=overwrite)
    assert shard_bytes(again) == before
    assert not aside.exists()


def test_part_of_a_dataset_is_not_taken_for_built(tmp_path):
    spec = mi.write_phantom(tmp_path / "corpus", num_images=40, height=8, width=8)
    built = build(spec, tmp_path / "data")
    before = shard_bytes(built)
    (pathlib.Path(built.data_dir) / "dataset_info.json").unlink()
    again = build(spec, tmp_path / "data")
    assert shard_bytes(again) == before
    assert mi.verify(again) == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PermissionError(13, "Permission denied", "images/a_patient.png"), "Permission denied"),
        (TimeoutError(110, "Connection timed out", "images/a_patient.png"), "Connection timed out"),
        (OSError("images/a_patient.png is not yours"), "OSError"),
    ],
)
def test_storage_that_fails_while_a_corpus_is_read_is_told_without_names(
    tmp_path, monkeypatch, error, told
):
    def failing(*_, **__):
        raise error

    monkeypatch.setattr(corpus, "plan_corpus", failing)
    with pytest.raises(mi.BuildError, match=f"^the corpus cannot be read: {told}$") as caught:
        build(DUMMY_DATA / "corpus.yaml", tmp_path)
    assert "a_patient" not in "".join(traceback.format_exception(caught.value))


def test_a_table_that_changes_while_it_is_read_is_not_taken_for_what_was_built(
    tmp_path, monkeypatch
):
    spec = mi.write_phantom(tmp_path / "corpus", num_images=40, height=8, width=8)
    find_copies = corpus.find_copies

    def find_late(*args: object, **kwargs: object) -> object:
        with (tmp_path / "corpus" / "metadata.csv").open("a", encoding="utf-8") as table:
            table.write("\n")
        return find_copies(*args, **kwargs)

    monkeypatch.setattr(corpus, "find_copies", find_late)
    build(spec, tmp_path / "data")
    monkeypatch.undo()
    with pytest.raises(mi.SpecError, match=r"'metadata\.csv' has changed"):
        build(spec, tmp_path / "data")


def test_files_may_have_an_owner_that_the_system_does_not_know(tmp_path, monkeypatch):
    """As in a container that runs with the number of a user of another machine."""

    def unknown(uid: int) -> object:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    spec = mi.write_phantom(tmp_path / "corpus", num_images=40, height=8, width=8)
    (tmp_path / "data/medical_images/mine/incomplete.abcdef_1.0.0").mkdir(parents=True)
    assert build(spec, tmp_path / "data").info.splits["train"].num_examples == 32
