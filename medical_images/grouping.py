"""Records to groups: what must stay together, and where official splits tear it apart. Pure."""

from __future__ import annotations

from collections.abc import Mapping

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
    return join_groups(groups, joined_groups(copy_links(records))) if join_copies else groups


def copy_links(records: pd.DataFrame) -> pd.DataFrame:
    """Returns the records that are copies of another: `copy`, and `group`, their own group."""
    if "copy" not in records:
        return pd.DataFrame({"copy": [], "group": []}, dtype="str")
    copies = records[records["copy"] != ""]
    links = pd.DataFrame({"copy": copies["copy"], "group": own_groups(copies)})
    return links.drop_duplicates(ignore_index=True)


def joined_groups(links: pd.DataFrame) -> dict[str, str]:
    """Returns what is joined by copies.

    Args:
      links: Of all records, what `copy_links` returns.

    Returns:
      {group: the least of those that it is joined with} of each group that is joined with another.

    Example:
      >>> joined_groups(pd.DataFrame({'copy': ['x', 'x', 'y'], 'group': ['b', 'a', 'c']}))
      {'b': 'a', 'a': 'a'}
    """
    parents: dict[str, str] = {}

    def root_of(group: str) -> str:
        while parents.setdefault(group, group) != group:
            parents[group] = parents[parents[group]]  # halves the way for the next
            group = parents[group]
        return group

    first_with: dict[str, str] = {}
    for copy, group in zip(links["copy"], links["group"], strict=True):
        one, other = root_of(first_with.setdefault(copy, group)), root_of(group)
        parents[max(one, other)] = min(one, other)
    whole_of = {group: root_of(group) for group in parents}
    joining = {whole for group, whole in whole_of.items() if group != whole}
    return {group: whole for group, whole in whole_of.items() if whole in joining}


def join_groups(groups: pd.Series[str], joined: Mapping[str, str]) -> pd.Series[str]:
    """Returns what must stay together of each record's own group, as `joined_groups` tells."""
    return groups.map(joined).fillna(groups).astype("str") if joined else groups


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
