"""The image tree to image files: paths, sizes in bytes and, where asked for, in pixels."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import operator
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent import futures
from typing import TypeVar

import numpy as np
import pandas as pd
from etils import epath
from PIL import Image, UnidentifiedImageError

from medical_images.errors import BuildError, Problem, SpecError
from medical_images.paths import is_remote
from medical_images.remote import files_below, list_folder, open_to_read, storage_errors
from medical_images.template import PathTemplate

Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)  # there may be millions
class ImageFile:
    """One regular file below the corpus root.

    Attributes:
      path: Relative to the root, with `/` between folders, as the file system spells it.
      num_bytes: Its size.
      escapes: Whether it is a link that leaves the root.
    """

    path: str
    num_bytes: int
    escapes: bool = False


def list_images(
    root: str,
    templates: Sequence[PathTemplate],
    *,
    exclude: Collection[str] = (),
    pixel_sizes: bool = False,
) -> pd.DataFrame:
    """Lists the image files that path templates can name.

    Hidden files and folders (such as macOS's `._x.png`) are passed over; so are devices and pipes.

    Args:
      root: The corpus root, local or remote.
      templates: The path templates.
      exclude: Paths below the root that are no images, such as those of the tables.
      pixel_sizes: Whether to read each file's header for its size in pixels.

    Returns:
      One line for each file, sorted by path: `path`, `num_bytes`, `escapes` and one column
      `key_<n>` for each template, a tuple of keys (empty where it cannot name the file); with
      `pixel_sizes` also `width` and `height` (0 where the header cannot be read).

    Raises:
      SpecError: A folder that a template names does not exist.
      BuildError: A folder cannot be listed, or a file cannot be read.
    """
    folders = outermost_folders(root, templates)
    found = [file for folder in folders for file in walk(root, folder)]
    frame = frame_of_files(found, templates, exclude=exclude)
    frame = frame.sort_values("path", ignore_index=True)
    if pixel_sizes:
        return frame.assign(**pixel_sizes_of(root, frame))
    return frame


def outermost_folders(root: str, templates: Sequence[PathTemplate]) -> list[str]:
    """Returns the folders that hold all files the templates can name, none inside another.

    Raises:
      SpecError: One of them does not exist, or leaves the root.
    """
    folders = _outermost({template.folder for template in templates})
    base = epath.Path(root)
    problems = [
        Problem(where="images.path", what=f"no folder '{base / folder}'")
        for folder in folders
        if not (base / folder).is_dir()
    ]
    problems += [
        Problem(
            where="images.path",
            what=f"the folder '{folder}' is a link that leaves the corpus root",
            remedy="name the real place as the root",
        )
        for folder in folders
        if not problems and _leaves(base / folder, base)
    ]
    if problems:
        raise SpecError(problems, headline="The images cannot be listed")
    return folders


def frame_of_files(
    files: Sequence[ImageFile], templates: Sequence[PathTemplate], *, exclude: Collection[str] = ()
) -> pd.DataFrame:
    """Returns the files that templates can name, as `list_images` does, but in the order given."""
    files = [file for file in files if file.path not in exclude]
    frame = pd.DataFrame(
        {
            "path": pd.Series([file.path for file in files], dtype="object"),
            "num_bytes": np.array([file.num_bytes for file in files], dtype=np.int64),
            "escapes": np.array([file.escapes for file in files], dtype=bool),
        }
    )
    keys = [f"key_{number}" for number in range(len(templates))]
    for name, template in zip(keys, templates, strict=True):
        frame[name] = pd.Series(
            [tuple(sorted(template.file_keys(path))) for path in frame["path"]],
            index=frame.index,
            dtype="object",
        )
    named = functools.reduce(operator.or_, [frame[name].map(bool) for name in keys])
    return frame[named.astype(bool)]


def pixel_sizes_of(root: str, files: pd.DataFrame) -> dict[str, np.ndarray]:
    """Returns `width` and `height` of files, read from their headers; see `read_pixel_sizes`."""
    inside = ~files["escapes"].to_numpy(dtype=bool)  # what lies outside is never opened
    sizes = np.zeros((len(files), 2), dtype=np.int64)
    sizes[inside] = read_pixel_sizes(root, files["path"][inside])
    return {"width": sizes[:, 0], "height": sizes[:, 1]}


def read_pixel_sizes(root: str, paths: Iterable[str]) -> np.ndarray:
    """Reads widths and heights from the headers of image files.

    Args:
      root: The corpus root.
      paths: Paths relative to it.

    Returns:
      int64 array of shape (files, 2): width and height in pixels, 0 where a file is none of an
      image, or is gone.

    Raises:
      BuildError: Files cannot be read.
    """
    base = epath.Path(root)

    def read(path: str) -> tuple[int, int] | Exception:
        try:
            with open_to_read(base / path) as file, Image.open(file) as image:
                return image.size
        except (
            FileNotFoundError,
            UnidentifiedImageError,
            ValueError,
            Image.DecompressionBombError,
        ):
            return 0, 0
        except storage_errors() as error:
            # Of a header that ends too early, Pillow says so by an OSError without a number.
            return (0, 0) if type(error) is OSError and error.errno is None else error

    with futures.ThreadPoolExecutor() as pool:
        found = list(pool.map(read, paths))
    sizes = none_unread(found, so_that="sizes in pixels are not known")
    return np.array(sizes, dtype=np.int64).reshape(-1, 2)


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


def _leaves(path: os.PathLike[str] | str, root: os.PathLike[str] | str) -> bool:
    """Tells whether a local path leads out of the root, by links or otherwise."""
    if is_remote(root):
        return False
    real_root = os.path.realpath(root)
    return os.path.commonpath([os.path.realpath(path), real_root]) != real_root


def _outermost(folders: Iterable[str]) -> list[str]:
    """Drops folders that lie inside others, so that no file is listed twice."""
    result: list[str] = []
    for folder in sorted(folders):
        if not any(outer in ("", folder) or folder.startswith(f"{outer}/") for outer in result):
            result.append(folder)
    return result


def walk(root: str, folder: str) -> Iterator[ImageFile]:
    """Yields all files of a folder and of those inside it; raises as `open_folder`."""
    if is_remote(root):  # many folders by one request
        with _listing():
            found_below = files_below(epath.Path(root) / folder)
        for path, num_bytes in found_below:
            if not any(name.startswith(".") for name in path.split("/")):
                path = f"{folder}/{path}" if folder else path
                yield ImageFile(path=path, num_bytes=num_bytes or 0)
        return
    for found in open_folder(root, folder):
        if isinstance(found, ImageFile):
            yield found
        else:
            yield from walk(root, found)


def open_folder(root: str, folder: str) -> Iterator[ImageFile | str]:
    """Yields the files of a folder, and the paths of the folders in it.

    Raises:
      BuildError: The folder cannot be listed.
    """
    with _listing():
        yield from _open_remote(root, folder) if is_remote(root) else _open_local(root, folder)


def _open_local(root: str, folder: str) -> Iterator[ImageFile | str]:
    with os.scandir(os.path.join(root, folder)) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                yield path
            elif entry.is_symlink():
                yield from _follow(entry, path, root)
            elif entry.is_file(follow_symlinks=False):
                yield ImageFile(path=path, num_bytes=entry.stat().st_size)


def _follow(entry: os.DirEntry[str], path: str, root: str) -> Iterator[ImageFile]:
    target = os.path.realpath(entry.path)
    if _leaves(target, root):
        yield ImageFile(path=path, num_bytes=0, escapes=True)
    elif os.path.exists(target) and stat.S_ISREG(os.stat(target).st_mode):
        yield ImageFile(path=path, num_bytes=os.stat(target).st_size)


def _open_remote(root: str, folder: str) -> Iterator[ImageFile | str]:
    for name, num_bytes in list_folder(epath.Path(root) / folder):
        if not name.startswith("."):
            path = f"{folder}/{name}" if folder else name
            yield path if num_bytes is None else ImageFile(path=path, num_bytes=num_bytes)
