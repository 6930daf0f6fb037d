"""Pseudonyms and moved dates in the place of cells that tell of patients. Pure but for the key."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pandas as pd

from medical_images.matching import Sieve
from medical_images.privacy_key import Key, read_key
from medical_images.spec import CorpusSpec
from medical_images.spec_privacy import (
    ShiftDates,
    columns_of_path,
    open_columns,
    telling_columns,
)


def hide_patients(sieve: Sieve, spec: CorpusSpec) -> pd.DataFrame:
    """Replaces the cells of the columns that `privacy:` names.

    Tables are joined, images and masks are found and columns are derived by cells as they are in
    the corpus; features and groups are made of what is here afterwards. Blank cells stay blank, and
    what a feature of the column names as `missing:` stays for the feature to see.

    Args:
      sieve: The rows; those with a cell that is no date are taken out.
      spec: What is hidden.

    Returns:
      The rows that are left, as they were.

    Raises:
      SpecError: There is no key.
      BuildError: There is another key than that with which the build was begun.
    """
    raw = sieve.frame
    if not spec.privacy.needs_key:
        return raw
    key = read_key(spec.privacy)
    if spec.privacy.shift_dates is not None:
        _shift_dates(sieve, spec, spec.privacy.shift_dates, key)
    for column in spec.privacy.pseudonymize:
        cells, missing = sieve.frame[column], _missing(column, spec)
        hidden = {cell: key.pseudonym(cell) for cell in cells.unique() if cell not in missing}
        told = [hidden.get(cell, cell) for cell in cells]
        sieve.frame = sieve.frame.assign(**{column: pd.Series(told, cells.index, dtype="str")})
    return raw.loc[sieve.frame.index]


def hidden_columns(spec: CorpusSpec) -> set[str]:
    """Returns the columns whose cells no message shows.

    They are the ones that tell of patients, and those cut out of paths.
    """
    return telling_columns(spec.privacy, spec.made_of) | columns_of_path(spec.made_of)


def warnings_of(spec: CorpusSpec) -> list[str]:
    """Says what may tell of patients although others of their cells are hidden."""
    if not spec.privacy.needs_key:
        return []
    of_path = columns_of_path(spec.made_of) - set(spec.privacy.columns)
    written = dict.fromkeys(column for _, column in open_columns(spec.features, spec.group))
    return [
        f"'{column}' is cut out of the paths of images and written as it stands; if these tell of"
        " patients, name it under `pseudonymize:`"
        for column in written
        if column in of_path
    ]


def _missing(column: str, spec: CorpusSpec) -> set[str]:
    """Cells of a column that stand for no patient and no date."""
    readers = (f for name, f in spec.features.items() if column in f.columns(name))
    return {"", *(token for feature in readers for token in feature.missing)}


def _shift_dates(sieve: Sieve, spec: CorpusSpec, rule: ShiftDates, key: Key) -> None:
    nobody = _missing(rule.by, spec)
    patients = sieve.frame[rule.by]
    days = {
        patient: key.days(patient, max_days=rule.max_days)
        for patient in patients.unique()
        if patient not in nobody
    }
    for column in rule.columns:
        frame = sieve.frame
        moved = pd.Series(
            list(_moved(frame[column], frame[rule.by], days, rule, _missing(column, spec))),
            frame.index,
            dtype="object",
        )
        sieve.remove(moved.isna(), "value_invalid", column=column)
        moved = moved.reindex(sieve.frame.index)
        sieve.frame = sieve.frame.assign(**{column: moved.astype("str")})


def _moved(
    cells: pd.Series[str],
    patients: pd.Series[str],
    days: dict[str, int],
    rule: ShiftDates,
    missing: set[str],
) -> Iterator[str | None]:
    """Yields each date as it is moved: "" where nobody's, None where it is none."""
    for cell, patient in zip(cells, patients, strict=True):
        if cell in missing:
            yield cell
            continue
        try:
            date = datetime.datetime.strptime(cell, rule.format)
            moved = date - datetime.timedelta(days=days.get(patient, 0))
        except (ValueError, OverflowError):
            yield None
            continue
        if moved.year < 1000:  # such a year is not written in four digits everywhere
            yield None
        else:
            yield moved.strftime(rule.format) if patient in days else ""
