"""What paths alone tell, where no table does: classes, splits, patients."""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Mapping, Sequence

from medical_images.drafting.file_families import extension_text, literal
from medical_images.drafting.official_splits import split_of

_MOST_CLASSES = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class PathColumns:
    """Columns that the paths of images tell.

    Attributes:
      templates: What `images: path` is to be.
      cells: {column of the template: the cell of each image that fits}.
      derive: {column: pattern}, searched in the path.
      label: The column of the class, or "".
      level_of_label: Which of the folders on the way is the class, from 0; -1 for none.
      images: The images that fit.
      num_left_out: Those that do not.
    """

    templates: tuple[str, ...]
    cells: Mapping[str, Sequence[str]]
    derive: Mapping[str, str]
    label: str
    level_of_label: int = -1
    images: tuple[str, ...]
    num_left_out: int


def columns_of_paths(paths: Sequence[str]) -> PathColumns:
    """Finds columns in the paths of images."""
    depths = collections.Counter(path.count("/") for path in paths)
    depth = max(depths, key=lambda depth: depths[depth], default=0)
    deep = [path for path in paths if path.count("/") == depth]
    folders = [path.split("/")[:-1] for path in deep]
    names: list[str] = []
    cells: dict[str, list[str]] = {}
    for level in range(depth):
        own = [parts[level] for parts in folders]
        name = _name_of(own, level=level)
        text = literal(own[0]) if len(set(own)) == 1 else f"{{{name}}}" if name else "*"
        if name:
            name = _free(name, cells)
            cells[name] = own
            text = f"{{{name}}}"
        names.append(text)
    words = [name for name in cells if name.startswith("folder")]
    label = words[-1] if words else ""
    if label:
        cells = {("label" if name == label else name): own for name, own in cells.items()}
        names = ["{label}" if text == f"{{{label}}}" else text for text in names]
        label = "label"
    level_of_label = names.index("{label}") if label else -1
    derive: dict[str, str] = {}
    if not label and (pattern := _label_in_names(deep)):
        derive["label"] = pattern
        label = "label"
    extension = extension_text(deep)
    template = "/".join([*names, f"*{extension}"])
    return PathColumns(
        templates=(template,), cells=cells, derive=derive, label=label,
        level_of_label=level_of_label, images=tuple(deep),
        num_left_out=len(paths) - len(deep),
    )  # fmt: skip


def _free(name: str, taken: Mapping[str, object]) -> str:
    number, stem = 2, name
    while name in taken:
        name, number = f"{stem}_{number}", number + 1
    return name


def _name_of(own: Sequence[str], *, level: int) -> str:
    """Returns the column that a level of folders is, or "" of one that is constant or an id."""
    counts = collections.Counter(own)
    if len(counts) == 1 or len(counts) > _MOST_CLASSES:
        return ""
    if all(map(split_of, counts)):
        return "official_split"
    if all(re.fullmatch(r"\d+[xX]", name) for name in counts):
        return "magnification"
    with_digits = sum(bool(re.search(r"\d", name)) for name in counts)
    if with_digits > 0.5 * len(counts):
        return ""
    return f"folder_{level + 1}"


def _label_in_names(paths: Sequence[str]) -> str:
    """Returns the pattern of a class at the begin or the end of names, or ""."""
    stems = [path.rsplit("/", 1)[-1].rsplit(".", 1)[0] for path in paths]
    for pattern, full in (
        (r"[_-]([^_/.-]+)$", r"[_-]([^_/.-]+)\.[^./]+$"),
        (r"^([A-Za-z]+)", r"(?:^|/)([A-Za-z]+)[^/]*$"),
    ):
        found = [m[1] for stem in stems if (m := re.search(pattern, stem))]
        counts = collections.Counter(found)
        if len(found) == len(stems) and 2 <= len(counts) <= min(10, len(stems) / 3):
            return full
    return ""
