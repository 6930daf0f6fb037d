"""What the parts of a corpus tell of it all; it adds up in any order."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from medical_images.errors import Problem
from medical_images.manifest import Listing
from medical_images.table_reader import Faults


@dataclasses.dataclass(frozen=True)
class Findings:
    """Counts, and what is wrong.

    Attributes:
      num_table_rows: Rows of each table, by its number.
      faults: What is wrong with the rows of each table.
      unreadable: Why a table cannot be read at all.
      repeated: What `tables.repeated_keys` found at the join of each table.
      num_rows: Rows of the joined tables; of each step that makes several of one (a join,
        `explode:`, `per_row: many`), how many more there are than before.
      num_kept: Rows that are part of records.
      listing: Files that were listed.
      num_ended: Files that came to an end.
      num_astray: Files that came to two ends or to none.
      told: The columns that paths tell, where there are no tables.
      split_problems: Why the lists of official splits cannot be used.
      num_keys: Lines of these lists, or the paths they name.
      listed: Those of them that records have.
      clashes: Rows of images whose names clash; see `name_clashes`.
      num_records: Records before copies were dealt with.
      num_copies: Records that were rejected as copies.
      num_written: Records that were written.
    """

    num_table_rows: Mapping[int, int] = dataclasses.field(default_factory=dict)
    faults: Mapping[int, Faults] = dataclasses.field(default_factory=dict)
    unreadable: Mapping[int, tuple[Problem, ...]] = dataclasses.field(default_factory=dict)
    repeated: Mapping[int, tuple[pd.DataFrame, ...]] = dataclasses.field(default_factory=dict)
    num_rows: int = 0
    num_kept: int = 0
    listing: Listing = dataclasses.field(default_factory=Listing)
    num_ended: int = 0
    num_astray: int = 0
    told: frozenset[str] = frozenset()
    split_problems: tuple[Problem, ...] = ()
    num_keys: int = 0
    listed: frozenset[str] = frozenset()
    clashes: tuple[tuple[str, int], ...] = ()
    num_records: int = 0
    num_copies: int = 0
    num_written: int = 0

    def __add__(self, other: Findings) -> Findings:
        names = [field.name for field in dataclasses.fields(self)]
        return Findings(**{name: _add(getattr(self, name), getattr(other, name)) for name in names})

    @staticmethod
    def sum(findings: Iterable[Findings]) -> Findings:
        """Adds findings, in any order.

        Example:
          >>> Findings.sum([Findings(num_rows=2), Findings(num_rows=3)]).num_rows
          5
        """
        return functools.reduce(lambda one, other: one + other, findings, Findings())


def _add(one: Any, other: Any) -> Any:
    if isinstance(one, Mapping):
        both = {key: _add(one[key], other[key]) for key in one.keys() & other.keys()}
        return {**one, **other, **both}
    return one | other if isinstance(one, frozenset) else one + other
