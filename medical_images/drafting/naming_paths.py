"""Cells that are paths, maybe of another machine, of which the end is a path below the folder."""

from __future__ import annotations

import collections
import re
from collections.abc import Collection, Iterable

import pandas as pd

from medical_images.drafting.naming_made import Files, Naming, free_name, naming_of_hits
from medical_images.spec_parts import normal_form

ABSOLUTE = r"/|[A-Za-z]:|\\\\"  # how a path of a whole machine begins
_EXTENSION = re.compile(r"\.(?:jpe?g|png|tiff?|bmp|gif|webp|dcm|dicom)$", re.IGNORECASE)
_MOST_TEMPLATES = 4


def by_base(frame: pd.DataFrame, column: str, known: set[str], files: Files) -> Naming | None:
    """Cells whose last part is a name, or is one but for the extension."""
    hits: dict[str, list[str]] = {}
    for cell in known:
        base = slashed(cell).rsplit("/", 1)[-1]
        if (stem := _EXTENSION.sub("", base)) in files.by_stem and (stem != cell):
            hits[cell] = files.by_stem[stem]
    endings = {_EXTENSION.search(cell.strip()) is not None for cell in hits}
    pattern = r"([^/\\]+)\.[^./\\]+$" if True in endings else r"([^/\\]+)$"
    name = free_name(frame, "file")
    derive = {name: (column, pattern)}
    return naming_of_hits(frame, column, "base", hits, name, has_extension=False, derive=derive)


def by_path(frame: pd.DataFrame, column: str, known: set[str], files: Files) -> Naming | None:
    """Cells that are paths, of which some first folders may be missing on one side."""
    hits: dict[str, list[str]] = {}
    ways: collections.Counter[tuple[str, str]] = collections.Counter()
    is_folder = False
    for cell in known:
        if "/" not in (path := slashed(cell)):
            continue
        inner = path.rstrip("/")
        last = inner.rsplit("/", 1)[-1]
        if path.endswith("/") or (last not in files.by_name and last in files.by_folder):
            candidates = {p[: p.rindex(f"/{last}/") + 1 + len(last)]: 0 for p in
                          files.by_folder.get(last, ()) if f"/{last}/" in p}  # fmt: skip
            is_folder = True
        else:
            candidates = dict.fromkeys(files.by_name.get(last, ()), 0)
        best = max(candidates, key=lambda p: _shared_end(p, inner), default=None)
        if best is None or _shared_end(best, inner) < 2:
            continue
        shared = _shared_end(best, inner)
        dropped, added = _before(inner, shared), _before(best, shared)
        ways[dropped, added] += 1
        below = [p for p in files.by_folder.get(last, ()) if p.startswith(f"{best}/")]
        hits[cell] = below if is_folder else [best]
    if not hits:
        return None
    dropped_parts = {dropped for dropped, _ in ways}
    added_parts = {added for _, added in ways}
    derive: dict[str, tuple[str, str]] = {}
    name = column
    if dropped_parts != {""} or is_folder:
        name = free_name(frame, "folder" if is_folder else "file")
        begin = _begin_of(dropped_parts, known)
        derive[name] = (column, f"^{begin}(.*?)[/\\\\]?$" if is_folder else f"^{begin}(.*)$")
    before = [a if a else "" for a in sorted(added_parts)] if len(added_parts) <= 3 else ["**/"]
    after = "/*" if is_folder else ""
    templates = tuple(f"{prefix}{{{name}}}{after}" for prefix in before)
    paths = tuple(tuple(hits.get(cell, ())) for cell in frame[column].tolist())
    kind = "folder" if is_folder else "path"
    return Naming(column=column, kind=kind, templates=templates, derive=derive, paths=paths)


def slashed(cell: str) -> str:
    """Returns a path as a cell has it with `/` between its folders."""
    return cell.strip().replace("\\", "/").removeprefix("./")


def _shared_end(one: str, other: str) -> int:
    """Returns how many last parts two paths share."""
    one, other = normal_form(one), normal_form(other)
    pairs = zip(reversed(one.split("/")), reversed(other.split("/")), strict=False)
    number = 0
    for a, b in pairs:
        if a != b:
            break
        number += 1
    return number


def _before(path: str, number: int) -> str:
    parts = path.split("/")[:-number]
    return "/".join(parts) + "/" if parts else ""


def _begin_of(dropped: Collection[str], cells: Iterable[str]) -> str:
    """Returns a pattern of what paths have before the part that is below the folder.

    Where it tells of a machine, and maybe of who works there, its folders are counted only.
    """
    depths = {text.count("/") for text in dropped}
    if len(depths) == 1 and any(re.match(ABSOLUTE, cell) for cell in cells):
        return rf"(?:[^/\\]*[/\\]){{{depths.pop()}}}"
    return _any_of(dropped).replace("/", r"[/\\]" if any("\\" in cell for cell in cells) else "/")


def _any_of(texts: Iterable[str]) -> str:
    """Returns a pattern of one of several texts that a path may begin with."""
    texts = sorted(texts)
    full = [re.escape(text).replace(r"\-", "-").replace(r"\ ", " ") for text in texts if text]
    if len(full) > _MOST_TEMPLATES:
        return "(?:.*?/)?"
    alternatives = "|".join(full)
    if len(texts) == 1:
        return alternatives
    return f"(?:{alternatives}){'?' if '' in texts else ''}"
