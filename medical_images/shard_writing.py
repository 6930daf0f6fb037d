"""One shard, from image files to its final name, and what is known of it.

No record passes through another process, no worker holds a shard in memory, and writing a shard
again does no harm. Beside each finished shard its result is left, so that whatever repeats the work
(a runner, or a build that goes on where a killed one stopped) finds that it was done.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

import pandas as pd
import tensorflow_datasets as tfds
from etils import epath

from medical_images._version import __version__
from medical_images.errors import BuildError
from medical_images.examples import ExampleEncoder
from medical_images.features import iter_metadata
from medical_images.image_bytes import ImageOfRow, files_of, iter_images, modified_at
from medical_images.index_writing import write_index_part
from medical_images.paths import is_remote
from medical_images.record_files import FileSum, Record, write_records
from medical_images.remote import in_words, storage_errors
from medical_images.shards import ShardTask
from medical_images.spec import CorpusSpec

Advance = Callable[[int], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardResult:
    """What was written.

    Attributes:
      name: The name of the file.
      num_examples: How many examples it holds.
      num_bytes: The sum of their serialised sizes.
      file_bytes: The size of the file.
      crc32c: Of the file; see `record_files.FileSum`.
      sources: SHA-256 of all that the shard was made from: the version of this package, the format,
        what is declared of images, the serialised metadata of its records, and of each image file
        its path, its size and when it was changed last.
      was_kept: Whether a build that was stopped wrote it, and this one took it over.
    """

    name: str
    num_examples: int
    num_bytes: int
    file_bytes: int
    crc32c: str
    sources: str
    was_kept: bool = False


def write_shard(task: ShardTask, *, advance: Advance | None = None) -> ShardResult:
    """Writes one shard under a temporary name, then renames it.

    Args:
      task: What to write.
      advance: Called with the number of examples written so far.

    Returns:
      What was written, to be held against the plan.

    Raises:
      BuildError: An image cannot be used (the message names its row, not its file), or the shard
        cannot be written.
    """
    counter, sources = _Counter(advance), _Sources(task)
    path = epath.Path(task.path)
    try:
        with tfds.core.utils.incomplete_file(path) as temporary:
            records = counter.counting(_serialised(task, sources))
            written = write_records(temporary, records, file_format=task.file_format)
    except storage_errors() as error:
        raise BuildError(f"{path.name} cannot be written: {in_words(error)}") from None
    return ShardResult(
        name=path.name,
        num_examples=counter.num_examples,
        num_bytes=counter.num_bytes,
        file_bytes=written.num_bytes,
        crc32c=written.crc32c,
        sources=sources.digest(),
    )


def write_once(
    task: ShardTask,
    *,
    results: str | os.PathLike[str],
    leftovers: Sequence[str] = (),
    advance: Advance | None = None,
) -> ShardResult:
    """Writes a shard, its part of the index and then its result, unless that was done before.

    Args:
      task: What to write.
      results: The folder of this build's results.
      leftovers: Folders of builds that were stopped. A finished shard that stands in one of them
        is taken over if it is whole and was made from what this one would be made from.
      advance: Called with the number of examples written so far.

    Raises:
      BuildError: See `write_shard`.
    """
    path = result_path(results, os.path.basename(task.path))
    result = read_result(path)
    if result is None:
        result = _take_over(task, leftovers) or write_shard(task, advance=advance)
        write_index_part(task.loaded, task.spec, index_part_path(results, result.name))
        with tfds.core.utils.incomplete_file(path) as temporary:
            temporary.write_text(json.dumps(dataclasses.asdict(result)))
    if advance is not None:
        advance(result.num_examples)
    return result


def result_of(path: epath.Path, records: pd.DataFrame, spec: CorpusSpec) -> ShardResult:
    """Tells of a shard that was written by other means, and leaves its part of the index."""
    write_index_part(records, spec, index_part_path(path.parent / RESULTS, path.name))
    sums = FileSum.of(path)
    return ShardResult(
        name=path.name,
        num_examples=len(records),
        num_bytes=0,
        file_bytes=sums.num_bytes,
        crc32c=sums.crc32c,
        sources="",
    )


RESULTS = "results"  # the folder of the results in that of a dataset that is being built


def result_path(results: str | os.PathLike[str], shard: str) -> epath.Path:
    """Returns where the result of a shard is left."""
    return epath.Path(results) / f"{shard}.json"


def index_part_path(results: str | os.PathLike[str], shard: str) -> epath.Path:
    """Returns where the part of the index of a shard is left."""
    return epath.Path(results) / f"{shard}.arrow"


def read_result(path: epath.Path) -> ShardResult | None:
    """Returns a result that was left; None if none was, or another version left it."""
    with contextlib.suppress(*storage_errors(ValueError, TypeError)):
        return ShardResult(**json.loads(path.read_text()))
    return None


def _take_over(task: ShardTask, leftovers: Sequence[str]) -> ShardResult | None:
    """Moves a finished shard here from the folder of a stopped build; copies it if remote."""
    name, sources = os.path.basename(task.path), ""
    for folder in map(epath.Path, leftovers):
        result, file = read_result(result_path(folder / RESULTS, name)), folder / name
        if result is None or not file.exists():
            continue
        sources = sources or _sources_of(task)
        if result.sources == sources and FileSum.of(file) == FileSum(
            result.file_bytes, result.crc32c
        ):
            with tfds.core.utils.incomplete_file(epath.Path(task.path)) as temporary:
                file.copy(temporary) if is_remote(file) else file.rename(temporary)
            return dataclasses.replace(result, was_kept=True)
    return None


class _Counter:
    """Counts what passes through."""

    def __init__(self, advance: Advance | None) -> None:
        self.num_examples = 0
        self.num_bytes = 0
        self._advance = advance

    def counting(self, records: Iterable[Record]) -> Iterator[Record]:
        for parts in records:
            yield parts
            self.num_examples += 1
            self.num_bytes += sum(map(len, parts))
            if self._advance is not None:
                self._advance(self.num_examples)


class _Sources:
    """Hashes what a shard is made from."""

    def __init__(self, task: ShardTask) -> None:
        images = task.spec.images.model_dump_json()  # what was found good by other rules may not be
        self._hash = hashlib.sha256(ascii([__version__, task.file_format, images]).encode())

    def add(self, prefix: bytes, file: ImageOfRow, modified: int) -> None:
        """Adds a record; the size of its image stands in the prefix."""
        self._hash.update(prefix)
        self._hash.update(b"%s\0%d\0" % (os.fsencode(file.path), modified))

    def digest(self) -> str:
        return self._hash.hexdigest()


def _serialised(task: ShardTask, sources: _Sources) -> Iterator[tuple[bytes, bytes]]:
    """Yields each example as a serialised `tf.train.Example`, in two parts: all else, the image."""
    files = files_of(task.loaded)
    images = iter_images(files, task.root, task.spec.images)
    for file, prefix, image in zip(files, _prefixes(task), images, strict=True):
        sources.add(prefix, file, image.modified)
        yield prefix, image.data


def _sources_of(task: ShardTask) -> str:
    """Hashes what the shard would be made from, without reading images."""
    sources = _Sources(task)
    for file, prefix in zip(files_of(task.loaded), _prefixes(task), strict=True):
        sources.add(prefix, file, modified_at(file.path, task.root))
    return sources.digest()


def _prefixes(task: ShardTask) -> Iterator[bytes]:
    encoder = ExampleEncoder(task.spec)
    metadata = iter_metadata(task.loaded, task.spec)
    for example, num_bytes in zip(metadata, task.loaded["num_bytes"].tolist(), strict=True):
        yield encoder.prefix(example, num_bytes)
