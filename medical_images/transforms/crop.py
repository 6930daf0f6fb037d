"""Which part of an image is shown, and where the masks and boxes in it come to lie."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import tensorflow as tf


@dataclasses.dataclass(frozen=True, kw_only=True)
class Crop:
    """A part of an image: a random one, or with `Crop.centre` the one in the middle.

    The random part is that of Inception (Szegedy et al. 2015, section 6), as
    `tf.image.stateless_sample_distorted_bounding_box` draws it; if none of ten parts fits into the
    image, it is the whole image.

    Attributes:
      scale: The least and the greatest share of the image's area, above 0 and at most 1.
      ratio: The least and the greatest width of the part divided by its height.
      fraction: Of `Crop.centre`, the share of the height and of the width; None of a random part.

    Raises:
      ValueError: A number is out of its range.

    Example:
      >>> Crop(scale=(0.25, 1)).is_random, Crop.centre(0.875).is_random
      (True, False)
    """

    scale: tuple[float, float] = (0.25, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    fraction: float | None = None

    def __post_init__(self) -> None:
        problems = []
        if not _are_two(self.scale) or not 0 < self.scale[0] <= self.scale[1] <= 1:
            problems.append(
                f"`scale` is {self.scale}; it takes two shares of the area, above 0 and at most 1,"
                " the lesser first"
            )
        if not _are_two(self.ratio) or not 0 < self.ratio[0] <= self.ratio[1] < float("inf"):
            problems.append(
                f"`ratio` is {self.ratio}; it takes two numbers above 0, the lesser first"
            )
        if self.fraction is not None and not 0 < self.fraction <= 1:
            problems.append(f"`fraction` is {self.fraction}; it must be above 0 and at most 1")
        if problems:
            raise ValueError("a crop is not possible: " + "; ".join(problems))

    @classmethod
    def centre(cls, fraction: float) -> Self:
        """Returns the part in the middle with that share of the height and of the width.

        Example:
          >>> Crop.centre(0.875).window(tf.constant([450, 600])).numpy()
          array([ 28,  37, 394, 525], dtype=int32)
        """
        return cls(fraction=fraction)

    @property
    def is_random(self) -> bool:
        """Whether a seed decides which part it is."""
        return self.fraction is None

    def window(self, whole: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Returns the part as int32 of shape (4,): y, x, height and width in pixels.

        Args:
          whole: int32 of shape (2,), height and width of the image.
          seed: int32 or int64 of shape (2,); a random part depends on it and on `whole` only.

        Raises:
          ValueError: The part is random, and there is no seed.
        """
        if self.fraction is not None:
            share = tf.cast(whole, tf.float64) * self.fraction
            part = tf.maximum(1, tf.cast(tf.round(share), tf.int32))
            return tf.concat([(whole - part) // 2, part], 0)
        if seed is None:
            raise ValueError("a random crop needs `seed`, int32 of shape (2,)")
        begin, part, _ = tf.image.stateless_sample_distorted_bounding_box(
            tf.concat([whole, [1]], 0),
            bounding_boxes=tf.zeros([0, 0, 4]),
            seed=seed,
            min_object_covered=0.0,
            aspect_ratio_range=self.ratio,
            area_range=self.scale,
            max_attempts=10,
            use_image_if_no_bounding_boxes=True,
        )
        return tf.concat([begin[:2], part[:2]], 0)


def _are_two(numbers: Any) -> bool:
    return isinstance(numbers, tuple | list) and len(numbers) == 2


def cut(image: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
    """Returns a part of an image of shape (height, width, channels), see `Crop.window`."""
    return tf.slice(image, tf.concat([window[:2], [0]], 0), tf.concat([window[2:], [-1]], 0))


def move_boxes(boxes: Any, window: tf.Tensor, whole: tf.Tensor) -> Any:
    """Returns boxes as they lie in a part of their image.

    Args:
      boxes: float32 of shape (boxes, 4) as (ymin, xmin, ymax, xmax) in [0, 1] of the image, or a
        dict that holds that as `bbox`, and beside it tensors of shape (boxes, ...).
      window: The part, see `Crop.window`.
      whole: int32 of shape (2,), height and width of the image.

    Returns:
      The same, in [0, 1] of the part: what leaves it is cut off, and boxes of which nothing is left
      are left out, in each tensor of the dict.

    Example:
      >>> boxes = tf.constant([[0.5, 0.5, 1, 1], [0, 0, 0.25, 0.25]])
      >>> move_boxes(boxes, tf.constant([50, 50, 25, 50]), tf.constant([100, 100])).numpy()
      array([[0., 0., 1., 1.]], dtype=float32)
    """
    bbox = boxes["bbox"] if isinstance(boxes, Mapping) else boxes
    begin, part = (tf.cast(tf.tile(side, [2]), tf.float32) for side in (window[:2], window[2:]))
    moved = (bbox * tf.cast(tf.tile(whole, [2]), tf.float32) - begin) / part
    moved = tf.clip_by_value(moved, 0, 1)
    is_left = tf.reduce_all(moved[:, 2:] > moved[:, :2], 1)
    if not isinstance(boxes, Mapping):
        return tf.boolean_mask(moved, is_left)
    return {
        name: tf.boolean_mask(moved if name == "bbox" else values, is_left)
        for name, values in boxes.items()
    }
