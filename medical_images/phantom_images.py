"""The pixels of the phantom corpus, and the random bits that all of it is made from.

Byte-identical on every machine: raw words of PCG64, whose stream numpy guarantees, and integer
arithmetic; no floating-point function decides a pixel.
"""

from __future__ import annotations

import bisect
import functools
import io
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_JPEG = {"quality": 95, "subsampling": "4:2:0", "optimize": False, "progressive": False}
_STREAM_IMAGE = 2  # set apart from the streams of the tables
_Stops = tuple[tuple[int, int], ...]
_Int16 = NDArray[np.int16]
_Bytes = NDArray[np.uint8]


def random_bits(seed: int, stream: int, number: int = 0) -> np.random.PCG64:
    """Returns the stream of a seed, a use and a number."""
    return np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(stream, number)))


def random_below(bits: np.random.PCG64, bound: int) -> int:
    """Draws a number from 0 to below the bound."""
    return int(bits.random_raw()) % bound


def random_bytes(bits: np.random.PCG64, count: int) -> _Bytes:
    """Draws bytes, uint8 of shape (count,)."""
    return bits.random_raw(-(-count // 8)).astype("<u8").view(np.uint8)[:count]


def random_order(bits: np.random.PCG64, count: int) -> list[int]:
    """Draws an order of `count` things."""
    order: list[int] = np.argsort(bits.random_raw(count), kind="stable").tolist()
    return order


def random_choice(bits: np.random.PCG64, weights: dict[str, int]) -> str:
    """Draws a key; its value is its weight."""
    upper = list(itertools.accumulate(weights.values()))
    return list(weights)[bisect.bisect_right(upper, random_below(bits, upper[-1]))]


@dataclass(frozen=True)
class _Look:
    """One kind of lesion. Every table is given by its corners: (input, output) in 0..255.

    The pigment of a pixel is depth * texture, or the mark where that is stronger; the palette turns
    it into a colour. Input of `depth` is the squared distance from the centre, 128 at the border.
    """

    radius: tuple[int, int]  # least and most, in thousandths of the shorter side
    rough: tuple[int, int]  # how far noise moves the border, least and most
    depth: _Stops
    cells: int  # noise cells of the texture along the shorter side
    texture: _Stops
    mark_cells: int
    mark: _Stops
    palette: tuple[tuple[int, tuple[int, int, int]], ...]  # from index 0, which is skin


_LOOKS = {
    "nv": _Look(
        (210, 310), (8, 34),
        ((0, 235), (80, 215), (128, 110), (152, 0), (255, 0)),
        22, ((0, 175), (104, 180), (128, 255), (152, 180), (255, 175)),
        0, (),
        ((40, (206, 150, 112)), (130, (150, 94, 60)), (255, (84, 48, 30))),
    ),
    "mel": _Look(
        (270, 370), (40, 110),
        ((0, 255), (110, 240), (140, 130), (156, 0), (255, 0)),
        5, ((0, 60), (90, 100), (145, 210), (255, 255)),
        7, ((0, 0), (150, 0), (205, 255), (255, 255)),
        ((40, (190, 134, 104)), (100, (124, 72, 48)), (170, (62, 36, 30)), (220, (36, 27, 32)),
         (255, (98, 106, 132))),
    ),
    "scaly": _Look(
        (230, 330), (16, 44),
        ((0, 205), (118, 195), (131, 90), (136, 0), (255, 0)),
        13, ((0, 110), (100, 130), (140, 245), (255, 255)),
        24, ((0, 0), (172, 0), (190, 255), (255, 255)),
        ((40, (204, 166, 116)), (110, (176, 132, 82)), (190, (122, 92, 66)), (215, (150, 120, 90)),
         (255, (244, 228, 196))),
    ),
    "bcc": _Look(
        (220, 320), (16, 48),
        ((0, 215), (90, 195), (132, 110), (150, 0), (255, 0)),
        7, ((0, 110), (120, 130), (170, 200), (255, 215)),
        6, ((0, 0), (122, 0), (126, 255), (130, 255), (134, 0), (255, 0)),
        ((40, (226, 160, 148)), (105, (234, 190, 180)), (150, (196, 160, 170)),
         (185, (120, 118, 150)), (205, (176, 60, 70)), (255, (158, 26, 38))),
    ),
    "nodule": _Look(
        (150, 230), (6, 30),
        ((0, 255), (30, 235), (100, 150), (126, 100), (146, 0), (255, 0)),
        12, ((0, 200), (128, 230), (255, 255)),
        0, (),
        ((40, (206, 96, 92)), (100, (156, 34, 52)), (150, (116, 20, 58)), (190, (170, 76, 92)),
         (255, (238, 206, 200))),
    ),
}  # fmt: skip
_LOOK_OF = {"nv": "nv", "mel": "mel", "bkl": "scaly", "bcc": "bcc", "akiec": "scaly"}
_LOOK_OF |= {"vasc": "nodule", "df": "nodule"}
_MISTAKEN = {"nv": (2, "mel"), "mel": (5, "nv")}  # how many in 40 have the look of which class
_INSIDE: _Stops = ((0, 255), (112, 255), (128, 0), (255, 0))
_DIRECTIONS = tuple((p, q) for p in range(4) for q in range(-3, 4) if (p, q) != (0, 0))
_SKINS = ((238, 200, 182), (228, 178, 152), (214, 164, 130), (184, 132, 100))


def _make_ramp(stops: _Stops) -> _Int16:
    """The 256 values of a piecewise linear table, by integer arithmetic."""
    table = np.empty(256, np.int16)
    for (x0, y0), (x1, y1) in itertools.pairwise(stops):
        steps = np.arange(x1 - x0 + 1)
        table[x0 : x1 + 1] = y0 + (y1 - y0) * steps // (x1 - x0)
    return table


def _look_up(values: _Int16 | _Bytes, table: _Int16) -> _Bytes:
    """`table[values]`, fast: the values are clipped to 0..255 first, those of the table are so."""
    index = np.clip(values, 0, 255).astype(np.uint8)
    mapped = index.tobytes().translate(table.astype(np.uint8).tobytes())
    return np.frombuffer(mapped, np.uint8).reshape(values.shape)


@functools.lru_cache(maxsize=64)
def _axis(length: int, side: int, cells: int) -> tuple[NDArray[np.intp], _Int16]:
    """The noise cell of each pixel of an axis, and its smoothstep position in the cell, 0..64."""
    position = (2 * np.arange(length, dtype=np.int64) + 1) * (32 * cells) // side
    part = position % 64
    return (position // 64).astype(np.intp), (part * part * (192 - 2 * part) >> 12).astype(np.int16)


def _octave(bits: np.random.PCG64, height: int, width: int, cells: int) -> _Int16:
    """Smooth noise, 0..255, shape (height, width), with `cells` cells along the shorter side."""
    side = min(height, width)
    row, down = _axis(height, side, cells)
    column, right = _axis(width, side, cells)
    shape = int(row[-1]) + 2, int(column[-1]) + 2
    grid = random_bytes(bits, shape[0] * shape[1]).reshape(shape).astype(np.int16)
    wide = grid[:, column] * (64 - right) + grid[:, column + 1] * right >> 6
    noise: _Int16 = np.diff(wide, axis=0)[row]
    noise *= down[:, None]
    noise >>= 6
    noise += wide[row]
    return noise


def _noise(bits: np.random.PCG64, height: int, width: int, cells: int) -> _Int16:
    """Two octaves of noise, 0..255; the second, not quite twice as fine, hides the grid."""
    noise = _octave(bits, height, width, cells)
    fine = _octave(bits, height, width, cells * 7 // 4)
    noise *= 5
    fine *= 3
    noise += fine
    noise >>= 3
    return noise


def _distance(bits: np.random.PCG64, height: int, width: int, radius: int) -> _Int16:
    """Squared distance from the centre of a random ellipse: 128 at its border, at most 1000."""
    side = min(height, width)
    x, y = (
        np.clip(
            (2 * np.arange(n) + 1 - n) * 512 // side + random_below(bits, 241) - 120, -4096, 4096
        )
        for n in (width, height)
    )  # in 1/1024 of the shorter side
    p, q = _DIRECTIONS[random_below(bits, len(_DIRECTIONS))]
    wide, tall = 100 - random_below(bits, 28), 100 + random_below(bits, 28)
    # 128 * (wide * (p x + q y)**2 + tall * (p y - q x)**2) / (100 * (p*p + q*q) * radius**2), and
    # 8 binary places, multiplied out so that all but two steps are done on single rows and columns.
    unit = 100 * (p * p + q * q) * radius * radius * 1024**2 // 1000**2
    xx, yy = wide * p * p + tall * q * q, wide * q * q + tall * p * p
    xy = 2 * (wide - tall) * p * q
    of_column = ((xx * x * x << 15) // unit).astype(np.int32)
    of_row = ((yy * y * y << 15) // unit).astype(np.int32)
    slope = ((xy * x << 23) // unit).astype(np.int32)
    distance: NDArray[np.int32] = slope * y.astype(np.int32)[:, None]
    distance >>= 8
    distance += of_column
    distance += of_row[:, None]
    distance >>= 8
    return np.minimum(distance, 1000).astype(np.int16)


def _add_hairs(bits: np.random.PCG64, shade: _Int16) -> None:
    """Darkens up to 5 curved lines across about a third of the images, in place."""
    height, width = shade.shape
    x = np.arange(width, dtype=np.int64)
    for _ in range(max(0, random_below(bits, 16) - 10)):
        a, b, c = (random_below(bits, 2 * height) - height // 2 for _ in range(3))
        left = width - 1 - x
        y = (a * left * left + 2 * b * left * x + c * x * x) // (width - 1) ** 2
        for offset in range(1 + min(height, width) // 200):
            seen = (y + offset >= 0) & (y + offset < height)
            shade[(y + offset)[seen], x[seen]] -= 56


def _palette(bits: np.random.PCG64, look: _Look) -> list[_Int16]:
    """Three tables of 256: the look's colours, a little changed, and a quarter of the skin's."""
    tone, share = random_below(bits, len(_SKINS) - 1), random_below(bits, 17)
    pair = zip(_SKINS[tone], _SKINS[tone + 1], strict=True)
    skin = [(one * (16 - share) + other * share) // 16 for one, other in pair]
    light = random_below(bits, 25) - 12
    tables = []
    for channel in range(3):
        change = light + random_below(bits, 11) - 5
        stops = [(i, (3 * rgb[channel] + skin[channel]) // 4 + change) for i, rgb in look.palette]
        tables.append(np.clip(_make_ramp(((0, skin[channel]), *stops)), 0, 255))
    return tables


def _pigment(bits: np.random.PCG64, look: _Look, height: int, width: int) -> _Bytes:
    """The palette index of each pixel, shape (height, width), 0..255; 0 is skin."""
    (small, large), (smooth, rough) = look.radius, look.rough
    distance = _distance(bits, height, width, small + random_below(bits, large - small + 1))
    border = _noise(bits, height, width, 5)
    border -= 128
    border *= smooth + random_below(bits, rough - smooth + 1)
    border >>= 7
    distance += border
    depth = _look_up(distance, _make_ramp(look.depth))
    texture = _look_up(_noise(bits, height, width, look.cells), _make_ramp(look.texture))
    pigment = (depth.astype(np.uint16) * texture >> 8).astype(np.uint8)
    if look.mark:
        mark = _look_up(_noise(bits, height, width, look.mark_cells), _make_ramp(look.mark))
        inside = _look_up(distance, _make_ramp(_INSIDE))
        np.maximum(pigment, mark & inside, out=pigment)
    return pigment


def _shade(bits: np.random.PCG64, height: int, width: int) -> _Int16:
    """Uneven light, darker corners, hairs and grain, to be added to every channel."""
    shade = _octave(bits, height, width, 3)
    shade -= 128
    shade >>= 3
    vignette = random_below(bits, 40)
    for axis, n in ((1, height), (0, width)):
        offset = (2 * np.arange(n) + 1 - n) * 512 // n
        shade -= np.expand_dims((offset * offset * vignette >> 19).astype(np.int16), axis)
    _add_hairs(bits, shade)
    grain = random_bytes(bits, height * width).reshape(height, width)
    shade += (grain & 15).view(np.int8)
    shade += (grain >> 4).view(np.int8)
    shade += (grain >> 2 & 3).view(np.int8)
    shade -= 16
    return shade


def draw_image(name: str, number: int, height: int, width: int, seed: int) -> _Bytes:
    """The pixels of an image, uint8 of shape (height, width, 3)."""
    bits = random_bits(seed, _STREAM_IMAGE, number)
    unlike, mistaken_for = _MISTAKEN.get(name, (0, name))
    look = _LOOKS[_LOOK_OF[mistaken_for if random_below(bits, 40) < unlike else name]]
    tables = _palette(bits, look)
    pigment = _pigment(bits, look, height, width)
    shade = _shade(bits, height, width)
    pixels = np.empty((height, width, 3), np.uint8)
    for channel, table in enumerate(tables):
        pixels[..., channel] = np.clip(_look_up(pigment, table) + shade, 0, 255)
    return pixels


def encode_jpeg(pixels: _Bytes) -> bytes:
    """Encodes uint8 pixels of shape (height, width, 3) as JPEG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **_JPEG)
    return buffer.getvalue()
