"""The line by Beam: groups to splits, and splits to orders, by the workers of any runner.

All that is computed is computed by the pure functions of `line`, so the result is that of
`line.plan_splits` and `line.plan_positions`. Elements are few and large: tables of groups.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt

from medical_images import line
from medical_images.line import Groups, Totals

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class GroupRows:
    """Groups on their way, and what must be told of them when they come back.

    Attributes:
      groups: The groups.
      splits: int64 of shape (groups,), the split of each that must stay where it is, or -1.
      positions: float64 of shape (groups,), its position there, or NaN.
      sources: int64 of shape (groups, 2), the part of the records that each is from, and its number
        there.
    """

    groups: Groups
    splits: IntArray
    positions: FloatArray
    sources: IntArray

    def take(self, rows: IntArray) -> GroupRows:
        """Returns some of the rows."""
        return GroupRows(
            self.groups.take(rows), self.splits[rows], self.positions[rows], self.sources[rows]
        )

    @classmethod
    def concat(cls, tables: Iterable[GroupRows]) -> GroupRows:
        """Returns the rows of all tables, of which there is at least one."""
        parts = list(tables)
        return cls(
            Groups.concat(part.groups for part in parts),
            np.concatenate([part.splits for part in parts]),
            np.concatenate([part.positions for part in parts]),
            np.concatenate([part.sources for part in parts]),
        )


Keyed = tuple[int, GroupRows]
Planned = tuple[int, GroupRows, npt.NDArray[Any]]  # a key, rows, and what is planned of each


class PlanSplits(beam.PTransform):
    """PCollection of GroupRows -> PCollection of (number of the split, GroupRows).

    There must be one table at least, which may hold no group.

    Args:
      ratios: Share of each split, with the exact sum 1.
      first: Number of the split that rare labels go to first.
    """

    def __init__(self, ratios: Sequence[Fraction], *, first: int = 0) -> None:
        super().__init__()
        self._ratios = tuple(ratios)
        self._first = first

    def expand(self, tables: beam.PCollection) -> beam.PCollection:
        """Places rare groups first, then all that are free, beside those that are known."""
        totals = beam.pvalue.AsSingleton(
            tables
            | "Totals" >> beam.Map(_totals)
            | "AllTotals" >> beam.CombineGlobally(_sum).without_defaults()
        )
        rare, known, free = (
            tables
            | "ByFreedom" >> beam.FlatMap(_by_freedom, totals, num_splits=len(self._ratios))
            | "Freedoms" >> beam.Partition(_freedom, 3)
        )  # PCollections of (freedom, GroupRows)
        placed = (
            rare
            | "GatherRare" >> beam.GroupByKey()
            | "PlaceRare" >> beam.Map(_place_rare, totals, ratios=self._ratios, first=self._first)
        )  # PCollection of one (0, GroupRows, splits)
        start = placed | "SplitStep" >> beam.Map(_split_step, totals, ratios=self._ratios)
        fixed = (
            placed | "Rare" >> beam.Map(same),
            known | "Known" >> beam.Map(_known_splits),
        ) | "FixedSplits" >> beam.Flatten()  # PCollection of (0, GroupRows, splits)
        steps = {"step": start, "fixed": fixed} | "Held" >> _HoldFixed()
        planned = (
            free
            | "ToOneKey" >> beam.Map(_with_one_key)
            | "Plan" >> _PlanChunks(beam.pvalue.AsDict(steps))
        )
        return (
            (fixed | "Fixed" >> beam.Map(same), planned)
            | "AllSplits" >> beam.Flatten()
            | "BySplit" >> beam.FlatMap(_by_split)
        )


class PlanOrder(beam.PTransform):
    """PCollection of (split, GroupRows) -> PCollection of (split, GroupRows, positions)."""

    def expand(self, splits: beam.PCollection) -> beam.PCollection:
        """Puts the groups of each split on its line, beside those that stand there."""
        starts = (
            splits
            | "Totals" >> beam.Map(_totals_of_key)
            | "AllTotals" >> beam.CombinePerKey(_sum)
            | "OrderStep" >> beam.Map(_order_step)
        )  # PCollection of (split, OrderStep)
        known, free = (
            splits
            | "ByFreedom" >> beam.FlatMap(_by_position)
            | "Freedoms" >> beam.Partition(_freedom, 2)
        )  # PCollections of (freedom, (split, GroupRows))
        fixed = known | "Known" >> beam.Map(_known_positions)
        steps = {"step": starts, "fixed": fixed} | "Held" >> _HoldFixed()
        planned = (
            free
            | "BySplit" >> beam.Map(_without_freedom)
            | "Plan" >> _PlanChunks(beam.pvalue.AsDict(steps))
        )
        return (fixed | "Fixed" >> beam.Map(same), planned) | "AllPositions" >> beam.Flatten()


class _HoldFixed(beam.PTransform):
    """{step: (key, step of no fixed groups), fixed: Planned} -> PCollection of (key, step)."""

    def expand(self, parts: Mapping[str, beam.PCollection]) -> beam.PCollection:
        """Adds what fixed groups hold to the step of their key."""
        steps = parts["step"]
        held = (
            parts["fixed"]
            | "HeldByFixed" >> beam.Map(_held_by_fixed, beam.pvalue.AsDict(steps))
            | "AllHeldByFixed" >> beam.CombinePerKey(_sum)
        )  # PCollection of (key, _Held)
        return (
            {"step": steps | "Steps" >> beam.Map(same), "held": held}
            | "StepsAndHeld" >> beam.CoGroupByKey()
            | "WithHeld" >> beam.Map(_with_held)
        )


class _PlanChunks(beam.PTransform):
    """PCollection of (key, GroupRows) -> PCollection of (key, GroupRows, what its step plans).

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
        )  # PCollection of ((key, chunk), GroupRows)
        others = chunks | "PlanOthers" >> beam.FlatMap(_plan_others, self._steps)
        held = (
            others | "Held" >> beam.Map(_held, self._steps) | "AllHeld" >> beam.CombinePerKey(_sum)
        )  # PCollection of (key, what its groups hold)
        last = chunks | "PlanLast" >> beam.FlatMap(
            _plan_last, self._steps, beam.pvalue.AsDict(held)
        )
        # On Flink a Flatten must not share an input with another step (Beam issue 34647).
        return (others | "Others" >> beam.Map(same), last) | "AllChunks" >> beam.Flatten()


@dataclasses.dataclass(frozen=True)
class _Held:
    """How many groups are fixed, and what they hold."""

    num_groups: int
    sums: FloatArray

    def __add__(self, other: _Held) -> _Held:
        return _Held(self.num_groups + other.num_groups, self.sums + other.sums)


def rows_by(numbers: IntArray) -> Iterator[tuple[int, IntArray]]:
    """Each number that occurs, and the rows where it does."""
    order = np.argsort(numbers, kind="stable")
    unique, starts = np.unique(numbers[order], return_index=True)
    if len(unique):
        yield from zip(unique.tolist(), np.split(order, starts[1:]), strict=True)


def same(element: Any) -> Any:
    """A step of its own for an element; on Flink a Flatten must not share an input with others."""
    return element


def _sum(values: Iterable[Any]) -> Any:
    """Adds totals, or arrays; exact in any order. Beam may ask for the sum of none."""
    result = None
    for value in values:
        result = value if result is None else value if value is None else result + value
    return result


def _totals(table: GroupRows) -> Totals:
    return Totals.of(table.groups)


def _totals_of_key(split: Keyed) -> tuple[int, Totals]:
    return split[0], Totals.of(split[1].groups)


def _by_freedom(
    table: GroupRows, totals: Totals, *, num_splits: int
) -> Iterator[tuple[int, GroupRows]]:
    """Rare groups are told of each table, even where they are none, so that a step is made."""
    is_rare = line.has_rare_label(table.groups, totals, num_splits)
    freedom = np.where(is_rare, 0, np.where(table.splits >= 0, 1, 2))
    yield from ((k, table.take(np.flatnonzero(freedom == k))) for k in range(3))


def _by_position(split: Keyed) -> Iterator[tuple[int, Keyed]]:
    key, table = split
    freedom = np.isnan(table.positions).astype(np.int64)
    yield from ((k, (key, table.take(rows))) for k, rows in rows_by(freedom))


def _freedom(element: tuple[int, Any], _: int) -> int:
    return element[0]


def _with_one_key(free: tuple[int, GroupRows]) -> Keyed:
    return 0, free[1]


def _without_freedom(free: tuple[int, Keyed]) -> Keyed:
    return free[1]


def _known_splits(known: tuple[int, GroupRows]) -> Planned:
    return 0, known[1], known[1].splits


def _known_positions(known: tuple[int, Keyed]) -> Planned:
    key, table = known[1]
    return key, table, table.positions


def _place_rare(
    rare: tuple[int, Iterable[GroupRows]], totals: Totals, *, ratios: Sequence[Fraction], first: int
) -> Planned:
    table = GroupRows.concat(rare[1])
    return 0, table, line.place_rare(table.groups, table.splits, totals, ratios, first)


def _split_step(
    placed: Planned, totals: Totals, *, ratios: Sequence[Fraction]
) -> tuple[int, line.SplitStep]:
    nothing = Groups.none(len(totals.counts))
    return placed[0], line.SplitStep.make(totals, ratios, nothing, np.zeros(0, dtype=np.int64))


def _order_step(split: tuple[int, Totals]) -> tuple[int, line.OrderStep]:
    key, totals = split
    nothing = Groups.none(len(totals.counts))
    return key, line.OrderStep.make(totals, nothing, np.zeros(0))


def _held_by_fixed(fixed: Planned, steps: Mapping[int, Any]) -> tuple[int, _Held]:
    key, table, planned = fixed
    return key, _Held(len(table.groups), steps[key].held_by(table.groups, planned))


def _with_held(joined: tuple[int, Mapping[str, Iterable[Any]]]) -> tuple[int, Any]:
    key, parts = joined
    (step,) = parts["step"]
    held = _sum(parts["held"])
    if held is not None:
        num_chunks = line.num_chunks_of(step.totals.num_groups - held.num_groups)
        step = dataclasses.replace(step, num_chunks=num_chunks, held=step.held + held.sums)
    return key, step


def _by_split(planned: Planned) -> Iterator[Keyed]:
    _, table, splits = planned
    yield from ((split, table.take(rows)) for split, rows in rows_by(splits))


def _to_chunks(
    table: Keyed, steps: Mapping[int, Any]
) -> Iterator[tuple[tuple[int, int], GroupRows]]:
    key, rows = table
    numbers = steps[key].totals.chunk_numbers(rows.groups, steps[key].num_chunks)
    yield from (((key, number), rows.take(some)) for number, some in rows_by(numbers))


def _concat(
    chunk: tuple[tuple[int, int], Iterable[GroupRows]],
) -> tuple[tuple[int, int], GroupRows]:
    return chunk[0], GroupRows.concat(chunk[1])


def _plan_others(
    chunk: tuple[tuple[int, int], GroupRows], steps: Mapping[int, Any]
) -> Iterator[Planned]:
    (key, number), table = chunk
    if number < steps[key].num_chunks - 1:
        yield key, table, steps[key].plan(table.groups)


def _held(planned: Planned, steps: Mapping[int, Any]) -> tuple[int, FloatArray]:
    key, table, places = planned
    return key, steps[key].held_by(table.groups, places)


def _plan_last(
    chunk: tuple[tuple[int, int], GroupRows],
    steps: Mapping[int, Any],
    held: Mapping[int, FloatArray],
) -> Iterator[Planned]:
    (key, number), table = chunk
    step = steps[key]
    if number == step.num_chunks - 1:
        yield key, table, step.plan(table.groups, held=step.held + held.get(key, 0.0))
