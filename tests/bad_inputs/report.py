"""Cases, and the table of what was seen of each."""

import dataclasses
import fcntl
import os
import re
from collections.abc import Callable

REPORT_VARIABLE = "MEDICAL_IMAGES_CASE_REPORT"
_HEADER = "| case | expected | seen | test |\n|---|---|---|---|\n"


@dataclasses.dataclass(frozen=True)
class Case:
    """One bad input.

    Attributes:
      number: Its number in the table of bad inputs.
      words: The input in words.
      expected: What it must give.
      longer: A test elsewhere that tries the same at length; may be empty.
    """

    number: int
    words: str
    expected: str
    longer: str = ""


def case(number: int, words: str, expected: str, *, longer: str = "") -> Callable:
    """Says of a test which case it is."""

    def mark(test: Callable) -> Callable:
        test.case = Case(number, words, expected, longer)
        return test

    return mark


class Seen:
    """What a test really observed, in the order in which it did."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def write_row(one: Case, seen: Seen, *, test: str, fault: str) -> None:
    """Adds the row of a case to the report, or replaces it; several processes may do so at once.

    Args:
      one: The case.
      seen: What was observed.
      test: The test's id.
      fault: That it failed, and why; empty if it passed.
    """
    path = os.environ.get(REPORT_VARIABLE)
    if not path:
        return
    told = [*([fault] if fault else []), *seen.notes]
    test = f"`{test}`" + (f", at length `{one.longer}`" if one.longer else "")
    cells = (f"{one.number}: {one.words}", one.expected, "<br>".join(told), test)
    row = f"| {' | '.join(_cell(cell) for cell in cells)} |\n"
    with open(path, "a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        rows = [line for line in file if line.startswith("| ") and line not in _HEADER]
        rows = [line for line in rows if f"| {_cell(test)} |" not in line]
        file.truncate(0)
        file.write(_HEADER + "".join(sorted([*rows, row], key=_place)))


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", r"\|").strip()


def _place(row: str) -> tuple[int, str]:
    number = re.match(r"\| (\d+)", row)
    return int(number[1]) if number else 0, row
