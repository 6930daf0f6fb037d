"""The tables of a folder, read as the spec would read them."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pydantic
from etils import epath

from medical_images.drafting.dialects import find_dialect
from medical_images.errors import CorpusError
from medical_images.sheets import rows_of_workbook
from medical_images.spec_parts import Table
from medical_images.table_reader import LINE, TABLE, read_header, read_parts

MOST_ROWS = 300_000  # of a table, to draft by
_MOST_COLUMNS = 2_000  # beyond, a table holds expressions of genes or the like
_PIXELS = re.compile(r"(?i)(?:pixel|px)?[_ ]?\d+(?:x\d+)?")
_MOST_PIXELS = 50
_MOST_BEFORE = 20  # rows of a sheet before its header
_SHEETS = (".xlsx", ".xls", ".ods", ".parquet")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoundTable:
    """A table as it was read.

    Attributes:
      keys: What the spec must say of it, beside `join:`.
      frame: Its columns as text; "" is missing.
      is_whole: Whether all of its rows were read.
      width: Columns in the file, also those without a name.
    """

    keys: Mapping[str, Any]
    frame: pd.DataFrame
    is_whole: bool = True
    width: int = 0

    @property
    def name(self) -> str:
        """Its file, or the first of its files."""
        path = self.keys["path"]
        return str(path if isinstance(path, str) else path[0])

    @property
    def columns(self) -> list[str]:
        """The columns that have a name."""
        return list(self.frame.columns)


def read_found(root: str, path: str) -> FoundTable | str:
    """Reads a table, or says why it is passed over.

    Args:
      root: The folder.
      path: The table below it.
    """
    full = os.path.join(root, path)
    keys: dict[str, Any] = {"path": path}
    try:
        if not path.lower().endswith(_SHEETS):
            dialect = find_dialect(full)
            if dialect.keys:
                keys["dialect"] = dialect.keys
            if dialect.columns:
                keys["columns"] = list(dialect.columns)
        elif not path.lower().endswith(".parquet") and (before := _lines_before(full)):
            keys["dialect"] = {"skip_lines": before}
        table = Table.model_validate(keys)
        header = read_header(table, path=epath.Path(full))
        if header.problems:
            return header.problems[0].what
        if len(header.names) > _MOST_COLUMNS:
            return f"{len(header.names):,} columns"
        if sum(_PIXELS.fullmatch(name) is not None for name in header.names) > _MOST_PIXELS:
            return "its columns are pixels"
        parts = read_parts(table, path=epath.Path(full), num_rows=MOST_ROWS)
        part = next(parts)
        is_whole = next(parts, None) is None
    except (CorpusError, OSError, ImportError, ValueError) as error:
        return _in_a_line(error)
    if part.faults.ragged:
        return f"{sum(map(len, part.faults.ragged.values()))} rows are not as wide as the header"
    if part.faults.error or part.faults.nul:
        return "no valid text table"
    if part.frame.empty:
        return "it has no rows"
    frame = part.frame.drop(columns=[TABLE, LINE], errors="ignore")
    frame = frame[[name for name in frame.columns if not name.startswith("\0")]]
    return FoundTable(keys=keys, frame=frame, is_whole=is_whole, width=len(header.names))


def _lines_before(path: str) -> int:
    """Counts rows of a sheet, such as a title, before the first one that is as full as others."""
    with open(path, "rb") as file:
        rows = itertools.islice(rows_of_workbook(file), _MOST_BEFORE)
        filled = [sum(map(bool, row)) for row in rows]
    most = max(filled, default=0)
    return next((number for number, cells in enumerate(filled) if 2 * cells > most), 0)


def _in_a_line(error: Exception) -> str:
    if isinstance(error, pydantic.ValidationError):
        return str(error.errors()[0]["msg"])
    if isinstance(error, CorpusError) and error.problems:
        return error.problems[0].what
    return str(error).splitlines()[0][:100] if str(error) else type(error).__name__
