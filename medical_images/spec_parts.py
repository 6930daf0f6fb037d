"""The parts of a spec: tables, images, features, rules. See `medical_images.spec` for the whole."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from medical_images.errors import nearest
from medical_images.template import PathTemplate

IMAGE_PATH = "images.path"  # `derive: {column: {from: images.path, ...}}` reads the image's path
Place = tuple[str | int, ...]  # the keys and indices that lead to a part of a spec

_Unstripped = Annotated[str, StringConstraints(strip_whitespace=False, min_length=1)]


def normal_form(text: str) -> str:
    """Returns a text as cells are read: without white space around it, and in Unicode's NFC.

    Example:
      >>> normal_form(' e\u0301 ') == '\u00e9'
      True
    """
    return unicodedata.normalize("NFC", text.strip())


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

    separator: Annotated[_Unstripped, StringConstraints(max_length=1)] | None = None
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


class Derive(SpecPart):
    """A new column cut out of another one, or out of the image's path.

    Attributes:
      source: The column to read (`from:` in YAML), or `images.path`.
      pattern: A regular expression searched in it; its first group, or the whole match, is the
        new column's value.
      optional: Whether a row that does not match has a missing value instead of being rejected.
    """

    source: str = Field(alias="from")
    pattern: str
    optional: bool = False

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return pattern


class Images(SpecPart):
    """Where the image files are and what their pixels mean.

    Attributes:
      path: One path template or several (see `medical_images.template`).
      channels: 1 (grey), 3 (RGB) or 4 (RGBA) in the dataset.
      dtype: `uint8`, or `uint16` for 12 and 16 bit images.
    """

    path: list[str]
    channels: Literal[1, 3, 4] = 3
    dtype: Literal["uint8", "uint16"] = "uint8"

    @field_validator("path", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("channels", mode="before")
    @classmethod
    def _as_number(cls, value: Any) -> Any:
        return int(value) if isinstance(value, str) and value.isdigit() else value

    @field_validator("path")
    @classmethod
    def _valid(cls, value: list[str]) -> list[str]:
        if not value:
            raise ValueError("name at least one path template")
        for text in value:
            PathTemplate(text)
        return value

    @property
    def templates(self) -> tuple[PathTemplate, ...]:
        """The path templates."""
        return tuple(PathTemplate(text) for text in self.path)


class _Feature(SpecPart):
    """What all features share.

    Attributes:
      column: The column it is read from; the feature's own name by default.
      missing: Cells that mean missing for this feature, beside those of the table.
      description: A sentence for the data card.
    """

    column: str | None = None
    missing: Tokens = []
    description: str = ""

    def columns(self, name: str) -> tuple[str, ...]:
        """The columns read, given the feature's name."""
        return (self.column or name,)


class _Vocabulary(_Feature):
    values: list[str]
    rename: dict[str, str] = {}

    @field_validator("values")
    @classmethod
    def _normal_values(cls, values: list[str]) -> list[str]:
        return [normal_form(value) for value in values]

    @field_validator("rename")
    @classmethod
    def _normal_rename(cls, rename: dict[str, str]) -> dict[str, str]:
        return {normal_form(old): normal_form(new) for old, new in rename.items()}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        twice = sorted({value for value in self.values if self.values.count(value) > 1})
        if twice:
            raise ValueError(f"`values:` names {', '.join(map(repr, twice))} twice")
        for target in self.rename.values():
            if target not in self.values:
                raise ValueError(
                    f"`rename:` leads to '{target}', which `values:` does not hold; "
                    + nearest(target, self.values)
                )
        return self


class ClassFeature(_Vocabulary):
    """One class of a closed list, written as `tfds.features.ClassLabel`.

    Attributes:
      values: The classes, in the order of their integers.
      rename: Other spellings, {as written in the table: class}.
      missing_as: The class of a missing cell; without it such a row is rejected.
    """

    type: Literal["class"]
    values: list[str] = Field(min_length=1)
    missing_as: str | None = None

    @field_validator("missing_as")
    @classmethod
    def _normal_default(cls, value: str | None) -> str | None:
        return value if value is None else normal_form(value)

    @model_validator(mode="after")
    def _known_default(self) -> Self:
        if self.missing_as is not None and self.missing_as not in self.values:
            raise ValueError(
                f"`missing_as: {self.missing_as}` is not one of `values:`; "
                + nearest(self.missing_as, self.values)
            )
        return self


class LabelsFeature(_Vocabulary):
    """Any number of classes of a closed list, in one cell with a separator.

    Written as `tfds.features.Sequence(ClassLabel)`, in the order of `values`. A missing cell is an
    empty list.
    """

    type: Literal["labels"]
    values: list[str] = Field(min_length=1)
    separator: _Unstripped = "|"


class FloatFeature(_Feature):
    """A number, float32; a missing cell is NaN.

    Attributes:
      unit: For the data card.
      min: The least value accepted.
      max: The largest value accepted.
      infinite: Whether `inf` is a value (`keep`), a missing one (`missing`), or an error.
    """

    type: Literal["float"]
    unit: str = ""
    min: float | None = None
    max: float | None = None
    infinite: Literal["reject", "keep", "missing"] = "reject"


class IntFeature(_Feature):
    """A whole number, int64.

    Attributes:
      unit: For the data card.
      min: The least value accepted.
      max: The largest value accepted.
      missing_as: The number that stands for a missing cell; without it such a row is rejected.
    """

    type: Literal["int"]
    unit: str = ""
    min: int | None = None
    max: int | None = None
    missing_as: int | None = None


class TextFeature(_Feature):
    """Free text, UTF-8; a missing cell is the empty text."""

    type: Literal["text"]


class IdFeature(_Feature):
    """An identifier, kept letter by letter (`007` stays `007`); a row without it is rejected."""

    type: Literal["id"]


class BoxesFeature(_Vocabulary):
    """Boxes in one image, one row a box, in pixels.

    Written as a sequence of `bbox` (`tfds.features.BBoxFeature`, normalised to [0, 1]) and, where
    `label` is given, `label`. A row whose four cells are missing says that the image has no box.

    Attributes:
      columns_: The four columns (`columns:` in YAML), in the order that `format` names.
      format: `xyxy` (xmin, ymin, xmax, ymax) or `xywh` (xmin, ymin, width, height).
      label: The column of the box's class.
      values: The classes of boxes.
      rename: Other spellings of them.
      degenerate: What happens to a box without width or height: `reject` its row, or `drop` it.
      outside: What happens to a box that leaves its image: `reject`, `clip` or `drop`.
    """

    type: Literal["boxes"]
    columns_: list[str] = Field(alias="columns", min_length=4, max_length=4)
    format: Literal["xyxy", "xywh"] = "xyxy"
    label: str | None = None
    values: list[str] = []
    degenerate: Literal["reject", "drop"] = "reject"
    outside: Literal["reject", "clip", "drop"] = "reject"

    @model_validator(mode="after")
    def _label_and_values(self) -> Self:
        if self.column is not None:
            raise ValueError("boxes have `columns:` (four), not `column:`")
        if (self.label is None) != (not self.values):
            raise ValueError("give `label:` and `values:` together, or neither")
        return self

    def columns(self, name: str) -> tuple[str, ...]:
        """The columns read."""
        return (*self.columns_, *([self.label] if self.label else []))


Feature = Annotated[
    ClassFeature
    | LabelsFeature
    | FloatFeature
    | IntFeature
    | TextFeature
    | IdFeature
    | BoxesFeature,
    Field(discriminator="type"),
]

FEATURE_TYPES: dict[str, type[SpecPart]] = {
    get_args(part.model_fields["type"].annotation)[0]: part
    for part in (
        ClassFeature, LabelsFeature, FloatFeature, IntFeature, TextFeature, IdFeature, BoxesFeature,
    )
}  # fmt: skip


class Rejects(SpecPart):
    """What happens to rows and files that cannot be used.

    Attributes:
      max_fraction: The largest accepted share of rejected rows and files, 0 to 1; a build with
        more stops before anything is written.
      rows_without_image: `reject`, `report` (listed, not counted against `max_fraction`) or
        `refuse` (the build stops).
      images_without_row: The same for files that no row names.
      classes_without_image: `refuse` or `report` a declared class of a feature to stratify that no
        image has.
      file: Where to list them; beside the spec by default. It is personal data.
    """

    max_fraction: float = Field(default=0.0, ge=0, le=1)
    rows_without_image: Literal["reject", "report", "refuse"] = "reject"
    images_without_row: Literal["reject", "report", "refuse"] = "report"
    classes_without_image: Literal["refuse", "report"] = "refuse"
    file: str | None = None
