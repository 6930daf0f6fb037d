"""Rows and image files to records and rejects. Pure: data frames in, data frames out.

Every row ends as exactly one of: part of a record, rejected, excluded or reported; and every file
as exactly one of: a record's image, named by rejected rows only, or unreferenced. The counts are
added up here, and a difference stops the build.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from medical_images.across_rows import combine, combined_features, is_text
from medical_images.errors import BuildError, SpecError
from medical_images.matching import (
    PATH,
    UNTOLD,
    Sieve,
    candidates_of,
    derive,
    file_column,
    keys_of_files,
    keys_of_rows,
    match,
    names_told,
    own_files,
    rows_of_files,
    told_columns,
    untold_columns,
)
from medical_images.official import Lists, split_by_key
from medical_images.pseudonyms import hide_patients
from medical_images.rejects import RejectLog
from medical_images.spec import (
    IMAGE_PATH,
    CorpusSpec,
)
from medical_images.spec_feature_types import counts_rows
from medical_images.spec_parts import DICOM, HEADER_FAULT
from medical_images.table_reader import LINE, TABLE
from medical_images.tables import Rows, join_cells
from medical_images.values import parse_feature

# The rows' own columns keep their names; no header can hold the NUL that sets ours apart.
NUM_BYTES, WIDTH, HEIGHT = map(file_column, ("num_bytes", "width", "height"))
_FAULT = file_column(HEADER_FAULT)
SPLIT = "\0split"


@dataclasses.dataclass(frozen=True)
class Joined:
    """What became of the rows and the files of a corpus.

    Attributes:
      records: One line an image, sorted by path: `path`, `num_bytes`, `table`, `line`, `split` (the
        official one, or "" where it is to be planned), `group` ("" where blank) and one column a
        feature, `feature_<name>`; with boxes also `width` and `height`; and where rows of an
        image are combined `lines`, all of them.
      log: Every row and file that is not part of a record.
      num_rows: Rows of the joined tables; one that names several images counts for each.
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
      The records and the log; nothing is raised for bad rows, see `acceptance.check_rejects`.

    Raises:
      SpecError: The paths do not tell what the spec needs, or the lists contradict each other.
    """
    named, log = drop_bad_names(files)
    if rows is None:
        rows = _rows_of_files(named, spec, log)
    sieve = Sieve(rows.frame)
    derive(sieve, spec, from_path=False)
    if PATH in sieve.frame:
        found = own_files(sieve.frame, named)
    else:
        templates = spec.images.templates
        found = candidates_of(
            keys_of_rows(sieve.frame, templates), keys_of_files(named, len(templates))
        )
    num_before = sieve.num_rows
    claims = match(sieve, found, spec)
    num_rows = rows.num_rows + sieve.num_rows - num_before
    sifted = sift(sieve.frame, named, claims, spec)
    splits = split_by_key(spec, lists=lists or {}, paths=sifted.paths())
    ends = bring_to_end(sifted, splits, spec)
    log = RejectLog.concat([rows.log, log, sieve.log, ends.log])
    num_unmatched = len(splits) - len(ends.listed) if spec.splits.files else 0
    add_up(
        log,
        num_rows=num_rows,
        num_kept=ends.num_kept,
        num_files=len(files),
        num_ended=ends.num_files,
        num_astray=ends.num_astray,
    )
    return Joined(ends.records, log, num_rows, len(files), num_unmatched)


@dataclasses.dataclass(frozen=True)
class Sifted:
    """Rows whose cells were read, before official splits and sizes are held against them.

    Attributes:
      sieve: The rows, and the log of those that were taken out.
      files: The paths of the files.
      claims: What `matching.match` returns.
    """

    sieve: Sieve
    files: pd.Series[str]
    claims: pd.DataFrame

    def paths(self) -> np.ndarray:
        """Returns the paths of the images that are still in the running."""
        return self.sieve.frame[PATH].unique()


@dataclasses.dataclass(frozen=True)
class Ends:
    """What became of rows and files.

    Attributes:
      records: As in `Joined`.
      log: The rows and files that are no part of them.
      num_kept: Rows that are part of records.
      num_files: Files that came to an end.
      num_astray: Files that came to none, or to two.
      listed: The cells, lines or paths of official splits that these records have.
    """

    records: pd.DataFrame
    log: RejectLog
    num_kept: int
    num_files: int
    num_astray: int
    listed: frozenset[str]


def drop_bad_names(files: pd.DataFrame) -> tuple[pd.DataFrame, RejectLog]:
    """Returns the files whose names are UTF-8, and a log of the others.

    Containers, and links to folders, that cannot be listed are logged too.
    """
    is_named = files["path"].map(_is_utf8).astype(bool)
    keys = files[[name for name in files.columns if name.startswith("key_")]]
    is_entered = ~keys.map(bool).astype(bool).any(axis=1)
    codes = files["fault"].where(is_named, "bad_name")[~is_named | is_entered]
    log = RejectLog()
    for code in sorted(set(codes)):
        bad = files.loc[codes.index[codes == code], ["path"]]
        log = log.adding(outcome="rejected", code=code, kind="file", entries=bad)
    return files[is_named & ~is_entered], log


def sift(rows: pd.DataFrame, files: pd.DataFrame, claims: pd.DataFrame, spec: CorpusSpec) -> Sifted:
    """Reads the cells of rows that name one file each.

    All rows that name a file, the file, and the claims on it must be given together.

    Args:
      rows: Rows with `PATH`, in any order.
      files: `path`, `num_bytes`, and what `header_facts.facts_of_files` returns.
      claims: Files that rows name which were taken out; see `matching.match`.
      spec: Derived columns and features.
    """
    sieve = Sieve(rows.sort_values([TABLE, LINE], kind="stable", ignore_index=True))
    _add_file_facts(sieve, files)
    sieve.remove(sieve.frame[NUM_BYTES] == 0, "empty")
    _drop_unread_headers(sieve)
    derive(sieve, spec, from_path=True)
    _drop_copies(sieve, spec)
    raw = hide_patients(sieve, spec)
    _parse_features(sieve, spec, raw)
    return Sifted(sieve, files["path"], claims)


def bring_to_end(sifted: Sifted, splits: Mapping[str, str], spec: CorpusSpec) -> Ends:
    """Makes records of what was sifted.

    Args:
      sifted: What `sift` returns.
      splits: What `official.split_by_key` returns for the paths of all that was sifted.
      spec: Official splits, boxes and rules.
    """
    sieve = copy.copy(sifted.sieve)
    _add_splits(sieve, splits, spec)
    if spec.boxes is not None:
        _check_boxes(sieve, spec)
    combined: dict[str, dict[str, Any]] = {}
    if combined_features(spec.features):
        _drop_images_of_rejected_rows(sieve, sifted.claims)
        combined = _combine_rows(sieve, spec)
        sieve.log_dropped_boxes(sieve.is_dropped())
    records = _records(sieve.frame, combined, spec)
    entries = sieve.log.entries
    files, written = set(sifted.files), set(records["path"])
    elsewhere = set(entries.path[entries.outcome != "excluded"])
    known = written | elsewhere | set(sifted.claims["path"])
    unreferenced = files - known - set(entries.path)
    policy = spec.rejects.images_without_row
    log = sieve.log.adding(
        outcome="reported" if policy == "report" else "rejected",
        code="image_unreferenced",
        kind="file",
        entries=pd.DataFrame({"path": sorted(unreferenced)}, dtype="object"),
    )
    found = splits.keys() & set(sieve.frame[_split_column(spec)]) if spec.splits.files else ()
    return Ends(
        records=records,
        log=log,
        num_kept=len(sieve.frame) - int(sieve.is_dropped().sum()),
        num_files=len(files),
        num_astray=len(written & elsewhere) + len(files - known - unreferenced),
        listed=frozenset(found),
    )


def add_up(
    log: RejectLog,
    *,
    num_rows: int,
    num_kept: int,
    num_files: int,
    num_ended: int,
    num_astray: int,
) -> None:
    """Every row and every file has come to exactly one end, or the build stops.

    Args:
      log: Of all rows and files that are part of no record.
      num_rows: Rows of the joined tables.
      num_kept: Those that are part of records.
      num_files: Files that were listed.
      num_ended: Those that came to an end.
      num_astray: Those of them that came to two ends or to none.

    Raises:
      BuildError: A row or a file was lost, or found twice.
    """
    entries = log.entries[log.entries.outcome != "noted"]
    lookup_only = (entries.code == "join_unmatched") & (entries.outcome == "reported")
    num_logged = int(((entries.kind == "row") & ~lookup_only).sum())
    num_bad = int(((entries.kind == "file") & (entries.code != "image_unreferenced")).sum())
    if num_kept + num_logged != num_rows or num_ended + num_bad != num_files or num_astray:
        raise BuildError(
            f"the counts do not add up: {num_rows} rows, {num_kept} kept, {num_logged} logged;"
            f" {num_files} files, {num_ended} used or logged, {num_bad} not looked at,"
            f" {num_astray} astray. This is a defect of medical_images; please report it"
        )


def _is_utf8(path: str) -> bool:
    return path.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in path)


def _rows_of_files(files: pd.DataFrame, spec: CorpusSpec, log: RejectLog) -> Rows:
    templates = spec.images.templates
    told = told_columns(files, templates)
    rows = rows_of_files(files, told, templates)
    counts = {"num_rows": len(rows), "num_files": len(files) + len(log.entries)}
    if problems := untold_columns(names_told(told), spec, log, **counts):
        raise SpecError(problems, headline=UNTOLD)
    return Rows(rows, RejectLog(), len(rows))


def _add_file_facts(sieve: Sieve, files: pd.DataFrame) -> None:
    for name in files.columns:
        is_header = name == HEADER_FAULT or name.startswith(DICOM)
        if is_header or name in ("num_bytes", "width", "height"):
            facts = dict(zip(files["path"], files[name], strict=True))
            cells = pd.Series(
                [facts[path] for path in sieve.frame[PATH]],
                index=sieve.frame.index,
                dtype="str" if is_header else "int64",
            )
            sieve.frame = sieve.frame.assign(**{file_column(name): cells})


def _drop_unread_headers(sieve: Sieve) -> None:
    if _FAULT in sieve.frame:
        for code in sorted(set(sieve.frame[_FAULT]) - {""}):
            sieve.remove(sieve.frame[_FAULT] == code, code)


def _drop_copies(sieve: Sieve, spec: CorpusSpec) -> None:
    """Keeps one of equal rows; rejects all rows of an image on which they disagree."""
    if not any(map(counts_rows, spec.features.values())):
        used = {column for place, column in spec.columns_used() if place[0] != "explode"}
        sieve.remove(
            sieve.frame.duplicated([PATH, *sorted(used)]), "duplicate_row", outcome="excluded"
        )
    several = sieve.frame[sieve.frame[PATH].duplicated(keep=False)]
    torn = pd.Series("", index=several.index, dtype="str")  # the column on which they disagree
    for column, told in _told_by_rows(several, spec):
        versions = pd.DataFrame({PATH: several[PATH], "told": told}).drop_duplicates()
        clashing = versions[PATH][versions[PATH].duplicated()]
        torn = torn.mask(several[PATH].isin(clashing) & (torn == ""), column)
    for column in torn[torn != ""].unique():
        is_torn = (torn == column).reindex(sieve.frame.index, fill_value=False)
        sieve.remove(is_torn, "conflict", column=column)
    if not combined_features(spec.features):
        sieve.remove(sieve.frame.duplicated(PATH), "duplicate_row", outcome="excluded")


def _told_by_rows(rows: pd.DataFrame, spec: CorpusSpec) -> Iterator[tuple[str, pd.Series[Any]]]:
    """Yields what all rows of an image must agree on, with the column that it is read from.

    Of features it is their values (`45` and `45.0` agree), or cells that have none.
    """
    combined = combined_features(spec.features)
    for name, feature in spec.features.items():
        if name not in combined:
            parsed = parse_feature(name, feature, rows)
            columns = feature.columns(name)
            is_bad = pd.Series(False, index=rows.index)
            for fault in parsed.faults:
                is_bad |= fault.mask
            told = parsed.values.astype("object").mask(is_bad, join_cells(rows[list(columns)]))
            yield columns[0], told
    for place, column in spec.columns_used():
        if place[0] not in ("explode", "derive", "features"):
            yield column, rows[column]


def _parse_features(sieve: Sieve, spec: CorpusSpec, raw: pd.DataFrame) -> None:
    """Adds typed values; a row with several faults is rejected for the first.

    Args:
      sieve: The rows, patients hidden.
      spec: The features.
      raw: The same rows with cells as they are in the corpus, of which paths of masks are made.
    """
    parsed = {
        name: parse_feature(name, f, raw if name in spec.masks else sieve.frame)
        for name, f in spec.features.items()
    }
    values = {feature_column(name): result.values for name, result in parsed.items()}
    sieve.frame = sieve.frame.assign(**values)
    box = spec.boxes[0] if spec.boxes else None
    drops_degenerate = spec.boxes is not None and spec.boxes[1].degenerate == "drop"
    for name, result in parsed.items():
        for fault in result.faults:
            mask = fault.mask.reindex(sieve.frame.index)
            if fault.code == "box_degenerate" and drops_degenerate:
                sieve.drop_boxes(mask, fault.code, feature_column(name))
            else:
                # What a dropped box was labelled does not matter any more.
                is_label = name == box and fault.code.startswith("label")
                mask &= ~sieve.is_dropped() if is_label else True
                sieve.remove(mask, fault.code, column=fault.column)


def _split_column(spec: CorpusSpec) -> str:
    """Returns the column of the rows that tells official splits."""
    splits = spec.splits
    if splits.leave_one_out is not None:
        return feature_column(splits.leave_one_out)
    if splits.column is not None:
        return splits.column
    return PATH if splits.on == IMAGE_PATH else splits.on


def _add_splits(sieve: Sieve, splits: Mapping[str, str], spec: CorpusSpec) -> None:
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


def _check_boxes(sieve: Sieve, spec: CorpusSpec) -> None:
    """Holds boxes against the sizes of their images."""
    assert spec.boxes is not None
    name, feature = spec.boxes
    column = feature_column(name)
    sieve.remove((sieve.frame[WIDTH] <= 0) | (sieve.frame[HEIGHT] <= 0), "corrupt")
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


def _drop_images_of_rejected_rows(sieve: Sieve, claims: pd.DataFrame) -> None:
    """An image that lost a row would be written without a box or a vote, so it is not written."""
    entries = sieve.log.entries
    hurt = set(entries.path[entries.outcome == "rejected"]) | set(claims["path"][claims["is_hurt"]])
    is_hurt, is_dropped = sieve.frame[PATH].isin(hurt), sieve.is_dropped()
    sieve.log_dropped_boxes(is_hurt & is_dropped)
    sieve.remove(is_hurt & ~is_dropped, "image_rejected")
    sieve.frame = sieve.frame[~sieve.frame[PATH].isin(hurt)]


def _combine_rows(sieve: Sieve, spec: CorpusSpec) -> dict[str, dict[str, Any]]:
    """Returns {feature: {path: value}} of the features that several rows of an image tell.

    Images whose rows disagree are rejected.
    """
    combined = {}
    for name, feature in combined_features(spec.features).items():
        reader = getattr(feature, "reader", None)
        frame = sieve.frame
        readers = None if reader is None else frame[reader]
        found, torn = combine(frame[feature_column(name)], frame[PATH], readers, feature)
        is_torn = frame[PATH].isin(torn)
        sieve.remove(is_torn, "conflict", column=feature.columns(name)[0])
        combined[name] = found
    return combined


def _records(
    rows: pd.DataFrame, combined: Mapping[str, Mapping[str, Any]], spec: CorpusSpec
) -> pd.DataFrame:
    group = pd.Series("", index=rows.index, dtype="str")
    if spec.group:
        cells = rows[list(spec.group)]
        group = join_cells(cells).mask((cells == "").all(axis=1), "")
    names = {PATH: "path", NUM_BYTES: "num_bytes", TABLE: "table", LINE: "line", SPLIT: "split"}
    names |= {WIDTH: "width", HEIGHT: "height"} if spec.boxes else {}
    names |= {feature_column(name): feature_column(name) for name in spec.features}
    records = rows[list(names)].rename(columns=names).assign(group=group)
    if combined:
        lines = records.groupby("path")["line"].agg(_sorted_lines)
        records = records.assign(lines=records["path"].map(lines))
    for name, found in combined.items():
        dtype = "str" if is_text(spec.features[name]) else "object"
        values = [found[path] for path in records["path"]]
        column = pd.Series(values, index=records.index, dtype=dtype)
        records = records.assign(**{feature_column(name): column})
    return records.drop_duplicates("path").sort_values("path", ignore_index=True)


def _sorted_lines(lines: pd.Series[int]) -> Any:
    return tuple(sorted(lines))
