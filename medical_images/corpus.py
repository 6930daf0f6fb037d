"""The first phase of a build: everything that can be refused is refused here, before writing."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from typing import Any

from medical_images import certification, images, tables
from medical_images.copies import apply_copies, find_copies
from medical_images.dataset_index import former_folder, read_former
from medical_images.errors import Problem, SpecError
from medical_images.grouping import torn_groups, whole_groups
from medical_images.join import Joined, check_rejects, join_images
from medical_images.paths import absolute
from medical_images.plan import NO_SPLITS, Former, Plan, plan_records
from medical_images.rejects import refuse_foreign
from medical_images.spec import CorpusSpec, LoadedSpec


@dataclasses.dataclass(frozen=True)
class PlannedCorpus:
    """A corpus that was read, joined, accepted and planned.

    Attributes:
      loaded: Its spec.
      joined: Records and the log of rejects.
      plan: Splits and order.
      certificate: What the plan achieves.
      rejects_path: Where the rejects are listed; None if there are none.
    """

    loaded: LoadedSpec
    joined: Joined
    plan: Plan
    certificate: dict[str, Any]
    rejects_path: str | None

    def metadata(self, plan: Plan) -> dict[str, Any]:
        """Returns what the dataset says of itself: class counts, certificate, rejects."""
        spec = self.loaded.spec
        certificate = self.certificate
        if plan.num_records < self.plan.num_records:
            cut = (
                f"the dataset was cut to {plan.num_records:,} of {self.plan.num_records:,} images;"
                " this certificate is of all of them"
            )
            certificate = certificate | {"warnings": [cut, *certificate["warnings"]]}
        return {
            "spec_sha256": spec_digest(spec),
            "class_counts": certification.class_counts(plan, spec),
            "certificate": certificate,
            "rejects": self.joined.log.counts(),
            "rows": self.joined.num_rows,
            "image_files": self.joined.num_files,
        }

    def summary(self) -> str:
        """Says in a few lines what was found."""
        splits = ", ".join(f"{name} {len(r):,}" for name, r in self.plan.splits.items())
        lines = [
            f"{self.joined.num_rows:,} rows and {self.joined.num_files:,} image files:"
            f" {self.plan.num_records:,} images to write ({splits})"
        ]
        for outcome, codes in self.joined.log.counts().items():
            listed = ", ".join(f"{count:,} {code}" for code, count in codes.items())
            lines.append(f"{outcome}: {listed}")
        lines += [f"warning: {warning}" for warning in self.certificate["warnings"]]
        worst, floor = self.certificate["largest_deviation"], self.certificate["rounding_floor"]
        if worst is not None:
            lines.append(
                f"splits are within {worst['images']:.2f} images of their shares; rounding alone"
                f" leaves {floor:.2f}"
            )
        if self.rejects_path:
            lines.append(f"listed in {self.rejects_path} (personal data, readable by you only)")
        return "\n".join(lines)


def spec_digest(spec: CorpusSpec) -> str:
    """Returns a hash of all of a spec that decides what is written."""
    return hashlib.sha256(spec.model_dump_json(exclude={"root", "rejects"}).encode()).hexdigest()


def plan_corpus(
    loaded: LoadedSpec, *, data_dir: str | None = None, target: str | None = None
) -> PlannedCorpus:
    """Reads tables and lists images, joins them, and plans splits and order.

    Image files are opened only where two have the same number of bytes, and so may be copies.

    Args:
      loaded: The spec and the corpus root.
      data_dir: Where the datasets are that `splits: {extend: ...}` may name.
      target: The folder of the dataset that is to be built.

    Raises:
      CorpusError: The corpus cannot be used as it is; nothing but the rejects file was written.
    """
    spec, root = loaded.spec, loaded.root
    rows = tables.read_rows(spec, root=root, source=loaded.source) if spec.tables else None
    lists = tables.read_lists(spec, root=root, source=loaded.source)
    files = images.list_images(
        root,
        spec.images.templates,
        exclude={table.path for table in spec.tables} | _own_files(loaded),
        pixel_sizes=spec.boxes is not None,
    )
    try:
        joined = join_images(rows, files, spec, lists)
    except SpecError as error:
        raise _with_places(error, loaded, None) from None
    joined = apply_copies(joined, find_copies(root, joined.records), spec)
    joined = _note_leaks(joined, spec)
    rejects_path = _write_rejects(joined, loaded)
    check_rejects(joined, spec, epilog=_where_listed(rejects_path))
    former = _former(loaded, data_dir, target)
    try:
        plan = plan_records(joined.records, spec, former)
        certificate = certification.certify(plan, spec, warnings=_warnings_of_lists(joined, spec))
        certification.check_tolerance(certificate, spec)
    except SpecError as error:
        raise _with_places(error, loaded, rejects_path) from None
    return PlannedCorpus(loaded, joined, plan, certificate, rejects_path)


def _with_places(error: SpecError, loaded: LoadedSpec, rejects_path: str | None) -> SpecError:
    """Adds the places in the spec's file, which planning does not know, and where to look."""
    keys = [tuple(problem.where.split(".")) for problem in error.problems]
    problems = [
        dataclasses.replace(problem, where=loaded.source.where(key))
        if key[0] in CorpusSpec.model_fields
        else problem
        for key, problem in zip(keys, error.problems, strict=True)
    ]
    listed = f"What was found is listed in {rejects_path} (personal data)" if rejects_path else ""
    return SpecError(problems, headline=error.headline, epilog=error.epilog or listed)


def _note_leaks(joined: Joined, spec: CorpusSpec) -> Joined:
    """Lists the images of groups that stand in two official splits, whether allowed or not."""
    whole = whole_groups(joined.records, join_copies=spec.duplicates == "group")
    torn = torn_groups(joined.records.assign(whole=whole))
    log = joined.log.adding(
        outcome="noted",
        code="group_in_two_splits",
        kind="row",
        entries=torn[["table", "line", "path"]].assign(value=torn["split"]),
    )
    return dataclasses.replace(joined, log=log)


def _warnings_of_lists(joined: Joined, spec: CorpusSpec) -> list[str]:
    number = joined.num_unmatched_lines
    if not number:
        return []
    lists = ", ".join(spec.splits.files)
    return [f"{number:,} lines of the lists of {lists} name no image that is written"]


def _former(loaded: LoadedSpec, data_dir: str | None, target: str | None) -> Former | None:
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


def _where_listed(rejects_path: str | None) -> str:
    if rejects_path is None:
        return "No list of them could be written; name a file for it: `rejects: {file: ...}`"
    return f"All of them are listed in {rejects_path} (personal data, readable by you only)"


def _own_files(loaded: LoadedSpec) -> set[str]:
    """Returns the spec and the list of rejects as paths relative to the root."""
    if loaded.path is None or "://" in loaded.root + loaded.path:
        return set()
    own = [loaded.path, *_reject_paths(loaded)]
    return {os.path.relpath(path, loaded.root) for path in own}


def _write_rejects(joined: Joined, loaded: LoadedSpec) -> str | None:
    """Lists rejects beside the spec, or in the user's state folder where that is read-only.

    Returns:
      Where they are listed; None if there are none, or if no place can be written.
    """
    paths = _reject_paths(loaded)
    if loaded.spec.rejects.file is not None:
        _refuse_foreign_rejects(paths[0], loaded)
    for path in paths:
        try:
            if joined.log.entries.empty:
                refuse_foreign(path)
                if os.path.isfile(path):
                    os.remove(path)  # of an earlier build; it would no longer be true
                continue
            os.makedirs(os.path.dirname(path), exist_ok=True)
            joined.log.write(path)
        except OSError:
            continue
        return path
    return None


def _refuse_foreign_rejects(path: str, loaded: LoadedSpec) -> None:
    try:
        refuse_foreign(path)
    except OSError as error:
        where = loaded.source.where(("rejects", "file"))
        raise SpecError([Problem(where=where, what=str(error))]) from None


def _reject_paths(loaded: LoadedSpec) -> list[str]:
    name = f"{loaded.spec.name}.rejects.csv"
    named = loaded.spec.rejects.file
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    fallback = os.path.join(state, "medical_images", name)
    if loaded.path is None or "://" in loaded.path:
        return [absolute(named) if named else fallback]
    beside = os.path.join(os.path.dirname(loaded.path), os.path.expanduser(named or name))
    return [beside] if named else [beside, fallback]
