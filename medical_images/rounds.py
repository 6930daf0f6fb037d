"""Shards written in rounds: once, unless images prove unusable; then without these, planned anew.

What an image file holds is known when its bytes are read, which is done once, while its shard is
written. A plan that counted an image that cannot be used would be wrong for all others: its splits
would miss it, and its certificate would lie.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence

from etils import epath

from medical_images.corpus import CutCorpus, PlannedCorpus
from medical_images.engines import Engine
from medical_images.overwriting import discard
from medical_images.rejects import RejectLog
from medical_images.shard_findings import counters_of, faults_of, notes_of
from medical_images.shard_writing import RESULTS, ShardResult
from medical_images.shards import ShardTask

Tasks = Mapping[str, Sequence[ShardTask]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Written:
    """What was written.

    Attributes:
      planned: The corpus without images that cannot be used.
      cut: Its splits.
      results: {split: one result for each shard}.
      counters: What was only counted in images: {code: images}.
    """

    planned: PlannedCorpus
    cut: CutCorpus
    results: Mapping[str, Sequence[ShardResult]]
    counters: Mapping[str, int]


def write_usable(
    planned: PlannedCorpus,
    engine: Engine,
    *,
    cut_of: Callable[[PlannedCorpus], CutCorpus],
    tasks_of: Callable[[CutCorpus], Tasks],
    folder: epath.Path,
    leftovers: Sequence[str] = (),
) -> Written:
    """Writes all shards of the images that can be used.

    Args:
      planned: The corpus.
      engine: Who writes.
      cut_of: Cuts splits to shards.
      tasks_of: Makes the tasks of each split.
      folder: Where the tasks write; it holds nothing else yet.
      leftovers: See `shard_writing.write_once`.

    Raises:
      CorpusError: Without the images that cannot be used, the corpus is refused; see `accept`.
      BuildError: A shard cannot be written.
    """
    results_folder = folder / RESULTS
    while True:
        cut = cut_of(planned)
        by_split = tasks_of(cut)
        tasks = list(itertools.chain(*by_split.values()))
        results_folder.mkdir(exist_ok=True)
        results = engine.write(tasks, results=str(results_folder), leftovers=leftovers)
        faults = faults_of(tasks, results)
        if faults.entries.empty:
            break
        planned = planned.without(faults)
        print(f"{_told_of(faults)}, and the others are planned and written again:")
        print(planned.summary())
        _clear(folder, results)
    rest = iter(results)
    notes, counters = notes_of(tasks, results), counters_of(results)
    planned = planned.noting(notes)
    _tell(planned, notes.counts().get("noted", {}), counters)
    return Written(
        planned=planned,
        cut=cut,
        results={name: list(itertools.islice(rest, len(part))) for name, part in by_split.items()},
        counters=counters,
    )


def _told_of(faults: RejectLog) -> str:
    """Counts images, of which each may have several rows."""
    images = RejectLog(faults.entries.drop_duplicates(["path", "code"]))
    told = ", ".join(f"{n:,} {code}" for code, n in images.counts()["rejected"].items())
    number = len(images.entries)
    what = (
        "1 image that cannot be used is"
        if number == 1
        else f"{number:,} images that cannot be used are"
    )
    return f"{what} left out ({told})"


def _clear(folder: epath.Path, results: Sequence[ShardResult]) -> None:
    discard(folder / RESULTS)
    for result in results:
        (folder / result.name).unlink(missing_ok=True)


def _tell(planned: PlannedCorpus, notes: Mapping[str, int], counters: Mapping[str, int]) -> None:
    told = [f"{count:,} {code}" for code, count in sorted({**notes, **counters}.items())]
    if told:
        place = planned.accepted.rejects_path
        listed = f"; listed in {place} (personal data)" if notes and place else ""
        print(f"seen in images that were written: {', '.join(told)}{listed}")
