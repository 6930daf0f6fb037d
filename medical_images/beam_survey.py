"""Records counted by Beam before they are planned, and what copies join brought together.

without         records/<part>.pickle -> left/<part>.pickle, without those of some images
survey_records  records by own group -> bases/<number>.pickle -> which groups copies join
                -> parts/<part>.pickle, records by `whole`, and facts-<part>.pickle of each
join_former     parts -> extended/<part>.pickle, with the places of a former dataset
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import apache_beam as beam
import numpy as np
import pandas as pd

from medical_images import line
from medical_images.beam_line import IntArray
from medical_images.beam_parts import by_bucket, read_part, write_part
from medical_images.beam_workers import Workers
from medical_images.facts import Basis, Facts, Known, with_former, with_groups
from medical_images.scheme import Former
from medical_images.spec import CorpusSpec
from medical_images.strata import Strata


@dataclasses.dataclass(frozen=True, kw_only=True)
class SurveyedRecords:
    """Records that were counted.

    Attributes:
      workers: Who counted them.
      parts: Files of records with `whole` and `key`, all those of a `whole` in the same one.
      facts: Of all records; among them the images of groups that official splits tear apart.
      strata: What is balanced, but for combinations.
    """

    workers: Workers
    parts: tuple[str, ...]
    facts: Facts
    strata: Strata


def without(paths: Sequence[str], images: Iterable[str], workers: Workers) -> tuple[str, ...]:
    """Leaves out the records of some images.

    Args:
      paths: Files of records, as `survey_records` takes them.
      images: The paths of images; they are as few as there are faults.
      workers: Who works, and an empty folder.

    Returns:
      The files of the others, none of them empty.

    Raises:
      BuildError: The runner left out a step.
    """
    folder = workers.made("left")
    write_part(f"{folder}/images.pickle", frozenset(images))
    numbered = list(enumerate(paths))
    sizes = workers.results("sizes", functools.partial(_leave_out, folder=folder), numbered)
    return tuple(f"{folder}/{number}.pickle" for number, size in enumerate(sizes) if size)


def _leave_out(numbered: tuple[int, str], *, folder: str) -> int:
    number, path = numbered
    records = read_part(path)
    left = records[~records["path"].isin(read_part(f"{folder}/images.pickle"))]
    write_part(f"{folder}/{number}.pickle", left.reset_index(drop=True))
    return len(left)


def survey_records(paths: Sequence[str], spec: CorpusSpec, workers: Workers) -> SurveyedRecords:
    """Counts records, and brings together those that copies join.

    Args:
      paths: Pickled data frames, such as `copies.apply_copies` makes of all records; those of a
        group are in the same one. There is one at least.
      spec: `splits`, `stratify`, `duplicates` and `seed`.
      workers: Who works, and an empty folder.

    Raises:
      BuildError: The runner left out a step.
    """
    basis = Basis.total(
        workers.results("bases", functools.partial(_basis_of, spec=spec), list(paths))
    )
    joined, strata = basis.joined, Strata.fit(basis.numbers, spec)
    folder = workers.made("parts")
    write_part(f"{folder}/joined.pickle", joined)
    work = {"folder": folder, "strata": strata}
    with workers.pipeline() as pipeline:
        _ = (
            pipeline
            | "Paths" >> beam.Create(list(enumerate(paths)))
            | "Spread" >> beam.Reshuffle()
            | "LeaveAlone" >> beam.FlatMap(_leave_alone, num_parts=len(paths), **work)
            | "GatherJoined" >> beam.GroupByKey()
            | "WriteJoined" >> beam.Map(_write_joined, **work)
        )
    numbers = set(
        _joined_parts(pd.Series(list(joined.values()), dtype="str"), len(paths), spec.seed)
    )
    names = [f"{number}" for number in range(len(paths))]
    names += [f"joined-{number}" for number in sorted(numbers)]
    return SurveyedRecords(
        workers=workers,
        parts=tuple(f"{folder}/{name}.pickle" for name in names),
        facts=Facts.total(workers.read_all(f"{folder}/facts-{name}.pickle" for name in names)),
        strata=strata,
    )


def _basis_of(path: str, *, spec: CorpusSpec) -> Basis:
    return Basis.of(read_part(path), spec)


def _leave_alone(
    numbered: tuple[int, str], *, num_parts: int, folder: str, strata: Strata
) -> Iterator[tuple[int, pd.DataFrame]]:
    """Writes the records of groups that no copy joins, and yields the others by their `whole`."""
    (number, path), seed = numbered, strata.spec.seed
    joined: Mapping[str, str] = read_part(f"{folder}/joined.pickle")
    records = with_groups(read_part(path), joined, seed=seed)
    is_joined = records["whole"].isin(set(joined.values())).to_numpy()
    _write_counted(records[~is_joined], f"{number}", folder, strata)
    found = records[is_joined]
    yield from by_bucket(found, _joined_parts(found["whole"], num_parts, seed))


def _joined_parts(wholes: pd.Series[str], num_parts: int, seed: int) -> IntArray:
    """int64 of shape (records,), the part to which each record of joined groups goes."""
    hashes = line.hash_groups(wholes, seed=seed)
    return (hashes % np.uint64(num_parts)).astype(np.int64)


def _write_joined(part: tuple[int, Iterable[pd.DataFrame]], *, folder: str, strata: Strata) -> None:
    number, tables = part
    records = pd.concat(tables).sort_values("path", ignore_index=True)
    _write_counted(records, f"joined-{number}", folder, strata)


def _write_counted(records: pd.DataFrame, name: str, folder: str, strata: Strata) -> None:
    write_part(f"{folder}/facts-{name}.pickle", Facts.of(records, strata))
    write_part(f"{folder}/{name}.pickle", records)


def join_former(surveyed: SurveyedRecords, former: Former) -> tuple[tuple[str, ...], Known]:
    """Joins to the records where their groups stood.

    The groups are files by the remainder of their keys, as many as there are parts; a worker reads
    those that its part needs, and keeps the groups that are in its part.

    Args:
      surveyed: The records.
      former: The dataset to extend.

    Returns:
      The parts, with what `facts.with_former` adds; and what is known of their groups.

    Raises:
      BuildError: The runner left out a step.
    """
    workers, number = surveyed.workers, len(surveyed.parts)
    folder, extended = workers.made("former"), workers.made("extended")
    remainders = (former.groups["key"].to_numpy(np.uint64) % np.uint64(number)).astype(np.int64)
    for remainder, groups in by_bucket(former.groups, remainders):
        write_part(f"{folder}/{remainder}.pickle", groups)
    write_part(f"{folder}/none.pickle", former.groups.iloc[:0])
    paths = [f"{extended}/{k}.pickle" for k in range(number)]
    work = functools.partial(
        _extend_part, folder=folder, remainders=frozenset(remainders.tolist()), number=number
    )
    known = workers.results("known", work, list(zip(surveyed.parts, paths, strict=True)))
    return tuple(paths), Known.total(known)


def _extend_part(
    paths: tuple[str, str], *, folder: str, remainders: frozenset[int], number: int
) -> Known:
    source, target = paths
    records = read_part(source)
    wanted = set((records["key"].to_numpy() % np.uint64(number)).tolist()) & remainders
    tables = [read_part(f"{folder}/none.pickle")]
    for remainder in sorted(wanted):
        groups = read_part(f"{folder}/{remainder}.pickle")
        tables.append(groups[groups["key"].isin(records["key"])])
    records = with_former(records, pd.concat(tables))
    write_part(target, records)
    return Known.of(records)
