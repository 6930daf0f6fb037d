"""Cells that are numbers which names of files and folders write in another way."""

from __future__ import annotations

import collections
import dataclasses
import re

import pandas as pd

from medical_images.drafting.file_families import extension_text
from medical_images.drafting.naming_made import Files, Naming, naming_of_hits

_MOST_ZEROS = 8
_MOST_DOUBLED = 0.1  # of rows, that share a folder with another one


def by_padded(frame: pd.DataFrame, column: str, known: set[str], files: Files) -> Naming | None:
    """Numbers that have lost the zeros that stand before them in names: `7` of `0007.png`."""
    if not all(map(_is_number, known)):
        return None
    of_number: dict[str, list[str]] = collections.defaultdict(list)
    for stem in files.by_stem:
        if _is_number(stem):
            of_number[stem.lstrip("0") or "0"].append(stem)
    found = {cell: of_number[cell] for cell in known if len(of_number.get(cell, ())) == 1}
    zeros = {len(stems[0]) - len(cell) for cell, stems in found.items()}
    if zeros <= {0} or len(zeros) > _MOST_ZEROS:
        return None
    hits = {cell: files.by_stem[stems[0]] for cell, stems in found.items()}
    naming = naming_of_hits(frame, column, "padded", hits, column, has_extension=False)
    if naming is None or any(f"{{{column}}}" not in text for text in naming.templates):
        return None
    templates = (
        text.replace(f"{{{column}}}", f"{'0' * number}{{{column}}}")
        for text in naming.templates
        for number in sorted(zeros)
    )
    return dataclasses.replace(naming, templates=tuple(templates))


def by_numbered_folder(
    frame: pd.DataFrame, column: str, known: set[str], files: Files
) -> Naming | None:
    """Numbers of folders that have a word or zeros before them: `7` of `Patient_007/`."""
    if frame[column].duplicated().mean() > _MOST_DOUBLED or not all(map(_is_number, known)):
        return None
    of_word: dict[str, dict[str, str]] = collections.defaultdict(dict)
    for folder in files.by_folder:
        if found := re.fullmatch(r"(|.*\D)([0-9]+)", folder):
            of_word[found[1]][found[2].lstrip("0") or "0"] = folder
    best: tuple[str, dict[str, str]] = ("", {})
    for word, own in of_word.items():
        folders = {cell: own[n] for cell in known if (n := cell.lstrip("0") or "0") in own}
        if len(folders) > max(len(best[1]), 0.5 * len(own)):
            best = word, folders
    word, folders = best
    zeros = {len(folder) - len(word) - len(cell) for cell, folder in folders.items()}
    if len(folders) < max(3, 0.5 * len(known)) or min(zeros) < 0 or len(zeros) > _MOST_ZEROS:
        return None
    hits = {cell: tuple(files.by_folder[folder]) for cell, folder in folders.items()}
    cut = [p.split(f"{folders[cell]}/", 1) for cell, paths in hits.items() for p in paths]
    heads = {head for head, _ in cut}
    head = heads.pop() if len(heads) == 1 else "**/"
    inner = "**/" if any("/" in rest for _, rest in cut) else ""
    end = f"/{inner}*{extension_text(p for paths in hits.values() for p in paths)}"
    return Naming(
        column=column,
        kind="folder",
        templates=tuple(f"{head}{word}{'0' * n}{{{column}}}{end}" for n in sorted(zeros)),
        paths=tuple(hits.get(cell, ()) for cell in frame[column].tolist()),
    )


def _is_number(cell: str) -> bool:
    return cell.isascii() and cell.isdigit()
