"""How often each record occurs in each epoch: whole numbers that average to given factors.

The records lie side by side on a line, each as wide as its factor, and an epoch counts the whole
numbers in each record's interval (systematic sampling, Madow 1949). From epoch to epoch the line is
moved by the golden ratio, so that the turns of a record are spread evenly over the epochs. The
records of a stratum lie together, and their widths add up to a whole number: a stratum has equally
many copies in every epoch.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

BITS = 32  # of the fraction of a place on the line
ONE = 1 << BITS
_MOST = 1 << 31  # copies in an epoch, so that places fit in int64
_GAMMA = np.uint64(0x9E3779B97F4A7C15)  # the step of SplitMix64


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CopyPlan:
    """How often each record occurs in each epoch.

    Attributes:
      lower: int64 (records,), where the interval of each record begins, in units of 2**-32.
      upper: int64 (records,), where it ends.
      start: The shift of epoch 0, in [0, 2**32).
      num_copies: Copies of all records in an epoch, the same in every one.
      STEP: The shift from an epoch to the next.
    """

    STEP: ClassVar[int] = 0x9E3779B9  # 2**32 divided by the golden ratio; odd

    lower: np.ndarray
    upper: np.ndarray
    start: int
    num_copies: int

    def __len__(self) -> int:
        return len(self.lower)

    @property
    def copies_may_be_0(self) -> bool:
        """Whether a record is left out of some epochs."""
        return bool((self.upper - self.lower < ONE).any())

    def shift(self, epoch: int) -> int:
        """Returns how far the line is moved in an epoch: (start + epoch STEP) modulo 2**32."""
        return (self.start + epoch * self.STEP) % ONE

    def copies(self, epoch: int) -> np.ndarray:
        """Returns int64 (records,), how often each record occurs in an epoch."""
        shift = self.shift(epoch)
        copies: np.ndarray = ((self.upper + shift) >> BITS) - ((self.lower + shift) >> BITS)
        return copies


def plan_copies(factors: np.ndarray, strata: np.ndarray, seed: int) -> CopyPlan:
    """Plans how often each record occurs in each epoch.

    Args:
      factors: float64 (records,), how often each is to occur on average, at least 0.
      strata: int (records,), the stratum of each record, for example its class.
      seed: Decides the order of the records of a stratum on the line, and the first epoch.

    Returns:
      The plan. In every epoch a record occurs floor or ceil of its factor times, and a stratum
      as often as its factors add up to, rounded down or up so that the total is rounded to the
      nearest. Where nothing is to be rounded, the average over the epochs is the factor.

    Raises:
      ValueError: A factor is negative or not finite, or an epoch has 2**31 copies or more.

    Example:
      >>> plan = plan_copies(np.array([1.5, 1.5, 1, 1]), np.array([0, 0, 1, 1]), seed=0)
      >>> [plan.copies(epoch).tolist() for epoch in range(3)]
      [[2, 1, 1, 1], [1, 2, 1, 1], [2, 1, 1, 1]]
    """
    widths = fixed_point(factors)
    strata = np.asarray(strata)
    if strata.shape != widths.shape:
        raise ValueError(f"there are {len(widths)} factors, but strata of shape {strata.shape}")
    order = np.lexsort((hashes_of(len(widths), seed), strata))
    begins = np.flatnonzero(np.diff(strata[order]))
    parts = np.split(widths[order], begins + 1)
    totals = round_totals(np.array([part.sum() for part in parts]))
    rounded = [_with_total(part, int(total)) for part, total in zip(parts, totals, strict=True)]
    lower, upper = np.empty_like(widths), np.empty_like(widths)
    upper[order] = np.cumsum(np.concatenate(rounded))
    lower[order] = upper[order] - np.concatenate(rounded)
    start = int(hashes_of(1, seed, 1)[0]) >> BITS
    return CopyPlan(lower=lower, upper=upper, start=start, num_copies=int(totals.sum()))


def fixed_point(factors: np.ndarray, sizes: np.ndarray | int = 1) -> np.ndarray:
    """Returns factors, each of `sizes` records, as int64 in units of 2**-32, if they fit."""
    factors = np.asarray(factors, np.float64)
    if factors.ndim != 1 or not (np.isfinite(factors) & (factors >= 0)).all():
        raise ValueError("factors must be one number a record, finite and at least 0")
    total = (factors * sizes).sum()
    if total >= _MOST - 1:
        raise ValueError(
            f"an epoch would have {total:.3g} copies; it must have fewer than 2**31: lower the"
            " factors, or set `max_factor` or `num_records`"
        )
    fixed: np.ndarray = np.rint(factors * ONE).astype(np.int64)
    return fixed


def round_totals(sums: np.ndarray) -> np.ndarray:
    """Rounds sums down or up, those with the largest remainders up, so that their total is rounded.

    Args:
      sums: int64 (strata,), in units of 2**-32.

    Returns:
      int64 (strata,), whole numbers.

    Example:
      >>> round_totals(fixed_point([1.5, 2.25, 3.25])).tolist()
      [2, 2, 3]
    """
    totals: np.ndarray = sums >> BITS
    remainders = sums - (totals << BITS)
    num_up = (int(remainders.sum()) + ONE // 2) >> BITS
    totals[np.argsort(-remainders, kind="stable")[:num_up]] += 1
    return totals


def hashes_of(count: int, *keys: int) -> np.ndarray:
    """Returns uint64 (count,), all different, which sort into an order that looks random.

    The numbers are those of SplitMix64 (Steele, Lea and Flood 2014), started by the keys.

    Example:
      >>> np.argsort(hashes_of(5, 0)).tolist(), np.argsort(hashes_of(5, 1)).tolist()
      ([2, 0, 3, 1, 4], [2, 4, 0, 3, 1])
    """
    state = np.zeros(1, np.uint64)
    for key in keys:
        state = _mix(state + np.uint64(int(key) % 2**64))
    return _mix(state + np.arange(count, dtype=np.uint64) * _GAMMA)


def _mix(numbers: np.ndarray) -> np.ndarray:
    numbers = numbers + _GAMMA
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(numbers ^ (numbers >> np.uint64(31)))


def _with_total(widths: np.ndarray, total: int) -> np.ndarray:
    """Changes only the fractions of widths so that they add up to a whole number next to theirs."""
    fractions = widths & (ONE - 1)
    excess = int(widths.sum()) - total * ONE
    changed: np.ndarray
    if excess > 0:
        changed = widths - _taken(fractions, excess)
    else:
        changed = widths + _taken(np.where(fractions, ONE - fractions, 0), -excess)
    return changed


def _taken(parts: np.ndarray, amount: int) -> np.ndarray:
    """Returns what to take of each part, in proportion, so that it adds up to the amount.

    The parts add up to the amount or to at least twice as much, so that rounding takes of none more
    than there is.
    """
    if not amount:
        return np.zeros_like(parts)
    ends = np.cumsum(parts)
    return np.diff(np.rint(ends / ends[-1] * amount).astype(np.int64), prepend=0)
