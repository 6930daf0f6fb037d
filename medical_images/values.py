"""Cells to typed values, one feature at a time, with a reason code for each cell that has none.

Pure: columns of text in, columns of values and masks of problems out.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from medical_images.spec_feature_types import Feature
from medical_images.spec_features import (
    NEGATIVE,
    POSITIVE,
    UNCERTAIN,
    BoxesFeature,
    ClassFeature,
    DateFeature,
    FloatFeature,
    IdFeature,
    IntFeature,
    LabelsFeature,
    TextFeature,
    UncertainFeature,
)
from medical_images.spec_masks import MaskFeature
from medical_images.spec_parts import normal_form

BETWEEN_PATHS = "\0"  # of the files of one mask; no path can hold it
_WHOLE = r"[+-]?\d{1,18}(?:\.0*)?"
_AGE = re.compile(r"(?P<number>\d{1,3}(?:\.\d*)?|\d{1,3}(?P<unit>[YMWD]))(?P<plus>\+?)")
_PER_YEAR = {"M": 12.0, "W": 365.25 / 7, "D": 365.25}
_POINTS = str.maketrans(",.", ".,")  # no number holds a comma, so that a point is refused
_QUOTED = r"""'(?:[^'\\]|\\['"\\])*'|"(?:[^"\\]|\\['"\\])*\""""
_ITEM = rf"(?:{_QUOTED})\s*+"
_LIST = re.compile(rf"\[\s*+(?:{_ITEM}(?:,\s*+{_ITEM})*+(?:,\s*+)?)?\]")  # never goes back
_NO_GAP = re.compile("%[A-Za-z]%")  # of a date's format, where digits of two numbers touch


@dataclasses.dataclass(frozen=True)
class Fault:
    """Cells of one column that hold no usable value.

    Attributes:
      code: A key of `rejects.CODES`.
      column: The column they stand in.
      mask: Which rows, bool of shape (rows,).
    """

    code: str
    column: str
    mask: pd.Series[bool]


@dataclasses.dataclass(frozen=True)
class Parsed:
    """The values of one feature.

    Attributes:
      values: One for each row: class name (str; "" is to be masked), labels (tuple of str),
        float64, int64 (where all rows of an image may tell a number, object, with NaN for a missing
        one), text (of a date, ISO 8601), a box (tuple xmin, ymin, xmax, ymax in pixels
        and label, or None), the paths of a mask (str, `BETWEEN_PATHS` between them, "" for one that
        is not told), or its runs as they stand. Where a fault is, anything.
      faults: What could not be parsed.
    """

    values: pd.Series[Any]
    faults: tuple[Fault, ...] = ()


def parse_feature(name: str, feature: Feature, rows: pd.DataFrame) -> Parsed:
    """Parses the cells of one feature.

    Args:
      name: The feature's name.
      feature: Its type and rules.
      rows: Text columns; "" is missing.

    Example:
      >>> rows = pd.DataFrame({'sex': ['f', 'male', '?']})
      >>> feature = ClassFeature(type='class', values=['f', 'm'], rename={'male': 'm'})
      >>> parsed = parse_feature('sex', feature, rows)
      >>> parsed.values.tolist()[:2], parsed.faults[0].code, parsed.faults[0].mask.tolist()
      (['f', 'm'], 'label_unknown', [False, False, True])
    """
    if isinstance(feature, BoxesFeature):
        return _parse_boxes(feature, rows)
    if isinstance(feature, MaskFeature):
        return _parse_mask(feature, rows)
    if isinstance(feature, ClassFeature | LabelsFeature) and feature.columns_ is not None:
        return _parse_marks(feature, feature.columns_, rows)
    column = feature.columns(name)[0]
    cells = _with_missing(rows[column], feature)
    if isinstance(feature, FloatFeature | IntFeature) and feature.decimal == ",":
        cells = cells.str.translate(_POINTS)
    parsed = _PARSERS[type(feature)](cells, feature)
    faults = [Fault(code, column, mask) for code, mask in parsed[1].items()]
    return Parsed(parsed[0], _present(faults))


def _with_missing(cells: pd.Series[str], feature: Feature) -> pd.Series[str]:
    return cells.mask(cells.isin(feature.missing), "") if feature.missing else cells


_Result = tuple["pd.Series[Any]", Mapping[str, "pd.Series[bool]"]]


def _parse_class(cells: pd.Series[str], feature: ClassFeature) -> _Result:
    known = {cell: normal_form(cell) for cell in cells.unique()}
    if any(normal != cell for cell, normal in known.items()):  # of paths; tables are clean
        cells = cells.map(known)
    values = cells.replace(feature.rename) if feature.rename else cells
    missing = values == ""
    if feature.missing_as is not None:
        values, missing = values.mask(missing, feature.missing_as), missing & False
    unknown = ~values.isin(feature.values) & ~missing
    return values, {"label_missing": missing, "label_unknown": unknown}


def _parse_labels(cells: pd.Series[str], feature: LabelsFeature) -> _Result:
    order = {value: number for number, value in enumerate(feature.values)}
    separator = re.compile("|".join(map(re.escape, feature.separator)))
    known: dict[str, tuple[str, ...]] = {}
    for cell in cells.unique():
        parts = _listed(cell) if feature.format == "list" else separator.split(cell)
        if parts is None:
            continue
        names = {name.strip() for name in parts} - {""}
        names = {feature.rename.get(name, name) for name in names}
        if names <= order.keys():
            known[cell] = tuple(sorted(names, key=order.__getitem__))
    unknown = ~cells.isin(list(known))
    values = pd.Series([known.get(cell, ()) for cell in cells], index=cells.index, dtype="object")
    return values, {"label_unknown": unknown}


def _listed(cell: str) -> list[str] | None:
    """Reads a list of quoted texts in brackets; None is returned where it is none.

    Example:
      >>> _listed("['mass', 'air' ]"), _listed("['mass'")
      (['mass', 'air'], None)
    """
    if cell == "":
        return []
    if not _LIST.fullmatch(cell):
        return None
    return [re.sub(r"\\(.)", r"\1", quoted[1:-1]) for quoted in re.findall(_QUOTED, cell)]


def _parse_marks(
    feature: ClassFeature | LabelsFeature, columns: Mapping[str, str], rows: pd.DataFrame
) -> Parsed:
    """Tells of each row which columns have a positive mark."""
    number = {value: place for place, value in enumerate(feature.values)}
    has = np.zeros((len(rows), len(number)), dtype=bool)
    faults = []
    for column, value in columns.items():
        cells = _with_missing(rows[column], feature)
        positive = cells.isin(feature.positive)
        unknown = ~(positive | cells.isin(feature.negative))
        faults.append(Fault("label_missing", column, unknown & (cells == "")))
        faults.append(Fault("label_unknown", column, unknown & (cells != "")))
        has[:, number[value]] |= positive.to_numpy(dtype=bool)
    if isinstance(feature, LabelsFeature):
        found = [tuple(feature.values[place] for place in np.flatnonzero(row)) for row in has]
        values = pd.Series(found, index=rows.index, dtype="object")
        return Parsed(values, _present(faults))
    none = pd.Series(~has.any(axis=1), index=rows.index)
    several = pd.Series(has.sum(axis=1) > 1, index=rows.index)
    named = np.array(feature.values, dtype=object)[has.argmax(axis=1)]
    values = pd.Series(named, index=rows.index, dtype="str").mask(none, feature.missing_as or "")
    for fault in faults:
        none &= ~fault.mask
    everywhere = ", ".join(columns)
    faults.append(Fault("label_missing", everywhere, none & (feature.missing_as is None)))
    faults.append(Fault("label_conflict", everywhere, several))
    return Parsed(values, _present(faults))


def _parse_uncertain(cells: pd.Series[str], feature: UncertainFeature) -> _Result:
    states = dict.fromkeys(feature.positive, POSITIVE) | dict.fromkeys(feature.negative, NEGATIVE)
    uncertain = {"ones": POSITIVE, "zeros": NEGATIVE, "ignore": "", "class": UNCERTAIN}
    states |= dict.fromkeys(feature.uncertain, uncertain[feature.policy])
    states[""] = NEGATIVE if feature.blank == "zeros" else ""
    unknown = ~cells.isin(list(states))
    values = pd.Series([states.get(cell, "") for cell in cells], index=cells.index, dtype="str")
    missing = (cells == "") & (feature.blank == "reject")
    return values, {"label_missing": missing, "label_unknown": unknown}


def _parse_float(cells: pd.Series[str], feature: FloatFeature) -> _Result:
    missing = cells == ""
    if feature.format == "age":
        years = {cell: _years(cell, feature) for cell in cells.unique()}
        values = cells.map(years).astype("float64")
    else:
        values = pd.to_numeric(cells.mask(missing), errors="coerce").astype("float64")
    values = values + 0.0  # one zero: -0.0 would be another value with the same meaning
    invalid = values.isna() & ~missing
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite too
        infinite = pd.Series(np.isinf(values.to_numpy(np.float32)), index=cells.index)
    values = values.where(~infinite, pd.Series(np.copysign(np.inf, values), index=cells.index))
    if feature.infinite == "missing":
        values = values.mask(infinite)
    outside = _outside(values.mask(infinite), feature.min, feature.max)
    return values, {
        "value_invalid": invalid,
        "value_infinite": infinite & (feature.infinite == "reject"),
        "value_out_of_range": outside,
    }


def _years(cell: str, feature: FloatFeature | IntFeature) -> float:
    """Reads an age; NaN where the cell is none.

    Example:
      >>> feature = FloatFeature(type='float', format='age')
      >>> [_years(cell, feature) for cell in ('060Y', '018M', '45.0', '90+')]
      [60.0, 1.5, 45.0, nan]
    """
    found = _AGE.fullmatch(cell)
    if found is None or (found["plus"] and feature.plus == "reject"):
        return math.nan
    years = float(found["number"].rstrip("YMWD")) / _PER_YEAR.get(found["unit"], 1.0)
    is_part = isinstance(feature, IntFeature) and found["unit"] in _PER_YEAR
    return float(math.floor(years)) if is_part else years


def _parse_int(cells: pd.Series[str], feature: IntFeature) -> _Result:
    missing = cells == ""
    if feature.format == "age":
        years = {cell: str(_years(cell, feature)) for cell in cells.unique()}
        cells = cells.map(years).astype("str")
    invalid = ~cells.str.fullmatch(_WHOLE) & ~missing
    default = feature.missing_as or 0
    digits = cells.mask(missing | invalid, str(default)).str.replace(r"\.0*$", "", regex=True)
    values = digits.astype("int64")
    outside = _outside(values, feature.min, feature.max) & ~missing & ~invalid
    has_none = missing & (feature.missing_as is None)
    if feature.across_rows == "all":  # which leaves missing numbers out
        values, has_none = values.astype("object").mask(has_none, math.nan), missing & False
    return values, {
        "value_missing": has_none,
        "value_invalid": invalid,
        "value_out_of_range": outside,
    }


def _parse_text(cells: pd.Series[str], _: Feature) -> _Result:
    return cells, {}


def _parse_date(cells: pd.Series[str], feature: DateFeature) -> _Result:
    days = {cell: _iso_day(cell, feature.format) for cell in cells.unique()}
    values = pd.Series([days[cell] for cell in cells], index=cells.index, dtype="str")
    return values, {"value_invalid": (values == "") & (cells != "")}


def _iso_day(cell: str, pattern: str) -> str:
    """Reads a day; "" where the cell is none.

    Example:
      >>> _iso_day('3/7/2019', '%d/%m/%Y'), _iso_day('2019731', '%Y%m%d')
      ('2019-07-03', '')
    """
    try:
        found = datetime.datetime.strptime(cell, pattern)
    except ValueError:
        return ""
    # Where nothing stands between numbers, only all of their digits tell them apart.
    is_sure = not _NO_GAP.search(pattern) or found.strftime(pattern) == cell
    return found.date().isoformat() if is_sure else ""


def _parse_id(cells: pd.Series[str], _: IdFeature) -> _Result:
    return cells, {"id_missing": cells == ""}


_PARSERS: Mapping[type, Callable[[Any, Any], _Result]] = {
    ClassFeature: _parse_class,
    LabelsFeature: _parse_labels,
    UncertainFeature: _parse_uncertain,
    FloatFeature: _parse_float,
    IntFeature: _parse_int,
    IdFeature: _parse_id,
    TextFeature: _parse_text,
    DateFeature: _parse_date,
}


def _parse_mask(feature: MaskFeature, rows: pd.DataFrame) -> Parsed:
    """Fills in the paths of each mask, or takes its runs as they are."""
    if feature.runs is not None:
        return Parsed(rows[feature.runs.column])
    faults: list[Fault] = []
    paths: list[pd.Series[str]] = []
    for template in feature.templates:
        paths.append(template.row_keys(rows))
        faults.append(Fault("path_escape", template.columns[0], leads_out(paths[-1])))
    together = functools.reduce(lambda one, other: one + BETWEEN_PATHS + other, paths)
    return Parsed(together, _present(faults))


def leads_out(paths: pd.Series[str]) -> pd.Series[bool]:
    """Returns which paths begin at the root of the disk, or lead out of that of the corpus."""
    return paths.str.startswith("/") | paths.str.contains(r"(?:^|/)\.\.(?:/|$)")


def _present(faults: Sequence[Fault]) -> tuple[Fault, ...]:
    return tuple(fault for fault in faults if bool(fault.mask.any()))


def _outside(values: pd.Series[Any], least: float | None, largest: float | None) -> pd.Series[bool]:
    outside = pd.Series(False, index=values.index)
    if least is not None:
        outside |= values < least
    if largest is not None:
        outside |= values > largest
    return outside


def _parse_boxes(feature: BoxesFeature, rows: pd.DataFrame) -> Parsed:
    """Parses corners; whether a box lies in its image is checked where sizes are known."""
    cells = [_with_missing(rows[name], feature) for name in feature.columns_]
    none = pd.concat([cell == "" for cell in cells], axis=1).all(axis=1)
    numbers = [pd.to_numeric(cell.mask(cell == ""), errors="coerce") for cell in cells]
    faults = []
    for name, number in zip(feature.columns_, numbers, strict=True):
        bad = ~pd.Series(np.isfinite(number.to_numpy("float64")), index=rows.index) & ~none
        faults.append(Fault("value_invalid", name, bad))
    x1, y1, x2, y2 = (number.to_numpy("float64") for number in numbers)
    if feature.format == "xywh":
        x2, y2 = x1 + x2, y1 + y2
    degenerate = pd.Series(~((x2 > x1) & (y2 > y1)), index=rows.index) & ~none
    for fault in faults:
        degenerate &= ~fault.mask
    faults.append(Fault("box_degenerate", feature.columns_[0], degenerate))
    labels: pd.Series[Any] = pd.Series("", index=rows.index, dtype="object")
    if feature.label is not None:
        vocabulary = ClassFeature(type="class", values=feature.values, rename=feature.rename)
        labels, masks = _parse_class(_with_missing(rows[feature.label], feature), vocabulary)
        faults += [Fault(code, feature.label, mask & ~none) for code, mask in masks.items()]
    boxes = [
        None if empty else box for empty, *box in zip(none, x1, y1, x2, y2, labels, strict=True)
    ]
    values = pd.Series([box and tuple(box) for box in boxes], index=rows.index, dtype="object")
    return Parsed(values, _present(faults))
