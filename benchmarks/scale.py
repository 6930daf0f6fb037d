"""How a build grows: time of each phase and memory, for tables of several lengths.

The corpora are made up: a table of images of patients (one to six each) with a class of seven, an
age and a site, and grey PNG files of 1 KB in a tree of folders, drawn from the number of the row.
So files are small, and all that is not bytes of pixels shows. Each build is one call of
`download_and_prepare` in a new process; phases are timed inside it, by wrapping the functions it
goes through. Memory is the resident set, sampled twenty times a second. Files are in the page cache
as far as memory holds them.

    python benchmarks/scale.py
    python benchmarks/scale.py --rows 30000 100000 --pixels 300   # larger files, 90 KB each
    python benchmarks/scale.py --rows 30000 100000 300000 --beam  # by Beam's FnApiRunner

By Beam, shuffled bytes are those that its runner groups by a key, encoded; work files are what its
workers leave for each other in a folder. FnApiRunner is one process that holds all it shuffles, so
its memory says nothing of a worker elsewhere.

The last lines give, for each phase, microseconds an image of the longest table, and the memory that
a million images more would take: what docs/scale.md reckons with. It needs the extra `bench`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import struct
import tempfile
import time
import zlib
from collections.abc import Iterator
from concurrent import futures
from typing import Any

from measuring import Clock, finish_job, run_job

SPEC = """\
name: scale
tables: [{path: table.csv}]
images: {path: "images/{folder}/{image_id}.png", channels: 1}
features:
  image_id: {type: id}
  label: {type: class, values: [c0, c1, c2, c3, c4, c5, c6]}
  age: {type: float}
  site: {type: class, values: [s0, s1, s2, s3]}
supervised: label
group: patient
stratify: label
splits: {train: 0.8, validation: 0.1, test: 0.1}
"""
CLASS_SHARES = (0.55, 0.2, 0.1, 0.07, 0.05, 0.02, 0.01)

# --- the corpus ----------------------------------------------------------------------------------


def make_corpus(folder: pathlib.Path, num_rows: int, pixels: int) -> int:
    """Writes table, spec and images; returns the bytes of the images."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 7, num_rows)
    patients = np.repeat(np.arange(num_rows), sizes)[:num_rows]
    number = np.arange(num_rows)
    table = pd.DataFrame(
        {
            "image_id": [f"i{n:08}" for n in number],
            "folder": [f"f{n // 1000:05}" for n in number],
            "patient": [f"p{n:08}" for n in patients],
            "label": [f"c{k}" for k in rng.choice(7, num_rows, p=CLASS_SHARES)],
            "age": rng.integers(20, 90, num_rows),
            "site": [f"s{k}" for k in rng.integers(0, 4, num_rows)],
        }
    )
    folder.mkdir(parents=True)
    table.to_csv(folder / "table.csv", index=False)
    (folder / "corpus.yaml").write_text(SPEC)
    step = 1000
    with futures.ProcessPoolExecutor(2) as pool:
        starts = range(0, num_rows, step)
        jobs = [(folder, at, min(at + step, num_rows), pixels) for at in starts]
        return sum(pool.map(draw_images, *zip(*jobs, strict=True), chunksize=8))


def draw_images(folder: pathlib.Path, begin: int, end: int, pixels: int) -> int:
    """Draws images of noise, whose PNG files are stored without compression."""
    import numpy as np

    place = folder / "images" / f"f{begin // 1000:05}"
    place.mkdir(parents=True)
    num_bytes = 0
    for number in range(begin, end):
        noise = np.random.default_rng(number).integers(0, 256, (pixels, pixels), dtype=np.uint8)
        rows = np.insert(noise, 0, 0, axis=1).tobytes()  # each row begins with its filter: none
        header = struct.pack(">IIBBBBB", pixels, pixels, 8, 0, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b""))
        data = b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in chunks
        )
        (place / f"i{number:08}.png").write_bytes(data)
        num_bytes += len(data)
    return num_bytes


# --- the build, in a process of its own ----------------------------------------------------------


def build(job: dict[str, Any]) -> dict[str, Any]:
    """Builds; returns the seconds of the phases."""
    import tensorflow_datasets as tfds

    import medical_images as mi

    clock = Clock.of_beam_builds() if job["beam"] else Clock.of_builds()
    shuffled, left = watch_beam() if job["beam"] else ([0], [0])
    begin = time.perf_counter()
    config = mi.MedicalImagesConfig(spec=job["spec"], num_workers=job["workers"])
    builder = mi.Builder(config=config, data_dir=job["out"])
    runner = "FnApiRunner" if job["beam"] else None
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(beam_runner=runner))
    total = time.perf_counter() - begin
    files = [path for path in pathlib.Path(builder.data_dir).rglob("*") if path.is_file()]
    return {
        "total_s": total,
        "shuffled_bytes": sum(shuffled),
        "work_bytes": sum(left),
        "phases_s": clock.phases(total),
        "examples": sum(split.num_examples for split in builder.info.splits.values()),
        "shards": sum(split.num_shards for split in builder.info.splits.values()),
        "written_bytes": sum(path.stat().st_size for path in files),
        "index_bytes": sum(path.stat().st_size for path in files if path.suffix == ".parquet"),
    }


def watch_beam() -> tuple[list[int], list[int]]:
    """Has all bytes counted that Beam's local runner shuffles, and those of work files."""
    from apache_beam.runners.portability.fn_api_runner import execution

    from medical_images import engines, medical_images_dataset_builder

    shuffled: list[int] = []
    left: list[int] = []
    append, folder_of = execution.GroupingBuffer.append, engines.beam_folder

    def counted_append(self: Any, data: bytes) -> None:
        shuffled.append(len(data))
        append(self, data)

    @contextlib.contextmanager
    def measured_folder(dataset: Any) -> Iterator[str]:
        with folder_of(dataset) as folder:
            yield folder
            paths = pathlib.Path(folder).rglob("*")
            left.extend(path.stat().st_size for path in paths if path.is_file())

    execution.GroupingBuffer.append = counted_append
    medical_images_dataset_builder.beam_folder = measured_folder
    return shuffled, left


# --- the report ----------------------------------------------------------------------------------


def report(runs: list[dict[str, Any]]) -> str:
    phases = list(runs[-1]["phases_s"])

    def line(name: str, figures: list[float], form: str = ",.0f") -> str:
        return f"{name:18}" + "".join(f"{format(figure, form):>12}" for figure in figures)

    lines = [line("images", [run["examples"] for run in runs])]
    lines += [
        line(f"{phase}, s", [run["phases_s"][phase] for run in runs], ".2f") for phase in phases
    ]
    lines += [
        line("total, s", [run["total_s"] for run in runs], ".2f"),
        line("images/s", [run["examples"] / run["total_s"] for run in runs]),
        line("read, MB", [run["read_bytes"] / 1e6 for run in runs]),
        line("written, MB", [run["written_bytes"] / 1e6 for run in runs]),
        line("index, MB", [run["index_bytes"] / 1e6 for run in runs], ",.1f"),
        line("shuffled, MB", [run["shuffled_bytes"] / 1e6 for run in runs]),
        line("work files, MB", [run["work_bytes"] / 1e6 for run in runs]),
        line("main process, MB", [run["main_rss"] / 1e6 for run in runs]),
        line("a worker, MB", [max(run["worker_rss"], default=0) / 1e6 for run in runs]),
    ]
    longest = runs[-1]
    told = ", ".join(
        f"{phase} {seconds / longest['examples'] * 1e6:.1f}"
        for phase, seconds in longest["phases_s"].items()
    )
    lines.append(f"microseconds an image: {told}")
    if len(runs) > 1:
        first = runs[-2]
        more = (longest["main_rss"] - first["main_rss"]) / (longest["examples"] - first["examples"])
        lines.append(f"main process: {more * 1e6 / 1e6:,.0f} MB for a million images more")
    return "\n".join(lines)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rows",
        type=int,
        nargs="+",
        default=[100_000, 300_000, 1_000_000],
        help="lengths of the tables (100000 300000 1000000)",
    )
    parser.add_argument("--pixels", type=int, default=30, help="side of the images (30: 1 KB)")
    parser.add_argument("--workers", type=int, help="worker processes (one for each core)")
    parser.add_argument("--beam", action="store_true", help="build by Beam's FnApiRunner")
    parser.add_argument("--work", type=pathlib.Path, help="where to work (a temporary folder)")
    parser.add_argument("--json", type=pathlib.Path, help="file for the figures")
    parser.add_argument("--job", help=argparse.SUPPRESS)  # this script, as one process of its own
    return parser.parse_args()


def measure(args: argparse.Namespace) -> None:
    runs = []
    for num_rows in args.rows:
        with tempfile.TemporaryDirectory(prefix="bench_scale_", dir=args.work) as temporary:
            folder = pathlib.Path(temporary)
            begin = time.perf_counter()
            num_bytes = make_corpus(folder / "corpus", num_rows, args.pixels)
            num_bytes += (folder / "corpus" / "table.csv").stat().st_size
            print(f"{num_rows:,} images drawn in {time.perf_counter() - begin:.0f} s", flush=True)
            job = {
                "spec": os.fspath(folder / "corpus" / "corpus.yaml"),
                "out": os.fspath(folder / "out"),
                "workers": args.workers,
                "beam": args.beam,
            }
            run = {**run_job(__file__, "build", job, folder), "read_bytes": num_bytes}
            runs.append(run)
            print(f"{run['examples']:,} images built in {run['total_s']:.1f} s", flush=True)
            shutil.rmtree(folder / "corpus")
    print(report(runs))
    if args.json:
        args.json.write_text(json.dumps(runs, indent=1))


def main() -> None:
    args = parse_args()
    if args.job:
        finish_job(json.loads(args.job), {"build": build})
    else:
        measure(args)


if __name__ == "__main__":
    main()
