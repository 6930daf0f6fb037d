"""One build of a dataset at a time."""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import json
import os
import pathlib
import socket
from collections.abc import Iterator
from typing import TextIO

from medical_images.errors import BuildError
from medical_images.paths import is_remote

_NOT_OFFERED = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


@contextlib.contextmanager
def build_lock(dataset: str | os.PathLike[str]) -> Iterator[None]:
    """Holds the lock of a dataset while it is written.

    The lock is the operating system's (`flock`) on a hidden file beside the dataset: it ends with
    the process that holds it, however that ends, so none is ever stale. Remote folders have none,
    nor have some file systems of clusters, which is told.

    Args:
      dataset: The folder of the dataset that is to be built.

    Raises:
      BuildError: Another process is building it; the message tells which, where and since when.
    """
    path = _lock_path(dataset)
    if path is None:
        yield
        return
    folder = pathlib.Path(path).parent
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(path, dataset) as file:
        since = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        json.dump({"pid": os.getpid(), "host": socket.gethostname(), "since": since}, file)
        file.flush()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.unlink(path)
            with contextlib.suppress(OSError):  # they are not empty
                for one in made:
                    one.rmdir()


def _lock_path(dataset: str | os.PathLike[str]) -> str | None:
    folder, name = os.path.split(os.fspath(dataset))
    return None if is_remote(folder) else os.path.join(folder, f".{name}.lock")


@contextlib.contextmanager
def _locked(path: str, dataset: str | os.PathLike[str]) -> Iterator[TextIO]:
    while True:
        with open(path, "a+", encoding="utf-8") as file:
            _lock(file, dataset)
            # Who held it before may have removed the file between the two lines above.
            if os.path.exists(path) and os.path.samestat(os.stat(path), os.fstat(file.fileno())):
                file.truncate(0)
                yield file
                return


def _lock(file: TextIO, dataset: str | os.PathLike[str]) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        what = f"{os.fspath(dataset)} is being built already, {_holder(file)}"
        raise BuildError(what) from None
    except OSError as error:
        if error.errno not in _NOT_OFFERED:
            raise
        print(
            f"the file system of {os.fspath(dataset)} has no locks; do not build this dataset"
            " twice at a time"
        )


def _holder(file: TextIO) -> str:
    """Says who holds a lock; for a moment the file does not tell yet."""
    file.seek(0)
    try:
        told = json.loads(file.read())
        return f"by process {told['pid']} of {told['host']} since {told['since']}"
    except (ValueError, KeyError):
        return "by another process, since this moment"
