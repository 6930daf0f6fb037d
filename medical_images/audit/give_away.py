"""Features that tell the label nearly alone, as no feature of a patient should. Pure.

Such a column is often made after the diagnosis (how it was confirmed, where it was treated), or by
how the corpus was put together (each class from another source). A model that is given it learns
nothing from images.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

How = Literal["value", "missing", "naming", "id"]
Codes = npt.NDArray[np.intp]

_LEAST_TOLD = 0.75
_FEWEST_GROUPS = 10  # that have the class, and that do not: fewer prove nothing
_NUM_QUANTILES = 20
_PRIOR_WEIGHT = 1.0  # a value of no other group tells what the shares of the classes tell


@dataclasses.dataclass(frozen=True, kw_only=True)
class GiveAway:
    """A feature that tells the label, or one of its classes.

    Attributes:
      feature: Its name.
      how: By its `value`; by being `missing` or not; by `naming` the class in a text; or, of an
        `id`, by how it is written (its letters and length) or by the range of its numbers.
      told: What part of the uncertainty about the class is gone when the feature is known, up to 1.
      label: The class; blank where the feature tells all of them.
    """

    feature: str
    how: How
    told: float
    label: str = ""


def uncertainty_told(
    label: pd.Series[Any], feature: pd.Series[Any], groups: pd.Series[Any]
) -> float:
    """Tells what part of the uncertainty about a label is gone when a feature is known.

    That is Theil's uncertainty coefficient, measured on held out groups: of each row, the label is
    predicted from the rows of all other groups with the same value. So a feature of many values, as
    an id is, tells nothing unless its values tell something of other patients.

    Args:
      label: Of any hashable values, none missing.
      feature: Likewise; a missing one is a value of its own.
      groups: The group of each row.

    Returns:
      At most 1, which is all; 0 or less where the feature tells nothing.

    Example:
      >>> label = pd.Series(['nv', 'nv', 'mel', 'mel'] * 50)
      >>> groups = pd.Series(range(200))
      >>> round(uncertainty_told(label, pd.Series(['x', 'x', 'y', 'y'] * 50), groups), 2)
      0.99
      >>> round(uncertainty_told(label, groups, groups), 2)
      0.0
    """
    classes, names = pd.factorize(label)
    values, _ = pd.factorize(feature, use_na_sentinel=False)
    shares = np.bincount(classes) / max(len(classes), 1)
    entropy = float(-(shares * np.log(shares)).sum())
    if len(names) < 2:
        return 0.0
    own = pd.factorize(groups)[0]
    both = _joint(values, classes)
    others = _counts(both) - _counts(_joint(both, own))
    others_of_value = _counts(values) - _counts(_joint(values, own))
    prior = _PRIOR_WEIGHT * shares[classes]
    foretold = (others + prior) / (others_of_value + _PRIOR_WEIGHT)
    return 1 - float(-np.log(foretold).mean()) / entropy


def _joint(one: Codes, other: Codes) -> Codes:
    """Codes of pairs."""
    return pd.factorize(one.astype(np.int64) * (int(other.max(initial=0)) + 1) + other)[0]


def _counts(codes: Codes) -> Codes:
    """Of each row, how many rows have its code."""
    return np.bincount(codes)[codes]


def give_aways(
    label: pd.Series[Any], features: pd.DataFrame, groups: pd.Series[Any], *, ids: pd.DataFrame
) -> Iterator[GiveAway]:
    """Finds features that tell a label, or one of its classes.

    Args:
      label: Classes, or tuples of them; missing ones are left out.
      features: Numbers, classes (as categories) and texts, row by row; no ids.
      groups: The group of each row.
      ids: Ids, of images and groups, as texts. Their values tell nothing, but how they are written
        may.

    Yields:
      Of each feature that tells at least three quarters, how it tells most.
    """
    is_known = label.notna().to_numpy()
    label, groups = label[is_known], groups[is_known]
    targets = [(name, target) for name, target in _targets(label) if _is_shown(target, groups)]
    for table, versions_of, naming in (
        (features[is_known], _versions, _naming),
        (ids[is_known], _versions_of_id, lambda values, label: ()),
    ):
        for name in table:
            versions = list(versions_of(table[name]))
            found = [
                GiveAway(feature=str(name), how=how, told=told, label=of_class)
                for of_class, target in targets
                for how, version in [*versions, *naming(table[name], of_class)]
                if (told := uncertainty_told(target, version, groups)) >= _LEAST_TOLD
            ]
            if found:  # of what tells as much, all classes and plain reasons come first
                yield max(found, key=lambda each: (round(each.told, 2), each.label == ""))


def _targets(label: pd.Series[Any]) -> Iterator[tuple[str, pd.Series[Any]]]:
    """Yields all classes at once, unless an image may have several; and each against the others."""
    is_list = label.map(lambda value: isinstance(value, tuple | list)).any()
    if not is_list:
        yield "", label.astype("str")
        if label.nunique() <= 2:
            return
        label = label.map(lambda value: (value,))
    for name in sorted({str(each) for value in label for each in value}):
        yield name, label.map(lambda value, name=name: name in map(str, value))


def _is_shown(target: pd.Series[Any], groups: pd.Series[Any]) -> bool:
    """Whether at least two classes have enough groups."""
    return int((groups.groupby(target).nunique() >= _FEWEST_GROUPS).sum()) >= 2


def _versions(values: pd.Series[Any]) -> Iterator[tuple[How, pd.Series[Any]]]:
    missing = values.isna() | (values == "") if _is_text(values) else values.isna()
    if missing.any() and not missing.all():
        yield "missing", missing
    yield "value", _binned(values)


def _versions_of_id(ids: pd.Series[Any]) -> Iterator[tuple[How, pd.Series[Any]]]:
    texts = ids.astype("str")
    yield "id", texts.str.replace(r"\d", "0", regex=True).str.slice(0, 12)
    yield "id", _binned(pd.to_numeric(texts.str.extract(r"(\d{1,15})\D*$")[0]).astype("float64"))


def _naming(values: pd.Series[Any], label: str) -> Iterator[tuple[How, pd.Series[Any]]]:
    if label and _is_text(values):
        word = re.compile(rf"(?<!\w){re.escape(label)}(?!\w)", re.IGNORECASE)
        yield "naming", values.astype("str").map(lambda text: bool(word.search(text)))


def _is_text(values: pd.Series[Any]) -> bool:
    return values.dtype in ("str", "object")


def _binned(values: pd.Series[Any]) -> pd.Series[Any]:
    """Numbers of many values as quantiles; all others as they are."""
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > _NUM_QUANTILES:
        edges = values.replace([np.inf, -np.inf], np.nan).quantile(
            np.linspace(0, 1, _NUM_QUANTILES + 1)[1:-1]
        )
        bins = np.searchsorted(np.unique(edges), values.to_numpy(np.float64), side="right")
        return pd.Series(np.where(values.isna(), -1, bins), index=values.index)
    return values
