"""The masks of one image: read or drawn, held against it, and placed as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from medical_images import masks, members
from medical_images.errors import BuildError, ImageError
from medical_images.join import feature_column
from medical_images.pixels import encode_png
from medical_images.prepared_image import Prepared
from medical_images.remote import storage_errors
from medical_images.resizing import place, resize_labels
from medical_images.spec import CorpusSpec
from medical_images.spec_masks import MaskFeature
from medical_images.values import BETWEEN_PATHS

MasksOfRow = Mapping[str, tuple[str, ...]]


def masks_of(records: pd.DataFrame, spec: CorpusSpec) -> Iterator[MasksOfRow]:
    """Yields what each record tells of its masks: by feature, its paths or the cells of its runs.

    There is one path for each template of the feature, "" where a column of it is missing.
    """
    names = sorted(spec.masks)
    columns = [
        records[feature_column(name)].map(_split if spec.masks[name].path else tuple)
        for name in names
    ]
    if not names:
        yield from ({} for _ in range(len(records)))
    for told in zip(*columns, strict=True):
        yield dict(zip(names, told, strict=True))


def _split(paths: str) -> tuple[str, ...]:
    return tuple(paths.split(BETWEEN_PATHS))


def prepare_masks(
    told: MasksOfRow, image: Prepared, root: str, spec: CorpusSpec
) -> dict[str, bytes]:
    """Returns the masks of an image as PNG, of its size, by feature.

    Args:
      told: What its record tells.
      image: The image.
      root: The corpus root.
      spec: The features and what is declared of images.

    Raises:
      ImageError: A mask is missing, cannot be used, or has another size than the image.
      BuildError: A file cannot be read now.
    """
    placement = place(*image.upright, spec.images.resize)
    prepared = {}
    for name, of_row in told.items():
        try:
            labels = _labels(of_row, spec.masks[name], image.upright, root, spec)
        except ImageError as error:
            detail = ": ".join(filter(None, [f"feature '{name}'", error.detail]))
            raise ImageError(error.code, detail) from None
        prepared[name] = encode_png(resize_labels(labels, placement))
    return prepared


def _labels(
    of_row: tuple[str, ...],
    feature: MaskFeature,
    size: tuple[int, int],
    root: str,
    spec: CorpusSpec,
) -> masks.Mask:
    """Returns the label indices of one mask, of the size of its upright image."""
    if feature.runs is not None:
        return masks.mask_of_runs(of_row, feature, size)
    files = [_read(path, root, spec) for path in of_row]
    labels = masks.mask_of_files(files, feature, max_pixels=spec.images.max_pixels)
    if labels is None:
        if feature.absent == "empty":
            return masks.empty_mask(size)
        raise ImageError("mask_missing")
    if labels.shape[::-1] != size:
        mask, whole = (f"{w} x {h}" for w, h in (labels.shape[::-1], size))
        raise ImageError("mask_size", f"{mask}, and its image {whole}")
    return labels


def _read(path: str, root: str, spec: CorpusSpec) -> bytes | np.ndarray | None:
    """Returns what the file of a mask holds; None if there is no such file."""
    if not path:
        return None
    try:
        return members.read(root, path, spec.images_and_masks)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except storage_errors() as error:
        raise BuildError(f"a mask cannot be read now ({type(error).__name__})") from None
