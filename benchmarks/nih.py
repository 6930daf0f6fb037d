"""Builds the whole NIH ChestX-ray14 table: 112,120 images, 30,805 patients, 15 labels, many to one.

The table is real; the pixels are drawn, since the images are 42 GB: grey PNG files of 64x64, made
from the number of the row alone. So this shows what reading, listing, joining, planning and the
handling of 112,120 small files cost, and how even the splits and slices are; it says nothing of
the disk. The spec is that of the catalog, with all images planned, not by the official list.

The build is one call of `download_and_prepare` in a new process. The phases are timed inside that
same call, by wrapping the functions it goes through; what is left over is given as `other` (class
counts, index, TFDS's own files). Imports are not in the total. Memory is the resident
set, sampled twenty times a second; pages that processes share are counted in each. The batch at
the end is read by a process that never imports `medical_images`, through `tfds.load`.

    python benchmarks/nih.py --table Data_Entry_2017_v2020.csv.gz
    python benchmarks/nih.py --rows 5000 --data /tmp/nih  # a quick try

The table is the NIH's "Data_Entry_2017_v2020.csv", compressed with gzip. It needs the extra
`bench`: pip install ".[bench]"
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

from measuring import Clock, finish_job, run_job

TABLE = "Data_Entry_2017_v2020.csv.gz"
SPLITS = {"train": "0.8", "validation": "0.1", "test": "0.1"}
BATCH = 32

# --- the corpus ----------------------------------------------------------------------------------


def make_corpus(folder: pathlib.Path, args: argparse.Namespace) -> None:
    """Writes the table and one image a row; does nothing where `--data` holds them already."""
    state = {"table_bytes": args.table.stat().st_size, "rows": args.rows, "size": args.size}
    done = folder / ".drawn.json"  # written last; the listing of images passes hidden files over
    if done.is_file() and json.loads(done.read_text()) == state:
        print("pixels: found, not drawn again")
        return
    done.unlink(missing_ok=True)
    images = folder / "images"
    if images.exists():
        shutil.rmtree(images)
    images.mkdir(parents=True)
    begin = time.perf_counter()
    names = copy_table(args.table, folder / TABLE, args.rows)
    step = 2000
    with futures.ProcessPoolExecutor(2) as pool:
        parts = [
            (images, names[at : at + step], at, args.size) for at in range(0, len(names), step)
        ]
        num_bytes = sum(pool.map(draw_images, *zip(*parts, strict=True)))
    done.write_text(json.dumps(state))
    seconds = time.perf_counter() - begin
    print(f"pixels: {len(names):,} files, {num_bytes / 1e6:.0f} MB, drawn in {seconds:.1f} s")


def copy_table(source: pathlib.Path, target: pathlib.Path, num_rows: int | None) -> list[str]:
    """Copies the table, or its first rows; returns the names of the images."""
    if num_rows is None:
        shutil.copyfile(source, target)
    else:
        with gzip.open(source, "rb") as file, gzip.open(target, "wb") as copy:
            copy.writelines(line for line, _ in zip(file, range(num_rows + 1), strict=False))
    with gzip.open(target, "rt", encoding="utf-8-sig", newline="") as file:
        return [row["Image Index"] for row in csv.DictReader(file)]


def draw_images(folder: pathlib.Path, names: list[str], first: int, side: int) -> int:
    """Draws the images of some rows, soft spots of grey; returns their bytes."""
    import numpy as np
    from PIL import Image

    num_bytes = 0
    for row, name in enumerate(names, start=first):
        spots = np.random.default_rng(row).integers(0, 256, (8, 8), dtype=np.uint8)
        image = Image.fromarray(spots).resize((side, side), Image.Resampling.BILINEAR)
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=1)
        num_bytes += (folder / name).write_bytes(buffer.getbuffer())
    return num_bytes


def write_spec(folder: pathlib.Path) -> pathlib.Path:
    """Writes the spec of the catalog, with planned splits alone; rejects are listed beside it."""
    import yaml

    from medical_images import catalog

    text = catalog.path_of("nih_chestxray14").read_text(encoding="utf-8")
    keys = yaml.load(text, Loader=yaml.BaseLoader) | {"splits": SPLITS}
    path = folder / "corpus.yaml"
    path.write_text(yaml.safe_dump(keys), encoding="utf-8")
    return path


# --- the build, in a process of its own ----------------------------------------------------------


def build(job: dict[str, Any]) -> dict[str, Any]:
    """Builds; returns the seconds of the phases, and what the certificate says."""
    import medical_images as mi

    clock = Clock.of_builds()
    begin = time.perf_counter()
    config = mi.MedicalImagesConfig(
        spec=job["spec"], root=job["corpus"], engine="local", num_workers=job["workers"]
    )
    builder = mi.Builder(config=config, data_dir=job["out"])
    builder.download_and_prepare()
    total = time.perf_counter() - begin
    infos = builder.info.splits.values()
    return {
        "name": f"{builder.name}/{config.name}",
        "total_s": total,
        "phases_s": clock.phases(total),
        "examples": sum(info.num_examples for info in infos),
        "shards": sum(info.num_shards for info in infos),
        "rejects": dict(builder.info.metadata["rejects"]),
        "certificate": dict(builder.info.metadata["certificate"]),
        "slices": {name: slice_deviations(builder, name) for name in builder.info.splits},
    }


def slice_deviations(builder: Any, split: str) -> dict[str, tuple[int, float]]:
    """Returns, by label, its count in the first 10 % of a split, and how far that is off."""
    import medical_images as mi

    whole, part = mi.index(builder, split), mi.index(builder, f"{split}[:10%]")
    share = len(part) / len(whole)
    counts, inside = (frame["findings"].explode().value_counts() for frame in (whole, part))
    return {
        label: (int(inside.get(label, 0)), float(inside.get(label, 0) - share * count))
        for label, count in sorted(counts.items())
    }


def load(job: dict[str, Any]) -> dict[str, Any]:
    """Reads one batch with nothing but TFDS."""
    import tensorflow_datasets as tfds

    data = tfds.load(job["name"], split="train", data_dir=job["out"])
    batch = next(iter(data.padded_batch(BATCH, drop_remainder=True).as_numpy_iterator()))
    return {
        "features": {name: f"{value.dtype}{value.shape}" for name, value in batch.items()},
        "imported_medical_images": "medical_images" in sys.modules,
    }


JOBS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"build": build, "load": load}

# --- the report ----------------------------------------------------------------------------------


def report(built: dict[str, Any]) -> str:
    total, certificate = built["total_s"], built["certificate"]
    lines = [f"{phase:16}{seconds:8.2f} s" for phase, seconds in built["phases_s"].items()]
    lines.append(
        f"{'total':16}{total:8.2f} s  {built['examples']:,} images in {built['shards']} shards,"
        f" {built['examples'] / total:,.0f} images/s"
    )
    workers = ", ".join(f"{rss / 1e6:.0f}" for rss in built["worker_rss"]) or "none"
    lines.append(f"peak RSS, MB: main process {built['main_rss'] / 1e6:.0f}, below it {workers}")
    worst = certificate["largest_deviation"]
    lines.append(
        f"certificate: largest deviation {worst['images']} images ({worst['label']} in"
        f" {worst['split']}), groups in two splits {certificate['group_overlap']}"
    )
    lines.append(f"rejects: {built['rejects'] or 'none'}")
    for name, split in certificate["splits"].items():
        lines.append(
            f"  {name:12}{split['images']['achieved']:9,} images (share {split['share']}),"
            f" {split['groups']:,} groups"
        )
    return "\n".join([*lines, *report_labels(built)])


def report_labels(built: dict[str, Any]) -> Iterator[str]:
    """Yields the table of labels: counts by split, and the first 10 % of each split."""
    slices, labels = built["slices"], built["certificate"]["labels"]["findings"]
    names = list(slices)
    yield f"{'':20}{'images':>{8 * len(names)}}   in the first 10 %, and off its share"
    yield (
        f"{'':20}"
        + "".join(f"{name[:7]:>8}" for name in names)
        + "".join(f"{name:>17}" for name in names)
    )
    for label, counts in labels.items():
        inside = (slices[name].get(label, (0, 0.0)) for name in names)
        yield (
            f"{label:20}"
            + "".join(f"{counts[name]['achieved']:8,}" for name in names)
            + "".join(f"{count:9,}{off:+8.2f}" for count, off in inside)
        )
    largest = (max(abs(off) for _, off in slices[name].values()) for name in names)
    yield f"{'largest':20}{'':{8 * len(names)}}" + "".join(f"{off:17.2f}" for off in largest)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--table",
        type=pathlib.Path,
        help=f"the NIH's table, gzipped ($MEDICAL_IMAGES_REALDATA/nih/{TABLE})",
    )
    parser.add_argument("--size", type=int, default=64, help="side of the images in pixels (64)")
    parser.add_argument("--rows", type=int, help="only the first rows of the table (all)")
    parser.add_argument("--workers", type=int, help="worker processes (one for each core)")
    parser.add_argument(
        "--data", help="folder to keep the corpus in, and to find it again (a temporary one)"
    )
    parser.add_argument("--json", type=pathlib.Path, help="file for the figures")
    parser.add_argument("--job", help=argparse.SUPPRESS)  # this script, as one process of its own
    args = parser.parse_args()
    if args.job:
        return args
    real = os.environ.get("MEDICAL_IMAGES_REALDATA")
    if args.table is None and real is None:
        parser.error("name the table with --table, or its folder in $MEDICAL_IMAGES_REALDATA")
    args.table = args.table or pathlib.Path(real, "nih", TABLE)
    if not args.table.is_file():
        parser.error(f"there is no table {args.table}; the NIH gives it with ChestX-ray14")
    return args


def measure(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="bench_nih_") as temporary:
        folder = pathlib.Path(temporary)
        corpus = pathlib.Path(args.data or folder / "corpus").absolute()
        make_corpus(corpus, args)
        spec = os.fspath(write_spec(folder))
        job = {
            "corpus": os.fspath(corpus),
            "spec": spec,
            "out": os.fspath(folder),
            "workers": args.workers,
        }
        built = run_job(__file__, "build", job, folder)
        print(report(built), flush=True)
        loaded = run_job(__file__, "load", {**job, "name": built["name"]}, folder)
        told = ", ".join(f"{name} {shape}" for name, shape in loaded["features"].items())
        print(f"tfds.load('{built['name']}'), one batch: {told}")
        if args.json:
            args.json.write_text(json.dumps({**built, "batch": loaded}, indent=1))


def main() -> None:
    args = parse_args()
    if args.job:
        finish_job(json.loads(args.job), JOBS)
    else:
        measure(args)


if __name__ == "__main__":
    main()
