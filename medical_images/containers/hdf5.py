"""HDF5 files that stand as folders."""

from __future__ import annotations

import collections
import math
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from medical_images.containers.container import Container, Member, library
from medical_images.errors import ImageError
from medical_images.spec_images import Images

_CACHE_BYTES, _CACHE_SLOTS = 1 << 28, 10_007  # of unpacked chunks
_CHANNELS = (1, 3, 4)


class Hdf5Container(Container):
    """The datasets of an HDF5 file, or the images along the first axis of a dataset.

    | dataset | images |
    |---|---|
    | a text or opaque value; a row of uint8 | one, encoded |
    | shape (height, width), or (height, width, 1, 3 or 4) | one |
    | a row of texts, opaque values, or rows of uint8 | `name/0`..., encoded |
    | one axis before (height, width), or (height, width, 1, 3 or 4) | `name/0`... |

    Links to other places, and data that stand in other files, are not followed.
    """

    def __init__(self, file: BinaryIO, images: Images) -> None:
        super().__init__(file, images)
        self._h5py = library("h5py", extra="hdf5")
        # A dataset loses its unpacked chunks when it is closed.
        self._left_open: collections.OrderedDict[int, tuple[Any, int]] = collections.OrderedDict()
        cache = {"rdcc_nbytes": _CACHE_BYTES, "rdcc_nslots": _CACHE_SLOTS}
        with _Damage("no HDF5 file that can be read"):
            self._hdf5 = self._h5py.File(file, "r", **cache)

    def _members(self) -> Iterator[Member]:
        with _Damage("in its datasets"):
            yield from self._below(self._hdf5, "", ())

    def _below(self, group: Any, path: str, outer: tuple[Any, ...]) -> Iterator[Member]:
        place = self._h5py.h5o.get_info(group.id).addr
        for name in group if place not in outer else ():  # a group may hold itself
            if self._is_link(group, name):
                yield Member(path + name, 0, "path_escape")
                continue
            found = group[name]
            if isinstance(found, self._h5py.Group):
                yield from self._below(found, f"{path}{name}/", (*outer, place))
            elif isinstance(found, self._h5py.Dataset):
                yield from self._images_of(found, path + name)

    def _images_of(self, dataset: Any, path: str) -> Iterator[Member]:
        if self._is_elsewhere(dataset):
            yield Member(path, 0, "path_escape")
        elif self._is_bomb(dataset):
            yield Member(path, 0, "too_large")
        elif _is_image(dataset, dataset.shape):
            yield Member(path, dataset[()].nbytes if _element(dataset) else int(dataset.nbytes))
        elif dataset.shape and _is_image(dataset, dataset.shape[1:]):
            num_bytes = int(dataset.nbytes) // max(len(dataset), 1)
            for number in range(len(dataset)):
                if _element(dataset):  # its length is only told by reading it
                    num_bytes = dataset[number].nbytes
                yield Member(f"{path}/{number}", num_bytes)
        else:
            yield Member(path, 0, "unsupported")

    def _read(self, name: str) -> bytes | np.ndarray:
        with _Damage("in a dataset"):
            dataset, rest = self._find(name)
            if self._is_elsewhere(dataset):
                raise ImageError("path_escape")
            shape = dataset.shape
            where: Any = ...
            if not _is_image(dataset, shape):
                shape = dataset.shape[1:] if dataset.shape else None
                if not _is_image(dataset, shape):
                    raise ImageError("unsupported", f"{dataset.dtype} of shape {dataset.shape}")
                if not (len(rest) == 1 and rest[0].isdecimal() and int(rest[0]) < len(dataset)):
                    raise FileNotFoundError
                where = slice(int(rest[0]), int(rest[0]) + 1)
            elif rest:
                raise FileNotFoundError
            most = self._images.max_pixels if len(shape) > 1 else self._most_bytes
            if math.prod(shape[:2]) > most:
                raise ImageError("too_large", f"shape {shape}")
            if self._is_bomb(dataset):
                raise ImageError("too_large", f"packed in chunks of {dataset.chunks}")
            if where is not ...:
                self._leave_open(dataset)
            value = dataset[where]
            if _element(dataset):
                return bytes(np.asarray(value).item().tobytes())
            return value.reshape(shape) if len(shape) > 1 else bytes(value.tobytes())

    def _find(self, path: str) -> tuple[Any, list[str]]:
        """Returns the dataset that a path names, and what is left of the path."""
        found, names = self._hdf5, path.split("/")
        while names and isinstance(found, self._h5py.Group):
            name = names.pop(0)
            if name not in found:
                raise FileNotFoundError
            if self._is_link(found, name):
                raise ImageError("path_escape")
            found = found[name]
        if not isinstance(found, self._h5py.Dataset):
            raise FileNotFoundError
        return found, names

    def _is_link(self, group: Any, name: str) -> bool:
        told = group.id.links.get_info(name.encode("utf-8", "surrogateescape"))
        return bool(told.type != self._h5py.h5l.TYPE_HARD)

    def _is_elsewhere(self, dataset: Any) -> bool:
        """Tells whether data stand in other files, or are put together of others."""
        told = dataset.id.get_create_plist()
        is_virtual = told.get_layout() == self._h5py.h5d.VIRTUAL
        return bool(is_virtual or told.get_external_count())

    def _is_bomb(self, dataset: Any) -> bool:
        """Tells whether a part of an image can only be had by unpacking far more than an image."""
        if not dataset.chunks or not dataset.id.get_create_plist().get_nfilters():
            return False
        most = max(self._most_bytes, _CACHE_BYTES)
        return bool(math.prod(dataset.chunks) * dataset.dtype.itemsize > most)

    def _leave_open(self, dataset: Any) -> None:
        """Keeps the chunks that are unpacked of a dataset, and those of others if all have room."""
        place = self._h5py.h5o.get_info(dataset.id).addr
        if place not in self._left_open:
            num_bytes = min(int(dataset.nbytes), _CACHE_BYTES) + 8 * _CACHE_SLOTS
            self._left_open[place] = dataset, num_bytes
            self.num_held += num_bytes
        self._left_open.move_to_end(place)
        while len(self._left_open) > 1 and self.num_held > _CACHE_BYTES:
            self.num_held -= self._left_open.popitem(last=False)[1][1]


class _Damage:
    """Makes errors of h5py, which are of many kinds, those of an image that cannot be used."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: Exception | None, _: Any) -> None:
        if isinstance(error, OSError) and error.errno is not None:
            return
        damages = (OSError, RuntimeError, ValueError, TypeError, KeyError)
        if isinstance(error, damages) and not isinstance(error, ImageError | FileNotFoundError):
            raise ImageError("corrupt", f"{self._what} ({type(error).__name__})") from None


def _is_image(dataset: Any, shape: tuple[int, ...] | None) -> bool:
    """Tells whether values of this shape are images, encoded or not."""
    if shape is None:
        return False
    dtype = dataset.dtype
    if len(shape) < 2:
        element = _element(dataset)
        if dtype.hasobject:
            return not shape and element == np.uint8
        return dtype.kind in "SV" if not shape else dtype == np.uint8
    return dtype.kind in "buif" and (len(shape) == 2 or shape[2:] in [(c,) for c in _CHANNELS])


def _element(dataset: Any) -> Any:
    """Returns what rows of any length are of; None where lengths are fixed."""
    return (dataset.dtype.metadata or {}).get("vlen")
