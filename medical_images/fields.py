"""What the features of a dataset are to a pipeline that loads it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from medical_images.errors import nearest


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fields:
    """What the features of a dataset are to the pipeline.

    Attributes:
      image: The image: the supervised one, or the first.
      masks: Other images of one channel. Those of more are left to TFDS.
      boxes: Features of boxes, be it in dicts that hold them as `bbox`.
      label: The class or labels feature, if there is one.
      classes: Its classes.
      multi: Features of several classes: {name: how many classes there are}.
      kept: What is read.
      shown: What the result holds, beside what the encoder adds.
    """

    image: str
    masks: tuple[str, ...]
    boxes: tuple[str, ...]
    label: str | None
    classes: tuple[str, ...]
    multi: Mapping[str, int]
    kept: tuple[str, ...]
    shown: tuple[str, ...]

    @classmethod
    def of(
        cls,
        builder: tfds.core.DatasetBuilder,
        *,
        label: str | None = None,
        shown: Collection[str] | None = None,
        with_metadata: bool = False,
    ) -> Fields:
        """Finds them.

        Args:
          builder: A dataset.
          label: The feature of classes; the supervised one by default.
          shown: The features that the result is to hold; all by default.
          with_metadata: Whether all that are no images are to be read too.

        Raises:
          ValueError: There is no such feature, or no image.
        """
        known = builder.info.features
        supervised = builder.info.supervised_keys
        label = label or (supervised[1] if supervised else None)
        if isinstance(shown, str):
            raise ValueError(f"`features` is '{shown}'; it takes several names: ['{shown}']")
        shown = tuple(known if shown is None else shown)
        for name in [*shown, *([label] if label else [])]:
            if name not in known:
                raise ValueError(f"'{name}' is no feature; {nearest(name, list(known))}")
        images = [n for n in known if isinstance(known[n], tfds.features.Image)]
        if not images:
            raise ValueError(f"{builder.info.full_name} has no feature that is an image")
        image = supervised[0] if supervised and supervised[0] in images else images[0]
        needed = {image, label, *shown}
        if with_metadata:
            needed |= set(known) - set(images)
        kept = tuple(name for name in known if name in needed)
        labelled = known[label] if label else None
        classes = getattr(getattr(labelled, "feature", labelled), "names", None)
        return cls(
            image=image,
            masks=tuple(name for name in masks_of(known, image) if name in kept),
            boxes=tuple(name for name in kept if _are_boxes(known[name])),
            label=label,
            classes=tuple(classes or ()),
            multi={
                name: known[name].feature.num_classes
                for name in kept
                if isinstance(known[name], tfds.features.Sequence)
                and isinstance(known[name].feature, tfds.features.ClassLabel)
            },
            kept=kept,
            shown=shown,
        )

    def finish(
        self, element: dict[str, Any], *, encoder: Any, pair: bool
    ) -> dict[str, Any] | tuple[Any, Any]:
        """Encodes metadata and puts the element, or batch, into its last form."""
        encoded = {} if encoder is None else encoder(element)
        if not pair:
            return {name: element[name] for name in self.shown} | encoded
        image = element[self.image]
        return {"image": image, **encoded} if encoded else image, element[str(self.label)]


def masks_of(features: Mapping[str, Any], image: str) -> list[str]:
    """Returns the features that are masks of an image: uint8 images of one channel."""
    return [
        name
        for name, feature in features.items()
        if isinstance(feature, tfds.features.Image)
        and (feature.shape[-1], feature.np_dtype) == (1, np.uint8)
        and name != image
    ]


def _are_boxes(connector: Any) -> bool:
    inner = getattr(connector, "feature", connector)
    if isinstance(inner, tfds.features.FeaturesDict) and "bbox" in inner:
        inner = inner["bbox"]
    return isinstance(inner, tfds.features.BBoxFeature)
