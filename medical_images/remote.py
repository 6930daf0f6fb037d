"""Folders of object stores, which have no folders: a name is all that puts a file in one.

They are reached through TFDS's path layer, etils.epath. It asks TensorFlow, or fsspec where
EPATH_USE_TF is false, and neither asks a store as sparingly as the two together let it.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent import futures
from typing import Any, BinaryIO, NamedTuple, cast

from etils import epath

from medical_images.paths import is_remote

_NUM_THREADS, _BUFFER_BYTES = 32, 1 << 20
_PACKAGES = {"gs": "gcsfs", "s3": "s3fs", "az": "adlfs", "hf": "huggingface_hub"}
_OWN_ERRORS = (  # of libraries that do not raise OSError
    ("tensorflow.python.framework.errors_impl", "OpError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("gcsfs.retry", "HttpError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("azure.core.exceptions", "AzureError"),
    ("aiohttp", "ClientError"),
)


class Entry(NamedTuple):
    """A file or a folder in a folder.

    Attributes:
      path: Relative to the folder that was listed.
      num_bytes: The size of a file; None of a folder.
    """

    path: str
    num_bytes: int | None


def storage_errors(*others: type[Exception]) -> tuple[type[Exception], ...]:
    """Returns what a failing storage may raise: OSError, and the errors of libraries in use.

    Args:
      others: Further errors, for one `except` of all.

    Example:
      >>> try:
      ...     _ = epath.Path('/no/such/file').read_bytes()
      ... except storage_errors() as error:
      ...     print(type(error).__name__)
      FileNotFoundError
    """
    modules = ((sys.modules.get(module), name) for module, name in _OWN_ERRORS)
    found = (getattr(module, name) for module, name in modules if hasattr(module, name))
    return (OSError, *others, *found)


def in_words(error: BaseException) -> str:
    """Says what a storage complains of. What libraries say may name a patient's file.

    Example:
      >>> in_words(OSError(5, 'Input/output error', 'patient.png')), in_words(OSError('patient'))
      ('Input/output error', 'OSError')
    """
    return getattr(error, "strerror", None) or type(error).__name__


def why_unreachable(path: str | os.PathLike[str]) -> tuple[str, str] | None:
    """Asks once for a remote path; returns what is wrong and what to do, None where nothing is.

    Whether something stands there is not told. Local paths are not asked for.
    """
    if not is_remote(path):
        return None
    scheme = os.fspath(path).partition("://")[0]
    if scheme not in _PACKAGES:
        known = ", ".join(f"{name}://" for name in _PACKAGES)
        return f"{scheme}:// is not known", f"known are {known}"
    try:
        forget_listings(epath.Path(path))
        epath.Path(path).exists()
    except storage_errors(ImportError, NotImplementedError) as error:
        what = f"cannot be asked for: {type(error).__name__}: {str(error)[:300]}"
        if isinstance(error, ImportError) or type(error).__name__ == "UnimplementedError":
            package = _PACKAGES[scheme]
            return what, f"install {package} and set EPATH_USE_TF=false in the environment"
        return what, "see docs/remote.md about credentials"
    return None


def read_file(path: epath.Path, *, num_bytes: int) -> bytes:
    """Reads a remote file with as few requests as the store allows.

    Args:
      path: Which.
      num_bytes: How long it is said to be.

    Returns:
      All of it; of a longer one at least a byte more than was said.

    Raises:
      OSError: Or another of `storage_errors`.
    """
    if (store := _store(path)) is not None:
        # An end that is given spares it the question for the size.
        return bytes(store.cat_file(os.fspath(path), start=0, end=num_bytes + 1))
    with path.open("rb") as file:
        return bytes(file.read(num_bytes + 1))


@contextlib.contextmanager
def open_to_read(path: epath.Path) -> Iterator[BinaryIO]:
    """Opens a file, local or remote, as Python's libraries expect one; TensorFlow's has less.

    Example:
      >>> import io, tempfile
      >>> file = epath.Path(tempfile.mkdtemp()) / 'some'
      >>> _ = file.write_bytes(b'one line')
      >>> with open_to_read(file) as opened:
      ...     io.TextIOWrapper(opened).read()
      'one line'
    """
    with path.open("rb") as file:
        if isinstance(file, io.IOBase):
            yield cast(BinaryIO, file)
        else:
            with io.BufferedReader(_Raw(file), _BUFFER_BYTES) as opened:
                yield cast(BinaryIO, opened)


@contextlib.contextmanager
def open_to_write(path: epath.Path) -> Iterator[BinaryIO]:
    """Opens a file to be written from its beginning to its end; see `open_to_read`."""
    with path.open("wb") as file:
        if isinstance(file, io.IOBase):
            yield cast(BinaryIO, file)
        else:
            with io.BufferedWriter(_Raw(file, is_written=True), _BUFFER_BYTES) as opened:
                yield cast(BinaryIO, opened)


def size_of(path: epath.Path) -> int:
    """Returns the bytes of a file; unlike epath's `stat`, without asking who owns it.

    In a container the owner may be unknown, for which epath has no answer.
    """
    return int(path.stat().length) if is_remote(path) else os.stat(path).st_size


def changed_at(path: epath.Path) -> float:
    """Returns when a file or folder was changed last, in seconds; see `size_of`."""
    return float(path.stat().mtime) if is_remote(path) else os.stat(path).st_mtime


def forget_listings(path: epath.Path) -> None:
    """Drops the listings that fsspec keeps; other processes write too."""
    if (store := _store(path)) is not None:
        store.invalidate_cache()


def list_folder(folder: epath.Path) -> list[Entry]:
    """Lists a remote folder, as it is now.

    Where the store can be asked so, one request (for each thousand files) tells all sizes; else
    many are under way at once.

    Raises:
      OSError: Or another of `storage_errors`.
    """
    forget_listings(folder)
    if (store := _store(folder)) is None:
        children = list(folder.iterdir())
        with futures.ThreadPoolExecutor(_NUM_THREADS) as pool:
            told = list(pool.map(lambda child: child.stat(), children))
        return [
            Entry(child.name, None if one.is_directory else int(one.length))
            for child, one in zip(children, told, strict=True)
        ]
    return _entries(store.ls(os.fspath(folder), detail=True), folder, store)


def files_below(folder: epath.Path) -> list[Entry]:
    """Lists the files of a remote folder and of all those in it, as they are now.

    Returns:
      In no order; none where the folder does not exist.

    Raises:
      OSError: Or another of `storage_errors`.
    """
    if (store := _store(folder)) is not None:
        forget_listings(folder)
        return _entries(store.find(os.fspath(folder), detail=True).values(), folder, store)
    found: list[Entry] = []
    pending = [""] if folder.is_dir() else []
    while pending:
        at = pending.pop()
        for name, num_bytes in list_folder(folder / at):
            path = f"{at}/{name}" if at else name
            if num_bytes is None:
                pending.append(path)
            else:
                found.append(Entry(path, num_bytes))
    return found


def move_folder(folder: epath.Path, target: epath.Path, *, last: str) -> None:
    """Moves the files of a remote folder to another, inside the store.

    All are copied before any is removed, so that nothing is lost if this ends halfway.

    Args:
      folder: Is gone afterwards.
      target: Where nothing stands.
      last: The file that is copied after all others; where it stands, all of them do.

    Raises:
      OSError: Or another of `storage_errors`; the folder is as it was.
    """
    names = [entry.path for entry in files_below(folder)]
    _copy(folder, target, [name for name in names if name != last])
    _copy(folder, target, [name for name in names if name == last])
    with contextlib.suppress(*storage_errors()):  # what is left is found by the next build
        folder.rmtree(missing_ok=True)
    forget_listings(folder)


def remove_folder(folder: epath.Path, *, first: str) -> None:
    """Removes a remote folder, if it exists.

    Args:
      folder: Which.
      first: The file that is removed before all others; where it stands, all of them do.
    """
    (folder / first).unlink(missing_ok=True)
    forget_listings(folder)
    folder.rmtree(missing_ok=True)
    forget_listings(folder)


def _copy(folder: epath.Path, target: epath.Path, names: list[str]) -> None:
    if not names:
        return
    if (store := _store(folder)) is not None:
        sources = [os.fspath(folder / name) for name in names]
        store.copy(sources, [os.fspath(target / name) for name in names], on_error="raise")
        return
    for parent in sorted({(target / name).parent for name in names}):
        parent.mkdir(parents=True, exist_ok=True)
    with futures.ThreadPoolExecutor(_NUM_THREADS) as pool:
        list(pool.map(lambda name: (folder / name).copy(target / name, overwrite=True), names))


class _Raw(io.RawIOBase):
    """A file of TensorFlow."""

    def __init__(self, file: Any, *, is_written: bool = False) -> None:
        self._file, self._is_written = file, is_written

    def readable(self) -> bool:
        return not self._is_written

    def writable(self) -> bool:
        return self._is_written

    def seekable(self) -> bool:
        return not self._is_written

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        self._file.write(bytes(data))
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._file.seek(offset, whence)
        return self.tell()

    def tell(self) -> int:
        return int(self._file.tell())


def _store(path: epath.Path) -> Any:
    """Returns fsspec's file system of a remote path; None where epath asks TensorFlow."""
    find = getattr(getattr(path, "_backend", None), "fs", None)
    return find(path) if find else None


def _entries(told: Iterable[dict[str, Any]], folder: epath.Path, store: Any) -> list[Entry]:
    """Takes over fsspec's listing, but for the folder itself and empty files that stand for one."""
    base = store._strip_protocol(os.fspath(folder)).rstrip("/") + "/"
    found = []
    for one in told:
        path = one["name"].removeprefix(base)
        if path and path != one["name"] and not path.endswith("/"):
            found.append(Entry(path, None if one["type"] == "directory" else int(one["size"])))
    return found
