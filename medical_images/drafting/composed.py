"""A spec in the making: its keys, and what is to be said above them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from medical_images.yaml_source import Path

GUESS = "? "  # how a sentence begins that marks a guess


@dataclasses.dataclass
class Composed:
    """A spec in the making.

    Attributes:
      data: Its keys.
      comments: {place: sentences above it}.
      after: {place: lines at its end}.
      options: {place: what else could stand there}.
    """

    data: dict[str, Any] = dataclasses.field(default_factory=dict)
    comments: dict[Path, list[str]] = dataclasses.field(default_factory=dict)
    after: dict[Path, list[str]] = dataclasses.field(default_factory=dict)
    options: dict[Path, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def say(self, place: Path, *texts: str) -> None:
        """Puts sentences above a line."""
        self.comments.setdefault(place, []).extend(texts)

    def ask(self, place: Path, what: str, options: Sequence[str] = ()) -> None:
        """Marks a guess."""
        self.say(place, GUESS + what + (f"; or {', '.join(options)}" if options else ""))
        self.options[place] = (*self.options.get(place, ()), *options)

    def guesses(self) -> Iterator[tuple[Path, str]]:
        """Yields the places of guesses, and what is unsure there."""
        for place, texts in self.comments.items():
            for text in texts:
                if text.startswith(GUESS):
                    yield place, text.removeprefix(GUESS)
