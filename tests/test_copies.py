"""Copies: found by their bytes, and dealt with as the spec says."""

import collections
import csv
import dataclasses
import errno
import hashlib
import os
import pathlib
import re
import shutil
import tempfile
from typing import Any

import pandas as pd
import pytest
from conftest import build
from etils import epath
from hypothesis import given
from hypothesis import strategies as st
from strategies import FEW

import medical_images as mi
from medical_images.copies import apply_copies, find_copies
from medical_images.errors import BuildError
from medical_images.join import Joined
from medical_images.rejects import RejectLog
from medical_images.spec import CorpusSpec
from medical_images.spec_images import Images

# Small files are read whole, larger ones have samples taken first.
MAGIC = b"\xff\xd8\xff"
NUM_BYTES = st.sampled_from([0, 1, 2, 4096, 65536, 65537, 80000])
ANY = Images(path="**/*.png")
CHANGED = st.sampled_from([None, 0.0, 0.1, 0.3, 0.5, 0.9, 1.0])


def contents(num_bytes: int, changed: float | None) -> bytes:
    """A file that begins like JPEG; then zeros, with one byte changed at that fraction of them."""
    data = bytearray(num_bytes)
    if changed is not None and num_bytes:
        data[round(changed * (num_bytes - 1))] = 1
    return (MAGIC + bytes(data))[:num_bytes]


def write(folder: pathlib.Path, files: list[bytes]) -> pd.DataFrame:
    """Files, as records."""
    for number, data in enumerate(files):
        (folder / f"{number:03}.png").write_bytes(data)
    paths = [f"{number:03}.png" for number in range(len(files))]
    return pd.DataFrame({"path": paths, "num_bytes": [len(data) for data in files]})


@FEW
@given(st.lists(st.builds(contents, NUM_BYTES, CHANGED), max_size=12))
def test_copies_are_the_files_of_equal_bytes(files):
    with tempfile.TemporaryDirectory() as folder:
        found = find_copies(folder, write(pathlib.Path(folder), files), ANY).tolist()
    hashes = [hashlib.sha256(data).digest() for data in files]
    counts = collections.Counter(hashes)
    is_image = [data.startswith(MAGIC) for data in files]  # other files are told as what they are
    expected = [
        of > 1 and image for of, image in zip(map(counts.get, hashes), is_image, strict=True)
    ]
    assert [digest != "" for digest in found] == expected
    pairs = {(digest, hashed) for digest, hashed in zip(found, hashes, strict=True) if digest}
    assert (
        len({digest for digest, _ in pairs}) == len({hashed for _, hashed in pairs}) == len(pairs)
    )


def test_copies_are_found_in_any_folder_local_or_remote(tmp_path, monkeypatch):
    records = write(
        tmp_path,
        [MAGIC + data for data in (b"a" * 9, b"b" * 9, b"a" * 9, b"c" * 99999, b"c" * 99999)],
    )
    (tmp_path / "x").mkdir()
    (tmp_path / "002.png").rename(tmp_path / "x" / "002.png")
    records.loc[2, "path"] = "x/002.png"
    found = find_copies(str(tmp_path), records, ANY)
    assert found[0] == found[2] != found[3] == found[4] != found[1] == ""
    remote = "gs://bucket"
    monkeypatch.setattr(
        epath, "Path", lambda path: pathlib.Path(path.replace(remote, str(tmp_path)))
    )
    pd.testing.assert_series_equal(find_copies(remote, records, ANY), found)


def test_files_that_cannot_be_read_are_not_taken_for_different_ones(tmp_path, monkeypatch):
    def read(descriptor: int, size: int, place: int) -> bytes:
        if place == 0 and size > 4096:  # a large file is compared whole
            raise OSError(errno.EIO, "Input/output error", "patient.png")
        return pread(descriptor, size, place)

    pread = os.pread
    monkeypatch.setattr(os, "pread", read)
    records = write(tmp_path, [b"a" * 99999, b"a" * 99999, b"b" * 99999, b"c"])
    words = "it is not known what is a copy (OSError: Input/output error)"
    with pytest.raises(BuildError) as error:
        find_copies(str(tmp_path), records, ANY)
    assert str(error.value) == f"2 image files cannot be read now, so that {words}"


def test_a_file_that_is_gone_is_left_to_the_writing(tmp_path):
    records = write(tmp_path, [MAGIC + b"same"] * 3 + [b"other sizes are not opened"])
    (tmp_path / "000.png").unlink()
    (tmp_path / "003.png").unlink()
    found = find_copies(str(tmp_path), records, ANY)
    assert (found != "").tolist() == [False, True, True, False]


def spec(**keys: Any) -> CorpusSpec:
    features = {
        "label": {"column": "dx", "type": "class", "values": ["nv", "mel"]},
        "findings": {"type": "labels", "values": ["edema", "mass"]},
        "age": {"type": "float"},
    }
    base = {"name": "mine", "images": {"path": "{id}.png"}, "features": features}
    return CorpusSpec.from_dict({**base, "supervised": "label", **keys})


def joined(
    *,
    labels: str | list[str] = "nv",
    findings: list[tuple[str, ...]] | None = None,
    ages: list[float] | None = None,
) -> Joined:
    """Five records, with a log of one row that another rule rejected."""
    records = pd.DataFrame(
        {
            "path": [f"{number}.png" for number in "abcde"],
            "table": "data.csv",
            "line": [5, 4, 3, 2, 6],
            "group": list("ppqqr"),
            "feature_label": labels,
            "feature_findings": pd.Series(findings or [()] * 5, dtype="object"),
            "feature_age": ages or [1.0] * 5,
        }
    )
    lost = pd.DataFrame({"table": ["data.csv"], "line": [7], "path": [""]})
    log = RejectLog().adding(outcome="rejected", code="id_missing", kind="row", entries=lost)
    return Joined(records, log, 6, 5)


COPIES = pd.Series(["", "x", "y", "x", "y"])  # b and d are copies, and so are c and e


def summary(result: Joined) -> tuple[str, list[tuple[str, str, str]]]:
    """Letters of the records left; outcome, code and letter of the entries for copies."""
    entries = result.log.entries.iloc[1:]
    listed = zip(entries.outcome, entries.code, entries.path.str[0], strict=True)
    return "".join(result.records["path"].str[0]), list(listed)


@pytest.mark.parametrize(
    ("duplicates", "left", "outcome"),
    [("group", "abcde", "noted"), ("report", "abcde", "noted"), ("reject", "abc", "rejected")],
)
def test_all_but_the_first_by_path_are_listed(duplicates, left, outcome):
    result = apply_copies(joined(), COPIES, spec(duplicates=duplicates))
    listed = [(outcome, "image_copy", "d"), (outcome, "image_copy", "e")]
    assert summary(result) == (left, listed)
    assert result.records["copy"].tolist() == (["", "", ""] if left == "abc" else COPIES.tolist())
    assert result.records.index.tolist() == list(range(len(left)))
    entries = result.log.entries[result.log.entries.code == "image_copy"]
    assert entries.kind.tolist() == ["row", "row"]
    assert entries.line.tolist() == [2, 6]
    assert entries.value.tolist() == ["b.png", "c.png"]  # what they are copies of


@pytest.mark.parametrize("duplicates", ["group", "report", "reject"])
@pytest.mark.parametrize(
    ("keys", "values", "column"),
    [
        ({}, {"labels": ["nv", "nv", "nv", "mel", "nv"]}, "dx"),
        (
            {"stratify": ["label", "findings"]},
            {"findings": [(), ("edema",), (), ("edema", "mass"), ()]},
            "findings",
        ),
        (
            {"supervised": "age", "stratify": [{"feature": "age", "bins": [1]}]},
            {"ages": [1.0, 2.0, 3.0, float("nan"), 3.0]},
            "age",
        ),
    ],
    ids=["class", "labels", "number"],
)
def test_copies_that_disagree_are_all_rejected(duplicates, keys, values, column):
    result = apply_copies(joined(**values), COPIES, spec(duplicates=duplicates, **keys))
    conflict = "noted" if duplicates == "report" else "rejected"
    copy = "rejected" if duplicates == "reject" else "noted"
    left = {"group": "ace", "report": "abcde", "reject": "ac"}[duplicates]
    listed = [(conflict, "copy_conflict", "b"), (conflict, "copy_conflict", "d")]
    assert summary(result) == (left, [*listed, (copy, "image_copy", "e")])
    assert result.log.problems()[0].where.endswith(f"column '{column}'") == (conflict != "noted")


def test_what_is_neither_supervised_nor_stratified_may_differ():
    differing = joined(ages=[1.0, 2.0, 3.0, 4.0, float("nan")], findings=[("mass",), *[()] * 4])
    assert summary(apply_copies(differing, COPIES, spec()))[0] == "abcde"


def test_every_row_of_an_image_that_is_rejected_is_listed():
    lines = pd.Series([(5,), (4,), (3,), (2, 8, 9), (6, 7)], dtype="object")
    boxed = joined()
    boxed = dataclasses.replace(boxed, records=boxed.records.assign(lines=lines))
    result = apply_copies(boxed, COPIES, spec(duplicates="reject"))
    entries = result.log.entries[result.log.entries.code == "image_copy"]
    assert list(zip(entries.path, entries.line, strict=True)) == [
        *(("d.png", line) for line in (2, 8, 9)),
        *(("e.png", line) for line in (6, 7)),
    ]


def test_a_corpus_without_copies_keeps_all_and_lists_nothing():
    result = apply_copies(joined(), pd.Series([""] * 5), spec(duplicates="reject"))
    assert summary(result) == ("abcde", [])


@pytest.fixture(scope="module")
def copied_corpus(tmp_path_factory) -> tuple[pathlib.Path, list[set[str]]]:
    """A phantom in which each of ten images is also one of another patient, of the same class."""
    spec_path = mi.write_phantom(
        tmp_path_factory.mktemp("copies") / "corpus", num_images=200, height=16, width=16
    )
    with (spec_path.parent / "metadata.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["dx"] == "nv"]
    pairs = [(one["image_id"], rows[-k - 1]["image_id"]) for k, one in enumerate(rows[:10])]
    for one, other in pairs:
        images = spec_path.parent / "images"
        shutil.copy(images / f"{one}.jpg", images / f"{other}.jpg")
    return spec_path, [set(pair) for pair in pairs]


@pytest.mark.parametrize("duplicates", ["group", "report", "reject"])
def test_copies_of_one_image_are_never_in_two_splits_unless_only_reported(
    copied_corpus, duplicates, tmp_path
):
    path, pairs = copied_corpus
    text = re.sub("^seed:", f"duplicates: {duplicates}\nseed:", path.read_text(), flags=re.M)
    text += "rejects: {max_fraction: 0.1}\n"
    (tmp_path / "corpus.yaml").write_text(text, encoding="utf-8")
    builder = build(tmp_path / "corpus.yaml", tmp_path / "data", root=str(path.parent))
    index = mi.index(builder).set_index("image_id")
    outcome = "rejected" if duplicates == "reject" else "noted"
    assert builder.info.metadata["rejects"] == {outcome: {"image_copy": 10}}
    assert len(index) == (190 if duplicates == "reject" else 200)
    splits = [index["_split"].reindex(list(pair)).dropna() for pair in pairs]
    assert {len(found) for found in splits} == {1 if duplicates == "reject" else 2}
    assert any(len(set(found)) > 1 for found in splits) == (duplicates == "report")
