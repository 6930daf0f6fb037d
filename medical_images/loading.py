"""The whole way from a dataset to batches: read, decode, rebalance, augment, encode."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds

from medical_images.copy_plan import CopyPlan
from medical_images.dataset_index import absolute_slices, resolve_builder
from medical_images.fields import Fields
from medical_images.host_shares import Share
from medical_images.reading import records_of
from medical_images.rebalancing import Rebalance, is_for_training
from medical_images.sampling import plan_of
from medical_images.transforms.augment import augment as augmented
from medical_images.transforms.augment import mix as mixed
from medical_images.transforms.crop import Crop
from medical_images.transforms.decode import decode
from medical_images.transforms.elements import COPIES, COPY
from medical_images.transforms.epochs import epochs
from medical_images.transforms.repeat import repeat
from medical_images.transforms.shuffle import shuffle as shuffled

_UNKNOWN_BYTES = 1 << 20  # of an image whose size is not known in advance
_PREFETCHED = 2  # batches, or elements
_SPREADING = 1  # makes other seeds than those of the order of records


def load(
    source: str | tfds.core.DatasetBuilder,
    split: Any = "train",
    *,
    image_size: tuple[int, int] | None = None,
    batch_size: int | None = None,
    features: Collection[str] | None = None,
    as_supervised: bool = False,
    antialias: bool = False,
    reduced: bool = True,
    crop: Crop | None = None,
    oversample: str | Mapping[str, float] | Rebalance | None = None,
    label: str | None = None,
    augment: Any = None,
    augment_to: str | Collection[Any] = "copies",
    mix: Any = None,
    metadata: Any = None,
    shuffle: bool | None = None,
    seed: int = 0,
    epoch: int = 0,
    shard_index: int = 0,
    num_shards: int = 1,
    drop_remainder: bool = False,
    memory_mb: int = 256,
    allow_evaluation: bool = False,
) -> tf.data.Dataset:
    """Loads a slice for training or evaluation.

    Each image is decoded once an epoch; its copies are made behind that and spread over the epoch.
    What an epoch holds, and in which order, depends on the seed, the number of the epoch and
    `memory_mb` alone. Each iteration over the result is the next epoch.

    Args:
      source: A built dataset or its name, or what `mi.from_corpus` returns.
      split: A split or slice in TFDS's notation, or a `tfds.core.ReadInstruction`.
      image_size: (height, width) to which images are resized, masks by nearest neighbour; as they
        are by default. Batches need it unless all images have one size.
      batch_size: Elements a batch; None for single elements.
      features: Which features to keep; all by default.
      as_supervised: Whether elements are (inputs, label) as Keras takes them, instead of dicts. The
        inputs are the image, or with `metadata` a dict of `image` and what the encoder gives.
      antialias: Whether images that shrink are averaged over areas, not sampled.
      reduced: Whether JPEGs are decoded at 1/2, 1/4 or 1/8 where that is not under `image_size`.
      crop: A crop of each image, see `mi.transforms.Crop`.
      oversample: A strategy (`balanced`, `sqrt`...), {class: factor}, or a `mi.Rebalance`.
      label: The feature of classes to rebalance and to mix by; the supervised one by default.
      augment: A Keras layer, several of them, or a callable of an image (and a seed).
      augment_to: `copies`, `all`, or the names of the classes whose images are augmented.
      mix: A Keras layer for batches, `MixUp` or `CutMix`; labels become one-hot.
      metadata: A fitted `mi.MetadataEncoder`, or any callable from feature dicts to dicts.
      shuffle: Whether the order changes with the epoch, instead of being the written one. By
        default splits for training are shuffled, others not.
      seed: Of order, copies, crops and augmentation.
      epoch: The number of the first epoch; to go on with training that was stopped.
      shard_index: Which of `num_shards` hosts this is. Each reads a contiguous part of the slice.
      num_shards: All have the same number of elements: those that have fewer begin again.
      drop_remainder: Whether a last batch that is not full is left out.
      memory_mb: How much memory is used for shuffling, and for spreading copies.
      allow_evaluation: Whether to rebalance a split that is not for training.

    Returns:
      Feature dicts, or (inputs, label), of known cardinality. `image`: uint8 (uint16 if the dataset
      has that) of shape ([batch,] height, width, channels); class: int64; labels: float32 of shape
      (classes,), 1 for each that is there; features of variable length: ragged where batched;
      others as TFDS gives them.

    Raises:
      ValueError: The arguments do not fit the dataset or each other.
      FileNotFoundError: Rebalancing asks for the index, which the dataset does not have.

    Example:
      >>> ds = mi.load('medical_images/phantom', image_size=(64, 64), batch_size=32,
      ...              oversample='balanced', as_supervised=True)  # doctest: +SKIP
    """
    builder = resolve_builder(source)
    fields = Fields.of(builder, label=label, shown=features, all_needed=metadata is not None)
    if mix is not None and metadata is not None:
        raise ValueError("`mix` mixes images and labels, but not `metadata`; give one of them")
    if (mix is not None or as_supervised) and fields.label is None:
        raise ValueError("the dataset has no supervised feature; name one with `label=`")
    if batch_size is None and (mix is not None or drop_remainder):
        raise ValueError("`mix` and `drop_remainder` are of batches; give a `batch_size`")
    share = Share.of(builder, split, index=shard_index, number=num_shards)
    plan = None
    if oversample is not None:
        plan, _ = plan_of(
            builder,
            split,
            oversample=oversample,
            label=fields.label,
            seed=seed,
            allow_evaluation=allow_evaluation,
            ends=share.ends,
        )
    own_seed = seed + (shard_index << 32)
    reading = _Reading(
        builder=builder,
        fields=fields,
        share=share,
        plan=plan,
        shuffle=all(map(is_for_training, share.splits)) if shuffle is None else shuffle,
        seed=own_seed,
        memory=memory_mb << 20,
        number_copies=augment is not None and augment_to == "copies",
        decode=functools.partial(
            decode, image_size=image_size, antialias=antialias, reduced=reduced, crop=crop
        ),
    )

    def one_epoch(number: tf.Tensor) -> tf.data.Dataset:
        ds = reading.elements(number)
        if augment is not None:
            ds = augmented(
                ds,
                augment,
                to=augment_to,
                label=fields.label,
                names=fields.classes,
                seed=own_seed,
                epoch=number,
                image=fields.image,
                masks=fields.masks,
                boxes=fields.boxes,
            )
        if reading.number_copies:
            ds = ds.map(functools.partial(_without, COPY))
        if batch_size is not None:
            ds = _batched(ds, batch_size, drop_remainder)
        if mix is not None:
            ds = mixed(
                ds,
                mix,
                num_classes=len(fields.classes),
                label=str(fields.label),
                image=fields.image,
                seed=own_seed,
                epoch=number,
            )
        return ds.map(functools.partial(fields.finish, encoder=metadata, pair=as_supervised))

    ds = epochs(one_epoch, first=epoch).prefetch(_PREFETCHED)
    options = tf.data.Options()
    # As many calls as cores are as fast, and an epoch that ends need not wait for the autotuner,
    # which sleeps for up to half the time it has run.
    options.autotune.enabled = False
    return ds.with_options(options)


def _without(name: str, element: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in element.items() if key != name}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Reading:
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
        infos = self.builder.info.splits
        slices = absolute_slices(self.builder, self.share.split)
        largest = max(infos[name].num_bytes / infos[name].num_examples for name, _, _ in slices)
        number = sum(end - begin for _, begin, end in slices)
        return min(number, int(memory / max(largest, 1)) + 1)

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
        # The copies of an image in the buffer share its memory.
        num_images = int((self.plan.copies(0)[self.share.begin : self.share.end] > 0).sum())
        fitting = self.memory // 2 // _num_bytes(ds.element_spec) + 1
        ds = repeat(ds, num_copies=own, number_copies=self.number_copies)
        seeds = tf.stack([tf.cast(self.seed, tf.int64), epoch])
        seeds = tf.random.experimental.stateless_fold_in(seeds, _SPREADING)
        return shuffled(ds, min(own, fitting * own // num_images), seeds=seeds)


def _multi_hot(numbers: tf.Tensor, depth: int) -> tf.Tensor:
    """Returns 1 for each class that is there; -1 is none."""
    return tf.minimum(tf.reduce_sum(tf.one_hot(numbers, depth), axis=0), 1.0)


def _num_bytes(spec: Any) -> int:
    """Returns the memory of an element, with a guess where its shape is not known."""
    return sum(
        each.shape.num_elements() * each.dtype.size
        if each.shape.is_fully_defined()
        else _UNKNOWN_BYTES
        for each in tf.nest.flatten(spec)
    )


def _batched(ds: tf.data.Dataset, batch_size: int, drop_remainder: bool) -> tf.data.Dataset:
    specs = tf.nest.flatten(ds.element_spec)
    if all(spec.shape.is_fully_defined() for spec in specs):
        return ds.batch(batch_size, drop_remainder=drop_remainder)
    return ds.ragged_batch(batch_size, drop_remainder=drop_remainder)
