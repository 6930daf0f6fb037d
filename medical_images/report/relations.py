"""The sections on what goes together: images of a group, features, copies. Pure."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from medical_images.report.blocks import Bars, Block, Section, Table
from medical_images.report.counting import several, shown, split_table
from medical_images.report.dataset import Dataset
from medical_images.report.disclosure import Disclosure

if TYPE_CHECKING:
    from medical_images.audit.near_copies import NearCopies

_SIZES = (1, 2, 3, 4, 5, 10, 20, 50, 100, 1_000, 10_000)
_COARSE_SIZES = (1, 2, 10, 100, 1_000, 10_000)  # the number of images does not tell more of these


def group_sizes(dataset: Dataset, disclosure: Disclosure) -> Section | None:
    """How many images the groups have."""
    if not dataset.group_columns:
        return None
    word = dataset.group_word
    sizes = pd.DataFrame({"split": dataset.splits, "key": dataset.keys})
    sizes = sizes.value_counts().reset_index(name="size")
    edges = _COARSE_SIZES if disclosure.is_on else _SIZES
    top = int(np.searchsorted(edges, sizes["size"].max(), side="right"))
    names = [_size_name(edges, k) for k in range(top)]
    bins = np.searchsorted(edges, sizes["size"], side="right") - 1
    cells = pd.Series(np.array(names, object)[bins])
    counts = split_table(cells, sizes["split"], names, dataset)
    in_split = {str(name): int(number) for name, number in counts.sum().items()}
    as_shown = shown(counts, in_split, disclosure)
    title = f"{word.capitalize()} by number of images"
    chart = Bars(
        title=title,
        categories=tuple(names),
        counts=as_shown.totals,
        texts=as_shown.total_texts,
        unit=word,
    )
    rows = [[name, *as_shown.texts.loc[name]] for name in names]
    overlap = dataset.certificate["group_overlap"]
    text = f"All images of one {_singular(word)} are in one split."
    if overlap:
        told = disclosure.text(overlap)
        text = (
            f"{told} of the {word} have images in more than one split. What a model is tested"
            " on there, it has partly seen."
        )
    num_images, num_groups = len(dataset.table), int(dataset.keys.nunique())
    if not disclosure.is_on:
        text += f" On average each has {num_images / num_groups:.1f} images."
    table = Table.of(f"{title}, by split", ["images", *counts.columns], rows)
    blocks: list[Block] = [text, chart, table]
    return Section("groups", f"Images of the same {_singular(word)}", blocks)


def _singular(word: str) -> str:
    return {"studies": "study"}.get(word, word.removesuffix("s"))


def _size_name(edges: Sequence[int], number: int) -> str:
    low, high = edges[number], (*edges, 0)[number + 1]
    if not high:
        return f"{low:,} and more images"
    if high - low == 1:
        return several(str(low), "image")
    return f"{low:,} to {high - 1:,} images"


def copies(dataset: Dataset, disclosure: Disclosure, near: NearCopies | None) -> Section:
    """Images that are the same, or nearly.

    Args:
      dataset: The dataset.
      disclosure: How counts are shown.
      near: The pairs of images that look the same; None where they were not looked for.
    """
    told, text_of = dataset.certificate["copies"], disclosure.text
    left_out = sum(of.get("image_copy", 0) for of in dataset.told.get("rejects", {}).values())
    text = "No two images have the same bytes."
    if told["sets"]:
        images, sets = several(text_of(told["images"]), "image"), text_of(told["sets"])
        text = (
            f"{images} have the same bytes as another one, in {several(sets, 'set')}; sets in more"
            f" than one split: {text_of(told['across_splits'])}."
        )
    if left_out:
        text += f" Copies that are listed among the rejects: {text_of(left_out)}."
    blocks: list[Block] = [text]
    if near is None:
        blocks.append("Images that look the same, and have other bytes, were not looked for.")
    else:
        blocks += _near(dataset, near, disclosure)
    return Section("copies", "Copies", blocks)


def _near(dataset: Dataset, near: NearCopies, disclosure: Disclosure) -> Iterator[Block]:
    text_of = disclosure.text
    yield (
        "Images that look the same: recompressed, scaled, lightened, turned or reflected copies,"
        f" found by a hash of how they look (at most {near.max_distance} of 255 bits differ). Some"
        " are of different patients who look alike; look before you leave any out."
    )
    rows = [
        ("images compared", near.num_images),
        ("images that look like another one", near.num_images_in_pairs),
        (f"... which is of another {_singular(dataset.group_word)}", near.num_across_groups),
        ("... which is in another split", near.num_across_splits),
        ("images of one colour, which were not compared", near.num_flat),
    ]
    lines = [[name, text_of(count)] for name, count in rows]
    yield Table.of("Images that look the same", ["", "images"], lines)
    pairs = near.pairs
    if pairs.empty or len(dataset.sizes) < 2:
        return
    names = list(dataset.sizes)
    counts = collections.Counter(
        frozenset(splits) for splits in zip(pairs["split_a"], pairs["split_b"], strict=True)
    )
    found = [
        [f"{one} and {other}" if one != other else f"within {one}", text_of(count)]
        for one, other in itertools.combinations_with_replacement(names, 2)
        if (count := counts[frozenset((one, other))])
    ]
    caption = "Pairs of images that look the same"
    if near.num_pairs > len(pairs):
        caption += f" (the nearest {text_of(len(pairs))} of {text_of(near.num_pairs)})"
    yield Table.of(caption, ["where", "pairs"], found)
