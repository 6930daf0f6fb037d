"""Which records an epoch holds, and in which order, for readers with random access.

The copies are those of `mi.load` on one host; TensorFlow is not needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from medical_images.copy_plan import CopyPlan, hashes_of, plan_copies
from medical_images.dataset_index import (
    KEY,
    absolute_slices,
    label_of,
    num_records,
    read_columns,
    resolve_builder,
)
from medical_images.host_shares import check_shard
from medical_images.rebalancing import Rebalance, refuse_evaluation
from medical_images.record_labels import Labels, rebalancing_report

if TYPE_CHECKING:
    import tensorflow_datasets as tfds


def plan_of(
    builder: str | tfds.core.DatasetBuilder,
    split: Any,
    oversample: str | Mapping[str, float] | Rebalance,
    label: str | None = None,
    seed: int = 0,
    allow_evaluation: bool = False,
    ends: Sequence[int] = (),
) -> tuple[CopyPlan, Labels]:
    """Plans how often each record of a slice occurs in each epoch.

    Args:
      builder: A built dataset, or its name such as `medical_images/mine`.
      split: A split or slice in TFDS's notation, or a `tfds.core.ReadInstruction`.
      oversample: What `Rebalance.of` takes.
      label: The class or labels feature to rebalance by; the supervised one by default.
      seed: Decides which records occur once more than others in which epoch.
      allow_evaluation: Whether splits not named train, fit or fold may be rebalanced.
      ends: Where contiguous parts of the slice end that are each to have the same number of copies
        in every epoch (those of several hosts).

    Returns:
      The plan, and the classes of the records, both in written order.

    Raises:
      ValueError: The split is for evaluation, there is no such feature of classes, or see
        `Rebalance`.
    """
    builder = resolve_builder(builder)
    splits = dict.fromkeys(name for name, _, _ in absolute_slices(builder, split))
    refuse_evaluation(list(splits), allow_evaluation)
    rebalance = Rebalance.of(oversample)
    feature, names = label_of(builder, label, argument="label")
    labels = Labels.of(read_columns(builder, split, [feature, KEY]), feature, names)
    factors, strata = rebalance.factors_and_strata(labels)
    if len(ends) > 1:
        parts = np.searchsorted(ends, np.arange(len(strata)), side="right")
        strata = strata * len(ends) + parts
    return plan_copies(factors, strata, seed), labels


def report(
    builder: str | tfds.core.DatasetBuilder,
    split: Any = "train",
    *,
    oversample: str | Mapping[str, float] | Rebalance = "balanced",
    label: str | None = None,
    seed: int = 0,
    epoch: int = 0,
    allow_evaluation: bool = False,
) -> pd.DataFrame:
    """Says what rebalancing makes of each class in an epoch, before anything is loaded.

    Args:
      builder: A built dataset, or its name.
      split: A split or slice in TFDS's notation.
      oversample: As in `mi.load`.
      label: As in `mi.load`.
      seed: As in `mi.load`.
      epoch: The epoch, from 0.
      allow_evaluation: As in `mi.load`.

    Returns:
      What `rebalancing_report` returns.

    Raises:
      ValueError: See `plan_of`.

    Example:
      >>> report('medical_images/phantom', oversample='sqrt')  # doctest: +SKIP
    """
    plan, labels = plan_of(builder, split, oversample, label, seed, allow_evaluation)
    return rebalancing_report(labels, plan.copies(epoch))


def epoch_indices(
    builder: str | tfds.core.DatasetBuilder,
    split: Any = "train",
    *,
    oversample: str | Mapping[str, float] | Rebalance | None = None,
    label: str | None = None,
    seed: int = 0,
    epoch: int = 0,
    shuffle: bool = True,
    shard_index: int = 0,
    num_shards: int = 1,
    start: int = 0,
    allow_evaluation: bool = False,
) -> np.ndarray:
    """Lists the records of an epoch, in the order in which to read them.

    Args:
      builder: A built dataset, or its name.
      split: A split or slice in TFDS's notation, or a `tfds.core.ReadInstruction`.
      oversample: As in `mi.load`; None reads each record once.
      label: As in `mi.load`.
      seed: Decides the copies and the order.
      epoch: The epoch, from 0; each has its own copies and order.
      shuffle: Whether the order is random; else the written one, with copies side by side.
      shard_index: Which of the shards to list, from 0.
      num_shards: How many readers share an epoch. Each takes every `num_shards`-th record; so that
        all take equally many, the first records are taken again where the epoch does not divide.
      start: How many records of this shard were read before, to go on in the middle of an epoch.
      allow_evaluation: Whether splits not named train, fit or fold may be rebalanced.

    Returns:
      int64 (records of the shard,), positions in `builder.as_data_source(split)`.

    Raises:
      ValueError: There is no such shard, `start` is not in the epoch, or see `plan_of`.

    Example:
      >>> epoch_indices('medical_images/phantom', oversample='balanced')  # doctest: +SKIP
    """
    sampler = EpochSampler(
        builder,
        split,
        oversample=oversample,
        label=label,
        seed=seed,
        shuffle=shuffle,
        shard_index=shard_index,
        num_shards=num_shards,
        allow_evaluation=allow_evaluation,
    )
    indices = sampler.indices(epoch)
    if not 0 <= start <= len(indices):
        raise ValueError(f"`start` is {start}; a shard of an epoch has {len(indices)} records")
    return indices[start:]


class EpochSampler:
    """The order of the records of one epoch after the other, for PyTorch's `DataLoader(sampler=)`.

    Each iteration that is read to its end is followed by the next epoch. `state_dict` tells how far
    reading is; `load_state_dict` of a new sampler makes its next iteration go on there. A
    `DataLoader` with workers draws records ahead of what it has returned; keep the state where
    batches are counted then, with `position` set to the records used.

    Attributes:
      epoch: The epoch of the next, or the current, iteration.

    Example:
      >>> sampler = EpochSampler('medical_images/phantom', oversample='sqrt')  # doctest: +SKIP
      >>> source = tfds.builder('medical_images/phantom').as_data_source('train')  # doctest: +SKIP
      >>> loader = torch.utils.data.DataLoader(source, sampler=sampler)  # doctest: +SKIP
    """

    def __init__(
        self,
        builder: str | tfds.core.DatasetBuilder,
        split: Any = "train",
        *,
        oversample: str | Mapping[str, float] | Rebalance | None = None,
        label: str | None = None,
        seed: int = 0,
        epoch: int = 0,
        shuffle: bool = True,
        shard_index: int = 0,
        num_shards: int = 1,
        allow_evaluation: bool = False,
    ) -> None:
        """Plans the copies; see `epoch_indices` for the arguments and errors."""
        check_shard(shard_index, num_shards)
        self.epoch = epoch
        self._position = 0  # in the current iteration
        self._resumes = False  # whether the next iteration begins at the position
        self._seed, self._shuffle = seed, shuffle
        self._shard_index, self._num_shards = shard_index, num_shards
        if oversample is None:
            number = num_records(resolve_builder(builder), split)
            self._plan = plan_copies(np.ones(number), np.zeros(number, np.int64), seed)
        else:
            self._plan, _ = plan_of(builder, split, oversample, label, seed, allow_evaluation)

    def __len__(self) -> int:
        return -(-self._plan.num_copies // self._num_shards)

    def __iter__(self) -> Iterator[int]:
        self._position = self._position if self._resumes else 0
        self._resumes = False
        for index in self.indices(self.epoch)[self._position :].tolist():
            self._position += 1
            yield index
        self.epoch, self._position = self.epoch + 1, 0

    def indices(self, epoch: int) -> np.ndarray:
        """Returns int64 (len(self),), the records of an epoch in order."""
        copies = self._plan.copies(epoch)
        order = np.repeat(np.arange(len(copies)), copies)
        if self._shuffle:
            order = order[np.argsort(hashes_of(len(order), self._seed, epoch, 2))]
        size = len(self) * self._num_shards
        return np.resize(order, size)[self._shard_index :: self._num_shards]

    def set_epoch(self, epoch: int) -> None:
        """Makes the next iteration that of an epoch; goes on in it if it is already that one."""
        if epoch != self.epoch:
            self.epoch, self._position, self._resumes = epoch, 0, False

    def state_dict(self) -> dict[str, int]:
        """Returns how far reading is, and what it depends on."""
        return {"epoch": self.epoch, "position": self._position, **self._settings()}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Makes the next iteration go on where a state was taken.

        Raises:
          ValueError: The state is of a sampler with another order.
        """
        changed = [name for name, value in self._settings().items() if state.get(name) != value]
        if changed:
            raise ValueError(
                "the state is of a sampler with another order; different: "
                + ", ".join(
                    f"{name} {state.get(name)}, here {self._settings()[name]}" for name in changed
                )
            )
        self.epoch, self._position, self._resumes = state["epoch"], state["position"], True

    def _settings(self) -> dict[str, int]:
        return {
            "seed": self._seed,
            "shuffle": int(self._shuffle),
            "shard_index": self._shard_index,
            "num_shards": self._num_shards,
            "num_records": len(self._plan),
            "num_copies": self._plan.num_copies,
        }
