"""Shards: which records form which file. Planned from metadata and file sizes alone."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from etils import epath
from tensorflow_datasets.core.utils import shard_utils

from medical_images.join import feature_column
from medical_images.paths import absolute
from medical_images.spec import CorpusSpec

_USUAL_SHARDS = 1024  # more only where shards would grow over their largest size
_RECORD_OVERHEAD = 16  # bytes a TFRecord adds: length, and two checksums
_METADATA_BYTES = 64  # more than a feature of an example takes beside its text


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardTask:
    """All that is needed to write one shard, on any machine.

    Attributes:
      path: The final name of the file.
      file_format: TFDS's name of the format, such as `tfrecord`.
      spec: The features.
      root: The corpus root.
      records: The shard's records in written order; or the file that holds them, pickled.
      num_records: How many they are.
    """

    path: str
    file_format: str
    spec: CorpusSpec
    root: str
    records: pd.DataFrame | str
    num_records: int

    @functools.cached_property
    def loaded(self) -> pd.DataFrame:
        """The records, read if they are in a file."""
        if isinstance(self.records, pd.DataFrame):
            return self.records
        records: pd.DataFrame = pickle.loads(epath.Path(self.records).read_bytes())
        return records


def estimate_sizes(records: pd.DataFrame, spec: CorpusSpec) -> np.ndarray:
    """Tells about how large each record will be, without reading its image.

    Images that are written as they are, or resized, are bounded from above; those that are
    converted to PNG may become larger than their files, and masks are not counted.

    Returns:
      int64 array of shape (records,), bytes.
    """
    sizes = records["num_bytes"].to_numpy(np.int64)
    if (resize := spec.images.resize) is not None:
        side = resize.max_side or 0
        height, width = resize.size or (side, side)
        depth = np.dtype(spec.images.dtype).itemsize * spec.images.channels
        sizes = np.full(len(records), (height * width * depth + height) * 1.01)
    sizes = sizes.astype(np.int64) + _RECORD_OVERHEAD + _METADATA_BYTES
    for name in spec.features:
        values = records[feature_column(name)]
        sizes = sizes + _METADATA_BYTES + 2 * len(name)
        if values.dtype == "str":
            sizes = sizes + values.str.len().to_numpy(np.int64) * 4
        elif values.dtype == "object":
            sizes = sizes + values.map(len).to_numpy(np.int64) * _METADATA_BYTES
    return sizes


def plan_shards(
    sizes: np.ndarray,
    *,
    num_shards: int | None = None,
    min_bytes: int = shard_utils.DEFAULT_MIN_SHARD_SIZE,
    max_bytes: int = shard_utils.DEFAULT_MAX_SHARD_SIZE,
) -> list[tuple[int, int]]:
    """Cuts a split into shards.

    Args:
      sizes: Serialised size of each record, int64 of shape (records,).
      num_shards: The exact number of shards, if wanted.
      min_bytes: Without it, shards are about this large, or larger where they would be very many,
      max_bytes: and at most this large; a larger record is alone.

    Returns:
      (begin, end) of the records of each shard, none empty.

    Raises:
      ValueError: More shards are wanted than there are records.

    Example:
      >>> plan_shards(np.array([4, 4, 4, 4, 4]), min_bytes=6, max_bytes=8)
      [(0, 2), (2, 3), (3, 5)]
    """
    count = len(sizes)
    if num_shards is not None:
        if not 1 <= num_shards <= count:
            raise ValueError(f"{num_shards} shards are wanted of {count} records")
        rounded = [round(count * number / num_shards) for number in range(num_shards + 1)]
        return list(itertools.pairwise(rounded))
    ends = np.cumsum(sizes, dtype=np.int64)
    total = int(ends[-1])
    number = max(1, min(total // min_bytes, max(_USUAL_SHARDS, -(-total // max_bytes))))
    shards: list[tuple[int, int]] = []
    for begin, end in itertools.pairwise(_even_edges(ends, number).tolist()):
        while begin < end:  # once, unless large records make this shard too large
            before = int(ends[begin - 1]) if begin else 0
            fits = int(np.searchsorted(ends, before + max_bytes, side="right"))
            shards.append((begin, min(end, max(begin + 1, fits))))
            begin = shards[-1][1]
    return shards


def _even_edges(ends: np.ndarray, number: int) -> np.ndarray:
    """Cuts after the records whose cumulative sizes are nearest to even parts of the total."""
    targets = ends[-1] * np.arange(1, number) // number
    after = np.searchsorted(ends, targets)
    before = np.maximum(after - 1, 0)
    nearer = np.where(targets - ends[before] < ends[after] - targets, before, after)
    return np.unique(np.concatenate([[0], nearer + 1, [len(ends)]]))


def split_bounds(
    sizes: np.ndarray, *, num_shards: int | None, min_bytes: int, max_bytes: int
) -> list[tuple[int, int]]:
    """Cuts a split into shards; one of fewer records than `num_shards` has as many as records.

    Args:
      sizes: See `plan_shards`, as all others.
      num_shards: Likewise.
      min_bytes: Likewise.
      max_bytes: Likewise.
    """
    wanted = min(num_shards, len(sizes)) if num_shards else None
    return plan_shards(sizes, num_shards=wanted, min_bytes=min_bytes, max_bytes=max_bytes)


def make_tasks(
    shards: Sequence[tuple[pd.DataFrame | str, int]],
    *,
    spec: CorpusSpec,
    root: str,
    file_format: str,
    template: Any,
) -> list[ShardTask]:
    """Makes the tasks of one split.

    Args:
      shards: Of each, its records in written order or the file that holds them, and their number.
      spec: The features.
      root: The corpus root.
      file_format: TFDS's name of the format.
      template: TFDS's `ShardedFileTemplate` of the split.
    """
    return [
        ShardTask(
            # A worker may have another working directory.
            path=absolute(template.sharded_filepath(shard_index=number, num_shards=len(shards))),
            file_format=file_format,
            spec=spec,
            root=root,
            records=records,
            num_records=num_records,
        )
        for number, (records, num_records) in enumerate(shards)
    ]
