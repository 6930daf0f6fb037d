"""What bytes are, told from their first bytes, before any decoder sees them.

Decoders guess, and a wrong guess can end the process: TensorFlow takes an animated WebP file for an
image that it reads. So only kinds that are known here go further.
"""

from __future__ import annotations

import os
import re
import zlib
from typing import Literal

Kind = Literal["jpeg", "png", "gif", "webp", "bmp", "tiff", "dicom", "nifti"]

_KIND_OF_EXTENSION: dict[str, Kind] = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), "jpeg"),
    **dict.fromkeys((".png", ".apng"), "png"),
    **dict.fromkeys((".tif", ".tiff"), "tiff"),
    **dict.fromkeys((".bmp", ".dib"), "bmp"),
    **dict.fromkeys((".dcm", ".dicom", ".ima"), "dicom"),
    ".gif": "gif",
    ".webp": "webp",
    ".nii": "nifti",
}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_NIFTI = (b"n+1\0", b"ni1\0", b"n+2\0", b"ni2\0")
_OTHER_IMAGES = (  # (where, bytes, name): images, but of kinds that are not read
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (4, b"ftypavif", "an AVIF image"),
    (4, b"ftypavis", "an AVIF image"),
    (4, b"ftyphei", "a HEIC image"),
    (4, b"ftypmif1", "a HEIC image"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\0\0\1\0", "an icon"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR image"),
)
_OTHERS = (  # (where, bytes, name): no images
    (0, b"PK\x03\x04", "a zip file"),
    (0, b"PK\x05\x06", "a zip file"),
    (0, b"%PDF", "a PDF file"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"BZh", "a bzip2 file"),
    (0, b"\xfd7zXZ\0", "an xz file"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z file"),
    (0, b"Rar!\x1a\x07", "a RAR file"),
    (257, b"ustar", "a tar file"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"\x93NUMPY", "a NumPy file"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office file"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
    (4, b"ftyp", "a video"),
    (0, b"\x1aE\xdf\xa3", "a video"),
    (8, b"AVI ", "a video"),
)
_TEXTS = (  # (how the text begins, in lower case; name)
    (b"version https://git-lfs", "a git-lfs pointer"),
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "XML"),
    (b"{", "JSON"),
    (b"[", "JSON"),
)
_PNM = re.compile(rb"P[1-7][ \t\r\n#]")
_CONTROL = bytes(code for code in range(32) if code not in b"\t\n\f\r\x1b")
LOOKED_AT = 512  # bytes, for the kind of a file


def kind_of(data: bytes) -> Kind | None:
    """Returns the kind of an image file, or None where it is of none that is read.

    Args:
      data: The whole file, or at least its first 512 bytes.

    Example:
      >>> kind_of(bytes.fromhex('89504e470d0a1a0a'))
      'png'
      >>> kind_of(b'<html>404')
    """
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data[128:132] == b"DICM":
        return "dicom"
    if data.startswith(_TIFF):
        return "tiff"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "webp"
    if (
        data.startswith(b"BM")
        and data[15:18] == b"\0\0\0"
        and data[14] in (12, 40, 52, 56, 108, 124)
    ):
        return "bmp"
    if _is_nifti(data):
        return "nifti"
    return "dicom" if _is_bare_dicom(data) else None


def kind_of_name(name: str) -> Kind | None:
    """Returns the kind that a file's name tells, or None where it tells none.

    Example:
      >>> kind_of_name('a/B.JPG'), kind_of_name('scan.0001')
      ('jpeg', None)
    """
    extension = os.path.splitext(name)[1].lower()
    if extension == ".gz" and name.lower().endswith(".nii.gz"):
        return "nifti"
    return _KIND_OF_EXTENSION.get(extension)


def other_image(data: bytes) -> str:
    """Names the kind of an image that is not read; empty where the bytes are none.

    Example:
      >>> other_image(b'P5 640 480 255 ')
      'a PNM image'
    """
    return "a PNM image" if _PNM.match(data) else _named(data, _OTHER_IMAGES)


def looks_like(data: bytes) -> str:
    """Says what bytes look like that are no image. Nothing of them is shown.

    Args:
      data: The whole file.

    Example:
      >>> looks_like(b'<!DOCTYPE html><title>Not found'), looks_like(bytes(9))
      ('an HTML page', 'zeros only')
    """
    if not data:
        return "nothing"
    if not any(data[:LOOKED_AT]) and not any(data):
        return "zeros only"
    found = _named(data, _OTHERS)
    if found:
        return found
    head = data[:LOOKED_AT]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "text"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for start, name in _TEXTS:
        if text.startswith(start):
            return name
    if b"<html" in text:
        return "an HTML page"
    return "text" if len(head.translate(None, _CONTROL)) == len(head) else "unknown data"


def _named(data: bytes, table: tuple[tuple[int, bytes, str], ...]) -> str:
    return next((name for at, magic, name in table if data.startswith(magic, at)), "")


def _is_nifti(data: bytes) -> bool:
    if data.startswith(b"\x1f\x8b"):
        try:
            data = zlib.decompressobj(wbits=31).decompress(data[:65_536], 352)
        except zlib.error:
            return False
    return data[344:348] in _NIFTI or data[4:8] in _NIFTI


def _is_bare_dicom(data: bytes) -> bool:
    """Whether data begin with an element of DICOM's group 0002 or 0008, without the preamble."""
    if data[:2] not in (b"\2\0", b"\x08\0") or len(data) < 16 or data[3] != 0:
        return False
    if data[4:6].isalpha() and data[4:6].isupper():  # the type of an explicit element
        return True
    return int.from_bytes(data[4:8], "little") <= 1024  # the length of an implicit one
