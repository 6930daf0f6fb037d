"""How strongly two features of classes go together, and whether chance explains it. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

_LEAST_EXPECTED = 5  # Cochran: below it, chi-squared is no good approximation
_NUM_TABLES = 9_999
_CELLS_AT_ONCE = 1 << 20
_MOST_CELLS = 1 << 25  # of all tables that are drawn; larger tables have fewer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Association:
    """How two features of classes go together.

    Attributes:
      table: int64, how many rows have each pair; one line a class of the first feature, one column
        a class of the second, both sorted as their type sorts them.
      cramers_v: The strength, 0 (none) to 1 (each tells the other), corrected for what chance alone
        would give; 0 where a feature has one class only.
      p_value: How often chance alone would give as much, 0 to 1; 1 where a feature has one class
        only.
      num: Rows of the table, those in which both are known.
      num_counted: Rows that strength and p-value are made of: `num`, or fewer with groups.
    """

    table: pd.DataFrame = dataclasses.field(repr=False)
    cramers_v: float
    p_value: float
    num: int
    num_counted: int


def associate(
    a: pd.Series[Any], b: pd.Series[Any], *, groups: pd.Series[Any] | None = None
) -> Association:
    """Tells how two features of classes go together.

    The strength is Cramér's V with the correction of Bergsma (2013). The p-value is that of
    Pearson's chi-squared test; where less than 5 are expected in a cell, it is the part of random
    tables with the same margins (9,999, fewer of large tables, from a fixed seed) that are as far
    from independence.

    Args:
      a: Of any hashable values; missing ones are left out.
      b: Likewise, row by row.
      groups: The group of each row. Images of one patient are no independent witnesses: with it,
        the rows of a group that tell the same count once for strength and p-value.

    Raises:
      ValueError: The lengths differ.

    Example:
      >>> site = pd.Series(['x', 'x', 'x', 'x', 'y', 'y', 'y', None])
      >>> found = associate(site, pd.Series([1, 1, 1, 1, 0, 0, 0, 0]))
      >>> found.cramers_v, found.num, found.table.loc['x', 1]
      (1.0, 7, np.int64(4))
    """
    columns = {"a": a, "b": b} if groups is None else {"a": a, "b": b, "group": groups}
    lengths = [len(column) for column in columns.values()]
    if len(set(lengths)) > 1:
        raise ValueError(f"the columns have {', '.join(map(str, lengths))} rows")
    pairs = pd.DataFrame({name: np.asarray(column) for name, column in columns.items()})
    pairs = pairs.dropna(subset=["a", "b"])
    table = pd.crosstab(pairs["a"], pairs["b"])
    table.index.name, table.columns.name = a.name, b.name
    counted = pairs if groups is None else pairs.drop_duplicates()
    counts = pd.crosstab(counted["a"], counted["b"]).to_numpy(np.int64)
    if min(counts.shape, default=0) < 2:
        strength, p_value = 0.0, 1.0
    else:
        strength, p_value = _strength(counts), _p_value(counts)
    return Association(
        table=table,
        cramers_v=strength,
        p_value=p_value,
        num=len(pairs),
        num_counted=len(counted),
    )


def _strength(counts: npt.NDArray[np.int64]) -> float:
    """Cramér's V, corrected by Bergsma (Journal of the Korean Statistical Society 42, 2013)."""
    num = int(counts.sum())
    dims = np.array(counts.shape, np.float64)
    free = float(np.prod(dims - 1)) / (num - 1)
    excess = max(0.0, _chi_squared(counts[None], _expected(counts))[0] / num - free)
    most = float(np.min(dims - (dims - 1) ** 2 / (num - 1))) - 1
    return min(1.0, float(np.sqrt(excess / most))) if most > 0 else 0.0


def _p_value(counts: npt.NDArray[np.int64]) -> float:
    expected = _expected(counts)
    found = _chi_squared(counts[None], expected)[0]
    if expected.min() >= _LEAST_EXPECTED:
        from scipy import special  # late: SciPy takes half a second, and few commands need it

        return float(special.chdtrc((counts.shape[0] - 1) * (counts.shape[1] - 1), found))
    num_drawn = num_as_far = 0
    for tables in _random_tables(counts):
        # What is equal but for rounding counts as far.
        num_as_far += int((_chi_squared(tables, expected) >= found * (1 - 1e-9)).sum())
        num_drawn += len(tables)
    return (num_as_far + 1) / (num_drawn + 1)


def _random_tables(counts: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.float64]]:
    """Yields float64 of shape (tables, *counts.shape): tables of these margins, drawn by chance."""
    from scipy import stats

    margins = stats.random_table(counts.sum(axis=1), counts.sum(axis=0))
    generator = np.random.default_rng(0)
    num_left = min(_NUM_TABLES, max(199, _MOST_CELLS // counts.size))
    at_once = max(1, _CELLS_AT_ONCE // counts.size)
    while num_left > 0:
        number = min(num_left, at_once)
        yield margins.rvs(number, random_state=generator).reshape(number, *counts.shape)
        num_left -= number


def _expected(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    margins = np.outer(counts.sum(axis=1), counts.sum(axis=0))
    return np.asarray(margins / counts.sum(), np.float64)


def _chi_squared(
    tables: npt.NDArray[Any], expected: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Pearson's statistic of each table: float64 of shape (tables,)."""
    found: npt.NDArray[np.float64] = ((tables - expected) ** 2 / expected).sum(axis=(1, 2))
    return found
