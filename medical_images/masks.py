"""Masks: from files and from runs of pixels to label indices, and to what is written.

The numbers in a mask are labels and no brightness, so they are never computed with: the indices of
a palette are kept, and whatever could have changed an index is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medical_images.errors import ImageError
from medical_images.image_checks import check_png, check_size, opened
from medical_images.image_headers import read_header
from medical_images.image_kinds import kind_of
from medical_images.metadata_segments import ORIENTATION, PngParts, read_png
from medical_images.pixels import grey_step, misread, raw_mode
from medical_images.spec_images import MAX_PIXELS
from medical_images.spec_masks import MaskFeature, Runs

Mask = NDArray[np.uint8]

_NUMBER = re.compile(r"[0-9]{1,10}")
_NUM_SHOWN = 10


def mask_of_file(
    data: bytes | NDArray[Any], feature: MaskFeature, *, max_pixels: int = MAX_PIXELS
) -> Mask:
    """Returns the label indices of a mask's file.

    A palette gives its indices; grey of 2, 4, 8 and 16 bits gives its numbers as they stand in the
    file, and so do grey RGB and RGBA, if opaque. Of 1 bit, black is 0 and white 1. `map` of the
    feature is applied, and then each index must be one of 0 to 255, and one of `values`.

    Args:
      data: A PNG, TIFF, GIF or BMP file; or an array (of a container's member) of shape
        (height, width).
      feature: What the spec says of the mask.
      max_pixels: The largest mask accepted, width times height.

    Returns:
      (height, width), uint8.

    Raises:
      ImageError: `mask_unreadable`, whatever the bytes are. JPEG is refused (also within TIFF),
        as it does not keep numbers; so are several frames, coloured pixels, and pixels that are
        not opaque or not upright.

    Example:
      >>> import io
      >>> from PIL import Image
      >>> image = Image.new('P', (2, 1))
      >>> image.putpalette([0, 0, 0, 255, 0, 0])
      >>> image.putpixel((1, 0), 1)
      >>> file = io.BytesIO()
      >>> image.save(file, 'PNG')
      >>> lesion = MaskFeature(type='mask', path='{image_id}_mask.png', values=['skin', 'lesion'])
      >>> mask_of_file(file.getvalue(), lesion)
      array([[0, 1]], dtype=uint8)
    """
    try:
        numbers = data if isinstance(data, np.ndarray) else _numbers(data, max_pixels)
    except ImageError as error:
        if error.code == "mask_unreadable":
            raise
        raise _unreadable(str(error)) from None
    return _labels(numbers, feature)


def mask_of_files(
    files: Sequence[bytes | NDArray[Any] | None],
    feature: MaskFeature,
    *,
    max_pixels: int = MAX_PIXELS,
) -> Mask | None:
    """Returns the label indices that the files of one mask tell together.

    Args:
      files: One for each path of the feature, as in `mask_of_file`; None where there is no file.
      feature: What the spec says of the mask.
      max_pixels: The largest mask accepted, width times height.

    Returns:
      (height, width), uint8; None where there is no file at all.

    Raises:
      ImageError: As `mask_of_file`; `mask_size` where files are of different sizes, and
        `mask_unreadable` where they tell different indices of one pixel, or where one that is
        numbered holds several objects.

    Example:
      >>> lungs = MaskFeature(type='mask', path=['left/{id}.png', 'right/{id}.png'])
      >>> mask_of_files([np.array([[0, 0, 255]]), np.array([[1, 0, 0]])], lungs)
      array([[2, 0, 1]], dtype=uint8)
    """
    rule = feature.model_copy(update={"values": []}) if feature.is_numbered else feature
    whole: Mask | None = None
    for number, data in enumerate(files, 1):
        if data is None:
            continue
        labels = mask_of_file(data, rule, max_pixels=max_pixels)
        if feature.is_numbered:
            labels = _numbered(labels, number)
        whole = labels if whole is None else _united(whole, labels)
    return whole


def mask_of_runs(cells: Sequence[str], feature: MaskFeature, size: tuple[int, int]) -> Mask:
    """Returns the mask that the cells of an image's rows tell, together.

    A cell holds pairs of a start and a length, in numbers of pixels. Runs are in ascending order
    and do not overlap: cells that are read as something else than they are rarely look so.

    Args:
      cells: One for each row of the image; "" is missing, and adds nothing beside other cells.
      feature: What the spec says of the mask; it has `runs`.
      size: Width and height of the image, upright.

    Returns:
      (height, width), uint8: 1 in the runs, else 0.

    Raises:
      ImageError: `mask_missing` (all cells are missing, and the spec does not say `absent: empty`),
        `mask_size` (the runs are of images of another size) or `mask_unreadable`.

    Example:
      >>> ship = MaskFeature(type='mask', runs={'column': 'EncodedPixels'})
      >>> mask_of_runs(['1 2 6 1'], ship, (2, 3))
      array([[1, 0],
             [1, 0],
             [0, 1]], dtype=uint8)
    """
    runs = feature.runs
    if runs is None:
        raise ValueError("the feature has no runs")
    if runs.size is not None and size != (runs.size[1], runs.size[0]):
        raise ImageError("mask_size", f"{size[0]} x {size[1]}, and runs of {runs.size[::-1]}")
    empty = {"", *feature.missing} - set(runs.none)
    present = [cell for cell in cells if cell not in empty]
    if not present and feature.absent == "reject":
        raise ImageError("mask_missing")
    width, height = size
    flat = np.zeros(width * height, np.uint8)
    for cell in present:
        if cell not in runs.none:
            for start, end in _spans(cell, runs, flat.size):
                flat[start:end] = 1
    by_columns = runs.order == "columns"
    return np.ascontiguousarray(
        flat.reshape(width, height).T if by_columns else flat.reshape(height, width)
    )


def empty_mask(size: tuple[int, int]) -> Mask:
    """Returns the mask of an image without one, where the spec says `absent: empty`.

    Args:
      size: Width and height of the image, upright.

    Returns:
      (height, width), uint8; zeros.
    """
    return np.zeros((size[1], size[0]), np.uint8)


def _numbered(labels: Mask, number: int) -> Mask:
    """Returns the one object of a file as the file's number."""
    found = np.unique(labels[labels != 0])
    if found.size > 1:
        what = f"a file of several holds {', '.join(map(str, found[:_NUM_SHOWN]))}"
        raise _unreadable(f"{what}; 0 and one other number are expected; see `files:`, `map:`")
    return np.where(labels != 0, np.uint8(number), np.uint8(0))


def _united(one: Mask, other: Mask) -> Mask:
    if one.shape != other.shape:
        sizes = " and ".join(f"{mask.shape[1]} x {mask.shape[0]}" for mask in (one, other))
        raise ImageError("mask_size", f"its files are {sizes}")
    if ((one != 0) & (other != 0) & (one != other)).any():
        raise _unreadable("its files tell different indices of the same pixels")
    return np.maximum(one, other)


def _numbers(data: bytes, max_pixels: int) -> NDArray[Any]:
    """Returns what the file holds for each pixel, as (height, width) of any type."""
    kind = kind_of(data)
    if kind == "jpeg":
        raise _unreadable("it is JPEG, which does not keep numbers; save masks as PNG")
    if kind not in ("png", "tiff", "gif", "bmp"):
        raise _unreadable("it is not PNG, TIFF, GIF or BMP")
    header = read_png(data) if kind == "png" else read_header(data, kind)
    check_size(header.width, header.height, max_pixels)
    if isinstance(header, PngParts):
        if header.fault:
            raise _unreadable("the end of the image is missing")
        check_png(data, header)
    with opened(data, kind, num_pixels=header.width * header.height) as image:
        if image.info.get("compression") == "jpeg":
            raise _unreadable("it holds JPEG, which does not keep numbers")
        fault, raw = misread(image), raw_mode(image)
        if fault:
            raise _unreadable(fault)
        if raw.startswith("L;") and "I" in raw:
            raise _unreadable("0 is white in it, so its numbers have two meanings")
        step = grey_step(raw)
        image.load()
        if image.getexif().get(ORIENTATION, 1) not in (0, 1):
            raise _unreadable("its EXIF says that it is not upright")
        if image.mode in ("P", "1", "L", "I", "F") or image.mode.startswith("I;16"):
            return np.asarray(image) // step if step > 1 else np.asarray(image)
        if image.mode not in ("LA", "RGB", "RGBA"):
            raise _unreadable(f"pixels of kind {image.mode}")
        return _grey(np.asarray(image))


def _grey(channels: NDArray[Any]) -> NDArray[Any]:
    if channels.shape[2] in (2, 4) and (channels[:, :, -1] != 255).any():
        raise _unreadable("pixels are not opaque")
    first = channels[:, :, 0]
    if channels.shape[2] > 2:
        for other in (1, 2):
            if not np.array_equal(first, channels[:, :, other]):
                raise _unreadable("pixels are coloured; indices are expected")
    return first


def _labels(numbers: NDArray[Any], feature: MaskFeature) -> Mask:
    if numbers.ndim != 2 or not numbers.size or numbers.dtype.kind not in "buif":
        raise _unreadable(f"an array of {numbers.dtype.name} and shape {numbers.shape}")
    with np.errstate(invalid="ignore"):
        whole = numbers.astype(np.uint16)
    if not np.array_equal(whole, numbers):
        raise _unreadable("not all its pixels are whole numbers from 0 to 65535")
    table = np.arange(1 << 16)
    for there, here in feature.map.items():
        table[there] = here
    used = np.zeros(1 << 16, bool)
    used[whole] = True
    known = len(feature.values) or 256
    unknown = np.flatnonzero(used & (table >= known))
    if unknown.size:
        some = ", ".join(map(str, unknown[:_NUM_SHOWN]))
        more = ", ..." if unknown.size > _NUM_SHOWN else ""
        allowed = f"`values:` names 0 to {known - 1}" if feature.values else "0 to 255 are allowed"
        raise _unreadable(f"it holds {some}{more}; {allowed}; see `map:`")
    return table.astype(np.uint8)[whole]


def _spans(cell: str, runs: Runs, num_pixels: int) -> list[tuple[int, int]]:
    """Returns where the runs of a cell begin and end, from 0."""
    words = cell.split()
    if len(words) % 2 or not words:
        raise _unreadable("runs are pairs of a start and a length")
    if not all(_NUMBER.fullmatch(word) for word in words):
        raise _unreadable("runs are whole numbers")
    numbers = [int(word) for word in words]
    spans: list[tuple[int, int]] = []
    end = 0
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        begin = start + end if runs.relative and spans else start - runs.start
        if begin < end:
            raise _unreadable("a run begins before the end of another; see `relative:`, `start:`")
        end = begin + length
        spans.append((begin, end))
    if end > num_pixels:
        raise _unreadable("runs reach beyond the image; see `size:`, `relative:`, `start:`")
    return spans


def _unreadable(detail: str) -> ImageError:
    return ImageError("mask_unreadable", detail)
