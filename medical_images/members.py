"""Images that stand in files which stand as folders, such as `images.zip/1.png`, and all others.

Nothing is unpacked to disk. A file is entered only where a path template does so by its extension
(see `medical_images.template`); whatever else lies about stays a plain file. Members of members are
read too, if a template enters both.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import io
import os
import re
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from typing import BinaryIO, cast

import numpy as np
from etils import epath

from medical_images.containers.container import Container, Member
from medical_images.containers.dicom import DicomContainer
from medical_images.containers.hdf5 import Hdf5Container
from medical_images.containers.nifti import NiftiContainer
from medical_images.containers.zip import ZipContainer
from medical_images.errors import ImageError
from medical_images.opening import open_below
from medical_images.paths import is_remote
from medical_images.remote import open_to_read, read_file
from medical_images.spec_images import Images
from medical_images.template import CONTAINER_EXTENSIONS, DICOM_EXTENSIONS, PathTemplate

_KINDS: Mapping[tuple[str, ...], type[Container]] = {
    (".zip",): ZipContainer,
    (".h5", ".hdf5"): Hdf5Container,
    (".nii", ".nii.gz"): NiftiContainer,
    DICOM_EXTENSIONS: DicomContainer,
}
_MOST_OPEN, _MOST_HELD = 64, 1 << 30  # containers, and bytes of memory
_REMOTE_SECONDS = 60  # until a remote container is looked at anew
_CUT = re.compile(rf"(?i:{'|'.join(map(re.escape, CONTAINER_EXTENSIONS))})(?=/)")


def is_container(path: str, images: Images) -> bool:
    """Tells whether a path template enters the file of this path, if it is one.

    Example:
      >>> images = Images(path='part_*.zip/{image_id}.png')
      >>> is_container('part_1.zip', images), is_container('old.zip', images)
      (True, False)
    """
    return path.lower().endswith(CONTAINER_EXTENSIONS) and any(
        template.file_keys(path) for template in _entered(tuple(images.path), images.frames)
    )


def split(path: str, images: Images) -> tuple[str, ...]:
    """Cuts a path behind each container in it.

    Example:
      >>> split('a/part_1.zip/b/1.png', Images(path='a/part_*.zip/**/{image_id}.png'))
      ('a/part_1.zip', 'b/1.png')
    """
    if not _entered(tuple(images.path), images.frames):
        return (path,)
    ends = [cut.end() for cut in _CUT.finditer(path) if is_container(path[: cut.end()], images)]
    begins = [0, *(end + 1 for end in ends)]
    return tuple(path[begin:end] for begin, end in zip(begins, [*ends, len(path)], strict=True))


def read(
    root: str, path: str, images: Images, *, num_bytes: int | None = None
) -> bytes | np.ndarray:
    """Reads an image, wherever it stands.

    Args:
      root: The corpus root, local or remote.
      path: Relative to it, as it was listed.
      images: The path templates, `frames`, `axis` and `max_pixels`.
      num_bytes: How long a file is said to be. It spares a request to a store, and of a longer file
        one byte more is read.

    Returns:
      The bytes of its file; those of the whole file for a frame of a DICOM file (see `frame_of`).
      Or the array of an HDF5 or NIfTI file: (height, width) or (height, width, channels), of the
      type it is stored in; of a NIfTI file, scaled as that says.

    Raises:
      ImageError: It cannot be used, or leads out of the root.
      OSError: Or another of `remote.storage_errors`; a FileNotFoundError where it is gone.
    """
    *outer, name = _located(root, path, images)
    if outer:
        return _opened(root, tuple(outer), images).read(name)
    most = -1 if num_bytes is None else num_bytes + 1
    if is_remote(root):
        file_path = epath.Path(root) / path
        return file_path.read_bytes() if most < 0 else read_file(file_path, num_bytes=most - 1)
    with os.fdopen(open_below(root, path), "rb", buffering=0) as file:
        return _read_all(file, most)


def _read_all(file: io.FileIO, most: int) -> bytes:
    """Reads a file by one request, if the system gives it all."""
    size = os.fstat(file.fileno()).st_size + 1
    parts = [file.read(size if most < 0 else min(size, most)) or b""]
    while parts[-1] and (most < 0 or sum(map(len, parts)) < most):
        parts.append(file.read(1 << 20 if most < 0 else most - sum(map(len, parts))) or b"")
    return b"".join(parts) if any(parts[1:]) else parts[0]


@contextlib.contextmanager
def open_file(root: str, path: str) -> Iterator[BinaryIO]:
    """Opens a file, local or remote, to read parts of it.

    Args:
      root: The corpus root.
      path: Relative to it; not that of a member.

    Raises:
      ImageError: A local path leads out of the root, or to no file; see `opening.open_below`.
      OSError: Or another of `remote.storage_errors`.
    """
    if is_remote(root):
        with open_to_read(epath.Path(root) / path) as file:
            yield file
    else:
        with os.fdopen(open_below(root, path), "rb") as local:
            yield cast(BinaryIO, local)


def frame_of(root: str, path: str, images: Images) -> tuple[str, int | None]:
    """Returns the path of the file that `read` reads, and which of its frames is meant.

    Returns:
      The path, and the frame, from 0; None where the file is meant as it is.
    """
    *outer, name = _located(root, path, images)
    if outer and outer[-1].lower().endswith(DICOM_EXTENSIONS):
        return "/".join(outer), int(name) - 1
    return path, None


def is_member(root: str, path: str, images: Images) -> bool:
    """Tells whether an image is part of a file."""
    return len(_located(root, path, images)) > 1


def list_container(root: str, path: str, images: Images) -> Iterator[Member]:
    """Yields what is in a container; hidden members, and macOS's own, are passed over.

    A container that cannot be read is told by a member of this fault, without a name.

    Raises:
      SpecError: The library that reads it is not installed.
      OSError: Or another of `remote.storage_errors`.
    """
    yield from _members(root, (path,), images)


def _members(root: str, outer: tuple[str, ...], images: Images) -> Iterator[Member]:
    try:
        for member in _opened(root, outer, images).members():
            if any(part.startswith(".") and part != ".." for part in member.name.split("/")):
                continue
            if not member.fault and is_container("/".join((*outer, member.name)), images):
                for inner in _members(root, (*outer, member.name), images):
                    name = f"{member.name}/{inner.name}" if inner.name else member.name
                    yield inner._replace(name=name)
            else:
                yield member
    except ImageError as error:
        yield Member("", 0, error.code)


@functools.lru_cache(maxsize=16)
def _entered(paths: tuple[str, ...], frames: str) -> tuple[PathTemplate, ...]:
    """Returns the templates of the containers that path templates enter."""
    containers = [c for path in paths for c in PathTemplate(path).containers]
    if frames == "all":
        return tuple(containers)
    return tuple(c for c in containers if not c.text.lower().endswith(DICOM_EXTENSIONS))


def _located(root: str, path: str, images: Images) -> tuple[str, ...]:
    """Returns `split`, but folders that are named like containers are no containers."""
    parts = split(path, images)
    while len(parts) > 1 and _is_folder(root, parts[0]):
        parts = (f"{parts[0]}/{parts[1]}", *parts[2:])
    return parts


def _is_folder(root: str, path: str) -> bool:
    return (
        _is_far_folder(root, path) if is_remote(root) else os.path.isdir(os.path.join(root, path))
    )


@functools.lru_cache(maxsize=4096)
def _is_far_folder(root: str, path: str) -> bool:
    return bool((epath.Path(root) / path).is_dir())


_containers: collections.OrderedDict[tuple[object, ...], Container] = collections.OrderedDict()
_lock = threading.RLock()


def _opened(root: str, outer: tuple[str, ...], images: Images) -> Container:
    """Returns a container, which stays open for a while."""
    key = (os.getpid(), root, outer, images.axis, images.max_pixels, _version_of(root, outer[0]))
    with _lock:
        found = _containers.get(key)
        if found is None:
            found = _containers[key] = _open(root, outer, images)
        _containers.move_to_end(key)
        held = sum(container.num_held for container in _containers.values())
        while len(_containers) > 1 and (len(_containers) > _MOST_OPEN or held > _MOST_HELD):
            held -= _containers.popitem(last=False)[1].num_held
        return found


def _version_of(root: str, path: str) -> tuple[int, ...]:
    """Tells a file from what stood in its place before."""
    if is_remote(root):
        return (int(time.monotonic() // _REMOTE_SECONDS),)
    told = os.stat(os.path.join(root, path))
    return told.st_ino, told.st_size, told.st_mtime_ns


def _open(root: str, outer: tuple[str, ...], images: Images) -> Container:
    with contextlib.ExitStack() as stack:
        file: BinaryIO
        if len(outer) > 1:
            data = _opened(root, outer[:-1], images).read(outer[-1])
            if not isinstance(data, bytes):
                raise ImageError("unsupported")
            file = io.BytesIO(data)
        else:
            file = stack.enter_context(open_file(root, outer[0]))
        kind = next(k for ends, k in _KINDS.items() if outer[-1].lower().endswith(ends))
        container = kind(file, images)
        weakref.finalize(container, stack.pop_all().close)  # when nobody reads from it any more
        return container
