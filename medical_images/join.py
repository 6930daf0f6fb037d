"""Rows and image files to records and rejects. Pure: data frames in, data frames out.

Every row ends as exactly one of: part of a record, rejected, excluded or reported; and every file
as exactly one of: a record's image, named by rejected rows only, or unreferenced. The counts are
added up here, and a difference stops the build.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from typing import Any

import pandas as pd

from medical_images.errors import BuildError, Problem, RejectedError, SpecError, nearest
from medical_images.rejects import Outcome, RejectLog
from medical_images.spec import (
    IMAGE_PATH,
    BoxesFeature,
    ClassFeature,
    CorpusSpec,
    LabelsFeature,
)
from medical_images.tables import LINE, TABLE, Rows, frame_of_paths
from medical_images.values import parse_feature

GROUP_SEPARATOR = "\x1f"
# The rows' own columns keep their names, so ours are set apart.
PATH, NUM_BYTES, WIDTH, HEIGHT = "#path", "#num_bytes", "#width", "#height"


@dataclasses.dataclass(frozen=True)
class Joined:
    """What became of the rows and the files of a corpus.

    Attributes:
      records: One line an image, sorted by path: `path`, `num_bytes`, `table`, `line`, `group` (""
        where blank) and one column a feature, `feature_<name>`; `width` and `height` where boxes
        need them.
      log: Every row and file that is not part of a record.
      num_rows: Rows of the joined tables.
      num_files: Files that the path templates can name.
    """

    records: pd.DataFrame
    log: RejectLog
    num_rows: int
    num_files: int


def feature_column(name: str) -> str:
    """Returns the column of the records that holds a feature."""
    return f"feature_{name}"


def join_images(rows: Rows | None, files: pd.DataFrame, spec: CorpusSpec) -> Joined:
    """Joins rows with image files, both ways.

    Args:
      rows: The rows of the tables; None for a corpus whose paths tell everything.
      files: What `images.list_images` returns.
      spec: The path templates, features, groups and rules.

    Returns:
      The records and the log; nothing is raised for bad rows, see `check_rejects`.
    """
    if rows is None:
        rows = _rows_of_files(files, spec)
    sieve = _Sieve(rows.frame, rows.log)
    _derive(sieve, spec, from_path=False)
    _match_files(sieve, files, spec)
    sieve.frame = sieve.frame.join(_file_facts(files), on=PATH)
    _derive(sieve, spec, from_path=True)
    box_columns = set(spec.boxes[1].columns(spec.boxes[0])) if spec.boxes else set()
    _drop_copies(sieve, spec, box_columns)
    _parse_features(sieve, spec)
    if box_columns:
        _check_boxes(sieve, spec)
        _drop_images_of_rejected_rows(sieve)
    records = _records(sieve.frame, spec)
    log = _log_unreferenced(sieve, files, records, spec)
    joined = Joined(records, log, rows.num_rows, len(files))
    _add_up(joined, num_kept=len(sieve.frame) + sieve.num_dropped_boxes, files=files)
    return joined


def check_rejects(joined: Joined, spec: CorpusSpec, *, epilog: str = "") -> None:
    """Stops a build that rejects more than its spec accepts.

    Args:
      joined: What the join found.
      spec: `rejects:` says what is accepted.
      epilog: What to tell the user last, such as where the rejects are listed.

    Raises:
      RejectedError: Lists every code with its count and the first line numbers.
    """
    rules, log = spec.rejects, joined.log
    refused = {"image_missing"} if rules.rows_without_image == "refuse" else set()
    refused |= {"image_unreferenced"} if rules.images_without_row == "refuse" else set()
    found = refused & set(log.entries.code)
    num_rejected = int((log.entries.outcome == "rejected").sum())
    num_files_only = log.count(outcome="rejected", kind="file")
    fraction = num_rejected / max(joined.num_rows + num_files_only, 1)
    if not found and fraction <= rules.max_fraction and len(joined.records):
        return
    allowed = {
        column: f"allowed: {', '.join(feature.values[:20])}"
        for name, feature in spec.features.items()
        if isinstance(feature, ClassFeature | LabelsFeature | BoxesFeature) and feature.values
        for column in feature.columns(name)
    }
    share = f"{num_rejected} of {joined.num_rows} rows rejected"
    accepted = f"rejects.max_fraction accepts {rules.max_fraction:g}"
    headline = f"The corpus is refused ({share}; {accepted})"
    raise RejectedError(log.problems(allowed=allowed), headline=headline, epilog=epilog)


def _file_facts(files: pd.DataFrame) -> pd.DataFrame:
    names = {"path": PATH, "num_bytes": NUM_BYTES, "width": WIDTH, "height": HEIGHT}
    return files[[name for name in names if name in files]].rename(columns=names).set_index(PATH)


class _Sieve:
    """The rows still in the running, and the log of those that are not."""

    def __init__(self, frame: pd.DataFrame, log: RejectLog) -> None:
        self.frame = frame
        self.log = log
        self.num_dropped_boxes = 0

    def remove(
        self, mask: pd.Series[bool], code: str, *, outcome: Outcome = "rejected", column: str = ""
    ) -> None:
        """Takes the rows of `mask` out and logs them."""
        gone = self.frame[mask].rename(columns={TABLE: "table", LINE: "line", PATH: "path"})
        if column in gone:
            gone = gone.assign(value=gone[column])
        gone = gone[[name for name in ("table", "line", "path", "value") if name in gone]]
        self.log = self.log.adding(
            outcome=outcome, code=code, kind="row", entries=gone, column=column
        )
        self.frame = self.frame[~mask]


def _rows_of_files(files: pd.DataFrame, spec: CorpusSpec) -> Rows:
    templates = spec.images.templates
    told = []
    for path in files["path"]:
        candidates = (template.file_columns(path) for template in templates)
        told.append(next((columns for columns in candidates if columns is not None), {}))
    known = {name for columns in told for name in columns} | set(spec.derive)
    absent = {column for _, column in spec.columns_used()} - known
    if absent and told:
        problems = [
            Problem(where="images.path", what=f"no part '{{{name}}}'; {nearest(name, known)}")
            for name in sorted(absent)
        ]
        raise SpecError(problems, headline="Without tables, the paths must tell every column")
    frame = frame_of_paths(told).fillna("").assign(**{PATH: files["path"].to_numpy()})
    return Rows(frame, RejectLog(), len(frame))


def _derive(sieve: _Sieve, spec: CorpusSpec, *, from_path: bool) -> None:
    for name, derive in spec.derive.items():
        if (derive.source == IMAGE_PATH) != from_path:
            continue
        column = PATH if from_path else derive.source
        source = sieve.frame[column].astype("str")
        found = source.str.extract(f"({derive.pattern})" if "(" not in derive.pattern else
                                   derive.pattern, expand=True).iloc[:, 0]  # fmt: skip
        unmatched = found.isna() & (source != "")
        sieve.frame = sieve.frame.assign(**{name: found.fillna("").astype("str")})
        if not derive.optional:
            sieve.remove(unmatched, "derive_no_match", column=name)


def _match_files(sieve: _Sieve, files: pd.DataFrame, spec: CorpusSpec) -> None:
    """Finds each row's file by the keys of all templates."""
    frame = sieve.frame
    if PATH in frame:  # the rows were made from the files
        sieve.remove(frame[PATH].isin(set(files.loc[files["escapes"], "path"])), "path_escape")
        return
    path = pd.Series("", index=frame.index, dtype="object")
    several = pd.Series(False, index=frame.index)
    leaves = pd.Series(False, index=frame.index)
    for number, template in enumerate(spec.images.templates):
        keys = template.row_keys(frame)
        leaves |= keys.str.startswith("/") | keys.str.contains(r"(?:^|/)\.\.(?:/|$)")
        named = files.dropna(subset=[f"key_{number}"])
        by_key = named.groupby(f"key_{number}")["path"].agg(["first", "nunique"])
        found = keys.map(by_key["first"]).fillna("").astype("object")
        several |= (keys.map(by_key["nunique"]).fillna(0) > 1) | (
            (path != "") & (found != "") & (path != found)
        )
        path = path.mask(path == "", found)
    escaping = set(files.loc[files["escapes"], "path"])
    leaves |= path.isin(escaping)
    sieve.frame = frame.assign(**{PATH: path})
    sieve.remove(leaves, "path_escape")
    sieve.remove(several.reindex(sieve.frame.index), "image_ambiguous")
    policy = spec.rejects.rows_without_image
    outcome: Outcome = "reported" if policy == "report" else "rejected"
    sieve.remove(sieve.frame[PATH] == "", "image_missing", outcome=outcome)


def _drop_copies(sieve: _Sieve, spec: CorpusSpec, box_columns: set[str]) -> None:
    """Keeps one of equal rows; rejects all rows of an image on which they disagree."""
    used = {column for _, column in spec.columns_used()} - {IMAGE_PATH}
    used = {column for column in used if column in sieve.frame}
    whole = [PATH, *sorted(used)]
    sieve.remove(sieve.frame.duplicated(whole), "duplicate_row", outcome="excluded")
    fixed = [PATH, *sorted(used - box_columns)]
    versions = sieve.frame[fixed].drop_duplicates()[PATH]
    clashing = set(versions[versions.duplicated()])
    sieve.remove(sieve.frame[PATH].isin(clashing), "conflict")


def _parse_features(sieve: _Sieve, spec: CorpusSpec) -> None:
    """Adds typed values; a row with several faults is rejected for the first."""
    parsed = {name: parse_feature(name, f, sieve.frame) for name, f in spec.features.items()}
    values = {feature_column(name): result.values for name, result in parsed.items()}
    sieve.frame = sieve.frame.assign(**values)
    drops_degenerate = spec.boxes is not None and spec.boxes[1].degenerate == "drop"
    for result in parsed.values():
        for fault in result.faults:
            mask = fault.mask.reindex(sieve.frame.index)
            if fault.code == "box_degenerate" and drops_degenerate:
                _drop_boxes(sieve, mask, fault.code, spec)
            else:
                sieve.remove(mask, fault.code, column=fault.column)


def _drop_boxes(sieve: _Sieve, mask: pd.Series[bool], code: str, spec: CorpusSpec) -> None:
    """Leaves boxes out by rule; their image stays, even if it has no other box."""
    assert spec.boxes is not None
    kept = sieve.frame
    sieve.remove(mask, code, outcome="excluded")
    orphans = kept[mask & ~kept[PATH].isin(sieve.frame[PATH])].drop_duplicates(PATH)
    if len(orphans):
        orphans = orphans.assign(**{feature_column(spec.boxes[0]): None})
        sieve.frame = pd.concat([sieve.frame, orphans])
        sieve.num_dropped_boxes -= len(orphans)


def _check_boxes(sieve: _Sieve, spec: CorpusSpec) -> None:
    """Holds boxes against the sizes of their images."""
    assert spec.boxes is not None
    name, feature = spec.boxes
    sieve.remove((sieve.frame[WIDTH] <= 0) | (sieve.frame[HEIGHT] <= 0), "image_unreadable")
    frame, column = sieve.frame, feature_column(name)
    outside = pd.Series(
        [
            box is not None and (min(box[:2]) < 0 or box[2] > width or box[3] > height)
            for box, width, height in zip(frame[column], frame[WIDTH], frame[HEIGHT], strict=True)
        ],
        index=frame.index,
        dtype="bool",
    )
    if feature.outside == "reject":
        sieve.remove(outside, "box_outside", column=feature.columns_[0])
    elif feature.outside == "drop":
        _drop_boxes(sieve, outside, "box_outside", spec)
    else:
        clipped = [
            box and _clip(box, width, height)
            for box, width, height in zip(frame[column], frame[WIDTH], frame[HEIGHT], strict=True)
        ]
        sieve.frame = frame.assign(**{column: pd.Series(clipped, frame.index, dtype="object")})


def _clip(box: tuple[Any, ...], width: int, height: int) -> tuple[Any, ...] | None:
    x1, x2 = max(box[0], 0.0), min(box[2], float(width))
    y1, y2 = max(box[1], 0.0), min(box[3], float(height))
    return (x1, y1, x2, y2, *box[4:]) if x1 < x2 and y1 < y2 else None


def _drop_images_of_rejected_rows(sieve: _Sieve) -> None:
    """An image that lost a row would be written with boxes missing, so it is not written."""
    entries = sieve.log.entries
    hurt = set(entries.loc[(entries.outcome == "rejected") & (entries.path != ""), "path"])
    sieve.remove(sieve.frame[PATH].isin(hurt), "image_rejected")


def _records(rows: pd.DataFrame, spec: CorpusSpec) -> pd.DataFrame:
    parts = [rows[column].astype("str") for column in spec.group]
    group = pd.Series("", index=rows.index, dtype="str")
    if parts:
        blank = functools.reduce(operator.or_, [part == "" for part in parts])
        group = functools.reduce(lambda a, b: a + GROUP_SEPARATOR + b, parts).mask(blank, "")
    names = {PATH: "path", NUM_BYTES: "num_bytes", TABLE: "table", LINE: "line"}
    names |= {WIDTH: "width", HEIGHT: "height"} if spec.boxes else {}
    names |= {feature_column(name): feature_column(name) for name in spec.features}
    records = rows[list(names)].rename(columns=names).assign(group=group)
    if spec.boxes:
        column = feature_column(spec.boxes[0])
        boxes = records.groupby("path")[column].agg(_sorted_boxes)
        records = records.assign(**{column: records["path"].map(boxes)})
    return records.drop_duplicates("path").sort_values("path", ignore_index=True)


def _sorted_boxes(cells: pd.Series[Any]) -> Any:
    """Boxes of one image in an order that does not depend on that of the rows."""
    return tuple(sorted(box for box in cells if box is not None))


def _log_unreferenced(
    sieve: _Sieve, files: pd.DataFrame, records: pd.DataFrame, spec: CorpusSpec
) -> RejectLog:
    named = set(records["path"]) | set(sieve.log.entries.path)
    policy = spec.rejects.images_without_row
    return sieve.log.adding(
        outcome="reported" if policy == "report" else "rejected",
        code="image_unreferenced",
        kind="file",
        entries=files.loc[~files["path"].isin(named), ["path"]],
    )


def _add_up(joined: Joined, *, num_kept: int, files: pd.DataFrame) -> None:
    entries = joined.log.entries
    is_row = entries.kind == "row"
    lookup_only = (entries.code == "join_unmatched") & (entries.outcome == "reported")
    num_logged = int((is_row & ~lookup_only).sum())
    if num_kept + num_logged != joined.num_rows:
        raise BuildError(
            f"{joined.num_rows} rows were read, but {num_kept} kept and {num_logged} logged;"
            " this is a defect of medical_images, please report it"
        )
    written, logged = set(joined.records["path"]), set(entries.path) - {""}
    if written & logged - set(entries[entries.outcome == "excluded"].path) or not (
        set(files["path"]) <= written | logged
    ):
        raise BuildError(
            "an image file is neither written nor logged, or both;"
            " this is a defect of medical_images, please report it"
        )
