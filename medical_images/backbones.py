"""A convolutional network to begin with, for those who have none."""

from __future__ import annotations

from collections.abc import Sequence

import keras

Shape = tuple[int | None, int | None, int]  # height, width, channels of an image


def small_cnn(
    image_shape: Shape,
    *,
    filters: Sequence[int] = (32, 64, 128),
    max_value: float = 255.0,
) -> keras.Model:
    """Makes a small convolutional network, to begin with.

    For each number of filters: a 3x3 convolution, batch normalisation, relu, and a maximum over
    2x2 pixels.

    Args:
      image_shape: (height, width, channels); height and width may be None.
      filters: Channels of each stage.
      max_value: What becomes 1; 65535 for uint16 images.

    Returns:
      A model from images (batch, height, width, channels), of 0 to `max_value`, to feature maps
      (batch, height / 2**n, width / 2**n, filters[-1]).

    Raises:
      ValueError: The image is too small for so many stages.

    Example:
      >>> small_cnn((64, 64, 3)).output_shape
      (None, 8, 8, 128)
    """
    if any(size and size < 2 ** len(filters) for size in image_shape[:2]):
        raise ValueError(
            f"small_cnn: images of {image_shape[0]}x{image_shape[1]} cannot be halved"
            f" {len(filters)} times; give fewer `filters`, or larger images"
        )
    images = keras.Input(image_shape)
    maps = keras.layers.Rescaling(1 / max_value)(images)
    for number in filters:
        maps = keras.layers.Conv2D(number, 3, padding="same", use_bias=False)(maps)
        # Few steps are enough for the averages that are used after training.
        maps = keras.layers.BatchNormalization(momentum=0.9)(maps)
        maps = keras.layers.ReLU()(maps)
        maps = keras.layers.MaxPooling2D()(maps)
    return keras.Model(images, maps, name="small_cnn")
