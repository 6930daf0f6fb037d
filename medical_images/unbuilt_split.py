"""One split that is not built: its examples, made of its records whenever they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from etils import epath
from numpy.typing import NDArray
from tensorflow_datasets.core import splits as tfds_splits

from medical_images.errors import BuildError, ImageError
from medical_images.example_sources import ExampleSource, iter_example_sources, prepare_images
from medical_images.examples import ExampleEncoder
from medical_images.features import iter_metadata
from medical_images.image_bytes import ImageOfRow
from medical_images.index_writing import merge_index, write_index_part
from medical_images.join import feature_column
from medical_images.spec import IMAGE_FEATURE, CorpusSpec, LoadedSpec

if TYPE_CHECKING:
    import tensorflow_datasets as tfds


def write_index(name: str, records: pd.DataFrame, spec: CorpusSpec, folder: epath.Path) -> None:
    """Writes the index of a split, the same as a build does.

    Args:
      name: The split.
      records: In written order.
      spec: The features.
      folder: That of the index.
    """
    part = folder / f"{name}.arrow"
    folder.mkdir(parents=True, exist_ok=True)
    write_index_part(records, spec, part)
    merge_index([part], folder / f"{name}.parquet", spec)
    part.unlink()


class UnbuiltSplit:
    """A split whose examples are made when they are asked for.

    Args:
      name: Its name.
      records: In written order.
      loaded: The spec and the corpus root.
    """

    def __init__(self, name: str, records: pd.DataFrame, loaded: LoadedSpec) -> None:
        self._name, self._records = name, records[_read_of(records, loaded.spec)]
        self._root, self._spec = loaded.root, loaded.spec
        self._spec_once_checked = _checking_headers_only(loaded.spec)
        # When the files of images were changed that were found good, in nanoseconds; and of those
        # that are written as they are, whose bytes need not be looked at again.
        self._good_since = np.full(len(records), -1, np.int64)
        self._written_since = self._good_since.copy()
        self._encoder = ExampleEncoder(loaded.spec)

    @property
    def split_info(self) -> tfds.core.SplitInfo:
        """What `info.splits` of a builder would tell of it; its bytes are those of image files."""
        num_bytes = int(self._records["num_bytes"].sum())
        return tfds_splits.SplitInfo(
            name=self._name, shard_lengths=[len(self._records)], num_bytes=num_bytes
        )

    def fetch(self, positions: NDArray[np.int64]) -> list[bytes]:
        """Reads examples by their positions; see `UnbuiltCorpus.fetch`.

        Args:
          positions: int64 of shape (records,).
        """
        count = len(self._records)
        wrong = positions[(positions < 0) | (positions >= count)]
        if wrong.size:
            raise IndexError(f"no position {wrong[0]} in split '{self._name}' of {count:,} images")
        records = self._records.iloc[positions]
        metadata = map(self._encoder.metadata, iter_metadata(records, self._spec))
        sources = iter_example_sources(records, metadata, root=self._root, spec=self._spec)
        return [self._example(*told) for told in zip(positions.tolist(), sources, strict=True)]

    def _example(self, position: int, source: ExampleSource[bytes]) -> bytes:
        modified = source.image.modified
        if self._written_since[position] == modified:
            return _serialised(source, {IMAGE_FEATURE: source.image.data})
        was_good = self._good_since[position] == modified
        spec = self._spec_once_checked if was_good else self._spec
        try:
            images, notes = prepare_images(source, root=self._root, spec=spec)
        except ImageError as error:
            raise BuildError(self._fault_of(position, source, error)) from None
        if "corrupt_scan" not in notes:  # which only a full check finds, and which is converted
            self._good_since[position] = modified
            if not source.masks and images[IMAGE_FEATURE] is source.image.data:
                self._written_since[position] = modified
        return _serialised(source, images)

    def _fault_of(self, position: int, source: ExampleSource[bytes], error: ImageError) -> str:
        table, line = source.file.table, source.file.line
        row = f" ({table} line {line})" if table else ""
        return (
            f"image {position} of split '{self._name}'{row} cannot be used: {error}; build the"
            " dataset: that lists all such images, and plans without them if `rejects:` accepts it"
        )


def _serialised(source: ExampleSource[bytes], images: Mapping[str, Any]) -> bytes:
    return b"".join(ExampleEncoder.example(source.metadata, images))


def _read_of(records: pd.DataFrame, spec: CorpusSpec) -> list[str]:
    """Returns the columns that examples are made from; the others need not be held."""
    names = [*ImageOfRow._fields, *map(feature_column, spec.features), "width", "height"]
    return [name for name in names if name in records]


def _checking_headers_only(spec: CorpusSpec) -> CorpusSpec:
    """Returns the spec for images that passed its check, which give the same bytes by it."""
    if spec.images.check != "full":
        return spec
    images = spec.images.model_copy(update={"check": "header"})
    return spec.model_copy(update={"images": images})
