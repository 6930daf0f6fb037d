"""What must be known of all records before they are planned: counts that add up over parts. Pure.

Records are counted twice: `Basis` tells which groups stay together and where bins begin, and with
these `Facts` counts the rest. A corpus in memory is one part.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from medical_images import line
from medical_images.grouping import (
    copy_links,
    join_groups,
    joined_groups,
    own_groups,
    torn_groups,
)
from medical_images.spec import CorpusSpec
from medical_images.strata import IntArray, Joint, Numbers, Strata, numbers_of

FORMER_SPLIT, FORMER_POSITION = "_former_split", "_former_position"
_TORN = ["table", "line", "path", "split", "whole"]


@dataclasses.dataclass(frozen=True)
class Basis:
    """What must be known of all records before they can be counted.

    Attributes:
      links: What `grouping.copy_links` returns; of no record where copies join nothing.
      numbers: What `strata.numbers_of` counts.
    """

    links: pd.DataFrame
    numbers: Mapping[str, Numbers]

    @classmethod
    def of(cls, records: pd.DataFrame, spec: CorpusSpec) -> Basis:
        """Takes a part of the records, all those of a group in the same one."""
        joins = spec.duplicates == "group"
        return cls(copy_links(records if joins else records.iloc[:0]), numbers_of(records, spec))

    @classmethod
    def total(cls, parts: Iterable[Basis]) -> Basis:
        """Adds up all parts, of which there is at least one."""
        found = list(parts)
        numbers = {
            name: Numbers.total(part.numbers[name] for part in found) for name in found[0].numbers
        }
        return cls(concat_rows(part.links for part in found), numbers)

    @property
    def joined(self) -> dict[str, str]:
        """{group: what it is joined to}, of those that are joined by copies."""
        return joined_groups(self.links)


def with_groups(records: pd.DataFrame, joined: Mapping[str, str], *, seed: int) -> pd.DataFrame:
    """Adds `whole`, the id of what must stay together, and `key`, the hash of the own group.

    Args:
      records: With `group` and `path`.
      joined: What `Basis.joined` tells of all records.
      seed: With which the keys are made.

    Example:
      >>> records = pd.DataFrame({'path': ['1.png', '2.png'], 'group': ['p1', 'p2']})
      >>> with_groups(records, {'p1': 'p1', 'p2': 'p1'}, seed=0)['whole'].tolist()
      ['p1', 'p1']
    """
    groups = own_groups(records)
    return records.assign(
        whole=join_groups(groups, joined), key=line.hash_groups(groups, seed=seed)
    )


def with_former(records: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """Adds where each record's own group stood in a former dataset.

    Args:
      records: With `key`.
      groups: One line a group: `split`, `key` and `position`.

    Returns:
      The records with the split, "" if the group was not there, and the position or NaN.

    Example:
      >>> records = pd.DataFrame({'key': np.array([3, 8], dtype=np.uint64)})
      >>> groups = pd.DataFrame({'split': ['test'], 'key': records['key'][:1], 'position': [0.25]})
      >>> with_former(records, groups).values.tolist()
      [[3, 'test', 0.25], [8, '', nan]]
    """
    before = groups.set_index("key").reindex(records["key"].to_numpy())
    split = before["split"].astype("object").fillna("").astype("str")
    columns: dict[str, Any] = {
        FORMER_SPLIT: split.array,
        FORMER_POSITION: before["position"].to_numpy(np.float64),
    }
    return records.assign(**columns)


@dataclasses.dataclass(frozen=True)
class Known:
    """What is known of the groups that a former dataset had.

    Attributes:
      num_groups: How many of its groups are here.
      splits: {split: how many groups to plan stood there}.
      num_torn: How often copies join groups to plan that stood in different splits.
      moved: `whole` and `line` of images whose official split is not the one they stood in.
    """

    num_groups: int
    splits: Counter[str]
    num_torn: int
    moved: pd.DataFrame

    @classmethod
    def of(cls, records: pd.DataFrame) -> Known:
        """Counts records for which `with_former` was called."""
        known = records[records[FORMER_SPLIT] != ""]
        planned, official = (known[(known["split"] == "") == flag] for flag in (True, False))
        splits_of_whole = planned.groupby("whole")[FORMER_SPLIT].nunique()
        return cls(
            num_groups=known["key"].nunique(),
            splits=Counter(planned.drop_duplicates("key")[FORMER_SPLIT]),
            num_torn=int((splits_of_whole > 1).sum()),
            moved=official.loc[official[FORMER_SPLIT] != official["split"], ["whole", "line"]],
        )

    @classmethod
    def total(cls, parts: Iterable[Known]) -> Known:
        """Adds up all parts, of which there is at least one."""
        found = list(parts)
        return cls(
            num_groups=sum(part.num_groups for part in found),
            splits=sum((part.splits for part in found), Counter()),
            num_torn=sum(part.num_torn for part in found),
            moved=concat_rows(part.moved for part in found),
        )


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is counted over all records.

    Attributes:
      images: {official split: images}; under "" those to plan.
      strata: int64 of shape (strata,), images in each stratum of a single feature.
      num_groups: How many groups there are to plan, joined ones as one.
      largest: Images of the largest of these.
      joint: What `Strata.count_joint` returns of the images to plan.
      torn: `table`, `line`, `path`, `split` and `whole` of the images of groups that stand in two
        official splits.
      known: Of a former dataset, if there is one.
    """

    images: Counter[str]
    strata: IntArray
    num_groups: int
    largest: int
    joint: Joint
    torn: pd.DataFrame
    known: Known | None

    @classmethod
    def of(cls, records: pd.DataFrame, strata: Strata) -> Facts:
        """Takes a part of the records, all those of a `whole` in the same one."""
        planned = records[(records["split"] == "").to_numpy()]
        codes, unique = pd.factorize(planned["whole"])
        return cls(
            images=Counter(records["split"]),
            strata=strata.matrix(records).sum(axis=0, dtype=np.int64),
            num_groups=len(unique),
            largest=int(np.bincount(codes, minlength=1).max()),
            joint=strata.count_joint(planned, codes),
            torn=torn_groups(records)[_TORN],
            known=Known.of(records) if FORMER_SPLIT in records else None,
        )

    @classmethod
    def total(cls, parts: Iterable[Facts]) -> Facts:
        """Adds up all parts, of which there is at least one."""
        found = list(parts)
        known = [part.known for part in found if part.known is not None]
        return cls(
            images=sum((part.images for part in found), Counter()),
            strata=np.sum([part.strata for part in found], axis=0),
            num_groups=sum(part.num_groups for part in found),
            largest=max(part.largest for part in found),
            joint=Joint.total(part.joint for part in found),
            torn=concat_rows(part.torn for part in found),
            known=Known.total(known) if known else None,
        )


def no_torn() -> pd.DataFrame:
    """Returns what `Facts.torn` is where no group stands in two official splits."""
    return pd.DataFrame({name: [] for name in _TORN})


def concat_rows(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Joins tables, of which there is at least one; those without rows have no say in dtypes."""
    found = list(tables)
    return pd.concat([table for table in found if len(table)] or found[:1], ignore_index=True)
