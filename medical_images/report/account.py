"""The sections on what was left out, what to know, how to make it again, what words mean. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from medical_images import rejects
from medical_images.report.blocks import Block, Code, Facts, Section, Table
from medical_images.report.counting import images_text
from medical_images.report.dataset import Dataset
from medical_images.report.disclosure import Disclosure

_OUTCOMES = {
    "rejected": "left out: could not be used",
    "excluded": "left out by a rule of the spec",
    "reported": "not part of the dataset",
    "noted": "written all the same",
}
_WORDS = (
    ("Achieved", "how many images a split has in fact."),
    ("Copy", "an image with the same bytes as another one."),
    ("Cramér's V", "how strongly two features go together: 0 not at all, 1 one tells the other."),
    ("Expected", "the split's share of all images of a class; whole images can only come close."),
    ("Feature", "something that is told of each image, such as its class or an age."),
    (
        "Group",
        "all images that must stay together, usually those of one patient; a model that has seen"
        " one of them in training is not tested on another.",
    ),
    ("Hash", "a number made of a file, that changes if anything in the file does."),
    ("Middle half", "the values between the lowest and the highest quarter."),
    ("p", "how often chance alone would give a connection as strong as the one found."),
    ("SD", "standard deviation: how far values usually are from their mean."),
    ("Seed", "the number from which all that is random was made; the same seed gives the same."),
    ("Spec", "the file that describes the corpus: its tables, images, features and splits."),
    (
        "Split",
        "a part of the images for one purpose: train to learn from, validation to choose by, test"
        " to judge by.",
    ),
)


def left_out(dataset: Dataset, disclosure: Disclosure) -> Section:
    """What became of rows and files that were not simply written."""
    told, rows = dataset.told, []
    for outcome, codes in told.get("rejects", {}).items():
        for code, count in codes.items():
            meaning = rejects.CODES.get(code, code.replace("_", " "))
            rows.append([meaning, _OUTCOMES.get(outcome, outcome), disclosure.text(count)])
    for code, count in told.get("images", {}).items():
        meaning = rejects.CODES.get(code, code.replace("_", " "))
        rows.append([meaning, _OUTCOMES["noted"], disclosure.text(count)])
    read = f"{images_text(dataset, disclosure)} images were written."
    if not disclosure.is_on:
        read = (
            f"{told['rows']:,} rows of tables and {told['image_files']:,} image files were read;"
            f" {read}"
        )
    if not rows:
        return Section("rejects", "What was left out", [read, "Nothing was left out or changed."])
    head = ["reason", "what became of it", "rows or files"]
    table = Table.of("Rows and files by reason", head, rows)
    return Section("rejects", "What was left out", [read, table])


def again(dataset: Dataset, disclosure: Disclosure) -> Section:
    """What is needed to load the same dataset, or to make it again."""
    told, certificate = dataset.told, dataset.certificate
    name, built_with = dataset.info.full_name, told.get("built_with", {})
    facts = Facts(
        (
            ("Dataset", name),
            ("Built with", ", ".join(f"{name} {version}" for name, version in built_with.items())),
            ("Splits by", _METHODS.get(certificate["method"], certificate["method"])),
            ("Seed", str(certificate["seed"])),
            ("Hash of the spec", told["spec_sha256"]),
            ("Hash of the plan", certificate["plan_sha256"]),
            ("Hash of the inputs", certificate["inputs_sha256"]),
        )
    )
    load = f'import tensorflow_datasets as tfds\n\nds, info = tfds.load("{name}", with_info=True)'
    spec = yaml.safe_dump(
        json.loads(json.dumps(_told_spec(dataset.spec, is_discreet=disclosure.is_on))),
        sort_keys=False,
        allow_unicode=True,
        width=88,
    )
    blocks: list[Block] = [
        "The same corpus, spec and seed give the same dataset, byte for byte. Hashes are SHA-256.",
        facts,
        Code(title="To load it in Python", text=load),
        Code(title="The spec that it was built from", text=spec, is_folded=True),
    ]
    return Section("again", "How to make it again", blocks)


_METHODS = {
    "line": "groups in a planned order, balanced",
    "hash": "the hash of each group",
    "official": "the lists of the corpus' authors",
}


def _told_spec(spec: Mapping[str, Any], *, is_discreet: bool) -> dict[str, Any]:
    """The spec without what stands elsewhere in the card, and without paths outside the corpus.

    Where counts are hidden, so are cells that it names but for classes.
    """
    told = {key: value for key, value in spec.items() if key != "about"}
    if is_discreet:  # these hold cells
        told["tables"] = [
            {key: value for key, value in table.items() if key not in ("where", "missing")}
            for table in told.get("tables", ())
        ]
        told["features"] = {
            name: {key: value for key, value in feature.items() if key != "missing"}
            for name, feature in told.get("features", {}).items()
        }
    splits = told.get("splits")
    if isinstance(splits, Mapping) and "extend" in splits:
        told["splits"] = {**splits, "extend": "(a former dataset)"}
    return told


def glossary() -> Section:
    """What the words of the card mean."""
    return Section("words", "Words", [Facts(tuple(_WORDS))])


def how_counts_are_shown(disclosure: Disclosure) -> Iterator[str]:
    """Says what is hidden."""
    if disclosure.is_on:
        least = disclosure.min_cell
        yield (
            f"Counts under {least} are shown as <{least}, also where there are none; all others are"
            f" rounded to multiples of {least}, and sums and percentages are of what is shown. A"
            " dash hides what might tell one of them; charts leave out both. Who combines several"
            " tables may still find out more than each of them tells."
        )
