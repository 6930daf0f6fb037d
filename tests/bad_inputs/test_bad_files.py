"""Cases 1 to 20: image files that are damaged, of other kinds, too large or unusual."""

import pathlib
import re
import resource
import sys

import numpy as np
import pytest
from faults import build_by_command, in_child
from PIL import Image
from pydicom.data import get_testdata_file

from bad_inputs.corpora import LENIENT, OF_DECODERS
from bad_inputs.image_files import (
    animated,
    decoded,
    dicom,
    encoded,
    jpeg,
    jpeg_told_as,
    noise,
    png_of_zeros,
    png_told_as,
    png_with_wrong_crc,
    png_without_end,
)
from bad_inputs.report import case

END = b"\xff\xd9"
MOST, MORE = 500, 64  # megabytes: of a process, and more than where nothing is wrong


def assert_rejected(corpus, rows, **more):
    return corpus.assert_rejected(rows, by_content=True, **more)


def cut_to(data, share):
    return data[: int(len(data) * share)]


@case(1, "JPEG cut at 50 %", "Q truncated")
def test_cut_jpeg(corpus):
    corpus.replace(3, cut_to(jpeg(), 0.5), "jpg")
    assert_rejected(corpus, {"truncated": [3]})


@case(2, "JPEG cut + EOI", "Q corrupt_scan")
def test_cut_jpeg_with_an_end(corpus):
    corpus.replace(3, cut_to(jpeg(), 0.5) + END, "jpg")
    assert_rejected(corpus, {"corrupt_scan": [3]})
    corpus.spec["images"]["corrupt_scan"] = "write"
    accepted = corpus.build(into="accepted", rejects={"max_fraction": 0})
    assert (accepted.status, len(accepted.index())) == (0, 12)


@case(2, "JPEG cut + EOI, no strict decoder", 'listed as "not checked"')
def test_cut_jpeg_without_a_strict_decoder(corpus):
    corpus.replace(3, cut_to(jpeg(), 0.5) + END, "jpg")
    spec, data = corpus.write(), corpus.folder / "data"
    status, said = in_child(build_without_strict_decoder, spec, data)
    result = corpus.outcome(status, "", said, data)
    assert result.status == 0
    assert (result.counts, result.counted()) == ({}, {"not_checked": 1})
    result.assert_adds_up()


def build_without_strict_decoder(spec, data):
    sys.modules["simplejpeg"] = None
    build_by_command(spec, data)


@case(3, "JPEG with 4 KiB zeros", "Q corrupt_scan")
def test_zeros_in_a_jpeg(corpus):
    data = bytearray(jpeg(height=128, width=128))
    assert len(data) > 3 * 4096
    data[len(data) // 2 : len(data) // 2 + 4096] = bytes(4096)
    corpus.replace(3, bytes(data), "jpg")
    assert_rejected(corpus, {"corrupt_scan": [3]})


@case(4, "PNG bad IDAT CRC / no IEND", "Q corrupt")
@pytest.mark.parametrize("damage", [png_with_wrong_crc, png_without_end])
def test_damaged_png(corpus, damage):
    corpus.replace(3, damage(encoded(noise(seed=3))), "png")
    assert_rejected(corpus, {"corrupt": [3]})


@case(5, "zero-byte file", "Q empty")
def test_empty_file(corpus):
    corpus.replace(3, b"", "png")
    corpus.assert_rejected({"empty": [3]})


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 12345\n"


@case(6, "HTML / git-lfs pointer as .jpg", "Q not_an_image, says what it looks like")
def test_other_files(corpus):
    corpus.replace(3, b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "jpg")
    corpus.replace(7, POINTER, "jpg")
    result = assert_rejected(corpus, {"not_an_image": [3, 7]})
    told = " ".join(one["value"] for one in result.rejects)
    assert re.search("(?i)html.*git.?lfs", told), told
    corpus.seen.note(f"listed as {[one['value'] for one in result.rejects]}")


@case(7, "PNG named .jpg", "written; counter extension_mismatch")
def test_png_named_jpg(corpus):
    corpus.replace(3, encoded(noise(seed=3)), "jpg")
    corpus.assert_written(noted={("noted", "extension_mismatch"): 1})
    np.testing.assert_array_equal(corpus.pixels()[3], noise(seed=3))


def build_and_measure(spec, data):
    """Builds, and tells the most memory that this process and its children had."""
    try:
        build_by_command(spec, data)
    finally:
        kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        most = max(resource.getrusage(kind).ru_maxrss for kind in kinds)
        print(f"\npeak: {most // 1024}")


def assert_bounded(corpus, spoil):
    """A build of the spoilt corpus ends well, without the files, and takes hardly more memory."""
    corpus.spec["rejects"] = LENIENT
    peaks = []
    for name in ("calm", "spoilt"):
        status, said = in_child(build_and_measure, corpus.write(), corpus.folder / name)
        assert status == 0, said
        peaks.append(int(re.search(r"peak: (\d+)", said)[1]))
        if name == "calm":
            spoil()
    calm, spoilt = peaks
    corpus.seen.note(f"the process survives; peak RSS {spoilt} MB, {calm} MB without the file")
    assert spoilt < MOST
    assert spoilt - calm < MORE


FRAMES = {"gif": "GIF", "png": "PNG", "webp": "WEBP", "tif": "TIFF"}


@case(8, "animated GIF, APNG, animated WebP, multi-page TIFF", "Q multi_frame; process survives")
def test_several_frames(corpus):
    def spoil():
        for row, (extension, kind) in enumerate(FRAMES.items()):
            corpus.replace(row, animated(kind), extension)
        many = animated("GIF", num_frames=60, height=500, width=500)
        corpus.replace(4, many, "gif")

    assert_bounded(corpus, spoil)
    assert_rejected(corpus, {"multi_frame": [0, 1, 2, 3, 4]})


def kinds_of_files():
    colours = noise(seed=3)
    palette = Image.fromarray(colours).quantize(16)
    return {
        "webp": encoded(colours, "WEBP", lossless=True),
        "bmp": encoded(colours, "BMP"),
        "tif": encoded(colours, "TIFF", compression="tiff_lzw"),
        "gif": encoded(palette, "GIF"),
    }


@case(
    9,
    "static WebP / BMP / TIFF",
    "converted losslessly to PNG by rule, or Q unsupported; never rank 4",
)
@pytest.mark.parametrize("extension", ["webp", "bmp", "tif", "gif"])
def test_other_kinds(corpus, extension):
    data = kinds_of_files()[extension]
    corpus.replace(3, data, extension)
    corpus.assert_written(counted={"converted": 1})
    np.testing.assert_array_equal(corpus.pixels()[3], decoded(data))


@case(9, "BMP with a palette of 8 bits", "as above; TF decodes it to wrong pixels")
def test_bmp_with_a_palette(corpus):
    data = encoded(Image.fromarray(noise(seed=3)).quantize(16), "BMP")
    corpus.replace(3, data, "bmp")
    corpus.assert_written(counted={"converted": 1})
    np.testing.assert_array_equal(corpus.pixels()[3], decoded(data))


@case(10, "219 KB PNG of 15000x15000", "Q too_large, peak RSS < 500 MB")
def test_bomb(corpus):
    bomb = png_of_zeros(15_000, 15_000)
    assert len(bomb) < 250_000
    assert_bounded(corpus, lambda: corpus.replace(3, bomb, "png"))
    assert_rejected(corpus, {"too_large": [3]})


@case(11, "header 65500x65500", "Q too_large before allocation")
def test_headers_of_giants(corpus):
    def spoil():
        corpus.replace(3, jpeg_told_as(65_500, 65_500), "jpg")
        corpus.replace(7, png_told_as(65_500, 65_500), "png")

    assert_bounded(corpus, spoil)
    assert_rejected(corpus, {"too_large": [3, 7]})


def grey_corpus(corpus, **images):
    for path in list(corpus.files):
        seed = int(pathlib.Path(path).stem[-2:])
        corpus.files[path] = encoded(noise(channels=0, seed=seed))
    corpus.spec["images"] |= {"channels": 1, **images}


@case(
    12,
    "16-bit PNG with uint8 feature",
    'REFUSE "set dtype=uint16 or a window"; never high byte',
)
def test_sixteen_bits(corpus):
    grey_corpus(corpus)
    deep = noise(channels=0, seed=3, dtype=np.uint16) >> 4
    corpus.replace(3, encoded(deep), "png")
    refused = corpus.assert_refused(
        "needs_window", "`dtype: uint16`", "`window:`", "line 5", by_content=True
    )
    assert refused.counts == {("rejected", "needs_window"): 1}
    corpus.assert_refused("needs_window", "`window:`", by_content=True, rejects=LENIENT)


@case(12, "16-bit PNG with a window", "mapped to 0 to 255 by the window, not the high byte")
def test_sixteen_bits_and_a_window(corpus):
    grey_corpus(corpus, window=[2048, 1024])
    deep = noise(channels=0, seed=3, dtype=np.uint16) >> 4
    corpus.replace(3, encoded(deep), "png")
    np.testing.assert_array_equal(corpus.pixels()[3][..., 0], window(deep, 2048, 1024))


@case(12, "16-bit PNG with uint16 feature", "all 16 bits kept")
def test_sixteen_bits_declared(corpus):
    grey_corpus(corpus, dtype="uint16")
    deep = noise(channels=0, seed=3, dtype=np.uint16) >> 4
    corpus.replace(3, encoded(deep), "png")
    found = corpus.pixels()[3]
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found[..., 0], deep)


def window(values, center, width):
    """DICOM's linear window, one pixel after the other."""
    low, high = center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2
    shares = ((np.clip(float(value), low, high) - low) / (high - low) for value in values.flat)
    return np.array([int(255 * share + 0.5) for share in shares]).reshape(values.shape)


@case(13, "palette mask", "indices kept for mask; RGB for image")
def test_palette_mask(corpus):
    palette = Image.fromarray(noise(seed=3)).quantize(5)
    corpus.replace(3, encoded(palette), "png")
    indices = [np.random.default_rng(k).integers(0, 3, (16, 16), np.uint8) for k in range(12)]
    for k, row in enumerate(corpus.rows):
        mask = Image.fromarray(indices[k], mode="P")
        mask.putpalette([200, 10, 20, 3, 3, 3, 90, 91, 92])
        corpus.files[f"masks/{row['scan']}.png"] = encoded(mask)
    values = ["skin", "lesion", "hair"]
    corpus.spec["features"]["lesion"] = {
        "type": "mask", "path": "masks/{scan}.png", "values": values,
    }  # fmt: skip
    np.testing.assert_array_equal(corpus.pixels()[3], decoded(encoded(palette)))
    corpus.folder /= "masks"
    masks = corpus.pixels(key="lesion")
    for k in range(12):
        np.testing.assert_array_equal(masks[k].reshape(16, 16), indices[k])


def modes():
    """{what it is: (file, extension)} of images whose colours readers see differently."""
    colours, grey = noise(seed=33), noise(channels=0, seed=33)
    opaque = Image.new("L", (16, 16), 255)
    cmyk = Image.fromarray(noise(seed=5, channels=4), mode="CMYK")
    return {
        "CMYK JPEG": (encoded(cmyk, "JPEG", quality=95), "jpg"),
        "LA": (encoded(Image.merge("LA", [Image.fromarray(grey), opaque])), "png"),
        "RGBA": (encoded(np.dstack([colours, np.full((16, 16), 255, np.uint8)])), "png"),
        "1 bit": (encoded(Image.fromarray(grey > 99)), "png"),
        "palette": (encoded(Image.fromarray(colours).quantize(16)), "png"),
        "grey": (encoded(grey), "png"),
        "grey JPEG": (encoded(grey, "JPEG", quality=95), "jpg"),
    }


def as_modes(corpus, names):
    files = modes()
    for row, name in enumerate(names):
        corpus.replace(row, *files[name])
    return {row: files[name][0] for row, name in enumerate(names)}


@case(
    14,
    "CMYK, LA, RGBA, 1-bit",
    "declared channels in every reader (as_dataset == as_data_source)",
)
def test_modes(corpus):
    files = as_modes(corpus, modes())
    for row, pixels in corpus.pixels(jpegs=[6]).items():
        assert pixels.shape == (16, 16, 3)
        if row in files:
            most = OF_DECODERS if row == 6 else 0
            np.testing.assert_allclose(pixels, decoded(files[row]), atol=most, err_msg=str(row))


@case(14, "LA, 1-bit, grey with one channel", "declared channels in every reader")
def test_modes_of_grey(corpus):
    grey_corpus(corpus)
    files = as_modes(corpus, ["LA", "1 bit", "grey"])
    for row, pixels in corpus.pixels().items():
        assert pixels.shape == (16, 16, 1)
        if row in files:
            np.testing.assert_array_equal(pixels[..., 0], decoded(files[row], "L"))


@case(14, "RGBA that is not opaque", "declared channels in every reader, or Q channels")
def test_alpha(corpus):
    see_through = noise(seed=3, channels=4)
    corpus.replace(3, encoded(see_through), "png")
    assert_rejected(corpus, {"channels": [3]})
    corpus.spec["images"]["channels"] = 4
    corpus.folder /= "four"
    np.testing.assert_array_equal(corpus.pixels()[3], see_through)


@case(15, "EXIF orientation 6", "pixels upright in both readers, EXIF gone")
def test_orientation(corpus):
    exif = Image.Exif()
    exif[0x0112], exif[0x013B] = 6, "surnameQZ03"
    data = jpeg(height=32, width=48, exif=exif)
    corpus.replace(3, data, "jpg")
    upright = np.rot90(decoded(data), -1)
    np.testing.assert_array_equal(corpus.pixels()[3], upright)
    shards = list((corpus.folder / "streamed").rglob("*tfrecord*"))
    assert shards
    assert not any(b"Exif" in shard.read_bytes() for shard in shards)


@case(16, "malformed EXIF", "written, orientation 1, counter")
def test_malformed_exif(corpus):
    data = jpeg()
    broken = b"Exif\0\0II*\0" + b"\xff" * 40
    segment = b"\xff\xe1" + (len(broken) + 2).to_bytes(2) + broken
    corpus.replace(3, data[:2] + segment + data[2:], "jpg")
    corpus.assert_written(noted={("noted", "exif_malformed"): 1})
    found = corpus.pixels(jpegs=[3])[3].astype(int)
    np.testing.assert_allclose(found, decoded(data), atol=OF_DECODERS)


def dicom_corpus(corpus):
    grey_corpus(corpus, window=[2048, 4096])


def good_dicom(**elements):
    return dicom(noise(channels=0, seed=3, dtype=np.uint16) >> 4, **elements)


def of_pydicom(name):
    """A file that is part of pydicom itself."""
    return pathlib.Path(get_testdata_file(name, download=False)).read_bytes()


@case(17, "DICOM truncated pixel data (MR_truncated)", "Q truncated")
def test_truncated_dicom(corpus):
    dicom_corpus(corpus)
    corpus.replace(3, of_pydicom("MR_truncated.dcm"), "dcm")
    corpus.replace(7, good_dicom()[:-100], "dcm")
    assert_rejected(corpus, {"truncated": [3, 7]})


def without_preamble():
    return good_dicom(preamble=False)


def of_bad_vr():
    return of_pydicom("badVR.dcm")


def of_unknown_syntax():
    data, known = good_dicom(), b"1.2.840.10008.1.2.1\0"
    assert data.count(known) == 1
    return data.replace(known, b"1.2.840.10008.1.9.9\0")


def of_two_frames():
    return dicom(noise(channels=16, height=2, dtype=np.uint16))


DICOM = {
    without_preamble: "dicom_no_preamble",
    of_bad_vr: "dicom_unreadable",
    of_unknown_syntax: "dicom_syntax",
    of_two_frames: "dicom_frames",
}


@case(18, "DICOM no preamble / bad VR / unknown syntax / multi-frame", "Q dicom_<reason>")
@pytest.mark.parametrize("make", DICOM)
def test_other_dicom(corpus, make):
    dicom_corpus(corpus)
    corpus.replace(3, make(), "dcm")
    assert_rejected(corpus, {DICOM[make]: [3]})


@case(19, "DICOM BurnedInAnnotation YES", "Q burned_in")
def test_burned_in(corpus):
    dicom_corpus(corpus)
    corpus.replace(3, good_dicom(BurnedInAnnotation="YES"), "dcm")
    assert_rejected(corpus, {"burned_in": [3]})


@case(20, "MONOCHROME1, rescale slope", "same grey meaning as MONOCHROME2 after window")
def test_grey_of_dicom(corpus):
    dicom_corpus(corpus)
    center, width = 2100, 3000
    corpus.spec["images"]["window"] = [center, width]
    even = (noise(channels=0, seed=3, dtype=np.uint16) >> 5) * 2
    assert even.max() < 2 * center
    files = {
        2: dicom(even),
        3: dicom(even // 2, RescaleSlope="2", RescaleIntercept="0"),
        4: dicom(even + 1024, RescaleSlope="1", RescaleIntercept="-1024"),
        5: dicom(2 * center - 1 - even.astype(np.int32), kind="MONOCHROME1"),
    }
    corpus.rows, corpus.files = corpus.rows[:6], dict(list(corpus.files.items())[:6])
    for row, data in files.items():
        corpus.replace(row, data, "dcm")
    found = corpus.pixels()
    expected = window(even, center, width)
    for row in files:
        np.testing.assert_allclose(found[row][..., 0].astype(int), expected, atol=row == 5)
