"""Images, boxes and masks are moved to one place."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medical_images.resizing import place, resize_labels, resize_pixels
from medical_images.spec_images import Resize

sides = st.integers(1, 60)
resizes = st.one_of(
    st.builds(lambda side: Resize(max_side=side), sides),
    st.builds(
        lambda height, width, fit: Resize(size=(height, width), fit=fit),
        sides,
        sides,
        st.sampled_from(["pad", "stretch"]),
    ),
)


@given(sides, sides, resizes)
def test_where_an_image_lies(width, height, resize):
    placement = place(width, height, resize)
    scaled_width, scaled_height = placement.scaled
    if resize.size is not None:
        assert (placement.height, placement.width) == resize.size
    else:
        assert max(placement.scaled) == min(resize.max_side, max(width, height))
        assert placement.scaled == (placement.width, placement.height)
    if resize.fit == "pad":
        assert scaled_width <= width
        assert scaled_height <= height
        highest, widest = resize.size or (resize.max_side, resize.max_side)
        scale = min(1, widest / width, highest / height)
        for new, old in ((scaled_width, width), (scaled_height, height)):
            assert abs(new - old * scale) <= 0.5 + 1e-9 or new == 1  # rounded, at least 1
    right = placement.width - placement.left - scaled_width
    below = placement.height - placement.top - scaled_height
    assert 0 <= right - placement.left <= 1
    assert 0 <= below - placement.top <= 1
    assert placement.box(0, 0, width, height) == pytest.approx(
        (placement.left, placement.top, placement.width - right, placement.height - below)
    )


@pytest.mark.parametrize(
    ("size", "resize", "scaled", "corner"),
    [
        ((3000, 2000), Resize(max_side=512), (512, 341), (0, 0)),
        ((2000, 3000), Resize(max_side=512), (341, 512), (0, 0)),
        ((10_000, 1), Resize(max_side=512), (512, 1), (0, 0)),
        ((512, 100), Resize(max_side=512), (512, 100), (0, 0)),
        ((200, 100), Resize(size=(50, 50)), (50, 25), (0, 12)),
        ((30, 20), Resize(size=(51, 41)), (30, 20), (5, 15)),
        ((30, 20), Resize(size=(51, 41), fit="stretch"), (41, 51), (0, 0)),
        ((30, 20), None, (30, 20), (0, 0)),
    ],
)
def test_known_places(size, resize, scaled, corner):
    placement = place(*size, resize)
    assert placement.scaled == scaled
    assert (placement.left, placement.top) == corner


def test_only_what_changes_nothing_is_the_identity():
    assert place(30, 20, None).is_identity
    assert place(30, 20, Resize(max_side=30)).is_identity
    assert place(30, 20, Resize(size=(20, 30))).is_identity
    assert not place(30, 20, Resize(size=(20, 31))).is_identity
    assert not place(30, 20, Resize(max_side=29)).is_identity


@st.composite
def boxes(draw):
    width, height = draw(st.integers(20, 60)), draw(st.integers(20, 60))
    x1, y1 = draw(st.integers(0, width - 8)), draw(st.integers(0, height - 8))
    return (
        width,
        height,
        x1,
        y1,
        draw(st.integers(x1 + 6, width)),
        draw(st.integers(y1 + 6, height)),
    )


@given(boxes(), st.one_of(resizes.filter(lambda r: min(r.size or (r.max_side,)) > 20)), st.data())
def test_a_drawn_box_is_found_where_its_place_says(box, resize, data):
    width, height, x1, y1, x2, y2 = box
    dtype, channels = data.draw(
        st.sampled_from([("uint8", 0), ("uint16", 0), ("uint8", 3), ("uint8", 4)])
    )
    shape = (height, width, channels) if channels else (height, width)
    image, labels = np.zeros(shape, dtype), np.zeros((height, width), np.uint8)
    full = np.iinfo(dtype).max
    image[y1:y2, x1:x2], labels[y1:y2, x1:x2] = full, 5
    if channels == 4:
        image[..., 3] = full
    placement = place(width, height, resize)
    pixels, marked = resize_pixels(image, placement), resize_labels(labels, placement)
    assert pixels.dtype == image.dtype
    assert pixels.shape == (placement.height, placement.width, *image.shape[2:])
    assert marked.shape == (placement.height, placement.width)
    assert set(np.unique(marked)) <= {0, 5}
    bright = (pixels[..., 0] if channels else pixels) > full / 2
    expected = placement.box(x1, y1, x2, y2)
    for found in (bright, marked == 5):
        rows, columns = np.nonzero(found.any(1))[0], np.nonzero(found.any(0))[0]
        edges = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        assert np.abs(np.subtract(edges, expected)).max() <= 1


@given(hnp.arrays(np.uint8, st.tuples(sides, sides)), resizes)
def test_labels_are_those_at_the_middle_of_each_new_pixel(labels, resize):
    height, width = labels.shape
    placement = place(width, height, resize)
    expected = np.zeros((placement.height, placement.width), np.uint8)
    for row in range(placement.scaled[1]):
        for column in range(placement.scaled[0]):
            y = int((row + 0.5) * height / placement.scaled[1] + 1e-9)
            x = int((column + 0.5) * width / placement.scaled[0] + 1e-9)
            expected[row + placement.top, column + placement.left] = labels[y, x]
    np.testing.assert_array_equal(resize_labels(labels, placement), expected)


@given(
    st.integers(0, 65535), sides, sides, resizes.filter(lambda r: r.fit == "stretch" or r.max_side)
)
def test_even_grey_of_16_bits_stays_as_it_is(grey, width, height, resize):
    image = np.full((height, width), grey, np.uint16)
    assert (resize_pixels(image, place(width, height, resize)) == grey).all()


@given(hnp.arrays(np.uint16, st.tuples(sides, sides)), resizes)
def test_no_value_lies_outside_those_of_the_image(image, resize):
    placement = place(image.shape[1], image.shape[0], resize)
    result = resize_pixels(image, placement)
    inside = result[placement.top :, placement.left :][: placement.scaled[1], : placement.scaled[0]]
    assert inside.min() >= image.min()
    assert inside.max() <= image.max()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_pixels_are_those_of_tensorflow(dtype):
    import tensorflow as tf

    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (61, 47), dtype=dtype)
    result = resize_pixels(image, place(47, 61, Resize(size=(20, 15), fit="stretch")))
    expected = tf.image.resize(image[..., None], (20, 15), antialias=True).numpy()[..., 0]
    assert np.abs(result - expected).max() < 1.1  # each pass of 8 bits is rounded


def test_colours_weigh_by_their_alpha():
    image = np.zeros((2, 2, 4), np.uint8)
    image[0] = [200, 100, 50, 255]  # what is see-through is black, and must not darken the rest
    result = resize_pixels(image, place(2, 2, Resize(max_side=1)))
    assert np.abs(result[0, 0].astype(int) - [200, 100, 50, 128]).max() <= 1


def test_an_array_of_another_size_is_a_mistake():
    with pytest.raises(ValueError, match="not of size"):
        resize_pixels(np.zeros((3, 4), np.uint8), place(3, 4, None))
