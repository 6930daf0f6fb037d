"""How fast a corpus is built: images per second, next to ways of doing without this package.

The contenders write the same corpus (the phantom's JPEG files and tables), with the same features:

  ours   `medical_images`: tables read, joined and checked, splits planned, every image decoded
         strictly, metadata stripped, shards and index written.
  plain  a `tfds.core.GeneratorBasedBuilder` written by hand: pandas reads the tables, patients are
         dealt to three splits at random, TFDS writes. No check of the tables, no stratification.
  loop   one process that reads each file and writes a `tf.train.Example` to one file, in the order
         of the table. No splits, no shuffling, no TFDS dataset: as little as can be done.

To see what the check of images costs, `--contenders ours,unchecked,strict,...`:

  unchecked  ours, with `images: {check: none}`.
  strict     two processes decode the same files strictly by simplejpeg, and write nothing; they
             are started before.

and, if asked for by `--contenders`, writers of other formats, none of which makes splits:

  webdataset  `ShardWriter`, tar files of 64 MB, one process.
  litdata     `optimize`, chunks of 64 MB, a process for each core.
  hf          `datasets`: `imagefolder` with metadata, bytes embedded, a process for each core.
  tfds_beam   the plain builder written for Beam, on Beam's local FnApiRunner.

How it is measured. In each round every contender runs once, in an order that turns by round, as a
new process that writes to a new folder. The main figure is the time of the build alone: from the
first table to the last file, after the imports; the start of our worker processes is inside it.
Imports, and wall and processor time of the whole process (with its workers),
are given beside it. Ratios are taken within each
round; the table gives their median. Image files are in the page cache (all are read before the
first round), and nothing is synced to the disk. After each run the records in the written files
are counted. Memory is the summed resident set of a contender's processes, sampled ten times a
second; pages that processes share are counted in each.

    python benchmarks/build.py
    python benchmarks/build.py --images 2000 --rounds 3 --file-format array_record --json build.json
    python benchmarks/build.py --contenders ours,plain,loop,webdataset,litdata,hf,tfds_beam

It needs the extra `bench`: pip install ".[bench]"
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import psutil
from build_contenders import COUNT, PREPARE

SAMPLE_SECONDS = 0.1


def run_job(job: dict[str, Any]) -> None:
    """Runs in a process of its own: imports, builds, and leaves the times in `job['result']`."""
    begin = time.perf_counter()
    build = PREPARE[job["contender"]](job)
    ready = time.perf_counter()
    built = build()
    done = time.perf_counter()
    if not isinstance(built, int):
        built = sum(split.num_examples for split in built.info.splits.values())
    result = {"import_s": ready - begin, "build_s": done - ready, "examples": built}
    pathlib.Path(job["result"]).write_text(json.dumps(result))


# --- measuring -----------------------------------------------------------------------------------


def watch(process: subprocess.Popen[bytes]) -> tuple[float, int]:
    """Waits for a process; returns its seconds and the peak of its tree's memory in bytes."""
    begin, peak = time.perf_counter(), 0
    root = psutil.Process(process.pid)
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=SAMPLE_SECONDS)
            return time.perf_counter() - begin, peak
        memory = 0
        with contextlib.suppress(psutil.Error):
            for member in (root, *root.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    memory += member.memory_info().rss
        peak = max(peak, memory)


def run_contender(name: str, corpus: pathlib.Path, args: argparse.Namespace) -> dict[str, Any]:
    """Runs one contender once; returns its figures."""
    with tempfile.TemporaryDirectory(prefix="bench_build_") as folder:
        result, log = os.path.join(folder, "result.json"), os.path.join(folder, "log")
        out = os.path.join(folder, "out")
        os.mkdir(out)
        job = {
            "contender": name,
            "corpus": os.fspath(corpus),
            "out": out,
            "workers": args.workers,
            "file_format": args.file_format,
            "result": result,
        }
        command = [sys.executable, os.path.abspath(__file__), "--job", json.dumps(job)]
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
        before = children_cpu_seconds()
        with open(log, "wb") as file:
            process = subprocess.Popen(
                command, stdout=file, stderr=file, env={**os.environ, **quiet}
            )
            wall, peak = watch(process)
        cpu = children_cpu_seconds() - before
        if process.returncode:
            sys.exit(f"{name} failed:\n{pathlib.Path(log).read_text()}")
        figures = json.loads(pathlib.Path(result).read_text())
        counted = COUNT[name](pathlib.Path(out), args.file_format)
        if not counted == figures["examples"] == args.images:
            sys.exit(f"{name} wrote {counted} records and tells of {figures['examples']}")
    return {**figures, "wall_s": wall, "cpu_s": cpu, "peak_rss_bytes": peak}


def children_cpu_seconds() -> float:
    """Returns the processor time of all processes that this one, or its children, waited for."""
    times = psutil.Process().cpu_times()
    return times.children_user + times.children_system


# --- the corpus ----------------------------------------------------------------------------------


@contextlib.contextmanager
def corpus_folder(args: argparse.Namespace) -> Iterator[pathlib.Path]:
    """Yields the folder of the phantom corpus, drawn now unless `--data` already holds it."""
    folder = pathlib.Path(args.data or tempfile.mkdtemp(prefix="bench_corpus_"))
    try:
        if not holds_corpus(folder, args):
            from medical_images import write_phantom

            begin = time.perf_counter()
            width, height = args.size
            write_phantom(folder, num_images=args.images, height=height, width=width)
            print(f"corpus drawn in {time.perf_counter() - begin:.0f} s (not counted)")
        yield folder.absolute()
    finally:
        if not args.data:
            shutil.rmtree(folder)


def holds_corpus(folder: pathlib.Path, args: argparse.Namespace) -> bool:
    from PIL import Image

    table, images = folder / "metadata.csv", sorted((folder / "images").glob("PH_*.jpg"))
    if not table.is_file() or len(images) != args.images:
        return False
    with Image.open(images[0]) as image:
        return image.size == args.size and len(table.read_text().splitlines()) == args.images + 1


def warm(corpus: pathlib.Path) -> int:
    """Reads every image once, into the page cache; returns their bytes."""
    return sum(len(path.read_bytes()) for path in (corpus / "images").iterdir())


# --- the report ----------------------------------------------------------------------------------


def report(names: list[str], rounds: list[dict[str, Any]], num_images: int, num_bytes: int) -> str:
    head = (
        f"{'':10}{'build, s':>22}{'images/s':>10}{'MB/s':>6}{'imports':>9}{'process, s':>16}"
        f"{'peak RSS':>10}{'time, ours = 1':>23}\n"
        f"{'':10}{'median':>8}{'min':>7}{'max':>7}{'':16}{'s':>9}{'wall':>9}{'cpu':>7}{'MB':>10}"
        f"{'median':>9}{'min':>7}{'max':>7}"
    )
    lines = [head]
    for name in names:
        runs = [figures[name] for figures in rounds]
        times = [run["build_s"] for run in runs]
        ratios = [figures[name]["build_s"] / figures["ours"]["build_s"] for figures in rounds]
        middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        peak = max(run["peak_rss_bytes"] for run in runs)
        lines.append(
            f"{name:10}{middle['build_s']:8.2f}{min(times):7.2f}{max(times):7.2f}"
            f"{num_images / middle['build_s']:10.0f}{num_bytes / 1e6 / middle['build_s']:6.0f}"
            f"{middle['import_s']:9.2f}{middle['wall_s']:9.2f}{middle['cpu_s']:7.2f}"
            f"{peak / 1e6:10.0f}"
            f"{statistics.median(ratios):9.2f}{min(ratios):7.2f}{max(ratios):7.2f}"
        )
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    names = ("tensorflow", "tensorflow-datasets", "array-record", "pandas", "numpy")
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in names},
    }


def parse_size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError("write it as WIDTHxHEIGHT, such as 600x450")
    return int(width), int(height)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=6000, help="how many images (6000)")
    parser.add_argument(
        "--size", type=parse_size, default=(600, 450), help="width x height in pixels (600x450)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender runs (5)")
    parser.add_argument("--workers", type=int, help="our worker processes (one for each core)")
    parser.add_argument(
        "--file-format",
        choices=("tfrecord", "array_record"),
        default="tfrecord",
        help="what all contenders write (tfrecord)",
    )
    parser.add_argument(
        "--contenders",
        type=lambda text: text.split(","),
        default=["ours", "plain", "loop"],
        help=f"of {','.join(PREPARE)} (ours,plain,loop); the last takes minutes",
    )
    parser.add_argument(
        "--data", help="folder to keep the corpus in, and to find it again (a temporary one)"
    )
    parser.add_argument("--json", help="file for the figures of every run")
    parser.add_argument("--job", help=argparse.SUPPRESS)  # this script, as one contender
    args = parser.parse_args()
    if args.images < 1 or args.rounds < 1:
        parser.error("--images and --rounds are at least 1")
    if "ours" not in args.contenders or not set(args.contenders) <= set(PREPARE):
        parser.error(f"--contenders are ours and others of {', '.join(PREPARE)}")
    return args


def measure(args: argparse.Namespace) -> None:
    about = machine()
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    with corpus_folder(args) as corpus:
        num_bytes = warm(corpus)
        print(
            f"{args.images:,} images of {args.size[0]}x{args.size[1]},"
            f" {num_bytes / args.images / 1e3:.0f} kB each, {num_bytes / 1e6:,.0f} MB, in the page"
            f" cache; {args.file_format}; our workers: {args.workers or 'one for each core'}"
        )
        rounds: list[dict[str, Any]] = []
        for number in range(args.rounds):
            turn = number % len(args.contenders)
            order = args.contenders[turn:] + args.contenders[:turn]
            rounds.append({name: run_contender(name, corpus, args) for name in order})
            told = ", ".join(f"{name} {rounds[-1][name]['build_s']:.2f} s" for name in order)
            print(f"round {number + 1}: {told}", flush=True)
    print(report(args.contenders, rounds, args.images, num_bytes))
    if args.json:
        figures = {"machine": about, "options": vars(args), "bytes": num_bytes, "rounds": rounds}
        pathlib.Path(args.json).write_text(json.dumps(figures, indent=1))


def main() -> None:
    args = parse_args()
    if args.job:
        run_job(json.loads(args.job))
    else:
        measure(args)


if __name__ == "__main__":
    main()
