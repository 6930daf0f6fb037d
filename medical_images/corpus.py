"""The first phase of a build: everything that can be refused is refused here, before writing."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import hashlib
import importlib.metadata
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from medical_images import certification, images, manifest, tables
from medical_images._version import __version__
from medical_images.acceptance import AcceptedCorpus, accept, note, own_files
from medical_images.copies import apply_copies, find_copies
from medical_images.dataset_index import former_folder, read_former
from medical_images.errors import Problem, SpecError
from medical_images.header_facts import facts_of_files
from medical_images.input_files import check_input_paths, input_paths
from medical_images.join import Joined, join_images
from medical_images.manifest import Listing
from medical_images.name_clashes import check_names, clashing_rows, twin_rows
from medical_images.plan import Plan, plan_surveyed, survey_records
from medical_images.privacy_key import with_key
from medical_images.rejects import RejectLog
from medical_images.scheme import NO_SPLITS, Former
from medical_images.shards import estimate_sizes
from medical_images.spec import CorpusSpec, LoadedSpec
from medical_images.tally import ClassCounts

Shard = tuple[pd.DataFrame | str, int]  # records, or the file that holds them, and their number
_LISTED_AT_ONCE = 10_000
_DECIDES_NOTHING: dict[str, Any] = {
    "about": True,
    "root": True,
    "rejects": True,
    "privacy": {"key_file"},
}
BoundsOf = Callable[[np.ndarray], Sequence[tuple[int, int]]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CutCorpus:
    """Splits cut to shards.

    Attributes:
      shards: {split: its shards}.
      class_counts: {split: {feature: {class: images}}} of these.
    """

    shards: Mapping[str, Sequence[Shard]]
    class_counts: Mapping[str, ClassCounts]

    @property
    def num_records(self) -> dict[str, int]:
        """{split: its records}."""
        return {name: sum(number for _, number in part) for name, part in self.shards.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedCorpus(abc.ABC):
    """A corpus that was read, accepted and planned.

    Attributes:
      accepted: What it holds.
      certificate: What the plan achieves.
    """

    accepted: AcceptedCorpus
    certificate: dict[str, Any]

    @property
    @abc.abstractmethod
    def num_records(self) -> dict[str, int]:
        """{split: its records}."""

    @abc.abstractmethod
    def without(self, log: RejectLog) -> PlannedCorpus:
        """Plans the corpus again without images that proved unusable while they were written.

        Args:
          log: Their rows, of outcome `rejected`.

        Raises:
          CorpusError: As `plan_corpus`; with these, more may be rejected than is accepted.
        """

    def noting(self, log: RejectLog) -> PlannedCorpus:
        """Returns the corpus with what was seen in images that were written."""
        return dataclasses.replace(self, accepted=note(self.accepted, log))

    @abc.abstractmethod
    def cut(self, bounds_of: BoundsOf, *, max_records: int | None = None) -> CutCorpus:
        """Cuts every split to shards.

        Args:
          bounds_of: Returns (begin, end) of each shard of a split, from the sizes of its records.
          max_records: Of each split, the first records are taken; all by default.
        """

    def is_whole(self, cut: CutCorpus) -> bool:
        """Tells whether all records were taken."""
        return cut.num_records == self.num_records

    def metadata(self, cut: CutCorpus, *, counters: Mapping[str, int]) -> dict[str, Any]:
        """Returns what the dataset says of itself: class counts, certificate, rejects.

        Args:
          cut: Its splits.
          counters: What was counted while images were written.
        """
        certificate = self.certificate
        if not self.is_whole(cut):
            few, all_ = (sum(numbers.values()) for numbers in (cut.num_records, self.num_records))
            what = (
                f"the dataset was cut to {few:,} of {all_:,} images; this certificate is of all of"
                " them"
            )
            certificate = certificate | {"warnings": [what, *certificate["warnings"]]}
        spec = self.accepted.loaded.spec
        return {
            "spec_sha256": spec_digest(spec),
            "spec": told_spec(spec),
            "built_with": {
                "medical_images": __version__,
                "tensorflow-datasets": importlib.metadata.version("tensorflow-datasets"),
            },
            "class_counts": dict(cut.class_counts),
            "certificate": certificate,
            "rejects": self.accepted.log.counts(),
            "images": dict(counters),
            "rows": self.accepted.num_rows,
            "image_files": self.accepted.num_files,
        }

    def summary(self) -> str:
        """Says in a few lines what was found."""
        read = self.accepted
        splits = ", ".join(f"{name} {number:,}" for name, number in self.num_records.items())
        lines = [
            f"{read.num_rows:,} rows and {read.num_files:,} image files:"
            f" {sum(self.num_records.values()):,} images to write ({splits})"
        ]
        for outcome, codes in read.log.counts().items():
            listed = ", ".join(f"{count:,} {code}" for code, count in codes.items())
            lines.append(f"{outcome}: {listed}")
        lines += [f"warning: {warning}" for warning in self.certificate["warnings"]]
        worst, floor = self.certificate["largest_deviation"], self.certificate["rounding_floor"]
        if worst is not None:
            lines.append(
                f"splits are within {worst['images']:.2f} images of their shares; rounding alone"
                f" leaves {floor:.2f}"
            )
        if read.rejects_path:
            lines.append(f"listed in {read.rejects_path} (personal data, readable by you only)")
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorpusInMemory(PlannedCorpus):
    """A corpus whose records are in memory.

    Attributes:
      plan: Splits and order.
      joined: All records that were planned, and the log of what is none.
      plan_again: Plans others of this corpus.
    """

    plan: Plan
    joined: Joined
    plan_again: Callable[[Joined], CorpusInMemory]

    def without(self, log: RejectLog) -> CorpusInMemory:
        """Plans again in memory."""
        records = self.joined.records
        return self.plan_again(
            dataclasses.replace(
                self.joined,
                records=records[~records["path"].isin(log.entries["path"])].reset_index(drop=True),
                log=with_rejected(self.joined.log, log),
            )
        )

    @property
    def num_records(self) -> dict[str, int]:
        """{split: its records}."""
        return {name: len(records) for name, records in self.plan.splits.items()}

    def cut(self, bounds_of: BoundsOf, *, max_records: int | None = None) -> CutCorpus:
        """Cuts every split to shards."""
        spec = self.accepted.loaded.spec
        plan = self.plan.first(max_records)
        shards = {
            name: [
                (records.iloc[begin:end], end - begin)
                for begin, end in bounds_of(estimate_sizes(records, spec))
            ]
            for name, records in plan.splits.items()
        }
        return CutCorpus(shards=shards, class_counts=certification.class_counts(plan, spec))


def with_rejected(log: RejectLog, rejected: RejectLog) -> RejectLog:
    """Adds images that cannot be used to a log, and takes out what was noted of them as written."""
    is_stale = (log.entries["outcome"] == "noted") & log.entries["path"].isin(
        rejected.entries["path"]
    )
    return RejectLog.concat([RejectLog(log.entries[~is_stale]), rejected])


def told_spec(spec: CorpusSpec) -> dict[str, Any]:
    """Returns what a dataset tells of its spec: all but where corpus, rejects and key lie."""
    hidden: dict[str, Any] = {"root": True, "rejects": {"file"}, "privacy": {"key_file"}}
    told: dict[str, Any] = spec.model_dump(
        mode="json", by_alias=True, exclude=hidden, exclude_defaults=True
    )
    return told


def spec_digest(spec: CorpusSpec) -> str:
    """Returns a hash of all of a spec that decides what is written."""
    told = spec.model_dump_json(exclude=_DECIDES_NOTHING)
    return hashlib.sha256(told.encode()).hexdigest()


def plan_corpus(
    loaded: LoadedSpec, *, data_dir: str | None = None, target: str | None = None
) -> CorpusInMemory:
    """Reads tables and lists images, joins them, and plans splits and order.

    Image files are opened only where two have the same number of bytes, and so may be copies.

    Args:
      loaded: The spec and the corpus root.
      data_dir: Where the datasets are that `splits: {extend: ...}` may name.
      target: The folder of the dataset that is to be built.

    Raises:
      CorpusError: The corpus cannot be used as it is; nothing but the rejects file was written.
    """
    return plan_read(read_corpus(loaded), data_dir=data_dir, target=target)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadCorpus:
    """A corpus that was read, and not yet accepted.

    Attributes:
      loaded: Its spec.
      joined: What became of its rows and files.
      inputs: See `manifest.inputs_of`.
    """

    loaded: LoadedSpec
    joined: Joined
    inputs: dict[str, Any]


def read_corpus(loaded: LoadedSpec) -> ReadCorpus:
    """Reads tables, lists images and joins them; the first half of `plan_corpus`.

    Args:
      loaded: The spec and the corpus root.

    Raises:
      CorpusError: The corpus cannot be read as its spec says. Nothing is written.
    """
    loaded = with_key(loaded)
    check_input_paths(loaded)
    spec, root = loaded.spec, loaded.root
    sums = manifest.sums_of(root, list(input_paths(spec).values()))
    rows = tables.read_rows(spec, root=root, source=loaded.source) if spec.tables else None
    lists = tables.read_lists(spec, root=root, source=loaded.source)
    with places_of(loaded):
        files = images.list_images(
            root, spec.images, exclude=no_images(loaded), needs_all=not spec.tables
        )
        files = files.assign(**facts_of_files(root, files, spec))
        joined = join_images(rows, files, spec, lists)
    check_names([*clashing_rows(joined.records), *twin_rows(joined.log)])
    joined = apply_copies(joined, find_copies(root, joined.records, spec.images), spec)
    return ReadCorpus(
        loaded=loaded, joined=joined, inputs=manifest.inputs_of(Listing.of(files), sums)
    )


def plan_read(
    read: ReadCorpus,
    *,
    data_dir: str | None = None,
    target: str | None = None,
    lists_rejects: bool = True,
) -> CorpusInMemory:
    """Accepts a corpus and plans splits and order; the second half of `plan_corpus`.

    Args:
      read: What `read_corpus` returns.
      data_dir: See `plan_corpus`.
      target: Likewise.
      lists_rejects: Whether to write the list of rejects.

    Raises:
      CorpusError: The corpus cannot be used as it is.
    """
    loaded, joined = read.loaded, read.joined
    spec = loaded.spec
    surveyed = survey_records(joined.records, spec)
    accepted = accept(
        loaded,
        log=joined.log,
        torn=surveyed.facts.torn,
        num_records=len(joined.records),
        num_rows=joined.num_rows,
        num_files=joined.num_files,
        num_unmatched_lines=joined.num_unmatched_lines,
        inputs=read.inputs,
        lists_rejects=lists_rejects,
    )
    former = read_former_of(loaded, data_dir, target)
    with places_of(loaded, accepted.rejects_path):
        plan = plan_surveyed(surveyed, former)
        certificate = certification.certify(plan, warnings=accepted.warnings)
        certification.check_tolerance(certificate, spec)
    return CorpusInMemory(
        accepted=accepted,
        certificate=certificate,
        plan=plan,
        joined=joined,
        plan_again=lambda other: plan_read(
            dataclasses.replace(read, joined=other),
            data_dir=data_dir,
            target=target,
            lists_rejects=lists_rejects,
        ),
    )


def inputs_now(loaded: LoadedSpec) -> dict[str, Any]:
    """Tells of the inputs as they are now, to be held against a manifest."""
    root, declared = loaded.root, loaded.spec.images
    folders = images.outermost_folders(root, declared.templates, needs_all=not loaded.spec.tables)
    files = (file for folder in folders for file in images.walk(root, folder, declared))
    listing, exclude = Listing(), no_images(loaded)
    while some := list(itertools.islice(files, _LISTED_AT_ONCE)):
        listing += Listing.of(images.frame_of_files(some, declared, exclude=exclude))
    return manifest.inputs_of(
        listing, manifest.sums_of(root, list(input_paths(loaded.spec).values()))
    )


def no_images(loaded: LoadedSpec) -> set[str]:
    """Returns paths below the root that are no images: those of tables, and of our own files."""
    return {path for table in loaded.spec.tables for path in table.files} | own_files(loaded)


@contextlib.contextmanager
def places_of(loaded: LoadedSpec, rejects_path: str | None = None) -> Iterator[None]:
    """Adds places in the spec's file to errors of planning, which does not know them."""
    try:
        yield
    except SpecError as error:
        keys = [tuple(problem.where.split(".")) for problem in error.problems]
        problems = [
            dataclasses.replace(problem, where=loaded.source.where(key))
            if key[0] in CorpusSpec.model_fields
            else problem
            for key, problem in zip(keys, error.problems, strict=True)
        ]
        told = f"What was found is listed in {rejects_path} (personal data)" if rejects_path else ""
        raise SpecError(problems, headline=error.headline, epilog=error.epilog or told) from None


def read_former_of(loaded: LoadedSpec, data_dir: str | None, target: str | None) -> Former | None:
    """Reads the dataset that is to be extended, if one is."""
    former = loaded.spec.splits.extend
    if former is None:
        return None
    base = os.path.dirname(loaded.path) if loaded.path else "."
    where = loaded.source.where(("splits", "extend"))
    if target is not None and former_folder(former, base=base, data_dir=data_dir) == target:
        what = "the dataset to extend is the one that is to be built"
        problem = Problem(where=where, what=what, remedy="give this one another `version:`")
        raise SpecError([problem], headline=NO_SPLITS)
    return Former(*read_former(former, base=base, data_dir=data_dir, where=where))
