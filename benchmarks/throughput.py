"""What `load.py` and `oversample.py` share: epochs timed in processes of their own, in rounds.

A contender opens its reader and returns a function that begins an epoch: an iterable of batches
(images, labels). The first epoch is not timed; in it every batch is looked at: its shape, the sum
of its pixels, its labels. The figures are those of the epochs after it, each read to its end, with
the start of its pipeline and the filling of its buffers inside.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import json
import os
import pathlib
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
from build import corpus_folder, machine, parse_size, warm
from build_contenders import CLASSES
from load_forms import FORMS, make_form, missing_forms, read_rows
from measuring import finish_job, run_job

Batch = tuple[Any, Any]  # (images, labels); images are None where only decoding is measured
Epochs = Callable[[], Iterable[Batch]]  # begins the next epoch
Job = dict[str, Any]
Ratio = tuple[str, float | None]  # what it tells, and what it is to be at least
CUT = "*"  # marks what was not read to the end of the epoch


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A way to read the training split.

    Attributes:
      open: imports what it needs, opens the reader, and returns what begins an epoch.
      form: what it reads, see `load_forms`; None for the files of the corpus.
      is_epoch: whether an epoch is every image once; False if some are repeated.
    """

    open: Callable[[Job], Epochs]
    form: str | None = "tfds"
    is_epoch: bool = True


# --- in the process of a contender ---------------------------------------------------------------


@dataclass
class Seen:
    """What the first epoch showed."""

    counts: np.ndarray
    pixel_sum: float = 0.0
    num_pixels: int = 0
    is_cut: bool = False
    first_batch_s: float = 0.0


def look(batches: Iterable[Batch], job: Job) -> Seen:
    """Reads an epoch and looks at every batch."""
    side, begin = job["side"], time.perf_counter()
    seen = Seen(np.zeros(len(CLASSES), dtype=np.int64))
    for images, labels in batches:
        seen.first_batch_s = seen.first_batch_s or time.perf_counter() - begin
        labels = np.asarray(labels)
        if images is not None:
            images = np.asarray(images)
            if images.shape != (len(labels), side, side, 3) or len(labels) > job["batch"]:
                raise ValueError(f"a batch of {images.shape} with {len(labels)} labels")
            seen.pixel_sum += float(images.sum(dtype=np.float64))
            seen.num_pixels += images.size
        seen.counts += np.bincount(labels, minlength=len(CLASSES))
        if time.perf_counter() - begin > job["seconds"]:
            seen.is_cut = True
            break
    return seen


def time_epoch(batches: Iterable[Batch], seconds: float) -> tuple[int, float]:
    """Reads an epoch, at most for some seconds; returns the images and the time."""
    begin, number = time.perf_counter(), 0
    for _, labels in batches:
        number += len(labels)
        if time.perf_counter() - begin > seconds:
            break
    return number, time.perf_counter() - begin


def cpu_seconds() -> float:
    """Returns the processor time of this process and of all below it, also of those that ended."""
    me = psutil.Process()
    total = me.cpu_times().children_user + me.cpu_times().children_system
    for process in (me, *me.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def run_epochs(job: Job, contenders: Mapping[str, Contender]) -> dict[str, Any]:
    """Opens a contender and reads its epochs."""
    begin = time.perf_counter()
    epoch = contenders[job["task"]].open(job)
    opened = time.perf_counter()
    seen = look(epoch(), job)
    cpu, timed = cpu_seconds(), []
    for _ in range(job["epochs"]):
        timed.append(time_epoch(epoch(), job["seconds"]))
    num_images = sum(number for number, _ in timed)
    return {
        "open_s": opened - begin,
        "first_batch_s": seen.first_batch_s,
        "counts": seen.counts.tolist(),
        "mean_pixel": seen.pixel_sum / seen.num_pixels if seen.num_pixels else None,
        "is_cut": seen.is_cut,
        "images": num_images,
        "images_per_s": num_images / sum(seconds for _, seconds in timed),
        "cpu_ms": 1000 * (cpu_seconds() - cpu) / num_images,
    }


# --- rounds --------------------------------------------------------------------------------------


def run_rounds(
    script: str, args: argparse.Namespace, contenders: Mapping[str, Contender]
) -> tuple[list[dict[str, Any]], list[int]]:
    """Runs every contender once a round, in an order that turns.

    Returns:
      The figures of each round by contender, and the images of each class in the split.
    """
    with corpus_folder(args) as corpus, work_folder(args) as work:
        num_bytes = warm(corpus)
        width, height = args.size
        print(
            f"{args.images:,} images of {width}x{height}, {num_bytes / args.images / 1e3:.0f} kB"
            f" each, in the page cache; to {args.side}x{args.side}, batches of {args.batch}"
        )
        job = {
            "corpus": os.fspath(corpus),
            "work": os.fspath(work),
            "stamp": f"{corpus} {args.images} {width}x{height}",
            **{name: getattr(args, name) for name in ("side", "batch", "epochs", "seconds")},
            "workers": os.cpu_count(),
        }
        runs = work / "runs"
        runs.mkdir(exist_ok=True)
        needed = [contenders[name].form for name in args.contenders]
        for form in missing_forms(job, [form for form in needed if form]):
            begin = time.perf_counter()
            run_job(script, f"make {form}", {**job, "form": form}, runs)
            print(f"{form} made in {time.perf_counter() - begin:.0f} s (not counted)", flush=True)
        counts = count_classes(work)
        print(f"an epoch is the {sum(counts):,} images of the training split", flush=True)
        rounds: list[dict[str, Any]] = []
        for number in range(args.rounds):
            turn = number % len(args.contenders)
            rounds.append({})
            for name in args.contenders[turn:] + args.contenders[:turn]:
                figures = run_job(script, name, job, runs)
                rounds[-1][name] = figures
                told = f"{figures['images_per_s']:.0f}{CUT if figures['is_cut'] else ''}"
                print(f"round {number + 1}: {name} {told} images/s", flush=True)
    return rounds, counts


def count_classes(work: pathlib.Path) -> list[int]:
    labels = [row.label for row in read_rows({"work": os.fspath(work)})]
    return np.bincount(labels, minlength=len(CLASSES)).tolist()


@contextlib.contextmanager
def work_folder(args: argparse.Namespace) -> Iterator[pathlib.Path]:
    folder = pathlib.Path(args.work or tempfile.mkdtemp(prefix="bench_load_")).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        if not args.work:
            shutil.rmtree(folder)


def check_work(
    rounds: Sequence[dict[str, Any]], counts: Sequence[int], contenders: Mapping[str, Contender]
) -> list[str]:
    """Returns what shows that contenders did not do the same work."""
    problems = []
    runs = [(name, run) for figures in rounds for name, run in figures.items()]
    whole = [(name, run) for name, run in runs if contenders[name].is_epoch and not run["is_cut"]]
    for name, run in whole:
        if run["counts"] != list(counts):
            problems.append(f"{name} read {run['counts']} images of the classes, not {counts}")
    means = [run["mean_pixel"] for _, run in whole if run["mean_pixel"] is not None]
    for name, run in whole:
        mean = run["mean_pixel"]
        if mean is not None and abs(mean - statistics.median(means)) > 1:
            problems.append(
                f"{name}: the mean pixel is {mean:.2f}, of others {statistics.median(means):.2f}"
            )
    return sorted(set(problems))


# --- the report ----------------------------------------------------------------------------------


def main_table(names: Sequence[str], rounds: Sequence[dict[str, Any]]) -> str:
    """Returns the figures of each contender, and how many times faster `ours` is."""
    width = max(map(len, names)) + 1
    lines = [
        f"{'':{width}}{'images/s':>24}{'ours / it':>24}{'cpu, ms':>9}{'first':>9}{'open':>7}"
        f"{'memory':>8}",
        f"{'':{width}}{'median':>8}{'min':>8}{'max':>8}{'median':>8}{'min':>8}{'max':>8}"
        f"{'an image':>9}{'batch, s':>9}{'s':>7}{'MB':>8}",
    ]
    for name in names:
        runs = [figures[name] for figures in rounds]
        middle = {
            key: statistics.median(run[key] for run in runs)
            for key in ("images_per_s", "cpu_ms", "first_batch_s", "open_s")
        }
        rates = [run["images_per_s"] for run in runs]
        memory = statistics.median(run["main_rss"] + sum(run["worker_rss"]) for run in runs)
        mark = CUT if any(run["is_cut"] for run in runs) else " "
        lines.append(
            f"{name:{width}}{middle['images_per_s']:8.0f}{min(rates):8.0f}{max(rates):8.0f}"
            f"{spread(rounds, 'ours', name)}{mark}{middle['cpu_ms']:8.2f}"
            f"{middle['first_batch_s']:9.2f}{middle['open_s']:7.2f}{memory / 1e6:8.0f}"
        )
    if any(run["is_cut"] for figures in rounds for run in figures.values()):
        lines.append(f"{CUT} stopped before the end of the epoch, see --seconds")
    return "\n".join(lines)


def ratio_table(
    ratios: Mapping[tuple[str, str], Ratio],
    rounds: Sequence[dict[str, Any]],
    title: str,
    key: str = "images_per_s",
) -> str:
    """Returns the ratios of a figure, of those contenders that ran, beside what they are to be."""
    lines = [f"{title:62}{'median':>8}{'min':>8}{'max':>8}{'at least':>10}"]
    for (one, other), (what, asked) in ratios.items():
        if one in rounds[0] and other in rounds[0]:
            found = spread(rounds, one, other, key)
            goal = f"{asked:10.2f}" if asked else ""
            lines.append(f"{f'{one} / {other}':34}{what:28}{found}{goal}")
    return "\n".join(lines)


def spread(
    rounds: Sequence[dict[str, Any]], one: str, other: str, key: str = "images_per_s"
) -> str:
    """Returns median, least and largest ratio of a figure of two contenders, by round."""
    found = [figures[one][key] / figures[other][key] for figures in rounds]
    return f"{statistics.median(found):8.2f}{min(found):8.2f}{max(found):8.2f}"


# --- the command line ----------------------------------------------------------------------------


def parser_of(script: str, contenders: Mapping[str, Contender]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=script, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--images", type=int, help="how many images the corpus has (6000)")
    add("--size", type=parse_size, help="width x height of the files in pixels (600x450)")
    add("--side", type=int, default=224, help="height and width of what is delivered (224)")
    add("--batch", type=int, default=64, help="images in a batch (64)")
    add("--rounds", type=int, default=5, help="how often each contender runs (5)")
    add("--epochs", type=int, default=1, help="timed epochs in a round (1)")
    add("--seconds", type=float, default=60, help="when an epoch is stopped (60)")
    add("--contenders", type=lambda text: text.split(","), help=f"of {','.join(contenders)}")
    add("--data", help="folder to keep the corpus in, and to find it again (a temporary one)")
    add("--work", help="folder to keep in, and find again, what is made of it (a temporary one)")
    add("--json", help="file for the figures of every run")
    add("--job", help=argparse.SUPPRESS)  # this script, as one contender
    return parser


def check_args(
    parser: argparse.ArgumentParser, args: argparse.Namespace, known: Iterable[str]
) -> argparse.Namespace:
    if min(args.images, args.rounds, args.epochs, args.side, args.batch) < 1:
        parser.error("--images, --rounds, --epochs, --side and --batch are at least 1")
    if "ours" not in args.contenders or not set(args.contenders) <= set(known):
        parser.error(f"--contenders are ours and others of {', '.join(known)}")
    if len(set(args.contenders)) < len(args.contenders):
        parser.error("--contenders are named once each")
    return args


def finish(job: str, contenders: Mapping[str, Contender]) -> None:
    """Does a task in the process that was started for it."""
    makers = dict.fromkeys((f"make {form}" for form in FORMS), make_form)
    readers = dict.fromkeys(contenders, functools.partial(run_epochs, contenders=contenders))
    finish_job(json.loads(job), {**makers, **readers})


def tell_machine() -> dict[str, Any]:
    about = machine()
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    return about


def write_json(args: argparse.Namespace, about: dict[str, Any], rounds: Any, counts: Any) -> None:
    if args.json:
        figures = {"machine": about, "options": vars(args), "counts": counts, "rounds": rounds}
        pathlib.Path(args.json).write_text(json.dumps(figures, indent=1))


def batched(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for begin in itertools.count(0, size):
        if begin >= len(rows):
            return
        yield rows[begin : begin + size]
