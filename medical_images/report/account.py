"""The sections on what was left out, what to know, how to make it again, what words mean. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from medical_images import rejects
from medical_images.report.blocks import Block, Code, Facts, Points, Section, Table
from medical_images.report.dataset import Dataset
from medical_images.report.disclosure import Disclosure

_OUTCOMES = {
    "rejected": "left out: could not be used",
    "excluded": "left out by a rule of the spec",
    "reported": "not part of the dataset",
    "noted": "written all the same",
}
_MOST_WARNINGS = 12  # that are shown without being asked for
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
    read = (
        f"{disclosure.text(told['rows'])} rows of tables and"
        f" {disclosure.text(told['image_files'])} image files were read;"
        f" {disclosure.text(sum(dataset.sizes.values()))} images were written."
    )
    if not rows:
        return Section("rejects", "What was left out", [read, "Nothing was left out or changed."])
    head = ["reason", "what became of it", "rows or files"]
    table = Table.of("Rows and files by reason", head, rows)
    return Section("rejects", "What was left out", [read, table])


def warnings_of(dataset: Dataset, disclosure: Disclosure) -> tuple[str, ...]:
    """All warnings: of the corpus, then of the certificate."""
    told = [_sentence(disclosure.sentence(text)) for text in dataset.certificate["warnings"]]
    about = [_sentence(text) for text in dataset.about.get("warnings", ())]
    return (*about, *told)


def to_know(dataset: Dataset, disclosure: Disclosure) -> Section:
    """The warnings, and what nobody has checked."""
    warnings = warnings_of(dataset, disclosure)
    blocks: list[Block] = [
        Points(warnings[:_MOST_WARNINGS]) if warnings else "There are no warnings."
    ]
    if more := warnings[_MOST_WARNINGS:]:
        blocks.append(Points(more, title=f"{len(more)} more"))
    if dataset.about.get("unverified"):
        blocks += [
            "Taken for granted, and checked by nobody:",
            Points(tuple(map(_sentence, dataset.about["unverified"]))),
        ]
    return Section("warnings", "What to know before using it", blocks)


def _sentence(text: str) -> str:
    text = text.strip().replace("`", "'")
    if "=" not in text.split(" ")[0]:  # a feature and its class stay as they are
        text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def again(dataset: Dataset) -> Section:
    """What is needed to load the same dataset, or to make it again."""
    told, certificate = dataset.told, dataset.certificate
    name = f"{dataset.info.full_name}"
    facts = Facts(
        (
            ("Dataset", name),
            ("Splits by", _METHODS.get(certificate["method"], certificate["method"])),
            ("Seed", str(certificate["seed"])),
            ("Hash of the spec", told["spec_sha256"]),
            ("Hash of the plan", certificate["plan_sha256"]),
            ("Hash of the inputs", certificate["inputs_sha256"]),
        )
    )
    load = f'import tensorflow_datasets as tfds\n\nds, info = tfds.load("{name}", with_info=True)'
    spec = yaml.safe_dump(
        json.loads(json.dumps(_told_spec(dataset.spec))),
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


def _told_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The spec without what stands elsewhere in the card, and without paths outside the corpus."""
    told = {key: value for key, value in spec.items() if key != "about"}
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
            f" rounded to multiples of {least}, and percentages are of rounded counts, so that sums"
            " do not tell what is hidden."
        )
