"""Every kind of pixels becomes one form, or none."""

import io
import struct

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_files import grey_tiff, png
from PIL import Image, ImageOps

from medical_images.errors import ImageError
from medical_images.pixels import array_to_canonical, encode, to_canonical, windowed
from medical_images.spec_images import Images

GREYS = np.array([[0, 1, 127], [128, 254, 255]], np.uint8)
COLOURS = np.arange(18, dtype=np.uint8).reshape(2, 3, 3) * 14
DEEP = np.array([[0, 1, 255], [256, 4095, 65535]], np.uint16)
MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK")


def images(**keys):
    return Images(path="*.png", **keys)


def opened(data):
    return Image.open(io.BytesIO(data))


def saved(image, kind, **keys):
    file = io.BytesIO()
    image.save(file, kind, **keys)
    return opened(file.getvalue())


def code_of(call, *args, **keys):
    with pytest.raises(ImageError) as caught:
        call(*args, **keys)
    return caught.value.code


def of_mode(mode):
    """An image of each mode and the (height, width, 4) that it shows."""
    opaque = np.full((2, 3, 1), 255, np.uint8)
    grey = np.dstack([GREYS] * 3 + [opaque])
    colour = np.dstack([COLOURS, opaque])
    match mode:
        case "1":
            bits = np.array([[0, 255, 0], [255, 255, 0]], np.uint8)
            return Image.fromarray(bits).convert("1"), np.dstack([bits] * 3 + [opaque])
        case "L" | "LA" | "La":
            return Image.fromarray(GREYS).convert("LA").convert(mode), grey
        case "P":
            image = Image.frombytes("P", (3, 2), bytes(range(6)))
            image.putpalette(COLOURS.reshape(-1).tobytes())
            return image, colour
        case "PA":
            return of_mode("P")[0].convert("PA"), colour
        case "RGB" | "RGBA" | "RGBX":
            return Image.fromarray(COLOURS).convert(mode), colour
        case "RGBa":
            return Image.fromarray(COLOURS).convert("RGBA").convert("RGBa"), colour
        case "CMYK":
            inks = np.dstack([255 - COLOURS, np.zeros_like(opaque)])
            return Image.frombytes("CMYK", (3, 2), inks.tobytes()), colour
        case _:
            raise AssertionError(mode)


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_becomes_what_it_shows(mode):
    image, shown = of_mode(mode)
    np.testing.assert_array_equal(to_canonical(image, images(channels=3)), shown[:, :, :3])
    np.testing.assert_array_equal(to_canonical(image, images(channels=4)), shown)
    if mode in ("1", "L", "LA", "La"):
        result = to_canonical(image, images(channels=1))
        assert result.shape == (2, 3)
        np.testing.assert_array_equal(result, shown[:, :, 0])
    else:
        assert code_of(to_canonical, image, images(channels=1)) == "channels"


def test_ycbcr_is_converted_and_grey_of_it_is_grey():
    grey = Image.fromarray(GREYS).convert("YCbCr")
    np.testing.assert_array_equal(to_canonical(grey, images(channels=1)), GREYS)


@pytest.mark.parametrize("mode", ["LAB", "HSV"])
def test_colours_that_no_reader_agrees_on_are_not_read(mode):
    assert code_of(to_canonical, Image.new(mode, (2, 2)), images()) == "unsupported"


def test_inks_of_adobe_are_as_they_look():
    white = Image.new("CMYK", (8, 8), (0, 0, 0, 0))
    jpeg = saved(white, "JPEG", quality=100)  # Pillow writes Adobe's inverted inks
    assert b"Adobe" in jpeg.fp.getvalue()
    assert (to_canonical(jpeg, images()) > 250).all()


class TestAlpha:
    COLOUR = np.array([[[200, 100, 50, 255], [200, 100, 50, 51]]], np.uint8)

    @pytest.mark.parametrize(
        ("rule", "second"),
        [("drop", [200, 100, 50]), ("black", [40, 20, 10]), ("white", [244, 224, 214])],
    )
    def test_rules(self, rule, second):
        image = Image.fromarray(self.COLOUR)
        expected = [[[200, 100, 50], second]]
        assert to_canonical(image, images(alpha=rule)).tolist() == expected
        assert array_to_canonical(self.COLOUR, images(alpha=rule)).tolist() == expected

    def test_rejected_by_default_and_kept_where_declared(self):
        image = Image.fromarray(self.COLOUR)
        assert code_of(to_canonical, image, images()) == "channels"
        assert to_canonical(image, images(channels=4)).tolist() == self.COLOUR.tolist()

    @given(
        hnp.arrays(np.uint8, (3, 4)),
        hnp.arrays(np.uint8, (3, 4)),
        st.sampled_from([("black", 0), ("white", 255)]),
    )
    def test_mixing_is_exact(self, grey, alpha, ground):
        image = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)])
        share = alpha / 255
        expected = np.floor(grey * share + ground[1] * (1 - share) + 0.5)
        result = to_canonical(image, images(channels=1, alpha=ground[0]))
        np.testing.assert_array_equal(result, expected)

    @pytest.mark.parametrize(
        ("bits", "row", "colour", "shown"),
        [
            (1, b"\x40", 1, [0, 255]),
            (2, b"\x10", 1, [0, 85]),
            (4, b"\x0f", 15, [0, 255]),
            (8, b"\x00\x07", 7, [0, 7]),
        ],
    )
    def test_a_grey_that_png_names_is_see_through(self, bits, row, colour, shown):
        data = png(
            bits=bits, kind=0, rows=[row], width=2, chunks=[(b"tRNS", struct.pack(">H", colour))]
        )
        assert code_of(to_canonical, opened(data), images(channels=1)) == "channels"
        result = to_canonical(opened(data), images(channels=4))
        assert result[0, :, 0].tolist() == shown
        assert result[0, :, 3].tolist() == [255, 0]

    def test_a_colour_or_an_index_that_png_names_is_see_through(self):
        rgb = png(
            bits=8, kind=2, rows=[b"\1\2\3\4\5\6"], width=2, chunks=[(b"tRNS", b"\0\4\0\5\0\6")]
        )
        assert to_canonical(opened(rgb), images(channels=4))[0, :, 3].tolist() == [255, 0]
        palette = [(b"PLTE", b"\1\2\3\4\5\6"), (b"tRNS", b"\xff\x80")]
        index = png(bits=1, kind=3, rows=[b"\x40"], width=2, chunks=palette)
        expected = [[[1, 2, 3, 255], [4, 5, 6, 128]]]
        assert to_canonical(opened(index), images(channels=4)).tolist() == expected

    def test_white_of_16_bits_is_white(self):
        data = png(bits=16, kind=0, rows=[b"\1\0\1\1"], width=2, chunks=[(b"tRNS", b"\1\1")])
        deep = images(channels=1, dtype="uint16", alpha="white")
        assert to_canonical(opened(data), deep).tolist() == [[256, 65535]]


class TestGrey:
    def test_equal_colours_are_grey(self):
        assert (
            to_canonical(Image.fromarray(GREYS).convert("RGB"), images(channels=1)).tolist()
            == GREYS.tolist()
        )

    @given(hnp.arrays(st.sampled_from([np.uint8, np.uint16]), (2, 3, 3)))
    def test_luma_is_exact(self, colours):
        dtype = colours.dtype.name
        rule = images(channels=1, dtype=dtype, to_grey="luma")
        expected = [
            [(299 * int(r) + 587 * int(g) + 114 * int(b) + 500) // 1000 for r, g, b in row]
            for row in colours
        ]
        result = array_to_canonical(colours, rule)
        assert result.dtype == dtype
        assert result.tolist() == expected


class TestDepth:
    @pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L", "I", "F"])
    def test_16_bits_are_kept_in_uint16_and_need_a_window_in_uint8(self, mode):
        dtype = {"I;16B": ">u2", "I": "i4", "F": "f4"}.get(mode, "<u2")
        image = Image.frombytes(mode, (3, 2), DEEP.astype(dtype).tobytes())
        kept = to_canonical(image, images(channels=1, dtype="uint16"))
        assert (kept.dtype, kept.tolist()) == (np.dtype("uint16"), DEEP.tolist())
        for window in (None, "file"):
            assert code_of(to_canonical, image, images(channels=1, window=window)) == "needs_window"
        shown = to_canonical(image, images(channels=1, window=(128, 256)))
        exactly = mode == "F"  # of floats, the window has no half units
        assert shown.tolist() == [[0, 1, 254 if exactly else 255], [255, 255, 255]]
        assert to_canonical(image, images(channels=3, window=(128, 256))).shape == (2, 3, 3)

    @pytest.mark.parametrize("window", [None, "file", (40, 80)])
    def test_8_bits_are_kept_whatever_the_window(self, window):
        result = to_canonical(Image.fromarray(GREYS), images(channels=1, window=window))
        assert result.tolist() == GREYS.tolist()

    def test_8_bits_in_uint16_are_kept(self):
        result = to_canonical(Image.fromarray(GREYS), images(channels=1, dtype="uint16"))
        assert (result.dtype, result.tolist()) == (np.dtype("uint16"), GREYS.tolist())

    def test_dark_16_bits_are_not_taken_for_8(self):
        assert code_of(array_to_canonical, DEEP * 0, images(channels=1)) == "needs_window"

    @pytest.mark.parametrize("value", [-1, 65536, 0.5])
    def test_what_uint16_does_not_hold(self, value):
        array = np.array([[0, value]])
        assert (
            code_of(array_to_canonical, array, images(channels=1, dtype="uint16")) == "needs_window"
        )

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("keys", [{"dtype": "uint16"}, {"window": (0, 10)}, {}])
    def test_numbers_that_are_none(self, value, keys):
        array = np.array([[0, value]], np.float32)
        assert code_of(array_to_canonical, array, images(channels=1, **keys)) == "corrupt"

    @pytest.mark.parametrize("bits_of_colour", [2, 4, 6])  # RGB, grey with alpha, RGBA
    def test_colours_of_16_bits_are_not_cut_to_8(self, bits_of_colour):
        samples = {2: 3, 4: 2, 6: 4}[bits_of_colour]
        data = png(bits=16, kind=bits_of_colour, rows=[bytes(range(2 * samples))], width=1)
        assert code_of(to_canonical, opened(data), images()) == "unsupported"

    def test_a_tiff_whose_zero_is_white(self):
        keys = {"width": 2, "white_is_zero": True}
        light = opened(grey_tiff(bits=8, rows=[b"\0\1"], **keys))
        assert to_canonical(light, images(channels=1)).tolist() == [[255, 254]]
        deep = opened(grey_tiff(bits=16, rows=[b"\0\1\2\3"], **keys))  # Pillow does not turn it
        assert code_of(to_canonical, deep, images(channels=1, dtype="uint16")) == "unsupported"

    def test_a_bmp_of_4_bits_with_a_palette_of_grey(self):
        palette = b"".join(bytes([grey] * 3 + [0]) for grey in range(16))
        header = struct.pack("<IiiHHIIiiII", 40, 8, 1, 1, 4, 0, 4, 0, 0, 16, 0)
        data = b"BM" + struct.pack("<IHHI", 122, 0, 0, 118) + header + palette + b"\x1f\x23\0\0"
        assert code_of(to_canonical, opened(data), images(channels=1)) == "unsupported"


@given(
    st.floats(-2000, 70000).map(lambda center: round(center, 1)),
    st.floats(1, 5000).map(lambda width: round(width, 1)),
    hnp.arrays(np.uint16, 8),
)
def test_a_window_follows_dicom_line_by_line(center, width, values):
    def shown(x):
        if x <= center - 0.5 - (width - 1) / 2:
            return 0
        if x > center - 0.5 + (width - 1) / 2:
            return 255
        return ((x - (center - 0.5)) / (width - 1) + 0.5) * 255

    near = np.array([center - width / 2, center, center + width / 2])
    values = np.concatenate([values, np.clip(near, 0, 65535).astype(np.uint16)])
    expected = np.array([shown(float(x)) for x in values])
    assert (np.abs(windowed(values, center, width) - expected) <= 0.5 + 1e-6).all()
    many = np.tile(values, 1 + (1 << 16) // len(values))  # looked up
    np.testing.assert_array_equal(
        windowed(many, center, width)[: len(values)], windowed(values, center, width)
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("channels", [1, 3])
def test_each_orientation_is_upright_as_pillow_turns_it(orientation, channels):
    image = Image.fromarray(GREYS)
    exif = Image.Exif()
    exif[274] = orientation
    upright = np.asarray(ImageOps.exif_transpose(saved(image, "PNG", exif=exif)))
    result = to_canonical(image, images(channels=channels), orientation=orientation)
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result[..., 0] if channels == 3 else result, upright)
    as_stored = images(channels=channels, orientation="ignore")
    assert to_canonical(image, as_stored, orientation=orientation).shape[:2] == GREYS.shape


class TestArrays:
    @pytest.mark.parametrize(
        "array",
        [
            np.zeros(3, np.uint8),
            np.zeros((2, 2, 2), np.uint8),
            np.zeros((2, 2, 2, 3), np.uint8),
            np.zeros((0, 2), np.uint8),
            np.zeros((2, 2), complex),
            np.array([["a"]]),
            np.array([[None]]),
            np.zeros((2, 2, 4), np.uint16),
        ],
        ids=lambda array: f"{array.dtype}{array.shape}",
    )
    def test_what_is_no_image(self, array):
        assert code_of(array_to_canonical, array, images()) == "unsupported"

    def test_axes_and_types(self):
        one = array_to_canonical(GREYS[:, :, None], images(channels=1))
        assert one.tolist() == GREYS.tolist()
        assert array_to_canonical(GREYS > 127, images(channels=1)).tolist() == [
            [0, 0, 0],
            [255] * 3,
        ]
        big = DEEP.astype(">u2")
        kept = array_to_canonical(big, images(channels=1, dtype="uint16"))
        assert kept.dtype.isnative
        assert kept.tolist() == DEEP.tolist()

    @given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=5)))
    def test_arrays_and_files_agree(self, grey):
        for channels in (1, 3, 4):
            rule = images(channels=channels)
            np.testing.assert_array_equal(
                array_to_canonical(grey, rule), to_canonical(Image.fromarray(grey), rule)
            )


class TestEncode:
    CASES = (
        (images(channels=1), GREYS),
        (images(channels=3), COLOURS),
        (images(channels=4), np.dstack([COLOURS, GREYS])),
        (images(channels=1, dtype="uint16"), DEEP),
    )

    @pytest.mark.parametrize(("rule", "array"), CASES, ids=["grey", "rgb", "rgba", "uint16"])
    def test_png_is_the_same_in_every_reader_and_holds_pixels_only(self, rule, array):
        import tensorflow as tf

        data = encode(array, rule, resized=False)
        assert data == encode(array.copy(), rule, resized=True)
        np.testing.assert_array_equal(to_canonical(opened(data), rule), array)
        read = tf.io.decode_png(data, channels=rule.channels, dtype=rule.dtype).numpy()
        np.testing.assert_array_equal(read[..., 0] if rule.channels == 1 else read, array)
        assert [data.count(name) for name in (b"IHDR", b"IDAT", b"IEND")] == [1, 1, 1]
        assert len(data) == 57 + len(data[data.index(b"IDAT") + 4 : -16])

    def test_jpeg_is_written_only_of_what_was_resized(self):
        smooth = np.full((16, 16, 3), [200, 10, 90], np.uint8)
        rule = images(resize={"max_side": 16, "format": "jpeg", "quality": 95})
        assert encode(smooth, rule, resized=False).startswith(b"\x89PNG")
        jpeg = opened(encode(smooth, rule, resized=True))
        assert jpeg.format == "JPEG"
        assert {sampling[1:3] for sampling in jpeg.layer} == {(1, 1)}  # 4:4:4
        assert np.abs(np.asarray(jpeg).astype(int) - smooth).max() <= 3


def test_floats_between_0_and_1_keep_their_greys():
    found = array_to_canonical(
        np.linspace(0, 1, 256).reshape(16, 16), images(channels=1, window=(0.5, 1))
    )
    assert found.ravel().tolist() == list(range(256))
