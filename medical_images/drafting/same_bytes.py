"""Images of the same bytes under several names, as far as they can be found in seconds."""

from __future__ import annotations

import collections
import hashlib
import os
from collections.abc import Sequence

_MOST_FILES, _MOST_BYTES = 20_000, 1 << 29


def copies_among(root: str, paths: Sequence[str]) -> dict[str, str]:
    """Returns the first path of each image that has copies, by the path of each of them.

    Files of one size are compared; none where these are too many. Members of containers are not.
    """
    sizes: dict[int, list[str]] = collections.defaultdict(list)
    for path in paths:
        full = os.path.join(root, path)
        if os.path.isfile(full):
            sizes[os.path.getsize(full)].append(path)
    alike = {size: own for size, own in sizes.items() if len(own) > 1}
    num_files = sum(map(len, alike.values()))
    if num_files > _MOST_FILES or sum(s * len(own) for s, own in alike.items()) > _MOST_BYTES:
        return {}
    found: dict[bytes, list[str]] = collections.defaultdict(list)
    for own in alike.values():
        for path in own:
            with open(os.path.join(root, path), "rb") as file:
                found[hashlib.file_digest(file, "sha256").digest()].append(path)
    return {path: min(own) for own in found.values() if len(own) > 1 for path in own}
