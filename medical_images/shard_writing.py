"""One shard, from image files to its final name, and what is known of it.

No record passes through another process, no worker holds a shard in memory, and writing a shard
again does no harm. Beside each finished shard its result is left, so that whatever repeats the work
(a runner, or a build that goes on where a killed one stopped) finds that it was done.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import tensorflow_datasets as tfds
from etils import epath

from medical_images._version import __version__
from medical_images.errors import BuildError, ImageError
from medical_images.example_sources import iter_example_sources, prepare_images
from medical_images.examples import ExampleEncoder
from medical_images.features import iter_metadata
from medical_images.image_bytes import ImageOfRow, files_of, modified_at
from medical_images.index_writing import write_index_part
from medical_images.mask_bytes import MasksOfRow, masks_of
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
      faults: Images that cannot be used: the place of the record in the shard, the code, and more
        of it. Where there are any, no file was written.
      notes: Places and codes of what was seen in images that were written all the same.
      counters: The same for codes that are only counted: {code: images}.
    """

    name: str
    num_examples: int
    num_bytes: int
    file_bytes: int
    crc32c: str
    sources: str
    was_kept: bool = False
    faults: Sequence[tuple[int, str, str]] = ()
    notes: Sequence[tuple[int, str]] = ()
    counters: Mapping[str, int] = dataclasses.field(default_factory=dict)


def write_shard(task: ShardTask, *, advance: Advance | None = None) -> ShardResult:
    """Writes one shard under a temporary name, then renames it.

    Images are checked on the way. If one cannot be used, the others are still checked, so that all
    faults are known at once, and no file is left.

    Args:
      task: What to write.
      advance: Called with the number of images seen so far.

    Returns:
      What was written, to be held against the plan; or the faults.

    Raises:
      BuildError: An image changed or cannot be read now (the message names its row, not its file),
        or the shard cannot be written.
    """
    shard = _Shard(task, advance)
    path = epath.Path(task.path)
    written = FileSum(0, "")
    try:
        with contextlib.suppress(_UnusableError), tfds.core.utils.incomplete_file(path) as file:
            written = write_records(file, shard.records(), file_format=task.file_format)
            if shard.faults:
                raise _UnusableError
    except storage_errors() as error:
        raise BuildError(f"{path.name} cannot be written: {in_words(error)}") from None
    return ShardResult(
        name=path.name,
        num_examples=0 if shard.faults else task.num_records,
        num_bytes=shard.num_bytes,
        file_bytes=written.num_bytes,
        crc32c=written.crc32c,
        sources=shard.sources.digest(),
        faults=shard.faults,
        notes=shard.notes,
        counters=dict(sorted(shard.counters.items())),
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
        if not result.faults:
            write_index_part(task.loaded, task.spec, index_part_path(results, result.name))
        with tfds.core.utils.incomplete_file(path) as temporary:
            temporary.write_text(json.dumps(dataclasses.asdict(result)))
    if advance is not None:
        advance(task.num_records)
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


_COUNTED = ("converted", "not_checked")  # there may be as many as images

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


class _UnusableError(Exception):
    """A shard is not written, since images of it cannot be used."""


class _Shard:
    """What is learnt of a shard while it is written.

    Attributes:
      num_bytes: The sum of the serialised sizes of its examples.
      sources: A hash of what it is made from.
      faults: See `ShardResult`, as for all others.
      notes: Likewise.
      counters: Likewise.
    """

    def __init__(self, task: ShardTask, advance: Advance | None) -> None:
        self._task, self._advance = task, advance
        self.num_bytes = 0
        self.sources = _Sources(task)
        self.faults: list[tuple[int, str, str]] = []
        self.notes: list[tuple[int, str]] = []
        self.counters: collections.Counter[str] = collections.Counter()

    def records(self) -> Iterator[Record]:
        """Yields serialised examples in parts, the bytes of the image uncopied."""
        task = self._task
        root, spec = task.root, task.spec
        sources = iter_example_sources(task.loaded, _metadata(task), root=root, spec=spec)
        for place, source in enumerate(sources):
            self.sources.add(source.metadata, source.file, source.image.modified, source.masks)
            try:
                images, notes = prepare_images(source, root=root, spec=spec)
            except ImageError as error:
                self.faults.append((place, error.code, error.detail))
            else:
                self._note(place, notes)
                if not self.faults:
                    record = ExampleEncoder.example(source.metadata, images)
                    self.num_bytes += sum(map(len, record))
                    yield record
            if self._advance is not None:
                self._advance(place + 1)

    def _note(self, place: int, codes: Iterable[str]) -> None:
        for code in codes:
            if code in _COUNTED:
                self.counters[code] += 1
            else:
                self.notes.append((place, code))


class _Sources:
    """Hashes what a shard is made from."""

    def __init__(self, task: ShardTask) -> None:
        # What was found good by other rules may not be, or be written otherwise.
        rules = [task.spec.images.model_dump_json(), task.spec.privacy.strip_metadata]
        rules += [task.spec.features[name].model_dump_json() for name in task.spec.masks]
        self._task, self._masks = task, task.spec.images_and_masks
        self._hash = hashlib.sha256(ascii([__version__, task.file_format, *rules]).encode())

    def add(self, metadata: bytes, file: ImageOfRow, modified: int, masks: MasksOfRow) -> None:
        """Adds a record."""
        self._hash.update(metadata)
        path = os.fsencode(file.path)
        self._hash.update(b"%s\0%d\0%d\0" % (path, file.num_bytes, modified))
        for name, told in masks.items():
            self._hash.update(ascii(told).encode())
            for of_mask in filter(None, told if self._task.spec.masks[name].path else ()):
                self._hash.update(b"\0%d\0" % modified_at(of_mask, self._task.root, self._masks))

    def digest(self) -> str:
        return self._hash.hexdigest()


def iter_examples(
    records: pd.DataFrame, *, root: str, spec: CorpusSpec
) -> Iterator[dict[str, Any]]:
    """Yields examples for TFDS's own writers.

    Args:
      records: In written order.
      root: The corpus root.
      spec: The features.

    Raises:
      BuildError: An image cannot be used; these writers cannot leave it out.
    """
    for source in iter_example_sources(records, iter_metadata(records, spec), root=root, spec=spec):
        try:
            images, _ = prepare_images(source, root=root, spec=spec)
        except ImageError as error:
            where = f"{source.file.table} line {source.file.line}"
            what = f"{where}: its image cannot be used ({error})"
            raise BuildError(f"{what}; engine 'tfds' cannot leave it out, 'local' can") from None
        yield {**source.metadata, **images}


def _sources_of(task: ShardTask) -> str:
    """Hashes what the shard would be made from, without reading images."""
    sources = _Sources(task)
    files, masks = files_of(task.loaded), masks_of(task.loaded, task.spec)
    for file, metadata, told in zip(files, _metadata(task), masks, strict=True):
        sources.add(metadata, file, modified_at(file.path, task.root, task.spec.images), told)
    return sources.digest()


def _metadata(task: ShardTask) -> Iterator[bytes]:
    encoder = ExampleEncoder(task.spec)
    yield from map(encoder.metadata, iter_metadata(task.loaded, task.spec))
