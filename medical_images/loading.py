"""The whole way from a dataset to batches: read, decode, rebalance, augment, encode."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import loky
import tensorflow as tf
import tensorflow_datasets as tfds

from medical_images.batching import batched
from medical_images.dataset_index import resolve_builder
from medical_images.epoch_elements import EpochElements
from medical_images.fields import Fields
from medical_images.host_shares import Share
from medical_images.rebalancing import Rebalance, is_for_training
from medical_images.sampling import plan_of
from medical_images.transforms.augment import augment as augmented
from medical_images.transforms.augment import mix as mixed
from medical_images.transforms.crop import Crop
from medical_images.transforms.decode import decode
from medical_images.transforms.elements import COPY
from medical_images.transforms.epochs import epochs

_PREFETCHED = 2  # batches, or elements


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
    `memory_mb` alone. Each iteration over the result is the next epoch, also one that is not read
    to its end. An iterator can be saved in a `tf.train.Checkpoint`, which holds what is being
    shuffled; one that is restored goes on in its epoch, and `epoch` tells which is the next.

    Args:
      source: A built dataset or its name, or what `mi.from_corpus` returns.
      split: A split or slice in TFDS's notation, or a `tfds.core.ReadInstruction`.
      image_size: (height, width) to which images are resized, masks by nearest neighbour; as they
        are by default. Batches need it unless all images have one size.
      batch_size: Elements a batch; None for single elements.
      features: Which features the dicts have; all by default.
      as_supervised: Whether elements are (inputs, label) as Keras takes them, instead of dicts. The
        inputs are the image, or with `metadata` a dict of `image` and what the encoder gives.
      antialias: Whether images that shrink are averaged over areas, not sampled.
      reduced: Whether JPEGs are decoded at 1/2, 1/4 or 1/8 where that is not under `image_size`.
      crop: A crop of each image, see `mi.transforms.Crop`.
      oversample: A strategy (`balanced`, `sqrt`...), {class: factor}, or a `mi.Rebalance`.
      label: The feature of classes to rebalance and to mix by; the supervised one by default.
      augment: A Keras layer, several of them, or a callable of an image (and a seed). Masks and
        boxes follow layers, see `mi.transforms.augment`.
      augment_to: `copies`, `all`, or the names of the classes whose images are augmented.
      mix: A Keras layer for batches, `MixUp` or `CutMix`; labels become one-hot.
      metadata: A fitted `mi.MetadataEncoder`, or any callable from feature dicts to dicts.
      shuffle: Whether the order changes with the epoch, instead of being the written one, with
        copies side by side. By default splits for training are shuffled, others not.
      seed: Of order, copies, crops and augmentation.
      epoch: The number of the first epoch; to go on with training that was stopped.
      shard_index: Which of `num_shards` hosts this is. Each reads a contiguous part of the slice.
      num_shards: How many hosts there are. All have the same number of elements: those that have
        fewer begin again. Distribution strategies do not shard what is read once more.
      drop_remainder: Whether a last batch that is not full is left out.
      memory_mb: How much memory is used for shuffling, and for spreading copies, about: of images
        without `image_size` it is not known how large they are when they are decoded.
      allow_evaluation: Whether to rebalance a split that is not for training.

    Returns:
      Feature dicts, or (inputs, label), of known cardinality. `image`: uint8 (uint16 if the dataset
      has that) of shape ([batch,] height, width, channels); class: int64; several classes: float32
      of shape (classes,), 1 for each that is there; features of variable length: ragged where
      batched; others as TFDS gives them.

    Raises:
      ValueError: The arguments do not fit the dataset or each other, or the slice is empty.
      FileNotFoundError: Rebalancing asks for the index, which the dataset does not have.
      tf.errors.InvalidArgumentError: While reading, if images of several sizes are to be one batch.

    Example:
      >>> ds = mi.load('medical_images/phantom', image_size=(64, 64), batch_size=32,
      ...              oversample='balanced', as_supervised=True)  # doctest: +SKIP
    """
    if isinstance(source, str) and source.endswith((".yaml", ".yml")):
        raise ValueError(f"'{source}' is a spec, not a dataset; load `mi.from_corpus({source!r})`")
    builder = resolve_builder(source)
    shown = () if as_supervised else features  # beside the image and the label
    fields = Fields.of(builder, label=label, shown=shown, with_metadata=metadata is not None)
    copies_only = augment is not None and isinstance(augment_to, str) and augment_to == "copies"
    problems = _problems(
        fields,
        split=split,
        batched=batch_size is not None,
        oversampled=oversample is not None,
        encoded=metadata is not None,
        augment_copies=copies_only,
        mix=mix is not None,
        as_supervised=as_supervised,
        drop_remainder=drop_remainder,
    )
    in_range = _out_of_range(batch_size=batch_size, memory_mb=memory_mb, epoch=epoch, seed=seed)
    if found := [*problems, *in_range]:
        raise ValueError("; ".join(found))
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
    own_seed = int(seed) + (int(shard_index) << 32)
    reading = EpochElements(
        builder=builder,
        fields=fields,
        share=share,
        plan=plan,
        shuffle=all(map(is_for_training, share.splits)) if shuffle is None else shuffle,
        seed=own_seed,
        memory=int(memory_mb * 2**20),
        number_copies=copies_only,
        decode=functools.partial(
            decode,
            image_size=image_size,
            antialias=antialias,
            reduced=reduced,
            crop=crop,
            num_parallel_calls=loky.cpu_count() + 1,  # one is done and waits for its turn
        ),
    )

    without_autograph = tf.autograph.experimental.do_not_convert  # which takes time to rewrite code

    def one_epoch(number: tf.Tensor) -> tf.data.Dataset:
        ds = without_autograph(reading.elements)(number)
        if augment is not None:
            ds = without_autograph(augmented)(
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
            images = (fields.image, *fields.masks)
            ds = batched(ds, batch_size, drop_remainder, images=images)
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
    # About as many calls as cores are as fast, and an epoch that ends need not wait for the
    # autotuner, which sleeps for up to half the time it has run.
    options.autotune.enabled = False
    # What is read is a function of the seed and the epoch, which an iterator holds.
    options.experimental_external_state_policy = tf.data.experimental.ExternalStatePolicy.IGNORE
    if num_shards > 1:
        policy = tf.data.experimental.AutoShardPolicy.OFF
        options.experimental_distribute.auto_shard_policy = policy
    return ds.with_options(options)


def _problems(
    fields: Fields,
    *,
    split: Any,
    batched: bool,
    oversampled: bool,
    encoded: bool,
    augment_copies: bool,
    mix: bool,
    as_supervised: bool,
    drop_remainder: bool,
) -> Iterator[str]:
    """Says which arguments do not fit each other, or the features."""
    if isinstance(split, list | tuple | dict):
        yield "`split` is several; load them one by one"
    if mix and encoded:
        yield "`mix` mixes images and labels, but not `metadata`; give one of them"
    if (mix or as_supervised) and fields.label is None:
        yield "the dataset has no supervised feature; name one with `label=`"
    elif mix and not fields.classes:
        yield f"`mix` is of classes, which '{fields.label}' has not; name another with `label=`"
    if not batched and (mix or drop_remainder):
        yield "`mix` and `drop_remainder` are of batches; give a `batch_size`"
    if augment_copies and not oversampled:
        yield (
            "`augment` changes copies, and without `oversample` there are none; give"
            " `augment_to='all'`, or classes"
        )


def _out_of_range(
    *, batch_size: int | None, memory_mb: float, epoch: int, seed: int
) -> Iterator[str]:
    if batch_size is not None and batch_size < 1:
        yield f"`batch_size` is {batch_size}; it must be at least 1"
    if memory_mb <= 0:
        yield f"`memory_mb` is {memory_mb}; it must be above 0"
    if epoch < 0:
        yield f"`epoch` is {epoch}; the first is 0"
    if not -(2**31) <= seed < 2**31:
        yield f"`seed` is {seed}; allowed: -2**31 to 2**31 - 1"


def _without(name: str, element: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in element.items() if key != name}
