"""Engines: who reads and plans a corpus, and who writes its shards."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Any

from etils import epath

from medical_images import corpus, local_engine
from medical_images.overwriting import discard, new_folder
from medical_images.paths import absolute, is_remote
from medical_images.remote import forget_listings
from medical_images.shard_writing import ShardResult
from medical_images.shards import ShardTask
from medical_images.spec import LoadedSpec


class Engine(abc.ABC):
    """Does the work of a build. All engines give the same bytes."""

    @abc.abstractmethod
    def plan(self, loaded: LoadedSpec, *, data_dir: str, target: str) -> corpus.PlannedCorpus:
        """Reads and plans a corpus; see `corpus.plan_corpus`."""

    @abc.abstractmethod
    def write(
        self, tasks: Sequence[ShardTask], *, results: str, leftovers: Sequence[str]
    ) -> list[ShardResult]:
        """Writes shards; see `local_engine.write_shards`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocalEngine(Engine):
    """The threads or processes of this machine.

    Attributes:
      num_workers: How many processes; see `local_engine.write_shards`.
    """

    num_workers: int | None = None

    def plan(self, loaded: LoadedSpec, *, data_dir: str, target: str) -> corpus.CorpusInMemory:
        """Plans in memory."""
        return corpus.plan_corpus(loaded, data_dir=data_dir, target=target)

    def write(
        self, tasks: Sequence[ShardTask], *, results: str, leftovers: Sequence[str]
    ) -> list[ShardResult]:
        """Writes shards here."""
        return local_engine.write_shards(
            tasks, results=results, leftovers=leftovers, num_workers=self.num_workers
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class BeamEngine(Engine):
    """The workers of a Beam runner. Beam is imported when work begins; that takes a second.

    Attributes:
      folder: A folder for what they leave for each other, which they and this process share.
      runner: The runner, or its name.
      options: `PipelineOptions`.
    """

    folder: str
    runner: Any
    options: Any

    def plan(self, loaded: LoadedSpec, *, data_dir: str, target: str) -> corpus.PlannedCorpus:
        """Plans by the workers."""
        from medical_images import beam_corpus
        from medical_images.beam_workers import Workers

        workers = Workers(folder=self.folder, runner=self.runner, options=self.options)
        return beam_corpus.plan_corpus(loaded, workers, data_dir=data_dir, target=target)

    def write(
        self, tasks: Sequence[ShardTask], *, results: str, leftovers: Sequence[str]
    ) -> list[ShardResult]:
        """Writes shards by the workers."""
        from medical_images import beam_writing

        return beam_writing.write_shards(
            tasks, results=results, leftovers=leftovers, runner=self.runner, options=self.options
        )


@contextlib.contextmanager
def beam_folder(dataset: epath.Path) -> Iterator[str]:
    """Makes a folder beside a dataset, for as long as its build goes on.

    If that is killed, the next build of the dataset finds the folder among what was left.

    Args:
      dataset: The folder of the dataset.
    """
    folder = new_folder(epath.Path(absolute(dataset)))
    folder.mkdir(parents=True)
    if not is_remote(folder):
        os.chmod(folder, 0o700)  # it holds all cells that the spec names, and the paths of files
    try:
        yield os.fspath(folder)
    finally:
        discard(folder)
        forget_listings(folder)
