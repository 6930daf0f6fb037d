"""Tables read and joined by Beam's workers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import pandas as pd
from apache_beam.pvalue import AsIter, TaggedOutput

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
from medical_images.table_files import TableFile
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
    distinct_rows,
    explode_table,
    join_cells,
    join_table,
    key_of,
    repeated_keys,
    select,
    sift_table,
    wanted_rows,
)

_ROWS_AT_ONCE = 100_000  # of a table that one worker reads

NoRows = tuple[pd.DataFrame, pd.DataFrame]  # of both sides of a join
_Range = tuple[int, int, int, int]  # number of the file, number of the range, begin and end
_Facts = tuple[int, int, int, bool]  # number of file and range, lines, whether it ended clean
_LINE_BITS = 40  # of a row's number; those above tell the file of its table


class ReadTables(beam.PTransform):
    """Pipeline -> PCollection of (number of the file, Part), PCollection of Findings.

    A file longer than `range_bytes` is read in ranges by several workers; if one of them does not
    end clean, the file is read again by one worker, and so are files that cannot be cut. Columns
    that the spec does not use are dropped where they are read.

    Args:
      spec: The tables.
      files: Their files.
      headers: The header of each file that can be read, by its place among them.
      range_bytes: How long a range is.
    """

    def __init__(
        self,
        spec: CorpusSpec,
        *,
        files: Sequence[TableFile],
        headers: Mapping[int, Header],
        range_bytes: int,
    ) -> None:
        super().__init__()
        self._headers = dict(headers)
        self._corpus = {"spec": spec, "files": tuple(files), "headers": self._headers}
        self._ranges: list[_Range] = []
        for number, header in headers.items():
            file = files[number]
            found = ranges_of(file.table, header, path=file.path, num_bytes=range_bytes)
            self._ranges += [(number, n, *bounds) for n, bounds in enumerate(found)]

    def expand(self, pipeline: beam.Pipeline) -> tuple[Any, Any]:
        """Reads ranges, and what could not be read in ranges."""
        headers = self._headers
        is_cut = {number for number, *_ in self._ranges}
        ranges = pipeline | "Ranges" >> beam.Create(self._ranges)
        spread = ranges | "SpreadRanges" >> beam.Reshuffle()
        quotes = spread | "CountQuotes" >> beam.Map(_count_quotes, **self._corpus)
        read = spread | "ReadRange" >> beam.Map(
            _read_range, AsIter(quotes), **self._corpus
        )  # PCollection of (number of the file, number of the range, Part)
        facts = AsIter(read | "Facts" >> beam.Map(_facts))
        placed = read | "PlaceRows" >> beam.FlatMap(_place, facts, headers=headers)
        whole = (
            pipeline
            | "Files" >> beam.Create(list(headers))
            | "SpreadFiles" >> beam.Reshuffle()
            | "ReadWhole"
            >> beam.FlatMap(_read_whole, facts, is_cut=is_cut, **self._corpus).with_outputs(
                FINDINGS, main="parts"
            )
        )
        parts = (placed, whole.parts) | "AllParts" >> beam.Flatten()
        # PCollection of (number of the file, Part)
        found = parts | "Faults" >> beam.Map(_findings_of)
        return parts, (found, whole[FINDINGS]) | "AllFaults" >> beam.Flatten()


class SiftTable(beam.PTransform):
    """PCollection of (number of the file, Part) -> rows of a table, logs, PCollections of Findings.

    They are those of `tables.sift_table`.

    Args:
      spec: The tables, of which none lacks a column.
      number: Which table it is.
      files: The files of all tables.
      num_buckets: In how many parts equal rows are looked for.
    """

    def __init__(
        self, spec: CorpusSpec, *, number: int, files: Sequence[TableFile], num_buckets: int
    ) -> None:
        super().__init__()
        self._table = {"spec": spec, "number": number}
        self._places = {n: file.place for n, file in enumerate(files) if file.number == number}
        self._is_distinct = spec.tables[number].distinct
        self._num_buckets = num_buckets

    def expand(self, parts: Any) -> tuple[Any, list[Any], list[Any]]:
        """Takes rows that are wanted, and brings those that tell the same together."""
        wanted = parts | "Wanted" >> beam.FlatMap(
            _rows_of, places=self._places, **self._table
        ).with_outputs(LOG, FINDINGS, main="rows")
        if not self._is_distinct:
            return wanted.rows, [wanted[LOG]], [wanted[FINDINGS]]
        distinct = (
            wanted.rows
            | "ByCells" >> beam.FlatMap(_by_cells, num_buckets=self._num_buckets)
            | "Equal" >> beam.GroupByKey()
            | "First"
            >> beam.FlatMap(_distinct, **self._table).with_outputs(LOG, FINDINGS, main="rows")
        )
        return (
            distinct.rows,
            [wanted[LOG], distinct[LOG]],
            [wanted[FINDINGS], distinct[FINDINGS]],
        )


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


def no_rows(
    spec: CorpusSpec, files: Sequence[TableFile], headers: Mapping[int, Header]
) -> tuple[list[NoRows], pd.DataFrame]:
    """Returns both sides of each join, and what comes of them all, exploded; all without a row."""
    parts: dict[int, list[pd.DataFrame]] = {}
    for place, file in enumerate(files):
        parts.setdefault(file.number, []).append(empty_table(file.table, headers[place]))
    left, *others = (sift_table(some, spec, number).frame for number, some in parts.items())
    sides = []
    for table, right in zip(spec.tables[1:], others, strict=True):
        assert table.join is not None  # the spec is checked
        sides.append((left, right))
        left = join_table(Rows(left, RejectLog(), 0), right, table.join).frame
    return sides, explode_table(Rows(left, RejectLog(), 0), spec).frame


def _count_quotes(
    element: _Range,
    *,
    spec: CorpusSpec,
    files: Sequence[TableFile],
    headers: Mapping[int, Header],
) -> tuple[int, int, int]:
    del spec, headers
    number, place, begin, end = element
    file = files[number]
    return number, place, count_quotes(file.table, path=file.path, begin=begin, end=end)


def _read_range(
    element: _Range,
    quotes: Iterable[tuple[int, int, int]],
    *,
    spec: CorpusSpec,
    files: Sequence[TableFile],
    headers: Mapping[int, Header],
) -> tuple[int, int, Part]:
    number, place, begin, end = element
    counts = {other: count for file, other, count in quotes if file == number}
    before = sum(count for other, count in counts.items() if other < place)
    file = files[number]
    part = read_range(
        file.table,
        headers[number],
        path=file.path,
        begin=begin,
        end=end,
        num_quotes=(before, counts[place]),
    )
    return number, place, _used(part, spec, file.number)


def _used(part: Part, spec: CorpusSpec, number: int) -> Part:
    """Drops the columns of a table that the spec does not use."""
    return dataclasses.replace(part, frame=select(part.frame, spec, number))


def _facts(element: tuple[int, int, Part]) -> _Facts:
    number, place, part = element
    return number, place, part.num_lines, part.faults.error is None


def _place(
    element: tuple[int, int, Part], facts: Iterable[_Facts], *, headers: Mapping[int, Header]
) -> Iterator[tuple[int, Part]]:
    """Counts lines from the file's first, unless a range of the file did not end clean."""
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
    files: Sequence[TableFile],
    headers: Mapping[int, Header],
) -> Iterator[Any]:
    del headers
    if number in is_cut and all(is_clean for other, _, _, is_clean in facts if other == number):
        return
    file = files[number]
    try:
        for part in read_parts(file.table, path=file.path, num_rows=_ROWS_AT_ONCE):
            yield number, _used(part, spec, file.number)
    except TableError as error:
        yield TaggedOutput(FINDINGS, Findings(unreadable={number: error.problems}))


def _findings_of(element: tuple[int, Part]) -> Findings:
    number, part = element
    return Findings(num_table_rows={number: len(part.frame)}, faults={number: part.faults})


def _rows_of(
    element: tuple[int, Part], *, number: int, spec: CorpusSpec, places: Mapping[int, int]
) -> Iterator[Any]:
    """Yields rows of a table that are wanted, numbered in their order."""
    file, frame = element[0], element[1].frame
    if file in places and len(frame):
        numbers = frame[LINE].to_numpy() + (places[file] << _LINE_BITS)
        yield from _with_findings(wanted_rows(frame.set_axis(numbers), spec, number))


def _by_cells(rows: pd.DataFrame, *, num_buckets: int) -> Iterator[tuple[int, pd.DataFrame]]:
    cells = join_cells(rows[[name for name in rows.columns if name not in (TABLE, LINE)]])
    yield from by_bucket(rows, hash_buckets(cells, num_buckets))


def _distinct(
    element: tuple[int, Iterable[pd.DataFrame]], *, spec: CorpusSpec, number: int
) -> Iterator[Any]:
    bucket, parts = element
    yield from _with_findings(distinct_rows(concat(parts).sort_index(), spec, number), bucket)


def _with_findings(made: Rows, part: int = 0) -> Iterator[Any]:
    """Yields rows, if there are any, what was left out, and how many rows that makes."""
    yield from tagged_log(part, made.log)
    yield TaggedOutput(FINDINGS, Findings(num_rows=made.num_rows))
    if len(made.frame):
        yield made.frame


def _explode(rows: pd.DataFrame, *, spec: CorpusSpec) -> Iterator[Any]:
    yield from _with_findings(explode_table(Rows(rows, RejectLog(), 0), spec))


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
    numbers = joined.frame.index * num_buckets + bucket
    yield from _with_findings(
        dataclasses.replace(joined, frame=joined.frame.set_axis(numbers)), bucket
    )
