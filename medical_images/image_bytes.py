"""Image files: read, ahead of need where storage is slow, and made ready to be written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from medical_images import members
from medical_images.errors import BuildError, ChangedError, ImageError
from medical_images.paths import is_remote
from medical_images.prepared_image import Prepared, prepare
from medical_images.read_ahead import map_files
from medical_images.remote import storage_errors
from medical_images.spec import CorpusSpec
from medical_images.spec_images import Images


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


class Source(NamedTuple):
    """What a file holds.

    Attributes:
      data: Its bytes; or pixels, of a file that holds many images as arrays; or why it must not be
        read.
      modified: When the file was changed last, in nanoseconds; 0 of remote files.
      name: The path of the file that was read.
      frame: Which of its frames is meant; see `members.frame_of`.
    """

    data: bytes | np.ndarray | ImageError
    modified: int
    name: str
    frame: int | None


def read_source(file: ImageOfRow, root: str, spec: CorpusSpec) -> Source:
    """Reads an image file.

    Args:
      file: Which.
      root: The corpus root.
      spec: What it says of images.

    Raises:
      ChangedError: It is gone, or not as long as it was when the corpus was listed. The message
        names its row, not the file.
      BuildError: It cannot be read now.
    """
    modified = modified_at(file.path, root, spec.images)
    name, frame = members.frame_of(root, file.path, spec.images)
    size = file.num_bytes if frame is None else None  # of a frame, that is its share of the file
    try:
        data = members.read(root, file.path, spec.images, num_bytes=size)
    except ImageError as error:
        return Source(error, modified, name, frame)
    except storage_errors() as error:
        kind = ChangedError if isinstance(error, FileNotFoundError) else BuildError
        raise kind(_fault_of(file, f"cannot be read ({type(error).__name__})")) from None
    if isinstance(data, bytes) and size is not None and len(data) != size:
        what = f"has {len(data):,} bytes, and had {file.num_bytes:,} when the corpus was listed"
        raise ChangedError(_fault_of(file, what))
    return Source(data, modified, name, frame)


def iter_sources(files: Sequence[ImageOfRow], root: str, spec: CorpusSpec) -> Iterator[Source]:
    """Yields what files hold, in their order; where storage is slow, they are read ahead.

    Raises:
      BuildError: See `read_source`; when the image's turn comes.
    """
    return map_files(
        lambda file: read_source(file, root, spec),
        files,
        num_bytes=lambda file: file.num_bytes,
        is_remote=is_remote(root),
    )


def prepare_image(source: Source, spec: CorpusSpec) -> Prepared:
    """Checks an image, and makes it what the spec declares.

    Args:
      source: What the file holds.
      spec: What it says of images and of privacy.

    Raises:
      ImageError: It cannot be used.
    """
    if isinstance(source.data, ImageError):
        raise source.data
    strip = spec.privacy.strip_metadata
    return prepare(source.data, spec.images, name=source.name, strip=strip, frame=source.frame)


def modified_at(path: str, root: str, images: Images) -> int:
    """Returns when an image file was changed last, in nanoseconds; 0 of remote and lost files."""
    if is_remote(root):
        return 0
    try:
        return os.stat(os.path.join(root, members.split(path, images)[0])).st_mtime_ns
    except OSError:
        return 0


def _fault_of(file: ImageOfRow, what: str) -> str:
    return f"{file.table} line {file.line}: its image file {what}"
