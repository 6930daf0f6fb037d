"""The catalog: specs of well-known public corpora, each a `corpus.yaml` of the same format.

The corpora themselves are not here: `about: {get: ...}` of a spec tells where they are to be had
and under which terms.
"""

from __future__ import annotations

import functools
import pathlib

from medical_images.errors import Problem, SpecError, nearest

_FOLDER = pathlib.Path(__file__).parent


@functools.cache
def names() -> tuple[str, ...]:
    """Returns the names of all corpora of the catalog, sorted.

    Example:
      >>> 'ham10000' in names()
      True
    """
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def path_of(name: str) -> pathlib.Path:
    """Returns the file of a corpus's spec, to read or to copy.

    Raises:
      SpecError: The catalog has no such corpus.

    Example:
      >>> path_of('ham10000').name
      'ham10000.yaml'
    """
    if name not in names():
        what = f"the catalog has no corpus '{name}'; {nearest(name, names())}"
        raise SpecError([Problem(where="catalog", what=what)])
    return _FOLDER / f"{name}.yaml"


def holds(path: str) -> bool:
    """Tells whether a spec is a file of the catalog.

    Example:
      >>> holds(str(path_of('ham10000'))), holds('corpus.yaml')
      (True, False)
    """
    return pathlib.Path(path).parent == _FOLDER
