"""What a few image files are like: channels, bits, windows."""

from __future__ import annotations

import collections
import dataclasses
import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from medical_images.errors import CorpusError, ImageError
from medical_images.image_kinds import LOOKED_AT, kind_of
from medical_images.members import open_file, read
from medical_images.spec_images import Images

_NUM_LOOKED_AT = 48
_GREY = {"1", "L", "I", "I;16", "I;16B", "I;16L", "F"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PixelsSeen:
    """What was seen in a few files.

    Attributes:
      keys: What `images:` of the spec must say: `channels`, `dtype`, `window`, `alpha`...
      modes: {what was seen: how many files}.
      num_unread: Files that could not be opened.
    """

    keys: Mapping[str, Any]
    modes: Mapping[str, int]
    num_unread: int = 0


def look_at(root: str, paths: Sequence[str]) -> PixelsSeen:
    """Opens a few of the files, evenly spaced, and reads their headers."""
    step = max(1, len(paths) // _NUM_LOOKED_AT)
    modes: collections.Counter[str] = collections.Counter()
    unread = 0
    windows = set()
    for path in sorted(paths)[::step][:_NUM_LOOKED_AT]:
        try:
            mode, has_window = _mode_of(root, path)
        except (OSError, ValueError, CorpusError, ImageError, Image.DecompressionBombError):
            unread += 1
            continue
        modes[mode] += 1
        if mode.startswith("DICOM"):
            windows.add(has_window)
    return PixelsSeen(keys=_keys(modes, windows), modes=dict(modes), num_unread=unread)


def _mode_of(root: str, path: str) -> tuple[str, bool]:
    full = os.path.join(root, path)
    if path.lower().endswith((".nii", ".nii.gz")):
        return "NIfTI", False
    if not os.path.isfile(full):
        pixels = read(root, path, Images(path=[path]))  # a member of a container
        if not isinstance(pixels, bytes):
            grey = pixels.ndim < 3 or pixels.shape[2] == 1
            return ("I;16" if pixels.itemsize > 1 else "L") if grey else "RGB", False
        with Image.open(io.BytesIO(pixels)) as image:
            return image.mode, False
    with open_file(root, path) as file:
        kind = kind_of(file.read(LOOKED_AT))
        if kind == "dicom":
            return _dicom(full)
        file.seek(0)
        with Image.open(file) as image:
            return image.mode, False


def _dicom(path: str) -> tuple[str, bool]:
    try:
        import pydicom
    except ImportError:
        return "DICOM", False
    header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    bits, samples = int(header.get("BitsStored", 8)), int(header.get("SamplesPerPixel", 1))
    return f"DICOM of {bits} bits, {samples} channels", "WindowCenter" in header


def _keys(modes: Mapping[str, int], windows: set[bool]) -> dict[str, Any]:
    """Returns what the spec must say, at least the channels."""
    dicom = [mode for mode in modes if mode.startswith("DICOM")]
    deep = [mode for mode in modes if mode.startswith("I") or mode == "F"]
    grey = [m for m in modes if m in _GREY or m.endswith("1 channels") or m == "NIfTI"]
    keys: dict[str, Any] = {"channels": 1 if modes and len(grey) == len(modes) else 3}
    if any(" of 8 bits" not in mode for mode in dicom) and keys["channels"] == 1:
        if windows == {True}:
            keys["window"] = "file"
        else:
            keys["dtype"] = "uint16"
    elif deep and len(deep) == len(modes):
        keys["dtype"] = "uint16"
    elif deep:
        keys["window"] = [32768, 65536]
    if "NIfTI" in modes:
        keys["window"] = [40, 400]
    if keys["channels"] == 3 and {"RGBA", "LA", "PA"} & set(modes):
        keys["alpha"] = "drop"
    return keys
