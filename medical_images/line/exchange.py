"""Exchange of groups over a cut of the line, while that lowers the error.

The error of a cut is the weighted squared excess of what stands before it over its target. All
vectors and weights are integers and every excess is a multiple of 1/128, so each cost is an exact
sum, and ties break by the place of a group in its sheet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
HashArray = npt.NDArray[np.uint64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_MAX_MOVES = 1000
_MAX_ROUNDS = 8
_MAX_TYPES = 10_000
_MAX_SWEEPS = 20
_SWEPT_LABELS = 2_000  # With more than a hundred labels, fewer sweeps; each takes longer.
_MAX_REACH = 10  # Nodes on each side of a cut whose groups may be exchanged.
_REACH_GROUPS = 60  # About so many groups on each side, where nodes are small.


@dataclass(frozen=True)
class Sheet:
    """Sorted groups: similar groups are neighbours, equal ones stand in order of their hash.

    Attributes:
        rows: int64[g], row of the input.
        hashes: uint64[g].
        vectors: float64[g, d], image counts of the labels from rare to common, then the size.
        types: int64[g], number of the distinct vector; never falls.
    """

    rows: IntArray
    hashes: HashArray
    vectors: FloatArray
    types: IntArray


@dataclass(frozen=True)
class Effort:
    """How hard to search.

    Attributes:
        width: about how many types of each side are candidates for an exchange.
        tries: where no exchange helps, how many are tried together with a second one.
    """

    width: int
    tries: int


def exchange(
    sheet: Sheet,
    items: IntArray,
    left: BoolArray,
    *,
    excess: FloatArray,
    weights: FloatArray,
    effort: Effort,
) -> FloatArray:
    """Exchanges groups of two sides while that lowers the error of the left side.

    Args:
        sheet: the groups.
        items: int64[m], ascending places in the sheet of the groups of both sides.
        left: bool[m], groups on the left side; changed in place.
        excess: float64[d], sum of the left side minus its target.
        weights: float64[d], integers.
        effort: how hard to search.

    Returns:
        float64[d]: the excess that is left.
    """
    if len(items) == 0:
        return excess
    types = sheet.types[items]
    starts = np.flatnonzero(np.append(True, types[1:] != types[:-1]))
    stops = np.append(starts[1:], len(items))
    num_left = np.add.reduceat(left, starts, dtype=np.int64)
    num_right = stops - starts - num_left
    scales = _Scales(sheet.vectors[items[starts]], num_left, num_right, excess, weights)
    scales.balance(effort)
    flow = num_left - scales.left
    for t in np.flatnonzero(flow):
        run = np.arange(starts[t], stops[t])
        left[run[left[run] == (flow[t] > 0)][: abs(flow[t])]] = flow[t] < 0
    return scales.excess


class _Scales:
    """Two sides of a cut. Groups of one type have the same vector, so only numbers matter.

    Attributes:
        vectors: float64[t + 1, d]; the last row, number -1, is "nothing".
        norms: float64[t + 1], weighted squared length of the vectors.
        left: int64[t], number of groups of each type on the left; `right` likewise.
        excess: float64[d], sum of the left side minus its target.
    """

    def __init__(
        self,
        vectors: FloatArray,
        left: IntArray,
        right: IntArray,
        excess: FloatArray,
        weights: FloatArray,
    ) -> None:
        self.vectors = np.vstack([vectors, np.zeros(vectors.shape[1])])
        self.norms = self.vectors**2 @ weights
        self.left = left.copy()
        self.right = right.copy()
        self.excess = excess.copy()
        self.weights = weights
        self._by_norm = np.argsort(self.norms[:-1], kind="stable")

    def balance(self, effort: Effort) -> None:
        """Moves and exchanges groups until nothing that is tried lowers the error."""
        self._move_single()
        for _ in range(_MAX_ROUNDS):
            if not self._exchange_pairs(effort):
                break

    def apply(self, give: int, take: int, sign: int = 1) -> None:
        """Lets one group of type `give` go right and one of `take` left; sign -1 undoes it."""
        if give >= 0:
            self.left[give] -= sign
            self.right[give] += sign
        if take >= 0:
            self.right[take] -= sign
            self.left[take] += sign
        self.excess += sign * (self.vectors[take] - self.vectors[give])

    def choose(self, available: BoolArray, width: int) -> IntArray:
        """The shortest types with each label that a side has, and nothing.

        Where there are more labels than that, those farthest from their targets count.
        """
        order = self._by_norm[available[self._by_norm]]
        present = self.vectors[order] > 0
        quota = max(2, width // present.shape[1])
        chosen = order[(present & (np.cumsum(present, axis=0) <= quota)).any(axis=1)]
        if len(chosen) > 2 * width:
            need = ((self.vectors[chosen] > 0) * np.abs(self.excess)).max(axis=1)
            chosen = chosen[np.sort(np.argsort(-need, kind="stable")[: 2 * width])]
        return np.append(chosen, -1)

    def _move_single(self) -> None:
        """Moves one group of any of the shorter types, the best first, while the error falls."""
        types = np.sort(self._by_norm[:_MAX_TYPES])
        vectors, norms = self.vectors[types], self.norms[types]
        for _ in range(_MAX_MOVES):
            pull = 2 * (vectors @ (self.weights * self.excess))
            go = np.where(self.left[types] > 0, norms - pull, np.inf)
            come = np.where(self.right[types] > 0, norms + pull, np.inf)
            give, take = int(go.argmin()), int(come.argmin())
            if min(go[give], come[take]) >= 0:
                break
            if go[give] <= come[take]:
                self.apply(int(types[give]), -1)
            else:
                self.apply(-1, int(types[take]))

    def _exchange_pairs(self, effort: Effort) -> bool:
        """Exchanges a group of the left for one of the right while the error falls."""
        pairs = _Pairs.make(self, effort.width)
        for k in range(_MAX_MOVES):
            costs = pairs.costs()
            best = int(costs.argmin())
            moves = [best] if costs.flat[best] < 0 else pairs.best_two(costs, effort.tries)
            if not moves:
                return k > 0
            for move in moves:
                self.apply(*pairs.types(move))
        return True


@dataclass(frozen=True)
class _Pairs:
    """Candidates for an exchange: each type of `give` (left) with each of `take` (right)."""

    scales: _Scales
    give: IntArray
    take: IntArray
    norms: FloatArray  # [give, take]: weighted squared length of the change.

    @classmethod
    def make(cls, scales: _Scales, width: int) -> _Pairs:
        give = scales.choose(scales.left > 0, width)
        take = scales.choose(scales.right > 0, width)
        inner = (scales.vectors[give] * scales.weights) @ scales.vectors[take].T
        norms = scales.norms[give][:, None] + scales.norms[take] - 2 * inner
        return cls(scales, give, take, norms)

    def types(self, move: int) -> tuple[int, int]:
        a, b = divmod(move, len(self.take))
        return int(self.give[a]), int(self.take[b])

    def costs(self) -> FloatArray:
        """Change of the error by each exchange; infinite where a side has no such group."""
        scales = self.scales
        pull = 2 * (scales.vectors @ (scales.weights * scales.excess))
        go, come = -pull[self.give], pull[self.take]
        go[:-1][scales.left[self.give[:-1]] <= 0] = np.inf
        come[:-1][scales.right[self.take[:-1]] <= 0] = np.inf
        costs: FloatArray = self.norms + come
        costs += go[:, None]
        return costs

    def best_two(self, costs: FloatArray, tries: int) -> list[int]:
        """The two exchanges, one of them among the best `tries`, that together help most."""
        flat = costs.ravel()
        rank = min(tries, len(flat)) - 1
        if rank < 0:
            return []
        limit = min(float(np.partition(flat, rank)[rank]), np.finfo(np.float64).max)
        firsts = np.flatnonzero(flat <= limit)[: 2 * tries]
        if not len(firsts):
            return []
        seconds = self._costs_after(firsts, costs).reshape(len(firsts), -1)
        bests = seconds.argmin(axis=1)
        totals = flat[firsts] + np.take_along_axis(seconds, bests[:, None], axis=1)[:, 0]
        if totals.min() >= 0:
            return []
        k = int(totals.argmin())
        return [int(firsts[k]), int(bests[k])]

    def _costs_after(self, firsts: IntArray, costs: FloatArray) -> FloatArray:
        """float64[firsts, give, take]: what `costs` would be after each of some exchanges."""
        scales = self.scales
        a, b = np.divmod(firsts, len(self.take))
        give, take = self.give[a], self.take[b]
        change = 2 * (scales.vectors[take] - scales.vectors[give]) * scales.weights
        seconds: FloatArray = costs + (change @ scales.vectors[self.take].T)[:, None, :]
        seconds -= (change @ scales.vectors[self.give].T)[:, :, None]
        # A type that the first exchange uses up is not there for the second.
        used = np.flatnonzero((give >= 0) & (scales.left[give] == 1))
        seconds[used, a[used], :] = np.inf
        used = np.flatnonzero((take >= 0) & (scales.right[take] == 1))
        seconds[used, :, b[used]] = np.inf
        return seconds


def polish_nodes(
    sheet: Sheet,
    nodes: IntArray,
    *,
    excess: FloatArray,
    weights: FloatArray,
    cut_weights: FloatArray,
) -> IntArray:
    """Exchanges groups of near nodes while that lowers the summed error of all cuts.

    Args:
        sheet: the groups.
        nodes: int64[g], the node of each group; there are n nodes and cut k is before node k.
        excess: float64[n + 1, d], what stands before each cut minus its target.
        weights: float64[d], integers.
        cut_weights: float64[n + 1, n + 1], symmetric, integers: the error of the line is the
            sum of cut_weights[s, t] times the weighted product of the excess of cuts s and t.

    Returns:
        int64[g]: the new node of each group.
    """
    line = _Line(sheet, nodes, excess, weights, cut_weights)
    num_nodes = len(excess) - 1
    reach = max(1, min(_MAX_REACH, _REACH_GROUPS * num_nodes // max(1, len(nodes))))
    for _ in range(max(2, min(_MAX_SWEEPS, _SWEPT_LABELS // len(weights)))):
        if not sum([line.polish_cut(cut, reach) for cut in range(1, num_nodes)]):
            break
    return line.nodes


class _Line:
    """Groups in nodes, and what stands before each cut.

    Attributes:
        nodes: int64[g], the node of each group.
        excess: float64[n + 1, d], what stands before each cut minus its target.
    """

    def __init__(
        self,
        sheet: Sheet,
        nodes: IntArray,
        excess: FloatArray,
        weights: FloatArray,
        cut_weights: FloatArray,
    ) -> None:
        self.nodes = nodes.copy()
        self.excess = excess.copy()
        self._types = sheet.types
        self._vectors = np.vstack([sheet.vectors, np.zeros(len(weights))])  # the last is "nothing"
        self._weights = weights
        self._cut_weights = cut_weights
        # Sums of `cut_weights` over all pairs of cuts up to two of them.
        self._area = np.cumsum(np.cumsum(cut_weights, axis=0), axis=1)
        by_node = np.argsort(nodes, kind="stable")
        ends = np.searchsorted(nodes[by_node], np.arange(1, len(excess) - 1))
        self._firsts = [self._one_of_each_type(items) for items in np.split(by_node, ends)]

    def _one_of_each_type(self, items: IntArray) -> IntArray:
        """The first of each type; `items` are ascending, and types too, as in the sheet."""
        types = self._types[items]
        is_first = np.ones(len(items), dtype=np.bool_)
        np.not_equal(types[1:], types[:-1], out=is_first[1:])
        return items[is_first]

    def polish_cut(self, cut: int, reach: int) -> int:
        """Exchanges groups over one cut while the error falls; returns how many times.

        An exchange of a group with vector a in node i for one with vector b in node j > i adds
        b - a to the excess of the cuts i + 1 to j, and to no other.
        """
        low, high = max(0, cut - reach), min(len(self.excess) - 1, cut + reach)
        edge = np.diagonal(self._area)
        for count in range(_MAX_MOVES):
            left, i = self._candidates(low, cut)
            right, j = self._candidates(cut, high)
            va, vb = self._vectors[left], self._vectors[right]
            # Only differences between nodes of this range matter, so the sum may begin at `low`.
            run = np.cumsum(self._cut_weights[low:high] @ self.excess, axis=0) * self._weights
            at_i, at_j = run[i - low], run[j - low]
            norms = (va**2 @ self._weights)[:, None] + vb**2 @ self._weights
            norms -= 2 * (va * self._weights) @ vb.T
            pull = (vb * at_j).sum(axis=1) + (va * at_i).sum(axis=1)[:, None]
            pull -= at_i @ vb.T + va @ at_j.T
            costs = 2 * pull + (edge[j] + edge[i][:, None] - 2 * self._area[i[:, None], j]) * norms
            best = int(costs.argmin())
            if costs.flat[best] >= 0:
                return count
            a, b = divmod(best, len(right))
            self.excess[i[a] + 1 : j[b] + 1] += vb[b] - va[a]
            self._move(int(left[a]), int(j[b]))
            self._move(int(right[b]), int(i[a]))
        return _MAX_MOVES

    def _move(self, item: int, node: int) -> None:
        if item >= 0:
            before, self.nodes[item] = int(self.nodes[item]), node
            for changed in (before, node):
                items = np.flatnonzero(self.nodes == changed)
                self._firsts[changed] = self._one_of_each_type(items)

    def _candidates(self, low: int, high: int) -> tuple[IntArray, IntArray]:
        """One group of each type in each node of a range, and nothing (-1) in each node.

        Returns:
            The places in the sheet, and the nodes.
        """
        items = np.concatenate(self._firsts[low:high])
        spare = np.arange(low, high)
        nodes = np.concatenate([self.nodes[items], spare])
        return np.concatenate([items, np.full(len(spare), -1)]), nodes
