"""Shards to a dataset: index and manifest, and a last check of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from medical_images import dataset_index
from medical_images.errors import BuildError
from medical_images.index_writing import merge_index
from medical_images.manifest import write_manifest
from medical_images.paths import is_remote
from medical_images.read_ahead import map_files
from medical_images.record_files import FileSum
from medical_images.remote import size_of
from medical_images.shard_writing import RESULTS, ShardResult, index_part_path
from medical_images.spec import CorpusSpec


def finish(
    folder: epath.Path,
    written: Mapping[str, Sequence[ShardResult]],
    *,
    planned: Mapping[str, int],
    spec: CorpusSpec,
    inputs: Mapping[str, Any],
    is_whole: bool,
) -> None:
    """Writes index, Croissant and manifest, and holds plan, shards and index against each other.

    Args:
      folder: That of the dataset.
      written: The results of each split.
      planned: {split: how many images}.
      spec: What the dataset was made for.
      inputs: What `manifest.inputs_of` found.
      is_whole: Whether the dataset holds all images of its corpus.

    Raises:
      BuildError: They do not agree.
    """
    from medical_images.croissant import write_croissant  # which takes long to import

    files: dict[str, tuple[FileSum, int]] = {}
    problems = [f"split '{name}' was not planned" for name in written.keys() - planned.keys()]
    for name, num_planned in planned.items():
        results = written.get(name, ())
        paths = [folder / result.name for result in results]
        sizes = map_files(size_of, paths, is_remote=is_remote(folder))
        for result, num_bytes in zip(results, sizes, strict=True):
            files[result.name] = (FileSum(result.file_bytes, result.crc32c), result.num_examples)
            if num_bytes != result.file_bytes:
                problems.append(
                    f"{result.name} has {num_bytes:,} bytes; {result.file_bytes:,} were written"
                )
        index = f"{dataset_index.FOLDER}/{name}.parquet"
        parts = [index_part_path(folder / RESULTS, result.name) for result in results]
        num_indexed = merge_index(parts, folder / index, spec, is_whole=is_whole)
        files[index] = (FileSum.of(folder / index), num_indexed)
        num_written = sum(result.num_examples for result in results)
        if not num_planned == num_written == num_indexed:
            problems.append(
                f"split '{name}': {num_planned:,} planned, {num_written:,} in shards,"
                f" {num_indexed:,} in the index"
            )
    if problems:
        raise BuildError("what was written is not what was planned: " + "; ".join(problems))
    write_croissant(folder, spec)
    files |= {
        path.name: (FileSum.of(path), 0)
        for path in folder.iterdir()
        if path.suffix in (".json", ".txt") and path.name != "dataset_info.json"
    }  # features, the names of classes, Croissant; dataset_info.json is written once more
    write_manifest(folder, inputs=inputs, files=files)
