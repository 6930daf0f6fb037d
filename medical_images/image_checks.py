"""Whether the pixels of an image can be decoded, and are all there.

JPEG is decoded by `simplejpeg`, which takes each warning of libjpeg for a fault; other decoders
fill what is damaged with grey and say nothing. An image is decoded at an eighth of its size: its
code is read in whole, and only the transformation of blocks, where no fault can come up, is saved.
Pixels of PNG are inflated and their sum and filters looked at, which is all that can be wrong.
"""

from __future__ import annotations

import functools
import importlib
import io
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medical_images.errors import ImageError
from medical_images.image_kinds import Kind
from medical_images.metadata_segments import JpegParts, PngParts

_ADAM7 = (  # of each pass: first column and row, and steps to the next
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
_MAX_FILTER = 4
_PIECE = 1 << 16  # of compressed bytes; they give at most a thousand times as many
_LIMIT_OF_PILLOW = Image.MAX_IMAGE_PIXELS or 0  # from here on it warns, then it raises
_PILLOW = threading.Lock()


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raises ImageError `too_large` where an image has more pixels than accepted.

    Example:
      >>> check_size(65500, 65500, 100_000_000)
      Traceback (most recent call last):
      medical_images.errors.ImageError: too_large: it has 65500 x 65500 pixels
    """
    if width * height > max_pixels:
        raise ImageError("too_large", f"it has {width} x {height} pixels")


def is_strictly_checked(parts: JpegParts) -> bool:
    """Tells whether `is_sound_jpeg` can be asked: `simplejpeg` is installed and knows the kind."""
    return parts.usual and _simplejpeg() is not None


def is_sound_jpeg(data: bytes, parts: JpegParts) -> bool:
    """Tells whether a strict decoder finds no fault in a JPEG file.

    Args:
      data: The file.
      parts: Its parts; `is_strictly_checked` holds for them.
    """
    try:
        _simplejpeg().decode_jpeg(
            data,
            colorspace="CMYK" if parts.components == 4 else "GRAY",
            min_height=1,
            min_width=1,
            min_factor=8,
        )
    except ValueError:
        return False
    return True


def check_png(data: bytes, parts: PngParts) -> None:
    """Raises ImageError `corrupt` where the pixels of a PNG file are not all there, or damaged.

    Args:
      data: The file.
      parts: Its parts. The sums of chunks are not looked at again.
    """
    inflated = _inflated(data, parts)
    block = np.empty(0, np.uint8)
    for length, rows in _passes(parts):
        left = length * rows
        while left:
            if not block.size:
                block = next(inflated, block)
                if not block.size:
                    raise ImageError("corrupt", "it has fewer pixels than it says")
            done = length * rows - left
            part, block = block[:left], block[left:]
            if part[-done % length :: length].max(initial=0) > _MAX_FILTER:
                raise ImageError("corrupt", "its pixels are of an unknown filter")
            left -= part.size
    if block.size or next(inflated, block).size:
        raise ImageError("corrupt", "it has more pixels than it says")


@contextmanager
def opened(data: bytes, kind: Kind, *, num_pixels: int = 0) -> Iterator[Image.Image]:
    """Opens an image by Pillow, and gives what its decoder raises the code of a reject.

    Args:
      data: The file.
      kind: Its kind. Pillow takes it for no other.
      num_pixels: Its size, where it is known to be accepted; then Pillow's own limit is lifted.

    Yields:
      The image, not loaded yet.

    Raises:
      ImageError: `truncated` or `corrupt`, where it cannot be opened, or decoded by what is done
        with it.
    """
    try:
        with (
            unlimited() if num_pixels > _LIMIT_OF_PILLOW else nullcontext(),
            Image.open(io.BytesIO(data), formats=(kind.upper(),)) as image,
        ):
            yield image
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise whatever damaged bytes lead them to
        ends = isinstance(error, OSError) and "truncated" in str(error)
        raise ImageError("truncated" if ends else "corrupt", "it cannot be decoded") from None


@contextmanager
def unlimited() -> Iterator[None]:
    """Lifts Pillow's limit of pixels, to open what is held against `max_pixels` otherwise."""
    with _PILLOW:  # the limit is the same for all threads
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


@functools.cache
def _simplejpeg() -> Any:
    try:
        return importlib.import_module("simplejpeg")
    except ImportError:
        return None


def _inflated(data: bytes, parts: PngParts) -> Iterator[NDArray[np.uint8]]:
    """Yields the pixels of a PNG file, as filtered, in blocks that take little memory."""
    inflater = zlib.decompressobj()
    for start, end in parts.pixels:
        for at in range(start, end, _PIECE):
            try:
                block = inflater.decompress(data[at : min(at + _PIECE, end)])
            except zlib.error:
                raise ImageError("corrupt", "its pixels cannot be inflated") from None
            if block:
                yield np.frombuffer(block, np.uint8)
    if not inflater.eof or inflater.unused_data:
        raise ImageError("corrupt", "its pixels end too early, or other bytes follow")


def _passes(parts: PngParts) -> Iterator[tuple[int, int]]:
    """Yields what is stored one after the other: the bytes of a row, and how many rows."""
    passes = _ADAM7 if parts.interlaced else ((0, 0, 1, 1),)
    for left, top, across, down in passes:
        width = (parts.width - left + across - 1) // across
        height = (parts.height - top + down - 1) // down
        if width > 0 and height > 0:
            yield 1 + (width * parts.bits * parts.samples + 7) // 8, height
