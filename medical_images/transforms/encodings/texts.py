"""Texts as tokens."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import tensorflow as tf

from medical_images.transforms.encodings.encoding import Encoding

NUM_SPECIAL = 2  # tokens that are no words: 0 pads, 1 is any unknown word


@dataclass(frozen=True, kw_only=True)
class Tokens(Encoding):
    """Text as numbers of words: 0 pads, 1 is any unknown word, then the vocabulary.

    Attributes:
      vocabulary: Words as `plain_words` leaves them.
      length: Words kept of a text.

    Example:
      >>> note = Tokens(feature='note', vocabulary=('seen', 'once'), length=4)
      >>> note.encode(tf.constant(['Seen, again', 'ONCE'])).numpy()
      array([[2, 1, 0, 0],
             [3, 0, 0, 0]])
    """

    kind = "tokens"
    vocabulary: tuple[str, ...]
    length: int

    @property
    def spec(self) -> tf.TensorSpec:
        """See `Encoding`."""
        return tf.TensorSpec((), tf.string)

    @property
    def columns(self) -> tuple[str, ...]:
        """None: tokens are an output of their own."""
        return ()

    @property
    def output(self) -> str:
        """The name of its output."""
        return f"tokens_{self.feature}"

    @property
    def num_tokens(self) -> int:
        """Different tokens, with the two that are no words."""
        return len(self.vocabulary) + NUM_SPECIAL

    def layer(self) -> keras.layers.TextVectorization:
        """Returns the layer that does it; it holds a table, which a model has to keep."""
        return keras.layers.TextVectorization(
            standardize=plain_words,
            output_sequence_length=self.length,
            vocabulary=list(self.vocabulary),
            name=self.output,
        )

    def encode(
        self, values: tf.Tensor, layer: keras.layers.TextVectorization | None = None
    ) -> tf.Tensor:
        """See `Encoding`; text, to int64 of shape (length,) or (batch, length)."""
        texts = self._scalars(values, allowed="text", fits=values.dtype == tf.string)
        tokens = (layer or self.layer())(tf.reshape(texts, [-1]))  # it fails on one empty text
        return tokens[0] if texts.shape.rank == 0 else tokens


def plain_words(texts: tf.Tensor) -> tf.Tensor:
    """Returns texts in lower case with blanks for all that is neither letter, mark nor digit.

    Args:
      texts: UTF-8, of any shape.

    Example:
      >>> plain_words('Núñez: ÉTAT "stable"; 1.5 mm²').numpy().decode().split()
      ['núñez', 'état', 'stable', '1', '5', 'mm²']
    """
    return tf.strings.regex_replace(tf.strings.lower(texts, "utf-8"), r"[^\pL\pM\pN]+", " ")
