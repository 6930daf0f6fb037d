"""Two builds of one dataset at once: the second stops, and says who is at it."""

import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest
from conftest import build

import medical_images as mi
from medical_images import medical_images_dataset_builder
from medical_images.build_lock import build_lock

HOLD = """
import sys, time
from medical_images.build_lock import build_lock
with build_lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of the dataset that `build` would write."""
    dataset = tmp_path / "medical_images" / "mine" / "1.0.0"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(dataset)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_second_build_stops_and_names_the_first(holder, phantom_corpus, tmp_path):
    with pytest.raises(mi.BuildError, match=rf"built already, by process {holder.pid} of .* since"):
        build(phantom_corpus, tmp_path)
    folder = tmp_path / "medical_images" / "mine"
    assert [path.name for path in folder.iterdir()] == [".1.0.0.lock"]


def test_lock_of_a_killed_build_holds_nobody_up(holder, phantom_corpus, tmp_path):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    builder = build(phantom_corpus, tmp_path)
    assert builder.is_prepared()
    folder = tmp_path / "medical_images" / "mine"
    assert [path.name for path in folder.iterdir()] == ["1.0.0"]


def test_a_lock_ends_with_its_build_and_makes_way_for_the_next(tmp_path):
    dataset = tmp_path / "1.0.0"
    for _ in range(2):
        with build_lock(dataset):
            with pytest.raises(mi.BuildError, match=f"by process {os.getpid()}"):
                build_lock(dataset).__enter__()
            assert [path.name for path in tmp_path.iterdir()] == [".1.0.0.lock"]
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_locks_are_not_offered_it_is_told_once(
    phantom_corpus, tmp_path, monkeypatch, capsys, number
):
    def refused(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refused)
    builder = build(phantom_corpus, tmp_path, max_examples_per_split=5)
    assert builder.is_prepared()
    assert capsys.readouterr().out.count("has no locks; do not build this dataset twice") == 1
    assert [path.name for path in builder.data_path.parent.iterdir()] == ["1.0.0"]


def test_a_dataset_that_another_build_makes_in_between_is_taken_for_built(
    phantom_corpus, tmp_path, monkeypatch
):
    """The second build asked for a dataset before the first had made it."""
    made = []

    def late(folder):
        monkeypatch.undo()
        made.append(build(phantom_corpus, tmp_path, max_examples_per_split=5))
        return build_lock(folder)

    monkeypatch.setattr(medical_images_dataset_builder, "build_lock", late)
    builder = build(phantom_corpus, tmp_path, file_format="array_record")
    assert builder.info.splits["train"].num_examples == 5
    assert builder.info.file_format == made[0].info.file_format
    assert len(list(builder.as_dataset(split="train"))) == 5
