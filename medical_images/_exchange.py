"""Exchange of groups between the two sides of a cut, while that lowers the error.

A side is a number of groups of each type; groups of one type have the same vector, so they are
interchangeable. The error is the weighted squared excess of the left side over its target. All
vectors and weights are integers and every excess is a multiple of 1/128, so each cost is an exact
sum, and ties break by the number of the type.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_MAX_MOVES = 1000
_MAX_ROUNDS = 8


@dataclass(frozen=True)
class Effort:
    """How hard to search.

    Attributes:
        width: about how many types of each side are candidates for an exchange.
        tries: where no exchange helps: how many are tried together with a second one.
    """

    width: int
    tries: int


class Scales:
    """Two sides of a cut.

    Attributes:
        left: int64[t], groups of each type on the left side.
        right: int64[t], the same for the right side.
        excess: float64[d], sum of the vectors on the left minus its target.
    """

    def __init__(
        self,
        *,
        vectors: FloatArray,
        left: IntArray,
        right: IntArray,
        excess: FloatArray,
        weights: FloatArray,
    ) -> None:
        # The last row is "nothing": type -1.
        self._vectors = np.vstack([vectors, np.zeros(vectors.shape[1])])
        self._norms = self._vectors**2 @ weights
        self._by_norm = np.argsort(self._norms[:-1], kind="stable")
        self._weights = weights
        self.left = left.copy()
        self.right = right.copy()
        self.excess = excess.copy()

    def balance(self, effort: Effort) -> None:
        """Moves and exchanges groups until no move that is tried lowers the error."""
        self._move_single()
        for _ in range(_MAX_ROUNDS):
            if not self._exchange_pairs(effort):
                break

    def _apply(self, give: int, take: int, sign: int = 1) -> None:
        """Lets a group of type `give` go right and one of type `take` left; -1 undoes it."""
        if give >= 0:
            self.left[give] -= sign
            self.right[give] += sign
        if take >= 0:
            self.right[take] -= sign
            self.left[take] += sign
        self.excess += sign * (self._vectors[take] - self._vectors[give])

    def _move_single(self) -> None:
        """Moves one group of any type, the best first, while the error falls."""
        vectors, norms = self._vectors[:-1], self._norms[:-1]
        for _ in range(_MAX_MOVES):
            pull = 2 * (vectors @ (self._weights * self.excess))
            go = np.where(self.left > 0, norms - pull, np.inf)
            come = np.where(self.right > 0, norms + pull, np.inf)
            give, take = int(go.argmin()), int(come.argmin())
            if min(go[give], come[take]) >= 0:
                return
            if go[give] <= come[take]:
                self._apply(give, -1)
            else:
                self._apply(-1, take)

    def _choose(self, available: BoolArray, width: int) -> IntArray:
        """The smallest types with each label that a side has, and nothing."""
        order = self._by_norm[available[self._by_norm]]
        present = self._vectors[order] > 0
        quota = max(2, width // present.shape[1])
        chosen = (present & (np.cumsum(present, axis=0) <= quota)).any(axis=1)
        return np.append(order[chosen], -1)

    def _exchange_pairs(self, effort: Effort) -> bool:
        """Exchanges a group of the left for one of the right while the error falls."""
        pairs = _Pairs.make(self, effort.width)
        for k in range(_MAX_MOVES):
            cost = pairs.costs()
            best = int(cost.argmin())
            moves = [best] if cost.flat[best] < 0 else pairs.best_two(cost, effort.tries)
            if not moves:
                return k > 0
            for move in moves:
                self._apply(*pairs.types(move))
        return True


@dataclass(frozen=True)
class _Pairs:
    """Candidates for an exchange: each type of `give` with each type of `take`."""

    scales: Scales
    give: IntArray
    take: IntArray
    base: FloatArray  # [give, take]: squared norm of the change.

    @classmethod
    def make(cls, scales: Scales, width: int) -> _Pairs:
        give = scales._choose(scales.left > 0, width)
        take = scales._choose(scales.right > 0, width)
        inner = (scales._vectors[give] * scales._weights) @ scales._vectors[take].T
        base = scales._norms[give][:, None] + scales._norms[take] - 2 * inner
        return cls(scales, give, take, base)

    def types(self, move: int) -> tuple[int, int]:
        a, b = divmod(move, len(self.take))
        return int(self.give[a]), int(self.take[b])

    def costs(self) -> FloatArray:
        """Change of the error by each exchange; infinite where a side has no such group."""
        s = self.scales
        pull = 2 * (s._vectors @ (s._weights * s.excess))
        go, come = -pull[self.give], pull[self.take]
        go[:-1][s.left[self.give[:-1]] <= 0] = np.inf
        come[:-1][s.right[self.take[:-1]] <= 0] = np.inf
        cost: FloatArray = self.base + come
        cost += go[:, None]
        return cost

    def best_two(self, cost: FloatArray, tries: int) -> list[int]:
        """The two exchanges, one of them among the `tries` best, that together help most."""
        flat = cost.ravel()
        low, found = 0.0, list[int]()
        if not tries:
            return found
        rank = min(tries, len(flat)) - 1
        firsts = np.flatnonzero(flat <= np.partition(flat, rank)[rank])[: 2 * tries]
        for first in firsts[np.isfinite(flat[firsts])]:
            types = self.types(int(first))
            self.scales._apply(*types)
            second = self.costs()
            best = int(second.argmin())
            total = float(flat[first] + second.flat[best])
            if total < low:
                low, found = total, [int(first), best]
            self.scales._apply(*types, sign=-1)
        return found
