"""What may go wrong while a dataset is written, and what it leaves behind."""

import functools
import os
import re
import shutil
import signal

import pytest
import tensorflow_datasets as tfds
from conftest import build, run_python
from faults import (
    ALL,
    REMOVING,
    WRITING,
    assert_discreet,
    assert_nothing_half_done,
    at_once,
    build_by_beam,
    build_by_command,
    build_in_four,
    build_on_full_disks,
    build_with_fault,
    build_with_mortal_worker,
    dataset_of,
    datasets,
    failing,
    in_child,
    killed,
    steps_of,
    tree,
    versions,
    write_corpus,
)

import medical_images as mi


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def older(spec, tmp_path_factory):
    """A data folder with an older version; what it holds."""
    data = tmp_path_factory.mktemp("older")
    build(write_corpus(tmp_path_factory.mktemp("old"), version="0.9.0"), data, workers=1)
    return data


@pytest.fixture(scope="module")
def expected(spec, tmp_path_factory):
    """The files of a build that nothing disturbed."""
    data = tmp_path_factory.mktemp("undisturbed")
    status, said = in_child(build_by_command, spec, data)
    assert status == 0, said
    assert_discreet(said, data)
    return tree(datasets(data) / "1.0.0")


@pytest.fixture(scope="module")
def replaced(older, tmp_path_factory):
    """A data folder that holds, beside the older version, another dataset of the same version."""
    data = tmp_path_factory.mktemp("replaced") / "data"
    shutil.copytree(older, data)
    build(write_corpus(tmp_path_factory.mktemp("smaller"), num_images=8), data, workers=1)
    return data


def inodes(folder):
    return {(path.name, path.stat().st_ino) for path in folder.glob("medical_images-*")}


def finished_shards(data):
    """{(name, inode)} of the shards that stopped builds finished, which leave a result.

    Those of a dataset that stands in its place too.
    """
    left = datasets(data).glob("incomplete*")
    results = ((folder, folder.glob("results/*.json")) for folder in left)
    names = {(folder, path.stem) for folder, paths in results for path in paths}
    return inodes(datasets(data) / "1.0.0") | {
        (name, (folder / name).stat().st_ino) for folder, name in names if (folder / name).exists()
    }


def test_a_build_may_be_killed_at_any_step(spec, older, expected, tmp_path):
    """kill -9 at each step in turn: nothing half done is seen, and the next build completes it.

    The later it was killed, the more is kept: all that was finished.
    """

    def case(at):
        data = tmp_path / str(at)
        shutil.copytree(older, data)
        status, said = in_child(build_with_fault, killed, at, ALL, build_by_command, spec, data)
        assert status == -signal.SIGKILL, said
        assert_discreet(said, data)
        assert_nothing_half_done(data, older, expected)
        left = [path.name for path in datasets(data).glob("incomplete*")]
        finished = finished_shards(data)
        status, told = in_child(build_by_command, spec, data)
        assert status == 0, told
        assert_discreet(told, data)
        assert tree(datasets(data) / "1.0.0") == expected
        assert versions(data) == ["0.9.0", "1.0.0"], steps[at]
        assert finished <= inodes(datasets(data) / "1.0.0")
        if left:
            assert f"{len(finished)} of its finished shards were kept" in told, steps[at]
            assert f"removed what stopped builds had left: {left[0]}" in told
        return len(finished)

    data = tmp_path / "counted"
    shutil.copytree(older, data)
    steps = steps_of(ALL, build_by_command, spec, data)
    finished = at_once(case, range(len(steps)))
    assert finished == sorted(finished)
    assert set(finished) == {0, 1, 2}


def test_an_overwrite_may_be_killed_at_any_step(spec, replaced, expected, tmp_path):
    """kill -9 where folders change: the dataset is the old one or the new, without a further start.

    Only between two renames, it is the old one at the next start. That start fails too, for the
    sake of the test; the one after it succeeds.
    """
    before = tree(datasets(replaced) / "1.0.0")
    bad = write_corpus(tmp_path / "bad")
    (bad.parent / "images" / "scanQZ05.png").write_bytes(b"<html>not found</html>")
    overwrite = functools.partial(in_child, build_by_command)

    def case(at):
        data = tmp_path / str(at)
        shutil.copytree(replaced, data)
        args = (build_by_command, spec, data, "--overwrite")
        status, said = in_child(build_with_fault, killed, at, ALL, *args)
        assert status == -signal.SIGKILL, said
        assert_discreet(said, data)
        if steps[at] == into_place:
            assert not (datasets(data) / "1.0.0").exists()
        else:
            assert dataset_of(datasets(data) / "1.0.0") in (before, expected), steps[at]
            assert mi.verify(tfds.builder("medical_images/mine", data_dir=data)) == []
        status, said = overwrite(bad, data, "--overwrite")
        assert status == 2, said
        assert re.search(r"scans\.csv: not_an_image: .*line 7", said)
        assert_discreet(said, data)
        found = tree(datasets(data) / "1.0.0")
        assert found in (before, expected), steps[at]
        assert mi.verify(tfds.builder("medical_images/mine", data_dir=data)) == []
        assert not list(datasets(data).glob(".*")), steps[at]
        status, said = overwrite(spec, data, "--overwrite")
        assert status == 0, said
        assert tree(datasets(data) / "1.0.0") == expected
        assert versions(data) == ["0.9.0", "1.0.0"]
        return found == expected

    data = tmp_path / "counted"
    shutil.copytree(replaced, data)
    steps = steps_of(ALL, build_by_command, spec, data, "--overwrite")
    changes = re.compile(r"(mine/[^/]*|index|results)$")
    of_folders = [k for k, step in enumerate(steps) if changes.search(step)]
    (into_place,) = [
        step for step in steps if re.fullmatch(r"rename [^/]*/mine/incomplete[^/]*", step)
    ]
    some = {at + more for at in of_folders for more in (0, 1) if at + more < len(steps)}
    assert set(at_once(case, sorted(some))) == {False, True}


def test_each_step_of_writing_may_fail(spec, older, expected, tmp_path):
    """EIO once, at each step in turn: plain words, exit status 1, and nothing half done."""

    def case(at):
        data = tmp_path / str(at)
        shutil.copytree(older, data)
        args = (build_by_command, spec, data)
        status, said = in_child(build_with_fault, failing, at, WRITING, *args)
        assert status == 1, said
        assert "Traceback" not in said, steps[at] + said
        assert "cannot be written: Input/output error" in said
        assert_discreet(said, data)
        assert_nothing_half_done(data, older, expected)
        assert not (datasets(data) / "1.0.0").exists()
        status, told = in_child(build_by_command, spec, data)
        assert status == 0, told
        assert tree(datasets(data) / "1.0.0") == expected
        assert versions(data) == ["0.9.0", "1.0.0"], steps[at]

    data = tmp_path / "counted"
    shutil.copytree(older, data)
    steps = steps_of(WRITING, build_by_command, spec, data)
    at_once(case, range(len(steps)))
    for file in ("tfrecord-00000-of-00001", r"00001\.arrow", r"00001\.json", r"train\.parquet"):
        assert any(re.search(f"^write .*{file}$", step) for step in steps)
    for file in ("manifest", "features", "dataset_info"):
        assert any(re.search(rf"^write .*/{file}\.json$", step) for step in steps)


def test_an_overwrite_may_fail_at_any_step(spec, replaced, expected, tmp_path):
    """EIO once, at each step in turn: the old dataset is there again when the build ends."""
    before = tree(datasets(replaced))

    def case(at):
        data = tmp_path / str(at)
        shutil.copytree(replaced, data)
        args = (build_by_command, spec, data, "--overwrite")
        status, said = in_child(build_with_fault, failing, at, WRITING, *args)
        assert (status, "Traceback" in said) == (1, False), said
        assert_discreet(said, data)
        is_kept = {name: content for name, content in tree(datasets(data)).items() if "/" in name}
        assert before.items() <= is_kept.items()
        assert not list(datasets(data).glob(".*.replaced"))

    data = tmp_path / "counted"
    shutil.copytree(replaced, data)
    steps = steps_of(WRITING, build_by_command, spec, data, "--overwrite")
    at_once(case, range(len(steps)))


def test_what_is_not_needed_may_fail_to_be_removed(spec, replaced, expected, tmp_path):
    """EIO once, in each folder in turn: the build succeeds, and the next one removes the rest."""

    def stopped(name):
        data = tmp_path / name
        shutil.copytree(replaced, data)
        args = (build_by_command, spec, data, "--overwrite")
        status, said = in_child(build_with_fault, killed, "open .*/index/", ALL, *args)
        assert status == -signal.SIGKILL, said
        return data

    def case(at):
        data = stopped(str(at))
        args = (build_by_command, spec, data, "--overwrite")
        status, said = in_child(build_with_fault, failing, at, REMOVING, *args)
        assert (status, "Traceback" in said) == (0, False), steps[at] + said
        assert_discreet(said, data)
        assert_nothing_half_done(data, replaced, expected)
        status, said = in_child(*args)
        assert status == 0, said
        assert tree(datasets(data) / "1.0.0") == expected
        assert versions(data) == ["0.9.0", "1.0.0"], steps[at]

    steps = steps_of(REMOVING, build_by_command, spec, stopped("counted"), "--overwrite")
    parents = [os.path.dirname(step) for step in steps]
    at_once(case, sorted({parents.index(parent) for parent in parents}))
    for place in (r"mine/\.1\.0\.0\.replaced", r"mine/incomplete[^/]*", "mine/1.0.0/results"):
        assert any(re.search(f"{place}/", step) for step in steps)


@pytest.mark.parametrize(
    ("options", "num_sizes"), [((), 12), (("--file-format", "array_record"), 4)]
)
def test_a_disk_may_be_full(spec, older, tmp_path, options, num_sizes):
    """ENOSPC by file systems from nearly nothing to nearly enough: as for any failed write."""
    status, said = in_child(build_by_command, spec, tmp_path / "roomy", *options)
    assert status == 0, said
    whole = tree(datasets(tmp_path / "roomy") / "1.0.0")
    args = (spec, older, whole, tmp_path / "data", num_sizes, *options)
    status, said = in_child(build_on_full_disks, *args)
    if status == 77:
        pytest.skip("no file system of a given size may be mounted here")
    assert status == 0, said
    told = re.findall("cannot be written: .*(?:No space left|Not enough disk space)", said)
    assert len(told) == num_sizes, said
    assert "Traceback" not in said
    assert_discreet(said, tmp_path / "data")


def test_finished_shards_are_kept_unless_damaged_or_made_from_what_has_changed(tmp_path):
    """A build of several shards is killed; then one image is replaced, and one shard damaged."""
    spec, data, whole = write_corpus(tmp_path / "corpus"), tmp_path / "data", tmp_path / "whole"
    steps = steps_of(ALL, build_in_four, spec, whole)
    results = [k for k, step in enumerate(steps) if re.match(r"rename .*\.json$", step)][1:]
    in_child(build_with_fault, killed, results[6] + 1, ALL, build_in_four, spec, data)
    finished = dict(finished_shards(data))
    assert len(finished) == 7
    (left,) = datasets(data).glob("incomplete*")
    of_other, damaged, *unharmed = sorted(finished)
    images = sorted((tmp_path / "corpus" / "images").iterdir())
    changed = next(p for p in images if p.read_bytes() in (left / of_other).read_bytes())
    os.utime(changed, (0, 0))  # as if it had been written anew
    (left / damaged).write_bytes((left / damaged).read_bytes()[:-1] + b"?")
    status, said = in_child(build_in_four, spec, data)
    assert status == 0, said
    assert "5 of its finished shards were kept, 2 written anew" in said
    assert_discreet(said, data)
    now = dict(inodes(datasets(data) / "1.0.0"))
    assert len(now) == 8
    assert [name for name in sorted(finished) if now[name] == finished[name]] == unharmed
    status, said = in_child(build_in_four, spec, tmp_path / "anew")
    assert tree(datasets(data) / "1.0.0") == tree(datasets(tmp_path / "anew") / "1.0.0")


def lengthen_an_image(corpus):
    with (corpus / "images" / "scanQZ03.png").open("ab") as file:
        file.write(b"?")


def add_an_image(corpus):
    shutil.copy(corpus / "images" / "scanQZ03.png", corpus / "images" / "scanQZ99.png")


def change_a_cell(corpus):
    table = corpus / "scans.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(",43", ",44"), encoding="utf-8")


def change_nothing(corpus):
    os.utime(corpus / "scans.csv")


def touched(path):
    told = path.stat()
    return told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        (change_a_cell, 2, "the table or list 'scans.csv' has changed"),
        (add_an_image, 2, "there are 13 image files, and there were 12"),
        (lengthen_an_image, 2, "image files have other names or sizes"),
        (change_nothing, 0, "is built already"),
    ],
)
def test_inputs_that_changed_are_refused_by_name(tmp_path, change, status, told):
    """A dataset is taken for what its spec now gives only if tables and images are the same."""
    spec, data = write_corpus(tmp_path / "corpus"), tmp_path / "data"
    build(spec, data, workers=1)
    files = {path: touched(path) for path in data.rglob("*")}
    change(tmp_path / "corpus")
    found, said = in_child(build_by_command, spec, data)
    assert (found, told in said) == (status, True), said
    assert_discreet(said, data)
    assert {path: touched(path) for path in data.rglob("*")} == files


def test_a_bundle_that_beam_repeats_writes_nothing_twice(spec, expected, tmp_path, monkeypatch):
    """A worker is lost after it wrote a shard; then each shard is asked for twice."""
    from medical_images import beam_writing

    write_shards, write_once = beam_writing.write_shards, beam_writing.write_once

    def write_and_be_lost(task, **kwargs):
        write_once(task, **kwargs)
        raise ConnectionError("the worker is lost")

    def repeated(tasks, **kwargs):
        with monkeypatch.context() as patch:
            patch.setattr(beam_writing, "write_once", write_and_be_lost)
            with pytest.raises(Exception, match="the worker is lost"):
                write_shards(tasks, **kwargs)
        before = finished_shards(tmp_path)
        assert before
        written = write_shards([*tasks, *tasks], **kwargs)
        assert before <= finished_shards(tmp_path)
        return written[: len(tasks)]

    monkeypatch.setattr(beam_writing, "write_shards", repeated)
    build(spec, tmp_path, engine="beam", beam_runner="FnApiRunner")
    assert tree(datasets(tmp_path) / "1.0.0") == expected


def test_a_build_by_beam_may_be_killed(spec, older, tmp_path):
    """Its files, which tell of patients, are for their owner only; the next build clears them."""
    data = tmp_path / "data"
    shutil.copytree(older, data)
    status, said = in_child(
        build_with_fault, killed, "open .*/index/", ALL, build_by_beam, spec, data
    )
    assert status == -signal.SIGKILL, said
    assert_discreet(said, data)
    finished = finished_shards(data)
    assert len(finished) == 4
    status, told = in_child(build_by_beam, spec, data)
    assert status == 0, told
    assert "4 of its finished shards were kept" in told
    assert finished == inodes(datasets(data) / "1.0.0")
    assert_discreet(told, data)
    assert versions(data) == ["0.9.0", "1.0.0"]


NOTEBOOK = """
import sys, tensorflow_datasets as tfds, medical_images as mi
spec, data = sys.argv[1:]
loaded = mi.load_spec(spec)
class Lesions(mi.Builder):
    pass
given = loaded.spec.model_dump(by_alias=True, exclude_unset=True)
for kind, description in (("object", loaded.spec), ("mapping", given)):
    config = mi.MedicalImagesConfig(spec=description, root=loaded.root, num_workers=2)
    Lesions(config=config, data_dir=f"{data}/{kind}").download_and_prepare()
"""


def test_workers_of_a_notebook_know_all_that_they_need(spec, expected, tmp_path):
    """Builder and config are made in `__main__`, which no worker can import."""
    run_python(NOTEBOOK, spec, tmp_path)
    for kind in ("object", "mapping"):
        found = tree(tmp_path / kind / "lesions" / "mine" / "1.0.0")
        shards = {name for name in found if name.startswith(("lesions-", "index"))}
        assert len(shards) == 4
        for name in shards:
            assert found[name] == expected[name.replace("lesions", "medical_images")]


def test_a_worker_may_be_killed_by_the_system(spec, older, expected, tmp_path):
    """As when memory runs out: the build stops with plain words."""
    data = tmp_path / "data"
    shutil.copytree(older, data)
    status, said = in_child(build_with_mortal_worker, spec, data, "scanQZ05.png")
    assert status == 1, said
    assert re.search(r"^a worker process was killed.*memory", said, re.MULTILINE), said
    assert not re.search("Traceback|loky", said), said
    assert_discreet(said, data)
    assert_nothing_half_done(data, older, expected)
    status, said = in_child(build_by_command, spec, data)
    assert status == 0, said
    assert_nothing_half_done(data, older, expected)
    assert versions(data) == ["0.9.0", "1.0.0"]


def test_an_image_may_be_lost_while_shards_are_written(tmp_path):
    """The message names its row."""
    spec, data = write_corpus(tmp_path / "corpus"), tmp_path / "data"
    lose = functools.partial(os.remove, tmp_path / "corpus" / "images" / "scanQZ07.png")
    status, said = in_child(build_with_fault, lose, "tfrecord", ALL, build_by_command, spec, data)
    assert status == 1, said
    assert "scans.csv line 9: its image file cannot be read (FileNotFoundError)" in said
    assert "Traceback" not in said
    assert_discreet(said, data)
