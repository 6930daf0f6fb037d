"""A corpus that was read is accepted, or refused with a list of what was rejected."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import pandas as pd

from medical_images import catalog
from medical_images.errors import Problem, RejectedError, SpecError
from medical_images.paths import absolute, is_remote
from medical_images.pseudonyms import hidden_columns, warnings_of
from medical_images.rejects import RejectLog, refuse_foreign
from medical_images.spec import CorpusSpec, IdFeature, LoadedSpec
from medical_images.spec_feature_types import allowed_cells, combines_rows


@dataclasses.dataclass(frozen=True, kw_only=True)
class AcceptedCorpus:
    """What a corpus holds, all of it accepted.

    Attributes:
      loaded: Its spec.
      log: Every row and file that is not simply written.
      num_rows: Rows of its tables.
      num_files: Its image files.
      warnings: What a reader of the certificate should know of them.
      rejects_path: Where the log is; None if it is empty, or was not to be written.
      inputs: What it takes to see that tables or image files changed.
    """

    loaded: LoadedSpec
    log: RejectLog
    num_rows: int
    num_files: int
    warnings: Sequence[str]
    rejects_path: str | None
    inputs: dict[str, Any]


def accept(
    loaded: LoadedSpec,
    *,
    log: RejectLog,
    torn: pd.DataFrame,
    num_records: int,
    num_rows: int,
    num_files: int,
    num_unmatched_lines: int,
    inputs: dict[str, Any],
    lists_rejects: bool = True,
) -> AcceptedCorpus:
    """Lists the rejects, and accepts a corpus if its spec does.

    Args:
      loaded: Its spec.
      log: Every row and file that is not simply written, in order.
      torn: The images of groups that stand in two official splits, whether allowed or not.
      num_records: How many images are to be written.
      num_rows: Rows of its tables.
      num_files: Its image files.
      num_unmatched_lines: Lines of the lists of official splits that name none of these.
      inputs: See `manifest.inputs_of`.
      lists_rejects: Whether to write the list of rejects.

    Raises:
      RejectedError: More was rejected than the spec accepts.
    """
    spec = loaded.spec
    log = log.adding(
        outcome="noted",
        code="group_in_two_splits",
        kind="row",
        entries=torn[["table", "line", "path"]].assign(value=torn["split"]),
    ).in_order()
    rejects_path = _write_rejects(log, loaded) if lists_rejects else None
    epilog = _where_listed(rejects_path) if lists_rejects else ""
    check_rejects(log, spec, num_rows=num_rows, num_records=num_records, epilog=epilog)
    warnings = warnings_of(spec)
    if num_unmatched_lines:
        lists = ", ".join(spec.splits.files)
        what = (
            f"{num_unmatched_lines:,} lines of the lists of {lists} name no image that is written"
        )
        warnings.append(what)
    return AcceptedCorpus(
        loaded=loaded,
        log=log,
        num_rows=num_rows,
        num_files=num_files,
        warnings=warnings,
        rejects_path=rejects_path,
        inputs=inputs,
    )


def check_rejects(
    log: RejectLog, spec: CorpusSpec, *, num_rows: int, num_records: int, epilog: str = ""
) -> None:
    """Stops a build that rejects more than its spec accepts.

    Args:
      log: What became of rows and files that are not written.
      spec: `rejects:` says what is accepted.
      num_rows: How many rows there are.
      num_records: How many images are to be written.
      epilog: What to tell the user last, such as where the rejects are listed.

    Raises:
      RejectedError: Lists every code with its count and the first line numbers.
    """
    rules = spec.rejects
    refused = {"needs_window"}  # a choice that only the user can make
    refused |= {"image_missing"} if rules.rows_without_image == "refuse" else set()
    refused |= {"image_unreferenced"} if rules.images_without_row == "refuse" else set()
    if any(map(combines_rows, spec.features.values())):
        refused |= {"join_unmatched"}  # nobody knows whose image would lose a row
    is_rejected = log.entries.outcome == "rejected"
    num_rejected = int((is_rejected & ~log.entries.code.isin(rules.accept)).sum())
    num_all = num_rows + log.count(outcome="rejected", kind="file")
    fraction = num_rejected / max(num_all, 1)
    is_refused = bool(refused & set(log.entries.code[is_rejected]))
    if not is_refused and fraction <= rules.max_fraction and num_records:
        return
    cells_of: dict[str, list[str]] = {}
    for name, feature in spec.features.items():
        for column in feature.columns(name):
            cells_of.setdefault(column, []).extend(allowed_cells(feature))
    allowed = {
        ("label_unknown", column): f"allowed: {', '.join(map(_shown, dict.fromkeys(cells[:20])))};"
        " other spellings of them: `rename:`"
        for column, cells in cells_of.items()
        if cells
    }
    allowed["image_ambiguous", ""] = "add a column of its folder to the path, or `per_row: many`"
    if spec.splits.column is not None:
        cells = [cell for cells in spec.splits.values.values() for cell in cells]
        allowed["split_unknown", spec.splits.column] = f"allowed: {', '.join(cells[:20])}"
    ids = {column for place, column in spec.columns_used() if place[0] in ("group", "images")}
    ids |= hidden_columns(spec)
    ids |= {
        column
        for name, feature in spec.features.items()
        if isinstance(feature, IdFeature)
        for column in feature.columns(name)
    }
    problems = log.problems(allowed=allowed, private=ids)
    if not problems:
        problems.append(Problem(where="images", what="no image is left to write"))
    share = f"{num_rejected:,} of {num_all:,} rows and files rejected"
    headline = f"The corpus is refused ({share}; max_fraction accepts {rules.max_fraction:g})"
    told = [_how_to_accept(log.entries.code[is_rejected])] if num_records and not is_refused else []
    raise RejectedError(problems, headline=headline, epilog="\n".join([*told, epilog]).strip())


def note(accepted: AcceptedCorpus, log: RejectLog) -> AcceptedCorpus:
    """Adds to the list of rejects what was seen while images were written.

    Args:
      accepted: The corpus.
      log: Entries of outcome `noted`.
    """
    if log.entries.empty:
        return accepted
    whole = RejectLog.concat([accepted.log, log]).in_order()
    return dataclasses.replace(
        accepted, log=whole, rejects_path=_write_rejects(whole, accepted.loaded)
    )


def _how_to_accept(codes: pd.Series[str]) -> str:
    return f"To build without them: `rejects: {{accept: [{', '.join(sorted(set(codes)))}]}}`"


def _shown(cell: str) -> str:
    return cell or "(empty)"


def _where_listed(rejects_path: str | None) -> str:
    if rejects_path is None:
        return "No list of them could be written; name a file for it: `rejects: {file: ...}`"
    return f"All of them are listed in {rejects_path} (personal data, readable by you only)"


def own_files(loaded: LoadedSpec) -> set[str]:
    """Returns the spec and the list of rejects as paths relative to the root."""
    if loaded.path is None or is_remote(loaded.root) or is_remote(loaded.path):
        return set()
    own = [loaded.path, *_reject_paths(loaded)]
    return {os.path.relpath(path, loaded.root) for path in own}


def _write_rejects(log: RejectLog, loaded: LoadedSpec) -> str | None:
    """Lists rejects beside the spec, or in the user's state folder where that is read-only.

    Returns:
      Where they are listed; None if there are none, or if no place can be written.
    """
    paths = _reject_paths(loaded)
    if loaded.spec.rejects.file is not None:
        _refuse_foreign_rejects(paths[0], loaded)
    for path in paths:
        try:
            if log.entries.empty:
                refuse_foreign(path)
                if os.path.isfile(path):
                    os.remove(path)  # of an earlier build; it would no longer be true
                continue
            os.makedirs(os.path.dirname(path), exist_ok=True)
            log.write(path)
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
    if loaded.path is None or is_remote(loaded.path):
        return [absolute(named) if named else fallback]
    if catalog.holds(loaded.path):  # nothing is written beside the specs of this package
        folder = loaded.root
        if is_remote(folder):
            return [fallback]
    else:
        folder = os.path.dirname(loaded.path)
    beside = os.path.join(folder, os.path.expanduser(named or name))
    return [beside] if named else [beside, fallback]
