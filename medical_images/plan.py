"""Records to a plan: which split each record is in, and where on the line it stands. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd

from medical_images import line
from medical_images.errors import Problem, SpecError
from medical_images.join import feature_column
from medical_images.spec import ClassFeature, CorpusSpec

_SINGLETON = "\x00image:"  # cannot begin a group id, since cells are stripped


@dataclasses.dataclass(frozen=True)
class Plan:
    """The records of every split, in written order.

    Attributes:
      splits: {split: records}; the records' columns and `position`, the place of the record's group
        on the split's line: the middle of its images, in [0, 1).
    """

    splits: Mapping[str, pd.DataFrame]

    @property
    def num_records(self) -> int:
        """The number of records in all splits."""
        return sum(len(records) for records in self.splits.values())

    def first(self, num_records: int | None) -> Plan:
        """Returns the plan cut to the first records of each split; None leaves it whole."""
        if num_records is None:
            return self
        return Plan({name: records.iloc[:num_records] for name, records in self.splits.items()})


def plan_records(records: pd.DataFrame, spec: CorpusSpec) -> Plan:
    """Plans splits and order: groups stay whole, and every slice is stratified.

    Args:
      records: What `join.join_images` makes; their order does not matter.
      spec: `splits`, `stratify` and `seed`.

    Raises:
      SpecError: A split would be empty.
    """
    ids = group_ids(records)
    codes, unique = pd.factorize(ids, sort=True)
    groups = _Groups(
        hashes=line.hash_groups(unique.tolist(), seed=spec.seed),
        sizes=np.bincount(codes, minlength=len(unique)).astype(np.int64),
        counts=_sum_by_group(label_matrix(records, spec), codes, len(unique)),
    )
    split_of_group = line.plan_splits(
        hashes=groups.hashes,
        sizes=groups.sizes,
        counts=groups.counts,
        ratios=list(spec.splits.values()),
    )
    _refuse_empty(split_of_group, groups.sizes, spec)
    splits = {}
    for number, name in enumerate(spec.splits):
        members = np.flatnonzero(split_of_group == number)
        splits[name] = _in_order(records, codes, members, groups)
    return Plan(splits)


def group_ids(records: pd.DataFrame) -> pd.Series[str]:
    """Returns the group of each record; a blank one is a group of its own, named by the image."""
    return records["group"].mask(records["group"] == "", _SINGLETON + records["path"].astype("str"))


def label_matrix(records: pd.DataFrame, spec: CorpusSpec) -> np.ndarray:
    """Counts labels.

    Returns:
      int64 array of shape (records, labels of all `stratify` features), 0 or 1.
    """
    blocks = [np.zeros((len(records), 0), dtype=np.int64)]
    for name in spec.stratify:
        number = {value: column for column, value in enumerate(spec.classes[name])}
        block = np.zeros((len(records), len(number)), dtype=np.int64)
        values = records[feature_column(name)]
        if isinstance(spec.features[name], ClassFeature):
            block[np.arange(len(records)), values.map(number).to_numpy(np.int64)] = 1
        else:
            lengths = values.map(len).to_numpy(np.int64)
            columns = [number[label] for labels in values for label in labels]
            block[np.repeat(np.arange(len(records)), lengths), columns] = 1
        blocks.append(block)
    return np.concatenate(blocks, axis=1)


@dataclasses.dataclass(frozen=True)
class _Groups:
    hashes: np.ndarray  # uint64, (groups,)
    sizes: np.ndarray  # int64, (groups,)
    counts: np.ndarray  # int64, (groups, labels)


def _sum_by_group(matrix: np.ndarray, codes: np.ndarray, num_groups: int) -> np.ndarray:
    sums = np.zeros((num_groups, matrix.shape[1]), dtype=np.int64)
    np.add.at(sums, codes, matrix)
    return sums


def _in_order(
    records: pd.DataFrame, codes: np.ndarray, members: np.ndarray, groups: _Groups
) -> pd.DataFrame:
    order = line.plan_order(
        hashes=groups.hashes[members], sizes=groups.sizes[members], counts=groups.counts[members]
    )
    ordered = members[order]
    sizes = groups.sizes[ordered]
    before = np.cumsum(sizes) - sizes
    place = np.full(len(groups.sizes), -1, dtype=np.int64)
    place[ordered] = np.arange(len(ordered))
    position = np.zeros(len(groups.sizes))
    position[ordered] = (2 * before + sizes) / (2 * max(int(sizes.sum()), 1))
    inside: pd.DataFrame = records.assign(position=position[codes], _place=place[codes])[
        place[codes] >= 0
    ]
    # The images of a group stand together, in the order of their paths.
    inside = inside.sort_values(["_place", "path"], ignore_index=True)
    return inside.drop(columns="_place")


def _refuse_empty(split_of_group: np.ndarray, sizes: np.ndarray, spec: CorpusSpec) -> None:
    filled = np.bincount(split_of_group, minlength=len(spec.splits))
    problems = [
        Problem(
            where=f"splits.{name}",
            what=f"would be empty: its share is {float(share):g} of {int(sizes.sum())} images"
            f" in {len(sizes)} groups, the largest of {int(sizes.max())} images",
            remedy="give it a larger share, or leave it out",
        )
        for (name, share), count in zip(spec.splits.items(), filled, strict=True)
        if count == 0
    ]
    if problems:
        raise SpecError(problems, headline="The splits cannot be made")
