"""Synthetic corpora with known structure: images like skin lesions, and the tables about them.

The bytes depend on the arguments alone. All randomness is raw 64-bit words of PCG64 (a stream that
numpy guarantees, see NEP 19) and all pixels are integer arithmetic, so that no version of numpy and
no processor changes a file. The JPEG encoder is Pillow's: its wheels 11.0 and 12.3 give the same
bytes, with and without SIMD.

What can be learnt from a phantom, and from what (the numbers of images are skewed as in HAM10000):

=============  =====================================================================
nv, mel, bcc   by their look; 1 nv in 20 looks like a mel, and 1 mel in 8 like a nv
bkl and akiec  one look; akiec are older, more often male, on face, scalp and hands
vasc and df    one look; vasc are older, more often male, on the trunk, df on the legs
=============  =====================================================================

The note, the hairs and the colour of the skin say nothing about the class.
"""

from __future__ import annotations

import bisect
import csv
import functools
import io
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SKEW = {"nv": 6705, "mel": 1113, "bkl": 1099, "bcc": 514, "akiec": 327, "vasc": 142, "df": 115}
CLASSES: tuple[str, ...] = tuple(_SKEW)

_HEADER = "# A synthetic corpus, written by medical_images.phantom.\n"
_MIN_SIDE, _MAX_SIDE = 8, 65500
_PIXELS_IN_TASK = 8_000_000
_PIXELS_WORTH_PROCESSES = 60_000_000
_JPEG = {"quality": 95, "subsampling": "4:2:0", "optimize": False, "progressive": False}
_STREAM_PLAN, _STREAM_TABLES, _STREAM_IMAGE = range(3)

_Stops = tuple[tuple[int, int], ...]
_Int16 = NDArray[np.int16]
_Bytes = NDArray[np.uint8]

SPEC_YAML = (
    _HEADER
    + """\
# It needs no download, its classes can be learnt, and its tables have the gaps and the odd notes of
# real ones. Copy this file as the start of a spec of your own.
name: my_phantom
description: >-
  Synthetic images in the manner of dermatoscopy, with the age, sex and site of invented patients.
  Seven classes, skewed as in HAM10000: nv, mel and bcc differ in their look, bkl from akiec and
  vasc from df only in the metadata. Not for any medical use.
license: CC0-1.0
root: .
tables:
  - path: metadata.csv
  # The sex is known of the patient, not of the image: one line here, many in the table above.
  - path: patients.csv
    join: {on: patient_id, cardinality: many_to_one}
images:
  path: "images/{image_id}.jpg"
  channels: 3
  dtype: uint8
# Only what is named here is written.
features:
  image_id: {type: id}
  label: {column: dx, type: class, values: [nv, mel, bkl, bcc, akiec, vasc, df]}
  age: {type: float, unit: years}
  sex: {type: class, values: [female, male, unknown]}
  site: {type: class, values: [abdomen, back, chest, face, foot, hand, lower extremity, neck,
    scalp, upper extremity, unknown]}
  note: {type: text}
supervised: label
# All images of one patient go to the same split.
group: patient_id
stratify: [label]
splits: {train: 0.8, validation: 0.1, test: 0.1}
seed: 0
"""
)

# --- words ---------------------------------------------------------------------------------------


def _bits(seed: int, stream: int, number: int = 0) -> np.random.PCG64:
    return np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(stream, number)))


def _below(bits: np.random.PCG64, bound: int) -> int:
    return int(bits.random_raw()) % bound


def _random_bytes(bits: np.random.PCG64, count: int) -> _Bytes:
    return bits.random_raw(-(-count // 8)).astype("<u8").view(np.uint8)[:count]


def _shuffled(bits: np.random.PCG64, count: int) -> list[int]:
    order: list[int] = np.argsort(bits.random_raw(count), kind="stable").tolist()
    return order


def _choice(bits: np.random.PCG64, weights: dict[str, int]) -> str:
    upper = list(itertools.accumulate(weights.values()))
    return list(weights)[bisect.bisect_right(upper, _below(bits, upper[-1]))]


# --- tables --------------------------------------------------------------------------------------

SITES: tuple[str, ...] = (
    "abdomen", "back", "chest", "face", "foot", "hand", "lower extremity", "neck", "scalp",
    "upper extremity", "unknown",
)  # fmt: skip


@dataclass(frozen=True)
class _Person:
    """How the patients of one class are: age is 5 * (first + two dice), sites are weighted."""

    age: tuple[int, int, int]
    percent_female: int
    sites: dict[str, int]


_PEOPLE = {
    "nv": _Person((3, 8, 6), 50, {
        "back": 25, "lower extremity": 18, "abdomen": 12, "upper extremity": 12, "chest": 10,
        "foot": 6, "face": 4, "hand": 4, "neck": 3, "scalp": 2}),
    "mel": _Person((8, 6, 5), 42, {
        "back": 28, "lower extremity": 16, "upper extremity": 14, "abdomen": 8, "chest": 8,
        "face": 8, "neck": 5, "foot": 4, "scalp": 4, "hand": 3}),
    "bkl": _Person((7, 4, 5), 55, {"back": 40, "chest": 24, "abdomen": 24, "neck": 6, "face": 6}),
    "bcc": _Person((9, 5, 5), 40, {"face": 35, "back": 25, "chest": 15, "neck": 15, "scalp": 10}),
    "akiec": _Person((11, 4, 4), 28, {"face": 46, "scalp": 26, "hand": 20, "neck": 4, "back": 4}),
    "vasc": _Person((9, 5, 4), 30, {
        "chest": 34, "abdomen": 34, "back": 20, "neck": 6, "lower extremity": 6}),
    "df": _Person((5, 4, 5), 76, {
        "lower extremity": 60, "upper extremity": 24, "foot": 8, "abdomen": 8}),
}  # fmt: skip
_IMAGES_OF_PATIENT = {"1": 50, "2": 28, "3": 12, "4": 6, "5": 3, "6": 1}
_NOTES = {
    "": 12,
    "Seen once.": 10,
    "Follow-up in {n} months.": 20,
    "Diameter {n} mm, no change.": 16,
    "About {n} mm² larger.": 8,
    'Patient reports "itching", no bleeding.': 12,
    "Referred by Dr. Núñez, second opinion.": 10,
    "Naïve to treatment; {n} lesions nearby.": 12,
}


def _class_counts(num_images: int) -> dict[str, int]:
    """Largest-remainder apportionment of the skew; no class is left out of 7 images or more."""
    total = sum(_SKEW.values())
    counts = {name: num_images * weight // total for name, weight in _SKEW.items()}
    by_remainder = sorted(CLASSES, key=lambda name: -(num_images * _SKEW[name] % total))
    for name in by_remainder[: num_images - sum(counts.values())]:
        counts[name] += 1
    for name in CLASSES if num_images >= len(CLASSES) else ():
        if counts[name] == 0:
            counts[max(CLASSES, key=lambda other: counts[other])] -= 1
            counts[name] = 1
    return counts


def _plan_patients(num_images: int, seed: int) -> list[list[str]]:
    """The classes of each patient's images: mostly one class, two for some; class counts exact."""
    bits = _bits(seed, _STREAM_PLAN)
    patients: list[list[str]] = []
    for name, left in _class_counts(num_images).items():
        while left:
            size = min(left, int(_choice(bits, _IMAGES_OF_PATIENT)))
            patients.append([name] * size)
            left -= size
    several = [patient for patient in patients if len(patient) > 1]
    num_pairs = min(len(several) // 2, (len(several) + 9) // 10)
    chosen = [several[i] for i in sorted(_shuffled(bits, len(several))[: 2 * num_pairs])]
    for one, other in zip(chosen[:num_pairs], chosen[num_pairs:], strict=True):
        one[-1], other[-1] = other[-1], one[-1]
    return patients


def _plan_images(num_images: int, seed: int) -> list[tuple[int, str, str]]:
    """Of each image: patient number (by first image), patient's main class, the image's class."""
    patients = _plan_patients(num_images, seed)
    images = [(number, own[0], name) for number, own in enumerate(patients) for name in own]
    order = _shuffled(_bits(seed, _STREAM_PLAN, 1), num_images)
    numbers: dict[int, int] = {}
    shuffled = [images[i] for i in order]
    return [(numbers.setdefault(old, len(numbers)), main, name) for old, main, name in shuffled]


def _write_csv(path: pathlib.Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _write_tables(out: pathlib.Path, plan: Sequence[tuple[int, str, str]], seed: int) -> None:
    bits = _bits(seed, _STREAM_TABLES)
    ages: list[str] = []
    sexes: list[str] = []
    for patient, main, _ in plan:
        if patient == len(ages):
            first, *dice = _PEOPLE[main].age
            ages.append(f"{5 * (first + sum(_below(bits, sides) for sides in dice))}.0")
            female = _below(bits, 100) < _PEOPLE[main].percent_female
            known = "female" if female else "male"
            sexes.append("unknown" if _below(bits, 40) == 0 else known)
    blank_ages = set(_shuffled(bits, len(plan))[: (len(plan) + 80) // 100])
    rows = []
    for number, (patient, _, name) in enumerate(plan):
        age = "" if number in blank_ages else ages[patient]
        site = "unknown" if _below(bits, 40) == 0 else _choice(bits, _PEOPLE[name].sites)
        note = _choice(bits, _NOTES).replace("{n}", str(2 + _below(bits, 11)))
        rows.append((_image_id(number), f"P{patient:05d}", name, age, site, note))
    people = [(f"P{patient:05d}", sex) for patient, sex in enumerate(sexes)]
    _write_csv(out / "patients.csv", ("patient_id", "sex"), people)
    header = ("image_id", "patient_id", "dx", "age", "site", "note")
    _write_csv(out / "metadata.csv", header, rows)


def _image_id(number: int) -> str:
    return f"PH_{number:07d}"


# --- pixels --------------------------------------------------------------------------------------


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
    grid = _random_bytes(bits, shape[0] * shape[1]).reshape(shape).astype(np.int16)
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
        np.clip((2 * np.arange(n) + 1 - n) * 512 // side + _below(bits, 241) - 120, -4096, 4096)
        for n in (width, height)
    )  # in 1/1024 of the shorter side
    p, q = _DIRECTIONS[_below(bits, len(_DIRECTIONS))]
    wide, tall = 100 - _below(bits, 28), 100 + _below(bits, 28)
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
    for _ in range(max(0, _below(bits, 16) - 10)):
        a, b, c = (_below(bits, 2 * height) - height // 2 for _ in range(3))
        left = width - 1 - x
        y = (a * left * left + 2 * b * left * x + c * x * x) // (width - 1) ** 2
        for offset in range(1 + min(height, width) // 200):
            seen = (y + offset >= 0) & (y + offset < height)
            shade[(y + offset)[seen], x[seen]] -= 56


def _palette(bits: np.random.PCG64, look: _Look) -> list[_Int16]:
    """Three tables of 256: the look's colours, a little changed, and a quarter of the skin's."""
    tone, share = _below(bits, len(_SKINS) - 1), _below(bits, 17)
    pair = zip(_SKINS[tone], _SKINS[tone + 1], strict=True)
    skin = [(one * (16 - share) + other * share) // 16 for one, other in pair]
    light = _below(bits, 25) - 12
    tables = []
    for channel in range(3):
        change = light + _below(bits, 11) - 5
        stops = [(i, (3 * rgb[channel] + skin[channel]) // 4 + change) for i, rgb in look.palette]
        tables.append(np.clip(_make_ramp(((0, skin[channel]), *stops)), 0, 255))
    return tables


def _pigment(bits: np.random.PCG64, look: _Look, height: int, width: int) -> _Bytes:
    """The palette index of each pixel, shape (height, width), 0..255; 0 is skin."""
    (small, large), (smooth, rough) = look.radius, look.rough
    distance = _distance(bits, height, width, small + _below(bits, large - small + 1))
    border = _noise(bits, height, width, 5)
    border -= 128
    border *= smooth + _below(bits, rough - smooth + 1)
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
    vignette = _below(bits, 40)
    for axis, n in ((1, height), (0, width)):
        offset = (2 * np.arange(n) + 1 - n) * 512 // n
        shade -= np.expand_dims((offset * offset * vignette >> 19).astype(np.int16), axis)
    _add_hairs(bits, shade)
    grain = _random_bytes(bits, height * width).reshape(height, width)
    shade += (grain & 15).view(np.int8)
    shade += (grain >> 4).view(np.int8)
    shade += (grain >> 2 & 3).view(np.int8)
    shade -= 16
    return shade


def _draw(name: str, number: int, height: int, width: int, seed: int) -> _Bytes:
    """The pixels of an image, uint8 of shape (height, width, 3)."""
    bits = _bits(seed, _STREAM_IMAGE, number)
    unlike, mistaken_for = _MISTAKEN.get(name, (0, name))
    look = _LOOKS[_LOOK_OF[mistaken_for if _below(bits, 40) < unlike else name]]
    tables = _palette(bits, look)
    pigment = _pigment(bits, look, height, width)
    shade = _shade(bits, height, width)
    pixels = np.empty((height, width, 3), np.uint8)
    for channel, table in enumerate(tables):
        pixels[..., channel] = np.clip(_look_up(pigment, table) + shade, 0, 255)
    return pixels


def _encode_jpeg(pixels: _Bytes) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **_JPEG)
    return buffer.getvalue()


_Task = tuple[pathlib.Path, int, tuple[str, ...], int, int, int]


def _write_images(task: _Task) -> int:
    folder, first, names, height, width, seed = task
    for number, name in enumerate(names, first):
        jpeg = _encode_jpeg(_draw(name, number, height, width, seed))
        (folder / f"{_image_id(number)}.jpg").write_bytes(jpeg)
    return len(names)


# --- the corpus ----------------------------------------------------------------------------------


def _run(tasks: Sequence[_Task], num_workers: int | None) -> Iterator[int]:
    """Writes the images of each task and yields how many, in any order."""
    if num_workers == 1:
        yield from map(_write_images, tasks)
        return
    from loky import as_completed, cpu_count, get_reusable_executor

    # loky's processes do not run the caller's script again, as those of multiprocessing do.
    executor = get_reusable_executor(max_workers=min(num_workers or cpu_count(), len(tasks)))
    futures = [executor.submit(_write_images, task) for task in tasks]
    try:
        for future in as_completed(futures):
            yield future.result()
    finally:
        for future in futures:
            future.cancel()


def _check_range(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}; allowed is {least} to {most}")


def _prepare(out: pathlib.Path) -> None:
    """Makes the folder, or clears an earlier phantom from it; touches nothing else."""
    out.mkdir(parents=True, exist_ok=True)
    spec = out / "corpus.yaml"
    known = spec.is_file() and spec.read_bytes().startswith(_HEADER.encode())
    if any(out.iterdir()) and not known:
        raise FileExistsError(
            f"{out} is not empty and holds no phantom corpus (no corpus.yaml that begins with "
            f"{_HEADER.strip()!r}). Name another folder, or empty this one."
        )
    (out / "metadata.csv").unlink(missing_ok=True)  # written last: a phantom without it is a part
    for image in (out / "images").glob("PH_*.jpg"):
        image.unlink()
    (out / "images").mkdir(exist_ok=True)
    spec.write_bytes(SPEC_YAML.encode())


def write_phantom(
    out: str | os.PathLike[str],
    *,
    num_images: int = 2000,
    height: int = 96,
    width: int = 128,
    seed: int = 0,
    num_workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> pathlib.Path:
    """Writes a synthetic corpus: `corpus.yaml`, `metadata.csv`, `patients.csv`, `images/*.jpg`.

    Equal arguments give equal bytes, whatever the number of workers. An earlier phantom in the
    folder is replaced.

    Args:
      out: the folder; it is made. If it is not empty it must hold an earlier phantom.
      num_images: number of images, at least 1. Classes are skewed as in HAM10000, by largest
        remainder; from 7 images on, each has at least one.
      height: pixels, 8 to 65500. Images are RGB, uint8.
      width: pixels, 8 to 65500.
      seed: 0 to 2**64 - 1.
      num_workers: number of processes; by default as many as this process may use, or one where
        there is little to do.
      progress: called with the number of images newly done.

    Returns:
      The path of `corpus.yaml`.

    Raises:
      ValueError: an argument is out of its range.
      FileExistsError: the folder holds something else than a phantom.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     spec = write_phantom(folder, num_images=3, height=24, width=32)
      ...     spec.name, sorted(path.name for path in (spec.parent / "images").iterdir())
      ('corpus.yaml', ['PH_0000000.jpg', 'PH_0000001.jpg', 'PH_0000002.jpg'])
    """
    _check_range("num_images", num_images, 1, 9_999_999)
    _check_range("height", height, _MIN_SIDE, _MAX_SIDE)
    _check_range("width", width, _MIN_SIDE, _MAX_SIDE)
    _check_range("seed", seed, 0, 2**64 - 1)
    _check_range("num_workers", 1 if num_workers is None else num_workers, 1, 1024)
    folder = pathlib.Path(out).absolute()
    _prepare(folder)
    plan = _plan_images(num_images, seed)
    names = tuple(name for _, _, name in plan)
    step = max(1, min(64, _PIXELS_IN_TASK // (height * width)))
    tasks = [
        (folder / "images", first, names[first : first + step], height, width, seed)
        for first in range(0, num_images, step)
    ]
    small = num_images * height * width < _PIXELS_WORTH_PROCESSES
    for num_done in _run(tasks, 1 if num_workers is None and small else num_workers):
        if progress is not None:
            progress(num_done)
    _write_tables(folder, plan, seed)
    return folder / "corpus.yaml"
