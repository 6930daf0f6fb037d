"""The log of every row and file that is not simply written, with a reason code.

Each entry has an outcome: `rejected` (it could not be used), `excluded` (a rule of the spec, or
being an exact copy, leaves it out), `reported` (listed only) or `noted` (listed, and written all
the same). Messages show counts and line numbers; only the rejects file, which is personal data,
names files.
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import os
from collections.abc import Collection, Iterable, Mapping
from typing import Literal

import pandas as pd

from medical_images.errors import Problem, some_lines

Outcome = Literal["rejected", "excluded", "reported", "noted"]

CODES: Mapping[str, str] = {
    "not_wanted": "a rule of the spec leaves the row out",
    "join_unmatched": "the row has no partner in another table",
    "derive_no_match": "the pattern of a derived column is not found",
    "path_escape": "the path of the image or of its mask leaves the corpus root",
    "image_missing": "the image file that the row names does not exist",
    "image_ambiguous": "several image files fit the row",
    "image_unreferenced": "no row names this image file",
    "part_without_image": "this part of the row tells no image, and another one does",
    "bad_name": "the file's name is not UTF-8",
    "not_regular": "the file is a pipe, a device or a socket, or a link in a zip",
    "empty": "the image file has no bytes",
    "not_an_image": "the file holds something else than an image",
    "unsupported": "the image is of a kind that is not read",
    "truncated": "the image file ends too early",
    "corrupt": "the image file is damaged",
    "corrupt_scan": "a strict decoder finds damage in the pixels of a JPEG file",
    "not_checked": "pixels of a JPEG file were not decoded strictly",
    "too_large": "the image, or what it is packed in, is larger than accepted; see `max_pixels`",
    "multi_frame": "the file holds several frames or pages",
    "needs_window": "the image has more than 8 bits; set `dtype: uint16` or a `window:`",
    "channels": "the image has colours or alpha that `channels:` has no place for",
    "extension_mismatch": "the file's name tells another kind than its bytes",
    "exif_malformed": "EXIF of the image cannot be read; its orientation is taken as upright",
    "converted": "the image was written as PNG with the same pixels",
    "burned_in": "the DICOM file says that text is burned into its pixels",
    "dicom_unreadable": "the DICOM file cannot be read",
    "dicom_no_preamble": "the DICOM file has no preamble; see `images: {preamble: optional}`",
    "dicom_syntax": "no decoder for the transfer syntax of the DICOM file",
    "dicom_frames": "the DICOM file holds several frames; see `images: {frames: all}`",
    "dicom_no_pixels": "the DICOM file holds no image",
    "dicom_pixels": "the pixels of the DICOM file are of a kind that is not read",
    "dicom_window": "the DICOM file names no window",
    "mask_missing": "the mask of the image does not exist",
    "mask_unreadable": "the mask of the image cannot be used",
    "mask_size": "the mask has another size than its image",
    "image_rejected": "another row of the same image was rejected",
    "duplicate_row": "the row tells the same as another of its image; one is kept",
    "conflict": "rows of the same image disagree; none is written",
    "id_missing": "an identifier is missing",
    "label_missing": "a class is missing",
    "label_unknown": "a class is not one of the declared values",
    "label_conflict": "several columns have the mark of the one class",
    "value_missing": "a number is missing",
    "value_invalid": "a cell is no number or date as declared",
    "value_infinite": "a number is infinite",
    "value_out_of_range": "a number is outside the declared range",
    "box_degenerate": "a box has no width or no height",
    "box_outside": "a box leaves its image",
    "split_missing": "the image has no official split, and no other is planned",
    "split_unknown": "a cell stands for none of the official splits",
    "image_copy": "the image's bytes are those of another image",
    "copy_conflict": "images of the same bytes disagree on their label",
    "group_in_two_splits": "the group stands in two official splits",
}

_SHOWN = ("label_unknown", "split_unknown")  # the cells at fault are names, and no numbers or ids
# Of these, the value is what was found in the image's file, in our words.
_EXPLAINED = frozenset(
    code
    for code in CODES
    if code.startswith(("dicom_", "mask_"))
    or code in ("not_an_image", "unsupported", "truncated", "corrupt", "corrupt_scan", "too_large")
    or code in ("multi_frame", "needs_window", "channels")
)
_LONGEST_SHOWN = 80  # characters
_MOST_DETAILS = 3
_COLUMNS = ["outcome", "code", "kind", "table", "line", "column", "path", "value"]


@dataclasses.dataclass(frozen=True)
class RejectLog:
    """An immutable list of entries.

    Attributes:
      entries: One line an entry: outcome, code, kind (`row` or `file`), table, line (0 for files),
        column, path (of the image, where known) and value (the offending cell).
    """

    entries: pd.DataFrame = dataclasses.field(
        default_factory=lambda: pd.DataFrame({name: [] for name in _COLUMNS}, dtype="object"),
        repr=False,  # tools that show the arguments of calls show no cells
    )

    @classmethod
    def concat(cls, logs: Iterable[RejectLog]) -> RejectLog:
        """Returns the entries of several logs as one."""
        return cls(pd.concat([cls().entries, *(log.entries for log in logs)], ignore_index=True))

    def adding(
        self,
        *,
        outcome: Outcome,
        code: str,
        kind: Literal["row", "file"],
        entries: pd.DataFrame,
        column: str = "",
    ) -> RejectLog:
        """Returns the log with one more entry for each line of `entries`.

        Args:
          outcome: What happened to them.
          code: A key of `CODES`.
          kind: What they are.
          entries: Columns `table`, `line`, `path` and `value`, as far as they apply.
          column: The column at fault.
        """
        if code not in CODES:
            raise KeyError(code)
        if entries.empty:
            return self
        fixed = {"outcome": outcome, "code": code, "kind": kind, "column": column}
        defaults = {"table": "", "line": 0, "path": "", "value": ""}
        columns = {
            name: fixed[name] if name in fixed else entries.get(name, defaults[name])
            for name in _COLUMNS
        }
        more = pd.DataFrame(columns, index=entries.index).astype("object")
        return RejectLog(pd.concat([self.entries, more], ignore_index=True))

    def in_order(self) -> RejectLog:
        """Returns the log with its entries in the one order that does not depend on their making.

        That is by outcome, code, kind, table, line, column, path and value.
        """
        entries = sorted(self.entries.itertuples(index=False, name=None))
        return RejectLog(pd.DataFrame(entries, columns=pd.Index(_COLUMNS), dtype="object"))

    def count(self, *, outcome: Outcome, kind: Literal["row", "file"]) -> int:
        """Returns how many entries of a kind had an outcome."""
        return int(((self.entries.outcome == outcome) & (self.entries.kind == kind)).sum())

    def counts(self) -> dict[str, dict[str, int]]:
        """Returns {outcome: {code: count}}, sorted."""
        result: dict[str, dict[str, int]] = {}
        pairs = zip(self.entries["outcome"], self.entries["code"], strict=True)
        for (outcome, code), count in sorted(collections.Counter(pairs).items()):
            result.setdefault(outcome, {})[code] = count
        return result

    def problems(
        self,
        *,
        allowed: Mapping[tuple[str, str], str] | None = None,
        private: Collection[str] = (),
    ) -> list[Problem]:
        """Returns one problem for each code and column: how many, where, and what is allowed.

        Args:
          allowed: What to say of the allowed values, by code and column.
          private: Columns whose cells are not shown.
        """
        rejected = self.entries[self.entries.outcome == "rejected"]
        result = []
        for (code, table, column), group in rejected.groupby(["code", "table", "column"]):
            place = " ".join(filter(None, [str(table), f"column '{column}'" if column else ""]))
            what = f"{code}: {CODES[str(code)]}; {_how_many(group)}"
            if code in _SHOWN and column not in private:
                what += _distinct(group)
            elif code in _EXPLAINED and not column:  # of a cell, it would be the cell
                what += _explained(group)
            remedy = (allowed or {}).get((str(code), str(column)), "")
            result.append(Problem(where=place or "images", what=what, remedy=remedy))
        return result

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes the log as CSV, in its order (see `in_order`), readable by its owner only.

        Args:
          path: A local path; an existing log is replaced.

        Raises:
          FileExistsError: Another file stands there.
        """
        refuse_foreign(path)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.fchmod(descriptor, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            # File names may hold bytes that are not UTF-8; they are shown escaped.
            for entry in self.in_order().entries.itertuples(index=False):
                writer.writerow(
                    str(cell).encode("utf-8", "backslashreplace").decode() for cell in entry
                )


def refuse_foreign(path: str | os.PathLike[str]) -> None:
    """Raises FileExistsError where a file stands that is no log of rejects."""
    if os.path.lexists(path):
        with open(path, "rb") as file:
            if file.readline().strip() != ",".join(_COLUMNS).encode():
                raise FileExistsError(f"{path} exists and is no list of rejects")


def _how_many(group: pd.DataFrame) -> str:
    count = len(group)
    if group.kind.iloc[0] == "file":
        return f"{count:,} file{'s' if count != 1 else ''}"
    return f"{count:,} row{'s' if count != 1 else ''} ({some_lines(group.line)})"


def _distinct(group: pd.DataFrame) -> str:
    values = sorted(set(group.value))
    if len(values) > 20:
        return f"; {len(values)} distinct values"
    return f"; found {', '.join(map(_shown, values))}"


def _explained(group: pd.DataFrame) -> str:
    details = sorted(set(group.value) - {""})
    if not details:
        return ""
    return f"; {'; '.join(details[:_MOST_DETAILS])}{'; ...' * (len(details) > _MOST_DETAILS)}"


def _shown(value: str) -> str:
    return repr(value if len(value) <= _LONGEST_SHOWN else f"{value[:_LONGEST_SHOWN]}...")
