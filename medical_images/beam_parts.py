"""What the steps of reading share: parts of frames by hash, and parts as files."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pandas as pd
from apache_beam.pvalue import TaggedOutput
from etils import epath
from tensorflow_datasets.core.utils import py_utils

from medical_images.beam_line import rows_by
from medical_images.findings import Findings
from medical_images.rejects import RejectLog
from medical_images.remote import forget_listings

LOG, FINDINGS = "log", "findings"  # outputs of steps: (part, entries) and `Findings`


def hash_buckets(cells: pd.Series[Any], num_buckets: int) -> np.ndarray:
    """Returns a bucket for each cell, the same in every process, as int64 of shape (cells,).

    Example:
      >>> hash_buckets(pd.Series(['a', 'b', 'a']), 100).tolist()
      [4, 75, 4]
    """
    values = cells.to_numpy() if cells.dtype == np.int64 else cells.to_numpy(dtype=object)
    hashes: np.ndarray = pd.util.hash_array(values)
    return (hashes % np.uint64(num_buckets)).astype(np.int64)


def by_bucket(frame: pd.DataFrame, buckets: np.ndarray) -> Iterator[tuple[int, pd.DataFrame]]:
    """Yields each bucket that occurs, and its rows."""
    yield from ((bucket, frame.iloc[rows]) for bucket, rows in rows_by(buckets))


def tagged_log(part: int, log: RejectLog) -> Iterator[TaggedOutput]:
    """Yields the entries of a log, if it has any."""
    if len(log.entries):
        yield TaggedOutput(LOG, (part, log.entries))


def concat(frames: Iterable[pd.DataFrame], none: pd.DataFrame | None = None) -> pd.DataFrame:
    """Joins parts; an empty one has no say in dtypes.

    Args:
      frames: The parts.
      none: What to return where all are empty.
    """
    parts = [frame for frame in frames if len(frame)]
    if not parts and none is not None:
        return none
    return pd.concat(parts)


def write_part(path: str, value: Any) -> None:
    """Writes a file that is there whole or not at all, also where the writing is repeated."""
    with py_utils.incomplete_file(epath.Path(path)) as temporary:
        temporary.write_bytes(pickle.dumps(value))


def read_part(path: str) -> Any:
    """Reads what `write_part` wrote."""
    return pickle.loads(epath.Path(path).read_bytes())


def files_in(folder: str) -> list[epath.Path]:
    """Returns the files that workers left in a folder; none where there is no such folder."""
    place = epath.Path(folder)
    forget_listings(place)
    return list(place.iterdir()) if place.exists() else []


def part_paths(prefix: str) -> list[str]:
    """Returns the files that `WriteParts` wrote, in the order of their numbers."""
    folder, _, name = prefix.rpartition("/")
    # A worker that was stopped may leave an incomplete file, of another name.
    return sorted(
        str(path) for path in files_in(folder) if re.fullmatch(rf"{name}\d+\.pickle", path.name)
    )


class WriteParts(beam.PTransform):
    """PCollection of (number, data frame) -> files `<prefix><number>.pickle`, PCollection of sizes.

    Args:
      prefix: Where to.
      by: The column that sorts each part; none by default.
    """

    def __init__(self, prefix: str, *, by: str | None = None) -> None:
        super().__init__()
        self._prefix, self._by = prefix, by

    def expand(self, parts: Any) -> Any:
        """Gathers the parts of each number."""
        return (
            parts
            | "ByNumber" >> beam.GroupByKey()
            | "Write" >> beam.Map(_write, prefix=self._prefix, by=self._by)
        )


class ReadParts(beam.PTransform):
    """Pipeline -> PCollection of (number, data frame), of the files that `WriteParts` wrote.

    Args:
      prefix: Where from.
    """

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self._prefix = prefix

    def expand(self, pipeline: beam.Pipeline) -> Any:
        """Reads the files apart."""
        return (
            pipeline
            | "Paths" >> beam.Create(part_paths(self._prefix))
            | "SpreadPaths" >> beam.Reshuffle()
            | "Read" >> beam.Map(_read, prefix=self._prefix)
        )


class WriteFindings(beam.PTransform):
    """PCollections of Findings -> a file that holds their sum.

    Args:
      path: The file.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def expand(self, findings: Any) -> Any:
        """Adds up."""
        return (
            findings
            | "AllFindings" >> beam.Flatten()
            | "AddUp" >> beam.CombineGlobally(Findings.sum)
            | "Write" >> beam.Map(_write_to, path=self._path)
        )


def _write(element: tuple[int, Iterable[pd.DataFrame]], *, prefix: str, by: str | None) -> int:
    number, parts = element
    whole = concat(parts)
    if by is not None:
        whole = whole.sort_values(by, ignore_index=True)
    write_part(f"{prefix}{number:06}.pickle", whole)
    return len(whole)


def _read(path: str, *, prefix: str) -> tuple[int, pd.DataFrame]:
    return int(path.removeprefix(prefix).removesuffix(".pickle")), read_part(path)


def _write_to(value: Any, *, path: str) -> None:
    write_part(path, value)
