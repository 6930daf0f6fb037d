"""Numbers in bins: round ends, and open ones where few are left. Pure."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_MOST_BINS = 20
OLDEST = 90  # years; ages above tell of few people


@dataclasses.dataclass(frozen=True)
class Bands:
    """Bins of numbers. The first and the last may be open.

    Attributes:
      edges: Finite ends, rising; values below the first count in the first bin, those above the
        last in the last.
      has_lower: Whether there are values below the first end.
      has_upper: Whether there are values at or above the last end.
      is_whole: Whether all numbers are whole.
    """

    edges: tuple[float, ...]
    has_lower: bool = False
    has_upper: bool = False
    is_whole: bool = False

    @property
    def is_each(self) -> bool:
        """Whether each bin holds one whole number, but for the outer ones."""
        widths = np.diff(self.edges)
        return self.is_whole and bool((widths == 1).all())

    @property
    def names(self) -> tuple[str, ...]:
        """What each bin holds, in words.

        Example:
          >>> Bands((0, 10, 20), has_upper=True, is_whole=True).names
          ('0 to 9', '10 and more')
        """
        ends = _written(self.edges)
        lasts = _written([edge - 1 for edge in self.edges]) if self.is_whole else ends
        names = [
            low if self.is_whole and low == last else f"{low} to {last}"
            for low, last in zip(ends, lasts[1:], strict=False)
        ]
        if self.has_upper:
            names[-1] = f"{ends[-2]} and more"
        if self.has_lower:
            names[0] = f"under {ends[1]}" if len(names) > 1 or not self.has_upper else "all"
        return tuple(names)

    def numbers_of(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Returns the bin of each value: int64 of the shape of `values`, -1 for NaN."""
        found = np.searchsorted(self.edges, values, side="right").astype(np.int64) - 1
        return np.where(np.isnan(values), -1, np.clip(found, 0, len(self.edges) - 2))


def age_bands(ages: npt.NDArray[np.float64]) -> Bands:
    """Returns bands of ten years; the last one is open.

    Example:
      >>> age_bands(np.array([71.0, 95.0])).names
      ('70 to 79', '80 to 89', '90 and more')
    """
    known = ages[np.isfinite(ages)]
    if known.size == 0:
        return Bands((0, 10), is_whole=True)
    low = int(max(0, min(known.min() // 10 * 10, OLDEST - 10)))
    high = int(min(OLDEST + 10, max(known.max() // 10 * 10 + 10, low + 20)))
    edges = tuple(float(edge) for edge in range(low, high + 1, 10))
    return Bands(edges, has_upper=high > OLDEST, is_whole=True)


def bands_of(values: npt.NDArray[np.float64], *, least: int = 1, top: float = math.inf) -> Bands:
    """Returns bins with round ends over the middle of the values; the outer ones may be open.

    Args:
      values: float64 of shape (images,).
      least: How many values an outer bin must have at least; it is widened until it does.
      top: Values from here on are in one bin, if there are others.

    Example:
      >>> bands_of(np.array([1.0, 2.0, 2.0, 4.0])).names
      ('1', '2', '3', '4')
    """
    known = np.sort(values[np.isfinite(values)])
    if known.size == 0:
        return Bands((0, 1))
    is_whole = bool((known == np.rint(known)).all())
    low, high = np.quantile(known, [0.01, 0.99], method="inverted_cdf").tolist()
    step = _round_step((high - low) / _MOST_BINS, is_whole)
    first, last = math.floor(low / step), math.floor(high / step) + 1
    edges = sorted({float(f"{k * step:.12g}") for k in range(first, last + 1)})
    if len(edges) < 2:  # numbers that differ less than can be told
        edges = [low, math.nextafter(high, math.inf)]
    while len(edges) > 2 and edges[-2] > top:
        del edges[-1]
    while len(edges) > 2 and 0 < np.searchsorted(known, edges[1], side="left") < least:
        del edges[1]
    while len(edges) > 2 and 0 < known.size - np.searchsorted(known, edges[-2]) < least:
        del edges[-2]
    has_lower, has_upper = bool(known[0] < edges[0]), bool(known[-1] >= edges[-1])
    has_upper = has_upper or edges[-1] > top
    if not np.isfinite(values[~np.isnan(values)]).all():
        has_lower = has_lower or bool((values == -np.inf).any())
        has_upper = has_upper or bool((values == np.inf).any())
    if least > 1 and len(edges) > 2:  # ends would tell the least and the largest value
        edges[0], edges[-1] = edges[1] - step, edges[-2] + step
        has_lower = has_upper = True
    return Bands(tuple(edges), has_lower, has_upper, is_whole and step >= 1)


def _written(edges: Sequence[float]) -> list[str]:
    """Writes numbers with as many digits as tell them apart."""
    for digits in range(6, 18):
        written = [f"{edge:,.{digits}g}" for edge in edges]
        if len(set(written)) == len(written):
            break
    return written


def _round_step(width: float, is_whole: bool) -> float:
    """The next width of 1, 2, 2.5 or 5 times a power of ten."""
    if is_whole and width <= 1:
        return 1.0
    if width <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(width))
    choices: Sequence[float] = (1, 2, 5, 10) if is_whole else (1, 2, 2.5, 5, 10)
    return next(choice * power for choice in choices if choice * power >= width * (1 - 1e-9))
