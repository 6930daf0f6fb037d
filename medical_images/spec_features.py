"""The features of a spec. See `medical_images.spec` for the whole."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from medical_images.errors import nearest
from medical_images.spec_parts import Name, SpecPart, Tokens, is_read_back, normal_form

NEGATIVE, POSITIVE, UNCERTAIN = "negative", "positive", "uncertain"  # classes of `uncertain`
_YES = ("1", "1.0", "true", "True", "TRUE", "yes", "Yes", "YES")
_NO = ("0", "0.0", "false", "False", "FALSE", "no", "No", "NO")
_DAY = datetime.date(2011, 10, 25)  # tells day, month and year apart


class BaseFeature(SpecPart):
    """What all features share.

    Attributes:
      column: The column it is read from; the feature's own name by default.
      missing: Cells that mean missing for this feature, beside those of the table.
      description: A sentence for the data card.
    """

    column: str | None = None
    missing: Tokens = Field(default=[])
    description: str = ""

    def columns(self, name: str) -> tuple[str, ...]:
        """The columns read, given the feature's name."""
        return (self.column or name,)

    def _differs_in(self, *keys: str) -> str:
        """Returns the first of the keys that has another value than by default."""
        fields = type(self).model_fields
        changed = (
            key for key in keys if key in fields and getattr(self, key) != fields[key].get_default()
        )
        return next(changed, "")


class OfRows(BaseFeature):
    """What features share of which the rows of one image may tell several values.

    Attributes:
      across_rows: `same`, where rows that differ are a conflict; `all` values of all rows, sorted,
        without missing numbers; others by the type.
      reader: The column that tells whose row it is; all rows of a reader count as one. By default
        each row counts.
    """

    across_rows: str = "same"
    reader: Name | None = None

    @model_validator(mode="after")
    def _reader_counts(self) -> Self:
        if self.reader is not None and self.across_rows not in ("majority", "all"):
            raise ValueError("`reader:` is for `across_rows: majority` and `all`")
        return self

    def columns(self, name: str) -> tuple[str, ...]:
        """The columns read, given the feature's name."""
        return self._with_reader((self.column or name,))

    def _with_reader(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        return columns if self.reader is None else (*columns, self.reader)


class _Vocabulary(BaseFeature):
    """What features share whose cells are names of a closed list.

    Attributes:
      values: The names.
      rename: Other spellings, {as written in the table: class}.
    """

    values: list[str]
    rename: dict[str, str] = Field(default={})

    @field_validator("values", mode="before")
    @classmethod
    def _distinct_values(cls, values: Any) -> Any:
        if isinstance(values, list | tuple):
            _refuse_merged(values, "values")
        return values

    @field_validator("rename", mode="before")
    @classmethod
    def _distinct_spellings(cls, rename: Any) -> Any:
        if isinstance(rename, Mapping):
            _refuse_merged(rename, "rename")
        return rename

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
        for target in self.rename.values():
            if target not in self.values:
                raise ValueError(
                    f"`rename:` leads to '{target}', which `values:` does not hold; "
                    + nearest(target, self.values)
                )
        return self


class _Marked(_Vocabulary, OfRows):
    """What class and labels features share: they may be read from several columns of marks.

    Attributes:
      columns_: Columns of marks (`columns:` in YAML), named like their classes, or {column: class};
        `values:` are these classes by default.
      positive: Marks that mean yes.
      negative: Marks that mean no; with `""` among them, so does a blank cell.
    """

    columns_: dict[Name, str] | None = Field(default=None, alias="columns")
    positive: Tokens = Field(default=[*_YES])
    negative: Tokens = Field(default=[*_NO])

    @model_validator(mode="before")
    @classmethod
    def _classes_of_columns(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or "values" in data:
            return data
        columns = data.get("columns", data.get("columns_"))
        if isinstance(columns, Mapping):
            columns = list(columns.values())
        if not isinstance(columns, list | tuple):
            return data
        return {**data, "values": list(dict.fromkeys(map(str, columns)))}

    @field_validator("columns_", mode="before")
    @classmethod
    def _by_column(cls, columns: Any) -> Any:
        if isinstance(columns, list | tuple):
            _refuse_merged(columns, "columns")
            return {str(column): column for column in columns}
        return columns

    @field_validator("columns_")
    @classmethod
    def _normal_classes(cls, columns: dict[str, str] | None) -> dict[str, str] | None:
        return columns and {column: normal_form(value) for column, value in columns.items()}

    @model_validator(mode="after")
    def _marks(self) -> Self:
        _refuse_shared(positive=self.positive, negative=self.negative)
        if not self.columns_:
            if self.columns_ is not None:
                raise ValueError("`columns:` names at least 1 column")
            if self._differs_in("positive", "negative"):
                raise ValueError("`positive:` and `negative:` are for `columns:`")
            return self
        if unfit := self._differs_in("column", "rename", "separator", "format"):
            raise ValueError(f"`{unfit}:` is for one column, and `columns:` for several")
        for value in self.columns_.values():
            if value not in self.values:
                raise ValueError(
                    f"`columns:` leads to '{value}', which `values:` does not hold; "
                    + nearest(value, self.values)
                )
        return self

    def columns(self, name: str) -> tuple[str, ...]:
        """The columns read, given the feature's name."""
        return self._with_reader(tuple(self.columns_ or (self.column or name,)))


class ClassFeature(_Marked):
    """One class of a closed list, written as `tfds.features.ClassLabel`.

    Attributes:
      values: The classes, in the order of their integers.
      rename: Other spellings, {as written in the table: class}.
      missing_as: The class of a missing cell, or of a row without a positive mark; without it such
        a row is rejected.
      across_rows: `same`; `majority`, the class that most rows tell, where several are a conflict;
        or `all`, written as a sequence.
    """

    type: Literal["class"]
    values: list[str] = Field(min_length=1)
    missing_as: str | None = None
    across_rows: Literal["same", "majority", "all"] = "same"

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


class LabelsFeature(_Marked):
    """Any number of classes of a closed list, in one cell or in several columns.

    Written as `tfds.features.Sequence(ClassLabel)`, in the order of `values`. A missing cell is an
    empty list.

    Attributes:
      values: The classes, in the order of their integers.
      separator: What stands between names in a cell, or several such texts. With `/`, each part of
        `Pneumonia/Viral` is a name.
      format: `separated`, or `list`: a list of quoted names in brackets, as Python writes it.
      across_rows: `same`; `union`, what any row tells; `majority`, what more than half of them do;
        or `all`, where a label that two rows tell stands twice.
    """

    type: Literal["labels"]
    values: list[str] = Field(min_length=1)
    separator: tuple[Annotated[str, StringConstraints(strip_whitespace=False)], ...] = ("|",)
    format: Literal["separated", "list"] = "separated"
    across_rows: Literal["same", "union", "majority", "all"] = "same"

    @field_validator("separator", mode="before")
    @classmethod
    def _as_separators(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("separator")
    @classmethod
    def _not_blank(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or "" in value:
            raise ValueError("a separator is at least one character")
        return value

    @model_validator(mode="after")
    def _separator_of_list(self) -> Self:
        if self.format == "list" and self._differs_in("separator"):
            raise ValueError("names in `format: list` are separated by commas; leave `separator:`")
        return self


class UncertainFeature(OfRows):
    """A finding that is positive, negative, uncertain or not told, as CheXpert has it.

    Written as `tfds.features.ClassLabel` of `negative` (0) and `positive` (1), with `policy: class`
    also `uncertain` (2); -1 is to be masked in the loss. The policies are U-Ones, U-Zeros, U-Ignore
    and U-MultiClass of Irvin et al. (2019).

    Attributes:
      policy: What an uncertain cell is: positive (`ones`), negative (`zeros`), -1 (`ignore`), or a
        class of its own (`class`).
      blank: What a blank cell is: negative (`zeros`), -1 (`ignore`), or a `reject`ed row. A report
        does not mention what is not there: four of five cells of CheXpert are blank, and `No
        Finding` has no other negative ones, so that works on CheXpert count them as negative.
      positive: Cells that mean positive.
      negative: Cells that mean negative.
      uncertain: Cells that mean uncertain.
      across_rows: `same`; `majority`, the state that most rows tell, where several are a conflict;
        or `all`, written as a sequence.
    """

    type: Literal["uncertain"]
    policy: Literal["ones", "zeros", "ignore", "class"]
    blank: Literal["zeros", "ignore", "reject"] = "zeros"
    positive: Tokens = Field(default=["1", "1.0"])
    negative: Tokens = Field(default=["0", "0.0"])
    uncertain: Tokens = Field(default=["-1", "-1.0"])
    across_rows: Literal["same", "majority", "all"] = "same"

    @model_validator(mode="after")
    def _cells(self) -> Self:
        tokens = {"positive": self.positive, "negative": self.negative, "uncertain": self.uncertain}
        _refuse_shared(**tokens)
        for name, cells in tokens.items():
            if "" in cells:
                raise ValueError(f"`{name}:` has the blank cell, of which `blank:` tells")
        return self

    @property
    def values(self) -> list[str]:
        """The classes, in the order of their integers."""
        return [NEGATIVE, POSITIVE, *([UNCERTAIN] if self.policy == "class" else [])]

    @property
    def has_ignored(self) -> bool:
        """Whether there may be images of neither class, to be masked."""
        return "ignore" in (self.policy, self.blank)


class _Number(OfRows):
    """What numbers share.

    Attributes:
      unit: For the data card.
      format: `number`, or `age`: years such as `45`, or a number and `Y`, `M` (months), `W` or `D`,
        as DICOM has it.
      decimal: How cells write the decimal mark, `.` or `,`. The other one is an error, and so are
        marks of thousands.
      plus: With `format: age`, what becomes of `90+`: `reject`, or `keep` the number.
      across_rows: `same`, or `all`, written as a sequence.
    """

    unit: str = ""
    format: Literal["number", "age"] = "number"
    decimal: Literal[".", ","] = "."
    plus: Literal["reject", "keep"] = "reject"
    across_rows: Literal["same", "all"] = "same"

    @model_validator(mode="after")
    def _ages(self) -> Self:
        if self.format == "age" and self.unit not in ("", "years"):
            raise ValueError("`format: age` gives `unit: years`")
        if self.format != "age" and self.plus == "keep":
            raise ValueError("`plus:` is for `format: age`")
        return self


class FloatFeature(_Number):
    """A number, float32; a missing cell is NaN.

    Attributes:
      min: The least value accepted.
      max: The largest value accepted.
      infinite: Whether `inf` is a value (`keep`), a missing one (`missing`), or an error.
    """

    type: Literal["float"]
    min: float | None = None
    max: float | None = None
    infinite: Literal["reject", "keep", "missing"] = "reject"


class IntFeature(_Number):
    """A whole number, int64; of an age, the completed years.

    Attributes:
      min: The least value accepted.
      max: The largest value accepted.
      missing_as: The number that stands for a missing cell; without it such a row is rejected, or
        with `across_rows: all` tells no number.
    """

    type: Literal["int"]
    min: int | None = None
    max: int | None = None
    missing_as: int | None = None


class TextFeature(BaseFeature):
    """Free text, UTF-8; a missing cell is the empty text."""

    type: Literal["text"]


class DateFeature(BaseFeature):
    """A day, written as text of the form `2019-07-30`; a missing cell is the empty text.

    Attributes:
      format: How cells are written, by the codes of Python's `strptime`; a time of day is dropped.
    """

    type: Literal["date"]
    format: str = "%Y-%m-%d"

    @field_validator("format")
    @classmethod
    def _tells_a_day(cls, value: str) -> str:
        if not is_read_back(_DAY, value):
            raise ValueError(f"'{value}' does not tell a day, month and year as in '%Y-%m-%d'")
        return value


class IdFeature(BaseFeature):
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
    values: list[str] = Field(default=[])
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


def _refuse_merged(names: Any, key: str) -> None:
    """Refuses names that are equal, or are so in normal form, and shows both as written."""
    seen: dict[str, str] = {}
    for name in map(str, names):
        if (normal := normal_form(name)) not in seen:
            seen[normal] = name
        elif seen[normal] == name:
            raise ValueError(f"`{key}:` names '{name}' twice")
        else:
            raise ValueError(
                f"`{key}:` names {seen[normal]!a} and {name!a}, which are equal without"
                " white space around them and in Unicode's normal form (NFC)"
            )


def _refuse_shared(**tokens: list[str]) -> None:
    """Refuses a token that has two meanings."""
    owner: dict[str, str] = {}
    for key, cells in tokens.items():
        for cell in cells:
            if owner.setdefault(cell, key) != key:
                raise ValueError(f"'{cell}' stands in `{owner[cell]}:` and in `{key}:`")
