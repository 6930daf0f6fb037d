"""The parts of a spec: what all share, tables, rules. See `medical_images.spec` for the whole."""

from __future__ import annotations

import datetime
import posixpath
import re
import unicodedata
from collections.abc import Mapping, Sequence
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
WORKBOOKS, PARQUET = (".xlsx", ".xls", ".ods"), ".parquet"  # tables that are no text
NO_TABLES = (
    *(".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar", ".bz2", ".xz", ".zst"),
    *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".dcm", ".dicom"),
    *(".nii", ".nii.gz", ".h5", ".hdf5", ".npy", ".npz", ".mat", ".pkl", ".json", ".jsonl"),
    *(".xml", ".yaml", ".yml", ".html", ".pdf", ".doc", ".docx", ".py", ".ipynb"),
)
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
Cells = Annotated[Tokens, Field(min_length=1)]


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
      sheet: The name of the sheet of a workbook; the first one by default.
    """

    separator: Annotated[Unstripped, StringConstraints(max_length=1)] | None = None
    encoding: str = "utf-8"
    quote: str = Field(default='"', min_length=1, max_length=1)
    header: bool = True
    skip_lines: int = Field(default=0, ge=0)
    sheet: Name | None = None

    @field_validator("separator", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        named = {"\\t": "\t", "tab": "\t", "space": " "}
        return named.get(value, value) if isinstance(value, str) else value


class Join(SpecPart):
    """How a table is joined to those before it.

    Attributes:
      on: The key: one column, several, or a mapping {column here so far: column of this table}.
        Columns that `derive:` makes of columns of one table are keys too.
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
    """A table: one file of text, a workbook or a Parquet file; or several, one below the other.

    Attributes:
      path: Relative to the corpus root; or a list of such paths, whose rows stand one below the
        other. Files that end in `.xlsx`, `.xls`, `.ods` or `.parquet` are of that kind, all others
        are text, also packed as `.gz`.
      instead: Other names of the one file (`or:` in YAML); the first that exists is read.
      missing: Cells that mean missing, beside the empty cell, which always does.
      dialect: How its text is written.
      columns: The column names, where the file has no header line.
      texts: For a folder of texts, such as readings or reports: the names of two new columns, of
        the path of each text and of the text itself. `path` has `*` then, which stands for anything
        in one part, or `**/` for any folders; each file that fits is one row.
      rename: New names for columns, {name in the file: name in the spec}.
      aliases: {name in the spec: other names that the column has in some files}; a file that has
        several of them is refused.
      optional: Columns that a file may lack, by their names in the spec; they are blank then. Of
        several files, each must have all columns that are used and not named here.
      where: {column: cells}; only rows with one of these cells in each such column are read, and
        the others are excluded (`not_wanted`). `""` stands for missing.
      distinct: Whether rows that tell the same in all columns that are used are one; the first is
        kept, and the others are noted (`duplicate_row`).
      file_column: The name of a new column that holds the path of each row's file, as in `path`.
      join: How it joins the tables before it; the first has none.
    """

    path: list[Name] = Field(min_length=1)
    instead: list[Name] = Field(default=[], alias="or")
    missing: Tokens = [""]
    dialect: Dialect = Dialect()
    columns: list[str] | None = None
    texts: list[Name] = Field(default=[], max_length=2)
    rename: dict[str, str] = {}
    aliases: dict[Name, list[Name]] = {}
    optional: list[Name] = []
    where: dict[Name, Cells] = {}
    distinct: bool = False
    file_column: Name | None = None
    join: Join | None = None

    @field_validator("path", "instead", "optional", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("aliases", "where", mode="before")
    @classmethod
    def _as_lists(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {k: [v] if isinstance(v, str) else v for k, v in value.items()}

    @field_validator("path", "instead")
    @classmethod
    def _known_kind(cls, paths: list[str]) -> list[str]:
        for path in paths:
            if path.lower().endswith(NO_TABLES):
                raise ValueError(
                    f"'{path}' is no table; tables are text (.csv, .tsv, .txt, also .gz),"
                    f" {', '.join(WORKBOOKS)} and {PARQUET}"
                )
        return paths

    @model_validator(mode="after")
    def _named_columns(self) -> Self:
        if self.dialect.header == (self.columns is not None):
            raise ValueError("give `columns:` exactly when `dialect: {header: false}`")
        new = [*self.aliases, *(name for names in self.aliases.values() for name in names)]
        if twice := sorted({name for name in new if new.count(name) > 1}):
            raise ValueError(f"`aliases:` name {', '.join(map(repr, twice))} twice")
        for name, others in self.aliases.items():
            for other in others:
                if self.rename.get(other, name) != name:
                    new_name = self.rename[other]
                    raise ValueError(
                        f"`rename:` makes '{other}' '{new_name}', and `aliases:` '{name}'"
                    )
        return self

    @model_validator(mode="after")
    def _only_texts(self) -> Self:
        has_pattern = any("*" in path for path in self.files)
        if not self.texts:
            if has_pattern:
                raise ValueError(
                    "`*` in `path:` is for folders of texts, with `texts: [file, text]`; of tables,"
                    " give a list of their files"
                )
            return self
        if len(set(self.texts)) != 2 or len(self.files) > 1 or not has_pattern:
            raise ValueError(
                "`texts:` names two columns, such as [file, text], and `path:` is one path with `*`"
            )
        others = self.columns or self.rename or self.aliases or self.optional or self.file_column
        if others or self.dialect != Dialect(encoding=self.dialect.encoding):
            raise ValueError(
                "`texts:` goes with `path`, `missing`, `where`, `distinct`, `join` and the"
                " `encoding:` of `dialect:` only"
            )
        return self

    @model_validator(mode="after")
    def _possible_files(self) -> Self:
        if self.instead and len(self.path) > 1:
            raise ValueError("`or:` gives other names of one file, and `path:` is a list")
        files = [posixpath.normpath(path) for path in self.files]
        if twice := sorted({path for path in files if files.count(path) > 1}):
            raise ValueError(f"the file {', '.join(map(repr, twice))} is named twice")
        for path in map(str.lower, self.files):
            if path.endswith(PARQUET) and (self.columns or self.dialect.skip_lines):
                what = "a Parquet file names its columns; leave out `columns:` and `skip_lines:`"
                raise ValueError(what)
            if self.dialect.sheet is not None and not path.endswith(WORKBOOKS):
                raise ValueError("`sheet:` is for workbooks (" + ", ".join(WORKBOOKS) + ")")
        return self

    @property
    def files(self) -> tuple[str, ...]:
        """All files that the table may be read from."""
        return (*self.path, *self.instead)

    @property
    def name(self) -> str:
        """What messages call it: its first file."""
        return self.path[0]


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
