"""Is a built dataset as it was written?"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from etils import epath

from medical_images.dataset_index import FOLDER, resolve_builder
from medical_images.manifest import FILE, damages, read_manifest
from medical_images.remote import open_to_read, storage_errors

if TYPE_CHECKING:
    import tensorflow_datasets as tfds


def verify(builder: str | tfds.core.DatasetBuilder, *, progress: bool = False) -> list[str]:
    """Reads all files, and holds them against the manifest and what `dataset_info.json` counts.

    Args:
      builder: A built dataset, or its name such as `medical_images/mine`.
      progress: Whether to show a bar.

    Returns:
      One sentence for each file that is missing, cut, damaged or does not agree; none if all is as
      it was written. A change of a file is not noticed once in 4 billion times, on average.

    Raises:
      FileNotFoundError: The dataset has no manifest that can be read; it was not built by this
        package, or by an earlier version of it.

    Example:
      >>> mi.verify('medical_images/phantom')  # doctest: +SKIP
      []
    """
    builder = resolve_builder(builder)
    folder = epath.Path(builder.data_dir)
    told = read_manifest(folder)
    if told is None:
        raise FileNotFoundError(f"{os.fspath(folder)} has no {FILE} that can be read")
    problems = damages(folder, told, progress=progress)
    return problems + list(_disagreements(builder, folder, told))


def _disagreements(
    builder: tfds.core.DatasetBuilder, folder: epath.Path, told: Mapping[str, Any]
) -> Iterator[str]:
    """Says where dataset_info.json, the manifest and the index count differently."""
    examples = {name: file["examples"] for name, file in told["files"].items()}
    unknown = {name for name, n in examples.items() if n and not name.startswith(f"{FOLDER}/")}
    for name, split in builder.info.splits.items():
        for path, length in zip(split.filepaths, split.shard_lengths, strict=True):
            unknown.discard(path.name)
            if examples.get(path.name) != length:
                own = examples.get(path.name, "none")
                yield f"dataset_info.json tells of {length:,} examples in {path.name}, not {own}"
        index = f"{FOLDER}/{name}.parquet"
        if index not in examples:
            yield f"there is no {index}"
        elif (found := _num_rows(folder / index)) not in (None, split.num_examples):
            yield f"{index} has {found:,} rows for {split.num_examples:,} examples"
    for name in sorted(unknown):
        yield f"dataset_info.json does not tell of {name}"


def _num_rows(path: epath.Path) -> int | None:
    """Returns the rows of a Parquet file; None where it cannot be read, which was told before."""
    try:
        with open_to_read(path) as file:
            return int(pq.ParquetFile(file).metadata.num_rows)
    except storage_errors(ValueError):
        return None
