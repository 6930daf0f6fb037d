"""The features of a draft in the making."""

from __future__ import annotations

import dataclasses
from typing import Any

from medical_images.drafting.column_types import ColumnFacts

_FEW = 10


@dataclasses.dataclass
class Features:
    """The features of a draft.

    Attributes:
      data: {name: keys}.
      reasons: {name: sentences to stand above it}.
      left_out: Lines of what is left out.
      options: {name: what else could stand there}.
      labels: Features that may be what is to be predicted, the best first.
      accept: Codes of rejects to accept, with counts.
      is_guess: Whether no name tells what is to be predicted.
    """

    data: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    reasons: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    left_out: list[str] = dataclasses.field(default_factory=list)
    options: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    labels: list[str] = dataclasses.field(default_factory=list)
    accept: dict[str, int] = dataclasses.field(default_factory=dict)
    is_guess: bool = False


def counts_of(fact: ColumnFacts) -> str:
    """Says how often each class stands in a column."""
    shown = sorted(fact.values.items(), key=lambda item: -item[1])[:_FEW]
    text = ", ".join(f"{value} {count:,}" for value, count in shown)
    more = f", and {len(fact.values) - _FEW} more" if len(fact.values) > _FEW else ""
    blank = f", blank {fact.num_blank:,}" if fact.num_blank else ""
    return f"rows: {text}{more}{blank}"
