"""Classes and labels as columns of 0 and 1."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from medical_images.transforms.encodings.encoding import Encoding


@dataclass(frozen=True, kw_only=True)
class OneHot(Encoding):
    """One class of a closed list: a column each, and one for what is none of them, such as -1.

    Attributes:
      classes: In the order of their numbers.

    Example:
      >>> OneHot(feature='sex', classes=('f', 'm')).encode(tf.constant([1, -1])).numpy()
      array([[0., 1., 0.],
             [0., 0., 1.]], dtype=float32)
    """

    kind = "one_hot"
    classes: tuple[str, ...]

    @property
    def spec(self) -> tf.TensorSpec:
        """See `Encoding`."""
        return tf.TensorSpec((), tf.int64)

    @property
    def columns(self) -> tuple[str, ...]:
        """`<feature>=<class>` for each class, and `<feature>_missing`."""
        named = (f"{self.feature}={name}" for name in self.classes)
        return (*named, f"{self.feature}_missing")

    def encode(self, values: tf.Tensor) -> tf.Tensor:
        """See `Encoding`; numbers of classes."""
        fits = values.dtype.is_integer
        values = self._scalars(values, allowed="the number of a class", fits=fits)
        numbers, count = tf.cast(values, tf.int64), len(self.classes)
        return tf.one_hot(tf.where((numbers >= 0) & (numbers < count), numbers, count), count + 1)


@dataclass(frozen=True, kw_only=True)
class MultiHot(Encoding):
    """Any number of classes of a closed list: a column each.

    Attributes:
      classes: In the order of their numbers.

    Example:
      >>> labels = MultiHot(feature='findings', classes=('mass', 'air', 'scar'))
      >>> labels.encode(tf.constant([[2, 0], [1, -1]])).numpy()
      array([[1., 0., 1.],
             [0., 1., 0.]], dtype=float32)
    """

    kind = "multi_hot"
    classes: tuple[str, ...]

    @property
    def spec(self) -> tf.TensorSpec:
        """See `Encoding`."""
        return tf.TensorSpec((len(self.classes),), tf.float32)

    @property
    def columns(self) -> tuple[str, ...]:
        """`<feature>=<class>` for each class."""
        return tuple(f"{self.feature}={name}" for name in self.classes)

    def encode(self, values: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
        """Encodes the labels of an image, or of a batch of them.

        Args:
          values: Numbers of classes, whole numbers of shape (labels,) or (batch, labels), ragged or
            padded with -1; or a column each already, float or bool of shape (classes,) or (batch,
            classes), which are passed on.

        Returns:
          float32 of shape (classes,) or (batch, classes).

        Raises:
          ValueError: The values are of another shape or dtype.
        """
        if isinstance(values, tf.RaggedTensor):
            values = values.to_tensor(-1)
        count, found = len(self.classes), values.dtype
        if values.shape.rank not in (1, 2) or not (
            found.is_integer or found.is_floating or found.is_bool
        ):
            raise ValueError(
                f"'{self.feature}' is {found.name} of shape {values.shape}; allowed are numbers of"
                f" classes of shape (batch, labels), or float of shape (batch, {count})"
            )
        if found.is_integer:
            told = tf.one_hot(values, count, on_value=True, off_value=False)
            return tf.cast(tf.reduce_any(told, axis=-2), tf.float32)
        if values.shape[-1] not in (None, count):
            raise ValueError(
                f"'{self.feature}' has {values.shape[-1]} columns; allowed are {count}"
            )
        return tf.ensure_shape(tf.cast(values, tf.float32), [*values.shape[:-1], count])
