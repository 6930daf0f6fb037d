"""The Beam engine: the same shards, written by the workers of any Beam runner.

Only metadata moves between workers. Image bytes are read by the worker that writes their shard.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
from etils import epath

from medical_images.shards import ShardResult, ShardTask, write_shard


class WriteShards(beam.PTransform):
    """PCollection of ShardTask -> PCollection of ShardResult; each shard is written once."""

    def expand(self, tasks: beam.PCollection) -> beam.PCollection:
        """Spreads the shards over the workers and writes them."""
        return (
            tasks | "SpreadShards" >> beam.Reshuffle() | "WriteShard" >> beam.Map(write_shard)
            # PCollection of ShardResult
        )


def write_shards(
    tasks: Sequence[ShardTask], *, data_dir: str, runner: Any = None, options: Any = None
) -> list[ShardResult]:
    """Writes shards by a Beam pipeline.

    Args:
      tasks: The shards.
      data_dir: A folder that workers and this process share; results come back through it.
      runner: A Beam runner, or the name of one.
      options: `PipelineOptions`.

    Returns:
      One result for each task, in their order.
    """
    report = epath.Path(data_dir) / "incomplete.shard_results.json"
    with beam.Pipeline(runner=runner, options=options) as pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create(list(tasks))
            | "WriteShards" >> WriteShards()
            | "ToPlainValues" >> beam.Map(_as_values)
            | "Gather" >> beam.combiners.ToList()
            | "Report" >> beam.Map(_write_report, path=str(report))
        )
    results = {path: (count, size) for path, count, size in json.loads(report.read_text())}
    report.unlink()
    return [
        ShardResult(
            path=task.path, num_examples=results[task.path][0], num_bytes=results[task.path][1]
        )
        for task in tasks
    ]


def _as_values(result: ShardResult) -> tuple[str, int, int]:
    return result.path, result.num_examples, result.num_bytes


def _write_report(results: list[tuple[str, int, int]], *, path: str) -> None:
    epath.Path(path).write_text(json.dumps(results))
