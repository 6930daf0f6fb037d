"""Small files that are made to take hours or all memory are refused at once, and told of."""

import io
import struct
import time
import zlib

import numpy as np
import pydicom
import pytest
from dicom_files import bytes_of, dataset_of
from etils import epath
from PIL import Image

from medical_images.dicom.pixels import read_pixels
from medical_images.errors import ImageError, SpecError, TableError
from medical_images.prepared_image import prepare
from medical_images.spec_images import Images
from medical_images.spec_parts import Table
from medical_images.table_reader import read_header, read_table
from medical_images.yaml_source import parse_yaml

SECONDS = 5


@pytest.fixture(autouse=True)
def at_once():
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < SECONDS


def saved(kind, mode="L", side=8, **options):
    file = io.BytesIO()
    Image.new(mode, (side, side), 128).save(file, kind, **options)
    return file.getvalue()


def tiff(*tags):
    """A TIFF file of 8 x 8 pixels with more tags: number, type, how many values, where they are."""
    own = [(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    own += [(273, 4, 1, 8), (278, 4, 1, 8), (279, 4, 1, 64)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted([*own, *tags]))
    head = struct.pack("<2sHIH", b"II", 42, 8, len(own) + len(tags))
    return head + entries + bytes(4 + (1 << 20))


def chunk(name, content):
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )


def scans():
    data = saved("JPEG", side=2000, progressive=True)
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * 20_000 + data[-2:]


def segments():
    data = saved("JPEG")
    return data[:2] + b"\xff\xfe\0\2" * 1_000_000 + data[2:]


def chunks():
    data = saved("PNG")
    return data[:33] + chunk(b"teXt", b"") * 500_000 + data[33:]


def canvas():
    data = saved("GIF")
    return data[:6] + struct.pack("<HH", 65535, 65535) + data[10:]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (scans, "unsupported: JPEG of more than 100 scans"),
        (segments, "unsupported: JPEG of more than 262,144 segments"),
        (chunks, "unsupported: PNG of more than 262,144 chunks"),
        (canvas, "too_large"),
        (lambda: tiff(*[(273, 1, 1 << 20, 8)] * 60_000), "unsupported: a page of more than"),
        (lambda: tiff(*[(273, 1, 1 << 20, 8)] * 4_000), "corrupt: its tags are longer than"),
        (lambda: tiff(*[(500 + k, 7, 1 << 20, 8) for k in range(4_000)]), "corrupt: its tags are"),
    ],
)
def test_an_image_that_would_take_hours_is_refused(make, told):
    with pytest.raises(ImageError, match=told):
        prepare(make(), Images(path="*", channels=1))


def test_frames_of_dicom_of_too_many_scans_are_not_decoded():
    def outcome(frame):
        dataset = dataset_of(np.zeros((2000, 2000), np.uint8))
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
        dataset.PixelData = pydicom.encaps.encapsulate([frame])
        return read_pixels(bytes_of(dataset), Images(path="*", channels=1))

    assert outcome(saved("JPEG", side=2000, progressive=True)).shape == (2000, 2000)
    with pytest.raises(ImageError, match="unsupported: JPEG of more than 100 scans"):
        outcome(scans())


def test_what_real_files_have_is_not_refused():
    random = np.random.default_rng(0)
    pixels = Image.fromarray(random.integers(0, 256, (64, 64), np.uint8))
    for kind, options in {
        "JPEG": {"progressive": True, "icc_profile": bytes(200_000)},
        "TIFF": {
            "tiffinfo": dict.fromkeys((269, 270, 305, 315, 33432), "text" * 9),
            "strip_size": 64,
        },
    }.items():
        file = io.BytesIO()
        pixels.save(file, kind, **options)
        prepare(file.getvalue(), Images(path="*", channels=1))


def test_a_spec_of_aliases_of_aliases_is_refused():
    lines = ["a0: &a0 [" + ", ".join("x" * 10) + "]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 12)]
    with pytest.raises(SpecError, match="more than 200,000 parts"):
        parse_yaml("\n".join(lines), name="corpus.yaml")
    with pytest.raises(SpecError, match="stand too deep in each other"):
        parse_yaml("[" * 5000 + "]" * 5000, name="corpus.yaml")


def test_a_line_without_an_end_is_not_held_in_memory(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a,b\n1," + b"x" * (40 << 20))
    with pytest.raises(TableError, match=r"line 2: .* a line has more than 33,554,432 characters"):
        read_table(Table(path="t.csv"), path=epath.Path(tmp_path / "t.csv"))
    (tmp_path / "u.csv").write_bytes(b"x" * (40 << 20))
    header = read_header(Table(path="u.csv"), path=epath.Path(tmp_path / "u.csv"))
    assert "a line has more than" in header.problems[0].what


def test_a_header_of_very_many_columns_is_compared_at_once(tmp_path):
    names = [f"c{k}" for k in range(200_000)] + ["c7"] + [f"d{k % 30}" for k in range(60)]
    (tmp_path / "t.csv").write_text(",".join(names) + "\n")
    header = read_header(Table(path="t.csv"), path=epath.Path(tmp_path / "t.csv"))
    assert header.problems[0].what.startswith("the header names 'c7', 'd0', ")
    assert header.problems[0].what.endswith(" and 11 more twice")
