"""The spec: the declarative description of a corpus, read from `corpus.yaml`.

Every part is a frozen pydantic model. Unknown keys, types and values are errors that name their
place in the file and the nearest known word, all of them at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Self, get_args

import pydantic
from etils import epath
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from medical_images.errors import Problem, SpecError, nearest
from medical_images.paths import absolute
from medical_images.spec_parts import (
    FEATURE_TYPES,
    BoxesFeature,
    ClassFeature,
    Derive,
    Feature,
    FloatFeature,
    IdFeature,
    Images,
    IntFeature,
    LabelsFeature,
    Rejects,
    SpecPart,
    Table,
    TextFeature,
)
from medical_images.yaml_source import YamlSource, parse_yaml

__all__ = [
    "NAME_PATTERN",
    "IMAGE_FEATURE", "IMAGE_PATH", "BoxesFeature", "ClassFeature", "CorpusSpec", "Feature",
    "FloatFeature", "IdFeature", "IntFeature", "LabelsFeature", "LoadedSpec", "Table",
    "TextFeature", "load_spec",
]  # fmt: skip

IMAGE_PATH = "images.path"  # `derive: {column: {from: images.path, ...}}` reads the image's path
IMAGE_FEATURE = "image"
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"


Place = tuple[str | int, ...]


class _ReferenceError(ValueError):
    """Names in one part of a spec that another part does not hold."""

    def __init__(self, found: Sequence[tuple[Place, str]]) -> None:
        super().__init__("; ".join(what for _, what in found))
        self.found = found


class CorpusSpec(SpecPart):
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

    name: str = Field(pattern=NAME_PATTERN)
    description: str = ""
    homepage: str = ""
    citation: str = ""
    license: str = ""
    version: str = Field(default="1.0.0", pattern=r"^\d+\.\d+\.\d+$")
    root: str = "."
    tables: list[Table] = Field(default=[])
    derive: dict[str, Derive] = Field(default={})
    images: Images
    features: dict[str, Feature]
    supervised: str | None = None
    group: tuple[str, ...] = ()
    stratify: tuple[str, ...] = ()
    splits: dict[str, Fraction] = Field(
        default={
            "train": Fraction(8, 10),
            "validation": Fraction(1, 10),
            "test": Fraction(1, 10),
        }
    )
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
            problems = [p for item in error.errors() for p in _as_problems(item, source)]
            raise SpecError(problems, headline="The spec cannot be used") from None

    @field_validator("group", "stratify", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        if not isinstance(value, str | list | tuple):
            raise ValueError("takes a name, or a list of names")
        return (value,) if isinstance(value, str) else tuple(value)

    @field_validator("features")
    @classmethod
    def _named_features(cls, features: dict[str, Feature]) -> dict[str, Feature]:
        if IMAGE_FEATURE in features:
            raise ValueError("'image' is the image itself; call this feature something else")
        wrong = [name for name in features if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name)]
        if wrong:
            raise ValueError(
                f"not a feature name (a letter, then letters, digits, _): {', '.join(wrong)}"
            )
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
    def _references(self) -> Self:
        found = [*self._wrong_names(), *self._wrong_joins(), *self._wrong_derivations()]
        if found:
            raise _ReferenceError(found)
        if not self.stratify and self.supervised in self.classes:
            object.__setattr__(self, "stratify", (self.supervised,))
        return self

    def _wrong_names(self) -> Iterator[tuple[Place, str]]:
        named = [("supervised", name) for name in [self.supervised] if name is not None]
        for key, name in [*named, *(("stratify", name) for name in self.stratify)]:
            if name not in self.features:
                yield (key,), f"there is no feature '{name}'; {nearest(name, self.features)}"
            elif key == "stratify" and name not in self.classes:
                yield (key,), f"takes features of type class and labels; '{name}' is none"

    def _wrong_joins(self) -> Iterator[tuple[Place, str]]:
        for number, table in enumerate(self.tables):
            if number == 0 and table.join is not None:
                yield ("tables", 0), "the first table has nothing to join"
            elif number and table.join is None:
                yield ("tables", number), "say how it joins: `join: {on, cardinality}`"

    def _wrong_derivations(self) -> Iterator[tuple[Place, str]]:
        later = list(self.derive)
        for name, derive in self.derive.items():
            if derive.source in later:
                what = f"'{derive.source}' is not made yet; columns are derived in their order"
                yield ("derive", name, "from"), what
            later.remove(name)
        for template in self.images.templates:
            for column in self.derived_from_path.intersection(template.columns):
                yield ("images", "path"), f"'{column}' is itself derived from the image's path"

    @property
    def derived_from_path(self) -> set[str]:
        """The derived columns that need the image's path, directly or by way of others."""
        found: set[str] = set()
        for name, derive in self.derive.items():
            if derive.source == IMAGE_PATH or derive.source in found:
                found.add(name)
        return found

    @property
    def classes(self) -> dict[str, list[str]]:
        """The classes of each class and labels feature, in the order of their integers."""
        return {
            name: feature.values
            for name, feature in self.features.items()
            if isinstance(feature, ClassFeature | LabelsFeature)
        }

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
        return LoadedSpec(spec=made, source=source, path=None, root=absolute(root or made.root))
    path = epath.Path(absolute(spec))
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
    source = parse_yaml(text, name=os.fspath(spec))
    parsed = CorpusSpec.from_dict(source.data, source=source)
    base = root if root is not None else path.parent / os.path.expanduser(parsed.root)
    return LoadedSpec(spec=parsed, source=source, path=os.fspath(path), root=absolute(base))


def _as_problems(error: Any, source: YamlSource) -> list[Problem]:
    """Turns one of pydantic's errors into problems with their places in the YAML text."""
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, _ReferenceError):
        return [Problem(where=source.where(path), what=what) for path, what in cause.found]
    loc: Place = error["loc"]
    # Inside a feature pydantic names its type, which is no part of the path in YAML.
    path = loc[:2] + loc[3:] if loc[:1] == ("features",) else loc
    kind, last = error["type"], str(loc[-1]) if loc else ""
    if kind == "extra_forbidden":
        what = f"unknown key '{last}'; {nearest(last, _known_keys(loc[:-1]))}"
    elif kind == "missing":
        path, what = path[:-1], f"the key '{last}' is missing"
    elif kind == "union_tag_invalid":
        found = error["ctx"]["tag"]
        path, what = (*path, "type"), f"unknown type '{found}'; {nearest(found, FEATURE_TYPES)}"
    elif kind == "union_tag_not_found":
        what = f"the key 'type' is missing; known types: {', '.join(FEATURE_TYPES)}"
    elif kind == "literal_error":
        what = f"'{error['input']}' is not allowed; allowed: {error['ctx']['expected']}"
    else:
        what = error["msg"].removeprefix("Value error, ")
    return [Problem(where=source.where(path), what=what)]


def _known_keys(loc: Place) -> list[str]:
    """Returns the keys that the part of the spec at `loc` knows."""
    part: type[BaseModel] = CorpusSpec
    if loc[:1] == ("features",) and len(loc) > 2:
        part = FEATURE_TYPES[str(loc[2])]
    elif loc[:1] == ("derive",) and len(loc) > 1:
        part = Derive
    else:
        for piece in loc:
            field = part.model_fields.get(str(piece))
            part = (_model_inside(field.annotation) if field else None) or part
    return [field.alias or name for name, field in part.model_fields.items()]


def _model_inside(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_inside, get_args(annotation))), None)
