"""Which images the rows of a table name: by names, stems, paths, folders, or two columns."""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pandas as pd

from medical_images.drafting.file_families import (
    extension_text,
    families_of,
    templates_of,
    with_stars,
)
from medical_images.drafting.survey import stem_of

_BOUNDARY = re.compile(r"[_\-. ]")
_EXTENSION = re.compile(r"\.(?:jpe?g|png|tiff?|bmp|gif|webp|dcm|dicom)$", re.IGNORECASE)
_MOST_TEMPLATES = 4
_SAMPLE = 5_000
_ENOUGH = 0.02  # of rows, to speak of a match at all


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
            stem = stem_of(path)
            self.by_name[name].append(path)
            self.by_stem[stem].append(path)
            for folder in folders:
                self.by_folder[folder].append(path)

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


def find_namings(frame: pd.DataFrame, files: Files) -> list[Naming]:
    """Finds all ways in which rows of a table name images, the best first."""
    found = [
        naming
        for column in frame.columns
        if (naming := _best_of(frame, str(column), files)) is not None
    ]
    return sorted(found, key=lambda naming: -score_of(naming))


def score_of(naming: Naming) -> float:
    """Tells how good a naming is: rows and images it joins, and how plainly."""
    kinds = {"name": 0.0, "stem": 0.0, "path": -0.01, "base": -0.02, "part": -0.1, "folder": -0.2}
    rows = naming.num_named / max(naming.num_rows, 1)
    return rows + 0.3 * min(len(naming.images) / max(naming.num_named, 1), 1) + kinds[naming.kind]


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
    for find in (_by_name, _by_stem, _by_path, _by_base, _by_part, _by_folder):
        naming = find(frame, column, known, files)
        if naming is None:
            continue
        if naming.num_named > _ENOUGH * naming.num_rows or 2 * len(naming.images) >= most:
            yield naming
        if naming.num_named > 0.95 * naming.num_rows:
            return


def _by_name(frame: pd.DataFrame, column: str, known: set[str], files: Files) -> Naming | None:
    hits = {cell: files.by_name[cell] for cell in known if cell in files.by_name}
    return _of_hits(frame, column, "name", hits, column)


def _by_stem(frame: pd.DataFrame, column: str, known: set[str], files: Files) -> Naming | None:
    hits = {cell: files.by_stem[cell] for cell in known if cell in files.by_stem}
    return _of_hits(frame, column, "stem", hits, column, has_extension=False)


def _by_base(frame: pd.DataFrame, column: str, known: set[str], files: Files) -> Naming | None:
    """Cells whose last part is a name, or is one but for the extension."""
    hits: dict[str, list[str]] = {}
    for cell in known:
        base = _slashed(cell).rsplit("/", 1)[-1]
        if (stem := _EXTENSION.sub("", base)) in files.by_stem and (stem != cell):
            hits[cell] = files.by_stem[stem]
    endings = {_EXTENSION.search(cell.strip()) is not None for cell in hits}
    pattern = r"([^/\\]+)\.[^./\\]+$" if True in endings else r"([^/\\]+)$"
    name = _free(frame, "file")
    derive = {name: (column, pattern)}
    return _of_hits(frame, column, "base", hits, name, has_extension=False, derive=derive)


def _by_path(frame: pd.DataFrame, column: str, known: set[str], files: Files) -> Naming | None:
    """Cells that are paths, of which some first folders may be missing on one side."""
    hits: dict[str, list[str]] = {}
    ways: collections.Counter[tuple[str, str]] = collections.Counter()
    is_folder = False
    for cell in known:
        if "/" not in (path := _slashed(cell)):
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
        name = _free(frame, "folder" if is_folder else "file")
        derive[name] = (column, f"^{_any_of(dropped_parts)}(.*?)/?$" if is_folder
                        else f"^{_any_of(dropped_parts)}(.*)$")  # fmt: skip
    before = [a if a else "" for a in sorted(added_parts)] if len(added_parts) <= 3 else ["**/"]
    after = "/*" if is_folder else ""
    templates = tuple(f"{prefix}{{{name}}}{after}" for prefix in before)
    paths = tuple(tuple(hits.get(cell, ())) for cell in frame[column].tolist())
    kind = "folder" if is_folder else "path"
    return Naming(column=column, kind=kind, templates=templates, derive=derive, paths=paths)


def _free(frame: pd.DataFrame, name: str) -> str:
    """Returns a name for a new column that no table has."""
    while name in frame.columns:
        name = f"image_{name}"
    return name


def _slashed(cell: str) -> str:
    return cell.strip().replace("\\", "/").removeprefix("./")


def _shared_end(one: str, other: str) -> int:
    """Returns how many last parts two paths share."""
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
    return _of_hits(frame, column, kind, paths, text, has_extension=False, is_text=True)


def _by_folder(frame: pd.DataFrame, column: str, known: set[str], files: Files) -> Naming | None:
    """Cells one of whose parts is a folder of images: a study, a series."""
    best: tuple[int, int, dict[str, list[str]]] = (0, 0, {})
    most = max(cell.count("/") for cell in known)
    for number in range(min(most, 6) + 1):
        hits = {}
        for cell in known:
            parts = _slashed(cell).split("/")
            if len(parts) > number and parts[number] in files.by_folder:
                hits[cell] = files.by_folder[parts[number]]
        names = {_slashed(cell).split("/")[number] for cell in hits}
        if len(names) > best[0]:
            best = len(names), number, hits
    num_names, number, hits = best
    if num_names < max(2, 0.3 * len(known)) or num_names < 0.3 * len(frame):
        return None  # a class, or a split
    name, derive = column, {}
    if most:
        name = _free(frame, "folder")
        derive = {name: (column, "^" + r"[^/]+/" * number + "([^/]+)")}
    paths = tuple(tuple(hits.get(cell, ())) for cell in frame[column].tolist())
    ends = {_after_folder(p, _slashed(c).split("/")[number]) for c, found in hits.items()
            for p in found}  # fmt: skip
    inner = "" if ends == {0} else "**/"
    starts = {p[: p.index(f"{_slashed(c).split('/')[number]}/")]
              for c, found in hits.items() for p in found}  # fmt: skip
    outer = starts.pop() if len(starts) == 1 else "**/"
    is_one = all(len(found) == 1 for found in hits.values())
    extension = extension_text({p for found in hits.values() for p in found})
    return Naming(
        column=column, kind="path" if is_one else "folder",
        templates=(f"{outer}{{{name}}}/{inner}*{extension}",), derive=derive, paths=paths,
    )  # fmt: skip


def _after_folder(path: str, folder: str) -> int:
    return path[path.index(f"{folder}/") + len(folder) + 1 :].count("/")


def _of_hits(
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
        new = _free(frame, "file")
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
