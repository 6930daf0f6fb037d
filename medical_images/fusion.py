"""Models that use images together with their metadata.

Images are channels last. The metadata are what a `MetadataEncoder` gives: a float vector for each
image, and token numbers for each text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import keras

from medical_images.backbones import Shape, small_cnn
from medical_images.errors import nearest
from medical_images.fusion_layers import FiLM, MetadataChannels, TokenMean, check_shapes

__all__ = ["FiLM", "MetadataChannels", "TokenMean", "classifier", "fuse", "small_cnn"]


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
    film          the averages of maps that a 1x1 convolution (as many), `FiLM` and relu make of the
                  maps: the metadata say how much each counts, and from which value on
    channels      the averages of maps that a 1x1 convolution (as many, relu) makes of the maps and
                  the metadata at every pixel, see `MetadataChannels`
    ============  ==================================================================================

    Let at least one dense layer with an activation follow: without it `concat` can only shift each
    class by its metadata, whatever the image shows. `FiLM` may also stand between the stages of a
    network of your own, as in the paper.

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
    # Without relu, scaling before an average would be no more than scaling the average.
    modulated = FiLM()([_convolved(feature_maps, feature_maps.shape[-1]), metadata])
    return _averages(keras.layers.ReLU()(modulated))


def _channels(feature_maps: Any, metadata: Any) -> Any:
    if len(feature_maps.shape) < 3:
        raise ValueError(
            "fuse: 'channels' needs feature maps (batch, height, width, channels);"
            f" found {feature_maps.shape}. Take them before pooling, or choose another `how`"
        )
    joined = MetadataChannels()([feature_maps, metadata])
    return _averages(keras.layers.ReLU()(_convolved(joined, feature_maps.shape[-1])))


def _convolved(feature_maps: Any, channels: int) -> Any:
    # On the last axis, a dense layer is a 1x1 convolution of any number of dimensions.
    return keras.layers.Dense(channels)(feature_maps)


_WAYS = {"concat": _concat, "branch": _branch, "film": _film, "channels": _channels}


def _averages(feature_maps: Any) -> Any:
    axes = tuple(range(1, len(feature_maps.shape) - 1))
    return keras.ops.mean(feature_maps, axis=axes) if axes else feature_maps


def classifier(
    backbone: keras.layers.Layer | None,
    *,
    image_shape: Shape,
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
    if not hasattr(metadata, "columns"):
        raise ValueError(
            f"classifier: metadata is {type(metadata).__name__}; allowed are a fitted"
            " MetadataEncoder, the number of its columns, or None"
        )
    return len(metadata.columns), (metadata.num_tokens if tokens is None else tokens)


def _check_classifier(
    image_shape: Shape,
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
