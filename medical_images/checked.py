"""What the check of a corpus found, as values and as text."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from medical_images.audit.findings import Finding
from medical_images.audit.near_copies import NearCopies
from medical_images.dataset_certificate import Certificate
from medical_images.errors import Problem, some_lines
from medical_images.rejects import CODES, RejectLog

MOST_LINES = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class RejectedRows:
    """Rows or files with the same fate.

    Attributes:
      outcome: `rejected`, `excluded`, `reported` or `noted`; see docs/rejects.md.
      code: Why.
      meaning: The code in words.
      kind: `row` or `file`.
      table: The table of the rows; blank for files.
      column: The column at fault; blank where none is.
      num: How many.
      lines: The first lines of them, 5 at most; none for files.
    """

    outcome: str
    code: str
    meaning: str
    kind: str
    table: str
    column: str
    num: int
    lines: tuple[int, ...]

    @classmethod
    def all_of(cls, log: RejectLog) -> list[RejectedRows]:
        """Puts the entries of a log together; what is rejected comes first."""
        keys = ["outcome", "code", "kind", "table", "column"]
        found = [
            cls(
                **dict(zip(keys, map(str, key), strict=True)),
                meaning=CODES[str(key[1])],
                num=len(entries),
                lines=tuple(sorted({int(line) for line in entries["line"]} - {0})[:MOST_LINES]),
            )
            for key, entries in log.entries.groupby(keys)
        ]
        return sorted(found, key=lambda each: each.outcome != "rejected")

    def __str__(self) -> str:
        number = f"{self.num:,} {self.kind}{'s' if self.num != 1 else ''}"
        place = " ".join(filter(None, [self.table, f"column '{self.column}'" * bool(self.column)]))
        if self.lines:
            more = f" and {self.num - len(self.lines):,} more" * (self.num > len(self.lines))
            place += f" {some_lines(self.lines)}{more}"
        return f"{self.outcome}: {number} {self.code} ({self.meaning}){': ' * bool(place)}{place}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """Images that were read, decoded and checked as by a build.

    Attributes:
      num_images: How many, evenly spaced in written order; all with `audit`.
      num_unusable: Those that cannot be written; `rejects` tells their codes and lines.
      notes: {code: images} of what was seen in images that can be written all the same.
    """

    num_images: int
    num_unusable: int
    notes: Mapping[str, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a build would take, as far as a sample tells.

    Attributes:
      num_bytes: {split: bytes of its examples}.
      seconds: Of reading, checking and writing all images with all cores of this machine, from
        where the sample was read; what was just read may come faster than the rest.
      data_dir: Where the dataset would be.
      free_bytes: What is free there; None in buckets.
    """

    num_bytes: Mapping[str, int]
    seconds: float
    data_dir: str
    free_bytes: int | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """What a build would do; `print` shows it as text.

    Of a refused corpus only what could be told is there.

    Attributes:
      accepted: Whether a build would begin and, as far as the sample tells, end.
      refusal: Why not; blank if it is accepted.
      problems: All that was found wrong, of which `refusal` shows the first.
      name: Of the corpus; blank if the spec cannot be read.
      counts: `rows`, `image_files`, `images` (to be written), `groups` and `splits`
        ({split: images}); the latter two only of a plan.
      rejects: What becomes of rows and files that are not simply written.
      certificate: What the splits will be; None without a plan.
      warnings: Those of the certificate.
      findings: What may mislead; see `audit.findings`.
      sample: What images were tried; None without a plan.
      estimate: What a build would take; None without a plan, or if no image could be used.
      near_copies: Images that look the same; None without `audit`.
    """

    accepted: bool
    refusal: str = ""
    problems: Sequence[Problem] = ()
    name: str = ""
    counts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    rejects: Sequence[RejectedRows] = ()
    certificate: Certificate | None = None
    warnings: Sequence[str] = ()
    findings: Sequence[Finding] = ()
    sample: Sample | None = None
    estimate: Estimate | None = None
    near_copies: NearCopies | None = None

    @property
    def status(self) -> int:
        """The exit status of the command: 0 if the corpus is accepted, 2 if it is refused."""
        return 0 if self.accepted else 2

    @property
    def has_warnings(self) -> bool:
        """Whether anything may mislead, beyond what is only good to know."""
        return bool(self.warnings) or any(each.severity == "warning" for each in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Returns all of it in what JSON can hold."""
        told = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name in ("problems", "rejects", "findings"):
            told[name] = [dataclasses.asdict(each) for each in told[name]]
        for name in ("sample", "estimate"):
            told[name] = None if told[name] is None else dataclasses.asdict(told[name])
        told["near_copies"] = None if self.near_copies is None else self.near_copies.as_dict()
        told["certificate"] = None if self.certificate is None else dict(self.certificate)
        return {"status": self.status, **told, "warnings": list(self.warnings)}

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def _lines(found: Check) -> Iterator[str]:
    name = found.name or "the corpus"
    yield f"{name}: accepted" if found.accepted else f"{name}: refused"
    if found.refusal:
        yield found.refusal
    if found.counts:
        yield _told_of_counts(found.counts, accepted=found.accepted)
    for rejected in found.rejects:
        if f"{rejected.code}: {rejected.meaning}" not in found.refusal:
            yield str(rejected)
    if found.certificate is not None:
        yield from ("", str(found.certificate))
    if found.findings:
        yield ""
    for each in found.findings:
        yield f"{each.severity.capitalize()}: {each.what}"
    if found.sample is not None:
        yield from ("", _told_of_sample(found.sample))
    if found.estimate is not None:
        yield _told_of_estimate(found.estimate)
    yield "Nothing was written."


def _told_of_counts(counts: Mapping[str, Any], *, accepted: bool) -> str:
    read = f"{counts['rows']:,} rows and {counts['image_files']:,} image files"
    groups = f" of {counts['groups']:,} groups" if "groups" in counts else ""
    return f"{read}: {counts['images']:,} images{groups} {'to write' if accepted else 'are left'}"


def _told_of_sample(sample: Sample) -> str:
    unusable = (
        f"{sample.num_unusable:,} cannot be used" if sample.num_unusable else "all are usable"
    )
    notes = "".join(f", {number:,} {code}" for code, number in sample.notes.items())
    return f"{sample.num_images:,} images were read and decoded: {unusable}{notes}"


def _told_of_estimate(estimate: Estimate) -> str:
    total = _size(sum(estimate.num_bytes.values()))
    splits = ", ".join(f"{name} {_size(number)}" for name, number in estimate.num_bytes.items())
    free = "" if estimate.free_bytes is None else f", where {_size(estimate.free_bytes)} are free"
    return (
        f"A build would take about {_duration(estimate.seconds)} and write about {total} ({splits})"
        f" to {estimate.data_dir}{free}"
    )


def _size(num_bytes: float) -> str:
    """Returns a size in words.

    Example:
      >>> _size(999), _size(12_345), _size(3.2e12)
      ('999 bytes', '12.3 KB', '3.2 TB')
    """
    if num_bytes < 1000:
        return f"{num_bytes:.0f} bytes"
    for unit in ("KB", "MB", "GB", "TB"):
        num_bytes /= 1000
        if num_bytes < 1000 or unit == "TB":
            break
    return f"{num_bytes:.1f} {unit}"


def _duration(seconds: float) -> str:
    """Returns a duration in words.

    Example:
      >>> _duration(0.2), _duration(95), _duration(4000), _duration(9000)
      ('1 second', '2 minutes', '67 minutes', '2.5 hours')
    """
    if seconds < 90:
        number, unit = f"{max(1, round(seconds))}", "second"
    elif seconds < 7200:
        number, unit = f"{round(seconds / 60)}", "minute"
    else:
        number, unit = f"{seconds / 3600:.1f}", "hour"
    return f"{number} {unit}{'s' if number != '1' else ''}"
