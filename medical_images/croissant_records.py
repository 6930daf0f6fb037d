"""The record sets that Croissant tells of: splits, classes, and the fields of the index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import mlcroissant as mlc  # type: ignore[import-untyped]

from medical_images.dataset_index import FOLDER, GROUP, KEY, POSITION, SPLIT
from medical_images.spec import (
    BoxesFeature,
    CorpusSpec,
    DateFeature,
    Feature,
    FloatFeature,
    IntFeature,
    MaskFeature,
)
from medical_images.spec_feature_types import ClassesFeature, is_list

RECORDS = "examples"  # the record set of the index
_SPLITS, _CLASSES = "splits", "classes-"
_SPLIT_OF_FILE = r"^(.+?)(?:\.parquet)?$"  # readers apply it to what it gave once more
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_SC, _SPLIT_TYPE = "https://schema.org/", "http://mlcommons.org/croissant/Split"
_TEXT, _INTEGER, _FLOAT = f"{_SC}Text", f"{_SC}Integer", f"{_SC}Float"
_OURS = {
    GROUP: (_TEXT, "The group that stays in one split; none is a group of its own."),
    KEY: (_INTEGER, "A keyed hash of the group."),
    POSITION: (_FLOAT, "The place of the group on the line of its split, from 0 to 1."),
}


def record_sets(spec: CorpusSpec, splits: Sequence[str]) -> list[mlc.RecordSet]:
    """Tells of the splits, of the classes of each feature, and of the records of the index.

    Args:
      spec: What the dataset was made for.
      splits: The names of its splits.

    Example:
      >>> spec = CorpusSpec.from_dict({
      ...     'name': 'mine', 'images': {'path': '{label}/*.png'},
      ...     'features': {'label': {'type': 'class', 'values': ['benign', 'malignant']}},
      ... })
      >>> [records.id for records in record_sets(spec, ['train', 'test'])]
      ['splits', 'classes-label', 'examples']
    """
    return [
        _enumeration(_SPLITS, splits, data_type=_SPLIT_TYPE),
        *(
            _enumeration(f"{_CLASSES}{name}", classes, data_type=f"{_SC}Enumeration")
            for name, classes in spec.classes.items()
        ),
        mlc.RecordSet(
            id=RECORDS,
            name=RECORDS,
            description="One record an image, without its pixels.",
            fields=[_split_field(), *_fields(spec)],
        ),
    ]


def _enumeration(name: str, values: Iterable[str], *, data_type: str) -> mlc.RecordSet:
    """A record set of names and their numbers."""
    fields = {f"{name}/name": _TEXT, f"{name}/number": _INTEGER}
    return mlc.RecordSet(
        id=name,
        name=name,
        data_types=[data_type],
        key=[f"{name}/name"],
        fields=[
            mlc.Field(id=field, name=field.rpartition("/")[2], data_types=[kind])
            for field, kind in fields.items()
        ],
        data=[dict(zip(fields, (value, k), strict=True)) for k, value in enumerate(values)],
    )


def _split_field() -> mlc.Field:
    return mlc.Field(
        id=f"{RECORDS}/{SPLIT}",
        name=SPLIT,
        description="The split.",
        data_types=[_TEXT],
        references=mlc.Source(field=f"{_SPLITS}/name"),
        source=mlc.Source(
            file_set=FOLDER,
            extract=mlc.Extract(file_property="filename"),
            transforms=[mlc.Transform(regex=_SPLIT_OF_FILE)],
        ),
    )


def _fields(spec: CorpusSpec) -> Iterator[mlc.Field]:
    for name, feature in spec.features.items():
        if isinstance(feature, BoxesFeature):
            yield _boxes_field(name, feature)
        elif not isinstance(feature, MaskFeature):
            more = ""
            if isinstance(feature, ClassesFeature):
                more = f"The classes are the records of `{_CLASSES}{name}`."
            elif isinstance(feature, FloatFeature | IntFeature) and feature.unit:
                more = f"In {feature.unit}."
            yield _field(
                name,
                _data_type(feature),
                as_text(feature.description, more),
                repeated=is_list(feature) or None,
            )
    for name, (data_type, description) in _OURS.items():
        yield _field(name, data_type, description)


def _field(
    name: str, data_type: str, description: str, *, repeated: bool | None = None
) -> mlc.Field:
    return mlc.Field(
        id=f"{RECORDS}/{name}",
        name=name,
        description=description or None,
        data_types=[data_type],
        repeated=repeated,
        source=_column(name),
    )


def _boxes_field(name: str, feature: BoxesFeature) -> mlc.Field:
    parts = dict.fromkeys(_CORNERS, _FLOAT)
    if feature.label is not None:
        parts["label"] = _TEXT
    return mlc.Field(
        id=f"{RECORDS}/{name}",
        name=name,
        description=as_text(
            feature.description, "Boxes, in pixels of the upright image, before `resize`."
        ),
        repeated=True,
        sub_fields=[
            mlc.Field(
                id=f"{RECORDS}/{name}/{part}",
                name=part,
                data_types=[data_type],
                source=_column(name, transforms=[mlc.Transform(json_path=part)]),
            )
            for part, data_type in parts.items()
        ],
    )


def _column(name: str, **more: Any) -> mlc.Source:
    return mlc.Source(file_set=FOLDER, extract=mlc.Extract(column=name), **more)


def _data_type(feature: Feature) -> str:
    match feature:
        case FloatFeature():
            return _FLOAT
        case IntFeature():
            return _INTEGER
        case DateFeature():
            return f"{_SC}Date"
        case _:
            return _TEXT


def as_text(*sentences: str) -> str:
    """Puts sentences together; empty ones are left out."""
    return " ".join(sentence for sentence in sentences if sentence)
