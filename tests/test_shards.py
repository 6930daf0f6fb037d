"""Shards: how a split is cut, and what a file holds."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from hypothesis import given
from hypothesis import strategies as st

import medical_images as mi
from medical_images import corpus, features, image_bytes, local_engine, shard_writing, shards

SIZES = st.lists(st.integers(1, 10_000), min_size=1, max_size=200).map(np.array)


@given(SIZES, st.integers(1, 20_000), st.integers(1, 20_000))
def test_shards_cover_every_record_once_within_the_size_limit(sizes, min_bytes, max_bytes):
    bounds = shards.plan_shards(sizes, min_bytes=min_bytes, max_bytes=max_bytes)
    assert [b for b, _ in bounds] == [0, *(e for _, e in bounds[:-1])]
    assert bounds[-1][1] == len(sizes)
    for begin, end in bounds:
        assert begin < end
        assert end - begin == 1 or sizes[begin:end].sum() <= max_bytes


@given(SIZES, st.data())
def test_a_wanted_number_of_shards_is_met(sizes, data):
    wanted = data.draw(st.integers(1, len(sizes)))
    bounds = shards.plan_shards(sizes, num_shards=wanted)
    lengths = [end - begin for begin, end in bounds]
    assert len(lengths) == wanted
    assert sum(lengths) == len(sizes)
    assert max(lengths) - min(lengths) <= 1


def test_more_shards_than_records_are_refused():
    with pytest.raises(ValueError, match="4 shards are wanted of 3 records"):
        shards.plan_shards(np.array([1, 1, 1]), num_shards=4)


@pytest.fixture(scope="module")
def planned(phantom_corpus):
    return corpus.plan_corpus(mi.load_spec(phantom_corpus))


def make_task(planned, path, records) -> shards.ShardTask:
    return shards.ShardTask(
        path=str(path),
        file_format="tfrecord",
        spec=planned.accepted.loaded.spec,
        root=planned.accepted.loaded.root,
        records=records,
        num_records=len(records),
    )


def test_a_record_is_the_same_example_that_tfds_would_serialise(planned, tmp_path):
    """The image is put in beside TFDS's own serialiser, so the oracle is TFDS's whole one."""
    records = planned.plan.splits["validation"]
    path = tmp_path / "shard.tfrecord"
    result = shard_writing.write_shard(make_task(planned, path, records))
    spec, root = planned.accepted.loaded.spec, planned.accepted.loaded.root
    whole = features.features_dict(spec)
    serializer = tfds.core.example_serializer.ExampleSerializer(whole.get_serialized_info())
    metadata = features.iter_metadata(records, spec)
    serialised = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    assert result.num_examples == len(records) == len(serialised)
    assert result.num_bytes == sum(map(len, serialised))
    for record, example, data in zip(records.itertuples(), metadata, serialised, strict=True):
        file = image_bytes.ImageOfRow(record.path, record.num_bytes, record.table, record.line)
        example = {"image": image_bytes.read_source(file, root, spec).data, **example}
        expected = serializer.serialize_example(whole.encode_example(example))
        assert tf.train.Example.FromString(data) == tf.train.Example.FromString(expected)


def test_estimated_sizes_bound_the_written_ones(planned, tmp_path):
    records = planned.plan.splits["train"]
    path = tmp_path / "shard.tfrecord"
    shard_writing.write_shard(make_task(planned, path, records))
    lengths = [len(data) for data in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()]
    estimates = shards.estimate_sizes(records, planned.accepted.loaded.spec)
    assert (np.array(lengths) + 16 <= estimates).all()


def test_writing_a_shard_again_gives_the_same_bytes(planned, tmp_path):
    records = planned.plan.splits["test"]
    for name in "ab":
        shard_writing.write_shard(make_task(planned, tmp_path / name, records))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_failed_shard_leaves_no_file(planned, tmp_path):
    records = planned.plan.splits["test"].assign(path="images/absent.jpg")
    with pytest.raises(
        mi.BuildError, match=r"metadata.csv line \d+: its image file cannot be read"
    ):
        shard_writing.write_shard(make_task(planned, tmp_path / "shard", records))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_one_bad_shard_stops_all_and_names_the_row(planned, tmp_path, workers):
    good, bad = planned.plan.splits["train"], planned.plan.splits["test"]
    bad = bad.assign(path="images/absent.jpg")
    tasks = [
        make_task(planned, tmp_path / str(k), bad if k == 1 else good.iloc[:50]) for k in range(4)
    ]
    with pytest.raises(mi.BuildError, match=r"metadata.csv line \d+"):
        local_engine.write_shards(tasks, results=str(tmp_path), num_workers=workers, progress=False)


@pytest.mark.parametrize("what", ["nothing", "declared images", "format"])
def test_a_finished_shard_is_taken_over_only_for_the_same_shard(planned, tmp_path, what):
    """A shard that was stopped at and gone on with is what it would be if it were written now."""
    records = planned.plan.splits["test"]
    stopped, now = tmp_path / "stopped", tmp_path / "now"
    for folder in (stopped, now):
        (folder / shard_writing.RESULTS).mkdir(parents=True)
    task = make_task(planned, stopped / "shard", records)
    shard_writing.write_once(task, results=stopped / shard_writing.RESULTS)
    task = dataclasses.replace(task, path=str(now / "shard"))
    if what == "declared images":
        grey = task.spec.images.model_copy(update={"channels": 1})
        task = dataclasses.replace(task, spec=task.spec.model_copy(update={"images": grey}))
    if what == "format":
        task = dataclasses.replace(task, file_format="array_record")
    result = shard_writing.write_once(
        task, results=now / shard_writing.RESULTS, leftovers=[str(stopped)]
    )
    assert result.was_kept == (what == "nothing")


def test_progress_counts_every_image(planned, tmp_path):
    seen: list[int] = []
    records = planned.plan.splits["test"]
    shard_writing.write_shard(make_task(planned, tmp_path / "shard", records), advance=seen.append)
    assert seen == list(range(1, len(records) + 1))


def test_an_index_names_no_image_file(phantom_builder):
    """The index is part of the dataset; paths of files stay outside unless the spec names them."""
    columns = set(mi.index(phantom_builder).columns)
    made_here = {"_split", "_group", "_key", "_position"}
    assert columns == {*phantom_builder.info.features, *made_here} - {"image"}
    assert "PH_" not in json.dumps(phantom_builder.info.metadata)
