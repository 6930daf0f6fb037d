"""Numbers and days as standardised columns."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from medical_images.transforms.encodings.encoding import Encoding

_ISO_DAY = r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_DAYS_TO_1970 = 719_468  # from 0000-03-01, where years begin that end with the leap day


@dataclass(frozen=True, kw_only=True)
class Number(Encoding):
    """A number, standardised; what is missing becomes the mean, which is 0, and is flagged.

    NaN and infinite numbers are missing.

    Attributes:
      mean: The mean of the known values.
      scale: Their standard deviation; 1 if that is 0.
      missing: The number that stands for a missing one, if any.
      flag: Whether a column tells what is missing.
      whole: Whether it is a whole number in the dataset.

    Example:
      >>> age = Number(feature='age', mean=50.0, scale=10.0)
      >>> age.encode(tf.constant([70.0, float('nan')])).numpy()
      array([[2., 0.],
             [0., 1.]], dtype=float32)
    """

    kind = "number"
    mean: float
    scale: float
    missing: float | None = None
    flag: bool = True
    whole: bool = False

    @property
    def spec(self) -> tf.TensorSpec:
        """See `Encoding`."""
        return tf.TensorSpec((), tf.int64 if self.whole else tf.float32)

    @property
    def columns(self) -> tuple[str, ...]:
        """The number and, with a flag, `<feature>_missing`."""
        return (self.feature, f"{self.feature}_missing") if self.flag else (self.feature,)

    def encode(self, values: tf.Tensor) -> tf.Tensor:
        """See `Encoding`; any numbers."""
        fits = values.dtype.is_floating or values.dtype.is_integer
        values = self._scalars(values, allowed="a number", fits=fits)
        numbers = tf.cast(values, tf.float64)  # whole numbers above 2**24, and days, stay exact
        known = tf.math.is_finite(numbers)
        if self.missing is not None:
            known &= values != tf.cast(self.missing, values.dtype)
        return self._standardised(numbers, known)

    def _standardised(self, numbers: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
        # The mean takes the place of NaN before any arithmetic, so that gradients are none either.
        standard = (tf.where(known, numbers, self.mean) - self.mean) / self.scale
        columns = [tf.cast(standard, tf.float32)]
        if self.flag:
            columns.append(1 - tf.cast(known, tf.float32))
        return tf.stack(columns, -1)


@dataclass(frozen=True, kw_only=True)
class Day(Number):
    """A day, as text of the form 2019-07-30: days since 1970-01-01, then as a number.

    Any other text is a missing day.

    Example:
      >>> day = Day(feature='visited', mean=10.0, scale=2.0)
      >>> day.encode(tf.constant(['1970-01-15', ''])).numpy()
      array([[2., 0.],
             [0., 1.]], dtype=float32)
    """

    kind = "day"

    @property
    def spec(self) -> tf.TensorSpec:
        """See `Encoding`."""
        return tf.TensorSpec((), tf.string)

    def encode(self, values: tf.Tensor) -> tf.Tensor:
        """See `Encoding`; text."""
        texts = self._scalars(values, allowed="text", fits=values.dtype == tf.string)
        known = tf.strings.regex_full_match(texts, _ISO_DAY)
        return self._standardised(_days(tf.where(known, texts, "1970-01-01")), known)


def _days(texts: tf.Tensor) -> tf.Tensor:
    """Counts days since 1970-01-01, in float64, of days as text."""
    year, month, day = (
        tf.strings.to_number(tf.strings.substr(texts, start, size), tf.int64)
        for start, size in ((0, 4), (5, 2), (8, 2))
    )
    year -= tf.cast(month <= 2, tf.int64)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1  # months from March on: 31, 30, 31, ...
    leap_days = year // 4 - year // 100 + year // 400
    return tf.cast(365 * year + leap_days + of_year - _DAYS_TO_1970, tf.float64)
