"""How tables belong together: parts of one, and joins by key columns."""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from medical_images.drafting.naming import find_namings
from medical_images.drafting.naming_made import Files, Naming, score_of
from medical_images.drafting.naming_pairs import FILE
from medical_images.drafting.official_splits import split_of
from medical_images.drafting.tables_found import FoundTable
from medical_images.tables import key_of

LABEL = re.compile(
    r"(?i)(?:^|[_\W])(?:labels?|target|class(?:es)?|class_?name|findings?|diagnos[ie]s|diagnostic|dx|"
    r"befund|diagnosen?|diagn[oó]stic\w*|klasse|clas[es]e|etiqueta|pathology|grade|dr_grade|level|malignant|benign_malignant|disease|category|finding_labels?)"
    r"(?:$|[_\W])"
)
_ALIKE = 0.6  # share of columns that parts of one table have in common


@dataclasses.dataclass(frozen=True, kw_only=True)
class Joined:
    """The rows of all tables that belong together.

    Attributes:
      tables: What the spec says of each.
      frame: Their rows; columns that joins renamed have the new name.
      naming: How rows name images, if they do.
      others: The other ways in which the first table names images.
      notes: {table: what was found}: counts on both sides of joins, and why some are left out.
      files: The files of a first table that has several.
    """

    tables: tuple[dict[str, Any], ...]
    frame: pd.DataFrame
    naming: Naming | None
    others: tuple[Naming, ...] = ()
    notes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    files: tuple[str, ...] = ()


def join_found(tables: Sequence[FoundTable], files: Files, *, is_ordered: bool = False) -> Joined:
    """Brings tables together around the one that names images.

    Args:
      tables: All tables of the folder.
      files: Its images.
      is_ordered: Whether the first table is known to be the first.
    """
    notes: dict[str, str] = {}
    merged = merge_parts(tables, files)
    ranked = sorted(merged, key=lambda pair: -_rank(*pair))
    if is_ordered:
        ranked.sort(key=lambda pair: pair[0].name != tables[0].name)
    if not ranked or not ranked[0][1]:
        left = {t.name: f"names no image; not used{_but_for_case(t, files)}" for t in tables}
        return Joined(tables=(), frame=pd.DataFrame(), naming=None, notes=left)
    (main, namings), rest = ranked[0], ranked[1:]
    naming = namings[0]
    frame = main.frame
    specs: list[dict[str, Any]] = [dict(main.keys)]
    notes[main.name] = (
        f"{naming.num_named:,} of {naming.num_rows:,} rows name {len(naming.images):,} of"
        f" {len(files.paths):,} images by '{naming.column}'"
    )
    for table, _ in rest:
        shared = [name for name in table.columns if name in frame.columns]
        if len(shared) == len(table.columns) or len(shared) > max(0.7 * len(table.columns), 3):
            notes[table.name] = "not used: its columns stand in a table above" + (
                "" if _labels_of(table) else ", and it tells no class"
            )
            continue
        found = _joined(frame, table)
        if isinstance(found, str):
            notes[table.name] = f"not used: {found}"
            continue
        frame, keys, note = found
        specs.append(keys)
        notes[table.name] = note
    paths = main.keys["path"]
    return Joined(
        tables=tuple(specs), frame=frame, naming=naming, others=tuple(namings[1:]), notes=notes,
        files=tuple(paths) if isinstance(paths, list) else (),
    )  # fmt: skip


def _but_for_case(table: FoundTable, files: Files) -> str:
    """Says which column would name images if capitals were the same, if one does."""
    known = {name.lower() for name in (*files.by_name, *files.by_stem)}
    for name in table.columns:
        if table.frame[name].str.lower().isin(known).mean() > 0.5:
            return f"; but for capital letters, '{name}' does: write them as the files do"
    return ""


def _rank(table: FoundTable, namings: Sequence[Naming]) -> float:
    if not namings or not namings[0].num_named:
        return -1
    naming = namings[0]
    is_list = table.width < 2
    labels = _labels_of(table)
    size = min(naming.num_named / 1000, 1) * 0.05
    return (
        min(score_of(naming), 1.3) + 0.2 * bool(labels) + 0.02 * min(len(table.columns), 20)
        - 2 * is_list + size - 0.3 * (len(naming.images) < 0.2 * naming.num_rows)
    )  # fmt: skip


def _labels_of(table: FoundTable) -> list[str]:
    """Returns columns that are labels by their name, or marks beside each other."""
    named = [name for name in table.columns if LABEL.search(spaced(name))]
    marks = [
        name
        for name in table.columns
        if set(table.frame[name].unique()) - {""} <= {"0", "1", "0.0", "1.0", "-1.0", "-1"}
        and (table.frame[name] != "").any()
    ]
    return named + (marks if len(marks) >= 3 else [])


def spaced(name: str) -> str:
    """Returns a column's name with `_` between words that only capitals tell apart."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def merge_parts(
    tables: Sequence[FoundTable], files: Files
) -> list[tuple[FoundTable, list[Naming]]]:
    """Brings parts of one table together, and finds how each table names images."""
    known = [(table, find_namings(table.frame, files)) for table in tables]
    has_label = any(_labels_of(table) and namings for table, namings in known)
    families: list[list[tuple[FoundTable, list[Naming]]]] = []
    for entry in sorted(known, key=lambda e: (_order(e[0].name), e[0].name)):
        home = next((f for f in families if _is_part(f, entry, files, has_label=has_label)), None)
        if home is None:
            families.append([entry])
        else:
            home.append(entry)
    result = []
    for family in families:
        if len(family) == 1:
            result.append(family[0])
        else:
            table = _stacked([table for table, _ in family])
            result.append((table, find_namings(table.frame, files)))
    return result


def _order(name: str) -> int:
    return ["train", "validation", "test", ""].index(split_of(name.rsplit("/", 1)[-1]))


def _is_part(
    family: Sequence[tuple[FoundTable, list[Naming]]],
    entry: tuple[FoundTable, list[Naming]],
    files: Files,
    *,
    has_label: bool,
) -> bool:
    """Whether a table has the columns of another one, and other images."""
    (first, namings), (table, own) = family[0], entry
    if first.keys.get("dialect") != table.keys.get("dialect") or not namings or not own:
        return False
    one, other = set(map(_plain, first.columns)), set(map(_plain, table.columns))
    if len(one & other) < _ALIKE * len(one | other) or len(one) < 2:
        return False
    if _plain(namings[0].column) != _plain(own[0].column) or namings[0].kind != own[0].kind:
        return False
    labels = [{_plain(name) for name in _labels_of(t)} for t in (first, table)]
    if has_label and not (labels[0] and labels[1]):
        return False
    if (labels[0] ^ labels[1]) - (one & other) and len(labels[0] ^ labels[1]) > 2:
        return False
    cells = set(table.frame[own[0].column])
    homes = [_home(name, files) for name in (table.name, *(t.name for t, _ in family))]
    if all(homes) and len(set(homes)) == len(homes):
        return True  # each of the images of its own folder
    for earlier, of_earlier in family:
        shared = cells & set(earlier.frame[of_earlier[0].column])
        if len(shared) > 0.05 * len(cells):
            return False
    return True


def _home(table: str, files: Files) -> str:
    """Returns the folder of images that a table lies in or is named for, or ""."""
    *folders, name = table.split("/")
    return next((f for f in (*folders[-1:], name.split(".")[0]) if f in files.by_folder), "")


def _stacked(tables: Sequence[FoundTable]) -> FoundTable:
    """Puts parts below each other, with one name for columns that differ in spelling only."""
    names: dict[str, str] = {}
    spellings: dict[str, set[str]] = collections.defaultdict(set)
    frames = []
    for table in tables:
        new = {name: names.setdefault(_plain(name), name) for name in table.columns}
        for old, name in new.items():
            spellings[name].add(old)
        frames.append(table.frame.rename(columns=new).assign(**{FILE: table.name}))
    frame = pd.concat(frames, ignore_index=True).fillna("").astype("str")
    keys: dict[str, Any] = dict(tables[0].keys)
    keys["path"] = [table.name for table in tables]
    aliases = {name: sorted(old - {name}) for name, old in spellings.items() if len(old) > 1}
    if aliases:
        keys["aliases"] = aliases
    optional = [name for name in frame.columns if any(name not in f.columns for f in frames)]
    if optional:
        keys["optional"] = optional
    keys["file_column"] = FILE
    is_whole = all(table.is_whole for table in tables)
    return FoundTable(keys=keys, frame=frame, is_whole=is_whole, width=len(frame.columns))


def _joined(
    left: pd.DataFrame, table: FoundTable
) -> tuple[pd.DataFrame, dict[str, Any], str] | str:
    """Joins a table to the rows so far, or says why not."""
    right = table.frame
    best: tuple[int, int, dict[str, str]] | None = None
    for keys in _candidates(left, right):
        own, its = key_of(left, keys), key_of(right[list(keys.values())], keys.values())
        found = int(own.isin(set(its[its != ""])).sum())
        if found > 0.05 * len(left) and (best is None or (found, len(keys)) > best[:2]):
            best = found, len(keys), keys
    if best is None:
        return "no column in which it shares cells with one row in twenty"
    found, _, keys = best
    spec: dict[str, Any] = dict(table.keys)
    spec.pop("file_column", None)
    distinct = right.drop(columns=[FILE], errors="ignore").drop_duplicates()
    its = key_of(distinct, keys.values())
    present = its != ""
    if its[present].duplicated().any():
        return f"several of its rows are of one {', '.join(keys.values())}"
    if len(distinct) < len(right):
        spec["distinct"] = True
    shared = [name for name in right.columns if name in left.columns and name not in keys.values()]
    shared = [name for name in shared if name != FILE]
    new = {name: f"{name} of {re.sub(r'[^A-Za-z0-9]+', '_', table.name)}" for name in shared}
    if new:
        spec["rename"] = new
    own = key_of(left, keys)
    cardinality = "many_to_one" if own[own != ""].duplicated().any() else "one_to_one"
    on: Any = keys
    if all(a == b for a, b in keys.items()):
        on = next(iter(keys)) if len(keys) == 1 else list(keys)
    spec["join"] = {"on": on, "cardinality": cardinality}
    if found < len(left):
        spec["join"]["unmatched"] = "keep"
    renamed = distinct[present].rename(columns=new)
    pairs = renamed.assign(**{"\0key": its[present]}).drop(columns=list(keys.values()))
    merged = left.assign(**{"\0key": own}).merge(pairs, on="\0key", how="left").fillna("")
    frame = merged.drop(columns="\0key").astype("str")
    unused = len(set(its[present]) - set(own))
    note = f"joined by {', '.join(keys)}: {found:,} of {len(left):,} rows have a partner"
    note += f"; {unused:,} of its rows have none" if unused else ""
    return frame, spec, note


def _candidates(left: pd.DataFrame, right: pd.DataFrame) -> Iterator[dict[str, str]]:
    """Yields keys: columns of one name, alone and together, then columns that share cells."""
    shared = [name for name in right.columns if name in left.columns and name != FILE]
    cells_of = {str(name): set(right[name].unique()) - {""} for name in shared}
    ids = [name for name, cells in cells_of.items() if len(cells) > max(1, 0.2 * len(right))]
    good = [name for name in ids if left[name].isin(cells_of[name]).mean() > 0.05]
    if len(good) > 1:
        yield {name: name for name in good}
    for name in good:
        yield {name: name}
    if good:
        return
    known_of = {str(name): set(left[name].unique()) - {""} for name in left.columns}
    for name in right.columns:
        cells = set(right[name].unique()) - {""}
        if len(cells) < max(3, 0.5 * len(right)):
            continue
        for column, known in known_of.items():
            if len(known) > 2 and len(known & cells) > 0.5 * len(known) and not _are_counts(known):
                yield {column: str(name)}


def _are_counts(cells: set[str]) -> bool:
    """Whether cells are small numbers, of which two columns share some by chance."""
    return all(len(cell) <= 4 and cell.replace(".0", "").isdigit() for cell in cells)
