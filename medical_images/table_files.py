"""The files of tables: which of several names a table has, and the parts that it stands in."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from etils import epath

from medical_images.spec_parts import Table


@dataclasses.dataclass(frozen=True)
class TableFile:
    """One file of a table.

    Attributes:
      number: Which table it is of.
      place: Which of its files it is, from 0.
      table: The table as if this file were all of it.
      path: Where the file is.
    """

    number: int
    place: int
    table: Table
    path: epath.Path


def files_of_tables(tables: Sequence[Table], *, root: str) -> tuple[TableFile, ...]:
    """Returns the files of all tables in their order, one at least of each.

    Of the names of one file it is the first that exists, or the first of all if none does.

    Example:
      >>> tables = [Table(path=['a.csv', 'b.csv']), Table(path='c.csv', instead=['C.csv'])]
      >>> [(file.number, file.table.name) for file in files_of_tables(tables, root='/none')]
      [(0, 'a.csv'), (0, 'b.csv'), (1, 'c.csv')]
    """
    return tuple(
        TableFile(number, place, one, epath.Path(root) / one.name)
        for number, table in enumerate(tables)
        for place, one in enumerate(_parts(table, root))
    )


def columns_of_tables(
    files: Iterable[TableFile], headers: Iterable[Sequence[str]]
) -> list[list[str]]:
    """Returns the columns of each table: those of its files, each once.

    Args:
      files: All files of all tables, in their order.
      headers: The columns of each.
    """
    found: dict[int, dict[str, None]] = {}
    for file, header in zip(files, headers, strict=True):
        found.setdefault(file.number, {}).update(dict.fromkeys(header))
    return [list(columns) for columns in found.values()]


def _parts(table: Table, root: str) -> list[Table]:
    if table.instead:
        exists = (path for path in table.files if (epath.Path(root) / path).exists())
        name = next(exists, table.name)
        others = [path for path in table.files if path != name]
        return [table.model_copy(update={"path": [name], "instead": others})]
    return [table.model_copy(update={"path": [path]}) for path in table.path]
