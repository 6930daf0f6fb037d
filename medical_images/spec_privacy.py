"""What a spec says of privacy, and what in it would tell of patients all the same."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from medical_images.errors import BuildError, nearest
from medical_images.spec_parts import DICOM, IMAGE_PATH, Name, Place, SpecPart, is_read_back

MadeOf = Mapping[str, Collection[str]]
KEY_VARIABLE = "MEDICAL_IMAGES_KEY"

# Features of these types only ever hold what the spec itself declares; those of `mask` hold pixels.
_DECLARED = ("class", "labels", "uncertain", "boxes", "mask")
_OF_PSEUDONYMS = ("id", "text")
_OF_DATES = ("date", "text", "int")
_SOME_DAYS = tuple(datetime.date(*day) for day in ((1931, 3, 4), (1999, 12, 31), (2000, 2, 29)))


class ShiftDates(SpecPart):
    """Dates are moved by a number of days that is the same for all dates of one patient.

    A moved date is written in the format in which it was read. Where the patient is blank, so is
    the date; a cell that is no date is a rejected row (`value_invalid`).

    Attributes:
      columns: The columns of dates.
      by: The column of the patient, as it is before pseudonyms are made.
      max_days: The most days that a patient's dates move into the past; each patient's number is
        drawn from 1 to this by the key.
      format: How dates are written, by the codes of `strptime`.
    """

    columns: list[Name] = Field(min_length=1)
    by: Name
    max_days: int = Field(default=365, ge=1, le=36_500)
    format: str = "%Y-%m-%d"

    @field_validator("columns", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("format")
    @classmethod
    def _tells_the_day(cls, value: str) -> str:
        """A date that tells no day, or no century, cannot be moved by days."""
        if not all(is_read_back(day, value) for day in _SOME_DAYS):
            raise ValueError(
                f"dates are moved by days; '{value}' does not tell year (four digits), month and"
                " day, as %Y-%m-%d does"
            )
        return value


class Privacy(SpecPart):
    """What is done so that the dataset tells less of patients.

    Attributes:
      strip_metadata: Whether EXIF, comments, text and all other metadata of image files are left
        out.
      pseudonymize: Columns whose cells become keyed hashes (HMAC-SHA256, 32 hexadecimal digits);
        features of them are of type `id` or `text`.
      keep: Columns made of DICOM fields that tell of patients elsewhere, and in this corpus do not,
        since it was de-identified before.
      shift_dates: Dates to move.
      key_file: The file of the key, relative to this file, readable by its owner only; by default
        the environment variable `MEDICAL_IMAGES_KEY` holds it.
    """

    strip_metadata: bool = True
    pseudonymize: list[Name] = Field(default=[])
    keep: list[Name] = Field(default=[])
    shift_dates: ShiftDates | None = None
    key_file: Name | None = None

    # Which key a build was begun with; known while one runs, and no part of the spec.
    _key_path: str | None = PrivateAttr(default=None)
    _key_check: str | None = PrivateAttr(default=None)

    @field_validator("pseudonymize", "keep", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _key_for_something(self) -> Self:
        if self.key_file is not None and not self.needs_key:
            raise ValueError("`key_file:` is for `pseudonymize:` and `shift_dates:`")
        return self

    @property
    def needs_key(self) -> bool:
        """Whether anything is done by a key."""
        return bool(self.pseudonymize) or self.shift_dates is not None

    @property
    def dates(self) -> list[str]:
        """The columns of dates that are moved."""
        return self.shift_dates.columns if self.shift_dates else []

    @property
    def columns(self) -> list[str]:
        """All columns whose cells are replaced."""
        return [*self.pseudonymize, *self.dates]

    @property
    def key_path(self) -> str | None:
        """The file of the key, absolute where a build has begun; None without one."""
        return self._key_path or self.key_file

    @property
    def key_check(self) -> str | None:
        """What tells the key that a build was begun with from others; None without one."""
        return self._key_check

    def begun_with(self, *, path: str | None, check: str) -> Self:
        """Returns the same, for a build that was begun with a key.

        Args:
          path: Its file, absolute; None where the environment holds it.
          check: `privacy_key.Key.check` of it.
        """
        result = self.model_copy()
        result._key_path, result._key_check = path, check
        return result


def telling_columns(privacy: Privacy, made_of: MadeOf) -> set[str]:
    """Returns the columns whose cells, as they are in the corpus, tell of patients.

    These are the ones that `privacy:` names, those made of them, and those made of header fields of
    DICOM files that tell who somebody is.

    Args:
      privacy: Which columns are replaced.
      made_of: What columns that are not those of tables are made of, in the order of their making.

    Example:
      >>> sorted(telling_columns(Privacy(pseudonymize=['patient']), {'site': ['patient']}))
      ['patient', 'site']
    """
    return _made_of_any(made_of, _is_identifying, set(privacy.columns))


def columns_of_path(made_of: MadeOf) -> set[str]:
    """Returns the columns that are made of the image's path, directly or by way of others."""
    return _made_of_any(made_of, lambda source: source == IMAGE_PATH, set())


def _made_of_any(made_of: MadeOf, is_one: Callable[[str], bool], found: set[str]) -> set[str]:
    for name, sources in made_of.items():
        if any(source in found or is_one(source) for source in sources):
            found = {*found, name}
    return found


def open_columns(
    features: Mapping[str, Any], group: Collection[str]
) -> Iterator[tuple[Place, str]]:
    """Yields (place in the spec, column) of columns whose cells are written letter by letter.

    Args:
      features: The features of the spec.
      group: The columns of groups.
    """
    for name, feature in features.items():
        if feature.type not in _DECLARED:
            for column in feature.columns(name):
                yield ("features", name), column
    for column in group:
        yield ("group",), column


def wrong_privacy(
    privacy: Privacy,
    *,
    features: Mapping[str, Any],
    group: Collection[str],
    made_of: MadeOf,
    split_column: str | None,
    split_on: str,
) -> Iterator[tuple[Place, str]]:
    """Yields (place in the spec, what is wrong there) of what cannot be, or tells of patients.

    Args:
      privacy: What is done.
      features: The features of the spec.
      group: The columns of groups.
      made_of: See `telling_columns`.
      split_column: The column that tells official splits, if one does.
      split_on: What the lines of lists of official splits name.
    """
    yield from _wrong_columns(privacy, features, group)
    yield from _wrong_types(privacy, features)
    telling = telling_columns(privacy, made_of) - {*privacy.columns, *privacy.keep}
    for place, column in open_columns(features, group):
        if column in telling:
            yield place, _why_telling(column, privacy, made_of)
    if split_column in privacy.columns:
        what = (
            f"`privacy:` hides the column '{split_column}', and `values:` would tell its cells;"
            " take lists instead: `files:`, with `on:`"
        )
        yield ("splits", "column"), what
    if split_on in privacy.dates:
        yield ("splits", "on"), f"the dates of '{split_on}' are moved; name another column"


def _wrong_columns(
    privacy: Privacy, features: Mapping[str, Any], group: Collection[str]
) -> Iterator[tuple[Place, str]]:
    kinds = {name: f.columns(name) for name, f in features.items() if f.type != "mask"}
    written = {column for columns in kinds.values() for column in columns} | set(group)
    places: list[Place] = [("privacy", "pseudonymize", k) for k in range(len(privacy.pseudonymize))]
    places += [("privacy", "shift_dates", "columns", k) for k in range(len(privacy.dates))]
    seen: Counter[str] = Counter()
    for place, column in zip(places, privacy.columns, strict=True):
        seen[column] += 1
        if column not in written:
            what = f"no feature and no `group:` is made of the column '{column}'"
            yield place, f"{what}; {nearest(column, written)}"
        elif seen[column] == 2:
            yield place, f"'{column}' is named twice"
    for number, column in enumerate(privacy.keep):
        if column not in written:
            what = f"no feature and no `group:` is made of the column '{column}'"
            yield ("privacy", "keep", number), f"{what}; {nearest(column, written)}"
    if privacy.shift_dates and privacy.shift_dates.by in privacy.dates:
        yield ("privacy", "shift_dates", "by"), "is the column of the patient, and no date"


def _wrong_types(privacy: Privacy, features: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    kinds = (
        (privacy.pseudonymize, _OF_PSEUDONYMS, "holds pseudonyms"),
        (privacy.dates, _OF_DATES, "holds moved dates"),
    )
    for columns, types, holds in kinds:
        for name, feature in features.items():
            hidden = [column for column in feature.columns(name) if column in columns]
            if hidden and feature.type not in (*types, "mask"):
                allowed = ", ".join(types)
                what = f"the column '{hidden[0]}' {holds}; a feature of it is of type {allowed}"
                yield ("features", name), what


def _why_telling(column: str, privacy: Privacy, made_of: MadeOf) -> str:
    known = telling_columns(privacy, made_of)
    source = column
    while source in made_of and source not in privacy.columns:
        source = next(s for s in made_of[source] if s in known or _is_identifying(s))
    told = f"the DICOM field {source.removeprefix(DICOM)}" if _is_identifying(source) else source
    return (
        f"'{column}' is made of {told}, which tells of patients, and would be written as it stands;"
        f" hide it too: `privacy: {{pseudonymize: [{column}]}}`, or `shift_dates:`; or `keep:` it,"
        " if the corpus was de-identified before"
    )


def _is_identifying(source: str) -> bool:
    """Whether a column is cut out of a DICOM field that tells who somebody is.

    Without pydicom this may not be known; then nothing is built of DICOM files either.
    """
    if not source.startswith(DICOM):
        return False
    from medical_images.dicom.headers import identifying

    try:
        return identifying(source.removeprefix(DICOM))
    except BuildError:
        return False
