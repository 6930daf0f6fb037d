"""Errors that list every problem of an input at once.

A message says what is wrong, where (file, line, column), what was found, what is allowed and how to
mend it. It never shows more of a patient than a row number.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Sequence

_NUM_SHOWN = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong with an input.

    Attributes:
      where: The place, for example `corpus.yaml:14:5 features.age` or `data.csv line 17`.
      what: What was found there, and what is allowed.
      remedy: How to mend it; empty where `what` says so already.
    """

    where: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        tail = f" ({self.remedy})" if self.remedy else ""
        return f"{self.where}: {self.what}{tail}"


class CorpusError(ValueError):
    """A corpus or its spec cannot be used as it is; nothing was written.

    Args:
      problems: All problems found; the message shows the first ten and the count.
      headline: What was being done.
      epilog: What to do next, shown last.

    Example:
      >>> problem = Problem(where='corpus.yaml:3:1', what="unknown key 'lable'")
      >>> print(CorpusError([problem], headline='The spec cannot be used'))
      The spec cannot be used: 1 problem
        corpus.yaml:3:1: unknown key 'lable'
    """

    # The whole message is the only argument of the exception: TFDS adds its context to `args[0]`.
    def __init__(
        self, problems: Iterable[Problem], *, headline: str = "Problems", epilog: str = ""
    ) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        self.headline, self.epilog = headline, epilog
        super().__init__(_message(self.problems, headline, epilog))

    def __reduce__(self) -> tuple[object, ...]:
        return (_restore, (type(self), self.problems, self.args))


class SpecError(CorpusError):
    """The spec is not valid, or names things that its corpus does not have."""


class TableError(CorpusError):
    """A table cannot be read as the spec says."""


class RejectedError(CorpusError):
    """More rows or files were rejected than `rejects:` of the spec accepts."""


class BuildError(RuntimeError):
    """The dataset could not be written, or is not what was planned; the build stops."""


class ChangedError(BuildError):
    """The corpus changes while it is built; whoever tries again sees the same."""


class ImageError(BuildError):
    """An image cannot be used, whoever tries it again.

    Attributes:
      code: Why; a key of `rejects.CODES`.
      detail: More of it, without anything of a patient; may be empty.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}" if self.detail else self.code


def _message(problems: Sequence[Problem], headline: str, epilog: str) -> str:
    count = len(problems)
    lines = [f"{headline}: {count} problem{'s' if count != 1 else ''}"]
    lines += [f"  {problem}" for problem in problems[:_NUM_SHOWN]]
    if count > _NUM_SHOWN:
        lines.append(f"  ... and {count - _NUM_SHOWN} more")
    if epilog:
        lines.append(epilog)
    return "\n".join(lines)


def _restore(
    cls: type[CorpusError], problems: tuple[Problem, ...], args: tuple[object, ...]
) -> CorpusError:
    error = cls(problems)
    error.args = args
    return error


def nearest(word: str, known: Iterable[str]) -> str:
    """Says which known word is meant, or lists the known words.

    Example:
      >>> nearest('lable', ['label', 'age'])
      "did you mean 'label'? Known: age, label"
    """
    words = sorted(known)
    listed = f"Known: {', '.join(words[:40])}{', ...' if len(words) > 40 else ''}"
    folded = {candidate.casefold(): candidate for candidate in words}
    close = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return f"did you mean '{folded[close[0]]}'? {listed}" if close else listed


def some_lines(lines: Iterable[int], *, limit: int = 5) -> str:
    """Names a few line numbers, each once.

    Example:
      >>> some_lines([7, 3, 9, 4, 1, 2, 2])
      'lines 1, 2, 3, 4, 7 and 1 more'
    """
    ordered = sorted(set(lines))
    shown = ", ".join(str(line) for line in ordered[:limit])
    more = f" and {len(ordered) - limit} more" if len(ordered) > limit else ""
    return f"line{'s' if len(ordered) != 1 else ''} {shown}{more}"
