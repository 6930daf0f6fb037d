"""The line: splits and an order of groups in which every slice holds its share of every label.

A *group* is a set of images that must stay together, such as all images of a patient. It has a
size (its number of images) and, for each label, the number of its images that carry the label.
`plan_splits` gives every group to one split; `plan_order` puts the groups of one split on a line,
so that every contiguous slice of the line is close to its share of every label and of images.

Both start from systematic sampling: groups are sorted by rarest label, counts and size, and dealt
out by an even rhythm, so that equal and similar groups are spread evenly. Then groups are exchanged
between the two sides of each cut while that lowers the squared error. Putting rare labels first is
the idea of iterative stratification (Sechidis, Tsoumakas and Vlahavas, 2011, "On the stratification
of multi-label data"); scikit-learn's `StratifiedGroupKFold` deals whole groups greedily by the same
error. An order whose every prefix holds its share is just-in-time sequencing (Steiner and Yeomans,
1993), a case of discrepancy theory: all prefix errors are to be small at once.

Exactness: all numbers that decide are integers, or floats that hold multiples of 1/64. Their sums
are exact below 2**53, so no order of rows, labels or summation, and no linear algebra library, can
change a plan.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

import numpy as np
import numpy.typing as npt

from medical_images._exchange import Effort, Scales

IntArray = npt.NDArray[np.int64]
HashArray = npt.NDArray[np.uint64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_CHUNK_GROUPS = 64_000
_GRID = 64  # Targets are multiples of 1/64 image.
_MAX_WEIGHT = 1024
_SIZE_WEIGHT = 4
_MAX_PERIOD = 10_000
_NODES = 100  # Whole percents of a split.


def hash_groups(group_ids: Iterable[str], *, seed: int) -> HashArray:
    """Hashes group ids with a key made from the seed.

    Args:
        group_ids: G ids.
        seed: any integer; another seed gives unrelated hashes and so another plan.

    Returns:
        uint64[G]: BLAKE2b with a digest of 8 bytes, the same on every machine.

    Example:
        >>> hash_groups(["patient-1", "patient-2"], seed=7).dtype
        dtype('uint64')
    """
    keyed = hashlib.blake2b(digest_size=8, key=hashlib.sha256(str(seed).encode()).digest())
    digests = bytearray()
    for group_id in group_ids:
        one = keyed.copy()
        one.update(group_id.encode("utf-8", "surrogatepass"))
        digests += one.digest()
    return np.frombuffer(bytes(digests), dtype="<u8").astype(np.uint64)


def plan_splits(
    *, hashes: HashArray, sizes: IntArray, counts: IntArray, ratios: Sequence[Fraction]
) -> IntArray:
    """Gives every group to one split.

    Returns:
        int64[G]: number of the split of each group.
    """
    table = _Table.make(hashes, sizes, counts)
    result = np.zeros(len(table.hashes), dtype=np.int64)
    excess = np.zeros((len(ratios), len(table.totals)))
    done = np.zeros(len(table.totals))
    chunks = list(table.chunks())
    for rows in chunks:
        last = rows is chunks[-1]
        sheet = table.sheet(rows)
        done += sheet.vectors.sum(axis=0)
        held = np.zeros_like(excess) if rows is chunks[0] else held
        excess = held - _targets(done, ratios)
        splits = _split_sheet(
            sheet, excess, table.num_with, ratios, Effort(160, 64) if last else Effort(64, 0)
        )
        np.add.at(held, splits, sheet.vectors)
        result[sheet.rows] = splits
    return result


def plan_order(*, hashes: HashArray, sizes: IntArray, counts: IntArray) -> IntArray:
    """Puts the groups of one split on a line.

    Returns:
        int64[G]: order[k] is the group that stands k-th.
    """
    table = _Table.make(hashes, sizes, counts)
    positions = np.zeros(len(table.hashes))
    weights = table.slice_weights()
    held = np.zeros((_NODES + 1, len(table.totals)))
    done = np.zeros(len(table.totals))
    chunks = list(table.chunks())
    fine = len(chunks) == 1
    for rows in chunks:
        sheet = table.sheet(rows)
        done += sheet.vectors.sum(axis=0)
        excess = held - _targets(done, [Fraction(k, _NODES) for k in range(_NODES + 1)])
        nodes = _cut_nodes(sheet, excess, weights, Effort(96, 16) if fine else Effort(32, 0))
        if fine:
            nodes = _polish_nodes(sheet, nodes, excess, weights)
        sums = np.zeros((_NODES, len(done)))
        np.add.at(sums, nodes, sheet.vectors)
        held[1:] += np.cumsum(sums, axis=0)
        order = _order_nodes(sheet, nodes, weights, fine=fine)
        size = sheet.vectors[order, -1]
        ends = np.cumsum(size)
        positions[sheet.rows[order]] = (2 * ends - size) / max(1.0, 2 * ends[-1])
    return np.lexsort((table.hashes, positions)).astype(np.int64)


@dataclass(frozen=True)
class _Sheet:
    """Groups of one chunk, sorted: similar groups are neighbours, equal ones in order of hash.

    Attributes:
        rows: int64[g], row of the input.
        hashes: uint64[g].
        vectors: float64[g, d], label counts from rare to common, then size.
        types: int64[g], number of the distinct vector; does not fall.
    """

    rows: IntArray
    hashes: HashArray
    vectors: FloatArray
    types: IntArray


@dataclass(frozen=True)
class _Table:
    hashes: HashArray
    sizes: IntArray
    counts: IntArray
    columns: IntArray  # Labels that occur, from rare to common.
    totals: FloatArray  # Images with each of these labels, then all images.
    num_with: IntArray  # Groups with each of these labels.

    @classmethod
    def make(cls, hashes: HashArray, sizes: IntArray, counts: IntArray) -> _Table:
        hashes = np.asarray(hashes, dtype=np.uint64)
        sizes = np.asarray(sizes, dtype=np.int64)
        counts = np.asarray(counts, dtype=np.int64).reshape(len(hashes), -1)
        sums = counts.sum(axis=0, dtype=np.int64)
        marks = np.array(
            [(column.astype(np.uint64) * hashes).sum(dtype=np.uint64) for column in counts.T],
            dtype=np.uint64,
        )
        columns = np.lexsort((marks, sums))
        columns = columns[sums[columns] > 0]
        return cls(
            hashes=hashes,
            sizes=sizes,
            counts=counts,
            columns=columns,
            totals=np.append(sums[columns], sizes.sum()).astype(np.float64),
            num_with=np.array([np.count_nonzero(counts[:, c]) for c in columns], dtype=np.int64),
        )

    def chunks(self) -> Iterator[IntArray]:
        """Rows of each chunk: the high bits of the hash choose it."""
        number = max(1, len(self.hashes) // _CHUNK_GROUPS)
        if number == 1:
            yield np.arange(len(self.hashes))
            return
        chunk = ((self.hashes >> np.uint64(32)) * np.uint64(number)) >> np.uint64(32)
        order = np.argsort(chunk, kind="stable")
        bounds = np.searchsorted(chunk[order], np.arange(number + 1, dtype=np.uint64))
        for start, stop in zip(bounds[:-1], bounds[1:], strict=True):
            if start < stop:
                yield order[start:stop]

    def sheet(self, rows: IntArray) -> _Sheet:
        vectors = np.column_stack([self.counts[rows][:, self.columns], self.sizes[rows]])
        present = vectors[:, :-1] > 0
        rarest = (
            np.where(present.any(axis=1), present.argmax(axis=1), len(self.columns))
            if (len(self.columns))
            else np.zeros(len(rows), dtype=np.int64)
        )
        keys = [rarest, *_pack(vectors)]
        order = np.lexsort((self.hashes[rows], *keys[::-1]))
        changed = np.zeros(len(rows), dtype=bool)
        for key in keys:
            changed[1:] |= np.diff(key[order]) != 0
        return _Sheet(
            rows=rows[order],
            hashes=self.hashes[rows][order],
            vectors=vectors[order].astype(np.float64),
            types=np.cumsum(changed),
        )

    def slice_weights(self) -> FloatArray:
        """Rare labels weigh more in slices, where a share is few images."""
        largest = max(1.0, self.totals[:-1].max(initial=0.0))
        weights = np.clip(4 * largest // np.maximum(self.totals, 1.0), 1, _MAX_WEIGHT)
        weights[-1] = _SIZE_WEIGHT
        return weights


def _pack(vectors: IntArray) -> list[IntArray]:
    """Joins columns to few keys with the same (descending) lexical order."""
    keys: list[IntArray] = []
    room = 0
    for column in vectors.T:
        top = int(column.max(initial=0)) + 1
        if room // top < 1:
            keys.append(np.zeros(len(vectors), dtype=np.int64))
            room = 2**62
        room //= top
        keys[-1] = keys[-1] * top + (top - 1 - column)
    return keys


def _targets(totals: FloatArray, ratios: Sequence[Fraction]) -> FloatArray:
    """Share of each total for each ratio, rounded to the grid, exactly."""
    return np.array(
        [[round(Fraction(int(t)) * ratio * _GRID) / _GRID for t in totals] for ratio in ratios]
    )


def _deal(sheet: _Sheet, items: IntArray, ratio: Fraction) -> BoolArray:
    """Deals a share of the groups to the left by an even rhythm.

    Each period is turned by the hash of its first group, so that the seed matters.
    """
    part, whole = ratio.limit_denominator(_MAX_PERIOD).as_integer_ratio()
    index = np.arange(len(items))
    turn = (sheet.hashes[items[::whole]] % np.uint64(whole)).astype(np.int64)
    index = (index + turn[index // whole]) % whole
    return (index + 1) * part // whole > index * part // whole


def _exchange(
    sheet: _Sheet,
    items: IntArray,
    left: BoolArray,
    excess: FloatArray,
    weights: FloatArray,
    effort: Effort,
) -> FloatArray:
    """Exchanges groups of two sides; changes `left`, and returns the new excess of the left."""
    if len(items) == 0:
        return excess
    types = sheet.types[items]
    starts = np.flatnonzero(np.append(True, types[1:] != types[:-1]))
    stops = np.append(starts[1:], len(items))
    num_left = np.add.reduceat(left, starts, dtype=np.int64)
    scales = Scales(
        vectors=sheet.vectors[items[starts]],
        left=num_left,
        right=stops - starts - num_left,
        excess=excess,
        weights=weights,
    )
    scales.balance(effort)
    flow = num_left - scales.left
    for t in np.flatnonzero(flow):
        run = np.arange(starts[t], stops[t])
        left[run[left[run] == (flow[t] > 0)][: abs(flow[t])]] = flow[t] < 0
    return scales.excess


def _place_rare(sheet: _Sheet, num_with: IntArray, ratios: Sequence[Fraction]) -> IntArray:
    """Places groups of labels with fewer groups than splits.

    Returns:
        int64[g]: the split of these groups, -1 for all others.
    """
    splits = np.full(len(sheet.rows), -1, dtype=np.int64)
    for label in np.flatnonzero(num_with < len(ratios)):
        column = sheet.vectors[:, label]
        where = np.flatnonzero(column)
        for j in where[splits[where] < 0]:
            held = [int(column[where][splits[where] == s].sum()) for s in range(len(ratios))]
            lack = [ratio * int(column.sum()) - h for ratio, h in zip(ratios, held, strict=True)]
            splits[j] = lack.index(max(lack)) if held[0] or not ratios[0] else 0
    return splits


def _split_sheet(
    sheet: _Sheet,
    excess: FloatArray,
    num_with: IntArray,
    ratios: Sequence[Fraction],
    effort: Effort,
) -> IntArray:
    """Splits the groups of a chunk; `excess` is what each split has too much before."""
    weights = np.ones(excess.shape[1])
    splits = _place_rare(sheet, num_with, ratios)
    free = np.flatnonzero(splits < 0)
    excess = excess.copy()
    np.add.at(excess, splits[splits >= 0], sheet.vectors[splits >= 0])
    live = [s for s, ratio in enumerate(ratios) if ratio > 0]
    nodes = [(live, free)]
    while nodes:
        part, items = nodes.pop()
        if len(part) == 1:
            splits[items] = part[0]
            continue
        k = _middle([ratios[s] for s in part])
        ratio = sum(ratios[s] for s in part[:k]) / sum(ratios[s] for s in part)
        left = _deal(sheet, items, ratio)
        error = excess[part].sum(axis=0) + sheet.vectors[items].sum(axis=0)
        start = excess[part[:k]].sum(axis=0) + sheet.vectors[items[left]].sum(axis=0)
        ratio = ratio.limit_denominator(_MAX_PERIOD)
        start -= np.rint(error * _GRID * ratio.numerator / ratio.denominator) / _GRID
        _exchange(sheet, items, left, start, weights, Effort(effort.width, effort.tries))
        nodes += [(part[:k], items[left]), (part[k:], items[~left])]
    np.add.at(excess, splits[free], sheet.vectors[free])
    _polish_splits(sheet, splits, free, excess, live, effort)
    return splits


def _middle(ratios: list[Fraction]) -> int:
    """Where to cut a list of splits, so that both parts are as equal as can be."""
    gaps = [abs(sum(ratios[:k]) - sum(ratios[k:])) for k in range(1, len(ratios))]
    return gaps.index(min(gaps)) + 1


def _polish_splits(
    sheet: _Sheet,
    splits: IntArray,
    free: IntArray,
    excess: FloatArray,
    live: list[int],
    effort: Effort,
) -> None:
    """Exchanges groups between pairs of splits while that lowers the error; changes `splits`."""
    weights = np.ones(excess.shape[1])
    for _ in range(4):
        changed = False
        for a, b in combinations(live, 2):
            items = free[(splits[free] == a) | (splits[free] == b)]
            left = splits[items] == a
            before = (excess[a] - excess[b]) / 2
            moved = _exchange(sheet, items, left, before, weights, effort) - before
            excess[a] += moved
            excess[b] -= moved
            splits[items] = np.where(left, a, b)
            changed |= bool(moved.any())
        if not changed:
            break


def _cut_nodes(sheet: _Sheet, excess: FloatArray, weights: FloatArray, effort: Effort) -> IntArray:
    """Cuts the line into hundredths, the roundest percents first.

    Args:
        sheet: the groups.
        excess: float64[101, d], what each prefix has too much before.
        weights: float64[d].
        effort: how hard to search.

    Returns:
        int64[g]: the percent of each group.
    """
    nodes = np.zeros(len(sheet.rows), dtype=np.int64)
    todo = [(0, _NODES, np.arange(len(sheet.rows)), np.zeros(excess.shape[1]))]
    while todo:
        low, high, items, before = todo.pop()
        nodes[items] = low
        if high - low == 1 or len(items) == 0:
            continue
        cut = _cut_point(low, high)
        left = _deal(sheet, items, Fraction(cut - low, high - low))
        start = excess[cut] + before + sheet.vectors[items[left]].sum(axis=0)
        after = _exchange(sheet, items, left, start, weights, effort)
        todo += [(low, cut, items[left], before), (cut, high, items[~left], after - excess[cut])]
    return nodes


def _cut_point(low: int, high: int) -> int:
    """The roundest percent between two others: half, quarters, twentieths, then any."""
    for step in (50, 25, 5):
        points = [p for p in range(step, _NODES, step) if low < p < high]
        if points:
            return points[(len(points) - 1) // 2]
    return (low + high) // 2


def _polish_nodes(
    sheet: _Sheet, nodes: IntArray, excess: FloatArray, weights: FloatArray
) -> IntArray:
    """Exchanges groups of near percents while that lowers the error of all prefixes."""
    nodes = nodes.copy()
    sums = np.zeros((_NODES, excess.shape[1]))
    np.add.at(sums, nodes, sheet.vectors)
    excess = excess.copy()
    excess[1:] += np.cumsum(sums, axis=0)
    reach = max(1, min(10, 60 * _NODES // len(nodes)))
    for _ in range(20):
        changed = False
        for cut in range(1, _NODES):
            changed |= _polish_cut(sheet, nodes, excess, weights, cut, reach)
        if not changed:
            break
    return nodes


def _polish_cut(
    sheet: _Sheet, nodes: IntArray, excess: FloatArray, weights: FloatArray, cut: int, reach: int
) -> bool:
    """Exchanges groups over one cut; changes `nodes` and `excess`."""
    low, high = max(0, cut - reach), min(_NODES, cut + reach)
    for k in range(100):
        near = np.flatnonzero((nodes >= low) & (nodes < high))
        ga, va, na = _candidates(sheet, nodes, near[nodes[near] < cut], low, cut)
        gb, vb, nb = _candidates(sheet, nodes, near[nodes[near] >= cut], cut, high)
        run = np.cumsum(excess, axis=0) * weights
        inner = (va * weights) @ vb.T
        norm = (va**2 @ weights)[:, None] + vb**2 @ weights - 2 * inner
        pull = (vb * run[nb]).sum(axis=1) + (va * run[na]).sum(axis=1)[:, None]
        pull -= run[na] @ vb.T + va @ run[nb].T
        cost = 2 * pull + (nb - na[:, None]) * norm
        best = int(cost.argmin())
        if cost.flat[best] >= 0:
            return k > 0
        a, b = divmod(best, len(gb))
        excess[na[a] + 1 : nb[b] + 1] += vb[b] - va[a]
        if ga[a] >= 0:
            nodes[ga[a]] = nb[b]
        if gb[b] >= 0:
            nodes[gb[b]] = na[a]
    return True


def _candidates(
    sheet: _Sheet, nodes: IntArray, items: IntArray, low: int, high: int
) -> tuple[IntArray, FloatArray, IntArray]:
    """One group of each type in each node, and nothing (-1) in each node."""
    items = items[np.argsort(nodes[items], kind="stable")]
    key = nodes[items] * len(nodes) + sheet.types[items]
    items = items[np.append(True, np.diff(key) != 0)[: len(items)]]
    empty = np.arange(low, high)
    vectors = np.vstack([sheet.vectors[items], np.zeros((len(empty), sheet.vectors.shape[1]))])
    return np.append(items, np.full(len(empty), -1)), vectors, np.append(nodes[items], empty)


def _order_nodes(sheet: _Sheet, nodes: IntArray, weights: FloatArray, *, fine: bool) -> IntArray:
    """Order of all groups, one percent after the other."""
    by_node = np.argsort(nodes, kind="stable")
    bounds = np.searchsorted(nodes[by_node], np.arange(_NODES + 1))
    parts = [by_node[a:b] for a, b in zip(bounds[:-1], bounds[1:], strict=True) if a < b]
    if not fine:
        return np.concatenate([items[_radical_inverse(len(items))] for items in parts])
    totals = sheet.vectors.sum(axis=0)
    held = np.zeros_like(totals)
    order = []
    for items in parts:
        order.append(_order_greedily(sheet.vectors[items], held, totals, weights))
        order[-1] = items[order[-1]]
        held += sheet.vectors[items].sum(axis=0)
    return np.concatenate(order)


def _order_greedily(
    vectors: FloatArray, held: FloatArray, totals: FloatArray, weights: FloatArray
) -> IntArray:
    """Takes again and again the group after which the error of the prefix is least."""
    rate = np.rint(totals * _GRID / max(1.0, totals[-1])) / _GRID
    steps = vectors - vectors[:, -1:] * rate
    norms = steps**2 @ weights
    scaled = 2 * steps * weights
    held = held.copy()
    order = np.zeros(len(vectors), dtype=np.int64)
    for k in range(len(vectors)):
        error = held - np.rint(totals * held[-1] / max(1.0, totals[-1]) * _GRID) / _GRID
        order[k] = (norms + scaled @ error).argmin()
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
