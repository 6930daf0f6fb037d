"""The section on what goes together with the class: site, scanner, sex, age. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from medical_images.audit.association import Association, associate
from medical_images.report.bands import age_bands
from medical_images.report.blocks import Block, Cell, Section, Table
from medical_images.report.dataset import Dataset, Feature
from medical_images.report.disclosure import Disclosure

_MOST_CLASSES = 40
_MOST_PAIRS = 60
_MOST_TABLES = 8
_STRENGTHS = ((0.1, "hardly any"), (0.3, "weak"), (0.5, "moderate"), (2.0, "strong"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Pair:
    name: str
    label: str
    found: Association


def associations(dataset: Dataset, disclosure: Disclosure) -> Section:
    """Whether the class goes together with site, scanner, sex, age."""
    target = dataset.target
    title = "What goes together with the class"
    if target is None:
        return Section("associations", title, ["There is no class to compare with."])
    pairs = sorted(_pairs(dataset, target), key=lambda pair: -pair.found.cramers_v)
    if not pairs:
        text = "No other feature has a few classes, or tells an age, to compare with."
        return Section("associations", title, [text])
    each = f"Rows of one of the {dataset.group_word} that tell the same count once."
    blocks: list[Block] = [
        "Where the class goes together with the hospital, the scanner or the sex, a model may learn"
        " those instead. Strength is Cramér's V, from 0 (none) to 1 (one tells the other); p is how"
        f" often chance alone would give as much. {each if dataset.group_columns else ''}".strip(),
        _strengths(target, pairs, disclosure),
    ]
    if len(pairs) > 1:
        blocks.append(
            f"{len(pairs)} pairs were looked at: of so many, chance alone gives about"
            f" {0.05 * len(pairs):.1f} with p below 0.05."
        )
    names = list(dict.fromkeys(pair.name for pair in pairs))[:_MOST_TABLES]
    features = {feature.name: feature for feature in dataset.features}
    tables = (_table(dataset, target, features[name], disclosure) for name in names)
    blocks += [table for table in tables if table is not None]
    return Section("associations", title, blocks)


def _strengths(target: Feature, pairs: list[_Pair], disclosure: Disclosure) -> Table:
    rows: list[list[str | Cell]] = []
    for pair in pairs[:_MOST_PAIRS]:
        found = pair.found
        word = next(word for end, word in _STRENGTHS if found.cramers_v < end)
        rows.append(
            [
                Cell(pair.name, pair.label),
                f"{found.cramers_v:.2f}",
                word,
                _p_text(found.p_value),
                disclosure.text(found.num_counted),
            ]
        )
    more = f" (the {_MOST_PAIRS} strongest of {len(pairs)})" if len(pairs) > len(rows) else ""
    head = ["feature", "Cramér's V", "strength", "p", "counted"]
    return Table.of(f"How strongly each feature goes together with {target.name}{more}", head, rows)


def _p_text(p_value: float) -> str:
    if p_value < 0.001:
        return "<0.001"
    return f"{p_value:.2f}" if p_value >= 0.1 else f"{p_value:.3f}"


def _pairs(dataset: Dataset, target: Feature) -> Iterator[_Pair]:
    groups = dataset.keys if dataset.group_columns else None
    for feature in dataset.features:
        others = _values(dataset, feature) if feature.name != target.name else None
        if others is None or not 2 <= others.nunique() <= _MOST_CLASSES:
            continue
        if not target.is_list:
            labels = dataset.table[target.name].astype("object")
            found = associate(labels, others, groups=groups)
            yield _Pair(name=feature.name, label="", found=found)
            continue
        for label in target.classes[:_MOST_CLASSES]:
            has = dataset.table[target.name].map(lambda told, label=label: label in set(told))
            if has.any() and not has.all():
                found = associate(has, others, groups=groups)
                yield _Pair(name=feature.name, label=label, found=found)


def _values(dataset: Dataset, feature: Feature) -> pd.Series[Any] | None:
    """The classes of a feature, or bands of an age; None of what has neither."""
    if feature.is_one_class:
        return dataset.table[feature.name].astype("object")
    if feature.is_age:
        years = dataset.table[feature.name].to_numpy(np.float64)
        bands = age_bands(years)
        names = np.array([*bands.names, None], object)
        found = pd.Series(names[bands.numbers_of(years)], dataset.table.index)
        order = pd.CategoricalDtype([n for n in bands.names if (found == n).any()], ordered=True)
        return found.astype(order)
    return None


def _table(
    dataset: Dataset, target: Feature, feature: Feature, disclosure: Disclosure
) -> Table | None:
    """Images by class and another feature; the longer list of classes goes down the page."""
    others = _values(dataset, feature)
    if others is None:
        return None
    pairs = pd.DataFrame({"label": dataset.table[target.name], "other": others}).dropna()
    sizes = pairs["other"].value_counts().to_dict()
    if target.is_list:
        pairs["label"] = pairs["label"].map(lambda told: sorted(set(told)))
        pairs = pairs.explode("label").dropna()
    counts = pairs.groupby(["label", "other"], observed=True).size().to_dict()
    order = feature.classes or tuple(others.cat.categories)
    columns = [name for name in order if name in sizes]
    lines = [name for name in target.classes if any((name, other) in counts for other in columns)]
    cells = {
        (label, other): Cell(
            disclosure.text(counts.get((label, other), 0)),
            disclosure.percent_text(counts.get((label, other), 0), sizes[other]),
        )
        for label in lines
        for other in columns
    }
    rows = [[Cell(label), *(cells[label, other] for other in columns)] for label in lines]
    head = [target.name, *columns]
    if len(columns) > len(lines):
        rows = [[Cell(other), *(cells[label, other] for label in lines)] for other in columns]
        head = [feature.name, *lines]
    caption = f"Images by {target.name} and {feature.name}, percent of each {feature.name}"
    return Table.of(caption, head, rows, is_folded=True)
