"""Two builds of one dataset at once: the second stops, and says who is at it."""

import os
import signal
import subprocess
import sys

import pytest
from conftest import build

import medical_images as mi
from medical_images.build_lock import build_lock, refuse_locked

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
        with build_lock(dataset), pytest.raises(mi.BuildError, match=f"by process {os.getpid()}"):
            refuse_locked(dataset)
        refuse_locked(dataset)
        assert list(tmp_path.iterdir()) == []
