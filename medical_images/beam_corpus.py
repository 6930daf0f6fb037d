"""The first phase of a build by Beam: as `corpus`, with no process that holds all records."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from medical_images import beam_planning, beam_survey, certification, manifest
from medical_images.acceptance import accept
from medical_images.beam_reading import ReadCorpus, read_corpus
from medical_images.beam_workers import Workers
from medical_images.corpus import (
    BoundsOf,
    CutCorpus,
    PlannedCorpus,
    no_images,
    places_of,
    read_former_of,
    with_rejected,
)
from medical_images.facts import no_torn
from medical_images.input_files import check_input_paths, input_paths
from medical_images.privacy_key import with_key
from medical_images.rejects import RejectLog
from medical_images.shards import estimate_sizes
from medical_images.spec import LoadedSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorpusOnBeam(PlannedCorpus):
    """A corpus whose records are in files.

    Attributes:
      planned: Splits and order.
      read: All records that were planned, and the log of what is none.
      plan_again: Plans others of this corpus.
    """

    planned: beam_planning.PlannedRecords
    read: ReadCorpus
    plan_again: Callable[[ReadCorpus], CorpusOnBeam]

    def without(self, log: RejectLog) -> CorpusOnBeam:
        """Plans again by the workers, in folders beside those of this plan."""
        workers = self.planned.workers
        paths = beam_survey.without(
            self.read.paths,
            log.entries["path"],
            dataclasses.replace(workers, folder=workers.made("without")),
        )
        whole = with_rejected(self.read.log, log).in_order()
        return self.plan_again(dataclasses.replace(self.read, paths=paths, log=whole))

    @property
    def num_records(self) -> dict[str, int]:
        """{split: its records}."""
        return self.planned.num_records

    def cut(self, bounds_of: BoundsOf, *, max_records: int | None = None) -> CutCorpus:
        """Cuts every split to shards."""
        cut = beam_planning.cut_splits(self.planned, bounds_of=bounds_of, max_records=max_records)
        return CutCorpus(shards=cut.tasks, class_counts=cut.class_counts)


def plan_corpus(
    loaded: LoadedSpec,
    workers: Workers,
    *,
    data_dir: str | None = None,
    target: str | None = None,
) -> CorpusOnBeam:
    """Does what `corpus.plan_corpus` does, by Beam's workers.

    Args:
      loaded: The spec and the corpus root.
      workers: Who works, and an empty folder.
      data_dir: Where the datasets are that `splits: {extend: ...}` may name.
      target: The folder of the dataset that is to be built.

    Raises:
      CorpusError: As `corpus.plan_corpus`, in the same words.
      BuildError: The runner lost something.
    """
    loaded = with_key(loaded)
    check_input_paths(loaded)
    spec = loaded.spec
    sums = manifest.sums_of(loaded.root, list(input_paths(spec).values()))
    with places_of(loaded):
        read = read_corpus(
            loaded,
            dataclasses.replace(workers, folder=workers.made("read")),
            exclude=no_images(loaded),
        )
    return _plan_read(
        read,
        loaded=loaded,
        workers=workers,
        inputs=manifest.inputs_of(read.listing, sums),
        data_dir=data_dir,
        target=target,
    )


def _plan_read(
    read: ReadCorpus,
    *,
    loaded: LoadedSpec,
    workers: Workers,
    inputs: dict[str, Any],
    data_dir: str | None,
    target: str | None,
    number: int = 0,
) -> CorpusOnBeam:
    """Plans what was read; `number` tells how often that was done before."""
    spec, folder = loaded.spec, f"plan{number}"
    survey = functools.partial(
        beam_survey.survey_records,
        read.paths,
        spec,
        dataclasses.replace(workers, folder=workers.made(folder)),
    )
    surveyed = survey() if read.paths else None
    accepted = accept(
        loaded,
        log=read.log,
        torn=surveyed.facts.torn if surveyed else no_torn(),
        num_records=surveyed.facts.images.total() if surveyed else 0,
        num_rows=read.num_rows,
        num_files=read.listing.num_files,
        num_unmatched_lines=read.num_unmatched_lines,
        inputs=inputs,
    )
    assert surveyed is not None  # what has no records is refused
    former = read_former_of(loaded, data_dir, target)
    with places_of(loaded, accepted.rejects_path):
        planned = beam_planning.plan_records(
            surveyed, sizes_of=functools.partial(estimate_sizes, spec=spec), former=former
        )
        certificate: dict[str, Any] = planned.certificate(warnings=accepted.warnings)
        certification.check_tolerance(certificate, spec)
    return CorpusOnBeam(
        accepted=accepted,
        certificate=certificate,
        planned=planned,
        read=read,
        plan_again=functools.partial(
            _plan_read,
            loaded=loaded,
            workers=workers,
            inputs=inputs,
            data_dir=data_dir,
            target=target,
            number=number + 1,
        ),
    )
