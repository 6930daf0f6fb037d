"""Example images of a dataset, small enough to stand in a page."""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image, ImageDraw

from medical_images.dataset_index import KEY, instruction_of
from medical_images.report.blocks import Gallery, Picture, Section
from medical_images.report.dataset import Dataset, Feature
from medical_images.report.disclosure import Disclosure

SIDE = 160  # the longer one, in pixels
_MOST_PICTURES = 240  # of a page
_MOST_LOOKED_AT = 20_000  # of the first images of a split, so that a few of a large one suffice
_QUALITY = 80
_BOX_COLOURS = ("#f0e442", "#56b4e9", "#e69f00", "#cc79a7", "#009e73", "#ffffff")
_TINT = (230, 159, 0)


@dataclasses.dataclass(frozen=True)
class _Chosen:
    name: str
    note: str
    numbers: tuple[int, ...]  # in the first split


def gallery(dataset: Dataset, disclosure: Disclosure, *, num_per_class: int) -> Section:
    """Shows examples of each class from the first split, of different groups where it has them.

    Args:
      dataset: The dataset.
      disclosure: With it, nothing is shown of a class of few images.
      num_per_class: How many of each class; fewer where there are very many classes.
    """
    split = next(iter(dataset.sizes))
    chosen = _choose(dataset, split, disclosure, num_per_class)
    numbers = sorted({number for row in chosen for number in row.numbers})
    pictures = dict(zip(numbers, _pictures(dataset, split, numbers), strict=True))
    boxes = next((f for f in dataset.features if f.kind == "boxes"), None)
    rows = tuple((row.name, row.note, tuple(pictures[n] for n in row.numbers)) for row in chosen)
    kind = " of each class" if dataset.target else ""
    text = f"The first images of {split}{kind}, scaled down."
    if dataset.group_columns:
        text = f"{text[:-1]}; of different {dataset.group_word} where there are enough."
    if any(f.kind == "mask" for f in dataset.features):
        text += " What the mask marks is tinted."
    legend = tuple(zip(boxes.classes, _BOX_COLOURS, strict=False)) if boxes else ()
    is_large = _side_of(dataset) > SIDE
    is_dense = not is_large and len(rows) > 8 and max(len(row[2]) for row in rows) <= 3
    images = Gallery(rows=rows, legend=legend, is_large=is_large, is_dense=is_dense)
    return Section("examples", "Example images", [text, images])


def _choose(
    dataset: Dataset, split: str, disclosure: Disclosure, num_per_class: int
) -> list[_Chosen]:
    table = dataset.table[dataset.splits == split].head(_MOST_LOOKED_AT).reset_index(drop=True)
    target = dataset.target
    if target is None:
        if disclosure.is_on and len(table) < 2 * num_per_class:
            return []
        return [_Chosen(split, "", _of_different_groups(table, 2 * num_per_class))]
    cells = table[target.name]
    num = max(1, min(num_per_class, _MOST_PICTURES // max(1, len(target.classes))))
    if disclosure.is_on:  # fewer pictures than others have would tell how many there are
        num = min(num, disclosure.min_cell)
    chosen = []
    for name in target.classes[:_MOST_PICTURES]:
        has = cells.map(lambda told, name=name: name in told) if target.is_list else cells == name
        of_class = table[has.astype(bool)]
        note = ""
        if disclosure.is_on and len(of_class) < disclosure.min_cell:
            of_class, note = of_class.iloc[:0], "too few to show any"
        elif of_class.empty:
            note = f"none in {split}" if len(table) < _MOST_LOOKED_AT else "none among the first"
        chosen.append(_Chosen(name, note, _of_different_groups(of_class, num)))
    return chosen


def _of_different_groups(table: pd.DataFrame, number: int) -> tuple[int, ...]:
    is_first = ~table[KEY].duplicated()
    order = [*table.index[is_first], *table.index[~is_first]]
    return tuple(sorted(order[:number]))


def _pictures(dataset: Dataset, split: str, numbers: Sequence[int]) -> Iterator[Picture]:
    if not numbers:
        return
    import tensorflow_datasets as tfds

    from medical_images.reading import records_of

    masks = [f.name for f in dataset.features if f.kind == "mask"]
    undecoded = {name: tfds.decode.SkipDecoding() for name in ("image", *masks)}
    wanted = set(numbers)
    records = records_of(dataset.builder, instruction_of([(split, 0, numbers[-1] + 1)]))
    for number, serialized in records:
        if int(number) in wanted:
            example = dataset.info.features.deserialize_example(serialized, decoders=undecoded)
            yield _picture(dataset, split, example, masks)


def _side_of(dataset: Dataset) -> int:
    """Twice as large where boxes or masks are to be seen."""
    return 2 * SIDE if any(f.kind in ("boxes", "mask") for f in dataset.features) else SIDE


def _picture(
    dataset: Dataset, split: str, example: Mapping[str, Any], masks: Sequence[str]
) -> Picture:
    image = thumbnail(example["image"].numpy(), _side_of(dataset))
    for name in masks:
        image = _tinted(image, example[name].numpy())
    for feature in dataset.features:
        if feature.kind == "boxes":
            _draw_boxes(image, feature, example[feature.name])
    written = io.BytesIO()
    image.save(written, "JPEG", quality=_QUALITY)
    source = f"data:image/jpeg;base64,{base64.b64encode(written.getvalue()).decode()}"
    return Picture(
        source=source, alt=f"Example from {split}", width=image.width, height=image.height
    )


def thumbnail(data: bytes, side: int = SIDE) -> Image.Image:
    """Decodes an image and makes it small; one of more than 8 bits through a window of its own.

    Args:
      data: A JPEG or PNG file.
      side: The longer one, in pixels.

    Returns:
      An RGB image; transparent parts are white.
    """
    with Image.open(io.BytesIO(data)) as opened:
        opened.draft("RGB", (4 * side, 4 * side))
        image: Image.Image = opened.copy()
    if image.mode.startswith("I"):
        image = Image.fromarray(_windowed(np.asarray(image, np.float64)))
    if image.mode in ("LA", "RGBA", "PA"):
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image)
    image = image.convert("RGB")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    image.info.clear()  # a comment in the file would be written again
    return image


def _windowed(pixels: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    low, high = np.quantile(pixels, [0.01, 0.99]).tolist()
    scaled = (pixels - low) / max(high - low, 1)
    windowed: npt.NDArray[np.uint8] = (255 * np.clip(scaled, 0, 1)).round().astype(np.uint8)
    return windowed


def _tinted(image: Image.Image, data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as opened:
        mask = opened.convert("L").resize(image.size, Image.Resampling.NEAREST)
    strength = mask.point(lambda index: 110 if index else 0)
    return Image.composite(Image.new("RGB", image.size, _TINT), image, strength)


def _draw_boxes(image: Image.Image, feature: Feature, told: Mapping[str, Any]) -> None:
    corners = told["bbox"].numpy().reshape(-1, 4)
    labels = told["label"].numpy() if "label" in told else np.zeros(len(corners), np.int64)
    draw = ImageDraw.Draw(image)
    size = np.array([image.height, image.width] * 2) - 1
    for (top, left, bottom, right), label in zip(corners * size, labels, strict=True):
        colour = _BOX_COLOURS[label % len(_BOX_COLOURS)]
        draw.rectangle((left, top, right, bottom), outline=colour, width=2)
