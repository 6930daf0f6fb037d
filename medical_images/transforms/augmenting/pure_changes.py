"""Changes of elements that are functions of the element and a seed, and of nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from medical_images.transforms.augmenting.layer_checks import refuse

Element = dict[str, tf.Tensor]
Change = Callable[[Element, tf.Tensor], Element]

_TOP = {tf.uint8: 255.0, tf.uint16: 65535.0}
_KEEPS_STATE = re.compile(  # operations whose result depends on what ran before
    "Random|Multinomial|TruncatedNormal|ParameterizedTruncatedNormal|Rng|Assign"
    "|Stateful(Uniform|StandardNormal|TruncatedNormal|Random)"
)


def key_of(seed: int, epoch: int | tf.Tensor) -> tf.Tensor:
    """Returns what all seeds of an epoch derive from: int64 (2,)."""
    start = tf.constant([seed % 2**63, 0x6D69], tf.int64)
    return tf.random.experimental.stateless_fold_in(start, tf.cast(epoch, tf.int64))


def seed_of(key: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """Returns the seed of one element: int32 (2,).

    Args:
      key: As of `key_of`.
      place: The number of the element in its dataset, int64.

    Example:
      >>> key = key_of(seed=1, epoch=0)
      >>> bool(tf.reduce_any(seed_of(key, tf.constant(0)) != seed_of(key, tf.constant(1))))
      True
    """
    folded = tf.random.experimental.stateless_fold_in(key, tf.cast(place, tf.int64))
    return tf.random.stateless_uniform((2,), folded, minval=None, maxval=None, dtype=tf.int32)


def to_float(images: tf.Tensor) -> tf.Tensor:
    """Returns images as float32; those of integers from 0 to 255."""
    pixels = tf.cast(images, tf.float32)
    return pixels * (255.0 / _TOP[images.dtype]) if images.dtype in _TOP else pixels


def from_float(pixels: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Undoes `to_float`; rounded, and clipped to what the type holds.

    Example:
      >>> from_float(tf.constant([-3.0, 1.6, 300.0]), tf.uint8).numpy().tolist()
      [0, 2, 255]
    """
    if dtype not in _TOP:
        return pixels
    return tf.cast(tf.clip_by_value(pixels * (_TOP[dtype] / 255.0), 0.0, _TOP[dtype]) + 0.5, dtype)


def pure(
    who: str, change: Change, specs: Mapping[str, tf.TensorSpec], *, same_size: bool
) -> Change:
    """Traces a change once, so that all is known of it before anything is read.

    Args:
      who: Who asks, for errors.
      change: Takes the features of an element and a seed, int32 (2,), and returns the features.
      specs: The features.
      same_size: Whether features must keep their shapes.

    Returns:
      The change, traced.

    Raises:
      ValueError: It cannot be traced, draws random numbers that do not come from its seed, keeps a
        state, or returns features of another type, or shape where `same_size`.
    """
    try:
        function = tf.function(change, autograph=False).get_concrete_function(
            dict(specs), tf.TensorSpec((2,), tf.int32)
        )
    except Exception as error:
        shapes = ", ".join(f"{s.dtype.name} '{name}' {s.shape}" for name, s in specs.items())
        unknown = any(None in spec.shape.as_list() for spec in specs.values())
        remedy = "; it may need known sizes: decode to one size" if unknown else ""
        raise ValueError(
            f"{who}: the layer or function cannot be run on {shapes}{remedy}"
            f" ({type(error).__name__}: {error})"
        ) from error
    found = function.structured_outputs
    problems = _state_problems(function)
    for name, spec in specs.items():
        problems += _result_problems(name, spec, found[name], same_size)
    refuse(who, problems)

    def run(features: Element, seed: tf.Tensor) -> Element:
        results = function(features, seed)
        if same_size:
            return {name: tf.ensure_shape(results[name], specs[name].shape) for name in specs}
        return dict(results)

    return run


def _state_problems(function: Any) -> list[str]:
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(node for inner in graph.library.function for node in inner.node_def)]
    found = sorted({node.op for node in nodes if _KEEPS_STATE.match(node.op)})
    if not found:
        return []
    return [
        f"random numbers or a state that do not come from the seed ({', '.join(found)}), so that no"
        " run could be repeated; give a layer itself instead of a function that calls it, or a"
        " function f(image, seed) that uses tf.image.stateless_... or tf.random.stateless_..."
    ]


def _result_problems(name: str, spec: Any, found: Any, same_size: bool) -> list[str]:
    if found.dtype != spec.dtype:
        return [
            f"'{name}' is {spec.dtype.name} but becomes {found.dtype.name}; return the type it had"
        ]
    if same_size and not found.shape.is_compatible_with(spec.shape):
        return [
            f"'{name}' becomes {found.shape} where it is changed and stays {spec.shape} elsewhere;"
            " use to='all', or what keeps the size"
        ]
    return []
