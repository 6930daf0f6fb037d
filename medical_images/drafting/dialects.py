"""How the text of a table is written: encoding, separator, lines before the header, the header."""

from __future__ import annotations

import codecs
import collections
import csv
import dataclasses
import gzip
import io
import re
from typing import Any, BinaryIO, cast

_LOOKED_AT = 1 << 18  # bytes
_SEPARATORS = (",", "\t", ";", "|")
_NUM_ROWS = 200
_MOST_BEFORE = 20  # lines before the header
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?")
_PATH = re.compile(r".+\.(?:png|jpe?g|tiff?|bmp|dcm|dicom)|.+/.+", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoundDialect:
    """How a table is written.

    Attributes:
      keys: What `dialect:` of the spec must say of it; empty where the defaults hold.
      columns: Names to give its columns, where it has no header or one that repeats names.
      width: How many columns there are.
    """

    keys: dict[str, Any]
    columns: tuple[str, ...] | None
    width: int


def find_dialect(path: str) -> FoundDialect:
    """Finds out how a table of text is written.

    Args:
      path: The file, plain or packed as `.gz`.

    Raises:
      OSError: It cannot be read.
    """
    encoding, text = _text_of(path)
    separator, rows, before = _best_separator(text)
    keys: dict[str, Any] = {}
    plain = path.lower().removesuffix(".gz")
    if separator != ("\t" if plain.endswith(".tsv") else ","):
        keys["separator"] = "tab" if separator == "\t" else separator
    if encoding != "utf-8":
        keys["encoding"] = encoding
    header = [cell.strip() for cell in rows[0]] if rows else []
    names: tuple[str, ...] | None = None
    if is_data(header, rows[1:]):
        keys["header"] = False
        names = tuple(f"column_{number}" for number in range(1, len(header) + 1))
    elif twice := {name for name in header if name and header.count(name) > 1}:
        keys["header"] = False
        before += 1
        names = tuple(
            f"{name or 'column'}_{number}" if name in twice or not name else name
            for number, name in enumerate(header, 1)
        )
    if before:
        keys["skip_lines"] = before
    return FoundDialect(keys=keys, columns=names, width=len(header))


def is_data(header: list[str], rows: list[list[str]]) -> bool:
    """Whether a table's first line is a row rather than names of columns.

    Example:
      >>> is_data(['MURA/p1/', '1'], [['MURA/p2/', '0']]), is_data(['id', 'age'], [['a', '7']])
      (True, False)
    """
    cells = [cell for cell in header if cell]
    if any(_NUMBER.fullmatch(cell) for cell in cells) and not all(map(_is_number, cells)):
        return True
    if any(_PATH.fullmatch(cell) and " " not in cell and "." in cell for cell in cells):
        return True
    if any(cell.endswith("/") for cell in cells):
        return True
    below = [row[0] for row in rows[:_NUM_ROWS] if row]
    return bool(cells) and all(map(_is_number, cells)) and any(map(_is_number, below))


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell.strip()) is not None


def _text_of(path: str) -> tuple[str, str]:
    """Returns the encoding and the begin of a file; its last line may be torn."""
    with open(path, "rb") as raw:
        packed = path.lower().endswith(".gz")
        file = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw
        head = file.read(_LOOKED_AT)
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16", head.decode("utf-16", "replace")
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        try:
            text = decoder.decode(head)
            while block := file.read(1 << 22):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            encoding = "latin-1" if re.search(rb"[\x81\x8d\x8f\x90\x9d]", head) else "cp1252"
            return encoding, head.decode(encoding)
    return "utf-8", text


def _best_separator(text: str) -> tuple[str, list[list[str]], int]:
    """Returns the separator, the rows from the header on, and the lines before it."""
    best: tuple[float, str, list[list[str]], int] = (-1.0, ",", [], 0)
    for separator in _SEPARATORS:
        rows, lines = _rows_of(text, separator)
        widths = collections.Counter(len(row) for row in rows if row)
        if not widths:
            continue
        width, count = max(widths.items(), key=lambda item: (item[1], item[0]))
        first = next(n for n, row in enumerate(rows) if len(row) == width)
        first = first if lines[first] <= _MOST_BEFORE else 0
        score = count / sum(widths.values()) * (1 if width > 1 else 0.5) + min(width, 50) / 1000
        if score > best[0]:
            best = score, separator, rows[first:], lines[first]
    return best[1:]


def _rows_of(text: str, separator: str) -> tuple[list[list[str]], list[int]]:
    """Returns rows, and how many lines stand before each. Lines of `#` are no rows."""
    rows: list[list[str]] = []
    lines: list[int] = []
    before = 0
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        for row in reader:
            if row and not (row[0].startswith("#") and not rows):
                rows.append(row)
                lines.append(before)
            before = reader.line_num
            if len(rows) > _NUM_ROWS:
                break
    except csv.Error:
        pass
    return (
        (rows[:-1], lines[:-1]) if len(rows) > 2 and len(text) > _LOOKED_AT // 4 else (rows, lines)
    )
