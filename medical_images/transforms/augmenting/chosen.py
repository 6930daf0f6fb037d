"""Which elements of a dataset are to be changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from medical_images.errors import nearest
from medical_images.transforms.augmenting.layer_checks import refuse
from medical_images.transforms.elements import COPY

Chooser = Callable[[dict[str, tf.Tensor]], tf.Tensor]


def chooser(
    spec: Mapping[str, Any],
    to: str | Collection[str | int],
    *,
    label: str | None,
    names: Sequence[str] | None,
) -> Chooser | None:
    """Returns a function that tells of an element whether it is chosen: a bool scalar.

    Args:
      spec: The features of the elements.
      to: 'copies', 'all', or classes by name or number.
      label: The feature of the class, if `to` names classes.
      names: The names of all classes in order, if `to` holds names.

    Returns:
      The function; None if all elements are chosen.

    Raises:
      ValueError: `to` does not fit the elements.

    Example:
      >>> spec = {'label': tf.TensorSpec((), tf.int64)}
      >>> chosen = chooser(spec, ['mel'], label='label', names=['nv', 'mel'])
      >>> bool(chosen({'label': tf.constant(1, tf.int64)}))
      True
    """
    if isinstance(to, str):
        return _by_word(spec, to)
    numbers = _class_numbers(to, names)
    if label is None or not _holds_classes(spec.get(label)):
        given = spec.get(label or "", nearest(label or "label", spec))
        raise ValueError(
            "augment: `to` names classes, so `label` must be their feature: an integer scalar,"
            f" integers (n,) or multi-hot floats (classes,); `label` is {label!r}: {given}"
        )
    found = spec[label]
    if found.dtype.is_integer:
        return lambda element: tf.reduce_any(
            tf.cast(tf.reshape(element[label], (-1, 1)), tf.int64) == numbers
        )
    width = found.shape[0]
    if width is not None and max(numbers) >= width:
        raise ValueError(
            f"augment: `to` holds class {max(numbers)}; label '{label}' has classes from 0 to"
            f" {width - 1}"
        )
    return lambda element: tf.reduce_any(tf.cast(tf.gather(element[label], numbers), tf.bool))


def _holds_classes(spec: Any) -> bool:
    if not isinstance(spec, tf.TensorSpec):
        return False
    ranks = (0, 1) if spec.dtype.is_integer else (1,) if spec.dtype.is_floating else ()
    return any(spec.shape.rank == rank for rank in ranks)


def _by_word(spec: Mapping[str, Any], to: str) -> Chooser | None:
    if to == "all":
        return None
    if to != "copies":
        raise ValueError(
            f"augment: `to` is {to!r}; it must be 'copies', 'all' or a collection of classes, such"
            f" as [{to!r}]"
        )
    if COPY not in spec:
        raise ValueError(
            f"augment: to='copies' needs the number of each copy as feature '{COPY}', which the"
            " elements do not have; `oversample(..., with_copy_numbers=True)` adds it, or use"
            " to='all' or the names of classes"
        )
    return lambda element: element[COPY] > 0


def _class_numbers(to: Collection[str | int], names: Sequence[str] | None) -> list[int]:
    if not isinstance(to, Collection):
        raise ValueError(
            f"augment: `to` is {to!r}; it must be 'copies', 'all' or a collection of classes, such"
            f" as [{to!r}]"
        )
    if not to:
        raise ValueError("augment: `to` is empty; name at least one class, or leave augment out")
    problems, numbers = [], []
    known = None if names is None else list(names)
    for one in to:
        if not isinstance(one, str):
            numbers.append(one)
            if (
                not isinstance(one, int | np.integer)
                or one < 0
                or (known is not None and one >= len(known))
            ):
                problems.append(f"`to` holds class {one}; classes are numbered from 0, in order")
        elif known is None:
            problems.append(f"`to` holds '{one}'; give the `names` of all classes in order")
        elif one not in known:
            problems.append(f"`to` holds '{one}', which is no class: {nearest(one, known)}")
        else:
            numbers.append(known.index(one))
    refuse("augment", problems)
    return numbers
