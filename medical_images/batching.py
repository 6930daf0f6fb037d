"""Batches of elements, some features of which have no fixed length."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import tensorflow as tf


def batched(
    ds: tf.data.Dataset, batch_size: int, drop_remainder: bool, *, images: Collection[str]
) -> tf.data.Dataset:
    """Batches elements; features of variable length become ragged, images do not.

    Args:
      ds: Feature dicts.
      batch_size: Elements a batch.
      drop_remainder: Whether a last batch that is not full is left out.
      images: The features of images and masks.

    Raises:
      tf.errors.InvalidArgumentError: While reading, if the images of a batch have several sizes.

    Example:
      >>> ds = tf.data.Dataset.from_tensors({'image': tf.zeros((4, 6, 1)), 'n': [1, 2]})
      >>> batched(ds, 8, False, images=['image']).element_spec['image'].shape
      TensorShape([None, 4, 6, 1])
    """
    specs = tf.nest.flatten(ds.element_spec)
    if all(spec.shape.is_fully_defined() for spec in specs):
        return ds.batch(batch_size, drop_remainder=drop_remainder)

    def dense(batch: Mapping[str, Any]) -> dict[str, Any]:
        ragged = [name for name in images if isinstance(batch[name], tf.RaggedTensor)]
        return {**batch, **{name: _dense(name, batch[name]) for name in ragged}}

    return ds.ragged_batch(batch_size, drop_remainder=drop_remainder).map(dense)


def _dense(name: str, ragged: tf.RaggedTensor) -> tf.Tensor:
    result = ragged.to_tensor()
    check = tf.debugging.assert_equal(
        tf.size(result),
        tf.size(ragged.flat_values),
        message=f"'{name}' has several sizes in a batch; give `image_size`",
    )
    with tf.control_dependencies([check]):
        return tf.identity(result)
