"""Workbooks and Parquet files as rows of text, each cell as a person sees it.

A spreadsheet keeps 45 as 45.0, and Parquet makes floats of whole numbers where one is missing;
neither is what the table says.
"""

from __future__ import annotations

import datetime
import math
import re
import zipfile
from collections.abc import Iterator
from typing import IO, Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

_BATCH = 10_000  # rows
_MOST_CELLS = 50_000_000  # of a sheet; blank ones between others take memory too
_MOST_BYTES = 1 << 30  # of a workbook that is unpacked
_BLOCK, _LONGEST_TAG = 1 << 20, 1 << 10  # bytes
_CELL = re.compile(rb"""<(?:\w+:)?c\b[^<>]*?\br=["']([A-Z]{1,3})(\d{1,7})["'][^<>]*(?<!/)>""")


class SheetError(ValueError):
    """A file is no workbook or Parquet file that can be read."""


class SheetRows:
    """Rows of cells, each of which counts as one line; the first one names the columns.

    Attributes:
      num_lines: How many were read.
      nul: Those of them that hold NUL characters.
    """

    def __init__(self, rows: Iterator[list[str]]) -> None:
        self.num_lines = 0
        self.nul: list[int] = []
        self._rows = rows

    def skip(self) -> None:
        """Passes over one row."""
        next(self.rows(), None)

    def rows(self) -> Iterator[list[str]]:
        """Reads no further than to the row that is asked for."""
        for cells in self._rows:
            self.num_lines += 1
            if any("\0" in cell for cell in cells):
                self.nul.append(self.num_lines)
            yield cells


def rows_of_workbook(file: BinaryIO, *, sheet: str | None = None) -> Iterator[list[str]]:
    """Yields the rows of a sheet, from its first one on; one without any cell is empty.

    Of cells that are merged, each row has the value in the first column: a patient's id that stands
    beside several rows is that of all of them.

    Args:
      file: A workbook: .xlsx, .xls or .ods.
      sheet: The name of the sheet; the first one by default.

    Raises:
      SheetError: It cannot be read, would take all memory, or there is no such sheet.
    """
    try:
        import python_calamine as calamine
    except ImportError:
        what = "needs a library that is not installed; `pip install 'medical_images[xlsx]'`"
        raise SheetError(what) from None
    try:
        _refuse_bomb(file)
        with calamine.CalamineWorkbook.from_filelike(file) as book:
            names = book.sheet_names
            if sheet is not None and sheet not in names:
                raise SheetError(f"there is no sheet '{sheet}'; there are {', '.join(names)}")
            found = book.get_sheet_by_name(sheet or names[0])
            rows = found.to_python(skip_empty_area=False)
            merged = found.merged_cell_ranges or ()
    except (
        *(calamine.CalamineError, zipfile.BadZipFile, LookupError, OSError),
        RuntimeError,  # of a part that is encrypted, or packed in a way that Python does not know
    ) as error:
        raise SheetError(f"this is no workbook that can be read ({error})") from None
    for (top, left), (bottom, _) in merged:
        for row in rows[top + 1 : bottom + 1]:
            if left < len(row) and any(cell != "" for cell in row):
                row[left] = rows[top][left]
    for row in rows:
        cells = [as_text(value) for value in row]
        yield cells if any(cells) else []


def _refuse_bomb(file: BinaryIO) -> None:
    """Refuses a workbook whose sheets hold more than memory does, before they are held."""
    if not zipfile.is_zipfile(file):
        file.seek(0)
        return
    with zipfile.ZipFile(file) as packed:
        parts = [part for part in packed.infolist() if part.filename.lower().endswith(".xml")]
        if (num_bytes := sum(part.file_size for part in parts)) > _MOST_BYTES:
            raise SheetError(f"unpacked, the workbook has {num_bytes:,} bytes")
        for part in parts:
            if "worksheets/" in part.filename.lower():
                with packed.open(part) as sheet:
                    _refuse_far_cells(sheet)
    file.seek(0)


def _refuse_far_cells(sheet: IO[bytes]) -> None:
    rows = columns = 0
    kept = b""
    while block := sheet.read(_BLOCK):
        block = kept + block
        for letters, number in _CELL.findall(block):
            rows, columns = max(rows, int(number)), max(columns, _number_of(letters))
        kept = block[-_LONGEST_TAG:]
    if rows * columns > _MOST_CELLS:
        what = f"a sheet reaches to row {rows:,} and column {columns:,}"
        raise SheetError(f"{what}; delete cells that stand far from all others")


def _number_of(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + letter - ord("A") + 1
    return number


def rows_of_parquet(file: BinaryIO) -> Iterator[list[str]]:
    """Yields the names of the columns, and then the rows.

    Columns of bytes and of mappings, such as images, are no text; they have no name and no cells.

    Raises:
      SheetError: It cannot be read.
    """
    try:
        opened = pq.ParquetFile(file)
        schema = opened.schema_arrow
        texts = [field.name for field in schema if _is_text(field.type)]
        yield [field.name if _is_text(field.type) else "" for field in schema]
        for batch in opened.iter_batches(_BATCH, columns=texts):
            blank = [""] * len(batch)
            columns = [
                _cells(batch.column(field.name)) if _is_text(field.type) else blank
                for field in schema
            ]
            yield from map(list, zip(*columns, strict=True))
    except UnicodeDecodeError:
        raise SheetError("there are texts in it that are not UTF-8") from None
    except (pa.ArrowException, LookupError) as error:
        raise SheetError(f"this is no Parquet file that can be read ({error})") from None


def as_text(value: Any) -> str:
    """Returns a cell as a person sees it; "" is missing.

    Example:
      >>> import datetime
      >>> day = datetime.datetime(2019, 7, 30)
      >>> [as_text(value) for value in (45.0, 0.1, None, float('nan'), True, day, '007')]
      ['45', '0.1', '', '', 'True', '2019-07-30', '007']
    """
    if value is None:
        return ""
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, datetime.datetime):
        is_day = value.time() == datetime.time() and value.tzinfo is None
        return value.date().isoformat() if is_day else value.isoformat(sep=" ")
    return str(value)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    is_bytes = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    return not (is_bytes or pa.types.is_fixed_size_binary(kind) or pa.types.is_nested(kind))


def _cells(column: pa.Array) -> list[str]:
    if pa.types.is_float32(column.type) or pa.types.is_float16(column.type):
        # 0.1 of 32 bits is 0.10000000149 in 64.
        values = column.to_numpy(zero_copy_only=False)
        return [as_text(float(str(value))) for value in values]
    return [as_text(value) for value in column.to_pylist()]
