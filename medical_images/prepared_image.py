"""One image, from the bytes of its file to the bytes that are written.

JPEG and PNG files that each reader of the dataset (TensorFlow's, OpenCV's and Pillow's) decodes to
what the spec declares are written as they are, without their metadata. All other images are decoded
here, made canonical and written as PNG; so readers cannot disagree on them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medical_images import pixels
from medical_images.dicom.pixels import read_pixels
from medical_images.errors import ImageError
from medical_images.image_checks import (
    check_png,
    check_size,
    is_sound_jpeg,
    is_strictly_checked,
    opened,
)
from medical_images.image_headers import read_header
from medical_images.image_kinds import Kind, kind_of, kind_of_name, looks_like, other_image
from medical_images.metadata_segments import JpegParts, PngParts, read_jpeg, read_png
from medical_images.metadata_segments import strip as without
from medical_images.resizing import place, resize_pixels
from medical_images.spec_images import Images

_LONGEST_SIDE = 1_000_000  # that libpng reads, by which TensorFlow and OpenCV read PNG
_MOST_VALUES = 1 << 29  # TensorFlow reads fewer; Pillow, a third as many pixels


class Prepared(NamedTuple):
    """An image that is ready to be written.

    Attributes:
      data: Its file, JPEG or PNG.
      size: Width and height as written.
      upright: Width and height before it was resized, after its orientation was applied.
      notes: Codes of what is to be told of it, keys of `rejects.CODES`.
    """

    data: bytes
    size: tuple[int, int]
    upright: tuple[int, int]
    notes: tuple[str, ...]


class _Look(NamedTuple):
    """What was found in a file that a decoder for ordinary images reads."""

    data: bytes  # without metadata
    written: bytes  # what is written, where its pixels are what the spec declares
    passes: bool  # whether they are so in each reader
    width: int
    height: int
    orientation: int
    notes: tuple[str, ...]


def prepare(
    source: bytes | NDArray[Any],
    images: Images,
    *,
    name: str = "",
    strip: bool = True,
    frame: int | None = None,
) -> Prepared:
    """Checks an image and returns what is written of it.

    Args:
      source: The bytes of a file, or an array, (height, width) or (height, width, channels).
      images: What the spec says of images.
      name: The file's name; only its extension is looked at.
      strip: Whether metadata is cut out of JPEG and PNG files that are written as they are.
      frame: Which frame of a DICOM file, from 0; all other files have one.

    Returns:
      The image, which TensorFlow, OpenCV and Pillow decode to the declared channels and type. PNG
      gives the same pixels in all three; of JPEG, TensorFlow's are up to a dozen levels off, since
      it takes a faster transformation.

    Raises:
      ImageError: The image cannot be used. Its code tells why; nothing in it is of the file's
        content.

    Example:
      >>> from medical_images.phantom_images import draw_image, encode_jpeg
      >>> data = encode_jpeg(draw_image('nv', 1, 48, 64, 0))
      >>> image = prepare(data, Images(path='*.jpg'), name='a.png')
      >>> image.data is data, image.size, image.notes
      (True, (64, 48), ('extension_mismatch',))
      >>> prepare(b'<html>', Images(path='*.jpg'))
      Traceback (most recent call last):
      medical_images.errors.ImageError: not_an_image: it looks like an HTML page
    """
    if isinstance(source, np.ndarray):
        if source.ndim >= 2:
            check_size(source.shape[1], source.shape[0], images.max_pixels)
        return _written(pixels.array_to_canonical(source, images), images, ())
    kind = _kind(source)
    told = kind_of_name(name)
    notes: tuple[str, ...] = () if told in (None, kind) else ("extension_mismatch",)
    if kind == "dicom":
        array = read_pixels(source, images, frame=frame)
        return _written(pixels.array_to_canonical(array, images), images, notes)
    look = _looks_at(source, kind, images, strip=strip)
    notes += look.notes
    upright = (look.width, look.height)
    if images.orientation == "apply" and look.orientation > 4:
        upright = upright[::-1]
    passes = look.passes and not (kind == "jpeg" and images.jpeg == "png")
    if passes and place(*upright, images.resize).is_identity:
        _check_readable(*upright, images)
        return Prepared(look.written, upright, upright, notes)
    with opened(look.data, kind, num_pixels=look.width * look.height) as image:
        array = pixels.to_canonical(image, images, orientation=look.orientation)
    return _written(array, images, notes if passes else (*notes, "converted"))


def _kind(data: bytes) -> Kind:
    kind = kind_of(data)
    if kind == "nifti":
        raise ImageError("unsupported", "a NIfTI file stands as a folder of images")
    if kind is not None:
        return kind
    if not data:
        raise ImageError("empty")
    other = other_image(data)
    if other:
        raise ImageError("unsupported", f"it is {other}")
    raise ImageError("not_an_image", f"it looks like {looks_like(data)}")


def _written(array: NDArray[Any], images: Images, notes: tuple[str, ...]) -> Prepared:
    upright = (array.shape[1], array.shape[0])
    placement = place(*upright, images.resize)
    _check_readable(placement.width, placement.height, images)
    resized = not placement.is_identity
    if resized:
        array = resize_pixels(array, placement)
    data = pixels.encode(array, images, resized=resized)
    return Prepared(data, (placement.width, placement.height), upright, notes)


def _check_readable(width: int, height: int, images: Images) -> None:
    """Raises ImageError where no reader, or not each, would read what is written."""
    is_read = width * height * max(images.channels, 3) < _MOST_VALUES
    if not is_read or max(width, height) > _LONGEST_SIDE:
        what = f"{width} x {height} pixels are more than TensorFlow and Pillow read"
        raise ImageError("too_large", f"{what}; see `images: {{resize: ...}}`")


def _looks_at(data: bytes, kind: Kind, images: Images, *, strip: bool) -> _Look:
    if kind == "jpeg":
        return _jpeg(data, images, strip=strip)
    if kind == "png":
        return _png(data, images, strip=strip)
    header = read_header(data, kind)
    check_size(header.width, header.height, images.max_pixels)
    notes = _notes_of_exif(header.exif_malformed, images)
    return _Look(data, b"", False, header.width, header.height, header.orientation, notes)


def _jpeg(data: bytes, images: Images, *, strip: bool) -> _Look:
    parts = read_jpeg(data)
    check_size(parts.width, parts.height, images.max_pixels)
    bare = without(data, parts.cuts)
    notes = _notes_of_exif(parts.exif_malformed, images)
    if images.check != "none":
        notes += _notes_of_scan(bare, parts, images)
    # Grey files give three equal channels in each reader; no other change is made alike in all.
    passes = (
        parts.usual
        and "corrupt_scan" not in notes
        and images.dtype == "uint8"
        and (parts.components, images.channels) in ((1, 1), (1, 3), (3, 3))
        and (parts.orientation == 1 or images.orientation == "ignore")
    )
    written = data if passes and not strip and _is_opened(data, "jpeg", parts) else bare
    return _Look(bare, written, passes, parts.width, parts.height, parts.orientation, notes)


def _is_opened(data: bytes, kind: Kind, parts: JpegParts | PngParts) -> bool:
    """Whether Pillow reads a file with its metadata; of metadata it takes some for a fault."""
    if not parts.cuts:
        return True
    try:
        with opened(data, kind, num_pixels=parts.width * parts.height) as image:
            image.load()
    except ImageError:
        return False
    return True


def _notes_of_scan(data: bytes, parts: JpegParts, images: Images) -> tuple[str, ...]:
    if parts.fault == "truncated":
        raise ImageError("truncated", "the end of the image is missing")
    if parts.fault == "" and images.check != "full":
        return ()
    if parts.fault == "" and is_strictly_checked(parts):
        if is_sound_jpeg(data, parts):
            return ()
        fault = "corrupt_scan"
    else:
        fault = parts.fault or "not_checked"
    try:
        with opened(data, "jpeg", num_pixels=parts.width * parts.height) as image:
            image.load()
    except ImageError as error:
        raise ImageError("corrupt", error.detail) from None
    if fault == "corrupt_scan" and images.corrupt_scan == "reject":
        raise ImageError(fault, "see `images: {corrupt_scan: ...}`")
    return (fault,)


def _png(data: bytes, images: Images, *, strip: bool) -> _Look:
    parts = read_png(data, check_sums=images.check == "full")
    check_size(parts.width, parts.height, images.max_pixels)
    if parts.fault and images.check != "none":
        raise ImageError(parts.fault, "the end of the image is missing")
    if images.check == "full":
        check_png(data, parts)
    passes = (
        parts.bits == (8 if images.dtype == "uint8" else 16)
        and (parts.samples, images.channels) in ((1, 1), (1, 3), (3, 3), (4, 4))
        and not parts.has_palette
        and not parts.has_transparency
        and (parts.orientation == 1 or images.orientation == "ignore")
    )
    notes = _notes_of_exif(parts.exif_malformed, images)
    bare = without(data, parts.cuts)
    written = bare
    if passes and not strip:
        full = without(data, parts.wrong)
        written = full if _is_opened(full, "png", parts) else bare
    return _Look(bare, written, passes, parts.width, parts.height, parts.orientation, notes)


def _notes_of_exif(malformed: bool, images: Images) -> tuple[str, ...]:
    return ("exif_malformed",) if malformed and images.orientation == "apply" else ()
