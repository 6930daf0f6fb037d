"""A draft of a spec from what lies in a folder.

Nothing is guessed silently: each choice that could be another is marked `# ?` in the draft and is
among its questions; what only the user can tell is `???`, which no build accepts.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from medical_images.drafting.compose import compose, lines_of_list
from medical_images.drafting.composed import Composed
from medical_images.drafting.document import flow_of, render, scalar
from medical_images.drafting.joining import Joined, join_found
from medical_images.drafting.naming_made import Files
from medical_images.drafting.survey import Survey, extension_of, survey
from medical_images.drafting.tables_found import FoundTable, read_found
from medical_images.errors import Problem, SpecError, TableError, nearest
from medical_images.yaml_source import Path, parse_yaml

_NUM_SHOWN = 12
_LONGEST = 200  # characters of what stands in a place


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """A choice of a draft that could be another one.

    Attributes:
      key: Its place in the spec, such as `features.age`.
      what: What is unsure.
      options: Other choices.
      chosen: What stands there; `???` where something must be filled in.
      line: The line in the draft.
    """

    key: str
    what: str
    options: tuple[str, ...]
    chosen: str
    line: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Draft:
    """A spec that was drafted; `print` tells what was found and what is unsure.

    Attributes:
      yaml: The spec, with comments.
      questions: What it is unsure of, in the order of its lines.
      findings: What was found: images, tables, joins with counts on both sides, what was passed
        over.
      root: The folder.
    """

    yaml: str
    questions: tuple[Question, ...]
    findings: tuple[str, ...]
    root: str

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes the spec; its `root:` is told relative to it.

        Raises:
          FileExistsError: There is such a file already.
        """
        folder = os.path.dirname(os.path.abspath(path))
        root = os.path.relpath(self.root, folder)
        text = self.yaml.replace(
            "\nroot: .\n", "\n" if root == "." else f"\nroot: {scalar(root)}\n", 1
        )
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)

    def __str__(self) -> str:
        lines = ["Found:", *(f"  {finding}" for finding in self.findings)]
        if self.questions:
            lines.append("Unsure (`# ?` in the draft):")
        for question in self.questions:
            lines.append(f"  line {question.line}, {question.key}: {question.what}")
        return "\n".join(lines)


def infer_spec(
    folder: str | os.PathLike[str], *, tables: Sequence[str] = (), name: str | None = None
) -> Draft:
    """Drafts the spec of the corpus in a folder. Nothing is written.

    Args:
      folder: The folder, on a local disk.
      tables: Tables below it, the one that names the images first; by default they are looked for.
      name: The dataset's name; by default made of the folder's.

    Raises:
      SpecError: There is no such folder or table, or there is nothing to draft from.
      TableError: A table that was named cannot be read.
      BuildError: A folder cannot be listed.

    Example:
      >>> import tempfile
      >>> import medical_images as mi
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = mi.write_phantom(folder, num_images=100, height=24, width=32)
      ...     draft = mi.infer_spec(folder, name='mine')
      >>> 'group: patient_id' in draft.yaml
      True
    """
    root = os.path.abspath(os.path.expanduser(os.fspath(folder)))
    if not os.path.isdir(root):
        raise SpecError([Problem(where="folder", what=f"there is no folder '{root}'")])
    found = survey(root)
    if not found.images and not found.tables:
        others = "; ".join(f"{n:,} {what}" for what, n in found.passed_over.items())
        what = f"there are neither images nor tables below '{root}'" + (
            f", but {others}" if others else "; give the folder that holds them"
        )
        raise SpecError([Problem(where="folder", what=what)])
    read, passed_over = _read(found, tables)
    files = Files(found.images)
    joined = join_found([t for t in read if t.width > 1 or tables], files, is_ordered=bool(tables))
    lists = {t.name: lines_of_list(os.path.join(root, t.name)) for t in read if t.width == 1}
    if joined.naming is None and not found.images and read:
        joined = dataclasses.replace(
            joined, tables=(dict(read[0].keys),), frame=read[0].frame, notes={}
        )
    draft = compose(found=found, joined=joined, lists=lists, name=name or _name_of(root))
    head = [
        "Drafted by `medical-images init`. Guesses are marked `?`; read them, then:"
        " medical-images check corpus.yaml",
        *_head(found),
    ]
    draft.comments[()] = head
    text = render(draft.data, comments=draft.comments, after=draft.after)
    return Draft(
        yaml=text,
        questions=_questions(draft, text),
        findings=_findings(found, joined, passed_over, lists),
        root=root,
    )


def _read(found: Survey, tables: Sequence[str]) -> tuple[list[FoundTable], dict[str, str]]:
    for path in tables:
        if not os.path.isfile(os.path.join(found.root, path)):
            what = f"there is no table '{path}' below the folder; {nearest(path, found.tables)}"
            raise SpecError([Problem(where="tables", what=what)])
    read, passed_over = [], {}
    for path in tables or found.tables:
        table = read_found(found.root, path)
        if isinstance(table, str):
            if tables:
                raise TableError([Problem(where=path, what=table)])
            passed_over[path] = table
        else:
            read.append(table)
    return read, passed_over


def _name_of(root: str) -> str:
    """Returns a dataset's name made of a folder's."""
    name = re.sub(r"[^a-z0-9]+", "_", os.path.basename(root).lower()).strip("_")
    return name or "corpus"


def _head(found: Survey) -> list[str]:
    kinds: dict[str, int] = {}
    for path in found.images:
        extension = extension_of(path).lower() or "without extension"
        kinds[extension] = kinds.get(extension, 0) + 1
    listed = ", ".join(f"{number:,} {kind}" for kind, number in sorted(kinds.items()))
    masks = f", and {len(found.masks):,} masks" if found.masks else ""
    return [f"Images: {listed or 'none'}{masks}."]


def _findings(
    found: Survey, joined: Joined, passed_over: Mapping[str, str], lists: Mapping[str, set[str]]
) -> tuple[str, ...]:
    lines = [_head(found)[0]]
    lines += [f"{name}: {note}" for name, note in joined.notes.items()]
    lines += [f"{name}: a list of {len(known):,} lines" for name, known in lists.items()]
    lines += [f"{name}: passed over, {why}" for name, why in passed_over.items()]
    others = [
        f"passed over: {number:,} {what}"
        for what, number in sorted(found.passed_over.items(), key=lambda item: -item[1])
    ]
    return (*lines, *others[:_NUM_SHOWN])


def _questions(draft: Composed, text: str) -> tuple[Question, ...]:
    source = parse_yaml(text, name="draft")
    questions = [
        Question(
            key=".".join(map(str, place)),
            what=what,
            options=draft.options.get(place, ()),
            chosen=flow_of(_at(draft.data, place))[:_LONGEST],
            line=source.places.get(place, (1, 1))[0],
        )
        for place, what in draft.guesses()
    ]
    return tuple(sorted(questions, key=lambda question: question.line))


def _at(data: Any, place: Path) -> Any:
    for key in place:
        data = data[key]
    return data
