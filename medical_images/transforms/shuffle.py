"""Shuffling whose order is a function of its seeds alone."""

from __future__ import annotations

import tensorflow as tf


def shuffle(ds: tf.data.Dataset, buffer_size: int, *, seeds: tf.Tensor) -> tf.data.Dataset:
    """Shuffles in a buffer; `tf.random.set_seed` does not change the order.

    Args:
      ds: Any elements.
      buffer_size: How many of them are held.
      seeds: Integers of shape (2,), such as a seed and the number of an epoch.

    Returns:
      The elements in the same order each time.

    Example:
      >>> ds = shuffle(tf.data.Dataset.range(5), 5, seeds=tf.constant([0, 1]))
      >>> first, second = ([int(value) for value in ds] for _ in range(2))
      >>> sorted(first), first == second
      ([0, 1, 2, 3, 4], True)
    """
    if buffer_size < 2:
        return ds
    if tf.executing_eagerly():  # a graph has a seed of its own, which can be set aside
        once = tf.data.Dataset.from_tensors(seeds)
        shuffled = once.flat_map(lambda seeds: _shuffled(ds, buffer_size, seeds))
        number = ds.cardinality()
        if number < 0:
            return shuffled
        return shuffled.apply(tf.data.experimental.assert_cardinality(number))
    return _shuffled(ds, buffer_size, seeds)


def _shuffled(ds: tf.data.Dataset, buffer_size: int, seeds: tf.Tensor) -> tf.data.Dataset:
    bits = tf.random.stateless_uniform([], seeds, minval=None, maxval=None, dtype=tf.int64)
    seed = tf.bitwise.bitwise_and(bits, 2**31 - 1)
    graph = tf.compat.v1.get_default_graph()
    former, graph.seed = graph.seed, 1  # else `tf.random.set_seed` would have a say
    try:
        return ds.shuffle(buffer_size, seed=seed, reshuffle_each_iteration=False)
    finally:
        graph.seed = former
