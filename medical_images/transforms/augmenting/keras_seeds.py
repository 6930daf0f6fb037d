"""Exchanges the random generators of Keras's layers for draws that derive from a seed tensor.

A generator of Keras counts in a variable: what is drawn depends on what was drawn before, in
whatever order threads came. While a layer is traced, `seeded` puts a generator without a state in
the place of every one in it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf

_SOURCE = "_get_seed_generator"  # where the layers for images ask for their generator
_Changes = Iterable[tuple[keras.Layer, dict[str, Any]]]


class Seeds(keras.random.SeedGenerator):
    """A generator whose draws derive from one seed, with no state in TensorFlow.

    Args:
      seed: int32 (2,).

    Attributes:
      drawn: How many seeds were drawn; may be set back to draw the same again.

    Example:
      >>> Seeds(tf.constant([3, 5])).next().numpy().tolist()
      [3, 6]
    """

    def __init__(self, seed: tf.Tensor) -> None:
        self.seed, self.drawn = seed, 0

    def next(self, ordered: bool = True) -> tf.Tensor:
        """Returns the next seed, int32 (2,)."""
        self.drawn += 1
        return self.seed + tf.constant([0, self.drawn], tf.int32)


def parts_of(layer: keras.Layer) -> list[keras.Layer]:
    """Returns a layer and all layers in it."""
    return list(layer._flatten_layers())


@contextlib.contextmanager
def seeded(layer: keras.Layer, seeds: Seeds) -> Iterator[None]:
    """Lets everything in a layer draw from `seeds`, and compute with TensorFlow, for a while."""
    parts = parts_of(layer)
    switched = [part.backend for part in parts if hasattr(part, "backend")]
    for backend in switched:
        backend.set_backend("tensorflow")
    try:
        with changed((part, _generators(part, seeds)) for part in parts):
            yield
    finally:
        for backend in switched:
            backend.reset()


@contextlib.contextmanager
def changed(changes: _Changes) -> Iterator[None]:
    """Sets attributes of layers for a while, without their trackers taking notice.

    Args:
      changes: Layers, and their attributes with new values.
    """
    before = []
    try:
        for layer, values in changes:
            held = vars(layer)
            before.append((held, {name: held[name] for name in values if name in held}, values))
            held.update(values)
        yield
    finally:
        for held, kept, values in reversed(before):
            for name in values:
                del held[name]
            held.update(kept)


def _generators(part: keras.Layer, seeds: Seeds) -> dict[str, Any]:
    held = [name for name, v in vars(part).items() if isinstance(v, keras.random.SeedGenerator)]
    values: dict[str, Any] = dict.fromkeys(held, seeds)
    if hasattr(part, _SOURCE):
        values[_SOURCE] = lambda backend=None: seeds
    return values
