"""The first sections: what the dataset is, where it is from, and of whom. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from medical_images.report.bands import age_bands
from medical_images.report.blocks import Block, Cell, Facts, Points, Pyramid, Section, Table
from medical_images.report.counting import (
    NONE,
    groups_text,
    images_text,
    listed,
    several,
    shown,
)
from medical_images.report.dataset import Dataset, Feature
from medical_images.report.disclosure import Disclosure

_ACCESS = {
    "open": "open to everyone",
    "registration": "needs an account",
    "agreement": "terms of use must be signed",
    "credentialed": "only for persons who were admitted",
}
_KINDS = {
    "class": "one class",
    "labels": "any number of classes",
    "uncertain": "yes, no or uncertain",
    "float": "number",
    "int": "whole number",
    "text": "free text",
    "date": "date",
    "id": "identifier",
    "boxes": "boxes in the image",
    "mask": "mask, a class for each pixel",
}


def origin(dataset: Dataset) -> Section:
    """What the dataset is and where it is from."""
    about, proto = dataset.about, dataset.info.as_proto
    pairs = [
        ("Corpus", about.get("title", "")),
        ("Images", about.get("modality", "")),
        ("Licence", proto.redistribution_info.license),
        ("Access", _ACCESS.get(about.get("access", ""), "")),
        ("Home page", dataset.info.homepage if dataset.spec.get("homepage") else ""),
        ("How to cite", dataset.spec.get("citation", "").strip()),
        ("Shares images or patients with", listed(about.get("overlaps", ()))),
    ]
    told = tuple((name, text) for name, text in pairs if text)
    blocks: list[Block] = []
    if not proto.redistribution_info.license:
        blocks.append("The spec names no licence. Ask who gave you the images what may be done.")
    if told:
        blocks.append(Facts(told))
    if about.get("get"):
        how = (text.replace("`", "'") for text in about["get"])
        blocks += ["How to get it:", Points(tuple(how))]
    return Section("origin", "Where it is from", blocks)


def features(dataset: Dataset) -> Section:
    """What is told of each image."""
    rows = [[Cell("image"), Cell(_image_kind(dataset)), Cell("")]]
    rows += [
        [Cell(f.name), Cell(_kind(f), _unit(f)), Cell(f.description)] for f in dataset.features
    ]
    has_text = any(row[2].text for row in rows)
    head, width = ["feature", "kind", "meaning"], 3 if has_text else 2
    table = Table.of(
        "Features",
        head[:width],
        [row[:width] for row in rows],
        is_text=True,
        is_folded=len(rows) > 60,
    )
    return Section("features", "What is told of each image", [table])


def _image_kind(dataset: Dataset) -> str:
    image = dataset.info.features["image"]
    channels = {1: "grey", 3: "colour", 4: "colour with transparency"}.get(image.shape[-1], "")
    return f"{channels} image, {8 * np.dtype(image.np_dtype).itemsize} bits".strip()


def _kind(feature: Feature) -> str:
    kind = _KINDS[feature.kind]
    if feature.kind == "boxes" and feature.classes:
        kind += f", of {several(str(len(feature.classes)), 'kind')}"
    elif feature.has_classes and feature.classes:
        kind += f" of {len(feature.classes)}"
    return f"{kind}, a list" if feature.is_list and feature.kind != "labels" else kind


def _unit(feature: Feature) -> str:
    missing = f"“{feature.missing_as}” where the cell is blank" if feature.missing_as else ""
    return ", ".join(filter(None, [feature.unit, missing]))


def people(dataset: Dataset, disclosure: Disclosure) -> Section:
    """How many there are, and of which age and sex."""
    word = dataset.group_word
    blocks: list[Block] = list(_sizes(dataset, disclosure))
    age = next((f for f in dataset.features if f.is_age), None)
    sex = next((f for f in dataset.features if f.is_sex), None)
    if age or sex:
        firsts = dataset.table[~dataset.keys.duplicated()]
        unit = word if dataset.group_columns else "images"
        blocks += _age_and_sex(firsts, age, sex, unit, disclosure)
        if dataset.group_columns:
            blocks.append(
                f"Each of the {word} counts once here, as the first of its images has it."
            )
    else:
        blocks.append("No feature is recognised as age or sex.")
    title = f"{word.capitalize()} and images" if dataset.group_columns else "Images and splits"
    return Section("people", title, blocks)


def _sizes(dataset: Dataset, disclosure: Disclosure) -> Iterator[Block]:
    splits, word = dataset.certificate["splits"], dataset.group_word
    about = dataset.about
    has_groups = bool(dataset.group_columns)
    rows = []
    for name, size in dataset.sizes.items():
        due = splits[name]["images"]["requested"]
        share = "official" if due is None else _percent(splits[name]["share"])
        rows.append([name, share, *map(disclosure.text, (size, splits[name]["groups"]))])
    if len(rows) > 1:
        sums = images_text(dataset, disclosure), groups_text(dataset, disclosure)
        rows.append(["all", "", *sums])
    width = 4 if has_groups else 3
    head = ["split", "share asked for", "images", word]
    yield Table.of("Splits", head[:width], [row[:width] for row in rows])
    published = [
        f"{about[key]:,} {noun}"
        for key, noun in (("num_images", "images"), ("num_patients", "patients"))
        if about.get(key) is not None
    ]
    if published:
        yield f"Published of the corpus: {listed(published)}."
    blank = sum(split["images_without_group"] for split in splits.values())
    if has_groups and blank:
        yield (
            f"{several(disclosure.text(blank), 'image')} without a value of"
            f" {listed(dataset.group_columns)}: each counts as one of its own."
        )


def _percent(share: str) -> str:
    over, _, under = share.partition("/")
    percent = 100 * int(over) / int(under or 1)
    return f"{percent:.1f} %" if percent % 1 else f"{percent:.0f} %"


def _age_and_sex(
    firsts: pd.DataFrame,
    age: Feature | None,
    sex: Feature | None,
    unit: str,
    disclosure: Disclosure,
) -> Iterator[Block]:
    sexes = (
        firsts[sex.name].astype("object").fillna(NONE) if sex else pd.Series("all", firsts.index)
    )
    if age:
        years = firsts[age.name].to_numpy(np.float64)
        bands = age_bands(years)
        order = [*bands.names]
        names = np.array([*bands.names, "not told"], object)
        rows = pd.Series(names[bands.numbers_of(years)], firsts.index)
        if (rows == "not told").any():
            order.append("not told")
        caption = f"{unit.capitalize()} by age in years" + (" and sex" if sex else "")
    else:
        rows, order = pd.Series("all", firsts.index), ["all"]
        caption = f"{unit.capitalize()} by sex"
    columns = [
        name for name in (*(sex.classes if sex else ()), NONE, "all") if (sexes == name).any()
    ]
    counts = pd.crosstab(rows, sexes).reindex(index=order, columns=columns, fill_value=0)
    sizes = {order[0]: len(firsts)} if len(order) == 1 else {}
    as_shown = shown(counts.T, sizes, disclosure)
    if age and len([c for c in columns if c != NONE]) >= 2:
        top = counts.sum().reindex([c for c in columns if c not in (NONE, "unknown")])
        sides = tuple(
            (str(name), tuple(as_shown.numbers.loc[name].tolist()[: len(bands.names)]))
            for name in top.sort_values(ascending=False, kind="stable").index[:2].sort_values()
        )
        if len(sides) == 2:
            yield Pyramid(title=caption, bands=bands.names, sides=sides, unit=unit)
    lines = [[name, *as_shown.texts[name]] for name in order]
    if len(order) > 1:
        lines.append(["all", *as_shown.total_texts])
    yield Table.of(caption, ["age" if age else "", *map(str, columns)], lines)
