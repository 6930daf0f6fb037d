"""How rows name images: what was found of one column, and the templates of it."""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
import re
from collections.abc import Mapping, Sequence

import pandas as pd

from medical_images.drafting.file_families import (
    extension_text,
    families_of,
    templates_of,
    with_stars,
)
from medical_images.drafting.naming_pairs import find_pair
from medical_images.drafting.survey import stem_of
from medical_images.spec_parts import normal_form

_BOUNDARY = re.compile(r"[_\-. ]")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Naming:
    """How rows name image files.

    Attributes:
      column: The column that was matched.
      kind: `name`, `stem`, `part` of a name, `path`, or `folder` (a row names all images of it).
      templates: What `images: path` is to be.
      derive: {new column: (column, pattern)} that the templates need.
      paths: The images named, one list a row.
      passed_over: Folders where the same names stand again.
    """

    column: str
    kind: str
    templates: tuple[str, ...]
    derive: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    paths: tuple[tuple[str, ...], ...] = ()
    passed_over: tuple[str, ...] = ()

    @property
    def num_rows(self) -> int:
        """Rows of the table."""
        return len(self.paths)

    @property
    def num_named(self) -> int:
        """Rows that name at least one image."""
        return sum(map(bool, self.paths))

    @functools.cached_property
    def images(self) -> frozenset[str]:
        """The images named."""
        return frozenset(path for paths in self.paths for path in paths)

    @property
    def is_many(self) -> bool:
        """Whether a row names several."""
        return self.kind == "folder"


class Files:
    """Image files by what rows may call them."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths
        self.by_name: dict[str, list[str]] = collections.defaultdict(list)
        self.by_stem: dict[str, list[str]] = collections.defaultdict(list)
        self.by_folder: dict[str, list[str]] = collections.defaultdict(list)
        for path in paths:
            *folders, name = path.split("/")
            self.by_name[normal_form(name)].append(path)  # as cells are
            self.by_stem[normal_form(stem_of(path))].append(path)
            for folder in folders:
                self.by_folder[normal_form(folder)].append(path)

    @functools.cached_property
    def by_part(self) -> dict[str, list[tuple[str, str, str]]]:
        """Files by the begins and ends of their stems: path, and what stands before and after."""
        parts: dict[str, list[tuple[str, str, str]]] = collections.defaultdict(list)
        for stem, paths in self.by_stem.items():
            for path, found in itertools.product(paths, _BOUNDARY.finditer(stem)):
                at = found.start()
                parts[stem[:at]].append((path, "", stem[at:]))
                parts[stem[at + 1 :]].append((path, stem[: at + 1], ""))
        return parts


def score_of(naming: Naming) -> float:
    """Tells how good a naming is: rows and images it joins, and how plainly."""
    kinds = {
        "name": 0.0,
        "stem": 0.0,
        "padded": -0.01,
        "path": -0.01,
        "base": -0.02,
        "part": -0.1,
        "folder": -0.2,
    }
    rows = naming.num_named / max(naming.num_rows, 1)
    return rows + 0.3 * min(len(naming.images) / max(naming.num_named, 1), 1) + kinds[naming.kind]


def free_name(frame: pd.DataFrame, name: str) -> str:
    """Returns a name for a new column that no table has."""
    while name in frame.columns:
        name = f"image_{name}"
    return name


def naming_of_hits(
    frame: pd.DataFrame,
    column: str,
    kind: str,
    hits: Mapping[str, list[str]],
    name: str,
    *,
    has_extension: bool = True,
    is_text: bool = False,
    derive: Mapping[str, tuple[str, str]] | None = None,
) -> Naming | None:
    """Makes a naming of files by cell: templates whose folders leave no row two files."""
    if not hits:
        return None
    text = name if is_text else f"{{{name}}}"
    many = kind == "folder"
    pair = None if many else find_pair(frame, column, hits)
    if pair is not None:
        inner = "**/" if pair.is_deep else ""
        extension = "" if has_extension else extension_text(p for one in pair.paths for p in one)
        return Naming(
            column=column, kind=kind, paths=pair.paths, derive={**(derive or {}), **pair.derive},
            templates=tuple(f"{h}{{{pair.column}}}/{inner}{text}{extension}" for h in pair.heads),
        )  # fmt: skip
    families = families_of(hits, is_many=many)
    chosen = [(with_stars(paths), extension) for (_, extension), paths in families]
    kept = {path for _, paths in families for path in paths}
    by_cell = {cell: tuple(p for p in paths if p in kept) for cell, paths in hits.items()}
    found = tuple(by_cell.get(cell, ()) for cell in frame[column].tolist())
    two = None if many else _second_column(frame, found)
    if two is not None:
        other, prefixes = two
        extension = "" if has_extension else extension_text(kept)
        templates: tuple[str, ...] = tuple(f"{p}{{{other}}}/{text}{extension}" for p in prefixes)
    else:
        templates = tuple(templates_of(chosen, text, has_extension=has_extension))
    if set(name) & set("{}[]") and not is_text:  # no template can name such a column
        new = free_name(frame, "file")
        templates = tuple(template.replace(text, f"{{{new}}}") for template in templates)
        derive = {new: (column, "(?s).+")}
    others = {
        path.rsplit("/", 1)[0] for paths in hits.values() for path in paths if path not in kept
    }
    return Naming(
        column=column, kind=kind, templates=templates, derive=derive or {}, paths=found,
        passed_over=tuple(sorted(others)),
    )  # fmt: skip


def _second_column(
    frame: pd.DataFrame, found: Sequence[tuple[str, ...]]
) -> tuple[str, list[str]] | None:
    """Returns a column that tells the folder of each row's image, and what stands before it."""
    folders = [paths[0].split("/")[:-1] if paths else [] for paths in found]
    has_folder = [number for number, parts in enumerate(folders) if parts]
    if not has_folder or len({"/".join(f) for f in folders if f}) < 2:
        return None
    last = [folders[number][-1] for number in has_folder]
    for column in frame.columns:
        cells = frame[column].iloc[has_folder]
        if cells.tolist() == last:
            before = {"/".join([*folders[n][:-1], ""]) for n in has_folder}
            return str(column), sorted(before) if len(before) <= 2 else ["**/"]
    return None
