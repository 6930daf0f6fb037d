"""A spec, with its reasons, of all that was found."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pandas as pd

from medical_images.drafting import groups, pixels_seen
from medical_images.drafting.composed import Composed
from medical_images.drafting.exploding import exploded
from medical_images.drafting.feature_drafts import draft_features
from medical_images.drafting.features_found import Features
from medical_images.drafting.image_rows import (
    Rows,
    rows_of_paths,
    rows_of_tables,
    with_label_of_folders,
)
from medical_images.drafting.joining import Joined
from medical_images.drafting.mask_files import find_masks
from medical_images.drafting.naming_pairs import FILE
from medical_images.drafting.path_columns import PathColumns, columns_of_paths
from medical_images.drafting.same_bytes import copies_among
from medical_images.drafting.split_drafts import find_group, find_splits, say_group, say_splits
from medical_images.drafting.survey import Survey
from medical_images.rejects import CODES
from medical_images.yaml_source import Path


def compose(*, found: Survey, joined: Joined, lists: Mapping[str, set[str]], name: str) -> Composed:
    """Makes a spec.

    Args:
      found: The folder.
      joined: Its tables.
      lists: {file: lines} of what may be lists of images.
      name: The dataset's name.
    """
    draft = Composed(data={"name": name, "description": "", "license": "", "citation": ""})
    draft.say(("description",), "These three are yours to fill in; nothing depends on them.")
    draft.data["root"] = "."
    told: PathColumns | None = None
    two = exploded(joined)
    if two is not None:
        joined, explode = two
    if joined.naming is None and joined.tables:
        rows = Rows(
            frame=joined.frame, images=("",) * len(joined.frame), all_images=(), made_of={},
            templates=("{???}",),
        )  # fmt: skip
        _tables(draft, joined)
    elif joined.naming is None:
        told = columns_of_paths(found.images)
        rows = rows_of_paths(told)
    else:
        rows = rows_of_tables(joined, joined.naming)
        _tables(draft, joined)
    if two is not None:
        draft.data["explode"] = explode
        draft.ask(("explode",), "each row is two images")
    derive = {c: {"from": source, "pattern": p} for c, (source, p) in rows.made_of.items()}
    draft.data["derive"] = derive
    guess, others = find_group(rows, has_tables=told is None)
    splits = find_splits(rows, joined, lists)
    _images(draft, found, rows, joined)
    keys = {*rows.keys, FILE, "official_split"} | ({splits.column} if splits else set())
    who = {c for c in map(str, rows.frame.columns) if groups.who_of(c)}
    who |= {guess.column} if guess else set()
    names = {joined.naming.column} if joined.naming and joined.naming.kind != "folder" else set()
    features = draft_features(rows.frame, rows.images, keys=keys, names=names, groups=who)
    if told is None and not features.labels and (rows_told := with_label_of_folders(rows)):
        rows, pattern = rows_told
        derive[rows.frame.columns[-1]] = {"from": "images.path", "pattern": pattern}
        features = draft_features(rows.frame, rows.images, keys=keys, names=names, groups=who)
    is_by_folders = told is not None or "label" in derive
    find_masks(draft.data["images"], features, found, rows.templates, rows.all_images)
    if not features.labels and "label" in features.data:
        features.labels.append("label")
    if is_by_folders and features.labels == ["label"]:
        features.reasons["label"].append(
            "? told by folders or names of files; if these are patients, it is the `group:`"
        )
    _features(draft, features)
    say_group(draft, rows, guess, others, derive)
    copies = copies_among(found.root, rows.all_images)
    say_splits(draft, splits, rows, guess, copies)
    _note_conflicts(features, rows, guess, copies)
    _rejects(draft, rows, features, told)
    if not derive:
        del draft.data["derive"]
    return draft


def _tables(draft: Composed, joined: Joined) -> None:
    draft.data["tables"] = [dict(table) for table in joined.tables]
    for number, table in enumerate(joined.tables):
        path = table["path"]
        name = path if isinstance(path, str) else path[0]
        if name in joined.notes:
            draft.say(("tables", number, "path"), joined.notes[name])
        if "rename" in table:
            draft.say(("tables", number, "rename"), "these columns stand in an earlier table too")
        if table.get("dialect", {}).get("header") is False:
            what = "its first line looks like a row; name the columns as you like"
            draft.ask(("tables", number, "columns"), what)
    used = {
        n for t in joined.tables for n in ([t["path"]] if isinstance(t["path"], str) else t["path"])
    }
    for name, note in joined.notes.items():
        if name not in used:
            draft.say(("tables",), f"{name}: {note}")


def _images(draft: Composed, found: Survey, rows: Rows, joined: Joined) -> None:
    naming = joined.naming
    seen = pixels_seen.look_at(found.root, rows.all_images)
    path: Any = rows.templates[0] if len(rows.templates) == 1 else list(rows.templates)
    draft.data["images"] = {"path": path}
    place: Path = ("images", "path")
    if not found.images:
        draft.data["images"]["path"] = "{???}"
        what = "no image was found; write where they are, such as images/{image_id}.png"
        draft.ask(place, what)
    elif naming is None and joined.notes:
        what = "no table names these images, so that their paths alone tell what they are; if one"
        draft.ask(place, f"{what} is to, it needs a column of names of files")
    elif naming is not None:
        where = f"{len(rows.all_images):,} of {len(found.images):,} images are named by rows"
        if len(rows.all_images) < len(found.images):
            draft.ask(place, f"{where}, the others are left out")
        else:
            draft.say(place, where)
        if naming.kind in ("part", "folder", "base"):
            draft.ask(place, f"'{naming.column}' is found in names or folders")
        if naming.kind == "padded":
            draft.ask(place, f"'{naming.column}' has no zeros before its numbers, the names have")
    if naming is not None and naming.passed_over:
        places = ", ".join(naming.passed_over[:5])
        draft.ask(place, f"the same names stand in {places} too, which are passed over")
    if rows.is_many:
        draft.data["images"]["per_row"] = "many"
        draft.say(("images", "per_row"), "each row stands for all images that fit it")
    draft.data["images"] |= seen.keys
    modes = ", ".join(f"{mode} {number}" for mode, number in sorted(seen.modes.items()))
    if seen.modes:
        draft.say(("images", "channels"), f"of a few that were opened: {modes}")
    if seen.num_unread:
        draft.say(("images", "channels"), f"{seen.num_unread} of them could not be opened")
    for key, what in (
        ("alpha", "some have alpha: `drop` it, or put them on `black` or `white`"),
        ("window", "which values become 0 to 255"),
        ("dtype", "16 bits are kept; for 8 bits give `window: [center, width]` instead"),
    ):
        if key in seen.keys:
            draft.ask(("images", key), what)


def _features(draft: Composed, features: Features) -> None:
    draft.data["features"] = features.data
    for name, reasons in features.reasons.items():
        draft.say(("features", name), *reasons)
    for name, options in features.options.items():
        draft.options["features", name] = options
    if features.left_out:
        draft.after[("features",)] = ["left out:", *features.left_out]
    if not features.labels:
        classes = [n for n, keys in features.data.items() if keys["type"] == "class"]
        what = "no column looks like what is to be predicted; if one is: `supervised: NAME`"
        draft.ask(("features",), what, classes[:6])
        return
    label, *more = features.labels
    if features.data[label]["type"] == "uncertain":
        draft.data["stratify"] = features.labels[:14]
        return
    draft.data["supervised"] = label
    if more or features.is_guess:
        draft.ask(("supervised",), "what is to be predicted", more[:6])


def _note_conflicts(
    features: Features, rows: Rows, guess: groups.GroupGuess | None, copies: Mapping[str, str]
) -> None:
    """Counts rows that cannot be used since those of one image, or of its copies, disagree."""
    if guess is not None and not guess.pattern and not rows.is_many:
        own = rows.frame[[guess.column]].assign(image=rows.images)
        own = own[own["image"] != ""]
        differ = own.groupby("image")[guess.column].transform("nunique") > 1
        if differ.any():
            features.accept["conflict"] = int(differ.sum())
    columns = [keys.get("column", name) for name, keys in features.data.items()]
    known = [column for column in columns if column in rows.frame and column not in rows.keys]
    is_copy = [path in copies for path in rows.images]
    if any(is_copy) and known:
        own = rows.frame.loc[is_copy, known]
        first = [copies[path] for path in rows.images if path in copies]
        differ = (own.groupby(first).transform("nunique") > 1).any(axis=1)
        if differ.any():
            features.accept["copy_conflict"] = int(differ.sum())


def _rejects(draft: Composed, rows: Rows, features: Features, told: PathColumns | None) -> None:
    keys: dict[str, Any] = {}
    unnamed = sum(not path for path in rows.images)
    if unnamed and rows.all_images:
        keys["rows_without_image"] = "report"
        what = f"{unnamed:,} of {len(rows.images):,} rows name no image; they are listed"
        draft.ask(("rejects", "rows_without_image"), what, ["refuse", "reject"])
    if told is not None and told.num_left_out:
        draft.say(
            ("images", "path"), f"{told.num_left_out:,} images lie elsewhere and are left out"
        )
    if features.accept:
        keys["accept"] = sorted(features.accept)
        for code, number in features.accept.items():
            what = f"{number:,} rows are rejected as {code}: {CODES[code]}"
            draft.ask(("rejects", "accept"), what)
    if _has_rare(rows, features):
        keys["classes_without_image"] = "report"
        draft.say(("rejects", "classes_without_image"), "some classes may have no image")
    if keys:
        draft.data["rejects"] = keys


def _has_rare(rows: Rows, features: Features) -> bool:
    """Whether a class to stratify may have no image."""
    for name in features.labels:
        keys = features.data[name]
        if keys["type"] == "uncertain":
            cells = set(rows.frame[keys.get("column", name)])
            if len({cell.removesuffix(".0") for cell in cells} & {"0", "1", "-1"}) < 3:
                return True
            continue
        column = keys.get("column", name)
        if column not in rows.frame:
            return any(not path for path in rows.images) or bool(keys.get("columns"))
        has_image = pd.Series([bool(path) for path in rows.images], index=rows.frame.index)
        return set(rows.frame.loc[has_image, column]) != set(rows.frame[column])
    return "accept" in features.accept


def lines_of_list(path: str) -> set[str]:
    """Returns the lines of a text file, or none where it is too long for a list of images."""
    if os.path.getsize(path) > 1 << 28:
        return set()
    with open(path, encoding="utf-8", errors="replace") as file:
        return {line.strip().split(",")[0] for line in file} - {""}
