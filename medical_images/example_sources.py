"""What examples are made from: of each record its metadata, its image file and its masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

import pandas as pd

from medical_images.image_bytes import ImageOfRow, Source, files_of, iter_sources, prepare_image
from medical_images.mask_bytes import MasksOfRow, masks_of, prepare_masks
from medical_images.spec import IMAGE_FEATURE, CorpusSpec

Metadata = TypeVar("Metadata")


class ExampleSource(NamedTuple, Generic[Metadata]):
    """What one example is made from.

    Attributes:
      file: Where its image is.
      metadata: All its features that are no images, serialised or not.
      masks: What is told of its masks.
      image: What the file holds.
    """

    file: ImageOfRow
    metadata: Metadata
    masks: MasksOfRow
    image: Source


def iter_example_sources(
    records: pd.DataFrame, metadata: Iterable[Metadata], *, root: str, spec: CorpusSpec
) -> Iterator[ExampleSource[Metadata]]:
    """Yields what examples are made from, in the order of their records.

    Args:
      records: In any order.
      metadata: Of each record.
      root: The corpus root.
      spec: The features.

    Raises:
      BuildError: An image file cannot be read now; see `image_bytes.read_source`.
    """
    files = files_of(records)
    images = iter_sources(files, root, spec)
    for parts in zip(files, metadata, masks_of(records, spec), images, strict=True):
        yield ExampleSource(*parts)


def prepare_images(
    source: ExampleSource[Metadata], *, root: str, spec: CorpusSpec
) -> tuple[dict[str, bytes], Sequence[str]]:
    """Returns the bytes of masks and, last, of the image, by feature; and what was seen in it.

    Args:
      source: What the example is made from.
      root: The corpus root.
      spec: The features and what is declared of images.

    Raises:
      ImageError: The image or a mask cannot be used.
      BuildError: The file of a mask cannot be read now.
    """
    image = prepare_image(source.image, spec)
    masks = prepare_masks(source.masks, image, root, spec)
    return {**masks, IMAGE_FEATURE: image.data}, image.notes
