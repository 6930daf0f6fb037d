"""NIfTI files that stand as folders."""

from __future__ import annotations

import gzip
import io
import itertools
import math
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from medical_images.containers.container import Container, Member, library
from medical_images.errors import ImageError
from medical_images.spec_images import Images

_MOST_BYTES = 4 << 30  # of a volume that is held in memory
_MOST_RATIO = 1100  # of what gzip makes smaller
_HEADER_BYTES = 540


class NiftiContainer(Container):
    """The slices of a volume along `images.axis`.

    They are numbered from 0, with zeros before so that they sort; where there are times, as in
    `12/007`, the time comes first. Of the other two axes, the first is the width and the second the
    height: nothing is turned or flipped. Values are scaled as the header says. A packed volume is
    held in memory.
    """

    def __init__(self, file: BinaryIO, images: Images) -> None:
        super().__init__(file, images)
        self._nibabel = library("nibabel", extra="nifti")
        file.seek(0)
        self._is_packed = file.read(2) == b"\x1f\x8b"
        self._header = self._read_header()
        shape = tuple(map(int, self._header.get_data_shape()))
        self._num_axes = len(shape)
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        if not 3 <= len(shape) <= 4 or min(shape) < 1:
            raise ImageError("unsupported", f"a NIfTI file of shape {shape}")
        self._num_times, self._num_slices = math.prod(shape[3:]), shape[images.axis]
        self._num_pixels = math.prod(shape[:3]) // self._num_slices
        self._slice_bytes = self._num_pixels * int(self._header.get_data_dtype().itemsize)
        end = self._slice_bytes * self._num_slices * self._num_times
        self._end = end + int(self._header.get_data_offset())
        there = file.seek(0, io.SEEK_END)
        if self._end > (there * _MOST_RATIO if self._is_packed else there):
            raise ImageError("truncated", f"a NIfTI file of shape {shape} has {there:,} bytes")
        self._volume: Any = None

    def _members(self) -> Iterator[Member]:
        times = range(self._num_times)
        for time, number in itertools.product(times, range(self._num_slices)):
            yield Member(self._name(time, number), self._slice_bytes)

    def _name(self, time: int, number: int) -> str:
        name = f"{number:0{len(str(self._num_slices - 1))}}"
        width = len(str(self._num_times - 1))
        return f"{time:0{width}}/{name}" if self._num_times > 1 else name

    def _read(self, name: str) -> np.ndarray:
        try:
            time, number = (0, *map(int, name.split("/")))[-2:]
        except ValueError:
            raise FileNotFoundError from None
        is_there = 0 <= time < self._num_times and 0 <= number < self._num_slices
        if not is_there or name != self._name(time, number):
            raise FileNotFoundError
        if self._num_pixels > self._images.max_pixels:
            raise ImageError("too_large", f"a slice has {self._num_pixels:,} pixels")
        where: list[Any] = [slice(None)] * 3
        where[self._images.axis] = number
        try:
            where += [time, *[0] * self._num_axes][: self._num_axes - 3]
            found = np.asanyarray(self._read_volume()[tuple(where)])
        except (EOFError, ValueError) as error:
            raise ImageError("truncated", type(error).__name__) from None
        except (zlib.error, gzip.BadGzipFile) as error:
            raise ImageError("corrupt", type(error).__name__) from None
        if found.dtype.names:  # red, green, blue
            found = np.stack([found[channel] for channel in found.dtype.names], axis=-1)
        return np.ascontiguousarray(found.swapaxes(0, 1))

    def _read_volume(self) -> Any:
        if self._volume is None:
            file = self._file
            if self._is_packed:
                if self._end > _MOST_BYTES:
                    raise ImageError("too_large", f"unpacked it has {self._end:,} bytes")
                data = self._unpacked(self._end + 1)  # at its end, gzip checks it all
                self._file, self.num_held = io.BytesIO(data), len(data)
                file = self._file
            self._volume = self._nibabel.arrayproxy.ArrayProxy(file, self._header, mmap=False)
        return self._volume

    def _read_header(self) -> Any:
        try:
            begin = self._unpacked(_HEADER_BYTES)
            for kind in (self._nibabel.Nifti1Header, self._nibabel.Nifti2Header):
                block = begin[: kind.sizeof_hdr]
                if kind.may_contain_header(block):
                    return kind(block, check=False)
        except Exception as error:  # of many kinds
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise ImageError("corrupt", f"no NIfTI file ({type(error).__name__})") from None
        raise ImageError("corrupt", "no NIfTI file")

    def _unpacked(self, num_bytes: int) -> bytes:
        self._file.seek(0)
        file: Any = gzip.GzipFile(fileobj=self._file) if self._is_packed else self._file
        return bytes(file.read(num_bytes))
