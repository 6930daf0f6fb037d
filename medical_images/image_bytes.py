"""The bytes of image files: read, looked at, and read ahead of need where storage is slow."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pandas as pd
from etils import epath

from medical_images.errors import BuildError, ImageError
from medical_images.paths import is_remote
from medical_images.read_ahead import map_files
from medical_images.remote import read_file, storage_errors
from medical_images.spec_parts import Images

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"


class ImageOfRow(NamedTuple):
    """Where an image is, and where the row stands that names it.

    Attributes:
      path: Relative to the corpus root.
      num_bytes: The size that the listing told.
      table: The table of the row.
      line: And its line.
    """

    path: str
    num_bytes: int
    table: str
    line: int


def files_of(records: pd.DataFrame) -> list[ImageOfRow]:
    """Returns the files of records, in their order."""
    columns = (records[name].tolist() for name in ImageOfRow._fields)
    return list(map(ImageOfRow, *columns))


class ImageBytes(NamedTuple):
    """What a file holds.

    Attributes:
      data: Its bytes.
      modified: When it was changed last, in nanoseconds; 0 of remote files.
    """

    data: bytes
    modified: int


def read_image(file: ImageOfRow, root: str, images: Images) -> ImageBytes:
    """Reads the bytes of an image.

    Args:
      file: Which.
      root: The corpus root.
      images: The declared channels and type of pixels.

    Raises:
      ImageError: The file is gone, is not as long as it was when the corpus was listed, or would
        not be decoded to what is declared. The message names its row, not the file.
      BuildError: It cannot be read now.
    """
    try:
        data, modified = _read(os.path.join(root, file.path), file.num_bytes)
    except storage_errors() as error:
        kind = ImageError if isinstance(error, FileNotFoundError) else BuildError
        raise kind(_fault_of(file, f"cannot be read ({type(error).__name__})")) from None
    if len(data) != file.num_bytes:
        what = f"has {len(data):,} bytes, and had {file.num_bytes:,} when the corpus was listed"
        raise ImageError(_fault_of(file, what))
    if data.startswith(_PNG):
        if data[24:25] == b"\x10" and images.dtype == "uint8":
            raise ImageError(_fault_of(file, "has 16 bits; set `images: {dtype: uint16}`"))
    elif not data.startswith(_JPEG):
        raise ImageError(_fault_of(file, "is not JPEG or PNG"))
    elif images.channels == 4 or images.dtype == "uint16":
        what = f"is JPEG, which has no {images.channels} channels of {images.dtype}"
        raise ImageError(_fault_of(file, what))
    return ImageBytes(data, modified)


def modified_at(path: str, root: str) -> int:
    """Returns when an image file was changed last, in nanoseconds; 0 of remote and lost files."""
    if is_remote(root):
        return 0
    try:
        return os.stat(os.path.join(root, path)).st_mtime_ns
    except OSError:
        return 0


def iter_images(files: Sequence[ImageOfRow], root: str, images: Images) -> Iterator[ImageBytes]:
    """Yields the bytes of images, in their order; where storage is slow, they are read ahead.

    Raises:
      BuildError: See `read_image`; when the image's turn comes.
    """
    return map_files(
        lambda file: read_image(file, root, images),
        files,
        num_bytes=lambda file: file.num_bytes,
        is_remote=is_remote(root),
    )


def _read(path: str, num_bytes: int) -> ImageBytes:
    if is_remote(path):
        return ImageBytes(read_file(epath.Path(path), num_bytes=num_bytes), 0)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        told = os.fstat(descriptor)
        parts = [os.read(descriptor, told.st_size + 1)]
        while parts[-1] and sum(map(len, parts)) < told.st_size:  # a read may be cut short
            parts.append(os.read(descriptor, told.st_size))
    finally:
        os.close(descriptor)
    return ImageBytes(b"".join(parts) if len(parts) > 1 else parts[0], told.st_mtime_ns)


def _fault_of(file: ImageOfRow, what: str) -> str:
    return f"{file.table} line {file.line}: its image file {what}"
