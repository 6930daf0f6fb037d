"""Which counts a card may show: all, or none that would tell of a few patients. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]

HIDDEN = "\u2013"  # a dash
_NUMBER = r"(?<![\w=.,-])\d[\d,]*(?!\w|[.,]\d| ?%)"


@dataclasses.dataclass(frozen=True)
class Disclosure:
    """Counts as they are shown.

    With `min_cell` above 1, a count below it is told as such ("<5", also of none), and all others
    are rounded to its multiples. Sums are those of what is shown, and so tell nothing else. Where
    counts add up to one that stands elsewhere, one more of them may have to be hidden. Several
    tables together may still tell more than each of them.

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

    def percent_text(self, count: int, total: int) -> str:
        """Returns the percentage of shown counts; nothing where one of them is not shown.

        Example:
          >>> Disclosure().percent_text(1, 300), Disclosure(5).percent_text(1, 300)
          ('0.3 %', '')
        """
        if self._is_small(count) or not self.number(total):
            return ""
        percent = 100 * self.number(count) / self.number(total)
        return f"{percent:.1f} %" if 0 < percent < 99.95 else f"{percent:.0f} %"

    def is_small(self, counts: Counts) -> npt.NDArray[np.bool_]:
        """Tells which counts are hidden."""
        return (counts < self.min_cell) & self.is_on

    def may_be_told(self, counts: Sequence[int]) -> bool:
        """Tells whether a sum beside counts might leave a hidden one of them a single value.

        That is decided by how the counts are shown alone, whatever their sum is: if it were by the
        sum, that something is hidden would tell of it.

        Args:
          counts: All that add up, as they are.

        Example:
          >>> few = Disclosure(5)
          >>> [few.may_be_told(counts) for counts in ([102, 102, 4], [98, 99, 0], [100, 3])]
          [True, True, False]
        """
        ends = [self._ends(count) for count in counts]
        lows, highs = sum(least for least, _ in ends), sum(most for _, most in ends)
        sums = [self._ends(total) for total in (lows, highs)]  # others leave more room
        return any(
            min(most, high - (lows - least)) <= max(least, low - (highs - most))
            for count, (least, most) in zip(counts, ends, strict=True)
            if self._is_small(count)
            for low, high in sums
        )

    def sentence(self, text: str, names: Iterable[str] = ()) -> str:
        """Returns a sentence with its counts as they are shown.

        Args:
          text: The sentence.
          names: Words in it that stay as they are.

        Example:
          >>> Disclosure(5).sentence('label=type 3 has 2 groups and 1,042 images', ['label=type 3'])
          'label=type 3 has fewer than 5 groups and about 1,040 images'
        """
        if not self.is_on:
            return text
        kept = [re.escape(name) for name in sorted(names, key=len, reverse=True)]
        return re.sub("|".join([*kept, _NUMBER]), self._told, text)

    def _told(self, match: re.Match[str]) -> str:
        if not match[0][0].isdigit():
            return match[0]
        count = int(match[0].replace(",", ""))
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
