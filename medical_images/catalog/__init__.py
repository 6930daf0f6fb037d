"""The catalog: specs of well-known public corpora, each a `corpus.yaml` of the same format.

The corpora themselves are not here: `about: {get: ...}` of a spec tells where they are to be had
and under which terms.
"""

from __future__ import annotations

import functools
import pathlib

from medical_images.errors import Problem, SpecError, nearest
from medical_images.spec import LoadedSpec, load_spec

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
    """
    if name not in names():
        what = f"the catalog has no corpus '{name}'; {nearest(name, names())}"
        raise SpecError([Problem(where="catalog", what=what)])
    return _FOLDER / f"{name}.yaml"


def load(name: str, *, root: str | None = None) -> LoadedSpec:
    """Reads the spec of a corpus.

    Args:
      name: One of `names()`.
      root: Where the corpus lies.

    Raises:
      SpecError: The catalog has no such corpus.

    Example:
      >>> load('ham10000').spec.group
      ('lesion_id',)
    """
    return load_spec(path_of(name), root=root)
