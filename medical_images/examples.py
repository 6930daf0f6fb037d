"""Examples as bytes: serialised `tf.train.Example`s around image bytes that are not copied.

An Example is a map {feature: list of values}. In protocol buffers' wire format a map is a sequence
of entries, so an Example is the entries of its features one after the other, and each of these can
be made alone. Those of the image and of texts are a few bytes put before their own; all others are
made by TFDS's own serialiser, and those of equal values only once.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core import example_serializer

from medical_images.features import metadata_features
from medical_images.spec import CorpusSpec

_REMEMBERED = 1 << 14  # entries of equal values, a feature
# Tags of length-delimited fields: `Example.features`, a map's entries, an entry's key and a list's
# values all have number 1; an entry's value has number 2.
_FIELD_1, _FIELD_2 = b"\x0a", b"\x12"


class ExampleEncoder:
    """Serialises examples of one spec.

    Args:
      spec: The features.
    """

    def __init__(self, spec: CorpusSpec) -> None:
        features = metadata_features(spec)
        # By name, so that bytes do not depend on the order in the spec.
        self._entries = {name: _entry_maker(name, features[name]) for name in sorted(features)}

    def metadata(self, example: Mapping[str, Any]) -> bytes:
        """Returns the serialised entries of all features that are no images.

        Args:
          example: These features, ready for TFDS's `encode_example`.
        """
        return b"".join(make(example[name]) for name, make in self._entries.items())

    @staticmethod
    def example(metadata: bytes, images: Mapping[str, bytes]) -> tuple[bytes, ...]:
        """Returns a serialised Example, in parts that are not copied together.

        Args:
          metadata: What `metadata` returns.
          images: The bytes of each image, by its feature; they end the Example in this order.
        """
        parts = [metadata]
        for name, data in images.items():
            parts += [_entry_head(name, len(data)), data]
        head = _FIELD_1 + _varint(sum(map(len, parts)))
        return (head + metadata + parts[1], *parts[2:])


def _entry_maker(name: str, connector: tfds.features.FeatureConnector) -> Callable[[Any], bytes]:
    if isinstance(connector, tfds.features.Text):
        return lambda text: _text_entry(name, text.encode())
    features = tfds.features.FeaturesDict({name: connector})
    serializer = example_serializer.ExampleSerializer(features.get_serialized_info())

    def make(value: Any) -> bytes:
        proto = serializer.get_tf_example(features.encode_example({name: value}))
        # Without `deterministic` the order of a map differs from process to process.
        return bytes(proto.features.SerializeToString(deterministic=True))

    remembering = functools.lru_cache(_REMEMBERED)(make)
    nan = math.nan  # each missing number may be another object, and none equals another

    def entry(value: Any) -> bytes:
        if isinstance(value, dict):
            return make(value)
        return remembering(nan if value != value else value)

    return entry


def _text_entry(name: str, text: bytes) -> bytes:
    return _entry_head(name, len(text)) + text


@functools.lru_cache(1 << 16)
def _entry_head(name: str, num_bytes: int) -> bytes:
    """Returns the map entry of a feature of one string of bytes, up to these."""
    value = _FIELD_1 + _varint(num_bytes)  # of the list
    feature = _FIELD_1 + _varint(len(value) + num_bytes) + value
    encoded = name.encode()
    key = _FIELD_1 + _varint(len(encoded)) + encoded
    entry = key + _FIELD_2 + _varint(len(feature) + num_bytes) + feature
    return _FIELD_1 + _varint(len(entry) + num_bytes) + entry


def _varint(number: int) -> bytes:
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])
