"""DICOM files of several frames that stand as folders."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

from medical_images.containers.container import Container, Member
from medical_images.errors import ImageError
from medical_images.spec_images import Images


class DicomContainer(Container):
    """The frames of a DICOM file, `0001`...; what is read of each is the whole file."""

    def __init__(self, file: BinaryIO, images: Images) -> None:
        super().__init__(file, images)
        from medical_images.dicom.headers import frames_of

        self._data = b""
        self._num_bytes = file.seek(0, io.SEEK_END)
        file.seek(0)
        self._num_frames = frames_of(file)
        if not 1 <= self._num_frames <= self._num_bytes:
            raise ImageError("dicom_unreadable", f"it seems to hold {self._num_frames} frames")

    def _members(self) -> Iterator[Member]:
        for number in range(1, self._num_frames + 1):
            yield Member(f"{number:04}", self._num_bytes // self._num_frames)

    def _read(self, name: str) -> bytes:
        if not name.isdecimal() or name != f"{int(name):04}" or not self._has(int(name)):
            raise FileNotFoundError
        if not self._data:
            self._file.seek(0)
            self._data = self._file.read()
            self.num_held = len(self._data)
        return self._data

    def _has(self, number: int) -> bool:
        return 1 <= number <= self._num_frames
