"""The spec: the declarative description of a corpus, read from `corpus.yaml`.

Every part is a frozen pydantic model. Unknown keys, types and values are errors that name their
place in the file and the nearest known word, all of them at once.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Annotated, Any, Literal, get_args

import pydantic
from etils import epath
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from medical_images.errors import Problem, SpecError, nearest
from medical_images.template import PathTemplate
from medical_images.yaml_source import YamlSource, parse_yaml

IMAGE_PATH = "images.path"  # `derive: {column: {from: images.path, ...}}` reads the image's path
IMAGE_FEATURE = "image"


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        coerce_numbers_to_str=True,
        str_strip_whitespace=True,
    )


class Dialect(_Part):
    """How a table's text is written.

    Attributes:
      separator: One character; the default is a tab for `.tsv` and a comma for all else.
      encoding: A Python codec name; a UTF-8 byte order mark is dropped.
      quote: The character around cells that hold separators or line ends.
      header: Whether the first line names the columns; if not, `columns:` of the table does.
      skip_lines: Lines before the header (or before the rows) to pass over.
    """

    separator: str | None = None
    encoding: str = "utf-8"
    quote: str = Field(default='"', min_length=1, max_length=1)
    header: bool = True
    skip_lines: int = Field(default=0, ge=0)

    # Whitespace separators must survive `str_strip_whitespace`.
    @field_validator("separator", mode="wrap")
    @classmethod
    def _one_character(cls, value: Any, _: Any) -> str | None:
        named = {"\\t": "\t", "tab": "\t", "space": " "}
        text = named.get(value, value)
        if text is not None and (not isinstance(text, str) or len(text) != 1):
            raise ValueError("a separator is one character, `tab` or `space`")
        return text


class Join(_Part):
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


class Table(_Part):
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
    missing: list[str] = [""]
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
    def _named_columns(self) -> Table:
        if self.dialect.header == (self.columns is not None):
            raise ValueError("give `columns:` exactly when `dialect: {header: false}`")
        return self


class Derive(_Part):
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


class Images(_Part):
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


class _Feature(_Part):
    """What all features share.

    Attributes:
      column: The column it is read from; the feature's own name by default.
      missing: Cells that mean missing for this feature, beside those of the table.
      description: A sentence for the data card.
    """

    column: str | None = None
    missing: list[str] = []
    description: str = ""

    def columns(self, name: str) -> tuple[str, ...]:
        """The columns read, given the feature's name."""
        return (self.column or name,)


class _Vocabulary(_Feature):
    values: list[str]
    rename: dict[str, str] = {}

    @field_validator("values")
    @classmethod
    def _normal_form(cls, values: list[str]) -> list[str]:
        return [unicodedata.normalize("NFC", value) for value in values]

    @model_validator(mode="after")
    def _consistent(self) -> _Vocabulary:
        if not self.values:
            raise ValueError("`values:` must name at least one class")
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
    missing_as: str | None = None

    @model_validator(mode="after")
    def _known_default(self) -> ClassFeature:
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
    separator: str = "|"


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


class BoxesFeature(_Feature):
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
    rename: dict[str, str] = {}
    degenerate: Literal["reject", "drop"] = "reject"
    outside: Literal["reject", "clip", "drop"] = "reject"

    @model_validator(mode="after")
    def _label_and_values(self) -> BoxesFeature:
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

_FEATURE_TYPES: dict[str, type[_Part]] = {
    get_args(part.model_fields["type"].annotation)[0]: part
    for part in (
        ClassFeature, LabelsFeature, FloatFeature, IntFeature, TextFeature, IdFeature, BoxesFeature,
    )
}  # fmt: skip


class Rejects(_Part):
    """What happens to rows and files that cannot be used.

    Attributes:
      max_fraction: The largest accepted share of rejected rows and files, 0 to 1; a build with
        more stops before anything is written.
      rows_without_image: `reject`, `report` (listed, not counted against `max_fraction`) or
        `refuse` (the build stops).
      images_without_row: The same for files that no row names.
      file: Where to list them; beside the spec by default. It is personal data.
    """

    max_fraction: float = Field(default=0.0, ge=0, le=1)
    rows_without_image: Literal["reject", "report", "refuse"] = "reject"
    images_without_row: Literal["reject", "report", "refuse"] = "report"
    file: str | None = None


class CorpusSpec(_Part):
    """The description of a corpus. See the README for the format, and `load_spec` to read one.

    Example:
      >>> spec = CorpusSpec.from_dict({
      ...     'name': 'mine',
      ...     'tables': [{'path': 'data.csv'}],
      ...     'images': {'path': '{image_id}.png'},
      ...     'features': {'label': {'type': 'class', 'values': ['benign', 'malignant']}},
      ...     'supervised': 'label',
      ...     'group': 'patient_id',
      ... })
      >>> spec.group, spec.stratify
      (('patient_id',), ('label',))
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    description: str = ""
    homepage: str = ""
    citation: str = ""
    license: str = ""
    version: str = Field(default="1.0.0", pattern=r"^\d+\.\d+\.\d+$")
    root: str = "."
    tables: list[Table] = []
    derive: dict[str, Derive] = {}
    images: Images
    features: dict[str, Feature]
    supervised: str | None = None
    group: tuple[str, ...] = ()
    stratify: tuple[str, ...] = ()
    splits: dict[str, Fraction] = {
        "train": Fraction(8, 10),
        "validation": Fraction(1, 10),
        "test": Fraction(1, 10),
    }
    seed: int = Field(default=0, ge=0)
    rejects: Rejects = Rejects()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, source: YamlSource | None = None) -> CorpusSpec:
        """Makes a spec from plain values.

        Raises:
          SpecError: Lists every problem, with its place where `source` knows it.
        """
        source = source or YamlSource("spec", data, {})
        if not isinstance(data, Mapping):
            raise SpecError([Problem(where=source.where(()), what="a spec is a mapping of keys")])
        try:
            return cls.model_validate(data)
        except pydantic.ValidationError as error:
            problems = [_as_problem(item, source) for item in error.errors()]
            raise SpecError(problems, headline="The spec cannot be used") from None

    @field_validator("group", "stratify", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else tuple(value)

    @field_validator("features")
    @classmethod
    def _named_features(cls, features: dict[str, Feature]) -> dict[str, Feature]:
        if IMAGE_FEATURE in features:
            raise ValueError("'image' is the image itself; call this feature something else")
        wrong = [name for name in features if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)]
        if wrong:
            raise ValueError(f"not a feature name (letters, digits, _): {', '.join(wrong)}")
        if sum(isinstance(feature, BoxesFeature) for feature in features.values()) > 1:
            raise ValueError("a corpus has at most one feature of type boxes")
        return features

    @field_validator("splits", mode="before")
    @classmethod
    def _as_fractions(cls, splits: Any) -> Any:
        if not isinstance(splits, Mapping):
            raise ValueError("`splits:` maps names to shares, such as {train: 0.8, test: 0.2}")
        try:
            return {name: Fraction(str(share)) for name, share in splits.items()}
        except (ValueError, ZeroDivisionError):
            raise ValueError("a share is a number such as 0.8 or a fraction such as 1/3") from None

    @field_validator("splits")
    @classmethod
    def _whole(cls, splits: dict[str, Fraction]) -> dict[str, Fraction]:
        wrong = [name for name in splits if not re.fullmatch(r"\w+", name) or name == "all"]
        if wrong:
            raise ValueError(f"not a split name: {', '.join(wrong)}")
        if any(share <= 0 for share in splits.values()) or sum(splits.values()) != 1:
            total = float(sum(splits.values()))
            raise ValueError(f"the shares must be above 0 and add up to 1; they add up to {total}")
        return splits

    @model_validator(mode="after")
    def _references(self) -> CorpusSpec:
        for key, names in (("supervised", self.supervised), ("stratify", self.stratify)):
            for name in [names] if isinstance(names, str) else names or ():
                if name not in self.features:
                    raise ValueError(
                        f"`{key}:` names no feature '{name}'; {nearest(name, self.features)}"
                    )
        for name in self.stratify:
            if not isinstance(self.features[name], ClassFeature | LabelsFeature):
                raise ValueError(f"`stratify:` takes class and labels features; '{name}' is none")
        if self.tables and self.tables[0].join is not None:
            raise ValueError("tables.0: the first table has nothing to join")
        for number, table in enumerate(self.tables[1:], start=1):
            if table.join is None:
                raise ValueError(f"tables.{number}: say how it joins: `join: {{on, cardinality}}`")
        if not self.stratify and self.supervised is not None:
            feature = self.features[self.supervised]
            if isinstance(feature, ClassFeature | LabelsFeature):
                object.__setattr__(self, "stratify", (self.supervised,))
        return self

    @property
    def boxes(self) -> tuple[str, BoxesFeature] | None:
        """The name and the spec of the boxes feature, if there is one."""
        for name, feature in self.features.items():
            if isinstance(feature, BoxesFeature):
                return name, feature
        return None

    def columns_used(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yields (place in the spec, column) for every column that the spec reads."""
        for name, derive in self.derive.items():
            if derive.source != IMAGE_PATH:
                yield ("derive", name, "from"), derive.source
        for template in self.images.templates:
            for column in template.columns:
                yield ("images", "path"), column
        for name, feature in self.features.items():
            for column in feature.columns(name):
                yield ("features", name), column
        for column in self.group:
            yield ("group",), column


class LoadedSpec(BaseModel):
    """A spec with the places it came from.

    Attributes:
      spec: The spec.
      source: The YAML text's places, for messages.
      path: The spec's file; None for a spec made in code.
      root: The corpus root, absolute or remote.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    spec: CorpusSpec
    source: YamlSource
    path: str | None
    root: str


def load_spec(
    spec: str | os.PathLike[str] | CorpusSpec | Mapping[str, Any],
    *,
    root: str | os.PathLike[str] | None = None,
) -> LoadedSpec:
    """Reads and checks a spec.

    Args:
      spec: The path of a YAML file, or a spec made in code.
      root: The corpus root; by default `root:` of the spec, relative to the spec's file.

    Raises:
      SpecError: The file is missing or not valid; every problem is listed.
    """
    if isinstance(spec, CorpusSpec | Mapping):
        made = spec if isinstance(spec, CorpusSpec) else CorpusSpec.from_dict(spec)
        source = YamlSource("spec", {}, {})
        return LoadedSpec(spec=made, source=source, path=None, root=os.fspath(root or made.root))
    path = epath.Path(spec).expanduser()
    if not path.exists():
        raise SpecError(
            [Problem(where=os.fspath(path), what="there is no such file")],
            headline="The spec cannot be read",
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        what = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else "cannot be read"
        raise SpecError([Problem(where=os.fspath(path), what=what)]) from None
    source = parse_yaml(text, name=os.fspath(path))
    parsed = CorpusSpec.from_dict(source.data, source=source)
    base = epath.Path(root).expanduser() if root is not None else path.parent / parsed.root
    return LoadedSpec(spec=parsed, source=source, path=os.fspath(path), root=os.fspath(base))


def _as_problem(error: Any, source: YamlSource) -> Problem:
    """Turns one of pydantic's errors into a problem with its place in the YAML text."""
    loc: tuple[str | int, ...] = error["loc"]
    # pydantic puts the tag of a union into the location; YAML does not know it.
    path = tuple(
        part
        for index, part in enumerate(loc)
        if not (index == 2 and loc[0] == "features" and part in _FEATURE_TYPES)
    )
    kind, last = error["type"], str(loc[-1]) if loc else ""
    if kind == "extra_forbidden":
        what = f"unknown key '{last}'; {nearest(last, _known_keys(loc[:-1]))}"
    elif kind == "missing":
        path, what = path[:-1], f"the key '{last}' is missing"
    elif kind == "union_tag_invalid":
        found = error["ctx"]["tag"]
        path, what = (*path, "type"), f"unknown type '{found}'; {nearest(found, _FEATURE_TYPES)}"
    elif kind == "union_tag_not_found":
        what = f"the key 'type' is missing; known types: {', '.join(_FEATURE_TYPES)}"
    elif kind == "literal_error":
        what = f"'{error['input']}' is not allowed; allowed: {error['ctx']['expected']}"
    else:
        what = error["msg"].removeprefix("Value error, ")
    return Problem(where=source.where(path), what=what)


def _known_keys(loc: Sequence[str | int]) -> list[str]:
    """Returns the keys that the part of the spec at `loc` knows."""
    part: type[BaseModel] = CorpusSpec
    for piece in loc:
        if piece in _FEATURE_TYPES and part is CorpusSpec:
            part = _FEATURE_TYPES[str(piece)]
            continue
        field = part.model_fields.get(str(piece))
        inner = _model_inside(field.annotation) if field is not None else None
        part = inner or part
    return [field.alias or name for name, field in part.model_fields.items()]


def _model_inside(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = _model_inside(inner)
        if found is not None and found not in _FEATURE_TYPES.values():
            return found
    return None
