"""What files that hold images as a folder does have in common; see `medical_images.members`."""

from __future__ import annotations

import abc
import importlib
import itertools
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from medical_images.errors import ImageError, Problem, SpecError
from medical_images.spec_images import Images

_MOST_MEMBERS = 1_000_000  # a damaged header may tell any number


class Member(NamedTuple):
    """What a container holds under a name.

    Attributes:
      name: Relative to the container, with `/` between the parts.
      num_bytes: How many bytes are read of it; of a frame, its share of the file.
      fault: Why it cannot be used, a key of `rejects.CODES`; or empty.
    """

    name: str
    num_bytes: int
    fault: str = ""


class Container(abc.ABC):
    """A file that holds images. It bears threads.

    Args:
      file: Is read later too, and left open.
      images: `axis` and `max_pixels`.

    Raises:
      ImageError: It is damaged, or of another kind.
      SpecError: The library that reads it is not installed.

    Attributes:
      num_held: How many bytes of memory it takes, about.
    """

    num_held: int = 0

    def __init__(self, file: BinaryIO, images: Images) -> None:
        self._file, self._images = file, images
        self._lock = threading.Lock()

    def members(self) -> list[Member]:
        """Returns what it holds, each name once.

        Raises:
          ImageError: It is damaged.
        """
        with self._lock:
            found = list(itertools.islice(self._members(), _MOST_MEMBERS + 1))
        if len(found) > _MOST_MEMBERS:
            raise ImageError("corrupt", f"it seems to hold more than {_MOST_MEMBERS:,} images")
        return found

    def read(self, name: str) -> bytes | np.ndarray:
        """Returns encoded bytes (of a frame, those of the whole file) or an array.

        Raises:
          ImageError: It cannot be used.
          FileNotFoundError: There is no such member.
        """
        with self._lock:
            return self._read(name)

    @abc.abstractmethod
    def _members(self) -> Iterator[Member]: ...

    @abc.abstractmethod
    def _read(self, name: str) -> bytes | np.ndarray: ...

    @property
    def _most_bytes(self) -> int:
        """How long an encoded image may be: its pixels, 4 channels of 16 bits, and a MiB."""
        return 8 * self._images.max_pixels + (1 << 20)


def library(name: str, *, extra: str) -> Any:
    """Imports a library that not everybody needs.

    Raises:
      SpecError: It is not installed; says how to do that.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        what = f"such files are read by {name}, which is not installed"
        remedy = f"pip install 'medical_images[{extra}]'"
        problem = Problem(where="images.path", what=what, remedy=remedy)
        raise SpecError([problem], headline="The images cannot be read") from None
