"""Which images the rows of a table name: by names, stems, paths, folders, or two columns."""

from __future__ import annotations

import collections
from collections.abc import Iterator

import pandas as pd

from medical_images.drafting.file_families import extension_text
from medical_images.drafting.groups import who_of
from medical_images.drafting.naming_made import Files, Naming, free_name, naming_of_hits, score_of
from medical_images.drafting.naming_numbers import by_numbered_folder, by_padded
from medical_images.drafting.naming_paths import by_base, by_path, slashed
from medical_images.spec_parts import normal_form

_SAMPLE = 5_000
_NEARLY_ALL = 0.75  # of the images
_ENOUGH = 0.02  # of rows, to speak of a match at all


def find_namings(frame: pd.DataFrame, files: Files) -> list[Naming]:
    """Finds all ways in which rows of a table name images, the best first."""
    found = [
        naming
        for column in frame.columns
        if (naming := _best_of(frame, str(column), files)) is not None
    ]
    return sorted(found, key=lambda naming: -score_of(naming))


def _best_of(frame: pd.DataFrame, column: str, files: Files) -> Naming | None:
    if len(frame) > 2 * _SAMPLE < len(files.paths):
        few = frame.iloc[:: len(frame) // _SAMPLE]
        if not any(_namings(few, column, files)):
            return None
    return max(_namings(frame, column, files), key=score_of, default=None)


def _namings(frame: pd.DataFrame, column: str, files: Files) -> Iterator[Naming]:
    """Yields ways in which a column names images; none after one that leaves little to wish."""
    known = set(frame[column].unique()) - {""}
    if not known:
        return
    most = len(files.paths)
    for find in (
        _by_name,
        _by_stem,
        by_padded,
        by_path,
        by_base,
        _by_part,
        _by_folder,
        by_numbered_folder,
    ):
        naming = find(frame, column, known, files)
        if naming is None or _is_of_groups(frame[column], naming, most):
            continue
        if naming.num_named > _ENOUGH * naming.num_rows or 2 * len(naming.images) >= most:
            yield naming
        if naming.num_named > 0.95 * naming.num_rows:
            return


def _is_of_groups(cells: pd.Series[str], naming: Naming, most: int) -> bool:
    """Whether the numbers of patients happen to stand in the names of as many of the images.

    Then several rows would name one image, and many images would be named by none.
    """
    if naming.is_many or len(naming.images) >= _NEARLY_ALL * most:
        return False
    is_repeated = cells[cells != ""].duplicated().mean() > 0.1
    return is_repeated and (naming.kind in ("part", "padded") or bool(who_of(naming.column)))


def _by_name(frame: pd.DataFrame, column: str, known: set[str], files: Files) -> Naming | None:
    hits = {cell: files.by_name[cell] for cell in known if cell in files.by_name}
    return naming_of_hits(frame, column, "name", hits, column)


def _by_stem(frame: pd.DataFrame, column: str, known: set[str], files: Files) -> Naming | None:
    hits = {cell: files.by_stem[cell] for cell in known if cell in files.by_stem}
    return naming_of_hits(frame, column, "stem", hits, column, has_extension=False)


def _by_part(frame: pd.DataFrame, column: str, known: set[str], files: Files) -> Naming | None:
    """Cells that stand at the begin or the end of names, such as `17` in `BloodImage_17.png`."""
    hits = {cell: files.by_part[cell] for cell in known if cell in files.by_part}
    if len(hits) < 0.5 * len(known) or len(hits) < 2:
        return None
    sides = collections.Counter(
        (bool(before), bool(after)) for found in hits.values() for _, before, after in found
    )
    side = sides.most_common(1)[0][0]
    chosen = {
        cell: [(p, b, a) for p, b, a in found if (bool(b), bool(a)) == side]
        for cell, found in hits.items()
    }
    affixes = {b or a for found in chosen.values() for _, b, a in found}
    affix = affixes.pop() if len(affixes) == 1 else "*"
    text = f"{affix}{{{column}}}" if side[0] else f"{{{column}}}{affix}"
    paths = {cell: [p for p, _, _ in found] for cell, found in chosen.items() if found}
    is_many = any(len(found) > 1 for found in paths.values())
    if is_many and frame[column].duplicated().mean() > 0.1:
        return None  # rows and images of one name: which belongs to which is not told
    kind = "folder" if is_many else "part"
    return naming_of_hits(frame, column, kind, paths, text, has_extension=False, is_text=True)


def _by_folder(frame: pd.DataFrame, column: str, known: set[str], files: Files) -> Naming | None:
    """Cells one of whose parts is a folder of images: a study, a series."""
    best: tuple[int, int, dict[str, list[str]]] = (0, 0, {})
    most = max(cell.count("/") for cell in known)
    for number in range(min(most, 6) + 1):
        hits = {}
        for cell in known:
            parts = slashed(cell).split("/")
            if len(parts) > number and parts[number] in files.by_folder:
                hits[cell] = files.by_folder[parts[number]]
        names = {slashed(cell).split("/")[number] for cell in hits}
        if len(names) > best[0]:
            best = len(names), number, hits
    num_names, number, hits = best
    if num_names < max(2, 0.3 * len(known)) or num_names < 0.3 * len(frame):
        return None  # a class, or a split
    name, derive = column, {}
    if most:
        name = free_name(frame, "folder")
        derive = {name: (column, "^" + r"[^/]+/" * number + "([^/]+)")}
    paths = tuple(tuple(hits.get(cell, ())) for cell in frame[column].tolist())
    ends = {_after_folder(p, slashed(c).split("/")[number]) for c, found in hits.items()
            for p in found}  # fmt: skip
    inner = "" if ends == {0} else "**/"
    starts = {n[: n.index(f"{slashed(c).split('/')[number]}/")]
              for c, found in hits.items() for n in map(normal_form, found)}  # fmt: skip
    outer = starts.pop() if len(starts) == 1 else "**/"
    is_one = all(len(found) == 1 for found in hits.values())
    extension = extension_text({p for found in hits.values() for p in found})
    return Naming(
        column=column, kind="path" if is_one else "folder",
        templates=(f"{outer}{{{name}}}/{inner}*{extension}",), derive=derive, paths=paths,
    )  # fmt: skip


def _after_folder(path: str, folder: str) -> int:
    return normal_form(path).partition(f"{folder}/")[2].count("/")
