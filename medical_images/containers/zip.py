"""Zip files that stand as folders."""

from __future__ import annotations

import contextlib
import lzma
import stat
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from medical_images.containers.container import Container, Member
from medical_images.errors import ImageError
from medical_images.spec_images import Images

_ENTRY_BYTES = 600  # of memory
_ENCRYPTED, _UTF8 = 0x1, 0x800  # flags
_UNIX = 3


class ZipContainer(Container):
    """The files of a zip. Links are not followed, and no more is unpacked than was declared."""

    def __init__(self, file: BinaryIO, images: Images) -> None:
        super().__init__(file, images)
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError) as error:
            raise ImageError(
                "corrupt", f"no zip file that can be read ({type(error).__name__})"
            ) from None
        self._found: dict[str, list[zipfile.ZipInfo]] = {}
        for info in self._zip.infolist():
            name = _name_of(info)
            if not name.endswith("/") and "__MACOSX" not in name.split("/"):
                self._found.setdefault(name, []).append(info)
        self.num_held = _ENTRY_BYTES * len(self._zip.infolist())

    def _members(self) -> Iterator[Member]:
        for name, infos in self._found.items():
            yield Member(name, infos[0].file_size, _fault_of(name, infos))

    def _read(self, name: str) -> bytes:
        if name not in self._found:
            raise FileNotFoundError
        info, fault = self._found[name][0], _fault_of(name, self._found[name])
        if fault:
            raise ImageError(fault)
        if info.file_size > self._most_bytes:
            raise ImageError("too_large", f"{info.file_size:,} bytes")
        try:
            with self._zip.open(info) as file:
                data = file.read(info.file_size)  # of a bomb, no more
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError) as error:
            raise ImageError("corrupt", type(error).__name__) from None
        except (NotImplementedError, RuntimeError) as error:
            raise ImageError(
                "unsupported", f"packed in an unknown way ({type(error).__name__})"
            ) from None
        except OSError as error:
            if error.errno is not None:
                raise
            raise ImageError(
                "corrupt", type(error).__name__
            ) from None  # bz2 has no error of its own
        if len(data) != info.file_size:
            raise ImageError("truncated", f"{len(data):,} of {info.file_size:,} bytes")
        return data


def _name_of(info: zipfile.ZipInfo) -> str:
    """Returns a name, as UTF-8 if it is that, though the file may not say so."""
    name = info.filename
    if not info.flag_bits & _UTF8 and not name.isascii():
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/").removeprefix("./")


def _fault_of(name: str, infos: list[zipfile.ZipInfo]) -> str:
    if name.startswith("/") or ".." in name.split("/"):
        return "path_escape"
    mode = infos[0].external_attr >> 16 if infos[0].create_system == _UNIX else 0
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "not_regular"
    if len(infos) > 1:
        return "image_ambiguous"
    return "unsupported" if infos[0].flag_bits & _ENCRYPTED else ""
