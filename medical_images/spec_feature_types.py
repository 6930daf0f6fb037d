"""All types of features of a spec, and what tells them apart."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from medical_images.spec_features import (
    BoxesFeature,
    ClassFeature,
    DateFeature,
    FloatFeature,
    IdFeature,
    IntFeature,
    LabelsFeature,
    OfRows,
    TextFeature,
    UncertainFeature,
)
from medical_images.spec_masks import MaskFeature
from medical_images.spec_parts import SpecPart

Feature = Annotated[
    ClassFeature
    | LabelsFeature
    | UncertainFeature
    | FloatFeature
    | IntFeature
    | TextFeature
    | DateFeature
    | IdFeature
    | BoxesFeature
    | MaskFeature,
    Field(discriminator="type"),
]
ClassesFeature = ClassFeature | LabelsFeature | UncertainFeature  # balanced by their classes

FEATURE_TYPES: dict[str, type[SpecPart]] = {
    get_args(part.model_fields["type"].annotation)[0]: part
    for part in get_args(get_args(Feature)[0])
}


def is_list(feature: Feature) -> bool:
    """Returns whether an image may have several values of a feature, written as a sequence."""
    return isinstance(feature, LabelsFeature) or getattr(feature, "across_rows", "") == "all"


def combines_rows(feature: Feature) -> bool:
    """Returns whether rows of one image may differ in a feature."""
    if isinstance(feature, MaskFeature):
        return feature.runs is not None
    if isinstance(feature, OfRows):
        return feature.across_rows != "same"
    return isinstance(feature, BoxesFeature)


def counts_rows(feature: Feature) -> bool:
    """Returns whether each row of an image counts, also one that is equal to another."""
    if not isinstance(feature, OfRows) or feature.reader is not None:
        return False
    return feature.across_rows in ("majority", "all")


def allowed_cells(feature: Feature) -> list[str]:
    """Returns what cells of a feature of classes may hold, for messages; empty for all others."""
    if isinstance(feature, UncertainFeature):
        return [*feature.positive, *feature.negative, *feature.uncertain]
    if isinstance(feature, ClassFeature | LabelsFeature) and feature.columns_ is not None:
        return [*feature.positive, *feature.negative]
    return feature.values if isinstance(feature, ClassesFeature | BoxesFeature) else []
