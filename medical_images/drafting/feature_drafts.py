"""Features of a draft: a type for each column, with its reason; others stay as comments."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from medical_images.audit.spellings import num_alike
from medical_images.drafting.column_types import (
    ColumnFacts,
    facts_of,
    feature_name,
    unit_of,
)
from medical_images.drafting.document import flow_of
from medical_images.drafting.features_found import Features, counts_of
from medical_images.drafting.joining import LABEL, spaced
from medical_images.drafting.naming_paths import ABSOLUTE
from medical_images.drafting.private_columns import may_identify
from medical_images.drafting.several_columns import find_boxes, find_marks, find_runs

_PLACE = re.compile(
    r"(?i)(?:^|[_\W])(?:url|doi|path|file|filename|license|copyright\w*)(?:$|[_\W])"
)
_ABOUT = re.compile(
    r"sex|gender|view|modality|projection|side|eye|laterality|device|camera|scanner|site|"
    r"hospital|center|centre|clinic|klinik|station|ward|manufacturer|folder|magnification|split|fold|"
    r"race|ethnic|geschlecht|geraet|seite|sexo|quality"
)
_LIKELY = re.compile(
    r"histo|status|outcome|result|ergebnis|ground_?truth|condition|disease|tumou?r|cancer|malig|"
    r"stage|stadium|severity|score|group|type|(?:^|_)y$"
)
_MOST_NUMBERS = 100  # that are proposed; of more, those that are wanted can be told
_BEST_LABELS = ("label", "target", "diagnosis", "dx", "finding", "class", "pathology", "grade")


def draft_features(
    frame: pd.DataFrame,
    images: Sequence[str],
    *,
    keys: Collection[str],
    names: Collection[str] = (),
    groups: Collection[str],
) -> Features:
    """Makes a feature of each column that is worth one.

    Args:
      frame: The rows.
      images: The image of each row, "" for none.
      keys: Columns that name images or splits, which are no features.
      names: Those of them that name images in full, which are.
      groups: Columns of patients and the like, which are none either.
    """
    found = Features()
    facts = {str(name): facts_of(frame[name]) for name in frame.columns}
    varies = _varying(frame, images)
    is_repeated = len({p for p in images if p}) < sum(map(bool, images))
    boxes = find_boxes(facts, frame, varies, found)
    done = boxes | find_runs(facts, frame, found)
    facts = {name: fact for name, fact in facts.items() if name not in done}
    done = find_marks(facts, frame, found, varies)
    num_numbers = sum(fact.kind in ("int", "float") for fact in facts.values())
    for name, fact in facts.items():
        if name in done or (name in keys and name not in names):
            continue
        is_private = may_identify(frame[name])
        reason = _why_not(name, fact, groups=groups, is_private=is_private, varies=name in varies)
        if name in names and name not in groups and not is_repeated:
            reason = "" if fact.num_distinct == fact.num_rows else "names the image"
            if frame[name].str.match(ABSOLUTE).any():
                reason = "paths of another machine"
            fact = dataclasses.replace(fact, kind="id")
        if not reason and fact.kind in ("int", "float") and num_numbers > _MOST_NUMBERS:
            reason = f"one of {num_numbers:,} columns of numbers"
        if reason:
            found.left_out.append(f"{_line(name, fact)}  # {reason}")
        else:
            _add(found, name, fact, varies=name in varies)
    found.labels.sort(key=lambda name: _rank(name, found))
    if not found.labels:
        _only_class(found)
    label = next(iter(found.labels), None)
    if label is not None:
        _as_label(found, label, facts)
    return found


def _only_class(found: Features) -> None:
    """Takes the only class, or the likeliest by its name, where no name tells what is predicted."""
    classes = [
        name
        for name, keys in found.data.items()
        if keys["type"] in ("class", "labels") and not _ABOUT.search(name)
    ]
    likely = [name for name in classes if _LIKELY.search(name)]
    if len(classes) == 1 or likely:
        best = likely[0] if likely else classes[0]
        found.labels += [best, *(name for name in classes if name != best)]
        found.is_guess = True


def _varying(frame: pd.DataFrame, images: Sequence[str]) -> set[str]:
    """Returns columns in which rows of one image differ."""
    own = frame.assign(**{"\0image": list(images)})
    own = own[own["\0image"] != ""]
    own = own[own["\0image"].duplicated(keep=False)]
    if own.empty:
        return set()
    numbers = own.groupby("\0image", sort=False).nunique()
    return {str(name) for name in numbers.columns if (numbers[name] > 1).any()}


def _line(name: str, fact: ColumnFacts) -> str:
    kinds = {
        "age": "float",
        "marks": "class",
        "states": "class",
        "blank": "text",
        "constant": "text",
        "commas": "float",
        "mixed": "float",
    }
    keys: dict[str, Any] = {"column": name} if feature_name(name) != name else {}
    return f"{feature_name(name)}: {flow_of({**keys, 'type': kinds.get(fact.kind, fact.kind)})}"


def _why_not(
    name: str, fact: ColumnFacts, *, groups: Collection[str], is_private: bool, varies: bool
) -> str:
    if name in groups:
        return "identifies who it is; used to keep images together"
    if is_private:
        return "may tell who somebody is: see docs/privacy.md"
    if fact.kind == "blank":
        return "all cells are blank"
    if fact.kind == "constant" or (fact.num_distinct == 1 and not fact.num_blank):
        return "the same everywhere"
    if fact.kind == "commas":
        return "do its commas mark decimals (then add `decimal: ','`) or thousands, not read?"
    if fact.kind == "mixed":
        return (
            "numbers, but for a few cells: mend these, or name them in `missing:` if they are none"
        )
    if fact.kind == "text":
        return f"free text, {fact.num_distinct:,} different; may tell who somebody is"
    if fact.kind == "id":
        return f"{fact.num_distinct:,} different"
    if _PLACE.search(spaced(name)):
        return "a place or terms, not what is seen"
    if name.lower().startswith("unnamed"):
        return "no name"
    if varies and fact.kind in ("date",):
        return "differs among the rows of an image"
    return ""


def _add(found: Features, column: str, fact: ColumnFacts, *, varies: bool) -> None:
    name = feature_name(column, tuple(found.data))
    keys: dict[str, Any] = {} if column == name else {"column": column}
    reasons = []
    if fact.kind == "id":
        keys["type"] = "id"
    elif fact.kind in ("class", "states") or (fact.kind == "marks" and not _is_one_number(fact)):
        keys |= {"type": "class", "values": _sorted(fact.values)}
        reasons.append(counts_of(fact))
        if fact.num_blank or fact.missing:
            other = _unknown(keys["values"])
            keys["values"] = keys["values"] if other in keys["values"] else [*keys["values"], other]
            keys["missing_as"] = other
    elif fact.kind == "labels":
        keys |= {"type": "labels", **fact.keys, "values": sorted(fact.values)}
        if keys.get("separator") == "|":
            del keys["separator"]
        reasons.append(counts_of(fact))
    elif fact.kind == "date":
        keys |= {"type": "date", **fact.keys}
    else:
        is_whole = fact.kind == "int" and not fact.num_blank and not fact.missing
        keys["type"] = "int" if is_whole else "float"
        if unit := "years" if fact.kind == "age" else unit_of(column):
            keys["unit"] = unit
        keys |= fact.keys
        if fact.num_blank:
            reasons.append(f"{fact.num_blank:,} of {fact.num_rows:,} cells are blank")
    if fact.doubt:
        reasons.append(f"? {fact.doubt}")
    if fact.missing:
        keys["missing"] = sorted(fact.missing)
        listed = ", ".join(f"'{token}' {n:,}" for token, n in sorted(fact.missing.items()))
        reasons.append(f"? taken as missing: {listed} times; if they are values, drop `missing:`")
    if varies:
        _across_rows(keys, reasons)
    found.data[name] = keys
    found.reasons[name] = reasons
    is_class = keys["type"] in ("class", "labels")
    if is_class and num_alike(keys["values"]):
        reasons.append("? some differ in case or punctuation only; if they are one, see `rename:`")
    if is_class and LABEL.search(spaced(column)):
        found.labels.append(name)


def _is_one_number(fact: ColumnFacts) -> bool:
    return len(fact.values) == 1 and next(iter(fact.values))[-1:].isdigit()


def _across_rows(keys: dict[str, Any], reasons: list[str]) -> None:
    if keys["type"] == "class":
        keys["type"] = "labels"
        if "missing_as" in keys:
            reasons.append("blank means no label")
            if keys["missing_as"] not in reasons[0]:
                keys["values"] = [v for v in keys["values"] if v != keys["missing_as"]]
            del keys["missing_as"]
        if any("|" in value for value in keys["values"]):
            keys["separator"] = "\t"
    if keys["type"] == "labels":
        keys["across_rows"] = "union"
        reasons.append("? rows of one image differ: what any of them tells; or `majority`, `all`")
    else:
        keys["across_rows"] = "all"
        reasons.append("rows of one image differ: all values are kept")


def _sorted(values: Mapping[str, int]) -> list[str]:
    try:
        return sorted(values, key=lambda value: (float(value), value))
    except ValueError:
        return sorted(values)


def _unknown(values: Sequence[str]) -> str:
    lower = {value.lower(): value for value in values}
    return next((lower[w] for w in ("unknown", "unk", "not known") if w in lower), "unknown")


def _rank(name: str, found: Features) -> tuple[int, int]:
    words = name.split("_")
    place = next((n for n, w in enumerate(_BEST_LABELS) if any(x.startswith(w) for x in words)), 99)
    is_exact = 0 if name in _BEST_LABELS or name == "labels" else 1
    few = len(found.data[name].get("values", found.data[name].get("columns", ())))
    return (is_exact, place) if few > 1 else (9, place)


def _as_label(found: Features, name: str, facts: Mapping[str, ColumnFacts]) -> None:
    """A label that is missing is no class: such rows are rejected, and that is accepted."""
    keys = found.data[name]
    fact = facts.get(str(keys.get("column", name)))
    if keys["type"] != "class" or fact is None or "missing_as" not in keys:
        return
    other = keys.pop("missing_as")
    if other not in fact.values:
        keys["values"] = [value for value in keys["values"] if value != other]
    number = fact.num_blank + sum(fact.missing.values())
    found.accept["label_missing"] = found.accept.get("label_missing", 0) + number
