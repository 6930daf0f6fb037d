"""A check says what a build does, and writes nothing."""

import json
import os
import pathlib
import shutil

import pytest
from conftest import build
from PIL import Image

import medical_images as mi
from medical_images import checking
from medical_images.checking import check


@pytest.fixture
def corpus(tmp_path, monkeypatch) -> pathlib.Path:
    """The spec of a small phantom; there is nothing else in its folder, nor at home."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return mi.write_phantom(tmp_path / "corpus", num_images=100, height=24, width=32)


def change(spec, old, new, count=1):
    text = spec.read_text()
    assert old in text
    spec.write_text(text.replace(old, new, count))


def files_below(folder):
    return {path: os.stat(path).st_mtime_ns for path in folder.rglob("*")}


def images_of(spec):
    return sorted((spec.parent / "images").glob("*.jpg"))


def test_it_tells_what_is_built(corpus, tmp_path):
    before = files_below(tmp_path)
    found = check(corpus, data_dir=tmp_path / "data")
    assert files_below(tmp_path) == before
    assert (found.accepted, found.status, found.refusal) == (True, 0, "")
    builder = build(corpus, tmp_path / "data", name="")
    built = {name: info.num_examples for name, info in builder.info.splits.items()}
    assert found.counts["splits"] == built
    assert found.counts["images"] == found.counts["rows"] == 100
    assert found.counts["groups"] == mi.index(builder)["_key"].nunique()
    assert found.certificate == mi.certificate(builder)
    assert found.sample.num_images == 64
    for name, info in builder.info.splits.items():
        assert found.estimate.num_bytes[name] == pytest.approx(info.num_bytes, rel=0.25)
    assert 0 < found.estimate.seconds < 60
    assert found.estimate.free_bytes > 0


def test_all_of_it_is_json_and_text(corpus):
    found = check(corpus)
    told = json.loads(json.dumps(found.as_dict()))
    assert told["status"] == 0
    assert told["certificate"]["splits"].keys() == {"train", "validation", "test"}
    assert "my_phantom: accepted" in str(found)
    assert "64 images were read and decoded" in str(found)
    assert "Nothing was written." in str(found)


def test_rejects_are_told_by_row_number_and_not_by_name(corpus, tmp_path):
    lost = images_of(corpus)[:7]
    for path in lost:
        path.unlink()
    before = files_below(tmp_path)
    found = check(corpus)
    assert files_below(tmp_path) == before
    assert (found.accepted, found.status) == (False, 2)
    assert "image_missing" in found.refusal
    assert "accept: [image_missing]" in found.refusal
    (rejected,) = found.rejects
    assert (rejected.code, rejected.num, len(rejected.lines)) == ("image_missing", 7, 5)
    rows = (corpus.parent / "metadata.csv").read_text().splitlines()
    for line in rejected.lines:
        assert rows[line - 1].split(",")[0] in {path.stem for path in lost}
    assert found.counts == {"rows": 100, "image_files": 93, "images": 93}
    assert not any(path.stem in str(found) + repr(found) for path in lost)
    corpus.write_text(corpus.read_text() + "\nrejects: {accept: [image_missing]}\n")
    assert check(corpus).accepted


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("type: class", "type: clas", "did you mean 'class'"),
        ("metadata.csv", "absent.csv", "absent.csv"),
        ("features:", "features: [", "corpus.yaml"),
        ("test: 0.1}", "test: 0.1, max_deviation: 0}", "allowed: 0"),
    ],
)
def test_what_a_build_refuses_is_refused_in_its_words(corpus, tmp_path, old, new, told):
    change(corpus, old, new)
    with pytest.raises(mi.CorpusError) as refused:
        build(corpus, tmp_path / "data", name="")
    found = check(corpus)
    assert (found.accepted, found.status) == (False, 2)
    assert found.refusal == str(refused.value)
    assert told in found.refusal
    assert "refused" in str(found)
    json.dumps(found.as_dict())


def test_images_that_cannot_be_used_are_found_in_a_sample(corpus, tmp_path):
    for path in images_of(corpus):
        path.write_bytes(path.read_bytes()[:-200])
    found = check(corpus, num_sampled=10)
    assert not found.accepted
    assert "truncated" in found.refusal
    assert (found.sample.num_images, found.sample.num_unusable) == (10, 10)
    assert found.rejects[0].code == "truncated"


def test_what_a_sample_cannot_use_is_extrapolated(corpus):
    for path in images_of(corpus)[::4]:
        path.write_bytes(path.read_bytes()[:-200])
    corpus.write_text(corpus.read_text() + "\nrejects: {max_fraction: 0.5}\n")
    found = check(corpus, num_sampled=100)
    assert found.accepted
    assert sum(found.counts["splits"].values()) == 75
    assert "unusable_images" in [each.code for each in found.findings]
    assert found.has_warnings


class TestAudit:
    def test_all_images_are_tried_and_compared(self, corpus):
        paths = images_of(corpus)
        data = paths[3].read_bytes()
        paths[50].write_bytes(paths[50].read_bytes()[:-200])
        Image.open(paths[3]).save(paths[60], quality=97)
        corpus.write_text(corpus.read_text() + "\nrejects: {accept: [truncated]}\n")
        found = check(corpus, audit=True)
        assert paths[3].read_bytes() == data
        assert found.accepted
        assert (found.sample.num_images, found.sample.num_unusable) == (100, 1)
        assert sum(found.counts["splits"].values()) == found.near_copies.num_images == 99
        assert found.near_copies.num_pairs == 1
        assert "near_copies" in [each.code for each in found.findings]
        assert "unusable_images" not in [each.code for each in found.findings]
        assert found.as_dict()["near_copies"]["num_pairs"] == 1

    def test_the_extra_is_asked_for_before_anything_is_read(self, corpus, monkeypatch):
        def fail():
            raise ImportError("pip install 'medical_images[audit]'")

        monkeypatch.setattr(checking, "require_faiss", fail)
        with pytest.raises(ImportError, match="audit"):
            check(corpus, audit=True)


def test_a_full_disk_is_foreseen(corpus, monkeypatch):
    usage = shutil._ntuple_diskusage(10, 9, 1)
    monkeypatch.setattr(checking.shutil, "disk_usage", lambda path: usage)
    assert "disk_full" in [each.code for each in check(corpus).findings]


def test_a_list_of_rejects_of_an_earlier_build_stays(corpus, tmp_path):
    images_of(corpus)[0].unlink()
    with pytest.raises(mi.RejectedError):
        build(corpus, tmp_path / "data", name="")
    listed = corpus.parent / "my_phantom.rejects.csv"
    before = listed.read_bytes()
    images_of(corpus)[0].unlink()
    check(corpus)
    assert listed.read_bytes() == before
