"""The image tree to image files: paths, sizes in bytes and, where asked for, in pixels."""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from concurrent import futures

import numpy as np
import pandas as pd
from etils import epath
from PIL import Image, UnidentifiedImageError

from medical_images.errors import Problem, SpecError
from medical_images.template import PathTemplate


@dataclasses.dataclass(frozen=True, kw_only=True)
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
    root: str, templates: Sequence[PathTemplate], *, pixel_sizes: bool = False
) -> pd.DataFrame:
    """Lists the image files that path templates can name.

    Hidden files and folders (such as macOS's `._x.png`) are passed over; so are devices and pipes.

    Args:
      root: The corpus root, local or remote.
      templates: The path templates.
      pixel_sizes: Whether to read each file's header for its size in pixels.

    Returns:
      One line for each file, sorted by path: `path`, `num_bytes`, `escapes` and one column
      `key_<n>` for each template (None where it cannot name the file); with `pixel_sizes` also
      `width` and `height` (0 where the header cannot be read).

    Raises:
      SpecError: A folder that a template names does not exist.
    """
    folders = _outermost({template.folder for template in templates})
    base = epath.Path(root)
    absent = [folder for folder in folders if not (base / folder).is_dir()]
    if absent:
        problems = [Problem(where="images.path", what=f"no folder '{base / f}'") for f in absent]
        raise SpecError(problems, headline="The images cannot be listed")
    files = [file for folder in folders for file in _walk(base, folder)]
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
            [template.file_key(path) for path in frame["path"]], index=frame.index, dtype="object"
        )
    frame = frame[frame[keys].notna().any(axis=1)].sort_values("path", ignore_index=True)
    if pixel_sizes:
        sizes = read_pixel_sizes(root, frame["path"])
        frame["width"], frame["height"] = sizes[:, 0], sizes[:, 1]
    return frame


def read_pixel_sizes(root: str, paths: Iterable[str]) -> np.ndarray:
    """Reads widths and heights from the headers of image files.

    Args:
      root: The corpus root.
      paths: Paths relative to it.

    Returns:
      int64 array of shape (files, 2): width and height in pixels, 0 where unreadable.
    """
    base = epath.Path(root)

    def read(path: str) -> tuple[int, int]:
        try:
            with (base / path).open("rb") as file, Image.open(file) as image:
                return image.size
        except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError):
            return 0, 0

    with futures.ThreadPoolExecutor() as pool:
        return np.array(list(pool.map(read, paths)), dtype=np.int64).reshape(-1, 2)


def _outermost(folders: Iterable[str]) -> list[str]:
    """Drops folders that lie inside others, so that no file is listed twice."""
    result: list[str] = []
    for folder in sorted(folders):
        if not any(outer in ("", folder) or folder.startswith(f"{outer}/") for outer in result):
            result.append(folder)
    return result


def _walk(base: epath.Path, folder: str) -> Iterator[ImageFile]:
    if "://" in os.fspath(base):
        yield from _walk_remote(base, folder)
    else:
        yield from _walk_local(os.fspath(base), folder, os.path.realpath(base))


def _walk_local(base: str, folder: str, real_root: str) -> Iterator[ImageFile]:
    with os.scandir(os.path.join(base, folder)) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _walk_local(base, path, real_root)
            elif entry.is_symlink():
                yield from _follow(entry, path, real_root)
            elif entry.is_file(follow_symlinks=False):
                yield ImageFile(path=path, num_bytes=entry.stat().st_size)


def _follow(entry: os.DirEntry[str], path: str, real_root: str) -> Iterator[ImageFile]:
    target = os.path.realpath(entry.path)
    escapes = os.path.commonpath([target, real_root]) != real_root
    if escapes:
        yield ImageFile(path=path, num_bytes=0, escapes=True)
    elif os.path.exists(target) and stat.S_ISREG(os.stat(target).st_mode):
        yield ImageFile(path=path, num_bytes=os.stat(target).st_size)


def _walk_remote(base: epath.Path, folder: str) -> Iterator[ImageFile]:
    for child in (base / folder).iterdir():
        if child.name.startswith("."):
            continue
        path = f"{folder}/{child.name}" if folder else child.name
        if child.is_dir():
            yield from _walk_remote(base, path)
        else:
            yield ImageFile(path=path, num_bytes=child.stat().length)
