"""Which counts a card may show: all, or none that would tell of a few patients. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]

HIDDEN = "\u2013"  # a dash
_ANY = 1 << 40  # more than is counted
_ROUNDS = 8
_NUMBER = r"(?<![\w=.,-])\d[\d,]*(?!\w|[.,]\d| ?%)"


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
        return HIDDEN if self.tells(counts, total) else self.text(total)

    def tells(self, counts: Sequence[int], total: int) -> bool:
        """Tells whether counts and their sum, as they are shown, leave a hidden count one value.

        Example:
          >>> Disclosure(5).tells([102, 102, 4], 208), Disclosure(5).tells([100, 3], 103)
          (True, False)
        """
        ends = [self._ends(count) for count in counts]
        low, high = self._ends(total)
        lows, highs = sum(end[0] for end in ends), sum(end[1] for end in ends)
        return any(
            min(most, high - (lows - least)) <= max(least, low - (highs - most))
            for count, (least, most) in zip(counts, ends, strict=True)
            if self._is_small(count)
        )

    def is_small(self, counts: Counts) -> npt.NDArray[np.bool_]:
        """Tells which counts are hidden."""
        return (counts < self.min_cell) & self.is_on

    def found_out(
        self, counts: Counts, of_lines: Counts, of_columns: Counts
    ) -> npt.NDArray[np.bool_]:
        """Tells which counts of a table can be had from the others and from sums, as all are shown.

        Args:
          counts: int64 of shape (lines, columns); -1 where nothing is shown.
          of_lines: The sums of lines, int64 of shape (lines,); -1 where nothing is shown.
          of_columns: Likewise, of shape (columns,).

        Example:
          >>> counts = np.array([[102, 102, 4], [300, 300, 300]])
          >>> nothing = np.array([-1, -1, -1])
          >>> Disclosure(5).found_out(counts, counts.sum(axis=1), nothing).tolist()
          [[True, True, True], [False, False, False]]
        """
        low, high = self._bounds(counts)
        sums = ((self._bounds(of_lines), 1), (self._bounds(of_columns), 0))
        for _ in range(_ROUNDS):
            for (least, most), axis in sums:
                least, most = np.expand_dims(least, axis), np.expand_dims(most, axis)
                others = high.sum(axis, keepdims=True) - high
                low = np.maximum(low, least - others)
                others = low.sum(axis, keepdims=True) - low
                high = np.minimum(high, most - others)
        return low >= high

    def _bounds(self, counts: Counts) -> tuple[Counts, Counts]:
        """The least and the largest count that is shown as each is."""
        ends = [(0, _ANY) if n < 0 else self._ends(n) for n in counts.ravel().tolist()]
        bounds = np.array(ends, np.int64).reshape(*counts.shape, 2)
        return bounds[..., 0], bounds[..., 1]

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
