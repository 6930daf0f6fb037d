"""Files of records, with checksums: TFRecord by these few lines, other formats by their writers."""

from __future__ import annotations

import dataclasses
import errno
import os
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import google_crc32c
from etils import epath
from tensorflow_datasets.core import file_adapters

from medical_images.paths import is_remote

_CRC_MASK_DELTA = 0xA282EAD8
_BUFFER_BYTES, _BUFFER_PARTS = 1 << 17, 1000  # parts: no system takes less than 1,024 at once
_PIECE = 1 << 22
# As TFDS writes ArrayRecord (each record can be read alone), but for its compression: image bytes
# are compressed already, so that it would cost four fifths of the time and save nothing.
_ARRAY_RECORD_OPTIONS = "group_size:1,uncompressed"

Record = Sequence[bytes]


@dataclasses.dataclass(frozen=True)
class FileSum:
    """What tells a file from a damaged one.

    Attributes:
      num_bytes: Its size.
      crc32c: CRC-32C of all its bytes (Castagnoli; RFC 3720), as eight hexadecimal digits.
    """

    num_bytes: int
    crc32c: str

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> FileSum:
        """Reads a file, piece by piece.

        Example:
          >>> file = epath.Path(tempfile.mkdtemp()) / 'some'
          >>> _ = file.write_bytes(b'123456789')
          >>> FileSum.of(file)
          FileSum(num_bytes=9, crc32c='e3069283')
        """
        with epath.Path(path).open("rb") as file:
            return cls.of_pieces(iter(lambda: file.read(_PIECE), b""))

    @classmethod
    def of_pieces(cls, pieces: Iterable[bytes]) -> FileSum:
        """Sums bytes that are given in pieces, as if they were one file."""
        size = checksum = 0
        for piece in pieces:
            size += len(piece)
            checksum = google_crc32c.extend(checksum, piece)
        return cls(size, f"{checksum:08x}")


def write_records(
    path: str | os.PathLike[str], records: Iterable[Record], *, file_format: str
) -> FileSum:
    """Writes records to a new file.

    Args:
      path: The file, local or remote.
      records: Each is given in parts, which are not copied together.
      file_format: TFDS's name of the format, such as `tfrecord`.

    Raises:
      OSError: The file cannot be written.
    """
    kind = file_adapters.FileFormat.from_value(file_format)
    if kind == file_adapters.FileFormat.TFRECORD:
        return _write_tfrecord(path, records)
    whole = (b"".join(parts) for parts in records)
    if kind == file_adapters.FileFormat.ARRAY_RECORD:
        with _local(path) as local:
            _write_array_record(local, whole)
            return FileSum.of(local)
    file_adapters.ADAPTER_FOR_FORMAT[kind].write_examples(epath.Path(path), enumerate(whole))
    return FileSum.of(path)


def _write_tfrecord(path: str | os.PathLike[str], records: Iterable[Record]) -> FileSum:
    """Writes the TFRecord format: length, its checksum, the record, its checksum."""
    size = checksum = 0
    with _open(path) as write:
        buffer: list[bytes] = []
        buffered = 0
        for parts in records:
            length = struct.pack("<Q", sum(map(len, parts)))
            own = 0
            for part in parts:
                own = google_crc32c.extend(own, part)
            framed = (length, _masked(google_crc32c.value(length)), *parts, _masked(own))
            for part in framed:
                checksum = google_crc32c.extend(checksum, part)
                buffered += len(part)
            buffer += framed
            if buffered >= _BUFFER_BYTES or len(buffer) + len(framed) > _BUFFER_PARTS:
                write(buffer)
                size += buffered
                buffer, buffered = [], 0
        if buffer:
            write(buffer)
    return FileSum(size + buffered, f"{checksum:08x}")


def _masked(checksum: int) -> bytes:
    rotated = (checksum >> 15 | checksum << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + _CRC_MASK_DELTA) & 0xFFFFFFFF)


@contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[Callable[[list[bytes]], None]]:
    """Opens a file for writing; yields what writes several parts to it at once."""
    if is_remote(path):
        with epath.Path(path).open("wb") as file:
            yield lambda parts: file.write(b"".join(parts))
        return
    with open(path, "wb", buffering=0) as local:

        def write(parts: list[bytes]) -> None:
            done = os.writev(local.fileno(), parts)
            if done < sum(map(len, parts)):
                rest = memoryview(b"".join(parts))[done:]
                while rest:
                    rest = rest[local.write(rest) :]

        yield write


def _write_array_record(path: str, records: Iterable[bytes]) -> None:
    from array_record.python import array_record_module

    writer = array_record_module.ArrayRecordWriter(path, _ARRAY_RECORD_OPTIONS)
    try:
        for record in records:
            writer.write(record)
    finally:
        try:
            writer.close()
        except RuntimeError as error:  # of a full disk, for example
            raise OSError(errno.EIO, str(error).split(";")[0]) from None


@contextmanager
def _local(path: str | os.PathLike[str]) -> Iterator[str]:
    """Yields a local file for a writer that knows no other; it is sent to its place afterwards."""
    if not is_remote(path):
        yield os.fspath(path)
        return
    with tempfile.TemporaryDirectory(prefix="medical_images_") as folder:
        local = epath.Path(folder) / "records"
        yield os.fspath(local)
        local.copy(path)
