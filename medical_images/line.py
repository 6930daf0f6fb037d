"""The line: splits, and an order of groups in which every slice holds its share of every label.

A *group* is a set of images that must stay together, such as all images of a patient. It has a
size (its number of images) and, for each label, the number of its images that carry the label.
`plan_splits` gives every group to one split; `plan_order` puts the groups of one split on a line,
so that every contiguous slice of the line is close to its share of every label and of images.

Both start from systematic sampling (Madow and Madow, 1944): groups are sorted by rarest label,
counts and size, and dealt out by an even rhythm, so that similar groups are spread evenly. Then
groups are exchanged over each cut while that lowers the squared error. To begin with the rarest
label is the idea of iterative stratification (Sechidis, Tsoumakas and Vlahavas, 2011, "On the
stratification of multi-label data"); scikit-learn's `StratifiedGroupKFold` deals whole groups
greedily by a like error. An order whose every prefix holds its share is just-in-time sequencing
(Steiner and Yeomans, 1993), a case of discrepancy theory: all prefix errors are kept small at once.

Guarantees:
    - Every group is in exactly one split, and stands exactly once in the order of its split.
    - The plan depends only on the set of (hash, size, counts). The order of the rows and of the
      labels does not matter. Groups with the same hash and the same counts are interchangeable.
    - All that is compared are integers, or floats that hold multiples of 1/4096. Below 2**53 of
      these units their sums are exact, so no order of summation and no linear algebra library can
      change a plan. Weights are at most 1024, and up to about a million images a group is safe.
    - Without labels the images of a split are within the largest group of its share.
    How close labels come to their shares is measured by the tests, not proved: the problem is
    NP-hard, and a slice cannot be nearer than about half of the largest group that it may cut.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

import numpy as np

from medical_images._exchange import (
    BoolArray,
    Effort,
    FloatArray,
    HashArray,
    IntArray,
    Sheet,
    exchange,
    polish_nodes,
)

_CHUNK_GROUPS = 64_000
_GRID = 64  # Targets are multiples of 1/64 image.
_MAX_PERIOD = 10_000
_MAX_WEIGHT = 1024
_SIZE_WEIGHT = 4
_NODES = 100  # The order is planned for cuts at whole percents.
_TENTH_WEIGHT = 16  # Tenths are cut more often than other percents.
_MAX_PAIRS = 400
_SMALL = 5_000  # Groups of a table that is planned several times.


def hash_groups(group_ids: Iterable[str], *, seed: int) -> HashArray:
    """Hashes group ids with a key made from the seed.

    Args:
        group_ids: G ids.
        seed: any integer; another seed gives unrelated hashes, and so another plan.

    Returns:
        uint64[G]: BLAKE2b with a digest of 8 bytes (little-endian), the same on every machine.

    Example:
        >>> hash_groups(["patient-1", "patient-2"], seed=7) % np.uint64(1000)
        array([887, 921], dtype=uint64)
    """
    key = hashlib.sha256(str(seed).encode()).digest()
    keyed = hashlib.blake2b(digest_size=8, key=key)
    digests = bytearray()
    for group_id in group_ids:
        one = keyed.copy()
        one.update(group_id.encode("utf-8", "surrogatepass"))
        digests += one.digest()
    return np.frombuffer(bytes(digests), dtype="<u8").astype(np.uint64)


def plan_splits(
    *, hashes: HashArray, sizes: IntArray, counts: IntArray, ratios: Sequence[Fraction]
) -> IntArray:
    """Gives every group to one split, so that each split holds its share of all labels and images.

    A label with fewer groups than splits goes to the first split first, and then to the split
    that lacks it most. A split may end empty where there are too few groups.

    Args:
        hashes: uint64[G], from `hash_groups`.
        sizes: int64[G], images of each group.
        counts: int64[G, L], images of each group with each label; L may be 0.
        ratios: share of each split, 0 to 1, with the exact sum 1. A split of share 0 stays empty.

    Returns:
        int64[G]: number of the split of each group.

    Raises:
        ValueError: if the arrays do not fit together or the ratios do not sum to 1.

    Example:
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
    ratios = [Fraction(ratio) for ratio in ratios]
    if sum(ratios) != 1 or min(ratios) < 0:
        raise ValueError(f"ratios must be 0 or more and sum to exactly 1, not {ratios}")
    table = _Table.make(hashes, sizes, counts)
    splits = _place_rare(table, ratios)
    held = np.zeros((len(ratios), len(table.totals)))
    done = np.zeros(len(table.totals))
    for rows, is_last in table.chunks():
        sheet = table.sheet(rows)
        done += sheet.vectors.sum(axis=0)
        effort = Effort(width=320, tries=128) if is_last else Effort(width=64, tries=0)
        excess = held - _shares(done, ratios)
        splits[sheet.rows] = _split_sheet(sheet, splits[sheet.rows], excess, ratios, effort)
        np.add.at(held, splits[sheet.rows], sheet.vectors)
    return splits


def plan_order(*, hashes: HashArray, sizes: IntArray, counts: IntArray) -> IntArray:
    """Puts the groups of one split on a line, so that every slice holds its share.

    Groups are put into 100 nodes of equal numbers of images, so that tenths and other whole
    percents fall between groups where that is possible, and are then ordered inside each node.

    Args:
        hashes: uint64[G], from `hash_groups`.
        sizes: int64[G], images of each group.
        counts: int64[G, L], images of each group with each label; L may be 0.

    Returns:
        int64[G]: a permutation; `order[k]` is the group that stands k-th.

    Raises:
        ValueError: if the arrays do not fit together.

    Example:
        >>> ids = [f"patient-{k}" for k in range(8)]
        >>> order = plan_order(
        ...     hashes=hash_groups(ids, seed=1),
        ...     sizes=np.ones(8, dtype=np.int64),
        ...     counts=np.array([[k < 4] for k in range(8)], dtype=np.int64),
        ... )
        >>> [int((order[k : k + 4] < 4).sum()) for k in (0, 2, 4)]  # Half of each half.
        [2, 2, 2]
    """
    table = _Table.make(hashes, sizes, counts)
    positions = np.zeros(len(table.hashes))
    held = np.zeros((_NODES + 1, len(table.totals)))
    done = np.zeros(len(table.totals))
    percents = [Fraction(k, _NODES) for k in range(_NODES + 1)]
    for rows, _ in table.chunks():
        sheet = table.sheet(rows)
        done += sheet.vectors.sum(axis=0)
        is_whole = len(rows) == len(positions)
        targets = _shares(done, percents)
        targets[:, -1] = np.rint(targets[:, -1])  # As TFDS rounds percents of images.
        excess = held - targets
        nodes = _node_sheet(sheet, excess, table.label_weights(), is_whole=is_whole)
        held += _prefixes(sheet, nodes)
        order = _order_sheet(sheet, nodes, table.label_weights(), is_whole=is_whole)
        size = sheet.vectors[order, -1]
        ends = np.cumsum(size)
        positions[sheet.rows[order]] = (2 * ends - size) / max(1.0, 2 * ends[-1])
    return np.lexsort((table.hashes, positions)).astype(np.int64)


@dataclass(frozen=True)
class _Table:
    """All groups, and what is counted over all of them.

    Attributes:
        columns: int64[l], labels that occur, from rare to common.
        totals: float64[l + 1], images with each of these labels, then all images.
    """

    hashes: HashArray
    sizes: IntArray
    counts: IntArray
    columns: IntArray
    totals: FloatArray

    @classmethod
    def make(cls, hashes: HashArray, sizes: IntArray, counts: IntArray) -> _Table:
        hashes = np.asarray(hashes, dtype=np.uint64)
        sizes = np.asarray(sizes, dtype=np.int64)
        counts = np.asarray(counts, dtype=np.int64)
        if sizes.shape != hashes.shape or counts.ndim != 2 or len(counts) != len(hashes):
            shapes = hashes.shape, sizes.shape, counts.shape
            raise ValueError(f"hashes, sizes, counts must be [G], [G], [G, L], not {shapes}")
        sums = counts.sum(axis=0)
        # Labels of equal totals stand in order of a fingerprint of their groups.
        marks = [(column.astype(np.uint64) * hashes).sum(dtype=np.uint64) for column in counts.T]
        columns = np.lexsort((np.array(marks, dtype=np.uint64), sums))
        columns = columns[sums[columns] > 0]
        totals = np.append(sums[columns], sizes.sum()).astype(np.float64)
        return cls(hashes, sizes, counts, columns, totals)

    def chunks(self) -> Iterator[tuple[IntArray, bool]]:
        """Rows of each chunk, chosen by the high bits of the hash, and whether it is the last."""
        number = max(1, len(self.hashes) // _CHUNK_GROUPS)
        if number == 1:
            yield from [(np.arange(len(self.hashes)), True)] if len(self.hashes) else []
            return
        chunk = ((self.hashes >> np.uint64(32)) * np.uint64(number)) >> np.uint64(32)
        order = np.argsort(chunk, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(chunk[order])) + 1)
        for k, rows in enumerate(parts, start=1):
            yield rows, k == len(parts)

    def sheet(self, rows: IntArray) -> Sheet:
        """Sorts groups by rarest label, counts in order of rarity, size (falling), and hash."""
        vectors = np.column_stack([self.counts[rows][:, self.columns], self.sizes[rows]])
        rarest = np.append(vectors[:, :-1] > 0, np.ones((len(rows), 1)), axis=1).argmax(axis=1)
        keys = [rarest, *_pack(vectors)]
        order = np.lexsort((self.hashes[rows], *keys[::-1]))
        is_new = np.zeros(len(rows), dtype=bool)
        for key in keys:
            is_new[1:] |= np.diff(key[order]) != 0
        return Sheet(
            rows=rows[order],
            hashes=self.hashes[rows][order],
            vectors=vectors[order].astype(np.float64),
            types=np.cumsum(is_new),
        )

    def label_weights(self) -> FloatArray:
        """Weights for slices: for a rare label one image is a larger part of its share."""
        largest = self.totals[:-1].max(initial=1.0)
        weights = np.clip(largest // np.maximum(self.totals, 1.0), 1, _MAX_WEIGHT)
        weights[-1] = _SIZE_WEIGHT
        return np.asarray(weights)


def _pack(vectors: IntArray) -> list[IntArray]:
    """Joins columns to few keys with the same lexical order, larger counts first."""
    keys: list[IntArray] = []
    room = 0
    for column in vectors.T:
        base = int(column.max(initial=0)) + 1
        if room < base:
            keys.append(np.zeros(len(vectors), dtype=np.int64))
            room = 2**62
        room //= base
        keys[-1] = keys[-1] * base + (base - 1 - column)
    return keys


def _shares(totals: FloatArray, ratios: Sequence[Fraction]) -> FloatArray:
    """float64[ratios, d]: each total times each ratio, rounded to the grid."""
    shares = [[round(int(total) * _GRID * ratio) for total in totals] for ratio in ratios]
    return np.array(shares, dtype=np.float64) / _GRID


def _deal(sheet: Sheet, items: IntArray, ratio: Fraction) -> BoolArray:
    """Deals a share of the groups to the left by an even rhythm.

    Each period is turned by the hash of its first group, so that the seed matters.
    """
    part, whole = ratio.limit_denominator(_MAX_PERIOD).as_integer_ratio()
    index = np.arange(len(items))
    turn = (sheet.hashes[items[::whole]] % np.uint64(whole)).astype(np.int64)
    index = (index + turn[index // whole]) % whole
    return np.asarray((index + 1) * part // whole > index * part // whole)


def _place_rare(table: _Table, ratios: Sequence[Fraction]) -> IntArray:
    """int64[G]: splits of groups with a label of fewer groups than splits; -1 for all others."""
    splits = np.full(len(table.hashes), -1, dtype=np.int64)
    num_with = np.array([np.count_nonzero(table.counts[:, c]) for c in table.columns], dtype=int)
    rare = np.flatnonzero(num_with < len(ratios))
    sheet = table.sheet(np.flatnonzero(table.counts[:, table.columns[rare]].any(axis=1)))
    for label in rare:
        column = sheet.vectors[:, label].astype(np.int64)
        with_label = sheet.rows[column > 0]
        for row in with_label[splits[with_label] < 0]:
            placed = splits[sheet.rows]
            held = [int(column[placed == s].sum()) for s in range(len(ratios))]
            lack = [ratio * int(column.sum()) - h for ratio, h in zip(ratios, held, strict=True)]
            splits[row] = lack.index(max(lack)) if held[0] or not ratios[0] else 0
    return splits


def _split_sheet(
    sheet: Sheet,
    placed: IntArray,
    excess: FloatArray,
    ratios: Sequence[Fraction],
    effort: Effort,
) -> IntArray:
    """Splits the groups of a chunk by a tree of cuts, then exchanges between all pairs of splits.

    Args:
        sheet: the groups.
        placed: int64[g], splits that are given, and -1.
        excess: float64[splits, d], what each split holds before, minus its target.
        ratios: share of each split.
        effort: how hard to search.

    Returns:
        int64[g]: the split of each group.
    """
    splits = placed.copy()
    free = np.flatnonzero(placed < 0)
    excess = excess.copy()
    np.add.at(excess, placed[placed >= 0], sheet.vectors[placed >= 0])
    weights = np.ones(excess.shape[1])
    live = [s for s, ratio in enumerate(ratios) if ratio > 0]
    todo = [(live, free)]
    while todo:
        part, items = todo.pop()
        splits[items] = part[0]
        if len(part) == 1:
            continue
        first, ratio = _halve(part, ratios)
        left = _deal(sheet, items, ratio)
        # The first half takes its share, and its part of the error that both halves have.
        error = excess[part].sum(axis=0) + sheet.vectors[items].sum(axis=0)
        start = excess[first].sum(axis=0) + sheet.vectors[items[left]].sum(axis=0)
        start -= np.rint(error * _GRID * ratio.numerator / ratio.denominator) / _GRID
        exchange(sheet, items, left, excess=start, weights=weights, effort=effort)
        todo += [(first, items[left]), (part[len(first) :], items[~left])]
    np.add.at(excess, splits[free], sheet.vectors[free])
    _polish_splits(sheet, splits, free, excess, live, effort)
    return splits


def _halve(part: list[int], ratios: Sequence[Fraction]) -> tuple[list[int], Fraction]:
    """The first splits of a list, about half of it by share, and their share of the list."""
    shares = [ratios[s] for s in part]
    gaps = [abs(2 * sum(shares[:k], Fraction()) - sum(shares)) for k in range(1, len(part))]
    k = gaps.index(min(gaps)) + 1
    return part[:k], Fraction(sum(shares[:k]), sum(shares)).limit_denominator(_MAX_PERIOD)


def _polish_splits(
    sheet: Sheet,
    splits: IntArray,
    free: IntArray,
    excess: FloatArray,
    live: list[int],
    effort: Effort,
) -> None:
    """Exchanges free groups between pairs of splits while that lowers the error, in place."""
    pairs = list(combinations(live, 2))
    for _ in range(_MAX_PAIRS // max(1, len(pairs))):
        before = splits.copy()
        for a, b in pairs:
            items = free[(splits[free] == a) | (splits[free] == b)]
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


def _prefixes(sheet: Sheet, nodes: IntArray) -> FloatArray:
    """float64[101, d]: what stands before each node."""
    sums = np.zeros((_NODES + 1, sheet.vectors.shape[1]))
    np.add.at(sums, nodes + 1, sheet.vectors)
    return np.cumsum(sums, axis=0)


def _node_sheet(
    sheet: Sheet, excess: FloatArray, weights: FloatArray, *, is_whole: bool
) -> IntArray:
    """Puts the groups into nodes of one percent.

    Where these are all groups, not one chunk of many, the nodes are polished, with equal weights
    of all labels. A small table whose tenths are not all within an image of their share is planned
    with several weights, and the best plan is taken.

    Args:
        sheet: the groups.
        excess: float64[101, d], what stands before each cut, minus its target.
        weights: float64[d], integers.
        is_whole: whether these are all groups.

    Returns:
        int64[g]: the node of each group.
    """
    if not is_whole:
        return _cut_nodes(sheet, excess, weights, Effort(width=32, tries=0))
    cut_weights = _cut_weights()
    even = np.append(np.ones(len(weights) - 1), _SIZE_WEIGHT)
    starts = [weights, np.sqrt(weights) // 1, even] if len(sheet.rows) <= _SMALL else [weights]
    plans: list[tuple[float, int, IntArray]] = []
    for start in starts:
        nodes = _cut_nodes(sheet, excess, start, Effort(width=160, tries=32))
        error = excess + _prefixes(sheet, nodes)
        nodes = polish_nodes(sheet, nodes, excess=error, weights=even, cut_weights=cut_weights)
        error = excess + _prefixes(sheet, nodes)
        plans.append((float(((cut_weights @ error) * error).sum(axis=0) @ even), len(plans), nodes))
        tenths = error[:: _NODES // 10]
        if max(np.abs(tenths).max(), np.abs(np.diff(tenths, axis=0)).max()) < 1:
            break  # within rounding already
    return min(plans)[-1]


def _cut_weights() -> FloatArray:
    """float64[101, 101]: weights of the squared errors of all prefixes, tenths and their slices."""
    tenths = np.eye(_NODES + 1)[:: _NODES // 10]
    slices = np.diff(tenths, axis=0)
    return np.eye(_NODES + 1) + _TENTH_WEIGHT * (tenths.T @ tenths + slices.T @ slices)


def _cut_nodes(sheet: Sheet, excess: FloatArray, weights: FloatArray, effort: Effort) -> IntArray:
    """Puts the groups into nodes by a tree of cuts, the roundest percents first.

    Each cut aims at the share of all that stands before it, so that errors do not add up.
    """
    nodes = np.zeros(len(sheet.rows), dtype=np.int64)
    todo = [(0, _NODES, np.arange(len(nodes)), np.zeros(excess.shape[1]))]
    while todo:
        low, high, items, before = todo.pop()
        nodes[items] = low
        if high - low == 1 or len(items) == 0:
            continue
        cut = _roundest(low, high)
        left = _deal(sheet, items, Fraction(cut - low, high - low))
        start = excess[cut] + before + sheet.vectors[items[left]].sum(axis=0)
        end = exchange(sheet, items, left, excess=start, weights=weights, effort=effort)
        todo += [(low, cut, items[left], before), (cut, high, items[~left], end - excess[cut])]
    return nodes


def _roundest(low: int, high: int) -> int:
    """The roundest percent between two others: half, quarters, twentieths, then any."""
    for step in (50, 25, 5):
        points = [point for point in range(step, _NODES, step) if low < point < high]
        if points:
            return points[(len(points) - 1) // 2]
    return (low + high) // 2


def _order_sheet(sheet: Sheet, nodes: IntArray, weights: FloatArray, *, is_whole: bool) -> IntArray:
    """int64[g]: order of the groups, one node after the other."""
    by_node = np.argsort(nodes, kind="stable")
    parts = np.split(by_node, np.searchsorted(nodes[by_node], np.arange(1, _NODES)))
    if not is_whole:
        return np.concatenate([items[_radical_inverse(len(items))] for items in parts])
    totals = sheet.vectors.sum(axis=0)
    before = _prefixes(sheet, nodes)
    orders = [
        items[_order_greedily(sheet.vectors[items], before[k], totals, weights)]
        for k, items in enumerate(parts)
    ]
    return np.concatenate(orders)


def _order_greedily(
    vectors: FloatArray, before: FloatArray, totals: FloatArray, weights: FloatArray
) -> IntArray:
    """Takes, again and again, the group after which the error of the prefix is least."""
    scale = max(1.0, totals[-1])
    steps = vectors - vectors[:, -1:] * (np.rint(totals * _GRID / scale) / _GRID)
    norms = steps**2 @ weights
    pulls = 2 * steps * weights
    held = before.copy()
    order = np.zeros(len(vectors), dtype=np.int64)
    for k in range(len(vectors)):
        excess = held - np.rint(totals * held[-1] * _GRID / scale) / _GRID
        order[k] = (norms + pulls @ excess).argmin()
        norms[order[k]] = np.inf
        held += vectors[order[k]]
    return order


def _radical_inverse(number: int) -> IntArray:
    """A permutation that spreads neighbours apart: the van der Corput sequence."""
    index = np.arange(number)
    key = np.zeros(number, dtype=np.int64)
    for _ in range(number.bit_length()):
        key = key * 2 + index % 2
        index //= 2
    return np.argsort(key, kind="stable")
