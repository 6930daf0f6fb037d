"""Which image files rows name. Pure, and each step may be done in parts.

Rows are known by the index of their frame, which is unique, so that what is found for a row may
be found elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from medical_images.errors import Problem, nearest
from medical_images.name_clashes import SEVERAL
from medical_images.rejects import Outcome, RejectLog
from medical_images.spec import IMAGE_PATH, CorpusSpec
from medical_images.spec_parts import DICOM
from medical_images.table_reader import LINE, TABLE
from medical_images.tables import frame_of_paths
from medical_images.template import PathTemplate
from medical_images.values import leads_out

# The rows' own columns keep their names; no header can hold the NUL that sets ours apart.
PATH = "\0path"
_NO_MATCH = "\0no_match"  # the derived column whose pattern a row does not hold, or ""
UNTOLD = "Without tables, the paths must tell every column"


class Sieve:
    """The rows still in the running, and the log of those that are not.

    Attributes:
      frame: The rows.
      log: What became of the others.
      dropped: The code by which the box of a row was dropped, by the row's index; such a row still
        stands for its image.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame
        self.log = RejectLog()
        self.dropped: Mapping[int, str] = {}

    @property
    def num_rows(self) -> int:
        """How many rows there are, with those that were taken out."""
        return len(self.frame) + len(self.log.entries)

    def remove(
        self, mask: pd.Series[bool], code: str, *, outcome: Outcome = "rejected", column: str = ""
    ) -> None:
        """Takes the rows of `mask` out and logs them."""
        self._note(self.frame[mask], code, outcome, column)
        self.frame = self.frame[~mask]

    def drop_boxes(self, mask: pd.Series[bool], code: str, column: str) -> None:
        """Empties the boxes of the rows of `mask`; the rows stay, for their images."""
        self.dropped = {**self.dropped, **dict.fromkeys(self.frame.index[mask], code)}
        self.frame = self.frame.assign(**{column: self.frame[column].mask(mask, None)})

    def log_dropped_boxes(self, mask: pd.Series[bool]) -> None:
        """Logs the rows of `mask`, whose boxes were dropped."""
        codes = self.frame.index.to_series().map(self.dropped)[mask]
        for code in sorted(set(codes)):
            self._note(self.frame.loc[codes.index[codes == code]], code, "excluded", "")

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


def derive(sieve: Sieve, spec: CorpusSpec, *, from_path: bool) -> None:
    """Adds derived columns, in the order of the spec: those that need the path, or the others.

    Rows that do not match are taken out; where no path is needed by `match`, which knows the images
    that they name.
    """
    late = spec.derived_from_path
    if not from_path:
        blank = pd.Series("", index=sieve.frame.index, dtype="str")
        sieve.frame = sieve.frame.assign(**{_NO_MATCH: blank})
    for name in spec.derive:
        if (name in late) != from_path:
            continue
        rule = spec.derive[name]
        column = _column_of(rule.source)
        source = sieve.frame[column].astype("str")
        pattern = re.compile(rule.pattern)
        cut = {cell: _first_group(pattern, cell) for cell in source.unique()}
        found = pd.Series([cut[cell] for cell in source], index=source.index, dtype="object")
        unmatched = found.isna() & (source != "")
        sieve.frame = sieve.frame.assign(**{name: found.fillna("").astype("str")})
        if rule.optional:
            continue
        if from_path:
            sieve.remove(unmatched, "derive_no_match", column=name)
        else:
            told = sieve.frame[_NO_MATCH]
            told = told.mask(unmatched & (told == ""), name)
            sieve.frame = sieve.frame.assign(**{_NO_MATCH: told})


def _column_of(source: str) -> str:
    """Returns the column of rows that `from:` names."""
    if source == IMAGE_PATH:
        return PATH
    return file_column(source) if source.startswith(DICOM) else source


def file_column(name: str) -> str:
    """Returns the column of rows that holds a fact of their file."""
    return f"\0{name}"


def _first_group(pattern: re.Pattern[str], cell: str) -> str | None:
    found = pattern.search(cell)
    return found and (found[1] if pattern.groups else found[0])


def told_columns(
    files: pd.DataFrame, templates: Sequence[PathTemplate]
) -> list[dict[str, str] | None]:
    """Returns, for each file, the columns that its path tells by the first template it fits.

    It is None of a file that fits none, such as one that lies deeper.
    """
    told = []
    for path in files["path"]:
        candidates = (template.file_columns(path) for template in templates)
        told.append(next((columns for columns in candidates if columns is not None), None))
    return told


def rows_of_files(
    files: pd.DataFrame,
    told: Sequence[Mapping[str, str] | None],
    templates: Sequence[PathTemplate],
    *,
    num_before: int = 0,
) -> pd.DataFrame:
    """Makes rows of the files that fit a template, for a corpus without tables.

    Args:
      files: The files, sorted by path.
      told: What `told_columns` returns.
      templates: The path templates.
      num_before: How many files of the corpus stand before these.
    """
    columns = sorted({name for template in templates for name in template.columns})
    cells = [columns_of_file or {} for columns_of_file in told]
    frame = frame_of_paths(cells, columns=columns, num_before=num_before)
    frame = frame.assign(**{PATH: files["path"].to_numpy()})
    fits = [columns_of_file is not None for columns_of_file in told]
    return frame[np.array(fits, dtype=bool)]


def names_told(told: Sequence[Mapping[str, str] | None]) -> set[str]:
    """Returns the columns that any of these paths tells."""
    return {name for columns in told for name in columns or ()}


def untold_columns(
    told: set[str], spec: CorpusSpec, log: RejectLog, *, num_rows: int, num_files: int
) -> list[Problem]:
    """Says which columns of the spec no path tells, where there are no tables.

    Args:
      told: What `names_told` returns of all files.
      spec: The path templates, and all that reads columns.
      log: Files that were taken out before they were made rows.
      num_rows: How many rows were made of the others.
      num_files: How many files there are.
    """
    if not num_rows:
        return _none_fits(log, num_files=num_files)
    known = told | set(spec.derive)
    templates = spec.images.templates
    cut = {name for template in templates for name in template.columns}
    cut -= {name for template in templates for name in template.whole_columns}
    return [
        Problem(
            where="images.path",
            what=f"it takes slices of '{name}' only, and nothing tells '{name}' whole",
            remedy=f"write '{{{name}}}' somewhere in it, or '*' in place of the slices",
        )
        if name in cut
        else Problem(where="images.path", what=f"no part '{{{name}}}'; {nearest(name, known)}")
        for name in sorted({column for _, column in spec.columns_used()} - known)
    ]


def _none_fits(log: RejectLog, *, num_files: int) -> list[Problem]:
    """Says what was found where no file can be made a row."""
    taken_out = RejectLog(log.entries[log.entries["code"] != "image_unreferenced"])
    what = "no image file fits the path"
    if num_unfit := num_files - len(taken_out.entries):
        what += f"; {num_unfit} would if a column held '/' or two values"
    return [Problem(where="images.path", what=what), *taken_out.problems()]


def keys_of_rows(rows: pd.DataFrame, templates: Sequence[PathTemplate]) -> pd.DataFrame:
    """Returns `row`, `template` (its number) and `key` of the rows that a template makes a key."""
    found = []
    for number, template in enumerate(templates):
        keys = pd.DataFrame({"row": rows.index, "template": number, "key": ""})
        keys["key"] = template.row_keys(rows).array
        found.append(keys[keys["key"] != ""])
    return pd.concat(found, ignore_index=True)


def keys_of_files(files: pd.DataFrame, num_templates: int) -> pd.DataFrame:
    """Returns `path`, `fault`, `template` and `key` of files; several lines for several keys."""
    found = []
    for number in range(num_templates):
        keys = files[["path", "fault"]].assign(template=number, key=files[f"key_{number}"])
        found.append(keys[keys["key"].map(bool).astype(bool)].explode("key"))
    return pd.concat(found, ignore_index=True).astype({"key": "str"})


def candidates_of(rows: pd.DataFrame, files: pd.DataFrame) -> pd.DataFrame:
    """Returns `row`, `path` and `fault` of each file that fits a row.

    Rows and files of one key must be given together; a file that fits a row by several keys may
    be found several times.

    Args:
      rows: What `keys_of_rows` returns.
      files: What `keys_of_files` returns.
    """
    found = rows.merge(files, on=["template", "key"])
    return found[["row", "path", "fault"]].drop_duplicates(["row", "path"], ignore_index=True)


def own_files(rows: pd.DataFrame, files: pd.DataFrame) -> pd.DataFrame:
    """Returns the same for rows that were made of files."""
    found = pd.DataFrame({"row": rows.index, "path": rows[PATH].to_numpy()})
    return found.merge(files[["path", "fault"]], on="path")


def match(sieve: Sieve, found: pd.DataFrame, spec: CorpusSpec) -> pd.DataFrame:
    """Adds `PATH` to the rows; takes out those that name no file, several, or one at fault.

    Those of which a column could not be derived are taken out first. With `images: {per_row: many}`
    a row becomes one for each file that fits it.

    Args:
      sieve: The rows.
      found: All that `candidates_of` or `own_files` found for them.
      spec: The path templates and rules.

    Returns:
      The files that these rows name, and those taken out before: `path`, and `is_hurt`, whether it
      is the only one of its row.
    """
    lost = _remove_unmatched(sieve, found, is_each_named=spec.images.per_row == "many")
    found = found[found["row"].isin(sieve.frame.index)]
    if spec.images.per_row == "many" and PATH not in sieve.frame:
        sieve.frame, found = _one_file_each(sieve.frame, found)
    frame = sieve.frame
    before = sieve.log.entries.loc[sieve.log.entries.path != "", ["path"]].assign(is_hurt=True)
    found = found.drop_duplicates(["row", "path"]).sort_values("path", ignore_index=True)
    is_one_of_many = found["row"].duplicated(keep=False)
    many = found[is_one_of_many]
    faults = dict(zip(found["row"], found["fault"], strict=True))
    fault = pd.Series([faults.get(r, "") for r in frame.index], index=frame.index, dtype="str")
    several = pd.Series(frame.index.isin(many["row"]), index=frame.index)
    if PATH not in frame:
        fault = fault.mask(_leave_root(frame, spec.images.templates), "path_escape")
        named = dict(zip(found["row"], found["path"], strict=True))
        named |= many.groupby("row")["path"].agg(SEVERAL.join).to_dict()
        paths = [named.get(row, "") for row in frame.index]
        sieve.frame = frame.assign(**{PATH: pd.Series(paths, index=frame.index, dtype="object")})
    claims = pd.DataFrame({"path": found["path"], "is_hurt": ~is_one_of_many})
    claims = claims[found["row"].isin(frame.index[(fault != "") | several])]
    for code in sorted(set(fault) - {""}):
        sieve.remove((fault == code).reindex(sieve.frame.index), code)
    sieve.remove(several.reindex(sieve.frame.index), "image_ambiguous")
    policy = spec.rejects.rows_without_image
    outcome: Outcome = "reported" if policy == "report" else "rejected"
    sieve.remove(sieve.frame[PATH] == "", "image_missing", outcome=outcome)
    return pd.concat([lost, before, claims], ignore_index=True).astype({"is_hurt": "bool"})


def _remove_unmatched(sieve: Sieve, found: pd.DataFrame, *, is_each_named: bool) -> pd.DataFrame:
    """Takes out the rows that `derive` marked; returns the files they name, as `match` does."""
    marks = sieve.frame[_NO_MATCH]
    claims = found.loc[found["row"].isin(marks.index[marks != ""]), ["row", "path"]]
    is_named = ~claims["row"].duplicated(keep=False) | is_each_named
    for name in marks[marks != ""].unique():
        is_unmatched = (marks == name).reindex(sieve.frame.index)
        sieve.remove(is_unmatched, "derive_no_match", column=name)
    sieve.frame = sieve.frame.drop(columns=_NO_MATCH)
    return claims[["path"]].assign(is_hurt=is_named)


def _one_file_each(rows: pd.DataFrame, found: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns each row once for every file that fits it, numbered anew, and these files."""
    found = found.drop_duplicates(["row", "path"]).sort_values(["row", "path"])
    number = pd.Series(range(len(rows)), index=rows.index)
    pairs = pd.DataFrame({"row": rows.index}).merge(found, on="row", how="left")
    made = rows.iloc[number[pairs["row"]].to_numpy()].reset_index(drop=True)
    pairs = pairs.assign(row=range(len(pairs)))
    return made, pairs[pairs["path"].notna()].astype({"fault": "str"})


def _leave_root(rows: pd.DataFrame, templates: Sequence[PathTemplate]) -> pd.Series[bool]:
    found = pd.Series(False, index=rows.index)
    for template in templates:
        found |= leads_out(template.row_keys(rows))
    return found
