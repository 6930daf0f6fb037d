"""What the stored values of a grey DICOM image become, after DICOM PS3.3, C.11.

Stored values become modality values (Hounsfield units, say) by a lookup table or by slope and
intercept. Those are written as they are where the dataset has `uint16`, and are mapped to 0 to 255
by a window where it has `uint8`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medical_images.dicom.tables import LookupTable, scaled, table_of
from medical_images.errors import ImageError
from medical_images.pixels import windowed
from medical_images.spec_images import Images

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Array = NDArray[Any]
Shown = Callable[[Array], NDArray[np.uint8]]

_NEARLY = 1e-6  # a rescaled value so near to a whole number is one


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Stored:
    """The stored values of a frame.

    Attributes:
      values: (height, width), integers or floats.
      bits: How many bits the file says they have.
      inverted: Whether small values are bright (MONOCHROME1).
      little_endian: How bytes of the file are ordered.
    """

    values: Array
    bits: int
    inverted: bool
    little_endian: bool


def grey_of(stored: Stored, dataset: Dataset, images: Images, *, frame: int) -> Array:
    """Returns grey values in which large is bright.

    * `uint16`: modality values. MONOCHROME1 is inverted within the range that stored values can
      have: `2**bits - 1 - stored` (-1 - stored, if they are signed) is what is rescaled.
    * `uint8`: the window maps modality values to 0 to 255; MONOCHROME1 is inverted after that.
      Without a window, unsigned values of 8 bits without rescaling are kept, and those of fewer
      bits are scaled to 0 to 255. `window: [center, width]` applies to 8 bits also.
    * Padding is 0 in both.

    Args:
      stored: What the frame holds.
      dataset: The file's fields.
      images: What the spec says of images.
      frame: Which, from 0, for what the file tells of each frame.

    Returns:
      (height, width), of `images.dtype`.

    Raises:
      ImageError: `needs_window`, `dicom_window` or `dicom_pixels`.
    """
    grey: Array
    modality = _modality_of(dataset, frame, little_endian=stored.little_endian)
    padding = _padding(stored.values, dataset)
    if images.dtype == "uint16":
        grey = _as_uint16(
            modality.of_inverted(stored) if stored.inverted else modality.of(stored.values), padding
        )
    else:
        show = _display(stored, modality, dataset, images, frame)
        grey = _by_table(lambda values: show(modality.of(values)), stored.values)
        if stored.inverted:
            grey = 255 - grey
    if padding is not None:
        grey[padding] = 0
    return grey


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Modality:
    table: LookupTable | None
    slope: float
    intercept: float

    @property
    def is_plain(self) -> bool:
        return self.table is None and self.slope == 1 and self.intercept == 0

    def of(self, values: Array) -> Array:
        if self.table is not None:
            return self.table.of(values)
        if self.is_plain:
            return values
        return values.astype(np.float64) * self.slope + self.intercept

    def of_inverted(self, stored: Stored) -> Array:
        if self.table is not None:
            return (1 << self.table.bits) - 1 - self.table.of(stored.values).astype(np.int64)
        if stored.values.dtype.kind == "f":
            raise ImageError("needs_window", "its values are floats, and small ones are bright")
        ends = -1 if stored.values.dtype.kind == "i" else (1 << stored.bits) - 1
        return self.of(ends - stored.values.astype(np.int64))


def _modality_of(dataset: Dataset, frame: int, *, little_endian: bool) -> _Modality:
    for holder in _holders(dataset, frame, "PixelValueTransformationSequence"):
        if holder.get("ModalityLUTSequence"):
            table = table_of(holder.ModalityLUTSequence[0], little_endian=little_endian)
            return _Modality(table=table, slope=1, intercept=0)
        slope, intercept = holder.get("RescaleSlope"), holder.get("RescaleIntercept")
        if slope is not None or intercept is not None:
            slope = 1.0 if slope is None else float(slope)
            intercept = 0.0 if intercept is None else float(intercept)
            if not (math.isfinite(slope) and math.isfinite(intercept) and slope != 0):
                raise ImageError("dicom_pixels", "its rescale slope or intercept is no scale")
            return _Modality(table=None, slope=slope, intercept=intercept)
    return _Modality(table=None, slope=1, intercept=0)


def _holders(dataset: Dataset, frame: int, macro: str) -> Iterator[Dataset]:
    """Yields where a value of a frame may stand: what is told of it, of all frames, of the file."""
    of_each = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])[frame : frame + 1]
    of_all = list(dataset.get("SharedFunctionalGroupsSequence") or [])[:1]
    for group in of_each + of_all:
        yield from list(group.get(macro) or [])[:1]
    yield dataset


def _padding(stored: Array, dataset: Dataset) -> NDArray[np.bool_] | None:
    """Returns where stored values are padding."""
    ends = (dataset.get(name) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit"))
    given = [end for end in ends if isinstance(end, int)]
    if stored.dtype.kind not in "iu" or "PixelPaddingValue" not in dataset or not given:
        return None
    # Files may tell a negative value as if it were unsigned, and the other way round.
    span, smallest = 1 << 8 * stored.dtype.itemsize, int(np.iinfo(stored.dtype).min)
    given = [(end - smallest) % span + smallest for end in given]
    low, high = min(given), max(given)
    return (stored >= low) & (stored <= high)


def _as_uint16(values: Array, padding: NDArray[np.bool_] | None) -> NDArray[np.uint16]:
    if padding is not None:
        values = np.where(padding, 0, values)
    whole = np.rint(values)
    if not (np.isfinite(values).all() and (np.abs(whole - values) <= _NEARLY).all()):
        raise ImageError("needs_window", "its rescaled values are no whole numbers")
    if whole.min() < 0 or whole.max() > 65535:
        raise ImageError(
            "needs_window",
            f"its values reach from {whole.min():g} to {whole.max():g}; uint16 has 0 to 65535",
        )
    return whole.astype(np.uint16)


def _display(
    stored: Stored, modality: _Modality, dataset: Dataset, images: Images, frame: int
) -> Shown:
    """Returns what shows modality values as 0 to 255."""
    if isinstance(images.window, tuple):
        center, width = images.window
        return lambda values: windowed(values, center, width)
    told = None
    if images.window == "file":
        told = _told_display(dataset, frame, little_endian=stored.little_endian)
    if told is not None:
        return told
    kind = stored.values.dtype.kind
    if modality.is_plain and stored.bits <= 8 and kind == "u":
        if int(stored.values.max()) >= 1 << stored.bits:
            raise ImageError("dicom_pixels", f"its values have more than {stored.bits} bits")
        return lambda values: scaled(np.minimum(values, (1 << stored.bits) - 1), bits=stored.bits)
    if images.window == "file":
        raise ImageError("dicom_window")
    what = {"f": "floats", "i": f"{stored.bits} bits, signed"}.get(kind, f"{stored.bits} bits")
    raise ImageError("needs_window", what if modality.is_plain else f"{what}, rescaled")


def _told_display(dataset: Dataset, frame: int, *, little_endian: bool) -> Shown | None:
    """Returns the first VOI lookup table or window that the file tells."""
    for holder in _holders(dataset, frame, "FrameVOILUTSequence"):
        if holder.get("VOILUTSequence"):
            return table_of(holder.VOILUTSequence[0], little_endian=little_endian).shown
        center, width = _first(holder.get("WindowCenter")), _first(holder.get("WindowWidth"))
        if center is not None and width is not None:
            return _window(center, width, holder.get("VOILUTFunction"))
    return None


def _window(center: float, width: float, function: Any) -> Shown:
    name = str(function or "LINEAR").strip().upper()
    if not (math.isfinite(center) and math.isfinite(width)):
        raise ImageError("dicom_window", "its window is not finite")
    if name == "LINEAR" and width >= 1:
        return lambda values: windowed(values, center, width)
    if name == "LINEAR_EXACT" and width > 0:  # the same line, half a unit less at both ends
        return lambda values: windowed(values, center + 0.5, width + 1)
    if name == "SIGMOID" and width > 0:
        return lambda values: _sigmoid(values, center, width)
    raise ImageError("dicom_window", "its window has no width, or a function that is not known")


def _sigmoid(values: Array, center: float, width: float) -> NDArray[np.uint8]:
    power = np.clip(-4 * (values.astype(np.float64) - center) / width, -700, 700)
    return np.floor(255 / (1 + np.exp(power)) + 0.5).astype(np.uint8)


def _first(value: Any) -> float | None:
    if value is None or value == "":
        return None
    if isinstance(value, (str, int, float)):
        return float(value)
    return float(value[0]) if len(value) else None


def _by_table(show: Shown, stored: Array) -> NDArray[np.uint8]:
    """Shows values; where there are more than 8 or 16 bits have, shows each of those once."""
    bits = 8 * stored.dtype.itemsize
    if stored.dtype.kind not in "iu" or bits > 16 or stored.size <= 1 << bits:
        return show(stored)
    places = stored.view(f"u{stored.dtype.itemsize}")
    shown = show(np.arange(1 << bits).astype(places.dtype).view(stored.dtype))
    return np.take(shown, places)
