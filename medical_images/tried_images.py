"""Images of a plan, read and checked as by a build, and not written."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from concurrent import futures
from typing import Any, NamedTuple

import loky
import numpy as np
import pandas as pd

from medical_images.audit.image_hashes import ImageHash, hash_of
from medical_images.errors import ImageError
from medical_images.example_sources import iter_example_sources, prepare_images
from medical_images.examples import ExampleEncoder
from medical_images.features import iter_metadata
from medical_images.progress import progress_bar
from medical_images.rejects import RejectLog
from medical_images.shard_findings import log_of
from medical_images.spec import IMAGE_FEATURE, LoadedSpec

_TRIED_AT_ONCE = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class TriedImages:
    """What was seen in images.

    Attributes:
      num_images: Images that were tried.
      num_unusable: Those that cannot be written.
      faults: Their rows, of outcome `rejected`.
      notes: {code: images} of what was seen in images that can be written all the same.
      file_bytes: The size of the files of those that can be written.
      example_bytes: The size of their examples.
      hashes: {path: hash} of these, if they were wanted.
    """

    num_images: int
    num_unusable: int
    faults: RejectLog
    notes: Mapping[str, int]
    file_bytes: int
    example_bytes: int
    hashes: Mapping[str, ImageHash] = dataclasses.field(repr=False)


def try_images(
    records: pd.DataFrame,
    loaded: LoadedSpec,
    *,
    hashes: bool = False,
    num_threads: int | None = None,
    progress: bool = False,
) -> TriedImages:
    """Reads and checks images, and makes examples of them.

    Args:
      records: Of a plan.
      loaded: The spec and the corpus root.
      hashes: Whether to hash what they look like.
      num_threads: How many are tried at the same time; as many as there are cores by default.
      progress: Whether to show a bar.

    Raises:
      BuildError: A file cannot be read now.
    """
    chunks = (
        records.iloc[begin : begin + _TRIED_AT_ONCE]
        for begin in range(0, len(records), _TRIED_AT_ONCE)
    )
    encoder, tried = ExampleEncoder(loaded.spec), []
    num_threads = num_threads or int(loky.cpu_count())
    with (
        progress_bar(len(records), "Checking images", is_shown=progress) as bar,
        futures.ThreadPoolExecutor(num_threads) as pool,
    ):
        # A few at a time: what a pool is given, it takes at once.
        while some := list(itertools.islice(chunks, 2 * num_threads)):
            for found in pool.map(lambda each: list(_try(each, loaded, encoder, hashes)), some):
                tried += found
                bar.update(len(found))
    usable = np.array([not each.code for each in tried], np.bool_)
    findings = [(k, each.code, each.detail) for k, each in enumerate(tried) if each.code]
    return TriedImages(
        num_images=len(tried),
        num_unusable=len(findings),
        faults=log_of([(records, findings)], "rejected"),
        notes=dict(sorted(collections.Counter(n for each in tried for n in each.notes).items())),
        file_bytes=int(records["num_bytes"].to_numpy(np.int64)[usable].sum()),
        example_bytes=sum(each.num_bytes for each in tried),
        hashes={
            path: each.hash
            for path, each in zip(records["path"], tried, strict=True)
            if each.hash is not None
        },
    )


class _Tried(NamedTuple):
    num_bytes: int = 0
    notes: tuple[str, ...] = ()
    hash: ImageHash | None = None
    code: str = ""
    detail: str = ""


def _try(
    records: pd.DataFrame, loaded: LoadedSpec, encoder: ExampleEncoder, hashes: bool
) -> Iterator[_Tried]:
    root, spec = loaded.root, loaded.spec
    metadata: Iterator[Any] = map(encoder.metadata, iter_metadata(records, spec))
    for source in iter_example_sources(records, metadata, root=root, spec=spec):
        try:
            images, notes = prepare_images(source, root=root, spec=spec)
        except ImageError as error:
            yield _Tried(code=error.code, detail=error.detail)
        else:
            size = sum(map(len, encoder.example(source.metadata, images)))
            yield _Tried(size, tuple(notes), hash_of(images[IMAGE_FEATURE]) if hashes else None)
