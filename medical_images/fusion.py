"""Models that use images together with their metadata.

Images are channels last. The metadata are what a `MetadataEncoder` gives: a float vector for each
image, and token numbers for each text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import keras

from medical_images.errors import nearest
from medical_images.fusion_layers import FiLM, MetadataChannels, TokenMean, check_shapes

__all__ = ["FiLM", "MetadataChannels", "TokenMean", "classifier", "fuse", "small_cnn"]

_Shape = tuple[int | None, int | None, int]


class _Encoder(Protocol):
    """What is asked of a fitted `MetadataEncoder`."""

    @property
    def columns(self) -> Sequence[str]: ...

    @property
    def num_tokens(self) -> Mapping[str, int]: ...


def fuse(
    feature_maps: keras.KerasTensor, metadata: keras.KerasTensor, *, how: str = "concat"
) -> keras.KerasTensor:
    """Joins feature maps with metadata into one vector for each image.

    ============  ==================================================================================
    concat        the averages of the maps, and the metadata as they are
    branch        the averages, and a dense layer (32, relu) of the metadata
    film          the averages of the maps after `FiLM`: the metadata say how much each map counts
    channels      the averages of maps that a 1x1 convolution (as many, relu) makes of the maps and
                  the metadata at every pixel, see `MetadataChannels`
    ============  ==================================================================================

    Let at least one dense layer with an activation follow: without it `concat` can only shift each
    class by its metadata, whatever the image shows.

    Args:
      feature_maps: Float, (batch, height, width, channels); or (batch, channels), averages already,
        though not for `channels`. Of volumes, (batch, depth, height, width, channels).
      metadata: Float, (batch, columns).
      how: `concat`, `branch`, `film` or `channels`.

    Returns:
      Float, (batch, n).

    Raises:
      ValueError: `how` is none of these, or the shapes do not fit.

    Example:
      >>> maps, metadata = keras.Input((7, 7, 64)), keras.Input((20,))
      >>> [fuse(maps, metadata, how=how).shape[-1] for how in ('concat', 'branch', 'film')]
      [84, 96, 64]
    """
    if how not in _WAYS:
        raise ValueError(f"fuse: `how` is {how!r}; {nearest(how, _WAYS)}")
    check_shapes("fuse", [feature_maps.shape, metadata.shape])
    fused: keras.KerasTensor = _WAYS[how](feature_maps, metadata)
    return fused


def _concat(feature_maps: Any, metadata: Any) -> Any:
    return keras.layers.Concatenate()([_averages(feature_maps), metadata])


def _branch(feature_maps: Any, metadata: Any) -> Any:
    dense = keras.layers.Dense(32, "relu", name="metadata_branch")(metadata)
    return keras.layers.Concatenate()([_averages(feature_maps), dense])


def _film(feature_maps: Any, metadata: Any) -> Any:
    return _averages(FiLM()([feature_maps, metadata]))


def _channels(feature_maps: Any, metadata: Any) -> Any:
    if len(feature_maps.shape) < 3:
        raise ValueError(
            "fuse: 'channels' needs feature maps (batch, height, width, channels);"
            f" found {feature_maps.shape}. Take them before pooling, or choose another `how`"
        )
    joined = MetadataChannels()([feature_maps, metadata])
    # On the last axis, a dense layer is a 1x1 convolution of any number of dimensions.
    return _averages(keras.layers.Dense(feature_maps.shape[-1], "relu")(joined))


_WAYS = {"concat": _concat, "branch": _branch, "film": _film, "channels": _channels}


def _averages(feature_maps: Any) -> Any:
    axes = tuple(range(1, len(feature_maps.shape) - 1))
    return keras.ops.mean(feature_maps, axis=axes) if axes else feature_maps


def small_cnn(
    image_shape: _Shape,
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


def classifier(
    backbone: keras.layers.Layer | None,
    *,
    image_shape: _Shape,
    num_classes: int,
    metadata: _Encoder | int | None = None,
    tokens: Mapping[str, int] | None = None,
    how: str = "concat",
    hidden: int = 64,
    dropout: float = 0.0,
    activation: str | None = "softmax",
) -> keras.Model:
    """Makes a classifier of images, with or without their metadata.

    Its inputs are those of `mi.load(..., as_supervised=True, metadata=encoder)`: a dict of `image`,
    `metadata`, and `tokens_...` for each text; or the image itself, if it uses nothing else. A
    dense layer and the output follow the fusion.

    Args:
      backbone: From images to feature maps (batch, height, width, channels), or to their averages
        (batch, channels); it gets images as they are loaded, so scaling is its own business. None
        for `small_cnn`.
      image_shape: (height, width, channels); height and width may be None.
      num_classes: Number of outputs.
      metadata: A fitted `MetadataEncoder`, which also tells of texts; or the number of metadata
        columns; or None for images alone.
      tokens: {input: number of different tokens} of texts, for example `{'tokens_note': 5000}`;
        by default those of the encoder. `{}` leaves texts out.
      how: How image and metadata are joined, see `fuse`. Texts go with the metadata, see
        `TokenMean`.
      hidden: Units of the dense layer (relu) after the fusion; 0 for none.
      dropout: Share of the fused vector that is left out at random in training.
      activation: `softmax` for one class an image, `sigmoid` for labels that may co-occur, None for
        logits.

    Returns:
      A model that gives float32 of shape (batch, num_classes). It is not compiled.

    Raises:
      ValueError: An argument is not as said here; all such arguments are named.

    Example:
      >>> model = classifier(None, image_shape=(64, 64, 3), num_classes=7, metadata=17, how='film')
      >>> {name: tensor.shape for name, tensor in model.input.items()}
      {'image': (None, 64, 64, 3), 'metadata': (None, 17)}
    """
    columns, tokens = _metadata_sizes(metadata, tokens)
    _check_classifier(image_shape, num_classes, columns, tokens, how, hidden, dropout)
    inputs = {"image": keras.Input(image_shape, name="image")}
    vectors = []
    if columns:
        inputs["metadata"] = keras.Input((columns,), name="metadata")
        vectors.append(inputs["metadata"])
    for name, vocabulary in tokens.items():
        inputs[name] = keras.Input((None,), dtype="int32", name=name)
        vectors.append(TokenMean(vocabulary, name=f"{name}_mean")(inputs[name]))
    maps = (small_cnn(image_shape) if backbone is None else backbone)(inputs["image"])
    if not vectors:
        fused = _averages(maps)
    else:
        joined = vectors[0] if len(vectors) == 1 else keras.layers.Concatenate()(vectors)
        fused = fuse(maps, joined, how=how)
    if hidden:
        fused = keras.layers.Dense(hidden, "relu", name="hidden")(fused)
    if dropout:
        fused = keras.layers.Dropout(dropout)(fused)
    # Probabilities are float32 where a policy of mixed precision makes the rest float16.
    output = keras.layers.Dense(num_classes, activation, dtype="float32", name="output")(fused)
    return keras.Model(inputs if vectors else inputs["image"], output)


def _metadata_sizes(
    metadata: _Encoder | int | None, tokens: Mapping[str, int] | None
) -> tuple[int, Mapping[str, int]]:
    """Returns the number of metadata columns, and of tokens for each text."""
    if metadata is None or isinstance(metadata, int):
        return (0 if metadata is None else metadata), (tokens or {})
    return len(metadata.columns), (metadata.num_tokens if tokens is None else tokens)


def _check_classifier(
    image_shape: _Shape,
    num_classes: int,
    columns: int,
    tokens: Mapping[str, int],
    how: str,
    hidden: int,
    dropout: float,
) -> None:
    least = {"num_classes": (num_classes, 1), "metadata": (columns, 0), "hidden": (hidden, 0)}
    least |= {f"tokens[{name!r}]": (number, 1) for name, number in tokens.items()}
    problems = [f"{name} is {n}, the least is {low}" for name, (n, low) in least.items() if n < low]
    if len(image_shape) != 3:
        problems.append(f"image_shape is {image_shape}; it is (height, width, channels)")
    if how not in _WAYS:
        problems.append(f"how is {how!r}; {nearest(how, _WAYS)}")
    if not 0 <= dropout < 1:
        problems.append(f"dropout is {dropout}; allowed is 0 to below 1")
    if problems:
        raise ValueError(f"classifier: {'; '.join(problems)}")
