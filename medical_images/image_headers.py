"""What GIF, WebP, BMP and TIFF files tell of their image, without a decoder.

Sizes are known before memory is taken for them, and files of several frames or pages are refused
before a decoder takes them for one image.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from medical_images.errors import ImageError
from medical_images.image_kinds import Kind
from medical_images.metadata_segments import read_orientation

_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT = 254, 255, 256, 257
_OFFSETS, _COUNTS = (273, 324), (279, 325)  # of strips, and of tiles
_TILE = (322, 323)  # width and height
_LARGEST_TILE = 1 << 26  # pixels, where the image is smaller
_TAGS = frozenset({_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, *_OFFSETS, *_COUNTS, *_TILE})
_BYTES_OF_TYPE = {5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 17: 8}  # of those not below; 1 of others
_MOST_TAGS = 4096  # of a page; libtiff reads no more
_MOST_VALUES = 1 << 20  # of a tag, as many strips or tiles as there are
_TIFF_TYPES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_REDUCED_OR_MASK = 0b101
_Tags = dict[int, tuple[int, ...]]


class ImageHeader(NamedTuple):
    """What the header of an image tells.

    Attributes:
      width: As stored, before orientation.
      height: As stored.
      orientation: What EXIF of a WebP file tells, 1 to 8; 1 of other kinds.
      exif_malformed: Whether EXIF cannot be read; the orientation is 1 then.
    """

    width: int
    height: int
    orientation: int = 1
    exif_malformed: bool = False


def read_header(data: bytes, kind: Kind) -> ImageHeader:
    """Reads the header of an image file of one frame.

    Args:
      data: The file.
      kind: `gif`, `webp`, `bmp` or `tiff`.

    Raises:
      ImageError: `multi_frame`, `truncated`, `corrupt` or `unsupported`.

    Example:
      >>> import io
      >>> from PIL import Image
      >>> file = io.BytesIO()
      >>> Image.new('L', (4, 2)).save(file, 'BMP')
      >>> read_header(file.getvalue(), 'bmp')[:2]
      (4, 2)
    """
    reader = {"gif": _gif, "webp": _webp, "bmp": _bmp, "tiff": _tiff}[kind]
    try:
        header = reader(data)
    except (struct.error, IndexError):
        raise ImageError("truncated", "it ends within its header") from None
    if header.width < 1 or header.height < 1:
        raise ImageError("corrupt", "its header tells of no image")
    return header


def _gif(data: bytes) -> ImageHeader:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + _length_of_colours(flags)
    images = 0
    while True:
        block = data[at]
        if block == 0x3B:  # the trailer
            break
        if block == 0x21:
            at = _after_sub_blocks(data, at + 2)
        elif block == 0x2C:
            images += 1
            if images > 1:
                raise ImageError("multi_frame", "it is animated")
            left, top, wide, high, flags = struct.unpack_from("<HHHHB", data, at + 1)
            width, height = max(width, left + wide), max(height, top + high)
            at = _after_sub_blocks(data, at + 11 + _length_of_colours(flags))
            if at == len(data):  # only the trailer is missing
                break
        else:
            raise ImageError("corrupt", "it has a block that GIF does not know")
    if not images:
        raise ImageError("corrupt", "it has no pixels")
    return ImageHeader(width, height)


def _length_of_colours(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_sub_blocks(data: bytes, at: int) -> int:
    while data[at]:
        at += 1 + data[at]
    return at + 1


def _webp(data: bytes) -> ImageHeader:
    (length,) = struct.unpack_from("<I", data, 4)
    if length + 8 > len(data):
        raise ImageError("truncated", "it is shorter than it says")
    canvas: tuple[int, int] | None = None
    image: tuple[int, int] | None = None
    orientation = (1, False)
    at = 12
    while at + 8 <= len(data):
        name = data[at : at + 4]
        (length,) = struct.unpack_from("<I", data, at + 4)
        start = at + 8
        if name == b"VP8X":
            if data[start] & 0x02:
                raise ImageError("multi_frame", "it is animated")
            sides = (data[start + 4 : start + 7], data[start + 7 : start + 10])
            canvas = _both(int.from_bytes(side, "little") + 1 for side in sides)
        elif name in (b"ANIM", b"ANMF"):
            raise ImageError("multi_frame", "it is animated")
        elif name == b"VP8 ":
            image = _both(side & 0x3FFF for side in struct.unpack_from("<HH", data, start + 6))
        elif name == b"VP8L":
            (sides_,) = struct.unpack_from("<I", data, start + 1)
            image = ((sides_ & 0x3FFF) + 1, (sides_ >> 14 & 0x3FFF) + 1)
        elif name == b"EXIF":
            orientation = read_orientation(data[start : start + length].removeprefix(b"Exif\0\0"))
        at = start + length + length % 2
    if image is None or canvas not in (None, image):
        raise ImageError("corrupt", "it has no pixels, or of another size than it says")
    return ImageHeader(*image, *orientation)


def _both(sides: Iterator[int]) -> tuple[int, int]:
    width, height = sides
    return width, height


def _bmp(data: bytes) -> ImageHeader:
    (length,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if length == 12 else "<ii", data, 18)
    return ImageHeader(width, abs(height))


def _tiff(data: bytes) -> ImageHeader:
    first: _Tags | None = None
    for tags in _directories(data):
        if first is None:
            first = tags
        elif _is_page(tags):
            raise ImageError("multi_frame", "it has several pages")
    if first is None:
        raise ImageError("corrupt", "it has no page")
    for offsets, counts in zip(_OFFSETS, _COUNTS, strict=True):
        pairs = zip(first.get(offsets, ()), first.get(counts, ()), strict=False)
        if any(start + count > len(data) for start, count in pairs):
            raise ImageError("truncated", "pixels stand behind its end")
    width, height, *tile = (first.get(tag, (0,))[0] for tag in (_WIDTH, _HEIGHT, *_TILE))
    if tile[0] * tile[1] > max(width * height, _LARGEST_TILE):
        raise ImageError("corrupt", "its tiles are larger than the image")
    return ImageHeader(width, height)


def _is_page(tags: _Tags) -> bool:
    """Whether a page is more than a smaller copy of another, or its mask."""
    flags, old = (tags.get(tag, (0,))[0] for tag in (_SUBFILE, _OLD_SUBFILE))
    return not flags & _REDUCED_OR_MASK and old != 2


def _directories(data: bytes) -> Iterator[_Tags]:
    """Yields the whole numbers of each page's tags."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    word, count, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
    size = struct.calcsize(f"={word}")
    (at,) = struct.unpack_from(order + word, data, 8 if big else 4)
    seen, told = set(), 0
    while at:
        if at in seen:
            raise ImageError("corrupt", "its pages point in a circle")
        seen.add(at)
        (number,) = struct.unpack_from(order + count, data, at)
        at += struct.calcsize(f"={count}")
        end = at + number * entry
        if end + size > len(data):
            raise ImageError("truncated", "a page stands behind its end")
        if number > _MOST_TAGS:
            raise ImageError("unsupported", f"a page of more than {_MOST_TAGS:,} tags")
        told += end - at
        tags: _Tags = {}
        for place in range(at, end, entry):
            tag, type_, many = struct.unpack_from(f"{order}HH{word}", data, place)
            code = _TIFF_TYPES.get(type_, "")
            length = many * (struct.calcsize(f"={code}") or _BYTES_OF_TYPE.get(type_, 1))
            told += length if length > size else 0
            if told > 2 * len(data):  # values that stand in one place many times
                raise ImageError("corrupt", "its tags are longer than the file")
            if code and tag in _TAGS:
                start = place + 4 + size
                if length > size:
                    (start,) = struct.unpack_from(order + word, data, start)
                if start + length > len(data):
                    raise ImageError("truncated", "a tag stands behind its end")
                if many > _MOST_VALUES:
                    raise ImageError("unsupported", f"a tag of more than {_MOST_VALUES:,} values")
                if many:
                    tags[tag] = struct.unpack_from(f"{order}{many}{code}", data, start)
        yield tags
        (at,) = struct.unpack_from(order + word, data, end)
