"""The parts of a spec: what all share, tables, rules. See `medical_images.spec` for the whole."""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

IMAGE_PATH = "images.path"  # `derive: {column: {from: images.path, ...}}` reads the image's path
HEADER_FAULT = "header_fault"  # of files, why header fields cannot be read
DICOM = "dicom."  # `derive: {column: {from: dicom.PatientAge}}` reads a header field of its file
Place = tuple[str | int, ...]  # the keys and indices that lead to a part of a spec

Name = Annotated[str, StringConstraints(min_length=1)]
Unstripped = Annotated[str, StringConstraints(strip_whitespace=False, min_length=1)]


def normal_form(text: str) -> str:
    """Returns a text as cells are read: without white space around it, and in Unicode's NFC.

    Example:
      >>> normal_form(' e\u0301 ') == '\u00e9'
      True
    """
    return unicodedata.normalize("NFC", text.strip())


def is_read_back(day: datetime.date, pattern: str) -> bool:
    """Returns whether a day that is written by the codes of `strptime` is read as that day.

    Example:
      >>> day = datetime.date(1931, 3, 4)
      >>> is_read_back(day, '%d.%m.%Y'), is_read_back(day, '%d.%m.%y'), is_read_back(day, '%Y%Y')
      (True, False, False)
    """
    try:
        return datetime.datetime.strptime(day.strftime(pattern), pattern).date() == day
    except (ValueError, re.error):  # of a code that stands twice
        return False


Tokens = Annotated[list[str], AfterValidator(lambda tokens: [normal_form(t) for t in tokens])]


class SpecPart(BaseModel):
    """What all parts of a spec share: no unknown keys, no change after reading."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        coerce_numbers_to_str=True,
        str_strip_whitespace=True,
    )


class PlacedError(ValueError):
    """What is wrong with several parts inside one part of a spec.

    Attributes:
      found: (place from that part on, what is wrong there).
    """

    def __init__(self, found: Sequence[tuple[Place, str]]) -> None:
        super().__init__("; ".join(what for _, what in found))
        self.found = found


class Dialect(SpecPart):
    """How a table's text is written.

    Attributes:
      separator: One character; the default is a tab for `.tsv` and a comma for all else.
      encoding: A Python codec name; a UTF-8 byte order mark is dropped.
      quote: The character around cells that hold separators or line ends.
      header: Whether the first line names the columns; if not, `columns:` of the table does.
      skip_lines: Lines before the header (or before the rows) to pass over.
    """

    separator: Annotated[Unstripped, StringConstraints(max_length=1)] | None = None
    encoding: str = "utf-8"
    quote: str = Field(default='"', min_length=1, max_length=1)
    header: bool = True
    skip_lines: int = Field(default=0, ge=0)

    @field_validator("separator", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return {"\\t": "\t", "tab": "\t", "space": " "}.get(value, value)


class Join(SpecPart):
    """How a table is joined to those before it.

    Attributes:
      on: The key: one column, several, or a mapping {column here so far: column of this table}.
      cardinality: `one_to_one`, `many_to_one` (many rows so far to one row of this table) or
        `one_to_many`; the join stops where the tables disagree with it.
      unmatched: What happens to a row so far without a partner: `reject`, or `keep` with the
        columns of this table missing.
    """

    on: str | list[str] | dict[str, str]
    cardinality: Literal["one_to_one", "many_to_one", "one_to_many"]
    unmatched: Literal["reject", "keep"] = "reject"

    @property
    def keys(self) -> dict[str, str]:
        """The key columns: {name so far: name in this table}."""
        if isinstance(self.on, dict):
            return self.on
        names = [self.on] if isinstance(self.on, str) else self.on
        return {name: name for name in names}


class Table(SpecPart):
    """One CSV or TSV file, plain or gzipped.

    Attributes:
      path: Relative to the corpus root.
      missing: Cells that mean missing, beside the empty cell, which always does.
      dialect: How its text is written.
      columns: The column names, where the file has no header line.
      rename: New names for columns, {name in the file: name in the spec}.
      join: How it joins the tables before it; the first table has none.
    """

    path: str = Field(min_length=1)
    missing: Tokens = [""]
    dialect: Dialect = Dialect()
    columns: list[str] | None = None
    rename: dict[str, str] = {}
    join: Join | None = None

    @field_validator("path")
    @classmethod
    def _known_kind(cls, path: str) -> str:
        if not path.lower().removesuffix(".gz").endswith((".csv", ".tsv", ".txt")):
            raise ValueError(f"'{path}' is no table; known are .csv, .tsv and .txt, each also .gz")
        return path

    @model_validator(mode="after")
    def _named_columns(self) -> Self:
        if self.dialect.header == (self.columns is not None):
            raise ValueError("give `columns:` exactly when `dialect: {header: false}`")
        return self


class About(SpecPart):
    """What a reader of the corpus should know; it changes nothing that is written.

    Attributes:
      title: Its full name.
      modality: How the images were made, such as `dermatoscopy` or `chest radiography`.
      access: `open`, `registration` (an account), `agreement` (terms to sign), or `credentialed`.
      get: How to get it and where its files belong below the root, a sentence each.
      num_images: Published number of images with a row, for comparison.
      num_patients: Published number of patients.
      warnings: What may mislead who uses it: leaks, overlaps, labels of the patient, a sentence
        each.
      overlaps: Names of corpora of the catalog that share images or patients with it.
      unverified: What this spec takes for granted and nobody has checked, a sentence each.
    """

    title: str = ""
    modality: str = ""
    access: Literal["", "open", "registration", "agreement", "credentialed"] = ""
    get: list[str] = []
    num_images: int | None = Field(default=None, ge=0)
    num_patients: int | None = Field(default=None, ge=0)
    warnings: list[str] = []
    overlaps: list[str] = []
    unverified: list[str] = []


class Derive(SpecPart):
    """A new column cut out of another one, of the image's path, or of its DICOM header.

    Attributes:
      source: The column to read (`from:` in YAML), `images.path`, or `dicom.` and the keyword of a
        header field, such as `dicom.PatientAge`.
      pattern: A regular expression searched in it; its first group, or the whole match, is the
        new column's value. By default all of it.
      optional: Whether a row that does not match has a missing value instead of being rejected.
    """

    source: str = Field(alias="from")
    pattern: str = r"(?s).+"
    optional: bool = False

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return pattern


class Rejects(SpecPart):
    """What happens to rows and files that cannot be used.

    Attributes:
      max_fraction: The largest accepted share of rejected rows and files, 0 to 1; a build with
        more stops before anything is written.
      rows_without_image: `reject`, `report` (listed, not counted against `max_fraction`) or
        `refuse` (the build stops).
      images_without_row: The same for files that no row names.
      accept: Codes whose rejects are not counted against `max_fraction`.
      classes_without_image: `refuse` or `report` a declared class of a feature to stratify that no
        image has.
      file: Where to list them; beside the spec by default. It is personal data.
    """

    max_fraction: float = Field(default=0.0, ge=0, le=1)
    rows_without_image: Literal["reject", "report", "refuse"] = "reject"
    images_without_row: Literal["reject", "report", "refuse"] = "report"
    classes_without_image: Literal["refuse", "report"] = "refuse"
    accept: list[str] = []
    file: str | None = None
