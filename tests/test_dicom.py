"""DICOM files: what their pixels become, what their headers tell, and what is refused."""

import collections
import contextlib
import io
import logging
import pathlib
import random
import re
import struct
import warnings
import zlib

import numpy as np
import pydicom
import pytest
from dicom_files import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    RLE,
    bytes_of,
    dataset_of,
    dicom_bytes,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut

from medical_images.dicom import headers
from medical_images.dicom.headers import fields_of, frames_of, identifying, is_keyword, size_of
from medical_images.dicom.identifying import FIELDS
from medical_images.dicom.pixels import read_pixels
from medical_images.errors import ImageError
from medical_images.rejects import CODES
from medical_images.spec_images import Images

PIXELS = "pixels"
SAMPLES = pathlib.Path(pydicom.__file__).parent / "data" / "test_files"
GREY_12 = np.arange(0, 4096, 13, dtype="uint16").reshape(4, -1)
GREY_8 = np.arange(96, dtype="uint8").reshape(8, 12)
COLOURS = np.random.default_rng(0).integers(0, 256, (5, 4, 3), "uint8")


def images(**more):
    return Images(path="*.dcm", **{"channels": 1, **more})


def outcome(data, **more):
    frame = more.pop("frame", None)
    try:
        read_pixels(data, images(**more), frame=frame)
    except ImageError as error:
        return error.code
    return PIXELS


def sample(name):
    return (SAMPLES / name).read_bytes()


# What pydicom's own files give with `window: file`; every other one of them gives pixels.
NO_WINDOW = [
    "CT_small",
    "JPEG2000",
    "JPEGLSNearLossless_16",
    "JPGExtended",
    "rtdose_1frame",
    "rtdose_expb_1frame",
    "rtdose_rle_1frame",
]
FRAMES = [
    "SC_rgb_rle_16bit_2frame",
    "SC_rgb_rle_2frame",
    "SC_rgb_rle_32bit_2frame",
    "examples_ybr_color",
    "rtdose",
    "rtdose_expb",
    "rtdose_rle",
]
NO_PIXELS = [
    "ExplVR_BigEndNoMeta",
    "ExplVR_LitEndNoMeta",
    "UN_sequence",
    "empty_charset_LEI",
    "no_meta_group_length",
    "priv_SQ",
    "reportsi",
    "reportsi_with_empty_number_tags",
    "rtplan",
    "rtstruct",
    "test-SR",
    "waveform_ecg",
]
REFUSED = {
    **dict.fromkeys(NO_WINDOW, "dicom_window"),
    **dict.fromkeys(FRAMES, "dicom_frames"),
    **dict.fromkeys(NO_PIXELS, "dicom_no_pixels"),
    "JPEG-lossy": "corrupt",
    "JPEG2000-embedded-sequence-delimiter": "corrupt",
    "MR_truncated": "truncated",
    "rtplan_truncated": "truncated",
    "SC_rgb_rle_16bit": "dicom_pixels",
    "SC_rgb_rle_32bit": "dicom_pixels",
    "meta_missing_tsyntax": "dicom_pixels",
    "nested_priv_SQ": "dicom_pixels",
    "badVR": "dicom_unreadable",
    "no_meta": "dicom_unreadable",
}


def test_every_sample_file_gives_pixels_or_a_known_code():
    found = {
        path.stem: outcome(path.read_bytes(), window="file", preamble="optional")
        for path in SAMPLES.glob("*.dcm")
    }
    assert len(found) > 60
    assert found == {name: REFUSED.get(name, PIXELS) for name in found}
    others = [path for path in SAMPLES.rglob("*") if path.is_file() and path.suffix != ".dcm"]
    for path in others:
        assert outcome(path.read_bytes()) in CODES


@pytest.mark.parametrize(
    "name",
    [
        "693_J2KI",
        "J2K_pixelrep_mismatch",
        "MR_small",
        "MR_small_RLE",
        "MR_small_bigendian",
        "MR_small_implicit",
        "MR_small_jp2klossless",
        "MR_small_jpeg_ls_lossless",
        "examples_overlay",
    ],
)
def test_a_window_of_the_file_gives_what_pydicom_gives(name):
    dataset = pydicom.dcmread(SAMPLES / f"{name}.dcm")
    values = apply_modality_lut(dataset.pixel_array, dataset)
    slope, base = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    span = (1 << dataset.BitsStored) - 1
    low = (-(span + 1) // 2 if dataset.PixelRepresentation else 0) * slope + base
    expected = (apply_voi_lut(values, dataset) - low) / (span * slope) * 255
    found = read_pixels(sample(f"{name}.dcm"), images(window="file"))
    kept = dataset.pixel_array != dataset.get("PixelPaddingValue")
    assert np.abs(found - expected)[kept].max() <= 0.5 + 1e-6
    assert not found[~kept].any()


@pytest.mark.parametrize("name", ["CT_small", "liver_1frame", "JPEGLSNearLossless_08", "image_dfl"])
def test_a_given_window_applies_to_modality_values(name):
    dataset = pydicom.dcmread(SAMPLES / f"{name}.dcm")
    values = apply_modality_lut(dataset.pixel_array, dataset)
    dataset.WindowCenter, dataset.WindowWidth = 100, 300
    dataset.BitsStored, dataset.PixelRepresentation = 8, 0  # 0 to 255 is what pydicom maps to
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    found = read_pixels(sample(f"{name}.dcm"), images(window=(100, 300)))
    padded = pydicom.dcmread(SAMPLES / f"{name}.dcm").pixel_array == dataset.get(
        "PixelPaddingValue"
    )
    assert np.abs(found - apply_voi_lut(values, dataset))[~padded].max() <= 0.5 + 1e-6


@pytest.mark.parametrize(
    "name",
    [
        "examples_rgb_color",
        "SC_rgb_gdcm_KY",
        "SC_rgb_dcmtk_+eb+cr",
        "SC_ybr_full_422_uncompressed",
        "ExplVR_BigEnd",
        "SC_rgb_small_odd_big_endian",
        "SC_rgb_rle",
        "GDCMJ2K_TextGBR",
    ],
)
def test_colours_are_those_of_pydicom(name):
    expected = pydicom.dcmread(SAMPLES / f"{name}.dcm").pixel_array
    np.testing.assert_array_equal(read_pixels(sample(f"{name}.dcm"), images(channels=3)), expected)


# ---- files without loss


@given(
    seed=st.integers(0, 2**32 - 1),
    syntax=st.sampled_from([EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED, RLE]),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kind=st.sampled_from(["grey 8", "grey 16", "colours", "planes"]),
)
@settings(deadline=None, max_examples=60)
def test_pixels_survive_every_transfer_syntax(seed, syntax, shape, kind):
    size = shape if kind.startswith("grey") else (*shape, 3)
    kept = "uint16" if kind == "grey 16" else "uint8"
    array = np.random.default_rng(seed).integers(0, np.iinfo(kept).max, size, kept, endpoint=True)
    photometric = "MONOCHROME2" if kind.startswith("grey") else "RGB"
    data = dicom_bytes(array, kind=photometric, syntax=syntax, planar=kind == "planes")
    found = read_pixels(data, images(dtype=kept) if len(size) == 2 else images(channels=3))
    np.testing.assert_array_equal(found, array)
    assert found.dtype == kept


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_a_file_without_preamble_is_read_if_that_is_optional(syntax):
    data = dicom_bytes(GREY_8, preamble=False, syntax=syntax)
    assert outcome(data) == "dicom_no_preamble"
    np.testing.assert_array_equal(read_pixels(data, images(preamble="optional")), GREY_8)


def test_bits_that_are_not_stored_are_masked():
    overlay = GREY_12 | np.uint16(0x8000)
    found = read_pixels(dicom_bytes(overlay, bits=12), images(dtype="uint16"))
    np.testing.assert_array_equal(found, GREY_12)
    signed = (np.arange(-6, 6, dtype="int16").reshape(3, 4) & 0x0FFF) | 0x7000
    found = read_pixels(dicom_bytes(signed, bits=12, RescaleIntercept=6), images(dtype="uint16"))
    np.testing.assert_array_equal(found.ravel(), np.arange(12))


def test_one_bit_is_black_and_white():
    dataset = dataset_of(np.zeros((2, 8), "uint8"), bits=1)
    dataset.BitsAllocated, dataset.PixelData = 1, bytes([0b00000101, 0b10000000])
    found = read_pixels(bytes_of(dataset), images())
    assert found.tolist() == [[255, 0, 255, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 255]]


# ---- grey meaning


@given(
    seed=st.integers(0, 2**32 - 1),
    bits=st.integers(8, 16),
    window=st.none() | st.tuples(st.integers(0, 4096), st.integers(1, 4096)),
)
@settings(deadline=None, max_examples=60)
def test_monochrome1_means_the_inverse_of_monochrome2(seed, bits, window):
    array = np.random.default_rng(seed).integers(0, 1 << bits, (6, 5), "uint16")
    turned = (1 << bits) - 1 - array
    spec = images(dtype="uint16") if window is None else images(window=window)
    dark = read_pixels(dicom_bytes(array, kind="MONOCHROME1", bits=bits), spec)
    bright = read_pixels(dicom_bytes(turned, bits=bits), spec)
    if window is None:
        np.testing.assert_array_equal(dark, bright)
    else:  # the window lies where the stored values are, so it is turned too
        same = read_pixels(dicom_bytes(array, bits=bits), spec)
        np.testing.assert_array_equal(dark, 255 - same)


def test_monochrome1_is_inverted_before_it_is_rescaled_to_uint16():
    array = np.array([[0, 1, 4095]], "uint16")
    data = dicom_bytes(array, kind="MONOCHROME1", bits=12, RescaleSlope=2, RescaleIntercept=10)
    assert read_pixels(data, images(dtype="uint16")).tolist() == [[8200, 8198, 10]]
    signed = np.array([[-128, 0, 127]], "int8")
    data = dicom_bytes(signed, kind="MONOCHROME1", RescaleSlope=1, RescaleIntercept=128)
    assert read_pixels(data, images(dtype="uint16")).tolist() == [[255, 127, 0]]


def test_eight_bits_of_monochrome1_are_inverted():
    found = read_pixels(dicom_bytes(GREY_8, kind="MONOCHROME1"), images())
    np.testing.assert_array_equal(found, 255 - GREY_8)


def test_a_window_is_of_rescaled_values():
    stored = np.array([[0, 1024, 1064, 3000]], "uint16")
    plain = dicom_bytes(stored.astype("int16") - 1024)
    rescaled = dicom_bytes(stored, bits=12, RescaleSlope="1", RescaleIntercept="-1024")
    spec = images(window=(40, 80))
    np.testing.assert_array_equal(read_pixels(plain, spec), read_pixels(rescaled, spec))
    assert read_pixels(rescaled, spec).tolist() == [[0, 0, 129, 255]]


def test_large_images_are_mapped_as_small_ones():
    whole = np.arange(1 << 17, dtype="uint32").astype("int16").reshape(512, 256)
    fields = {"RescaleSlope": 0.5, "RescaleIntercept": 3}
    large = read_pixels(dicom_bytes(whole, **fields), images(window=(0, 20000)))
    small = [
        read_pixels(dicom_bytes(part, **fields), images(window=(0, 20000)))
        for part in np.split(whole, 4)
    ]
    np.testing.assert_array_equal(large, np.concatenate(small))


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID", None])
def test_functions_of_a_window_give_what_pydicom_gives(function):
    dataset = dataset_of(
        GREY_12, bits=12, WindowCenter=[1500, 3], WindowWidth=[800, 9], VOILUTFunction=function
    )
    expected = apply_voi_lut(GREY_12, dataset) / 4095 * 255
    found = read_pixels(bytes_of(dataset), images(window="file"))
    assert np.abs(found - expected).max() <= 0.5 + 1e-6


def table(entries, *, first=0, bits=16):
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.LUTData = list(entries)
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    return item


def test_lookup_tables_of_modality_and_display():
    dataset = dataset_of(np.array([[0, 5, 6, 7, 9]], "uint8"))
    dataset.ModalityLUTSequence = [table([10, 20, 30], first=5)]
    data = bytes_of(dataset)
    assert read_pixels(data, images(dtype="uint16")).tolist() == [[10, 10, 20, 30, 30]]
    dataset.VOILUTSequence = [table([0, 1023, 512], first=19, bits=10)]
    assert read_pixels(bytes_of(dataset), images(window="file")).tolist() == [[0, 0, 255, 128, 128]]


def test_padding_is_darkest_in_either_kind():
    stored = np.array([[-2000, 0, 100]], "int16")
    for kind, bright in (("MONOCHROME1", 255), ("MONOCHROME2", 0)):
        data = dicom_bytes(stored, kind=kind, PixelPaddingValue=-2000)
        found = read_pixels(data, images(window=(50, 101)))
        assert found[0, 0] == 0
        assert abs(int(found[0, 1]) - bright) <= 1
    data = dicom_bytes(stored, PixelPaddingValue=-2000)
    assert read_pixels(data, images(dtype="uint16")).tolist() == [[0, 0, 100]]
    data = dicom_bytes(stored, PixelPaddingValue=-2000, PixelPaddingRangeLimit=0)
    assert read_pixels(data, images(dtype="uint16")).tolist() == [[0, 0, 100]]


def test_what_stands_for_each_frame_is_taken_from_its_functional_groups():
    def window(center):
        item = Dataset()
        item.WindowCenter, item.WindowWidth = center, 10
        group = Dataset()
        group.FrameVOILUTSequence = [item]
        return group

    scale, shared = Dataset(), Dataset()
    scale.RescaleSlope, scale.RescaleIntercept = 1, -100
    shared.PixelValueTransformationSequence = [scale]
    dataset = dataset_of(
        np.full((2, 1, 3), [90, 100, 110], "uint16"),
        PerFrameFunctionalGroupsSequence=[window(-5), window(14)],
        SharedFunctionalGroupsSequence=[shared],
    )
    found = [read_pixels(bytes_of(dataset), images(window="file"), frame=k) for k in (0, 1)]
    assert [each.tolist() for each in found] == [[[0, 255, 255]], [[0, 0, 28]]]


@pytest.mark.parametrize(
    ("array", "fields", "spec", "code"),
    [
        (GREY_12, {}, {}, "needs_window"),
        (GREY_12, {}, {"window": "file"}, "dicom_window"),
        (GREY_12, {"WindowCenter": 5, "WindowWidth": 0}, {"window": "file"}, "dicom_window"),
        (GREY_12, {"WindowCenter": 5}, {"window": "file"}, "dicom_window"),
        (GREY_8, {"RescaleIntercept": -5}, {}, "needs_window"),
        (GREY_8, {"RescaleIntercept": -5}, {"dtype": "uint16"}, "needs_window"),
        (GREY_8, {"RescaleSlope": "0.3"}, {"dtype": "uint16"}, "needs_window"),
        (GREY_8, {"RescaleSlope": "0"}, {"window": (4, 4)}, "dicom_pixels"),
        (GREY_8.astype("int8"), {}, {}, "needs_window"),
        (GREY_8.astype("int16") - 1, {}, {"dtype": "uint16"}, "needs_window"),
        (GREY_8.astype("uint32") * 10**6, {}, {"dtype": "uint16"}, "needs_window"),
        (GREY_8, {"RescaleSlope": "1", "RescaleIntercept": "0"}, {}, PIXELS),
        (GREY_8, {}, {"window": "file"}, PIXELS),
        (GREY_8.astype("uint16"), {"bits": 8}, {}, PIXELS),
        (GREY_8, {"RescaleSlope": "10"}, {"dtype": "uint16"}, PIXELS),
    ],
)
def test_what_needs_a_window(array, fields, spec, code):
    assert outcome(dicom_bytes(array, **fields), **spec) == code


# ---- colours


def palette(bits, *, syntax=EXPLICIT, scale=1, segmented=False):
    dataset = dataset_of(np.array([[0, 3, 4, 5, 9]], "uint8"), kind="PALETTE COLOR", syntax=syntax)
    for place, colour in enumerate(("Red", "Green", "Blue")):
        name = f"{colour}PaletteColorLookupTable"
        entries = [(10 * place + k) * scale for k in (1, 2, 3)]
        setattr(dataset, f"{name}Descriptor", [3, 3, bits])
        if segmented:
            entries = [0, 1, entries[0], 1, 2, entries[2]]
        code = "B" if bits == 8 else "<H" if syntax != BIG_ENDIAN else ">H"
        data = b"".join(struct.pack(code, entry) for entry in entries)
        setattr(dataset, f"{'Segmented' * segmented}{name}Data", data + b"\0" * (len(data) % 2))
    return dataset


@pytest.mark.parametrize(
    "dataset",
    [
        palette(8),
        palette(16),
        palette(16, scale=257),
        palette(16, syntax=BIG_ENDIAN, scale=257),
        palette(16, scale=257, segmented=True),
        palette(8, segmented=True),
    ],
    ids=["8 bits", "8 bits said to be 16", "16 bits", "big endian", "segments", "segments of 8"],
)
def test_palettes_of_8_and_16_bits_give_the_same_colours(dataset):
    found = read_pixels(bytes_of(dataset), images(channels=3))
    assert found[0].tolist() == [
        [1, 11, 21],
        [1, 11, 21],
        [2, 12, 22],
        [3, 13, 23],
        [3, 13, 23],
    ]


def test_a_palette_gives_what_pydicom_gives():
    dataset = pydicom.dcmread(SAMPLES / "examples_palette.dcm")
    wide = apply_color_lut(dataset.pixel_array, dataset).astype(float)
    found = read_pixels(sample("examples_palette.dcm"), images(channels=3))
    assert np.abs(found - wide / 257).max() <= 0.5


def test_a_palette_may_have_more_entries_than_its_colours_have_values():
    dataset = dataset_of(np.array([[0, 299]], "uint16"), kind="PALETTE COLOR")
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [300, 0, 8])
        entries = bytes(k // 2 for k in range(300))
        setattr(dataset, f"{colour}PaletteColorLookupTableData", entries)
    found = read_pixels(bytes_of(dataset), images(channels=3))
    assert found[0].tolist() == [[0, 0, 0], [149, 149, 149]]


def test_colours_have_no_window():
    found = read_pixels(dicom_bytes(COLOURS, kind="RGB"), images(channels=3, window=(5, 9)))
    np.testing.assert_array_equal(found, COLOURS)


# ---- what is refused


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"PixelData": None}, "dicom_no_pixels"),
        ({"BurnedInAnnotation": "YES"}, "burned_in"),
        ({"BurnedInAnnotation": " yes "}, "burned_in"),
        ({"BurnedInAnnotation": "NO"}, PIXELS),
        ({"NumberOfFrames": 2}, "dicom_frames"),
        ({"NumberOfFrames": 0}, PIXELS),
        ({"Rows": 9}, "truncated"),
        ({"Rows": 65535, "Columns": 65535}, "too_large"),
        ({"Rows": None}, "dicom_pixels"),
        ({"Columns": 0}, "dicom_pixels"),
        ({"BitsStored": 9}, "dicom_pixels"),
        ({"HighBit": 3}, "dicom_pixels"),
        ({"PixelRepresentation": None}, "dicom_pixels"),
        ({"SamplesPerPixel": 4}, "dicom_pixels"),
        ({"PhotometricInterpretation": "HSV"}, "dicom_pixels"),
        ({"PhotometricInterpretation": "RGB"}, "dicom_pixels"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "dicom_pixels"),
        ({"PhotometricInterpretation": " monochrome2 "}, PIXELS),
    ],
    ids=str,
)
def test_headers_that_are_refused(fields, code):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert outcome(dicom_bytes(GREY_8, **fields)) == code


def test_burned_in_text_is_written_where_the_spec_says_so():
    data = dicom_bytes(GREY_8, BurnedInAnnotation="YES")
    assert outcome(data, burned_in="write") == PIXELS


def test_each_frame_is_read_by_itself():
    frames = np.arange(24, dtype="uint8").reshape(3, 2, 4)
    for syntax in (EXPLICIT, RLE):
        data = dicom_bytes(frames, syntax=syntax)
        assert outcome(data) == "dicom_frames"
        assert outcome(data, frame=3) == "dicom_frames"
        for index in range(3):
            found = read_pixels(data, images(), frame=index)
            np.testing.assert_array_equal(found, frames[index])
    assert outcome(dicom_bytes(frames, NumberOfFrames=4), frame=0) == "truncated"
    assert outcome(dicom_bytes(GREY_8), frame=0) == PIXELS


def test_a_file_is_parsed_once_for_all_its_frames(monkeypatch):
    """Or the time of a long film would grow with the square of its length."""
    parsed = []
    read = headers.read_dataset
    monkeypatch.setattr(
        "medical_images.dicom.pixels.read_dataset",
        lambda file: (parsed.append(file), read(file))[1],
    )
    stack = np.arange(24, dtype="uint8").reshape(3, 2, 4)
    films = [dicom_bytes(stack + more) for more in (0, 100)]
    for film, more in zip(films, (0, 100), strict=True):
        for index in (2, 0, 1):
            found = read_pixels(film, images(), frame=index)
            np.testing.assert_array_equal(found, stack[index] + more)
    assert len(parsed) == 2
    np.testing.assert_array_equal(read_pixels(films[0], images(), frame=1), stack[1])
    assert outcome(films[1]) == "dicom_frames"


def test_an_unknown_transfer_syntax_is_named():
    for name in ("1.2.840.10008.1.2.4.100", "1.2.3.4.5"):  # MPEG2, and nobody's
        dataset = dataset_of(GREY_8)
        data = bytes_of(dataset).replace(
            struct.pack("<HH2sH", 2, 0x10, b"UI", 20) + b"1.2.840.10008.1.2.1\0",
            struct.pack("<HH2sH", 2, 0x10, b"UI", len(name) + len(name) % 2)
            + name.encode().ljust(len(name) + len(name) % 2, b"\0"),
        )
        with pytest.raises(ImageError, match=re.escape(f"dicom_syntax: {name}")):
            read_pixels(data, images())


def test_coded_pixels_need_the_name_of_their_syntax():
    data = dicom_bytes(GREY_8, syntax=RLE, preamble=False)
    assert outcome(data, preamble="optional") == "dicom_syntax"


def test_a_field_of_unknown_kind_is_taken_as_the_dictionary_says():
    data = dicom_bytes(GREY_8)
    rows = struct.pack("<HH2s", 0x28, 0x10, b"US")
    assert data.count(rows) == 1
    np.testing.assert_array_equal(
        read_pixels(data.replace(rows, rows[:4] + b"QQ"), images()), GREY_8
    )
    assert outcome(data.replace(rows, rows[:4] + b"DS")) == "dicom_pixels"


def test_a_cut_file_is_truncated_wherever_it_is_cut():
    data = dicom_bytes(GREY_8, syntax=RLE)
    header = data.index(struct.pack("<HH", 0x7FE0, 0x10))
    found = collections.Counter(outcome(data[:end]) for end in range(400, len(data) - 8))
    assert set(found) == {"truncated", "dicom_no_pixels"}
    assert all(outcome(data[:end]) == "truncated" for end in range(header + 12, len(data) - 8))


@pytest.mark.parametrize(
    "name", ["MR_small_jp2klossless", "MR_small_jpeg_ls_lossless", "SC_rgb_jpeg_dcmtk"]
)
def test_coded_pixels_that_are_not_as_the_header_tells(name):
    dataset = pydicom.dcmread(SAMPLES / f"{name}.dcm")
    spec = {"window": "file"}
    coded = pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1)

    def of(frame):
        dataset.PixelData = pydicom.encaps.encapsulate([frame])
        return outcome(bytes_of(dataset), **spec)

    assert of(coded) == PIXELS
    assert of(coded[: len(coded) // 2]) == "truncated"
    assert of(b"\0" * 50) == "corrupt"
    dataset.Rows += 1
    assert of(coded) == "corrupt"


def test_a_huge_coded_image_is_not_decoded():
    data = sample("MR_small_jp2klossless.dcm")
    start = data.index(b"\xff\x4f\xff\x51") + 8
    assert outcome(data[:start] + struct.pack(">2L", 60000, 60000) + data[start + 8 :]) == "corrupt"


def test_deflated_fields_are_not_inflated_without_limit(monkeypatch):
    data = bytes_of(dataset_of(np.zeros((1000, 1000), "uint8"), syntax=DEFLATED))
    assert len(data) < 10_000
    assert outcome(data) == PIXELS
    monkeypatch.setattr(headers, "_MAX_INFLATED", 999_999)
    assert outcome(data) == "too_large"


def test_deflated_fields_are_looked_at_wherever_they_begin(monkeypatch):
    monkeypatch.setattr(headers, "_MAX_INFLATED", 1 << 24)
    data = bytes_of(dataset_of(np.zeros((2, 2), "uint8"), syntax=DEFLATED))
    start = 144 + int.from_bytes(data[140:144], "little")
    long = struct.pack("<HH2sHL", 2, 1, b"OB", 0, 5000) + bytes(5000)
    head = data[:140] + struct.pack("<L", 7) + long + data[144:start]  # and of another length
    assert outcome(head + data[start:]) == PIXELS
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = head + deflater.compress(bytes((1 << 24) + 9999)) + deflater.flush()
    assert len(bomb) < 30_000
    assert outcome(bomb) == "too_large"
    for read in (size_of, frames_of, lambda file: fields_of(file, ["Modality"])):
        with pytest.raises(ImageError, match="too_large"):
            read(io.BytesIO(bomb))
    assert outcome(head + b"\xff" * 99) == "dicom_unreadable"


def test_floats_are_mapped_by_a_window():
    dataset = dataset_of(np.zeros((1, 3), "uint32"), PixelData=None)
    dataset.FloatPixelData = np.array([0, 0.5, 1], "<f4").tobytes()
    data = bytes_of(dataset)
    assert read_pixels(data, images(window=(1, 2))).tolist() == [[0, 128, 255]]
    assert outcome(data, dtype="uint16") == outcome(data) == "needs_window"


def test_no_bytes_do_more_than_be_refused(capfd):
    """Mutations of small files; also: nothing is printed, warned or logged."""
    chance = random.Random(0)
    originals = [path.read_bytes() for path in sorted(SAMPLES.glob("*.dcm"))]
    originals = [data for data in originals if len(data) < 16_000]
    specs = [images(window="file"), images(window=(40, 400)), images(dtype="uint16")]
    seen = collections.Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(800):
            data = bytearray(chance.choice(originals))
            for _ in range(chance.randrange(1, 5)):
                place = chance.randrange(len(data))
                width = chance.choice([1, 2, 4, 40])
                data[place : place + width] = chance.choice(
                    [b"\xff" * width, b"\0" * width, chance.randbytes(width), b""]
                )
            if chance.random() < 0.3:
                del data[chance.randrange(len(data)) :]
            for read in (
                lambda data: read_pixels(
                    data, chance.choice(specs), frame=chance.choice([None, 0])
                ),
                lambda data: fields_of(io.BytesIO(data), ["PatientName", "StudyDate", "Rows"]),
                lambda data: frames_of(io.BytesIO(data)),
                lambda data: size_of(io.BytesIO(data)),
            ):
                try:
                    read(bytes(data))
                    seen[PIXELS] += 1
                except ImageError as error:
                    seen[error.code] += 1
    assert set(seen) <= {PIXELS, *CODES}
    assert len(seen) > 6
    assert capfd.readouterr() == ("", "")


def test_deep_sequences_are_refused():
    item = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    nested = (struct.pack("<HH2sHL", 8, 0x1140, b"SQ", 0, 0xFFFFFFFF) + item) * 5000
    assert outcome(dicom_bytes(GREY_8)[:400] + nested) in ("dicom_unreadable", "truncated")


# ---- headers


def header_of(**fields):
    return io.BytesIO(dicom_bytes(GREY_8, **fields))


def test_fields_are_told_as_they_are_written():
    file = header_of(
        PatientName="Müller^Jörg",
        SpecificCharacterSet="ISO_IR 100",
        PatientAge="045Y",
        StudyDate="20240131",
        StudyTime="101112.5",
        PixelSpacing=["0.50", "1e-1"],
        ImageType=["ORIGINAL", "PRIMARY"],
        StudyDescription="",
        RequestAttributesSequence=[Dataset()],
        SliceThickness="1.500",
        SmallestImagePixelValue=3,
    )
    names = [
        "PatientName",
        "PatientAge",
        "StudyDate",
        "StudyTime",
        "PixelSpacing",
        "ImageType",
        "StudyDescription",
        "RequestAttributesSequence",
        "SliceThickness",
        "SmallestImagePixelValue",
        "Rows",
        "BodyPartExamined",
        "TransferSyntaxUID",
    ]
    assert list(fields_of(file, names).values()) == [
        "Müller^Jörg",
        "045Y",
        "20240131",
        "101112.5",
        "0.50\\1e-1",
        "ORIGINAL\\PRIMARY",
        "",
        "",
        "1.500",
        "3",
        "8",
        "",
        "1.2.840.10008.1.2.1",
    ]


def test_fields_are_the_same_in_every_syntax():
    names = ["PatientID", "PixelSpacing", "Rows", "InstitutionName"]
    fields = {"PixelSpacing": ["1.0", "2.0"], "InstitutionName": "St. Anna"}
    expected = ["P0001", "1.0\\2.0", "8", "St. Anna"]
    for syntax in (IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED, RLE):
        assert list(fields_of(header_of(syntax=syntax, **fields), names).values()) == expected
    for syntax in (IMPLICIT, EXPLICIT):
        file = header_of(syntax=syntax, preamble=False, **fields)
        assert list(fields_of(file, names).values()) == expected


def test_size_and_frames():
    assert size_of(header_of()) == (12, 8)
    assert frames_of(header_of()) == 1
    assert frames_of(io.BytesIO(dicom_bytes(np.zeros((3, 2, 4), "uint8")))) == 3
    with pytest.raises(ImageError, match="dicom_no_pixels"):
        size_of(header_of(Rows=None))
    for data in (b"", b"<html>", b"\0" * 200):
        with pytest.raises(ImageError, match="dicom_unreadable"):
            size_of(io.BytesIO(data))


def test_pixels_are_not_needed_for_fields():
    data = dicom_bytes(GREY_8)
    cut = data[: data.index(struct.pack("<HH", 0x7FE0, 0x10)) + 12]
    assert fields_of(io.BytesIO(cut), ["PatientID"]) == {"PatientID": "P0001"}


def test_errors_of_storage_are_not_those_of_the_file():
    class Broken(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > 200:
                raise OSError(5, "Input/output error")
            return super().read(size)

    with pytest.raises(OSError, match="Input/output"):
        fields_of(Broken(dicom_bytes(GREY_8)), ["Rows"])


def test_nothing_of_a_patient_is_warned_or_logged(caplog):
    data = dicom_bytes(GREY_8).replace(b"P0001", b"\xff\xfe\xfd\xfc\xfb")
    broken = data.replace(
        struct.pack("<HH2s", 0x10, 0x20, b"LO"), struct.pack("<HH2s", 0x10, 0x20, b"IS")
    )
    filters, passed_on = list(warnings.filters), logging.getLogger("pydicom").propagate
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for each in (data, broken, data[:600]):
            outcome(each)
            with contextlib.suppress(ImageError):
                fields_of(io.BytesIO(each), ["PatientID", "PatientName"])
    assert not caplog.records
    assert (warnings.filters, logging.getLogger("pydicom").propagate) == (filters, passed_on)


def test_keywords():
    known = ["PatientID", "Rows", "PixelSpacing", "TransferSyntaxUID", "StudyTime"]
    assert all(map(is_keyword, known))
    assert not any(map(is_keyword, ["PatientId", "", "PixelData", "RequestAttributesSequence"]))
    assert all(map(is_keyword, FIELDS))
    with pytest.raises(ValueError, match="PatientId"):
        fields_of(header_of(), ["PatientId"])


def test_fields_that_identify():
    direct = [
        "PatientID",
        "PatientName",
        "PatientBirthDate",
        "PatientAddress",
        "AccessionNumber",
        "StudyDate",
        "InstitutionName",
        "InstitutionAddress",
        "ReferringPhysicianName",
        "OperatorsName",
        "StudyInstanceUID",
        "SOPInstanceUID",
        "StationName",
        "DeviceSerialNumber",
        "AcquisitionDateTime",
        "GPSLatitude",
    ]
    assert all(map(identifying, direct))
    shared = [
        "PatientAge",
        "PatientSex",
        "Modality",
        "SOPClassUID",
        "TransferSyntaxUID",
        "Rows",
        "PixelSpacing",
        "BodyPartExamined",
        "Manufacturer",
        "KVP",
        "StudyDescription",
        "NotAKeyword",
    ]
    assert not any(map(identifying, shared))
