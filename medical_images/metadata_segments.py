"""The parts of JPEG and PNG files: what they tell of the image, and which hold metadata.

One walk over the segments of a JPEG file, or the chunks of a PNG file, finds all that is to be
known of it without decoding pixels, and where the bytes are that tell more than pixels: EXIF, XMP,
IPTC, comments, texts, thumbnails, times, and whatever stands behind the end of the image. They are
cut out; what decides how pixels are read (tables, colour profiles, gamma, transparency) stays.
"""

from __future__ import annotations

import logging
import re
import struct
import zlib
from typing import Literal, NamedTuple

from medical_images.errors import ImageError

# Of each tag of EXIF and TIFF files that it reads, Pillow logs the value, at the level DEBUG.
logging.getLogger("PIL.TiffImagePlugin").setLevel(logging.INFO)

Fault = Literal["", "truncated", "corrupt", "corrupt_scan"]

_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_SOI, _EOI, _SOS, _DQT, _COM = 0xD8, 0xD9, 0xDA, 0xDB, 0xFE
FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # SOF0 to SOF15
_HUFFMAN = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive: what all decoders know
_TABLES = frozenset({0xC4, 0xCC, _DQT, 0xDC, 0xDD})  # DHT, DAC, DQT, DNL, DRI
_LUMA = (0x11, 0x12, 0x21, 0x22, 0x41)  # 4:4:4, 4:4:0, 4:2:2, 4:2:0, 4:1:1
_USUAL_SAMPLING = frozenset(
    sampling for luma in _LUMA for sampling in ((luma, 0x11, 0x11), (luma, 0x11, 0x11, luma))
)
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # in a scan: neither a stuffed byte nor RST
_SCAN_END = re.compile(rb"\xff[\xc4\xcc\xd9-\xdd\xe0-\xef\xfe]")  # EOI, SOS, tables, APP, COM
_LENGTH_OF_JFIF, _LENGTH_OF_ADOBE = 16, 14

_MOST_PARTS = 1 << 18  # segments or chunks; a file that has more is made to be slow
MOST_SCANS = 100  # likewise: each goes over all pixels, however short it is

_PNG_SIGNATURE = 8
_IEND = bytes.fromhex("0000000049454e44ae426082")
_PIXEL_CHUNKS = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS"})
_LENGTHS = {  # of chunks that are kept, by the type of colour; iCCP is kept too
    **{name: dict.fromkeys((0, 2, 3, 4, 6), n) for name, n in ((b"gAMA", 4), (b"cHRM", 32))},
    **{name: dict.fromkeys((0, 2, 3, 4, 6), n) for name, n in ((b"sRGB", 1), (b"pHYs", 9))},
    b"sBIT": {0: 1, 2: 3, 3: 3, 4: 2, 6: 4},
    b"bKGD": {0: 2, 2: 6, 3: 1, 4: 2, 6: 6},
}
_REFUSED_CHUNKS = frozenset({b"PLTE", b"iCCP", b"hIST", b"acTL", b"fcTL", *_LENGTHS})
_MAX_PROFILE = 1 << 20  # bytes; Pillow does not open a file with a larger one
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_CHUNK = struct.Struct(">I4s")

ORIENTATION = 0x0112  # the tag of EXIF
_BYTES_OF_TYPE = {1: "B", 3: "H", 4: "I"}


class Cut(NamedTuple):
    """A range of bytes that is left out, and what stands there instead."""

    start: int
    end: int
    instead: bytes = b""


class JpegParts(NamedTuple):
    """What the segments of a JPEG file tell.

    Attributes:
      width: As stored, before orientation.
      height: As stored.
      components: 1 is grey, 3 are RGB or YCbCr, 4 are CMYK.
      usual: Whether colours are subsampled in a way that all decoders know.
      orientation: What EXIF tells, 1 to 8.
      exif_malformed: Whether EXIF cannot be read; the orientation is 1 then.
      fault: `truncated`, where the end of the image is missing; `corrupt_scan`, where segments do
        not follow on each other; else empty.
      cuts: What `strip` leaves out, in order.
    """

    width: int
    height: int
    components: int
    usual: bool
    orientation: int
    exif_malformed: bool
    fault: Fault
    cuts: tuple[Cut, ...]


class PngParts(NamedTuple):
    """What the chunks of a PNG file tell.

    Attributes:
      width: As stored, before orientation.
      height: As stored.
      bits: Of each sample.
      samples: Of each pixel: 1 is grey or an index, 2 grey and alpha, 3 RGB, 4 RGBA.
      has_palette: Whether pixels are indices.
      has_transparency: Whether a colour or indices stand for transparent pixels.
      interlaced: Whether pixels are stored in Adam7's order.
      orientation: What EXIF tells, 1 to 8.
      exif_malformed: Whether EXIF cannot be read; the orientation is 1 then.
      fault: `truncated`, where it ends within a chunk; `corrupt`, where its last chunk is missing;
        else empty.
      pixels: Where compressed pixels stand, in order: (start, end).
      cuts: What `strip` leaves out, in order.
      wrong: Those of them that some reader takes for a fault of the whole image.
    """

    width: int
    height: int
    bits: int
    samples: int
    has_palette: bool
    has_transparency: bool
    interlaced: bool
    orientation: int
    exif_malformed: bool
    fault: Fault
    pixels: tuple[tuple[int, int], ...]
    cuts: tuple[Cut, ...]
    wrong: tuple[Cut, ...]


def strip(data: bytes, cuts: tuple[Cut, ...]) -> bytes:
    """Returns a file without its metadata; the same object where it has none.

    Args:
      data: The file.
      cuts: Of its `JpegParts` or `PngParts`.

    Example:
      >>> strip(b'pixels and a name', (Cut(6, 17),))
      b'pixels'
    """
    if not cuts:
        return data
    view, at = memoryview(data), 0
    pieces: list[memoryview | bytes] = []
    for start, end, instead in cuts:
        pieces += (view[at:start], instead)
        at = end
    return b"".join((*pieces, view[at:]))


def read_jpeg(data: bytes) -> JpegParts:
    """Walks over the segments of a JPEG file.

    Where several images stand in one file (MPO), the first is read and all others are cut out.

    Args:
      data: The file; begins with `ff d8 ff`.

    Raises:
      ImageError: `truncated` or `corrupt`, before the first pixel; `unsupported`.

    Example:
      >>> from medical_images.phantom_images import draw_image, encode_jpeg
      >>> parts = read_jpeg(encode_jpeg(draw_image('nv', 1, 48, 64, 0)))
      >>> parts.width, parts.height, parts.components, parts.orientation, parts.cuts
      (64, 48, 3, 1, ())
    """
    size = len(data)
    frame: tuple[int, int, int, bool] | None = None
    orientation, malformed, seen_exif = 1, False, False
    scan = 0  # where the first scan begins
    sound = complete = True
    cuts: list[Cut] = []
    num_parts = num_scans = 0
    at = 2
    while True:
        num_parts += 1
        if num_parts > _MOST_PARTS:
            raise ImageError("unsupported", f"JPEG of more than {_MOST_PARTS:,} segments")
        # `at` is where a marker should be: 0xff, any number of them, and a code.
        start = at
        while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] == b"\xff":
            at += 1
        if at + 2 > size:
            complete = False
            break
        code = data[at + 1]
        if data[at] != 0xFF or code in (0, _SOI) or 1 <= code < 0xC0 or 0xD0 <= code <= 0xD7:
            sound = False
            found = _MARKER.search(data, at + 1)
            if found is None:
                complete = False
                break
            cuts.append(Cut(start, found.start()))
            at = found.start()
            continue
        if code == _EOI:
            at += 2
            break
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        end = at + 2 + length
        if length < 2 or end > size:
            sound, complete = False, False
            break
        if code == _SOS:
            scan = scan or end
            num_scans += 1
            if num_scans > MOST_SCANS:
                raise ImageError("unsupported", f"JPEG of more than {MOST_SCANS} scans")
            end = _end_of_scan(data, end)
            if end < 0:
                complete = False
                break
        elif code in FRAMES:
            if frame is not None:
                raise ImageError("corrupt", "it has two headers of a frame")
            frame = _frame(data[at + 1 : end])
        elif code not in _TABLES:
            if code == _APP1 and not seen_exif and data.startswith(b"Exif\0", at + 4):
                seen_exif = True
                orientation, malformed = read_orientation(data[at + 10 : end])
            cut = _cut_of(data, code, start, at, end)
            if cut is not None:
                cuts.append(cut)
        at = end
    if not complete and scan and data.find(b"\xff\xd9", scan) >= 0:
        sound, complete = False, True
        at = max(data.rfind(b"\xff\xd9") + 2, cuts[-1].end if cuts else 0)
    if frame is None or not scan:
        ends = complete or data.endswith(b"\xff\xd9")
        raise ImageError("corrupt" if ends else "truncated", "it has no pixels")
    if complete and at < size:
        cuts.append(Cut(at, size))
    fault: Fault = "truncated" if not complete else "" if sound else "corrupt_scan"
    return JpegParts(*frame, orientation, malformed, fault, tuple(cuts))


def read_png(data: bytes, *, check_sums: bool = True) -> PngParts:
    """Walks over the chunks of a PNG file.

    Args:
      data: The file; begins with PNG's signature.
      check_sums: Whether the sum of each chunk is compared.

    Raises:
      ImageError: `truncated`, where no pixel is left; `corrupt`; `multi_frame`; `unsupported`.

    Example:
      >>> import io
      >>> from PIL import Image
      >>> file = io.BytesIO()
      >>> Image.new('L', (4, 2)).save(file, 'PNG')
      >>> read_png(file.getvalue()).samples
      1
    """
    size, view = len(data), memoryview(data)
    head: tuple[int, ...] = ()
    orientation, malformed, seen_exif = 1, False, False
    palette = transparency = False
    pixels: list[tuple[int, int]] = []
    cuts: list[Cut] = []
    wrong: list[Cut] = []
    kept: set[bytes] = set()
    complete, num_parts = False, 0
    at, former = _PNG_SIGNATURE, b""
    while at + 12 <= size:
        num_parts += 1
        if num_parts > _MOST_PARTS:
            raise ImageError("unsupported", f"PNG of more than {_MOST_PARTS:,} chunks")
        length, name = _CHUNK.unpack_from(data, at)
        start, end = at + 8, at + 12 + length
        if not name.isalpha() or not (head or name == b"IHDR"):
            raise ImageError("corrupt", "a chunk has no name, or stands before the header")
        if end > size:
            if name == b"IDAT":
                pixels.append((start, size))
            break
        if check_sums and zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(
            view[end - 4 : end], "big"
        ):
            raise ImageError("corrupt", "the sum of a chunk does not fit it")
        if name == b"IDAT":
            if pixels and former != b"IDAT":
                raise ImageError("corrupt", "other chunks stand between its pixels")
            pixels.append((start, end - 4))
        elif name == b"IHDR":
            if head:
                raise ImageError("corrupt", "it has two headers")
            head = _header(data[start : end - 4])
        elif name == b"IEND":
            if length:
                cuts.append(Cut(at, end, _IEND))
            complete, at = True, end
            break
        elif name == b"PLTE":
            palette = True
        elif name == b"tRNS":
            transparency = True
        elif name == b"fdAT" or (name == b"acTL" and data[start : start + 4] != b"\0\0\0\1"):
            raise ImageError("multi_frame", "it is animated")
        elif name == b"eXIf" and not seen_exif:
            seen_exif = True
            orientation, malformed = read_orientation(data[start : end - 4])
        elif name not in _PIXEL_CHUNKS and name[0] < 0x60:  # an upper-case letter: critical
            raise ImageError("unsupported", "it has a chunk that PNG does not know")
        if name in kept or not _is_kept(name, view[start : end - 4], colour=head[3]):
            cuts.append(Cut(at, end))
            if name in _REFUSED_CHUNKS:
                wrong.append(cuts[-1])
        elif name not in _PIXEL_CHUNKS:
            kept.add(name)
        at, former = end, name
    fault: Fault = "" if complete else "truncated" if at < size else "corrupt"
    if not pixels:
        raise ImageError(fault or "corrupt", "it has no pixels")
    width, height, bits, colour, interlace = head
    if colour == 3 and not palette:
        raise ImageError("corrupt", "it has no palette")
    if complete and at < size:
        cuts.append(Cut(at, size))
    return PngParts(
        width,
        height,
        bits,
        _SAMPLES[colour],
        colour == 3,
        transparency,
        interlace == 1,
        orientation,
        malformed,
        fault,
        tuple(pixels),
        tuple(cuts),
        tuple(wrong),
    )


def read_orientation(exif: bytes) -> tuple[int, bool]:
    """Returns the orientation that EXIF tells, 1 to 8, and whether EXIF is malformed.

    Args:
      exif: From the mark of its byte order on (`II` or `MM`).

    Example:
      >>> read_orientation(bytes.fromhex('4d4d002a00000008 0001 0112 0003 00000001 0006 0000'))
      (6, False)
      >>> read_orientation(b'II')
      (1, True)
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    try:
        if order is None:
            return 1, True
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        if start < 8 or start + 2 + 12 * count > len(exif):
            return 1, True
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, type_, number = struct.unpack_from(f"{order}HHI", exif, at)
            if tag == ORIENTATION:
                if type_ not in _BYTES_OF_TYPE or number != 1:
                    return 1, True
                (value,) = struct.unpack_from(f"{order}{_BYTES_OF_TYPE[type_]}", exif, at + 8)
                return (value, False) if 1 <= value <= 8 else (1, True)
    except struct.error:
        return 1, True
    return 1, False


def _end_of_scan(data: bytes, at: int) -> int:
    """Returns where the marker begins that ends a scan, or -1."""
    # Where there are markers that may not stand here, the scan is damaged; a decoder will say so.
    found = _SCAN_END.search(data, at)
    return -1 if found is None else found.start()


def _frame(segment: bytes) -> tuple[int, int, int, bool]:
    """Reads a SOF segment from its code on: width, height, components, whether usual."""
    if len(segment) < 9 or len(segment) != 9 + 3 * segment[8]:
        raise ImageError("corrupt", "the header of its frame has another length than it says")
    code, bits, height, width, components = struct.unpack_from(">BxxBHHB", segment)
    if code not in _HUFFMAN or bits != 8:
        raise ImageError("unsupported", "JPEG of more than 8 bits, or lossless, or arithmetic")
    if height == 0:
        raise ImageError("unsupported", "JPEG that does not tell its height")
    if width == 0 or components == 0:
        raise ImageError("corrupt", "it has no pixels")
    if components not in (1, 3, 4):
        raise ImageError("unsupported", f"JPEG of {components} components")
    usual = components == 1 or tuple(segment[10::3]) in _USUAL_SAMPLING
    return width, height, components, usual


def _cut_of(data: bytes, code: int, start: int, at: int, end: int) -> Cut | None:
    """Returns what is cut out of an application's segment or a comment."""
    content = at + 4
    if code == _APP2 and data.startswith(b"ICC_PROFILE\0", content) and end >= content + 14:
        return None
    if code == _APP0 and data.startswith(b"JFIF\0", content) and end >= content + 14:
        if end == at + 2 + _LENGTH_OF_JFIF:
            return None
        # A thumbnail stands in it; the same without is 16 bytes long and tells its size as 0 x 0.
        short = b"\xff\xe0\0\x10" + data[content : content + 12] + b"\0\0"
        return Cut(start, end, short)
    if code == _APP14 and data.startswith(b"Adobe", content) and end >= content + 12:
        if end == at + 2 + _LENGTH_OF_ADOBE:
            return None
        return Cut(start, end, b"\xff\xee\0\x0e" + data[content : content + 12])
    return Cut(start, end)


def _is_kept(name: bytes, content: memoryview, *, colour: int) -> bool:
    """Whether a chunk decides how pixels are read, and is such that all readers take it."""
    if name == b"PLTE":
        return colour == 3  # else it is a suggestion
    if name == b"iCCP":
        return _is_profile(bytes(content))
    return name in _PIXEL_CHUNKS or _LENGTHS.get(name, {}).get(colour) == len(content)


def _is_profile(content: bytes) -> bool:
    title, _, packed = content.partition(b"\0")
    if not 1 <= len(title) <= 79 or not packed.startswith(b"\0"):
        return False
    inflater = zlib.decompressobj()
    try:
        inflater.decompress(packed[1:], _MAX_PROFILE)
    except zlib.error:
        return False
    return inflater.eof


def _header(chunk: bytes) -> tuple[int, ...]:
    """Reads the content of IHDR: width, height, bits, colour type, interlace."""
    if len(chunk) != 13:
        raise ImageError("corrupt", "its header has another length")
    width, height, bits, colour, method, filters, interlace = struct.unpack(">IIBBBBB", chunk)
    if not width or not height or bits not in _DEPTHS.get(colour, ()):
        raise ImageError("corrupt", "its header tells of no image")
    if method or filters or interlace > 1:
        raise ImageError("unsupported", "PNG of an unknown method")
    return width, height, bits, colour, interlace
