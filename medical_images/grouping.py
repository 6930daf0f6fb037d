"""Records to groups: what must stay together, and where official splits tear it apart. Pure."""

from __future__ import annotations

import numpy as np
import pandas as pd

_SINGLETON = "\x00image:"  # cannot begin a group id, since no cell has a NUL


def own_groups(records: pd.DataFrame) -> pd.Series[str]:
    """Returns the group of each record; a blank one is a group of its own, named by the image."""
    return records["group"].mask(records["group"] == "", _SINGLETON + records["path"].astype("str"))


def whole_groups(records: pd.DataFrame, *, join_copies: bool) -> pd.Series[str]:
    """Returns what must stay together: groups, joined where they hold copies of one image.

    Args:
      records: With `group`, `path` and, where copies were looked for, `copy` (the same text for
        images of the same bytes, blank for all others).
      join_copies: Whether copies join their groups.

    Returns:
      The id of each record's group; that of joined groups is the least of theirs.

    Example:
      >>> records = pd.DataFrame(
      ...     {'path': ['1.png', '2.png', '3.png'], 'group': list('bac'), 'copy': ['x', 'x', '']}
      ... )
      >>> whole_groups(records, join_copies=True).tolist()
      ['a', 'a', 'c']
    """
    groups = own_groups(records)
    if not join_copies or "copy" not in records or (records["copy"] == "").all():
        return groups
    is_copy = (records["copy"] != "").to_numpy()
    parents: dict[str, str] = {}

    def root_of(group: str) -> str:
        while parents.setdefault(group, group) != group:
            parents[group] = parents[parents[group]]  # halves the way for the next
            group = parents[group]
        return group

    first_with: dict[str, str] = {}
    for copy, group in zip(records["copy"][is_copy], groups[is_copy], strict=True):
        one, other = root_of(first_with.setdefault(copy, group)), root_of(group)
        parents[max(one, other)] = min(one, other)
    return groups.map({group: root_of(group) for group in parents}).fillna(groups)


def torn_groups(records: pd.DataFrame) -> pd.DataFrame:
    """Returns the records of groups that stand in two official splits, or in one and in none.

    Args:
      records: With `whole`, what must stay together, and `split`, the official split of each
        record, blank where there is none.
    """
    if (records["split"] == "").all():
        return records.iloc[:0]
    codes, _ = pd.factorize(records["whole"])
    splits, _ = pd.factorize(records["split"])
    pairs = np.unique(np.column_stack([codes, splits]), axis=0)[:, 0]
    return records[np.bincount(pairs)[codes] > 1]
