"""Official splits: those that a column's cells or lists of images tell. Pure."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from medical_images.errors import Problem, SpecError
from medical_images.privacy_key import lines_as_cells
from medical_images.spec import IMAGE_PATH, CorpusSpec, leave_one_out_name
from medical_images.spec_parts import normal_form
from medical_images.spec_splits import REST

Lists = Mapping[str, Collection[str]]
UNREADABLE_SPLITS = "The official splits cannot be read"


def split_by_key(spec: CorpusSpec, *, lists: Lists, paths: Iterable[str]) -> dict[str, str]:
    """Returns which split each cell, class, line or path stands for.

    Args:
      spec: `splits`.
      lists: The lines of each list of `splits: {files: ...}`, by split.
      paths: The paths of all images, which the lines name unless `on:` says otherwise.

    Returns:
      {key: split}, where "" is an image that is planned. A line that names no image is its own key.

    Raises:
      SpecError: A line fits several images, or lines of two lists fit one image.

    Example:
      >>> spec = CorpusSpec.from_dict({
      ...     'name': 'mine',
      ...     'images': {'path': '{id}.png'},
      ...     'features': {'id': {'type': 'id'}},
      ...     'splits': {'files': {'train': 'train.txt', 'test': 'test.txt'}},
      ... })
      >>> split_by_key(spec, lists={'train': ['1', '2'], 'test': ['a/3.png']},
      ...              paths=['a/1.png', 'b/2.png', 'a/3.png'])
      {'a/1.png': 'train', 'b/2.png': 'train', 'a/3.png': 'test'}
    """
    splits = spec.splits
    if splits.leave_one_out is not None:
        name = splits.leave_one_out
        return {value: leave_one_out_name(name, value) for value in spec.classes[name]}
    if splits.column is not None:
        return {
            cell: "" if split == REST else split
            for split, cells in splits.values.items()
            for cell in cells
        }
    if not splits.files:
        return {}
    keys: Lists
    if splits.on == IMAGE_PATH:
        keys = _paths_of_lines(lists, paths)
    else:
        keys = {split: lines_as_cells(lines, spec) for split, lines in lists.items()}
    return _first_of_each({name: keys.get(name, ()) for name in splits.files}, spec)


def _first_of_each(keys: Lists, spec: CorpusSpec) -> dict[str, str]:
    result: dict[str, str] = {}
    torn: Counter[tuple[str, str]] = Counter()
    for split, names in keys.items():
        for key in names:
            first = result.setdefault(key, split)
            torn[first, split] += first != split
    problems = [
        Problem(
            where=f"splits.files.{second}",
            what=f"{count} of its lines name images that the list of '{first}' names too",
            remedy="an image has one split; `allow_leaks: true` takes that of the first list",
        )
        for (first, second), count in torn.items()
        if count
    ]
    if problems and not spec.splits.allow_leaks:
        raise SpecError(problems, headline=UNREADABLE_SPLITS)
    return result


def _paths_of_lines(lists: Lists, paths: Iterable[str]) -> dict[str, list[str]]:
    """Returns the paths that lines name; a line that names none stays as it is.

    A line is a path below the root, or else the name of a file, with or without its extension.
    """
    spellings: list[dict[str, set[str]]] = [{}, {}, {}, {}]
    for path in paths:
        for known, text in zip(spellings, _spellings(path), strict=True):
            known.setdefault(text, set()).add(path)
    result: dict[str, list[str]] = {}
    problems: list[Problem] = []
    for split, lines in lists.items():
        found = {line: _fitting(line, spellings) or {line} for line in lines}
        result[split] = [path for fitting in found.values() for path in fitting]
        num_torn = sum(len(fitting) > 1 for fitting in found.values())
        if num_torn:
            problems.append(
                Problem(
                    where=f"splits.files.{split}",
                    what=f"{num_torn} of its lines fit several images by the names of their files",
                    remedy="write paths below the root, or name another column: `on: ...`",
                )
            )
    if problems:
        raise SpecError(problems, headline=UNREADABLE_SPLITS)
    return result


def texts_of(lists: Lists) -> frozenset[str]:
    """Returns what a path must be called by for a line to name it; see `listed_paths`."""
    return frozenset(_plain(line) for lines in lists.values() for line in lines)


def listed_paths(texts: Collection[str], paths: Iterable[str]) -> list[str]:
    """Returns the paths that lines may name; the others do not matter to `split_by_key`.

    Args:
      texts: What `texts_of` returns.
      paths: Paths of images.

    Example:
      >>> listed_paths(texts_of({'test': ['./2', '3.png']}), ['a/1.png', 'a/2.png', 'a/3.png'])
      ['a/2.png', 'a/3.png']
    """
    return [path for path in paths if any(text in texts for text in _spellings(path))]


def _spellings(path: str) -> tuple[str, str, str, str]:
    """The texts by which a line may name a path, the first before the others."""
    below = normal_form(path)
    name = below.rpartition("/")[2]
    return below, _stem(below), name, _stem(name)


def _plain(line: str) -> str:
    return re.sub(r"^(?:\./)+", "", line.replace("\\", "/"))


def _stem(path: str) -> str:
    return os.path.splitext(path)[0]


def _fitting(line: str, spellings: Iterable[Mapping[str, set[str]]]) -> set[str]:
    text = _plain(line)
    return next((known[text] for known in spellings if text in known), set())
