"""Runs Keras's layers for images as pure functions of an image and a seed.

Masks and boxes follow an image exactly, since they are moved with the very same draws; boxes are
put around the pixels that came from them.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from medical_images.transforms.augmenting.choosing_layers import aug_mix, rand_augment
from medical_images.transforms.augmenting.keras_seeds import Seeds, changed, parts_of, seeded
from medical_images.transforms.augmenting.moved_boxes import OUTSIDE, move_boxes, places_of

_NOTHING_MOVES = (
    keras.layers.ContrastLimitedAdaptiveHistogramEqualization,
    keras.layers.Dropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.Rescaling,
)
# What layers are told while they move masks, and places: as `moved_boxes` has them.
_FOR_MASKS = {"fill_value": 0.0, "value_range": (-math.inf, math.inf)}
_FOR_PLACES = {**_FOR_MASKS, "fill_value": OUTSIDE, "fill_mode": "constant"}

_Follower = tuple[tf.Tensor, Mapping[str, Any]]  # float32 (1, h, w, channels), what layers are told


def flat_layers(layer: Any) -> list[keras.Layer]:
    """Returns the layers that run one after another, out of lists, `Sequential` and `Pipeline`.

    Raises:
      ValueError: Something in it is not a layer.

    Example:
      >>> flip, zoom = keras.layers.RandomFlip(), keras.layers.RandomZoom(0.1)
      >>> flat_layers([flip, keras.layers.Pipeline([zoom])]) == [flip, zoom]
      True
    """
    if isinstance(layer, list | tuple):
        return [one for item in layer for one in flat_layers(item)]
    if isinstance(layer, keras.Sequential | keras.layers.Pipeline):
        return flat_layers(list(layer.layers))
    if not isinstance(layer, keras.Layer):
        found = f"the class {layer.__name__}" if isinstance(layer, type) else type(layer).__name__
        raise ValueError(
            f"augment takes a Keras 3 layer, a list of such layers, or one function; found {found}"
        )
    return [layer]


def run_layers(
    layers: Iterable[keras.Layer],
    image: tf.Tensor,
    *,
    masks: Sequence[tf.Tensor] = (),
    boxes: Sequence[tf.Tensor] = (),
    seed: tf.Tensor,
) -> tuple[tf.Tensor, list[tf.Tensor], list[tf.Tensor]]:
    """Runs layers on one image, and moves its masks and boxes alike; call it in a `tf.function`.

    Args:
      layers: As of `flat_layers`, without `layer_checks.layer_problems`.
      image: float32 (h, w, channels).
      masks: Each (h, w, 1).
      boxes: Each float32 (4,) or (n, 4): ymin, xmin, ymax, xmax as fractions of the image.
      seed: int32 (2,); the same seed gives the same result.

    Returns:
      The image as float32; the masks, whose pixels take the value of the nearest one; and the
      boxes: around what is still seen of them, to the pixel, all zeros if nothing is.
    """
    height, width = tf.unstack(tf.shape(image)[:2])
    images = image[tf.newaxis]
    followers: list[_Follower] = [
        (tf.cast(mask, tf.float32)[tf.newaxis], _FOR_MASKS) for mask in masks
    ]
    if boxes:
        followers.append((places_of(height, width)[tf.newaxis], _FOR_PLACES))
    seeds = Seeds(seed)
    for layer in layers:
        with seeded(layer, seeds):
            if _transforms(layer):
                images, followers = _transform_all(layer, images, followers, seeds)
            else:
                images = _call(layer, images)
    moved = [data[0] for data, _ in followers]
    return (
        images[0],
        [tf.cast(data, mask.dtype) for data, mask in zip(moved, masks, strict=False)],
        [
            tf.reshape(
                move_boxes(tf.reshape(box, (-1, 4)), moved[-1], height, width), tf.shape(box)
            )
            for box in boxes
        ],
    )


def run_mix(
    layer: keras.Layer, images: tf.Tensor, labels: tf.Tensor, *, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Runs `MixUp` or `CutMix` on a batch; call it in a `tf.function`.

    Args:
      layer: The layer.
      images: float32 (batch, h, w, channels).
      labels: float32 (batch, classes).
      seed: int32 (2,); the same seed gives the same result.

    Returns:
      Images and labels like the given ones, mixed.
    """
    seeds = Seeds(seed)
    with seeded(layer, seeds):
        transformation = layer.get_random_transformation(images, training=True, seed=seeds)
        mixed = layer.transform_images(images, transformation, training=True)
        shares = layer.transform_labels(labels, transformation, training=True)
    return mixed, shares


def followers_problem(layer: keras.Layer, size: tuple[int | None, int | None]) -> str:
    """Says why masks and boxes cannot follow images through a layer; empty if they can."""
    if isinstance(layer, keras.layers.AugMix):
        return "it blends several images into one"
    if isinstance(layer, keras.layers.RandomCrop | keras.layers.CenterCrop) and any(
        side is None or side < wanted
        for side, wanted in zip(size, (layer.height, layer.width), strict=True)
    ):
        return f"it enlarges images that are smaller than {layer.height}x{layer.width}"
    if not _transforms(layer) and not isinstance(layer, _NOTHING_MOVES):
        return "it does not say how it moves pixels"
    return ""


def _transforms(layer: keras.Layer) -> bool:
    """Whether a layer tells apart what it draws and what it does with it."""
    return hasattr(layer, "get_random_transformation") and hasattr(layer, "transform_images")


def _call(layer: keras.Layer, images: tf.Tensor) -> tf.Tensor:
    if not layer.built:
        with tf.init_scope():  # what it makes outlives the trace
            layer.build(images.shape)
    known = inspect.signature(layer.call).parameters
    return layer(images, **({"training": True} if "training" in known else {}))


def _transform_all(
    layer: keras.Layer, images: tf.Tensor, followers: list[_Follower], seeds: Seeds
) -> tuple[tf.Tensor, list[_Follower]]:
    if isinstance(layer, keras.layers.AugMix):
        return aug_mix(layer, images, seeds), followers
    drawn = layer.get_random_transformation(images, training=True, seed=seeds)
    before = seeds.drawn
    moved = _method(layer, "transform_images")(images, drawn)
    after = seeds.drawn  # some layers draw once more while they transform
    if isinstance(layer, _NOTHING_MOVES):
        return moved, followers
    follow = _method(layer, "transform_segmentation_masks")

    def followed(data: tf.Tensor, told: Mapping[str, Any]) -> _Follower:
        """Moves data with the draws of the images."""
        seeds.drawn = before
        with changed(
            (part, {name: value for name, value in told.items() if name in vars(part)})
            for part in parts_of(layer)
        ):
            try:
                return follow(data, drawn), told
            except NotImplementedError as error:
                name = type(layer).__name__
                raise NotImplementedError(f"{name} has no transform_segmentation_masks") from error

    followers = [followed(*follower) for follower in followers]
    seeds.drawn = after
    return moved, followers


def _method(layer: keras.Layer, name: str) -> Callable[[tf.Tensor, Any], tf.Tensor]:
    if isinstance(layer, keras.layers.RandAugment):
        return functools.partial(rand_augment, layer, name)
    method: Callable[[tf.Tensor, Any], tf.Tensor] = getattr(layer, name)
    return method
