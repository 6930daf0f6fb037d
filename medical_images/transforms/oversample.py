"""Repeats records of minority classes, in one pass over the records."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from medical_images.dataset_index import ClassCounts

_TRAINING = ("train", "fit", "fold")
_EVALUATION = {
    "val", "valid", "validate", "validation", "dev", "test", "testing", "eval", "evaluation",
    "holdout", "tune", "tuning",
}  # fmt: skip


def oversample(
    ds: tf.data.Dataset,
    counts: Mapping[str, int],
    *,
    label: str | None = None,
    split: str | None = None,
    seed: int = 0,
    shuffle_buffer: int | None = 1024,
    allow_evaluation: bool = False,
) -> tf.data.Dataset:
    """Repeats records so that every class occurs as often as the commonest one.

    The counts come from the index, so nothing is counted or filtered in a pass of its own. Of a
    class with n records, which is to occur T times, the j-th record read (from 0) is repeated
    floor(((j + 1) T + o) / n) - floor((j T + o) / n) times, where o in [0, n) comes from the seed:
    an even rhythm, as in drawing a straight line of pixels (Bresenham 1965), that adds up to
    exactly T. Classes without any record stay without.

    Keep images encoded until after this step (`decoders={'image': tfds.decode.SkipDecoding()}`)
    if memory is short: `shuffle_buffer` elements are held.

    Args:
      ds: Feature dicts, or (image, label) pairs of `as_supervised=True`. `label` is an integer
        scalar, the number of the class.
      counts: What `mi.class_counts(builder, split)` returns for the very slice that `ds` reads, or
        {class: records} in the order of the classes.
      label: The feature of the class; known to `mi.class_counts`.
      split: The slice `ds` reads; known to `mi.class_counts`.
      seed: Decides which records are repeated once more than others, and the shuffling.
      shuffle_buffer: Elements among which copies are spread; None leaves copies side by side.
      allow_evaluation: Whether a split not named train, fit or fold may be rebalanced, which
        changes what is measured on it.

    Returns:
      The same elements, repeated, with known cardinality.

    Raises:
      ValueError: The split is for evaluation or not named, or the label is not a scalar.
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
    _refuse_evaluation(splits, allow_evaluation)
    numbers = np.array(list(counts.values()), dtype=np.int64)
    if not len(numbers) or numbers.min() < 0 or numbers.max() == 0:
        raise ValueError("`counts` must name the classes and how many records each has")
    pick = _label_picker(ds.element_spec, label)
    target = int(numbers.max())
    repeated = ds.scan(
        _initial_state(numbers, seed), _counting_step(pick, list(counts), numbers, target)
    )
    repeated = repeated.flat_map(
        lambda element, copies: tf.data.Dataset.from_tensors(element).repeat(copies)
    )
    total = target * int((numbers > 0).sum())
    repeated = repeated.apply(tf.data.experimental.assert_cardinality(total))
    if shuffle_buffer:
        repeated = repeated.shuffle(shuffle_buffer, seed=seed, reshuffle_each_iteration=True)
    return repeated


def _refuse_evaluation(splits: tuple[str, ...], allowed: bool) -> None:
    if allowed:
        return
    if not splits:
        raise ValueError(
            "say which split this is, for example `split='train'`;"
            " validation and test splits are not rebalanced"
        )
    for name in splits:
        words = set(re.split(r"[\W\d_]+", name.strip().lower()))
        if words & _EVALUATION or not name.strip().lower().startswith(_TRAINING):
            raise ValueError(
                f"'{name}' is for evaluation, or at least not named as a training split:"
                " rebalancing it would change what is measured;"
                " pass `allow_evaluation=True` if that is what you want"
            )


def _label_picker(spec: Any, label: str | None) -> Any:
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


def _initial_state(numbers: np.ndarray, seed: int) -> tf.Tensor:
    """For each class j T + o, beginning with j = 0."""
    offsets = np.random.default_rng(seed).integers(0, np.maximum(numbers, 1))
    return tf.constant(offsets, tf.int64)


def _counting_step(pick: Any, names: list[str], numbers: np.ndarray, target: int) -> Any:
    sizes = tf.constant(np.maximum(numbers, 1), tf.int64)
    ends = tf.constant((numbers + 1) * target, tf.int64)

    def step(state: tf.Tensor, *element: Any) -> tuple[tf.Tensor, tuple[Any, tf.Tensor]]:
        whole = element[0] if len(element) == 1 else element
        number = tf.cast(pick(whole), tf.int64)
        before = state[number]
        after = before + target
        checks = [
            tf.debugging.assert_less(
                after, ends[number],
                message="oversample: a class has more records than `counts` says;"
                f" counts must be those of the slice that is read (classes: {names})",
            )
        ]  # fmt: skip
        with tf.control_dependencies(checks):
            copies = after // sizes[number] - before // sizes[number]
        return tf.tensor_scatter_nd_update(state, [[number]], [after]), (whole, copies)

    return step
