"""Where boxes lie once the pixels of their image were moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

OUTSIDE = -1.0


def boxes_in(element: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Returns what features that are dicts hold as `bbox`."""
    held = {name: element.get(name) for name in names}
    return {n: v["bbox"] for n, v in held.items() if isinstance(v, Mapping) and "bbox" in v}


def still_seen(boxes: Mapping[str, tf.Tensor], bbox: tf.Tensor) -> dict[str, tf.Tensor]:
    """Puts moved boxes into their dict, and leaves out those of which nothing is left.

    Example:
      >>> boxes = {'bbox': tf.constant([[0, 0, 1, 1], [0, 0, 0.5, 0.5]]), 'label': [7, 8]}
      >>> found = still_seen(boxes, tf.constant([[0, 0, 1, 0.5], [0, 0, 0, 0]]))
      >>> found['bbox'].numpy().tolist(), found['label'].numpy().tolist()
      ([[0.0, 0.0, 1.0, 0.5]], [7])
    """
    is_lost = tf.reduce_any(boxes["bbox"] != bbox, 1) & tf.reduce_all(bbox == 0, 1)
    moved = {**boxes, "bbox": bbox}
    return {name: tf.boolean_mask(values, ~is_lost) for name, values in moved.items()}


def places_of(height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Returns where each pixel comes from, before any is moved.

    Returns:
      float32 (h, w, 2): its row and column. Whoever moves pixels moves them by the nearest
      neighbour, and fills with `OUTSIDE` what comes from nowhere.
    """
    rows, columns = tf.meshgrid(tf.range(height), tf.range(width), indexing="ij")
    return tf.cast(tf.stack([rows, columns], axis=-1), tf.float32)


def move_boxes(
    boxes: tf.Tensor, places: tf.Tensor, height: tf.Tensor, width: tf.Tensor
) -> tf.Tensor:
    """Returns the boxes around the pixels that come from boxes.

    Args:
      boxes: float32 (n, 4): ymin, xmin, ymax, xmax as fractions of the image.
      places: float32 (h, w, 2), where each pixel now comes from; see `places_of`.
      height: Of the image before, in pixels.
      width: Likewise.

    Returns:
      float32 (n, 4), likewise; zeros where nothing of a box is left. Pixels belong to a box if
      their centre is in it; the pixel of the box's own centre always does.

    Example:
      >>> boxes = tf.constant([[0.25, 0.5, 0.75, 1.0]])
      >>> upside_down = places_of(8, 4)[::-1, :2]  # and without the right half
      >>> move_boxes(boxes, upside_down, 8, 4).numpy().tolist()
      [[0.0, 0.0, 0.0, 0.0]]
      >>> move_boxes(boxes, places_of(8, 4)[::-1, 1:3], 8, 4).numpy().tolist()
      [[0.25, 0.5, 0.75, 1.0]]
    """
    ymin, xmin, ymax, xmax = tf.unstack(boxes, axis=-1)
    seen = _inside(places[..., :1], ymin, ymax, height) & _inside(
        places[..., 1:], xmin, xmax, width
    )
    top, bottom = _ends(tf.reduce_any(seen, axis=1))
    left, right = _ends(tf.reduce_any(seen, axis=0))
    return tf.stack([top, left, bottom, right], axis=-1)


def _inside(places: tf.Tensor, low: tf.Tensor, high: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Tells of each place whether it is between the sides of each box: bool (h, w, n)."""
    length = tf.cast(count, tf.float32)
    centres = (places + 0.5) / length
    middle = tf.minimum(tf.floor((low + high) / 2 * length), length - 1)
    between = (centres >= low) & (centres < high) | (places == middle)
    return between & (places > OUTSIDE) & (high > low)


def _ends(lines: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns where the first line that holds something begins and where the last one ends."""
    holds = tf.cast(lines, tf.int32)  # (lines, n)
    count = tf.shape(holds, tf.int64)[0]
    first, last = tf.argmax(holds), count - tf.argmax(holds[::-1])
    found, length = tf.cast(tf.reduce_max(holds, axis=0), tf.float32), tf.cast(count, tf.float32)
    return tf.cast(first, tf.float32) * found / length, tf.cast(last, tf.float32) * found / length
