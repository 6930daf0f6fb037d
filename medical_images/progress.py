"""The bar that tells how far long work has come."""

from __future__ import annotations

import sys
from typing import Any

import tqdm


def progress_bar(
    total: int, what: str, *, unit: str = " images", is_shown: bool = True, comes_late: bool = False
) -> tqdm.tqdm[Any]:
    """Returns a bar for the terminal; a log file need not hold every state of it.

    Args:
      total: How much there is to do.
      what: What is done.
      unit: Of what; "B" are bytes, told with their thousands.
      is_shown: Whether to show it.
      comes_late: Whether work that is done at once shows none.
    """
    is_terminal = sys.stderr.isatty()
    return tqdm.tqdm(
        total=total,
        desc=what,
        unit=unit,
        unit_scale=unit == "B",
        disable=not is_shown,
        delay=(1 if is_terminal else 10) if comes_late else 0,
        mininterval=0.2 if is_terminal else 10,
    )
