"""What the columns of a table hold: numbers, ages, classes, lists, marks, days, ids, free text."""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import pandas as pd

from medical_images.drafting.private_columns import folded
from medical_images.spec_features import DateFeature, FloatFeature
from medical_images.spec_parts import normal_form
from medical_images.values import parse_feature

Kind = Literal[
    "blank", "constant", "marks", "states", "class", "labels", "int", "float", "age", "date", "id",
    "text", "commas", "mixed",
]  # fmt: skip
# Words that may mean that nothing is known; only those of `_NO_CLASS` are no class of their own.
_NO_CLASS = frozenset(
    ["na", "n/a", "n.a.", "nan", "null", "nil", "?", "??", "-", "--", ".", "#n/a", "todo", "tbd"]
)
MISSING_WORDS = _NO_CLASS | frozenset(
    ("unknown", "unk", "none", "nd", "n/d", "missing", "undefined", "unspecified", "not known",
     "not available", "not specified", "not visible", "not reported", "would have been stated")
)  # fmt: skip
_DECIMAL_COMMA = re.compile(r"[+-]?\d+(?:,\d+)?")
_TOKEN = re.compile(r"[^\W\d_]{1,12}|[^\w\s]{1,3}")  # of a missing number: one word, or signs
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:\.\d{3})?")
_SENTINELS = ("-9", "-99", "-999", "-9999", "99", "999", "9999")
_SURE = 5  # cells
_THREE_DIGITS = re.compile(r",\d{3}$")  # 1,234 may be more than a thousand
YES = frozenset(["1", "1.0", "true", "yes", "y"])
NO = frozenset(["0", "0.0", "false", "no", "n"])
_STATES = frozenset(["1", "1.0", "0", "0.0", "-1", "-1.0"])
_DATES = (
    "%Y-%m-%d", "%Y%m%d", "%d.%m.%Y", "%Y/%m/%d", "%d/%m/%Y", "%m/%d/%Y", "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S", "%d-%m-%Y", "%B %d, %Y", "%b %d, %Y",
)  # fmt: skip
_SEPARATORS = ("|", ";", "\uff0c", ",", "/")
_MOST_CLASSES = 250
_SAMPLE = 20_000
_CLASS_NAME = re.compile(
    r"(?i)(?:^|[_\W])(?:label|class|target|grade|level|stage|score|type|category|scale|severity|"
    r"diagnosis|diagnostic|dx|assessment|density|tone|sex|gender|eye|view|icdr|sdrg|dr|level|dme)"
    r"(?:$|[_\W\d])|diagnosis|grade|(?:^|_)is_"
)
_AGE_NAME = re.compile(r"(?:^|[^a-zA-Z])[aA]ge(?![a-zA-Z])|AGE(?![A-Z])|[a-z]Age(?![a-z])")
_AGE_CELL = re.compile(r"\d{1,3}(?:\.\d*)?\+?|\d{1,3}[YMWD]\+?")
_LIST = re.compile(r"\[\s*(?:['\"].*)?\]", re.DOTALL)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ColumnFacts:
    """What a column holds.

    Attributes:
      name: Its name.
      kind: What its cells are.
      num_rows: Rows.
      num_blank: Blank cells.
      values: Classes (of `labels`, those in the lists) and how often each stands.
      num_distinct: Different cells that are not blank.
      missing: Tokens that seem to mean missing, and how often each stands.
      keys: Further keys of the feature: `format`, `separator`, `plus`, `infinite`, `decimal`.
      doubt: What else its cells may mean; "" if nothing.
    """

    name: str
    kind: Kind
    num_rows: int
    num_blank: int
    num_distinct: int
    values: Mapping[str, int] = dataclasses.field(default_factory=dict)
    missing: Mapping[str, int] = dataclasses.field(default_factory=dict)
    keys: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    doubt: str = ""


def facts_of(cells: pd.Series[str]) -> ColumnFacts:
    """Tells what a column holds.

    Example:
      >>> facts_of(pd.Series(['060Y', '018M', ''], name='age')).kind
      'age'
      >>> found = facts_of(pd.Series(['1.5', 'NA', '2', '7.25'], name='size'))
      >>> found.kind, found.missing
      ('float', {'NA': 1})
    """
    name = str(cells.name)
    counts = collections.Counter(cells.tolist())
    num_blank = counts.pop("", 0)
    kind, values, missing, keys = _kind_of(name, counts)
    return ColumnFacts(
        name=name,
        kind=kind,
        num_rows=len(cells),
        num_blank=num_blank,
        num_distinct=len(counts),
        values=dict(sorted(values.items())),
        missing=missing,
        keys=keys,
        doubt=_doubt_of(kind, [cell for cell in counts if cell not in missing], keys),
    )


_Found = tuple[Kind, Mapping[str, int], Mapping[str, int], Mapping[str, Any]]


def _kind_of(name: str, counts: Mapping[str, int]) -> _Found:
    if not counts:
        return "blank", {}, {}, {}
    missing = {cell: n for cell, n in counts.items() if cell.lower() in MISSING_WORDS}
    told = {cell: n for cell, n in counts.items() if cell not in missing}
    if set(map(str.lower, told)) <= YES | NO and told:
        no_class = {cell: n for cell, n in missing.items() if cell.lower() in _NO_CLASS}
        return ("marks" if not missing else "class"), _without(counts, no_class), no_class, {}
    if set(told) <= _STATES and not missing:
        return "states", counts, {}, {}
    if told and (found := _as_number(name, told, missing)):
        return found
    if told and (found := _as_date(told, missing)):
        return found
    if told and all(map(_DECIMAL_COMMA.fullmatch, told)) and not _are_codes(told):
        is_sure = any("," in cell and not _THREE_DIGITS.search(cell) for cell in told)
        return ("float", {}, missing, {"decimal": ","}) if is_sure else ("commas", {}, {}, {})
    return _as_words(name, counts, missing)


def _as_number(name: str, told: Mapping[str, int], missing: Mapping[str, int]) -> _Found | None:
    cells = list(told)[:_SAMPLE]
    if _AGE_NAME.search(name) and all(map(_AGE_CELL.fullmatch, cells)):
        keys: dict[str, Any] = {}
        if any(cell[-1] in "YMWD+" for cell in cells):
            keys["format"] = "age"
        if any(cell.endswith("+") for cell in cells):
            keys["plus"] = "keep"
        return "age", {}, missing, keys
    parsed = parse_feature(
        "x", FloatFeature(type="float", infinite="keep"), pd.DataFrame({"x": pd.Series(cells)})
    )
    bad = [fault.mask for fault in parsed.faults if fault.code == "value_invalid"]
    odd = [cell for cell, is_bad in zip(cells, bad[0], strict=True) if is_bad] if bad else []
    if len(odd) == len(cells) or len(odd) > min(3, 0.05 * len(cells)):
        return None
    if not all(map(_TOKEN.fullmatch, odd)):
        return "mixed", {}, {}, {}
    numbers = {cell: n for cell, n in told.items() if cell not in odd}
    missing = {**missing, **{cell: told[cell] for cell in odd}}
    if any(cell.startswith("0") and cell[1:2].isdigit() for cell in numbers):
        return None  # an id: 007
    is_infinite = any("inf" in cell.lower() for cell in numbers)
    is_whole = all(re.fullmatch(r"[+-]?\d{1,18}(?:\.0*)?", cell) for cell in numbers)
    if not is_whole:
        return "float", {}, missing, {"infinite": "keep"} if is_infinite else {}
    total = sum(numbers.values())
    if "-1" in numbers and len(numbers) > 2 and all(c == "-1" or c[0] != "-" for c in numbers):
        missing = {**missing, "-1": numbers.pop("-1")}
    few = len(numbers) <= 12 and max(float(c) for c in numbers) <= 20
    if few and (_CLASS_NAME.search(name) or total >= 30 * len(numbers)) and "age" not in name:
        return "class", numbers, missing, {}
    return "int", {}, missing, {}


def _are_codes(cells: Mapping[str, int]) -> bool:
    """Whether cells with commas are lists of small codes, such as `1,3`, or have no comma.

    Lists ascend, and no code is 0; numbers between 0 and 10 seldom all do so.
    """
    cut = [cell.split(",") for cell in cells if "," in cell]
    return all(len(a) == len(b) == 1 and "0" < a < b for a, b in cut)


def _as_date(told: Mapping[str, int], missing: Mapping[str, int]) -> _Found | None:
    pattern = next(_formats(list(told)), None)
    if pattern is None:
        return None
    return "date", {}, missing, {"format": pattern} if pattern != _DATES[0] else {}


def _formats(cells: Sequence[str]) -> Iterator[str]:
    """Yields the formats of days that fit all cells."""
    frame = pd.DataFrame({"x": pd.Series(cells[:_SAMPLE])})
    for pattern in _DATES:
        feature = DateFeature(type="date", format=pattern)
        # A few cells refute most.
        if not any(parse_feature("x", feature, some).faults for some in (frame.head(3), frame)):
            yield pattern


def _doubt_of(kind: Kind, cells: Sequence[str], keys: Mapping[str, Any]) -> str:
    """Says what else cells may mean."""
    if kind == "date":  # where no day is above 12, months may come first
        formats = [*_formats(cells)]
        return f'the format may as well be "{formats[1]}"' if len(formats) > 1 else ""
    if kind not in ("int", "float", "age") or keys.get("format") == "age" or "decimal" in keys:
        return ""
    pointed = [cell for cell in cells if "." in cell]
    if len(pointed) >= _SURE and all(map(_THOUSANDS.fullmatch, cells)):
        return "each point stands before three digits: if it marks thousands, write them without"
    numbers = {cell: float(cell) for cell in cells if not cell.isalpha()}
    for cell in filter(numbers.__contains__, _SENTINELS):
        others = [number for other, number in numbers.items() if other != cell]
        if others and abs(numbers[cell]) >= 3 * max(map(abs, others)):
            return f"{cell} may mean that it is missing: then `missing: ['{cell}']`"
    return ""


def _as_words(name: str, counts: Mapping[str, int], missing: Mapping[str, int]) -> _Found:
    no_class = {cell: n for cell, n in missing.items() if cell.lower() in _NO_CLASS}
    classes = _without(counts, no_class)
    total = sum(classes.values())
    if classes and all(map(_LIST.fullmatch, list(classes)[:_SAMPLE])):
        return _as_list(classes, no_class)
    if listed := _as_separated(classes):
        separator, parts = listed
        return "labels", parts, no_class, {"separator": separator}
    longest = max(map(len, classes), default=0)
    words = max((len(cell.split()) for cell in classes), default=0)
    with_digits = sum(any(map(str.isdigit, cell)) for cell in classes)
    is_code = bool(classes) and words == 1 and with_digits > 0.8 * len(classes)
    if is_code and (len(classes) > 0.5 * total or len(classes) > 30):
        return "id", {}, {}, {}
    if len(classes) == 1 and total > 1 and not missing:
        return "constant", classes, {}, {}
    few = len(classes) <= max(12, min(0.2 * total, _MOST_CLASSES))
    if few and longest <= 60 and (len(classes) < total or total < 3):
        return "class", classes, no_class, {}
    if words <= 1 and len(classes) > 0.9 * total:
        return "id", {}, {}, {}
    return "text", {}, {}, {}


def _as_list(classes: Mapping[str, int], missing: Mapping[str, int]) -> _Found:
    items: collections.Counter[str] = collections.Counter()
    for cell, number in classes.items():
        for part in re.findall(r"'([^']*)'|\"([^\"]*)\"", cell):
            if text := normal_form(part[0] or part[1]):
                items[text] += number
    if not items or len(items) > 2 * _MOST_CLASSES:
        return "text", {}, {}, {}
    return "labels", items, missing, {"format": "list"}


def _as_separated(classes: Mapping[str, int]) -> tuple[str, Mapping[str, int]] | None:
    """Returns the separator and the parts, where cells are lists of few words that come back."""
    for separator in _SEPARATORS:
        several = [cell for cell in classes if separator in cell]
        if not several:
            continue
        parts: collections.Counter[str] = collections.Counter()
        for cell, number in classes.items():
            for part in {part.strip() for part in cell.split(separator)} - {""}:
                parts[part] += number
        alone = {cell.strip() for cell in classes if separator not in cell}
        cut = {part.strip() for cell in several for part in cell.split(separator)} - {""}
        known = len(cut & alone) + sum(parts[part] > 1 for part in cut)
        if separator in ",/" and not (cut & alone and known >= 0.5 * len(cut)):
            continue
        if separator == "/" and len(cut & alone) < 0.3 * len(cut):
            continue  # a name such as `head/neck`
        short = max(map(len, parts)) <= 50
        if short and (len(parts) <= 40 or (known >= 0.5 * len(cut) and len(parts) <= 400)):
            return separator, parts
    return None


def _without(counts: Mapping[str, int], others: Mapping[str, int]) -> dict[str, int]:
    return {cell: n for cell, n in counts.items() if cell not in others}


def unit_of(name: str) -> str:
    """Returns the unit that the end of a column's name tells.

    Example:
      >>> unit_of('clin_size_long_diam_mm'), unit_of('weight (kg)'), unit_of('age_years')
      ('mm', 'kg', 'years')
    """
    units = ("mm2", "mm", "cm", "kg", "g", "years", "days", "months", "hours", "percent", "ms",
             "bpm", "mmhg", "mg", "ml", "um", "px", "celsius")  # fmt: skip
    found = re.search(r"(?i)[_\W](" + "|".join(units) + r")\)?$", name)
    return found[1].lower().replace("hg", "Hg") if found else ""


def feature_name(column: str, taken: Sequence[str] = ()) -> str:
    """Returns a name for the feature of a column.

    Example:
      >>> feature_name('Patient Age'), feature_name('d-dimer_val'), feature_name('2D')
      ('patient_age', 'd_dimer_val', 'f_2d')
    """
    name = folded(column)
    name = name if name[:1].isalpha() else f"f_{name}".rstrip("_")
    name = "image_name" if name == "image" else name
    number = 2
    stem = name
    while name in taken:
        name, number = f"{stem}_{number}", number + 1
    return name
