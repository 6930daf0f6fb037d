"""What all encodings of metadata share.

An encoding is how one feature becomes columns of numbers, or tokens: what it was fitted to, the
names of its columns, and tensor operations that work on scalars and batches, in eager code, in
`tf.data` and in saved models.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import tensorflow as tf


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """What all encodings share.

    Attributes:
      kind: What it is called in `to_dict`.
      feature: The feature it reads.
    """

    kind: ClassVar[str]
    feature: str

    @property
    def spec(self) -> tf.TensorSpec:
        """Shape and dtype of its feature, of one image, as `mi.load` gives it."""
        raise NotImplementedError

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns; empty for tokens."""
        raise NotImplementedError

    def encode(self, values: tf.Tensor) -> tf.Tensor:
        """Encodes a scalar, or a batch of them.

        Args:
          values: Of shape () or (batch,).

        Returns:
          float32 of shape (columns,) or (batch, columns).

        Raises:
          ValueError: The values are of another shape or dtype.
        """
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it in what JSON can hold."""
        told = {"kind": self.kind, **dataclasses.asdict(self)}
        return {key: list(v) if isinstance(v, tuple) else v for key, v in told.items()}

    def _scalars(self, values: tf.Tensor, *, allowed: str, fits: bool) -> tf.Tensor:
        """Returns the values with shape () or (batch,); (batch, 1) is taken as a batch too."""
        if not fits:
            raise ValueError(f"'{self.feature}' is {values.dtype.name}; allowed is {allowed}")
        if values.shape.rank == 2 and values.shape[-1] == 1:
            return tf.squeeze(values, -1)
        if values.shape.rank not in (0, 1):
            raise ValueError(
                f"'{self.feature}' has shape {values.shape}; allowed is one value an image: (),"
                " (batch,) or (batch, 1)"
            )
        return values
