"""Image files: listed, and what their headers tell."""

import errno
import io
import os
import pathlib
import struct
import zlib

import h5py
import numpy as np
import pytest
from dicom_files import dicom_bytes
from image_readers import chunk
from PIL import Image

import medical_images as mi
from medical_images.errors import BuildError
from medical_images.header_facts import facts_of_files, read_pixel_sizes
from medical_images.images import ImageFile, frame_of_files, list_images, open_folder, walk
from medical_images.manifest import Listing
from medical_images.prepared_image import prepare
from medical_images.spec import CorpusSpec
from medical_images.spec_images import Images

ANY = Images(path="**/{id}.*")


def encoded(kind: str, orientation: int) -> bytes:
    """An image of width 4 and height 2, as stored."""
    exif = Image.Exif()
    exif[274] = orientation
    file = io.BytesIO()
    Image.new("RGB", (4, 2), "red").save(file, kind, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_sizes_are_those_of_the_upright_image(tmp_path, kind, orientation):
    (tmp_path / "1.jpg").write_bytes(encoded(kind, orientation))
    for images in (ANY, ANY.model_copy(update={"orientation": "ignore"})):
        prepared = prepare((tmp_path / "1.jpg").read_bytes(), images)
        sizes = read_pixel_sizes(str(tmp_path), ["1.jpg"], images)
        assert sizes.tolist() == [list(prepared.upright)]


def test_sizes_of_files_that_are_no_images_are_zero(tmp_path):
    files = {
        "cut.png": encoded("PNG", 6)[:20],
        "text.png": b"<html>",
        "empty.png": b"",
        "cut.dcm": dicom_bytes(np.zeros((6, 7), np.uint8))[:140],
        "fine.dcm": dicom_bytes(np.zeros((6, 7), np.uint8)),
        "bare.dcm": dicom_bytes(np.zeros((6, 7), np.uint8), preamble=False),
        "bad_exif.webp": encoded("WEBP", 6).replace(b"MM\0*", b"XXXX"),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    sizes = read_pixel_sizes(str(tmp_path), [*files, "gone.png"], ANY)
    fine = {"fine.dcm": [7, 6], "bare.dcm": [7, 6], "bad_exif.webp": [4, 2]}
    assert sizes.tolist() == [fine.get(name, [0, 0]) for name in [*files, "gone.png"]]


def test_sizes_of_arrays_are_their_shapes(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"], file["one"] = np.zeros((2, 5, 7, 3)), np.zeros((5, 8))
        file["jpeg"] = np.void(encoded("JPEG", 6))
    images = Images(path="x.h5/**/{id}")
    paths = list_images(str(tmp_path), images)["path"].tolist()
    assert paths == ["x.h5/jpeg", "x.h5/one", "x.h5/x/0", "x.h5/x/1"]
    sizes = read_pixel_sizes(str(tmp_path), paths, images)
    assert sizes.tolist() == [[2, 4], [8, 5], [7, 5], [7, 5]]


def spec_of(**keys) -> CorpusSpec:
    base = {"name": "mine", "images": {"path": "{id}.*"}, "features": {"id": {"type": "text"}}}
    return CorpusSpec.from_dict({**base, **keys})


def test_with_tables_a_folder_of_one_of_several_templates_may_be_absent(tmp_path):
    (tmp_path / "jpeg").mkdir()
    (tmp_path / "jpeg" / "1.png").write_bytes(encoded("PNG", 1))
    (tmp_path / "t.csv").write_text("id\n1\n", encoding="utf-8")
    keys = {"images": {"path": ["train/{id}.png", "jpeg/{id}.png"]}, "splits": {"train": "1"}}
    spec = spec_of(tables=[{"path": "t.csv"}], **keys)
    assert len(mi.index(mi.from_corpus(spec, root=tmp_path))) == 1
    with pytest.raises(
        mi.SpecError, match=r"no folder '.*train'"
    ):  # paths alone tell what there is
        mi.from_corpus(spec_of(**keys), root=tmp_path)
    spec = spec_of(tables=[{"path": "t.csv"}], **keys | {"images": {"path": ["a/{id}", "b/{id}"]}})
    with pytest.raises(mi.SpecError, match="2 problems"):
        mi.from_corpus(spec, root=tmp_path)


def test_headers_are_read_only_for_what_the_spec_needs(tmp_path, monkeypatch):
    for number, age in enumerate(["063Y", ""]):
        data = dicom_bytes(np.zeros((6, 7), np.uint8), PatientAge=age or None)
        (tmp_path / f"{number}.dcm").write_bytes(data)
    (tmp_path / "2.png").write_bytes(encoded("PNG", 1))
    (tmp_path / "3.png").symlink_to("/etc/passwd")
    files = list_images(str(tmp_path), ANY)
    fields = {"age": {"from": "dicom.PatientAge"}, "sex": {"from": "dicom.PatientSex"}}
    boxes = {"cells": {"type": "boxes", "columns": ["a", "b", "c", "d"]}}
    told = facts_of_files(str(tmp_path), files, spec_of(derive=fields, features=boxes))
    assert {name: list(values) for name, values in told.items()} == {
        "width": [7, 7, 4, 0],
        "height": [6, 6, 2, 0],
        "dicom.PatientAge": ["063Y", "", "", ""],
        "dicom.PatientSex": ["", "", "", ""],
        "header_fault": ["", "", "", ""],
    }
    monkeypatch.setattr(os, "open", None)  # nothing can be opened
    assert facts_of_files(str(tmp_path), files, spec_of()) == {}


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_headers_that_cannot_be_read_now_stop_the_build(tmp_path, monkeypatch, number):
    (tmp_path / "patient.dcm").write_bytes(b"any")

    def fail(path, *_, **__):
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(os, "open", fail)
    files = frame_of_files([ImageFile(path="patient.dcm", num_bytes=3)], ANY)
    spec = spec_of(derive={"age": {"from": "dicom.PatientAge"}})
    with pytest.raises(BuildError, match="fields of DICOM files are not known") as error:
        facts_of_files(str(tmp_path), files, spec)
    assert "patient" not in str(error.value)


def test_walking_is_opening_one_folder_after_another(tmp_path):
    for path in ("1.png", "a/2.png", "a/b/3.png", ".a/4.png", "a/.5.png", "a/b/c/6.PNG"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(path.encode())
    os.mkdir(os.fsencode(tmp_path) + b"/\xff")
    (pathlib.Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")) / "7.png").touch()
    found, folders = [], [""]
    while folders:
        for item in open_folder(str(tmp_path), folders.pop(), ANY):
            (found if isinstance(item, ImageFile) else folders).append(item)
    assert sorted(found, key=str) == sorted(walk(str(tmp_path), "", ANY), key=str)
    assert {file.path for file in found} == {
        "1.png", "a/2.png", "a/b/3.png", "a/b/c/6.PNG", os.fsdecode(b"\xff/7.png"),
    }  # fmt: skip
    assert all(file.num_bytes == len(file.path) for file in found if "7" not in file.path)


def test_a_listing_tells_members_by_name_and_size(tmp_path):
    def listing(*shape: int) -> Listing:
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file["x"] = np.zeros(shape)
        return Listing.of(list_images(str(tmp_path), Images(path="x.h5/**/{id}")))

    first = listing(2, 5, 7)
    assert (first.num_files, first.num_bytes) == (2, 2 * 5 * 7 * 8)
    assert listing(2, 5, 7) == first
    assert len({first, listing(3, 5, 7), listing(2, 5, 6)}) == 3


def test_listing_opens_no_file_that_is_no_container(tmp_path, monkeypatch):
    (tmp_path / "1.png").write_bytes(b"one")
    monkeypatch.setattr(os, "open", None)
    assert list_images(str(tmp_path), ANY)["num_bytes"].tolist() == [3]


def test_sizes_of_very_large_images_are_read_too(tmp_path):
    """Whether they are accepted is said where they are written."""
    header = struct.pack(">IIBBBBB", 20_000, 30_000, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    (tmp_path / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    found = read_pixel_sizes(str(tmp_path), ["1.png"], Images(path="*.png"))
    assert found.tolist() == [[20_000, 30_000]]
