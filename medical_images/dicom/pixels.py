"""The pixels of DICOM files: decoded, and mapped to what the spec declares.

Grey images go through `dicom.grey`; colours have 8 bits and are kept (a window is not for them).
Pixels are decoded by one library for each transfer syntax, so that what else is installed does not
change them.
"""

from __future__ import annotations

import io
import math
import re
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medical_images.dicom.grey import Stored, grey_of
from medical_images.dicom.headers import (
    check_preamble,
    dicom_errors,
    number_of_frames,
    read_dataset,
)
from medical_images.dicom.tables import coloured
from medical_images.errors import ImageError
from medical_images.image_checks import check_size
from medical_images.metadata_segments import FRAMES, MOST_SCANS
from medical_images.spec_images import Images

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset
    from pydicom.uid import UID

_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_PALETTE = "PALETTE COLOR"
_SHORTENED = "YBR_FULL_422"  # where two pixels share their colour
_HOLDERS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_RLE = "1.2.840.10008.1.2.5"
_DECODERS = "pip install 'medical_images[dicom]' installs those that there are"
_SCAN = b"\xff\xda"  # of JPEG
_END_OF_IMAGE = b"\xff\xd9"  # of JPEG, JPEG-LS and JPEG 2000; it is nowhere else in coded pixels


class _Layout(NamedTuple):
    """What the header tells of the pixels."""

    holder: str
    kind: str
    width: int
    height: int
    samples: int
    allocated: int
    bits: int
    frames: int


def read_pixels(data: bytes, images: Images, *, frame: int | None = None) -> NDArray[Any]:
    """Returns the pixels of a DICOM file, or of one of its frames.

    Args:
      data: The bytes of the file.
      images: What the spec says of images: `dtype`, `window`, `max_pixels` and `burned_in`.
      frame: Which frame, from 0; None of a file that has only one.

    Returns:
      (height, width) of grey images, (height, width, 3) of coloured ones; `images.dtype`. Large
      values are bright. See `dicom.grey.grey_of` for what grey values become.

    Raises:
      ImageError: `dicom_no_preamble`, `dicom_unreadable`, `truncated` (fields or pixels are cut),
        `dicom_no_pixels`, `burned_in`, `dicom_frames`, `too_large`, `dicom_syntax`, `dicom_pixels`
        (a kind that is not read, or a header that contradicts itself), `corrupt` (coded pixels are
        damaged), `unsupported` (JPEG of too many scans), `needs_window` or `dicom_window`. Nothing
        else is raised, whatever the bytes are.
      BuildError: pydicom is not installed.

    Example:
      >>> from pathlib import Path
      >>> from pydicom.data import get_testdata_file
      >>> data = Path(get_testdata_file('CT_small.dcm')).read_bytes()
      >>> pixels = read_pixels(data, Images(path='*.dcm', channels=1, window=(40, 400)))
      >>> pixels.shape, pixels.dtype.name
      ((128, 128), 'uint8')
    """
    check_preamble(data, images)
    with dicom_errors():
        dataset = _dataset_of(data, frame)
        if not any(dataset.get(name) for name in _HOLDERS):
            raise ImageError("dicom_no_pixels")
        _refuse_burned_in(dataset, images)
        layout = _layout_of(dataset)
        _refuse_frame(layout, frame)
        check_size(layout.width, layout.height, images.max_pixels)
        syntax = _syntax_of(dataset)
        _refuse_kind(dataset, layout, syntax)
        _refuse_cut(dataset, layout, syntax, frame or 0)
        pixels = _decoded(dataset, layout, syntax, frame or 0)
        little_endian = bool(syntax.is_little_endian)
        if layout.kind == _PALETTE:
            pixels = coloured(pixels, dataset, little_endian=little_endian)
        elif layout.kind in _GREY:
            stored = Stored(
                values=pixels,
                bits=layout.bits,
                inverted=layout.kind == "MONOCHROME1",
                little_endian=little_endian,
            )
            pixels = grey_of(stored, dataset, images, frame=frame or 0)
        return np.ascontiguousarray(pixels, images.dtype)


class _Last(threading.local):
    """The file whose frame was read last; its other frames are read without parsing it again."""

    data: bytes | None = None
    dataset: FileDataset | None = None


_LAST = _Last()


def _dataset_of(data: bytes, frame: int | None) -> FileDataset:
    if frame is None:
        return read_dataset(io.BytesIO(data))
    if _LAST.dataset is None or _LAST.data is not data:
        _LAST.data, _LAST.dataset = None, None  # two files need more memory than one
        _LAST.dataset = read_dataset(io.BytesIO(data))
        _LAST.data = data
    return _LAST.dataset


def _refuse_burned_in(dataset: FileDataset, images: Images) -> None:
    value = dataset.get("BurnedInAnnotation") or ""
    values = [value] if isinstance(value, str) else list(value)
    if images.burned_in == "reject" and any(str(each).strip().upper() == "YES" for each in values):
        raise ImageError("burned_in")


def _layout_of(dataset: FileDataset) -> _Layout:
    holder = next(name for name in _HOLDERS if name in dataset)
    allocated = _whole(dataset, "BitsAllocated")
    return _Layout(
        holder=holder,
        kind=" ".join(str(dataset.get("PhotometricInterpretation") or "").upper().split()),
        width=_whole(dataset, "Columns"),
        height=_whole(dataset, "Rows"),
        samples=_whole(dataset, "SamplesPerPixel"),
        allocated=allocated,
        bits=_whole(dataset, "BitsStored") if holder == "PixelData" else allocated,
        frames=number_of_frames(dataset),
    )


def _whole(dataset: FileDataset, keyword: str) -> int:
    value = dataset.get(keyword)
    if not isinstance(value, int) or value < 1:
        raise ImageError("dicom_pixels", f"it has no {keyword}")
    return value


def _refuse_frame(layout: _Layout, frame: int | None) -> None:
    if frame is None:
        if layout.frames > 1:
            raise ImageError("dicom_frames", f"{layout.frames} frames")
    elif not 0 <= frame < layout.frames:
        raise ImageError("dicom_frames", f"{layout.frames} frames, and none of index {frame}")


def _syntax_of(dataset: FileDataset) -> UID:
    """Returns the transfer syntax; raises where there is no decoder for it."""
    from pydicom import uid
    from pydicom.pixels.decoders.base import get_decoder

    name = str(dataset.file_meta.get("TransferSyntaxUID") or "").strip(" \0")
    if not name:
        implicit, little_endian = dataset.original_encoding
        name = uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
        if not little_endian:
            name = uid.ExplicitVRBigEndian
        if "PixelData" in dataset and dataset["PixelData"].is_undefined_length:
            raise ImageError("dicom_syntax", "it names none, and its pixels are coded")
    shown = name if re.fullmatch(r"[0-9.]{1,64}", name) else "what it names is no UID"
    try:
        decoder = get_decoder(uid.UID(name))
    except NotImplementedError:
        raise ImageError("dicom_syntax", shown) from None
    if decoder.is_encapsulated and name != _RLE and "pylibjpeg" not in decoder.available_plugins:
        raise ImageError("dicom_syntax", f"{shown}; {_DECODERS}")
    return decoder.UID


def _refuse_kind(dataset: FileDataset, layout: _Layout, syntax: UID) -> None:
    """Raises where the header tells of pixels that are not read, or contradicts itself."""
    kinds = (*_GREY, _PALETTE) if layout.samples == 1 else _COLOURS if layout.samples == 3 else ()
    if layout.kind not in kinds:
        shown = layout.kind if re.fullmatch(r"[A-Z0-9_ ]{1,16}", layout.kind) else "unknown"
        raise ImageError("dicom_pixels", f"{layout.samples} samples of kind {shown}")
    if layout.samples == 3 and (layout.bits, layout.allocated) != (8, 8):
        raise ImageError("dicom_pixels", f"colours of {layout.bits} bits")
    if layout.allocated not in (1, 8, 16, 32, 64) or layout.bits > layout.allocated:
        what = f"{layout.bits} bits stored in {layout.allocated}"
        raise ImageError("dicom_pixels", what)
    if layout.holder != "PixelData":
        if layout.kind not in _GREY or sum(name in dataset for name in _HOLDERS) > 1:
            raise ImageError("dicom_pixels", "floats that are not grey, or not alone")
        return
    if dataset.get("PixelRepresentation") not in (0, 1):
        raise ImageError("dicom_pixels", "it does not tell whether its values are signed")
    high = dataset.get("HighBit")
    if (
        high is not None
        and high != layout.bits - 1
        and (not syntax.is_encapsulated or syntax == _RLE)
    ):
        raise ImageError("dicom_pixels", f"{layout.bits} bits stored up to bit {high}")
    if (
        layout.samples == 3
        and not syntax.is_encapsulated
        and dataset.get("PlanarConfiguration") not in (0, 1)
    ):
        raise ImageError("dicom_pixels", "it does not tell the order of its colours")


def _refuse_cut(dataset: FileDataset, layout: _Layout, syntax: UID, frame: int) -> None:
    """Raises where pixels are missing, or coded pixels are others than the header tells."""
    data = dataset[layout.holder].value
    if syntax.is_encapsulated:
        if syntax != _RLE:
            _refuse_coded(_frame_of(dataset, data, layout, frame), layout)
        return
    bits = layout.width * layout.height * layout.samples * layout.allocated * layout.frames
    if layout.kind == _SHORTENED:
        bits = bits // 3 * 2
    if len(data) < math.ceil(bits / 8):
        what = f"{len(data):,} bytes of pixels, and {math.ceil(bits / 8):,} are needed"
        raise ImageError("truncated", what)


def _frame_of(dataset: FileDataset, data: bytes, layout: _Layout, frame: int) -> bytes:
    from pydicom.encaps import get_frame

    offsets = None
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    try:
        return get_frame(data, frame, number_of_frames=layout.frames, extended_offsets=offsets)
    except Exception:
        raise ImageError("corrupt", "the parts of its pixels are not found") from None


def _refuse_coded(data: bytes, layout: _Layout) -> None:
    """Raises where coded pixels end early, or are not as many as the header tells."""
    coded = next(_jpeg_2000_sizes(data), None) or next(_jpeg_sizes(data), None)
    if data.count(_SCAN) > MOST_SCANS:
        raise ImageError("unsupported", f"JPEG of more than {MOST_SCANS} scans")
    if coded is None:
        raise ImageError("corrupt", "its pixels are not coded as it says")
    width, height, samples, bits = coded
    if (width, height, samples) != (layout.width, layout.height, layout.samples):
        raise ImageError("corrupt", "its coded pixels have another size than its header tells")
    if bits > layout.allocated:
        raise ImageError("corrupt", "its coded pixels have more bits than its header tells")
    if _END_OF_IMAGE not in data:
        raise ImageError("truncated", "its coded pixels have no end")


def _jpeg_2000_sizes(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yields width, height, samples and bits of a codestream of JPEG 2000."""
    start = data.find(b"\xff\x4f\xff\x51")
    size = data[start + 6 : start + 43]
    if start == 0 or (start > 0 and data[4:8] == b"jP  " and len(size) == 37):
        corner, origin = ([int.from_bytes(size[i : i + 4]) for i in (j, j + 4)] for j in (2, 10))
        bits = (size[36] & 0x7F) + 1 if len(size) == 37 else 0
        samples = int.from_bytes(size[34:36])
        yield corner[0] - origin[0], corner[1] - origin[1], samples, bits


def _jpeg_sizes(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yields width, height, samples and bits of each frame of JPEG or JPEG-LS."""
    place = 2 if data[:2] == b"\xff\xd8" else len(data)
    while place + 10 <= len(data) and data[place] == 0xFF:
        mark = data[place + 1]
        if mark == 0xFF:  # a filler
            place += 1
            continue
        if mark == 0xF7 or mark in FRAMES:  # JPEG-LS or JPEG
            height, width = (int.from_bytes(data[place + i : place + i + 2]) for i in (5, 7))
            yield width, height, data[place + 9], data[place + 4]
        place += 2 + int.from_bytes(data[place + 2 : place + 4])


def _decoded(dataset: FileDataset, layout: _Layout, syntax: UID, frame: int) -> NDArray[Any]:
    """Returns (height, width) or (height, width, 3: RGB) as the numbers that are stored."""
    from pydicom.pixels.decoders.base import get_decoder

    decoder = get_decoder(syntax)
    options: dict[str, Any] = {
        "photometric_interpretation": layout.kind,
        "number_of_frames": layout.frames,
        "allow_excess_frames": False,
    }
    if layout.samples == 3 and dataset.get("PlanarConfiguration") not in (0, 1):
        options["planar_configuration"] = 0
    if syntax.is_encapsulated:  # the faster decoder of RLE dies of damaged files
        options["decoding_plugin"] = "pydicom" if syntax == _RLE else "pylibjpeg"
    try:
        pixels, told = decoder.as_array(dataset, index=frame, **options)
    except Exception as error:
        code = "corrupt" if syntax.is_encapsulated else "dicom_pixels"
        raise ImageError(code, f"it is not decoded ({type(error).__name__})") from None
    if layout.samples == 3 and told["photometric_interpretation"] != "RGB":
        raise ImageError("dicom_pixels", f"colours of kind {layout.kind} in this transfer syntax")
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
