"""Shards written by the workers of a Beam runner.

Only names of files pass through the runner: records are read from one file, results are left in
others. So a table of any length fits, a shard that was written is not written again when a runner
repeats its work, and an image that changed ends the build in its own words instead of being tried
again.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
from etils import epath

from medical_images.beam_parts import files_in
from medical_images.errors import BuildError, ChangedError
from medical_images.paths import is_remote
from medical_images.read_ahead import map_files
from medical_images.shard_writing import ShardResult, read_result, result_path, write_once
from medical_images.shards import ShardTask


def write_shards(
    tasks: Sequence[ShardTask],
    *,
    results: str,
    leftovers: Sequence[str] = (),
    runner: Any = None,
    options: Any = None,
) -> list[ShardResult]:
    """Writes shards by a Beam pipeline.

    Args:
      tasks: The shards of one dataset; their records are in files.
      results: The folder of results.
      leftovers: See `shard_writing.write_once`.
      runner: A Beam runner, or the name of one.
      options: `PipelineOptions`.

    Returns:
      One result for each task, in their order.

    Raises:
      BuildError: A shard could not be written, or the runner left some out.
    """
    names = [(task.path, task.records, task.num_records) for task in tasks]
    with beam.Pipeline(runner=runner, options=options) as pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create(names)
            | "SpreadShards" >> beam.Reshuffle()
            | "WriteShard"
            >> beam.Map(_write, like=tasks[0], results=results, leftovers=tuple(leftovers))
        )
    left = {path.name for path in files_in(results)}
    for task in tasks:
        error = _error_path(task, results)
        if error.name in left:
            raise BuildError(error.read_bytes().decode())
    paths = [result_path(results, os.path.basename(task.path)) for task in tasks]
    read = map_files(read_result, paths, is_remote=is_remote(results))
    written = [result for result in read if result is not None]
    if len(written) < len(tasks):
        raise BuildError(f"the runner left out {len(tasks) - len(written)} of {len(tasks)} shards")
    return written


def _write(
    names: tuple[str, str, int], *, like: ShardTask, results: str, leftovers: Sequence[str]
) -> None:
    """Writes one shard. An image that changed would be so at the next attempt too."""
    path, records, num_records = names
    task = dataclasses.replace(like, path=path, records=records, num_records=num_records)
    if _error_path(task, results).exists():
        return
    try:
        write_once(task, results=results, leftovers=leftovers)
    except ChangedError as error:
        _error_path(task, results).write_bytes(str(error).encode())


def _error_path(task: ShardTask, results: str) -> epath.Path:
    return epath.Path(results) / f"{os.path.basename(task.path)}.error"
