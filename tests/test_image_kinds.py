import gzip
import io
import zipfile

import numpy as np
import pytest
from image_readers import drawn, encoded

from medical_images.image_kinds import kind_of, kind_of_name, looks_like, other_image


def dicom(*, preamble: bool) -> bytes:
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian

    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = meta.MediaStorageSOPInstanceUID = "1.2.3"
    data = pydicom.dataset.FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    data.Modality = "CT"
    file = io.BytesIO()
    pydicom.dcmwrite(file, data, enforce_file_format=True)
    return file.getvalue() if preamble else file.getvalue()[132:]


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "webp", "bmp", "tiff"])
def test_what_pillow_writes_is_known(kind):
    assert kind_of(encoded(drawn(), kind)) == kind


def test_dicom_is_known_with_and_without_its_preamble():
    assert kind_of(dicom(preamble=True)) == kind_of(dicom(preamble=False)) == "dicom"
    assert kind_of(bytes.fromhex("080005000a000000") + b"ISO_IR 100 and more") == "dicom"


def test_nifti_is_known_also_when_packed():
    import nibabel

    data = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.eye(4)).to_bytes()
    assert kind_of(data) == kind_of(gzip.compress(data)) == "nifti"


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", "a")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "nothing"),
        (bytes(5000), "zeros only"),
        (b"\n\n<!DOCTYPE HTML><html>404", "an HTML page"),
        (b"\xef\xbb\xbf<html>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a git-lfs pointer"),
        (b'{"error": "not found"}', "JSON"),
        (b"%PDF-1.7", "a PDF file"),
        (zipped(), "a zip file"),
        (gzip.compress(b"no image", mtime=0), "a gzip file"),
        (b"Name: Zyxw Vutsr, born 1970", "text"),
        (b"\x00\x01\x02\x03" * 50, "unknown data"),
    ],
)
def test_what_is_no_image_is_named_and_not_shown(data, words):
    assert kind_of(data) is None
    assert other_image(data) == ""
    assert looks_like(data) == words


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\0\0\0\x0cjP  \r\n\x87\n\0\0", "a JPEG 2000 image"),
        (b"\0\0\0\x20ftypavif\0\0\0\0", "an AVIF image"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC image"),
        (b"P6\n640 480\n255\n", "a PNM image"),
    ],
)
def test_images_that_are_not_read_are_named(data, words):
    assert kind_of(data) is None
    assert other_image(data) == words


def test_a_start_of_an_image_is_no_image_of_that_kind():
    for kind in ("jpeg", "png", "gif", "webp", "bmp", "tiff"):
        assert kind_of(encoded(drawn(), kind)[:2]) is None


def test_names_tell_kinds():
    names = ["a.JPG", "a.b.png", "x/y.tif", "a.dcm", "v.nii.gz", "a.txt", "jpg", "a.gz", ""]
    kinds = ["jpeg", "png", "tiff", "dicom", "nifti", None, None, None, None]
    assert list(map(kind_of_name, names)) == kinds
