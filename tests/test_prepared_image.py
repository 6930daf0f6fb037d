import io
import struct
import zlib

import numpy as np
import pytest
from conftest import run_python
from image_readers import (
    JPEG_LEVELS,
    by_each_reader,
    chunk,
    drawn,
    encoded,
    exif,
    is_read_alike,
    segment,
    with_chunks,
    with_segments,
)
from PIL import Image

from medical_images import image_checks
from medical_images.errors import ImageError
from medical_images.prepared_image import prepare
from medical_images.spec_images import Images

TOKEN = b"Zyxw^Vutsr"
RGB = drawn()
GREY = RGB[..., 1]
ALPHA = 255 - RGB[..., 0] // 2
DEEP = GREY.astype(np.uint16) * 257 + 3
BITS = GREY > 128
PALETTE = Image.fromarray(RGB).quantize(64)
OPAQUE = np.full_like(GREY, 255)
KINDS = ("jpeg", "png", "tiff", "webp", "bmp", "gif")


def images(**options) -> Images:
    return Images(path="*", **options)


def code_of(data, **options) -> str:
    name = options.pop("name", "")
    with pytest.raises(ImageError) as caught:
        prepare(data, images(**options), name=name)
    return caught.value.code


def rgb_of_palette() -> np.ndarray:
    colours = np.array(PALETTE.getpalette(), np.uint8).reshape(-1, 3)
    return colours[np.asarray(PALETTE)]


def three(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


CMYK = Image.fromarray(RGB).convert("CMYK")
PIXELS = {  # the image, and its colours and alpha as an oracle tells them
    "grey": (Image.fromarray(GREY), three(GREY), OPAQUE),
    "colours": (Image.fromarray(RGB), RGB, OPAQUE),
    "grey in three channels": (Image.fromarray(three(GREY)), three(GREY), OPAQUE),
    "alpha": (Image.fromarray(np.dstack([RGB, ALPHA])), RGB, ALPHA),
    "opaque alpha": (Image.fromarray(np.dstack([RGB, OPAQUE])), RGB, OPAQUE),
    "grey and alpha": (Image.fromarray(np.dstack([GREY, ALPHA]), "LA"), three(GREY), ALPHA),
    "palette": (PALETTE, rgb_of_palette(), OPAQUE),
    "one bit": (Image.fromarray(BITS), three(BITS * np.uint8(255)), OPAQUE),
    "cmyk": (CMYK, 255 - np.asarray(CMYK)[..., :3], OPAQUE),
}
LOSSLESS = {
    **{look: ["png", "tiff"] for look in PIXELS},
    "cmyk": ["tiff"],
    "grey": ["png", "tiff", "bmp", "gif", "webp"],
    "colours": ["png", "tiff", "bmp", "webp"],
    "palette": ["png", "tiff", "bmp", "gif"],
    "one bit": ["png", "tiff", "bmp", "gif"],
    "alpha": ["png", "tiff", "webp"],
}
TABLE = [(look, kind) for look, kinds in LOSSLESS.items() for kind in kinds]


def expected(colours: np.ndarray, alpha: np.ndarray, channels: int) -> np.ndarray | None:
    """The oracle: declared pixels of (h, w, channels), or None for a reject."""
    if channels == 4:
        return np.dstack([colours, alpha])
    if (alpha < 255).any():
        return None
    if channels == 3:
        return colours
    grey = colours[..., :1]
    return grey if (colours == grey).all() else None


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("look", "kind"), TABLE)
def test_all_readers_find_the_declared_pixels(look, kind, channels):
    image, colours, alpha = PIXELS[look]
    options = {"lossless": True, "exact": True} if kind == "webp" else {}
    data = encoded(image, kind, **options)
    pixels = expected(colours, alpha, channels)
    if pixels is None:
        assert code_of(data, channels=channels) == "channels"
        return
    found = prepare(data, images(channels=channels), name=f"a.{kind}")
    for reader, array in by_each_reader(found.data, channels=channels).items():
        assert array.shape == pixels.shape, reader
        assert np.array_equal(array, pixels), reader
    assert found.size == found.upright == (62, 45)
    as_it_is = ("grey", 1), ("grey", 3), ("colours", 3), ("grey in three channels", 3)
    as_it_is += ("alpha", 4), ("opaque alpha", 4)
    passes = kind == "png" and (look, channels) in as_it_is
    assert (found.data is data) == passes
    assert found.notes == (() if passes else ("converted",))


def jpeg_like(colours: str, *marks: bytes) -> bytes:
    """A JPEG file without JFIF, as some cameras and converters write it."""
    data = encoded(RGB, "JPEG", quality=90, keep_rgb=colours == "rgb")
    start = 2 if data[3] != 0xE0 else 20
    return data[:2] + b"".join(marks) + data[start:]


def adobe(transform: int) -> bytes:
    return segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))


JPEGS = {
    **{
        f"subsampling {number}": encoded(RGB, "JPEG", subsampling=number, quality=92)
        for number in range(3)
    },
    "progressive": encoded(RGB, "JPEG", progressive=True),
    "restarts": encoded(RGB, "JPEG", restart_marker_rows=1),
    "no JFIF": jpeg_like("ycbcr"),
    "Adobe's YCbCr": jpeg_like("ycbcr", adobe(1)),
    "Adobe's RGB": jpeg_like("rgb", adobe(0)),
    "RGB by its names": encoded(RGB, "JPEG", keep_rgb=True),
    "grey": encoded(GREY, "JPEG"),
}


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_jpeg_passes_where_all_readers_agree(name, channels):
    data = JPEGS[name]
    with Image.open(io.BytesIO(data)) as image:
        decoded = np.asarray(image.convert("RGB"))
    pixels = expected(decoded, OPAQUE, channels)
    if pixels is None:
        assert code_of(data, channels=channels) == "channels"
        return
    found = prepare(data, images(channels=channels))
    assert (found.data is data) == (channels < 4)
    assert is_read_alike(found.data, channels=channels)
    for reader, array in by_each_reader(found.data, channels=channels).items():
        levels = JPEG_LEVELS if reader == "as_dataset" and channels < 4 else 0
        assert np.abs(array.astype(int) - pixels).max() <= levels, reader


def test_cmyk_jpeg_is_converted():
    data = encoded(CMYK, "JPEG", quality=95)
    with Image.open(io.BytesIO(data)) as image:
        decoded = np.asarray(image.convert("RGB"))
    found = prepare(data, images())
    assert found.notes == ("converted",)
    for array in by_each_reader(found.data, channels=3).values():
        assert np.array_equal(array, decoded)


def test_jpeg_with_odd_subsampling_is_decoded_here():
    data = bytearray(encoded(GREY, "JPEG"))
    data[data.index(b"\xff\xc0") + 11] = 0x22  # of grey it means nothing
    assert prepare(bytes(data), images(channels=1)).notes == ()
    odd = bytearray(encoded(RGB, "JPEG", subsampling=0))
    odd[odd.index(b"\xff\xc0") + 14] = 0x21  # decoders differ in what they make of this
    assert prepare(bytes(odd), images()).notes == ("not_checked", "converted")


def test_twelve_bits_and_lossless_jpeg_are_not_read():
    data = encoded(RGB, "JPEG")
    at = data.index(b"\xff\xc0")
    for changed in (b"\xff\xc0\0\x11\x0c", b"\xff\xc3\0\x11\x08", b"\xff\xc9\0\x11\x08"):
        assert code_of(data[:at] + changed + data[at + 5 :]) == "unsupported"


@pytest.mark.parametrize(
    ("chunks", "passes"),
    [
        ([chunk(b"gAMA", b"\0\1\x86\xa0")], True),
        ([chunk(b"gAMA", b"\0\0\xb1\x8f"), chunk(b"cHRM", struct.pack(">8I", *range(1, 9)))], True),
        ([chunk(b"sBIT", b"\5\5\5")], True),
        ([chunk(b"bKGD", bytes(6))], True),
        ([chunk(b"sRGB", b"\0")], True),
        ([chunk(b"eXIf", exif(1))], True),
        ([chunk(b"tRNS", bytes(6))], False),
    ],
)
def test_chunks_of_png_do_not_change_what_readers_find(chunks, passes):
    data = with_chunks(encoded(RGB, "PNG"), *chunks)
    found = prepare(data, images(alpha="drop"))
    assert ("converted" not in found.notes) == passes
    for array in by_each_reader(found.data, channels=3).values():
        assert np.array_equal(array, RGB)


REFUSED = {  # by Pillow, OpenCV or TensorFlow, though the sums of all chunks are right
    "gamma": [chunk(b"gAMA", bytes(2))],
    "chromaticities": [chunk(b"cHRM", bytes(3))],
    "colour space": [chunk(b"sRGB", b"")],
    "density": [chunk(b"pHYs", bytes(5))],
    "bits": [chunk(b"sBIT", bytes(13))],
    "background": [chunk(b"bKGD", bytes(12))],
    "profile": [chunk(b"iCCP", b"x\0\7" + zlib.compress(b"profile"))],
    "profile that ends early": [chunk(b"iCCP", b"x\0\0" + zlib.compress(b"profile")[:-6])],
    "large profile": [chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(2 << 20)))],
    "two palettes of colours": [chunk(b"PLTE", bytes(3)), chunk(b"PLTE", bytes(33))],
    "two gammas": [chunk(b"gAMA", bytes(4)), chunk(b"gAMA", bytes(2))],
}


@pytest.mark.parametrize("strip", [True, False])
@pytest.mark.parametrize("name", REFUSED)
def test_chunks_that_a_reader_refuses_are_left_out(name, strip):
    data = with_chunks(encoded(RGB, "PNG"), chunk(b"tEXt", b"a\0text"), *REFUSED[name])
    found = prepare(data, images(), strip=strip)
    assert not found.notes
    assert (b"tEXt" in found.data) != strip
    for array in by_each_reader(found.data, channels=3).values():
        assert np.array_equal(array, RGB)


def test_metadata_that_a_reader_refuses_is_left_out():
    data = with_chunks(
        encoded(RGB, "PNG"), chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2 << 20)))
    )
    assert b"zTXt" not in prepare(data, images(), strip=False).data
    plain = encoded(RGB, "JPEG", quality=90)
    for odd in (segment(0xE2, b"ICC_PROFILE\0"), segment(0xEE, b"Adobe")):
        assert prepare(with_segments(plain, odd), images()).data == plain
        assert prepare(with_segments(plain, odd), images(), strip=False).data == plain


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("size", [(1_000_001, 1), (1, 1_000_001), (14_000, 14_000)])
def test_what_readers_do_not_read_is_not_written(size, kind):
    data = encoded(Image.new("1", size), kind)
    assert code_of(data, channels=1, max_pixels=10**9) == "too_large"
    resized = prepare(data, images(channels=1, max_pixels=10**9, resize={"max_side": 100}))
    assert max(resized.size) == 100


def interlaced(array: np.ndarray) -> bytes:
    """A PNG file of RGB in Adam7's order."""
    rows = b""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
    for left, top, across, down in [*passes, (0, 1, 1, 2)]:
        part = array[top::down, left::across]
        if part.size:
            rows += b"".join(b"\0" + row.tobytes() for row in part)
    head = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], 8, 2, 0, 0, 1)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("shape", [(45, 62), (1, 1), (3, 2), (8, 9)])
def test_interlaced_png_passes(shape):
    array = RGB[: shape[0], : shape[1]]
    data = interlaced(array)
    assert prepare(data, images()).data is data
    for found in by_each_reader(data, channels=3).values():
        assert np.array_equal(found, array)


def test_pixels_of_png_are_inflated():
    data = encoded(RGB, "PNG")
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 62, 45, 8, 2, 0, 0, 0))
    rows = np.zeros((45, 1 + 62 * 3), np.uint8)
    for change in ("short", "long", "filter", "sum", "more", "none"):
        raw = rows.copy()
        raw[7, 0] = 5 if change == "filter" else 0
        body = raw.tobytes()[: -1 if change == "short" else None] + b"\0" * (change == "long")
        packed = zlib.compress(body)
        packed = packed[:-4] + bytes(4) if change == "sum" else packed
        packed += TOKEN if change == "more" else b""
        data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
        if change == "none":
            assert prepare(data, images()).data is data
        else:
            assert code_of(data) == "corrupt", change
            assert prepare(data, images(check="header")).data is data


def test_sixteen_bits():
    deep = encoded(DEEP, "PNG")
    assert code_of(deep, channels=1) == "needs_window"
    found = prepare(deep, images(channels=1, dtype="uint16"))
    assert found.data is deep
    for array in by_each_reader(deep, channels=1, dtype="uint16").values():
        assert np.array_equal(array[..., 0], DEEP)
    for kind in ("png", "tiff"):
        data = encoded(DEEP, kind)
        assert code_of(data, channels=1) == "needs_window"
        windowed = prepare(data, images(channels=1, window=(30000, 40000)))
        by_reader = by_each_reader(windowed.data, channels=1)
        assert len({array.tobytes() for array in by_reader.values()}) == 1
        kept = prepare(data, images(channels=1, dtype="uint16")).data
        assert np.array_equal(
            by_each_reader(kept, channels=1, dtype="uint16")["opencv"][..., 0], DEEP
        )
    shallow = prepare(encoded(GREY, "PNG"), images(channels=1, dtype="uint16"))
    for array in by_each_reader(shallow.data, channels=1, dtype="uint16").values():
        assert np.array_equal(array[..., 0], GREY)
    import cv2

    colours = cv2.imencode(".png", three(DEEP))[1].tobytes()
    assert code_of(colours) == "unsupported"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(kind, orientation):
    tag = Image.Exif()
    tag[0x112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(RGB, kind, exif=tag, **options)
    with Image.open(io.BytesIO(data)) as image:
        from PIL import ImageOps

        stored = np.asarray(image.convert("RGB"))
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    for choice, pixels in (("apply", upright), ("ignore", stored)):
        found = prepare(data, images(orientation=choice))
        assert found.upright == found.size == pixels.shape[1::-1]
        assert b"Exif" not in found.data
        assert b"eXIf" not in found.data
        for reader, array in by_each_reader(found.data, channels=3).items():
            levels = JPEG_LEVELS if found.data[0] == 0xFF and reader == "as_dataset" else 0
            assert np.abs(array.astype(int) - pixels).max() <= levels, reader


def test_malformed_exif_is_noted():
    data = with_segments(encoded(RGB, "JPEG"), segment(0xE1, b"Exif\0\0" + b"XX" + TOKEN))
    assert prepare(data, images()).notes == ("exif_malformed",)
    assert prepare(data, images(orientation="ignore")).notes == ()
    assert TOKEN not in prepare(data, images()).data


def test_metadata_stay_where_they_are_not_to_be_stripped():
    data = with_segments(encoded(RGB, "JPEG"), segment(0xFE, TOKEN)) + TOKEN
    assert prepare(data, images(), strip=False).data is data
    assert TOKEN not in prepare(data, images()).data
    turned = with_segments(data, segment(0xE1, b"Exif\0\0" + exif(6)))
    assert TOKEN not in prepare(turned, images(), strip=False).data


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_of_another_kind_is_noted(kind):
    data = encoded(GREY, kind)
    for name in ("a.jpg", "a.PNG", "a.tif", "a.webp", "a.bmp", "a.gif", "a.dcm"):
        same = name[2:].lower().replace("jpg", "jpeg").replace("tif", "tiff") == kind
        notes = prepare(data, images(channels=1, alpha="drop", to_grey="luma"), name=name).notes
        assert ("extension_mismatch" in notes) != same
    assert "extension_mismatch" not in prepare(data, images(to_grey="luma"), name="a.001").notes


def test_damaged_jpeg():
    data = encoded(drawn(height=300, width=400), "JPEG", quality=95)
    half = len(data) // 2
    zeros = data[:half] + bytes(4096) + data[half + 4096 :]
    assert code_of(data[:half]) == code_of(data[:half], check="header") == "truncated"
    for damaged in (data[:half] + b"\xff\xd9", zeros):
        assert code_of(damaged) == "corrupt_scan"
        assert prepare(damaged, images(check="header")).data is damaged
        found = prepare(damaged, images(corrupt_scan="write"))
        assert found.notes == ("corrupt_scan", "converted")
        assert is_read_alike(found.data, channels=3)
    assert prepare(data[:half], images(check="none")).data == data[:half]
    assert code_of(b"\xff\xd8\xff\xd9") == "corrupt"


def test_without_the_strict_decoder_jpeg_is_noted(monkeypatch):
    data = encoded(RGB, "JPEG")
    monkeypatch.setattr(image_checks, "_simplejpeg", lambda: None)
    assert prepare(data, images()) == (data, (62, 45), (62, 45), ("not_checked",))
    assert prepare(data, images(check="header")).notes == ()
    assert code_of(data[: len(data) // 2]) == "truncated"


def test_an_eighth_of_the_size_shows_the_same_faults():
    import simplejpeg

    from medical_images.metadata_segments import read_jpeg

    def strict(data: bytes) -> bool:
        try:
            simplejpeg.decode_jpeg(data)
        except ValueError:
            return False
        return True

    bits = np.random.default_rng(0)
    seen = set()
    for data in JPEGS.values():
        parts = read_jpeg(data)
        for _ in range(60):
            damaged = bytearray(data)
            for at in bits.integers(len(data) // 4, len(data), size=bits.integers(3)):
                damaged[at] ^= 1 << bits.integers(8)
            whole = strict(bytes(damaged))
            assert image_checks.is_sound_jpeg(bytes(damaged), parts) == whole
            seen.add(whole)
    assert seen == {True, False}


def save_frames(kind: str, **options) -> bytes:
    first, second = (Image.fromarray(drawn(number)) for number in (1, 2))
    return encoded(first, kind, save_all=True, append_images=[second], **options)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF"])
@pytest.mark.parametrize("check", ["full", "header", "none"])
def test_several_frames_are_refused(kind, check):
    assert code_of(save_frames(kind), check=check) == "multi_frame"


def test_a_smaller_copy_in_tiff_is_no_page():
    import tifffile

    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(RGB, photometric="rgb")
        writer.write(RGB[::4, ::4], photometric="rgb", subfiletype=1)
    found = prepare(file.getvalue(), images())
    assert np.array_equal(by_each_reader(found.data, channels=3)["opencv"], RGB)
    for big in (False, True):
        file = io.BytesIO()
        tifffile.imwrite(file, np.stack([RGB, RGB]), photometric="rgb", bigtiff=big)
        assert code_of(file.getvalue()) == "multi_frame"


def test_of_a_file_with_two_jpeg_images_the_first_is_taken():
    found = prepare(save_frames("MPO"), images())
    assert found.data.count(b"\xff\xd9") == 1
    assert is_read_alike(found.data, channels=3)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"<html>", "not_an_image"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "unsupported"),
        (bytes(344) + b"n+1\0", "unsupported"),
    ],
)
def test_what_is_no_image_is_refused(data, code):
    assert code_of(data, check="none") == code


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_sizes_are_known_before_pixels_are(kind):
    data = encoded(RGB, kind)
    limit = {"max_pixels": 45 * 62 - 1}
    for check in ("full", "header", "none"):
        assert code_of(data, check=check, **limit) == "too_large"
    assert prepare(data, images(max_pixels=45 * 62)).size == (62, 45)


def test_a_header_that_lies_is_too_large():
    jpeg = bytearray(encoded(RGB, "JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 65500, 65500)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 65500, 65500, 8, 2, 0, 0, 0))
    png = encoded(RGB, "PNG")
    for data in (bytes(jpeg), png[:8] + head + png[33:]):
        assert code_of(data) == "too_large"


def test_bombs_take_little_memory():
    peak = run_python(
        """
import struct, zlib
from PIL import Image
from medical_images.errors import ImageError
from medical_images.prepared_image import prepare
from medical_images.spec_images import Images

Image.MAX_IMAGE_PIXELS = None
def chunk(name, content):
    total = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", total)
def png(width, height, packed):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\\x89PNG\\r\\n\\x1a\\n" + head + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
packer = zlib.compressobj(9)
packed = b"".join(packer.compress(bytes(15_001)) for _ in range(15_000)) + packer.flush()
bombs = [png(15_000, 15_000, packed), png(100, 100, packed)]
for bomb, code in zip(bombs, ["too_large", "corrupt"]):
    try:
        prepare(bomb, Images(path="*", channels=1))
    except ImageError as error:
        assert error.code == code, error
    else:
        raise AssertionError
status = open("/proc/self/status").read()
print(len(bombs[0]), int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""
    )
    size, megabytes = map(int, peak.split())
    assert size < 300_000
    assert megabytes < 500


def test_arrays_are_written_as_png():
    for array in (GREY, RGB, GREY[..., None]):
        found = prepare(array, images())
        wanted = array if array.shape[2:] == (3,) else three(array.reshape(GREY.shape))
        for read in by_each_reader(found.data, channels=3).values():
            assert np.array_equal(read, wanted)
        assert found.notes == ()
    assert code_of(DEEP, channels=1) == "needs_window"
    assert code_of(GREY, max_pixels=100) == "too_large"
    assert code_of(np.zeros(5)) == "unsupported"


def test_dicom_is_read_through_its_window():
    import pydicom
    from pydicom.data import get_testdata_file

    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    file = io.BytesIO()
    dataset.save_as(file)
    assert code_of(file.getvalue(), channels=1) == "needs_window"
    found = prepare(file.getvalue(), images(channels=1, window=(40, 400)), name="a.png")
    assert (found.size, found.notes) == ((128, 128), ("extension_mismatch",))
    hounsfield = dataset.pixel_array + float(dataset.RescaleIntercept)
    grey = np.floor(np.clip((hounsfield - 39.5) / 399 + 0.5, 0, 1) * 255 + 0.5)
    for array in by_each_reader(found.data, channels=1).values():
        assert np.array_equal(array[..., 0], grey)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_images_are_resized_only_where_they_are_larger(kind):
    data = encoded(RGB, kind)
    smaller = prepare(data, images(resize={"max_side": 31}))
    assert (smaller.size, smaller.upright) == ((31, 23), (62, 45))
    assert smaller.notes == ()
    assert is_read_alike(smaller.data, channels=3)
    assert prepare(data, images(resize={"max_side": 62})).data is data
    jpeg = prepare(data, images(resize={"max_side": 31, "format": "jpeg"}))
    assert jpeg.data.startswith(b"\xff\xd8")


def test_nothing_of_the_file_is_in_an_error():
    for data in (TOKEN * 9, encoded(RGB, "PNG")[:300] + TOKEN, b"\xff\xd8\xff" + TOKEN):
        with pytest.raises(ImageError) as caught:
            prepare(data, images(), name=f"{TOKEN.decode()}.png")
        assert TOKEN.decode() not in f"{caught.value!r}"


def test_tiles_of_tiff_are_sized_too():
    import tifffile

    file = io.BytesIO()
    tifffile.imwrite(file, RGB, photometric="rgb", tile=(64, 64))
    assert np.array_equal(
        by_each_reader(prepare(file.getvalue(), images()).data, channels=3)["opencv"], RGB
    )
    with tifffile.TiffFile(io.BytesIO(file.getvalue())) as tiff:
        places = [tiff.pages[0].tags[name] for name in ("TileWidth", "TileLength")]
        lie = bytearray(file.getvalue())
        for tag in places:
            lie[tag.valueoffset : tag.valueoffset + 2] = struct.pack("<H", 65488)
    assert code_of(bytes(lie)) == "corrupt"


def test_large_images_are_decoded_where_they_are_accepted(monkeypatch):
    monkeypatch.setattr(image_checks, "_LIMIT_OF_PILLOW", 1000)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for kind in ("tiff", "bmp", "gif"):
        data = encoded(GREY, kind)
        assert prepare(data, images(channels=1, alpha="drop", to_grey="luma")).size == (62, 45)
    assert Image.MAX_IMAGE_PIXELS == 1000
