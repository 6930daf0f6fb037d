"""Which splits a corpus comes with: folders, lists of files, a column, or tables of their own."""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

import pandas as pd

T = TypeVar("T")

_WORDS = {
    "train": ("train", "training", "trn"),
    "validation": ("val", "valid", "validation", "validate", "dev"),
    "test": ("test", "testing", "tst"),
}
_SPLIT_OF = {word: split for split, words in _WORDS.items() for word in words}
_COLUMN = re.compile(
    r"(?i)(?:^|_)(?:split|set|subset|partition|fold|usage|dataset_type|phase|grp|group)s?$"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OfficialSplits:
    """Splits that a corpus comes with.

    Attributes:
      of_rows: The split of each row, "" for none.
      column: The column that tells, of the tables or derived; "" of lists.
      pattern: Cuts the column out of `images.path`; "" of a column that is there.
      values: With a column, {split: cells}.
      files: With lists, {split: list}.
      why: What tells it.
    """

    of_rows: tuple[str, ...]
    column: str = ""
    pattern: str = ""
    values: Mapping[str, list[str]] = dataclasses.field(default_factory=dict)
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    why: str


def split_of(word: str) -> str:
    """Returns the split that a folder, a file or a cell speaks of, or "".

    Example:
      >>> split_of('ISIC_2019_Training_Input'), split_of('val'), split_of('contest')
      ('train', 'validation', '')
    """
    words = [w for w in re.split(r"[^a-z]+", word.lower()) if w]
    found = {_SPLIT_OF[w] for w in words if w in _SPLIT_OF}
    return found.pop() if len(found) == 1 else ""


def in_order(of_splits: Mapping[str, T]) -> dict[str, T]:
    """Returns what is told of splits in the order that readers expect.

    Example:
      >>> in_order({'test': 'b.txt', 'train': 'a.txt'})
      {'train': 'a.txt', 'test': 'b.txt'}
    """
    return {split: of_splits[split] for split in _WORDS if split in of_splits}


def by_folder(paths: Sequence[str]) -> OfficialSplits | None:
    """Returns the splits that one level of folders names."""
    folders = [path.split("/")[:-1] for path in paths]
    for level in range(max(map(len, folders), default=0)):
        names = [parts[level] if len(parts) > level else "" for parts in folders]
        values: dict[str, list[str]] = collections.defaultdict(list)
        for name in sorted(set(names)):
            values[split_of(name)].append(name)
        if "" not in values and len(values) > 1:
            cells = sorted(set(names))
            pattern = "(?:^|/)(" + "|".join(map(_escaped, cells)) + ")/"
            return OfficialSplits(
                of_rows=tuple(map(split_of, names)), column="official_split", pattern=pattern,
                values=dict(values), why="folders",
            )  # fmt: skip
    return None


def by_column(frame: pd.DataFrame) -> OfficialSplits | None:
    """Returns the splits that a column names."""
    for name in frame.columns:
        cells = frame[name]
        known = sorted(set(cells.unique()) - {""})
        if not 2 <= len(known) <= 12:
            continue
        values: dict[str, list[str]] = collections.defaultdict(list)
        for cell in known:
            values[split_of(cell)].append(cell)
        if "" in values or len(values) < 2:
            continue
        if _COLUMN.search(str(name)) or len(known) <= 4:
            return OfficialSplits(
                of_rows=tuple(map(split_of, cells)), column=str(name), values=dict(values),
                why=f"column '{name}'",
            )  # fmt: skip
    return None


def by_lists(lists: Mapping[str, set[str]], names: Sequence[set[str]]) -> OfficialSplits | None:
    """Returns the splits that lists of images name.

    Args:
      lists: {list: its lines}.
      names: What each row's image may be called in a list.
    """
    rows_of: dict[str, set[int]] = {}
    for path, lines in lists.items():
        rows = {number for number, called in enumerate(names) if called & lines}
        if rows and len(rows) >= 0.3 * len(lines):
            rows_of[path] = rows
    files: dict[str, str] = {}
    of_rows = [""] * len(names)
    for path in sorted(rows_of, key=lambda path: (len(path), path)):
        split = split_of(path.rsplit("/", 1)[-1]) or (
            "train" if re.search(r"(?i)train", path.rsplit("/", 1)[-1]) else ""
        )
        taken = any(of_rows[row] for row in rows_of[path])
        if split and split not in files and not taken:
            files[split] = path
            for row in rows_of[path]:
                of_rows[row] = split
    if len(files) < 2:
        return None
    return OfficialSplits(of_rows=tuple(of_rows), files=files, why="lists of files")


def by_table(column: str, files: Sequence[str], of_rows: Sequence[str]) -> OfficialSplits | None:
    """Returns the splits of a table in several files that are named for splits."""
    values: dict[str, list[str]] = collections.defaultdict(list)
    for path in files:
        values[split_of(path.rsplit("/", 1)[-1])].append(path)
    if "" in values or len(values) < 2:
        return None
    splits = {path: split for split, paths in values.items() for path in paths}
    return OfficialSplits(
        of_rows=tuple(splits[path] for path in of_rows), column=column, values=dict(values),
        why="the tables' files",
    )  # fmt: skip


def leaks_of(splits: OfficialSplits, groups: Sequence[str]) -> int:
    """Counts groups in two of the splits."""
    seen: dict[str, set[str]] = collections.defaultdict(set)
    for group, split in zip(groups, splits.of_rows, strict=True):
        if group and split:
            seen[group].add(split)
    return sum(len(found) > 1 for found in seen.values())


def _escaped(text: str) -> str:
    return re.escape(text).replace(r"\ ", " ").replace(r"\-", "-")
