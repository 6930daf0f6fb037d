"""Tables read and joined by Beam's workers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import pandas as pd
from apache_beam.pvalue import AsIter, TaggedOutput
from etils import epath

from medical_images.beam_parts import (
    FINDINGS,
    LOG,
    by_bucket,
    concat,
    hash_buckets,
    tagged_log,
)
from medical_images.errors import TableError
from medical_images.findings import Findings
from medical_images.rejects import RejectLog
from medical_images.spec import CorpusSpec
from medical_images.table_reader import (
    LINE,
    TABLE,
    Header,
    Part,
    count_quotes,
    empty_table,
    ranges_of,
    read_parts,
    read_range,
)
from medical_images.tables import (
    Rows,
    explode_table,
    join_table,
    key_of,
    repeated_keys,
    select,
)

_ROWS_AT_ONCE = 100_000  # of a table that one worker reads

NoRows = tuple[pd.DataFrame, pd.DataFrame]  # of both sides of a join
_Range = tuple[int, int, int, int]  # number of the table, number of the range, begin and end
_Facts = tuple[int, int, int, bool]  # number of table and range, lines, whether it ended clean


class ReadTables(beam.PTransform):
    """Pipeline -> {table: PCollection of data frames}, PCollection of Findings.

    A table longer than `range_bytes` is read in ranges by several workers; if one of them does not
    end clean, the table is read again by one worker, and so are tables that cannot be cut. Columns
    that the spec does not use are dropped where they are read.

    Args:
      spec: The tables.
      root: The corpus root.
      headers: The header of each table.
      range_bytes: How long a range is.
    """

    def __init__(
        self, spec: CorpusSpec, *, root: str, headers: Mapping[int, Header], range_bytes: int
    ) -> None:
        super().__init__()
        self._spec, self._headers = spec, dict(headers)
        self._corpus = {"spec": spec, "root": root, "headers": self._headers}
        self._ranges: list[_Range] = []
        for number, header in headers.items():
            table = spec.tables[number]
            path = epath.Path(root) / table.path
            found = ranges_of(table, header, path=path, num_bytes=range_bytes)
            self._ranges += [(number, n, *bounds) for n, bounds in enumerate(found)]

    def expand(self, pipeline: beam.Pipeline) -> tuple[dict[int, Any], Any]:
        """Reads ranges, and what could not be read in ranges."""
        headers = self._headers
        is_cut = {number for number, *_ in self._ranges}
        ranges = pipeline | "Ranges" >> beam.Create(self._ranges)
        spread = ranges | "SpreadRanges" >> beam.Reshuffle()
        quotes = spread | "CountQuotes" >> beam.Map(_count_quotes, **self._corpus)
        read = spread | "ReadRange" >> beam.Map(
            _read_range, AsIter(quotes), **self._corpus
        )  # PCollection of (number of the table, number of the range, Part)
        facts = AsIter(read | "Facts" >> beam.Map(_facts))
        placed = read | "PlaceRows" >> beam.FlatMap(_place, facts, headers=headers)
        whole = (
            pipeline
            | "Tables" >> beam.Create(list(headers))
            | "SpreadTables" >> beam.Reshuffle()
            | "ReadWhole"
            >> beam.FlatMap(_read_whole, facts, is_cut=is_cut, **self._corpus).with_outputs(
                FINDINGS, main="parts"
            )
        )
        parts = (placed, whole.parts) | "AllParts" >> beam.Flatten()
        # PCollection of (number of the table, Part)
        found = parts | "Faults" >> beam.Map(_findings_of)
        findings = (found, whole[FINDINGS]) | "AllFaults" >> beam.Flatten()
        tables = {
            number: parts | f"Table{number}" >> beam.FlatMap(_rows_of, number=number)
            for number in headers
        }
        return tables, findings


class JoinTable(beam.PTransform):
    """(PCollection of rows, PCollection of rows of one more table) -> PCollection of rows.

    Rows are data frames; the index of each row is unique.

    Args:
      spec: The tables.
      number: Which table is joined.
      none: Rows so far and rows of the table, both without a row.
      num_buckets: In how many parts they are joined.
    """

    def __init__(
        self,
        spec: CorpusSpec,
        *,
        number: int,
        none: NoRows,
        num_buckets: int,
    ) -> None:
        super().__init__()
        join = spec.tables[number].join
        assert join is not None  # the spec is checked
        self._number, self._none, self._num_buckets = number, none, num_buckets
        self._join = join

    def expand(self, sides: tuple[Any, Any]) -> Any:
        """Brings the rows of one key together."""
        names = self._join.keys
        keys = {"left": list(names), "right": list(names.values())}
        parts = {
            side: rows | f"{side}ByKey" >> beam.FlatMap(_by_key, keys[side], self._num_buckets)
            for side, rows in zip(keys, sides, strict=True)
        }
        return (
            parts
            | "ByKey" >> beam.CoGroupByKey()
            | "Join"
            >> beam.FlatMap(
                _join_bucket,
                join=self._join,
                number=self._number,
                none=self._none,
                num_buckets=self._num_buckets,
            ).with_outputs(LOG, FINDINGS, main="rows")
        )


class ExplodeTable(beam.PTransform):
    """PCollection of rows -> PCollection of rows, several of each, as `explode:` says.

    Args:
      spec: `explode`, and which columns are used.
    """

    def __init__(self, spec: CorpusSpec) -> None:
        super().__init__()
        self._spec = spec

    def expand(self, rows: Any) -> Any:
        """Takes each part of the rows apart."""
        return rows | "Explode" >> beam.FlatMap(_explode, spec=self._spec).with_outputs(
            LOG, FINDINGS, main="rows"
        )


class PartRows(beam.PTransform):
    """PCollection of rows -> PCollection of (bucket of their index, rows).

    Args:
      num_buckets: The number of parts.
    """

    def __init__(self, num_buckets: int) -> None:
        super().__init__()
        self._num_buckets = num_buckets

    def expand(self, rows: Any) -> Any:
        """Parts the rows."""
        return rows | "ByIndex" >> beam.FlatMap(_by_index, num_buckets=self._num_buckets)


def no_rows(spec: CorpusSpec, headers: Sequence[Header]) -> tuple[list[NoRows], pd.DataFrame]:
    """Returns both sides of each join, and what comes of them all, exploded; all without a row."""
    empty = [
        select(empty_table(table, header), spec, number)
        for number, (table, header) in enumerate(zip(spec.tables, headers, strict=True))
    ]
    sides, left = [], empty[0]
    for table, right in zip(spec.tables[1:], empty[1:], strict=True):
        assert table.join is not None  # the spec is checked
        sides.append((left, right))
        left = join_table(Rows(left, RejectLog(), 0), right, table.join).frame
    return sides, explode_table(Rows(left, RejectLog(), 0), spec).frame


def _count_quotes(
    element: _Range, *, spec: CorpusSpec, root: str, headers: Mapping[int, Header]
) -> tuple[int, int, int]:
    del headers
    number, place, begin, end = element
    table = spec.tables[number]
    path = epath.Path(root) / table.path
    return number, place, count_quotes(table, path=path, begin=begin, end=end)


def _read_range(
    element: _Range,
    quotes: Iterable[tuple[int, int, int]],
    *,
    spec: CorpusSpec,
    root: str,
    headers: Mapping[int, Header],
) -> tuple[int, int, Part]:
    number, place, begin, end = element
    counts = {other: count for table, other, count in quotes if table == number}
    before = sum(count for other, count in counts.items() if other < place)
    table = spec.tables[number]
    part = read_range(
        table,
        headers[number],
        path=epath.Path(root) / table.path,
        begin=begin,
        end=end,
        num_quotes=(before, counts[place]),
    )
    return number, place, _used(part, spec, number)


def _used(part: Part, spec: CorpusSpec, number: int) -> Part:
    """Drops the columns of a table that the spec does not use."""
    return dataclasses.replace(part, frame=select(part.frame, spec, number))


def _facts(element: tuple[int, int, Part]) -> _Facts:
    number, place, part = element
    return number, place, part.num_lines, part.faults.error is None


def _place(
    element: tuple[int, int, Part], facts: Iterable[_Facts], *, headers: Mapping[int, Header]
) -> Iterator[tuple[int, Part]]:
    """Counts lines from the table's first, unless a range of the table did not end clean."""
    number, place, part = element
    own = [fact[1:] for fact in facts if fact[0] == number]
    if all(is_clean for _, _, is_clean in own):
        num_before = sum(num_lines for other, num_lines, _ in own if other < place)
        yield number, part.moved(headers[number].num_lines + num_before)


def _read_whole(
    number: int,
    facts: Iterable[_Facts],
    *,
    is_cut: set[int],
    spec: CorpusSpec,
    root: str,
    headers: Mapping[int, Header],
) -> Iterator[Any]:
    del headers
    if number in is_cut and all(is_clean for other, _, _, is_clean in facts if other == number):
        return
    table = spec.tables[number]
    try:
        path = epath.Path(root) / table.path
        for part in read_parts(table, path=path, num_rows=_ROWS_AT_ONCE):
            yield number, _used(part, spec, number)
    except TableError as error:
        yield TaggedOutput(FINDINGS, Findings(unreadable={number: error.problems}))


def _findings_of(element: tuple[int, Part]) -> Findings:
    number, part = element
    return Findings(num_table_rows={number: len(part.frame)}, faults={number: part.faults})


def _rows_of(element: tuple[int, Part], *, number: int) -> Iterator[pd.DataFrame]:
    rows = element[1].frame
    if element[0] == number and len(rows):
        yield rows.set_axis(rows[LINE].to_numpy())


def _explode(rows: pd.DataFrame, *, spec: CorpusSpec) -> Iterator[Any]:
    made = explode_table(Rows(rows, RejectLog(), 0), spec)
    yield from tagged_log(0, made.log)
    yield TaggedOutput(FINDINGS, Findings(num_rows=made.num_rows))
    if len(made.frame):
        yield made.frame


def _by_key(
    rows: pd.DataFrame, names: Sequence[str], num_buckets: int
) -> Iterator[tuple[int, pd.DataFrame]]:
    """Rows without a key have no partner; they are spread by their lines."""
    keys = key_of(rows, names)
    keys = keys.mask(keys == "", rows[LINE].astype("str"))
    yield from by_bucket(rows, hash_buckets(keys, num_buckets))


def _by_index(rows: pd.DataFrame, *, num_buckets: int) -> Iterator[tuple[int, pd.DataFrame]]:
    numbers = pd.Series(rows.index, dtype="int64")
    yield from by_bucket(rows, hash_buckets(numbers, num_buckets))


def _join_bucket(
    element: tuple[int, Mapping[str, Iterable[pd.DataFrame]]],
    *,
    join: Any,
    number: int,
    none: NoRows,
    num_buckets: int,
) -> Iterator[Any]:
    bucket, sides = element
    left, right = (
        concat(sides[side], empty).sort_values([TABLE, LINE], ignore_index=True)
        for side, empty in zip(("left", "right"), none, strict=True)
    )
    repeated = repeated_keys(left, right, join)
    if len(repeated):
        yield TaggedOutput(FINDINGS, Findings(repeated={number: (repeated,)}))
        return
    joined = join_table(Rows(left, RejectLog(), 0), right, join)
    yield from tagged_log(bucket, joined.log)
    yield TaggedOutput(FINDINGS, Findings(num_rows=joined.num_rows))
    if len(joined.frame):
        yield joined.frame.set_axis(joined.frame.index * num_buckets + bucket)
