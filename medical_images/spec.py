"""The spec: the declarative description of a corpus, read from `corpus.yaml`.

Every part is a frozen pydantic model. Unknown keys, types and values are errors that name their
place in the file and the nearest known word, all of them at once.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, Literal, Self

import pydantic
from etils import epath
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from medical_images import catalog
from medical_images.errors import BuildError, Problem, SpecError, nearest
from medical_images.explode import Explode
from medical_images.paths import absolute, joined
from medical_images.rejects import CODES
from medical_images.remote import storage_errors, why_unreachable
from medical_images.spec_feature_types import ClassesFeature, Feature, is_list
from medical_images.spec_features import (
    BoxesFeature,
    ClassFeature,
    DateFeature,
    FloatFeature,
    IdFeature,
    IntFeature,
    LabelsFeature,
    TextFeature,
    UncertainFeature,
)
from medical_images.spec_images import Images
from medical_images.spec_masks import MaskFeature
from medical_images.spec_parts import (
    DICOM,
    IMAGE_PATH,
    About,
    Derive,
    Place,
    PlacedError,
    Rejects,
    SpecPart,
    Table,
)
from medical_images.spec_privacy import Privacy, wrong_privacy
from medical_images.spec_problems import problems_of
from medical_images.spec_splits import Splits, Stratum
from medical_images.yaml_source import YamlSource, parse_yaml

__all__ = [
    "NAME_PATTERN",
    "IMAGE_FEATURE", "IMAGE_PATH", "BoxesFeature", "ClassFeature", "CorpusSpec", "DateFeature",
    "Feature", "FloatFeature", "IdFeature", "IntFeature", "LabelsFeature", "LoadedSpec",
    "MaskFeature", "Splits", "Stratum", "Table", "TextFeature", "UncertainFeature",
    "leave_one_out_name", "load_spec",
]  # fmt: skip

IMAGE_FEATURE = "image"
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
_OF_FOLDER = "corpus.yaml"


class CorpusSpec(SpecPart):
    """The description of a corpus. See docs/spec.md for the format, and `load_spec` to read one.

    Attributes:
      name: Name of the dataset's config.
      description: For the dataset's info.
      homepage: For the dataset's info.
      citation: For the dataset's info.
      license: For the dataset's info.
      version: TFDS version.
      about: What a reader of the corpus should know.
      root: Corpus root, relative to this file.
      tables: The tables, in the order in which they are joined; without any, the images' paths tell
        all.
      explode: Rows that are several images.
      derive: New columns.
      images: Where the images are.
      features: What is written: {name: feature}.
      supervised: The feature that `as_supervised=True` gives beside the image.
      group: Column, or columns, of what must stay in one split; an image where all of them are
        blank is a group of its own. By default each image stands alone.
      stratify: Features to balance; `[]` for none. By default the supervised one, if it is of type
        `class`, `labels` or `uncertain`.
      splits: Which splits there are.
      duplicates: Images of the same bytes: `group` (they stay in one split), `report` (listed
        only), `reject` (one is kept).
      seed: Another seed, other splits.
      rejects: What may be rejected.
      privacy: What is hidden of patients.

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
      (('patient_id',), (Stratum(feature='label', bins=None),))
    """

    name: str = Field(pattern=NAME_PATTERN)
    description: str = ""
    homepage: str = ""
    citation: str = ""
    license: str = ""
    version: str = Field(default="1.0.0", pattern=r"^\d+\.\d+\.\d+$")
    about: About = About()
    root: str = "."
    tables: list[Table] = Field(default=[])
    explode: Explode | None = None
    derive: dict[str, Derive] = Field(default={})
    images: Images
    features: dict[str, Feature]
    supervised: str | None = None
    group: tuple[str, ...] = ()
    stratify: tuple[Stratum, ...] = ()
    splits: Splits = Splits(
        sizes={
            "train": Fraction(8, 10),
            "validation": Fraction(1, 10),
            "test": Fraction(1, 10),
        }
    )
    duplicates: Literal["group", "report", "reject"] = "group"
    seed: int = Field(default=0, ge=0)
    rejects: Rejects = Rejects()
    privacy: Privacy = Privacy()

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
            problems = problems_of(error, cls, source)
            raise SpecError(problems, headline="The spec cannot be used") from None

    @field_validator("group", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        if not isinstance(value, str | list | tuple):
            raise ValueError("takes a name, or a list of names")
        return (value,) if isinstance(value, str) else tuple(value)

    @field_validator("stratify", mode="before")
    @classmethod
    def _as_strata(cls, value: Any) -> Any:
        if not isinstance(value, str | Mapping | Stratum | list | tuple):
            raise ValueError("takes a name, {feature: name, bins: [40, 60]}, or a list of these")
        return tuple(value) if isinstance(value, list | tuple) else (value,)

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

    @model_validator(mode="after")
    def _references(self) -> Self:
        found = [
            *self._wrong_names(),
            *self._wrong_bins(),
            *self._wrong_leave_one_out(),
            *self._wrong_joins(),
            *self._wrong_derivations(),
            *self._wrong_explosion(),
            *self._wrong_privacy(),
            *self._wrong_codes(),
        ]
        if found:
            raise PlacedError(found)
        if "stratify" not in self.model_fields_set and self.supervised in self.classes:
            object.__setattr__(self, "stratify", (Stratum(feature=self.supervised),))
        return self

    def _wrong_names(self) -> Iterator[tuple[Place, str]]:
        strata = [stratum.feature for stratum in self.stratify]
        named: list[tuple[Place, str | None]] = [
            (("supervised",), self.supervised),
            *((("stratify", number), name) for number, name in enumerate(strata)),
            (("splits", "leave_one_out"), self.splits.leave_one_out),
        ]
        for place, name in named:
            if name is not None and name not in self.features:
                yield place, f"there is no feature '{name}'; {nearest(name, self.features)}"
        for number, name in enumerate(strata):
            if name in strata[:number]:
                yield ("stratify", number), f"names '{name}' twice"

    def _wrong_bins(self) -> Iterator[tuple[Place, str]]:
        for number, (name, bins) in enumerate((s.feature, s.bins) for s in self.stratify):
            feature = self.features.get(name)
            if isinstance(feature, ClassesFeature):
                if bins is not None:
                    what = f"bins are for numbers; '{name}' is balanced by its classes"
                    yield ("stratify", number, "bins"), what
            elif isinstance(feature, FloatFeature | IntFeature) and not is_list(feature):
                if bins is None:
                    what = f"a number is balanced in bins: {{feature: {name}, bins: [40, 60]}}"
                    yield ("stratify", number), what
            elif feature is not None:
                kinds = "class, labels, uncertain, float and int (one number an image)"
                what = f"takes features of type {kinds}; '{name}' is none"
                yield ("stratify", number), what

    def _wrong_leave_one_out(self) -> Iterator[tuple[Place, str]]:
        place, name = ("splits", "leave_one_out"), self.splits.leave_one_out
        if name is None or name not in self.features:
            return
        feature = self.features[name]
        if not isinstance(feature, ClassFeature) or feature.across_rows != "same":
            what = (
                f"takes a feature of type class that all rows of an image share; '{name}' is none"
            )
            yield place, what
            return
        classes: dict[str, list[str]] = {}
        for value in feature.values:
            classes.setdefault(leave_one_out_name(name, value), []).append(value)
        for split, values in classes.items():
            if len(values) > 1:
                which = ", ".join(map(repr, values))
                yield place, f"the classes {which} would all be the split '{split}'; rename them"

    def _wrong_joins(self) -> Iterator[tuple[Place, str]]:
        for number, table in enumerate(self.tables):
            if number == 0 and table.join is not None:
                yield ("tables", 0), "the first table has nothing to join"
            elif number and table.join is None:
                yield ("tables", number), "say how it joins: `join: {on, cardinality}`"

    def _wrong_derivations(self) -> Iterator[tuple[Place, str]]:
        later = list(self.derive)
        for name, derive in self.derive.items():
            if what := _wrong_source(derive.source):
                yield ("derive", name, "from"), what
            if derive.source in later:
                what = f"'{derive.source}' is not made yet; columns are derived in their order"
                yield ("derive", name, "from"), what
            later.remove(name)
        for template in self.images.templates:
            for column in self.derived_from_path.intersection(template.columns):
                source = column
                while source in self.derive and not _is_of_file(source):
                    source = self.derive[source].source
                what = f"'{column}' is itself derived from the image's path"
                if source.startswith(DICOM):
                    what = f"'{column}' is made of a header field; headers are read after images"
                    what += " are found, so they cannot name files"
                yield ("images", "path"), what

    def _wrong_codes(self) -> Iterator[tuple[Place, str]]:
        for number, code in enumerate(self.rejects.accept):
            if code not in CODES:
                yield ("rejects", "accept", number), f"no code '{code}'; {nearest(code, CODES)}"

    def _wrong_privacy(self) -> Iterator[tuple[Place, str]]:
        return wrong_privacy(
            self.privacy,
            features=self.features,
            group=self.group,
            made_of=self.made_of,
            split_column=self.splits.column,
            split_on=self.splits.on,
        )

    @property
    def made_of(self) -> dict[str, list[str]]:
        """What each column that no table has is made of, in the order of their making."""
        made: dict[str, list[str]] = {}
        for mapping in self.explode.into.values() if self.explode else ():
            for new, column in mapping.items():
                made.setdefault(new, []).append(column)
        return made | {name: [derive.source] for name, derive in self.derive.items()}

    def _wrong_explosion(self) -> Iterator[tuple[Place, str]]:
        if self.explode is None:
            return
        if not self.tables:
            yield ("explode",), "takes rows of tables, and there are none"
        for name in sorted(self.derive.keys() & set(self.explode.new_columns)):
            yield ("derive", name), f"`explode:` makes a column '{name}' already"

    @property
    def derived_from_path(self) -> set[str]:
        """The derived columns that need the image's path, directly or by way of others."""
        found: set[str] = set()
        for name, derive in self.derive.items():
            if _is_of_file(derive.source) or derive.source in found:
                found.add(name)
        return found

    @property
    def dicom_fields(self) -> tuple[str, ...]:
        """The keywords of the header fields of DICOM files that columns are made of, sorted."""
        sources = {derive.source for derive in self.derive.values()}
        return tuple(sorted(s.removeprefix(DICOM) for s in sources if s.startswith(DICOM)))

    @property
    def classes(self) -> dict[str, list[str]]:
        """The classes of each feature of classes, in the order of their integers."""
        return {
            name: feature.values
            for name, feature in self.features.items()
            if isinstance(feature, ClassesFeature)
        }

    @property
    def made_columns(self) -> set[str]:
        """The columns that no table has: those of `explode:` and of `derive:`."""
        return {*self.derive, *(self.explode.new_columns if self.explode else ())}

    @property
    def masks(self) -> dict[str, MaskFeature]:
        """The features of masks."""
        return {k: f for k, f in self.features.items() if isinstance(f, MaskFeature)}

    @property
    def images_and_masks(self) -> Images:
        """What is said of images, with the paths of masks among theirs, which enter files too."""
        paths = [path for feature in self.masks.values() for path in feature.path or ()]
        return self.images.model_copy(update={"path": [*self.images.path, *paths]})

    @property
    def boxes(self) -> tuple[str, BoxesFeature] | None:
        """The name and the spec of the boxes feature, if there is one."""
        for name, feature in self.features.items():
            if isinstance(feature, BoxesFeature):
                return name, feature
        return None

    def columns_used(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yields (place in the spec, column) for every column that the spec reads."""
        if self.explode is not None:
            for entry, mapping in self.explode.into.items():
                for new, column in mapping.items():
                    yield ("explode", "into", entry, new), column
        for name, derive in self.derive.items():
            if not _is_of_file(derive.source):
                yield ("derive", name, "from"), derive.source
        for template in self.images.templates:
            for column in template.columns:
                yield ("images", "path"), column
        for name, feature in self.features.items():
            for column in feature.columns(name):
                yield ("features", name), column
        for column in self.group:
            yield ("group",), column
        if self.splits.column is not None:
            yield ("splits", "column"), self.splits.column
        if self.splits.files and self.splits.on != IMAGE_PATH:
            yield ("splits", "on"), self.splits.on
        if self.privacy.shift_dates is not None:
            yield ("privacy", "shift_dates", "by"), self.privacy.shift_dates.by


def _is_of_file(source: str) -> bool:
    """Whether a column is derived from the image's file, and not from another column."""
    return source == IMAGE_PATH or source.startswith(DICOM)


def _wrong_source(source: str) -> str:
    """Says what is wrong with the name of a DICOM field; "" too where pydicom is not installed."""
    if not source.startswith(DICOM):
        return ""
    name = source.removeprefix(DICOM)
    from medical_images.dicom.headers import is_keyword

    try:
        if is_keyword(name):
            return ""
    except BuildError:
        return ""  # no DICOM file can be read either, which will be told
    from pydicom.datadict import keyword_dict

    near = difflib.get_close_matches(name, keyword_dict, n=1)
    meant = f"; did you mean '{near[0]}'?" if near else ""
    return f"'{name}' is no keyword of a DICOM field of text or numbers, such as PatientAge{meant}"


def leave_one_out_name(feature: str, value: str) -> str:
    """Returns the name of the split of one class of the feature that is left out.

    Example:
      >>> leave_one_out_name('site', 'St. Mary')
      'site_St__Mary'
    """
    return re.sub(r"\W", "_", f"{feature}_{value}")


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
      spec: The path of a YAML file or of a folder with a `corpus.yaml`, or the name of a corpus of
        the catalog, or a spec made in code.
      root: The corpus root; by default `root:` of the spec, relative to the spec's file, and of a
        corpus of the catalog `manual_root` of its name.

    Raises:
      SpecError: The file is missing or not valid; every problem is listed.
    """
    if isinstance(spec, str) and is_of_catalog(spec):
        return load_spec(catalog.path_of(spec), root=root or manual_root(spec))
    if isinstance(spec, CorpusSpec | Mapping):
        made = spec if isinstance(spec, CorpusSpec) else CorpusSpec.from_dict(spec)
        source = YamlSource("spec", {}, {})
        base = absolute(root or made.root)
        _refuse_unreachable(base, headline="The corpus cannot be reached")
        return LoadedSpec(spec=made, source=source, path=None, root=base)
    path = epath.Path(absolute(spec))
    _refuse_unreachable(path, headline="The spec cannot be read")
    if not path.exists():
        what, name = "there is no such file", os.fspath(spec)
        if re.fullmatch(r"\w+", name):
            what += f", and the catalog has no such corpus; {nearest(name, catalog.names())}"
        raise SpecError(
            [Problem(where=os.fspath(path), what=what)], headline="The spec cannot be read"
        )
    try:
        text = path.read_bytes().decode("utf-8")
    except storage_errors(UnicodeDecodeError) as error:
        what = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else "cannot be read"
        if isinstance(error, IsADirectoryError):
            inside = path / _OF_FOLDER
            if inside.exists():
                return load_spec(inside, root=root)
            what = f"is a folder without a {_OF_FOLDER}; `medical-images init` drafts one"
        raise SpecError([Problem(where=os.fspath(path), what=what)]) from None
    source = parse_yaml(text, name=os.fspath(spec))
    parsed = CorpusSpec.from_dict(source.data, source=source)
    base = absolute(root) if root is not None else joined(path.parent, parsed.root)
    _refuse_unreachable(base, headline="The corpus cannot be reached")
    return LoadedSpec(spec=parsed, source=source, path=os.fspath(path), root=base)


def is_of_catalog(spec: str) -> bool:
    """Tells whether a spec is named by its name in the catalog; a spec of that name goes first."""
    own = (spec, os.path.join(spec, _OF_FOLDER))
    return spec in catalog.names() and not any(map(os.path.isfile, own))


def manual_root(name: str, *, manual_dir: str | os.PathLike[str] | None = None) -> str:
    """Returns where a corpus of the catalog is looked for: the folder of its name.

    Args:
      name: Its name.
      manual_dir: The folder of what was downloaded by hand; by default TFDS's own.
    """
    if manual_dir is None:
        data_dir = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
        manual_dir = os.path.join(os.path.expanduser(data_dir), "downloads", "manual")
    return joined(epath.Path(absolute(manual_dir)), name)


def _refuse_unreachable(path: str | os.PathLike[str], *, headline: str) -> None:
    if found := why_unreachable(path):
        what, remedy = found
        problem = Problem(where=os.fspath(path), what=what, remedy=remedy)
        raise SpecError([problem], headline=headline)
