"""What a plan achieved, in numbers that can be checked. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from medical_images.errors import Problem, SpecError
from medical_images.plan import Plan
from medical_images.plan_warnings import warnings_of
from medical_images.scheme import Scheme
from medical_images.spec import CorpusSpec
from medical_images.strata import IntArray, label_of
from medical_images.tally import ClassCounts, Tally, count_classes


def class_counts(plan: Plan, spec: CorpusSpec) -> dict[str, ClassCounts]:
    """Counts the classes of every class and labels feature.

    Returns:
      {split: {feature: {class: images}}}, with every declared class.
    """
    return {split: count_classes(records, spec) for split, records in plan.splits.items()}


def certify(plan: Plan, *, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """States how close the splits of a plan are to what its spec asks for.

    Args:
      plan: The plan.
      warnings: What was found before, to stand first.

    Returns:
      What `certificate_of` returns.
    """
    records = pd.concat(plan.splits.values(), ignore_index=True)
    lengths = [len(part) for part in plan.splits.values()]
    tally = Tally.of(records, np.repeat(np.arange(len(lengths)), lengths), plan.scheme)
    known = plan.former.groups["key"].isin(records["key"]).sum() if plan.former else 0
    return certificate_of(tally, plan.scheme, num_known=int(known), warnings=warnings)


def certificate_of(
    tally: Tally, scheme: Scheme, *, num_known: int = 0, warnings: Sequence[str] = ()
) -> dict[str, Any]:
    """States how close the splits of a plan are to what its spec asks for.

    Args:
      tally: Of all records.
      scheme: What the plan was to meet.
      num_known: How many groups of a former dataset are here.
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
        plan_sha256: of which image is where on which line; inputs_sha256: of all that the plan was
          made from.
    """
    spec, names, shares = scheme.spec, scheme.names, scheme.shares
    strata = [("", ""), *scheme.strata.names]
    achieved = tally.images
    requested = _requested(achieved, names, shares)
    tables = {
        stratum: _count_table(achieved[:, k], requested[:, k], names, shares)
        for k, stratum in enumerate(strata)
    }
    labels: dict[str, dict[str, Any]] = {feature: {} for feature, _ in scheme.strata.names}
    for feature, value in scheme.strata.names:
        labels[feature][value] = tables[feature, value]
    certificate = {
        "method": spec.splits.method if shares else "official",
        "seed": spec.seed,
        "splits": {
            name: {
                "share": str(shares[name]) if name in shares else None,
                "images": tables["", ""][name],
                "groups": int(tally.groups[k]),
                "images_without_group": int(tally.blank[k]) if spec.group else 0,
            }
            for k, name in enumerate(names)
        },
        "labels": labels,
        "largest_deviation": (
            _largest_deviation(achieved, requested, names, strata) if shares else None
        ),
        "rounding_floor": rounding_floor(requested[[n in shares for n in names]]),
        "group_overlap": tally.num_overlapping,
        "copies": _copies(tally.copies),
        "labels_absent": _absent(achieved, names, strata),
        "folds": spec.splits.fold_names or (list(names) if spec.splits.leave_one_out else []),
        "extended": _extended(tally, scheme, num_known),
        "plan_sha256": tally.places_digest,
        "inputs_sha256": tally.inputs_digest(scheme),
    }
    return certificate | {"warnings": [*warnings, *warnings_of(tally, scheme, certificate)]}


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


def _extended(tally: Tally, scheme: Scheme, num_known: int) -> dict[str, int] | None:
    if scheme.former is None:
        return None
    return {
        "known": num_known,
        "new": tally.num_groups - num_known,
        "gone": len(scheme.former.groups) - num_known,
    }


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


def _copies(copies: pd.DataFrame) -> dict[str, int]:
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
