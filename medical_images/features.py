"""The spec's features as TFDS features, and records as examples.

TFDS is imported here, TensorFlow is not: encoding needs none of it, and a worker process that
imports it would spend longer on that than on a small build.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import tensorflow_datasets as tfds

from medical_images.join import feature_column
from medical_images.resizing import Placement, place
from medical_images.spec import (
    IMAGE_FEATURE,
    BoxesFeature,
    ClassFeature,
    CorpusSpec,
    DateFeature,
    Feature,
    FloatFeature,
    IdFeature,
    IntFeature,
    LabelsFeature,
    MaskFeature,
    TextFeature,
    UncertainFeature,
)
from medical_images.spec_feature_types import is_list
from medical_images.spec_images import Resize


def features_dict(spec: CorpusSpec) -> tfds.features.FeaturesDict:
    """Returns the dataset's features: `image` and those of the spec.

    Returns:
      `image`: uint8 or uint16 of shape (height, width, channels); class and uncertain: int64
      scalar; labels: int64 of shape (labels,); float: float32 scalar; int: int64 scalar; text, date
      and id: bytes scalar; with `across_rows: all` of shape (values,); boxes: `bbox` float32 of
      shape (boxes, 4) as (ymin, xmin, ymax, xmax) in [0, 1], and `label`; mask: uint8 of shape
      (height, width, 1).
    """
    image = tfds.features.Image(
        shape=(None, None, spec.images.channels), dtype=np.dtype(spec.images.dtype)
    )
    others = {name: _connector(feature) for name, feature in spec.features.items()}
    return tfds.features.FeaturesDict({IMAGE_FEATURE: image, **others})


def metadata_features(spec: CorpusSpec) -> tfds.features.FeaturesDict:
    """Returns the features without the image and masks."""
    return tfds.features.FeaturesDict(
        {name: _connector(feature) for name, feature in _metadata(spec).items()}
    )


def _metadata(spec: CorpusSpec) -> dict[str, Feature]:
    return {name: f for name, f in spec.features.items() if not isinstance(f, MaskFeature)}


def _connector(feature: Feature) -> tfds.features.FeatureConnector:
    unit = getattr(feature, "unit", "")
    doc = " ".join(filter(None, [feature.description, f"Unit: {unit}." if unit else ""])) or None
    if is_list(feature):
        return tfds.features.Sequence(_connector_of_one(feature, None), doc=doc)
    return _connector_of_one(feature, doc)


def _connector_of_one(feature: Feature, doc: str | None) -> tfds.features.FeatureConnector:
    match feature:
        case ClassFeature() | LabelsFeature() | UncertainFeature():
            return tfds.features.ClassLabel(names=feature.values, doc=doc)
        case FloatFeature():
            return tfds.features.Scalar(np.float32, doc=doc)
        case IntFeature():
            return tfds.features.Scalar(np.int64, doc=doc)
        case TextFeature() | DateFeature() | IdFeature():
            return tfds.features.Text(doc=doc)
        case MaskFeature():
            return tfds.features.Image(shape=(None, None, 1), dtype=np.uint8, doc=doc)
        case BoxesFeature():
            box: dict[str, Any] = {"bbox": tfds.features.BBoxFeature()}
            if feature.label is not None:
                box["label"] = tfds.features.ClassLabel(names=feature.values)
            return tfds.features.Sequence(box, doc=doc)


def iter_metadata(records: pd.DataFrame, spec: CorpusSpec) -> Iterator[dict[str, Any]]:
    """Yields, for each record, its example without the image and masks.

    Args:
      records: Records with their typed values; with boxes also `width` and `height`.
      spec: The features.

    Yields:
      Values ready for `encode_example` of `metadata_features(spec)`.
    """
    columns: list[list[Any]] = []
    features = _metadata(spec)
    for name, feature in features.items():
        values = records[feature_column(name)]
        if isinstance(feature, BoxesFeature):
            encode = _box_encoder(feature, spec.images.resize)
            boxes = zip(values, records["width"], records["height"], strict=True)
            columns.append([encode(*box) for box in boxes])
        elif isinstance(feature, UncertainFeature):
            columns.append([_masked(value) for value in values])
        else:
            columns.append(values.tolist())
    names = list(features)
    if not names:
        yield from ({} for _ in range(len(records)))
    for cells in zip(*columns, strict=True):
        yield dict(zip(names, cells, strict=True))


def _masked(value: Any) -> Any:
    """Returns a class, or a tuple of them, with -1 for what is to be masked."""
    return tuple(map(_masked, value)) if isinstance(value, tuple) else value or -1


def _box_encoder(
    feature: BoxesFeature, resize: Resize | None
) -> Callable[[tuple[tuple[Any, ...], ...], int, int], Mapping[str, Any]]:
    @functools.lru_cache(1 << 10)
    def placed(width: int, height: int) -> Placement:
        return place(width, height, resize)

    def encode(boxes: tuple[tuple[Any, ...], ...], width: int, height: int) -> Mapping[str, Any]:
        placement = placed(width, height)
        corners = []
        for box in boxes:
            x1, y1, x2, y2 = placement.box(*box[:4])
            x1, x2 = x1 / placement.width, x2 / placement.width
            y1, y2 = y1 / placement.height, y2 / placement.height
            corners.append(tfds.features.BBox(ymin=y1, xmin=x1, ymax=y2, xmax=x2))
        if feature.label is None:
            return {"bbox": corners}
        return {"bbox": corners, "label": [box[4] for box in boxes]}

    return encode
