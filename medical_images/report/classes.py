"""The sections on classes by split and on missing values. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from medical_images.report.blocks import Block, Section
from medical_images.report.boxes import show_boxes
from medical_images.report.counting import (
    MOST_DRAWN,
    Requested,
    bars_of,
    class_table,
    counts_table,
    is_missing,
    split_table,
)
from medical_images.report.dataset import Dataset, Feature
from medical_images.report.disclosure import Disclosure


def classes(dataset: Dataset, disclosure: Disclosure) -> Section:
    """The classes to predict, and all that the splits were to balance."""
    target = dataset.target
    blocks: list[Block] = []
    if target is None:
        blocks.append("No feature is named as the one to predict, and none is balanced.")
        for feature in dataset.features:
            if feature.kind == "boxes":
                blocks += show_boxes(dataset, feature, disclosure)
    else:
        counts = class_table(dataset, target)
        blocks += [_about_target(dataset, target, counts, disclosure)]
        title = f"Images of each class of {target.name}"
        blocks.append(bars_of(counts, dataset, disclosure, title=title))
        is_planned = dataset.certificate["method"] != "official"
        caption = f"{title}: achieved by each split" + (", and expected" if is_planned else "")
        blocks.append(
            counts_table(
                counts,
                dataset,
                disclosure,
                caption=caption,
                first=target.name,
                requested=_requested(dataset, target.name),
                is_folded=len(counts) > MOST_DRAWN,
            )
        )
        if target.is_list:
            blocks.append("An image may have several classes, so these do not add up to all.")
    blocks += _balanced(dataset, disclosure)
    return Section("classes", "Classes by split", blocks)


def _about_target(
    dataset: Dataset, target: Feature, counts: pd.DataFrame, disclosure: Disclosure
) -> str:
    is_named = dataset.info.supervised_keys is not None
    text = f"The class to predict is {target.name}."
    if not is_named:
        text = f"No feature is named as the one to predict; shown is {target.name}."
    if dataset.certificate["labels"].get(target.name):
        text += (
            " Each split was to hold its share of every class; “expected” is that share, before"
            " rounding to whole images and without dividing a patient."
            if dataset.certificate["method"] != "official"
            else " The splits are those of the corpus' authors."
        )
    absent = counts.index[(counts.sum(axis=1) == 0).to_numpy()]
    if len(absent) and len(absent) <= 10 and not disclosure.is_on:
        text += f" No image has the class {', '.join(map(str, absent))}."
    return text


def _requested(dataset: Dataset, feature: str) -> Requested:
    told = dataset.certificate["labels"].get(feature, {})
    return {
        value: {split: count["requested"] for split, count in splits.items()}
        for value, splits in told.items()
    }


def _balanced(dataset: Dataset, disclosure: Disclosure) -> Iterator[Block]:
    """The other strata of the certificate, and how near the splits came."""
    worst = dataset.certificate["largest_deviation"]
    if worst is not None:
        images, least = worst["images"], dataset.certificate["rounding_floor"]
        most = f"{images:.1f} images from what was expected; whole images alone leave {least:.1f}"
        if disclosure.is_on:  # digits would tell of counts
            size = disclosure.min_cell
            most = f"{size * max(1, int(np.ceil(images / size)))} images from what was expected"
        yield f"Over all that was to be balanced, a split is at most {most}."
    target = dataset.target
    for name, values in dataset.certificate["labels"].items():
        if target is not None and name == target.name:
            continue
        counts = pd.DataFrame(
            {split: [v[split]["achieved"] for v in values.values()] for split in dataset.sizes},
            index=list(values),
        )
        yield counts_table(
            counts,
            dataset,
            disclosure,
            caption=f"Also balanced: {name.replace(' & ', ' together with ')}",
            first=name,
            requested=_requested(dataset, name),
            is_folded=True,
        )


def missing(dataset: Dataset, disclosure: Disclosure) -> Section:
    """How many values are missing in each split."""
    lines = {}
    for feature in dataset.features:
        if feature.kind != "mask" and (lacks := is_missing(dataset, feature)).any():
            name = feature.name
            if feature.class_of_missing:
                name += f" (“{feature.class_of_missing}”)"
            cells = pd.Series(lacks, dataset.table.index)
            lines[name] = split_table(cells, dataset.splits, [True], dataset).loc[True]
    if not lines:
        return Section("missing", "Missing values", ["No value is missing."])
    counts = pd.DataFrame(lines).T
    caption = f"Missing values, of {len(counts)} of {len(dataset.features)} features"
    table = counts_table(
        counts,
        dataset,
        disclosure,
        caption=caption,
        first="feature",
        is_folded=len(counts) > 40,
    )
    return Section("missing", "Missing values", [table])
