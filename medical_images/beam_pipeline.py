"""The Beam engine: planning and writing by the workers of any Beam runner.

Only metadata moves between workers: tables of groups, as few large elements, and records. Image
bytes are read by the worker that writes their shard. All that is computed is computed by the pure
functions of `line`, `plan` and `shards`, so both engines give the same plan and the same bytes.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import apache_beam as beam
import numpy as np
import pandas as pd
from etils import epath
from tensorflow_datasets.core.utils import py_utils

from medical_images import line
from medical_images.errors import BuildError
from medical_images.line import Groups, Totals
from medical_images.plan import first_split, group_table
from medical_images.shards import ShardResult, ShardTask, write_shard
from medical_images.strata import Strata

_Planned = tuple[int, Groups, np.ndarray]  # a key, groups, and what is planned of each
_BUCKETS = 256  # parts by hash in which groups are added up and records are joined


class PlanRecords(beam.PTransform):
    """PCollection of records -> PCollection of (split, records with `position`).

    The elements are data frames, parts of the records of a corpus in any number and order. What
    must stay together has the same `whole`.

    Args:
      shares: {split: its share}, with the exact sum 1.
      strata: What is balanced.
    """

    def __init__(self, shares: Mapping[str, Fraction], strata: Strata) -> None:
        super().__init__()
        self._shares = dict(shares)
        self._first = first_split(list(shares), list(shares.values()))
        self._strata = strata

    def expand(self, records: beam.PCollection) -> beam.PCollection:
        """Counts groups, plans them, and joins their places to the records."""
        places = (
            records
            | "CountGroups" >> beam.Map(_groups_of, strata=self._strata)
            # PCollection of Groups
            | "PlanLine" >> PlanLine(list(self._shares.values()), first=self._first)
            # PCollection of (number of the split, Groups, positions)
            | "PlacesByHash" >> beam.FlatMap(_places_by_bucket)
        )  # PCollection of (bucket, data frame of hash, split, position)
        parts = records | "RecordsByHash" >> beam.FlatMap(_records_by_bucket, strata=self._strata)
        # PCollection of (bucket, data frame of records and hash)
        return (
            {"records": parts, "places": places}
            | "JoinBack" >> beam.CoGroupByKey()
            | "ToSplits" >> beam.FlatMap(_with_places, names=list(self._shares))
        )  # PCollection of (split, data frame)


class PlanLine(beam.PTransform):
    """PCollection of Groups -> PCollection of (number of the split, Groups, positions).

    The rows of one group may come in several elements; they are added up by their hash. The result
    is that of `line.plan_splits` and, for each split, `line.plan_positions`.

    Args:
      ratios: Share of each split, with the exact sum 1.
      first: Number of the split that rare labels go to first.
    """

    def __init__(self, ratios: Sequence[Fraction], *, first: int = 0) -> None:
        super().__init__()
        self._ratios = tuple(ratios)
        self._first = first

    def expand(self, parts: beam.PCollection) -> beam.PCollection:
        """Adds up groups, gives them to splits, and puts each split on its line."""
        groups = (
            parts
            | "PartsByHash" >> beam.FlatMap(_parts_by_bucket)
            | "GroupParts" >> beam.GroupByKey()
            | "AddUp" >> beam.Map(_add_up)
        )  # PCollection of Groups, each group in one of them
        totals = beam.pvalue.AsSingleton(
            groups
            | "Totals" >> beam.Map(Totals.of)
            | "AllTotals" >> beam.CombineGlobally(_sum).without_defaults()
        )
        rare, free = (
            groups
            | "FindRare" >> beam.FlatMap(_rare_and_free, totals, num_splits=len(self._ratios))
            | "ByRarity" >> beam.Partition(_is_free, 2)
        )  # PCollections of (whether they are free, Groups)
        placed = (
            rare
            | "GatherRare" >> beam.GroupByKey()
            | "PlaceRare" >> beam.Map(_place_rare, totals, ratios=self._ratios, first=self._first)
        )  # PCollection of one (0, Groups, splits)
        step = placed | "SplitStep" >> beam.Map(_split_step, totals, ratios=self._ratios)
        planned = (
            free
            | "ToOneKey" >> beam.Map(_with_one_key)
            | "PlanSplits" >> _PlanChunks(beam.pvalue.AsDict(step))
        )  # PCollection of (0, Groups, splits)
        by_split = (
            (placed | "Rare" >> beam.Map(_same), planned)
            | "AllSplits" >> beam.Flatten()
            | "BySplit" >> beam.FlatMap(_by_split)
        )  # PCollection of (number of the split, Groups)
        steps = (
            by_split
            | "SplitTotals" >> beam.Map(_totals_of)
            | "AllSplitTotals" >> beam.CombinePerKey(_sum)
            | "OrderStep" >> beam.Map(_order_step)
        )  # PCollection of (number of the split, OrderStep)
        return by_split | "PlanOrder" >> _PlanChunks(beam.pvalue.AsDict(steps))


class _PlanChunks(beam.PTransform):
    """PCollection of (key, Groups) -> PCollection of (key, Groups, what the key's step plans).

    The twin of `line.groups.plan_chunks`: all chunks but the last are planned alone, by any worker.

    Args:
      steps: Side input {key: the step to be done to its groups}.
    """

    def __init__(self, steps: beam.pvalue.AsDict) -> None:
        super().__init__()
        self._steps = steps

    def expand(self, tables: beam.PCollection) -> beam.PCollection:
        """Deals groups to chunks, plans all but the last, and the last with what they hold."""
        chunks = (
            tables
            | "ToChunks" >> beam.FlatMap(_to_chunks, self._steps)
            | "GatherChunks" >> beam.GroupByKey()
            | "JoinChunks" >> beam.Map(_concat)
        )  # PCollection of ((key, chunk), Groups)
        others = chunks | "PlanOthers" >> beam.FlatMap(_plan_others, self._steps)
        held = (
            others | "Held" >> beam.Map(_held, self._steps) | "AllHeld" >> beam.CombinePerKey(_sum)
        )  # PCollection of (key, what its groups hold)
        last = chunks | "PlanLast" >> beam.FlatMap(
            _plan_last, self._steps, beam.pvalue.AsDict(held)
        )
        # On Flink a Flatten must not share an input with another step (Beam issue 34647).
        return (others | "Others" >> beam.Map(_same), last) | "AllChunks" >> beam.Flatten()


def _same(planned: _Planned) -> _Planned:
    return planned


def _sum(values: Iterable[Any]) -> Any:
    """Adds totals, or arrays; exact in any order. Beam may ask for the sum of none."""
    result = None
    for value in values:
        result = value if result is None else value if value is None else result + value
    return result


def _buckets(hashes: np.ndarray) -> np.ndarray:
    return (hashes % np.uint64(_BUCKETS)).astype(np.int64)


def _rows_by(numbers: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Each number that occurs, and the rows where it does."""
    order = np.argsort(numbers, kind="stable")
    unique, starts = np.unique(numbers[order], return_index=True)
    return (
        zip(unique.tolist(), np.split(order, starts[1:]), strict=True) if len(unique) else iter(())
    )


def _groups_of(records: pd.DataFrame, *, strata: Strata) -> Groups:
    return group_table(records, strata).groups


def _parts_by_bucket(groups: Groups) -> Iterator[tuple[int, Groups]]:
    for bucket, rows in _rows_by(_buckets(groups.hashes)):
        yield bucket, groups.take(rows)


def _add_up(bucket: tuple[int, Iterable[Groups]]) -> Groups:
    return Groups.concat(bucket[1]).merged()


def _concat(chunk: tuple[tuple[int, int], Iterable[Groups]]) -> tuple[tuple[int, int], Groups]:
    return chunk[0], Groups.concat(chunk[1])


def _rare_and_free(
    groups: Groups, totals: Totals, *, num_splits: int
) -> Iterator[tuple[bool, Groups]]:
    is_rare = line.has_rare_label(groups, totals, num_splits)
    yield False, groups.take(np.flatnonzero(is_rare))
    yield True, groups.take(np.flatnonzero(~is_rare))


def _is_free(element: tuple[bool, Groups], _: int) -> int:
    return int(element[0])


def _with_one_key(free: tuple[bool, Groups]) -> tuple[int, Groups]:
    return 0, free[1]


def _place_rare(
    rare: tuple[bool, Iterable[Groups]],
    totals: Totals,
    *,
    ratios: Sequence[Fraction],
    first: int,
) -> _Planned:
    groups = Groups.concat(rare[1])
    none_known = np.full(len(groups), -1)
    return 0, groups, line.place_rare(groups, none_known, totals, ratios, first)


def _split_step(
    placed: _Planned, totals: Totals, *, ratios: Sequence[Fraction]
) -> tuple[int, line.SplitStep]:
    key, fixed, splits = placed
    return key, line.SplitStep.make(totals, ratios, fixed, splits)


def _by_split(planned: _Planned) -> Iterator[tuple[int, Groups]]:
    _, groups, splits = planned
    yield from ((split, groups.take(rows)) for split, rows in _rows_by(splits))


def _totals_of(split: tuple[int, Groups]) -> tuple[int, Totals]:
    return split[0], Totals.of(split[1])


def _order_step(split: tuple[int, Totals]) -> tuple[int, line.OrderStep]:
    key, totals = split
    nothing = Groups.none(len(totals.counts))
    return key, line.OrderStep.make(totals, nothing, np.zeros(0))


def _to_chunks(
    table: tuple[int, Groups], steps: Mapping[int, Any]
) -> Iterator[tuple[tuple[int, int], Groups]]:
    key, groups = table
    numbers = steps[key].totals.chunk_numbers(groups, steps[key].num_chunks)
    yield from (((key, number), groups.take(rows)) for number, rows in _rows_by(numbers))


def _plan_others(
    chunk: tuple[tuple[int, int], Groups], steps: Mapping[int, Any]
) -> Iterator[_Planned]:
    (key, number), groups = chunk
    if number < steps[key].num_chunks - 1:
        yield key, groups, steps[key].plan(groups)


def _held(planned: _Planned, steps: Mapping[int, Any]) -> tuple[int, np.ndarray]:
    key, groups, places = planned
    return key, steps[key].held_by(groups, places)


def _plan_last(
    chunk: tuple[tuple[int, int], Groups],
    steps: Mapping[int, Any],
    held: Mapping[int, np.ndarray],
) -> Iterator[_Planned]:
    (key, number), groups = chunk
    step = steps[key]
    if number == step.num_chunks - 1:
        yield key, groups, step.plan(groups, held=step.held + held.get(key, 0.0))


def _places_by_bucket(planned: _Planned) -> Iterator[tuple[int, pd.DataFrame]]:
    split, groups, positions = planned
    places = pd.DataFrame({"hash": groups.hashes, "split": split, "position": positions})
    for bucket, rows in _rows_by(_buckets(groups.hashes)):
        yield bucket, places.iloc[rows]


def _records_by_bucket(
    records: pd.DataFrame, *, strata: Strata
) -> Iterator[tuple[int, pd.DataFrame]]:
    table = group_table(records, strata)
    hashes = table.groups.hashes[table.codes]
    for bucket, rows in _rows_by(_buckets(hashes)):
        yield bucket, records.iloc[rows].assign(hash=hashes[rows])


def _with_places(
    bucket: tuple[int, Mapping[str, Iterable[pd.DataFrame]]], *, names: Sequence[str]
) -> Iterator[tuple[str, pd.DataFrame]]:
    joined = bucket[1]
    records = pd.concat(joined["records"], ignore_index=True)
    places = pd.concat(joined["places"], ignore_index=True)
    both = records.drop(columns="split").merge(places, on="hash", validate="many_to_one")
    for split, name in enumerate(names):
        if (part := both[both["split"] == split]).size:
            yield name, part.drop(columns="split")


def write_shards(
    tasks: Sequence[ShardTask], *, data_dir: str, runner: Any = None, options: Any = None
) -> list[ShardResult]:
    """Writes shards by a Beam pipeline.

    Only numbers pass through the runner; tasks and results are files. So a table of any length
    fits, a shard that was written is not written again when a runner repeats its work, and an image
    that cannot be used ends the build in its own words instead of being tried again.

    Args:
      tasks: The shards.
      data_dir: A folder that workers and this process share.
      runner: A Beam runner, or the name of one.
      options: `PipelineOptions`.

    Returns:
      One result for each task, in their order.

    Raises:
      BuildError: A shard could not be written, or the runner left some out.
    """
    folder = epath.Path(data_dir) / f"incomplete.{uuid.uuid4().hex}.tasks"
    folder.mkdir()
    try:
        for number, task in enumerate(tasks):
            (folder / f"{number}.task").write_bytes(pickle.dumps(task))
        with beam.Pipeline(runner=runner, options=options) as pipeline:
            _ = (
                pipeline
                | "Numbers" >> beam.Create(range(len(tasks)))
                | "SpreadShards" >> beam.Reshuffle()
                | "WriteShard" >> beam.Map(_write_numbered, folder=str(folder))
            )
        results = [_read_result(folder / f"{number}.json") for number in range(len(tasks))]
    finally:
        folder.rmtree()
    told = [result for result in results if isinstance(result, str)]
    if told:
        raise BuildError(told[0])
    num_lost = results.count(None)
    if num_lost:
        raise BuildError(f"the runner left out {num_lost} of {len(tasks)} shards")
    return [ShardResult(**result) for result in results]


def _read_result(path: epath.Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else None


def _write_numbered(number: int, *, folder: str) -> None:
    """Writes a shard and then its result, unless an attempt before has done both."""
    path = epath.Path(folder) / f"{number}.json"
    if path.exists():
        return
    task = pickle.loads((epath.Path(folder) / f"{number}.task").read_bytes())
    result: Any
    try:
        result = dataclasses.asdict(write_shard(task))
    except BuildError as error:
        result = str(error)
    with py_utils.incomplete_file(path) as temporary:
        temporary.write_text(json.dumps(result))
