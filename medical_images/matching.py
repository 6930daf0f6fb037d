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
from medical_images.rejects import Outcome, RejectLog
from medical_images.spec import IMAGE_PATH, CorpusSpec
from medical_images.table_reader import LINE, TABLE
from medical_images.tables import frame_of_paths
from medical_images.template import PathTemplate

# The rows' own columns keep their names; no header can hold the NUL that sets ours apart.
PATH = "\0path"
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


def derive(sieve: Sieve, spec: CorpusSpec, *, from_path: bool) -> None:
    """Adds derived columns, in the order of the spec: those that need the path, or the others."""
    late = spec.derived_from_path
    for name in spec.derive:
        if (name in late) != from_path:
            continue
        rule = spec.derive[name]
        column = PATH if rule.source == IMAGE_PATH else rule.source
        source = sieve.frame[column].astype("str")
        has_group = re.compile(rule.pattern).groups > 0
        pattern = rule.pattern if has_group else f"({rule.pattern})"
        found = source.str.extract(pattern, expand=True).iloc[:, 0]
        unmatched = found.isna() & (source != "")
        sieve.frame = sieve.frame.assign(**{name: found.fillna("").astype("str")})
        if not rule.optional:
            sieve.remove(unmatched, "derive_no_match", column=name)


def told_columns(files: pd.DataFrame, templates: Sequence[PathTemplate]) -> list[dict[str, str]]:
    """Returns, for each file, the columns that its path tells by the first template it fits."""
    told = []
    for path in files["path"]:
        candidates = (template.file_columns(path) for template in templates)
        told.append(next((columns for columns in candidates if columns is not None), {}))
    return told


def rows_of_files(
    files: pd.DataFrame,
    told: Sequence[Mapping[str, str]],
    templates: Sequence[PathTemplate],
    *,
    num_before: int = 0,
) -> pd.DataFrame:
    """Makes rows of files, for a corpus without tables.

    Args:
      files: The files, sorted by path.
      told: What `told_columns` returns.
      templates: The path templates.
      num_before: How many files of the corpus stand before these.
    """
    columns = sorted({name for template in templates for name in template.columns})
    frame = frame_of_paths(told, columns=columns, num_before=num_before)
    return frame.assign(**{PATH: files["path"].to_numpy()})


def untold_columns(told: set[str], num_files: int, spec: CorpusSpec) -> list[Problem]:
    """Says which columns of the spec no path tells, where there are no tables."""
    if not num_files:
        return [Problem(where="images.path", what="no image file fits the path")]
    known = told | set(spec.derive)
    return [
        Problem(where="images.path", what=f"no part '{{{name}}}'; {nearest(name, known)}")
        for name in sorted({column for _, column in spec.columns_used()} - known)
    ]


def keys_of_rows(rows: pd.DataFrame, templates: Sequence[PathTemplate]) -> pd.DataFrame:
    """Returns `row`, `template` (its number) and `key` of the rows that a template makes a key."""
    found = []
    for number, template in enumerate(templates):
        keys = pd.DataFrame({"row": rows.index, "template": number, "key": ""})
        keys["key"] = template.row_keys(rows).array
        found.append(keys[keys["key"] != ""])
    return pd.concat(found, ignore_index=True)


def keys_of_files(files: pd.DataFrame, num_templates: int) -> pd.DataFrame:
    """Returns `path`, `escapes`, `template` and `key` of files; several lines for several keys."""
    found = []
    for number in range(num_templates):
        keys = files[["path", "escapes"]].assign(template=number, key=files[f"key_{number}"])
        found.append(keys[keys["key"].map(bool).astype(bool)].explode("key"))
    return pd.concat(found, ignore_index=True).astype({"key": "str"})


def candidates_of(rows: pd.DataFrame, files: pd.DataFrame) -> pd.DataFrame:
    """Returns `row`, `path` and `escapes` of each file that fits a row.

    Rows and files of one key must be given together; a file that fits a row by several keys may
    be found several times.

    Args:
      rows: What `keys_of_rows` returns.
      files: What `keys_of_files` returns.
    """
    found = rows.merge(files, on=["template", "key"])
    return found[["row", "path", "escapes"]].drop_duplicates(["row", "path"], ignore_index=True)


def own_files(rows: pd.DataFrame, files: pd.DataFrame) -> pd.DataFrame:
    """Returns the same for rows that were made of files."""
    found = pd.DataFrame({"row": rows.index, "path": rows[PATH].to_numpy()})
    return found.merge(files[["path", "escapes"]], on="path")


def match(sieve: Sieve, found: pd.DataFrame, spec: CorpusSpec) -> pd.DataFrame:
    """Adds `PATH` to the rows; takes out those that name no file, several, or one outside the root.

    Args:
      sieve: The rows.
      found: All that `candidates_of` or `own_files` found for them.
      spec: The path templates and rules.

    Returns:
      The files that these rows name, and those taken out before: `path`, and `is_hurt`, whether it
      is the only one of its row.
    """
    frame = sieve.frame
    before = sieve.log.entries.loc[sieve.log.entries.path != "", ["path"]].assign(is_hurt=True)
    found = found.drop_duplicates(["row", "path"]).sort_values("path", ignore_index=True)
    is_one_of_many = found["row"].duplicated(keep=False)
    many = found[is_one_of_many]
    leaves = pd.Series(frame.index.isin(found["row"][found["escapes"]]), index=frame.index)
    several = pd.Series(frame.index.isin(many["row"]), index=frame.index)
    if PATH not in frame:
        leaves |= _leave_root(frame, spec.images.templates)
        named = dict(zip(found["row"], found["path"], strict=True))
        named |= many.groupby("row")["path"].agg(" | ".join).to_dict()
        paths = [named.get(row, "") for row in frame.index]
        sieve.frame = frame.assign(**{PATH: pd.Series(paths, index=frame.index, dtype="object")})
    claims = pd.DataFrame({"path": found["path"], "is_hurt": ~is_one_of_many})
    claims = claims[found["row"].isin(frame.index[leaves | several])]
    sieve.remove(leaves, "path_escape")
    sieve.remove(several.reindex(sieve.frame.index), "image_ambiguous")
    policy = spec.rejects.rows_without_image
    outcome: Outcome = "reported" if policy == "report" else "rejected"
    sieve.remove(sieve.frame[PATH] == "", "image_missing", outcome=outcome)
    return pd.concat([before, claims], ignore_index=True).astype({"is_hurt": "bool"})


def _leave_root(rows: pd.DataFrame, templates: Sequence[PathTemplate]) -> pd.Series[bool]:
    leaves = np.zeros(len(rows), dtype=bool)
    for template in templates:
        keys = template.row_keys(rows)
        leaves |= keys.str.startswith("/").to_numpy(dtype=bool)
        leaves |= keys.str.contains(r"(?:^|/)\.\.(?:/|$)").to_numpy(dtype=bool)
    return pd.Series(leaves, index=rows.index, dtype="bool")
