"""What shard writers found in images, as entries of the list of rejects."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from medical_images.rejects import Outcome, RejectLog
from medical_images.shard_writing import ShardResult
from medical_images.shards import ShardTask

_Found = Callable[[ShardResult], Sequence[tuple[Any, ...]]]


def faults_of(tasks: Sequence[ShardTask], results: Sequence[ShardResult]) -> RejectLog:
    """Returns the rows of images that cannot be used.

    Args:
      tasks: All shards; the records of those without a finding are not read.
      results: One for each.
    """
    return _log_of(tasks, results, "rejected", lambda result: result.faults)


def notes_of(tasks: Sequence[ShardTask], results: Sequence[ShardResult]) -> RejectLog:
    """Returns the rows of images in which something was seen, and that were written."""
    return _log_of(tasks, results, "noted", lambda result: result.notes)


def counters_of(results: Sequence[ShardResult]) -> Mapping[str, int]:
    """Adds up what was only counted: {code: images}."""
    total = collections.Counter[str]()
    for result in results:
        total.update(result.counters)
    return dict(sorted(total.items()))


def _log_of(
    tasks: Sequence[ShardTask], results: Sequence[ShardResult], outcome: Outcome, found: _Found
) -> RejectLog:
    pairs = ((task, found(result)) for task, result in zip(tasks, results, strict=True))
    return log_of(((task.loaded, findings) for task, findings in pairs if findings), outcome)


def log_of(
    parts: Iterable[tuple[pd.DataFrame, Sequence[tuple[Any, ...]]]], outcome: Outcome
) -> RejectLog:
    """Returns the rows of images in which something was found.

    Args:
      parts: Records; and the place among them, the code, and perhaps more of it, of each finding.
      outcome: What became of them.
    """
    entries = []
    for records, findings in parts:
        if findings:
            records = records.iloc[[place for place, *_ in findings]]
            lines = records.get("lines", records["line"])
            entries.append(
                records[["table", "path"]].assign(
                    line=lines,
                    code=[code for _, code, *_ in findings],
                    value=["".join(detail) for _, _, *detail in findings],
                )
            )
    log = RejectLog()
    if entries:
        rows = pd.concat(entries, ignore_index=True).explode("line", ignore_index=True)
        for code, of_code in rows.groupby("code"):
            log = log.adding(outcome=outcome, code=str(code), kind="row", entries=of_code)
    return log
