"""Repeats elements as often as they say."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from medical_images.transforms.elements import COPIES, COPY


def repeat(ds: tf.data.Dataset, *, num_copies: int, number_copies: bool = False) -> tf.data.Dataset:
    """Repeats each element `COPIES` times, side by side.

    The copies of an element share its memory, so that a shuffle buffer behind this step holds each
    image once, however many copies of it are in there.

    Args:
      ds: Feature dicts with `COPIES`, an int64 scalar of at least 0, which is taken out.
      num_copies: The sum of them, which is the cardinality.
      number_copies: Whether to add `COPY`: 0 for the first of each, then 1, 2...

    Returns:
      The elements, repeated.

    Example:
      >>> copies = tf.constant([1, 2], tf.int64)
      >>> ds = tf.data.Dataset.from_tensor_slices({'x': [7, 8], COPIES: copies})
      >>> [int(element['x']) for element in repeat(ds, num_copies=3)]
      [7, 8, 8]
    """

    def copies_of(element: dict[str, Any]) -> tf.data.Dataset:
        rest = {name: value for name, value in element.items() if name != COPIES}
        if not number_copies:
            return tf.data.Dataset.from_tensors(rest).repeat(element[COPIES])
        return tf.data.Dataset.range(element[COPIES]).map(lambda number: rest | {COPY: number})

    return ds.flat_map(copies_of).apply(tf.data.experimental.assert_cardinality(num_copies))
