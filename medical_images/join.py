"""Rows and image files to records and rejects. Pure: data frames in, data frames out.

Every row ends as exactly one of: part of a record, rejected, excluded or reported; and every file
as exactly one of: a record's image, named by rejected rows only, or unreferenced. The counts are
added up here, and a difference stops the build.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from medical_images.errors import BuildError, Problem, RejectedError, SpecError, nearest
from medical_images.official import Lists, split_by_key
from medical_images.rejects import Outcome, RejectLog
from medical_images.spec import (
    IMAGE_PATH,
    BoxesFeature,
    ClassFeature,
    CorpusSpec,
    IdFeature,
    LabelsFeature,
)
from medical_images.tables import LINE, TABLE, Rows, frame_of_paths, join_cells
from medical_images.template import IMAGE_EXTENSIONS
from medical_images.values import parse_feature

# The rows' own columns keep their names; no header can hold the NUL that sets ours apart.
_OTHER_FORMATS = tuple(set(IMAGE_EXTENSIONS) - {".jpg", ".jpeg", ".png"})
PATH, NUM_BYTES, WIDTH, HEIGHT = "\0path", "\0num_bytes", "\0width", "\0height"
SPLIT = "\0split"


@dataclasses.dataclass(frozen=True)
class Joined:
    """What became of the rows and the files of a corpus.

    Attributes:
      records: One line an image, sorted by path: `path`, `num_bytes`, `table`, `line`, `split` (the
        official one, or "" where it is to be planned), `group` ("" where blank) and one column a
        feature, `feature_<name>`; with boxes also `width`, `height` and `lines`, all rows of the
        image.
      log: Every row and file that is not part of a record.
      num_rows: Rows of the joined tables.
      num_files: Files that the path templates can name.
      num_unmatched_lines: Lines of the lists of official splits that name no record.
    """

    records: pd.DataFrame
    log: RejectLog
    num_rows: int
    num_files: int
    num_unmatched_lines: int = 0


def feature_column(name: str) -> str:
    """Returns the column of the records that holds a feature."""
    return f"feature_{name}"


def join_images(
    rows: Rows | None, files: pd.DataFrame, spec: CorpusSpec, lists: Lists | None = None
) -> Joined:
    """Joins rows with image files, both ways.

    Args:
      rows: The rows of the tables; None for a corpus whose paths tell everything.
      files: What `images.list_images` returns.
      spec: The path templates, features, groups, official splits and rules.
      lists: The lines of each list of `splits: {files: ...}`, by split.

    Returns:
      The records and the log; nothing is raised for bad rows, see `check_rejects`.

    Raises:
      SpecError: The paths do not tell what the spec needs, or the lists contradict each other.
    """
    is_named = files["path"].map(_is_utf8).astype(bool)
    named = files[is_named]
    if rows is None:
        rows = _rows_of_files(named, spec)
    log = rows.log.adding(
        outcome="rejected", code="bad_name", kind="file", entries=files.loc[~is_named, ["path"]]
    )
    sieve = _Sieve(rows.frame, log)
    late = spec.derived_from_path
    _derive(sieve, spec, [name for name in spec.derive if name not in late])
    _match_files(sieve, named, spec)
    _add_file_facts(sieve, named)
    sieve.remove(sieve.frame[NUM_BYTES] == 0, "image_empty")
    is_other = [path.lower().endswith(_OTHER_FORMATS) for path in sieve.frame[PATH]]
    sieve.remove(pd.Series(is_other, index=sieve.frame.index, dtype="bool"), "image_format")
    _derive(sieve, spec, [name for name in spec.derive if name in late])
    _drop_copies(sieve, spec)
    _parse_features(sieve, spec)
    splits = split_by_key(spec, lists=lists or {}, paths=sieve.frame[PATH].unique())
    _add_splits(sieve, splits, spec)
    if spec.boxes is not None:
        _check_boxes(sieve, spec)
        sieve.log_dropped_boxes()
        _drop_images_of_rejected_rows(sieve)
    records = _records(sieve.frame, spec)
    log = _log_unreferenced(sieve, files, records, spec)
    num_unmatched = 0
    if spec.splits.files:
        num_unmatched = len(splits.keys() - set(sieve.frame[_split_column(spec)]))
    joined = Joined(records, log, rows.num_rows, len(files), num_unmatched)
    _add_up(joined, sieve, files)
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
    num_rejected = int((log.entries.outcome == "rejected").sum())
    num_all = joined.num_rows + log.count(outcome="rejected", kind="file")
    fraction = num_rejected / max(num_all, 1)
    is_refused = bool(refused & set(log.entries.code))
    if not is_refused and fraction <= rules.max_fraction and len(joined.records):
        return
    allowed = {
        ("label_unknown", column): f"allowed: {', '.join(feature.values[:20])}"
        for name, feature in spec.features.items()
        if isinstance(feature, ClassFeature | LabelsFeature | BoxesFeature) and feature.values
        for column in feature.columns(name)
    }
    if spec.splits.column is not None:
        cells = [cell for cells in spec.splits.values.values() for cell in cells]
        allowed["split_unknown", spec.splits.column] = f"allowed: {', '.join(cells[:20])}"
    ids = {column for place, column in spec.columns_used() if place[0] in ("group", "images")}
    ids |= {
        column
        for name, feature in spec.features.items()
        if isinstance(feature, IdFeature)
        for column in feature.columns(name)
    }
    problems = log.problems(allowed=allowed, private=ids)
    if not problems:
        problems.append(Problem(where="images", what="no image is left to write"))
    share = f"{num_rejected} of {num_all} rows and files rejected"
    headline = f"The corpus is refused ({share}; max_fraction accepts {rules.max_fraction:g})"
    raise RejectedError(problems, headline=headline, epilog=epilog)


def _is_utf8(path: str) -> bool:
    return path.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in path)


class _Sieve:
    """The rows still in the running, and the log of those that are not.

    Attributes:
      frame: The rows.
      log: What became of the others.
      dropped: The code by which the box of a row was dropped, by the row's index; such a row still
        stands for its image.
      claimed: Files that rows name without being matched to one of them.
    """

    def __init__(self, frame: pd.DataFrame, log: RejectLog) -> None:
        self.frame = frame
        self.log = log
        self.dropped: dict[int, str] = {}
        self.claimed: set[str] = set()

    def remove(
        self, mask: pd.Series[bool], code: str, *, outcome: Outcome = "rejected", column: str = ""
    ) -> None:
        """Takes the rows of `mask` out and logs them."""
        self._note(self.frame[mask], code, outcome, column)
        self.frame = self.frame[~mask]

    def drop_boxes(self, mask: pd.Series[bool], code: str, column: str) -> None:
        """Empties the boxes of the rows of `mask`; the rows stay, for their images."""
        self.dropped |= dict.fromkeys(self.frame.index[mask], code)
        self.frame = self.frame.assign(**{column: self.frame[column].mask(mask, None)})

    def log_dropped_boxes(self) -> None:
        """Logs the rows whose box was dropped and that were not rejected since."""
        codes = self.frame.index.to_series().map(self.dropped)
        self.dropped = {row: self.dropped[row] for row in self.frame.index[codes.notna()]}
        for code in sorted(set(self.dropped.values())):
            self._note(self.frame[codes == code], code, "excluded", "")

    def is_dropped(self) -> pd.Series[bool]:
        """Returns which rows only stand for their image, their box having been dropped."""
        return pd.Series(self.frame.index.isin(list(self.dropped)), index=self.frame.index)

    def _note(self, rows: pd.DataFrame, code: str, outcome: Outcome, column: str) -> None:
        names = {TABLE: "table", LINE: "line", PATH: "path"}
        entries = rows[[name for name in names if name in rows]].rename(columns=names)
        if column in rows:
            entries["value"] = rows[column]
        self.log = self.log.adding(
            outcome=outcome, code=code, kind="row", entries=entries, column=column
        )


def _rows_of_files(files: pd.DataFrame, spec: CorpusSpec) -> Rows:
    templates = spec.images.templates
    told = []
    for path in files["path"]:
        candidates = (template.file_columns(path) for template in templates)
        told.append(next((columns for columns in candidates if columns is not None), {}))
    known = {name for columns in told for name in columns} | set(spec.derive)
    problems = [
        Problem(where="images.path", what=f"no part '{{{name}}}'; {nearest(name, known)}")
        for name in sorted({column for _, column in spec.columns_used()} - known)
    ]
    if not told:
        problems = [Problem(where="images.path", what="no image file fits the path")]
    if problems:
        raise SpecError(problems, headline="Without tables, the paths must tell every column")
    frame = frame_of_paths(told).fillna("").assign(**{PATH: files["path"].to_numpy()})
    return Rows(frame, RejectLog(), len(frame))


def _derive(sieve: _Sieve, spec: CorpusSpec, names: list[str]) -> None:
    """Adds derived columns, in the order of the spec."""
    for name in names:
        derive = spec.derive[name]
        column = PATH if derive.source == IMAGE_PATH else derive.source
        source = sieve.frame[column].astype("str")
        has_group = re.compile(derive.pattern).groups > 0
        pattern = derive.pattern if has_group else f"({derive.pattern})"
        found = source.str.extract(pattern, expand=True).iloc[:, 0]
        unmatched = found.isna() & (source != "")
        sieve.frame = sieve.frame.assign(**{name: found.fillna("").astype("str")})
        if not derive.optional:
            sieve.remove(unmatched, "derive_no_match", column=name)


def _match_files(sieve: _Sieve, files: pd.DataFrame, spec: CorpusSpec) -> None:
    """Finds each row's file by the keys of all templates."""
    frame = sieve.frame
    escaping = set(files.loc[files["escapes"], "path"])
    if PATH in frame:  # the rows were made from the files
        sieve.remove(frame[PATH].isin(escaping), "path_escape")
        return
    candidates: list[set[str]] = [set() for _ in range(len(frame))]
    leaves = pd.Series(False, index=frame.index)
    for number, template in enumerate(spec.images.templates):
        keys = template.row_keys(frame)
        leaves |= keys.str.startswith("/") | keys.str.contains(r"(?:^|/)\.\.(?:/|$)")
        paths = _paths_by_key(files, f"key_{number}")
        for found, key in zip(candidates, keys, strict=True):
            found.update(paths.get(key, ()))
    several = pd.Series([len(found) > 1 for found in candidates], index=frame.index)
    named = [" | ".join(sorted(found)) for found in candidates]
    path = pd.Series(named, index=frame.index, dtype="object")
    leaves |= pd.Series([not found.isdisjoint(escaping) for found in candidates], frame.index)
    sieve.claimed = {path for found in candidates if len(found) > 1 for path in found}
    sieve.frame = frame.assign(**{PATH: path})
    sieve.remove(leaves, "path_escape")
    sieve.remove(several.reindex(sieve.frame.index), "image_ambiguous")
    policy = spec.rejects.rows_without_image
    outcome: Outcome = "reported" if policy == "report" else "rejected"
    sieve.remove(sieve.frame[PATH] == "", "image_missing", outcome=outcome)


def _paths_by_key(files: pd.DataFrame, column: str) -> dict[str, list[str]]:
    paths: dict[str, list[str]] = {}
    for path, keys in zip(files["path"], files[column], strict=True):
        for key in keys:
            paths.setdefault(key, []).append(path)
    return paths


def _add_file_facts(sieve: _Sieve, files: pd.DataFrame) -> None:
    for name, column in (("num_bytes", NUM_BYTES), ("width", WIDTH), ("height", HEIGHT)):
        if name in files:
            facts = dict(zip(files["path"], files[name], strict=True))
            values = [facts[path] for path in sieve.frame[PATH]]
            sieve.frame = sieve.frame.assign(**{column: np.array(values, dtype=np.int64)})


def _drop_copies(sieve: _Sieve, spec: CorpusSpec) -> None:
    """Keeps one of equal rows; rejects all rows of an image on which they disagree."""
    box = spec.boxes[0] if spec.boxes else None
    used = {column for _, column in spec.columns_used()}
    fixed = {column for place, column in spec.columns_used() if place != ("features", box)}
    whole = [PATH, *sorted(used)]
    sieve.remove(sieve.frame.duplicated(whole), "duplicate_row", outcome="excluded")
    versions = sieve.frame[[PATH, *sorted(fixed)]].drop_duplicates()[PATH]
    clashing = set(versions[versions.duplicated()])
    sieve.remove(sieve.frame[PATH].isin(clashing), "conflict")


def _parse_features(sieve: _Sieve, spec: CorpusSpec) -> None:
    """Adds typed values; a row with several faults is rejected for the first."""
    parsed = {name: parse_feature(name, f, sieve.frame) for name, f in spec.features.items()}
    values = {feature_column(name): result.values for name, result in parsed.items()}
    sieve.frame = sieve.frame.assign(**values)
    drops_degenerate = spec.boxes is not None and spec.boxes[1].degenerate == "drop"
    for name, result in parsed.items():
        for fault in result.faults:
            mask = fault.mask.reindex(sieve.frame.index)
            if fault.code == "box_degenerate" and drops_degenerate:
                sieve.drop_boxes(mask, fault.code, feature_column(name))
            else:
                # What a dropped box was labelled does not matter any more.
                mask &= ~sieve.is_dropped() if fault.code.startswith("label") else True
                sieve.remove(mask, fault.code, column=fault.column)


def _split_column(spec: CorpusSpec) -> str:
    """Returns the column of the rows that tells official splits."""
    splits = spec.splits
    if splits.leave_one_out is not None:
        return feature_column(splits.leave_one_out)
    if splits.column is not None:
        return splits.column
    return PATH if splits.on == IMAGE_PATH else splits.on


def _add_splits(sieve: _Sieve, splits: Mapping[str, str], spec: CorpusSpec) -> None:
    """Adds the official split of each row, "" where it is to be planned."""
    column = _split_column(spec)
    keys = sieve.frame[column]
    official = pd.Series([splits.get(key, "") for key in keys], index=keys.index, dtype="str")
    sieve.frame = sieve.frame.assign(**{SPLIT: official})
    shown = column if spec.splits.column else ""
    if shown:
        sieve.remove(~keys.isin(list(splits)) & (keys != ""), "split_unknown", column=shown)
    if not spec.splits.is_planned:
        sieve.remove(sieve.frame[SPLIT] == "", "split_missing", column=shown)


def _check_boxes(sieve: _Sieve, spec: CorpusSpec) -> None:
    """Holds boxes against the sizes of their images."""
    assert spec.boxes is not None
    name, feature = spec.boxes
    column = feature_column(name)
    sieve.remove((sieve.frame[WIDTH] <= 0) | (sieve.frame[HEIGHT] <= 0), "image_unreadable")
    frame = sieve.frame
    cells = list(zip(frame[column], frame[WIDTH], frame[HEIGHT], strict=True))
    clipped = [box and _clip(box, width, height) for box, width, height in cells]
    has_box = frame[column].notna()
    outside = has_box & pd.Series(
        [after != box for after, (box, _, _) in zip(clipped, cells, strict=True)],
        index=frame.index,
        dtype="bool",
    )
    if feature.outside == "reject":
        sieve.remove(outside, "box_outside", column=feature.columns_[0])
        return
    if feature.outside == "clip":
        inside = pd.Series(clipped, index=frame.index, dtype="object")
        sieve.frame = frame.assign(**{column: inside})
        outside = has_box & inside.isna()  # nothing is left of them
    sieve.drop_boxes(outside, "box_outside", column)


def _clip(box: tuple[Any, ...], width: int, height: int) -> tuple[Any, ...] | None:
    x1, x2 = max(box[0], 0.0), min(box[2], float(width))
    y1, y2 = max(box[1], 0.0), min(box[3], float(height))
    return (x1, y1, x2, y2, *box[4:]) if x1 < x2 and y1 < y2 else None


def _drop_images_of_rejected_rows(sieve: _Sieve) -> None:
    """An image that lost a row would be written with boxes missing, so it is not written."""
    entries = sieve.log.entries
    hurt = set(entries.loc[(entries.outcome == "rejected") & (entries.path != ""), "path"])
    is_hurt = sieve.frame[PATH].isin(hurt)
    sieve.remove(is_hurt & ~sieve.is_dropped(), "image_rejected")
    sieve.frame = sieve.frame[~sieve.frame[PATH].isin(hurt)]


def _records(rows: pd.DataFrame, spec: CorpusSpec) -> pd.DataFrame:
    group = pd.Series("", index=rows.index, dtype="str")
    if spec.group:
        cells = rows[list(spec.group)]
        group = join_cells(cells).mask((cells == "").all(axis=1), "")
    names = {PATH: "path", NUM_BYTES: "num_bytes", TABLE: "table", LINE: "line", SPLIT: "split"}
    names |= {WIDTH: "width", HEIGHT: "height"} if spec.boxes else {}
    names |= {feature_column(name): feature_column(name) for name in spec.features}
    records = rows[list(names)].rename(columns=names).assign(group=group)
    if spec.boxes:
        column = feature_column(spec.boxes[0])
        by_path = records.groupby("path")
        boxes, lines = by_path[column].agg(_sorted_boxes), by_path["line"].agg(_sorted_lines)
        paths = records["path"]
        records = records.assign(**{column: paths.map(boxes), "lines": paths.map(lines)})
    return records.drop_duplicates("path").sort_values("path", ignore_index=True)


def _sorted_boxes(cells: pd.Series[Any]) -> Any:
    """Boxes of one image in an order that does not depend on that of the rows."""
    return tuple(sorted(box for box in cells if box is not None))


def _sorted_lines(lines: pd.Series[int]) -> Any:
    return tuple(sorted(lines))


def _log_unreferenced(
    sieve: _Sieve, files: pd.DataFrame, records: pd.DataFrame, spec: CorpusSpec
) -> RejectLog:
    named = set(records["path"]) | set(sieve.log.entries.path) | sieve.claimed
    policy = spec.rejects.images_without_row
    return sieve.log.adding(
        outcome="reported" if policy == "report" else "rejected",
        code="image_unreferenced",
        kind="file",
        entries=files.loc[~files["path"].isin(named), ["path"]],
    )


def _add_up(joined: Joined, sieve: _Sieve, files: pd.DataFrame) -> None:
    """Every row and every file has come to exactly one end, or the build stops."""
    entries = joined.log.entries[joined.log.entries.outcome != "noted"]
    lookup_only = (entries.code == "join_unmatched") & (entries.outcome == "reported")
    num_logged = int(((entries.kind == "row") & ~lookup_only).sum())
    num_kept = len(sieve.frame) - int(sieve.is_dropped().sum())
    written, excluded = set(joined.records["path"]), entries.outcome == "excluded"
    elsewhere = (set(entries[~excluded].path) | sieve.claimed) - {""}
    listed = set(files["path"])
    if (
        num_kept + num_logged != joined.num_rows
        or written & elsewhere
        or not listed <= written | elsewhere
    ):
        raise BuildError(
            f"the counts do not add up: {joined.num_rows} rows, {num_kept} kept, {num_logged}"
            f" logged; {len(listed)} files, {len(written)} written, {len(elsewhere)} logged."
            " This is a defect of medical_images; please report it"
        )
