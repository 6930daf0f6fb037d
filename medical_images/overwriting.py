"""An older dataset stays under a hidden name until the one that replaces it is complete."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from etils import epath


@contextlib.contextmanager
def set_aside(folder: epath.Path) -> Iterator[None]:
    """Renames a dataset for as long as it is replaced; if no new one comes, it comes back.

    An older dataset that a killed process of this machine set aside comes back first.

    Args:
      folder: The dataset's folder; nothing is done where it does not exist.
    """
    _restore_of_the_dead(folder)
    if not folder.exists():
        yield
        return
    aside = folder.parent / f"{_prefix(folder)}{os.getpid()}"
    folder.rename(aside)
    try:
        yield
    finally:
        if folder.exists():
            aside.rmtree()
        else:
            aside.rename(folder)


def _prefix(folder: epath.Path) -> str:
    return f".{folder.name}.replaced_by_"


def _restore_of_the_dead(folder: epath.Path) -> None:
    if not folder.parent.exists():
        return
    for aside in folder.parent.iterdir():
        process = aside.name.removeprefix(_prefix(folder))
        if aside.name.startswith(_prefix(folder)) and process.isdigit() and _is_dead(int(process)):
            if folder.exists():
                aside.rmtree()
            else:
                aside.rename(folder)


def _is_dead(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's
        pass
    return False
