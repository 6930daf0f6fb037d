"""Slices and folds of a built dataset that no group straddles.

TFDS cuts where the numbers say, which may be inside a group (a patient). Here each cut is moved to
the nearest boundary between groups, which the index tells. Since the written order is stratified,
each slice still holds close to its share of every label.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from medical_images.dataset_index import (
    absolute_slices,
    group_places,
    instruction_of,
    resolve_builder,
)

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

_Interval = tuple[str, int, int]  # (split, begin, end) in images
_Places = Mapping[str, tuple[np.ndarray, np.ndarray]]  # {split: (positions, keys) of its images}
_TOLERANCE = 1e-9  # of a sum of fractions that were written as floats


def slices(
    builder: str | tfds.core.DatasetBuilder, split: Any, fractions: Sequence[float | Fraction]
) -> list[tfds.core.ReadInstruction]:
    """Cuts a split into consecutive slices, between groups.

    Args:
      builder: A built dataset, or its name such as `medical_images/mine`.
      split: A split, a slice or a sum of them in TFDS's notation (`train`, `train[:50%]`,
        `train+validation`), or a `tfds.core.ReadInstruction`. The ends of a slice are moved to the
        nearest boundary too. Each term of a sum is cut by itself; slice k is the sum of their k-th.
      fractions: The size of each slice as a fraction of the images, above 0; together at most 1.

    Returns:
      One instruction for each fraction, for `split=` of `tfds.load`, `as_dataset` and
      `as_data_source`, and for `index` and `class_counts`. No group stands in two of them. If the
      fractions add up to 1, every image is in one.

    Raises:
      FileNotFoundError: The dataset has no index; it was not built by this package.
      ValueError: The fractions are not valid, a slice would be empty, or a group would stand in two
        slices, since the terms of a sum overlap or share groups.

    Example:
      >>> mi.slices('medical_images/phantom', 'train', [0.75, 0.25])  # doctest: +SKIP
      [ReadInstruction('train[0:1200]'), ReadInstruction('train[1200:1600]')]
    """
    builder = resolve_builder(builder)
    return [instruction_of(result) for result in _cut(builder, split, fractions)]


def even_splits(
    builder: str | tfds.core.DatasetBuilder, split: Any, n: int
) -> list[tfds.core.ReadInstruction]:
    """Cuts a split into n slices of about the same number of images, between groups.

    Args:
      builder: A built dataset, or its name.
      split: As in `slices`.
      n: The number of slices.

    Returns:
      n instructions, see `slices`.

    Raises:
      ValueError: See `slices`.

    Example:
      >>> first, second = mi.even_splits('medical_images/phantom', 'train', 2)  # doctest: +SKIP
    """
    return slices(builder, split, _even(n, name="n", least=1))


def folds(
    builder: str | tfds.core.DatasetBuilder, split: Any = None, k: int | None = None
) -> list[tuple[tfds.core.ReadInstruction, tfds.core.ReadInstruction]]:
    """Returns the folds of a cross-validation, which no group straddles.

    Args:
      builder: A built dataset, or its name.
      split: What to cut into `k` even slices, as in `slices`; by default the dataset's own folds
        are taken (`splits: {folds: 5}` in the spec).
      k: The number of folds, at least 2; given with `split` only.

    Returns:
      (fit, held_out) for each fold: it is held out, and `fit` is the sum of the others.

    Raises:
      ValueError: The dataset has no folds of its own, only one of `split` and `k` is given, or see
        `slices`.

    Example:
      >>> for fit, held_out in mi.folds('medical_images/phantom', 'train', 5):  # doctest: +SKIP
      ...     train_ds, validation_ds = builder.as_dataset(split=[fit, held_out])
    """
    builder = resolve_builder(builder)
    if (split is None) != (k is None):
        raise ValueError("folds takes both `split` and `k`, or neither for the dataset's own folds")
    if k is not None:
        results = _cut(builder, split, _even(k, name="k", least=2))
    else:
        results = [absolute_slices(builder, name) for name in _own_folds(builder)]
        _refuse_shared_groups(results, _read_places(builder, itertools.chain(*results)))
    held_out = [instruction_of(result) for result in results]
    return list(zip(_sums_of_others(results), held_out, strict=True))


def cut_places(
    positions: np.ndarray, *, begin: int, end: int, fractions: Sequence[Fraction]
) -> list[int]:
    """Places cuts between groups.

    Args:
      positions: Of each image of a whole split, in written order, the position of its group.
      begin: The first image of what is cut.
      end: The image behind the last.
      fractions: The fractions of the slices; their sum is at most 1.

    Returns:
      One number more than there are fractions: slice k are the images from cut k to cut k + 1. Each
      cut is the boundary between groups that is nearest to its exact place, the lower one of two.

    Example:
      >>> positions = np.array([0.2, 0.2, 0.5, 0.8, 0.8])
      >>> cut_places(positions, begin=0, end=5, fractions=[Fraction(1, 2), Fraction(1, 2)])
      [0, 2, 5]
    """
    inner = np.flatnonzero(np.diff(positions)) + 1
    boundaries = [0, *inner.tolist(), len(positions)]
    cumulative = itertools.accumulate(fractions, initial=Fraction(0))
    return [_nearest(boundaries, begin + share * (end - begin)) for share in cumulative]


def _nearest(boundaries: Sequence[int], place: Fraction) -> int:
    number = bisect.bisect_left(boundaries, place)
    below, above = boundaries[max(number - 1, 0)], boundaries[min(number, len(boundaries) - 1)]
    return below if place - below <= above - place else above


def _cut(
    builder: tfds.core.DatasetBuilder, split: Any, fractions: Sequence[float | Fraction]
) -> list[list[_Interval]]:
    """Returns the intervals of each slice, none of which is empty."""
    shares = _shares(fractions)
    whole = absolute_slices(builder, split)
    places = _read_places(builder, whole)
    _refuse_overlaps(whole)
    results: list[list[_Interval]] = [[] for _ in shares]
    for name, begin, end in whole:
        cuts = cut_places(places[name][0], begin=begin, end=end, fractions=shares)
        for result, (first, last) in zip(results, itertools.pairwise(cuts), strict=True):
            if first < last:
                result.append((name, first, last))
    if not all(results):
        empty = [number for number, result in enumerate(results) if not result]
        sizes = np.unique(_keys(whole, places), return_counts=True)[1]
        raise ValueError(
            f"{len(empty)} of {len(results)} slices of {split} would be empty, the first of them"
            f" number {empty[0]} (from 0): it has {sizes.sum()} images in {len(sizes)} groups, the"
            f" largest of {sizes.max(initial=0)}; take fewer slices, or larger fractions"
        )
    _refuse_shared_groups(results, places)
    return results


def _shares(fractions: Sequence[float | Fraction]) -> list[Fraction]:
    """Returns exact fractions, which add up to exactly 1 where they were meant to."""
    total = math.fsum(fractions)
    if not len(fractions) or not all(share > 0 for share in fractions) or total > 1 + _TOLERANCE:
        raise ValueError(
            "the fractions of slices must be above 0 and add up to 1 at most; found"
            f" {[float(share) for share in fractions]}, which add up to {total:g}"
        )
    exact = [Fraction(float(share)).limit_denominator(10**9) for share in fractions]
    if abs(total - 1) <= _TOLERANCE:
        exact[-1] += 1 - sum(exact)
    return exact


def _even(count: int, *, name: str, least: int) -> list[Fraction]:
    if count < least:
        raise ValueError(f"`{name}` is {count}; it must be at least {least}")
    return [Fraction(1, count)] * count


def _read_places(builder: tfds.core.DatasetBuilder, intervals: Iterable[_Interval]) -> _Places:
    return {name: group_places(builder, name) for name in {name for name, _, _ in intervals}}


def _keys(intervals: Iterable[_Interval], places: _Places) -> np.ndarray:
    """Returns the keys of the groups of all images of some intervals."""
    keys = [places[name][1][begin:end] for name, begin, end in intervals]
    return np.concatenate(keys)


def _refuse_overlaps(terms: Sequence[_Interval]) -> None:
    for (name, _, end), (other, begin, _) in itertools.pairwise(sorted(terms)):
        if name == other and begin < end:
            raise ValueError(f"the terms of the sum overlap in {name}; name each image once")


def _refuse_shared_groups(results: Sequence[Sequence[_Interval]], places: _Places) -> None:
    keys = np.concatenate([np.unique(_keys(result, places)) for result in results])
    num_shared = int((np.unique(keys, return_counts=True)[1] > 1).sum())
    if num_shared:
        raise ValueError(
            f"{num_shared} group{'s' if num_shared > 1 else ''} would stand in two results: the"
            " terms of the sum overlap, or the splits share groups, as `allow_leaks` of the spec"
            " permits; take one split at a time"
        )


def _own_folds(builder: tfds.core.DatasetBuilder) -> list[str]:
    certificate = (builder.info.metadata or {}).get("certificate") or {}
    names: list[str] = certificate.get("folds") or []
    if not names:
        raise ValueError(
            f"{builder.info.full_name} has no folds of its own; give `split` and `k`, or build it"
            " with `folds` among the `splits` of its spec"
        )
    return names


def _sums_of_others(results: Sequence[Sequence[_Interval]]) -> list[tfds.core.ReadInstruction]:
    """Returns, for each result, the sum of all others; what touches is one interval."""
    sums = []
    for number in range(len(results)):
        others = itertools.chain(*results[:number], *results[number + 1 :])
        merged: list[_Interval] = []
        for name, begin, end in sorted(others):
            if merged and merged[-1][0] == name and merged[-1][2] == begin:
                begin = merged.pop()[1]
            merged.append((name, begin, end))
        sums.append(instruction_of(merged))
    return sums
