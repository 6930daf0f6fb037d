"""The section on how the values of each feature are distributed in each split. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from medical_images.report.bands import bands_of
from medical_images.report.blocks import Block, Heading, Histogram, Section, Table
from medical_images.report.boxes import show_boxes
from medical_images.report.counting import (
    bars_of,
    class_table,
    counts_of,
    counts_table,
    is_compared,
    is_missing,
    several,
    split_table,
)
from medical_images.report.dataset import Dataset, Feature
from medical_images.report.disclosure import HIDDEN, Disclosure

_MOST_FIGURES = 40  # of features; more would make the page heavy
_FEWEST = 5  # values that are summarised; the mean of one is a patient's own
_LONG = 12  # rows of a table that is folded where a chart shows the same
_NOT_SHOWN = {
    "text": "Free text, which may name patients, is not shown.",
    "id": "Identifiers are not shown.",
    "mask": "Each image has a mask; its pixels are not counted here.",
}


def distributions(dataset: Dataset, disclosure: Disclosure) -> Section:
    """How the values of each feature are distributed in each split."""
    target, blocks, num_drawn = dataset.target, list[Block](), 0
    for feature in dataset.features:
        is_shown_before = target is None and feature.kind == "boxes"
        if is_shown_before or (target is not None and feature.name == target.name):
            continue
        draws = num_drawn < _MOST_FIGURES
        shown = [*_feature(dataset, feature, disclosure, draws=draws)]
        num_drawn += any(not isinstance(block, str | Table) for block in shown)
        note = f"in {feature.unit}" if feature.unit else ""
        blocks += [Heading(title=feature.name, note=note), *shown]
    if num_drawn == _MOST_FIGURES:
        blocks.insert(0, f"The first {_MOST_FIGURES} features have a figure; all have a table.")
    return Section("features-by-split", "Each feature by split", blocks)


def _feature(
    dataset: Dataset, feature: Feature, disclosure: Disclosure, *, draws: bool
) -> Iterator[Block]:
    if feature.description:
        yield feature.description
    if feature.kind in _NOT_SHOWN:
        told = _NOT_SHOWN[feature.kind]
        if feature.kind != "mask":
            lacks = int(is_missing(dataset, feature).sum())
            known = disclosure.text(len(dataset.table) - lacks)
            told += f" {several(known, 'image')} {'has' if known == '1' else 'have'} one."
        yield told
    elif feature.kind == "boxes":
        yield from show_boxes(dataset, feature, disclosure)
    elif feature.has_classes:
        counts = class_table(dataset, feature)
        title = f"Images by {feature.name}"
        if draws:
            yield bars_of(counts, dataset, disclosure, title=title)
        is_folded = not draws or len(counts) > _LONG
        yield counts_table(
            counts, dataset, disclosure, caption=title, first=feature.name, is_folded=is_folded
        )
    elif feature.kind == "date":
        counts = _years(dataset, feature)
        title = f"Images by year of {feature.name}"
        if draws and len(counts):
            yield bars_of(counts, dataset, disclosure, title=title)
        yield counts_table(counts, dataset, disclosure, caption=title, first="year", is_folded=True)
    else:
        yield from _numbers(dataset, feature, disclosure, draws=draws)


def _years(dataset: Dataset, feature: Feature) -> pd.DataFrame:
    cells = dataset.table[feature.name].map(
        lambda told: list(told) if isinstance(told, list | np.ndarray) else [told]
    )
    told = pd.DataFrame({"split": dataset.splits, "day": cells}).explode("day")
    told["year"] = told["day"].astype("str").str.extract(r"(\d{4})", expand=False)
    told = told.dropna(subset=["year"])
    return split_table(told["year"], told["split"], sorted(set(told["year"])), dataset)


def _numbers(
    dataset: Dataset, feature: Feature, disclosure: Disclosure, *, draws: bool
) -> Iterator[Block]:
    table = pd.DataFrame({"split": dataset.splits, "value": dataset.table[feature.name]})
    if feature.is_list:
        table = table.explode("value")
    values = table["value"].to_numpy(np.float64)
    if np.isnan(values).all():
        yield "All values are missing."
        return
    bands = bands_of(values, least=max(disclosure.min_cell, 1))
    names = np.array([*bands.names, None], object)[bands.numbers_of(values)]
    counts = split_table(pd.Series(names), table["split"], bands.names, dataset)
    axis = f"{feature.name} ({feature.unit})" if feature.unit else feature.name
    if draws and len(bands.names) > 1 and counts.sum().max() >= _FEWEST:
        of_split = (
            {split: counts[split] for split in dataset.sizes}
            if is_compared(dataset)
            else {"all splits": counts.sum(axis=1)}
        )
        yield Histogram(
            title=f"Distribution of {feature.name}",
            edges=bands.edges,
            shares={
                split: tuple(disclosure.percent(int(n), int(of.sum())) for n in of)
                for split, of in of_split.items()
                if of.sum() >= _FEWEST
            },
            axis=axis,
        )
    yield _summary(table["split"], values, dataset, feature, disclosure)
    caption = f"Images by {feature.name}"
    if is_compared(dataset):
        yield counts_table(counts, dataset, disclosure, caption=caption, first=axis, is_folded=True)
        return
    rows = [[name, disclosure.text(sum(counts_of(counts, name)))] for name in bands.names]
    yield Table.of(f"{caption}, all splits", [axis, "images"], rows, is_folded=True)


def _summary(
    splits: pd.Series[Any],
    values: npt.NDArray[np.float64],
    dataset: Dataset,
    feature: Feature,
    disclosure: Disclosure,
) -> Table:
    rows = []
    for split in dataset.sizes:
        known = values[(splits == split).to_numpy() & np.isfinite(values)]
        row = [split, disclosure.text(known.size)]
        if known.size < max(disclosure.min_cell, _FEWEST):
            rows.append([*row, HIDDEN, HIDDEN, HIDDEN])
            continue
        low, middle, high = np.quantile(known, [0.25, 0.5, 0.75]).tolist()
        spread = f" ± {number_text(float(known.std(ddof=1)))}" if known.size > 1 else ""
        if disclosure.is_on and known.size < 4 * disclosure.min_cell:
            rows.append([*row, f"{number_text(float(known.mean()))}{spread}", HIDDEN, HIDDEN])
            continue
        mean = f"{number_text(float(known.mean()))}{spread}"
        middle_half = f"{number_text(low)} to {number_text(high)}"
        rows.append([*row, mean, number_text(middle), middle_half])
    head = ["split", "known values", "mean ± SD", "median", "middle half"]
    return Table.of(f"Summary of {feature.name}", head, rows)


def number_text(value: float) -> str:
    """Returns a number with three digits that tell.

    Example:
      >>> [number_text(value) for value in (0.01234, 5.0, 63.24, 1234.5)]
      ['0.0123', '5.00', '63.2', '1,234']
    """
    if value == 0 or not np.isfinite(value):
        return f"{value:g}"
    digits = max(0, min(6, 2 - int(np.floor(np.log10(abs(value))))))
    return f"{value:,.{digits}f}"
