"""Boxes in images: how many of each kind, and in how many images. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from medical_images.report.blocks import Block, Cell, Table
from medical_images.report.counting import bars_of, counts_of, several, split_table
from medical_images.report.dataset import Dataset, Feature
from medical_images.report.disclosure import HIDDEN, Disclosure

_BOX = "box"  # the name of those without a class


def show_boxes(dataset: Dataset, feature: Feature, disclosure: Disclosure) -> Iterator[Block]:
    """Counts the boxes of a feature by class and split, and the images that have them."""
    labels = dataset.table[feature.name].map(
        lambda boxes: [box.get("label") or _BOX for box in (() if boxes is None else boxes)]
    )
    splits, names = dataset.splits, feature.classes or (_BOX,)
    boxes = pd.DataFrame({"split": splits, "label": labels}).explode("label")
    images = pd.DataFrame({"split": splits, "label": labels.map(lambda told: sorted(set(told)))})
    images = images.explode("label")
    of_boxes = split_table(boxes["label"], boxes["split"], names, dataset)
    of_images = split_table(images["label"], images["split"], names, dataset)
    rows = [
        [
            Cell(name),
            *(
                Cell(disclosure.text(count), f"in {several(disclosure.text(of), 'image')}")
                for count, of in zip(
                    counts_of(of_boxes, name), counts_of(of_images, name), strict=True
                )
            ),
        ]
        for name in names
    ]
    if not disclosure.is_on:  # the others might tell it
        without = counts_of(split_table(labels.map(len) == 0, splits, [True], dataset), True)
        rows.append([Cell("images without a box"), *(Cell(f"{count:,}") for count in without)])
    rows.append([Cell("boxes of an image, on average"), *_means(of_boxes, dataset, disclosure)])
    yield bars_of(of_images, dataset, disclosure, title=f"Images with a box of {feature.name}")
    yield Table.of("Boxes by split", ["box", *dataset.sizes], rows)


def _means(boxes: pd.DataFrame, dataset: Dataset, disclosure: Disclosure) -> Iterator[Cell]:
    for split, size in dataset.sizes.items():
        num_boxes, num_images = disclosure.number(int(boxes[split].sum())), disclosure.number(size)
        yield Cell(f"{num_boxes / num_images:.1f}" if num_images else HIDDEN)
