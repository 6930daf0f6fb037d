"""Lookup tables of DICOM files: of grey values (DICOM PS3.3, C.11), and of palettes (C.7.9)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medical_images.errors import ImageError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Array = NDArray[Any]

_COLOURS = ("Red", "Green", "Blue")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LookupTable:
    """What values become.

    Attributes:
      first: The value that the first entry is for; smaller ones get it too.
      entries: One for each value from there, the last for all larger ones.
      bits: Entries are smaller than 2**bits.
    """

    first: int
    entries: NDArray[np.uint16]
    bits: int

    def of(self, values: Array) -> NDArray[np.uint16]:
        """Returns the entries of values, integers or floats (rounded), of any shape."""
        whole = values if values.dtype.kind in "iu" else np.rint(values)
        last = self.first + len(self.entries) - 1
        places = np.clip(whole, self.first, last).astype(np.int64) - self.first
        return self.entries[places]

    def shown(self, values: Array) -> NDArray[np.uint8]:
        """Returns the entries of values, scaled from their bits to 8 and rounded half up."""
        return scaled(self.of(values), bits=self.bits)


def scaled(values: Array, *, bits: int) -> NDArray[np.uint8]:
    """Returns values of 0 to 2**bits - 1 as 0 to 255, rounded half up.

    Example:
      >>> scaled(np.array([0, 1, 4095]), bits=12)
      array([  0,   0, 255], dtype=uint8)
    """
    largest = (1 << bits) - 1
    wide = values.astype(np.uint32)
    return ((wide * np.uint32(510) + np.uint32(largest)) // np.uint32(2 * largest)).astype(np.uint8)


def table_of(item: Dataset, *, little_endian: bool) -> LookupTable:
    """Returns the table that an item of a modality or VOI LUT sequence describes.

    Raises:
      ImageError: `dicom_pixels`; it is not complete.
    """
    count, first, bits = _described(item.get("LUTDescriptor"))
    entries = _entries(item.get("LUTData"), count=count, bits=bits, little_endian=little_endian)
    return LookupTable(
        first=first, entries=entries, bits=max(bits, int(entries.max()).bit_length())
    )


def coloured(stored: Array, dataset: Dataset, *, little_endian: bool) -> NDArray[np.uint8]:
    """Returns the colours of palette indices.

    Entries of more than 8 bits are scaled by their bits. Where entries are said to have more than 8
    bits, and none of all three colours uses them, they are taken as 8 bits.

    Args:
      stored: (height, width), integers.
      dataset: Holds the palette.
      little_endian: How its bytes are ordered.

    Returns:
      (height, width, 3).

    Raises:
      ImageError: `dicom_pixels`; the palette is not complete.
    """
    tables = [_palette(dataset, colour, little_endian=little_endian) for colour in _COLOURS]
    largest = max(int(table.entries.max()) for table in tables)
    bits = 8 if largest < 256 else max(largest.bit_length(), *(table.bits for table in tables))
    return np.dstack([dataclasses.replace(table, bits=bits).shown(stored) for table in tables])


def _palette(dataset: Dataset, colour: str, *, little_endian: bool) -> LookupTable:
    name = f"{colour}PaletteColorLookupTable"
    count, first, bits = _described(dataset.get(f"{name}Descriptor"))
    data: Any = dataset.get(f"{name}Data")
    if data is None:
        segments = _words(dataset.get(f"Segmented{name}Data"), bits, little_endian=little_endian)
        data = _expanded(segments, count=count)
    entries = _entries(data, count=count, bits=bits, little_endian=little_endian)
    return LookupTable(first=first, entries=entries, bits=bits)


def _described(descriptor: Any) -> tuple[int, int, int]:
    """Returns how many entries there are, the value of the first, and their bits."""
    try:
        count, first, bits = (int(value) for value in descriptor)
    except (TypeError, ValueError):
        raise _incomplete() from None
    if not (1 <= bits <= 16 and 0 <= count <= 1 << 16):
        raise _incomplete()
    return count or 1 << 16, first, bits


def _entries(data: Any, *, count: int, bits: int, little_endian: bool) -> NDArray[np.uint16]:
    entries: Array
    if isinstance(data, bytes) and bits <= 8 and len(data) < 2 * count:
        entries = np.frombuffer(_in_order(data, little_endian=little_endian), np.uint8)
    elif isinstance(data, bytes):
        entries = np.frombuffer(data[: len(data) // 2 * 2], "<u2" if little_endian else ">u2")
    else:
        entries = np.asarray([] if data is None else data, np.int64).reshape(-1)
        if len(entries) < count and bits <= 8:  # two in each word
            entries = np.frombuffer((entries % 65536).astype("<u2").tobytes(), np.uint8)
    if len(entries) < count:
        raise _incomplete()
    return entries[:count].astype(np.uint16)  # of negative ones, the bits


def _words(data: Any, bits: int, *, little_endian: bool) -> list[int]:
    if not isinstance(data, bytes):
        raise _incomplete()
    if bits <= 8:
        return list(_in_order(data, little_endian=little_endian))
    order = "<u2" if little_endian else ">u2"
    words: list[int] = np.frombuffer(data[: len(data) // 2 * 2], order).tolist()
    return words


def _in_order(data: bytes, *, little_endian: bool) -> bytes:
    """Returns single bytes in their order; in big endian files they are swapped in pairs."""
    if little_endian:
        return data
    return np.frombuffer(data[: len(data) // 2 * 2], np.uint16).byteswap().tobytes()


def _expanded(words: list[int], *, count: int) -> list[int]:
    """Returns the entries of segments, each a list of entries or a line to the next one.

    Segments that repeat others are not read.
    """
    entries: list[int] = []
    place = 0
    while len(entries) < count and place + 2 < len(words):
        kind, length, value = words[place : place + 3]
        if kind == 0:
            entries.extend(words[place + 2 : place + 2 + length])
            place += 2 + length
        elif kind == 1 and entries:
            line = np.linspace(entries[-1], value, length + 1)[1:]
            entries.extend(np.rint(line).astype(int).tolist())
            place += 3
        else:
            raise _incomplete()
    return entries


def _incomplete() -> ImageError:
    return ImageError("dicom_pixels", "a lookup table is not complete")
