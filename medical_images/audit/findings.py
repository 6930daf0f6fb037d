"""What may mislead whoever trains on a dataset, one sentence each, with numbers and no cell."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from medical_images.audit.association import Association, associate
from medical_images.audit.give_away import GiveAway, give_aways
from medical_images.audit.near_copies import NearCopies
from medical_images.audit.record_numbers import identifying_columns
from medical_images.audit.spellings import num_alike
from medical_images.audit.told import Told
from medical_images.dataset_index import GROUP, KEY, SPLIT

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

_STRONG, _MODERATE, _MOST_BY_CHANCE = 0.5, 0.3, 0.01
_LARGE_SHARE, _LARGE_TIMES, _LARGE_LEAST = 0.05, 20, 10  # of a group: of all images, the median
_MOST_NAMED = 10
_MANY_REJECTED = 0.05  # of the rows
_PERSONS = ("patient", "subject", "person", "participant")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """What may mislead.

    Attributes:
      code: `class_of_one_group`, `class_absent`, `confounded`, `gives_away`, `groups_alike`,
        `identifying`, `large_group`, `many_rejected`, `near_copies`, `other_than_published`,
        `splits_differ`, or of `mi.check` also `disk_full` and `unusable_images`.
      severity: `warning`: results may be wrong, or persons known; `note`: good to know.
      what: A sentence.
      feature: The feature that it is about, where it is one that goes together with the label.
    """

    code: str
    severity: Literal["warning", "note"]
    what: str
    feature: str = ""


def findings_of(
    builder: str | tfds.core.DatasetBuilder | Told, *, near_copies: NearCopies | None = None
) -> list[Finding]:
    """Audits the metadata of a dataset; no image is read.

    Args:
      builder: A built dataset, its name such as `medical_images/mine`, what `mi.from_corpus`
        returns, or what was read of one of them.
      near_copies: What `near_copies_of` found, to be told too.

    Returns:
      Warnings first, then notes.

    Raises:
      FileNotFoundError: The dataset has no index; it was not built by this package.

    Example:
      >>> [each.code for each in findings_of('medical_images/phantom')]  # doctest: +SKIP
      []
    """
    told = builder if isinstance(builder, Told) else Told.by(builder)
    found = [
        *_of_classes(told),
        *_of_associations(told),
        *_of_ids(told),
        *_of_groups(told),
        *_of_rejects(told),
        *_of_published(told),
        *_of_splits(told),
        *(_of_near_copies(near_copies, told) if near_copies else ()),
    ]
    return sorted(found, key=lambda each: each.severity == "note")


def _of_classes(told: Told) -> Iterator[Finding]:
    if told.label_name is None or not told.group_columns:
        return
    held = pd.DataFrame({"label": told.label.to_numpy(), "group": told.groups.to_numpy()})
    num_groups = held.explode("label").groupby("label")["group"].nunique()
    if names := [f"{told.label_name}={name}" for name in num_groups.index[num_groups == 1]]:
        which = f"{', '.join(names[:_MOST_NAMED])}{', ...' * (len(names) > _MOST_NAMED)}"
        what = (
            f"{_several(len(names), 'class')} in one group only, so that none can be learnt and"
            f" tested on different ones: {which}"
        )
        yield Finding(code="class_of_one_group", severity="warning", what=what)


def _of_associations(told: Told) -> Iterator[Finding]:
    if told.label_name is None:
        return
    label, features = told.label, told.features
    explained = set()
    for found in give_aways(label, features, told.groups, ids=told.ids):
        explained.add(found.feature)
        severity: Literal["warning", "note"] = "note" if found.how == "id" else "warning"
        what = _told_of_give_away(found, told.label_name)
        yield Finding(code="gives_away", severity=severity, what=what, feature=found.feature)
    for name, column in told.classes.items():
        if name in explained:
            continue
        of_class, found_ = _strongest(label, column, told.groups)
        if found_.p_value <= _MOST_BY_CHANCE and found_.cramers_v >= _MODERATE:
            named = f"{told.label_name}={of_class}" if of_class else f"'{told.label_name}'"
            what = (
                f"{named} and '{name}' go together (Cramér's V {found_.cramers_v:.2f}): a model may"
                f" learn '{name}' in place of it"
            )
            is_strong = found_.cramers_v >= _STRONG
            severity = "warning" if is_strong else "note"
            yield Finding(code="confounded", severity=severity, what=what, feature=name)


def _strongest(
    label: pd.Series[Any], column: pd.Series[Any], groups: pd.Series[Any]
) -> tuple[str, Association]:
    """The association of a label, or of the one of several classes for which it is strongest."""
    if not label.map(lambda value: isinstance(value, tuple)).any():
        return "", associate(label, column, groups=groups)
    found = {
        name: associate(label.map(lambda value, name=name: name in value), column, groups=groups)
        for name in sorted({name for value in label for name in value})
    }
    return max(found.items(), key=lambda item: item[1].cramers_v)


def _told_of_give_away(found: GiveAway, label: str) -> str:
    tells = f"{label}={found.label}" if found.label else f"'{label}'"
    share = f"{100 * found.told:.0f} % of its uncertainty"
    match found.how:
        case "value":
            return f"'{found.feature}' tells {tells} nearly alone ({share})"
        case "missing":
            return f"whether '{found.feature}' is missing tells {tells} nearly alone ({share})"
        case "naming":
            return f"'{found.feature}' names {tells} in its text ({share})"
        case "id":
            called = "the id of the group" if found.feature == "(group)" else f"'{found.feature}'"
            return (
                f"{called} is written otherwise for {tells} ({share}): images of different classes"
                " may come from different sources"
            )


def _of_ids(told: Told) -> Iterator[Finding]:
    texts = [name for name, kind in told.kinds.items() if kind in ("text", "id", "date")]
    of_text = [name for name in texts if pd.api.types.is_string_dtype(told.index[name])]
    hidden = set((told.spec.get("privacy") or {}).get("pseudonymize") or ())
    columns = told.index[of_text]
    if told.group_columns and not hidden.intersection(told.group_columns):
        columns = columns.assign(**{"(group)": told.index[GROUP]})
    for found in identifying_columns(columns):
        called = "the id of the group" if found.column == "(group)" else f"'{found.column}'"
        seems = "holds what looks like" if found.is_sure else "may be"
        what = f"{called} {seems} {found.what}; leave it out, or see `privacy: pseudonymize`"
        severity: Literal["warning", "note"] = "warning" if found.is_sure else "note"
        yield Finding(code="identifying", severity=severity, what=what)


def _of_groups(told: Told) -> Iterator[Finding]:
    if not told.group_columns:
        return
    if num := num_alike(told.index[GROUP].astype("str")):
        what = (
            f"{_several(num, 'id')} of groups differ from another only in case, punctuation, zeros"
            " or `.0`: if they mean the same, the group is torn, maybe by splits"
        )
        yield Finding(code="groups_alike", severity="warning", what=what)
    sizes = told.index.groupby(KEY).size()
    largest, median = int(sizes.max()), float(sizes.median())
    least = max(_LARGE_SHARE * len(told.index), _LARGE_TIMES * median, _LARGE_LEAST)
    if largest > least:
        what = (
            f"one group has {largest:,} of {_several(len(told.index), 'image')}, where the median"
            f" of all groups is {median:.0f}: results on its split are results on it"
        )
        yield Finding(code="large_group", severity="note", what=what)


def _of_rejects(told: Told) -> Iterator[Finding]:
    """A spec may accept that rows are rejected; whoever uses the dataset should know of many."""
    codes = (told.metadata.get("rejects") or {}).get("rejected", {})
    num = sum(codes.values())
    num_all = max(told.metadata.get(name) or 0 for name in ("rows", "image_files"))
    if num > _MANY_REJECTED * num_all:
        what = f"{num:,} rows or files were rejected ({', '.join(sorted(codes))})"
        yield Finding(code="many_rejected", severity="warning", what=what)


def _of_published(told: Told) -> Iterator[Finding]:
    about = told.spec.get("about") or {}
    groups = told.index.loc[told.index[GROUP] != "", GROUP].nunique()
    is_person = any(word in column.lower() for word in _PERSONS for column in told.group_columns)
    for name, number in (
        ("images", len(told.index)),
        ("patients", groups if is_person else None),
    ):
        published = about.get(f"num_{name}")
        if published is not None and number is not None and published != number:
            what = f"{published:,} {name} are published, and {number:,} are here"
            yield Finding(code="other_than_published", severity="note", what=what)


def _of_splits(told: Told) -> Iterator[Finding]:
    if told.certificate.get("method") != "official":
        return
    for split, absent in told.certificate["labels_absent"].items():
        named = ", ".join(absent[:_MOST_NAMED]) + ", ..." * (len(absent) > _MOST_NAMED)
        what = f"the official split '{split}' has no image of {named}"
        yield Finding(code="class_absent", severity="warning", what=what)
    if told.label_name is None:
        return
    of_class, found = _strongest(told.label, told.index[SPLIT], told.groups)
    if found.p_value <= _MOST_BY_CHANCE and found.cramers_v >= _MODERATE:
        named = f"{told.label_name}={of_class}" if of_class else f"'{told.label_name}'"
        what = (
            f"{named} is another mixture in each official split (Cramér's V {found.cramers_v:.2f}):"
            " results on one say little of another"
        )
        yield Finding(code="splits_differ", severity="note", what=what)


def _of_near_copies(found: NearCopies, told: Told) -> Iterator[Finding]:
    if found.num_across_splits:
        what = (
            f"{_several(found.num_across_splits, 'image')} look the same as one of another split:"
            " what is learnt on one is tested on the other"
        )
        yield Finding(code="near_copies", severity="warning", what=what)
    elif found.num_across_groups and told.group_columns:
        what = (
            f"{_several(found.num_across_groups, 'image')} look the same as one of another group:"
            " a person may have two ids"
        )
        yield Finding(code="near_copies", severity="warning", what=what)
    elif found.num_pairs:
        what = f"{_several(found.num_images_in_pairs, 'image')} look the same as another one"
        yield Finding(code="near_copies", severity="note", what=what)


def _several(number: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"
