"""Columns that look as if they named persons or their records. No cell is ever shown. Pure.

It looks at the form of cells and at the names of columns, and proves nothing: what it passes over
may still name a person.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

_LEAST_SHARE = 0.5  # of cells that are not blank
_LEAST_CELLS = 5
_LEAST_NUMBERS = 20
_MOST_CELLS = 20_000
_NUMBER_IN_TEXT = r"(?<![\w.,/-])(\d{6,15})(?![\w/-]|[.,]\d)"
_SPARSE = 10  # numbers that leave out nine of ten come out of a longer series

_FORMS: Mapping[str, str] = {
    "e-mail addresses": r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}",
    "social security numbers": r"\d{3}-\d{2}-\d{4}",
    "phone numbers": r"\+\d[\d\s()/.-]{6,18}\d|\(0?\d+\)[\d\s/.-]{5,}|0\d{1,4}[/ ]\d[\d -]{4,}",
    "names of persons": (
        r"[^\W\d_][\w.'\u2019-]+\^[^\W\d_][\w.'\u2019^ -]*"  # as DICOM has them
        r"|[A-Z][\w'\u2019-]+, ?[A-Z][\w'\u2019-]*\.?(?: [A-Z][\w'\u2019-]*\.?){0,2}"
    ),
    "DICOM UIDs": r"[012](?:\.\d+){4,}",
}
_OFTEN_REPLACED = ("DICOM UIDs",)  # before a corpus is published
_NO = r"(?:_?(?:no|nr|num|number|id))"
_NAMES: Mapping[str, str] = {
    "record numbers": rf"mrn|medical_?record{_NO}?|accession{_NO}?|(?:hospital|chart){_NO}",
    "names of persons": r"(?:patients?|first|last|sur|family|given|full|doctor|physician)_?names?",
    "dates of birth": r"date_?of_?birth|birth_?(?:date|day)?$|dob$|geburts(?:datum|tag)",
    "phone numbers": rf"(?:phone|telefon){_NO}?|telefonnummer|mobile(?:{_NO}|$)",
    "e-mail addresses": r"e_?mail",
    "national ids": rf"ssn|social_?sec(?:urity)?{_NO}?|(?:nhs|national|passport){_NO}|passport",
    "addresses": r"(?:home|patient|street)_?address|post_?code|zip_?code|postcode",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Identifying:
    """A column that looks as if it named persons or their records.

    Attributes:
      column: Its name.
      what: What its cells look like, such as `phone numbers`.
      is_sure: Whether the name of the column or the form of its cells leaves little doubt; not so
        of DICOM UIDs, and of numbers that only seem to be taken out of a longer series.
    """

    column: str
    what: str
    is_sure: bool


def identifying_columns(table: pd.DataFrame) -> Iterator[Identifying]:
    """Finds columns that look as if they named persons or their records.

    Args:
      table: Texts and ids, by column.

    Yields:
      One for each such column, the surest.

    Example:
      >>> table = pd.DataFrame({'note': [f'+49 511 53{n:04}' for n in range(9)]})
      >>> [(found.column, found.what) for found in identifying_columns(table)]
      [('note', 'phone numbers')]
    """
    for name in table:
        cells = table[name].dropna().astype("str").str.strip()
        cells = cells[cells != ""].drop_duplicates().head(_MOST_CELLS)
        found = next(_found(str(name), cells), None)
        if found is not None:
            yield found


def _found(name: str, cells: pd.Series[Any]) -> Iterator[Identifying]:
    folded = re.sub(r"[^a-z]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
    for what, words in _NAMES.items():
        if len(cells) and re.search(rf"(?:^|_)(?:{words})s?(?:_|$)", folded):
            yield Identifying(column=name, what=what, is_sure=True)
    if len(cells) < _LEAST_CELLS:
        return
    for what, form in _FORMS.items():
        if cells.str.fullmatch(form).mean() >= _LEAST_SHARE:
            # A few cells such as `Lung, Left` are parts of a body.
            is_few = what == "names of persons" and len(cells) < _LEAST_NUMBERS
            is_sure = what not in _OFTEN_REPLACED and not is_few
            yield Identifying(column=name, what=what, is_sure=is_sure)
    if _are_out_of_longer_series(_whole_numbers(cells)):
        yield Identifying(column=name, what="record numbers", is_sure=False)
    inside = cells.str.extract(_NUMBER_IN_TEXT)[0].dropna()
    if len(inside) >= _LEAST_SHARE * len(cells) and _are_out_of_longer_series(inside):
        yield Identifying(column=name, what="record numbers", is_sure=False)


def _whole_numbers(cells: pd.Series[Any]) -> pd.Series[Any]:
    """Numbers of 5 digits or more, after the same letter or none; empty if any cell is another."""
    parts = cells.str.extract(r"^([A-Za-z]?)(\d{5,15})$")
    return parts[1][:0] if parts[1].isna().any() or len(parts[0].unique()) > 1 else parts[1]


def _are_out_of_longer_series(texts: pd.Series[Any]) -> bool:
    """Whether they are numbers with wide gaps, enough of them."""
    numbers = texts.drop_duplicates().astype("int64")
    if len(numbers) < _LEAST_NUMBERS:
        return False
    return int(numbers.max() - numbers.min()) > _SPARSE * len(numbers)
