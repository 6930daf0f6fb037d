"""Keras's layers that choose among operations, with the choice made anew for every image."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from medical_images.transforms.augmenting.keras_seeds import Seeds


def rand_augment(layer: keras.Layer, name: str, data: tf.Tensor, drawn: Any) -> tf.Tensor:
    """Does what `RandAugment` does, but runs only the operations that were chosen.

    Args:
      layer: The layer.
      name: The method of its operations, such as `transform_images`.
      data: float32 (1, h, w, channels).
      drawn: What the layer's `get_random_transformation` returns.
    """
    steps = [
        functools.partial(_transformed, getattr(getattr(layer, part), name), one)
        for part, one in drawn["transforms"].items()
    ]
    return _repeated(
        layer.num_ops, lambda n, data: _one_of(steps, drawn["layer_idxes"][n], data), data
    )


def aug_mix(layer: keras.Layer, images: tf.Tensor, seeds: Seeds) -> tf.Tensor:
    """Does what `AugMix` is to do; itself it chooses its operations once, when it is traced.

    Args:
      layer: The layer.
      images: float32 (1, h, w, channels).
      seeds: What all draws derive from.
    """
    parts = [getattr(layer, name) for name in layer._augment_layers]

    def one_step(number: tf.Tensor, data: tf.Tensor) -> tf.Tensor:
        seed = seeds.seed + tf.stack([number + 1, 0])
        index = tf.random.stateless_uniform((), seed, 0, len(parts) + 1, dtype=tf.int32)
        steps = [functools.partial(_drawn_and_transformed, part, seed) for part in parts]
        return _one_of([*steps, tf.identity], index, data)

    def one_chain(number: tf.Tensor, mixed: tf.Tensor) -> tf.Tensor:
        begin = number * layer.chain_depth
        data = _repeated(layer.chain_depth, lambda n, data: one_step(begin + n, data), images)
        return mixed + weights[number] * data

    def dirichlet(count: int) -> tf.Tensor:
        draws = tf.random.stateless_gamma((count,), seeds.next(), alpha=float(layer.alpha))
        return draws / tf.reduce_sum(draws)

    weights, share = dirichlet(layer.num_chains), dirichlet(2)[0]
    mixed = _repeated(layer.num_chains, one_chain, tf.zeros_like(images))
    return tf.clip_by_value(share * images + (1 - share) * mixed, *layer.value_range)


def _transformed(method: Callable[..., tf.Tensor], drawn: Any, data: tf.Tensor) -> tf.Tensor:
    return method(data, drawn)


def _drawn_and_transformed(part: keras.Layer, seed: tf.Tensor, data: tf.Tensor) -> tf.Tensor:
    drawn = part.get_random_transformation(data, training=True, seed=Seeds(seed))
    return part.transform_images(data, drawn, training=True)


def _one_of(
    steps: Sequence[Callable[[tf.Tensor], tf.Tensor]], index: tf.Tensor, data: tf.Tensor
) -> tf.Tensor:
    return tf.switch_case(index, [functools.partial(step, data) for step in steps])


def _repeated(
    count: int, step: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], data: tf.Tensor
) -> tf.Tensor:
    """Returns what becomes of data of constant shape in `count` steps, traced once."""
    _, result = tf.while_loop(
        lambda number, _: number < count,
        lambda number, data: (number + 1, tf.ensure_shape(step(number, data), data.shape)),
        (tf.constant(0), data),
    )
    return result
