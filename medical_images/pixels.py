"""What the pixels of an image become: the one form that every reader sees alike.

The canonical array of an image has the shape and the type that the spec declares (`images:
{channels, dtype}`): height x width for one channel, else height x width x channels; `uint8`, or
`uint16`. Decoders disagree on palettes, alpha, CMYK and 16 bits, so they are settled here:

* Grey becomes RGB by repeating it. Pixels of equal red, green and blue are grey. Other colours
  become grey as luma of ITU-R BT.601 where the spec says so, else the image cannot be used.
* A palette becomes its colours, 1 bit becomes 0 and 255, CMYK and YCbCr become RGB as Pillow does
  it. Colour profiles are not applied.
* Opaque alpha is dropped; other alpha is what `images: {alpha: ...}` says. Where the dataset has
  alpha, images without it are opaque.
* 8 bits are kept as they are, also in `uint16`, and a window does not apply to them.
* More than 8 bits are kept in `uint16`, and need a window to become `uint8`. What an image needs
  depends on its type and never on its values, so that dark images are not taken for 8 bits.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medical_images.errors import ImageError
from medical_images.spec_images import Images

Array = NDArray[Any]

_PNG_LEVEL = 4  # three times as fast as 6, and as small
_PHOTOMETRIC = 262  # the tag of TIFF files that says which grey is white
_THROUGH: dict[str, str] = {  # the mode from which a mode's pixels are taken
    "1": "L",
    "L": "L",
    "LA": "LA",
    "La": "LA",
    "P": "RGBA",
    "PA": "RGBA",
    "RGB": "RGB",
    "RGBA": "RGBA",
    "RGBa": "RGBA",
    "RGBX": "RGB",
    "CMYK": "RGB",
    "YCbCr": "RGB",
}
_BITS_OF_GREY = {"1": 1, "L": 8}
_UPRIGHT: dict[int, Callable[[Array], Array]] = {  # by the orientation of EXIF
    1: lambda array: array,
    2: lambda array: array[:, ::-1],
    3: lambda array: array[::-1, ::-1],
    4: lambda array: array[::-1],
    5: lambda array: array.swapaxes(0, 1),
    6: lambda array: array[::-1].swapaxes(0, 1),
    7: lambda array: array[::-1, ::-1].swapaxes(0, 1),
    8: lambda array: array[:, ::-1].swapaxes(0, 1),
}


def to_canonical(image: Image.Image, images: Images, *, orientation: int = 1) -> Array:
    """Returns the canonical pixels of an image, upright.

    Args:
      image: Of any mode. It must not be loaded yet if it comes from a file: see `misread`.
      images: What the spec says of images.
      orientation: What EXIF tells, 1 to 8; not applied where the spec says to ignore it. Pillow
        applies that of TIFF files itself, always.

    Returns:
      (height, width) for one channel, else (height, width, channels); `images.dtype`.

    Raises:
      ImageError: `channels`, `needs_window`, `corrupt` or `unsupported`.
      Exception: What Pillow raises where the file cannot be decoded.

    Example:
      >>> grey = Image.new('L', (4, 2), 7)
      >>> to_canonical(grey, Images(path='*.png', channels=3), orientation=6).shape
      (4, 2, 3)
    """
    colours, alpha = _colours_and_alpha(image)
    turn = _UPRIGHT[orientation if images.orientation == "apply" else 1]
    return np.ascontiguousarray(turn(_canonical(colours, alpha, images)))


def array_to_canonical(array: Array, images: Images) -> Array:
    """Returns the canonical pixels of an array; the rules are those of `to_canonical`.

    Args:
      array: (height, width) or (height, width, 1, 3 or 4) of truth values, integers or floats.
      images: What the spec says of images.

    Returns:
      (height, width) for one channel, else (height, width, channels); `images.dtype`.

    Raises:
      ImageError: `channels`, `needs_window`, `corrupt` (a value is not finite) or `unsupported`
        (another shape or type, or no pixels).

    Example:
      >>> counts = np.array([[-1000, 0, 40], [80, 400, 3000]], 'int16')
      >>> array_to_canonical(counts, Images(path='*.h5', channels=1, window=(40, 80)))
      array([[  0,   0, 129],
             [255, 255, 255]], dtype=uint8)
    """
    array = np.asarray(array)
    if array.dtype.kind not in "buif":
        raise ImageError("unsupported", f"an array of {array.dtype.name}")
    if array.ndim not in (2, 3) or array.shape[2:] not in ((), (1,), (3,), (4,)) or not array.size:
        raise ImageError("unsupported", f"an array of shape {array.shape}")
    if array.dtype == bool:
        array = array * np.uint8(255)
    alpha = None
    if array.shape[2:] == (1,):
        array = array[:, :, 0]
    elif array.shape[2:] == (4,):
        if array.dtype != np.uint8:
            raise ImageError("unsupported", "an array with alpha of more than 8 bits")
        array, alpha = array[:, :, :3], array[:, :, 3]
    return np.ascontiguousarray(_canonical(array, alpha, images))


def windowed(values: Array, center: float, width: float) -> NDArray[np.uint8]:
    """Maps values to 0 to 255 by DICOM's linear function of a window, rounded half up.

    The function is `LINEAR` of DICOM PS3.3, C.11.2.1.2.1, with an output range of 0 to 255: with
    c = center - 0.5 and w = width - 1, it is 0 where x <= c - w / 2, 255 where x > c + w / 2, and
    ((x - c) / w + 0.5) * 255 between.

    Args:
      values: Integers or floats of any shape; in their real unit (Hounsfield, say).
      center: The window's center.
      width: Its width; below 1, it is taken as 1.

    Returns:
      Of the same shape.

    Example:
      >>> windowed(np.array([-24, 16, 39, 40, 80, 500]), 40, 128)
      array([  0,  80, 126, 129, 209, 255], dtype=uint8)
    """
    if values.dtype == np.uint16 and values.size > 1 << 16:  # look up what there is
        return windowed(np.arange(1 << 16), center, width)[values]
    middle, reach = center - 0.5, max(width - 1, 0)
    above = values.astype(np.float64) - middle
    if reach == 0:
        return (above > 0) * np.uint8(255)
    return np.floor(np.clip(above / reach + 0.5, 0, 1) * 255 + 0.5).astype(np.uint8)


def encode(array: Array, images: Images, *, resized: bool) -> bytes:
    """Returns the file of canonical pixels: PNG, which loses nothing, with no metadata.

    JPEG is written only where the image was resized and the spec says `format: jpeg`, with colours
    in full resolution (4:4:4). The same array gives the same bytes, as long as Pillow stays the
    same.

    Args:
      array: As `to_canonical` returns it.
      images: What the spec says of images.
      resized: Whether the array has another size than the image had.

    Example:
      >>> data = encode(np.zeros((2, 3), 'uint16'), Images(path='*.png', channels=1), resized=False)
      >>> Image.open(io.BytesIO(data)).mode
      'I;16'
    """
    if not resized or images.resize is None or images.resize.format != "jpeg":
        return encode_png(array)
    file = io.BytesIO()
    quality = images.resize.quality
    Image.fromarray(array).save(file, "JPEG", quality=quality, subsampling="4:4:4")
    return file.getvalue()


def encode_png(array: Array) -> bytes:
    """Returns the PNG file of an array, with no metadata.

    Args:
      array: As `to_canonical` returns it, or labels: (height, width), uint8.
    """
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG", compress_level=_PNG_LEVEL)
    return file.getvalue()


def misread(image: Image.Image) -> str:
    """Returns why Pillow would take other pixels from a file than it holds; empty if it would not.

    Args:
      image: Not yet loaded.
    """
    raw = raw_mode(image)
    deep = image.mode.startswith(("I", "F"))
    if ";16" in raw and raw != "BGR;16" and not deep:
        return "16 bits in each of several channels"
    if deep and image.format == "TIFF" and getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0:
        return "more than 8 bits, of which 0 is white"
    if image.format == "BMP" and raw in _BITS_OF_GREY:
        for codec, _, _, (_, row_bytes, *_) in getattr(image, "tile", ()):
            if codec == "raw" and row_bytes != (image.width * _BITS_OF_GREY[raw] + 31) // 32 * 4:
                return "a palette of grey in a file of other bits"
    return ""


def raw_mode(image: Image.Image) -> str:
    """Returns Pillow's name of how pixels are stored in the file of an image not yet loaded."""
    tiles = getattr(image, "tile", ())
    stored = tiles[0][3] if tiles else ""
    stored = stored[0] if isinstance(stored, tuple) and stored else stored
    return stored if isinstance(stored, str) else ""


def grey_step(raw: str) -> int:
    """Returns by what Pillow multiplies grey of 2 and 4 bits, given their raw mode."""
    return {"L;2": 85, "L;4": 17}.get(raw[:3], 1)


def _colours_and_alpha(image: Image.Image) -> tuple[Array, Array | None]:
    """Returns (height, width) or (height, width, 3), and (height, width) of uint8 or None."""
    fault = misread(image)
    if fault:
        raise ImageError("unsupported", fault)
    step = grey_step(raw_mode(image))
    image.load()
    see_through = image.info.get("transparency")
    mode = image.mode if image.mode.startswith(("I", "F")) else _THROUGH.get(image.mode)
    if mode is None:
        raise ImageError("unsupported", f"pixels of kind {image.mode}")
    if mode == "RGB" and see_through is not None:
        mode = "RGBA"
    array = np.asarray(image if image.mode == mode else image.convert(mode))
    if mode == "LA":
        return array[:, :, 0], array[:, :, 1]
    if mode == "RGBA":
        return array[:, :, :3], array[:, :, 3]
    if array.ndim == 2 and isinstance(see_through, int):
        return array, (array != see_through * step) * np.uint8(255)
    return array.astype(array.dtype.newbyteorder("="), copy=False), None


def _canonical(colours: Array, alpha: Array | None, images: Images) -> Array:
    white = 65535 if colours.dtype != np.uint8 and images.dtype == "uint16" else 255
    colours = _of_declared_type(colours, images)
    if images.channels == 4:
        if alpha is None:
            alpha = np.full(colours.shape[:2], 255, np.uint8)
        return np.dstack([_repeated(colours), alpha])
    if alpha is not None:
        colours = _opaque(colours, alpha, images, white)
    return _repeated(colours) if images.channels == 3 else _grey(colours, images)


def _of_declared_type(values: Array, images: Images) -> Array:
    if values.dtype == np.uint8:
        return values.astype(images.dtype, copy=False)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ImageError("corrupt", "a pixel is not a finite number")
    if images.dtype == "uint8":
        if not isinstance(images.window, tuple):
            raise ImageError("needs_window", f"its pixels are {values.dtype.name}")
        center, width = images.window
        if values.dtype.kind == "f":  # LINEAR_EXACT; half a unit may be all there is
            return windowed(values, center + 0.5, width + 1)
        return windowed(values, center, width)
    kept = values.astype(np.uint16, copy=False) if _fits_uint16(values) else None
    if kept is None or (values.dtype.kind == "f" and not np.array_equal(kept, values)):
        raise ImageError("needs_window", "its pixels are not whole numbers from 0 to 65535")
    return kept


def _fits_uint16(values: Array) -> bool:
    return values.dtype == np.uint16 or bool(values.min() >= 0 and values.max() <= 65535)


def _opaque(colours: Array, alpha: Array, images: Images, white: int) -> Array:
    if images.alpha == "drop" or (alpha == 255).all():
        return colours
    if images.alpha == "reject":
        raise ImageError("channels", "pixels are not opaque; see `images: {alpha: ...}`")
    weight = alpha.astype(np.uint32).reshape(alpha.shape + (1,) * (colours.ndim - 2))
    ground = white if images.alpha == "white" else 0
    mixed = (colours * weight + ground * (255 - weight) + 127) // 255
    return mixed.astype(colours.dtype)


def _repeated(colours: Array) -> Array:
    return np.repeat(colours[:, :, np.newaxis], 3, axis=2) if colours.ndim == 2 else colours


def _grey(colours: Array, images: Images) -> Array:
    if colours.ndim == 2:
        return colours
    red, green, blue = (colours[:, :, channel] for channel in range(3))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return red
    if images.to_grey == "reject":
        raise ImageError("channels", "pixels are coloured; see `images: {to_grey: luma}`")
    # ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B, exactly, rounded half up.
    luma = red * np.uint32(299) + green * np.uint32(587) + blue * np.uint32(114)
    return ((luma + np.uint32(500)) // np.uint32(1000)).astype(colours.dtype)
