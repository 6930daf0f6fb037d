"""Masks keep their indices, or are refused."""

import io
import struct
import zlib

import hypothesis.extra.numpy as hnp
import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_files import grey_tiff, png
from PIL import Image
from strategies import FEW, MANY

from medical_images.errors import ImageError
from medical_images.masks import empty_mask, mask_of_file, mask_of_files, mask_of_runs
from medical_images.pixels import encode_png
from medical_images.spec_masks import MaskFeature

INDICES = np.array([[0, 1, 2, 3], [3, 2, 1, 0]], np.uint8)
GREY = Image.fromarray(INDICES)
FRAMES = {"save_all": True, "append_images": [Image.new("L", (4, 2), 9)]}
SIDEWAYS = struct.pack("<2sHIHHHIIHH", b"II", 42, 8, 1, 274, 3, 1, 6, 0, 0)
PALETTE = bytes([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])


def feature(**keys):
    return MaskFeature(type="mask", path="{id}_mask.png", **keys)


def runs(**keys):
    top = {name: keys.pop(name) for name in ("absent", "missing") if name in keys}
    return MaskFeature(type="mask", runs={"column": "rle", **keys}, **top)


def file_of(image, kind="PNG", **keys):
    file = io.BytesIO()
    image.save(file, kind, **keys)
    return file.getvalue()


def palette_image(indices=INDICES):
    image = Image.frombytes("P", indices.shape[::-1], indices.tobytes())
    image.putpalette(PALETTE)
    return image


def fault_of(call, *args, code="mask_unreadable", **keys):
    with pytest.raises(ImageError) as caught:
        call(*args, **keys)
    assert caught.value.code == code
    return caught.value.detail


class TestFiles:
    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "GIF", "BMP"])
    def test_indices_of_a_palette_are_kept(self, kind):
        mask = mask_of_file(file_of(palette_image(), kind), feature())
        assert mask.dtype == np.uint8
        assert mask.tolist() == INDICES.tolist()

    @pytest.mark.parametrize("kind", [0, 3], ids=["grey", "palette"])
    @pytest.mark.parametrize(
        ("bits", "row", "width", "indices"),
        [
            (1, b"\x50", 4, [0, 1, 0, 1]),
            (2, b"\x1b", 4, [0, 1, 2, 3]),
            (4, b"\x01\x2f", 4, [0, 1, 2, 15]),
            (8, b"\x00\x01\xff", 3, [0, 1, 255]),
        ],
    )
    def test_few_bits_are_numbers_as_they_stand(self, kind, bits, row, width, indices):
        chunks = [(b"PLTE", bytes(768 >> (8 - bits)))] if kind == 3 else []
        data = png(bits=bits, kind=kind, rows=[row], width=width, chunks=chunks)
        assert mask_of_file(data, feature()).tolist() == [indices]

    @pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
    def test_tiff_of_any_depth(self, compression):
        for dtype in ("uint8", "uint16", "int32", "float32"):
            data = file_of(Image.fromarray(INDICES.astype(dtype)), "TIFF", compression=compression)
            assert mask_of_file(data, feature()).tolist() == INDICES.tolist()

    def test_one_bit_is_0_and_1(self):
        image = Image.fromarray(INDICES > 1)
        for kind in ("PNG", "TIFF", "BMP"):
            assert (
                mask_of_file(file_of(image, kind), feature()).tolist()
                == (INDICES > 1).astype(int).tolist()
            )

    def test_tiff_whose_zero_is_white(self):
        keys = {"width": 2, "white_is_zero": True}
        white = grey_tiff(bits=1, rows=[b"\x40"], **keys)
        assert mask_of_file(white, feature()).tolist() == [[1, 0]]
        for bits, row in ((4, b"\x1f"), (8, b"\0\1"), (16, b"\0\1\2\3")):
            data = grey_tiff(bits=bits, rows=[row], **keys)
            assert "0 is white" in fault_of(mask_of_file, data, feature())

    @pytest.mark.parametrize("mode", ["LA", "RGB", "RGBA"])
    def test_grey_in_several_channels(self, mode):
        image = Image.fromarray(INDICES).convert(mode)
        assert mask_of_file(file_of(image), feature()).tolist() == INDICES.tolist()

    def test_16_bits_beyond_255(self):
        data = file_of(Image.fromarray(np.array([[0, 300]], np.uint16)))
        assert "300" in fault_of(mask_of_file, data, feature())
        assert mask_of_file(data, feature(map={300: 2})).tolist() == [[0, 2]]

    def test_undeclared_indices_are_named(self):
        data = file_of(Image.fromarray(np.array([[0, 1, 7, 255]], np.uint8)))
        detail = fault_of(mask_of_file, data, feature(values=["skin", "lesion"]))
        assert "7, 255" in detail
        known = feature(values=["skin", "lesion"], map={255: 1, "7": 0})
        assert mask_of_file(data, known).tolist() == [[0, 1, 0, 1]]

    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("JPEG", file_of(GREY, "JPEG")),
            ("JPEG", file_of(GREY, "TIFF", compression="jpeg")),
            ("PNG, TIFF", file_of(GREY, "WEBP", lossless=True)),
            ("PNG, TIFF", b"<html>"),
            ("PNG, TIFF", b""),
            ("coloured", file_of(Image.new("RGB", (2, 2), (0, 1, 0)))),
            ("opaque", file_of(Image.new("RGBA", (2, 2), (1, 1, 1, 0)))),
            ("opaque", file_of(Image.new("LA", (2, 2), (1, 254)))),
            ("kind CMYK", file_of(Image.new("CMYK", (2, 2)), "TIFF")),
            ("whole", file_of(Image.new("F", (2, 2), 0.5), "TIFF")),
            ("whole", file_of(Image.new("I", (2, 2), -1), "TIFF")),
            ("16 bits", png(bits=16, kind=2, rows=[bytes(6)], width=1)),
            ("multi_frame", file_of(GREY, "GIF", **FRAMES)),
            ("multi_frame", file_of(GREY, "PNG", **FRAMES)),
            ("multi_frame", file_of(GREY, "TIFF", **FRAMES)),
            ("upright", file_of(GREY, exif=SIDEWAYS)),
            ("missing", file_of(GREY)[:-12]),
            ("", file_of(GREY)[:50]),
        ],
    )  # fmt: skip
    def test_what_is_refused(self, name, data):
        assert name in fault_of(mask_of_file, data, feature())

    def test_too_many_pixels_are_refused_before_they_take_memory(self):
        data = png(bits=1, kind=0, rows=[b"\0"], width=8)
        assert mask_of_file(data, feature(), max_pixels=8).shape == (1, 8)
        assert "8 x 1" in fault_of(mask_of_file, data, feature(), max_pixels=7)
        vast = struct.pack(">II", 60_000, 60_000).join(data.split(struct.pack(">II", 8, 1)))
        start = vast.index(b"IHDR")
        check = struct.pack(">I", zlib.crc32(vast[start : start + 17]))
        vast = vast[: start + 17] + check + vast[start + 21 :]
        assert "too_large" in fault_of(mask_of_file, vast, feature())

    def test_a_damaged_sum_is_found(self):
        data = bytearray(file_of(Image.fromarray(INDICES)))
        data[data.index(b"IDAT") + 6] ^= 1
        fault_of(mask_of_file, bytes(data), feature())

    @MANY
    @given(st.data())
    def test_whatever_the_bytes_only_one_error_is_raised(self, data):
        source = file_of(palette_image(), data.draw(st.sampled_from(["PNG", "TIFF", "GIF", "BMP"])))
        damaged = bytearray(source[: data.draw(st.integers(1, len(source)))])
        for _ in range(data.draw(st.integers(0, 4))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        try:
            mask = mask_of_file(bytes(damaged), feature(), max_pixels=10_000)
            told = ("mask_unreadable", mask.dtype, mask.ndim)
        except ImageError as error:
            told = (error.code, np.uint8, 2)
        assert told == ("mask_unreadable", np.uint8, 2)

    @given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)))
    def test_what_is_written_is_read(self, mask):
        np.testing.assert_array_equal(mask_of_file(encode_png(mask), feature()), mask)

    def test_arrays(self):
        assert mask_of_file(INDICES.astype(float), feature()).tolist() == INDICES.tolist()
        for array in (np.zeros(3), np.zeros((2, 2, 1)), np.zeros((0, 2)), np.array([["a"]])):
            fault_of(mask_of_file, array, feature())
        for value in (np.nan, np.inf, -1, 65536, 1 << 40, 0.5):
            assert "whole" in fault_of(mask_of_file, np.array([[0, value]]), feature())


LEFT, RIGHT = np.array([[0, 0, 7, 7]], np.uint8), np.array([[255, 0, 0, 0]], np.uint8)


class TestSeveralFiles:
    """One mask of which each object, or each class, has a file of its own."""

    PATHS = ("left/{id}.png", "right/{id}.png", "{id}_more.png")

    def several(self, **keys):
        return MaskFeature(type="mask", path=list(self.PATHS), **keys)

    def test_objects_have_the_numbers_of_their_files(self):
        mask = mask_of_files([LEFT, file_of(Image.fromarray(RIGHT)), None], self.several())
        assert mask.dtype == np.uint8
        assert mask.tolist() == [[2, 0, 1, 1]]
        assert mask_of_files([None, None, RIGHT], self.several()).tolist() == [[3, 0, 0, 0]]
        assert mask_of_files([None] * 3, self.several()) is None

    def test_indices_of_all_files_hold(self):
        union = self.several(files="union", map={255: 1, 7: 2}, values=["skin", "hair", "mole"])
        assert mask_of_files([LEFT, RIGHT, RIGHT], union).tolist() == [[1, 0, 2, 2]]
        assert "9" in fault_of(mask_of_files, [LEFT, LEFT + 2, None], union)

    def test_one_path_keeps_its_indices(self):
        assert mask_of_files([INDICES], feature()).tolist() == INDICES.tolist()

    @pytest.mark.parametrize(
        ("files", "keys", "code", "name"),
        [
            ([LEFT, LEFT], {}, "mask_unreadable", "same pixels"),
            ([LEFT, LEFT + 1], {"files": "union"}, "mask_unreadable", "same pixels"),
            ([LEFT, INDICES], {}, "mask_unreadable", "1, 2, 3"),
            ([LEFT, RIGHT[:, :3]], {}, "mask_size", "4 x 1 and 3 x 1"),
            ([LEFT, b"<html>"], {}, "mask_unreadable", "PNG, TIFF"),
        ],
    )
    def test_what_is_refused(self, files, keys, code, name):
        assert name in fault_of(mask_of_files, files, self.several(**keys), code=code)

    @pytest.mark.parametrize("files", ["numbered", "union"])
    @given(st.data())
    def test_only_one_error_and_no_index_out_of_nowhere(self, files, data):
        some = st.none() | hnp.arrays(np.uint8, (2, 2), elements=st.sampled_from([0, 0, 1, 2]))
        drawn_files = data.draw(st.lists(some, min_size=3, max_size=3))
        try:
            mask, code = mask_of_files(drawn_files, self.several(files=files)), None
        except ImageError as error:
            mask, code = None, error.code
        assert code in (None, "mask_unreadable")
        if code is not None:
            return
        present = [(k, f) for k, f in enumerate(drawn_files, 1) if f is not None]
        assert (mask is None) == (not present)
        for number, file in present:
            told = np.where(file, number, 0) if files == "numbered" else file
            np.testing.assert_array_equal(mask[file != 0], told[file != 0])
        assert mask is None or (mask[np.all([f == 0 for _, f in present], axis=0)] == 0).all()


def drawn(cells, *, size, order, start, relative):
    """The mask of runs, pixel by pixel."""
    width, height = size
    mask = [[0] * width for _ in range(height)]
    for cell in cells:
        numbers, end = [int(word) for word in cell.split()], start
        for first, length in zip(numbers[::2], numbers[1::2], strict=True):
            begin = (end + first - (start if end == start else 0)) if relative else first
            for number in range(begin - start, begin - start + length):
                if order == "columns":
                    mask[number % height][number // height] = 1
                else:
                    mask[number // width][number % width] = 1
            end = begin + length
    return mask


class TestRuns:
    @pytest.mark.parametrize(
        ("keys", "cells", "expected"),
        [
            # Kaggle's (Airbus, TGS): the first pixel is 1, down the columns
            ({}, ["1 2 6 1"], [[1, 0], [1, 0], [0, 1]]),
            ({}, ["1 1", "5 2"], [[1, 0], [0, 1], [0, 1]]),
            ({}, ["1 3 4 3"], [[1, 1]] * 3),
            ({"start": 0}, ["0 1 5 1"], [[1, 0], [0, 0], [0, 1]]),
            ({"order": "rows"}, ["2 3"], [[0, 1], [1, 1], [0, 0]]),
            # SIIM-ACR: each start is told from the end of the run before
            ({"start": 0, "relative": True}, ["1 1 1 2"], [[0, 1], [1, 1], [0, 0]]),
            ({"start": 0, "relative": True, "none": ["-1"]}, ["-1"], [[0, 0]] * 3),
            ({"none": ["-1"]}, ["-1", "1 1"], [[1, 0], [0, 0], [0, 0]]),
            ({"none": ["-1"]}, ["", "1 1"], [[1, 0], [0, 0], [0, 0]]),
        ],
    )
    def test_known_cells(self, keys, cells, expected):
        mask = mask_of_runs(cells, runs(**keys), (2, 3))
        assert mask.dtype == np.uint8
        assert mask.flags.c_contiguous
        assert mask.tolist() == expected

    def test_siim_acr_as_its_own_code_draws_it(self):
        def rle2mask(rle, width, height):  # the competition's mask_functions.py
            mask = np.zeros(width * height)
            array = np.asarray([int(x) for x in rle.split()])
            position = 0
            for start, length in zip(array[0::2], array[1::2], strict=True):
                position += start
                mask[position : position + length] = 255
                position += length
            return mask.reshape(width, height)

        rle = "557374 2 1015 8 1009 14 1003 20 991 32 980 42 966 55"
        siim = runs(start=0, relative=True, none=["-1"], size=[1024, 1024])
        mask = mask_of_runs([rle], siim, (1024, 1024))
        np.testing.assert_array_equal(mask * 255, rle2mask(rle, 1024, 1024).T)
        assert fault_of(mask_of_runs, [rle], siim, (1024, 512), code="mask_size")

    @FEW
    @given(st.data())
    def test_runs_are_drawn_as_pixel_by_pixel(self, data):
        size = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
        order = data.draw(st.sampled_from(["columns", "rows"]))
        start, relative = data.draw(st.integers(0, 1)), data.draw(st.booleans())
        cells = []
        for _ in range(data.draw(st.integers(1, 3))):
            edges = st.lists(st.integers(0, size[0] * size[1]), min_size=2, max_size=8, unique=True)
            bounds = sorted(data.draw(edges))
            bounds = bounds[: len(bounds) // 2 * 2]
            words, end = [], None
            for begin, stop in zip(bounds[::2], bounds[1::2], strict=True):
                first = begin - end if relative and end is not None else begin + start
                words += [first, stop - begin]
                end = stop
            cells.append(" ".join(map(str, words)))
        keys = {"order": order, "start": start, "relative": relative}
        expected = drawn(cells, size=size, **keys)
        assert mask_of_runs(cells, runs(**keys), size).tolist() == expected

    @pytest.mark.parametrize(
        ("cell", "name"),
        [
            ("1", "pairs"),
            ("1 2 3", "pairs"),
            (" ", "pairs"),
            ("a b", "whole"),
            ("1.5 2", "whole"),
            ("-1 2", "whole"),
            ("1 -2", "whole"),
            ("1 ²", "whole"),
            ("1 " + "9" * 5000, "whole"),
            ("6 2", "beyond"),
            ("1 9999999999", "beyond"),
            ("0 1", "before"),
            ("3 2 1 1", "before"),
            ("1 3 3 1", "before"),
        ],
    )
    def test_cells_that_are_no_runs(self, cell, name):
        assert name in fault_of(mask_of_runs, [cell], runs(), (2, 3))

    def test_missing_cells(self):
        for cells in ([], [""], ["", "?"]):
            fault_of(mask_of_runs, cells, runs(missing=["?"]), (2, 3), code="mask_missing")
            empty = mask_of_runs(cells, runs(missing=["?"], absent="empty"), (2, 3))
            assert empty.tolist() == empty_mask((2, 3)).tolist() == [[0, 0]] * 3
        assert not mask_of_runs([""], runs(none=[""]), (2, 3)).any()


class TestSpec:
    def test_columns_that_are_read(self):
        assert MaskFeature(type="mask", path="{a}/{b}_{a}.png").columns("m") == ("a", "b")
        several = MaskFeature(type="mask", path=["{a}/{b}.png", "{c}/{b}.png"])
        assert several.columns("m") == ("a", "b", "c")
        assert runs().columns("m") == ("rle",)

    def test_texts_of_yaml(self):
        keys = {"column": "rle", "start": "0", "relative": "true", "size": ["4", "5"]}
        told = {"type": "mask", "runs": {**keys, "none": [" -1"]}, "values": ["0", " lung "]}
        part = MaskFeature.model_validate(told)
        assert (part.runs.start, part.runs.relative, part.runs.size) == (0, True, (4, 5))
        assert part.runs.none == ["-1"]
        assert part.values == ["0", "lung"]
        assert feature(map={"255": "1"}).map == {255: 1}

    @pytest.mark.parametrize(
        ("keys", "message"),
        [
            ({}, "`path:` or `runs:`"),
            ({"path": "{a}.png", "runs": {"column": "r"}}, "not both"),
            ({"path": "{a}*.png"}, "wildcards"),
            ({"path": "{a}.*"}, "wildcards"),
            ({"path": "mask.png"}, "columns"),
            ({"path": "../{a}.png"}, "root"),
            ({"path": "{a}.png", "column": "b"}, "column"),
            ({"path": "{a}.png", "values": ["x", "x "]}, "twice"),
            ({"path": "{a}.png", "values": ["x"], "map": {255: 1}}, "leads to 1"),
            ({"path": "{a}.png", "map": {255: 256}}, "255"),
            ({"runs": {"column": "r"}, "map": {255: 1}}, "`map:`"),
            ({"runs": {"column": "r"}, "values": ["x"]}, "0 and 1"),
            ({"runs": {"column": "r", "start": 2}}, "less than or equal to 1"),
            ({"path": "{a}.png", "wrong": 1}, "wrong"),
            ({"path": []}, "at least 1"),
            ({"path": ["{a}.png", "{b}*.png"]}, "wildcards"),
            ({"path": ["{a}.png", "{a}.png"]}, "twice"),
            ({"path": "{a}.png", "files": "union"}, "several paths"),
            ({"path": ["{a}.png", "{b}.png"], "values": ["no", "yes"]}, "1 to 2"),
        ],
    )
    def test_what_is_refused(self, keys, message):
        with pytest.raises(pydantic.ValidationError, match=message):
            MaskFeature(type="mask", **keys)
