import io

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from image_readers import (
    by_each_reader,
    chunk,
    drawn,
    encoded,
    exif,
    segment,
    with_chunks,
    with_segments,
)
from PIL import Image, ImageCms, PngImagePlugin

from medical_images.errors import ImageError
from medical_images.metadata_segments import read_jpeg, read_orientation, read_png, strip

TOKEN = b"Zyxw^Vutsr"
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ICC = b"ICC_PROFILE\0\1\1" + SRGB
ADOBE = b"Adobe\0\x64\0\0\0\0\1"
PROGRESSIVE = encoded(drawn(), "JPEG", progressive=True)
RESTARTS = encoded(drawn(), "JPEG", restart_marker_rows=1)
PLAIN_JPEG = encoded(drawn(), "JPEG", quality=90)
PLAIN_PNG = encoded(drawn(), "PNG")

JPEGS = {  # with the token where it is not to stay
    "EXIF": with_segments(PLAIN_JPEG, segment(0xE1, b"Exif\0\0" + exif(1, more=TOKEN))),
    "EXIF with a thumbnail": with_segments(
        PROGRESSIVE, segment(0xE1, b"Exif\0\0" + exif(1, more=TOKEN + PLAIN_JPEG))
    ),
    "EXIF before JFIF": PLAIN_JPEG[:2] + segment(0xE1, b"Exif\0\0" + TOKEN) + PLAIN_JPEG[2:],
    "XMP": with_segments(PLAIN_JPEG, segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + TOKEN)),
    "IPTC": with_segments(RESTARTS, segment(0xED, b"Photoshop 3.0\0" + TOKEN)),
    "comment": with_segments(PROGRESSIVE, segment(0xFE, TOKEN), segment(0xFE, TOKEN)),
    "FPXR": with_segments(PLAIN_JPEG, segment(0xE2, b"FPXR\0" + TOKEN)),
    "JFXX": with_segments(PLAIN_JPEG, segment(0xE0, b"JFXX\0\x10" + TOKEN + PLAIN_JPEG)),
    "JFIF with a thumbnail": PLAIN_JPEG[:2]
    + segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\2\2" + TOKEN + b"xx")
    + PLAIN_JPEG[20:],
    "Adobe with more": with_segments(PLAIN_JPEG, segment(0xEE, ADOBE + TOKEN)),
    "after the end": PROGRESSIVE + b"\0\0" + TOKEN + PLAIN_JPEG,
    "fill bytes": PLAIN_JPEG[:2] + b"\xff\xff\xff" + segment(0xFE, TOKEN)[1:] + PLAIN_JPEG[2:],
    "between scans": PROGRESSIVE[: (at := PROGRESSIVE.rindex(b"\xff\xc4"))]
    + segment(0xFE, TOKEN + b"\xff\xd9")
    + PROGRESSIVE[at:],
    "two images": encoded(
        Image.fromarray(drawn()),
        "MPO",
        save_all=True,
        append_images=[Image.fromarray(drawn(2))],
    )
    + TOKEN,
}
_TEXTS = PngImagePlugin.PngInfo()
_TEXTS.add_text("Patient", TOKEN.decode())
_TEXTS.add_text("Name", TOKEN.decode() * 9, zip=True)
_TEXTS.add_itxt("XML:com.adobe.xmp", TOKEN.decode())
PNGS = {
    "texts": encoded(drawn(), "PNG", pnginfo=_TEXTS),
    "EXIF": with_chunks(PLAIN_PNG, chunk(b"eXIf", exif(1, more=TOKEN))),
    "time": with_chunks(PLAIN_PNG, chunk(b"tIME", TOKEN[:7])),
    "unknown": with_chunks(PLAIN_PNG, chunk(b"paTi", TOKEN), chunk(b"sPLT", TOKEN)),
    "before the end": PLAIN_PNG[:-12] + chunk(b"tEXt", b"a\0" + TOKEN) + PLAIN_PNG[-12:],
    "after the end": PLAIN_PNG + TOKEN,
}


def parts_of(data: bytes):
    return read_png(data) if data.startswith(b"\x89PNG") else read_jpeg(data)


@pytest.mark.parametrize("data", [*JPEGS.values(), *PNGS.values()], ids=[*JPEGS, *PNGS])
def test_metadata_are_gone_and_pixels_are_not_touched(data):
    assert TOKEN[:7] in data or b"zTXt" in data
    parts = parts_of(data)
    bare = strip(data, parts.cuts)
    assert parts.fault == ""
    assert TOKEN[:7] not in bare
    assert b"Exif" not in bare
    assert b"EXt" not in bare
    assert b"MPF" not in bare
    assert (parts.width, parts.height) == (62, 45)
    assert parts_of(bare).cuts == ()
    before, after = (by_each_reader(each, channels=3) for each in (data, bare))
    assert all(np.array_equal(before[reader], after[reader]) for reader in before)


@pytest.mark.parametrize(
    "data",
    [
        PLAIN_JPEG,
        PROGRESSIVE,
        RESTARTS,
        encoded(drawn(), "JPEG", icc_profile=SRGB),
        encoded(drawn(), "JPEG", keep_rgb=True),
        with_segments(PLAIN_JPEG, segment(0xEE, ADOBE)),
        encoded(Image.fromarray(drawn()).convert("CMYK"), "JPEG"),
        PLAIN_PNG,
        encoded(drawn(), "PNG", icc_profile=SRGB, dpi=(300, 300)),
        with_chunks(PLAIN_PNG, chunk(b"gAMA", b"\0\0\xb1\x8f"), chunk(b"sBIT", b"\5\6\5")),
    ],
)
def test_a_file_without_metadata_is_not_copied(data):
    assert strip(data, parts_of(data).cuts) is data


def test_what_decides_on_pixels_stays():
    data = with_segments(PLAIN_JPEG, segment(0xFE, TOKEN), segment(0xE2, ICC), segment(0xEE, ADOBE))
    bare = strip(data, read_jpeg(data).cuts)
    assert SRGB in bare
    assert ADOBE in bare
    assert bare.startswith(PLAIN_JPEG[:20])
    trans = encoded(Image.fromarray(drawn()).convert("P"), "PNG", transparency=3, dpi=(72, 72))
    bare = strip(trans + TOKEN, read_png(trans + TOKEN).cuts)
    assert bare == trans
    assert b"tRNS" in bare


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_read(orientation):
    written = Image.Exif()
    written[0x112], written[0x10F] = orientation, "a maker"
    for kind in ("JPEG", "PNG"):
        parts = parts_of(encoded(drawn(), kind, exif=written))
        assert (parts.orientation, parts.exif_malformed) == (orientation, False)
    for order in ("II", "MM"):
        assert read_orientation(exif_of(orientation, order)) == (orientation, False)


def exif_of(orientation: int, order: str) -> bytes:
    written = Image.Exif()
    written.endian = {"II": "<", "MM": ">"}[order]
    written[0x112] = orientation
    return written.tobytes().removeprefix(b"Exif\0\0")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"MM",
        b"XX\0*\0\0\0\x08",
        exif(6)[:16],
        exif(9),
        exif(0),
        exif(6).replace(b"\0\0\0\x08", b"\xff\xff\xff\xff"),
        exif(6).replace(b"\0\x03\0\0\0\x01", b"\0\x02\0\0\0\x01"),
    ],
)
def test_malformed_exif_is_upright_and_told(data):
    assert read_orientation(data) == (1, True)
    jpeg = with_segments(PLAIN_JPEG, segment(0xE1, b"Exif\0\0" + data))
    png = with_chunks(PLAIN_PNG, chunk(b"eXIf", data))
    for parts in (read_jpeg(jpeg), read_png(png)):
        assert (parts.orientation, parts.exif_malformed) == (1, True)


def test_what_the_header_tells():
    grey = Image.fromarray(drawn()).convert("L")
    found = [read_jpeg(encoded(grey, "JPEG")), read_jpeg(PROGRESSIVE)]
    found.append(read_jpeg(encoded(grey.convert("CMYK"), "JPEG")))
    assert [(parts.components, parts.usual) for parts in found] == [(1, True), (3, True), (4, True)]
    modes = {"1": (1, 1), "L": (1, 8), "P": (1, 8), "LA": (2, 8), "RGB": (3, 8), "RGBA": (4, 8)}
    modes["I;16"] = (1, 16)
    for mode, expected in modes.items():
        parts = read_png(encoded(grey.convert(mode), "PNG"))
        assert (parts.samples, parts.bits) == expected, mode
        assert parts.has_palette == (mode == "P")


@pytest.mark.parametrize("data", [PLAIN_JPEG, PROGRESSIVE, JPEGS["EXIF with a thumbnail"]])
def test_a_jpeg_that_is_cut_anywhere_is_truncated(data):
    ends = len(data)
    for size in [*range(2, min(ends, 1500), 7), *range(1500, ends, 97), ends - 2, ends - 1]:
        assert fault_of(data[:size]) == "truncated", size


def test_a_png_that_is_cut_anywhere_is_refused():
    for size in range(8, len(PLAIN_PNG)):
        assert fault_of(PLAIN_PNG[:size]) in ("truncated", "corrupt"), size
    assert fault_of(PLAIN_PNG[: len(PLAIN_PNG) // 2]) == "truncated"
    assert fault_of(PLAIN_PNG[:-12]) == "corrupt"  # all but its last chunk


def fault_of(data: bytes) -> str:
    try:
        return parts_of(data).fault
    except ImageError as error:
        return error.code


def test_a_sum_that_does_not_fit_is_seen_where_it_is_looked_for():
    at = PLAIN_PNG.index(b"IDAT") + 40
    damaged = PLAIN_PNG[:at] + bytes([PLAIN_PNG[at] ^ 1]) + PLAIN_PNG[at + 1 :]
    assert fault_of(damaged) == "corrupt"
    assert read_png(damaged, check_sums=False).fault == ""


def test_bytes_between_segments_are_a_fault_and_cut_out():
    data = PLAIN_JPEG[:20] + TOKEN + PLAIN_JPEG[20:]
    parts = read_jpeg(data)
    assert parts.fault == "corrupt_scan"
    assert strip(data, parts.cuts) == PLAIN_JPEG


def test_an_animated_png_is_refused():
    frames = [Image.fromarray(drawn(number)) for number in (1, 2)]
    file = io.BytesIO()
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    assert fault_of(file.getvalue()) == "multi_frame"
    single = with_chunks(PLAIN_PNG, chunk(b"acTL", bytes([0, 0, 0, 1, 0, 0, 0, 0])))
    assert strip(single, read_png(single).cuts) == PLAIN_PNG


CODES_OF_WALKS = ("", "truncated", "corrupt", "corrupt_scan", "unsupported", "multi_frame")


@given(data=st.binary(max_size=300), start=st.sampled_from([b"\xff\xd8\xff", PLAIN_JPEG[:300]]))
@example(data=b"\xda\0\2\xff\xd9", start=b"\xff\xd8\xff")
def test_any_bytes_give_parts_or_a_code(data, start):
    for whole in (start + data, PLAIN_PNG[:33] + data):
        assert fault_of(whole) in CODES_OF_WALKS
        if fault_of(whole) in ("", "corrupt_scan"):
            cuts = parts_of(whole).cuts
            places = [place for cut in cuts for place in cut[:2]]
            assert places == sorted(places)
            assert len(strip(whole, cuts)) <= len(whole)
