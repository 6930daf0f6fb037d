"""Records to a plan: which split each record is in, and where on the line it stands. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pandas as pd

from medical_images import line
from medical_images.errors import Problem, SpecError, some_lines
from medical_images.grouping import own_groups, torn_groups, whole_groups
from medical_images.spec import CorpusSpec, leave_one_out_name
from medical_images.strata import Strata

NO_SPLITS = "The splits cannot be made"
IntArray = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Former:
    """A former dataset, whose groups keep their splits and positions.

    Attributes:
      groups: One line a group: `split`, `key` (uint64) and `position`.
      seed: With which the keys were made.
      group: The columns that told the groups.
    """

    groups: pd.DataFrame
    seed: int
    group: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Plan:
    """The records of every split, in written order.

    Attributes:
      splits: {split: records}; the records' columns; `whole`, the id of what must stay together;
        `key`, the keyed hash of the record's own group (uint64); and `position`, the place of what
        must stay together on the split's line, about the middle of its images, in [0, 1).
      shares: {split: its share of the planned images}; official splits have none.
      strata: What is balanced.
      former: The dataset that this one extends, if one.
    """

    splits: Mapping[str, pd.DataFrame]
    shares: Mapping[str, Fraction]
    strata: Strata
    former: Former | None = None

    @property
    def num_records(self) -> int:
        """The number of records in all splits."""
        return sum(len(records) for records in self.splits.values())

    def first(self, num_records: int | None) -> Plan:
        """Returns the plan cut to the first records of each split; None leaves it whole."""
        if num_records is None:
            return self
        cut = {name: records.iloc[:num_records] for name, records in self.splits.items()}
        return dataclasses.replace(self, splits=cut)


@dataclasses.dataclass(frozen=True)
class GroupTable:
    """What a plan is made from.

    Attributes:
      codes: int64 of shape (records,), the number of each record's group.
      groups: The groups: keyed hashes, sizes, counts of each stratum.
    """

    codes: IntArray
    groups: line.Groups


def plan_records(records: pd.DataFrame, spec: CorpusSpec, former: Former | None = None) -> Plan:
    """Plans splits and order: groups stay whole, and every slice is stratified.

    Args:
      records: What `join.join_images` and `copies.apply_copies` make; their order does not matter.
      spec: `splits`, `stratify`, `duplicates` and `seed`.
      former: The dataset that this one extends.

    Raises:
      SpecError: A split would be empty, counts do not add up, a group stands in two official
        splits, a stratum has no image, or the former dataset does not fit.
    """
    records = records.assign(
        whole=whole_groups(records, join_copies=spec.duplicates == "group"),
        key=line.hash_groups(own_groups(records), seed=spec.seed),
    )
    strata = Strata.fit(records, spec)
    _refuse_torn(records, spec)
    if former is not None:
        _refuse_unlike(former, records, spec)
    is_planned = (records["split"] == "").to_numpy()
    planned = records[is_planned]
    shares = _shares(spec, len(planned))
    strata = _with_joint(strata, planned, spec, list(shares.values()))
    _refuse_empty_strata(records, strata, spec)
    splits = _planned_splits(planned, spec, strata, shares, former)
    for name in _official_names(spec):
        official = records[(records["split"] == name).to_numpy()]
        if len(official) or not spec.splits.leave_one_out:
            splits[name] = official
    _refuse_empty(splits, shares, spec)
    ordered = {name: _in_order(part, spec, strata, name, former) for name, part in splits.items()}
    return Plan(ordered, shares, strata, former)


def first_split(names: Sequence[str], shares: Sequence[Fraction]) -> int:
    """Returns the number of the split that comes first to labels too rare for all of them.

    It is `train`, or else the first fold, or else the largest split.
    """
    for name in ("train", "fold_0"):
        if name in names:
            return names.index(name)
    return shares.index(max(shares)) if shares else 0


def group_table(records: pd.DataFrame, strata: Strata) -> GroupTable:
    """Reduces records, or a part of them, to groups: what has the same `whole`."""
    codes, unique = pd.factorize(records["whole"], sort=True)
    sizes = np.bincount(codes, minlength=len(unique))
    matrix = strata.matrix(records)
    counts = np.zeros((len(unique), matrix.shape[1]), dtype=np.int64)
    for column, is_in in enumerate(matrix.T):
        counts[:, column] = np.bincount(codes[is_in > 0], minlength=len(unique))
    hashes = line.hash_groups(unique.tolist(), seed=strata.spec.seed)
    return GroupTable(codes.astype(np.int64), line.Groups.make(hashes, sizes, counts))


def _shares(spec: CorpusSpec, num_planned: int) -> dict[str, Fraction]:
    try:
        return spec.splits.planned(num_planned)
    except ValueError as error:
        raise _splits_error("splits", str(error)) from None


def _official_names(spec: CorpusSpec) -> list[str]:
    feature = spec.splits.leave_one_out
    if feature is None:
        return spec.splits.official
    return [leave_one_out_name(feature, value) for value in spec.classes[feature]]


def _with_joint(
    strata: Strata, records: pd.DataFrame, spec: CorpusSpec, shares: list[float | Fraction]
) -> Strata:
    if len(strata.features) < 2 or spec.splits.method == "hash":
        return strata
    codes, _ = pd.factorize(records["whole"])
    return strata.with_joint(records, groups=codes, shares=[float(share) for share in shares])


def _planned_splits(
    records: pd.DataFrame,
    spec: CorpusSpec,
    strata: Strata,
    shares: Mapping[str, Fraction],
    former: Former | None,
) -> dict[str, pd.DataFrame]:
    """Returns the records of each planned split."""
    if not shares:
        return {}
    table = group_table(records, strata)
    groups, ratios = table.groups, list(shares.values())
    if spec.splits.method == "hash":
        split_of_group = line.hash_splits(hashes=groups.hashes, ratios=ratios)
    else:
        known = None
        if former is not None:
            known = _known_splits(records, table, list(shares), former, spec)
        split_of_group = line.plan_splits(
            hashes=groups.hashes,
            sizes=groups.sizes,
            counts=groups.counts,
            ratios=ratios,
            first=first_split(list(shares), ratios),
            known=known,
        )
    split_of_record = split_of_group[table.codes]
    return {name: records[split_of_record == k] for k, name in enumerate(shares)}


def _known_splits(
    records: pd.DataFrame, table: GroupTable, names: list[str], former: Former, spec: CorpusSpec
) -> IntArray:
    """int64 of shape (groups,): the split in which each group was before; -1 for a new one."""
    before = former.groups[former.groups["key"].isin(records["key"])]
    gone = sorted(set(before["split"]) - set(names))
    if gone:
        count = before["split"].isin(gone).sum()
        what = (
            f"{count:,} groups stood in {', '.join(gone)}, and are now to be planned among"
            f" {', '.join(names)}"
        )
        raise _splits_error("splits.extend", what, "name the same splits")
    split_of_key = dict(zip(before["key"], before["split"].map(names.index), strict=True))
    known = records["key"].map(split_of_key).fillna(-1).to_numpy(np.int64)
    is_known = known >= 0
    lowest = np.full(len(table.groups), len(names))
    highest = np.full(len(table.groups), -1)
    np.minimum.at(lowest, table.codes[is_known], known[is_known])
    np.maximum.at(highest, table.codes[is_known], known[is_known])
    num_torn = int((lowest < highest).sum())
    if num_torn:
        what = (
            f"copies of one image join groups that stood in different splits, {num_torn} times;"
            " known groups cannot move"
        )
        remedy = "leave the copies out (`duplicates: reject`), or allow them (`duplicates: report`)"
        raise _splits_error("splits.extend", what, remedy)
    return highest


def _in_order(
    records: pd.DataFrame, spec: CorpusSpec, strata: Strata, name: str, former: Former | None
) -> pd.DataFrame:
    """Puts the records of one split on its line."""
    table = group_table(records, strata)
    groups = table.groups
    if spec.splits.method == "hash":
        positions = line.hash_positions(hashes=groups.hashes)
    else:
        known = None
        if former is not None:
            before = former.groups[former.groups["split"] == name]
            place = records["key"].map(dict(zip(before["key"], before["position"], strict=True)))
            known = np.full(len(groups), np.nan)
            np.fmin.at(known, table.codes, place.to_numpy(np.float64))
        positions = line.plan_positions(
            hashes=groups.hashes, sizes=groups.sizes, counts=groups.counts, known=known
        )
    ordered = records.assign(
        position=positions[table.codes], _hash=groups.hashes[table.codes], _group=table.codes
    )
    # The images of a group stand together, in the order of their paths.
    ordered = ordered.sort_values(["position", "_hash", "_group", "path"], ignore_index=True)
    return ordered.drop(columns=["_hash", "_group"])


def _splits_error(where: str, what: str, remedy: str = "") -> SpecError:
    return SpecError([Problem(where=where, what=what, remedy=remedy)], headline=NO_SPLITS)


def _refuse_torn(records: pd.DataFrame, spec: CorpusSpec) -> None:
    torn = torn_groups(records)
    if spec.splits.allow_leaks or torn.empty:
        return
    num_groups = torn["whole"].nunique()
    names = sorted({name or "those to plan" for name in torn["split"]})
    what = (
        f"{num_groups:,} group{'s' if num_groups != 1 else ''} ({len(torn):,} images) stand in two"
        f" of the official splits ({', '.join(names)}){_lines(torn, spec)}"
    )
    remedy = "mend the splits; or accept and list the leaks: `allow_leaks: true`"
    raise _splits_error("splits", what, remedy)


def _lines(records: pd.DataFrame, spec: CorpusSpec) -> str:
    return f": {some_lines(records['line'])}" if spec.tables else ""


def _refuse_unlike(former: Former, records: pd.DataFrame, spec: CorpusSpec) -> None:
    """Refuses to extend a dataset whose groups would not be found again, or would move."""
    if former.seed != spec.seed:
        what = f"the dataset to extend was planned with the seed {former.seed}, this {spec.seed}"
        raise _splits_error("splits.extend", what, "use the same seed")
    if former.group != spec.group:
        one, other = (", ".join(group) or "none" for group in (former.group, spec.group))
        what = f"the dataset to extend has the `group` {one}, and this one {other}"
        raise _splits_error("splits.extend", what, "group by the same columns")
    split_of_key = dict(zip(former.groups["key"], former.groups["split"], strict=True))
    before = records["key"].map(split_of_key)
    if before.isna().all():
        what = f"none of the {len(former.groups):,} groups of the dataset to extend is in this one"
        raise _splits_error("splits.extend", what, "write the ids of groups as before")
    moved = records[(records["split"] != "") & before.notna() & (before != records["split"])]
    if len(moved) and not spec.splits.allow_leaks:
        what = (
            f"{moved['whole'].nunique():,} groups ({len(moved):,} images) stood in another split"
            f" than their official one{_lines(moved, spec)}"
        )
        remedy = "mend the official splits; or accept that they move: `allow_leaks: true`"
        raise _splits_error("splits.extend", what, remedy)


def _refuse_empty_strata(records: pd.DataFrame, strata: Strata, spec: CorpusSpec) -> None:
    if spec.rejects.classes_without_image == "report":
        return
    counts = strata.matrix(records).sum(axis=0, dtype=np.int64)
    empty: dict[str, list[str]] = {}
    for (feature, value), count in zip(strata.names, counts, strict=True):
        if count == 0 and feature in spec.classes:
            empty.setdefault(feature, []).append(value)
    problems = [
        Problem(
            where=f"features.{feature}.values",
            what=f"0 of {len(records):,} images have the class {', '.join(map(repr, values))}",
            remedy="take it out of `values:`, or accept it:"
            " `rejects: {classes_without_image: report}`",
        )
        for feature, values in empty.items()
    ]
    if problems:
        raise SpecError(problems, headline="There is nothing to balance")


def _refuse_empty(
    splits: Mapping[str, pd.DataFrame], shares: Mapping[str, Fraction], spec: CorpusSpec
) -> None:
    problems = []
    empty = [name for name, records in splits.items() if records.empty]
    for name in empty:
        if name in spec.splits.files:
            what = f"no line of '{spec.splits.files[name]}' names an image that is written"
            remedy = "`on:` names the column whose cells the lines are"
            problems.append(Problem(where=f"splits.files.{name}", what=what, remedy=remedy))
        elif name not in shares:
            what = "is an official split without an image"
            problems.append(Problem(where=f"splits.{name}", what=what, remedy="leave it out"))
    if spec.splits.leave_one_out and len(splits) < 2:
        what = "fewer than two of its classes have images, which leaves nothing to fit on"
        problems.append(Problem(where="splits.leave_one_out", what=what))
    planned = [name for name in empty if name in shares]
    if planned:
        problems += _empty_planned(planned, [splits[name] for name in shares], shares, spec)
    if problems:
        raise SpecError(problems, headline=NO_SPLITS)


def _empty_planned(
    empty: list[str],
    parts: list[pd.DataFrame],
    shares: Mapping[str, Fraction],
    spec: CorpusSpec,
) -> list[Problem]:
    sizes = pd.concat([part["whole"] for part in parts]).value_counts()
    if sizes.empty:
        what = "every image has an official split; none is left to plan"
        return [Problem(where="splits", what=what, remedy=f"take out {', '.join(shares)}")]
    images = f"of {sizes.sum():,} images in {len(sizes):,} groups, the largest of {sizes.max():,}"
    folds = [name for name in empty if name in spec.splits.fold_names]
    problems = [
        Problem(
            where=f"splits.{name}",
            what=f"would be empty: its share is {float(shares[name]):g} {images} images",
            remedy="give it a larger share, or leave it out",
        )
        for name in empty
        if name not in folds
    ]
    if folds:
        what = f"{len(folds)} of them would be empty: they are {images} images"
        problems.append(Problem(where="splits.folds", what=what, remedy="ask for fewer"))
    return problems
