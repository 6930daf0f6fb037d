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
      total_texts: The sums of lines, as they are written.
      totals: As they are drawn: of hidden ones, what is shown of their line.
    """

    texts: pd.DataFrame
    numbers: pd.DataFrame
    total_texts: tuple[str, ...]
    totals: tuple[int, ...]


def shown(counts: pd.DataFrame, sizes: Mapping[Any, int], disclosure: Disclosure) -> Shown:
    """Shows counts so that the sums of lines and columns leave a hidden one several values.

    Where they would not, the sum of the line is hidden too, or else the least count of the column.

    Args:
      counts: int64.
      sizes: What is counted in each column, and stands elsewhere in the card.
      disclosure: How counts are shown.
    """
    cells = counts.to_numpy(np.int64)
    sums, known = cells.sum(axis=1), [sizes.get(name, -1) for name in counts.columns]
    of_columns = np.where(cells.sum(axis=0) == known, known, -1)
    hides_cell, hides_sum = np.zeros(cells.shape, bool), np.zeros(len(cells), bool)
    is_small = disclosure.is_small(cells)
    for _ in range(cells.size if disclosure.is_on else 0):
        told = np.where(hides_cell, -1, cells), np.where(hides_sum, -1, sums), of_columns
        found = np.argwhere(disclosure.found_out(*told) & is_small)
        if not len(found):
            break
        line, column = found[0]
        if not hides_sum[line]:
            hides_sum[line] = True
            continue
        is_left = ~is_small[:, column] & ~hides_cell[:, column]
        if is_left.any():
            least = cells[is_left, column].min()
            hides_cell[:, column] |= is_left & (cells[:, column] == least)
        elif not hides_sum.all():
            hides_sum[:] = True
        elif not hides_cell[:, column].all():
            hides_cell[:, column] = True
        else:
            break
    numbers = np.array([[disclosure.number(count) for count in line] for line in cells.tolist()])
    numbers = np.where(hides_cell, 0, numbers.reshape(cells.shape))
    texts = counts.map(disclosure.text).where(~hides_cell, HIDDEN)
    pairs = [*zip(sums.tolist(), hides_sum.tolist(), strict=True)]
    return Shown(
        texts=texts,
        numbers=pd.DataFrame(numbers, counts.index, counts.columns),
        total_texts=tuple(HIDDEN if hides else disclosure.text(n) for n, hides in pairs),
        totals=tuple(
            int(numbers[k].sum()) if hides else disclosure.number(n)
            for k, (n, hides) in enumerate(pairs)
        ),
    )


def images_text(dataset: Dataset, disclosure: Disclosure) -> str:
    """Returns the number of all images, as it is written."""
    sizes = [*dataset.sizes.values()]
    return disclosure.total_text(sizes, sum(sizes))


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
    num_images = sum(dataset.sizes.values())
    if images_text(dataset, disclosure) == HIDDEN:
        num_images = 0
    as_shown = shown(counts, dataset.sizes, disclosure)
    rows = []
    for number, (category, line) in enumerate(
        zip(counts.index, counts.to_numpy().tolist(), strict=True)
    ):
        total, total_text = sum(line), as_shown.total_texts[number]
        is_total_shown = total_text != HIDDEN
        cells = [Cell(str(category))]
        if has_total:
            note = disclosure.percent_text(total, num_images) if is_total_shown else ""
            cells.append(Cell(total_text, note))
        for split, count, text in zip(
            counts.columns, line, as_shown.texts.iloc[number], strict=True
        ):
            due = requested.get(str(category), {}).get(split) if requested else None
            note = disclosure.percent_text(count, dataset.sizes[split]) if text != HIDDEN else ""
            if due is not None:
                due_text = expected_text(due, total, disclosure) if is_total_shown else ""
                note = f"{word} {due_text}" if due_text else ""
            cells.append(Cell(text, note))
        rows.append(cells)
    head = [first, *(["all"] if has_total else []), *map(str, counts.columns)]
    return Table.of(caption, head, rows, is_folded=is_folded)


def expected_text(due: float, total: int, disclosure: Disclosure) -> str:
    """Returns how many of some images are due to a split; of rounded counts where they are."""
    if not disclosure.is_on:
        return f"{due:,.1f}"
    known = disclosure.number(total)
    return f"about {round(due / total * known):,}" if known else ""


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
