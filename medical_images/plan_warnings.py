"""What a reader of a plan's certificate should know: one sentence for each doubtful case. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from medical_images.scheme import Scheme
from medical_images.strata import label_of
from medical_images.tally import Tally


def warnings_of(tally: Tally, scheme: Scheme, certificate: Mapping[str, Any]) -> Iterator[str]:
    """Says what a reader of the certificate should know, one sentence each.

    Args:
      tally: Of all records.
      scheme: What the plan was to meet.
      certificate: What `certification.certificate_of` found, but for the warnings.
    """
    yield from _warnings_of_groups(tally, scheme)
    yield from _warnings_of_strata(tally, scheme, certificate)
    overlap, copies = certificate["group_overlap"], certificate["copies"]
    if overlap:
        yield f"{_several(overlap, 'group')} in more than one split, as `allow_leaks` permits"
    if copies["across_splits"]:
        yield (
            f"{_several(copies['across_splits'], 'set')} of images with the same bytes in more"
            " than one split"
        )


def _warnings_of_groups(tally: Tally, scheme: Scheme) -> Iterator[str]:
    if not scheme.spec.group:
        yield (
            "no `group`: each image is a group of its own, so images of one patient may stand in"
            " several splits"
        )
    elif num_blank := int(tally.blank.sum()):
        yield f"{_several(num_blank, 'image')} without a group id, each a group of its own"
    if not scheme.shares or not tally.num_groups:
        return
    name, share = min(scheme.shares.items(), key=lambda item: item[1])
    due = float(share) * int(tally.images[: len(scheme.shares), 0].sum())
    if tally.largest > max(due, 1):
        told = f"{due:,.1f}".removesuffix(".0")
        yield (
            f"one group has {tally.largest:,} images, more than the {told} that are due to"
            f" {name}; splits cannot be near their shares"
        )


def _warnings_of_strata(
    tally: Tally, scheme: Scheme, certificate: Mapping[str, Any]
) -> Iterator[str]:
    spec, strata, num_splits = scheme.spec, scheme.strata, len(scheme.names)
    if scheme.shares and spec.splits.method == "hash":
        yield "`method: hash` balances nothing: shares are met only as well as chance has it"
        if tally.num_joined:
            yield (
                f"{_several(tally.num_joined, 'set')} of groups joined by"
                " copies of one image: under `method: hash` they move together, and a copy that"
                " comes later may move a group"
            )
    elif scheme.shares and not strata.features and "stratify" not in spec.model_fields_set:
        yield "no `stratify`: splits and slices hold their share of images, not of any label"
    if strata.num_left_out:
        yield (
            f"{_several(strata.num_left_out, 'combination')} of `stratify` features too rare,"
            " or too many, to be balanced; each feature is balanced by itself"
        )
    for (feature, value), num_groups in zip(strata.names, tally.wholes[1:].tolist(), strict=True):
        label = label_of((feature, value))
        if num_groups == 0 and feature in spec.classes:
            yield f"{label} is declared, and no image has it"
        elif 0 < num_groups < num_splits:
            lacking = [
                name
                for name, count in certificate["labels"][feature][value].items()
                if count["achieved"] == 0
            ]
            yield (
                f"{label} has {_several(num_groups, 'group')} for {num_splits} splits"
                + (f"; none in {', '.join(lacking)}" if lacking else "")
            )


def _several(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' if number != 1 else ''}"
