"""Cells to values: each type of feature, and the code of each cell that has no value."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pydantic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import MANY

from medical_images.spec import CorpusSpec, Feature
from medical_images.values import Parsed, parse_feature


def _feature(**keys: Any) -> Feature:
    return pydantic.TypeAdapter(Feature).validate_python(keys)


def _parse(feature: Feature, cells: list[str]) -> Parsed:
    return parse_feature("x", feature, pd.DataFrame({"x": cells}, dtype="str"))


def _codes(parsed: Parsed) -> list[list[str]]:
    return [
        [fault.code for fault in parsed.faults if fault.mask.iloc[row]]
        for row in range(len(parsed.values))
    ]


class Code(str):
    """What a bad cell must give."""


MISSING, UNKNOWN = Code("label_missing"), Code("label_unknown")
INVALID, NO_VALUE = Code("value_invalid"), Code("value_missing")
RANGE, INFINITE = Code("value_out_of_range"), Code("value_infinite")
NAN = math.nan

SEX = {"type": "class", "values": ["f", "m"]}
FINDINGS = {"type": "labels", "values": ["edema", "mass", "air"]}
STATE = {"type": "uncertain"}

# Each case: the feature, and for each cell its value or the code of its fault.
CELLS = {
    "class": (SEX, {"f": "f", "m": "m", "": MISSING, "F": UNKNOWN, "f m": UNKNOWN}),
    "class called NA": ({"type": "class", "values": ["NA", "no"]}, {"NA": "NA", "no": "no"}),
    "class of numbers is not arithmetic": (
        {"type": "class", "values": ["0", "1"]},
        {"1": "1", "1.0": UNKNOWN, "01": UNKNOWN, "-1": UNKNOWN},
    ),
    "class renamed": (
        {**SEX, "rename": {"female": "f", "1.0": "m"}},
        {"female": "f", "1.0": "m", "f": "f", "1": UNKNOWN},
    ),
    "classes that change places": (
        {**SEX, "rename": {"f": "m", "m": "f"}},
        {"f": "m", "m": "f"},
    ),
    "class renamed from a decomposed word": (
        {**SEX, "rename": {"fe\u0301minin": "f"}},
        {"féminin": "f"},
    ),
    "class with decomposed values": (
        {"type": "class", "values": ["ne\u0301vus"], "rename": {"n": "ne\u0301vus"}},
        {"névus": "névus", "n": "névus"},
    ),
    "class with a value for missing": ({**SEX, "missing_as": "m"}, {"": "m", "?": UNKNOWN}),
    "class with missing tokens": ({**SEX, "missing": ["?", "-"]}, {"?": MISSING, "-": MISSING}),
    "class with missing tokens and a value for them": (
        {**SEX, "missing": ["?"], "missing_as": "f"},
        {"?": "f", "m": "m"},
    ),
    "labels": (
        FINDINGS,
        {
            "mass": ("mass",),
            "mass|edema": ("edema", "mass"),
            " air | edema ": ("edema", "air"),
            "mass|mass": ("mass",),
            "mass|": ("mass",),
            "": (),
            "mass|cyst": UNKNOWN,
            "Mass": UNKNOWN,
            "mass,air": UNKNOWN,
        },
    ),
    "labels renamed": (
        {**FINDINGS, "rename": {"tumour": "mass", "No Finding": "air"}},
        {"tumour|edema": ("edema", "mass"), "No Finding": ("air",), "tumour|mass": ("mass",)},
    ),
    "labels with a comma": ({**FINDINGS, "separator": ","}, {"mass, air": ("mass", "air")}),
    "labels with a long separator": (
        {**FINDINGS, "separator": "::"},
        {"mass::air": ("mass", "air"), "mass:air": UNKNOWN},
    ),
    "labels with a space": (
        {**FINDINGS, "separator": " "},
        {"mass air": ("mass", "air"), "edema": ("edema",)},
    ),
    "labels with missing tokens": ({**FINDINGS, "missing": ["NA"]}, {"NA": (), "NA|air": UNKNOWN}),
    "float": (
        {"type": "float"},
        {
            "1": 1.0,
            "-0.5": -0.5,
            ".5": 0.5,
            "5.": 5.0,
            "+1e3": 1000.0,
            "0.1": 0.1,
            "007": 7.0,
            "": NAN,
            "nan": INVALID,
            "NaN": INVALID,
            "1,5": INVALID,
            "1_000": INVALID,
            "0x10": INVALID,
            "6 years": INVALID,
            "True": INVALID,
            "inf": INFINITE,
            "-Infinity": INFINITE,
        },
    ),
    "float with missing tokens": (
        {"type": "float", "missing": ["NA", "-1"]},
        {"NA": NAN, "-1": NAN},
    ),
    "float in a range": (
        {"type": "float", "min": 0, "max": 120},
        {"0": 0.0, "120": 120.0, "-0.001": RANGE, "120.5": RANGE, "": NAN, "inf": INFINITE},
    ),
    "float that keeps infinity": (
        {"type": "float", "infinite": "keep"},
        {"inf": math.inf, "-inf": -math.inf, "": NAN},
    ),
    "float whose infinity is missing": ({"type": "float", "infinite": "missing"}, {"inf": NAN}),
    "int": (
        {"type": "int"},
        {
            "1": 1,
            "-3": -3,
            "+4": 4,
            "007": 7,
            "5.0": 5,
            "6.": 6,
            "999999999999999999": 10**18 - 1,
            "": NO_VALUE,
            "1.7": INVALID,
            "1e3": INVALID,
            "x": INVALID,
            "1 2": INVALID,
            "99999999999999999999": INVALID,
            "inf": INVALID,
        },
    ),
    "int with a value for missing": ({"type": "int", "missing_as": -1}, {"": -1, "3": 3}),
    "int with missing tokens": ({"type": "int", "missing": ["?"]}, {"?": NO_VALUE}),
    "int in a range": (
        {"type": "int", "min": 1, "max": 5},
        {"1": 1, "5": 5, "0": RANGE, "6": RANGE},
    ),
    "int in a range beyond floats": (
        {"type": "int", "max": 2**53},
        {str(2**53): 2**53, str(2**53 + 1): RANGE, "": NO_VALUE},
    ),
    "missing int is in no range": ({"type": "int", "min": 1, "missing_as": 0}, {"": 0}),
    "labels in a list": (
        {**FINDINGS, "format": "list", "rename": {"Crohn's": "air"}},
        {
            "['mass']": ("mass",),
            "['mass', 'edema']": ("edema", "mass"),
            '[ " air " ,\'\', "mass", ]': ("mass", "air"),
            "[\"Crohn's\"]": ("air",),
            "['Crohn\\'s']": ("air",),
            "[]": (),
            "[ ]": (),
            "": (),
            "['cyst']": UNKNOWN,
            "['mass'": UNKNOWN,
            "mass": UNKNOWN,
            "['mass' 'air']": UNKNOWN,
            "[mass]": UNKNOWN,
            "['mass'" + " " * 99_999: UNKNOWN,
            "['mass'] + ['air']": UNKNOWN,
            "[" * 99_999: UNKNOWN,
            "['" + "\\" * 99_999: UNKNOWN,
        },
    ),
    "labels with several separators": (
        {**FINDINGS, "separator": ["\uff0c", ", ", "|"]},
        {"mass\uff0cair": ("mass", "air"), "mass, air|edema": ("edema", "mass", "air"),
         "mass,air": UNKNOWN},
    ),
    "labels of a hierarchy": (
        {"type": "labels", "values": ["Pneumonia", "Viral", "COVID-19"], "separator": "/"},
        {"Pneumonia/Viral/COVID-19": ("Pneumonia", "Viral", "COVID-19"), "Pneumonia":
         ("Pneumonia",), "Pneumonia/Fungal": UNKNOWN},
    ),
    "uncertain as positive": (
        {**STATE, "policy": "ones"},
        {"1": "positive", "1.0": "positive", "0": "negative", "0.0": "negative", "-1": "positive",
         "-1.0": "positive", "": "negative", "1.7": UNKNOWN, "2": UNKNOWN, "-0.0": UNKNOWN,
         "true": UNKNOWN, "u": UNKNOWN},
    ),
    "uncertain as negative": (
        {**STATE, "policy": "zeros"},
        {"1": "positive", "0": "negative", "-1": "negative", "": "negative"},
    ),
    "uncertain as a class": (
        {**STATE, "policy": "class", "blank": "ignore"},
        {"1": "positive", "0": "negative", "-1.0": "uncertain", "": ""},
    ),
    "uncertain is masked": (
        {**STATE, "policy": "ignore", "blank": "reject"},
        {"1": "positive", "0": "negative", "-1": "", "": MISSING},
    ),
    "uncertain in words": (
        {**STATE, "policy": "class", "positive": ["yes"], "negative": ["no"],
         "uncertain": ["UNK", "?"], "missing": ["NA"]},
        {"yes": "positive", "no": "negative", "UNK": "uncertain", "?": "uncertain",
         "NA": "negative", "1": UNKNOWN},
    ),
    "age": (
        {"type": "float", "format": "age", "max": 120},
        {"060Y": 60.0, "018M": 1.5, "013M": 13 / 12, "026W": 26 / (365.25 / 7), "001D": 1 / 365.25,
         "45": 45.0, "45.0": 45.0, "7.5": 7.5, "0": 0.0, "": NAN, "411Y": RANGE, "50+": INVALID,
         "-1": INVALID, "+5": INVALID, "45y": INVALID, "Y": INVALID, "1985": INVALID,
         "4.5Y": INVALID, "inf": INVALID, "nan": INVALID, "1e2": INVALID, "45 Y": INVALID},
    ),
    "age that is open": (
        {"type": "float", "format": "age", "plus": "keep", "missing": ["?"]},
        {"50+": 50.0, "067Y+": 67.0, "45": 45.0, "+": INVALID, "50++": INVALID, "?": NAN},
    ),
    "age in completed years": (
        {"type": "int", "format": "age", "plus": "keep", "missing_as": -1},
        {"060Y": 60, "011M": 0, "012M": 1, "023M": 1, "024M": 2, "052W": 0, "053W": 1, "45": 45,
         "45.0": 45, "45.5": INVALID, "90+": 90, "": -1, "-1": INVALID, "x": INVALID},
    ),
    "date": (
        {"type": "date"},
        {"2019-07-30": "2019-07-30", "2020-02-29": "2020-02-29", "2019-02-29": INVALID,
         "30.07.2019": INVALID, "2019-07-30 12:00": INVALID, "": "", "2019": INVALID},
    ),
    "date without gaps": (
        {"type": "date", "format": "%Y%m%d", "missing": ["0"]},
        {"20190730": "2019-07-30", "2019730": INVALID, "201911": INVALID, "0": ""},
    ),
    "date with a time": (
        {"type": "date", "format": "%d/%m/%Y %H:%M"},
        {"30/07/2019 23:59": "2019-07-30", "3/7/2019 0:00": "2019-07-03", "30/07/2019": INVALID},
    ),
    "text": ({"type": "text"}, {"a b": "a b", "": "", "NA": "NA", "1.0": "1.0"}),
    "text with missing tokens": ({"type": "text", "missing": ["NA"]}, {"NA": "", "x": "x"}),
    "id": ({"type": "id"}, {"007": "007", "7": "7", "": Code("id_missing")}),
    "id with missing tokens": ({"type": "id", "missing": ["0"]}, {"0": Code("id_missing")}),
}  # fmt: skip


@pytest.mark.parametrize("name", CELLS)
def test_cell_gives_value_or_code(name):
    keys, cells = CELLS[name]
    parsed = _parse(_feature(**keys), list(cells))
    for (cell, expected), value, codes in zip(
        cells.items(), parsed.values, _codes(parsed), strict=True
    ):
        if isinstance(expected, Code):
            assert codes == [expected], cell
        else:
            assert codes == [], cell
            same = value == expected or (expected is NAN and math.isnan(value))
            assert same, (cell, value)


@pytest.mark.parametrize("name", CELLS)
def test_no_rows_give_no_values(name):
    parsed = _parse(_feature(**CELLS[name][0]), [])
    assert len(parsed.values) == 0
    assert parsed.faults == ()


@pytest.mark.parametrize(
    ("kind", "dtype"), [("float", np.float64), ("int", np.int64)], ids=["float", "int"]
)
@pytest.mark.parametrize("cells", [[], ["", ""], ["1"], ["x", "1"]], ids=len)
def test_numbers_have_their_dtype_whatever_the_cells(kind, dtype, cells):
    assert _parse(_feature(type=kind), cells).values.dtype == dtype


def test_column_at_fault_is_named():
    feature = _feature(type="float", column="Patient Age")
    rows = pd.DataFrame({"Patient Age": ["1", "x"]}, index=[7, 3], dtype="str")
    (fault,) = parse_feature("age", feature, rows).faults
    assert fault.column == "Patient Age"
    assert fault.mask.to_dict() == {7: False, 3: True}


@MANY
@given(st.lists(st.floats(-3.4e38, 3.4e38, allow_nan=False), min_size=1))
@example([5e-324, 2.2250738585072014e-308, 0.1, 1e23, -0.0])
def test_floats_are_read_exactly(numbers):
    parsed = _parse(_feature(type="float"), [repr(number) for number in numbers])
    assert parsed.values.tolist() == numbers
    assert not np.signbit(parsed.values[parsed.values == 0]).any()  # zero is one value
    assert parsed.faults == ()


@MANY
@given(st.lists(st.decimals(-(10**6), 10**6, places=3), min_size=1))
def test_decimal_commas_are_read_as_points_are(numbers):
    cells = [str(number) for number in numbers]
    with_commas = [cell.replace(".", ",") for cell in cells]
    parsed = _parse(_feature(type="float", decimal=","), with_commas)
    assert parsed.values.tolist() == _parse(_feature(type="float"), cells).values.tolist()
    assert parsed.faults == ()


@pytest.mark.parametrize(
    ("keys", "cells", "values", "faults"),
    [
        ({"type": "float"}, ["1.5", "1.234,5", "1,5", "", "7"], [1.5, 7], [0, 1]),
        ({"type": "int"}, ["12,0", "12.0", "1,234", "7"], [12, 7], [1, 2]),
        ({"type": "float", "format": "age"}, ["45,5", "45.5", "060Y"], [45.5, 60], [1]),
    ],
    ids=["float", "int", "age"],
)
def test_where_commas_mark_decimals_points_are_errors(keys, cells, values, faults):
    parsed = _parse(_feature(decimal=",", **keys), cells)
    (fault,) = (fault for fault in parsed.faults if fault.code == "value_invalid")
    assert np.flatnonzero(fault.mask).tolist() == faults
    assert parsed.values[~fault.mask & (pd.Series(cells) != "")].tolist() == values


def test_floats_that_float32_cannot_hold_are_infinite():
    parsed = _parse(_feature(type="float"), ["1e39", "-1e300", "3.4e38"])
    assert parsed.values.tolist() == [float("inf"), float("-inf"), 3.4e38]
    assert [(f.code, f.mask.tolist()) for f in parsed.faults] == [
        ("value_infinite", [True, True, False])
    ]


@MANY
@given(
    st.lists(st.integers(-(10**18) + 1, 10**18 - 1), min_size=1),
    st.sampled_from(["", ".", ".0", ".00"]),
)
def test_ints_are_read_exactly(numbers, tail):
    parsed = _parse(_feature(type="int"), [f"{number}{tail}" for number in numbers])
    assert parsed.values.tolist() == numbers
    assert parsed.faults == ()


_WORDS = ["a", "b b", "c", "é"]


@MANY
@given(st.lists(st.sampled_from(_WORDS)), st.randoms())
def test_labels_do_not_depend_on_their_order(words, random):
    feature = _feature(type="labels", values=_WORDS)
    shuffled = random.sample(words, len(words))
    parsed = _parse(feature, ["|".join(words), " | ".join(shuffled)])
    expected = tuple(word for word in _WORDS if word in words)
    assert parsed.values.tolist() == [expected, expected]
    assert parsed.faults == ()


@MANY
@given(st.lists(st.text(max_size=5)))
def test_every_cell_has_a_value_or_a_code(cells):
    ages = [{"type": kind, "format": "age", "plus": "keep"} for kind in ("float", "int")]
    more = [{**FINDINGS, "format": "list"}, {**STATE, "policy": "class"}, {"type": "date"}, *ages]
    for keys in (SEX, FINDINGS, {"type": "float"}, {"type": "int"}, {"type": "id"}, *more):
        parsed = _parse(_feature(**keys), cells)
        for value, codes in zip(parsed.values, _codes(parsed), strict=True):
            assert len(codes) <= 1
            if keys is SEX:
                assert codes or value in SEX["values"]
            elif keys is FINDINGS:
                assert codes or set(value) <= set(FINDINGS["values"])


# --- marks in several columns ---------------------------------------------------------------------

ONE_HOT = {"type": "class", "columns": {"a": "mel", "b": "nv", "c": "bcc"}}
MULTI_HOT = {"type": "labels", "columns": ["a", "b", "c"]}
CONFLICT = Code("label_conflict")
# Each case: the feature, the marks, and the value or the codes with their columns.
MARKS = {
    "one class": (ONE_HOT, ["0.0", "1.0", "0"], "nv"),
    "one class by name": ({**ONE_HOT, "columns": ["a", "b", "c"]}, ["1", "0", "0"], "a"),
    "no class": (ONE_HOT, ["0", "0", "0"], [("label_missing", "a, b, c")]),
    "no class, which is one": (
        {**ONE_HOT, "values": ["nv", "bcc", "mel", "other"], "missing_as": "other"},
        ["0", "0", "0"], "other"),
    "two classes": (ONE_HOT, ["1", "0", "1"], [("label_conflict", "a, b, c")]),
    "two columns of one class": (
        {**ONE_HOT, "columns": {"a": "mel", "b": "mel", "c": "nv"}}, ["1", "1", "0"], "mel"),
    "a blank mark": (ONE_HOT, ["1", "", "0"], [("label_missing", "b")]),
    "a blank mark, and no class": (ONE_HOT, ["0", "", "0"], [("label_missing", "b")]),
    "an unknown mark": (ONE_HOT, ["1", "2", "0"], [("label_unknown", "b")]),
    "blank marks mean no": ({**ONE_HOT, "negative": [""]}, ["1", "", ""], "mel"),
    "no label": (MULTI_HOT, ["0", "0", "0"], ()),
    "labels": (MULTI_HOT, ["1", "0", "1.0"], ("a", "c")),
    "labels in words": (MULTI_HOT, ["TRUE", "False", "yes"], ("a", "c")),
    "labels in the order of the classes": (
        {**MULTI_HOT, "values": ["c", "d", "b", "a"]}, ["1", "0", "1"], ("c", "a")),
    "labels by declared marks": (
        {**MULTI_HOT, "positive": ["YES"], "negative": ["NO", ""], "missing": ["?"]},
        ["YES", "", "?"], ("a",)),
    "a mark that was not declared": (
        {**MULTI_HOT, "positive": ["YES"], "negative": ["NO"]}, ["YES", "NO", "1"],
        [("label_unknown", "c")]),
    "an uncertain mark": (MULTI_HOT, ["-1", "0", ""],
                          [("label_unknown", "a"), ("label_missing", "c")]),
}  # fmt: skip


@pytest.mark.parametrize("name", MARKS)
def test_marks_are_read(name):
    keys, cells, expected = MARKS[name]
    rows = pd.DataFrame([["0"] * 3, cells], columns=["a", "b", "c"], index=[5, 9], dtype="str")
    feature = _feature(**keys)
    parsed = parse_feature("x", feature, rows)
    faults = [(fault.code, fault.column) for fault in parsed.faults if fault.mask[9]]
    if isinstance(expected, list):
        assert faults == expected
    else:
        assert faults == []
        assert parsed.values[9] == expected
    empty = parse_feature("x", feature, rows.iloc[:0])
    assert (len(empty.values), empty.faults) == (0, ())
    assert empty.values.dtype == parsed.values.dtype


@MANY
@given(st.lists(st.tuples(*[st.sampled_from(["1", "0", "", "x"])] * 3), max_size=9))
def test_one_column_of_marks_tells_what_a_cell_of_names_does(marks):
    rows = pd.DataFrame(marks, columns=list("abc"), dtype="str")
    named = ["|".join(n for n, m in zip("abc", row, strict=True) if m == "1") for row in marks]
    by_marks = parse_feature("x", _feature(**MULTI_HOT), rows)
    by_names = _parse(_feature(type="labels", values=list("abc")), named)
    assert by_marks.values.tolist() == by_names.values.tolist()
    is_bad = [bool({"", "x"} & set(row)) for row in marks]
    assert [bool(codes) for codes in _codes(by_marks)] == is_bad


# --- masks ---------------------------------------------------------------------------------------


def test_paths_and_runs_of_masks_are_read():
    rows = pd.DataFrame(
        {"id": ["1", "../../2", "", "/3"], "runs": ["1 2", "-1", "", "?"]}, dtype="str"
    )
    files = parse_feature("m", _feature(type="mask", path="{id}_m.png"), rows)
    assert files.values.tolist()[::2] == ["1_m.png", ""]
    (fault,) = files.faults
    assert (fault.code, fault.column, fault.mask.tolist()) == (
        "path_escape", "id", [False, True, False, True],
    )  # fmt: skip
    several = _feature(type="mask", path=["{id}_m.png", "b/{runs}.png"])
    both = parse_feature("m", several, rows)
    assert both.values.tolist()[::2] == ["1_m.png\0b/1 2.png", "\0"]
    assert [fault.mask.tolist() for fault in both.faults] == [fault.mask.tolist()]
    runs = _feature(type="mask", runs={"column": "runs", "none": ["-1"]}, missing=["?"])
    parsed = parse_feature("m", runs, rows)
    assert (parsed.values.tolist(), parsed.faults) == (["1 2", "-1", "", "?"], ())


# --- boxes ---------------------------------------------------------------------------------------

BOX = {"type": "boxes", "columns": ["a", "b", "c", "d"]}
CELL = {**BOX, "label": "cell", "values": ["rbc", "wbc"], "rename": {"red": "rbc"}}
DEGENERATE = "box_degenerate"

# Each case: the feature, the cells, and the box or its codes.
BOXES = {
    "corners": (BOX, ["1", "2", "3.5", "4", ""], (1.0, 2.0, 3.5, 4.0, "")),
    "width and height": (
        {**BOX, "format": "xywh"}, ["1", "2", "3", "4", ""], (1.0, 2.0, 4.0, 6.0, "")),
    "no box": (BOX, ["", "", "", "", ""], None),
    "no box, though a label": (CELL, ["", "", "", "", "?"], None),
    "half a box": (BOX, ["1", "2", "", "4", ""], ["value_invalid"]),
    "a word": (BOX, ["1", "2", "x", "4", ""], ["value_invalid"]),
    "infinite": (BOX, ["1", "2", "inf", "4", ""], ["value_invalid"]),
    "no width": (BOX, ["1", "2", "1", "4", ""], [DEGENERATE]),
    "no height": (BOX, ["1", "2", "3", "2", ""], [DEGENERATE]),
    "corners swapped": (BOX, ["3", "2", "1", "4", ""], [DEGENERATE]),
    "width of zero": ({**BOX, "format": "xywh"}, ["1", "2", "0", "4", ""], [DEGENERATE]),
    "negative height": ({**BOX, "format": "xywh"}, ["1", "5", "2", "-1", ""], [DEGENERATE]),
    "outside is told later": (BOX, ["-1", "2", "99", "4", ""], (-1.0, 2.0, 99.0, 4.0, "")),
    "class": (CELL, ["1", "2", "3", "4", "wbc"], (1.0, 2.0, 3.0, 4.0, "wbc")),
    "class renamed": (CELL, ["1", "2", "3", "4", "red"], (1.0, 2.0, 3.0, 4.0, "rbc")),
    "class unknown": (CELL, ["1", "2", "3", "4", "cell"], ["label_unknown"]),
    "class missing": (CELL, ["1", "2", "3", "4", ""], ["label_missing"]),
    "missing tokens": ({**BOX, "missing": ["NA"]}, ["NA", "NA", "NA", "NA", ""], None),
}  # fmt: skip


@pytest.mark.parametrize("name", BOXES)
def test_box_is_parsed(name):
    keys, cells, expected = BOXES[name]
    rows = pd.DataFrame([cells], columns=["a", "b", "c", "d", "cell"], dtype="str")
    parsed = parse_feature("boxes", _feature(**keys), rows)
    if isinstance(expected, list):
        assert _codes(parsed) == [expected]
    else:
        assert _codes(parsed) == [[]]
        assert parsed.values.tolist() == [expected]


_SIDES = st.floats(0, 1e6, allow_nan=False).filter(lambda side: side == 0 or side > 1e-3)


@MANY
@given(st.lists(st.tuples(_SIDES, _SIDES, _SIDES, _SIDES), min_size=1))
def test_both_formats_of_a_box_agree(numbers):
    corners = [(x, y, x + width, y + height) for x, y, width, height in numbers]
    xyxy, xywh = (
        parse_feature(
            "boxes",
            _feature(**BOX, format=box_format),
            pd.DataFrame([[repr(v) for v in row] for row in rows], columns=list("abcd")),
        )
        for box_format, rows in (("xyxy", corners), ("xywh", numbers))
    )
    assert xyxy.values.tolist() == xywh.values.tolist()
    assert _codes(xyxy) == _codes(xywh)
    for (x1, y1, x2, y2), codes in zip(corners, _codes(xyxy), strict=True):
        assert codes == ([] if x2 > x1 and y2 > y1 else [DEGENERATE])


def test_feature_adapter_is_that_of_the_spec():
    features = {"x": SEX}
    spec = CorpusSpec.from_dict({"name": "x", "images": {"path": "a"}, "features": features})
    assert spec.features["x"] == _feature(**SEX)
