"""Families of image files, by folders that differ in numbers only, and the templates of them."""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from medical_images.drafting.survey import extension_of

_MOST_TEMPLATES = 4


def literal(folder: str) -> str:
    """Returns a folder as a template writes it: names with braces become `*`.

    Example:
      >>> literal('a/x {1}/')
      'a/*/'
    """
    return "/".join("*" if set(name) & set("{}") else name for name in folder.split("/"))


def with_stars(paths: Iterable[str]) -> str:
    """Returns the folder of files of one family, with `*` for numbers that differ.

    Example:
      >>> with_stars(['v2/part_1/a.png', 'v2/part_2/a.png'])
      'v2/part_*/'
    """
    folders = {path.rsplit("/", 1)[0] + "/" if "/" in path else "" for path in paths}
    pieces = zip(*(re.split(r"(\d+)", folder) for folder in folders), strict=True)
    text = "".join(own[0] if len(set(own)) == 1 else "*" for own in pieces)
    # No more than two `*` may stand in one name.
    names = (
        name if name.count("*") <= 2 else re.sub(r"\*.*\*", "*", name) for name in text.split("/")
    )
    return "/".join(names)


def _shared_shape(folders: Sequence[str]) -> str:
    """Returns folders of one depth with `*` where they differ, or `**/`.

    Example:
      >>> _shared_shape(['a/x/', 'a/y/']), _shared_shape(['a/', 'a/b/'])
      ('a/*/', '**/')
    """
    levels = [folder.split("/") for folder in folders]
    if len({len(names) for names in levels}) > 1:
        return "**/"
    own = (set(names) for names in zip(*levels, strict=True))
    return "/".join(names.pop() if len(names) == 1 else "*" for names in own)


def templates_of(
    families: Sequence[tuple[str, str]], text: str, *, has_extension: bool
) -> Iterator[str]:
    """Writes folders that differ in numbers with `*`, and many folders as `**/`."""
    extensions = {extension for _, extension in families}
    extension = "" if has_extension else _one_extension(extensions)
    folders = sorted({folder for folder, _ in families})
    if len(folders) > _MOST_TEMPLATES:
        folders = [_shared_shape(folders)]
    for folder in folders:
        yield f"{literal(folder)}{text}{extension}"


def _one_extension(extensions: set[str]) -> str:
    if len(extensions) == 1:
        return next(iter(extensions))
    return ".*" if "" not in extensions and ".nii.gz" not in extensions else ""


def extension_text(paths: Iterable[str]) -> str:
    """Returns the extension of all files, or `.*` where they differ."""
    return _one_extension({extension_of(path) for path in paths})


def family_of(path: str) -> tuple[str, str]:
    """Returns a file's folder with its numbers as `#`, and its extension.

    Example:
      >>> family_of('images_012/images/x.png')
      ('images_#/images/', '.png')
    """
    folder = path.rsplit("/", 1)[0] + "/" if "/" in path else ""
    return re.sub(r"\d+", "#", folder), extension_of(path)


def families_of(
    hits: Mapping[str, list[str]], *, is_many: bool
) -> list[tuple[tuple[str, str], list[str]]]:
    """Returns families of files, those that name most cells first, without copies of others."""
    members: dict[tuple[str, str], list[tuple[str, str]]] = collections.defaultdict(list)
    for cell, paths in hits.items():
        for path in paths:
            members[family_of(path)].append((cell, path))
    order = sorted(members, key=lambda f: (-len({c for c, _ in members[f]}), f[0].count("/"), f))
    seen: set[str] = set()
    chosen = []
    for family in order:
        cells = {cell for cell, _ in members[family]}
        if is_many or not cells & seen:
            chosen.append((family, [path for _, path in members[family]]))
        elif len(cells - seen) > 0.5 * len(cells):  # mostly new: those known before are copies
            chosen.append((family, [path for cell, path in members[family] if cell not in seen]))
        seen |= cells
    return chosen
