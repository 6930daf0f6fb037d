"""Cells to typed values, one feature at a time, with a reason code for each cell that has none.

Pure: columns of text in, columns of values and masks of problems out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from medical_images.spec_parts import (
    BoxesFeature,
    ClassFeature,
    Feature,
    FloatFeature,
    IdFeature,
    IntFeature,
    LabelsFeature,
    TextFeature,
)

_WHOLE = r"[+-]?\d{1,18}(?:\.0*)?"


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
      values: One for each row: class name (str), labels (tuple of str), float64, int64, text, or a
        box (tuple xmin, ymin, xmax, ymax in pixels and label, or None). Where a fault is, anything.
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
    column = feature.columns(name)[0]
    cells = _with_missing(rows[column], feature)
    parsed = _PARSERS[type(feature)](cells, feature)
    faults = tuple(
        Fault(code, column, mask) for code, mask in parsed[1].items() if bool(mask.any())
    )
    return Parsed(parsed[0], faults)


def _with_missing(cells: pd.Series[str], feature: Feature) -> pd.Series[str]:
    return cells.mask(cells.isin(feature.missing), "") if feature.missing else cells


_Result = tuple["pd.Series[Any]", Mapping[str, "pd.Series[bool]"]]


def _parse_class(cells: pd.Series[str], feature: ClassFeature) -> _Result:
    values = cells.replace(feature.rename) if feature.rename else cells
    missing = values == ""
    if feature.missing_as is not None:
        values, missing = values.mask(missing, feature.missing_as), missing & False
    unknown = ~values.isin(feature.values) & ~missing
    return values, {"label_missing": missing, "label_unknown": unknown}


def _parse_labels(cells: pd.Series[str], feature: LabelsFeature) -> _Result:
    order = {value: number for number, value in enumerate(feature.values)}
    known: dict[str, tuple[str, ...]] = {}
    for cell in cells.unique():
        names = {name.strip() for name in cell.split(feature.separator)} - {""}
        names = {feature.rename.get(name, name) for name in names}
        if names <= order.keys():
            known[cell] = tuple(sorted(names, key=order.__getitem__))
    unknown = ~cells.isin(list(known))
    values = pd.Series([known.get(cell, ()) for cell in cells], index=cells.index, dtype="object")
    return values, {"label_unknown": unknown}


def _parse_float(cells: pd.Series[str], feature: FloatFeature) -> _Result:
    missing = cells == ""
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


def _parse_int(cells: pd.Series[str], feature: IntFeature) -> _Result:
    missing = cells == ""
    invalid = ~cells.str.fullmatch(_WHOLE) & ~missing
    default = feature.missing_as or 0
    digits = cells.mask(missing | invalid, str(default)).str.replace(r"\.0*$", "", regex=True)
    values = digits.astype("int64")
    outside = _outside(values, feature.min, feature.max) & ~missing & ~invalid
    return values, {
        "value_missing": missing & (feature.missing_as is None),
        "value_invalid": invalid,
        "value_out_of_range": outside,
    }


def _parse_text(cells: pd.Series[str], _: Feature) -> _Result:
    return cells, {}


def _parse_id(cells: pd.Series[str], _: IdFeature) -> _Result:
    return cells, {"id_missing": cells == ""}


_PARSERS: Mapping[type, Callable[[Any, Any], _Result]] = {
    ClassFeature: _parse_class,
    LabelsFeature: _parse_labels,
    FloatFeature: _parse_float,
    IntFeature: _parse_int,
    IdFeature: _parse_id,
    TextFeature: _parse_text,
}


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
    return Parsed(values, tuple(fault for fault in faults if bool(fault.mask.any())))
