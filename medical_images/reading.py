"""The serialised examples of a slice and their positions, as a `tf.data.Dataset`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from medical_images.dataset_index import absolute_slices, num_records
from medical_images.transforms.shuffle import shuffle as shuffled

_STREAMS, _BLOCK = 16, 16  # shards read at the same time, records in turn from each
_FETCHED_AT_ONCE = 16
_READ_BUFFER = 1 << 20  # bytes
Fetch = Callable[[np.ndarray], Sequence[bytes]]


def records_of(
    builder: tfds.core.DatasetBuilder,
    split: Any,
    *,
    shuffle: bool = False,
    shuffle_buffer: int = 0,
    seed: int = 0,
    epoch: int | tf.Tensor = 0,
) -> tf.data.Dataset:
    """Reads a slice.

    Where records can be had by their number (ArrayRecord, `mi.from_corpus`), shuffling is that of
    all numbers. Else the shards are shuffled, 16 of them are read in turn, and records are shuffled
    in a buffer.

    Args:
      builder: A built dataset, in TFRecord or ArrayRecord, or what `mi.from_corpus` returns.
      split: A split or slice in TFDS's notation, or a `tfds.core.ReadInstruction`.
      shuffle: Whether records come in an order of the seed and the epoch, instead of the written
        one.
      shuffle_buffer: How many serialised examples are held for that.
      seed: Of the order.
      epoch: Its number, also an int64 tensor.

    Returns:
      (position, serialized): int64, the number of the record in the slice from 0, in written order;
      and its `tf.train.Example`, a string.

    Raises:
      ValueError: The dataset is in another file format.
    """
    fetch = _fetch_of(builder, split)
    seeds = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
    if fetch is not None:
        return _fetched(fetch, num_records(builder, split), seeds if shuffle else None)
    return _streamed(builder, split, seeds if shuffle else None, shuffle_buffer)


def _fetch_of(builder: Any, split: Any) -> Fetch | None:
    """Returns what reads records by their positions in the slice; None if they are streamed."""
    slices = absolute_slices(builder, split)
    if hasattr(builder, "fetch"):
        return functools.partial(_fetch_from_splits, builder.fetch, slices)
    file_format = builder.info.file_format.value
    if file_format == "array_record":
        return _ArrayRecords(_files(builder, slices))
    if file_format != "tfrecord":
        raise ValueError(
            f"{builder.info.full_name} is in the file format '{file_format}', which is not read"
            " here; allowed: tfrecord, array_record"
        )
    return None


def _fetch_from_splits(
    fetch: Callable[[str, np.ndarray], Sequence[bytes]],
    slices: Sequence[tuple[str, int, int]],
    positions: np.ndarray,
) -> Sequence[bytes]:
    ends = np.cumsum([end - begin for _, begin, end in slices])
    numbers = np.searchsorted(ends, positions, side="right")
    result = np.empty(len(positions), dtype=object)
    for number in np.unique(numbers):
        name, _, end = slices[number]
        places = np.flatnonzero(numbers == number)
        result[places] = fetch(name, positions[places] - ends[number] + end)
    return list(result)


class _ArrayRecords:
    """Reads records of ArrayRecord files, which are opened once."""

    def __init__(self, files: Sequence[Any]) -> None:
        self._files = files

    @functools.cached_property
    def _source(self) -> Any:
        from array_record.python.array_record_data_source import ArrayRecordDataSource

        return ArrayRecordDataSource(self._files)

    def __call__(self, positions: np.ndarray) -> Sequence[bytes]:
        records: Sequence[bytes] = self._source.__getitems__(positions.tolist())
        return records


def _fetched(fetch: Fetch, number: int, seeds: tf.Tensor | None) -> tf.data.Dataset:
    def read(positions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        records = tf.numpy_function(
            lambda chosen: np.array(fetch(chosen), dtype=object), [positions], tf.string
        )
        records.set_shape(positions.shape)
        return positions, records

    if seeds is None:
        positions = tf.data.Dataset.range(number)
    else:
        order = tf.random.experimental.stateless_shuffle(tf.range(number, dtype=tf.int64), seeds)
        positions = tf.data.Dataset.from_tensor_slices(order)
    fetched = positions.batch(_FETCHED_AT_ONCE).map(
        read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    return fetched.unbatch().apply(tf.data.experimental.assert_cardinality(number))


def _files(builder: tfds.core.DatasetBuilder, slices: Sequence[tuple[str, int, int]]) -> list[Any]:
    """Returns what is read of each file, in written order."""
    files: list[Any] = []
    for name, begin, end in slices:
        instruction = tfds.core.ReadInstruction(name, from_=begin, to=end, unit="abs")
        if begin < end:
            files += builder.info.splits[instruction].file_instructions
    return files


def _streamed(
    builder: tfds.core.DatasetBuilder, split: Any, seeds: tf.Tensor | None, shuffle_buffer: int
) -> tf.data.Dataset:
    files = _files(builder, absolute_slices(builder, split))
    taken = [file.take for file in files]
    parts = (
        tf.constant([str(file.filename) for file in files], tf.string),
        tf.constant([file.skip for file in files], tf.int64),
        tf.constant(taken, tf.int64),
        tf.constant(np.cumsum([0, *taken])[:-1], tf.int64),
    )

    def read(path: Any, skip: Any, take: Any, start: Any) -> tf.data.Dataset:
        records = tf.data.TFRecordDataset(path, buffer_size=_READ_BUFFER)
        return records.skip(skip).take(take).enumerate(start)

    if seeds is None:
        records = tf.data.Dataset.from_tensor_slices(parts).flat_map(read)
    else:
        order = tf.random.experimental.stateless_shuffle(tf.range(len(files)), seeds)
        parts_in_order = tuple(tf.gather(part, order) for part in parts)
        records = tf.data.Dataset.from_tensor_slices(parts_in_order).interleave(
            read,
            cycle_length=_STREAMS,
            block_length=_BLOCK,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        records = shuffled(records, shuffle_buffer, seeds=seeds)
    return records.apply(tf.data.experimental.assert_cardinality(sum(taken)))
