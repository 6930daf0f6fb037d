"""The section on what to know before using a dataset. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from medical_images.audit.findings import findings_of
from medical_images.audit.told import Told
from medical_images.report.associations import Pair, strong_names
from medical_images.report.blocks import Block, Points, Section
from medical_images.report.counting import class_groups, listed
from medical_images.report.dataset import Dataset
from medical_images.report.disclosure import Disclosure

if TYPE_CHECKING:
    from medical_images.audit.near_copies import NearCopies

_MOST = 12  # that are shown without being asked for
_MOST_NAMED = 10
_TOLD_ELSEWHERE = ("class_of_one_group", "class_absent", "other_than_published")


def cautions(
    dataset: Dataset,
    disclosure: Disclosure,
    *,
    pairs: Sequence[Pair] = (),
    near_copies: NearCopies | None = None,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Says what may mislead: as the spec has it, then what the certificate and the audits found.

    Args:
      dataset: The dataset.
      disclosure: How counts are shown.
      pairs: Of the class and other features.
      near_copies: The pairs of images that look the same, if they were looked for.

    Returns:
      Warnings, and what is only good to know.
    """
    strata = dataset.certificate["labels"].items()
    labels = {f"{name}={value}" for name, values in strata for value in values}
    told = Told(index=dataset.table, metadata=dataset.told)
    compared = {pair.name for pair in pairs}
    found = [
        each
        for each in findings_of(told, near_copies=near_copies)
        if each.code not in _TOLD_ELSEWHERE
        and not (each.code == "confounded" and each.feature in compared)
    ]
    given_away = {each.feature for each in found if each.code == "gives_away"}
    strong = [name for name in strong_names(pairs) if name not in given_away]
    certified = [
        text
        for text in dataset.certificate["warnings"]
        if not any(text.startswith((f"{name} has ", f"{name} is declared")) for name in labels)
    ]
    names = {*labels, *(f"'{feature.name}'" for feature in dataset.features)}
    if dataset.target is not None:
        names |= {f"{dataset.target.name}={name}" for name in dataset.target.classes}

    def sentences(texts: Iterable[str]) -> Iterator[str]:
        return (sentence_of(disclosure.sentence(text, names)) for text in texts)

    warnings = (
        *map(sentence_of, dataset.about.get("warnings", ())),
        *sentences(certified),
        *_small_classes(dataset, disclosure),
        *(_together(dataset, strong) if strong else ()),
        *sentences(each.what for each in found if each.severity == "warning"),
    )
    return warnings, (*sentences(each.what for each in found if each.severity == "note"),)


def to_know(dataset: Dataset, warnings: Sequence[str], notes: Sequence[str]) -> Section:
    """The warnings, and what nobody has checked."""
    blocks: list[Block] = [Points((*warnings[:_MOST],)) if warnings else "There are no warnings."]
    if more := warnings[_MOST:]:
        blocks.append(Points((*more,), title=f"{len(more)} more"))
    if notes:
        blocks += ["Good to know:", Points((*notes,))]
    if dataset.about.get("unverified"):
        blocks += [
            "Taken for granted, and checked by nobody:",
            Points((*map(sentence_of, dataset.about["unverified"]),)),
        ]
    return Section("warnings", "What to know before using it", blocks)


def sentence_of(text: str) -> str:
    """Returns a text as a sentence."""
    text = text.strip().replace("`", "'")
    if "=" not in text.split(" ")[0]:  # a feature and its class stay as they are
        text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _together(dataset: Dataset, names: Sequence[str]) -> Iterator[str]:
    assert dataset.target is not None
    yield (
        f"{dataset.target.name} goes strongly together with {listed(names)}: a model may learn"
        f" {'that' if len(names) == 1 else 'these'} in place of it."
    )


def _small_classes(dataset: Dataset, disclosure: Disclosure) -> Iterator[str]:
    """Classes of so few groups that not all splits can have one, and those without any."""
    num_splits = len(dataset.sizes)
    most = max(num_splits, disclosure.min_cell)
    word = dataset.group_word if dataset.group_columns else "images"
    few, none = [], []
    for feature in dataset.features:
        if feature.name not in dataset.certificate["labels"] or not feature.has_classes:
            continue
        for name, count in class_groups(dataset, feature).items():
            label = f"{feature.name}={name}"
            if count == 0 and not disclosure.is_on:
                none.append(label)
            elif count < most:
                few.append(label if disclosure.is_on else f"{label} ({count})")
    if few:
        yield (
            f"{_classes(few)} of fewer than {most} {word}, too few to learn from and test on in"
            f" {num_splits} splits: {_some(few)}."
        )
    if none:
        yield f"{_classes(none)} in no image: {_some(none)}."


def _classes(names: Sequence[str]) -> str:
    return "1 class is" if len(names) == 1 else f"{len(names)} classes are"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return listed([*names[:_MOST_NAMED], f"{more} more"] if more > 0 else names)
