"""All kinds of encodings, and how one is read from what it wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medical_images.errors import nearest
from medical_images.transforms.encodings.classes import MultiHot, OneHot
from medical_images.transforms.encodings.encoding import Encoding
from medical_images.transforms.encodings.numbers import Day, Number
from medical_images.transforms.encodings.texts import Tokens

_EVERY: tuple[type[Any], ...] = (Number, Day, OneHot, MultiHot, Tokens)
_KINDS = {each.kind: each for each in _EVERY}


def encoding_of(told: Mapping[str, Any]) -> Encoding:
    """Returns the encoding that `to_dict` gave.

    Raises:
      ValueError: There is no such kind, or it has other attributes.

    Example:
      >>> encoding_of({'kind': 'one_hot', 'feature': 'sex', 'classes': ['f', 'm']})
      OneHot(feature='sex', classes=('f', 'm'))
    """
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in told.items()}
    kind = values.pop("kind", "")
    if kind not in _KINDS:
        raise ValueError(f"'{kind}' is no kind of encoding; {nearest(str(kind), _KINDS)}")
    try:
        encoding: Encoding = _KINDS[kind](**values)
    except TypeError as error:
        raise ValueError(f"an encoding of kind '{kind}' does not fit: {error}") from None
    return encoding
