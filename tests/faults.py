"""Builds in processes of their own, with faults at chosen steps; and a corpus to do it with.

Processes are forked from one that has imported all, so that they start at once and can be killed.
The names of image files and the cells that the spec does not name hold tokens: whatever a build
says and leaves must not tell of a patient.
"""

import builtins
import ctypes
import errno
import functools
import io
import json
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import re
import shutil
import signal
import stat
import sys
import tempfile
import threading
from concurrent import futures

import numpy as np
import pandas as pd
import pytest
import tensorflow_datasets as tfds
from conftest import build
from PIL import Image

import medical_images as mi
from medical_images import cli

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(
    [
        *("hypothesis", "pytest", "PIL.Image", "medical_images.medical_images_dataset_builder"),
        *("medical_images.cli", "medical_images.verification", "medical_images.local_engine"),
    ]
)
ONE_THREAD = threading.Lock()  # to start a process is to look at those of other threads
TOKEN = re.compile(r"(?:scan|born|surname|patient)QZ\d\d")
SPEC = """\
name: mine
version: {version}
tables: [{{path: scans.csv}}]
images: {{path: "images/{{scan}}.png"}}
features:
  label: {{column: dx, type: class, values: [nv, mel]}}
  age: {{type: float}}
supervised: label
group: patient
splits: {{train: 0.75, test: 0.25}}
"""


def write_corpus(folder, *, num_images=12, version="1.0.0"):
    """Writes a corpus whose tokens tell of patients; returns its spec."""
    (folder / "images").mkdir(parents=True)
    lines = ["scan,patient,surname,born,dx,age"]
    random = np.random.default_rng(0)
    for k in range(num_images):
        pixels = random.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"scanQZ{k:02}.png")
        cells = (f"{name}QZ{k // 2:02}" for name in ("patient", "surname", "born"))
        lines.append(f"scanQZ{k:02},{','.join(cells)},{('nv', 'mel')[k % 4 == 0]},{40 + k}")
    (folder / "scans.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    spec = folder / "corpus.yaml"
    spec.write_text(SPEC.format(version=version), encoding="utf-8")
    return spec


def tree(folder):
    """The bytes of all files below a folder."""
    paths = (path for path in pathlib.Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def dataset_of(folder):
    """The bytes of a dataset, without results, which a build removes last of all."""
    found = tree(folder)
    return {name: content for name, content in found.items() if not name.startswith("results")}


def datasets(data):
    return pathlib.Path(data) / "medical_images" / "mine"


def assert_discreet(said, data):
    """Neither words nor files tell of a patient; only the index (and its parts) holds groups.

    What Beam works with may, in a folder for its owner only.
    """
    assert not TOKEN.findall(said), said
    private = [path for path in pathlib.Path(data).rglob("incomplete*") if is_private(path)]
    for name, content in tree(data).items() if pathlib.Path(data).exists() else ():
        if any(path in (pathlib.Path(data) / name).parents for path in private):
            continue
        text = name + content.decode("latin-1")
        if name.endswith(".parquet") and "incomplete" not in name:
            text += pd.read_parquet(pathlib.Path(data) / name).to_csv()
        found = set(TOKEN.findall(text))
        if name.endswith((".parquet", ".arrow")):
            found = {token for token in found if not token.startswith("patient")}
        assert not found, name


def is_private(path):
    return stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def in_child(work, *args):
    """Runs work in a process of its own; returns its exit status and all that it said."""
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as said:
        process = FORKED.Process(target=_speaking_to, args=(said.name, work, args))
        with ONE_THREAD:
            process.start()
        if not multiprocessing.connection.wait([process.sentinel], 120):
            process.kill()
            pytest.fail(f"hangs: {said.read()}")
        with ONE_THREAD:
            process.join()
            return process.exitcode, said.read()


def _speaking_to(path, work, args):
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    work(*args)


def build_by_command(spec, data, *options):
    sys.argv = ["medical-images", "build", str(spec), "--data-dir", str(data), "--workers", "1"]
    sys.argv += options
    cli.main()


def build_by_beam(spec, data):
    build(spec, data, beam_runner="FnApiRunner", num_shards=2)


def build_in_four(spec, data):
    build(spec, data, workers=1, num_shards=4)


def build_with_mortal_worker(spec, data, fatal):
    """Builds by two workers; the one that opens the file of that name is killed by the system."""
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "sitecustomize.py").write_text(MORTAL.format(fatal=fatal))
        os.environ["PYTHONPATH"] = f"{folder}:{os.environ.get('PYTHONPATH', '')}"
        build_by_command(spec, data, "--workers", "2")


MORTAL = """\
import os, signal, sys
def heard(event, args):
    if event == "open" and str(args[0]).endswith("{fatal}"):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(heard)
"""


def build_on_full_disks(spec, older, expected, data, num_sizes, *options):
    """Builds on disks from nearly nothing to nearly enough, then again when there is more room.

    Ends with status 77 where no file system may be mounted.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def mount(size, flags=0):
        told = f"size={size}".encode()
        return libc.mount(b"none", os.fsencode(data), b"tmpfs", flags, told) == 0

    def outcome():
        try:
            build_by_command(spec, data, *options)
        except SystemExit as end:
            return end.code or 0

    user, group = os.getuid(), os.getgid()
    is_alone = libc.unshare(NEW_MOUNTS | (NEW_USER if user else 0)) == 0
    if is_alone and user:
        for name, line in {"setgroups": "deny", "uid_map": user, "gid_map": group}.items():
            number = f"{line} {line} 1" if name != "setgroups" else line
            pathlib.Path("/proc/self", name).write_text(number)
    data.mkdir()
    if not is_alone or libc.mount(b"none", b"/", None, PRIVATE, None) or not mount("64m"):
        sys.exit(77)
    shutil.copytree(older, data, dirs_exist_ok=True)
    least = _used(data)
    assert outcome() == 0
    most, step = _used(data), os.sysconf("SC_PAGE_SIZE")
    for size in np.linspace(least + step, most - step, num_sizes):
        libc.umount2(os.fsencode(data), DETACH)
        assert mount(int(size) // step * step)
        shutil.copytree(older, data, dirs_exist_ok=True)
        assert outcome() == 1, size
        assert_discreet("", data)
        assert_nothing_half_done(data, older, expected)
        assert not (datasets(data) / "1.0.0").exists()
        assert mount("64m", REMOUNT)
        assert outcome() == 0
        assert_nothing_half_done(data, older, expected)
        assert versions(data) == ["0.9.0", "1.0.0"]
        print("\nthe disk was full, once more")


NEW_MOUNTS, NEW_USER, PRIVATE, REMOUNT, DETACH = 0x20000, 0x10000000, 0x44000, 0x20, 2


def _used(folder):
    told = os.statvfs(folder)
    return (told.f_blocks - told.f_bfree) * told.f_frsize


def versions(data):
    return sorted(path.name for path in datasets(data).iterdir())


def assert_nothing_half_done(data, older, expected):
    """The older version is there, and the new one is whole or not there, for TFDS too."""
    assert tree(datasets(data) / "0.9.0") == tree(datasets(older) / "0.9.0")
    new = datasets(data) / "1.0.0"
    assert not new.exists() or dataset_of(new) == expected
    found = tfds.builder("medical_images/mine", data_dir=data)
    assert str(found.version) == ("1.0.0" if new.exists() else "0.9.0")
    assert mi.verify(found) == []


class Steps:
    """Counts the steps that change what is below a folder; a fault strikes at one of them.

    It is given by its number, or by an expression that it is the first to match.

    Steps are files opened for writing, writes (the system's own calls, so that no buffer hides
    them), folders made, renames and removals. A write that is struck writes half of its bytes.
    """

    EVENTS = ("open", "mkdir", "rename", "remove", "rmdir")

    def __init__(self, folder, *, at=None, fault=lambda: None, kinds=("write", *EVENTS)):
        self._folder, self._at, self._fault, self._kinds = str(folder), at, fault, kinds
        self.taken = []
        real_writev, real_open = os.writev, builtins.open

        def writev(descriptor, parts):
            half = functools.partial(real_writev, descriptor, parts[: len(parts) // 2])
            self.step("write", os.readlink(f"/proc/self/fd/{descriptor}"), half)
            return real_writev(descriptor, parts)

        def open_(file, mode="r", buffering=-1, *args, **kwargs):
            if set(mode).isdisjoint("wax+") or not str(file).startswith(self._folder):
                return real_open(file, mode, buffering, *args, **kwargs)
            raw = _Raw(file, re.sub("[bt]", "", mode), self.step)
            if buffering == 0:
                return raw
            buffered = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, *args, **kwargs)

        os.writev, builtins.open, io.open = writev, open_, open_
        sys.addaudithook(self._heard)

    def step(self, kind, path, half=lambda: None):
        if kind in self._kinds and str(path).startswith(self._folder):
            self.taken.append(f"{kind} {os.path.relpath(path, self._folder)}")
            is_named = isinstance(self._at, str) and re.search(self._at, self.taken[-1])
            if is_named or len(self.taken) - 1 == self._at:
                self._at = None
                half()
                self._fault()

    def _heard(self, event, args):
        kind = event.removeprefix("os.")
        if kind in self.EVENTS and isinstance(args[0], str | os.PathLike):
            path = os.fspath(args[0])
            if kind in ("remove", "rmdir") and args[1] != -1:  # as shutil.rmtree removes
                path = os.path.join(os.readlink(f"/proc/self/fd/{args[1]}"), path)
            if kind == "open":
                changes = args[2] & (os.O_WRONLY | os.O_RDWR)
            else:
                changes = os.path.lexists(path) == (kind != "mkdir")
            if changes:
                self.step(kind, path)


class _Raw(io.FileIO):
    def __init__(self, file, mode, step):
        super().__init__(file, mode)
        self._step = step

    def write(self, data):
        self._step("write", self.name, lambda: super(_Raw, self).write(data[: len(data) // 2]))
        return super().write(data)


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def failing():
    raise OSError(errno.EIO, os.strerror(errno.EIO))


WRITING = ("open", "write", "mkdir", "rename")
REMOVING = ("remove", "rmdir")
ALL = ("write", *Steps.EVENTS)


def build_with_fault(fault, at, kinds, make, *args):
    """Builds with a fault at the given step; tells the steps that were taken."""
    steps = Steps(args[1], at=at, fault=fault, kinds=kinds)
    try:
        make(*args)
    finally:
        print("\nsteps:", json.dumps(steps.taken))


def steps_of(kinds, make, *args):
    """The steps of a build that nothing disturbs."""
    status, said = in_child(build_with_fault, None, None, kinds, make, *args)
    assert status == 0, said
    return json.loads(said.rpartition("steps:")[2])


def at_once(function, cases):
    """Tries all cases, two at a time; they wait for their processes."""
    with futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(function, cases))
