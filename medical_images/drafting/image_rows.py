"""The rows of a draft: those of its tables, or one for each image where there are none."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from medical_images.drafting.joining import Joined
from medical_images.drafting.naming_made import Naming
from medical_images.drafting.path_columns import PathColumns, columns_of_paths
from medical_images.drafting.survey import extension_of
from medical_images.template import PathTemplate

_MOST_CLASSES = 20  # of folders, where a table tells none


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of images, of tables or made of paths.

    Attributes:
      frame: Their columns.
      images: The image of each row, "" for none; of a row that names several, the first.
      all_images: All images that rows name.
      made_of: {derived column: (source, pattern)}.
      templates: What `images: path` is to be.
      is_many: Whether a row names several images.
      keys: Columns that are used to find images.
    """

    frame: pd.DataFrame
    images: tuple[str, ...]
    all_images: tuple[str, ...]
    made_of: Mapping[str, tuple[str, str]]
    templates: tuple[str, ...]
    is_many: bool = False
    keys: tuple[str, ...] = ()


def rows_of_paths(told: PathColumns) -> Rows:
    """Makes rows of images where no table does."""
    frame = pd.DataFrame(dict(told.cells), index=range(len(told.images)), dtype="str")
    made_of = {}
    for column, pattern in told.derive.items():
        made_of[column] = ("images.path", pattern)
        cells = [m[1] if (m := re.search(pattern, path)) else "" for path in told.images]
        frame[column] = pd.Series(cells, dtype="str")
    return Rows(
        frame=frame, images=told.images, all_images=told.images, made_of=made_of,
        templates=of_slices(told.templates, told.images),
    )  # fmt: skip


def rows_of_tables(joined: Joined, naming: Naming) -> Rows:
    """Makes rows of those of tables."""
    templates = [PathTemplate(text) for text in naming.templates]
    keys = {naming.column, *(c for template in templates for c in template.columns)}
    return Rows(
        frame=joined.frame,
        images=tuple(paths[0] if paths else "" for paths in naming.paths),
        all_images=tuple(sorted(naming.images)),
        made_of=dict(naming.derive),
        templates=of_slices(naming.templates, naming.images),
        is_many=naming.is_many or any(map(is_volume, naming.images)),
        keys=tuple(keys - {"folder", "label"}) if len(keys) > 1 else (naming.column,),
    )


def is_volume(path: str) -> bool:
    """Whether a file is a NIfTI volume, which stands as a folder of its slices."""
    return path.lower().endswith((".nii", ".nii.gz"))


def of_slices(templates: Sequence[str], paths: Iterable[str]) -> tuple[str, ...]:
    """Returns templates that name the slices of volumes, where files are volumes.

    Example:
      >>> of_slices(['{id}.nii.gz', 'a/{file}'], ['x.nii.gz'])
      ('{id}.nii.gz/*', 'a/{file[:-7]}.nii.gz/*')
    """
    endings = sorted({extension_of(path) for path in paths if is_volume(path)})
    if not endings:
        return tuple(templates)
    found = []
    for text in templates:
        if text.endswith(tuple(endings)):
            found.append(f"{text}/*")
        elif text.endswith(".*"):
            found += [f"{text[:-2]}{ending}/*" for ending in endings]
        else:
            found += [f"{text[:-1]}[:-{len(ending)}]}}{ending}/*" for ending in endings]
    return tuple(found)


def with_label_of_folders(rows: Rows) -> tuple[Rows, str] | None:
    """Adds the class that folders of the rows' images tell, and returns the pattern of it too."""
    paths = [path for path in rows.images if path]
    if rows.is_many or "label" in rows.frame or not paths:
        return None
    told = columns_of_paths(paths)
    level = told.level_of_label
    if level < 0 or told.num_left_out or len(set(told.cells["label"])) > _MOST_CLASSES:
        return None
    pattern = "^" + "[^/]+/" * level + "([^/]+)/"
    cells = [found[1] if (found := re.search(pattern, path)) else "" for path in rows.images]
    frame = rows.frame.assign(label=pd.Series(cells, index=rows.frame.index, dtype="str"))
    return dataclasses.replace(rows, frame=frame), pattern
