"""Rows that are two images, such as the left and the right eye of a patient."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pandas as pd

from medical_images.drafting.joining import Joined
from medical_images.drafting.naming_made import Naming

SIDE = "side"  # the column that tells which of the two images it is
_SIDES = (("left", "right"), ("l", "r"), ("os", "od"), ("a", "b"), ("1", "2"))


def exploded(joined: Joined) -> tuple[Joined, dict[str, Any]] | None:
    """Finds two columns that name different images, and makes each row two.

    Returns:
      The rows, and what the spec says in `explode:`; None where rows are single images.
    """
    first = joined.naming
    if first is None or first.derive or first.is_many:
        return None
    for second in joined.others:
        words = _other_side(first.column, second.column)
        if words and second.kind == first.kind and not first.images & second.images:
            return _of_two(joined, first, second, words)
    return None


def _other_side(one: str, other: str) -> tuple[str, str] | None:
    """Returns the words of two names that tell sides, such as `Left` and `Right`."""
    for pair in (*_SIDES, *((b, a) for a, b in _SIDES)):
        if (
            other.lower()
            == re.sub(rf"(?<![a-z]){pair[0]}(?![a-z])", pair[1], one.lower())
            != one.lower()
        ):
            return pair
    return None


def _of_two(
    joined: Joined, first: Naming, second: Naming, words: tuple[str, str]
) -> tuple[Joined, dict[str, Any]]:
    known = {str(name).lower(): str(name) for name in joined.frame.columns}
    into: tuple[dict[str, str], dict[str, str]] = ({}, {})
    for name in known.values():
        side = rf"(?<![a-z]){words[0]}(?![a-z])"
        other = known.get(re.sub(side, words[1], name.lower()))
        if other is None or other == name:
            continue
        new = "file" if name == first.column else re.sub(side, "", name.lower()).strip(" _-.")
        new = new if new and new not in known and new not in into[0] else f"{new}_of_side"
        into[0][new], into[1][new] = name, other
    frames = []
    for word, names in zip(words, into, strict=True):
        cells = {new: joined.frame[old] for new, old in names.items()}
        rest = joined.frame.drop(columns=[*into[0].values(), *into[1].values()])
        frames.append(rest.assign(**cells, **{SIDE: word}))
    both = (("file", first), ("file", second))
    templates = [t.replace(f"{{{n.column}}}", f"{{{new}}}") for new, n in both for t in n.templates]
    naming = dataclasses.replace(
        first,
        column="file",
        templates=tuple(dict.fromkeys(templates)),
        paths=first.paths + second.paths,
        passed_over=(),
    )
    frame = pd.concat(frames, ignore_index=True)
    keys = {"column": SIDE, "into": dict(zip(words, into, strict=True))}
    return dataclasses.replace(joined, frame=frame, naming=naming), keys
