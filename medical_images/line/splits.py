"""Groups to splits: a tree of cuts, then exchanges between all pairs of splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

import numpy as np

from medical_images.line.exchange import (
    BoolArray,
    Effort,
    FloatArray,
    HashArray,
    IntArray,
    Sheet,
    exchange,
)
from medical_images.line.groups import (
    GRID,
    Groups,
    Totals,
    chunk_excess,
    num_chunks_of,
    plan_chunks,
    shares,
)

_MAX_PERIOD = 10_000
_MAX_PAIRS = 400
_FEW = 2_000  # Groups that are planned in two ways.


def plan_splits(
    *,
    hashes: HashArray,
    sizes: IntArray,
    counts: IntArray,
    ratios: Sequence[Fraction],
    first: int = 0,
    known: IntArray | None = None,
) -> IntArray:
    """Gives every group to one split, so that each split holds its share of all labels and images.

    A label with fewer groups than splits goes to the split `first`, and then to the split that
    lacks it most. A split may end empty where there are too few groups.

    Args:
        hashes: uint64[G], from `hash_groups`.
        sizes: int64[G], images of each group.
        counts: int64[G, L], images of each group with each label; L may be 0.
        ratios: share of each split, 0 to 1, with the exact sum 1. A split of share 0 stays empty.
        first: number of the split that rare labels go to first.
        known: int64[G], the split of each group that must stay where it is, -1 for all others;
            these aim at what is missing to the shares of all groups together.

    Returns:
        int64[G]: number of the split of each group.

    Raises:
        ValueError: if the arrays do not fit together or the ratios do not sum to 1.

    Example:
        >>> from medical_images.line import hash_groups
        >>> ids = [f"patient-{k}" for k in range(10)]
        >>> splits = plan_splits(
        ...     hashes=hash_groups(ids, seed=1),
        ...     sizes=np.ones(10, dtype=np.int64),
        ...     counts=np.array([[k < 5, k >= 5] for k in range(10)], dtype=np.int64),
        ...     ratios=[Fraction(6, 10), Fraction(2, 10), Fraction(2, 10)],
        ... )
        >>> [np.bincount(part).tolist() for part in (splits, splits[:5])]
        [[6, 2, 2], [3, 1, 1]]
    """
    groups = Groups.make(hashes, sizes, counts)
    splits = np.full(len(groups), -1) if known is None else np.array(known, dtype=np.int64)
    if splits.shape != groups.hashes.shape or not np.isin(splits, range(-1, len(ratios))).all():
        raise ValueError(f"known must be [G] of -1 to {len(ratios) - 1}, not {splits.shape}")
    totals = Totals.of(groups)
    is_rare = has_rare_label(groups, totals, len(ratios))
    rare = groups.take(np.flatnonzero(is_rare))
    splits[is_rare] = place_rare(rare, splits[is_rare], totals, ratios, first)
    fixed, free = np.flatnonzero(splits >= 0), np.flatnonzero(splits < 0)
    step = SplitStep.make(totals, ratios, groups.take(fixed), splits[fixed])
    splits[free] = plan_chunks(step, groups.take(free))
    return splits


def hash_splits(*, hashes: HashArray, ratios: Sequence[Fraction]) -> IntArray:
    """Gives every group to the split in whose part of all hashes its own hash falls.

    Nothing is balanced, but no group depends on another: in a corpus that grows, none moves.

    Args:
        hashes: uint64[G], from `hash_groups`.
        ratios: share of each split, 0 to 1, with the exact sum 1.

    Returns:
        int64[G]: number of the split of each group.

    Example:
        >>> from medical_images.line import hash_groups
        >>> hashes = hash_groups([f"patient-{k}" for k in range(1000)], seed=1)
        >>> ratios = [Fraction(4, 5), Fraction(1, 5)]
        >>> np.bincount(hash_splits(hashes=hashes, ratios=ratios)).tolist()
        [800, 200]
    """
    _check_ratios(ratios)
    ends = [sum(ratios[: k + 1], Fraction()) for k in range(len(ratios) - 1)]
    # A last end of 2**64 is no uint64; the first of several equal ends is that of an empty split.
    edges = np.array([min(int(end * 2**64), 2**64 - 1) for end in ends], dtype=np.uint64)
    splits = np.searchsorted(edges, np.asarray(hashes, dtype=np.uint64), side="right")
    return splits.astype(np.int64)


def has_rare_label(groups: Groups, totals: Totals, num_splits: int) -> BoolArray:
    """bool[G]: whether a group has a label that fewer groups have than there are splits."""
    is_rare = (totals.num_with > 0) & (totals.num_with < num_splits)
    return np.asarray(groups.counts[:, is_rare].any(axis=1))


def place_rare(
    groups: Groups, known: IntArray, totals: Totals, ratios: Sequence[Fraction], first: int
) -> IntArray:
    """Gives the groups with rare labels to splits: to `first`, then to the one in want.

    Args:
        groups: all groups for which `has_rare_label` holds.
        known: int64[g], splits that are given, and -1.
        totals: of all groups.
        ratios: share of each split.
        first: number of the split that comes first; one without a share does not.

    Returns:
        int64[g]: the split of each group.
    """
    _check_ratios(ratios)
    sheet = totals.sheet(groups)
    splits = known[sheet.rows]
    num_with = totals.num_with[totals.columns]
    for label in np.flatnonzero(num_with < len(ratios)):
        column = sheet.vectors[:, label].astype(np.int64)
        for k in np.flatnonzero((column > 0) & (splits < 0)):
            held = [int(column[splits == s].sum()) for s in range(len(ratios))]
            lack = [ratio * int(column.sum()) - h for ratio, h in zip(ratios, held, strict=True)]
            splits[k] = lack.index(max(lack)) if held[first] or not ratios[first] else first
    result = np.empty_like(splits)
    result[sheet.rows] = splits
    return result


@dataclass(frozen=True, kw_only=True)
class SplitStep:
    """How any chunk of groups is given to splits.

    Attributes:
        totals: of all groups.
        ratios: share of each split, with the sum 1.
        num_chunks: in how many chunks the groups come.
        held: float64[splits, d], what the splits hold of groups that are fixed.
    """

    totals: Totals
    ratios: tuple[Fraction, ...]
    num_chunks: int
    held: FloatArray

    @classmethod
    def make(
        cls, totals: Totals, ratios: Sequence[Fraction], fixed: Groups, splits: IntArray
    ) -> SplitStep:
        """Takes the totals of all groups, and those that are fixed with their splits.

        Raises:
            ValueError: if the ratios do not sum to 1.
        """
        _check_ratios(ratios)
        return cls(
            totals=totals,
            ratios=tuple(ratios),
            num_chunks=num_chunks_of(totals.num_groups - len(fixed)),
            held=totals.held(fixed, splits, len(ratios)),
        )

    def plan(self, groups: Groups, *, held: FloatArray | None = None) -> IntArray:
        """Gives the groups of a chunk to splits.

        Args:
            groups: of the chunk.
            held: float64[splits, d], for the last chunk: what the splits hold of all other groups.

        Returns:
            int64[g]: number of the split of each group.
        """
        sheet = self.totals.sheet(groups)
        if held is None:
            own = shares(sheet.vectors.sum(axis=0), self.ratios)
            fixed = self.held.sum(axis=0)
            excess = chunk_excess(self.held - shares(fixed, self.ratios), self.num_chunks) - own
            effort = Effort(width=64, tries=0)
        else:
            excess = held - shares(self.totals.vector, self.ratios)
            effort = Effort(width=320, tries=128)
        splits = np.empty(len(groups), dtype=np.int64)
        splits[sheet.rows] = _split_sheet(sheet, excess, self.ratios, effort)
        return splits

    def held_by(self, groups: Groups, splits: IntArray) -> FloatArray:
        """float64[splits, d]: what each split holds of these groups."""
        return self.totals.held(groups, splits, len(self.ratios))


def _check_ratios(ratios: Sequence[Fraction]) -> None:
    if sum(map(Fraction, ratios)) != 1 or min(ratios) < 0:
        raise ValueError(f"ratios must be 0 or more and sum to exactly 1, not {list(ratios)}")


def deal(sheet: Sheet, items: IntArray, ratio: Fraction) -> BoolArray:
    """Deals a share of the groups to the left by an even rhythm.

    Each period is turned by the hash of its first group, so that the seed matters.
    """
    part, whole = ratio.limit_denominator(_MAX_PERIOD).as_integer_ratio()
    index = np.arange(len(items))
    turn = (sheet.hashes[items[::whole]] % np.uint64(whole)).astype(np.int64)
    index = (index + turn[index // whole]) % whole
    return np.asarray((index + 1) * part // whole > index * part // whole)


def _split_sheet(
    sheet: Sheet, excess: FloatArray, ratios: Sequence[Fraction], effort: Effort
) -> IntArray:
    """Splits the groups of a chunk, then exchanges between all pairs of splits.

    The groups are dealt out by a tree of cuts. Few groups, where a large one weighs more than an
    exchange can mend, are also given out one by one, and the better of both plans is taken.

    Args:
        sheet: the groups.
        excess: float64[splits, d], what each split holds without them, minus its target.
        ratios: share of each split.
        effort: how hard to search.

    Returns:
        int64[g]: the split of each group.
    """
    live = [s for s, ratio in enumerate(ratios) if ratio > 0]
    starts = [_deal_to_splits(sheet, excess, ratios, live, effort)]
    if len(sheet.rows) <= _FEW:
        starts.append(_give_one_by_one(sheet, excess, live))
    plans: list[tuple[float, int]] = []
    for k, splits in enumerate(starts):
        left = excess.copy()
        np.add.at(left, splits, sheet.vectors)
        _polish_splits(sheet, splits, left, live, effort)
        plans.append((float((left**2).sum()), k))
    return starts[min(plans)[1]]


def _deal_to_splits(
    sheet: Sheet, excess: FloatArray, ratios: Sequence[Fraction], live: list[int], effort: Effort
) -> IntArray:
    """Splits the groups by a tree of cuts between halves of the list of splits."""
    splits = np.zeros(len(sheet.rows), dtype=np.int64)
    weights = np.ones(excess.shape[1])
    todo = [(live, np.arange(len(splits)))]
    while todo:
        part, items = todo.pop()
        splits[items] = part[0]
        if len(part) == 1:
            continue
        first, ratio = _halve(part, ratios)
        left = deal(sheet, items, ratio)
        # The first half takes its share, and its part of the error that both halves have.
        error = excess[part].sum(axis=0) + sheet.vectors[items].sum(axis=0)
        start = excess[first].sum(axis=0) + sheet.vectors[items[left]].sum(axis=0)
        start -= np.rint(error * GRID * ratio.numerator / ratio.denominator) / GRID
        exchange(sheet, items, left, excess=start, weights=weights, effort=effort)
        todo += [(first, items[left]), (part[len(first) :], items[~left])]
    return splits


def _give_one_by_one(sheet: Sheet, excess: FloatArray, live: list[int]) -> IntArray:
    """Gives each group, the largest first, to the split where it adds least to the error."""
    splits = np.zeros(len(sheet.rows), dtype=np.int64)
    left = excess[live]
    for k in np.argsort(-(sheet.vectors**2).sum(axis=1), kind="stable"):
        best = int((left @ sheet.vectors[k]).argmin())
        splits[k] = live[best]
        left[best] += sheet.vectors[k]
    return splits


def _halve(part: list[int], ratios: Sequence[Fraction]) -> tuple[list[int], Fraction]:
    """The first splits of a list, about half of it by share, and their share of the list."""
    ratios_of_part = [ratios[s] for s in part]
    total = sum(ratios_of_part)
    sums = [sum(ratios_of_part[:k], Fraction()) for k in range(1, len(part))]
    gaps = [abs(2 * some - total) for some in sums]
    k = gaps.index(min(gaps))
    return part[: k + 1], Fraction(sums[k], total).limit_denominator(_MAX_PERIOD)


def _polish_splits(
    sheet: Sheet, splits: IntArray, excess: FloatArray, live: list[int], effort: Effort
) -> None:
    """Exchanges groups between pairs of splits while that lowers the error, in place."""
    pairs = list(combinations(live, 2))
    for _ in range(_MAX_PAIRS // max(1, len(pairs))):
        before = splits.copy()
        for a, b in pairs:
            items = np.flatnonzero((splits == a) | (splits == b))
            left = splits[items] == a
            start = (excess[a] - excess[b]) / 2
            end = exchange(
                sheet, items, left, excess=start, weights=np.ones_like(start), effort=effort
            )
            excess[a] += end - start
            excess[b] -= end - start
            splits[items] = np.where(left, a, b)
        if np.array_equal(before, splits):
            break
