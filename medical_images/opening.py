"""Files below the corpus root, opened so that nothing outside of it is read, and nothing hangs."""

from __future__ import annotations

import errno
import functools
import os
import stat

from medical_images.errors import ImageError
from medical_images.paths import is_remote

# A pipe that nobody writes to would be waited for without O_NONBLOCK; files do not heed it.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW


def leaves_root(path: str | os.PathLike[str], root: str | os.PathLike[str]) -> bool:
    """Tells whether a local path leads out of the root, by links or otherwise.

    Example:
      >>> leaves_root('/corpus/../other/1.png', '/corpus'), leaves_root('/corpus/1.png', '/corpus')
      (True, False)
    """
    return not is_remote(root) and not _is_in(os.path.realpath(path), os.path.realpath(root))


def open_below(root: str, path: str) -> int:
    """Opens a local file to read it, whatever became of it since it was listed.

    Links are followed as long as they stay in the root.

    Args:
      root: The corpus root.
      path: Relative to it.

    Returns:
      A descriptor of a regular file; the caller closes it.

    Raises:
      ImageError: `path_escape`, it leads out of the root; `not_regular`, it leads to a folder, a
        pipe, a device or a socket.
      OSError: It cannot be opened.
    """
    name = os.path.join(root, path)
    try:
        descriptor = os.open(name, _FLAGS)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise ImageError("not_regular") from None
        if error.errno not in (errno.ELOOP, errno.EMLINK):
            raise
        name = os.path.realpath(name)  # a link, which may have changed since
        if leaves_root(name, root):
            raise ImageError("path_escape") from None
        descriptor = os.open(name, _FLAGS)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ImageError("not_regular")
        place = _place_of(descriptor, name)  # folders on the way may be links too
        if not _is_in(place, _real(root)) and not _is_in(place, os.path.realpath(root)):
            raise ImageError("path_escape")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@functools.lru_cache(maxsize=16)
def _real(root: str) -> str:
    """As `os.path.realpath`, but as it was when first asked for."""
    return os.path.realpath(root)


def _place_of(descriptor: int, name: str) -> str:
    """Returns the path of what was opened, without links; Linux knows it."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return os.path.realpath(name)


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
