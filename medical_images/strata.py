"""What is balanced: the strata of records, counted one column each. Pure."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from medical_images.join import feature_column
from medical_images.spec import ClassFeature, CorpusSpec, LabelsFeature

_MAX_JOINT = 400
MISSING = "missing"


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
        if isinstance(spec.features[self.name], LabelsFeature):
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
    def fit(cls, records: pd.DataFrame, spec: CorpusSpec) -> Strata:
        """Finds the strata of each feature; bins of equally many images need all records."""
        features = []
        for stratum in spec.stratify:
            feature = spec.features[stratum.feature]
            if isinstance(feature, ClassFeature | LabelsFeature):
                features.append(_Balanced(stratum.feature, tuple(feature.values), None))
                continue
            numbers = records[feature_column(stratum.feature)].to_numpy(np.float64)
            edges = _edges(numbers, stratum.bins)
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

    def with_joint(
        self, records: pd.DataFrame, *, groups: npt.NDArray[np.int64], shares: list[float]
    ) -> Strata:
        """Adds the combinations of several features, as far as there are enough of them.

        A combination is balanced if as many groups have it as there are splits, and the smallest
        split is due at least one of its images. Where there are more than 400 combinations, none
        is: the features are balanced separately.

        Args:
          records: Those that are planned.
          groups: int64 of shape (records,), the number of each record's group.
          shares: Of the splits.
        """
        if len(self.features) < 2 or not shares:
            return self
        num_combinations = math.prod(len(feature.values) for feature in self.features)
        if num_combinations > _MAX_JOINT:
            return dataclasses.replace(self, num_left_out=num_combinations)
        matrix = self.matrix(records)
        kept, num_left_out = [], 0
        for columns in itertools.product(*self._columns_by_feature()):
            has = matrix[:, list(columns)].all(axis=1)
            is_common = has.sum() * min(shares) >= 1 and len(np.unique(groups[has])) >= len(shares)
            kept += [columns] if is_common else []
            num_left_out += int(has.any() and not is_common)
        return dataclasses.replace(self, joint=tuple(kept), num_left_out=num_left_out)

    def _columns_by_feature(self) -> Iterator[range]:
        start = 0
        for feature in self.features:
            yield range(start, start + len(feature.values))
            start += len(feature.values)


def label_of(stratum: tuple[str, str]) -> str:
    """The name of a stratum; that of all images is blank."""
    return "=".join(stratum) if any(stratum) else ""


def _edges(
    numbers: npt.NDArray[np.float64], bins: int | tuple[float, ...] | None
) -> tuple[float, ...]:
    """The inner edges of bins; those of equally many images are values that occur."""
    if not isinstance(bins, int):
        return tuple(bins or ())
    ordered = np.sort(numbers[~np.isnan(numbers)])
    places = [len(ordered) * k // bins for k in range(1, bins)]
    edges = sorted({float(ordered[place]) for place in places if place < len(ordered)})
    return tuple(edge for edge in edges if edge > ordered[0])


def _bin_names(edges: tuple[float, ...]) -> Iterator[str]:
    texts = [np.format_float_positional(edge, trim="-") for edge in edges]
    if not texts:
        yield "any"
    else:
        yield f"under {texts[0]}"
        yield from (f"{low} to under {high}" for low, high in itertools.pairwise(texts))
        yield f"{texts[-1]} and over"
    yield MISSING
