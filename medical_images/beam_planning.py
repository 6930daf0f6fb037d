"""Planning by Beam: splits, order, shards and certificate of records that no process holds at once.

    plan_records    records by `whole` -> groups -> places -> tallies/<part>.pickle,
                    ranges/<split>-<range>.pickle, records in order, and their sizes
    cut_splits      ranges -> tasks/<split>-<shard>.pickle, the records of each shard

Each step is a pipeline or two. What comes back to the main process are files in one folder, named
by what they hold and written at once, so that work that a runner repeats does no harm. All that is
computed is computed by the pure functions by which a corpus in memory is planned, and the plan and
its certificate are the same. The main process holds what `facts` and `tally` count, the groups of a
former dataset, and one number for each record, its size; a worker holds a part, a range, a chunk of
groups, or a shard, and which groups copies join.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pandas as pd

from medical_images import line
from medical_images.beam_line import (
    FloatArray,
    GroupRows,
    IntArray,
    Planned,
    PlanOrder,
    PlanSplits,
    rows_by,
    same,
)
from medical_images.beam_parts import read_part, write_part
from medical_images.beam_survey import SurveyedRecords, join_former
from medical_images.beam_workers import Workers
from medical_images.certification import certificate_of
from medical_images.errors import BuildError
from medical_images.facts import Facts
from medical_images.plan import HashArray, group_table, in_order, numbered_groups
from medical_images.scheme import Former, Scheme
from medical_images.spec import CorpusSpec
from medical_images.tally import ClassCounts, Tally, add_classes, count_classes

_RANGE_RECORDS = 20_000  # about so many records of a split are put in order at once

SizesOf = Callable[[pd.DataFrame], IntArray]
BoundsOf = Callable[[IntArray], Sequence[tuple[int, int]]]
_Places = tuple[int, IntArray, FloatArray]  # a split, numbers of groups in a part, and positions


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedRecords:
    """Records in splits and in order.

    Attributes:
      workers: Who planned them.
      scheme: Splits, shares and strata.
      ranges: {split: files of its records; one after the other, they are in written order}.
      sizes: {split: int64 of shape (records,), what `sizes_of` says of each}.
      tally: Of all records.
      num_known: How many groups of a former dataset are here.
    """

    workers: Workers
    scheme: Scheme
    ranges: Mapping[str, tuple[str, ...]]
    sizes: Mapping[str, tuple[IntArray, ...]]
    tally: Tally
    num_known: int

    @property
    def num_records(self) -> dict[str, int]:
        """{split: its records}."""
        return {name: sum(map(len, sizes)) for name, sizes in self.sizes.items()}

    def certificate(self, *, warnings: Sequence[str] = ()) -> dict[str, Any]:
        """Returns what `certification.certify` returns of the plan in memory."""
        return certificate_of(self.tally, self.scheme, num_known=self.num_known, warnings=warnings)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CutSplits:
    """Splits that were cut to shards.

    Attributes:
      tasks: {split: for each shard, the file of its records in written order and their number}.
      class_counts: {split: {feature: {class: images}}} of these records.
    """

    tasks: Mapping[str, tuple[tuple[str, int], ...]]
    class_counts: Mapping[str, ClassCounts]


def plan_records(
    surveyed: SurveyedRecords, *, sizes_of: SizesOf, former: Former | None = None
) -> PlannedRecords:
    """Plans splits and order, as `plan.plan_records` does in memory.

    Args:
      surveyed: The records.
      sizes_of: Says how large each of some records will be; it must be picklable.
      former: The dataset that this one extends.

    Raises:
      SpecError: What `plan.plan_records` refuses, in the same words.
      BuildError: The runner left out records.
    """
    workers, facts, parts = surveyed.workers, surveyed.facts, surveyed.parts
    if former is not None:
        parts, known = join_former(surveyed, former)
        facts = dataclasses.replace(facts, known=known)
    scheme = Scheme.make(facts, surveyed.strata, former)
    sent = dataclasses.replace(scheme, former=None)  # its groups are joined to the records
    num_ranges = _num_ranges(scheme, facts)
    tallies, ranges = workers.made("tallies"), workers.made("ranges")
    with workers.pipeline() as pipeline:
        numbers = (
            pipeline | "Parts" >> beam.Create(list(enumerate(parts))) | "Spread" >> beam.Reshuffle()
        )
        _ = (
            numbers
            | "Plan" >> _PlaceGroups(sent)
            | "Place"
            >> beam.FlatMap(_place, parts=parts, scheme=sent, num_ranges=num_ranges, folder=tallies)
            | "GatherRange" >> beam.GroupByKey()
            | "WriteRange" >> beam.Map(_write_range, sizes_of=sizes_of, folder=ranges)
        )
    written = workers.written("ranges")
    names = {
        split: [name for k in range(count) if (name := f"{number}-{k}.pickle") in written]
        for number, (split, count) in enumerate(zip(scheme.names, num_ranges, strict=True))
    }
    sizes = {
        split: tuple(workers.read_all(written[f"sizes-{name}"] for name in found))
        for split, found in names.items()
    }
    num_records = {split: sum(map(len, found)) for split, found in sizes.items()}
    _check_number(sum(num_records.values()), facts)
    scheme.refuse_empty(num_records, facts)
    tally = Tally.total(workers.read_all(workers.written("tallies").values()))
    _check_number(int(tally.images[:, 0].sum()), facts)
    return PlannedRecords(
        workers=workers,
        scheme=scheme,
        ranges={s: tuple(written[name] for name in found) for s, found in names.items()},
        sizes=sizes,
        tally=tally,
        num_known=facts.known.num_groups if facts.known else 0,
    )


def _check_number(number: int, facts: Facts) -> None:
    if number != facts.images.total():
        raise BuildError(
            f"the runner left out records: {number:,} of {facts.images.total():,} came"
        )


def cut_splits(
    planned: PlannedRecords, *, bounds_of: BoundsOf, max_records: int | None = None
) -> CutSplits:
    """Cuts every split to shards.

    Args:
      planned: Records in order.
      bounds_of: Returns (begin, end) of each shard of a split, from the sizes of its records.
      max_records: Of each split, the first records are taken; all by default.

    Raises:
      BuildError: The runner left out a step.
    """
    workers = planned.workers
    bounds: dict[str, Sequence[tuple[int, int]]] = {}
    cuts: list[tuple[str, int, int, list[tuple[int, int, int]]]] = []
    for split, name in enumerate(planned.scheme.names):
        sizes = planned.sizes[name]
        bounds[name] = bounds_of(np.concatenate(sizes)[:max_records])
        begins = np.cumsum([0, *map(len, sizes)]).tolist()
        for number, (path, begin) in enumerate(zip(planned.ranges[name], begins, strict=False)):
            shards = _shards_of(bounds[name], begin, begins[number + 1])
            if shards:
                cuts.append((path, split, number, shards))
    folder = workers.made("tasks")
    with workers.pipeline() as pipeline:
        _ = (
            pipeline
            | "Ranges" >> beam.Create(cuts)
            | "Spread" >> beam.Reshuffle()
            | "Cut" >> beam.FlatMap(_cut)
            | "GatherShard" >> beam.GroupByKey()
            | "WriteTask"
            >> beam.Map(
                _write_task, names=planned.scheme.names, spec=planned.scheme.spec, folder=folder
            )
        )
    tasks = {
        name: tuple(
            (f"{folder}/{name}-{number}.pickle", end - begin)
            for number, (begin, end) in enumerate(bounds[name])
        )
        for name in planned.scheme.names
    }
    counts = {
        name: add_classes(
            workers.read_all(
                f"{folder}/classes-{name}-{number}.pickle" for number in range(len(tasks[name]))
            )
        )
        for name in planned.scheme.names
    }
    return CutSplits(tasks=tasks, class_counts=counts)


class _PlaceGroups(beam.PTransform):
    """PCollection of (number, path) of parts -> PCollection of (number, its _Places).

    Args:
      scheme: Splits, shares and strata.
    """

    def __init__(self, scheme: Scheme) -> None:
        super().__init__()
        self._scheme = scheme

    def expand(self, parts: beam.PCollection) -> beam.PCollection:
        """Plans the groups without a split, and orders those of every split."""
        scheme = self._scheme
        if scheme.spec.splits.method == "hash":
            return parts | "ByHash" >> beam.Map(_places_by_hash, scheme=scheme)
        planned, official = (
            parts
            | "Groups" >> beam.FlatMap(_groups_of, scheme=scheme)
            | "Official" >> beam.Partition(_is_official, 2)
        )  # PCollections of (number of an official split or -1, GroupRows)
        splits = official
        if scheme.shares:
            by_plan = (
                planned
                | "ToPlan" >> beam.Map(_without_number)
                | "Splits" >> PlanSplits(list(scheme.shares.values()), first=scheme.first)
            )
            splits = (
                official | "OfOfficial" >> beam.Map(same),
                by_plan | "OfPlanned" >> beam.Map(same),
            ) | "AllSplits" >> beam.Flatten()
        return (
            splits
            | "Order" >> PlanOrder()
            | "ByPart" >> beam.FlatMap(_places_by_part)
            | "GatherPart" >> beam.GroupByKey()
        )


def _num_ranges(scheme: Scheme, facts: Facts) -> list[int]:
    """In how many ranges each split is put in order."""
    num_planned = facts.images[""]
    images = [
        int(scheme.shares[name] * num_planned) if name in scheme.shares else facts.images[name]
        for name in scheme.names
    ]
    return [max(1, number // _RANGE_RECORDS) for number in images]


def _tables(records: pd.DataFrame, scheme: Scheme) -> Iterator[tuple[int, pd.DataFrame, IntArray]]:
    """Yields the number of each official split, or -1; its records; and their rows."""
    names = scheme.names[len(scheme.shares) :]
    numbers = {name: number for number, name in enumerate(names, len(scheme.shares))}
    if scheme.shares:
        numbers = {"": -1, **numbers}
    for name, number in numbers.items():
        rows = np.flatnonzero(records["split"] == name)
        yield number, records.iloc[rows], rows


def _groups_of(part: tuple[int, str], *, scheme: Scheme) -> Iterator[tuple[int, GroupRows]]:
    """Yields (official split or -1, groups); those to plan are told even where there are none."""
    number, path = part
    for split, records, _ in _tables(read_part(path), scheme):
        table = group_table(records, scheme.strata)
        count = len(table.groups)
        name = scheme.names[split] if split >= 0 else None
        sources = np.column_stack([np.full(count, number), np.arange(count)])
        rows = GroupRows(
            table.groups,
            table.known_splits(records, list(scheme.shares)),
            table.known_positions(records, name),
            sources,
        )
        if split < 0 or count:
            yield split, rows


def _places_by_hash(part: tuple[int, str], *, scheme: Scheme) -> tuple[int, list[_Places]]:
    number, path = part
    places: list[_Places] = []
    for split, records, _ in _tables(read_part(path), scheme):
        _, hashes = numbered_groups(records, seed=scheme.spec.seed)
        positions = line.hash_positions(hashes=hashes)
        splits = np.full(len(hashes), split)
        if split < 0:
            splits = line.hash_splits(hashes=hashes, ratios=list(scheme.shares.values()))
        places += [(k, rows, positions[rows]) for k, rows in rows_by(splits)]
    return number, places


def _is_official(groups: tuple[int, GroupRows], _: int) -> int:
    return int(groups[0] >= 0)


def _without_number(groups: tuple[int, GroupRows]) -> GroupRows:
    return groups[1]


def _places_by_part(planned: Planned) -> Iterator[tuple[int, _Places]]:
    split, table, positions = planned
    parts, codes = table.sources.T
    yield from ((part, (split, codes[rows], positions[rows])) for part, rows in rows_by(parts))


def _place(
    part: tuple[int, Iterable[_Places]],
    *,
    parts: Sequence[str],
    scheme: Scheme,
    num_ranges: Sequence[int],
    folder: str,
) -> Iterator[tuple[tuple[int, int], tuple[pd.DataFrame, HashArray]]]:
    """Gives the records of a part their places, tallies them, and yields them by range."""
    number, places = part
    found = list(places)
    records = read_part(parts[number])
    splits = np.full(len(records), -1)
    positions = np.full(len(records), np.nan)
    hashes = np.zeros(len(records), dtype=np.uint64)
    for own, table, rows in _tables(records, scheme):
        codes, hashes_of_groups = numbered_groups(table, seed=scheme.spec.seed)
        split_of = np.full(len(hashes_of_groups), -1)
        position_of = np.full(len(hashes_of_groups), np.nan)
        for split, groups, at in found:
            if split == own or (own < 0 and split < len(scheme.shares)):
                split_of[groups], position_of[groups] = split, at
        splits[rows], positions[rows] = split_of[codes], position_of[codes]
        hashes[rows] = hashes_of_groups[codes]
    is_placed = splits >= 0  # all are, unless the runner lost some, which their number will tell
    splits, positions, hashes = splits[is_placed], positions[is_placed], hashes[is_placed]
    records = records[is_placed].assign(position=positions)
    write_part(f"{folder}/{number}.pickle", Tally.of(records, splits, scheme))
    ranges = np.array(num_ranges)[splits]
    ranges = np.minimum((positions * ranges).astype(np.int64), ranges - 1)
    for split, of_split in rows_by(splits):
        for k, some in rows_by(ranges[of_split]):
            rows = of_split[some]
            yield (split, k), (records.iloc[rows], hashes[rows])


def _write_range(
    element: tuple[tuple[int, int], Iterable[tuple[pd.DataFrame, HashArray]]],
    *,
    sizes_of: SizesOf,
    folder: str,
) -> None:
    (split, number), parts = element
    tables, hashes = zip(*parts, strict=True)
    records = pd.concat(tables, ignore_index=True)
    codes, _ = pd.factorize(records["whole"], sort=True)
    positions = records["position"].to_numpy()
    ordered = in_order(records, positions, np.concatenate(hashes), codes)
    write_part(f"{folder}/sizes-{split}-{number}.pickle", sizes_of(ordered))
    write_part(f"{folder}/{split}-{number}.pickle", ordered)


def _shards_of(
    bounds: Sequence[tuple[int, int]], begin: int, end: int
) -> list[tuple[int, int, int]]:
    """The shards that have records of a range: number, and (begin, end) within the range."""
    inside = []
    number = bisect.bisect_right([last for _, last in bounds], begin)
    while number < len(bounds) and bounds[number][0] < end:
        first, last = bounds[number]
        inside.append((number, max(first, begin) - begin, min(last, end) - begin))
        number += 1
    return inside


def _cut(
    element: tuple[str, int, int, list[tuple[int, int, int]]],
) -> Iterator[tuple[tuple[int, int], tuple[int, pd.DataFrame]]]:
    path, split, number, shards = element
    records = read_part(path)
    yield from (((split, shard), (number, records.iloc[begin:end])) for shard, begin, end in shards)


def _write_task(
    element: tuple[tuple[int, int], Iterable[tuple[int, pd.DataFrame]]],
    *,
    names: Sequence[str],
    spec: CorpusSpec,
    folder: str,
) -> None:
    (split, shard), parts = element
    tables = dict(parts)
    records = pd.concat([tables[number] for number in sorted(tables)], ignore_index=True)
    name = f"{names[split]}-{shard}.pickle"
    write_part(f"{folder}/classes-{name}", count_classes(records, spec))
    write_part(f"{folder}/{name}", records)
