"""Image files listed, rows and files joined, and copies dealt with, by Beam's workers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pandas as pd
from apache_beam.pvalue import AsDict, AsIter, AsSingleton, TaggedOutput

from medical_images.beam_line import rows_by
from medical_images.beam_parts import (
    FINDINGS,
    LOG,
    by_bucket,
    concat,
    hash_buckets,
    tagged_log,
)
from medical_images.copies import apply_copies, compare_samples, digest_samples
from medical_images.errors import SpecError
from medical_images.findings import Findings
from medical_images.grouping import own_groups
from medical_images.header_facts import facts_of_files
from medical_images.images import ImageFile, frame_of_files, open_folder, walk
from medical_images.join import Ends, Joined, Sifted, bring_to_end, drop_bad_names, sift
from medical_images.line import hash_groups
from medical_images.manifest import Listing
from medical_images.matching import (
    PATH,
    Sieve,
    candidates_of,
    derive,
    keys_of_files,
    keys_of_rows,
    match,
    names_told,
    own_files,
    rows_of_files,
    told_columns,
)
from medical_images.name_clashes import clashing_rows, folded
from medical_images.official import Lists, listed_paths, split_by_key, texts_of
from medical_images.rejects import RejectLog
from medical_images.spec import IMAGE_PATH, CorpusSpec
from medical_images.spec_images import Images

_FILES_AT_ONCE = 10_000
_DISTANCE = 100  # of the paths that tell where ranges may begin
_LEVELS = 2  # of folders that are opened one by one; what is below them is walked by one worker

_SAMPLE = "\0sample"  # of records on their way

# What a part has none of: files that fit rows, files, and claims.
_NO_FOUND = pd.DataFrame({"row": [], "path": [], "fault": []}).astype(
    {"row": "int64", "path": "object", "fault": "str"}
)
_NO_FILES = pd.DataFrame({"path": [], "num_bytes": [], "fault": []}).astype(
    {"path": "object", "num_bytes": "int64", "fault": "str"}
)
_NO_CLAIMS = pd.DataFrame({"path": [], "is_hurt": []}).astype({"path": "object", "is_hurt": "bool"})
_Part = tuple[int, pd.DataFrame]
_Gathered = tuple[int, Mapping[str, Iterable[pd.DataFrame]]]


class ListFiles(beam.PTransform):
    """Pipeline -> data frames of the files that path templates can name, with log and findings.

    Args:
      folders: The folders that hold them.
      spec: The path templates.
      root: The corpus root.
      exclude: Paths below the root that are no images.
    """

    def __init__(
        self, folders: Sequence[str], spec: CorpusSpec, *, root: str, exclude: set[str]
    ) -> None:
        super().__init__()
        self._folders = [os.fsencode(folder) for folder in folders]  # Beam takes only UTF-8 as text
        self._spec, self._root, self._exclude = spec, root, frozenset(exclude)

    def expand(self, pipeline: beam.Pipeline) -> Any:
        """Opens the first levels of folders apart, so that many workers walk the rest."""
        where = {"root": self._root, "images": self._spec.images}
        folders = pipeline | "Folders" >> beam.Create(self._folders)
        found = []
        for level in range(_LEVELS):
            opened = (
                folders
                | f"Spread{level}" >> beam.Reshuffle()
                | f"Open{level}"
                >> beam.FlatMap(_open, **where).with_outputs("folders", main="files")
            )
            found.append(opened.files)
            folders = opened.folders
        found.append(
            folders | "SpreadRest" >> beam.Reshuffle() | "Walk" >> beam.FlatMap(_walk, **where)
        )
        return (
            tuple(found)
            | "AllFiles" >> beam.Flatten()
            | "SpreadFiles" >> beam.Reshuffle()
            | "FilesByTemplate"
            >> beam.FlatMap(_named, spec=self._spec, exclude=self._exclude).with_outputs(
                LOG, FINDINGS, main="files"
            )
        )


class MatchRows(beam.PTransform):
    """(parts of rows by their index, files) -> parts by path: rows, files and claims, and logs.

    Args:
      spec: The path templates and rules.
      num_buckets: The number of parts.
    """

    def __init__(self, spec: CorpusSpec, *, num_buckets: int) -> None:
        super().__init__()
        self._spec, self._num_buckets = spec, num_buckets

    def expand(self, sides: tuple[Any, Any]) -> tuple[Any, list[Any], list[Any]]:
        """Brings rows and files of one key together, then all that is known of a row."""
        rows, files = sides
        n = {"num_buckets": self._num_buckets}
        keyed = rows | "RowKeys" >> beam.FlatMap(_row_keys, spec=self._spec, **n).with_outputs(
            LOG, "keys", main="rows"
        )
        file_keys = files | "FileKeys" >> beam.FlatMap(
            _file_keys, num_templates=len(self._spec.images.path), **n
        )
        found = (
            {"rows": keyed["keys"], "files": file_keys}
            | "ByKey" >> beam.CoGroupByKey()
            | "Candidates" >> beam.FlatMap(_candidates, **n)
        )
        matched = (
            {"rows": keyed.rows, "found": found}
            | "ByRow" >> beam.CoGroupByKey()
            | "Match"
            >> beam.FlatMap(_match, spec=self._spec, **n).with_outputs(
                LOG, FINDINGS, "claims", main="rows"
            )
        )
        by_path = files | "FilesByPath" >> beam.FlatMap(_by_path, **n)
        parts = {
            "rows": matched.rows,
            "files": by_path,
            "claims": matched.claims,
        } | "ByPath" >> beam.CoGroupByKey()
        return parts, [keyed[LOG], matched[LOG]], [matched[FINDINGS]]


class RowsOfFiles(beam.PTransform):
    """Files -> the same parts, for a corpus without tables.

    The parts are ranges of sorted paths, so that each image can be numbered.

    Args:
      spec: The path templates.
      num_buckets: The number of parts, about.
    """

    def __init__(self, spec: CorpusSpec, *, num_buckets: int) -> None:
        super().__init__()
        self._spec, self._num_buckets = spec, num_buckets

    def expand(self, files: Any) -> Any:
        """Cuts the paths into ranges, and counts the images before each."""
        bounds = (
            files
            | "Samples" >> beam.Map(_sample)
            | "GatherSamples" >> beam.GroupByKey()
            | "Bounds" >> beam.Map(_bounds, num_buckets=self._num_buckets)
        )
        ranges = (
            files
            | "ToRanges" >> beam.FlatMap(_to_ranges, AsIter(bounds))
            | "GatherRanges" >> beam.GroupByKey()
            | "SortRanges" >> beam.Map(_sort_range)
        )  # PCollection of (number of the range, files)
        counts = AsDict(ranges | "CountRanges" >> beam.Map(_count))
        return ranges | "MakeRows" >> beam.FlatMap(
            _rows_of_range, counts, spec=self._spec
        ).with_outputs(LOG, FINDINGS, main="parts")


class EndRows(beam.PTransform):
    """(parts by path, PCollection of the lists) -> PCollection of records, parts by path.

    Args:
      spec: Features, official splits and rules.
      root: The corpus root.
      none: Rows with `PATH`, without a row.
    """

    def __init__(self, spec: CorpusSpec, *, root: str, none: pd.DataFrame) -> None:
        super().__init__()
        self._spec, self._root, self._none = spec, root, none

    def expand(self, sides: tuple[Any, Any]) -> tuple[Any, list[Any], list[Any]]:
        """Reads cells; then official splits are known; then records are made."""
        parts, lists = sides
        sifted = parts | "Sift" >> beam.Map(
            _sift, spec=self._spec, root=self._root, none=self._none
        )
        texts = lists | "Texts" >> beam.Map(texts_of)
        listed = sifted | "ListedPaths" >> beam.FlatMap(
            _listed_paths, AsSingleton(texts), spec=self._spec
        )
        splits = lists | "SplitByKey" >> beam.FlatMap(
            _splits, AsIter(listed), spec=self._spec
        ).with_outputs(FINDINGS, main="splits")
        ended = sifted | "Records" >> beam.FlatMap(
            _end, AsSingleton(splits.splits), spec=self._spec
        ).with_outputs(LOG, FINDINGS, main="records")
        return ended.records, [ended[LOG]], [splits[FINDINGS], ended[FINDINGS]]


class FindClashes(beam.PTransform):
    """PCollection of records -> PCollection of findings: rows of images whose names clash.

    Args:
      num_buckets: The number of parts, by name.
    """

    def __init__(self, *, num_buckets: int) -> None:
        super().__init__()
        self._num_buckets = num_buckets

    def expand(self, records: Any) -> Any:
        """Brings names together that are one on some file systems."""
        return (
            records
            | "Names" >> beam.FlatMap(_by_name, num_buckets=self._num_buckets)
            | "ByName" >> beam.GroupByKey()
            | "Clashes" >> beam.Map(_clashes)
        )


class FindCopies(beam.PTransform):
    """PCollection of records -> PCollection of (bucket of groups, records).

    Args:
      spec: `duplicates`, groups and the seed.
      root: The corpus root.
      num_buckets: The number of parts, by size, by sample and by group.
    """

    def __init__(self, spec: CorpusSpec, *, root: str, num_buckets: int) -> None:
        super().__init__()
        self._spec, self._root, self._num_buckets = spec, root, num_buckets

    def expand(self, records: Any) -> Any:
        """Tells the sizes that several images have, then brings images of one sample together."""
        n = {"num_buckets": self._num_buckets}
        where = {"root": self._root, "images": self._spec.images}
        shared = (
            records
            | "Sizes" >> beam.FlatMap(_sizes, **n)
            | "BySize" >> beam.GroupByKey()
            | "Shared" >> beam.Map(_shared)
        )  # PCollection of arrays of sizes
        return (
            records
            | "Samples" >> beam.FlatMap(_by_sample, AsIter(shared), **where, **n)
            | "BySample" >> beam.GroupByKey()
            | "Copies"
            >> beam.FlatMap(_copies, spec=self._spec, root=self._root, **n).with_outputs(
                LOG, FINDINGS, main="records"
            )
        )


def no_matched_rows(rows: pd.DataFrame | None, spec: CorpusSpec) -> pd.DataFrame:
    """Returns rows as `MatchRows` and `RowsOfFiles` give them, without a row.

    Args:
      rows: Rows of tables, without a row; None where there are no tables.
      spec: Derived columns and templates.
    """
    if rows is None:
        rows = rows_of_files(_NO_FILES, [], spec.images.templates)
    sieve = Sieve(rows)
    derive(sieve, spec, from_path=False)
    match(sieve, _NO_FOUND, spec)
    return sieve.frame


def _in_batches(files: Iterable[ImageFile]) -> Iterator[list[ImageFile]]:
    batch: list[ImageFile] = []
    for file in files:
        batch.append(file)
        if len(batch) == _FILES_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _open(folder: bytes, *, root: str, images: Images) -> Iterator[Any]:
    folders: list[str] = []
    found = open_folder(root, os.fsdecode(folder), images)
    yield from _in_batches(_files_of(found, folders))
    yield from (TaggedOutput("folders", os.fsencode(found)) for found in folders)


def _files_of(found: Iterable[ImageFile | str], folders: list[str]) -> Iterator[ImageFile]:
    """Yields files, and adds the other paths to the folders."""
    for item in found:
        if isinstance(item, ImageFile):
            yield item
        else:
            folders.append(item)


def _walk(folder: bytes, *, root: str, images: Images) -> Iterator[list[ImageFile]]:
    yield from _in_batches(walk(root, os.fsdecode(folder), images))


def _named(
    files: Sequence[ImageFile], *, spec: CorpusSpec, exclude: frozenset[str]
) -> Iterator[Any]:
    frame = frame_of_files(files, spec.images, exclude=exclude)
    named, log = drop_bad_names(frame)
    yield TaggedOutput(FINDINGS, Findings(listing=Listing.of(frame)))
    yield from tagged_log(0, log)
    if len(named):
        yield named


def _row_keys(element: _Part, *, spec: CorpusSpec, num_buckets: int) -> Iterator[Any]:
    number, rows = element
    sieve = Sieve(rows)
    derive(sieve, spec, from_path=False)
    yield from tagged_log(number, sieve.log)
    if len(sieve.frame):
        yield number, sieve.frame
    keys = keys_of_rows(sieve.frame, spec.images.templates)
    for part in by_bucket(keys, hash_buckets(keys["key"], num_buckets)):
        yield TaggedOutput("keys", part)


def _file_keys(files: pd.DataFrame, *, num_templates: int, num_buckets: int) -> Iterator[_Part]:
    keys = keys_of_files(files, num_templates)
    yield from by_bucket(keys, hash_buckets(keys["key"], num_buckets))


def _candidates(element: _Gathered, *, num_buckets: int) -> Iterator[_Part]:
    rows, files = (list(element[1][side]) for side in ("rows", "files"))
    if rows and files:
        found = candidates_of(concat(rows), concat(files))
        yield from by_bucket(found, hash_buckets(found["row"], num_buckets))


def _match(element: _Gathered, *, spec: CorpusSpec, num_buckets: int) -> Iterator[Any]:
    number, sides = element
    sieve = Sieve(concat(sides["rows"]).sort_index())
    num_before = sieve.num_rows
    claims = match(sieve, concat(sides["found"], _NO_FOUND), spec)
    yield from tagged_log(number, sieve.log)
    yield TaggedOutput(FINDINGS, Findings(num_rows=sieve.num_rows - num_before))
    yield from by_bucket(sieve.frame, hash_buckets(sieve.frame[PATH], num_buckets))
    for part in by_bucket(claims, hash_buckets(claims["path"], num_buckets)):
        yield TaggedOutput("claims", part)


def _by_path(files: pd.DataFrame, *, num_buckets: int) -> Iterator[_Part]:
    files = files[["path", "num_bytes", "fault"]]
    yield from by_bucket(files, hash_buckets(files["path"], num_buckets))


def _sample(files: pd.DataFrame) -> tuple[int, list[str]]:
    return 0, sorted(files["path"])[::_DISTANCE]


def _bounds(samples: tuple[int, Iterable[list[str]]], *, num_buckets: int) -> list[str]:
    paths = sorted(path for sample in samples[1] for path in sample)
    return paths[:: max(len(paths) // num_buckets, 1)][1:]


def _to_ranges(files: pd.DataFrame, bounds: Iterable[list[str]]) -> Iterator[_Part]:
    for known in bounds:
        numbers = np.searchsorted(np.array(known, dtype=object), files["path"], side="right")
        yield from by_bucket(files, numbers)


def _sort_range(element: tuple[int, Iterable[pd.DataFrame]]) -> _Part:
    return element[0], concat(element[1]).sort_values("path", ignore_index=True)


def _count(element: _Part) -> tuple[int, int]:
    return element[0], len(element[1])


def _rows_of_range(element: _Part, counts: Mapping[int, int], *, spec: CorpusSpec) -> Iterator[Any]:
    number, files = element
    num_before = sum(count for other, count in counts.items() if other < number)
    told = told_columns(files, spec.images.templates)
    rows = rows_of_files(files, told, spec.images.templates, num_before=num_before)
    yield TaggedOutput(FINDINGS, Findings(num_rows=len(rows), told=frozenset(names_told(told))))
    missing = {column for _, column in spec.columns_used()} - set(rows.columns) - set(spec.derive)
    if missing:  # the paths do not tell what the spec needs; the main process says so
        return
    sieve = Sieve(rows)
    derive(sieve, spec, from_path=False)
    claims = match(sieve, own_files(sieve.frame, files), spec)
    yield from tagged_log(number, sieve.log)
    yield number, {"rows": [sieve.frame], "files": [files], "claims": [claims]}


def _sift(
    element: _Gathered, *, spec: CorpusSpec, root: str, none: pd.DataFrame
) -> tuple[int, Sifted]:
    number, sides = element
    files = concat(sides["files"], _NO_FILES)
    files = files.assign(**facts_of_files(root, files, spec))
    rows, claims = concat(sides["rows"], none), concat(sides["claims"], _NO_CLAIMS)
    return number, sift(rows, files, claims, spec)


def _listed_paths(
    element: tuple[int, Sifted], texts: frozenset[str], *, spec: CorpusSpec
) -> Iterator[list[str]]:
    if spec.splits.files and spec.splits.on == IMAGE_PATH:
        yield listed_paths(texts, element[1].paths())


def _splits(lists: Lists, listed: Iterable[list[str]], *, spec: CorpusSpec) -> Iterator[Any]:
    try:
        paths = sorted(path for found in listed for path in found)
        splits = split_by_key(spec, lists=lists, paths=paths)
    except SpecError as error:
        yield TaggedOutput(FINDINGS, Findings(split_problems=error.problems))
        yield None
    else:
        yield TaggedOutput(FINDINGS, Findings(num_keys=len(splits)))
        yield splits


def _end(
    element: tuple[int, Sifted],
    splits: Mapping[str, str] | None,
    *,
    spec: CorpusSpec,
) -> Iterator[Any]:
    if splits is None:  # the lists cannot be used; the main process says so
        return
    number, sifted = element
    ends: Ends = bring_to_end(sifted, splits, spec)
    yield from tagged_log(number, ends.log)
    yield TaggedOutput(
        FINDINGS,
        Findings(
            num_kept=ends.num_kept,
            num_ended=ends.num_files,
            num_astray=ends.num_astray,
            listed=ends.listed,
            num_records=len(ends.records),
        ),
    )
    if len(ends.records):
        yield ends.records


def _by_name(records: pd.DataFrame, *, num_buckets: int) -> Iterator[_Part]:
    names = records["path"].map(folded).astype("str")
    yield from by_bucket(records[["path", "table", "line"]], hash_buckets(names, num_buckets))


def _clashes(element: tuple[int, Iterable[pd.DataFrame]]) -> Findings:
    return Findings(clashes=tuple(clashing_rows(concat(element[1]))))


def _sizes(records: pd.DataFrame, *, num_buckets: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yields each size once, or twice where several records have it."""
    sizes = records["num_bytes"][records.groupby("num_bytes").cumcount() < 2]
    for bucket, rows in rows_by(hash_buckets(sizes, num_buckets)):
        yield bucket, sizes.to_numpy()[rows]


def _shared(element: tuple[int, Iterable[np.ndarray]]) -> np.ndarray:
    sizes, counts = np.unique(np.concatenate(list(element[1])), return_counts=True)
    return sizes[counts > 1]


def _by_sample(
    records: pd.DataFrame,
    shared: Iterable[np.ndarray],
    *,
    root: str,
    images: Images,
    num_buckets: int,
) -> Iterator[_Part]:
    """Records without a sample have no copy; they are spread by their paths."""
    is_shared = records["num_bytes"].isin(np.concatenate(list(shared)))
    samples = digest_samples(root, records, is_shared, images, show_progress=False)
    keys = samples.mask(samples == "", records["path"])
    yield from by_bucket(records.assign(**{_SAMPLE: samples}), hash_buckets(keys, num_buckets))


def _copies(
    element: tuple[int, Iterable[pd.DataFrame]], *, spec: CorpusSpec, root: str, num_buckets: int
) -> Iterator[Any]:
    number, parts = element
    records = concat(parts).sort_values("path", ignore_index=True)
    samples = records.pop(_SAMPLE)
    digests = compare_samples(root, records, samples, spec.images, show_progress=False)
    joined = apply_copies(Joined(records, RejectLog(), 0, 0), digests, spec)
    yield from tagged_log(number, joined.log)
    yield TaggedOutput(FINDINGS, Findings(num_copies=len(records) - len(joined.records)))
    hashes = hash_groups(own_groups(joined.records), seed=spec.seed)
    buckets = (hashes % np.uint64(num_buckets)).astype(np.int64)
    yield from by_bucket(joined.records, buckets)
