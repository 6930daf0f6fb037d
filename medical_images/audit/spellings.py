"""Names that are one name written in several ways. Pure."""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable

_PARTS = re.compile(r"[^\W\d_]+|\d+")
_WHOLE = re.compile(r"^(\d+)\.0+$")


def num_alike(names: Iterable[str]) -> int:
    """Counts names that differ from another only in case, punctuation, leading zeros or `.0`.

    Example:
      >>> num_alike(['PAT-7', 'pat 7', 'pat_007', 'pat-8']), num_alike(['7', '7.0', '70', '1-1'])
      (3, 2)
    """
    found = collections.Counter(map(_plain, set(names)))
    return sum(number for plain, number in found.items() if plain and number > 1)


def _plain(name: str) -> tuple[str, ...]:
    parts = _PARTS.findall(_WHOLE.sub(r"\1", name.strip()).casefold())
    return tuple(part.lstrip("0") if part.isdigit() else part for part in parts)
