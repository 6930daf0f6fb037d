"""Images whose names are one on some file systems: `A.png` and `a.png`, or `é` in NFC and in NFD.

Unpacked or copied elsewhere, one would take the place of the other. Pure.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import pandas as pd

from medical_images.errors import Problem, SpecError, some_lines
from medical_images.rejects import RejectLog

Row = tuple[str, int]  # table and line
SEVERAL = " | "  # between the paths that fit a row


def folded(path: str) -> str:
    """Returns what is the same of names that clash.

    Example:
      >>> folded('A/e\u0301.PNG') == folded('a/\u00e9.png')
      True
    """
    return path.lower() if path.isascii() else _nfc(_nfc(path).casefold())


def clashing_rows(records: pd.DataFrame) -> list[Row]:
    """Returns the rows of images whose names clash with those of others.

    Args:
      records: `path`, `table` and `line`; all whose names may clash are among them.

    Example:
      >>> clashing_rows(pd.DataFrame(
      ...     {'path': ['A.png', 'a.png', 'b.png'], 'table': 'data.csv', 'line': [2, 3, 4]}))
      [('data.csv', 2), ('data.csv', 3)]
    """
    names = records["path"].map(folded)
    return _rows_of(records[names.duplicated(keep=False)])


def twin_rows(log: RejectLog) -> list[Row]:
    """Returns the rows that several files fit, of which two differ by Unicode's forms only."""
    entries = log.entries[log.entries["code"] == "image_ambiguous"]
    return _rows_of(entries[entries["path"].map(_has_twins).astype(bool)])


def check_names(rows: Iterable[Row]) -> None:
    """Refuses a corpus whose images have names that clash.

    Args:
      rows: What `clashing_rows` and `twin_rows` found.

    Raises:
      SpecError: There are such rows. Files are not named, as their names may be those of patients.
    """
    lines: dict[str, set[int]] = {}
    for table, line in rows:
        lines.setdefault(table, set()).add(line)
    if not lines:
        return
    problems = [
        Problem(
            where=f"{some_lines(found)} of {table}",
            what=f"name_clash: the images of {len(found):,} rows have names that differ only by"
            " upper and lower case, or by the form of Unicode",
            remedy="some file systems take them for one: rename them, or leave them out by"
            " `images: {exclude: ...}`",
        )
        for table, found in sorted(lines.items())
    ]
    raise SpecError(problems, headline="The images cannot be told apart by their names")


def _rows_of(frame: pd.DataFrame) -> list[Row]:
    return [
        (str(table), int(line)) for table, line in zip(frame["table"], frame["line"], strict=True)
    ]


def _has_twins(paths: str) -> bool:
    names = paths.split(SEVERAL)
    return len(set(map(_nfc, names))) < len(names)


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)
