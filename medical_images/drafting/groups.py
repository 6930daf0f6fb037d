"""What must stay in one split: a column of patients or lesions, or what names of files tell."""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

_ORDER = ("patient", "subject", "proband", "probanden", "participant", "person", "pid", "donor",
          "animal", "mouse", "case", "wsi", "slide", "specimen", "lesion", "exam", "study",
          "visit")  # fmt: skip
_MOST_OFFERED = 4
_REST = {"", "id", "ids", "no", "nr", "num", "nummer", "number", "key", "code", "uid", "identifier",
         "hash", "index", "name", "de", "pseudo", "anon"}  # fmt: skip
_ALSO = {"patienten": "patient", "pat": "patient", "mrn": "patient", "paciente": "patient"}
_IN_PATH = re.compile(
    r"(?i)(?:^|[/_-])((?:patient|subject|subj|sub|pat|case|p)[_-]?\d+)(?=[/_.-]|$)"
)
_EYES = re.compile(r"(?i)^(?:.*/)?([^/]+?)[_-](?:left|right|l|r|od|os)(?=\.[^.]+$|$)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupGuess:
    """What may be the group.

    Attributes:
      column: Of the tables, or the new one that `pattern` makes.
      pattern: Cuts it out of `source`; "" of a column that is there.
      source: `images.path`, or a column.
      num_groups: Different ones.
      num_rows: Rows, or images, that have one.
      why: The reason.
    """

    column: str
    pattern: str = ""
    source: str = ""
    num_groups: int
    num_rows: int
    why: str


def who_of(column: str) -> str:
    """Returns whom a column's name speaks of, or "".

    Example:
      >>> who_of('Patient ID'), who_of('patientid'), who_of('Patient Age'), who_of('lesion_id')
      ('patient', 'patient', '', 'lesion')
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column).lower()
    for who in (*_ORDER, *_ALSO):
        found = re.search(rf"(?:^|[^a-z]){who}s?([^a-z].*|id|no|nr|num|number)?$", words)
        if found:
            rest = re.split(r"[^a-z]+", (found[1] or "").lower())
            before = re.split(r"[^a-z]+", words[: found.start()])
            if set(rest) <= _REST and set(before) <= _REST:
                return _ALSO.get(who, who)
    return ""


def by_column(columns: Mapping[str, Sequence[str]], *, images: Sequence[str]) -> list[GroupGuess]:
    """Returns columns that may be the group, the best first.

    Args:
      columns: Cells of the columns, "" for missing.
      images: The image of each row.
    """
    found = []
    for name, cells in columns.items():
        who = who_of(name)
        if not who and name.strip().lower() not in ("id", "uid"):
            continue
        rows = enumerate(zip(cells, images, strict=True))
        pairs = {(cell, image or number) for number, (cell, image) in rows if cell}
        groups = {cell for cell, _ in pairs}
        if not groups or not (who or len(pairs) > len(groups)):
            continue
        repeats = len(pairs) / len(groups)
        why = f"by its name; {len(groups):,} different for {len(pairs):,} images"
        guess = GroupGuess(column=name, num_groups=len(groups), num_rows=len(pairs), why=why)
        rank = _ORDER.index(who) if who else _ORDER.index("case")
        if "name" in name.lower():  # a number is the better one, as the index holds it
            rank += len(_ORDER)
        found.append((rank + (4 if repeats == 1 else 0), guess))
    return [guess for _, guess in sorted(found, key=lambda pair: pair[0])]


def by_repetition(frame: pd.DataFrame, *, used: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Returns columns of whole numbers or codes that come back a few times each."""
    taken = set()
    for name, keys in used.items():
        if keys["type"] != "int":
            taken |= {keys.get("column", name), *keys.get("columns", ())}
    found = []
    for name in map(str, frame.columns):
        known = frame[name][frame[name] != ""]
        repeats = len(known) / max(known.nunique(), 1)
        is_code = known.str.fullmatch(r"[A-Za-z_-]{0,6}\d+").all()
        if (
            name not in taken
            and is_code
            and 1.5 <= repeats <= 0.2 * len(known)
            and "age" not in name
        ):
            found.append(name)
    return found[:_MOST_OFFERED]


def by_path(paths: Sequence[str]) -> GroupGuess | None:
    """Returns what in the paths of images may be the group: `patient00001`, `10_left`."""
    named = [found[1] for path in paths if (found := _IN_PATH.search(path))]
    if named and len(named) > 0.95 * len(paths) and len(set(named)) > 1:
        pattern = _in_path_pattern(named)
        return _guess(paths, pattern, "by `patient` and the like in paths")
    eyes = [found[1] for path in paths if (found := _EYES.search(path))]
    if eyes and len(eyes) > 0.95 * len(paths):
        pattern = r"([^/]+)[_-](?:left|right|l|r|od|os|Left|Right|L|R|OD|OS)\.[^./]+$"
        return _guess(paths, pattern, "both eyes of one name")
    return _by_tokens(paths) or _by_folder(paths)


def _in_path_pattern(named: Iterable[str]) -> str:
    words = sorted({re.sub(r"\d+$", "", name) for name in named})
    alternatives = "|".join(re.escape(word).replace(r"\-", "-") for word in words)
    return rf"(?:^|[/_-])((?:{alternatives})\d+)(?=[/_.-])" if len(words) > 1 else (
        rf"(?:^|[/_-])({alternatives}\d+)(?=[/_.-])")  # fmt: skip


def _guess(paths: Sequence[str], pattern: str, why: str) -> GroupGuess:
    compiled = re.compile(pattern)
    found = [m[1] for path in paths if (m := compiled.search(path))]
    groups = len(set(found))
    return GroupGuess(
        column="patient", pattern=pattern, source="images.path", num_groups=groups,
        num_rows=len(found), why=f"{why}; {groups:,} different for {len(found):,} images",
    )  # fmt: skip


def _by_tokens(paths: Sequence[str]) -> GroupGuess | None:
    """Names of one shape with an id that comes back before a number that tells images apart."""
    stems = [path.rsplit("/", 1)[-1].rsplit(".", 1)[0] for path in paths]
    cut = [re.split(r"([_\- ]|(?<=\D)\()", stem) for stem in stems]
    widths = collections.Counter(map(len, cut))
    width, count = widths.most_common(1)[0]
    if count < 0.9 * len(cut) or width < 3:
        return None
    rows = [tokens for tokens in cut if len(tokens) == width]
    best = None
    for place in range(0, width - 2, 2):
        tokens = [row[place] for row in rows]
        distinct = len(set(tokens))
        with_digits = sum(any(map(str.isdigit, token)) for token in tokens)
        others = {tuple(row[place + 1 :]) for row in rows}
        if with_digits < 0.9 * len(tokens) or len(others) < 2:
            continue
        if max(3, 0.02 * len(tokens)) <= distinct < len(tokens) or (
            distinct == len(tokens) and _is_index(rows, place + 2)
        ):
            best = place if best is None or distinct > len({r[best] for r in rows}) else best
    if best is None:
        return None
    pieces = []
    for place in range(width):
        tokens_here = {row[place] for row in rows}
        if place % 2:
            only = next(iter(tokens_here))
            pieces.append(
                re.escape(only).replace(r"\-", "-") if len(tokens_here) == 1 else r"[_\- (]"
            )
        else:
            pieces.append(r"([^/_\- ]+)" if place == best else r"[^/_\- ]*")
    pattern = r"(?:^|/)" + "".join(pieces) + r"\.[^./]+$"
    return _guess(paths, pattern, "a part of names that comes back")


def _is_index(rows: Sequence[Sequence[str]], place: int) -> bool:
    """Whether a token counts the images of an id: small numbers, most often the first one."""
    tokens = collections.Counter(row[place] for row in rows)
    return all(token.isdigit() for token in tokens) and len(tokens) <= 2


def of_volumes(paths: Sequence[str]) -> GroupGuess | None:
    """Returns the file of each volume: its slices belong together at least."""
    pattern = r"([^/]+)\.nii(?:\.gz)?(?:/|$)"
    if any(re.search(pattern, path) for path in paths):
        return _guess(paths, pattern, "the slices of a volume belong together")
    return None


def _by_folder(paths: Sequence[str]) -> GroupGuess | None:
    """The deepest folders that are ids: with digits, many, each below one folder only."""
    folders = [path.split("/")[:-1] for path in paths]
    depth = min(map(len, folders), default=0)
    for level in range(depth - 1, -1, -1):
        parents = collections.defaultdict(set)
        for parts in folders:
            parents[parts[level]].add("/".join(parts[:level]))
        with_digits = [name for name in parents if re.search(r"\d", name)]
        is_id = len(with_digits) == len(parents) and len(parents) >= 3
        if is_id and sum(len(found) > 1 for found in parents.values()) <= 0.1 * len(parents):
            pattern = "^" + "[^/]+/" * level + "([^/]+)/"
            guess = _guess(paths, pattern, "folders that look like ids")
            return guess if guess.num_groups < guess.num_rows else None
    return None
