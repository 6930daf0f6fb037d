"""The section on how the values of each feature are distributed in each split. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from medical_images.report.bands import OLDEST, bands_of
from medical_images.report.blocks import Block, Heading, Histogram, Section, Table
from medical_images.report.boxes import show_boxes
from medical_images.report.counting import (
    bars_of,
    class_table,
    counts_table,
    is_compared,
    listed,
    shown,
    split_table,
    sum_text,
)
from medical_images.report.dataset import Dataset, Feature
from medical_images.report.disclosure import HIDDEN, Disclosure

_MOST_FIGURES = 40  # of features; more would make the page heavy
_FEWEST = 5  # values that are summarised; the mean of one is a patient's own
_FEW_VALUES = 2  # times the least count: of so few different ones, mean and SD tell the counts
_LONG = 12  # rows of a table that is folded where a chart shows the same
_NOT_SHOWN = ("id", "text", "mask")  # what may name patients, and pixels


def distributions(dataset: Dataset, disclosure: Disclosure) -> Section:
    """How the values of each feature are distributed in each split."""
    target, blocks, num_drawn = dataset.target, list[Block](), 0
    for feature in dataset.features:
        is_shown_before = target is None and feature.kind == "boxes"
        is_target = target is not None and feature.name == target.name
        if is_shown_before or is_target or feature.kind in _NOT_SHOWN:
            continue
        draws = num_drawn < _MOST_FIGURES
        shown = [*_feature(dataset, feature, disclosure, draws=draws)]
        num_drawn += any(not isinstance(block, str | Table) for block in shown)
        note = f"in {feature.unit}" if feature.unit else ""
        blocks += [Heading(title=feature.name, note=note), *shown]
    if num_drawn == _MOST_FIGURES:
        blocks.insert(0, f"The first {_MOST_FIGURES} features have a figure; all have a table.")
    if names := [f.name for f in dataset.features if f.kind in ("id", "text")]:
        kept = f"{listed(names)}: not shown, as identifiers and free texts may name patients."
        blocks.append(kept)
    return Section("features-by-split", "Each feature by split", blocks)


def _feature(
    dataset: Dataset, feature: Feature, disclosure: Disclosure, *, draws: bool
) -> Iterator[Block]:
    if feature.description:
        yield feature.description
    if feature.kind == "boxes":
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
    bands = bands_of(values, least=disclosure.min_cell, top=OLDEST if feature.is_age else math.inf)
    names = np.array([*bands.names, None], object)[bands.numbers_of(values)]
    counts = split_table(pd.Series(names), table["split"], bands.names, dataset)
    as_shown = shown(counts, dataset.sizes, disclosure)
    axis = f"{feature.name} ({feature.unit})" if feature.unit else feature.name
    if draws and len(bands.names) > 1 and counts.sum().max() >= _FEWEST:
        of_split = (
            {split: as_shown.numbers[split] for split in dataset.sizes}
            if is_compared(dataset)
            else {"all splits": as_shown.numbers.sum(axis=1)}
        )
        yield Histogram(
            title=f"Distribution of {feature.name}",
            edges=bands.edges,
            is_each=bands.is_each,
            shares={
                split: tuple(100 * int(n) / int(of.sum()) for n in of)
                for split, of in of_split.items()
                if of.sum() >= _FEWEST
            },
            axis=axis,
        )
    num_known = {split: as_shown.numbers[split].tolist() for split in dataset.sizes}
    yield _summary(table["split"], values, dataset, feature, num_known, disclosure)
    caption = f"Images by {feature.name}"
    if is_compared(dataset):
        yield counts_table(counts, dataset, disclosure, caption=caption, first=axis, is_folded=True)
        return
    rows = [[name, text] for name, text in zip(bands.names, as_shown.total_texts, strict=True)]
    yield Table.of(f"{caption}, all splits", [axis, "images"], rows, is_folded=True)


def _summary(
    splits: pd.Series[Any],
    values: npt.NDArray[np.float64],
    dataset: Dataset,
    feature: Feature,
    num_known: Mapping[str, list[int]],
    disclosure: Disclosure,
) -> Table:
    rows = []
    for split in dataset.sizes:
        is_known = (splits == split).to_numpy() & ~np.isnan(values)
        known = values[is_known]
        row = [split, sum_text(num_known[split], disclosure)]
        num_groups = dataset.keys.loc[splits.index[is_known]].nunique()
        num = num_groups if disclosure.is_on else known.size  # images of one patient tell of one
        is_few = disclosure.is_on and len(np.unique(known)) <= _FEW_VALUES * disclosure.min_cell
        if num < max(disclosure.min_cell, _FEWEST) or is_few:
            rows.append([*row, HIDDEN, HIDDEN, HIDDEN])
            continue
        mean = HIDDEN  # of what is only known to be beyond what can be measured
        how: Literal["inverted_cdf", "linear"] = "inverted_cdf"
        if np.isfinite(known).all():
            mean = f"{number_text(float(known.mean()))} ± {number_text(float(known.std(ddof=1)))}"
            how = "linear"
        low, middle, high = map(number_text, np.quantile(known, [0.25, 0.5, 0.75], method=how))
        if disclosure.is_on and num < 4 * disclosure.min_cell:
            rows.append([*row, mean, HIDDEN, HIDDEN])
            continue
        rows.append([*row, mean, middle, f"{low} to {high}"])
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
