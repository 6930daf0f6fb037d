"""Decoding at the scale that is needed, and resizing from there."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import tensorflow as tf

from medical_images.transforms.crop import Crop, cut

_RATIOS = (1, 2, 4, 8)  # libjpeg decodes at these fractions of the scale
_LEAST_SHARE = 0.05  # of a neighbour, below which smoothing is not worth its time
_MOST_STEP = 8**0.5  # pixels; there smoothing gives neighbours as much as the pixel itself


class View(NamedTuple):
    """What was decoded of an image.

    Attributes:
      image: (height, width, channels), perhaps at a reduced scale.
      is_reduced: bool scalar, whether it is at a reduced scale.
      window: Of a crop, int32 of shape (4,): the part of the image that is shown, as y, x, height
        and width in pixels of the full scale.
      whole: Of a crop, int32 of shape (2,): height and width of the whole image at the full scale.
    """

    image: tf.Tensor
    is_reduced: tf.Tensor
    window: tf.Tensor | None = None
    whole: tf.Tensor | None = None


def decode_view(
    data: tf.Tensor,
    size: tuple[int, int] | None,
    *,
    channels: int,
    dtype: Any,
    reduced: bool,
    crop: Crop | None,
    seed: tf.Tensor | None,
) -> View:
    """Decodes what is needed of an image to make it of a size, see `decode.decode_image`."""
    dtype = tf.as_dtype(dtype)
    least = size if reduced else None
    in_full = functools.partial(_decode_full, data, channels, dtype, crop, seed)
    if dtype != tf.uint8 or channels == 4 or (least is None and crop is None):
        return in_full()
    in_part = functools.partial(_decode_jpeg, data, channels, least, crop, seed)
    view: View = tf.cond(tf.io.is_jpeg(data), in_part, in_full)
    return view


def _decode_full(
    data: tf.Tensor, channels: int, dtype: Any, crop: Crop | None, seed: tf.Tensor | None
) -> View:
    image = tf.image.decode_image(data, channels, dtype, expand_animations=False)
    if crop is None:
        return View(image, tf.constant(False))
    whole = tf.shape(image)[:2]
    window = crop.window(whole, seed)
    return View(cut(image, window), tf.constant(False), window, whole)


def _decode_jpeg(
    data: tf.Tensor,
    channels: int,
    least: tuple[int, int] | None,
    crop: Crop | None,
    seed: tf.Tensor | None,
) -> View:
    """Decodes at the smallest scale that is not under `least`."""
    whole = tf.io.extract_jpeg_shape(data)[:2]
    if crop is None:
        shown, at = whole, functools.partial(_whole_at, data, channels, whole)
    else:
        window = crop.window(whole, seed)
        shown, at = window[2:], functools.partial(_part_at, data, channels, whole, window)
    if least is None:
        return at(1)
    # The least sides of which a scale has, to the nearest pixel, as many pixels as are needed.
    sides = [[ratio * side - ratio // 2 for side in least] for ratio in _RATIOS[1:]]
    number = tf.reduce_sum(tf.cast(tf.reduce_all(shown >= tf.constant(sides), 1), tf.int32))
    view: View = tf.switch_case(number, [functools.partial(at, ratio) for ratio in _RATIOS])
    return view


def _size_at(ratio: int, whole: tf.Tensor) -> tf.Tensor:
    """Returns height and width at a scale, to the nearest pixel."""
    return tf.maximum(1, (whole + ratio // 2) // ratio)


def _whole_at(data: tf.Tensor, channels: int, whole: tf.Tensor, ratio: int) -> View:
    image = tf.io.decode_jpeg(data, channels, ratio=ratio)
    if ratio > 2:  # libjpeg always rounds up
        image = cut(image, tf.concat([[0, 0], _size_at(ratio, whole)], 0))
    return View(image, tf.constant(ratio > 1))


def _part_at(
    data: tf.Tensor, channels: int, whole: tf.Tensor, window: tf.Tensor, ratio: int
) -> View:
    """Decodes a part that is enlarged to whole pixels of the scale."""
    size = _size_at(ratio, whole)
    begin = tf.minimum(window[:2] // ratio, size - 1)
    end = tf.minimum(-(-(window[:2] + window[2:]) // ratio), size)
    part = tf.concat([begin, end - begin], 0)
    image = tf.image.decode_and_crop_jpeg(data, part, channels, ratio=ratio)
    begin, end = begin * ratio, tf.where(end == size, whole, end * ratio)
    window = tf.concat([begin, end - begin], 0)
    return View(image, tf.constant(ratio > 1), window, whole)


def resize(
    image: tf.Tensor,
    size: tuple[int, int],
    *,
    antialias: bool,
    exact: bool = False,
    is_reduced: bool | tf.Tensor = False,
) -> tf.Tensor:
    """Gives an image a size.

    Without antialiasing, by the bilinear method of `tf.image.resize`. With it, an axis that shrinks
    by s is to be weighed by a triangle of 2 s pixels, as `tf.image.resize(..., antialias=True)`
    does, which would take longer than decoding. A triangle is a box on a box: averaging over areas
    of s pixels is one, quickly; for the other stands smoothing by three pixels with its variance,
    s^2 / 12, so that each neighbour has a share of s^2 / 24. Beyond s = 2.8, areas are averaged
    before smoothing too, to two pixels for each of the result. Where an image was decoded at a
    reduced scale, that was a box of one of its pixels already: (s^2 - 1) / 24 are left, and up to
    about s = 1.5 nothing is smoothed.

    Args:
      image: (height, width, channels) of `tf.uint8` or `tf.uint16`.
      size: Height and width of the result.
      antialias: Whether an axis that shrinks is averaged.
      exact: Whether antialiasing takes the triangle itself.
      is_reduced: Whether the image was decoded at a reduced scale.

    Returns:
      (*size, channels) of the same type, rounded half up.

    Example:
      >>> image = tf.constant([[[0], [100], [20], [80]]], tf.uint8)
      >>> resize(image, (1, 1), antialias=True).numpy().item()
      50
    """
    slow = functools.partial(tf.image.resize, antialias=antialias)
    average = functools.partial(_average, is_reduced=is_reduced)
    method = average if antialias and not exact else slow
    return tf.cond(
        tf.reduce_all(tf.shape(image)[:2] == size),
        lambda: image,
        lambda: tf.cast(method(image, size) + 0.5, image.dtype),
    )


def _average(image: tf.Tensor, size: tuple[int, int], *, is_reduced: bool | tf.Tensor) -> tf.Tensor:
    """Returns float32; an axis that grows is resized by the bilinear method."""
    found, goal = tf.shape(image)[:2], tf.constant(size)
    is_far = tf.cast(found, tf.float32) > _MOST_STEP * tf.cast(goal, tf.float32)
    middle = tf.where(is_far, 2 * goal, found)
    steps = tf.cast(middle / goal, tf.float32)
    boxes = tf.square(steps) - tf.cast(is_reduced, tf.float32)
    shares = tf.where(steps > 1, tf.maximum(boxes, 0) / 24, 0)

    def smoothed() -> tf.Tensor:
        small = _smoothed(_resized(image, middle, "area"), shares)
        small = _resized(small, tf.minimum(middle, goal), "area")
        return tf.ensure_shape(_resized(small, goal, "bilinear"), [*size, image.shape[-1]])

    is_enough = tf.reduce_max(shares) < _LEAST_SHARE
    return tf.cond(
        is_enough & tf.reduce_all(found >= goal),
        lambda: tf.image.resize(image, size, method="area"),
        smoothed,
    )


def _resized(image: tf.Tensor, size: tf.Tensor, method: str) -> tf.Tensor:
    """Returns float32; without resizing if it has that size."""
    return tf.cond(
        tf.reduce_all(tf.shape(image)[:2] == size),
        lambda: tf.cast(image, tf.float32),
        lambda: tf.image.resize(image, size, method=method),
    )


def _smoothed(image: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
    """Smooths each axis by three pixels, of which each neighbour has a share."""
    down, across = shares[0], shares[1]
    wide = tf.concat([image[:1], image, image[-1:]], 0)
    image = (1 - 2 * down) * image + down * (wide[:-2] + wide[2:])
    wide = tf.concat([image[:, :1], image, image[:, -1:]], 1)
    return (1 - 2 * across) * image + across * (wide[:, :-2] + wide[:, 2:])
