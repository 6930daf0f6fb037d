"""A dataset is held against what was written: each file that differs is named."""

import contextlib
import json
import pathlib
import shutil

import pyarrow.parquet as pq
import pytest
import tensorflow_datasets as tfds
from click.testing import CliRunner
from conftest import build
from faults import write_corpus
from hypothesis import given, settings
from hypothesis import strategies as st

import medical_images as mi
from medical_images.cli import cli


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> pathlib.Path:
    """The folder of a dataset of two splits of two shards each."""
    folder = tmp_path_factory.mktemp("verified")
    spec = write_corpus(folder / "corpus")
    return pathlib.Path(build(spec, folder / "data", workers=1, num_shards=2).data_dir)


@pytest.fixture
def copied(dataset, tmp_path) -> pathlib.Path:
    return shutil.copytree(dataset, tmp_path / "copied")


def problems_of(folder):
    return mi.verify(tfds.builder_from_directory(folder))


def told_by_command(*args):
    result = CliRunner().invoke(cli, ["verify", *map(str, args)])
    return result.exit_code, result.output


@contextlib.contextmanager
def changed(path, content):
    """Gives a file other content for a while."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def test_a_dataset_as_it_was_written_has_no_problems(dataset):
    assert problems_of(dataset) == []
    status, told = told_by_command(dataset)
    assert (status, "12 examples, all as they were written" in told) == (0, True)
    by_name = ("medical_images/mine", "--data-dir", dataset.parents[2], "--json")
    assert told_by_command(*by_name)[0] == 0


@given(data=st.data())
@settings(max_examples=60)
def test_a_flipped_bit_of_any_shard_or_index_is_found(dataset, data):
    files = sorted([*dataset.glob("medical_images-*"), *dataset.glob("index/*")])
    assert len(files) == 6
    file = data.draw(st.sampled_from(files))
    content = bytearray(file.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with changed(file, content):
        name = str(file.relative_to(dataset))
        assert problems_of(dataset)[0] == (
            f"{name} is damaged: its checksum is not that of what was written"
        )


@given(data=st.data())
@settings(max_examples=20)
def test_a_file_that_is_cut_or_goes_on_is_found(dataset, data):
    files = sorted([*dataset.glob("medical_images-*"), *dataset.glob("index/*")])
    file = data.draw(st.sampled_from(files))
    content = file.read_bytes()
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    with changed(file, data.draw(st.sampled_from([cut, content + b"\0"]))):
        size = file.stat().st_size
        name = str(file.relative_to(dataset))
        told = f"{name} has {size:,} bytes; {len(content):,} were written"
        assert problems_of(dataset)[0] == told


def lose_a_shard(folder):
    (folder / "medical_images-train.tfrecord-00001-of-00002").unlink()
    return ["medical_images-train.tfrecord-00001-of-00002 is missing, or cannot be read"]


def swap_two_shards(folder):
    one, other = sorted(folder.glob("medical_images-train*"))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    return [f"{path.name} is damaged" for path in (one, other)]


def swap_two_rows_of_an_index(folder):
    path = folder / "index" / "train.parquet"
    table = pq.read_table(path)
    pq.write_table(table.take([1, 0, *range(2, len(table))]), path)
    return ["index/train.parquet"]


def lose_an_index(folder):
    (folder / "index" / "test.parquet").unlink()
    return ["index/test.parquet is missing"]


def miscount_a_shard(folder):
    path = folder / "dataset_info.json"
    info = json.loads(path.read_text(encoding="utf-8"))
    (split,) = (split for split in info["splits"] if split["name"] == "train")
    first = int(split["shardLengths"][0])
    split["shardLengths"][0] = str(first + 1)
    path.write_text(json.dumps(info), encoding="utf-8")
    name = "medical_images-train.tfrecord-00000-of-00002"
    return [f"dataset_info.json tells of {first + 1} examples in {name}, not {first}"]


def forget_a_split(folder):
    path = folder / "dataset_info.json"
    info = json.loads(path.read_text(encoding="utf-8"))
    info["splits"] = [split for split in info["splits"] if split["name"] == "train"]
    path.write_text(json.dumps(info), encoding="utf-8")
    shards = sorted(path.name for path in folder.glob("medical_images-test*"))
    return [f"dataset_info.json does not tell of {name}" for name in shards]


def rename_a_class(folder):
    path = folder / "label.labels.txt"
    path.write_text(path.read_text(encoding="utf-8").replace("mel", "nel"), encoding="utf-8")
    return ["label.labels.txt is damaged"]


@pytest.mark.parametrize(
    "damage",
    [
        lose_a_shard,
        rename_a_class,
        swap_two_shards,
        swap_two_rows_of_an_index,
        lose_an_index,
        miscount_a_shard,
        forget_a_split,
    ],
)
def test_each_damage_is_told_with_its_file(copied, damage):
    told = damage(copied)
    problems = problems_of(copied)
    for sentence in told:
        assert any(problem.startswith(sentence) for problem in problems), problems
    status, said = told_by_command(copied)
    assert (status, set(problems) <= set(said.splitlines())) == (1, True), said
    status, said = told_by_command(copied, "--json")
    assert (status, json.loads(said)["problems"]) == (1, problems)


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"format": 99}'])
def test_without_a_manifest_nothing_is_claimed(copied, content):
    manifest = copied / "manifest.json"
    manifest.unlink()
    if content is not None:
        manifest.write_text(content, encoding="utf-8")
    with pytest.raises(FileNotFoundError, match=r"has no manifest\.json that can be read"):
        problems_of(copied)
    status, said = told_by_command(copied)
    assert (status, "has no manifest.json that can be read" in said) == (2, True), said


def test_a_manifest_that_was_changed_does_not_vouch(copied):
    manifest = copied / "manifest.json"
    told = json.loads(manifest.read_text(encoding="utf-8"))
    told["files"].pop("medical_images-test.tfrecord-00000-of-00002")
    manifest.write_text(json.dumps(told), encoding="utf-8")
    (problem,) = problems_of(copied)
    assert "medical_images-test.tfrecord-00000-of-00002" in problem
