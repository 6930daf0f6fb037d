"""Paths that mean the same in every process, whatever its working directory."""

from __future__ import annotations

import os


def absolute(path: str | os.PathLike[str]) -> str:
    """Returns a local path from the root of the file system; remote ones stay as they are.

    Example:
      >>> absolute('gs://bucket/corpus'), absolute('/data/../corpus')
      ('gs://bucket/corpus', '/corpus')
    """
    text = os.fspath(path)
    return text if "://" in text else os.path.abspath(os.path.expanduser(text))
