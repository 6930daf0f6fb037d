"""What plans and certificates are held against: slow and plain."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import pandas as pd

Stratum = tuple[str, str]


def own_ids(records: pd.DataFrame) -> list[tuple[str, str]]:
    """The group of each record; that of a blank one is the image's own."""
    pairs = zip(records["group"], records["path"], strict=True)
    return [("", path) if group == "" else (group, "") for group, path in pairs]


def joined_ids(records: pd.DataFrame, *, by: Sequence[str] = ("copy",)) -> list[int]:
    """A number for each record: the same for all that must stay together.

    The least number spreads over groups and copies until nothing changes.
    """
    links: list[list[Any]] = [own_ids(records)]
    links += [[cell or number for number, cell in enumerate(records[name])] for name in by]
    numbers = list(range(len(records)))
    while True:
        before = list(numbers)
        for keys in links:
            least: dict[Any, int] = {}
            for key, number in zip(keys, numbers, strict=True):
                least[key] = min(number, least.get(key, number))
            numbers = [least[key] for key in keys]
        if numbers == before:
            return numbers


def torn_ids(records: pd.DataFrame, *, by: Sequence[str] = ("copy",)) -> set[int]:
    """Which of `joined_ids` stand in two official splits, or in one and in none."""
    pairs = set(zip(joined_ids(records, by=by), records["split"], strict=True))
    numbers = [number for number, _ in pairs]
    return {number for number in numbers if numbers.count(number) > 1}


def strata_of(record: Mapping[str, Any], features: Mapping[str, Any]) -> set[Stratum]:
    """The strata of a record, and all combinations of one of each feature.

    Args:
      record: Its cells.
      features: {feature: edges of its bins; None for classes}.
    """
    by_feature = []
    for name, edges in features.items():
        cell = record[f"feature_{name}"]
        if edges is not None:
            values = [bin_name(cell, edges)]
        else:
            values = [cell] if isinstance(cell, str) else list(cell)
        by_feature.append([(name, value) for value in values])
    found = {stratum for strata in by_feature for stratum in strata}
    if len(by_feature) > 1:
        for combination in itertools.product(*by_feature):
            names, values = zip(*combination, strict=True)
            found.add((" & ".join(names), " & ".join(values)))
    return found


def bin_name(number: float, edges: Sequence[float]) -> str:
    """The bin of a number; each holds its lower edge."""
    if number != number:
        return "missing"
    if not edges:
        return "any"
    texts = [f"{edge:g}" for edge in edges]
    for k, edge in enumerate(edges):
        if number < edge:
            return f"under {texts[0]}" if k == 0 else f"{texts[k - 1]} to under {texts[k]}"
    return f"{texts[-1]} and over"


def least_deviation(requested: Iterable[Fraction]) -> Fraction:
    """The least largest difference from what is requested, over all whole numbers of its sum."""
    due = list(requested)
    ranges = [range(int(number) - 1, int(number) + 3) for number in due]
    return min(
        max(abs(have - number) for have, number in zip(whole, due, strict=True))
        for whole in itertools.product(*ranges)
        if sum(whole) == sum(due)
    )
