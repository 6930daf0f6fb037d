"""What the headers of DICOM files tell, read without their pixels.

Whatever a file holds, only `ImageError` leaves, and nothing that the libraries say about the file
is warned or logged, since it may quote a patient's data.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
import zlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from medical_images.dicom.identifying import FIELDS, KINDS, SAME_EVERYWHERE
from medical_images.errors import BuildError, ImageError
from medical_images.remote import storage_errors
from medical_images.spec_images import Images

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

_WITHOUT_LIMIT = 0xFFFFFFFF  # the length of a field that ends by a mark
_MAX_INFLATED = 1 << 29
_ANY_INFLATED, _MOST_TIMES = 1 << 26, 100  # what may come of no bytes, and more of each byte
_LIBRARIES = ("pydicom", "pylibjpeg", "openjpeg", "libjpeg", "rle")

# Kinds of fields (value representations). Those of digits and codes are taken as written.
_AS_WRITTEN = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"})
_TEXT = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_NUMBERS = frozenset({"FD", "FL", "SL", "SS", "SV", "UL", "US", "UV", "US or SS"})


def check_preamble(head: bytes, images: Images) -> None:
    """Raises ImageError `dicom_no_preamble` where a file lacks what the spec requires.

    Args:
      head: The first bytes of a DICOM file, 132 at least if it has as many.
      images: `preamble`.
    """
    if images.preamble == "required" and head[128:132] != b"DICM":
        raise ImageError("dicom_no_preamble")


def fields_of(file: BinaryIO, keywords: Iterable[str]) -> dict[str, str]:
    r"""Returns the text of fields of a DICOM file, as it is written there.

    Args:
      file: Open for reading; it is read from its beginning, and no further than to the pixels.
      keywords: Keywords of the DICOM dictionary, such as `PatientID` (see `is_keyword`).

    Returns:
      {keyword: text}, without padding; empty where the file does not have the field, or has a
      sequence or bytes there. Several values are joined by `\`.

    Raises:
      ImageError: `dicom_unreadable`, `truncated` or `too_large`.
      BuildError: pydicom is not installed.
      OSError: The file cannot be read now; and what else `remote.storage_errors` names.
      ValueError: A keyword is not known.

    Example:
      >>> import io
      >>> import numpy as np
      >>> from pydicom.data import get_testdata_file
      >>> with open(get_testdata_file('CT_small.dcm'), 'rb') as file:
      ...     fields_of(file, ['Modality', 'PixelSpacing', 'BodyPartExamined'])
      {'Modality': 'CT', 'PixelSpacing': '0.661468\\0.661468', 'BodyPartExamined': ''}
    """
    names = list(dict.fromkeys(keywords))
    with dicom_errors():
        unknown = [name for name in names if _kind_of(name) is None]
        if not unknown:
            header = read_dataset(_Watched(file), fields=names)
            return {name: _text_of(header, name) for name in names}
    raise ValueError(f"{', '.join(unknown)}: no keyword of the DICOM dictionary")


def frames_of(file: BinaryIO) -> int:
    """Returns how many frames a DICOM file says it has; 1 where it does not say.

    Args:
      file: Open for reading; it is read from its beginning.

    Raises:
      ImageError: `dicom_unreadable`, `truncated` or `too_large`.
      BuildError: pydicom is not installed.
      OSError: The file cannot be read now.
    """
    with dicom_errors():
        return number_of_frames(read_dataset(_Watched(file), fields=["NumberOfFrames"]))


def size_of(file: BinaryIO) -> tuple[int, int]:
    """Returns the width and height that the header of a DICOM file tells.

    Args:
      file: Open for reading; it is read from its beginning.

    Raises:
      ImageError: `dicom_no_pixels`, `dicom_unreadable`, `truncated` or `too_large`.
      BuildError: pydicom is not installed.
      OSError: The file cannot be read now.
    """
    with dicom_errors():
        header = read_dataset(_Watched(file), fields=["Rows", "Columns"])
        size = (header.get("Columns"), header.get("Rows"))
        if not all(isinstance(side, int) and side > 0 for side in size):
            raise ImageError("dicom_no_pixels", "it has no Rows and Columns")
        return size


def is_keyword(name: str) -> bool:
    """Returns whether a name is the keyword of a DICOM field that holds text or numbers.

    Raises:
      BuildError: pydicom is not installed.

    Example:
      >>> is_keyword('PatientID'), is_keyword('Patient ID'), is_keyword('PixelData')
      (True, False, False)
    """
    with dicom_errors():
        return _kind_of(name) in _AS_WRITTEN | _TEXT | _NUMBERS


def identifying(keyword: str) -> bool:
    """Returns whether a DICOM field names a person, place, device or moment, or is free text.

    These are the fields of such kinds in the profile of DICOM PS3.15, annex E. Attributes that
    many people share (age, sex, size) are none, nor are descriptions of studies and series.

    Raises:
      BuildError: pydicom is not installed.

    Example:
      >>> identifying('PatientID'), identifying('StudyDate'), identifying('PatientAge')
      (True, True, False)
    """
    if keyword in SAME_EVERYWHERE:
        return False
    if keyword in FIELDS or keyword.startswith("GPS"):
        return True
    with dicom_errors():
        return _kind_of(keyword) in KINDS


def number_of_frames(dataset: FileDataset) -> int:
    """Returns how many frames a header tells; 1 where it does not."""
    frames = dataset.get("NumberOfFrames") or 1
    if not isinstance(frames, int):
        raise ImageError("dicom_unreadable", "its number of frames is no number")
    return max(1, frames)


def read_dataset(file: BinaryIO | _Watched, *, fields: Iterable[str] | None = None) -> FileDataset:
    """Reads a DICOM file, with or without its preamble; call it inside `dicom_errors`.

    Args:
      file: Read from its beginning.
      fields: Keywords of what is read; of None, the whole file is.

    Raises:
      ImageError: It is not a DICOM file, is cut, or its deflated fields are too long.
      Exception: What pydicom raises of fields that cannot be read.
    """
    import pydicom

    file.seek(0)
    head = file.read(132)
    file.seek(0)
    watched = file if isinstance(file, _Watched) else _Watched(file)
    told = None if fields is None else [*fields, "SOPClassUID", "Rows"]
    try:
        dataset = pydicom.dcmread(
            watched, force=True, stop_before_pixels=told is not None, specific_tags=told
        )
    except (_StorageFault, ImageError):
        raise
    except Exception:
        if file.read(1):
            raise
        raise ImageError("truncated", "it ends inside a field") from None
    if told is not None and _is_past_end(watched):
        raise ImageError("truncated", "it ends inside a field that is passed over")
    if head[128:] != b"DICM" and "SOPClassUID" not in dataset and "Rows" not in dataset:
        raise ImageError("dicom_unreadable", "it does not begin as a DICOM file")
    if fields is None and not len(dataset):  # pydicom drops all of a file whose pixels have no end
        raise ImageError("truncated", "it ends before its fields do")
    for element in list(dataset.values()):
        _mend_or_refuse(dataset, element)
    return dataset


@contextlib.contextmanager
def dicom_errors() -> Iterator[None]:
    """Lets no error of a library out but as `ImageError`, and none of its words.

    Raises:
      ImageError: `dicom_unreadable`, with the type of the error that was raised inside.
      BuildError: pydicom is not installed.
      Exception: What the storage raised (see `remote.storage_errors`).
    """
    try:
        import pydicom  # noqa: F401
    except ImportError:
        raise BuildError(
            "DICOM files are read by pydicom; pip install 'medical_images[dicom]'"
        ) from None
    try:
        with _SILENCE:
            yield
    except BuildError:
        raise
    except _StorageFault as fault:
        raise fault.error from None
    except Exception as error:
        raise ImageError("dicom_unreadable", type(error).__name__) from None


class _StorageFault(Exception):  # noqa: N818 (it never leaves this module)
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class _Watched:
    """A file whose own errors are told from those that pydicom raises of what it holds.

    pydicom reads a file to its end only to inflate all that follows; that is looked at before.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.tell = file.tell
        self.seek = file.seek

    def read(self, size: int = -1) -> bytes:
        try:
            found = self._file.read(size)
        except storage_errors() as error:
            raise _StorageFault(error) from None
        if size < 0:
            _refuse_long(found)
        return found


class _Silence:
    """While anyone is inside, no warnings are shown, and the libraries log to no one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._restore = contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._restore.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
                for name in _LIBRARIES:
                    logger = logging.getLogger(name)
                    self._restore.callback(setattr, logger, "propagate", logger.propagate)
                    logger.propagate = False

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._restore.close()


_SILENCE = _Silence()
for _name in _LIBRARIES:  # what is not passed on and has no handler would go to stderr
    logging.getLogger(_name).addHandler(logging.NullHandler())


def _is_past_end(file: _Watched) -> bool:
    place = file.tell()
    file.seek(max(place - 1, 0))
    return place > 0 and not file.read(1)


def _refuse_long(deflated: bytes) -> None:
    """Raises ImageError where few deflated bytes would become many."""
    most = min(_MAX_INFLATED, _ANY_INFLATED + _MOST_TIMES * len(deflated))
    inflater, rest, length = zlib.decompressobj(-zlib.MAX_WBITS), deflated, 0
    while rest and length <= most:
        try:
            length += len(inflater.decompress(rest, 1 << 24))
        except zlib.error:
            raise ImageError("dicom_unreadable", "its fields cannot be inflated") from None
        rest = inflater.unconsumed_tail
    if length > most:
        raise ImageError("too_large", f"its deflated fields have more than {most:,} bytes")


def _mend_or_refuse(dataset: FileDataset, element: Any) -> None:
    """Takes a field of unknown kind as what the dictionary says; raises where its value is cut."""
    from pydicom.dataelem import RawDataElement
    from pydicom.values import converters

    if not isinstance(element, RawDataElement):
        return
    if element.length != _WITHOUT_LIMIT and len(element.value or b"") < element.length:
        raise ImageError("truncated", "a field is shorter than the file says")
    if element.VR is not None and element.VR not in converters:
        dataset[element.tag] = element._replace(VR=None)


def _kind_of(keyword: str) -> str | None:
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    tag = tag_for_keyword(keyword) if keyword else None
    return None if tag is None else str(dictionary_VR(tag))


def _text_of(header: FileDataset, keyword: str) -> str:
    from pydicom.datadict import tag_for_keyword
    from pydicom.dataelem import RawDataElement
    from pydicom.multival import MultiValue

    tag = tag_for_keyword(keyword)
    group = header.file_meta if tag is not None and tag >> 16 == 2 else header
    if tag is None or tag not in group:
        return ""
    element: Any = group.get_item(tag)
    if isinstance(element, RawDataElement) and (element.VR or _kind_of(keyword)) in _AS_WRITTEN:
        parts = (element.value or b"").decode("ascii", "replace").split("\\")
        return "\\".join(part.strip(" \0") for part in parts)
    value = group[tag].value
    if value is None or isinstance(value, (bytes, bytearray)) or group[tag].VR == "SQ":
        return ""
    values = value if isinstance(value, (MultiValue, list)) else [value]
    return "\\".join(str(each).strip(" \0") for each in values)
