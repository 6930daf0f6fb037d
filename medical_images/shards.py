"""Shards: which records form which file, and the one function that writes such a file.

A shard is written once, from image files to its final name: no record passes through another
process, no worker holds a shard in memory, and writing it again does no harm.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import google_crc32c
import numpy as np
import pandas as pd
import tensorflow_datasets as tfds
from etils import epath
from tensorflow_datasets.core import file_adapters
from tensorflow_datasets.core.utils import shard_utils

from medical_images.errors import BuildError
from medical_images.examples import ExampleEncoder
from medical_images.features import iter_metadata
from medical_images.join import feature_column
from medical_images.paths import absolute
from medical_images.spec import CorpusSpec
from medical_images.spec_parts import Images

_USUAL_SHARDS = 1024  # more only where shards would grow over their largest size
_RECORD_OVERHEAD = 16  # bytes a TFRecord adds: length, and two checksums
_METADATA_BYTES = 64  # more than a feature of an example takes beside its text
_CRC_MASK_DELTA = 0xA282EAD8


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardTask:
    """All that is needed to write one shard, on any machine.

    Attributes:
      path: The final name of the file.
      file_format: TFDS's name of the format, such as `tfrecord`.
      spec: The features.
      root: The corpus root.
      records: The shard's records in written order.
    """

    path: str
    file_format: str
    spec: CorpusSpec
    root: str
    records: pd.DataFrame


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardResult:
    """What was written.

    Attributes:
      path: The file.
      num_examples: How many examples it holds.
      num_bytes: The sum of their serialised sizes.
    """

    path: str
    num_examples: int
    num_bytes: int


def estimate_sizes(records: pd.DataFrame, spec: CorpusSpec) -> np.ndarray:
    """Bounds the serialised size of each record from above, without reading its image.

    Returns:
      int64 array of shape (records,), bytes.
    """
    sizes = records["num_bytes"].to_numpy(np.int64) + _RECORD_OVERHEAD + _METADATA_BYTES
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


def plan_tasks(
    records: pd.DataFrame,
    *,
    spec: CorpusSpec,
    root: str,
    file_format: str,
    template: Any,
    num_shards: int | None,
    min_bytes: int,
    max_bytes: int,
) -> list[ShardTask]:
    """Plans the shards of one split.

    Args:
      records: The split's records in written order.
      spec: The features.
      root: The corpus root.
      file_format: TFDS's name of the format.
      template: TFDS's `ShardedFileTemplate` of the split.
      num_shards: See `plan_shards`; a split of fewer records has as many shards as records.
      min_bytes: See `plan_shards`.
      max_bytes: See `plan_shards`.
    """
    bounds = plan_shards(
        estimate_sizes(records, spec),
        num_shards=min(num_shards, len(records)) if num_shards else None,
        min_bytes=min_bytes,
        max_bytes=max_bytes,
    )
    return [
        ShardTask(
            # A worker may have another working directory.
            path=absolute(template.sharded_filepath(shard_index=number, num_shards=len(bounds))),
            file_format=file_format,
            spec=spec,
            root=root,
            records=records.iloc[begin:end],
        )
        for number, (begin, end) in enumerate(bounds)
    ]


def write_shard(task: ShardTask, *, advance: Callable[[int], None] | None = None) -> ShardResult:
    """Writes one shard under a temporary name, then renames it.

    Args:
      task: What to write.
      advance: Called with the number of examples written so far.

    Returns:
      Counts, to be held against the plan.

    Raises:
      BuildError: An image cannot be read; the message names its row, not its file.
    """
    counter = _Counter(advance)
    with tfds.core.utils.incomplete_file(epath.Path(task.path)) as temporary:
        records = counter.counting(_serialised(task))
        if file_adapters.FileFormat.from_value(task.file_format).value == "tfrecord":
            _write_tfrecord(temporary, records)
        else:
            adapter = file_adapters.ADAPTER_FOR_FORMAT[
                file_adapters.FileFormat.from_value(task.file_format)
            ]
            adapter.write_examples(
                temporary, ((number, b"".join(parts)) for number, parts in enumerate(records))
            )
    return ShardResult(
        path=task.path, num_examples=counter.num_examples, num_bytes=counter.num_bytes
    )


def read_image(record: Any, root: str, images: Images) -> bytes:
    """Reads the bytes of a record's image.

    Args:
      record: A record with `path`, `table` and `line`.
      root: The corpus root.
      images: The declared channels and type of pixels.

    Raises:
      BuildError: The file cannot be read, or would not be decoded to what is declared.
    """
    try:
        data = _read(os.path.join(root, record.path))
    except OSError as error:
        raise BuildError(_fault_of(record, f"cannot be read ({type(error).__name__})")) from None
    if data.startswith(_PNG):
        if data[24:25] == b"\x10" and images.dtype == "uint8":
            raise BuildError(_fault_of(record, "has 16 bits; set `images: {dtype: uint16}`"))
    elif not data.startswith(_JPEG):
        raise BuildError(_fault_of(record, "is not JPEG or PNG"))
    elif images.channels == 4 or images.dtype == "uint16":
        what = f"is JPEG, which has no {images.channels} channels of {images.dtype}"
        raise BuildError(_fault_of(record, what))
    return data


_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"


def _read(path: str) -> bytes:
    if "://" in path:
        return bytes(epath.Path(path).read_bytes())
    with open(path, "rb", buffering=0) as file:
        return file.read()


def _fault_of(record: Any, what: str) -> str:
    return f"{record.table} line {record.line}: its image file {what}"


class _Counter:
    """Counts what passes through."""

    def __init__(self, advance: Callable[[int], None] | None) -> None:
        self.num_examples = 0
        self.num_bytes = 0
        self._advance = advance

    def counting(self, records: Iterable[Sequence[bytes]]) -> Iterator[Sequence[bytes]]:
        for parts in records:
            yield parts
            self.num_examples += 1
            self.num_bytes += sum(map(len, parts))
            if self._advance is not None:
                self._advance(self.num_examples)


def _serialised(task: ShardTask) -> Iterator[tuple[bytes, bytes]]:
    """Yields each example as a serialised `tf.train.Example`, in two parts: all else, the image."""
    encoder = ExampleEncoder(task.spec)
    metadata = iter_metadata(task.records, task.spec)
    for record, example in zip(task.records.itertuples(index=False), metadata, strict=True):
        image = read_image(record, task.root, task.spec.images)
        yield encoder.prefix(example, len(image)), image


def _write_tfrecord(path: os.PathLike[str], records: Iterable[Sequence[bytes]]) -> None:
    """Writes the TFRecord format: length, its checksum, the record, its checksum."""
    with epath.Path(path).open("wb") as file:
        for parts in records:
            length = struct.pack("<Q", sum(map(len, parts)))
            checksum = 0
            for part in parts:
                checksum = google_crc32c.extend(checksum, part)
            head = length + _masked(google_crc32c.value(length))
            file.writelines((head, *parts, _masked(checksum)))


def _masked(checksum: int) -> bytes:
    rotated = (checksum >> 15 | checksum << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + _CRC_MASK_DELTA) & 0xFFFFFFFF)
