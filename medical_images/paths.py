"""Paths that mean the same in every process, whatever its working directory."""

from __future__ import annotations

import os
import posixpath


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Tells whether a path is one of an object store, such as `gs://bucket/corpus`."""
    return "://" in os.fspath(path)


def absolute(path: str | os.PathLike[str]) -> str:
    """Returns a path from the root of the file system, or of the store, without `.` and `..`.

    Example:
      >>> absolute('gs://bucket/corpora/../corpus/'), absolute('/data/../corpus')
      ('gs://bucket/corpus', '/corpus')
    """
    text = os.fspath(path)
    if is_remote(text):
        scheme, _, place = text.partition("://")
        return f"{scheme}://{posixpath.normpath(place)}"
    return os.path.abspath(os.path.expanduser(text))


def joined(base: str | os.PathLike[str], path: str) -> str:
    """Returns a path that may be relative to another; either of them may be remote.

    Example:
      >>> joined('s3://bucket/specs', '../corpus'), joined('/specs', 's3://bucket/corpus')
      ('s3://bucket/corpus', 's3://bucket/corpus')
    """
    path = os.path.expanduser(path)
    return absolute(path if is_remote(path) else os.path.join(base, path))
