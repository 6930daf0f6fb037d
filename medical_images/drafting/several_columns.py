"""Features that several columns make: boxes, marks beside each other; and runs of pixels."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from medical_images.drafting.column_types import NO, YES, ColumnFacts, feature_name
from medical_images.drafting.features_found import Features, counts_of
from medical_images.drafting.joining import LABEL, spaced

_RUNS = re.compile(r"(?i)encoded_?pixels|(?:^|_)rle(?:$|_)")
_BOXES = (
    (
        "xyxy",
        ("x_?min|x1|left|xtl", "y_?min|y1|top|ytl", "x_?max|x2|right|xbr", "y_?max|y2|bottom"),
    ),
    ("xywh", ("x|x_?min|left", "y|y_?min|top", "w|width", "h|height")),
)


def find_runs(facts: Mapping[str, ColumnFacts], frame: pd.DataFrame, found: Features) -> set[str]:
    """Makes masks of columns that hold runs of pixels, such as `EncodedPixels`."""
    done = set()
    for column in facts:
        cells = frame[column][frame[column] != ""]
        is_run = cells.str.fullmatch(r"\d+ \d+(?: \d+ \d+)*")
        if cells.empty or not (is_run.mean() > 0.9 or (_RUNS.search(column) and is_run.any())):
            continue
        name = feature_name("mask", tuple(found.data))
        keys: dict[str, Any] = {"column": column}
        if none := sorted(set(cells[~is_run])):
            keys["none"] = none
        starts = cells[is_run].str.split().map(lambda numbers: [int(n) for n in numbers[::2]])
        if any(own != sorted(own) for own in starts):
            keys["relative"] = True
        found.data[name] = {"type": "mask", "runs": keys, "absent": "empty"}
        what = "runs of pixels: whether they are counted along columns or rows, from 0 or 1"
        found.reasons[name] = [f"? {what}; see `runs:` in docs/spec.md"]
        found.options[name] = ("order: rows", "start: 0", "relative: true")
        done.add(column)
    return done


def find_box_columns(facts: Mapping[str, ColumnFacts]) -> tuple[str, list[str]] | None:
    """Returns the format of boxes and their four columns, by names."""
    numbers = {
        name: fact
        for name, fact in facts.items()
        if fact.kind in ("int", "float", "class", "marks") and "decimal" not in fact.keys
    }
    for kind, patterns in _BOXES:
        columns = []
        for pattern in patterns:
            full = re.compile(rf"(?:b?box_?)?(?:{pattern})", re.IGNORECASE)
            name = next((n for n in numbers if full.fullmatch(n.strip(" []"))), None)
            if name is None:
                break
            columns.append(name)
        if len(set(columns)) == 4:
            return kind, columns
    return None


def find_boxes(
    facts: Mapping[str, ColumnFacts], frame: pd.DataFrame, varies: Collection[str], found: Features
) -> set[str]:
    """Makes boxes of four columns, and returns the columns that need no other feature."""
    boxes = find_box_columns(facts)
    if boxes is None:
        return set()
    kind, columns = boxes
    name = feature_name("boxes", tuple(found.data))
    keys: dict[str, Any] = {"type": "boxes", "columns": columns}
    if kind == "xywh":
        keys["format"] = kind
    done = set(columns)
    classes = [n for n, f in facts.items() if f.kind == "class" and n in varies and n not in done]
    label = next((n for n in classes if LABEL.search(spaced(n)) or "type" in n.lower()), None)
    has_box = (frame[columns] != "").all(axis=1)
    if label is not None:
        keys |= {"label": label, "values": sorted(set(frame.loc[has_box, label]) - {""})}
        if "" in set(frame.loc[has_box, label]):
            del keys["label"], keys["values"]
    keys |= {"degenerate": "drop", "outside": "clip"}
    found.data[name] = keys
    found.reasons[name] = [
        f"one row a box: {int(has_box.sum()):,} boxes",
        "? boxes without width or height are dropped, those that leave the image cut; or `reject`",
    ]
    found.options[name] = ("reject",)
    if "label" in keys and has_box.all():
        done.add(keys["label"])
    return done


def find_marks(
    facts: Mapping[str, ColumnFacts], frame: pd.DataFrame, found: Features, varies: Collection[str]
) -> set[str]:
    """Makes features of three columns of marks or more that stand beside each other."""
    runs: list[list[str]] = [[]]
    for name, fact in facts.items():
        if fact.kind in ("marks", "states"):
            runs[-1].append(name)
        elif fact.kind != "blank":  # a blank column may stand among marks
            runs.append([])
    done: set[str] = set()
    for run in runs:
        if len(run) < 3 or (any(name in varies for name in run) and len(run) < 5):
            continue
        done |= set(run)
        if any(facts[name].kind == "states" for name in run):
            _states(run, facts, found, varies)
        else:
            _one_or_many(run, frame, found, varies)
    return done


def _states(
    run: Sequence[str], facts: Mapping[str, ColumnFacts], found: Features, varies: Collection[str]
) -> None:
    for column in run:
        name = feature_name(column, tuple(found.data))
        keys: dict[str, Any] = {} if column == name else {"column": column}
        is_unsure = {"-1", "-1.0"} & set(facts[column].values)
        keys |= {"type": "uncertain", "policy": "ignore" if is_unsure else "zeros"}
        if column in varies:
            keys |= {"across_rows": "all"}
        found.data[name] = keys
        fact = facts[column]
        found.reasons[name] = [counts_of(dataclasses.replace(fact, values=dict(fact.values)))]
        if column not in varies:
            found.labels.append(name)
    first = feature_name(run[0])
    what = (
        "? what an uncertain cell (-1) is: `ignore` (masked in the loss), `ones`, `zeros`, `class`"
    )
    found.reasons.setdefault(first, []).append(what)
    found.options[first] = ("ones", "zeros", "class")


def _one_or_many(
    run: Sequence[str], frame: pd.DataFrame, found: Features, varies: Collection[str]
) -> None:
    """Makes one feature of marks: a class where each row has one, and labels elsewhere."""
    marked = frame[list(run)].apply(lambda cells: cells.str.lower().isin(YES))
    count = marked.sum(axis=1)
    is_one = bool((count == 1).all()) and not any(name in varies for name in run)
    name = feature_name("label" if is_one else "findings", tuple(found.data))
    keys: dict[str, Any] = {"type": "class" if is_one else "labels", "columns": list(run)}
    cells = {cell for column in run for cell in frame[column].unique()}
    has_blank = "" in cells
    if has_blank or any(cell.lower() in ("y", "n") for cell in cells):
        keys["positive"] = sorted(cell for cell in cells if cell.lower() in YES)
        keys["negative"] = sorted(cell for cell in cells if cell.lower() in NO or cell == "")
    if any(column in varies for column in run):
        keys["across_rows"] = "union"
    if is_one:
        used = [column for column in run if bool(marked[column].any())]
        if len(used) < len(run):
            unused = sorted(set(run) - set(used))
            keys["columns"] = used
            found.left_out += [f"{feature_name(n)}: no row has a mark here" for n in unused]
    counts = ", ".join(f"{column} {int(marked[column].sum()):,}" for column in run)
    found.data[name] = keys
    found.reasons[name] = [f"rows: {counts}"]
    if has_blank:
        found.reasons[name].append("? a blank mark is taken as no")
    found.labels.append(name)
