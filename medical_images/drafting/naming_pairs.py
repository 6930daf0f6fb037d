"""Names that stand in several folders: which is meant, another column of the row tells."""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

FILE = "table_file"  # the column that tells the file of a row
_ENOUGH = 0.95  # of the rows whose name is found somewhere


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    """A column that tells the folder of each row's image.

    Attributes:
      column: The column, of the tables or derived.
      derive: {derived column: (column, pattern)}, empty of one that is there.
      heads: What stands before its cell in paths.
      is_deep: Whether folders may stand between its cell and the name.
      paths: The image of each row, or none.
    """

    column: str
    derive: Mapping[str, tuple[str, str]]
    heads: tuple[str, ...]
    is_deep: bool
    paths: tuple[tuple[str, ...], ...]


def find_pair(frame: pd.DataFrame, column: str, hits: Mapping[str, Sequence[str]]) -> Pair | None:
    """Finds the column that tells which of several files of one name is a row's; None without need.

    Args:
      frame: The rows.
      column: The column of names.
      hits: {cell of it: files that it may mean}.
    """
    if all(len(paths) == 1 for paths in hits.values()):
        return None
    places: dict[tuple[str, str], list[tuple[str, int]]] = collections.defaultdict(list)
    for cell, paths in hits.items():
        for path in paths:
            folders = path.split("/")[:-1]
            for level, folder in enumerate(folders):
                places[cell, folder].append((path, len(folders) - level))
    known = {folder for _, folder in places}
    cells = frame[column].tolist()
    num_hits = sum(cell in hits for cell in cells)
    for name, others, derive in _others(frame, column):
        if not known & set(others):
            continue
        found = [places.get(pair, []) for pair in zip(cells, others, strict=True)]
        if sum(len(one) == 1 for one in found) < _ENOUGH * num_hits or max(map(len, found)) > 1:
            continue
        heads = {_head(path, depth) for one in found for path, depth in one}
        return Pair(
            column=name,
            derive=derive,
            heads=tuple(sorted(heads)) if len(heads) <= 2 else ("**/",),
            is_deep=any(depth > 1 for one in found for _, depth in one),
            paths=tuple(tuple(path for path, _ in one) for one in found),
        )
    return None


def _others(
    frame: pd.DataFrame, column: str
) -> Iterator[tuple[str, list[str], Mapping[str, tuple[str, str]]]]:
    for other in map(str, frame.columns):
        if other not in (column, FILE):
            yield other, frame[other].tolist(), {}
    if FILE in frame and "folder" not in frame:
        for pattern in (r"([^/]+)/[^/]+$", r"([^/]+)\.[^./]+$"):
            told = [m[1] if (m := re.search(pattern, path)) else "" for path in frame[FILE]]
            yield "folder", told, {"folder": (FILE, pattern)}


def _head(path: str, depth: int) -> str:
    parts = path.split("/")[: -1 - depth]
    return "/".join([*parts, ""])
