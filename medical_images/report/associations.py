"""The section on what goes together with the class: site, scanner, sex, age. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from medical_images.audit.association import Association, associate
from medical_images.report.bands import age_bands
from medical_images.report.blocks import Block, Cell, Section, Table
from medical_images.report.counting import shown
from medical_images.report.dataset import Dataset, Feature
from medical_images.report.disclosure import HIDDEN, Disclosure

_MOST_CLASSES = 40
_MOST_PAIRS = 60
_MOST_TABLES, _MOST_CELLS = 8, 4_000
_STRONG, _BY_CHANCE = 0.5, 0.01
_STRENGTHS = ((0.1, "hardly any"), (0.3, "weak"), (_STRONG, "moderate"), (2.0, "strong"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    """How the class, or one of several, goes together with a feature.

    Attributes:
      name: Of the feature.
      label: The class; blank for all at once.
      found: What was found.
    """

    name: str
    label: str
    found: Association


def pairs_of(dataset: Dataset, disclosure: Disclosure) -> tuple[Pair, ...]:
    """Compares the class with all features of a few classes and with ages; the strongest first."""
    if dataset.target is None:
        return ()
    found = _pairs(dataset, dataset.target, disclosure.min_cell)
    return tuple(sorted(found, key=lambda pair: -pair.found.cramers_v))


def strong_names(pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Returns the features that go strongly together with the class, surely not by chance."""
    strong = (p for p in pairs if p.found.cramers_v >= _STRONG and p.found.p_value <= _BY_CHANCE)
    return tuple(dict.fromkeys(pair.name for pair in strong))


def associations(dataset: Dataset, pairs: Sequence[Pair], disclosure: Disclosure) -> Section | None:
    """Whether the class goes together with site, scanner, sex, age."""
    target = dataset.target
    if target is None or not pairs:
        return None
    title = "What goes together with the class"
    each = "Images of one group with the same two values count once."
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


def _strengths(target: Feature, pairs: Sequence[Pair], disclosure: Disclosure) -> Table:
    rows: list[list[str | Cell]] = []
    for pair in pairs[:_MOST_PAIRS]:
        found = pair.found
        word = next(word for end, word in _STRENGTHS if found.cramers_v < end)
        rows.append(
            [
                Cell(pair.name, pair.label),
                f"{found.cramers_v:.{1 if disclosure.is_on else 2}f}",
                word,
                _p_text(found.p_value, disclosure),
                *([] if disclosure.is_on else [f"{found.num_counted:,}"]),
            ]
        )
    more = f" (the {_MOST_PAIRS} strongest of {len(pairs)})" if len(pairs) > len(rows) else ""
    head = ["feature", "Cramér's V", "strength", "p"] + ["counted"] * (not disclosure.is_on)
    return Table.of(f"How strongly each feature goes together with {target.name}{more}", head, rows)


def _p_text(p_value: float, disclosure: Disclosure) -> str:
    if p_value < 0.001:
        return "<0.001"
    if disclosure.is_on:  # digits would tell of counts
        return next((f"<{end}" for end in (0.01, 0.05) if p_value < end), "0.05 or more")
    return f"{p_value:.2f}" if p_value >= 0.1 else f"{p_value:.3f}"


def _pairs(dataset: Dataset, target: Feature, least: int) -> Iterator[Pair]:
    groups = dataset.keys if dataset.group_columns else None
    for feature in dataset.features:
        others = _values(dataset, feature) if feature.name != target.name else None
        if others is None or not 2 <= others.nunique() <= _MOST_CLASSES:
            continue
        if not target.is_list:
            labels = dataset.table[target.name].astype("object")
            found = associate(labels, others, groups=groups)
            yield Pair(name=feature.name, label="", found=found)
            continue
        for label in target.classes[:_MOST_CLASSES]:
            has = dataset.table[target.name].map(lambda told, label=label: label in set(told))
            if least <= has.sum() <= len(has) - least:
                found = associate(has, others, groups=groups)
                yield Pair(name=feature.name, label=label, found=found)


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
    is_on = disclosure.is_on  # then what is left out would tell that there are none
    columns = [name for name in order if is_on or name in sizes]
    lines = [name for name in target.classes if is_on or any((name, c) in counts for c in columns)]
    if len(lines) * len(columns) > _MOST_CELLS:
        return None
    table = pd.DataFrame(
        [[counts.get((label, other), 0) for other in columns] for label in lines], lines, columns
    )
    sizes = {other: sizes.get(other, 0) for other in columns}
    texts = shown(table, sizes, disclosure).texts.to_numpy().tolist()
    cells = {
        (label, other): Cell(
            text,
            disclosure.percent_text(counts.get((label, other), 0), sizes[other])
            if text != HIDDEN
            else "",
        )
        for label, told in zip(lines, texts, strict=True)
        for other, text in zip(columns, told, strict=True)
    }
    rows = [[Cell(label), *(cells[label, other] for other in columns)] for label in lines]
    head = [target.name, *columns]
    if len(columns) > len(lines):
        rows = [[Cell(other), *(cells[label, other] for label in lines)] for other in columns]
        head = [feature.name, *lines]
    caption = f"Images by {target.name} and {feature.name}, percent of each {feature.name}"
    return Table.of(caption, head, rows, is_folded=True)
