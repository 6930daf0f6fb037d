"""What a draft says of groups and splits."""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from medical_images.audit.spellings import num_alike
from medical_images.drafting import groups, official_splits
from medical_images.drafting.composed import Composed
from medical_images.drafting.image_rows import Rows
from medical_images.drafting.joining import Joined
from medical_images.drafting.naming_pairs import FILE
from medical_images.drafting.private_columns import may_identify
from medical_images.drafting.survey import stem_of


def find_group(
    rows: Rows, *, has_tables: bool
) -> tuple[groups.GroupGuess | None, list[groups.GroupGuess]]:
    """Returns what may be the group, and what else may."""
    columns = {str(c): rows.frame[c].tolist() for c in rows.frame.columns if not c.startswith("\0")}
    found = groups.by_column(columns, images=rows.images) if has_tables else []
    by_path = groups.by_path(rows.all_images) if rows.all_images else None
    is_repeated = bool(found) and (rows.is_many or found[0].num_groups < found[0].num_rows)
    if found and (is_repeated or by_path is None):
        return found[0], found[1:]
    if by_path is not None and 1 < by_path.num_groups < by_path.num_rows:
        return by_path, found
    return (found[0], found[1:]) if found else (groups.of_volumes(rows.all_images), [])


def say_group(
    draft: Composed,
    rows: Rows,
    guess: groups.GroupGuess | None,
    others: Sequence[groups.GroupGuess],
    derive: dict[str, Any],
) -> None:
    """Writes the group, or that there is none."""
    if guess is None:
        draft.ask(("splits",), "no column and no name tells which images are of one patient: each"
                  " image may go to any split; if you know more, give `group:`",
                  groups.by_repetition(rows.frame, used=draft.data["features"]))  # fmt: skip
        return
    column = guess.column
    if guess.pattern:
        column = column if column not in derive else f"{column}_of_path"
        derive[column] = {"from": guess.source, "pattern": guess.pattern, "optional": True}
    draft.data["group"] = column
    options = [other.column for other in others]
    who = groups.who_of(guess.column)
    if guess.pattern or options or who != "patient":
        draft.ask(("group",), f"images of one group stay in one split: {guess.why}", options)
    else:
        draft.say(("group",), f"images of one group stay in one split: {guess.why}")
    if not guess.pattern:
        cells = rows.frame[column]
        _doubt_group(draft, rows, cells)
        if may_identify(cells) and not cells.str.fullmatch(r"\d+").all():
            draft.ask(("group",), "its cells may name persons, and the index holds groups as they"
                      " stand in the table: better `pseudonymize:` it")  # fmt: skip
        draft.after[("privacy",)] = [
            f"pseudonymize: [{column}]  # hides these ids by a key of yours"
        ]
        draft.data["privacy"] = {"strip_metadata": True}


def _doubt_group(draft: Composed, rows: Rows, cells: pd.Series[str]) -> None:
    """Asks about what may tear a group, or make one of several."""
    if blank := int((cells == "").sum()):
        draft.ask(("group",), f"{blank:,} of {len(cells):,} rows have none, so that each of their"
                  " images is a group of its own; if it means `as above`, fill it in")  # fmt: skip
    known = cells[cells != ""]
    if alike := num_alike(known):
        draft.ask(("group",), f"{alike:,} of its ids differ from another only in case, punctuation,"
                  " zeros or `.0`: are they the same?")  # fmt: skip
    if FILE in rows.frame:
        of_files = rows.frame[FILE][known.index].groupby(known).nunique()
        if num := int((of_files > 1).sum()):
            draft.ask(("group",), f"{num:,} of its ids stand in several files; if those are not the"
                      f" same, derive a column from '{FILE}' and group by both")  # fmt: skip


def find_splits(
    rows: Rows, joined: Joined, lists: Mapping[str, set[str]]
) -> official_splits.OfficialSplits | None:
    """Returns the corpus's own splits: of tables, a column, lists or folders."""
    if joined.files and (
        found := official_splits.by_table(FILE, joined.files, rows.frame[FILE].tolist())
    ):
        return found
    columns = rows.frame.drop(columns=[FILE], errors="ignore")
    if found := official_splits.by_column(columns):
        return found
    if lists and not rows.is_many:
        names = [{p, p.rsplit("/", 1)[-1], stem_of(p)} if p else set() for p in rows.images]
        if found := official_splits.by_lists(lists, names):
            return found
    if "official_split" in rows.frame:
        return None
    return official_splits.by_folder(rows.images) if all(rows.images) else (
        _by_folder_of_some(rows))  # fmt: skip


def _by_folder_of_some(rows: Rows) -> official_splits.OfficialSplits | None:
    has_image = [path for path in rows.images if path]
    found = official_splits.by_folder(has_image)
    if found is None:
        return None
    told = iter(found.of_rows)
    of_rows = tuple(next(told) if path else "" for path in rows.images)
    return dataclasses.replace(found, of_rows=of_rows)


def say_splits(
    draft: Composed,
    splits: official_splits.OfficialSplits | None,
    rows: Rows,
    guess: groups.GroupGuess | None,
    copies: Mapping[str, str],
) -> None:
    """Writes the corpus's own splits where they part no group, and planned ones elsewhere."""
    derive = draft.data["derive"]
    planned = _planned(rows, guess, copies)
    if planned["train"] != 0.8:
        draft.ask(("splits",), "too few images for tenths that hold whole groups")
    if splits is None:
        draft.data["splits"] = planned
        return
    leaks = official_splits.leaks_of(splits, _cells_of(rows, guess))
    leaks += official_splits.leaks_of(splits, [copies.get(path, "") for path in rows.images])
    keys: dict[str, Any]
    if splits.files:
        keys = {"files": official_splits.in_order(splits.files)}
    else:
        keys = {"column": splits.column, "values": official_splits.in_order(splits.values)}
        if splits.pattern:
            derive[splits.column] = {"from": "images.path", "pattern": splits.pattern}
    untold = sum(not split for split, path in zip(splits.of_rows, rows.images, strict=True) if path)
    what = f"the corpus's own splits, told by {splits.why}"
    if leaks:
        draft.data["splits"] = planned
        draft.ask(
            ("splits",), f"{what}, would part {leaks:,} groups, so that these are planned anew",
            ["allow_leaks: true with the corpus's own"],
        )  # fmt: skip
        if splits.pattern:
            del derive[splits.column]
        return
    if untold:
        what += f"; the {untold:,} images of none are the split `unassigned`"
        keys = {"unassigned": "rest", **keys}
    draft.data["splits"] = keys
    draft.ask(("splits",), what, ["{train: 0.8, validation: 0.1, test: 0.1}"])


def _planned(
    rows: Rows, guess: groups.GroupGuess | None, copies: Mapping[str, str]
) -> dict[str, float]:
    """Returns shares that can hold the largest group."""
    cells = _cells_of(rows, guess)
    pairs = {(path, cell or path) for path, cell in zip(rows.images, cells, strict=True) if path}
    largest = max(collections.Counter(cell for _, cell in pairs).values(), default=1)
    largest = max(largest, max(collections.Counter(copies.values()).values(), default=1))
    images = len({path for path, _ in pairs})
    if images < 10:
        return {"train": 1}
    if 0.1 * images >= largest or largest == 1:
        return {"train": 0.8, "validation": 0.1, "test": 0.1}
    if images >= 20 and 0.2 * images >= largest:
        return {"train": 0.6, "validation": 0.2, "test": 0.2}
    return {"train": 0.6, "test": 0.4}


def _cells_of(rows: Rows, guess: groups.GroupGuess | None) -> list[str]:
    if guess is None:
        return list(rows.images)
    if rows.is_many:
        return [""] * len(rows.images)
    if not guess.pattern:
        return [str(cell) for cell in rows.frame[guess.column]]
    pattern = re.compile(guess.pattern)
    return [m[1] if (m := pattern.search(path)) else "" for path in rows.images]
