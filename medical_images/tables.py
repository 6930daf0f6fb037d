"""Tables to rows: every cell is read as text, and a line that does not fit is an error.

Readers that guess types lose zeros of ids and turn `NA` into null; readers that mend ragged lines
shift columns in silence. Here the only changes to a cell are: white space around it is dropped,
its Unicode is normalised (NFC), and declared missing tokens become the empty cell.
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import functools
import gzip
import io
import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pandas as pd
from etils import epath

from medical_images.errors import Problem, SpecError, TableError, nearest, some_lines
from medical_images.rejects import Outcome, RejectLog
from medical_images.spec import CorpusSpec
from medical_images.spec_parts import Join, Table, normal_form
from medical_images.yaml_source import YamlSource

# Which line of which table a row stands on; no header can hold the NUL that sets these apart.
TABLE, LINE = "\0table", "\0line"
_KEY = "\0key"
KEY_SEPARATOR = "\x1f"
_MAX_CELL = 1 << 24  # characters; an unclosed quote would swallow the rest of a file


@dataclasses.dataclass(frozen=True)
class Rows:
    """The rows of a corpus, all tables joined.

    Attributes:
      frame: One line a row: the columns asked for, as text ("" is missing), and `TABLE`, `LINE`.
      log: Rows that found no partner in another table.
      num_rows: The number of rows before any was rejected.
    """

    frame: pd.DataFrame
    log: RejectLog
    num_rows: int


def read_rows(spec: CorpusSpec, *, root: str, source: YamlSource) -> Rows:
    """Reads and joins the tables of a corpus.

    Args:
      spec: What tables there are and which of their columns are used.
      root: The corpus root.
      source: Places in the spec, for messages.

    Returns:
      The rows, in the order of the first table.

    Raises:
      TableError: A table is missing or malformed, a column is absent, or a join does not have its
        declared cardinality. All problems of all tables are listed.
    """
    problems: list[Problem] = []
    frames: list[pd.DataFrame] = []
    for table in spec.tables:
        try:
            frames.append(read_table(table, path=epath.Path(root) / table.path))
        except TableError as error:
            problems += error.problems
    if not problems:
        problems += _absent_columns(spec, frames, source)
    if problems:
        raise TableError(problems, headline="The tables cannot be read")
    used = {column for _, column in spec.columns_used()}
    used |= {left for table in spec.tables if table.join for left in table.join.keys}
    rows = Rows(_select(frames[0], used), RejectLog(), len(frames[0]))
    for table, frame in zip(spec.tables[1:], frames[1:], strict=True):
        assert table.join is not None  # the spec is checked
        rows = _join_table(rows, _select(frame, used | set(table.join.keys.values())), table.join)
    return rows


def read_lists(spec: CorpusSpec, *, root: str, source: YamlSource) -> dict[str, list[str]]:
    """Reads the lists of official splits, one image a line.

    Args:
      spec: `splits: {files: ...}` names them.
      root: The corpus root.
      source: Places in the spec, for messages.

    Returns:
      {split: lines}, each line once, without white space around it; blank lines are passed over.
      Where leaks are allowed, a line of two lists is the first one's.

    Raises:
      SpecError: A list is missing or not UTF-8, or a line stands in the lists of two splits.
    """
    problems: list[Problem] = []
    seen: dict[str, tuple[str, int]] = {}  # the first split of each line, and its number there
    torn: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for split, name in spec.splits.files.items():
        try:
            text = _read_text(epath.Path(root) / name)
        except (OSError, UnicodeDecodeError) as error:
            where = source.where(("splits", "files", split))
            problems.append(Problem(where=where, what=_unreadable(name, error)))
            continue
        for number, line in enumerate(io.StringIO(text, newline=None), start=1):
            if key := normal_form(line):
                first, before = seen.setdefault(key, (split, number))
                if first != split:
                    torn.setdefault((first, split), []).append((before, number))
    if not spec.splits.allow_leaks:
        problems += [_torn_lines(spec, splits, lines) for splits, lines in torn.items()]
    if problems:
        raise SpecError(problems, headline="The lists of official splits cannot be used")
    lists: dict[str, list[str]] = {split: [] for split in spec.splits.files}
    for line, (split, _) in seen.items():
        lists[split].append(line)
    return lists


def _read_text(path: epath.Path) -> str:
    if not path.exists():
        raise FileNotFoundError(path)
    data: bytes = path.read_bytes()
    return data.decode("utf-8-sig")


def _unreadable(name: str, error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"there is no file '{name}' in the corpus root"
    if isinstance(error, UnicodeDecodeError):
        line = error.object.count(b"\n", 0, error.start) + 1
        return f"'{name}' is not UTF-8 text (line {line})"
    return f"'{name}' cannot be read: {error.strerror}"


def _torn_lines(
    spec: CorpusSpec, splits: tuple[str, str], lines: Sequence[tuple[int, int]]
) -> Problem:
    first, second = (spec.splits.files[split] for split in splits)
    before, here = (some_lines(numbers) for numbers in zip(*lines, strict=True))
    count = f"{len(lines)} line{'s' if len(lines) != 1 else ''}"
    return Problem(
        where=f"{second} {here}",
        what=f"{count} of '{splits[1]}' stand in {first} ({before}) as '{splits[0]}' too",
        remedy="an image has one split; `allow_leaks: true` takes that of the first list",
    )


def read_table(table: Table, *, path: epath.Path) -> pd.DataFrame:
    """Reads one table as text.

    Args:
      table: Its dialect, missing tokens and names.
      path: Its file, local or remote.

    Returns:
      All columns as text, and `TABLE` (the path in the spec) and `LINE` (from 1, where the row
      begins).

    Raises:
      TableError: Lists missing file, wrong encoding, ragged lines, repeated columns and so on.
    """
    name = table.path
    if not path.exists():
        raise TableError([Problem(where=name, what=f"there is no file '{path}'")])
    reader = _Reader(table)
    try:
        with path.open("rb") as raw:
            binary = gzip.GzipFile(fileobj=raw) if name.lower().endswith(".gz") else raw
            text = io.TextIOWrapper(binary, encoding=_codec(table), newline="")
            reader.read(text)
    except UnicodeDecodeError as error:
        raise TableError([_encoding_problem(table, path, error)]) from None
    except UnicodeError as error:
        what = f"cannot be read as {table.dialect.encoding}: {error}"
        raise TableError([Problem(where=name, what=what)]) from None
    except (OSError, EOFError, LookupError, zlib.error) as error:
        raise TableError([Problem(where=name, what=f"cannot be read: {error}")]) from None
    if reader.problems:
        raise TableError(reader.problems, headline=f"The table {name} cannot be read")
    return _as_frame(reader, table)


def _codec(table: Table) -> str:
    """Returns the encoding; a byte order mark of UTF-8 is no part of the first column's name."""
    name = table.dialect.encoding
    return "utf-8-sig" if codecs.lookup(name).name == "utf-8" else name


class _Reader:
    """Reads the lines of one table into columns and collects what is wrong."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.header: list[str] = []
        self.columns: list[list[str]] = []
        self.lines: list[int] = []
        self.problems: list[Problem] = []
        self._ragged: dict[int, list[int]] = {}
        self._nul: list[int] = []
        self._header_line = table.dialect.skip_lines + 1

    def read(self, text: Iterable[str]) -> None:
        dialect = self.table.dialect
        separator = dialect.separator or _default_separator(self.table.path)
        csv.field_size_limit(_MAX_CELL)
        source = self._without_nul(text)
        for _ in range(dialect.skip_lines):
            next(source, None)
        reader = csv.reader(source, delimiter=separator, quotechar=dialect.quote, strict=True)
        skipped, before = dialect.skip_lines, 0
        try:
            self._read_header(reader)
            before = reader.line_num
            for cells in reader if not self.problems else ():
                if cells:
                    self._add(cells, skipped + before + 1)
                before = reader.line_num
        except csv.Error as error:
            self._add_problem(f"line {skipped + before + 1}", _csv_words(error))
        self._finish()

    def _read_header(self, reader: Iterator[list[str]]) -> None:
        header = f"line {self._header_line}"
        if self.table.columns is not None:
            names = [normal_form(name) for name in self.table.columns]
        else:
            names = [normal_form(name) for name in next(reader, [])]
        if not any(names):
            self._add_problem(header, "the table is empty; a header line was expected")
        self.header = [self.table.rename.get(name, name) for name in names]
        twice = sorted({name for name in self.header if name and self.header.count(name) > 1})
        if twice:
            self._add_problem(header, f"the header names {', '.join(map(repr, twice))} twice")
        for name in set(self.table.rename) - set(names):
            self._add_problem(
                "line 1", f"`rename:` of '{name}': {nearest(name, filter(None, names))}"
            )
        self.columns = [[] for _ in self.header]

    def _add(self, cells: list[str], line: int) -> None:
        if len(cells) != len(self.header):
            self._ragged.setdefault(len(cells), []).append(line)
            return
        self.lines.append(line)
        for column, cell in zip(self.columns, cells, strict=True):
            column.append(cell)

    def _without_nul(self, text: Iterable[str]) -> Iterator[str]:
        for number, line in enumerate(text, start=1):
            if "\0" in line:
                self._nul.append(number)
            yield line

    def _finish(self) -> None:
        for width, lines in sorted(self._ragged.items()):
            self._add_problem(
                some_lines(lines),
                f"{width} cells where the header has {len(self.header)}",
                "a cell that holds the separator must be quoted; where rows end with a separator,"
                " the header must too",
            )
        if self._nul:
            self._add_problem(some_lines(self._nul), "NUL characters; this is not a text table")
        if not self.lines and not self.problems:
            self._add_problem("", "the table has no rows")

    def _add_problem(self, place: str, what: str, remedy: str = "") -> None:
        where = f"{self.table.path} {place}".strip()
        self.problems.append(Problem(where=where, what=what, remedy=remedy))


def _default_separator(path: str) -> str:
    return "\t" if path.lower().removesuffix(".gz").endswith(".tsv") else ","


def _csv_words(error: csv.Error) -> str:
    if "unexpected end of data" in str(error):
        return "a quote opened in this row is never closed"
    return f"not valid CSV: {error}"


def _encoding_problem(table: Table, path: epath.Path, error: UnicodeDecodeError) -> Problem:
    """Finds the byte that cannot be decoded; the error itself only knows its place in a chunk."""
    with path.open("rb") as raw:
        binary = gzip.GzipFile(fileobj=raw) if table.path.lower().endswith(".gz") else raw
        data = binary.read()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        hint = "the file begins like UTF-16: set `dialect: {encoding: utf-16}`"
    else:
        hint = "set `dialect: {encoding: ...}`, for example latin-1 or cp1252"
    try:
        data.decode(table.dialect.encoding)
    except UnicodeDecodeError as exact:
        error = exact
    line = data.count(b"\n", 0, error.start) + 1
    byte = error.object[error.start]
    return Problem(
        where=f"{table.path} line {line}",
        what=f"byte 0x{byte:02x} at offset {error.start} is not {table.dialect.encoding}",
        remedy=hint,
    )


def _as_frame(reader: _Reader, table: Table) -> pd.DataFrame:
    columns: dict[str, pd.Series[str] | str | list[int]] = {}
    for name, cells in zip(reader.header, reader.columns, strict=True):
        if name:
            columns[name] = clean(pd.Series(cells, dtype="str"), missing=table.missing)
    columns[TABLE] = table.path
    columns[LINE] = reader.lines
    return pd.DataFrame(columns, index=range(len(reader.lines)))


def clean(cells: pd.Series[str], *, missing: Sequence[str]) -> pd.Series[str]:
    """Normalises cells: white space dropped, Unicode NFC, missing tokens as "".

    Example:
      >>> clean(pd.Series([' a ', 'NA', '007']), missing=['NA']).tolist()
      ['a', '', '007']
    """
    cells = cells.str.strip()
    odd = ~cells.str.isascii()
    if odd.any():
        cells = cells.mask(odd, cells[odd].map(lambda cell: unicodedata.normalize("NFC", cell)))
    tokens = [token for token in missing if token]
    return cells.mask(cells.isin(tokens), "") if tokens else cells


def _absent_columns(
    spec: CorpusSpec, frames: Sequence[pd.DataFrame], source: YamlSource
) -> list[Problem]:
    headers = [[name for name in frame.columns if name not in (TABLE, LINE)] for frame in frames]
    known = {name for header in headers for name in header} | set(spec.derive)
    shown = {name for h in headers if not _looks_like_data(h) for name in h} | set(spec.derive)
    problems = []
    for place, column in dict.fromkeys(spec.columns_used()):
        if column not in known:
            what = f"no table has a column '{column}'; {nearest(column, shown)}"
            problems.append(Problem(where=source.where(place), what=what, remedy=_hint(headers)))
    for name in sorted(set(spec.derive).intersection(*[{n for h in headers for n in h}])):
        where = source.where(("derive", name))
        problems.append(Problem(where=where, what="a table has a column of this name already"))
    so_far: set[str] = set(headers[0]) if headers else set()
    for number, (table, header) in enumerate(zip(spec.tables, headers, strict=True)):
        for left, right in (table.join.keys if table.join else {}).items():
            for name, names in ((left, so_far), (right, set(header))):
                if name not in names:
                    what = f"no column '{name}' to join on; {nearest(name, names)}"
                    problems.append(
                        Problem(where=source.where(("tables", number, "join")), what=what)
                    )
        so_far |= set(header)
    return problems + _shared_columns(spec, headers, source)


def _shared_columns(
    spec: CorpusSpec, headers: Sequence[Sequence[str]], source: YamlSource
) -> list[Problem]:
    """A column that two tables have, and that no join is on, would be ambiguous where used."""
    used = {column for _, column in spec.columns_used()}
    owner: dict[str, str] = {}
    problems = []
    for number, (table, header) in enumerate(zip(spec.tables, headers, strict=True)):
        keys = set(table.join.keys.values()) if table.join else set()
        for name in header:
            if name in owner and name in used and name not in keys:
                what = f"the column '{name}' stands in {owner[name]} and in {table.path}"
                remedy = f"add it to `join: {{on: ...}}`, or `rename: {{{name}: ...}}` one of them"
                where = source.where(("tables", number))
                problems.append(Problem(where=where, what=what, remedy=remedy))
            owner.setdefault(name, table.path)
    return problems


def _looks_like_data(header: Sequence[str]) -> bool:
    """A first line of numbers, dates or long ids is a row, and not to be shown."""
    return any(
        re.fullmatch(r"[\d.,:/ -]*\d[\d.,:/ -]*", n) or re.search(r"\d{4}", n) for n in header
    )


def _hint(headers: Sequence[Sequence[str]]) -> str:
    for header in headers:
        if _looks_like_data(header):
            return (
                "a table's first line looks like data: set `dialect: {header: false}`, `columns:`"
            )
        for separator, name in ((";", "';'"), ("\t", "tab"), ("|", "'|'")):
            if len(header) == 1 and separator in header[0]:
                return (
                    f"a table has a single column that holds {separator!r}: "
                    f"set `dialect: {{separator: {name}}}`"
                )
    return ""


def _select(frame: pd.DataFrame, columns: set[str]) -> pd.DataFrame:
    keep = [name for name in frame.columns if name in columns or name in (TABLE, LINE)]
    return frame[keep]


def _join_table(rows: Rows, right: pd.DataFrame, join: Join) -> Rows:
    """Joins one more table; the side that may have many rows keeps its lines for messages."""
    left, names = rows.frame, ", ".join(join.keys)
    left_key, right_key = _key(left, join.keys.keys()), _key(right, join.keys.values())
    _refuse_repeated(left, left_key, right, right_key, join)
    alone, unused = ~left_key.isin(right_key), ~right_key.isin(left_key)
    alone |= left_key == ""
    unused |= right_key == ""
    outcome: Outcome = "rejected" if join.unmatched == "reject" else "reported"
    log = rows.log
    if join.unmatched == "reject":
        log = _log_alone(log, left[alone], outcome, names)
    log = _log_alone(log, right[unused], "reported", names)
    # A name that both sides have is the left one's; where that would matter, it was refused.
    many_right = join.cardinality == "one_to_many"
    ours = left.drop(columns=[TABLE, LINE]) if many_right else left
    theirs = right.drop(columns=[name for name in right.columns if name in ours.columns])
    joined = (
        ours[~alone]
        .assign(**{_KEY: left_key})
        .merge(theirs[~unused].assign(**{_KEY: right_key}), on=_KEY, how="inner")
    )
    num_rows = rows.num_rows + len(joined) - int((~alone).sum())
    if join.unmatched == "keep":
        joined = pd.concat([joined, left[alone]])
        joined = joined.sort_values([TABLE, LINE], kind="stable")
    joined = joined.drop(columns=_KEY).reset_index(drop=True)
    text = [name for name in joined.columns if name != LINE]
    joined[text] = joined[text].fillna("").astype("str")
    return Rows(joined.astype({LINE: "int64"}), log, num_rows)


def _key(frame: pd.DataFrame, columns: Iterable[str]) -> pd.Series[str]:
    """Joins key columns to one; "" where one of them is missing, which is no key."""
    parts = frame[list(columns)]
    return join_cells(parts).mask((parts == "").any(axis=1), "")


def join_cells(cells: pd.DataFrame) -> pd.Series[str]:
    """Joins the cells of each row to one text that tells them apart."""
    columns = [cells[name].astype("str") for name in cells.columns]
    return functools.reduce(lambda a, b: a + KEY_SEPARATOR + b, columns)


def _log_alone(log: RejectLog, rows: pd.DataFrame, outcome: Outcome, column: str) -> RejectLog:
    entries = rows[[TABLE, LINE]].rename(columns={TABLE: "table", LINE: "line"})
    return log.adding(
        outcome=outcome, code="join_unmatched", kind="row", entries=entries, column=column
    )


def _refuse_repeated(
    left: pd.DataFrame,
    left_key: pd.Series[str],
    right: pd.DataFrame,
    right_key: pd.Series[str],
    join: Join,
) -> None:
    problems = []
    for frame, key, names, unique in (
        (left, left_key, join.keys.keys(), join.cardinality != "many_to_one"),
        (right, right_key, join.keys.values(), join.cardinality != "one_to_many"),
    ):
        repeated = frame[key.duplicated(keep=False) & (key != "")]
        if unique and len(repeated):
            where = f"{repeated[TABLE].iloc[0]} {some_lines(repeated[LINE])}"
            what = f"the key {', '.join(names)} stands more than once"
            what += f", but the join is {join.cardinality}"
            remedy = "declare the cardinality that holds, or mend the table"
            problems.append(Problem(where=where, what=what, remedy=remedy))
    if problems:
        raise TableError(problems, headline="The tables do not join as declared")


def frame_of_paths(columns: Iterable[Mapping[str, str]]) -> pd.DataFrame:
    """Makes rows out of image paths, for a corpus without tables.

    Args:
      columns: For each image, the columns that its path tells.

    Returns:
      The rows; `LINE` counts the images in the order of their paths.
    """
    frame = pd.DataFrame(list(columns), dtype="str")
    frame[TABLE] = "images"
    frame[LINE] = range(1, len(frame) + 1)
    return frame
