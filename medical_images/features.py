"""The spec's features as TFDS features, and records as examples.

TFDS is imported here, TensorFlow is not: encoding needs none of it, and a worker process that
imports it would spend longer on that than on a small build.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import tensorflow_datasets as tfds

from medical_images.join import feature_column
from medical_images.spec import (
    IMAGE_FEATURE,
    BoxesFeature,
    ClassFeature,
    CorpusSpec,
    Feature,
    FloatFeature,
    IdFeature,
    IntFeature,
    LabelsFeature,
    TextFeature,
)


def features_dict(spec: CorpusSpec) -> tfds.features.FeaturesDict:
    """Returns the dataset's features: `image` and those of the spec.

    Returns:
      `image`: uint8 or uint16 of shape (height, width, channels); class: int64 scalar; labels:
      int64 of shape (labels,); float: float32 scalar; int: int64 scalar; text and id: bytes scalar;
      boxes: `bbox` float32 of shape (boxes, 4) as (ymin, xmin, ymax, xmax) in [0, 1], and `label`.
    """
    image = tfds.features.Image(
        shape=(None, None, spec.images.channels), dtype=np.dtype(spec.images.dtype)
    )
    others = {name: _connector(feature) for name, feature in spec.features.items()}
    return tfds.features.FeaturesDict({IMAGE_FEATURE: image, **others})


def metadata_features(spec: CorpusSpec) -> tfds.features.FeaturesDict:
    """Returns the features without the image."""
    return tfds.features.FeaturesDict(
        {name: _connector(feature) for name, feature in spec.features.items()}
    )


def _connector(feature: Feature) -> tfds.features.FeatureConnector:
    unit = getattr(feature, "unit", "")
    doc = " ".join(filter(None, [feature.description, f"Unit: {unit}." if unit else ""])) or None
    match feature:
        case ClassFeature():
            return tfds.features.ClassLabel(names=feature.values, doc=doc)
        case LabelsFeature():
            return tfds.features.Sequence(tfds.features.ClassLabel(names=feature.values), doc=doc)
        case FloatFeature():
            return tfds.features.Scalar(np.float32, doc=doc)
        case IntFeature():
            return tfds.features.Scalar(np.int64, doc=doc)
        case TextFeature() | IdFeature():
            return tfds.features.Text(doc=doc)
        case BoxesFeature():
            box: dict[str, Any] = {"bbox": tfds.features.BBoxFeature()}
            if feature.label is not None:
                box["label"] = tfds.features.ClassLabel(names=feature.values)
            return tfds.features.Sequence(box, doc=doc)


def iter_metadata(records: pd.DataFrame, spec: CorpusSpec) -> Iterator[dict[str, Any]]:
    """Yields, for each record, its example without the image.

    Args:
      records: Records with their typed values; with boxes also `width` and `height`.
      spec: The features.

    Yields:
      Values ready for `encode_example` of `metadata_features(spec)`.
    """
    columns: list[list[Any]] = []
    for name, feature in spec.features.items():
        values = records[feature_column(name)]
        if isinstance(feature, BoxesFeature):
            encode = _box_encoder(feature)
            boxes = zip(values, records["width"], records["height"], strict=True)
            columns.append([encode(*box) for box in boxes])
        else:
            columns.append(values.tolist())
    names = list(spec.features)
    if not names:
        yield from ({} for _ in range(len(records)))
    for cells in zip(*columns, strict=True):
        yield dict(zip(names, cells, strict=True))


def _box_encoder(
    feature: BoxesFeature,
) -> Callable[[tuple[tuple[Any, ...], ...], int, int], Mapping[str, Any]]:
    def encode(boxes: tuple[tuple[Any, ...], ...], width: int, height: int) -> Mapping[str, Any]:
        corners = [
            tfds.features.BBox(ymin=y1 / height, xmin=x1 / width, ymax=y2 / height, xmax=x2 / width)
            for x1, y1, x2, y2, _ in boxes
        ]
        if feature.label is None:
            return {"bbox": corners}
        return {"bbox": corners, "label": [box[4] for box in boxes]}

    return encode
