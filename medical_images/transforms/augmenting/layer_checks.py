"""What must hold of layers, and of the features of elements, for them to be changed at random."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from medical_images.errors import nearest
from medical_images.transforms.augmenting.keras_layers import followers_problem
from medical_images.transforms.augmenting.keras_seeds import parts_of

IMAGE_TYPES = (tf.uint8, tf.uint16, tf.float32)


def refuse(who: str, problems: Sequence[str]) -> None:
    """Raises a ValueError that lists problems, if there are any.

    Example:
      >>> refuse('augment', ['one thing', 'another'])
      Traceback (most recent call last):
      ValueError: augment: 2 problems
        one thing
        another
    """
    if len(problems) == 1:
        raise ValueError(f"{who}: {problems[0]}")
    if problems:
        raise ValueError("\n  ".join([f"{who}: {len(problems)} problems", *problems]))


def dict_spec(ds: tf.data.Dataset, who: str) -> dict[str, Any]:
    """Returns the features of a dataset's elements."""
    if not isinstance(ds.element_spec, dict):
        raise ValueError(f"{who}: elements must be feature dicts; they are {ds.element_spec}")
    return ds.element_spec


def layer_problems(
    layers: Iterable[keras.Layer], *, size: tuple[int | None, int | None], integer: bool, moved: str
) -> list[str]:
    """Says why layers cannot be run on single images.

    Args:
      layers: As of `keras_layers.flat_layers`.
      size: Height and width of the images, where known.
      integer: Whether the pixels are integers; layers then see values from 0 to 255.
      moved: What must follow the images, such as `masks`; may be empty.

    Example:
      >>> layer_problems([keras.layers.MixUp()], size=(8, 8), integer=True, moved='')
      ['MixUp mixes the images of a batch; give it to `mix`']
    """
    problems = []
    for layer in layers:
        name = type(layer).__name__
        if isinstance(layer, keras.layers.MixUp | keras.layers.CutMix):
            problems.append(f"{name} mixes the images of a batch; give it to `mix`")
        elif integer and isinstance(layer, keras.layers.Rescaling):
            problems.append(
                f"{name} is of no use here, since the images are rounded to integers again; rescale"
                " in the model"
            )
        elif isinstance(layer, keras.layers.MaxNumBoundingBoxes):
            problems.append(f"{name} changes no image; leave it out")
        elif moved and (why := followers_problem(layer, size)):
            problems.append(f"{moved} cannot follow {name}: {why}")
        for part in parts_of(layer):
            problems += _part_problems(part, name, integer)
    return list(dict.fromkeys(problems))


def feature_problems(
    spec: Mapping[str, Any], image: str, masks: Sequence[str], boxes: Sequence[str]
) -> list[str]:
    """Says why features cannot be an image (h, w, channels), its masks and its boxes."""
    problems = [
        f"`{kind}` is {given!r}; it must be a list of features: [{given!r}]"
        for kind, given in (("masks", masks), ("boxes", boxes))
        if isinstance(given, str)
    ]
    if problems:
        return problems
    named = (image, *masks, *boxes)
    problems = [_unknown(name, spec) for name in named if name not in spec]
    if image in spec:
        problems += image_problems(image, spec[image], rank=3)
    for name in (name for name in masks if name in spec):
        shape, dtype = _shape_and_type(spec[name])
        if shape.rank != 3 or dtype not in (tf.uint8, tf.uint16, tf.int32):
            problems.append(f"mask '{name}' is {spec[name]}; it must be integers (h, w, 1)")
    for name in (name for name in boxes if name in spec):
        shape, dtype = _shape_and_type(spec[name])
        if shape.rank not in (1, 2) or shape[-1] != 4 or dtype != tf.float32:
            problems.append(
                f"boxes '{name}' are {spec[name]}; they must be float32 (4,) or (n, 4), or a dict"
                " with (n, 4) as `bbox`"
            )
    return problems


def image_problems(name: str, spec: Any, *, rank: int) -> list[str]:
    """Says why a feature cannot be an image (`rank` 3) or a batch of images (4)."""
    shape, dtype = _shape_and_type(spec)
    if dtype == tf.string:
        return [f"'{name}' is still encoded; decode it first (`transforms.decode`)"]
    problems = []
    if dtype not in IMAGE_TYPES:
        found = dtype.name if dtype else spec
        problems.append(f"'{name}' is {found}; it must be uint8, uint16 or float32")
    if dtype and shape.rank != rank:
        when = "single images, before `batch`" if rank == 3 else "batches, after `batch`"
        problems.append(f"'{name}' has shape {shape}; this works on {when}")
    return problems


def mix_problems(
    spec: Mapping[str, Any], layer: Any, num_classes: int, label: str, image: str
) -> list[str]:
    """Says why a layer cannot mix batches."""
    problems = [_unknown(name, spec) for name in (image, label) if name not in spec]
    if not isinstance(layer, keras.layers.MixUp | keras.layers.CutMix):
        problems.append(
            f"the layer is {type(layer).__name__}; it must be keras.layers.MixUp or CutMix"
            " (others are for `augment`)"
        )
    else:
        problems += _part_problems(layer, type(layer).__name__, integer=False)
    if image in spec:
        problems += image_problems(image, spec[image], rank=4)
    if label in spec:
        shape, dtype = _shape_and_type(spec[label])
        numbers = shape.rank == 1 and dtype.is_integer
        hot = shape.rank == 2 and shape[-1] == num_classes and dtype != tf.string
        if not numbers and not hot:
            problems.append(
                f"label '{label}' is {spec[label]}; it must be integers (batch,) or multi-hot"
                f" (batch, {num_classes})"
            )
    return problems


def _shape_and_type(spec: Any) -> tuple[tf.TensorShape, Any]:
    """Returns an unknown shape and None of what is no tensor, such as a dict."""
    if isinstance(spec, tf.TensorSpec):
        return spec.shape, spec.dtype
    return tf.TensorShape(None), None


def _unknown(name: str, known: Collection[str]) -> str:
    return f"no feature '{name}' in the elements; {nearest(name, known)}"


def _part_problems(part: keras.Layer, name: str, integer: bool) -> list[str]:
    found = []
    given = tuple(getattr(part, "value_range", (0, 255)))
    if integer and given != (0, 255):
        found.append(
            f"{name} has value_range={given}, but layers see the pixels of integer images as 0 to"
            " 255; make it with value_range=(0, 255)"
        )
    if part.compute_dtype != "float32":
        found.append(f"{name} computes in {part.compute_dtype}; make it with dtype='float32'")
    if getattr(part, "data_format", None) == "channels_first":
        found.append(f"{name} has data_format='channels_first'; make it with 'channels_last'")
    backend = keras.backend.backend()
    if backend != "tensorflow" and not hasattr(part, "_get_seed_generator"):
        found.append(
            f"{name} cannot run in tf.data while the backend of Keras is {backend}; set"
            " KERAS_BACKEND=tensorflow, or use the random layers for images"
        )
    return found
