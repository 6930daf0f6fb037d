"""The part of a slice that each of several hosts reads."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from medical_images.dataset_index import absolute_slices, instruction_of

if TYPE_CHECKING:
    import tensorflow_datasets as tfds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Share:
    """The part of a slice that one host reads, a contiguous one.

    Attributes:
      index: Which host this is.
      split: What it reads.
      begin: The first position in the whole slice.
      end: The position behind the last.
      splits: The splits that the whole slice is of.
      ends: Of every host, the position behind its last.
    """

    index: int
    split: tfds.core.ReadInstruction
    begin: int
    end: int
    splits: tuple[str, ...]
    ends: tuple[int, ...]

    @classmethod
    def of(cls, builder: tfds.core.DatasetBuilder, split: Any, *, index: int, number: int) -> Share:
        """Cuts a slice into as many parts as there are hosts.

        Args:
          builder: A dataset.
          split: A split or slice in TFDS's notation, or a `tfds.core.ReadInstruction`.
          index: Which host this is, from 0.
          number: How many hosts there are.

        Raises:
          ValueError: There is no such host, or not an example for each.
        """
        slices = absolute_slices(builder, split)
        total = sum(end - begin for _, begin, end in slices)
        check_shard(index, number)
        if total < number:
            few = f"{total} examples, too few for {number} shards" if total else "no examples"
            raise ValueError(f"{split} has {few}")
        ends = tuple(total * (shard + 1) // number for shard in range(number))
        begin, end = total * index // number, ends[index]
        parts: list[tuple[str, int, int]] = []
        before = 0
        for name, first, last in slices:
            low, high = max(begin - before, 0), min(end - before, last - first)
            if low < high:
                parts.append((name, first + low, first + high))
            before += last - first
        return cls(
            index=index,
            split=instruction_of(parts),
            begin=begin,
            end=end,
            splits=tuple(dict.fromkeys(name for name, _, _ in slices)),
            ends=ends,
        )

    def counts(self, copies: np.ndarray | None = None) -> np.ndarray:
        """Returns how many elements each host has.

        Args:
          copies: How often each record of the whole slice occurs; once by default.
        """
        ends = np.array(self.ends)
        if copies is None:
            return np.diff(ends, prepend=0)
        return np.diff(np.concatenate([[0], np.cumsum(copies)])[ends], prepend=0)


def check_shard(shard_index: int, num_shards: int) -> None:
    """Refuses a shard that there is not.

    Raises:
      ValueError: There is no such shard.
    """
    if num_shards < 1:
        raise ValueError(f"`num_shards` is {num_shards}; it must be at least 1")
    if not 0 <= shard_index < num_shards:
        raise ValueError(
            f"`shard_index` is {shard_index}; with `num_shards` {num_shards} it must be from 0 to"
            f" {num_shards - 1}"
        )
