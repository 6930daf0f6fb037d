"""A smaller size for images, and for the boxes and masks in them.

`place` says where an image comes to lie on its canvas. From that, pixels, labels and boxes are all
moved alike, so that they still fit.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medical_images.spec_images import Resize

Array = NDArray[Any]
Box = tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Placement:
    """Where an image lies, once scaled, on the canvas that is written; all in pixels.

    Attributes:
      source: Width and height of the image.
      width: Of the canvas.
      height: Of the canvas.
      left: Where the scaled image begins on the canvas.
      top: Where it begins from above.
      scaled: Its width and height there.
    """

    source: tuple[int, int]
    width: int
    height: int
    left: int
    top: int
    scaled: tuple[int, int]

    @property
    def is_identity(self) -> bool:
        """Whether nothing is to be done."""
        return self.source == self.scaled == (self.width, self.height)

    def box(self, x1: float, y1: float, x2: float, y2: float) -> Box:
        """Moves a box of the image to the canvas; 0 is the outer edge of the first pixel.

        Example:
          >>> place(200, 100, Resize(size=(50, 50))).box(0, 0, 200, 100)
          (0.0, 12.0, 50.0, 37.0)
        """
        across, down = self.scaled[0] / self.source[0], self.scaled[1] / self.source[1]
        return (
            x1 * across + self.left,
            y1 * down + self.top,
            x2 * across + self.left,
            y2 * down + self.top,
        )


def place(width: int, height: int, resize: Resize | None) -> Placement:
    """Says where an image of a size comes to lie.

    With `max_side`, or `size` and `fit: pad`, no image is enlarged: a small one stays as it is, and
    with `pad` is put in the middle (half a pixel to the left and above, where the rest is odd).
    With `fit: stretch` each image gets just the size that is declared, so a small one is enlarged.

    Args:
      width: Of the image, upright.
      height: Of the image.
      resize: What the spec says.

    Example:
      >>> place(3000, 2000, Resize(max_side=512)).scaled
      (512, 341)
      >>> place(30, 20, Resize(max_side=512)).is_identity
      True
    """
    canvas: tuple[int, int] | None = None
    scaled = (width, height)
    if resize is not None and resize.size is not None:
        canvas = (resize.size[1], resize.size[0])
        scaled = _inside((width, height), canvas) if resize.fit == "pad" else canvas
    elif resize is not None and resize.max_side is not None:
        scaled = _inside((width, height), (resize.max_side, resize.max_side))
    canvas = canvas or scaled
    return Placement(
        source=(width, height),
        width=canvas[0],
        height=canvas[1],
        left=(canvas[0] - scaled[0]) // 2,
        top=(canvas[1] - scaled[1]) // 2,
        scaled=scaled,
    )


def resize_pixels(array: Array, placement: Placement) -> Array:
    """Returns canonical pixels in their place on the canvas, with zeros around.

    Pillow's antialiased bilinear filter (a triangle as wide as two pixels of the result, which is
    also that of `tf.image.resize(..., antialias=True)`) is taken: its weights are positive, so an
    edge gets no halo and no value lies outside those around it. Colours weigh by their alpha.
    `uint16` is computed in floating point and rounded.

    Args:
      array: (height, width) or (height, width, 3 or 4), `uint8`, or `uint16` with one channel.
      placement: Of an image of that size.

    Returns:
      (placement.height, placement.width[, channels]), of the same type.

    Raises:
      ValueError: The array has another size than the placement's image.
    """
    _check_size(array, placement)
    if placement.scaled != placement.source:
        deep = array.dtype == np.uint16
        image = Image.fromarray(array.astype(np.float32) if deep else array)
        scaled = np.asarray(image.resize(placement.scaled, Image.Resampling.BILINEAR))
        array = np.rint(scaled).astype(np.uint16) if deep else scaled
    return _on_canvas(array, placement)


def resize_labels(array: Array, placement: Placement) -> Array:
    """Returns labels in their place on the canvas, each from the pixel nearest; zeros around.

    Args:
      array: (height, width) of any type.
      placement: Of an image of that size.

    Returns:
      (placement.height, placement.width), of the same type.

    Raises:
      ValueError: The array has another size than the placement's image.

    Example:
      >>> resize_labels(np.array([[1, 1, 2, 2]] * 2), place(4, 2, Resize(size=(2, 2))))
      array([[1, 2],
             [0, 0]])
    """
    _check_size(array, placement)
    columns, rows = (
        (2 * np.arange(new) + 1) * old // (2 * new)  # the middle of a new pixel lies in this one
        for old, new in zip(placement.source, placement.scaled, strict=True)
    )
    return _on_canvas(array[np.ix_(rows, columns)], placement)


def _inside(size: tuple[int, int], limit: tuple[int, int]) -> tuple[int, int]:
    """Returns the largest size of that shape inside the limit, and not larger than it was."""
    (width, height), (widest, highest) = size, limit
    if width <= widest and height <= highest:
        return size
    if widest * height <= highest * width:
        return widest, max(1, (2 * height * widest + width) // (2 * width))
    return max(1, (2 * width * highest + height) // (2 * height)), highest


def _check_size(array: Array, placement: Placement) -> None:
    if (array.shape[1], array.shape[0]) != placement.source:
        raise ValueError(f"an array of shape {array.shape} is not of size {placement.source}")


def _on_canvas(array: Array, placement: Placement) -> Array:
    if (array.shape[1], array.shape[0]) == (placement.width, placement.height):
        return np.ascontiguousarray(array)
    canvas = np.zeros((placement.height, placement.width, *array.shape[2:]), array.dtype)
    width, height = placement.scaled
    rows = slice(placement.top, placement.top + height)
    canvas[rows, placement.left : placement.left + width] = array
    return canvas
