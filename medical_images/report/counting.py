"""Counts of a dataset's features, and the tables that show them. Pure."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from medical_images.report.blocks import Bars, Cell, Table
from medical_images.report.dataset import Dataset, Feature
from medical_images.report.disclosure import HIDDEN, Disclosure

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
    elif feature.class_of_missing:
        lacks = lacks | (cells == feature.class_of_missing).to_numpy(bool)
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


def class_groups(dataset: Dataset, feature: Feature) -> dict[str, int]:
    """Counts the groups of each class."""
    cells = pd.DataFrame({"key": dataset.keys, "cell": dataset.table[feature.name]})
    num = cells.explode("cell").groupby("cell", observed=True)["key"].nunique()
    return {name: int(num.get(name, 0)) for name in feature.classes}


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shown:
    """Counts as they are shown: one line a category, one column a split.

    Attributes:
      texts: As they are written.
      numbers: As they are drawn and divided; 0 for what is not shown.
      totals: The sums of lines; where counts are hidden, of what is shown.
      total_texts: As they are written.
    """

    texts: pd.DataFrame
    numbers: pd.DataFrame
    totals: tuple[int, ...]
    total_texts: tuple[str, ...]


def shown(counts: pd.DataFrame, sizes: Mapping[Any, int], disclosure: Disclosure) -> Shown:
    """Shows counts so that what they add up to leaves a hidden one several values.

    Where it might not, the least count of the column is hidden too, or if all are, the column.

    Args:
      counts: int64.
      sizes: What is counted in each column, and stands elsewhere in the card.
      disclosure: How counts are shown.
    """
    cells = counts.to_numpy(np.int64)
    numbers = np.array([disclosure.number(n) for n in cells.ravel().tolist()], np.int64)
    numbers = numbers.reshape(cells.shape)
    hides = np.zeros(cells.shape, bool)
    is_small = disclosure.is_small(cells)
    for column, name in enumerate(counts.columns):
        of_column = cells[:, column].tolist()
        if sum(of_column) == sizes.get(name) and disclosure.may_be_told(of_column):
            left = np.flatnonzero(~is_small[:, column])
            least = left[np.argmin(numbers[left, column])] if len(left) else slice(None)
            hides[least, column] = True
    numbers = np.where(hides, 0, numbers)
    totals = tuple(int(total) for total in numbers.sum(axis=1))
    return Shown(
        texts=counts.map(disclosure.text).where(~hides, HIDDEN),
        numbers=pd.DataFrame(numbers, counts.index, counts.columns),
        totals=totals,
        total_texts=tuple(sum_text(line, disclosure) for line in numbers.tolist()),
    )


def sum_text(numbers: Iterable[int], disclosure: Disclosure) -> str:
    """Returns the sum of counts as they are shown, as it is written."""
    total = sum(map(disclosure.number, numbers))
    return HIDDEN if disclosure.is_on and not total else f"{total:,}"


def images_text(dataset: Dataset, disclosure: Disclosure) -> str:
    """Returns the number of all images, as it is written."""
    return sum_text(dataset.sizes.values(), disclosure)


def groups_text(dataset: Dataset, disclosure: Disclosure) -> str:
    """Returns the number of all groups, as it is written."""
    if not disclosure.is_on:
        return f"{int(dataset.keys.nunique()):,}"
    if dataset.certificate["group_overlap"]:
        return HIDDEN
    splits = dataset.certificate["splits"]
    return sum_text((splits[name]["groups"] for name in dataset.sizes), disclosure)


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
    word = "expected" if is_compared(dataset) else "of"  # many columns are to be narrow
    has_total = len(counts.columns) > 1
    num_images = sum(map(disclosure.number, dataset.sizes.values()))
    as_shown = shown(counts, dataset.sizes, disclosure)
    rows = []
    for number, (category, line) in enumerate(
        zip(counts.index, counts.to_numpy().tolist(), strict=True)
    ):
        total = as_shown.totals[number]
        is_whole = not any(disclosure.is_small(np.array(line)))
        cells = [Cell(str(category))]
        if has_total:
            note = disclosure.percent_text(total, num_images)
            cells.append(Cell(as_shown.total_texts[number], note))
        for split, count, text in zip(
            counts.columns, line, as_shown.texts.iloc[number], strict=True
        ):
            due = requested.get(str(category), {}).get(split) if requested else None
            note = disclosure.percent_text(count, dataset.sizes[split]) if text != HIDDEN else ""
            if due is not None:
                due_text = f"{due:,.1f}"
                if disclosure.is_on:
                    due_text = f"about {round(due / max(1, sum(line)) * total):,}"
                note = f"{word} {due_text}" if is_whole else ""
            cells.append(Cell(text, note))
        rows.append(cells)
    head = [first, *(["all"] if has_total else []), *map(str, counts.columns)]
    return Table.of(caption, head, rows, is_folded=is_folded)


def bars_of(counts: pd.DataFrame, dataset: Dataset, disclosure: Disclosure, *, title: str) -> Bars:
    """Draws counts, and their share of each split where there are a few splits."""
    as_shown = shown(counts, dataset.sizes, disclosure)
    drawn = np.arange(len(counts))
    if len(counts) > MOST_DRAWN:
        by_size = np.argsort(-np.array(as_shown.totals), kind="stable")
        drawn = np.sort(by_size[:MOST_DRAWN])
        title = f"{title} (the {MOST_DRAWN} most frequent of {len(counts)})"
    shares = {}
    if len(dataset.sizes) > 1 and is_compared(dataset):
        shares = {
            split: tuple(
                100 * int(number) / max(1, disclosure.number(size))
                if number or not disclosure.is_on
                else math.nan
                for number in as_shown.numbers[split].to_numpy()[drawn]
            )
            for split, size in dataset.sizes.items()
        }
    return Bars(
        title=title,
        categories=tuple(map(str, counts.index[drawn])),
        counts=tuple(as_shown.totals[number] for number in drawn),
        texts=tuple(as_shown.total_texts[number] for number in drawn),
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
