"""Records to a plan: which split each record is in, and where on the line it stands. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pandas as pd

from medical_images import line
from medical_images.facts import (
    FORMER_POSITION,
    FORMER_SPLIT,
    Basis,
    Facts,
    Known,
    with_former,
    with_groups,
)
from medical_images.scheme import Former, Scheme
from medical_images.spec import CorpusSpec
from medical_images.strata import Strata

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
HashArray = npt.NDArray[np.uint64]
_HASH, _GROUP = "_hash", "_group"


@dataclasses.dataclass(frozen=True)
class Plan:
    """The records of every split, in written order.

    Attributes:
      splits: {split: records}; the records' columns; `whole`, the id of what must stay together;
        `key`, the keyed hash of the record's own group (uint64); and `position`, the place of what
        must stay together on the split's line, about the middle of its images, in [0, 1).
      shares: {split: its share of the planned images}; official splits have none.
      strata: What is balanced.
      former: The dataset that this one extends, if one.
    """

    splits: Mapping[str, pd.DataFrame]
    shares: Mapping[str, Fraction]
    strata: Strata
    former: Former | None = None

    @property
    def scheme(self) -> Scheme:
        """What the plan was to meet."""
        return Scheme(tuple(self.splits), self.shares, self.strata, self.former)

    @property
    def num_records(self) -> int:
        """The number of records in all splits."""
        return sum(len(records) for records in self.splits.values())

    def first(self, num_records: int | None) -> Plan:
        """Returns the plan cut to the first records of each split; None leaves it whole."""
        if num_records is None:
            return self
        cut = {name: records.iloc[:num_records] for name, records in self.splits.items()}
        return dataclasses.replace(self, splits=cut)


@dataclasses.dataclass(frozen=True)
class GroupTable:
    """What a plan is made from.

    Attributes:
      codes: int64 of shape (records,), the number of each record's group.
      groups: The groups: keyed hashes, sizes, counts of each stratum.
    """

    codes: IntArray
    groups: line.Groups

    def known_splits(self, records: pd.DataFrame, names: Sequence[str]) -> IntArray:
        """int64 of shape (groups,): the number of each group's former split; -1 for a new one."""
        known = np.full(len(self.groups), -1)
        if FORMER_SPLIT in records:
            numbers = {name: number for number, name in enumerate(names)}
            former = records[FORMER_SPLIT].map(numbers).fillna(-1).to_numpy(np.int64)
            np.maximum.at(known, self.codes, former)
        return known

    def known_positions(self, records: pd.DataFrame, name: str | None = None) -> FloatArray:
        """float64 of shape (groups,): each group's former position; NaN for a new one.

        Args:
          records: Of which the table was made.
          name: The split where a position counts; by default, any.
        """
        known = np.full(len(self.groups), np.nan)
        if FORMER_SPLIT in records:
            former = records[FORMER_POSITION]
            if name is not None:
                former = former.where(records[FORMER_SPLIT] == name)
            np.fmin.at(known, self.codes, former.to_numpy(np.float64))
        return known


@dataclasses.dataclass(frozen=True)
class Surveyed:
    """Records that were counted.

    Attributes:
      records: With `whole` and `key`.
      facts: Of all of them; among them the images of groups that official splits tear apart.
      strata: What is balanced, but for combinations.
    """

    records: pd.DataFrame
    facts: Facts
    strata: Strata


def survey_records(records: pd.DataFrame, spec: CorpusSpec) -> Surveyed:
    """Counts records before they are planned.

    Args:
      records: What `join.join_images` and `copies.apply_copies` make; their order does not matter.
      spec: `splits`, `stratify`, `duplicates` and `seed`.
    """
    basis = Basis.of(records, spec)
    records = with_groups(records, basis.joined, seed=spec.seed)
    strata = Strata.fit(basis.numbers, spec)
    return Surveyed(records, Facts.of(records, strata), strata)


def plan_records(records: pd.DataFrame, spec: CorpusSpec, former: Former | None = None) -> Plan:
    """Plans splits and order: groups stay whole, and every slice is stratified.

    Args:
      records: See `survey_records`.
      spec: Likewise.
      former: The dataset that this one extends.

    Raises:
      SpecError: A split would be empty, counts do not add up, a group stands in two official
        splits, a stratum has no image, or the former dataset does not fit.
    """
    return plan_surveyed(survey_records(records, spec), former)


def plan_surveyed(surveyed: Surveyed, former: Former | None = None) -> Plan:
    """Plans records that were counted; see `plan_records`."""
    records, facts = surveyed.records, surveyed.facts
    if former is not None:
        records = with_former(records, former.groups)
        facts = dataclasses.replace(facts, known=Known.of(records))
    scheme = Scheme.make(facts, surveyed.strata, former)
    splits = _planned_splits(records[(records["split"] == "").to_numpy()], scheme)
    for name in scheme.names[len(splits) :]:
        splits[name] = records[(records["split"] == name).to_numpy()]
    scheme.refuse_empty({name: len(part) for name, part in splits.items()}, facts)
    ordered = {name: _in_order(part, scheme, name) for name, part in splits.items()}
    return Plan(ordered, scheme.shares, scheme.strata, former)


def numbered_groups(records: pd.DataFrame, *, seed: int) -> tuple[IntArray, HashArray]:
    """Numbers what has the same `whole`.

    Returns:
      int64 of shape (records,), the number of each record's group, in the order of their ids; and
      uint64 of shape (groups,), their keyed hashes.
    """
    codes, unique = pd.factorize(records["whole"], sort=True)
    return codes.astype(np.int64), line.hash_groups(unique.tolist(), seed=seed)


def group_table(records: pd.DataFrame, strata: Strata) -> GroupTable:
    """Reduces records, or a part of them, to groups: what has the same `whole`."""
    codes, hashes = numbered_groups(records, seed=strata.spec.seed)
    sizes = np.bincount(codes, minlength=len(hashes))
    matrix = strata.matrix(records)
    counts = np.zeros((len(hashes), matrix.shape[1]), dtype=np.int64)
    for column, is_in in enumerate(matrix.T):
        counts[:, column] = np.bincount(codes[is_in > 0], minlength=len(hashes))
    return GroupTable(codes, line.Groups.make(hashes, sizes, counts))


def in_order(
    records: pd.DataFrame, positions: FloatArray, hashes: HashArray, groups: IntArray
) -> pd.DataFrame:
    """Puts records of a split, or of a part of its line, in their order.

    Args:
      records: The records; those of a group will stand together, in the order of their paths.
      positions: float64 of shape (records,), the place of each record's group.
      hashes: uint64 of shape (records,), its keyed hash, by which equal positions are told apart.
      groups: int64 of shape (records,), its number in the order of `whole`.
    """
    keys = {"position": positions, _HASH: hashes, _GROUP: groups}
    ordered = records.assign(**keys).sort_values([*keys, "path"], ignore_index=True)
    helpers = [_HASH, _GROUP, FORMER_SPLIT, FORMER_POSITION]
    return ordered.drop(columns=helpers, errors="ignore")


def _planned_splits(records: pd.DataFrame, scheme: Scheme) -> dict[str, pd.DataFrame]:
    """Returns the records of each planned split."""
    if not scheme.shares:
        return {}
    table = group_table(records, scheme.strata)
    groups, ratios = table.groups, list(scheme.shares.values())
    if scheme.spec.splits.method == "hash":
        split_of_group = line.hash_splits(hashes=groups.hashes, ratios=ratios)
    else:
        split_of_group = line.plan_splits(
            hashes=groups.hashes,
            sizes=groups.sizes,
            counts=groups.counts,
            ratios=ratios,
            first=scheme.first,
            known=table.known_splits(records, list(scheme.shares)),
        )
    split_of_record = split_of_group[table.codes]
    return {name: records[split_of_record == k] for k, name in enumerate(scheme.shares)}


def _in_order(records: pd.DataFrame, scheme: Scheme, name: str) -> pd.DataFrame:
    """Puts the records of one split on its line."""
    table = group_table(records, scheme.strata)
    groups = table.groups
    if scheme.spec.splits.method == "hash":
        positions = line.hash_positions(hashes=groups.hashes)
    else:
        positions = line.plan_positions(
            hashes=groups.hashes,
            sizes=groups.sizes,
            counts=groups.counts,
            known=table.known_positions(records, name),
        )
    codes = table.codes
    return in_order(records, positions[codes], groups.hashes[codes], codes)
