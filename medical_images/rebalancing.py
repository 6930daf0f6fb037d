"""How often the records of each class are to occur in an epoch, by one of several strategies.

A strategy gives each class a factor from how many records have it; a record takes the largest
factor of its classes, and 1 without any. Factors are averages over the epochs; `copy_plan` makes
whole numbers of them.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from medical_images.copy_plan import fixed_point, round_totals
from medical_images.dataset_index import ClassCounts
from medical_images.errors import nearest
from medical_images.record_labels import Labels

STRATEGIES = (
    "balanced", "target", "sqrt", "power", "effective_number", "repeat_factor", "factors",
)  # fmt: skip
UNLABELLED = -1  # the stratum of the records without a class
_TRAINING = ("train", "fit", "fold")
_EVALUATION = {
    "val", "valid", "validate", "validation", "dev", "test", "testing", "eval", "evaluation",
    "holdout", "tune", "tuning",
}  # fmt: skip
_OWNERS = {
    "power": "power",
    "beta": "effective_number",
    "threshold": "repeat_factor",
    "shares": "target",
    "factors": "factors",
}
_RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "power": (lambda value: 0 <= value <= 1, "0 to 1"),
    "beta": (lambda value: 0 <= value < 1, "0 to less than 1"),
    "threshold": (lambda value: 0 < value <= 1, "more than 0, to 1"),
    "shares": (lambda value: all(0 < v < np.inf for v in value.values()), "numbers above 0"),
    "factors": (lambda value: all(0 <= v < np.inf for v in value.values()), "numbers from 0"),
    "minority_below": (lambda value: 0 < value <= 1, "more than 0, to 1"),
    "max_factor": (lambda value: 1 <= value < np.inf, "1 or more"),
    "num_records": (lambda value: value >= 1 and value == int(value), "a whole number from 1"),
}


@dataclasses.dataclass(frozen=True)
class Rebalance:
    """How often the records of each class are to occur in an epoch.

    With n records of a class, of N in all, its factor is

    - `balanced`: what makes it as large as the largest class, max(n) / n;
    - `target`: what makes the classes as large as `shares` say, in proportion to each other, while
      no factor is below 1;
    - `power`: (max(n) / n)**(1 - `power`), so that classes become proportional to n**power: 0 is
      `balanced`, 1 changes nothing;
    - `sqrt`: `power` with 0.5;
    - `effective_number`: E(max(n)) / E(n) with E(n) = (1 - beta**n) / (1 - beta) (Cui et al. 2019);
    - `repeat_factor`: max(1, sqrt(threshold N / n)) (Gupta, Dollar and Girshick 2019);
    - `factors`: the one given in `factors`, 1 if none is.

    A record takes the largest factor of its classes, so `labels` features come only as close to
    the sizes wanted as labels that occur together allow. Factors below 1 leave records out of some
    epochs. They arise only from `factors`, `num_records` and `per_group`.

    Attributes:
      strategy: One of the above.
      power: Of `power`, in [0, 1].
      beta: Of `effective_number`, in [0, 1).
      threshold: Of `repeat_factor`, the share of records below which classes are repeated.
      shares: Of `target`, {class: how large it is to be, in proportion to the others}.
      factors: Of `factors`, {class: how often each of its records is to occur}.
      minority_below: Only classes that fewer than this share of the records have are changed.
      max_factor: The largest factor of a record, at least 1.
      per_group: Whether a class's records are weighted so that each of its groups (patients) has
        an equal part of them, however many records it has.
      num_records: The size of an epoch: all factors are multiplied alike so that they add up to
        it, as far as `max_factor` allows.

    Raises:
      ValueError: A parameter is unknown, not in its range, or not one of the strategy.

    Example:
      >>> Rebalance('sqrt', max_factor=3).class_totals({'nv': 100, 'mel': 25, 'df': 1})
      {'nv': 100, 'mel': 50, 'df': 3}
    """

    strategy: str = "balanced"
    _: dataclasses.KW_ONLY
    power: float = 0.5
    beta: float = 0.999
    threshold: float = 0.01
    shares: Mapping[str, float] | None = None
    factors: Mapping[str, float] | None = None
    minority_below: float | None = None
    max_factor: float | None = None
    per_group: bool = False
    num_records: int | None = None

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise ValueError("; ".join(problems))

    @classmethod
    def of(cls, value: str | Mapping[str, float] | Rebalance) -> Rebalance:
        """Returns what a strategy's name, or {class: factor}, stands for.

        Example:
          >>> Rebalance.of({'mel': 3}).strategy
          'factors'
        """
        if isinstance(value, Rebalance):
            return value
        if isinstance(value, Mapping):
            return cls("factors", factors=value)
        return cls(value)

    def factors_of(self, labels: Labels) -> np.ndarray:
        """Returns float64 (records,), how often each record is to occur on average."""
        return self.factors_and_strata(labels)[0]

    def factors_and_strata(self, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
        """Returns factors, and the class whose factor each record takes.

        Args:
          labels: The classes of the records; with `per_group` also their groups.

        Returns:
          float64 (records,), how often each record is to occur on average, and int64 (records,),
          the number of the class that says so, -1 for records without one.

        Raises:
          ValueError: A class named is unknown, or not named as it must be; the groups are not
            known; or the factors cannot add up to `num_records`.
        """
        present = labels.present
        sizes, num_records = present.sum(axis=0), len(present)
        of_class = self.class_factors(labels.names, sizes, num_records)
        factors = np.ones(num_records)
        strata = np.full(num_records, UNLABELLED)
        for number in np.flatnonzero(sizes):
            rows = np.flatnonzero(present[:, number])
            found = np.full(len(rows), of_class[number])
            if self.per_group and self._changes(sizes[number], num_records):
                found *= _group_evenly(labels.groups, rows)
            taken = (strata[rows] == UNLABELLED) | (found > factors[rows])
            factors[rows[taken]], strata[rows[taken]] = found[taken], number
        return self._fitted(factors, np.ones(num_records)), strata

    def class_totals(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Returns how often the records of each class occur in an epoch altogether.

        Args:
          counts: {class: records} in the order of the classes, of a class feature.

        Raises:
          ValueError: See `factors_and_strata`; `per_group` needs more than counts.
        """
        return dict(zip(counts, self.totals(counts).tolist(), strict=False))

    def totals(self, counts: Mapping[str, int]) -> np.ndarray:
        """Returns int64 (classes + 1,), the totals of the classes and of the unlabelled records."""
        if self.per_group:
            raise ValueError("`per_group` needs the index: counts of classes do not tell groups")
        unlabelled = counts.unlabelled if isinstance(counts, ClassCounts) else 0
        sizes = np.array([*counts.values(), unlabelled], np.int64)
        factors = np.ones(len(sizes))
        factors[:-1] = self.class_factors(tuple(counts), sizes[:-1], int(sizes.sum()))
        return round_totals(sizes * fixed_point(self._fitted(factors, sizes), sizes))

    def class_factors(
        self, names: Sequence[str], sizes: np.ndarray, num_records: int
    ) -> np.ndarray:
        """Returns the factor of each class, before `per_group`, `max_factor` and `num_records`.

        Args:
          names: The classes.
          sizes: int64 (classes,), the records that have each.
          num_records: All records, those without a class too.

        Returns:
          float64 (classes,), 1 for classes without records.
        """
        self._refuse_unknown(names, sizes)
        found = np.flatnonzero(sizes)
        changed = [number for number in found if self._changes(sizes[number], num_records)]
        factors = np.ones(len(names))
        raw = self._raw(names, sizes, found, num_records)
        factors[changed] = raw[changed]
        return factors

    def _raw(
        self, names: Sequence[str], sizes: np.ndarray, found: np.ndarray, num_records: int
    ) -> np.ndarray:
        """Returns what the strategy says; of classes that are not found it may be anything."""
        n = np.maximum(sizes, 1).astype(np.float64)
        ratios: np.ndarray = n.max(initial=1) / n
        match self.strategy:
            case "target":
                shares = _values(self.shares, names)
                ratios = shares / n * (n / shares)[found].max(initial=0)
            case "sqrt":
                ratios = np.sqrt(ratios)
            case "power":
                ratios = ratios ** (1 - self.power)
            case "effective_number":
                effective = -np.expm1(n * _log(self.beta))
                ratios = effective.max(initial=0) / effective
            case "repeat_factor":
                ratios = np.maximum(1, np.sqrt(self.threshold * num_records / n))
            case "factors":
                ratios = _values(self.factors, names)
        return ratios

    def _changes(self, size: int, num_records: int) -> bool:
        return self.minority_below is None or size < self.minority_below * num_records

    def _fitted(self, factors: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Returns factors, each of `sizes` records, within `max_factor` and for `num_records`."""
        most = np.inf if self.max_factor is None else self.max_factor
        if len(factors) and not (factors * sizes).any():
            raise ValueError("every record has factor 0, which leaves no record to an epoch")
        if self.num_records is None:
            limited: np.ndarray = np.minimum(factors, most)
            return limited
        possible = (sizes[(factors > 0) & (sizes > 0)] * most).sum()
        if self.num_records > possible:
            raise ValueError(
                f"`num_records` is {self.num_records}, but the records with a factor above 0 add up"
                f" to {possible:.15g} at most: lower it, or raise `max_factor`"
            )
        capped = np.zeros(len(factors), bool)
        while True:
            weight = (sizes * factors)[~capped].sum()
            rest = self.num_records - (sizes[capped] * most).sum()
            scaled = np.where(capped, most, factors * (rest / weight if weight else 0))
            if not (scaled > most).any():
                return scaled
            capped |= scaled > most

    def _refuse_unknown(self, names: Sequence[str], sizes: np.ndarray) -> None:
        named = {**(self.shares or {}), **(self.factors or {})}
        problems = [
            f"'{name}' is no class; {nearest(str(name), names)}"
            for name in named
            if name not in names
        ]
        if self.shares is not None:
            problems += [
                f"`shares` leaves out '{name}', which has {size} records; give every class one"
                for name, size in zip(names, sizes, strict=True)
                if size and name not in self.shares
            ]
        if problems:
            raise ValueError("; ".join(problems))

    def _problems(self) -> Iterator[str]:
        if self.strategy not in STRATEGIES:
            yield f"'{self.strategy}' is no strategy; {nearest(str(self.strategy), STRATEGIES)}"
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            owner = _OWNERS.get(field.name, self.strategy)
            if field.name in ("shares", "factors") and owner == self.strategy and value is None:
                yield f"strategy '{owner}' needs `{field.name}`, {{class: number}}"
            if owner != self.strategy and value != field.default:
                yield f"`{field.name}` is of strategy '{owner}', not of '{self.strategy}'"
            is_in_range, allowed = _RANGES.get(field.name, (lambda _: True, ""))
            if value is not None and not _holds(is_in_range, value):
                yield f"`{field.name}` is {value!r}; allowed: {allowed}"


def _holds(check: Callable[[Any], bool], value: Any) -> bool:
    try:
        return bool(check(value))
    except (AttributeError, OverflowError, TypeError, ValueError):  # no number, or no mapping
        return False


def _values(given: Mapping[str, float] | None, names: Sequence[str]) -> np.ndarray:
    return np.array([(given or {}).get(name, 1) for name in names], np.float64)


def _log(number: float) -> float:
    return math.log(number) if number else -math.inf


def _group_evenly(groups: np.ndarray | None, rows: np.ndarray) -> np.ndarray:
    """Returns the weight of each of a class's records; it is 1 where all groups are of one size."""
    if groups is None:
        raise ValueError("`per_group` needs the groups of the records, which are not known")
    _, numbers, sizes = np.unique(groups[rows], return_inverse=True, return_counts=True)
    weights: np.ndarray = len(rows) / (len(sizes) * sizes[numbers])
    return weights


def is_for_training(split: str) -> bool:
    """Tells whether a split is named as one to train on.

    Example:
      >>> [is_for_training(name) for name in ('train', 'fold_2', 'test', 'train_eval', 'extra')]
      [True, True, False, False, False]
    """
    name = split.strip().lower()
    return name.startswith(_TRAINING) and not set(re.split(r"[\W\d_]+", name)) & _EVALUATION


def refuse_evaluation(splits: Sequence[str], allowed: bool) -> None:
    """Refuses splits that are not named as training splits.

    Args:
      splits: The names of the splits to rebalance.
      allowed: Whether any are allowed.

    Raises:
      ValueError: No split is named, or one is for evaluation.

    Example:
      >>> refuse_evaluation(['train', 'fold_0'], allowed=False)
    """
    if allowed:
        return
    if not splits:
        raise ValueError(
            "say which split this is, for example `split='train'`;"
            " validation and test splits are not rebalanced"
        )
    for name in splits:
        if not is_for_training(name):
            raise ValueError(
                f"'{name}' is for evaluation, or at least not named as a training split:"
                " rebalancing it would change what is measured;"
                " pass `allow_evaluation=True` if that is what you want"
            )
