"""The image tree to image files: paths, and sizes in bytes."""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import functools
import operator
import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import pandas as pd
from etils import epath

from medical_images.errors import BuildError, Problem, SpecError
from medical_images.members import is_container, list_container, split
from medical_images.opening import leaves_root
from medical_images.paths import is_remote
from medical_images.remote import files_below, list_folder, storage_errors
from medical_images.spec_images import Images
from medical_images.template import PathTemplate

Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)  # there may be millions
class ImageFile:
    """One file below the corpus root, or what stands for one in a container.

    Attributes:
      path: Relative to the root, with `/` between folders, as the file system spells it. That of a
        link to a folder outside the root ends with `/`.
      num_bytes: Its size.
      fault: Why it is never opened, a key of `rejects.CODES`, such as `path_escape` of a link that
        leaves the root, and `not_regular` of a pipe; or empty. Of a container that cannot be
        listed, why.
    """

    path: str
    num_bytes: int
    fault: str = ""


def list_images(
    root: str, images: Images, *, exclude: Collection[str] = (), needs_all: bool = True
) -> pd.DataFrame:
    """Lists the image files that path templates can name.

    Hidden files and folders (such as macOS's `._x.png`) are passed over.

    Args:
      root: The corpus root, local or remote.
      images: The path templates, and patterns of paths that are no images.
      exclude: Paths below the root that are no images, such as those of the tables.
      needs_all: Whether the folder of each template must be there; one of them must be.

    Returns:
      One line for each file, sorted by path: `path`, `num_bytes`, `fault` and one column `key_<n>`
      for each template, a tuple of keys (empty where it cannot name the file). Containers and links
      to folders that a template enters, but that cannot be listed, are among them, without keys.

    Raises:
      SpecError: A folder that a template names does not exist, or a library is not installed.
      BuildError: A folder or a container cannot be read now.
    """
    folders = outermost_folders(root, images.templates, needs_all=needs_all)
    found = [file for folder in folders for file in walk(root, folder, images)]
    frame = frame_of_files(found, images, exclude=exclude)
    return frame.sort_values("path", ignore_index=True)


def outermost_folders(
    root: str, templates: Sequence[PathTemplate], *, needs_all: bool = True
) -> list[str]:
    """Returns the folders that hold all files the templates can name, none inside another.

    Args:
      root: The corpus root, local or remote.
      templates: The path templates.
      needs_all: Whether each folder must be there. Where tables tell of the images, one that is
        not loses nothing: rows whose image is nowhere are rejected.

    Raises:
      SpecError: One of them does not exist (or none of them does), or leaves the root.
    """
    base = epath.Path(root)
    named = _outermost({template.folder for template in templates})
    folders = [folder for folder in named if (base / folder).is_dir()]
    problems = [
        Problem(where="images.path", what=f"no folder '{base / folder}'")
        for folder in named
        if folder not in folders and (needs_all or not folders)
    ]
    problems += [
        Problem(
            where="images.path",
            what=f"the folder '{folder}' is a link that leaves the corpus root",
            remedy="name the real place as the root",
        )
        for folder in folders
        if not problems and leaves_root(base / folder, base)
    ]
    if problems:
        raise SpecError(problems, headline="The images cannot be listed")
    return folders


def frame_of_files(
    files: Sequence[ImageFile], images: Images, *, exclude: Collection[str] = ()
) -> pd.DataFrame:
    """Returns the files that templates can name, as `list_images` does, but in the order given."""
    excluded = _excluded(tuple(images.exclude))
    files = [f for f in files if f.path not in exclude and not excluded.fullmatch(f.path)]
    frame = pd.DataFrame(
        {
            "path": pd.Series([file.path for file in files], dtype="object"),
            "num_bytes": np.array([file.num_bytes for file in files], dtype=np.int64),
            "fault": pd.Series([file.fault for file in files], dtype="str"),
        }
    )
    templates = images.templates
    keys = [f"key_{number}" for number in range(len(templates))]
    for name, template in zip(keys, templates, strict=True):
        frame[name] = pd.Series(
            [tuple(sorted(template.file_keys(path))) for path in frame["path"]],
            index=frame.index,
            dtype="object",
        )
    named = functools.reduce(operator.or_, [frame[name].map(bool) for name in keys])
    entered = [bool(file.fault) and _is_entered(file.path, images) for file in files]
    return frame[named.astype(bool) | np.array(entered, dtype=bool)]


@functools.lru_cache(maxsize=16)
def _excluded(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(fnmatch.translate, patterns)) or r"(?!)")


def _is_entered(path: str, images: Images) -> bool:
    """Tells whether a container, or a folder in it or elsewhere, leads to what templates name."""
    if not path.endswith("/") and len(split(path, images)) == 1:
        return is_container(path, images)
    folders = (folder for template in images.templates for folder in template.folders)
    return any(folder.file_keys(path.removesuffix("/")) for folder in folders)


def none_unread(found: Iterable[Result | Exception], *, so_that: str) -> list[Result]:
    """Returns what was found in image files, if all could be read.

    Args:
      found: What was found in each, or the error of reading it.
      so_that: What follows from errors.

    Raises:
      BuildError: There are errors. They are counted, as names of files may be those of patients.
    """
    results: list[Result] = []
    errors: list[Exception] = []
    for one in found:
        if isinstance(one, Exception):
            errors.append(one)
        else:
            results.append(one)
    if errors:
        files = "1 image file" if len(errors) == 1 else f"{len(errors):,} image files"
        kinds = ", ".join(sorted({_kind(error) for error in errors}))
        raise BuildError(f"{files} cannot be read now, so that {so_that} ({kinds})")
    return results


def _kind(error: Exception) -> str:
    """Says what failed, but not where; its own message may hold a path."""
    number = getattr(error, "errno", None)
    words = f": {os.strerror(number)}" if isinstance(number, int) else ""
    return f"{type(error).__name__}{words}"


@contextlib.contextmanager
def _listing() -> Iterator[None]:
    """Tells of a folder that cannot be listed without its name, which may be that of a patient."""
    try:
        yield
    except storage_errors() as error:
        raise BuildError(f"a folder of images cannot be listed ({_kind(error)})") from None


def _outermost(folders: Iterable[str]) -> list[str]:
    """Drops folders that lie inside others, so that no file is listed twice."""
    result: list[str] = []
    for folder in sorted(folders):
        if not any(outer in ("", folder) or folder.startswith(f"{outer}/") for outer in result):
            result.append(folder)
    return result


def walk(root: str, folder: str, images: Images) -> Iterator[ImageFile]:
    """Yields all files of a folder and of those inside it; raises as `open_folder`."""
    if is_remote(root):  # many folders by one request
        with _listing():
            found_below = files_below(epath.Path(root) / folder)
        for path, num_bytes in found_below:
            if not any(name.startswith(".") for name in path.split("/")):
                path = f"{folder}/{path}" if folder else path
                yield from _enter(root, path, num_bytes or 0, images)
        return
    for found in open_folder(root, folder, images):
        if isinstance(found, ImageFile):
            yield found
        else:
            yield from walk(root, found, images)


def open_folder(root: str, folder: str, images: Images) -> Iterator[ImageFile | str]:
    """Yields the files of a folder, those of its containers, and the paths of the folders in it.

    Raises:
      SpecError: A library that reads a container is not installed.
      BuildError: The folder cannot be listed.
    """
    with _listing():
        is_far = is_remote(root)
        yield from (_open_remote if is_far else _open_local)(root, folder, images)


def _open_local(root: str, folder: str, images: Images) -> Iterator[ImageFile | str]:
    with os.scandir(os.path.join(root, folder)) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                yield path
            elif entry.is_symlink():
                yield from _follow(entry, path, root, images)
            elif entry.is_file(follow_symlinks=False):
                yield from _enter(root, path, entry.stat().st_size, images)
            else:
                yield ImageFile(path=path, num_bytes=0, fault="not_regular")


def _follow(entry: os.DirEntry[str], path: str, root: str, images: Images) -> Iterator[ImageFile]:
    target = os.path.realpath(entry.path)
    if leaves_root(target, root):
        path = f"{path}/" if os.path.isdir(target) else path
        yield ImageFile(path=path, num_bytes=0, fault="path_escape")
    elif os.path.exists(target):
        told = os.stat(target)
        if stat.S_ISREG(told.st_mode):
            yield from _enter(root, path, told.st_size, images)
        elif not stat.S_ISDIR(told.st_mode):  # links to folders in the root are passed over
            yield ImageFile(path=path, num_bytes=0, fault="not_regular")


def _open_remote(root: str, folder: str, images: Images) -> Iterator[ImageFile | str]:
    for name, num_bytes in list_folder(epath.Path(root) / folder):
        if not name.startswith("."):
            path = f"{folder}/{name}" if folder else name
            if num_bytes is None:
                yield path
            else:
                yield from _enter(root, path, num_bytes, images)


def _enter(root: str, path: str, num_bytes: int, images: Images) -> Iterator[ImageFile]:
    """Yields what a file stands for: itself, or what is in it."""
    if not is_container(path, images):
        yield ImageFile(path=path, num_bytes=num_bytes)
        return
    with _listing():
        for name, size, fault in list_container(root, path, images):
            inner = f"{path}/{name}" if name else path
            yield ImageFile(path=inner, num_bytes=size, fault=fault)
