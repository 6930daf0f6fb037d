"""What lies in a folder: images, tables, masks, and what is passed over."""

from __future__ import annotations

import collections
import dataclasses
import functools
import os
import re
from collections.abc import Mapping

from medical_images.errors import SpecError
from medical_images.image_kinds import LOOKED_AT, kind_of, kind_of_name, looks_like
from medical_images.images import walk
from medical_images.opening import leaves_root
from medical_images.spec_images import Images

_TABLES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", ".xlsx", ".xls", ".parquet")
_ENTERED = ("**/*", "**/*.zip/**/*", "**/*.hdf5/*", "**/*.h5/*")
_JUNK = re.compile(
    r"(?i)(?:.*\.rejects\.csv|.*sample_?submission.*|readme.*|licen[cs]e.*|attribution.*|changelog.*|checksums?.*"
    r"|dicomdir|~\$.*|sha256sums.*|md5sums?.*|requirements.*|\w*hmnist_\d+_\d+.*|thumbs\.db|desktop\.ini)"
)
MASK = re.compile(
    r"(?i)(?:^|/)[^/]*mask[^/]*/|(?:^|/)(?:seg|segmentations?|ground_?truths?)/"
    r"|[_ -](?:mask|seg|segmentation)(?:[_ -]?\d+)?\.(?:nii\.gz|[a-z]+)$"
)
_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,5}$")  # of a file; that of a UID is a number
_FAULTS = {
    "path_escape": "links that lead out of the folder: copy the files, or draft where they lie",
    "not_regular": "files that are none of their own: links, pipes, devices",
}
_MANY_TEXTS = 20  # text files in one folder: one for each image, rather than tables


@dataclasses.dataclass(frozen=True, kw_only=True)
class Survey:
    """What a folder holds, by paths below it with `/` between folders, sorted.

    Attributes:
      root: The folder.
      images: Image files, also members of zip and HDF5 files.
      masks: Image files whose names say that they are masks.
      tables: Files that may be tables or lists.
      passed_over: {what it is: how many files}.
    """

    root: str
    images: tuple[str, ...]
    masks: tuple[str, ...]
    tables: tuple[str, ...]
    passed_over: Mapping[str, int]


def survey(root: str) -> Survey:
    """Lists a folder; hidden files are passed over, and no link that leads out of it is followed.

    Raises:
      BuildError: A folder cannot be listed.
    """
    paths, faults = _paths_below(root)
    texts = collections.Counter(
        os.path.dirname(path) for path in paths if path.lower().endswith((".txt", ".txt.gz"))
    )
    found: dict[str, list[str]] = {"image": [], "mask": [], "table": []}
    passed_over = collections.Counter(_FAULTS.get(fault, "files with a fault") for fault in faults)
    has_images = any(kind_of_name(path) for path in paths)
    dicom: dict[str, bool] = {}  # by folder
    for path in paths:
        name = os.path.basename(path)
        is_text = name.lower().endswith((".txt", ".txt.gz"))
        is_junk = _JUNK.fullmatch(name) is not None
        if "__MACOSX/" in path:
            passed_over["files of __MACOSX"] += 1
        elif not is_junk and _is_image(root, path, dicom=None if has_images else dicom):
            found["mask" if MASK.search(path) else "image"].append(path)
        elif is_junk:
            passed_over[f"{name} (by its name)"] += 1
        elif is_text and texts[os.path.dirname(path)] > _MANY_TEXTS:
            passed_over[
                f"text files in {os.path.dirname(path) or '.'} (one for each image? see `texts:`)"
            ] += 1
        elif name.lower().endswith(_TABLES) or _is_plain_text(root, path):
            found["table"].append(path)
        else:
            passed_over[f"files that end in '{os.path.splitext(name)[1] or name}'"] += 1
    if not found["image"]:  # then these names mean something else
        found["image"], found["mask"] = found["mask"], []
    return Survey(
        root=root,
        images=tuple(found["image"]),
        masks=tuple(found["mask"]),
        tables=tuple(found["table"]),
        passed_over=dict(passed_over),
    )


def _paths_below(root: str) -> tuple[list[str], list[str]]:
    """Returns paths, and the faults of those that cannot be read."""
    for texts in (_ENTERED, _ENTERED[:2], _ENTERED[:1]):  # as far as libraries are installed
        try:
            files = list(walk(root, "", Images(path=list(texts))))
        except SpecError:
            continue
        paths = sorted(file.path for file in files if not file.fault)
        return paths, [file.fault for file in files if file.fault]
    return [], []


def _is_image(root: str, path: str, *, dicom: dict[str, bool] | None) -> bool:
    if kind_of_name(path):
        return True
    if any(f"{extension}/" in path.lower() for extension in (".hdf5", ".h5")):
        return True
    if dicom is None or _ENDING.search(path):
        return False
    folder = os.path.dirname(path)
    if folder not in dicom:  # one of the files tells for all
        dicom[folder] = kind_of(_head(root, path)) == "dicom"
    return dicom[folder]


def _head(root: str, path: str) -> bytes:
    full = os.path.join(root, path)
    if not os.path.isfile(full) or leaves_root(full, root):
        return b""
    with open(full, "rb") as file:
        return file.read(LOOKED_AT)


def _is_plain_text(root: str, path: str) -> bool:
    """Whether a file without an extension is text in columns, such as `HAM10000_metadata`."""
    if os.path.splitext(path)[1]:
        return False
    head = _head(root, path)
    return b"," in head.split(b"\n")[0] and looks_like(head) == "text"


@functools.lru_cache(maxsize=1 << 20)
def stem_of(path: str) -> str:
    """Returns the name of an image file without its extension.

    Example:
      >>> stem_of('a/x.y.png'), stem_of('a/1.2.840.10008'), stem_of('b/s1.nii.gz')
      ('x.y', '1.2.840.10008', 's1')
    """
    name = path.rsplit("/", 1)[-1]
    return name[: len(name) - len(extension_of(path))]


def extension_of(path: str) -> str:
    """Returns the extension of an image file as it is written, or "" where it is none.

    Example:
      >>> extension_of('a/x.JPG'), extension_of('a/1.2.840.10008')
      ('.JPG', '')
    """
    name = path.rsplit("/", 1)[-1]
    if not kind_of_name(name):
        return ""
    return name[-7:] if name.lower().endswith(".nii.gz") else os.path.splitext(name)[1]
