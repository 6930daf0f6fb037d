"""The elements of an epoch: records that are read, decoded, copied and shuffled."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from medical_images.copy_plan import CopyPlan
from medical_images.dataset_index import absolute_slices
from medical_images.fields import Fields
from medical_images.host_shares import Share
from medical_images.reading import records_of
from medical_images.transforms.elements import COPIES
from medical_images.transforms.repeat import repeat
from medical_images.transforms.shuffle import shuffle as shuffled

_UNPACKED = 10  # times as large is an image whose size is not known, when it is decoded
_SPREADING = 1  # makes other seeds than those of the order of records


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpochElements:
    """The way from records to elements that are decoded, copied and shuffled.

    Attributes:
      builder: The dataset.
      fields: Its features.
      share: The part of the slice that is read.
      plan: How often records occur; once if None.
      shuffle: Whether the order is another in each epoch.
      seed: Of all.
      memory: Bytes for shuffling and for spreading copies.
      number_copies: Whether elements get `COPY`.
      decode: `transforms.decode`, with its options.
    """

    builder: tfds.core.DatasetBuilder
    fields: Fields
    share: Share
    plan: CopyPlan | None
    shuffle: bool
    seed: int
    memory: int
    number_copies: bool
    decode: Callable[..., tf.data.Dataset]

    def elements(self, epoch: tf.Tensor) -> tf.data.Dataset:
        """Returns the elements of one epoch of this host."""
        records = records_of(
            self.builder,
            self.share.split,
            shuffle=self.shuffle,
            shuffle_buffer=self._buffer_of_records,
            seed=self.seed,
            epoch=epoch,
        )
        ds = records.map(self._element_maker(epoch), num_parallel_calls=tf.data.AUTOTUNE)
        if self.plan is not None and self.plan.copies_may_be_0:
            ds = ds.filter(lambda element: element[COPIES] > 0)
        ds = self.decode(
            ds,
            features=self.builder.info.features,
            image=self.fields.image,
            masks=self.fields.masks,
            boxes=self.fields.boxes,
            seed=self.seed,
            epoch=epoch,
        )
        ds = self._copied(ds, epoch)
        own, most = self._counts[self.share.index], max(self._counts)
        if not own:
            raise ValueError(
                f"rebalancing leaves no records to shard {self.share.index}; take fewer shards, or"
                " larger factors"
            )
        return ds if own == most else ds.repeat().take(most)

    @functools.cached_property
    def _counts(self) -> list[int]:
        counts: list[int] = self.share.counts(
            None if self.plan is None else self.plan.copies(0)
        ).tolist()
        return counts

    @property
    def _buffer_of_records(self) -> int:
        """How many serialised examples fit into the memory, or the half of it beside copies."""
        memory = self.memory if self.plan is None else self.memory // 2
        return min(self.share.end - self.share.begin, memory // self._record_bytes + 1)

    @functools.cached_property
    def _record_bytes(self) -> int:
        """The mean size of a serialised example, in the split where they are largest."""
        names = {name for name, _, _ in absolute_slices(self.builder, self.share.split)}
        infos = [self.builder.info.splits[name] for name in names]
        sizes: list[int] = [info.num_bytes // info.num_examples for info in infos]
        return max(1, *sizes)

    def _element_maker(self, epoch: tf.Tensor) -> Callable[..., dict[str, Any]]:
        """Returns what makes features of a record, with its images still encoded."""
        features = self.builder.info.features
        images = {self.fields.image, *self.fields.masks}
        decoders = {name: tfds.decode.SkipDecoding() for name in images}
        copies_of = self._copies_of(epoch)

        def element(position: tf.Tensor, serialized: tf.Tensor) -> dict[str, Any]:
            found = features.deserialize_example(serialized, decoders=decoders)
            kept = {name: found[name] for name in self.fields.kept}
            for name, number in self.fields.multi.items():
                kept[name] = _multi_hot(kept[name], number)
            return kept | ({} if copies_of is None else {COPIES: copies_of(position)})

        return element

    def _copies_of(self, epoch: tf.Tensor) -> Callable[[tf.Tensor], tf.Tensor] | None:
        """Returns what tells how often the record at a position occurs in this epoch."""
        if self.plan is None:
            return None
        own = slice(self.share.begin, self.share.end)
        lower, upper = (tf.constant(bounds[own]) for bounds in (self.plan.lower, self.plan.upper))
        shift = (self.plan.start + epoch * self.plan.STEP) % (1 << 32)

        def copies(position: tf.Tensor) -> tf.Tensor:
            ends = tf.stack([tf.gather(upper, position), tf.gather(lower, position)])
            whole = tf.bitwise.right_shift(ends + shift, 32)
            return whole[0] - whole[1]

        return copies

    def _copied(self, ds: tf.data.Dataset, epoch: tf.Tensor) -> tf.data.Dataset:
        """Repeats elements, and spreads the copies among the others."""
        if self.plan is None:
            return ds
        own = self._counts[self.share.index]
        fitting = self.memory // 2 // self._num_bytes(ds.element_spec) + 1
        ds = repeat(ds, num_copies=own, number_copies=self.number_copies)
        if not self.shuffle:
            return ds
        copies = self.plan.copies(0)[self.share.begin : self.share.end]
        copies = copies[copies > 0]
        # The copies of an image in the buffer share its memory. They leave it at random, so that
        # those of c copies are in it 1 + 1/2 + ... + 1/c times as long as those of one.
        stays = (1 + np.log(copies)).sum()
        buffer = own if fitting >= len(copies) else min(own, int(fitting * own / stays))
        seeds = tf.stack([tf.cast(self.seed, tf.int64), epoch])
        seeds = tf.random.experimental.stateless_fold_in(seeds, _SPREADING)
        return shuffled(ds, buffer, seeds=seeds)

    def _num_bytes(self, spec: Mapping[str, Any]) -> int:
        """Returns the memory of the images of an element, with a guess where it is not known."""
        images = [spec[name] for name in (self.fields.image, *self.fields.masks)]
        return sum(
            int(each.shape.num_elements()) * each.dtype.size
            if each.shape.is_fully_defined()
            else _UNPACKED * self._record_bytes
            for each in images
        )


def _multi_hot(numbers: tf.Tensor, depth: int) -> tf.Tensor:
    """Returns 1 for each class that is there; -1 is none."""
    return tf.minimum(tf.reduce_sum(tf.one_hot(numbers, depth), axis=0), 1.0)
