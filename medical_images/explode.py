"""One row, several images: each row becomes one row for each entry of `explode:`. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Self

import pandas as pd
from pydantic import Field, model_validator

from medical_images.spec_parts import Name, SpecPart


class Explode(SpecPart):
    """What the columns of one row tell of several images, such as those of both eyes.

    Attributes:
      column: A new column, which holds the name of the entry.
      into: The entries: {name: {new column: column of the tables}}; all have the same new columns.
    """

    column: Name
    into: dict[Name, dict[Name, Name]] = Field(min_length=2)

    @model_validator(mode="after")
    def _alike(self) -> Self:
        (first, columns), *others = self.into.items()
        for name, mapping in others:
            if unlike := sorted(columns.keys() ^ mapping.keys()):
                raise ValueError(f"'{first}' and '{name}' differ: only one has '{unlike[0]}'")
        if self.column in columns:
            raise ValueError(f"`into:` makes a column '{self.column}' too")
        return self

    @property
    def new_columns(self) -> tuple[str, ...]:
        """The columns that are made."""
        return (self.column, *next(iter(self.into.values())))

    @property
    def sources(self) -> set[str]:
        """The columns of the tables that are read."""
        return {source for mapping in self.into.values() for source in mapping.values()}


def explode_rows(
    rows: pd.DataFrame, explode: Explode, *, image_columns: Collection[str], kept: Collection[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Makes one row for each entry out of every row; any part of the rows may be given alone.

    An entry that tells no image is left out, where another one of its row tells one.

    Args:
      rows: The rows of the joined tables, each with an index of its own.
      explode: The entries.
      image_columns: The columns that tell the image; new ones among them may be blank.
      kept: The columns that are used otherwise; the others that are read go.

    Returns:
      The rows, with an index that is unique if that of `rows` was, and those left out.

    Example:
      >>> explode = Explode(column='eye', into={'l': {'file': 'Left'}, 'r': {'file': 'Right'}})
      >>> rows = pd.DataFrame({'id': ['7', '8'], 'Left': ['a', 'b'], 'Right': ['c', '']})
      >>> made, left_out = explode_rows(rows, explode, image_columns=['file'], kept=['id'])
      >>> made[['id', 'eye', 'file']].to_numpy().tolist()
      [['7', 'l', 'a'], ['7', 'r', 'c'], ['8', 'l', 'b']]
    """
    parts = []
    for number, (name, mapping) in enumerate(explode.into.items()):
        part = rows.drop(columns=list(explode.sources.difference(kept)))
        part = part.assign(**{new: rows[source] for new, source in mapping.items()})
        part[explode.column] = pd.Series(name, index=rows.index, dtype="str")
        parts.append(part.set_axis(rows.index * len(explode.into) + number))
    made = pd.concat(parts).sort_index(kind="stable")
    telling = [name for name in explode.new_columns[1:] if name in image_columns]
    is_blank = (made[telling] == "").any(axis=1) if telling else pd.Series(False, index=made.index)
    of_row = made.index // len(explode.into)
    is_left_out = is_blank & ~is_blank.groupby(of_row).transform("all")
    return made[~is_left_out], made[is_left_out]
