"""DICOM files written from arrays."""

import io
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import FileDataset, FileMetaDataset

IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED, RLE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.RLELossless,
)


def dataset_of(
    array: NDArray[Any],
    *,
    kind: str = "MONOCHROME2",
    bits: int | None = None,
    syntax: str = EXPLICIT,
    planar: bool = False,
    **fields: Any,
) -> FileDataset:
    """Returns a DICOM dataset that holds an array.

    Args:
      array: (height, width), (frames, height, width), (height, width, 3) or (frames, height, width,
        3) of integers; the last of 3 where `kind` is of colours.
      kind: The photometric interpretation.
      bits: Bits stored; all of the array's type by default.
      syntax: The transfer syntax: one of those without loss that are named here.
      planar: Whether red, green and blue are stored one after the other (RLE always does).
      **fields: More fields, by keyword; those of None are left out.
    """
    planar = planar and syntax != RLE
    samples = 1 if kind.startswith(("MONO", "PALETTE")) else 3
    frames = array.reshape(-1, *array.shape[-2 - (samples == 3) :])
    dataset = FileDataset(None, {}, preamble=b"\0" * 128, file_meta=FileMetaDataset())
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian if syntax == RLE else syntax
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = uid.CTImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset.PatientName, dataset.PatientID = "Doe^Jane", "P0001"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = samples, kind
    dataset.Rows, dataset.Columns = frames.shape[1:3]
    dataset.BitsAllocated = 8 * array.dtype.itemsize
    dataset.BitsStored = bits or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(array.dtype.kind == "i")
    if samples == 3:
        dataset.PlanarConfiguration = int(planar)
    if len(frames) > 1:
        dataset.NumberOfFrames = len(frames)
    stored = frames.transpose(0, 3, 1, 2) if planar else frames
    order = ">" if syntax == BIG_ENDIAN else "<"
    data = np.ascontiguousarray(stored, array.dtype.newbyteorder(order)).tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OW" if dataset.BitsAllocated > 8 else "OB"
    if syntax == RLE:
        dataset.compress(RLE)
    for name, value in fields.items():
        setattr(dataset, name, value)
        if value is None:
            del dataset[name]
    return dataset


def bytes_of(dataset: FileDataset, *, preamble: bool = True) -> bytes:
    """Returns the file of a dataset; without a preamble, it has no meta information either."""
    file = io.BytesIO()
    if preamble:
        pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    else:
        syntax = dataset.file_meta.TransferSyntaxUID
        bare = pydicom.Dataset(dataset)
        bare.save_as(file, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian)
    return file.getvalue()


def dicom_bytes(array: NDArray[Any], *, preamble: bool = True, **fields: Any) -> bytes:
    """Returns a DICOM file that holds an array; see `dataset_of`."""
    return bytes_of(dataset_of(array, **fields), preamble=preamble)
