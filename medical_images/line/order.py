"""The order of the groups of one split: nodes of one percent, then an order inside each."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from medical_images.line.exchange import (
    Effort,
    FloatArray,
    HashArray,
    IntArray,
    Sheet,
    exchange,
    polish_nodes,
)
from medical_images.line.groups import (
    GRID,
    SIZE_WEIGHT,
    Groups,
    Totals,
    chunk_excess,
    num_chunks_of,
    plan_chunks,
    shares,
)
from medical_images.line.splits import deal

_NODES = 100  # The order is planned for cuts at whole percents.
_PERCENTS = tuple(Fraction(k, _NODES) for k in range(_NODES + 1))
_TENTH_WEIGHT = 16  # Tenths are cut more often than other percents.
_SMALL = 5_000  # Groups of a table that is planned several times.


def plan_positions(
    *, hashes: HashArray, sizes: IntArray, counts: IntArray, known: FloatArray | None = None
) -> FloatArray:
    """Puts the groups of one split on a line, so that every slice holds its share.

    Groups are put into 100 nodes of equal numbers of images, so that tenths and other whole
    percents fall between groups where that is possible, and are then ordered inside each node.

    Args:
        hashes: uint64[G], from `hash_groups`.
        sizes: int64[G], images of each group.
        counts: int64[G, L], images of each group with each label; L may be 0.
        known: float64[G], the position of each group that must stay where it is, NaN for all
            others; these aim at what is missing in every prefix.

    Returns:
        float64[G]: position of each group in [0, 1), about the middle of its images. The line is
        the order of positions; equal ones, which may come from different chunks, stand in order
        of the hash: `np.lexsort((hashes, positions))`.

    Raises:
        ValueError: if the arrays do not fit together, or a known position is not in [0, 1).

    Example:
        >>> from medical_images.line import hash_groups
        >>> ids = [f"patient-{k}" for k in range(8)]
        >>> hashes = hash_groups(ids, seed=1)
        >>> positions = plan_positions(
        ...     hashes=hashes,
        ...     sizes=np.ones(8, dtype=np.int64),
        ...     counts=np.array([[k < 4] for k in range(8)], dtype=np.int64),
        ... )
        >>> order = np.lexsort((hashes, positions))
        >>> [int((order[k : k + 4] < 4).sum()) for k in (0, 2, 4)]  # Half of each half.
        [2, 2, 2]
    """
    groups = Groups.make(hashes, sizes, counts)
    positions = np.full(len(groups), np.nan) if known is None else np.array(known, np.float64)
    fixed = np.flatnonzero(~np.isnan(positions))
    free = np.flatnonzero(np.isnan(positions))
    if (
        positions.shape != groups.hashes.shape
        or not ((positions[fixed] >= 0) & (positions[fixed] < 1)).all()
    ):
        raise ValueError("known must be [G], positions in [0, 1) or NaN")
    step = OrderStep.make(Totals.of(groups), groups.take(fixed), positions[fixed])
    positions[free] = plan_chunks(step, groups.take(free))
    return positions


def hash_positions(*, hashes: HashArray) -> FloatArray:
    """float64[G]: positions in [0, 1) that depend on nothing but each group's own hash.

    The halves of the hash are exchanged, so that the groups of a split by hash spread over all
    of the line.
    """
    hashes = np.asarray(hashes, dtype=np.uint64)
    turned = (hashes << np.uint64(32)) | (hashes >> np.uint64(32))
    return (turned >> np.uint64(11)).astype(np.float64) / 2**53


@dataclass(frozen=True, kw_only=True)
class OrderStep:
    """How any chunk of the groups of a split is put on the line.

    Attributes:
        totals: of all groups of the split.
        num_chunks: in how many chunks the groups come.
        held: float64[101, d], what stands before each percent of groups that are fixed.
    """

    totals: Totals
    num_chunks: int
    held: FloatArray

    @classmethod
    def make(cls, totals: Totals, fixed: Groups, positions: FloatArray) -> OrderStep:
        """Takes the totals of all groups, and those that are fixed with their positions."""
        return cls(
            totals=totals,
            num_chunks=num_chunks_of(totals.num_groups - len(fixed)),
            held=_prefixes(fixed, positions, totals),
        )

    def plan(self, groups: Groups, *, held: FloatArray | None = None) -> FloatArray:
        """Puts the groups of a chunk on the line.

        Args:
            groups: of the chunk.
            held: float64[101, d], for the last chunk: what stands before each percent of all
                other groups.

        Returns:
            float64[g]: position of each group.
        """
        sheet = self.totals.sheet(groups)
        weights = self.totals.label_weights()
        if held is None:
            own = shares(sheet.vectors.sum(axis=0), _PERCENTS)
            fixed = self.held - shares(self.held[-1], _PERCENTS)
            excess = chunk_excess(fixed, self.num_chunks) - own
        else:
            targets = shares(self.totals.vector, _PERCENTS)
            targets[:, -1] = np.rint(targets[:, -1])  # As TFDS rounds percents of images.
            excess = held - targets
        nodes = _node_sheet(sheet, excess, weights, is_last=held is not None)
        order = _order_sheet(sheet, nodes, weights, is_last=held is not None)
        size = sheet.vectors[order, -1]
        middles = np.cumsum(size) - size / 2
        positions = np.empty(len(groups))
        if len(groups) == self.totals.num_groups:
            positions[sheet.rows[order]] = middles / max(1.0, float(size.sum()))
        else:
            # Nodes, not images, say where a group stands among those of other chunks.
            node = nodes[order]
            in_node = np.bincount(node, weights=size, minlength=_NODES)
            before = np.cumsum(in_node) - in_node
            inside = (middles - before[node]) / np.maximum(in_node[node], 1.0)
            positions[sheet.rows[order]] = (node + inside) / _NODES
        return positions

    def held_by(self, groups: Groups, positions: FloatArray) -> FloatArray:
        """float64[101, d]: what stands before each percent of these groups."""
        return _prefixes(groups, positions, self.totals)


def _prefixes(groups: Groups, positions: FloatArray, totals: Totals) -> FloatArray:
    nodes = np.minimum(np.floor(positions * _NODES), _NODES - 1).astype(np.int64)
    return np.cumsum(totals.held(groups, nodes + 1, _NODES + 1), axis=0)


def _sheet_prefixes(sheet: Sheet, nodes: IntArray) -> FloatArray:
    """float64[101, d]: what stands before each node."""
    sums = np.zeros((_NODES + 1, sheet.vectors.shape[1]))
    np.add.at(sums, nodes + 1, sheet.vectors)
    return np.cumsum(sums, axis=0)


def _node_sheet(
    sheet: Sheet, excess: FloatArray, weights: FloatArray, *, is_last: bool
) -> IntArray:
    """Puts the groups into nodes of one percent.

    Those of the last chunk, or of the only one, are polished, with equal weights of all labels. A
    small table whose tenths are not all within an image of their share is planned with several
    weights, and the best plan is taken.

    Args:
        sheet: the groups.
        excess: float64[101, d], what stands before each cut, minus its target.
        weights: float64[d], integers.
        is_last: whether nothing comes after these groups.

    Returns:
        int64[g]: the node of each group.
    """
    if not is_last:
        return _cut_nodes(sheet, excess, weights, Effort(width=32, tries=0))
    cut_weights = _cut_weights()
    even = np.append(np.ones(len(weights) - 1), SIZE_WEIGHT)
    starts = [weights, np.sqrt(weights) // 1, even] if len(sheet.rows) <= _SMALL else [weights]
    plans: list[tuple[float, int, IntArray]] = []
    for start in starts:
        nodes = _cut_nodes(sheet, excess, start, Effort(width=160, tries=32))
        error = excess + _sheet_prefixes(sheet, nodes)
        nodes = polish_nodes(sheet, nodes, excess=error, weights=even, cut_weights=cut_weights)
        error = excess + _sheet_prefixes(sheet, nodes)
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
        left = deal(sheet, items, Fraction(cut - low, high - low))
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


def _order_sheet(sheet: Sheet, nodes: IntArray, weights: FloatArray, *, is_last: bool) -> IntArray:
    """int64[g]: order of the groups, one node after the other."""
    by_node = np.argsort(nodes, kind="stable")
    parts = np.split(by_node, np.searchsorted(nodes[by_node], np.arange(1, _NODES)))
    if not is_last:
        return np.concatenate([items[_radical_inverse(len(items))] for items in parts])
    totals = sheet.vectors.sum(axis=0)
    before = _sheet_prefixes(sheet, nodes)
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
    steps = vectors - vectors[:, -1:] * (np.rint(totals * GRID / scale) / GRID)
    norms = steps**2 @ weights
    pulls = 2 * steps * weights
    held = before.copy()
    order = np.zeros(len(vectors), dtype=np.int64)
    for k in range(len(vectors)):
        excess = held - np.rint(totals * held[-1] * GRID / scale) / GRID
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
