"""Files that stand as folders: what is in them, and that nothing else is read."""

import gzip
import io
import os
import pathlib
import stat
import struct
import threading
import zipfile

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest
from dicom_files import DEFLATED, dicom_bytes
from pydicom.data import get_testdata_file
from test_beam_reading import MANY_PARTS, check_equal, write

from medical_images import members
from medical_images.containers import container
from medical_images.containers.hdf5 import Hdf5Container
from medical_images.copies import find_copies
from medical_images.dicom import headers
from medical_images.errors import ImageError, SpecError
from medical_images.header_facts import facts_of_files, read_pixel_sizes
from medical_images.images import list_images
from medical_images.spec import CorpusSpec
from medical_images.spec_images import Images

PIXELS = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


def found_in(folder: pathlib.Path, images: Images) -> dict[str, str]:
    """The paths that are listed, and the code of each that cannot be used."""
    frame = list_images(str(folder), images)
    return dict(zip(frame["path"], frame["fault"], strict=True))


def read(folder: pathlib.Path, path: str, images: Images) -> bytes | np.ndarray:
    return members.read(str(folder), path, images)


def code_of(folder: pathlib.Path, path: str, images: Images) -> str:
    with pytest.raises(ImageError) as error:
        read(folder, path, images)
    return error.value.code


def write_zip(path: pathlib.Path, files: dict[str, bytes], **options) -> None:
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, data in files.items():
            file.writestr(name, data)


ZIP = Images(path="a_*.zip/**/{id}.png")


def test_a_zip_stands_as_a_folder(tmp_path):
    files = {"1.png": b"one", "x/y/2.png": b"two" * 9999, "x/3.txt": b"", ".hidden.png": b"no"}
    files |= {"x/": b"", "x/.h/4.png": b"no", "__MACOSX/x/5.png": b"no", "é [1] #%'\n.png": b"name"}
    write_zip(tmp_path / "a_1.zip", files, compression=zipfile.ZIP_DEFLATED)
    write_zip(tmp_path / "other.zip", files)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a_2.zip").write_bytes(b"no template enters it")
    expected = {"1.png", "x/y/2.png", "é [1] #%'\n.png"}
    assert found_in(tmp_path, ZIP) == {f"a_1.zip/{name}": "" for name in expected}
    for name in expected:
        assert read(tmp_path, f"a_1.zip/{name}", ZIP) == files[name]
    with pytest.raises(FileNotFoundError):
        read(tmp_path, "a_1.zip/9.png", ZIP)


def test_a_folder_that_is_named_like_a_zip_is_a_folder(tmp_path):
    (tmp_path / "a_1.zip").mkdir()
    (tmp_path / "a_1.zip" / "1.png").write_bytes(b"one")
    assert found_in(tmp_path, ZIP) == {"a_1.zip/1.png": ""}
    assert read(tmp_path, "a_1.zip/1.png", ZIP) == b"one"
    assert not members.is_member(str(tmp_path), "a_1.zip/1.png", ZIP)


def test_what_a_zip_must_not_hold_is_not_read(tmp_path):
    link = zipfile.ZipInfo("link.png")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a_.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
        for name in ("../up.png", "/top.png", "twice.png"):
            file.writestr(name, b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("twice.png", b"2")
    faults = {
        "a_.zip//top.png": "path_escape",
        "a_.zip/../up.png": "path_escape",
        "a_.zip/link.png": "not_regular",
        "a_.zip/twice.png": "image_ambiguous",
    }
    assert found_in(tmp_path, ZIP) == faults
    for path, code in faults.items():
        assert code_of(tmp_path, path, ZIP) == code


def altered(data: bytes, place: int, form: str, value: int) -> bytes:
    """A zip with another value at a place of the only entry of its directory."""
    changed = bytearray(data)
    struct.pack_into(form, changed, data.rindex(b"PK\1\2") + place, value)
    return bytes(changed)


FLAGS, METHOD, PACKED_SIZE, SIZE = (8, "<H"), (10, "<H"), (20, "<I"), (24, "<I")
# Each case: what is changed in the directory of a zip of 10,000 zeros, and the code.
ALTERED = {
    "encrypted": (*FLAGS, 1, "unsupported"),
    "packed in an unknown way": (*METHOD, 99, "unsupported"),
    "a bomb that declares little": (*SIZE, 10, "corrupt"),
    "a bomb that declares all": (*SIZE, 900_000_000, "too_large"),
    "cut": (*SIZE, 10_001, "corrupt"),
    "half of it": (*PACKED_SIZE, 5, "corrupt"),
}


@pytest.mark.parametrize("name", ALTERED)
def test_damage_in_a_zip_is_told(tmp_path, name):
    place, form, value, code = ALTERED[name]
    write_zip(tmp_path / "a_.zip", {"1.png": bytes(10_000)}, compression=zipfile.ZIP_DEFLATED)
    whole = (tmp_path / "a_.zip").read_bytes()
    (tmp_path / "a_.zip").write_bytes(altered(whole, place, form, value))
    assert code_of(tmp_path, "a_.zip/1.png", ZIP) in (code, "truncated")


def test_pixels_that_do_not_fit_their_sum_are_damaged(tmp_path):
    write_zip(tmp_path / "a_.zip", {"1.png": b"stored"})
    data = (tmp_path / "a_.zip").read_bytes()
    (tmp_path / "a_.zip").write_bytes(data.replace(b"stored", b"stirred"[:6], 1))
    assert code_of(tmp_path, "a_.zip/1.png", ZIP) == "corrupt"


def test_names_in_a_zip_are_utf8_where_they_are_that(tmp_path):
    write_zip(tmp_path / "a_.zip", {"XX.png": b"1", "YY.png": b"2"})
    data = (tmp_path / "a_.zip").read_bytes()
    data = data.replace(b"XX.png", "é.png".encode()).replace(
        b"YY.png", "éé".encode("cp437") + b".png"
    )
    (tmp_path / "a_.zip").write_bytes(data)
    assert found_in(tmp_path, ZIP) == {"a_.zip/é.png": "", "a_.zip/éé.png": ""}
    assert read(tmp_path, "a_.zip/éé.png", ZIP) == b"2"


def test_members_of_members_are_read_if_a_template_enters_both(tmp_path):
    inner = io.BytesIO()
    write_zip(inner, {"1.png": b"one"})
    write_zip(tmp_path / "a.zip", {"x/b.zip": inner.getvalue(), "x/c.zip": b"plain"})
    images = Images(path=["a.zip/x/b.zip/{id}.png", "a.zip/x/c.zi*"])
    assert found_in(tmp_path, images) == {"a.zip/x/b.zip/1.png": "", "a.zip/x/c.zip": ""}
    assert read(tmp_path, "a.zip/x/b.zip/1.png", images) == b"one"
    assert read(tmp_path, "a.zip/x/c.zip", images) == b"plain"


H5 = Images(path="{split}.h5/**/{id}")
JPEG = b"\xff\xd8\xff and so on\0\0"
COLOURS = np.arange(3 * 4 * 5 * 3, dtype=np.uint8).reshape(3, 4, 5, 3)


def write_h5(path: pathlib.Path) -> None:
    with h5py.File(path, "w") as file:
        file["ISIC_1"], file["ISIC_2"] = np.bytes_(JPEG), np.void(JPEG)
        file["group/ISIC_3"] = np.frombuffer(JPEG, np.uint8)
        file["fixed"] = np.array([JPEG, b"x"], dtype="S20")
        several = file.create_dataset("several", (2,), dtype=h5py.vlen_dtype(np.uint8))
        several[0], several[1] = np.frombuffer(JPEG, np.uint8), np.zeros(3, np.uint8)
        file["x"], file["grey"], file["one"] = COLOURS, COLOURS[..., 0] / 255, COLOURS[0]
        file["y"] = np.zeros(3)
        file["group/again"] = file["group"]
        file["same"] = file["one"]
        file["linked"], file["far"] = h5py.SoftLink("/one"), h5py.ExternalLink("other.h5", "/x")
        file.create_dataset("raw", (4, 4), dtype="u1", external=[("/etc/passwd", 0, 16)])
        layout = h5py.VirtualLayout((4, 5, 3), np.uint8)
        layout[:] = h5py.VirtualSource("other.h5", "one", (4, 5, 3))
        file.create_virtual_dataset("virtual", layout)


H5_MEMBERS = {
    "ISIC_1": JPEG, "ISIC_2": JPEG, "group/ISIC_3": JPEG,
    "fixed/0": JPEG.ljust(20, b"\0"), "fixed/1": b"x".ljust(20, b"\0"),
    "several/0": JPEG, "several/1": b"\0\0\0",
    "x/0": COLOURS[0], "x/1": COLOURS[1], "x/2": COLOURS[2],
    "grey/0": COLOURS[0, ..., 0] / 255, "grey/1": COLOURS[1, ..., 0] / 255,
    "grey/2": COLOURS[2, ..., 0] / 255, "one": COLOURS[0], "same": COLOURS[0],
    "y": "unsupported", "linked": "path_escape", "far": "path_escape", "raw": "path_escape",
    "virtual": "path_escape",
}  # fmt: skip


def test_hdf5_holds_encoded_bytes_and_arrays(tmp_path):
    write_h5(tmp_path / "train.h5")
    expected = {f"train.h5/{name}": value for name, value in H5_MEMBERS.items()}
    codes = {path: value if isinstance(value, str) else "" for path, value in expected.items()}
    assert found_in(tmp_path, H5) == codes
    sizes = list_images(str(tmp_path), H5).set_index("path")["num_bytes"]
    for path, value in expected.items():
        if isinstance(value, str):
            assert code_of(tmp_path, path, H5) == value
        else:
            found = read(tmp_path, path, H5)
            assert np.array_equal(found, value)
            assert type(found) is type(value)
            assert sizes[path] == (len(found) if isinstance(found, bytes) else found.nbytes)
    for name in ("x", "x/3", "x/-1", "x/0/0", "one/0", "none", "group", "ISIC_1/0"):
        with pytest.raises((FileNotFoundError, ImageError)):
            read(tmp_path, f"train.h5/{name}", H5)


def test_a_dataset_that_holds_no_images_is_told_where_a_template_enters_it(tmp_path):
    with h5py.File(tmp_path / "train.h5", "w") as file:
        file["x"] = np.zeros((2, 3, 9, 9), np.uint8)  # channels before height and width
        file["labels"] = np.zeros(2, np.int64)
    assert found_in(tmp_path, Images(path="train.h5/x/{row}")) == {"train.h5/x": "unsupported"}


def test_no_more_of_hdf5_is_read_than_an_image_may_have(tmp_path):
    with h5py.File(tmp_path / "train.h5", "w") as file:
        file.create_dataset("x", (2, 99_999, 99_999), dtype="u1", chunks=(1, 9, 9))
        file.create_dataset("many", (10**12, 8, 8), dtype="u1", chunks=(1, 8, 8))
    assert code_of(tmp_path, "train.h5/x/1", H5) == "too_large"
    assert read(tmp_path, f"train.h5/many/{10**12 - 1}", H5).shape == (8, 8)


def test_a_chunk_that_is_far_more_than_an_image_is_not_unpacked(tmp_path):
    with h5py.File(tmp_path / "train.h5", "w") as file:
        for name, length in {"bomb": 3000, "fine": 200}.items():
            file.create_dataset(
                name, (3000, 512, 512), "u1", chunks=(length, 512, 512), compression="gzip"
            )
        file.create_dataset("plain", (3000, 512, 512), "u1", chunks=(3000, 512, 512))
    images = H5.model_copy(update={"max_pixels": 1_000_000})
    found = found_in(tmp_path, images)
    assert {path: code for path, code in found.items() if code} == {"train.h5/bomb": "too_large"}
    assert code_of(tmp_path, "train.h5/bomb/0", images) == "too_large"
    for name in ("fine", "plain"):
        assert read(tmp_path, f"train.h5/{name}/9", images).shape == (512, 512)


class Counted(io.BytesIO):
    """A file that counts how many of its bytes were read."""

    num_read = 0

    def readinto(self, buffer):
        self.num_read += memoryview(buffer).nbytes
        return super().readinto(buffer)


def test_chunks_of_many_images_are_unpacked_once_in_whatever_order_these_are_read():
    chance = np.random.default_rng(0)
    pixels = chance.integers(0, 256, (2, 64, 32, 32), np.uint8)
    file = Counted()
    with h5py.File(file, "w") as written:
        for name, rows in zip("xy", pixels, strict=True):
            written.create_dataset(name, data=rows, chunks=(16, 32, 32), compression="gzip")
    file.num_read = 0
    found = Hdf5Container(file, H5)
    for number in chance.permutation(128):
        rows = "xy"[number // 64]
        image = found.read(f"{rows}/{number % 64}")
        np.testing.assert_array_equal(image, pixels[number // 64, number % 64])
    assert file.num_read < 1.5 * len(file.getvalue())
    assert found.num_held < 2 * pixels.nbytes + 1_000_000


def test_a_container_tells_no_endless_number_of_images(tmp_path, monkeypatch):
    monkeypatch.setattr(container, "_MOST_MEMBERS", 100)
    with h5py.File(tmp_path / "train.h5", "w") as file:
        file.create_dataset("many", (10**12, 8, 8), dtype="u1", chunks=(1, 8, 8))
    assert found_in(tmp_path, H5) == {"train.h5": "corrupt"}


def write_nifti(path: pathlib.Path, pixels: np.ndarray, *, slope: float | None = None) -> None:
    image = nibabel.Nifti1Image(pixels, np.eye(4))
    image.header.set_slope_inter(slope, slope and -1)
    nibabel.save(image, path)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("extension", ["nii", "nii.gz"])
def test_slices_of_nifti_are_images_of_width_before_height(tmp_path, axis, extension):
    images = Images(path=f"{{subject}}.{extension}/{{slice}}", axis=axis, channels=1)
    pixels = np.repeat(PIXELS, 3, axis=axis)
    write_nifti(tmp_path / f"s.{extension}", pixels)
    names = [f"{number:02}" for number in range(12)] if axis == 0 else None
    listed = list(found_in(tmp_path, images))
    assert names is None or listed == [f"s.{extension}/{name}" for name in names]
    assert len(listed) == pixels.shape[axis]
    for number, path in enumerate(listed):
        found = read(tmp_path, path, images)
        assert found.dtype == np.int16
        assert np.array_equal(found, pixels.take(number, axis).T)
    with pytest.raises(FileNotFoundError):
        read(tmp_path, f"s.{extension}/{len(listed)}", images)


NIFTI = Images(path="{subject}.nii/{slice}", channels=1)


def test_nifti_is_scaled_as_it_says(tmp_path):
    write_nifti(tmp_path / "s.nii", PIXELS, slope=2)
    assert np.array_equal(read(tmp_path, "s.nii/3", NIFTI), PIXELS[:, :, 3].T * 2.0 - 1)


def test_nifti_of_four_dimensions_has_slices_at_times(tmp_path):
    pixels = np.stack([PIXELS + 100 * time for time in range(11)], axis=-1)
    write_nifti(tmp_path / "s.nii", pixels)
    assert len(found_in(tmp_path, NIFTI)) == 66
    assert np.array_equal(read(tmp_path, "s.nii/07/3", NIFTI), pixels[:, :, 3, 7].T)
    write_nifti(tmp_path / "one.nii", PIXELS[..., None])
    assert np.array_equal(read(tmp_path, "one.nii/3", NIFTI), PIXELS[:, :, 3].T)


def test_nifti_of_colours(tmp_path):
    pixels = np.zeros((4, 5, 6), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    pixels["G"] = PIXELS
    nibabel.save(nibabel.Nifti1Image(pixels, np.eye(4)), tmp_path / "s.nii")
    found = read(tmp_path, "s.nii/3", NIFTI)
    assert found.shape == (5, 4, 3)
    assert np.array_equal(found[..., 1], PIXELS[:, :, 3].T)


def test_damage_in_nifti_is_told(tmp_path):
    write_nifti(tmp_path / "s.nii", PIXELS)
    whole = (tmp_path / "s.nii").read_bytes()
    packed = bytearray(gzip.compress(whole))
    packed[-6] ^= 1  # of the sum
    packs = Images(path="{subject}.nii.gz/{slice}", channels=1)
    for name, data, images, code in [
        ("cut.nii", whole[:-1], NIFTI, "truncated"),
        ("text.nii", b"no volume" * 99, NIFTI, "corrupt"),
        ("empty.nii", b"", NIFTI, "corrupt"),
        ("text.nii.gz", b"no volume" * 99, packs, "corrupt"),
        ("cut.nii.gz", gzip.compress(whole)[:-20], packs, "truncated"),
        ("sum.nii.gz", bytes(packed), packs, "corrupt"),
    ]:
        (tmp_path / name).write_bytes(data)
        assert code_of(tmp_path, f"{name}/1", images) == code, name


FRAMES = Images(path="{study}.dcm/*", frames="all", channels=1, window="file")


def test_frames_of_dicom_are_members_of_their_file(tmp_path):
    stack = np.arange(3 * 8 * 9, dtype=np.uint8).reshape(3, 8, 9)
    many, one = dicom_bytes(stack), dicom_bytes(stack[0])
    (tmp_path / "many.dcm").write_bytes(many)
    (tmp_path / "one.dcm").write_bytes(one)
    write_zip(tmp_path / "a.zip", {"many.dcm": many})
    images = FRAMES.model_copy(update={"path": ["{study}.dcm/*", "a.zip/{study}.dcm/*"]})
    root = str(tmp_path)
    listed = {"many.dcm/0001", "many.dcm/0002", "many.dcm/0003", "one.dcm/0001"}
    listed |= {f"a.zip/many.dcm/000{frame}" for frame in (1, 2, 3)}
    assert found_in(tmp_path, images) == dict.fromkeys(listed, "")
    assert read(tmp_path, "many.dcm/0002", images) == many
    assert members.frame_of(root, "many.dcm/0002", images) == ("many.dcm", 1)
    assert members.frame_of(root, "a.zip/many.dcm/0003", images) == ("a.zip/many.dcm", 2)
    assert read_pixel_sizes(root, sorted(listed), images).tolist() == [[9, 8]] * 7
    for name in ("0004", "0000", "2", "x"):
        with pytest.raises(FileNotFoundError):
            read(tmp_path, f"many.dcm/{name}", images)


def test_without_frames_a_dicom_file_is_a_file(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"any")
    images = Images(path="{study}.dcm")
    assert found_in(tmp_path, images) == {"a.dcm": ""}
    assert members.frame_of(str(tmp_path), "a.dcm", images) == ("a.dcm", None)


def digests(folder: pathlib.Path, images: Images) -> dict[str, str]:
    records = list_images(str(folder), images)
    found = find_copies(str(folder), records, images)
    return dict(zip(records["path"], found, strict=True))


def test_copies_are_told_by_pixels_where_one_file_holds_many(tmp_path):
    drawn = np.arange(8 * 9, dtype=np.uint8).reshape(8, 9)
    stack = np.stack([drawn, drawn + 1, drawn])
    (tmp_path / "a.dcm").write_bytes(dicom_bytes(stack))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"], file["wide"] = stack, stack.reshape(3, 6, 12)
    write_nifti(tmp_path / "c.nii", stack.T)
    same, some = (b"\x89PNG\r\n\x1a\n" + rest for rest in (b"same", b"some"))
    write_zip(tmp_path / "d.zip", {"1.png": same, "2.png": same, "3.png": some})
    (tmp_path / "4.png").write_bytes(same)
    images = Images(
        path=["{id}.dcm/*", "{id}.h5/**/*", "{id}.nii/*", "d.zip/*.png", "{id}.png"],
        frames="all", channels=1, window="file",
    )  # fmt: skip
    found = digests(tmp_path, images)
    groups: dict[str, list[str]] = {}
    for path, digest in found.items():
        groups.setdefault(digest, []).append(path)
    assert "a.dcm/0002" in groups[""]
    assert "d.zip/3.png" in groups[""]
    assert ["4.png", "d.zip/1.png", "d.zip/2.png"] in groups.values()
    assert found["a.dcm/0001"] == found["a.dcm/0003"] != ""
    assert found["b.h5/x/0"] == found["b.h5/x/2"] == found["c.nii/0"] != found["b.h5/wide/0"]


def test_a_container_that_changes_is_read_anew(tmp_path):
    write_zip(tmp_path / "a_.zip", {"1.png": b"old"})
    assert read(tmp_path, "a_.zip/1.png", ZIP) == b"old"
    write_zip(tmp_path / "new", {"1.png": b"new and longer"})
    os.replace(tmp_path / "new", tmp_path / "a_.zip")
    assert read(tmp_path, "a_.zip/1.png", ZIP) == b"new and longer"


def test_containers_bear_threads_and_are_closed_when_there_are_many(tmp_path, monkeypatch):
    monkeypatch.setattr(members, "_MOST_OPEN", 2)
    for number in range(6):
        write_zip(tmp_path / f"a_{number}.zip", {f"{n}.png": bytes([n]) * 999 for n in range(50)})
        write_nifti(tmp_path / f"{number}.nii.gz", PIXELS + number)
    images = Images(path=["a_*.zip/{id}.png", "{s}.nii.gz/{n}"])
    wrong = []

    def work():
        for n in range(50):
            for number in range(6):
                if read(tmp_path, f"a_{number}.zip/{n}.png", images) != bytes([n]) * 999:
                    wrong.append(n)
                if not np.array_equal(
                    read(tmp_path, f"{number}.nii.gz/{n % 6}", images),
                    PIXELS[..., n % 6].T + number,
                ):
                    wrong.append(n)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(members._containers) <= 2


@pytest.mark.parametrize(("library", "extra"), [("h5py", "hdf5"), ("nibabel", "nifti")])
def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch, library, extra):
    monkeypatch.setitem(__import__("sys").modules, library, None)
    images = {"h5py": H5, "nibabel": NIFTI}[library]
    (tmp_path / {"h5py": "s.h5", "nibabel": "s.nii"}[library]).write_bytes(b"any")
    with pytest.raises(SpecError, match=rf"pip install 'medical_images\[{extra}\]'"):
        list_images(str(tmp_path), images)


SPEC = """\
name: mine
tables: [{path: data.csv}]
images: {path: ["part_*.zip/{id}.png", "v/{id}.nii.gz/{slice}", "{id}.h5/x/{slice}"], channels: 1}
features:
  cells: {type: boxes, columns: [x1, y1, x2, y2]}
group: id
"""


@pytest.mark.parametrize("setting", [(1, 1 << 20), MANY_PARTS])
def test_both_engines_find_the_same_in_containers(tmp_path, setting):
    rows = "id,slice,x1,y1,x2,y2\na,0,1,1,3,3\nb,0,1,1,3,3\n"
    rows += "".join(f"{name},{n},1,1,3,3\n" for name in ("c", "bad") for n in range(7))
    loaded = write(tmp_path, SPEC, {"data.csv": rows, "1.png": 1, "2.png": 2, "v/x.txt": ""})
    one, two = ((tmp_path / name).read_bytes() for name in ("1.png", "2.png"))
    write_zip(tmp_path / "part_1.zip", {"a.png": one, "b.png": two})
    write_zip(tmp_path / "part_2.zip", {"b.png": one})
    (tmp_path / "part_3.zip").write_bytes(b"damaged")
    write_nifti(tmp_path / "v" / "c.nii.gz", PIXELS)
    (tmp_path / "v" / "bad.nii.gz").write_bytes(b"damaged")
    with h5py.File(tmp_path / "bad.h5", "w") as file:
        file["x"] = np.tile(np.arange(81, dtype=np.uint8).reshape(9, 9), (2, 1, 1))  # one twice
    joined = check_equal(loaded, tmp_path / "parts", setting)
    sizes = dict(zip(joined.records["path"], joined.records["num_bytes"], strict=True))
    assert sizes == {
        "part_1.zip/a.png": len(one),
        **{f"v/c.nii.gz/{n}": 40 for n in range(6)},
        **{f"bad.h5/x/{n}": 81 for n in range(2)},
    }
    assert joined.log.entries.groupby(["kind", "code"]).size().to_dict() == {
        ("file", "corrupt"): 2,
        ("row", "image_ambiguous"): 1,
        ("row", "image_copy"): 1,
        ("row", "image_missing"): 6,
    }


def test_fields_of_dicom_are_columns(tmp_path):
    write_zip(
        tmp_path / "a.zip", {"1.dcm": dicom_bytes(PIXELS[0].astype(np.uint8), PatientAge="063Y")}
    )
    (tmp_path / "2.dcm").write_bytes(b"no DICOM")
    spec = CorpusSpec.from_dict(
        {
            "name": "mine",
            "images": {"path": ["a.zip/{id}.dcm", "{id}.dcm"]},
            "derive": {"age": {"from": "dicom.PatientAge"}},
            "features": {"age": {"type": "text"}},
        }
    )
    files = list_images(str(tmp_path), spec.images)
    found = facts_of_files(str(tmp_path), files, spec)
    expected = pd.Series(["", "063Y"], dtype="str")
    pd.testing.assert_series_equal(found["dicom.PatientAge"], expected)


FIELDS = """\
name: mine
tables: [{path: data.csv}]
images: {path: "{id}.*", channels: 1}
derive: {modality: {from: dicom.Modality}}
features: {modality: {type: class, values: [CT]}}
group: id
"""


@pytest.mark.parametrize("setting", [(1, 1 << 20), MANY_PARTS])
def test_headers_that_cannot_be_read_have_their_own_codes(tmp_path, setting):
    pixels = np.zeros((9, 9), np.uint8)
    data = dicom_bytes(pixels, Modality="CT")
    deflated = dicom_bytes(pixels, Modality="CT", syntax=DEFLATED)
    start = 144 + int.from_bytes(deflated[140:144], "little")
    files = {
        "fine": (data, None),
        "silent": (dicom_bytes(pixels), "label_missing"),
        "cut": (data[: data.index(b"Doe^Jane") + 4], "truncated"),
        "damaged": (deflated[:start] + b"\xff" * 99, "dicom_unreadable"),
        "bare": (data[132:], "dicom_no_preamble"),
        "README": (b"Read me first.", "not_an_image"),
        "PNM": (b"P5 9 9 255 " + bytes(81), "unsupported"),
        "DICOMDIR": (pathlib.Path(get_testdata_file("DICOMDIR")).read_bytes(), "dicom_no_pixels"),
        "empty": (b"", "empty"),
    }
    rows = "id\n" + "\n".join(files) + "\n"
    contents = {f"{name}.dcm": content for name, (content, _) in files.items()}
    loaded = write(tmp_path, FIELDS, {"data.csv": rows, "x.png": 1, **contents})
    joined = check_equal(loaded, tmp_path / "parts", setting)
    assert joined.records["path"].tolist() == ["fine.dcm"]
    entries = joined.log.entries[joined.log.entries["kind"] == "row"]
    assert set(entries["outcome"]) == {"rejected"}
    codes = dict(zip(entries["path"], entries["code"], strict=True))
    assert codes == {f"{name}.dcm": code for name, (_, code) in files.items() if code}


def test_fields_are_read_once_for_all_frames(tmp_path, monkeypatch):
    read_before = []
    fields_of = headers.fields_of
    monkeypatch.setattr(headers, "fields_of", lambda *a: (read_before.append(a), fields_of(*a))[1])
    film = np.zeros((3, 8, 9), np.uint8)
    (tmp_path / "a.dcm").write_bytes(dicom_bytes(film, PatientAge="033Y"))
    write_zip(tmp_path / "z.zip", {"b.dcm": dicom_bytes(film, PatientAge="044Y")})
    spec = CorpusSpec.from_dict(
        {
            "name": "mine",
            "images": {"path": ["{s}.dcm/{n}", "z.zip/{s}.dcm/{n}"], "frames": "all"},
            "derive": {"age": {"from": "dicom.PatientAge"}},
            "features": {"age": {"type": "text"}},
        }
    )
    files = list_images(str(tmp_path), spec.images)
    found = facts_of_files(str(tmp_path), files, spec)
    assert list(found["dicom.PatientAge"]) == ["033Y"] * 3 + ["044Y"] * 3
    assert len(read_before) == 2


def test_blank_slices_are_no_copies(tmp_path):
    volumes = np.zeros((2, 4, 5, 3), np.int16)
    volumes[:, :, :, 1] = np.arange(20).reshape(4, 5)  # in the middle, one image of two subjects
    for name, volume in zip("ab", volumes, strict=True):
        write_nifti(tmp_path / f"{name}.nii.gz", volume)
    spec = CorpusSpec.from_dict(
        {
            "name": "mine",
            "images": {"path": "{id}.nii.gz/{slice}", "window": [10, 20]},
            "features": {"id": {"type": "id"}},
        }
    )
    files = list_images(str(tmp_path), spec.images)
    found = find_copies(str(tmp_path), files, spec.images)
    assert (found != "").tolist() == [False, True, False] * 2
