"""Folders of texts, one a row: the reading of each image, the report of each study."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from etils import epath

from medical_images.errors import ImageError
from medical_images.opening import open_below
from medical_images.paths import is_remote
from medical_images.remote import files_below, in_words, read_file, storage_errors

_MOST_BYTES = 1 << 24
_PARTS = re.compile(r"(\*\*/|\*)")


class TextError(ValueError):
    """A text cannot be read; told by its number, as its name may be that of a patient."""


def is_pattern(path: str) -> bool:
    """Tells whether a path stands for many files."""
    return "*" in path


def read_texts(root: str | os.PathLike[str], pattern: str) -> Iterator[tuple[str, bytes]]:
    """Yields path (below the root) and bytes of each file that fits a pattern, sorted by path.

    Args:
      root: The corpus root.
      pattern: A path below it. `*` stands for anything inside one part, `**/` for any folders.
        Files and folders that begin with a dot are passed over, and so are links to folders.

    Raises:
      TextError: A folder cannot be listed, or a file cannot be read, is no regular file below the
        root, or has more than 16 MiB.

    Example:
      >>> import tempfile
      >>> folder = epath.Path(tempfile.mkdtemp())
      >>> (folder / 'read').mkdir()
      >>> _ = (folder / 'read' / '7.txt').write_text('male, 45 years')
      >>> list(read_texts(folder, 'read/*.txt'))
      [('read/7.txt', b'male, 45 years')]
    """
    parts = pattern.split("/")
    first = next(number for number, part in enumerate(parts) if "*" in part)
    top = "/".join(parts[:first])
    fits = re.compile("".join(map(_as_regex, _PARTS.split(pattern)))).fullmatch
    try:
        names = sorted(name for name in _files(os.fspath(root), top) if fits(name))
    except storage_errors() as error:
        raise TextError(f"a folder cannot be listed ({in_words(error)})") from None
    for number, name in enumerate(names, start=1):
        try:
            data = _read(os.fspath(root), name)
        except storage_errors(ImageError) as error:
            what = str(error) if isinstance(error, ImageError) else in_words(error)
            raise TextError(f"file {number} of those that fit cannot be read: {what}") from None
        if len(data) > _MOST_BYTES:
            raise TextError(f"file {number} of those that fit has more than {_MOST_BYTES:,} bytes")
        yield name, data


def _as_regex(part: str) -> str:
    return {"**/": "(?:[^/]+/)*", "*": "[^/]*"}.get(part) or re.escape(part)


def _files(root: str, top: str) -> Iterator[str]:
    for name in _below(epath.Path(root) / top) if is_remote(root) else _walk(f"{root}/{top}"):
        if not any(part.startswith(".") for part in name.split("/")):
            yield f"{top}/{name}" if top else name


def _below(folder: epath.Path) -> Iterator[str]:
    yield from (name for name, _ in files_below(folder))


def _walk(folder: str) -> Iterator[str]:
    def stop(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    for at, _, names in os.walk(folder, onerror=stop):
        below = os.path.relpath(at, folder)
        for name in names:
            yield name if below == "." else f"{below}/{name}"


def _read(root: str, name: str) -> bytes:
    if is_remote(root):
        return read_file(epath.Path(root) / name, num_bytes=_MOST_BYTES)
    with open(open_below(root, name), "rb") as file:
        return file.read(_MOST_BYTES + 1)
