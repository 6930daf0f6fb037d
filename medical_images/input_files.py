"""Tables and lists of official splits are files below the corpus root, or nothing is read."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator

from medical_images.errors import Problem, SpecError
from medical_images.opening import leaves_root
from medical_images.paths import is_remote
from medical_images.spec import CorpusSpec, LoadedSpec
from medical_images.spec_parts import Place

_OUTSIDE = "name a `root:` that holds it, or copy it there"


def input_paths(spec: CorpusSpec) -> dict[Place, str]:
    """Returns the paths of tables and of lists of official splits, by their places in the spec."""
    found: dict[Place, str] = {
        ("tables", number, key, *((place,) if len(paths) > 1 else ())): path
        for number, table in enumerate(spec.tables)
        for key, paths in (("path", table.path), ("or", table.instead))
        for place, path in enumerate(paths)
    }
    return found | {("splits", "files", name): path for name, path in spec.splits.files.items()}


def check_input_paths(loaded: LoadedSpec) -> None:
    """Refuses tables and lists that lie outside the root, or are no files; none is opened.

    Raises:
      SpecError: Lists them all; or there is no root.
    """
    root, about = loaded.root, loaded.spec.about
    if not is_remote(root) and not os.path.isdir(root):
        what = f"there is no folder '{root}', where the corpus should be"
        remedy = " ".join(about.get) or "give its folder as `root:`"
        raise SpecError(
            [Problem(where=loaded.source.where(("root",)), what=what, remedy=remedy)],
            headline="There is no corpus",
        )
    problems = [
        Problem(where=loaded.source.where(place), what=f"'{path}' {what}", remedy=remedy)
        for place, path in input_paths(loaded.spec).items()
        for what, remedy in _wrong(path, loaded.root)
    ]
    if problems:
        raise SpecError(problems, headline="Tables or lists cannot be read")


def _wrong(path: str, root: str) -> Iterator[tuple[str, str]]:
    whole = os.path.join(root, path)
    if posixpath.isabs(path) or posixpath.normpath(path).split("/")[0] == "..":
        yield "leads out of the corpus root", _OUTSIDE
    elif not is_remote(root) and os.path.exists(whole):
        if leaves_root(whole, root):
            yield "is a link that leads out of the corpus root", _OUTSIDE
        elif not stat.S_ISREG(os.stat(whole).st_mode):
            yield "is no file, but a folder, a pipe, a device or a socket", ""
