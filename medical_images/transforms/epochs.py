"""A dataset that is another one each time it is read."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def epochs(one_epoch: Callable[[tf.Tensor], tf.data.Dataset], *, first: int = 0) -> tf.data.Dataset:
    """Makes a dataset of which each iteration reads the next epoch.

    What an epoch holds depends on its number alone. A peek at the dataset (`next(iter(ds))`, or
    the one batch that Keras reads to build a model) begins an epoch too.

    Args:
      one_epoch: Takes the number of an epoch (int64 scalar tensor) and returns its elements, of the
        same types, shapes and number for each.
      first: The number of the first epoch, from 0; to go on with training that was stopped.

    Returns:
      The elements of one epoch, with the cardinality of the first.

    Example:
      >>> ds = epochs(lambda epoch: tf.data.Dataset.from_tensors(10 * epoch), first=3)
      >>> [int(value) for value in ds], [int(value) for value in ds]
      ([30], [40])
    """
    counter = tf.Variable(first, dtype=tf.int64, trainable=False, name="epoch")
    number = tf.data.Dataset.from_tensors(0).map(lambda _: counter.assign_add(1) - 1)
    cardinality = one_epoch(tf.constant(first, tf.int64)).cardinality()
    result = number.flat_map(one_epoch)
    if cardinality < 0:
        return result
    return result.apply(tf.data.experimental.assert_cardinality(cardinality))
