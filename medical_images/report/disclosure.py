"""Which counts a card may show: all, or none that would tell of a few patients. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

HIDDEN = "\u2013"  # a dash
_NUMBER = re.compile(r"(?<![\w=.,-])\d[\d,]*(?!\w|[.,]\d| ?%)")


@dataclasses.dataclass(frozen=True)
class Disclosure:
    """Counts as they are shown.

    With `min_cell` above 1, a count below it is told as such ("<5", also of none), and all others
    are rounded to its multiples. One patient is counted in many tables, so a count that one table
    leaves out could be had from the sums of another; sums of rounded counts do not tell it.

    Attributes:
      min_cell: The least count that is shown; 1 shows all as they are.

    Raises:
      ValueError: `min_cell` is below 1, or 2: rounding to even numbers would tell too much.
    """

    min_cell: int = 1

    def __post_init__(self) -> None:
        if self.min_cell < 1 or self.min_cell == 2:
            raise ValueError(
                f"min_cell is {self.min_cell}; it must be 1 (all counts are shown) or at least 3"
            )

    @property
    def is_on(self) -> bool:
        """Whether anything is hidden."""
        return self.min_cell > 1

    def number(self, count: int) -> int:
        """Returns the count to draw or to calculate with; 0 for one that is not shown.

        Example:
          >>> [Disclosure(5).number(count) for count in (0, 4, 5, 7, 8, 1042)]
          [0, 0, 5, 5, 10, 1040]
        """
        if count < self.min_cell:
            return 0
        return (2 * count + self.min_cell) // (2 * self.min_cell) * self.min_cell

    def text(self, count: int) -> str:
        """Returns the count as it is written.

        Example:
          >>> Disclosure().text(1042), Disclosure(5).text(1042), Disclosure(5).text(3)
          ('1,042', '1,040', '<5')
        """
        return f"<{self.min_cell}" if self._is_small(count) else f"{self.number(count):,}"

    def percent(self, count: int, total: int) -> float:
        """Returns the percentage of shown counts; 0 where one of them is not shown."""
        return 100 * self.number(count) / self.number(total) if self.number(total) else 0.0

    def percent_text(self, count: int, total: int) -> str:
        """Returns the percentage as it is written; nothing where it would tell a hidden count.

        Example:
          >>> Disclosure().percent_text(1, 300), Disclosure(5).percent_text(1, 300)
          ('0.3 %', '')
        """
        if self._is_small(count) or not self.number(total):
            return ""
        percent = self.percent(count, total)
        return f"{percent:.1f} %" if 0 < percent < 99.95 else f"{percent:.0f} %"

    def total_text(self, counts: Sequence[int], total: int) -> str:
        """Returns the sum of some counts that stand beside it.

        Rounding leaves each hidden count several values. In a rare line it does not; its sum is
        hidden.

        Args:
          counts: As they are.
          total: Their sum.

        Example:
          >>> Disclosure(5).total_text([102, 102, 4], 208) == HIDDEN
          True
          >>> Disclosure(5).total_text([100, 3], 103)
          '105'
        """
        ends = [self._ends(count) for count in counts]
        low, high = self._ends(total)
        lows, highs = sum(end[0] for end in ends), sum(end[1] for end in ends)
        for count, (least, most) in zip(counts, ends, strict=True):
            if self._is_small(count):
                from_ = max(least, low - (highs - most))
                to = min(most, high - (lows - least))
                if to <= from_:
                    return HIDDEN
        return self.text(total)

    def sentence(self, text: str) -> str:
        """Returns a sentence with its counts as they are shown.

        Example:
          >>> Disclosure(5).sentence('grade=3 has 2 groups and 1,042 images')
          'grade=3 has fewer than 5 groups and about 1,040 images'
        """
        return _NUMBER.sub(self._told, text) if self.is_on else text

    def _told(self, match: re.Match[str]) -> str:
        count = int(match[0].replace(",", "").rstrip(",") or 0)
        small = self._is_small(count)
        return f"fewer than {self.min_cell}" if small else f"about {self.number(count):,}"

    def _is_small(self, count: int) -> bool:
        return self.is_on and count < self.min_cell

    def _ends(self, count: int) -> tuple[int, int]:
        """The least and the largest count that is shown as this one is."""
        if self._is_small(count):
            return 0, self.min_cell - 1
        shown, size = self.number(count), self.min_cell
        return max(size, shown - size // 2), shown + (size - 1) // 2
