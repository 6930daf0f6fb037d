"""What the headers of image files tell: sizes in pixels, and fields of DICOM files."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from typing import BinaryIO, TypeVar

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from medical_images.errors import ImageError
from medical_images.image_checks import unlimited
from medical_images.image_kinds import LOOKED_AT, kind_of, other_image
from medical_images.images import none_unread
from medical_images.members import frame_of, is_member, open_file, read
from medical_images.metadata_segments import read_orientation
from medical_images.remote import storage_errors
from medical_images.spec import CorpusSpec
from medical_images.spec_images import Images
from medical_images.spec_parts import DICOM, HEADER_FAULT

Fact = TypeVar("Fact")


def facts_of_files(
    root: str, files: pd.DataFrame, spec: CorpusSpec
) -> dict[str, np.ndarray | pd.Series[str]]:
    """Reads from the headers of files what the spec needs of them.

    Args:
      root: The corpus root.
      files: What `images.list_images` returns, or a part of it.
      spec: Boxes need sizes in pixels; columns may be derived from fields of DICOM files.

    Returns:
      {column: a value for each file}: with boxes `width` and `height` (see `read_pixel_sizes`);
      with fields `dicom.<keyword>` for each, empty where it cannot be read, and `header_fault`: why
      the header cannot be read (a code), or empty; so it is of images of other kinds.

    Raises:
      BuildError: Files cannot be read.
    """
    found: dict[str, np.ndarray | pd.Series[str]] = {}
    inside = (files["fault"] == "").to_numpy(dtype=bool)  # all else is never opened
    paths = files["path"][inside].tolist()
    if spec.boxes is not None:
        sizes = np.zeros((len(files), 2), dtype=np.int64)
        sizes[inside] = read_pixel_sizes(root, paths, spec.images)
        found |= {"width": sizes[:, 0], "height": sizes[:, 1]}
    if spec.dicom_fields:
        told = iter(_read_fields(root, paths, spec))
        lines = [next(told) if is_inside else {} for is_inside in inside]
        for name in (*(DICOM + keyword for keyword in spec.dicom_fields), HEADER_FAULT):
            texts = [line.get(name, "") for line in lines]
            found[name] = pd.Series(texts, index=files.index, dtype="str")
    return found


def read_pixel_sizes(root: str, paths: Sequence[str], images: Images) -> np.ndarray:
    """Reads widths and heights of images, as they are after EXIF's orientation was applied.

    Args:
      root: The corpus root.
      paths: Paths relative to it.
      images: `orientation`, and what `members.read` needs.

    Returns:
      int64 array of shape (files, 2): width and height in pixels, 0 where a file is none of an
      image, or is gone.

    Raises:
      BuildError: Files cannot be read.
    """

    def size_of(path: str) -> tuple[int, int]:
        with _open(root, path, images) as file:
            return file.shape[1::-1] if isinstance(file, np.ndarray) else _size_of(file, images)

    sizes = _each(size_of, paths, default=(0, 0), so_that="sizes in pixels are not known")
    return np.array(sizes, dtype=np.int64).reshape(-1, 2)


def _read_fields(root: str, paths: Sequence[str], spec: CorpusSpec) -> list[dict[str, str]]:
    def fields(path: str) -> dict[str, str]:
        try:
            with _open(root, path, spec.images) as file:
                return {} if isinstance(file, np.ndarray) else _fields_of(file, spec)
        except ImageError as error:
            return {HEADER_FAULT: error.code}

    names = [frame_of(root, path, spec.images)[0] for path in paths]
    files = list(dict.fromkeys(names))  # that of many frames is read once
    so_that = "fields of DICOM files are not known"
    found: list[dict[str, str]] = _each(fields, files, default={}, so_that=so_that)
    told = dict(zip(files, found, strict=True))
    return [told[name] for name in names]


def _each(
    work: Callable[[str], Fact], paths: Sequence[str], *, default: Fact, so_that: str
) -> list[Fact]:
    """Returns what work finds in each file, the default where it is none of an image or gone."""

    def found(path: str) -> Fact | Exception:
        try:
            return work(path)
        except (
            FileNotFoundError,
            ImageError,
            UnidentifiedImageError,
            Image.DecompressionBombError,
        ):
            return default
        except storage_errors(ValueError, SyntaxError) as error:
            # Of a header that ends too early, Pillow says so by an OSError without a number.
            is_pillow = type(error) is OSError and error.errno is None
            return default if is_pillow or isinstance(error, ValueError | SyntaxError) else error

    with futures.ThreadPoolExecutor() as pool:
        return none_unread(list(pool.map(found, paths)), so_that=so_that)


def _fields_of(file: BinaryIO, spec: CorpusSpec) -> dict[str, str]:
    """Returns `dicom.<keyword>` of each field; nothing of an image of another kind."""
    from medical_images.dicom.headers import check_preamble, fields_of

    head = file.read(LOOKED_AT)
    kind = kind_of(head)
    if kind is None:
        raise ImageError("unsupported" if other_image(head) else "not_an_image")
    if kind != "dicom":
        return {}
    check_preamble(head, spec.images)
    told = fields_of(file, [*spec.dicom_fields, "Rows"])
    if not told["Rows"]:
        raise ImageError("dicom_no_pixels")
    return {DICOM + keyword: told[keyword] for keyword in spec.dicom_fields}


def _size_of(file: BinaryIO, images: Images) -> tuple[int, int]:
    if kind_of(file.read(LOOKED_AT)) == "dicom":
        from medical_images.dicom.headers import size_of

        return size_of(file)
    try:
        return _upright_size(file, images)
    except Image.DecompressionBombError:  # the writing of the shards holds it against `max_pixels`
        with unlimited():
            return _upright_size(file, images)


def _upright_size(file: BinaryIO, images: Images) -> tuple[int, int]:
    file.seek(0)
    with Image.open(file) as image:
        # As `prepared_image.prepare` reads EXIF; Pillow looks elsewhere too, and turns TIFF itself.
        exif = image.info.get("exif", b"").removeprefix(b"Exif\0\0")
        is_turned = image.format != "TIFF" and read_orientation(exif)[0] > 4
        width, height = image.size
    return (height, width) if is_turned and images.orientation == "apply" else (width, height)


@contextmanager
def _open(root: str, path: str, images: Images) -> Iterator[BinaryIO | np.ndarray]:
    """Yields the file that holds an image, or an array."""
    path, _ = frame_of(root, path, images)
    if is_member(root, path, images):
        found = read(root, path, images)
        yield io.BytesIO(found) if isinstance(found, bytes) else found
    else:
        with open_file(root, path) as file:
            yield file
