"""Perceptual hashes: what an image looks like, in 255 bits. Pure.

The bits are the signs of the lowest frequencies of a small grey copy (as pHash has them, with four
times as many). They stay nearly the same when an image is compressed, scaled, or made lighter. Of
images whose bits are nearly the same, the frequencies themselves tell copies from images of one
kind. In the spectrum a turn or a reflection only changes signs and exchanges rows for columns, so
that the hash of a turned image is had from that of the image.
"""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import fft

from medical_images.image_checks import unlimited

NUM_BYTES = 32
_KINDS = ("JPEG", "PNG")
NUM_TURNS = 8  # four turns, each also reflected
_SIDE = 64  # of the grey copy, in pixels
_FEW = 4  # times as large copies are made in whole numbers first, which is faster
WAVES = 16  # frequencies each way; a cross would be lost in fewer, noise would count in more
_LEAST_CONTRAST = 1 / 255  # standard deviation as a part of the lightest pixel


class ImageHash(NamedTuple):
    """What is known of an image.

    Attributes:
      bits: What it looks like, `NUM_BYTES` bytes.
      waves: Its lowest frequencies, which have the signs that `bits` tell: float16 of shape
        (WAVES, WAVES), of length 1.
      digest: Of its bytes, 64 bits.
      is_flat: Whether it is of one colour, so that `bits` mean nothing.
    """

    bits: bytes
    waves: npt.NDArray[np.float16]
    digest: int
    is_flat: bool


def hash_of(data: bytes) -> ImageHash:
    """Hashes an image of a dataset.

    Args:
      data: A whole JPEG or PNG file.

    Raises:
      OSError: It is none, or it is damaged. Pillow has other errors of damaged PNG files too.

    Example:
      >>> file = io.BytesIO()
      >>> Image.new('L', (80, 60), 7).save(file, 'png')
      >>> hash_of(file.getvalue()).is_flat
      True
    """
    digest = int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
    grey = _small_grey(data)
    waves = fft.dctn(grey, norm="ortho")[:WAVES, :WAVES]
    is_flat = bool(grey.std() < _LEAST_CONTRAST * max(float(grey.max()), 1e-9))
    waves[0, 0] = 0  # how light the image is
    length = max(float(np.linalg.norm(waves)), 1e-9)
    return ImageHash(
        _packed(waves[None])[0].tobytes(), (waves / length).astype(np.float16), digest, is_flat
    )


def turned(bits: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Returns the hashes that images would have if they were turned or reflected.

    Args:
      bits: uint8 of shape (images, NUM_BYTES).

    Returns:
      uint8 of shape (NUM_TURNS, images, NUM_BYTES); the first are `bits`.
    """
    signs = np.unpackbits(bits, axis=1).reshape(-1, WAVES, WAVES).astype(np.int8)
    signs = 2 * signs - 1
    signs[:, 0, 0] = 0
    return np.stack([_packed(version) for version in turned_waves(signs)])


def turned_waves(waves: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Yields the frequencies that images would have if they were turned or reflected.

    Args:
      waves: Of shape (images, WAVES, WAVES).

    Yields:
      `NUM_TURNS` arrays like it; the first is `waves`.
    """
    flips = np.where(np.arange(WAVES) % 2 == 1, -1, 1).astype(waves.dtype)
    same = np.ones_like(flips)
    for whole, rows, columns in itertools.product(
        (waves, waves.transpose(0, 2, 1)), (same, flips), (same, flips)
    ):
        yield whole * rows[:, None] * columns


def _packed(waves: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """uint8 of shape (images, NUM_BYTES), from signed numbers of shape (images, WAVES, WAVES)."""
    return np.packbits((waves > 0).reshape(len(waves), -1), axis=1)


def _small_grey(data: bytes) -> npt.NDArray[np.float32]:
    """float32 of shape (_SIDE, _SIDE)."""
    with _opened(data) as image:
        image.draft("L", (_FEW * _SIDE, _FEW * _SIDE))  # of JPEG, a smaller copy is decoded
        # More than 8 bits: `L` would cut them off.
        grey = image if image.mode.startswith(("I", "F")) else image.convert("L")
        factor = max(1, min(grey.size) // (_FEW * _SIDE))
        small = grey.reduce(factor) if grey.mode == "L" else grey
        # In whole numbers, rounding would be much of what the higher frequencies hold.
        return np.asarray(small.convert("F").resize((_SIDE, _SIDE), Image.Resampling.BOX))


def _opened(data: bytes) -> Image.Image:
    file = io.BytesIO(data)
    try:
        return Image.open(file, formats=_KINDS)
    except Image.DecompressionBombError:  # a dataset holds what its spec accepts
        with unlimited():
            return Image.open(file, formats=_KINDS)
