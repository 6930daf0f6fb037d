"""The splits that a plan is to make, and all that is refused before or after it. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from fractions import Fraction

import pandas as pd

from medical_images.errors import Problem, SpecError, some_lines
from medical_images.facts import Facts, Known
from medical_images.spec import CorpusSpec, leave_one_out_name
from medical_images.strata import Strata
from medical_images.tables import KEY_SEPARATOR

NO_SPLITS = "The splits cannot be made"
_PSEUDONYM = re.compile("[0-9a-f]{32}")
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Former:
    """A former dataset, whose groups keep their splits and positions.

    Attributes:
      groups: One line a group: `split`, `key` (uint64) and `position`.
      seed: With which the keys were made.
      group: The columns that told the groups.
      key_check: The check value of the key of its pseudonyms; None where it has none.
    """

    groups: pd.DataFrame
    seed: int
    group: tuple[str, ...]
    key_check: str | None = None


@dataclasses.dataclass(frozen=True)
class Scheme:
    """What a plan is to meet.

    Attributes:
      names: The splits, planned ones first.
      shares: {split: its share of the planned images}; official splits have none.
      strata: What is balanced.
      former: The dataset that is extended, if one.
    """

    names: tuple[str, ...]
    shares: Mapping[str, Fraction]
    strata: Strata
    former: Former | None = None

    @classmethod
    def make(cls, facts: Facts, strata: Strata, former: Former | None = None) -> Scheme:
        """Finds splits, shares and combinations to balance.

        Args:
          facts: Of all records.
          strata: Of the single features, by which the facts were counted.
          former: The dataset to extend.

        Raises:
          SpecError: Counts do not add up, a group stands in two official splits, a stratum has no
            image, or the former dataset does not fit.
        """
        spec = strata.spec
        _refuse_torn(facts, spec)
        if former is not None and facts.known is not None:
            _refuse_unlike(former, facts.known, spec)
        try:
            shares = spec.splits.planned(facts.images[""])
        except ValueError as error:
            raise _splits_error("splits", str(error)) from None
        _refuse_empty_strata(facts, strata)
        if facts.known is not None and shares:
            _refuse_torn_known(facts.known, list(shares))
        official = [
            name
            for name in _official_names(spec)
            if facts.images[name] or not spec.splits.leave_one_out
        ]
        strata = strata.with_joint(facts.joint, shares=[float(s) for s in shares.values()])
        return cls((*shares, *official), shares, strata, former)

    @property
    def spec(self) -> CorpusSpec:
        """What the plan is made for."""
        return self.strata.spec

    @property
    def first(self) -> int:
        """The number of the planned split that comes first to labels too rare for all of them.

        It is `train`, or else the first fold, or else the largest split.
        """
        names, shares = list(self.shares), list(self.shares.values())
        for name in ("train", "fold_0"):
            if name in names:
                return names.index(name)
        return shares.index(max(shares)) if shares else 0

    def refuse_empty(self, sizes: Mapping[str, int], facts: Facts) -> None:
        """Refuses a plan with an empty split.

        Args:
          sizes: {split: its images} as they were planned.
          facts: Of all records.

        Raises:
          SpecError: A split is empty, or `leave_one_out` makes fewer than two.
        """
        spec, problems = self.spec, []
        empty = [name for name in self.names if not sizes.get(name)]
        for name in empty:
            if name in spec.splits.files:
                what = f"no line of '{spec.splits.files[name]}' names an image that is written"
                remedy = "`on:` names the column whose cells the lines are"
                problems.append(Problem(where=f"splits.files.{name}", what=what, remedy=remedy))
            elif name not in self.shares:
                what = "is an official split without an image"
                problems.append(Problem(where=f"splits.{name}", what=what, remedy="leave it out"))
        if spec.splits.leave_one_out and len(self.names) < 2:
            what = "fewer than two of its classes have images, which leaves nothing to fit on"
            problems.append(Problem(where="splits.leave_one_out", what=what))
        planned = [name for name in empty if name in self.shares]
        if planned:
            problems += _empty_planned(planned, facts, self.shares, spec)
        if problems:
            raise SpecError(problems, headline=NO_SPLITS)


def _official_names(spec: CorpusSpec) -> list[str]:
    feature = spec.splits.leave_one_out
    if feature is None:
        return spec.splits.official
    return [leave_one_out_name(feature, value) for value in spec.classes[feature]]


def _splits_error(where: str, what: str, remedy: str = "") -> SpecError:
    return SpecError([Problem(where=where, what=what, remedy=remedy)], headline=NO_SPLITS)


def _refuse_torn(facts: Facts, spec: CorpusSpec) -> None:
    torn = facts.torn
    if spec.splits.allow_leaks or torn.empty:
        return
    num_groups = torn["whole"].nunique()
    names = sorted({name or "those to plan" for name in torn["split"]})
    what = (
        f"{num_groups:,} group{'s' if num_groups != 1 else ''} ({len(torn):,} images) stand in two"
        f" of the official splits ({', '.join(names)}){_lines(torn, spec)}{_pseudonyms(torn, spec)}"
    )
    remedy = "mend the splits; or accept and list the leaks: `allow_leaks: true`"
    raise _splits_error("splits", what, remedy)


def _pseudonyms(torn: pd.DataFrame, spec: CorpusSpec) -> str:
    """Names some groups, where that tells nobody who they are."""
    if not set(spec.group) <= set(spec.privacy.pseudonymize):
        return ""
    parts = {part for whole in torn["whole"] for part in whole.split(KEY_SEPARATOR)}
    ids = sorted(filter(_PSEUDONYM.fullmatch, parts))
    return f"; pseudonyms {', '.join(ids[:_SHOWN])}{', ...' * (len(ids) > _SHOWN)}" if ids else ""


def _lines(records: pd.DataFrame, spec: CorpusSpec) -> str:
    return f": {some_lines(records['line'])}" if spec.tables else ""


def _refuse_unlike(former: Former, known: Known, spec: CorpusSpec) -> None:
    """Refuses to extend a dataset whose groups would not be found again, or would move."""
    if former.seed != spec.seed:
        what = f"the dataset to extend was planned with the seed {former.seed}, this {spec.seed}"
        raise _splits_error("splits.extend", what, "use the same seed")
    if former.group != spec.group:
        one, other = (", ".join(group) or "none" for group in (former.group, spec.group))
        what = f"the dataset to extend has the `group` {one}, and this one {other}"
        raise _splits_error("splits.extend", what, "group by the same columns")
    if former.key_check != spec.privacy.key_check:
        both = former.key_check and spec.privacy.key_check
        what = (
            "the dataset to extend has pseudonyms by another key than this"
            if both
            else "one of this dataset and the one to extend is made with a key, and one without"
        )
        remedy = "hide the same columns, by the key that was used before"
        raise _splits_error("splits.extend", what, remedy)
    if not known.num_groups:
        what = f"none of the {len(former.groups):,} groups of the dataset to extend is in this one"
        raise _splits_error("splits.extend", what, "write the ids of groups as before")
    moved = known.moved
    if len(moved) and not spec.splits.allow_leaks:
        what = (
            f"{moved['whole'].nunique():,} groups ({len(moved):,} images) stood in another split"
            f" than their official one{_lines(moved, spec)}"
        )
        remedy = "mend the official splits; or accept that they move: `allow_leaks: true`"
        raise _splits_error("splits.extend", what, remedy)


def _refuse_torn_known(known: Known, names: list[str]) -> None:
    """Refuses groups to plan whose splits are gone, and those that would have to be in two."""
    gone = sorted(set(known.splits) - set(names))
    if gone:
        count = sum(known.splits[name] for name in gone)
        what = (
            f"{count:,} groups stood in {', '.join(gone)}, and are now to be planned among"
            f" {', '.join(names)}"
        )
        raise _splits_error("splits.extend", what, "name the same splits")
    if known.num_torn:
        what = (
            f"copies of one image join groups that stood in different splits, {known.num_torn}"
            " times; known groups cannot move"
        )
        remedy = "leave the copies out (`duplicates: reject`), or allow them (`duplicates: report`)"
        raise _splits_error("splits.extend", what, remedy)


def _refuse_empty_strata(facts: Facts, strata: Strata) -> None:
    spec = strata.spec
    if spec.rejects.classes_without_image == "report":
        return
    empty: dict[str, list[str]] = {}
    for (feature, value), count in zip(strata.names, facts.strata, strict=True):
        if count == 0 and feature in spec.classes:
            empty.setdefault(feature, []).append(value)
    problems = [
        Problem(
            where=f"features.{feature}.values",
            what=f"0 of {facts.images.total():,} images have the class"
            f" {', '.join(map(repr, values))}",
            remedy="declare only classes that there are, or accept it:"
            " `rejects: {classes_without_image: report}`",
        )
        for feature, values in empty.items()
    ]
    if problems:
        raise SpecError(problems, headline="There is nothing to balance")


def _empty_planned(
    empty: list[str], facts: Facts, shares: Mapping[str, Fraction], spec: CorpusSpec
) -> list[Problem]:
    if not facts.images[""]:
        what = "every image has an official split; none is left to plan"
        return [Problem(where="splits", what=what, remedy=f"take out {', '.join(shares)}")]
    images = (
        f"of {facts.images['']:,} images in {facts.num_groups:,} groups, the largest of"
        f" {facts.largest:,} images"
    )
    folds = [name for name in empty if name in spec.splits.fold_names]
    problems = [
        Problem(
            where=f"splits.{name}",
            what=f"would be empty: its share is {float(shares[name]):g} {images}",
            remedy="give it a larger share, or leave it out",
        )
        for name in empty
        if name not in folds
    ]
    if folds:
        what = f"{len(folds)} of them would be empty: they are {images}"
        problems.append(Problem(where="splits.folds", what=what, remedy="ask for fewer"))
    return problems
