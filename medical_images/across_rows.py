"""What several rows of one image tell together: boxes, runs of masks, votes. Pure."""

from __future__ import annotations

import collections
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from medical_images.spec_feature_types import ClassesFeature, Feature, combines_rows
from medical_images.spec_features import BoxesFeature, LabelsFeature, OfRows
from medical_images.spec_masks import MaskFeature

_Votes = Sequence[Any]  # the values of the rows, or of the readers, of one image


class DisagreementError(ValueError):
    """Rows of one image do not tell one value."""


def combine(
    values: pd.Series[Any], paths: pd.Series[str], readers: pd.Series[str] | None, feature: Feature
) -> tuple[dict[str, Any], set[str]]:
    """Makes one value of those of all rows of each image; their order does not matter.

    Args:
      values: Of each row, as `values.parse_feature` returns them.
      paths: The image of each row.
      readers: Whose each row is; a blank cell is a reader of its own. None if each row counts.
      feature: One that combines rows.

    Returns:
      {path: value}, and the paths of images whose rows disagree. A value is a class or a tuple:
      of boxes, of texts of runs, of labels, or of all values.

    Example:
      >>> feature = LabelsFeature(type='labels', values=['edema', 'mass'], across_rows='majority')
      >>> values = pd.Series([('mass',), ('edema', 'mass'), ()])
      >>> combine(values, pd.Series(['1.png'] * 3), None, feature)
      ({'1.png': ('mass',)}, set())
    """
    join, merge = _joiner(feature), _merger(feature)
    by_reader: dict[str, dict[Any, list[Any]]] = {}
    whose: Iterable[Any] = range(len(values)) if readers is None else readers
    for number, (path, reader, value) in enumerate(zip(paths, whose, values, strict=True)):
        reader = number if reader == "" else reader
        by_reader.setdefault(path, {}).setdefault(reader, []).append(value)
    found, torn = {}, set()
    for path, told in by_reader.items():
        try:
            found[path] = join([merge(votes) for votes in told.values()])
        except DisagreementError:
            torn.add(path)
    return found, torn


def combined_features(features: Mapping[str, Feature]) -> dict[str, Feature]:
    """Returns those of which the rows of an image may tell several values."""
    return {name: feature for name, feature in features.items() if combines_rows(feature)}


def is_text(feature: Feature) -> bool:
    """Returns whether a combined value is one class, and no tuple."""
    return not isinstance(feature, LabelsFeature) and (
        getattr(feature, "across_rows", "") == "majority"
    )


def _joiner(feature: Feature) -> Callable[[_Votes], Any]:
    """Returns what makes one value of the votes."""
    if isinstance(feature, BoxesFeature):
        return lambda votes: tuple(sorted(box for box in votes if box is not None))
    if isinstance(feature, MaskFeature):
        return lambda votes: tuple(sorted(votes))  # a blank cell is not one that tells of no run
    assert isinstance(feature, OfRows)
    if isinstance(feature, LabelsFeature):
        return _label_joiner(feature.across_rows, feature.values)
    if feature.across_rows == "majority":
        return _most_common
    if isinstance(feature, ClassesFeature):
        place = {value: number for number, value in enumerate(["", *feature.values])}
        return lambda votes: tuple(sorted(votes, key=place.__getitem__))
    return lambda votes: tuple(sorted(number for number in votes if number == number))


def _label_joiner(rule: str, classes: Collection[str]) -> Callable[[_Votes], Any]:
    def join(votes: _Votes) -> tuple[str, ...]:
        counts = collections.Counter(label for labels in votes for label in labels)
        if rule == "all":
            return tuple(label for label in classes for _ in range(counts[label]))
        least = len(votes) / 2 if rule == "majority" else 0
        return tuple(label for label in classes if counts[label] > least)

    return join


def _most_common(votes: _Votes) -> Any:
    (first, count), *others = collections.Counter(votes).most_common(2)
    if others and others[0][1] == count:
        raise DisagreementError
    return first


def _merger(feature: Feature) -> Callable[[_Votes], Any]:
    """Returns what makes one value of the rows of one reader."""
    if isinstance(feature, LabelsFeature):
        return lambda rows: set().union(*rows)
    return _only_one


def _only_one(rows: _Votes) -> Any:
    first, *others = rows
    if any(value != first and (value == value or first == first) for value in others):
        raise DisagreementError
    return first
