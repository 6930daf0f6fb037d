"""The check of a corpus: all that can be said of it before it is built, and nothing written."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from collections.abc import Iterator
from typing import Any

import loky
import numpy as np
import pandas as pd

from medical_images.audit.findings import Finding, findings_of
from medical_images.audit.near_copies import NearCopies, find_near_copies, require_faiss
from medical_images.checked import Check, Estimate, RejectedRows, Sample
from medical_images.corpus import CorpusInMemory, ReadCorpus, plan_read, read_corpus, with_rejected
from medical_images.dataset_certificate import Certificate
from medical_images.errors import BuildError, CorpusError
from medical_images.medical_images_dataset_builder import MedicalImagesConfig
from medical_images.paths import absolute, is_remote
from medical_images.rejects import RejectLog
from medical_images.remote import in_words, storage_errors
from medical_images.tried_images import TriedImages, try_images
from medical_images.unbuilt import Spec, UnbuiltCorpus

_SPARE = 1.05  # what index and file formats add


def check(
    spec: Spec,
    *,
    root: str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    audit: bool = False,
    num_sampled: int = 64,
    progress: bool = False,
) -> Check:
    """Says what a build would write and reject, and what may mislead. Nothing is written.

    The corpus is read, joined and planned as by a build, and a sample of its images is read and
    checked. What the sample does not hold, a build may still reject.

    Args:
      spec: The path of a `corpus.yaml`, the name of a corpus of the catalog, a `CorpusSpec`, or a
        mapping of its keys.
      root: The corpus root; by default `root:` of the spec.
      data_dir: Where the dataset would be; TFDS's own folder by default.
      audit: Whether to try all images, and to look for those that look the same; it takes as long
        as a build, and the extra `audit`.
      num_sampled: How many images are tried otherwise.
      progress: Whether to show bars.

    Returns:
      What was found, also of a corpus that is refused.

    Raises:
      BuildError: The corpus cannot be read now.
      ImportError: The extra `audit` is needed and not installed.

    Example:
      >>> import tempfile, medical_images as mi
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     found = check(mi.write_phantom(folder, num_images=100, height=24, width=32))
      >>> found.accepted, found.counts['splits'], found.sample.num_unusable
      (True, {'train': 80, 'validation': 10, 'test': 10}, 0)
    """
    if audit:
        require_faiss()
    found = Check(accepted=False)
    try:
        config = MedicalImagesConfig(
            spec=os.fspath(spec) if isinstance(spec, os.PathLike) else spec,
            root=None if root is None else os.fspath(root),
        )
        assert config.loaded is not None
        found = dataclasses.replace(found, name=config.loaded.spec.name)
        read = read_corpus(config.loaded)
        found = dataclasses.replace(found, **_told_of(read, read.joined.log))
        former_dir = None if data_dir is None else os.fspath(data_dir)
        planned = plan_read(read, data_dir=former_dir, lists_rejects=False)
        tried, seconds = _try_some(planned, num_sampled)
        if audit:
            tried = try_images(_records(planned), read.loaded, hashes=True, progress=progress)
        sample = Sample(
            num_images=tried.num_images, num_unusable=tried.num_unusable, notes=tried.notes
        )
        log = with_rejected(planned.accepted.log, tried.faults)
        found = dataclasses.replace(found, sample=sample, **_told_of(read, log))
        if tried.num_unusable:
            planned = planned.without(tried.faults)
    except CorpusError as error:
        return dataclasses.replace(found, refusal=str(error), problems=error.problems)
    except storage_errors() as error:
        raise BuildError(f"the corpus cannot be read: {in_words(error)}") from None
    estimate = _estimate(planned, tried, seconds, data_dir)
    copies = _near_copies(planned, tried, progress) if audit else None
    corpus = UnbuiltCorpus(planned, config)
    certificate = Certificate(planned.certificate)
    findings = [
        *_findings_of_build(planned, tried, estimate, is_sample=not audit),
        *findings_of(corpus, near_copies=copies),
    ]
    groups = pd.concat(part["key"] for part in planned.plan.splits.values()).nunique()
    images = sum(planned.num_records.values())
    plan_counts = {"images": images, "groups": groups, "splits": planned.num_records}
    return dataclasses.replace(
        found,
        accepted=True,
        counts={**found.counts, **plan_counts},
        certificate=certificate,
        warnings=tuple(certificate["warnings"]),
        findings=tuple(findings),
        estimate=estimate,
        near_copies=copies,
    )


def _told_of(read: ReadCorpus, log: RejectLog) -> dict[str, Any]:
    """What is known of a corpus that may be refused."""
    joined = read.joined
    return {
        "rejects": tuple(RejectedRows.all_of(log)),
        "counts": {
            "rows": joined.num_rows,
            "image_files": joined.num_files,
            "images": len(joined.records),
        },
    }


def _records(planned: CorpusInMemory) -> pd.DataFrame:
    """All records, split by split in written order."""
    return pd.concat(planned.plan.splits.values(), ignore_index=True)


def _try_some(planned: CorpusInMemory, number: int) -> tuple[TriedImages, float]:
    """Tries evenly spaced images; returns also the seconds that all of them take one core."""
    records, loaded = _records(planned), planned.accepted.loaded
    chosen = np.unique(np.linspace(0, len(records) - 1, max(1, number)).round().astype(np.int64))
    try_images(records.iloc[:1], loaded, num_threads=1)  # imports, and opens what is to be opened
    begin = time.perf_counter()
    tried = try_images(records.iloc[chosen], loaded, num_threads=1)
    return tried, (time.perf_counter() - begin) * len(records) / len(chosen)


def _estimate(
    planned: CorpusInMemory,
    tried: TriedImages,
    seconds: float,
    data_dir: str | os.PathLike[str] | None,
) -> Estimate | None:
    if not tried.file_bytes:
        return None
    if data_dir is None:
        from tensorflow_datasets.core import constants

        data_dir = constants.DATA_DIR
    ratio = _SPARE * tried.example_bytes / tried.file_bytes
    folder = absolute(data_dir)
    return Estimate(
        num_bytes={
            name: int(ratio * int(records["num_bytes"].sum()))
            for name, records in planned.plan.splits.items()
        },
        seconds=round(seconds / int(loky.cpu_count()), 3),
        data_dir=folder,
        free_bytes=None if is_remote(folder) else _free_bytes(folder),
    )


def _free_bytes(folder: str) -> int:
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return shutil.disk_usage(folder).free


def _near_copies(planned: CorpusInMemory, tried: TriedImages, progress: bool) -> NearCopies:
    places = [
        pd.DataFrame({"split": name, "number": range(len(records)), "group": records["key"].array})
        for name, records in planned.plan.splits.items()
    ]
    hashes = [tried.hashes.get(path) for path in _records(planned)["path"]]
    return find_near_copies(hashes, pd.concat(places, ignore_index=True), progress=progress)


def _findings_of_build(
    planned: CorpusInMemory, tried: TriedImages, estimate: Estimate | None, *, is_sample: bool
) -> Iterator[Finding]:
    """What may stop a build that begins."""
    if tried.num_unusable and is_sample:
        num_all = sum(planned.num_records.values())
        share = tried.num_unusable / tried.num_images
        rules = planned.accepted.loaded.spec.rejects
        also = f" and the codes {', '.join(rules.accept)}" if rules.accept else ""
        what = (
            f"{tried.num_unusable:,} of {tried.num_images:,} images that were tried cannot be used;"
            f" of all, about {share * num_all:,.0f} may be rejected (max_fraction accepts"
            f" {rules.max_fraction:g}{also})"
        )
        yield Finding(code="unusable_images", severity="warning", what=what)
    if estimate is not None and estimate.free_bytes is not None:
        num_bytes = sum(estimate.num_bytes.values())
        if num_bytes > estimate.free_bytes:
            what = (
                f"the dataset would have about {num_bytes:,} bytes, and {estimate.free_bytes:,} are"
                f" free in {estimate.data_dir}"
            )
            yield Finding(code="disk_full", severity="warning", what=what)
