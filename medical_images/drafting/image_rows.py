"""The rows of a draft: those of its tables, or one for each image where there are none."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

import pandas as pd

from medical_images.drafting.joining import Joined
from medical_images.drafting.naming import Naming
from medical_images.drafting.path_columns import PathColumns
from medical_images.template import PathTemplate


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
        templates=told.templates,
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
        templates=naming.templates,
        is_many=naming.is_many,
        keys=tuple(keys - {"folder", "label"}) if len(keys) > 1 else (naming.column,),
    )
