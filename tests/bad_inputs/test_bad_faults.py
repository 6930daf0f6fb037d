"""Cases 44 to 52: faults while a dataset is written, and after."""

import importlib
import json
import re
import signal
import time
import traceback

import numpy as np
import pytest
import tensorflow_datasets as tfds
from conftest import build, run_python
from faults import (
    ALL,
    FORKED,
    TOKEN,
    WRITING,
    build_by_command,
    build_with_fault,
    build_with_mortal_worker,
    datasets,
    failing,
    in_child,
    killed,
    tree,
    versions,
)
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import medical_images as mi
from bad_inputs.corpora import LENIENT, by_command
from bad_inputs.image_files import dicom, encoded, jpeg, noise
from bad_inputs.report import case
from medical_images import beam_writing
from medical_images.build_lock import build_lock

FAULTS = "tests/test_faults.py"
A_SHARD, THE_INDEX = r"write .*tfrecord-00000", "open .*/index/"


@pytest.fixture
def undisturbed(corpus):
    """The files of a build that nothing disturbs."""
    corpus.spec["version"] = "0.9.0"
    assert corpus.build().status == 0  # an older version, to be kept
    corpus.spec["version"] = "1.0.0"
    assert corpus.build(into="undisturbed").status == 0
    return tree(datasets(corpus.folder / "undisturbed") / "1.0.0")


def with_fault(corpus, fault, at, kinds, *options):
    """Builds in a process of its own, with a fault at the first step that fits."""
    spec, data = corpus.write(), corpus.folder / "data"
    args = (build_with_fault, fault, at, kinds, build_by_command, spec, data, *options)
    status, said = in_child(*args)
    assert "Traceback" not in said, said
    told = [line for line in said.splitlines() if re.search("cannot be|refused", line)]
    return corpus.outcome(status, "\n".join(told), said.partition("\nsteps:")[0], data)


@case(
    44,
    "disk full / EIO at the n-th write",
    "exit != 0; no final dir; old version readable; rerun works",
    longer=f"{FAULTS}::test_each_step_of_writing_may_fail, test_a_disk_may_be_full",
)
def test_failed_write(corpus, undisturbed):
    older = tree(datasets(corpus.folder / "data") / "0.9.0")
    stopped = with_fault(corpus, failing, A_SHARD, WRITING)
    assert stopped.status == 1
    assert "cannot be written: Input/output error" in stopped.message
    found = datasets(stopped.data)
    assert not stopped.dataset.exists()
    assert tree(found / "0.9.0") == older
    assert mi.verify(tfds.builder("medical_images/mine", data_dir=stopped.data)) == []
    assert corpus.build().status == 0
    assert tree(found / "1.0.0") == undisturbed


@case(
    45,
    "kill -9 at the n-th step",
    "as 44; next run removes stale incomplete.* of a dead pid and says so",
    longer=f"{FAULTS}::test_a_build_may_be_killed_at_any_step",
)
def test_killed_build(corpus, undisturbed):
    older = tree(datasets(corpus.folder / "data") / "0.9.0")
    stopped = with_fault(corpus, killed, THE_INDEX, ALL)
    assert stopped.status == -signal.SIGKILL
    found = datasets(stopped.data)
    assert not (found / "1.0.0").exists()
    assert tree(found / "0.9.0") == older
    (left,) = (name for name in versions(stopped.data) if name.startswith("incomplete."))
    again = corpus.build()
    told = f"removed what stopped builds had left: {left}"
    assert (again.status, told in again.said) == (0, True), again.said
    corpus.seen.note(f"“{told}”")
    assert versions(stopped.data) == ["0.9.0", "1.0.0"]
    assert tree(found / "1.0.0") == undisturbed


def hold(dataset, is_held):
    with build_lock(dataset):
        is_held.set()
        time.sleep(120)


@case(
    46,
    "two builds at once",
    'second stops at once "locked by pid/host since"; stale lock broken safely',
    longer="tests/test_build_lock.py",
)
def test_two_builds(corpus):
    dataset, is_held = datasets(corpus.folder / "data") / "1.0.0", FORKED.Event()
    first = FORKED.Process(target=hold, args=(dataset, is_held))
    first.start()
    try:
        assert is_held.wait(60)
        began = time.monotonic()
        second = corpus.build()
        assert time.monotonic() - began < 20
        assert second.status == 1
        by = rf"is being built already, by process {first.pid} of \S+ since \d{{4}}-"
        assert re.search(by, second.message), second.message
        lock = dataset.with_name(".1.0.0.lock")
        assert second.files_written() == [lock]
    finally:
        first.kill()
        first.join()
    assert lock.exists()
    assert corpus.build().status == 0
    assert versions(corpus.folder / "data") == ["1.0.0"]


@case(
    47,
    "overwrite whose build fails",
    "old dataset untouched",
    longer=f"{FAULTS}::test_an_overwrite_may_fail_at_any_step",
)
def test_failed_overwrite(corpus):
    before = tree(corpus.build().dataset)
    corpus.files["images/scanQZ03.png"] = encoded(noise(seed=3, height=20))
    stopped = with_fault(corpus, failing, A_SHARD, WRITING, "--overwrite")
    assert (stopped.status, tree(stopped.dataset)) == (1, before)
    corpus.files["images/scanQZ03.png"] = b"<html>not found</html>"
    refused = corpus.build("--overwrite")
    assert (refused.status, tree(refused.dataset)) == (2, before)


def change_a_cell(corpus):
    corpus.rows[3]["dx"] = "nv"
    return "the table or list 'scans.csv' has changed"


def add_an_image(corpus):
    corpus.files["images/scanQZ99.png"] = encoded(noise(seed=99))
    return "there are 13 image files, and there were 12"


def lengthen_an_image(corpus):
    corpus.files["images/scanQZ03.png"] = encoded(noise(seed=3, height=20))
    return "image files have other names or sizes"


def change_the_spec(corpus):
    corpus.spec["seed"] = 1
    return "the spec differs from that of the dataset"


@case(
    48,
    "input changed, same version",
    'REFUSE "inputs differ from manifest"',
    longer=f"{FAULTS}::test_inputs_that_changed_are_refused_by_name",
)
@pytest.mark.parametrize(
    "change", [change_a_cell, add_an_image, lengthen_an_image, change_the_spec]
)
def test_changed_input(corpus, change):
    data = corpus.build().data
    before, told = tree(data), change(corpus)
    again = corpus.build()
    assert again.status == 2
    assert "Inputs differ from what" in again.message
    assert told in again.message
    assert "raise its `version:`, or overwrite" in again.message
    assert tree(data) == before


@case(
    49,
    "Beam DoFn fails once / bundle repeated",
    "same records, no duplicates",
    longer=f"{FAULTS}::test_a_bundle_that_beam_repeats_writes_nothing_twice",
)
def test_repeated_bundle(corpus, monkeypatch):
    expected = tree(datasets(corpus.build().data) / "1.0.0")
    write_shards, write_once = beam_writing.write_shards, beam_writing.write_once
    failed = []

    def fail_once(task, **kwargs):
        result = write_once(task, **kwargs)
        if not failed:
            failed.append(task)
            raise ConnectionError("the worker is lost")
        return result

    def repeated(tasks, **kwargs):
        monkeypatch.setattr(beam_writing, "write_once", fail_once)
        with pytest.raises(Exception, match="the worker is lost"):
            write_shards(tasks, **kwargs)
        return write_shards([*tasks, *tasks], **kwargs)[: len(tasks)]

    monkeypatch.setattr(beam_writing, "write_shards", repeated)
    data = corpus.folder / "by_beam"
    build(corpus.write(), data, engine="beam", beam_runner="FnApiRunner")
    assert failed
    assert tree(datasets(data) / "1.0.0") == expected
    said = "".join(corpus.capture.readouterr())
    corpus.outcome(0, "", said, data)
    corpus.seen.note("all files are those of a local build")


@case(49, "bad inputs, by Beam", "same records, same rejects")
def test_bad_inputs_by_beam(corpus):
    spoil_everything(corpus)
    local = corpus.build(rejects=LENIENT)
    data = corpus.folder / "by_beam"
    build(corpus.write(), data, engine="beam", beam_runner="FnApiRunner")
    by_beam = corpus.outcome(0, "", "".join(corpus.capture.readouterr()), data)
    assert by_beam.rejects == local.rejects
    assert tree(by_beam.dataset) == tree(local.dataset)


NOTEBOOK = """
import sys, medical_images as mi
spec, data = sys.argv[1:]
loaded = mi.load_spec(spec)
class Lesions(mi.Builder):
    pass
config = mi.MedicalImagesConfig(spec=loaded.spec, root=loaded.root, num_workers=2)
builder = Lesions(config=config, data_dir=data)
builder.set_by_hand = lambda: None  # what cannot be sent to a worker
builder.download_and_prepare()
print("built")
"""


@case(
    50,
    "spawned workers, builder in notebook",
    "no state lost, clear error",
    longer=f"{FAULTS}::test_workers_of_a_notebook_know_all_that_they_need",
)
def test_notebook(corpus):
    expected = tree(datasets(corpus.build().data) / "1.0.0")
    data = corpus.folder / "notebook"
    said = run_python(NOTEBOOK, corpus.write(), data)
    assert said.endswith("built\n")
    found = tree(data / "lesions" / "mine" / "1.0.0")
    shards = {name for name in found if name.startswith(("lesions-", "index"))}
    assert len(shards) == 4
    for name in shards:
        assert found[name] == expected[name.replace("lesions", "medical_images")]
    corpus.seen.note("all shards are those of a build by one process")


@case(50, "a worker of a notebook is killed", "clear error")
def test_killed_worker(corpus):
    spec, data = corpus.write(), corpus.folder / "data"
    status, said = in_child(build_with_mortal_worker, spec, data, "scanQZ05.png")
    (told,) = (line for line in said.splitlines() if line.startswith("a worker process"))
    stopped = corpus.outcome(status, told, said, data)
    assert stopped.status == 1
    assert "killed, by the system perhaps because memory ran out" in told
    assert not re.search("Traceback|loky", said), said
    assert not stopped.dataset.exists()


def plant(corpus):
    """Tokens in metadata of image files, in a file that is none, and in cells and names."""
    exif, told = Image.Exif(), PngInfo()
    exif[0x013B], exif[0x010E] = "surnameQZ03", "bornQZ03"  # artist, description
    told.add_text("Patient", "patientQZ04")
    corpus.replace(3, jpeg(exif=exif, comment=b"surnameQZ03"), "jpg")
    corpus.files["images/scanQZ04.png"] = encoded(noise(seed=4), pnginfo=told)
    for path in ("images/scanQZ03.jpg", "images/scanQZ04.png"):
        assert TOKEN.search(corpus.files[path].decode("latin-1"))


@case(51, "planted PHI tokens, build succeeds", "in no log, dataset_info, shard")
def test_tokens_of_a_good_build(corpus):
    plant(corpus)
    corpus.assert_written()
    np.testing.assert_array_equal(corpus.pixels(jpegs=[3])[4], noise(seed=4))


def spoil_everything(corpus):
    plant(corpus)
    corpus.files["images/scanQZ05.png"] = b"%PDF surnameQZ05 bornQZ05"
    corpus.replace(6, b"", "png")
    corpus.replace(7, jpeg()[:900] + b"surnameQZ07", "jpg")
    del corpus.files["images/scanQZ08.png"]
    corpus.rows[9]["dx"] = ""
    corpus.rows[10]["number"] = "bornQZ10"
    corpus.rows.append({**corpus.rows[0], "dx": "nv"})


@case(51, "any failure above, with planted PHI tokens", "tokens in no log, exception, shard")
def test_tokens_of_failures(corpus):
    """All tests of cases see that a build tells of no patient; here, many things are wrong."""
    spoil_everything(corpus)
    assert corpus.build().status == 2
    accepted = corpus.build(rejects=LENIENT)
    assert accepted.status == 0
    assert set(accepted.splits()) == {1, 2, 3, 4, 11}
    codes = {"conflict", "empty", "image_missing", "label_missing", "not_an_image", "truncated"}
    assert {code for _, code in accepted.counts} == codes | {"value_invalid"}
    assert TOKEN.search((corpus.root / "mine.rejects.csv").read_text(encoding="utf-8"))


def dicom_of(number, **elements):
    return dicom(noise(channels=0, seed=number, dtype=np.uint16) >> 4, **elements)


DAMAGED = {
    "cut": lambda: dicom_of(4)[:-50],
    "with text burned in": lambda: dicom_of(4, BurnedInAnnotation="YES"),
    "with a token for a number": lambda: dicom_of(4, RescaleSlope="1").replace(
        b"DS\x02\x001 ", b"DS\x0a\x00bornQZ04  "
    ),
}


@case(51, "DICOM files with planted PHI tokens", "tokens in no log, exception, warning, shard")
@pytest.mark.parametrize("name", DAMAGED)
def test_tokens_of_dicom(corpus, caplog, recwarn, name):
    """Read by the program itself, an exception is shown with all that led to it."""
    for k, row in enumerate(corpus.rows):
        corpus.replace(k, dicom_of(k, PatientName=row["surname"], PatientID=row["patient"]), "dcm")
    corpus.spec["images"] |= {"channels": 1, "window": [2048, 4096]}
    corpus.assert_written()
    corpus.files["images/scanQZ04.dcm"] = DAMAGED[name]()
    assert TOKEN.search(corpus.files["images/scanQZ04.dcm"].decode("latin-1"))
    with pytest.raises(mi.RejectedError, match=r"1 row \(line 6\)") as caught:
        build(corpus.write(), corpus.folder / "by_program", workers=1)
    told = "".join(traceback.format_exception(caught.value)) + caplog.text
    told += "".join(str(warning.message) for warning in recwarn)
    assert not TOKEN.search(told), told
    corpus.outcome(2, str(caught.value), told, corpus.folder / "by_program")


def flip(shard):
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    return "is damaged: its checksum is not that of what was written"


def cut(shard):
    size = shard.stat().st_size
    shard.write_bytes(shard.read_bytes()[:-7])
    return f"has {size - 7:,} bytes; {size:,} were written"


def lose(shard):
    shard.unlink()
    return "is missing, or cannot be read"


@case(
    52,
    "shard bit flip, cut, missing",
    "`verify` names the shard; counts and sha256 in manifest",
    longer="tests/test_verify.py",
)
@pytest.mark.parametrize("damage", [flip, cut, lose])
def test_damaged_shard(corpus, damage):
    result = corpus.build()
    manifest = json.loads((result.dataset / "manifest.json").read_text(encoding="utf-8"))
    name = "medical_images-train.tfrecord-00000-of-00001"
    assert manifest["files"][name]["examples"] == result.builder().info.splits["train"].num_examples
    assert set(manifest["files"][name]) - {"examples", "bytes"} in ({"crc32c"}, {"sha256"})
    assert by_command("verify", str(result.dataset))[0] == 0
    told = damage(result.dataset / name)
    corpus.capture.readouterr()
    status, _ = by_command("verify", str(result.dataset))
    said = corpus.capture.readouterr().err
    assert (status, f"{name} {told}" in said) == (1, True), said
    line = next(line for line in said.splitlines() if name in line)
    corpus.seen.note(f"verify: exit {status}; “{line.strip()}”")


def test_each_of_the_52_cases_has_a_test():
    found = set()
    for name in ("files", "tables", "paths", "faults"):
        module = importlib.import_module(f"bad_inputs.test_bad_{name}")
        found |= {one.case.number for one in vars(module).values() if hasattr(one, "case")}
    assert found == set(range(1, 53))
