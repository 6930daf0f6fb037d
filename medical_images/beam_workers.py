"""The workers of a Beam runner, and what they leave in files for the main process."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import apache_beam as beam
from etils import epath

from medical_images.beam_parts import files_in, read_part, write_part
from medical_images.errors import BuildError
from medical_images.paths import is_remote
from medical_images.read_ahead import map_files


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workers:
    """Who works, and where results are left.

    Attributes:
      folder: A folder that workers and this process share; it may be remote.
      runner: A Beam runner, or the name of one.
      options: `PipelineOptions`.
    """

    folder: str
    runner: Any = None
    options: Any = None

    def pipeline(self) -> beam.Pipeline:
        """A new pipeline."""
        return beam.Pipeline(runner=self.runner, options=self.options)

    def made(self, name: str) -> str:
        """Makes a folder inside of the folder."""
        folder = epath.Path(self.folder) / name
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    def results(self, name: str, work: Callable[[Any], Any], elements: Sequence[Any]) -> list[Any]:
        """Returns what a function returns of each element, in their order."""
        folder = self.made(name)
        with self.pipeline() as pipeline:
            _ = (
                pipeline
                | "Elements" >> beam.Create(list(enumerate(elements)))
                | "Spread" >> beam.Reshuffle()
                | "Work" >> beam.Map(_work, work=work, folder=folder)
            )
        return self.read_all(f"{folder}/{number}.pickle" for number in range(len(elements)))

    def written(self, name: str) -> dict[str, str]:
        """Returns {file: its path} of the files that are in a folder inside of the folder."""
        return {
            path.name: os.fspath(path)
            for path in files_in(f"{self.folder}/{name}")
            if not path.name.startswith("incomplete.")  # left by a worker that was stopped
        }

    def read_all(self, paths: Iterable[str]) -> list[Any]:
        """Reads files that workers wrote; several at once where they are remote."""
        return list(map_files(self.read, list(paths), is_remote=is_remote(self.folder)))

    def read(self, path: str) -> Any:
        """Reads a file that a worker wrote.

        Raises:
          BuildError: There is none.
        """
        if not epath.Path(path).exists():
            raise BuildError(f"the runner left out a step: there is no {os.path.basename(path)}")
        return read_part(path)


def _work(element: tuple[int, Any], *, work: Callable[[Any], Any], folder: str) -> None:
    number, what = element
    write_part(f"{folder}/{number}.pickle", work(what))
