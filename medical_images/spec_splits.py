"""The parts of a spec that say which splits there are, and what is balanced between them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from medical_images.errors import nearest
from medical_images.spec_parts import IMAGE_PATH, Place, PlacedError, SpecPart, Tokens

REST = "rest"  # what the other names leave; in `values:`, the cells of images that are planned
_SIZES = "a share such as 0.8 or 1/3, a count of images such as 200, or `rest`"


class Stratum(SpecPart):
    """A feature whose values are balanced between splits and along each of them.

    Attributes:
      feature: Its name.
      bins: For a number: the inner edges of its bins, in ascending order, each of which holds its
        lower edge; or a number from 2 of bins of equally many images. None for classes.
    """

    feature: str
    bins: int | tuple[float, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, data: Any) -> Any:
        return {"feature": data} if isinstance(data, str) else data

    @field_validator("bins", mode="before")
    @classmethod
    def _as_numbers(cls, bins: Any) -> Any:
        try:
            if isinstance(bins, list | tuple):
                edges = tuple(float(edge) for edge in bins)
                if edges and all(a < b for a, b in pairwise((-float("inf"), *edges, float("inf")))):
                    return edges
            elif bins is None or int(str(bins)) >= 2:
                return bins if bins is None else int(str(bins))
        except (TypeError, ValueError):
            pass
        raise ValueError(
            "bins are inner edges in ascending order, such as [40, 60], or a number from 2 of bins"
            " of equally many images"
        )


class Splits(SpecPart):
    """The splits of a dataset: planned, official, or both.

    In YAML the names of `sizes` stand beside the other keys.

    Attributes:
      sizes: The planned splits by name: a share (`0.8`, `1/3`; they add up to 1), a count of images
        (a whole number), or `rest`. They are of the images without an official split.
      folds: How many splits `fold_0`, `fold_1`, ... share evenly what the names leave.
      method: `line`, stratified; or `hash`, by each group alone, so that a corpus may grow.
      extend: A former dataset whose groups keep their splits and their order: a folder relative to
        this file, or TFDS's name of it, such as `medical_images/mine:1.0.0`; seed and `group` must
        be the same.
      column: The column, of a table or derived, that tells the official split.
      values: With `column`: {split: [cells]}, or a list of cells that are names of splits; under
        `rest`, cells of images that are planned.
      files: {split: list}: official splits by lists of images, one a line, relative to the root.
      on: With `files`: the column that the lines name; by default a line is an image's path below
        the root, or its file's name, with or without the extension.
      leave_one_out: A feature of type `class`: each class that has images is a split, such as
        `site_a`.
      allow_leaks: Whether groups in two official splits are listed instead of refused.
      max_deviation: How many images a plan may be from its shares; beyond, the build stops. By
        default any.

    Example:
      >>> splits = Splits.model_validate({'train': '0.8', 'folds': '2'})
      >>> splits.planned(100)
      {'train': Fraction(4, 5), 'fold_0': Fraction(1, 10), 'fold_1': Fraction(1, 10)}
    """

    sizes: dict[str, Fraction | int | Literal["rest"]] = Field(default={})
    folds: int | None = Field(default=None, ge=2)
    method: Literal["line", "hash"] = "line"
    extend: str | None = Field(default=None, min_length=1)
    column: str | None = Field(default=None, min_length=1)
    values: dict[str, Tokens] = Field(default={})
    files: dict[str, str] = Field(default={})
    on: str = Field(default=IMAGE_PATH, min_length=1)
    leave_one_out: str | None = Field(default=None, min_length=1)
    allow_leaks: bool = False
    max_deviation: float | None = Field(default=None, ge=0, allow_inf_nan=False)

    @property
    def is_planned(self) -> bool:
        """Whether some splits are planned."""
        return bool(self.sizes or self.folds)

    @property
    def official(self) -> list[str]:
        """The names of the official splits; of `leave_one_out`, the classes know them."""
        return [name for name in (*self.values, *self.files) if name != REST]

    @property
    def fold_names(self) -> list[str]:
        """The names of the folds."""
        return [f"fold_{number}" for number in range(self.folds or 0)]

    def planned(self, num_images: int) -> dict[str, Fraction]:
        """Returns the share of each planned split.

        Args:
          num_images: How many images are planned, which are those without an official split.

        Returns:
          {split: share}, the names of the spec first and then the folds. The shares add up to
          exactly 1; there are none where all splits are official.

        Raises:
          ValueError: The counts of the spec do not fit that number of images.
        """
        if not self.is_planned:
            return {}
        self._check_counts(num_images)
        shares = self._shares | {
            name: Fraction(count, num_images) for name, count in self._counts.items()
        }
        left = 1 - sum(shares.values(), Fraction(0))
        named = {name: shares.get(name, left) for name in self.sizes}
        return named | dict.fromkeys(self.fold_names, left / max(len(self.fold_names), 1))

    def _check_counts(self, num_images: int) -> None:
        counts = self._counts
        if not counts:
            return
        total = sum(counts.values())
        added = f"the counts add up to {total:,} images"
        if total > num_images or (total < num_images and not self._takers):
            raise ValueError(
                f"{added}, but {num_images:,} are to be planned; let one split be `rest`, or give"
                " shares such as 0.8"
            )
        if total == num_images and self._takers:
            raise ValueError(
                f"{added}, which leaves none of the {num_images:,} for {', '.join(self._takers)}"
            )

    @property
    def _counts(self) -> dict[str, int]:
        return {name: size for name, size in self.sizes.items() if isinstance(size, int)}

    @property
    def _shares(self) -> dict[str, Fraction]:
        return {name: size for name, size in self.sizes.items() if isinstance(size, Fraction)}

    @property
    def _takers(self) -> list[str]:
        """The splits of what the others leave."""
        return [name for name, size in self.sizes.items() if size == REST] + self.fold_names

    @property
    def _sources(self) -> list[str]:
        """The keys by which official splits are given."""
        given = {"column": self.column, "files": self.files, "leave_one_out": self.leave_one_out}
        return [key for key, value in given.items() if value]

    @model_validator(mode="before")
    @classmethod
    def _names_as_sizes(cls, data: Any) -> Any:
        if isinstance(data, Splits) or (
            isinstance(data, Mapping) and isinstance(data.get("sizes"), Mapping)
        ):
            return data
        if not isinstance(data, Mapping):
            raise ValueError("`splits:` maps names to shares, such as {train: 0.8, test: 0.2}")
        keys = cls._keys()
        sizes = {name: size for name, size in data.items() if name not in keys}
        return {"sizes": sizes, **{key: data[key] for key in keys if key in data}}

    @classmethod
    def _keys(cls) -> list[str]:
        return [key for key in cls.model_fields if key != "sizes"]

    @field_validator("sizes", mode="before")
    @classmethod
    def _as_sizes(cls, sizes: Mapping[str, Any]) -> dict[str, Fraction | int | str]:
        texts = {name: str(size).strip() for name, size in sizes.items()}
        whole = {name: text for name, text in texts.items() if text.isdecimal()}
        are_counts = len(whole) > 1 or any(int(text) > 1 for text in whole.values())
        result: dict[str, Fraction | int | str] = {}
        wrong: list[tuple[Place, str]] = []
        for name, text in texts.items():
            try:
                is_count = name in whole and are_counts
                result[name] = text if text == REST else int(text) if is_count else Fraction(text)
            except (ValueError, ZeroDivisionError):
                what = f"'{text}' is no size of a split ({_SIZES})"
                hint = nearest(str(name), cls._keys())
                if hint.startswith("did you mean"):
                    what += f"; if '{name}' is to be a key, {hint}"
                wrong.append(((name,), what))
        if wrong:
            raise PlacedError(wrong)
        return result

    @field_validator("values", mode="before")
    @classmethod
    def _as_lists(cls, values: Any) -> Any:
        if isinstance(values, list | tuple) and all(isinstance(v, str) for v in values):
            return {name: [name] for name in values}
        if isinstance(values, Mapping):
            return {name: [v] if isinstance(v, str) else v for name, v in values.items()}
        raise ValueError("takes {split: [cells]}, or a list of cells that are names of splits")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        wrong = [
            *self._wrong_names(),
            *self._wrong_sizes(),
            *self._wrong_sources(),
            *self._wrong_keys(),
        ]
        if wrong:
            raise PlacedError(wrong)
        return self

    def _wrong_names(self) -> Iterator[tuple[Place, str]]:
        named: list[Place] = [(name,) for name in self.sizes]
        named += [("values", name) for name in self.values if name != REST]
        named += [("files", name) for name in self.files]
        for place in named:
            name = str(place[-1])
            if not re.fullmatch(r"\w+", name):
                yield place, f"not a split name (letters, digits and _): {name}"
            elif name in ("all", REST, *self._keys()):
                yield place, f"not a split name, since it has a meaning of its own: {name}"
            elif name in self.fold_names:
                yield place, f"'{name}' is one of the {self.folds} folds too"
            elif len(place) > 1 and name in self.sizes:
                yield place, f"'{name}' is planned and official at once; it can be one of them"

    def _wrong_sizes(self) -> Iterator[tuple[Place, str]]:
        counts, shares, takers = self._counts, self._shares, self._takers
        sizes: dict[str, Fraction | int] = {**shares, **counts}
        wrong = [name for name, size in sizes.items() if size <= 0]
        large = [] if wrong else [name for name, share in shares.items() if share > 1]
        for name in wrong:
            yield (name,), f"the size of a split must be above 0 ({_SIZES})"
        for name in large:
            yield (name,), f"a share is at most 1 ({_SIZES})"
        if counts and shares:
            yield (next(iter(counts)),), _mixed(counts, shares, self._keys())
        if wrong or large or (counts and shares):
            return
        if len(takers) - len(self.fold_names) > 1:
            yield (takers[1],), f"only one split can be `rest`; {takers[0]} is it already"
        elif self.folds and takers[0] not in self.fold_names:
            yield (
                ("folds",),
                f"`rest` and the folds both take what is left; give {takers[0]} a size",
            )
        total = sum(shares.values())
        if takers and total >= 1:
            yield (), f"the shares add up to {float(total)}, which leaves nothing for {takers[0]}"
        elif shares and not takers and total != 1:
            yield (
                (),
                f"the shares must add up to 1 (or one be `rest`); they add up to {float(total)}",
            )

    def _wrong_sources(self) -> Iterator[tuple[Place, str]]:
        sources = self._sources
        if len(sources) > 1:
            what = f"official splits come from one key; `{sources[0]}` gives them already"
            yield (sources[1],), what
        if not sources and not self.is_planned:
            yield (
                (),
                (
                    "there is no split; give shares such as {train: 0.8, test: 0.2}, or `folds`,"
                    " `column`, `files` or `leave_one_out`"
                ),
            )
        if self.column and not self.values:
            what = "say which cells stand for which split: `values: {train: [train], test: [test]}`"
            yield ("column",), what
        repeated = Counter(cell for cells in self.values.values() for cell in set(cells))
        for cell, count in repeated.items():
            if count > 1:
                yield ("values",), f"the cell '{cell}' stands for {count} splits; it can for one"
        if REST in self.values and not self.is_planned:
            what = "no split is planned; give shares, such as {train: 0.9, validation: 0.1}"
            yield ("values", REST), what

    def _wrong_keys(self) -> Iterator[tuple[Place, str]]:
        if self.values and not self.column:
            yield ("values",), "is for `column:`, the column whose cells these are"
        if self.on != IMAGE_PATH and not self.files:
            yield ("on",), "is for `files:`, whose lines it says how to read"
        if self.allow_leaks and not self._sources:
            what = "is for official splits; groups of planned ones stay whole in any case"
            yield ("allow_leaks",), what
        for key in ("extend", "max_deviation", "method"):
            is_given = getattr(self, key) != type(self).model_fields[key].default
            if is_given and (self.leave_one_out or not self.is_planned):
                yield (key,), "is for planned splits, and none is planned here"
        if self.leave_one_out and self.is_planned:
            place: Place = ("folds",) if self.folds else (next(iter(self.sizes)),)
            yield place, "every image has its split by `leave_one_out`; none is left to plan"
        if self.method == "hash" and self.extend:
            yield (
                ("extend",),
                "`method: hash` follows no former dataset, but each group's hash alone",
            )
        if self.method == "hash" and self._counts:
            yield ("method",), "`hash` knows no counts of images; give shares such as 0.8"


def _mixed(counts: Mapping[str, int], shares: Mapping[str, Fraction], keys: list[str]) -> str:
    what = f"counts of images ({', '.join(counts)}) and shares ({', '.join(shares)}) do not mix"
    hints = [nearest(name, keys) for name in counts]
    return "; ".join([what, *(hint for hint in hints if hint.startswith("did you mean"))])
