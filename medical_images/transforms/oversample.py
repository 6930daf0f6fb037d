"""Repeats records of minority classes, in one pass over the records."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from medical_images.copy_plan import BITS, ONE, CopyPlan, hashes_of
from medical_images.dataset_index import ClassCounts
from medical_images.rebalancing import Rebalance, refuse_evaluation
from medical_images.transforms.elements import COPIES
from medical_images.transforms.epochs import epochs
from medical_images.transforms.repeat import repeat
from medical_images.transforms.shuffle import shuffle

_PAIR = "pair"


def oversample(
    ds: tf.data.Dataset,
    counts: Mapping[str, int],
    *,
    strategy: str | Mapping[str, float] | Rebalance = "balanced",
    label: str | None = None,
    split: str | None = None,
    seed: int = 0,
    epoch: int = 0,
    shuffle_buffer: int | None = 1024,
    with_copy_numbers: bool = False,
    allow_evaluation: bool = False,
) -> tf.data.Dataset:
    """Repeats or leaves out records so that each class occurs as often as a strategy says.

    The counts come from the index, so nothing is counted or filtered in a pass of its own. Of a
    class with n records, which is to occur T times, the j-th record read (from 0) is repeated
    floor(((j + 1) T + o) / n) - floor((j T + o) / n) times, where o in [0, n) comes from the seed
    and the epoch: an even rhythm, as in drawing a straight line of pixels (Bresenham 1965), that
    adds up to exactly T. From epoch to epoch the rhythm moves by the golden ratio, so that every
    record has its turn. Classes without any record stay without.

    Decode and resize images before this step (`mi.transforms.decode`), so that each is decoded
    once: the `shuffle_buffer` elements that are held share the memory of an image among its copies.
    `mi.load` does so, and also rebalances labels features, and by patients.

    Args:
      ds: Feature dicts, or (image, label) pairs of `as_supervised=True`. `label` is an integer
        scalar, the number of the class, or -1 for a record without one, which is kept once.
      counts: What `mi.class_counts(builder, split)` returns for the very slice that `ds` reads, or
        {class: records} in the order of the classes if no record is without a class.
      strategy: What `Rebalance.of` takes; by default all classes become as large as the largest.
      label: The feature of the class; known to `mi.class_counts`.
      split: The slice `ds` reads; known to `mi.class_counts`.
      seed: Decides which records are repeated once more than others, and the shuffling.
      epoch: The number of the first epoch; each iteration of the result is the next one.
      shuffle_buffer: Elements among which copies are spread; None leaves copies side by side.
      with_copy_numbers: Whether to add `_copy` to feature dicts, as `augment` needs it: int64, 0
        for the first occurrence of a record in an epoch, then 1, 2...
      allow_evaluation: Whether a split not named train, fit or fold may be rebalanced, which
        changes what is measured on it.

    Returns:
      The same elements, repeated, with known cardinality.

    Raises:
      ValueError: The split is for evaluation or not named, the label is not a scalar, copies of
        pairs are to be numbered, or see `Rebalance`; `per_group` is of `mi.load` only.
      tf.errors.InvalidArgumentError: While reading, if `ds` holds more of a class than `counts`.

    Example:
      >>> ds = tf.data.Dataset.from_tensor_slices({'label': [0, 0, 0, 0, 1, 0, 1]})
      >>> balanced = oversample(ds, {'nv': 5, 'mel': 2}, label='label', split='train')
      >>> int(balanced.cardinality())
      10
      >>> sorted(int(example['label']) for example in balanced)
      [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    """
    splits = () if split is None else tuple(re.sub(r"\[[^\]]*\]", "", split).split("+"))
    if isinstance(counts, ClassCounts):
        label, splits = label or counts.feature, splits or counts.splits
    refuse_evaluation(splits, allow_evaluation)
    sizes = _sizes(counts)
    pick = _label_picker(ds.element_spec, label)
    is_pair = not isinstance(ds.element_spec, Mapping)
    if is_pair and with_copy_numbers:
        raise ValueError("copies can be numbered in feature dicts only; these are (image, label)")
    totals = Rebalance.of(strategy).totals(counts)
    step = _counting_step(pick, list(counts), sizes, totals)

    def one_epoch(number: tf.Tensor) -> tf.data.Dataset:
        offsets = _offsets(sizes, seed, number)
        counted = ds.scan((tf.zeros_like(offsets), offsets), step)
        repeated = repeat(counted, num_copies=int(totals.sum()), number_copies=with_copy_numbers)
        seeds = tf.stack([tf.constant(seed, tf.int64), number])
        return shuffle(repeated, shuffle_buffer or 1, seeds=seeds)

    repeated = epochs(one_epoch, first=epoch)
    return repeated.map(lambda element: element[_PAIR]) if is_pair else repeated


def _sizes(counts: Mapping[str, int]) -> np.ndarray:
    """Returns int64 (classes + 1,), the records of each class and those without one."""
    unlabelled = counts.unlabelled if isinstance(counts, ClassCounts) else 0
    sizes = np.array([*counts.values(), unlabelled], dtype=np.int64)
    if not len(counts) or sizes.min() < 0 or sizes.max() == 0:
        raise ValueError("`counts` must name the classes and how many records each has")
    return sizes


def _label_picker(spec: Any, label: str | None) -> Callable[[Any], tf.Tensor]:
    if isinstance(spec, tuple) and len(spec) == 2:
        found, pick = spec[1], lambda element: element[1]
    elif isinstance(spec, Mapping) and label in spec:
        found, pick = spec[label], lambda element: element[label]
    else:
        known = ", ".join(map(str, spec)) if isinstance(spec, Mapping) else str(spec)
        raise ValueError(f"no feature '{label}' in the elements; known: {known}")
    if not isinstance(found, tf.TensorSpec) or found.shape.rank != 0 or not found.dtype.is_integer:
        raise ValueError(f"the label must be an integer scalar, one class a record; it is {found}")
    return pick


def _offsets(sizes: np.ndarray, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Returns o of each class in an epoch, int64 in [0, its records)."""
    starts = tf.constant((hashes_of(len(sizes), seed) >> np.uint64(BITS)).astype(np.int64))
    turned = (starts + epoch * CopyPlan.STEP) % ONE
    return tf.bitwise.right_shift(turned * sizes, tf.constant(BITS, tf.int64))


def _counting_step(
    pick: Callable[[Any], tf.Tensor], names: list[str], sizes: np.ndarray, totals: np.ndarray
) -> Any:
    """Returns a step of `scan` that adds `COPIES` to elements and counts the records of classes."""
    largest = tf.constant(sizes)
    divisors, targets = tf.constant(np.maximum(sizes, 1)), tf.constant(totals)
    is_told = "" if sizes[-1] else ", and `counts` tells of no record without a class (-1)"

    def step(state: Any, *element: Any) -> tuple[Any, dict[str, Any]]:
        seen, offsets = state
        whole = element[0] if len(element) == 1 else element
        number = tf.cast(pick(whole), tf.int64)
        number = tf.where(number < 0, tf.constant(len(names), tf.int64), number)
        known = tf.debugging.assert_less_equal(
            number, tf.constant(len(names), tf.int64),
            message=f"oversample: the label is the number of no class (classes: {names})",
        )  # fmt: skip
        with tf.control_dependencies([known]):
            number = tf.identity(number)
        count = tf.gather(seen, number)
        fits = tf.debugging.assert_less(
            count, tf.gather(largest, number),
            message=f"oversample: a class has more records than `counts` says{is_told};"
            f" counts must be those of the slice that is read (classes: {names})",
        )  # fmt: skip
        with tf.control_dependencies([fits]):
            target, size = tf.gather(targets, number), tf.gather(divisors, number)
        begin = count * target + tf.gather(offsets, number)
        copies = (begin + target) // size - begin // size
        seen = tf.tensor_scatter_nd_add(seen, [[number]], [tf.constant(1, tf.int64)])
        found = whole if isinstance(whole, dict) else {_PAIR: whole}
        return (seen, offsets), found | {COPIES: copies}

    return step
