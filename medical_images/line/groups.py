"""Groups, what is counted over all of them, and their division into chunks."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol, TypeVar

import numpy as np

from medical_images.line.exchange import FloatArray, HashArray, IntArray, Sheet

GRID = 64  # Targets are multiples of 1/64 image.
SIZE_WEIGHT = 4
Planned = TypeVar("Planned", IntArray, FloatArray)
_CHUNK_GROUPS = 64_000
_SCARCE = 100  # Groups of a label in a chunk.
_MAX_WEIGHT = 1024


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


@dataclass(frozen=True)
class Groups:
    """A table of groups.

    Attributes:
        hashes: uint64[G], from `hash_groups`.
        sizes: int64[G], images of each group.
        counts: int64[G, L], images of each group with each label; L may be 0.

    Raises:
        ValueError: if the arrays do not fit together.
    """

    hashes: HashArray
    sizes: IntArray
    counts: IntArray

    def __post_init__(self) -> None:
        shapes = self.hashes.shape, self.sizes.shape, self.counts.shape
        if shapes[0] != shapes[1] or len(shapes[2]) != 2 or shapes[2][:1] != shapes[0]:
            raise ValueError(f"hashes, sizes, counts must be [G], [G], [G, L], not {shapes}")

    @classmethod
    def make(cls, hashes: HashArray, sizes: IntArray, counts: IntArray) -> Groups:
        """Takes arrays of other integer types too."""
        return cls(
            np.asarray(hashes, dtype=np.uint64),
            np.asarray(sizes, dtype=np.int64),
            np.asarray(counts, dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.hashes)

    def take(self, rows: IntArray) -> Groups:
        """Returns some of the groups, by row."""
        return Groups(self.hashes[rows], self.sizes[rows], self.counts[rows])

    @classmethod
    def none(cls, num_labels: int) -> Groups:
        """Returns a table without groups."""
        empty = np.zeros(0, dtype=np.int64)
        return cls(empty.astype(np.uint64), empty, empty.reshape(0, num_labels))

    @classmethod
    def concat(cls, tables: Iterable[Groups]) -> Groups:
        """Returns the groups of all tables, of which there is at least one."""
        parts = list(tables)
        return cls(
            np.concatenate([part.hashes for part in parts]),
            np.concatenate([part.sizes for part in parts]),
            np.concatenate([part.counts for part in parts]),
        )

    def merged(self) -> Groups:
        """Adds up rows of the same hash, which are parts of one group; sorted by hash."""
        hashes, codes = np.unique(self.hashes, return_inverse=True)
        sizes = np.zeros(len(hashes), dtype=np.int64)
        counts = np.zeros((len(hashes), self.counts.shape[1]), dtype=np.int64)
        np.add.at(sizes, codes, self.sizes)
        np.add.at(counts, codes, self.counts)
        return Groups(hashes, sizes, counts)


@dataclass(frozen=True)
class Totals:
    """What is counted over groups. The totals of two tables add up to those of both together.

    Attributes:
        num_groups: number of groups.
        size: number of images.
        counts: int64[L], images with each label.
        num_with: int64[L], groups with each label.
        marks: uint64[L], a fingerprint of the groups with each label.
        unit: the greatest common divisor of all sizes and counts. Plans are made in this unit, so
            that a table whose every row stands there k times is planned as if it stood there once.
    """

    num_groups: int
    size: int
    counts: IntArray
    num_with: IntArray
    marks: HashArray
    unit: int

    @classmethod
    def of(cls, groups: Groups) -> Totals:
        """Counts a table of groups."""
        columns = groups.counts.T
        # Parts of the sizes, not counts: they stay the same where all rows stand there k times.
        parts = ((column << 20) // np.maximum(groups.sizes, 1) for column in columns)
        marks = [(part.astype(np.uint64) * groups.hashes).sum(dtype=np.uint64) for part in parts]
        return cls(
            num_groups=len(groups),
            size=int(groups.sizes.sum()),
            counts=groups.counts.sum(axis=0),
            num_with=np.array([np.count_nonzero(column) for column in columns], dtype=np.int64),
            marks=np.array(marks, dtype=np.uint64),
            unit=math.gcd(
                int(np.gcd.reduce(groups.sizes)), int(np.gcd.reduce(groups.counts, axis=None))
            ),
        )

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            num_groups=self.num_groups + other.num_groups,
            size=self.size + other.size,
            counts=self.counts + other.counts,
            num_with=self.num_with + other.num_with,
            marks=self.marks + other.marks,
            unit=math.gcd(self.unit, other.unit),
        )

    @property
    def columns(self) -> IntArray:
        """int64[l]: labels that occur, from rare to common.

        Labels of equal totals stand in order of their fingerprints, so that the order of the
        labels in the table does not matter.
        """
        columns = np.lexsort((self.marks, self.counts))
        return columns[self.counts[columns] > 0].astype(np.int64)

    @property
    def vector(self) -> FloatArray:
        """float64[l + 1]: images with each of `columns`, then all images, in units."""
        totals = np.append(self.counts[self.columns], self.size)
        return (totals // max(1, self.unit)).astype(np.float64)

    def vectors(self, groups: Groups) -> IntArray:
        """int64[g, l + 1]: images of each group with each of `columns`, then its size, in units."""
        vectors = np.column_stack([groups.counts[:, self.columns], groups.sizes])
        return vectors if self.unit <= 1 else vectors // self.unit

    def held(self, groups: Groups, bins: IntArray, num_bins: int) -> FloatArray:
        """float64[bins, l + 1]: the sums of `vectors` of the groups in each bin."""
        columns = self.vectors(groups).T
        sums = [np.bincount(bins, weights=column, minlength=num_bins) for column in columns]
        return np.column_stack(sums).astype(np.float64)

    def chunk_numbers(self, groups: Groups, num_chunks: int) -> IntArray:
        """int64[g]: the chunk of each group, by the high bits of its hash.

        Groups with a label that is scarce in a chunk all go to the last one: were each chunk to
        round its few by itself, the errors would add up.
        """
        high = groups.hashes >> np.uint64(32)
        chunk = ((high * np.uint64(num_chunks)) >> np.uint64(32)).astype(np.int64)
        is_scarce = self.num_with < _SCARCE * num_chunks
        chunk[groups.counts[:, is_scarce].any(axis=1)] = num_chunks - 1
        return chunk

    def sheet(self, groups: Groups) -> Sheet:
        """Sorts groups by rarest label, counts in order of rarity, size (falling), and hash."""
        vectors = self.vectors(groups)
        rarest = np.append(vectors[:, :-1] > 0, np.ones((len(groups), 1)), axis=1).argmax(axis=1)
        keys = [rarest, *_pack(vectors)]
        order = np.lexsort((groups.hashes, *keys[::-1]))
        is_new = np.zeros(len(groups), dtype=bool)
        for key in keys:
            is_new[1:] |= np.diff(key[order]) != 0
        return Sheet(
            rows=order.astype(np.int64),
            hashes=groups.hashes[order],
            vectors=vectors[order].astype(np.float64),
            types=np.cumsum(is_new),
        )

    def label_weights(self) -> FloatArray:
        """Weights for slices: for a rare label one image is a larger part of its share."""
        totals = self.vector
        largest = totals[:-1].max(initial=1.0)
        weights = np.clip(largest // np.maximum(totals, 1.0), 1, _MAX_WEIGHT)
        weights[-1] = SIZE_WEIGHT
        return np.asarray(weights)


class Step(Protocol[Planned]):
    """One of the two steps of a plan, splits or order, for any chunk of groups."""

    @property
    def totals(self) -> Totals:
        """Of all groups."""

    @property
    def held(self) -> FloatArray:
        """What fixed groups hold."""

    def plan(self, groups: Groups, *, held: FloatArray | None = None) -> Planned:
        """Plans a chunk; the last one also balances what all other groups hold."""

    def held_by(self, groups: Groups, planned: Planned, /) -> FloatArray:
        """What the groups of a planned chunk hold."""


def num_chunks_of(num_groups: int) -> int:
    """In how many chunks so many groups are planned."""
    return max(1, num_groups // _CHUNK_GROUPS)


def plan_chunks(step: Step[Planned], groups: Groups) -> Planned:
    """Plans all chunks: the others alone, then the last, which takes up the error of all.

    Returns:
        [G]: what the step says of each group.
    """
    number = num_chunks_of(len(groups))
    if number == 1:
        return step.plan(groups, held=step.held)
    chunk = step.totals.chunk_numbers(groups, number)
    order = np.argsort(chunk, kind="stable")
    *parts, last = np.split(order, np.searchsorted(chunk[order], np.arange(1, number)))
    held = step.held.copy()
    planned: list[Planned] = []
    for rows in parts:
        some = groups.take(rows)
        planned.append(step.plan(some))
        held += step.held_by(some, planned[-1])
    planned.append(step.plan(groups.take(last), held=held))
    result = np.concatenate(planned)
    result[order] = result.copy()
    return result


def chunk_excess(excess: FloatArray, num_chunks: int) -> FloatArray:
    """float64[fractions, d]: one chunk's part of the excess of fixed groups, on the grid."""
    return np.asarray(np.rint(excess * GRID / num_chunks) / GRID)


def shares(totals: FloatArray, fractions: Sequence[Fraction]) -> FloatArray:
    """float64[fractions, d]: each total times each fraction, rounded to the grid."""
    rounded = [[round(int(total) * GRID * part) for total in totals] for part in fractions]
    return np.array(rounded, dtype=np.float64).reshape(len(fractions), len(totals)) / GRID


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
