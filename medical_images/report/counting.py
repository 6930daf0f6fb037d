"""Counts of a dataset's features, and the tables that show them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from medical_images.report.blocks import Bars, Cell, Table
from medical_images.report.dataset import Dataset, Feature
from medical_images.report.disclosure import Disclosure

MOST_DRAWN = 40  # categories of one chart
_MOST_SPLITS = 4  # that are drawn and compared side by side
NONE = "none"

Requested = Mapping[str, Mapping[str, float | None]]


def is_missing(dataset: Dataset, feature: Feature) -> npt.NDArray[np.bool_]:
    """Tells which images lack a value of a feature, or have the class that stands for none."""
    cells = dataset.table[feature.name]
    if feature.is_list or feature.kind == "boxes":
        return np.zeros(len(cells), bool)
    lacks = cells.isna().to_numpy(bool)
    if feature.kind in ("text", "date", "id"):
        lacks = lacks | (cells == "").to_numpy(bool)
    elif feature.missing_as and feature.has_classes:
        lacks = lacks | (cells == feature.missing_as).to_numpy(bool)
    return lacks


def class_table(dataset: Dataset, feature: Feature) -> pd.DataFrame:
    """Counts the images of each class in each split.

    Returns:
      int64, one line a class in the order of the classes, and last `none` where some images have
      no class; one column a split. An image counts in each of its classes once.
    """
    cells = pd.DataFrame({"split": dataset.splits, "cell": dataset.table[feature.name]})
    if feature.is_list:
        cells["cell"] = cells["cell"].map(lambda told: sorted({c for c in told if c is not None}))
        cells = cells.explode("cell")
    cells["cell"] = cells["cell"].astype("object").where(cells["cell"].notna(), NONE)
    order = [*feature.classes]
    if (cells["cell"] == NONE).any() and NONE not in order:
        order.append(NONE)
    return split_table(cells["cell"], cells["split"], order, dataset)


def split_table(
    cells: pd.Series[Any], splits: pd.Series[Any], names: Iterable[Any], dataset: Dataset
) -> pd.DataFrame:
    """Counts cells in each split.

    Args:
      cells: What is counted.
      splits: The split of each.
      names: The cells that are told, one line each.
      dataset: Whose splits they are.

    Returns:
      int64, one line a name, one column a split.
    """
    counts: pd.DataFrame = pd.crosstab(np.asarray(cells), np.asarray(splits))
    return counts.reindex(
        index=pd.Index(list(names)), columns=pd.Index(list(dataset.sizes)), fill_value=0
    ).astype(np.int64)


def counts_of(table: pd.DataFrame, name: Any) -> list[int]:
    """Returns a line of a table of counts."""
    return [int(count) for count in table.to_numpy()[table.index.get_loc(name)]]


def counts_table(
    counts: pd.DataFrame,
    dataset: Dataset,
    disclosure: Disclosure,
    *,
    caption: str,
    first: str,
    requested: Requested | None = None,
    is_folded: bool = False,
) -> Table:
    """Shows counts by split, each with its share of the split, or with what was requested.

    Args:
      counts: One line a category, one column a split.
      dataset: Whose splits they are.
      disclosure: How counts are shown.
      caption: Of the table.
      first: The name of the first column.
      requested: {category: {split: images due}}; None where nothing is planned.
      is_folded: Whether it is shown only when it is asked for.
    """
    num_images = sum(dataset.sizes.values())
    word = "expected" if is_compared(dataset) else "of"  # many columns are to be narrow
    rows = []
    for category, line in zip(counts.index, counts.to_numpy().tolist(), strict=True):
        total = sum(line)
        cells = [Cell(str(category))]
        if len(line) > 1:
            text = disclosure.total_text(line, total)
            cells.append(Cell(text, disclosure.percent_text(total, num_images)))
        for split, count in zip(counts.columns, line, strict=True):
            due = requested.get(str(category), {}).get(split) if requested else None
            note = disclosure.percent_text(count, dataset.sizes[split])
            if due is not None:
                note = f"{word} {expected_text(due, disclosure)}"
            cells.append(Cell(disclosure.text(count), note))
        rows.append(cells)
    head = [first, *(["all"] if len(counts.columns) > 1 else []), *map(str, counts.columns)]
    return Table.of(caption, head, rows, is_folded=is_folded)


def expected_text(due: float, disclosure: Disclosure) -> str:
    """Returns how many images are due to a split, as it is written."""
    return disclosure.text(round(due)) if disclosure.is_on else f"{due:,.1f}"


def bars_of(counts: pd.DataFrame, dataset: Dataset, disclosure: Disclosure, *, title: str) -> Bars:
    """Draws counts, and their share of each split where there are a few splits."""
    totals = counts.sum(axis=1)
    drawn = counts
    if len(counts) > MOST_DRAWN:
        common = set(totals.sort_values(ascending=False, kind="stable").index[:MOST_DRAWN])
        drawn = counts[[name in common for name in counts.index]]
        title = f"{title} (the {MOST_DRAWN} most frequent of {len(counts)})"
    shares = {}
    if len(dataset.sizes) > 1 and is_compared(dataset):
        shares = {
            split: tuple(disclosure.percent(int(n), size) for n in drawn[split])
            for split, size in dataset.sizes.items()
        }
    return Bars(
        title=title,
        categories=tuple(map(str, drawn.index)),
        counts=tuple(disclosure.number(int(n)) for n in drawn.sum(axis=1)),
        unit="images",
        shares=shares,
    )


def is_compared(dataset: Dataset) -> bool:
    """Whether there are so few splits that they are drawn beside each other."""
    return len(dataset.sizes) <= _MOST_SPLITS


def several(number: str, noun: str) -> str:
    """Returns a number with its noun.

    Example:
      >>> several('1', 'image'), several('<5', 'image')
      ('1 image', '<5 images')
    """
    return f"{number} {noun}" if number == "1" else f"{number} {noun}s"


def listed(words: Iterable[str]) -> str:
    """Returns words as a list in a sentence.

    Example:
      >>> listed(['train', 'validation', 'test']), listed(['train'])
      ('train, validation and test', 'train')
    """
    told: Sequence[str] = list(words)
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}" if told else ""
