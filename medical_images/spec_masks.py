"""Masks: the feature that tells of each pixel of an image what it shows."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from medical_images.spec_features import BaseFeature
from medical_images.spec_images import Side
from medical_images.spec_parts import Name, SpecPart, Tokens, normal_form
from medical_images.template import PathTemplate

Index = Annotated[int, Field(ge=0, le=255)]
MOST_FILES = 255  # each has an index of its own


class Runs(SpecPart):
    """Masks written as runs of pixels in the cells of a column, `start length start length...`.

    Every row of an image adds the pixels of its cell; they become 1, and all others stay 0.

    Attributes:
      column: The column of the cells.
      order: Whether pixels are counted down the `columns` (as Kaggle does) or along the `rows`.
      start: The number of the first pixel, 0 or 1.
      relative: Whether each start is counted from the end of the run before (as in SIIM-ACR).
      none: Cells that say that there is nothing to see, such as `-1`.
      size: Height and width of the images that the runs were made for, if they are all alike; an
        image of another size is rejected.
    """

    column: Name
    order: Literal["columns", "rows"] = "columns"
    start: int = Field(default=1, ge=0, le=1)
    relative: bool = False
    none: Tokens = Field(default=[])
    size: tuple[Side, Side] | None = None


class MaskFeature(BaseFeature):
    """A label index for each pixel, uint8 of the image's height and width, in files or in cells.

    Attributes:
      path: The path template of the mask's file, over columns and without wildcards; or several,
        where each object has a file of its own. Or
      runs: Where its runs stand.
      files: What the files of several paths tell together: `numbered`, where each holds one object
        (0 and one other number, whichever), which becomes 1 of the first path, 2 of the second, and
        so on; or `union`, where the indices of all files hold. Files that do not exist add nothing;
        pixels of which files tell different indices make the mask unusable.
      values: Names of the indices 0, 1, 2...; a mask with other indices is rejected. Without names
        all of 0 to 255 are kept.
      map: Other indices in the file, {there: here}; for example {255: 1}.
      absent: What happens to an image without a mask (none of its files exists, a column of each
        path is missing, or all its cells of runs are): `reject` it, or take a mask of zeros
        (`empty`).
    """

    type: Literal["mask"]
    path: list[str] | None = Field(default=None, min_length=1, max_length=MOST_FILES)
    runs: Runs | None = None
    files: Literal["numbered", "union"] = "numbered"
    values: list[str] = Field(default=[], max_length=256)
    map: dict[Annotated[int, Field(ge=0, le=65535)], Index] = Field(default={})
    absent: Literal["reject", "empty"] = "reject"

    @field_validator("path", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("path")
    @classmethod
    def _name_one_file_each(cls, paths: list[str] | None) -> list[str] | None:
        for path in paths or ():
            if "*" in path:
                raise ValueError("a mask's path has no wildcards; name its file by columns")
            if not PathTemplate(path).columns:
                raise ValueError("all images would have the same mask; name its file by columns")
            if (paths or []).count(path) > 1:
                raise ValueError(f"`path:` names '{path}' twice")
        return paths

    @field_validator("values")
    @classmethod
    def _normal_values(cls, values: list[str]) -> list[str]:
        values = [normal_form(value) for value in values]
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise ValueError(f"`values:` names {', '.join(map(repr, twice))} twice")
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.path is None) == (self.runs is None):
            raise ValueError("give `path:` or `runs:`, and not both")
        if self.column is not None:
            raise ValueError("a mask has `path:` or `runs: {column: ...}`, not `column:`")
        if self.map and self.runs is not None:
            raise ValueError("`map:` is for `path:`; the pixels of runs become 1")
        if self.values and self.runs is not None and len(self.values) < 2:
            raise ValueError("the pixels of runs become 1; name 0 and 1 in `values:`")
        if "files" in self.model_fields_set and len(self.templates) < 2:
            raise ValueError("`files:` is for several paths")
        if self.values and self.is_numbered and len(self.values) <= len(self.templates):
            last = len(self.templates)
            raise ValueError(f"the objects of the files become 1 to {last}; `values:` names 0 too")
        beyond = [index for index in self.map.values() if index >= len(self.values)]
        if self.values and beyond and not self.is_numbered:
            raise ValueError(f"`map:` leads to {beyond[0]}, which `values:` does not name")
        return self

    @property
    def templates(self) -> tuple[PathTemplate, ...]:
        """The path templates; none of runs."""
        return tuple(PathTemplate(path) for path in self.path or ())

    @property
    def is_numbered(self) -> bool:
        """Whether the object of each file has the file's number."""
        return len(self.templates) > 1 and self.files == "numbered"

    def columns(self, name: str) -> tuple[str, ...]:
        """The columns read: those of the paths, or that of the runs."""
        if self.runs is not None:
            return (self.runs.column,)
        columns = (column for template in self.templates for column in template.columns)
        return tuple(dict.fromkeys(columns))
