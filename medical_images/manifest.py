"""The manifest: what a dataset was made from, and what tells its files from damaged ones."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from concurrent import futures
from typing import Any

import pandas as pd
from etils import epath

from medical_images.progress import progress_bar
from medical_images.record_files import FileSum
from medical_images.remote import storage_errors
from medical_images.texts import TextError, is_pattern, read_texts

FILE = "manifest.json"
_FORMAT = 1
_NUM_THREADS = 8
_MODULUS = 1 << 128


@dataclasses.dataclass(frozen=True)
class Listing:
    """What tells one listing of image files from another. It adds up, in any order.

    Attributes:
      num_files: How many files there are.
      num_bytes: The sum of their sizes.
      hash_sum: The sum of a hash (BLAKE2b, 128 bits) of the name and size of each.
    """

    num_files: int = 0
    num_bytes: int = 0
    hash_sum: int = 0

    @classmethod
    def of(cls, files: pd.DataFrame) -> Listing:
        """Takes a part of the files: `path` and `num_bytes`."""
        total = 0
        for path, size in zip(files["path"].tolist(), files["num_bytes"].tolist(), strict=True):
            hashed = hashlib.blake2b(b"%s\0%d" % (os.fsencode(path), size), digest_size=16)
            total += int.from_bytes(hashed.digest())
        return cls(len(files), int(files["num_bytes"].sum()), total)

    def __add__(self, other: Listing) -> Listing:
        return Listing(
            self.num_files + other.num_files,
            self.num_bytes + other.num_bytes,
            self.hash_sum + other.hash_sum,
        )


def sums_of(root: str, tables: Iterable[str]) -> dict[str, FileSum]:
    """Sums tables and lists; to be asked before they are read, so that no later change is missed.

    Args:
      root: The corpus root.
      tables: Paths below it; what does not exist is left out. A pattern is that of texts, which
        are summed with their paths; if one cannot be read, whoever reads the table tells it.
    """
    sums = {}
    for name in sorted(set(tables)):
        path = epath.Path(root) / name
        if path.exists():
            sums[name] = FileSum.of(path)
        elif is_pattern(name):
            texts = read_texts(root, name)
            with contextlib.suppress(TextError):
                sums[name] = FileSum.of_pieces(
                    part for at, data in texts for part in (os.fsencode(at), data)
                )
    return sums


def inputs_of(listing: Listing, sums: Mapping[str, FileSum]) -> dict[str, Any]:
    """Tells of all that a dataset is made from what it takes to see that it changed.

    Args:
      listing: Of the image files, which are not opened.
      sums: Of the tables.

    Returns:
      {tables: {path: {bytes, crc32c}}, images: {files, bytes, names_and_sizes}}.
    """
    return {
        "tables": {name: _told(told) for name, told in sums.items()},
        "images": {
            "files": listing.num_files,
            "bytes": listing.num_bytes,
            "names_and_sizes": f"{listing.hash_sum % _MODULUS:032x}",
        },
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Says how the inputs of a dataset differ from those of before.

    Example:
      >>> images = {'files': 5, 'bytes': 50, 'names_and_sizes': 'a'}
      >>> differences({'tables': {}, 'images': images},
      ...             {'tables': {'a.csv': {}}, 'images': {**images, 'files': 6}})
      ["the table or list 'a.csv' is new", 'there are 6 image files, and there were 5']
    """
    found = []
    for name in sorted(before["tables"].keys() | now["tables"].keys()):
        one, other = before["tables"].get(name), now["tables"].get(name)
        if one != other:
            what = "is new" if one is None else "is gone" if other is None else "has changed"
            found.append(f"the table or list '{name}' {what}")
    one, other = before["images"], now["images"]
    if one["files"] != other["files"]:
        found.append(f"there are {other['files']:,} image files, and there were {one['files']:,}")
    elif one != other:
        found.append("image files have other names or sizes")
    return found


def write_manifest(
    folder: epath.Path, *, inputs: Mapping[str, Any], files: Mapping[str, tuple[FileSum, int]]
) -> None:
    """Writes the manifest of a dataset.

    Args:
      folder: That of the dataset.
      inputs: What `inputs_of` found.
      files: {name below the folder: (its sum, how many examples it holds)}.
    """
    told = {
        "format": _FORMAT,
        "inputs": inputs,
        "files": {
            name: {**_told(sums), "examples": num_examples}
            for name, (sums, num_examples) in sorted(files.items())
        },
    }
    (folder / FILE).write_text(json.dumps(told, indent=1) + "\n")


def read_manifest(folder: epath.Path) -> dict[str, Any] | None:
    """Returns the manifest of a dataset; None if it has none that can be read."""
    try:
        told = json.loads((folder / FILE).read_text())
        return told if told["format"] == _FORMAT else None
    except storage_errors(ValueError, LookupError, TypeError):
        return None


def damages(folder: epath.Path, told: Mapping[str, Any], *, progress: bool = True) -> list[str]:
    """Reads all files of a dataset and says which are not as they were written.

    Args:
      folder: That of the dataset.
      told: Its manifest.
      progress: Whether to show a bar.
    """
    files = told["files"]
    num_bytes = sum(file["bytes"] for file in files.values())
    bar = progress_bar(num_bytes, "Verifying", unit="B", is_shown=progress)

    def damage(name: str) -> str | None:
        try:
            found = FileSum.of(folder / name)
        except storage_errors():
            found = None
        bar.update(files[name]["bytes"])
        if found is None:
            return f"{name} is missing, or cannot be read"
        if found.num_bytes != files[name]["bytes"]:
            return f"{name} has {found.num_bytes:,} bytes; {files[name]['bytes']:,} were written"
        if found.crc32c != files[name]["crc32c"]:
            return f"{name} is damaged: its checksum is not that of what was written"
        return None

    with bar, futures.ThreadPoolExecutor(_NUM_THREADS) as pool:
        return [what for what in pool.map(damage, files) if what]


def _told(sums: FileSum) -> dict[str, Any]:
    return {"bytes": sums.num_bytes, "crc32c": sums.crc32c}
