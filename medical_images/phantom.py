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

import csv
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from medical_images.phantom_images import (
    draw_image,
    encode_jpeg,
    random_below,
    random_bits,
    random_choice,
    random_order,
)

_SKEW = {"nv": 6705, "mel": 1113, "bkl": 1099, "bcc": 514, "akiec": 327, "vasc": 142, "df": 115}
CLASSES: tuple[str, ...] = tuple(_SKEW)

_HEADER = "# A synthetic corpus, written by medical_images.phantom.\n"
_MIN_SIDE, _MAX_SIDE = 8, 65500
_PIXELS_IN_TASK = 8_000_000
_PIXELS_WORTH_PROCESSES = 60_000_000
_STREAM_PLAN, _STREAM_TABLES = range(2)

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
# As the lesions of HAM10000; a patient with a rare class has one image of it, so that even small
# slices can hold their share of it.
_IMAGES_OF_PATIENT = {"1": 74, "2": 19, "3": 4, "4": 1, "5": 1, "6": 1}
_RARE_PERCENT = 5
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
    bits = random_bits(seed, _STREAM_PLAN)
    patients: list[list[str]] = []
    total = sum(_SKEW.values())
    rare = {name for name, weight in _SKEW.items() if 100 * weight < _RARE_PERCENT * total}
    for name, left in _class_counts(num_images).items():
        while left:
            drawn = int(random_choice(bits, _IMAGES_OF_PATIENT))
            size = 1 if name in rare else min(left, drawn)
            patients.append([name] * size)
            left -= size
    several = [patient for patient in patients if len(patient) > 1]
    num_pairs = min(len(several) // 2, (len(several) + 9) // 10)
    chosen = [several[i] for i in sorted(random_order(bits, len(several))[: 2 * num_pairs])]
    for one, other in zip(chosen[:num_pairs], chosen[num_pairs:], strict=True):
        one[-1], other[-1] = other[-1], one[-1]
    return patients


def _plan_images(num_images: int, seed: int) -> list[tuple[int, str, str]]:
    """Of each image: patient number (by first image), patient's main class, the image's class."""
    patients = _plan_patients(num_images, seed)
    images = [(number, own[0], name) for number, own in enumerate(patients) for name in own]
    order = random_order(random_bits(seed, _STREAM_PLAN, 1), num_images)
    numbers: dict[int, int] = {}
    shuffled = [images[i] for i in order]
    return [(numbers.setdefault(old, len(numbers)), main, name) for old, main, name in shuffled]


def _write_csv(path: pathlib.Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _write_tables(out: pathlib.Path, plan: Sequence[tuple[int, str, str]], seed: int) -> None:
    bits = random_bits(seed, _STREAM_TABLES)
    ages: list[str] = []
    sexes: list[str] = []
    for patient, main, _ in plan:
        if patient == len(ages):
            first, *dice = _PEOPLE[main].age
            ages.append(f"{5 * (first + sum(random_below(bits, sides) for sides in dice))}.0")
            female = random_below(bits, 100) < _PEOPLE[main].percent_female
            known = "female" if female else "male"
            sexes.append("unknown" if random_below(bits, 40) == 0 else known)
    blank_ages = set(random_order(bits, len(plan))[: (len(plan) + 80) // 100])
    rows = []
    for number, (patient, _, name) in enumerate(plan):
        age = "" if number in blank_ages else ages[patient]
        site = (
            "unknown" if random_below(bits, 40) == 0 else random_choice(bits, _PEOPLE[name].sites)
        )
        note = random_choice(bits, _NOTES).replace("{n}", str(2 + random_below(bits, 11)))
        rows.append((_image_id(number), f"P{patient:05d}", name, age, site, note))
    people = [(f"P{patient:05d}", sex) for patient, sex in enumerate(sexes)]
    _write_csv(out / "patients.csv", ("patient_id", "sex"), people)
    header = ("image_id", "patient_id", "dx", "age", "site", "note")
    _write_csv(out / "metadata.csv", header, rows)


def _image_id(number: int) -> str:
    return f"PH_{number:07d}"


_Task = tuple[pathlib.Path, int, tuple[str, ...], int, int, int]


def _write_images(task: _Task) -> int:
    folder, first, names, height, width, seed = task
    for number, name in enumerate(names, first):
        jpeg = encode_jpeg(draw_image(name, number, height, width, seed))
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
    if known and spec.read_bytes() != SPEC_YAML.encode():
        raise FileExistsError(
            f"{spec} is not as this phantom writes it, and would be replaced. Move it away, or "
            "name another folder."
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
      out: the folder; it is made. If it is not empty it must hold an earlier phantom, with the
        `corpus.yaml` of then.
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
      FileExistsError: the folder holds something else than a phantom, or a changed `corpus.yaml`.

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
