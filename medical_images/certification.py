"""What a plan achieved, in numbers that can be checked. Pure."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from medical_images.errors import Problem, SpecError
from medical_images.grouping import own_groups
from medical_images.join import feature_column
from medical_images.plan import Plan
from medical_images.plan_warnings import warnings_of
from medical_images.spec import CorpusSpec
from medical_images.strata import label_of

IntArray = npt.NDArray[np.int64]


def class_counts(plan: Plan, spec: CorpusSpec) -> dict[str, dict[str, dict[str, int]]]:
    """Counts the classes of every class and labels feature.

    Returns:
      {split: {feature: {class: images}}}, with every declared class.
    """
    result: dict[str, dict[str, dict[str, int]]] = {}
    for split, records in plan.splits.items():
        result[split] = {}
        for name, classes in spec.classes.items():
            counts = records[feature_column(name)].explode().value_counts()
            result[split][name] = {value: int(counts.get(value, 0)) for value in classes}
    return result


def certify(plan: Plan, spec: CorpusSpec, *, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """States how close the splits of a plan are to what the spec asks for.

    Args:
      plan: The plan.
      spec: What it was made for.
      warnings: What was found before, to stand first.

    Returns:
      A dictionary of plain values. A *count* is {requested, achieved, share}: how many images are
      due to a split (None in official splits), how many it has, and what part that is of all
      planned images (in official splits, of all images) of this kind.

        method: `line`, `hash` or `official`; seed.
        splits: {split: {share, images: count, groups, images_without_group}}; `share` is the text
          of a fraction, None in official splits.
        labels: {feature: {stratum: {split: count}}} of the `stratify` features; combinations of
          several features stand under their names joined by ` & `.
        largest_deviation: {images, split, label}: the largest difference between requested and
          achieved, in images, and where it is; None where no split is planned.
        rounding_floor: what the largest deviation would be if every image could be placed freely,
          since images are whole.
        group_overlap: groups that stand in more than one split.
        copies: {sets, images, across_splits}: sets of images with the same bytes, their images,
          and how many of the sets stand in more than one split.
        labels_absent: {split: [feature=stratum, ...]} of strata that occur, but not in this split.
        folds: the splits that are held out in turn.
        warnings: what a reader should know, one sentence each.
        extended: {known, new, gone}: groups that were in the former dataset, that were not, and
          that are not here any more; None where none is extended.
        plan_sha256: of which image is where; inputs_sha256: of all that the plan was made from.
    """
    names = list(plan.splits)
    strata = [("", ""), *plan.strata.names]
    achieved = np.array([_counts(records, plan) for records in plan.splits.values()])
    requested = _requested(achieved, names, plan.shares)
    groups = {name: set(own_groups(records)) for name, records in plan.splits.items()}
    tables = {
        stratum: _count_table(achieved[:, k], requested[:, k], names, plan.shares)
        for k, stratum in enumerate(strata)
    }
    labels: dict[str, dict[str, Any]] = {feature: {} for feature, _ in plan.strata.names}
    for feature, value in plan.strata.names:
        labels[feature][value] = tables[feature, value]
    certificate = {
        "method": spec.splits.method if plan.shares else "official",
        "seed": spec.seed,
        "splits": {
            name: {
                "share": str(plan.shares[name]) if name in plan.shares else None,
                "images": tables["", ""][name],
                "groups": len(groups[name]),
                "images_without_group": int((records["group"] == "").sum()) if spec.group else 0,
            }
            for name, records in plan.splits.items()
        },
        "labels": labels,
        "largest_deviation": (
            _largest_deviation(achieved, requested, names, strata) if plan.shares else None
        ),
        "rounding_floor": rounding_floor(requested[[n in plan.shares for n in names]]),
        "group_overlap": sum(n > 1 for n in Counter(chain(*groups.values())).values()),
        "copies": _copies(plan),
        "labels_absent": _absent(achieved, names, strata),
        "folds": spec.splits.fold_names or (names if spec.splits.leave_one_out else []),
        "extended": _extended(plan),
        "plan_sha256": plan_digest(plan),
        "inputs_sha256": inputs_digest(plan, spec),
    }
    return certificate | {"warnings": [*warnings, *warnings_of(plan, spec, certificate)]}


def check_tolerance(certificate: Mapping[str, Any], spec: CorpusSpec) -> None:
    """Stops a build whose splits are farther from their shares than the spec accepts.

    Raises:
      SpecError: Lists every split and label that is.
    """
    allowed = spec.splits.max_deviation
    if allowed is None:
        return
    problems = []
    for label, name, count in _all_counts(certificate):
        if count["requested"] is not None:
            deviation = abs(count["achieved"] - count["requested"])
            if deviation > allowed + 1e-6:  # what is requested was rounded to as much
                what = (
                    f"{label or 'images'}: {count['requested']:,.2f} requested,"
                    f" {count['achieved']:,} achieved, {deviation:,.2f} off; allowed: {allowed:g}"
                )
                problems.append(Problem(where=f"splits.{name}", what=what))
    if problems:
        floor = certificate["rounding_floor"]
        raise SpecError(
            problems,
            headline=f"The splits are farther from their shares than `max_deviation: {allowed:g}`",
            epilog=f"Rounding alone leaves {floor:.2f} images. Raise max_deviation, or give the"
            " splits other shares; whole groups cannot be divided.",
        )


def rounding_floor(requested: npt.NDArray[np.float64]) -> float:
    """The least largest deviation that whole images allow.

    Args:
      requested: float64 of shape (splits, labels), images due; the splits of a label add up to a
        whole number.

    Returns:
      The largest difference that is left when the fractions of each label are rounded up where
      they are largest (the method of largest remainders), and down elsewhere.

    Example:
      >>> round(rounding_floor(np.array([[89.6], [11.2], [11.2]])), 6)
      0.4
    """
    if requested.size == 0:
        return 0.0
    fractions = np.sort(requested - np.floor(requested), axis=0)[::-1]
    num_up = np.rint(fractions.sum(axis=0)).astype(np.int64)
    is_up = np.arange(len(fractions))[:, None] < num_up
    return float(np.where(is_up, 1 - fractions, fractions).max())


def plan_digest(plan: Plan) -> str:
    """Returns a hash of which image stands where."""
    digest = hashlib.sha256()
    for name, records in plan.splits.items():
        digest.update(json.dumps([name, records["path"].tolist()]).encode())
    return digest.hexdigest()


def inputs_digest(plan: Plan, spec: CorpusSpec) -> str:
    """Returns a hash of all that a plan was made from.

    It covers the records (names and sizes of files, groups, official splits, copies, features),
    what the spec says of splits, strata, copies and the seed, and the dataset that was extended.
    """
    records = pd.concat(plan.splits.values(), ignore_index=True)
    records = records.sort_values("path", ignore_index=True)
    made_here = ("key", "whole", "position", "table", "line", "lines")
    digest = hashlib.sha256()
    digest.update(
        spec.model_dump_json(include={"splits", "stratify", "duplicates", "seed"}).encode()
    )
    tables = [records[[name for name in records.columns if name not in made_here]]]
    tables += [plan.former.groups.sort_values("key")] if plan.former else []
    for table in tables:
        for column in sorted(table.columns.astype(str)):
            cells = table[column]
            is_number = pd.api.types.is_numeric_dtype(cells)
            digest.update(column.encode())
            digest.update(cells.to_numpy().tobytes() if is_number else _text(cells.tolist()))
    return digest.hexdigest()


def _extended(plan: Plan) -> dict[str, int] | None:
    if plan.former is None:
        return None
    keys = set(pd.concat([records["key"] for records in plan.splits.values()]))
    before = set(plan.former.groups["key"])
    return {
        "known": len(keys & before), "new": len(keys - before), "gone": len(before - keys),
    }  # fmt: skip


def _text(cells: list[Any]) -> bytes:
    return json.dumps(cells, default=str).encode()


def _counts(records: pd.DataFrame, plan: Plan) -> IntArray:
    """int64 of shape (1 + strata,): all images, and those of each stratum."""
    sums = plan.strata.matrix(records).sum(axis=0, dtype=np.int64)
    return np.append(len(records), sums)


def _requested(
    achieved: IntArray, names: Sequence[str], shares: Mapping[str, Fraction]
) -> npt.NDArray[np.float64]:
    """float64 of the shape of `achieved`: images due; NaN in official splits."""
    is_planned = np.array([name in shares for name in names])
    totals = achieved[is_planned].sum(axis=0)
    due = [
        [float(shares[name] * int(total)) if name in shares else np.nan for total in totals]
        for name in names
    ]
    return np.array(due, dtype=np.float64)


def _count_table(
    achieved: IntArray,
    requested: npt.NDArray[np.float64],
    names: Sequence[str],
    shares: Mapping[str, Fraction],
) -> dict[str, dict[str, Any]]:
    is_planned = np.array([name in shares for name in names])
    num_planned, num_all = int(achieved[is_planned].sum()), int(achieved.sum())
    table = {}
    for name, have, due in zip(names, achieved.tolist(), requested.tolist(), strict=True):
        total = num_planned if name in shares else num_all
        table[name] = {
            "requested": round(due, 6) if name in shares else None,
            "achieved": have,
            "share": round(have / total, 6) if total else 0.0,
        }
    return table


def _largest_deviation(
    achieved: IntArray,
    requested: npt.NDArray[np.float64],
    names: Sequence[str],
    strata: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    deviation = np.nan_to_num(np.abs(achieved - requested))
    split, label = np.unravel_index(int(deviation.argmax()), deviation.shape)
    return {
        "images": round(float(deviation.max()), 6),
        "split": names[int(split)],
        "label": label_of(strata[int(label)]),
    }


def _copies(plan: Plan) -> dict[str, int]:
    columns = [
        records[["copy"]].assign(split=name)
        for name, records in plan.splits.items()
        if "copy" in records
    ]
    copies = pd.concat(columns) if columns else pd.DataFrame({"copy": [], "split": []})
    copies = copies[copies["copy"] != ""]
    splits_of_set = copies.groupby("copy")["split"].nunique()
    return {
        "sets": len(splits_of_set),
        "images": len(copies),
        "across_splits": int((splits_of_set > 1).sum()),
    }


def _absent(
    achieved: IntArray, names: Sequence[str], strata: Sequence[tuple[str, str]]
) -> dict[str, list[str]]:
    absent: dict[str, list[str]] = {}
    for k in np.flatnonzero(achieved.any(axis=0)):
        for name, count in zip(names, achieved[:, k], strict=True):
            if count == 0:
                absent.setdefault(name, []).append(label_of(strata[int(k)]))
    return absent


def _all_counts(certificate: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yields (label, split, count)."""
    for name, split in certificate["splits"].items():
        yield "", name, split["images"]
    for feature, values in certificate["labels"].items():
        for value, table in values.items():
            for name, count in table.items():
                yield label_of((feature, value)), name, count
