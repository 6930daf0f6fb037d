"""What a card is made from: a built dataset's own words, and its index."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from medical_images.dataset_certificate import Certificate, certificate
from medical_images.dataset_index import KEY, SPLIT, index

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

_IGNORANCE = re.compile(r"un(k|known|specified|determined)|missing|n/?a|nan|none|\?|not .+")
_CLASSES = ("class", "labels", "uncertain")
_WORDS = (("patient", "patients"), ("subject", "patients"), ("person", "patients"))
_OTHER_WORDS = (("lesion", "lesions"), ("study", "studies"), ("case", "cases"), ("eye", "eyes"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Feature:
    """A feature, as the spec tells of it.

    Attributes:
      name: Its name.
      kind: Its type in the spec: class, labels, uncertain, float, int, text, date, id, boxes, mask.
      unit: Of a number.
      description: In the spec's words.
      classes: The names of its classes.
      missing_as: The class that stands for a missing cell.
      is_list: Whether an image has several values.
    """

    name: str
    kind: str
    unit: str = ""
    description: str = ""
    classes: tuple[str, ...] = ()
    missing_as: str = ""
    is_list: bool = False

    @property
    def has_classes(self) -> bool:
        """Whether its values are of a closed list."""
        return self.kind in _CLASSES

    @property
    def class_of_missing(self) -> str:
        """The class of missing cells; none where they stand for a class of its own, such as yes."""
        is_ignorance = _IGNORANCE.fullmatch(self.missing_as.strip().lower())
        return self.missing_as if self.has_classes and is_ignorance else ""

    @property
    def is_one_class(self) -> bool:
        """Whether each image has one class of it."""
        return self.has_classes and not self.is_list

    @property
    def is_number(self) -> bool:
        """Whether each image has one number of it."""
        return self.kind in ("float", "int") and not self.is_list

    @property
    def is_age(self) -> bool:
        """Whether it is the age of the patient in years."""
        return (
            self.is_number
            and re.search(r"(^|_)age(_|$)", self.name.lower()) is not None
            and self.unit.lower() in ("", "year", "years", "a", "y")
        )

    @property
    def is_sex(self) -> bool:
        """Whether it is the sex of the patient."""
        return self.is_one_class and bool(re.search(r"(^|_)(sex|gender)(_|$)", self.name.lower()))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """A built dataset.

    Attributes:
      builder: What reads it.
      info: Its `info`.
      told: What `info.metadata` tells.
      spec: What it tells of its spec.
      certificate: Of its splits.
      table: Its index, one line an image.
      features: All but the image.
      sizes: {split: images}.
    """

    builder: Any
    info: tfds.core.DatasetInfo
    told: Mapping[str, Any]
    spec: Mapping[str, Any]
    certificate: Certificate
    table: pd.DataFrame = dataclasses.field(repr=False)
    features: tuple[Feature, ...]
    sizes: Mapping[str, int]

    @property
    def about(self) -> Mapping[str, Any]:
        """What the spec says of the corpus."""
        about: Mapping[str, Any] = self.spec.get("about", {})
        return about

    @property
    def group_columns(self) -> tuple[str, ...]:
        """The columns that tell the group."""
        columns = self.spec.get("group", ())
        return (columns,) if isinstance(columns, str) else tuple(columns)

    @property
    def group_word(self) -> str:
        """What the groups are, as far as their columns tell."""
        text = " ".join(self.group_columns).lower()
        return next((word for part, word in (*_WORDS, *_OTHER_WORDS) if part in text), "groups")

    @property
    def target(self) -> Feature | None:
        """The feature to predict; where none is named, the first one that is balanced."""
        supervised = self.info.supervised_keys
        balanced = (part.split(" & ")[0] for part in self.certificate["labels"])
        for name in [*(supervised[1:2] if supervised else ()), *balanced]:
            for feature in self.features:
                if feature.name == name and feature.has_classes:
                    return feature
        return next((f for f in self.features if f.kind == "labels"), None)

    @property
    def keys(self) -> pd.Series[int]:
        """The group of each image, as a number that tells nothing else."""
        return self.table[KEY]

    @property
    def splits(self) -> pd.Series[str]:
        """The split of each image."""
        return self.table[SPLIT]


def read_dataset(
    builder: str | tfds.core.DatasetBuilder, *, data_dir: str | os.PathLike[str] | None = None
) -> Dataset:
    """Reads what a built dataset tells of itself.

    Args:
      builder: A built dataset, or its name: `mine` is `medical_images/mine`.
      data_dir: Where a named dataset is; TFDS's own default if None.

    Raises:
      ValueError: It was not built by this version of the package.
    """
    if isinstance(builder, str):
        import tensorflow_datasets as tfds

        name = builder if "/" in builder else f"medical_images/{builder}"
        builder = tfds.builder(name, data_dir=None if data_dir is None else os.fspath(data_dir))
    info = builder.info
    told: Mapping[str, Any] = info.metadata or {}
    if "spec" not in told:
        raise ValueError(f"{info.full_name} tells nothing of its spec; build it with this version")
    return Dataset(
        builder=builder,
        info=info,
        told=told,
        spec=told["spec"],
        certificate=certificate(builder),
        table=index(builder),
        features=tuple(
            _feature(name, given, info.features[name])
            for name, given in told["spec"].get("features", {}).items()
        ),
        sizes={name: split.num_examples for name, split in info.splits.items()},
    )


def _feature(name: str, given: Mapping[str, Any], connector: Any) -> Feature:
    kind = given["type"]
    names = getattr(getattr(connector, "feature", connector), "names", None)
    return Feature(
        name=name,
        kind=kind,
        unit=given.get("unit", ""),
        description=given.get("description", ""),
        classes=tuple((names if kind in _CLASSES else None) or given.get("values", ())),
        missing_as=str(given.get("missing_as", "")),
        is_list=kind == "labels" or given.get("across_rows") == "all",
    )
