"""What is balanced: the strata of records, counted one column each. Pure."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from medical_images.join import feature_column
from medical_images.spec import CorpusSpec, UncertainFeature
from medical_images.spec_feature_types import ClassesFeature, is_list

_MAX_JOINT = 400
MISSING = "missing"
IGNORED = "ignored"  # what is to be masked of a feature of type uncertain
IntArray = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Numbers:
    """How often each number occurs; of two parts of the records, the counts add up.

    Attributes:
      values: float64 of shape (values,), ascending, without NaN.
      counts: int64 of shape (values,).

    Example:
      >>> parts = [Numbers.of(np.array([1.0, 2.0, np.nan])), Numbers.of(np.array([3.0, 4.0]))]
      >>> Numbers.total(parts).edges(2)
      (3.0,)
    """

    values: npt.NDArray[np.float64]
    counts: IntArray

    @classmethod
    def of(cls, cells: npt.NDArray[np.float64]) -> Numbers:
        """Counts the numbers of a column."""
        present = cells[~np.isnan(cells)] + 0.0  # which makes 0 of -0, an equal number
        values, counts = np.unique(present, return_counts=True)
        return cls(values, counts.astype(np.int64))

    @classmethod
    def total(cls, parts: Iterable[Numbers]) -> Numbers:
        """Adds up the counts of all parts, of which there is at least one."""
        found = list(parts)
        values, codes = np.unique(np.concatenate([p.values for p in found]), return_inverse=True)
        counts = np.zeros(len(values), dtype=np.int64)
        np.add.at(counts, codes, np.concatenate([p.counts for p in found]))
        return cls(values, counts)

    def edges(self, num_bins: int) -> tuple[float, ...]:
        """The inner edges of bins of equally many images, which are numbers that occur."""
        ends = np.cumsum(self.counts)
        total = int(self.counts.sum())
        places = {total * k // num_bins for k in range(1, num_bins)} - {total}
        ordered = self.values[np.searchsorted(ends, sorted(places), side="right")]
        return tuple(edge for edge in np.unique(ordered).tolist() if edge > self.values[0])


@dataclasses.dataclass(frozen=True)
class Joint:
    """How common the combinations of several features are; the counts of two parts add up.

    Attributes:
      images: int64 of shape (combinations,), planned images with each.
      groups: int64 of shape (combinations,), what must stay together with each.
    """

    images: IntArray
    groups: IntArray

    @classmethod
    def total(cls, parts: Iterable[Joint]) -> Joint:
        """Adds up all parts, of which there is at least one."""
        found = list(parts)
        images, groups = ([getattr(p, name) for p in found] for name in ("images", "groups"))
        return cls(np.sum(images, axis=0), np.sum(groups, axis=0))


@dataclasses.dataclass(frozen=True)
class _Balanced:
    """One feature to balance.

    Attributes:
      name: The feature.
      values: Its strata: classes, or bins.
      edges: Of bins, the inner edges; None for classes.
    """

    name: str
    values: tuple[str, ...]
    edges: tuple[float, ...] | None

    def matrix(self, records: pd.DataFrame, spec: CorpusSpec) -> npt.NDArray[np.uint8]:
        """uint8 of shape (records, values): whether a record is in a stratum."""
        cells = records[feature_column(self.name)]
        block = np.zeros((len(records), len(self.values)), dtype=np.uint8)
        rows = np.arange(len(records))
        if self.edges is not None:
            numbers = cells.to_numpy(np.float64)
            bins = np.searchsorted(np.array(self.edges), numbers, side="right")
            columns = np.where(np.isnan(numbers), len(self.edges) + 1, bins)
            block[rows, columns] = 1
            return block
        number = {value: column for column, value in enumerate(self.values)}
        number[""] = number.get(IGNORED, 0)
        if is_list(spec.features[self.name]):
            lengths = cells.map(len).to_numpy(np.int64)
            block[np.repeat(rows, lengths), [number[label] for c in cells for label in c]] = 1
        else:
            block[rows, cells.map(number).to_numpy(np.int64)] = 1
        return block


@dataclasses.dataclass(frozen=True)
class Strata:
    """What is balanced: the values of each `stratify` feature, and combinations of them.

    Attributes:
      spec: Of the features.
      features: Those to balance.
      joint: Combinations that are balanced too: the columns whose product they are.
      num_left_out: Combinations that are not balanced: those that occur but are too rare, or all of
        them where there are too many.
    """

    spec: CorpusSpec
    features: tuple[_Balanced, ...]
    joint: tuple[tuple[int, ...], ...] = ()
    num_left_out: int = 0

    @classmethod
    def fit(cls, numbers: Mapping[str, Numbers], spec: CorpusSpec) -> Strata:
        """Finds the strata of each feature.

        Args:
          numbers: Of all records, what `numbers_of` counts.
          spec: `features` and `stratify`.
        """
        features = []
        for stratum in spec.stratify:
            feature = spec.features[stratum.feature]
            if isinstance(feature, ClassesFeature):
                features.append(_Balanced(stratum.feature, _states(feature), None))
                continue
            bins = stratum.bins
            edges = numbers[stratum.feature].edges(bins) if isinstance(bins, int) else bins or ()
            features.append(_Balanced(stratum.feature, tuple(_bin_names(edges)), edges))
        return cls(spec, tuple(features))

    @property
    def names(self) -> list[tuple[str, str]]:
        """(feature, value) of each column; of a combination, both joined by ` & `."""
        single = [(f.name, value) for f in self.features for value in f.values]
        joint = [[single[column] for column in columns] for columns in self.joint]
        return single + [
            (" & ".join(feature for feature, _ in part), " & ".join(value for _, value in part))
            for part in joint
        ]

    def matrix(self, records: pd.DataFrame) -> npt.NDArray[np.uint8]:
        """Tells which records are in which stratum.

        Returns:
          uint8 of shape (records, names), 0 or 1.
        """
        blocks = [np.zeros((len(records), 0), dtype=np.uint8)]
        blocks += [feature.matrix(records, self.spec) for feature in self.features]
        single = np.concatenate(blocks, axis=1)
        joint = [single[:, list(columns)].prod(axis=1, dtype=np.uint8) for columns in self.joint]
        return np.column_stack([single, *joint]) if joint else single

    def count_joint(self, records: pd.DataFrame, groups: IntArray) -> Joint:
        """Counts each combination of several features.

        Args:
          records: Those that are planned.
          groups: int64 of shape (records,), the number of each record's group.

        Returns:
          Counts of shape (combinations,); there are none of a single feature, nor by hash, which
          balances nothing, nor where they are more than 400.
        """
        matrix = self.matrix(records)
        has = [matrix[:, list(columns)].all(axis=1) for columns in self._combinations()]
        return Joint(
            np.array([rows.sum() for rows in has], dtype=np.int64),
            np.array([len(np.unique(groups[rows])) for rows in has], dtype=np.int64),
        )

    def with_joint(self, joint: Joint, *, shares: list[float]) -> Strata:
        """Adds the combinations of several features, as far as there are enough of them.

        A combination is balanced if as many groups have it as there are splits, and the smallest
        split is due at least one of its images. Where there are more than 400 combinations, none
        is: the features are balanced separately.

        Args:
          joint: Of all planned records.
          shares: Of the splits.
        """
        if not self._num_combinations or not shares:
            return self
        if self._num_combinations > _MAX_JOINT:
            return dataclasses.replace(self, num_left_out=self._num_combinations)
        is_common = (joint.images * min(shares) >= 1) & (joint.groups >= len(shares))
        kept = itertools.compress(self._combinations(), is_common.tolist())
        num_left_out = int(((joint.images > 0) & ~is_common).sum())
        return dataclasses.replace(self, joint=tuple(kept), num_left_out=num_left_out)

    @property
    def _num_combinations(self) -> int:
        if len(self.features) < 2 or self.spec.splits.method == "hash":
            return 0
        return math.prod(len(feature.values) for feature in self.features)

    def _combinations(self) -> list[tuple[int, ...]]:
        if not 0 < self._num_combinations <= _MAX_JOINT:
            return []
        return list(itertools.product(*self._columns_by_feature()))

    def _columns_by_feature(self) -> Iterator[range]:
        start = 0
        for feature in self.features:
            yield range(start, start + len(feature.values))
            start += len(feature.values)


def numbers_of(records: pd.DataFrame, spec: CorpusSpec) -> dict[str, Numbers]:
    """Counts the numbers of each feature that is balanced in bins of equally many images."""
    return {
        stratum.feature: Numbers.of(records[feature_column(stratum.feature)].to_numpy(np.float64))
        for stratum in spec.stratify
        if isinstance(stratum.bins, int)
    }


def _states(feature: ClassesFeature) -> tuple[str, ...]:
    has_ignored = isinstance(feature, UncertainFeature) and feature.has_ignored
    return (*feature.values, *([IGNORED] if has_ignored else []))


def label_of(stratum: tuple[str, str]) -> str:
    """The name of a stratum; that of all images is blank."""
    return "=".join(stratum) if any(stratum) else ""


def _bin_names(edges: tuple[float, ...]) -> Iterator[str]:
    texts = [np.format_float_positional(edge, trim="-") for edge in edges]
    if not texts:
        yield "any"
    else:
        yield f"under {texts[0]}"
        yield from (f"{low} to under {high}" for low, high in itertools.pairwise(texts))
        yield f"{texts[-1]} and over"
    yield MISSING
