"""One file of a table to rows of cells: all of it, or the lines of a range of its bytes.

A large table is cut into ranges that are read apart. A cut is a line end; but whether a line end
stands inside quotes cannot be seen in the middle of CSV. The number of quotes before it tells, if
no cell holds a single one; so the quotes of each range are counted first. Whether the cuts were
right after all, the reading tells: the first range begins with a row; and where a range begins with
a row and ends with one (CSV is read strictly: an open quote at the end is an error), the next one
begins with a row too. So if all ranges end clean, all cuts were right, and if one does not, the
table is read whole.
"""

from __future__ import annotations

import codecs
import collections
import contextlib
import csv
import dataclasses
import gzip
import io
import math
import os
import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO, TextIO, cast

import pandas as pd
from etils import epath

from medical_images.errors import Problem, TableError, nearest, some_lines
from medical_images.remote import open_to_read, size_of, storage_errors
from medical_images.sheets import SheetError, SheetRows, rows_of_parquet, rows_of_workbook
from medical_images.spec_parts import PARQUET, WORKBOOKS, Table, normal_form
from medical_images.texts import TextError, read_texts

# Which line of which table a row stands on; no header can hold the NUL that sets these apart.
TABLE, LINE = "\0table", "\0line"
_MAX_CELL = 1 << 24  # characters; an unclosed quote would swallow the rest of a file
_NUM_SHOWN = 20  # columns
_MAX_LINE = 2 * _MAX_CELL  # characters; it is held in memory before its cells are found
_BLOCK = 1 << 20  # bytes
# Encodings in which the bytes of line ends are line ends wherever they stand.
_CAN_BE_CUT = re.compile(r"utf-8(-sig)?|ascii|iso8859-\d+|cp125\d|koi8-[rtu]")


@dataclasses.dataclass(frozen=True)
class Header:
    """What stands before the rows of a table.

    Attributes:
      names: The columns of the file, by their names in the spec; "" is one without a name.
      num_lines: Lines up to the first row.
      nul: Those of them that hold NUL characters.
      problems: What is wrong with the names; if anything, the rows are not read.
      fixed: {column that the file does not have: its cell in each row}.
    """

    names: tuple[str, ...]
    num_lines: int
    nul: tuple[int, ...] = ()
    problems: tuple[Problem, ...] = ()
    fixed: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """The columns that have a name."""
        return [*filter(None, self.names), *self.fixed]


@dataclasses.dataclass(frozen=True)
class Faults:
    """What is wrong with the rows of a table, or of a part of it.

    Attributes:
      ragged: Lines of rows that are not as wide as the header, by their width.
      nul: Lines that hold NUL characters.
      error: Where the reading broke off, and why; None if it did not.
    """

    ragged: Mapping[int, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    nul: tuple[int, ...] = ()
    error: tuple[int, str] | None = None

    def __add__(self, other: Faults) -> Faults:
        ragged = dict(self.ragged)
        for width, lines in other.ragged.items():
            ragged[width] = ragged.get(width, ()) + lines
        return Faults(ragged, self.nul + other.nul, self.error or other.error)

    def moved(self, num_lines: int) -> Faults:
        """Returns the same faults so many lines further down."""
        ragged = {w: tuple(n + num_lines for n in lines) for w, lines in self.ragged.items()}
        error = self.error and (self.error[0] + num_lines, self.error[1])
        return Faults(ragged, tuple(n + num_lines for n in self.nul), error)


@dataclasses.dataclass(frozen=True)
class Part:
    """Rows of a table.

    Attributes:
      frame: All columns as text, and `TABLE` (the path in the spec) and `LINE` (where the row
        begins; from 1, counted from the table's first line or, in a range, from the range's).
      num_lines: How many lines were read; more than rows where cells hold line ends.
      faults: What is wrong with them.
    """

    frame: pd.DataFrame
    num_lines: int
    faults: Faults = Faults()

    def moved(self, num_lines: int) -> Part:
        """Returns the same part so many lines further down."""
        frame = self.frame.assign(**{LINE: self.frame[LINE] + num_lines})
        return Part(frame, self.num_lines, self.faults.moved(num_lines))


def read_header(table: Table, *, path: epath.Path) -> Header:
    """Reads what stands before the rows of a table.

    Raises:
      TableError: The file is missing or cannot be decoded.
    """
    with _open(table, path) as reader:
        return reader.read_header()


def read_parts(table: Table, *, path: epath.Path, num_rows: int | None = None) -> Iterator[Part]:
    """Reads the rows of a table from its first one on.

    Args:
      table: Its dialect, missing tokens and names. Its header has no problems.
      path: Its file, local or remote.
      num_rows: How many rows to give at once; all by default.

    Yields:
      Parts, at least one; only the last can have an error.

    Raises:
      TableError: The file is missing or cannot be decoded.
    """
    with _open(table, path) as reader:
        yield from reader.read_rows(reader.read_header(), num_rows)


def read_table(table: Table, *, path: epath.Path) -> pd.DataFrame:
    """Reads one table as text.

    Args:
      table: Its dialect, missing tokens and names.
      path: Its file, local or remote.

    Returns:
      All columns as text, and `TABLE` and `LINE`, as in `Part`.

    Raises:
      TableError: Lists missing file, wrong encoding, ragged lines, repeated columns and so on.
    """
    with _open(table, path) as reader:
        header = reader.read_header()
        if header.problems:
            raise TableError(problems_of(table, header, Faults()), headline=_headline(table))
        (part,) = reader.read_rows(header)
    if problems := problems_of(table, header, part.faults, num_rows=len(part.frame)):
        raise TableError(problems, headline=_headline(table))
    return part.frame


def problems_of(
    table: Table, header: Header, faults: Faults, *, num_rows: int = 0
) -> list[Problem]:
    """Says what is wrong with a table.

    Args:
      table: The table.
      header: Its header.
      faults: The faults of all its rows.
      num_rows: How many rows were read.
    """
    problems = list(header.problems)
    if faults.error:
        line, words = faults.error
        problems.append(_problem(table, f"line {line}", words))
    for width, lines in sorted(faults.ragged.items()):
        problems.append(
            _problem(
                table,
                some_lines(lines),
                f"{width} cells where the header has {len(header.names)}",
                separator_hint(header.names)
                or "a cell that holds the separator must be quoted; where rows end with a"
                " separator, the header must too",
            )
        )
    if nul := header.nul + faults.nul:
        problems.append(
            _problem(table, some_lines(nul), "NUL characters; this is not a text table")
        )
    if not num_rows and not problems:
        problems.append(_problem(table, "", "the table has no rows"))
    return problems


def separator_hint(names: Sequence[str]) -> str:
    """Says which separator a header seems to have; "" where it has several columns.

    Example:
      >>> separator_hint(['id;age'])
      "a single column that holds ';': set `dialect: {separator: ';'}`"
    """
    for separator, name in ((";", "';'"), ("\t", "tab"), ("|", "'|'")):
        if len(names) == 1 and separator in names[0]:
            return f"a single column that holds {separator!r}: set `dialect: {{separator: {name}}}`"
    return ""


def ranges_of(
    table: Table, header: Header, *, path: epath.Path, num_bytes: int
) -> list[tuple[int, int]]:
    """Cuts a table into ranges of its bytes.

    Args:
      table: The table.
      header: Its header.
      path: Its file.
      num_bytes: How long a range is.

    Returns:
      Where each range begins and ends; none where the table is no longer than one, or where its
      bytes do not tell its lines: where it is compressed, or encoded otherwise than ASCII.
    """
    if not _can_be_cut(table) or (size := size_of(path)) <= num_bytes:
        return []
    with path.open("rb") as file:
        begin = _skip_lines(file, header.num_lines)
    return [(first, min(first + num_bytes, size)) for first in range(begin, size, num_bytes)]


def count_quotes(table: Table, *, path: epath.Path, begin: int, end: int) -> int:
    """Counts the quotes of a range; see `read_range`."""
    with path.open("rb") as file:
        file.seek(begin)
        data: bytes = file.read(end - begin)
    return data.count(_quote(table))


def read_range(
    table: Table,
    header: Header,
    *,
    path: epath.Path,
    begin: int,
    end: int,
    num_quotes: tuple[int, int],
) -> Part:
    """Reads the rows of a range.

    They begin behind the first line end that stands at or after the begin of the range and outside
    of quotes, and end with the one where those of the next range begin. Those of the first range
    begin with it.

    Args:
      table: The table.
      header: Its header.
      path: Its file.
      begin: Where the range begins, in bytes.
      end: Where it ends, in bytes.
      num_quotes: How many quotes there are in all ranges before, and in this one.

    Returns:
      The rows, with lines counted from the range's first. If it has an error, it may be that the
      range began or ended inside quotes.
    """
    before, within = num_quotes
    try:
        with path.open("rb") as file:
            is_first = begin == _skip_lines(file, header.num_lines)
            first = begin if is_first else _next_line(file, begin, _quote(table), before)
            is_last = end >= size_of(path)
            last = end if is_last else _next_line(file, end, _quote(table), before + within)
            file.seek(first)
            data = file.read(last - first)
        encoding = _codec(table) if first == 0 else _codec(table).removesuffix("-sig")
        text = io.TextIOWrapper(io.BytesIO(data), encoding=encoding, newline="")
        (part,) = _Reader(table, _TextLines(table, text)).read_rows(header)
    except storage_errors(UnicodeError, csv.Error) as error:
        return Part(_frame(table, header), 0, Faults(error=(1, str(error))))
    return part


def empty_table(table: Table, header: Header) -> pd.DataFrame:
    """Returns the frame of a table without a row."""
    return _frame(table, header)


def _headline(table: Table) -> str:
    return f"The table {table.name} cannot be read"


def _problem(table: Table, place: str, what: str, remedy: str = "") -> Problem:
    return Problem(where=f"{table.name} {place}".strip(), what=what, remedy=remedy)


@contextlib.contextmanager
def _open(table: Table, path: epath.Path) -> Iterator[_Reader]:
    """Opens a table; what is wrong with the file as a whole is told as a TableError."""
    name = table.name
    if not table.texts and not path.exists():
        others = "".join(f", nor '{other}'" for other in table.instead)
        raise TableError([Problem(where=name, what=f"there is no file '{path}'{others}")])
    try:
        if table.texts:
            yield _Reader(table, SheetRows(_rows_of_texts(table, path)))
            return
        with open_to_read(path) as raw:
            yield _Reader(table, _lines(table, raw))
    except UnicodeDecodeError as error:
        raise TableError([_encoding_problem(table, path, error)]) from None
    except UnicodeError as error:
        what = f"cannot be read as {table.dialect.encoding}: {error}"
        raise TableError([Problem(where=name, what=what)]) from None
    except (SheetError, TextError) as error:
        raise TableError([Problem(where=name, what=str(error))]) from None
    except storage_errors(EOFError, LookupError, zlib.error) as error:
        raise TableError([Problem(where=name, what=f"cannot be read: {error}")]) from None


def _lines(table: Table, raw: BinaryIO) -> _TextLines | SheetRows:
    if table.name.lower().endswith(PARQUET):
        return SheetRows(rows_of_parquet(raw))
    if table.name.lower().endswith(WORKBOOKS):
        return SheetRows(rows_of_workbook(raw, sheet=table.dialect.sheet))
    text = io.TextIOWrapper(_unpacked(table, raw), encoding=_codec(table), newline="")
    return _TextLines(table, text)


def _rows_of_texts(table: Table, path: epath.Path) -> Iterator[list[str]]:
    root = path.parents[table.name.count("/")]
    number = 0
    for number, (name, data) in enumerate(read_texts(root, table.name), start=1):
        try:
            text = data.decode(_codec(table))
        except UnicodeDecodeError:
            what = f"file {number} of those that fit is not {table.dialect.encoding}"
            raise TextError(
                f"{what}: set `dialect: {{encoding: ...}}`, for example cp1252"
            ) from None
        yield [os.fsencode(name).decode("utf-8", "replace"), "\n".join(text.splitlines())]
    if not number:
        raise TextError("there is no file that fits")


def _is_packed(table: Table) -> bool:
    return table.name.lower().endswith(".gz")


def _unpacked(table: Table, raw: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if _is_packed(table) else raw


def _codec(table: Table) -> str:
    """Returns the encoding; a byte order mark of UTF-8 is no part of the first column's name."""
    name = codecs.lookup(table.dialect.encoding).name
    return "utf-8-sig" if name == "utf-8" else name


def _can_be_cut(table: Table) -> bool:
    is_text = not table.name.lower().endswith((*WORKBOOKS, PARQUET)) and not table.texts
    return is_text and not _is_packed(table) and _CAN_BE_CUT.fullmatch(_codec(table)) is not None


def _quote(table: Table) -> bytes:
    return table.dialect.quote.encode(_codec(table).removesuffix("-sig"), "replace")


def _skip_lines(file: BinaryIO, num_lines: int) -> int:
    begin = 0
    for _ in range(num_lines):
        begin = _next_line(file, begin)
    return begin


def _next_line(file: BinaryIO, begin: int, quote: bytes = b"", num_quotes: int = 0) -> int:
    """Returns where a line begins: behind the first line end at or after `begin`.

    Args:
      file: The table.
      begin: Where to begin.
      quote: If given, line ends inside quotes do not count.
      num_quotes: How many quotes there are before.

    Raises:
      csv.Error: There is none within the length of a cell. Where a single quote stands before, all
        line ends seem to be inside quotes, and each range would be read to the end of the file.
    """
    pattern = re.compile(rb"\r|\n" + (b"|" + re.escape(quote) if quote else b""))
    longest = begin + _MAX_CELL if quote else math.inf
    file.seek(begin)
    while block := file.read(_BLOCK):
        for found in pattern.finditer(block):
            if found[0] == quote:
                num_quotes += 1
            elif num_quotes % 2 == 0:
                end = begin + found.end()
                file.seek(end)
                return end + (found[0] == b"\r" and file.read(1) == b"\n")
        begin += len(block)
        if begin > longest:
            raise csv.Error("no line ends outside of quotes")
    return begin


class _TextLines:
    """The lines of a table that is text.

    Attributes:
      num_lines: How many were read.
      nul: Those of them that hold NUL characters.
    """

    def __init__(self, table: Table, text: TextIO) -> None:
        self.num_lines = 0
        self.nul: list[int] = []
        self._separator = table.dialect.separator or _default_separator(table.name)
        self._quote = table.dialect.quote
        self._lines = self._counted(text)

    def skip(self) -> None:
        """Passes over one line."""
        next(self._lines, None)

    def rows(self) -> Iterator[list[str]]:
        """Reads no further than to the end of the row that is asked for."""
        csv.field_size_limit(_MAX_CELL)
        return csv.reader(
            self._lines, delimiter=self._separator, quotechar=self._quote, strict=True
        )

    def _counted(self, text: TextIO) -> Iterator[str]:
        while line := text.readline(_MAX_LINE + 1):
            if len(line) > _MAX_LINE:
                raise csv.Error(f"a line has more than {_MAX_LINE:,} characters")
            self.num_lines += 1
            if "\0" in line:
                self.nul.append(self.num_lines)
            yield line


class _Reader:
    """Reads the lines of one table, or of a part of it, into columns."""

    def __init__(self, table: Table, lines: _TextLines | SheetRows) -> None:
        self._table = table
        self._lines = lines

    def read_header(self) -> Header:
        table, lines = self._table, self._lines
        place = f"line {table.dialect.skip_lines + 1}"
        found: Iterable[str] = table.texts or table.columns or ()
        try:
            for _ in range(table.dialect.skip_lines):
                lines.skip()
            if not table.texts and table.columns is None:
                found = next(lines.rows(), ())
        except csv.Error as error:
            problem = _problem(table, place, _csv_words(error))
            return Header((), lines.num_lines, tuple(lines.nul), (problem,))
        names, problems = renamed_columns(table, found, place=place)
        fixed = {name: "" for name in table.optional if name not in names}
        if table.file_column is not None:
            fixed[table.file_column] = table.name
        return Header(names, lines.num_lines, tuple(lines.nul), tuple(problems), fixed)

    def read_rows(self, header: Header, num_rows: int | None = None) -> Iterator[Part]:
        self._lines.nul.clear()  # those above the rows are the header's
        names = header.names
        begin = end = self._lines.num_lines
        columns: list[list[str]] = [[] for _ in names]
        lines: list[int] = []
        ragged: dict[int, list[int]] = {}
        error = None
        try:
            for cells in self._lines.rows():
                if len(cells) == len(names):
                    lines.append(end + 1)
                    for column, cell in zip(columns, cells, strict=True):
                        column.append(cell)
                elif cells:
                    ragged.setdefault(len(cells), []).append(end + 1)
                end = self._lines.num_lines
                if len(lines) == num_rows:
                    frame = _frame(self._table, header, columns, lines)
                    yield Part(frame, end - begin, self._faults(ragged))
                    begin, columns, lines, ragged = end, [[] for _ in names], [], {}
        except csv.Error as found:
            error = end + 1, _csv_words(found)
        frame = _frame(self._table, header, columns, lines)
        yield Part(frame, self._lines.num_lines - begin, self._faults(ragged, error))

    def _faults(
        self, ragged: Mapping[int, Sequence[int]], error: tuple[int, str] | None = None
    ) -> Faults:
        nul = tuple(self._lines.nul)
        self._lines.nul.clear()
        return Faults({width: tuple(lines) for width, lines in ragged.items()}, nul, error)


def renamed_columns(
    table: Table, found: Iterable[str], *, place: str
) -> tuple[tuple[str, ...], list[Problem]]:
    """Returns the names in the spec of the columns of a file, and what is wrong with them.

    Args:
      table: `rename`, `aliases`, `optional` and `file_column`.
      found: The names in the file.
      place: Where they stand, for messages.
    """
    named = [normal_form(name) for name in found]
    new = {normal_form(other): name for name, all_ in table.aliases.items() for other in all_}
    new |= table.rename
    names = tuple(new.get(name, name) for name in named)
    problems = []
    if not any(named):
        what = "the table is empty; a header line was expected"
        problems.append(_problem(table, place, what))
    counts = collections.Counter(filter(None, names))
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        more = f" and {len(twice) - _NUM_SHOWN} more" if len(twice) > _NUM_SHOWN else ""
        what = f"the header names {', '.join(map(repr, twice[:_NUM_SHOWN]))}{more} twice"
        known = table.aliases.keys() & set(twice)
        remedy = "; ".join(
            f"one of {', '.join(sorted(repr(n) for n in named if new.get(n, n) == name))}"
            f" can be '{name}'"
            for name in sorted(known)
        )
        problems.append(_problem(table, place, what, remedy))
    if table.file_column in counts:
        what = f"the header names '{table.file_column}', which `file_column:` makes"
        problems.append(_problem(table, place, what))
    for old in sorted(set(table.rename) - set(named)):
        name = table.rename[old]
        if name not in table.optional and not (name in table.aliases and name in names):
            what = f"`rename:` of '{old}': {nearest(old, filter(None, named))}"
            problems.append(_problem(table, "line 1", what))
    return names, problems


def _frame(
    table: Table,
    header: Header,
    columns: Sequence[list[str]] | None = None,
    lines: Sequence[int] = (),
) -> pd.DataFrame:
    cells = columns or [[] for _ in header.names]
    frame: dict[str, pd.Series[str] | str | pd.Series[int]] = {
        name: clean(pd.Series(column, dtype="str"), missing=table.missing)
        for name, column in zip(header.names, cells, strict=True)
        if name
    }
    for name, cell in {**header.fixed, TABLE: table.name}.items():
        frame[name] = pd.Series([cell] * len(lines), dtype="str")
    frame[LINE] = pd.Series(lines, dtype="int64")
    return pd.DataFrame(frame, index=range(len(lines)))


def _default_separator(path: str) -> str:
    return "\t" if path.lower().removesuffix(".gz").endswith(".tsv") else ","


def _csv_words(error: csv.Error) -> str:
    if "unexpected end of data" in str(error):
        return "a quote opened in this row is never closed"
    return f"not valid CSV: {error}"


def _encoding_problem(table: Table, path: epath.Path, error: UnicodeDecodeError) -> Problem:
    """Finds the byte that cannot be decoded; the error itself only knows its place in a chunk."""
    decoder = codecs.getincrementaldecoder(table.dialect.encoding)()
    hint = "set `dialect: {encoding: ...}`, for example latin-1 or cp1252"
    offset, line, held = 0, 1, b""
    with path.open("rb") as raw:
        for block in _blocks(_unpacked(table, raw)):
            if not offset and block.startswith((b"\xff\xfe", b"\xfe\xff")):
                hint = "the file begins like UTF-16: set `dialect: {encoding: utf-16}`"
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as exact:
                error = exact
                break
            held = decoder.getstate()[0]
            offset += len(block)
            line += block.count(b"\n")
    line += error.object.count(b"\n", 0, error.start) - held.count(b"\n")
    offset += error.start - len(held)
    byte = error.object[error.start]
    return Problem(
        where=f"{table.name} line {line}",
        what=f"byte 0x{byte:02x} at offset {offset} is not {table.dialect.encoding}",
        remedy=hint,
    )


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """Reads a file piece by piece; the last piece is empty."""
    block = b"-"
    while block:
        block = file.read(_BLOCK)
        yield block


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
