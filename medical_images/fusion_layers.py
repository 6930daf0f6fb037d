"""Keras layers that let metadata act on what a network makes of an image.

They are registered with Keras: a model that has them is saved and loaded without `custom_objects`
once this module is imported.
"""

from __future__ import annotations

from typing import Any

import keras

_PACKAGE = "medical_images"


@keras.saving.register_keras_serializable(_PACKAGE)
class FiLM(keras.layers.Layer):
    """Scales and shifts each channel by what the metadata say (Perez et al. 2018).

    y = (1 + gamma) x + beta, where gamma = G m + g and beta = B m + b for the metadata m. G, g, B
    and b are learnt and begin at zero: an untrained FiLM returns its input unchanged, so it can be
    put into a trained network without harm.

    Call it on [features, metadata]: float of shape (batch, ..., channels) and (batch, columns).
    It returns the shape of `features`.

    Raises:
      ValueError: The features have no channels, or the metadata are not (batch, columns).

    Example:
      >>> import numpy as np
      >>> features, metadata = np.ones((2, 4, 4, 8), 'float32'), np.ones((2, 3), 'float32')
      >>> bool(np.all(FiLM()([features, metadata]) == features))
      True
    """

    def build(self, input_shape: Any) -> None:
        """Makes the weights for (features, metadata) of these shapes."""
        features, metadata = check_shapes(type(self).__name__, input_shape)
        shape = (metadata[-1], 2 * features[-1])  # gamma of all channels, then beta
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer="zeros")
        self.bias = self.add_weight(name="bias", shape=shape[1:], initializer="zeros")

    def call(self, inputs: Any) -> Any:
        """Returns (1 + gamma) x + beta."""
        features, metadata = inputs
        both = keras.ops.matmul(metadata, self.kernel) + self.bias
        gamma, beta = keras.ops.split(_broadcastable(both, features), 2, axis=-1)
        return (1 + gamma) * features + beta

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Returns the shape of the features."""
        return tuple(input_shape[0])


@keras.saving.register_keras_serializable(_PACKAGE)
class MetadataChannels(keras.layers.Layer):
    """Appends the metadata to every pixel of feature maps, as further channels.

    Call it on [features, metadata]: float of shape (batch, ..., channels) and (batch, columns).
    It returns (batch, ..., channels + columns), and has no weights. Let a convolution with an
    activation follow: averaging right away would give the metadata back as they are.

    Raises:
      ValueError: The features have no channels, or the metadata are not (batch, columns).

    Example:
      >>> import numpy as np
      >>> maps, metadata = np.zeros((2, 4, 4, 8), 'float32'), np.ones((2, 3), 'float32')
      >>> tuple(MetadataChannels()([maps, metadata]).shape)
      (2, 4, 4, 11)
    """

    def build(self, input_shape: Any) -> None:
        """Checks the shapes."""
        check_shapes(type(self).__name__, input_shape)

    def call(self, inputs: Any) -> Any:
        """Returns the features with the metadata as further channels."""
        features, metadata = inputs
        everywhere = keras.ops.ones_like(features[..., :1]) * _broadcastable(metadata, features)
        return keras.ops.concatenate([features, everywhere], axis=-1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Returns the shape of the features with the columns added to the channels."""
        features, metadata = input_shape
        return (*features[:-1], features[-1] + metadata[-1])


@keras.saving.register_keras_serializable(_PACKAGE)
class TokenMean(keras.layers.Layer):
    """Turns the tokens of a text into one vector: the mean of their learnt embeddings.

    Token 0 is padding and does not count; a text without tokens becomes zeros.

    Call it on integers of shape (batch, length). It returns float of shape (batch, units).

    Args:
      vocabulary: The number of different tokens, with padding and unknown words.
      units: The length of an embedding.
      **kwargs: `name`, `dtype` and others of every Keras layer.

    Raises:
      ValueError: `vocabulary` or `units` is not above 0.

    Example:
      >>> import numpy as np
      >>> layer = TokenMean(100, 4)
      >>> vectors = np.asarray(layer(np.array([[7, 0, 0], [7, 7, 0], [0, 0, 0]])))
      >>> vectors.shape, bool(np.all(vectors[0] == vectors[1])), float(vectors[2].max())
      ((3, 4), True, 0.0)
    """

    def __init__(self, vocabulary: int, units: int = 32, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if vocabulary < 1 or units < 1:
            raise ValueError(
                f"TokenMean: `vocabulary` is {vocabulary}, `units` is {units}; both must be above 0"
            )
        self.vocabulary, self.units = vocabulary, units

    def build(self, input_shape: Any) -> None:
        """Makes the table of embeddings."""
        self.embeddings = self.add_weight(
            name="embeddings", shape=(self.vocabulary, self.units), initializer="uniform"
        )

    def call(self, tokens: Any) -> Any:
        """Returns the mean embedding of the tokens above 0."""
        counts = keras.ops.cast(keras.ops.not_equal(tokens, 0), self.compute_dtype)[..., None]
        embedded = keras.ops.take(self.embeddings, tokens, axis=0) * counts
        number = keras.ops.maximum(keras.ops.sum(counts, axis=1), 1)
        return keras.ops.sum(embedded, axis=1) / number

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Returns (batch, units)."""
        return (input_shape[0], self.units)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {**super().get_config(), "vocabulary": self.vocabulary, "units": self.units}


def _broadcastable(vectors: Any, features: Any) -> Any:
    """Gives (batch, n) the rank of the features: (batch, 1, ..., 1, n)."""
    between = (1,) * (len(features.shape) - 2)
    return keras.ops.reshape(vectors, (-1, *between, vectors.shape[-1]))


def check_shapes(caller: str, shapes: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Returns the shapes of features and metadata, or raises a ValueError that names the caller."""
    try:
        features, metadata = (tuple(shape) for shape in shapes)
    except (TypeError, ValueError):
        features, metadata = (), ()
    if len(features) < 2 or len(metadata) != 2 or None in (features[-1], metadata[-1]):
        raise ValueError(
            f"{caller} takes features (batch, ..., channels) and metadata (batch, columns), with"
            f" channels and columns known; found {shapes}. Call a layer on [features, metadata]"
        )
    return features, metadata
