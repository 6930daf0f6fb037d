"""What a reader of a plan's certificate should know: one sentence for each doubtful case. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from medical_images.grouping import own_groups
from medical_images.plan import Plan
from medical_images.spec import CorpusSpec
from medical_images.strata import label_of

IntArray = npt.NDArray[np.int64]


def warnings_of(plan: Plan, spec: CorpusSpec, certificate: Mapping[str, Any]) -> Iterator[str]:
    """Says what a reader of the certificate should know, one sentence each.

    Args:
      plan: The plan.
      spec: What it was made for.
      certificate: What `certification.certify` found, but for the warnings.
    """
    records = pd.concat(plan.splits.values(), ignore_index=True)
    codes, _ = pd.factorize(records["whole"])
    yield from _warnings_of_groups(codes, records, plan, spec)
    yield from _warnings_of_strata(codes, records, plan, spec, certificate)
    overlap, copies = certificate["group_overlap"], certificate["copies"]
    if overlap:
        yield f"{_several(overlap, 'group')} in more than one split, as `allow_leaks` permits"
    if copies["across_splits"]:
        yield (
            f"{_several(copies['across_splits'], 'set')} of images with the same bytes in more"
            " than one split"
        )


def _warnings_of_groups(
    codes: IntArray, records: pd.DataFrame, plan: Plan, spec: CorpusSpec
) -> Iterator[str]:
    if not spec.group:
        yield (
            "no `group`: each image is a group of its own, so images of one patient may stand in"
            " several splits"
        )
    elif num_blank := int((records["group"] == "").sum()):
        yield f"{_several(num_blank, 'image')} without a group id, each a group of its own"
    if not plan.shares or records.empty:
        return
    is_planned = np.repeat(
        [name in plan.shares for name in plan.splits], [len(r) for r in plan.splits.values()]
    )
    largest = int(np.bincount(codes[is_planned], minlength=1).max())
    name, share = min(plan.shares.items(), key=lambda item: item[1])
    due = float(share) * int(is_planned.sum())
    if largest > max(due, 1):
        yield (
            f"one group has {largest:,} images, more than the {due:,.0f} that are due to {name};"
            " splits cannot be near their shares"
        )


def _warnings_of_strata(
    codes: IntArray,
    records: pd.DataFrame,
    plan: Plan,
    spec: CorpusSpec,
    certificate: Mapping[str, Any],
) -> Iterator[str]:
    if plan.shares and spec.splits.method == "hash":
        yield "`method: hash` balances nothing: shares are met only as well as chance has it"
        joined = records["whole"] != own_groups(records)
        if joined.any():
            yield (
                f"{_several(records.loc[joined, 'whole'].nunique(), 'set')} of groups joined by"
                " copies of one image: under `method: hash` they move together, and a copy that"
                " comes later may move a group"
            )
    elif plan.shares and not plan.strata.features and "stratify" not in spec.model_fields_set:
        yield "no `stratify`: splits and slices hold their share of images, not of any label"
    if plan.strata.num_left_out:
        yield (
            f"{_several(plan.strata.num_left_out, 'combination')} of `stratify` features too rare,"
            " or too many, to be balanced; each feature is balanced by itself"
        )
    matrix = plan.strata.matrix(records)
    for column, (feature, value) in enumerate(plan.strata.names):
        has = matrix[:, column] > 0
        num_groups = len(np.unique(codes[has]))
        label = label_of((feature, value))
        if num_groups == 0 and feature in spec.classes:
            yield f"{label} is declared, and no image has it"
        elif 0 < num_groups < len(plan.splits):
            lacking = [
                name
                for name, count in certificate["labels"][feature][value].items()
                if count["achieved"] == 0
            ]
            yield (
                f"{label} has {_several(num_groups, 'group')} for {len(plan.splits)} splits"
                + (f"; none in {', '.join(lacking)}" if lacking else "")
            )


def _several(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' if number != 1 else ''}"
