"""A corpus read, joined and cleared of copies by Beam's workers.

The steps are those of the in-memory engine, by the same functions. Each is given together what it
must see together, as parts of a data frame; parts are made by hashes:

    ReadTables    tables, in ranges of bytes                                 -> rows
    SiftTable     rows                                                       -> rows of one table
    JoinTable     rows and those of one more table, by key                   -> rows
    ExplodeTable  rows, one by one                                           -> rows
    ListFiles     folders                                                    -> files
    MatchRows     rows and files, by what a path template makes of them,
                  then rows and the files found for them, by row             -> rows of one file
    EndRows       rows, files, and files that other rows claim, by path      -> records
                  (between two halves, the paths that lists of splits name are gathered)
    FindClashes   records, by names that are one on some file systems        -> findings
    FindCopies    records, by samples of files whose size another one has    -> records
    WriteParts    records, by their own group                                -> files

Without tables, `RowsOfFiles` takes the place of the first four and of `MatchRows`: an image's line
is its place among all paths, so paths are cut into ranges by a sample of them, and the images
before each are counted.

Every step also tells what it found: entries of the log of rejects, which are written in parts too,
and `Findings`, which are added up. Nothing is raised in a worker for what a corpus holds. The main
process reads the headers of tables and the lists of official splits before, and the log and the
findings afterwards; it raises what the in-memory engine would, in the same words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import apache_beam as beam
import pandas as pd

from medical_images.beam_join import (
    EndRows,
    FindClashes,
    FindCopies,
    ListFiles,
    MatchRows,
    RowsOfFiles,
    no_matched_rows,
)
from medical_images.beam_parts import (
    FINDINGS,
    LOG,
    ReadParts,
    WriteFindings,
    WriteParts,
    part_paths,
    read_part,
    write_part,
)
from medical_images.beam_tables import (
    ExplodeTable,
    JoinTable,
    PartRows,
    ReadTables,
    SiftTable,
    no_rows,
)
from medical_images.beam_workers import Workers
from medical_images.copies import COPY_CODES
from medical_images.errors import BuildError, CorpusError, Problem, SpecError, TableError
from medical_images.findings import Findings
from medical_images.images import outermost_folders
from medical_images.join import add_up
from medical_images.manifest import Listing
from medical_images.matching import UNTOLD, untold_columns
from medical_images.name_clashes import check_names, twin_rows
from medical_images.official import UNREADABLE_SPLITS
from medical_images.rejects import RejectLog
from medical_images.remote import size_of
from medical_images.spec import CorpusSpec, LoadedSpec
from medical_images.table_files import TableFile, files_of_tables
from medical_images.table_reader import Faults, Header, problems_of, read_header
from medical_images.tables import (
    UNJOINED,
    UNREADABLE,
    absent_columns,
    read_lists,
    repeated_problems,
)

_RANGE_BYTES = 64 << 20
_BUCKET_BYTES = 32 << 20  # of tables
_FEWEST_BUCKETS, _UNKNOWN_BUCKETS, _MOST_BUCKETS = 16, 128, 2048


@dataclasses.dataclass(frozen=True)
class ReadCorpus:
    """What became of the rows and the files of a corpus.

    Attributes:
      paths: Files that hold the records, each a pickled data frame with the columns that
        `copies.apply_copies` leaves, sorted by path; all records of one own group are in one file.
      log: Every row and file that is not part of a record, in order.
      num_rows: Rows of the joined tables.
      listing: Files that the path templates can name.
      num_unmatched_lines: Lines of the lists of official splits that name no record.
    """

    paths: tuple[str, ...]
    log: RejectLog
    num_rows: int
    listing: Listing
    num_unmatched_lines: int


def read_corpus(
    loaded: LoadedSpec,
    workers: Workers,
    *,
    exclude: set[str],
    num_buckets: int | None = None,
    range_bytes: int = _RANGE_BYTES,
) -> ReadCorpus:
    """Reads tables, lists images, joins them and deals with copies by a Beam pipeline.

    Args:
      loaded: The spec and the corpus root.
      workers: Who works, and an empty folder.
      exclude: Paths below the root that are no images, such as those of the tables.
      num_buckets: In how many parts rows and files are dealt with; the larger the tables, the more
        by default.
      range_bytes: Tables longer than this are read in ranges of this length, by several workers.

    Raises:
      TableError: As by `tables.read_rows`.
      SpecError: As by `tables.read_lists`, `images.list_images` and `join.join_images`.
      BuildError: The runner lost a part.
    """
    spec, folder = loaded.spec, workers.folder
    known = _Known.read(loaded)
    n = num_buckets or _num_buckets(known.files)
    tables = Findings()
    if known.headers:
        with workers.pipeline() as pipeline:
            _read_tables(pipeline, spec, known, folder, num_buckets=n, range_bytes=range_bytes)
        tables = workers.read(f"{folder}/tables.pickle")
    known.check(tables, spec)
    with workers.pipeline() as pipeline:
        _join_images(pipeline, loaded, known, folder, exclude=exclude, num_buckets=n)
    images: Findings = workers.read(f"{folder}/images.pickle")
    log = _log(folder)
    _check_images(images, spec, log)
    return _result(folder, tables, images, spec, log)


def _num_buckets(files: Sequence[TableFile]) -> int:
    """The more text, the more parts; without tables, it is unknown how many images there are."""
    if not files:
        return _UNKNOWN_BUCKETS
    num_bytes = sum(size_of(file.path) for file in files if file.path.exists())
    return min(_FEWEST_BUCKETS + num_bytes // _BUCKET_BYTES, _MOST_BUCKETS)


def _read_tables(
    pipeline: beam.Pipeline,
    spec: CorpusSpec,
    known: _Known,
    folder: str,
    *,
    num_buckets: int,
    range_bytes: int,
) -> None:
    """Reads tables and, if they have all columns, joins them; writes rows, log and findings."""
    n = {"num_buckets": num_buckets}
    read = ReadTables(spec, files=known.files, headers=known.headers, range_bytes=range_bytes)
    read_parts, found = pipeline | "ReadTables" >> read
    findings, logs = [found], []
    if not known.wrong and not known.absent:
        tables = []
        for number in range(len(spec.tables)):
            sift = SiftTable(spec, number=number, files=known.files, **n)
            table, table_logs, table_findings = read_parts | f"SiftTable{number}" >> sift
            tables.append(table)
            logs += table_logs
            findings += table_findings
        rows, (sides, _) = tables[0], no_rows(spec, known.files, known.headers)
        for number, none in enumerate(sides, start=1):
            join = JoinTable(spec, number=number, none=none, **n)
            joined = (rows, tables[number]) | f"JoinTable{number}" >> join
            rows = joined.rows
            findings.append(joined[FINDINGS])
            logs.append(joined[LOG])
        if spec.explode is not None:
            exploded = rows | "ExplodeTable" >> ExplodeTable(spec)
            rows = exploded.rows
            findings.append(exploded[FINDINGS])
            logs.append(exploded[LOG])
        parts = rows | "PartRows" >> PartRows(num_buckets)
        _ = parts | "WriteRows" >> WriteParts(f"{folder}/rows/")
    if logs:
        log = tuple(logs) | "Logs" >> beam.Flatten()
        _ = log | "WriteLog" >> WriteParts(f"{folder}/log/tables-")
    _ = tuple(findings) | "WriteFindings" >> WriteFindings(f"{folder}/tables.pickle")


def _join_images(
    pipeline: beam.Pipeline,
    loaded: LoadedSpec,
    known: _Known,
    folder: str,
    *,
    exclude: set[str],
    num_buckets: int,
) -> None:
    """Lists images, joins them with rows, and deals with copies; writes records, log, findings."""
    spec, root, n = loaded.spec, loaded.root, {"num_buckets": num_buckets}
    write_part(f"{folder}/lists.pickle", known.lists)
    lists = pipeline | "Lists" >> beam.Create([f"{folder}/lists.pickle"])
    lists = lists | "ReadLists" >> beam.Map(read_part)
    listed = pipeline | "ListFiles" >> ListFiles(known.folders, spec, root=root, exclude=exclude)
    if spec.tables:
        rows = pipeline | "ReadRows" >> ReadParts(f"{folder}/rows/")
        matched = (rows, listed.files) | "MatchRows" >> MatchRows(spec, **n)
        parts, logs, findings = matched
        none = no_matched_rows(no_rows(spec, known.files, known.headers)[1], spec)
    else:
        made = listed.files | "RowsOfFiles" >> RowsOfFiles(spec, **n)
        parts, logs, findings = made.parts, [made[LOG]], [made[FINDINGS]]
        none = no_matched_rows(None, spec)
    end = EndRows(spec, root=root, none=none)
    records, end_logs, end_findings = (parts, lists) | "EndRows" >> end
    clashes = records | "FindClashes" >> FindClashes(**n)
    kept = records | "FindCopies" >> FindCopies(spec, root=root, **n)
    sizes = kept.records | "WriteRecords" >> WriteParts(f"{folder}/records/", by="path")
    written = sizes | "Written" >> beam.Map(_written)
    all_logs = (listed[LOG], *logs, *end_logs, kept[LOG])
    all_findings = (listed[FINDINGS], *findings, *end_findings, clashes, kept[FINDINGS], written)
    log = all_logs | "Logs" >> beam.Flatten()
    _ = log | "WriteLog" >> WriteParts(f"{folder}/log/images-")
    _ = all_findings | "WriteFindings" >> WriteFindings(f"{folder}/images.pickle")


def _written(num_records: int) -> Findings:
    return Findings(num_written=num_records)


def _log(folder: str) -> RejectLog:
    prefixes = (f"{folder}/log/tables-", f"{folder}/log/images-")
    logs = [RejectLog(read_part(path)) for prefix in prefixes for path in part_paths(prefix)]
    return RejectLog.concat(logs).in_order()


def _check_images(images: Findings, spec: CorpusSpec, log: RejectLog) -> None:
    """Raises what `join.join_images` would."""
    if not spec.tables:
        counts = {"num_rows": images.num_rows, "num_files": images.listing.num_files}
        problems = untold_columns(set(images.told), spec, log, **counts)
        if problems:
            raise SpecError(problems, headline=UNTOLD)
    if images.split_problems:
        raise SpecError(images.split_problems, headline=UNREADABLE_SPLITS)


def _result(
    folder: str, tables: Findings, images: Findings, spec: CorpusSpec, log: RejectLog
) -> ReadCorpus:
    num_rows = images.num_rows + tables.num_rows
    is_copy = log.entries["code"].isin(COPY_CODES)  # records at first
    add_up(
        RejectLog(log.entries[~is_copy]),
        num_rows=num_rows,
        num_kept=images.num_kept,
        num_files=images.listing.num_files,
        num_ended=images.num_ended,
        num_astray=images.num_astray,
    )
    check_names([*images.clashes, *twin_rows(log)])
    num_records = images.num_records - images.num_copies
    if images.num_written != num_records:
        raise BuildError(f"the runner wrote {images.num_written} of {num_records} records")
    num_unmatched = images.num_keys - len(images.listed) if spec.splits.files else 0
    paths = tuple(part_paths(f"{folder}/records/"))
    return ReadCorpus(paths, log, num_rows, images.listing, num_unmatched)


@dataclasses.dataclass(frozen=True)
class _Known:
    """What the main process learns before any pipeline runs.

    Attributes:
      files: The files of tables; what follows names them by their places here.
      headers: The header of each file that can be read.
      wrong: What is wrong with the files that cannot.
      absent: Columns of the spec that no table has.
      lists: The lists of official splits.
      folders: Where images may be.
      later: The error that is to be raised if the tables are well.
    """

    files: Sequence[TableFile]
    headers: Mapping[int, Header]
    wrong: Mapping[int, Sequence[Problem]]
    absent: Sequence[Problem]
    lists: Mapping[str, Sequence[str]]
    folders: Sequence[str]
    later: CorpusError | None

    @classmethod
    def read(cls, loaded: LoadedSpec) -> _Known:
        spec, root = loaded.spec, loaded.root
        headers: dict[int, Header] = {}
        wrong: dict[int, Sequence[Problem]] = {}
        files = files_of_tables(spec.tables, root=root)
        for number, file in enumerate(files):
            try:
                header = read_header(file.table, path=file.path)
                if header.problems:
                    wrong[number] = problems_of(file.table, header, Faults())
                else:
                    headers[number] = header
            except TableError as error:
                wrong[number] = error.problems
        absent: Sequence[Problem] = ()
        if spec.tables and not wrong:
            columns = [header.columns for header in headers.values()]
            absent = absent_columns(spec, files, columns, loaded.source)
        lists: Mapping[str, Sequence[str]] = {}
        folders: Sequence[str] = ()
        later = None
        try:
            lists = read_lists(spec, root=root, source=loaded.source)
            folders = outermost_folders(root, spec.images.templates, needs_all=not spec.tables)
        except SpecError as error:
            later = error
        return cls(files, headers, wrong, absent, lists, folders, later)

    def check(self, findings: Findings, spec: CorpusSpec) -> None:
        """Raises what the in-memory engine would raise first."""
        problems = [
            problem
            for number in range(len(self.files))
            for problem in self._problems_of_file(number, findings)
        ]
        if problems or self.absent:
            raise TableError(problems or self.absent, headline=UNREADABLE)
        for number, repeated in sorted(findings.repeated.items()):
            join = spec.tables[number].join
            assert join is not None
            raise TableError(repeated_problems(pd.concat(repeated), join), headline=UNJOINED)
        if self.later is not None:
            raise self.later

    def _problems_of_file(self, number: int, findings: Findings) -> Sequence[Problem]:
        if number in self.wrong:
            return self.wrong[number]
        if number in findings.unreadable:
            return findings.unreadable[number]
        return problems_of(
            self.files[number].table,
            self.headers[number],
            findings.faults.get(number, Faults()),
            num_rows=findings.num_table_rows.get(number, 0),
        )
