"""What balanced classes cost: images per second, next to other ways to repeat rare classes.

The corpus is the phantom's: seven classes, the commonest 58 times as frequent as the rarest. All
that balance deliver each class as often as the commonest one, so an epoch has about 4.7 times as
many images as the training split; 224x224 pixels, batches of 64.

  plain             `mi.load`, each image once.
  plain_encoder     with age, sex, site and note of each image encoded.
  ours_ones         `mi.load(oversample=...)` with factors of 1: the machinery without its effect.
  ours              `mi.load(oversample='balanced')`: each image is decoded once an epoch.
  streaming         `mi.transforms.oversample` behind `mi.transforms.decode`, on the dataset that
                    TFDS reads; the form for any `tf.data` pipeline.
  filter_repeat     for each class a `filter` of all records, repeated; mixed by
                    `sample_from_datasets`. Each pass of each class reads all records.
  rejection         `Dataset.rejection_resample`, which reads on until it has accepted enough.
  filter_decoded    the same as guides have it: all is decoded and resized before it is filtered.
  rejection_decoded likewise.
  sampled           for each class its records in the memory, still encoded (`cache`); mixed by
                    `sample_from_datasets`.
  sampled_decoded   the same with decoded and resized images in the memory: after the first epoch
                    nothing is decoded. It holds the whole split, so it is for small ones.

Peers filter, reject and keep encoded images (but those named `decoded`), and decode what is
delivered in one parallel call, the whole image as `tf.io.decode_jpeg` does. `plain_full`,
`ours_full` and `streaming_full` are ours with `reduced=False`: they compare the ways to repeat,
without the reduced scale.

Rates are of images delivered. Beside them: how many images an epoch decodes, where that is known;
the milliseconds for each of these; and what the classes of the first epoch, counted from its
labels, are off from what was announced. A second table of ratios tells what each decoded image
costs: balanced, it is delivered several times. The measuring is that of load.py; an epoch that
takes longer than `--seconds` is stopped.

    python benchmarks/oversample.py
    python benchmarks/oversample.py --images 300 --rounds 1  # a quick try
    python benchmarks/oversample.py --contenders plain,ours,ours_ones,sampled --json oversample.json

It needs the extra `bench`: pip install ".[bench]"
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from build_contenders import CLASSES
from load_contenders import (
    SHUFFLE_BUFFER,
    encoded,
    open_ours,
    open_ours_encoder,
    open_ours_full,
    resize,
    tuned,
)
from load_forms import open_builder, read_rows
from throughput import (
    CUT,
    Contender,
    Epochs,
    Job,
    Ratio,
    check_args,
    check_work,
    finish,
    parser_of,
    ratio_table,
    run_rounds,
    spread,
    tell_machine,
    write_json,
)


@dataclass(frozen=True, kw_only=True)
class Method(Contender):
    """A way to read the training split, rebalanced or not.

    Attributes:
      decodes: `once` an image, `every` copy, `nothing` after the first epoch, or `more` than is
        delivered.
      is_exact: whether it says that the classes are exactly balanced.
    """

    decodes: str
    is_exact: bool = False


def class_sizes(job: Job) -> np.ndarray:
    return np.bincount([row.label for row in read_rows(job)], minlength=len(CLASSES))


def balanced_sizes(counts: Any) -> np.ndarray:
    """Returns how often each class is to occur; a class without images stays without."""
    counts = np.asarray(counts)
    return np.where(counts > 0, counts.max(), 0)


# --- ours ----------------------------------------------------------------------------------------


def open_balanced(job: Job) -> Epochs:
    return open_ours(job, oversample="balanced")


def open_balanced_full(job: Job) -> Epochs:
    return open_ours(job, oversample="balanced", reduced=False)


def open_ones(job: Job) -> Epochs:
    return open_ours(job, oversample=dict.fromkeys(CLASSES, 1.0))


def open_streaming(job: Job, *, reduced: bool = True) -> Epochs:
    import medical_images as mi

    builder, size = open_builder(job), (job["side"], job["side"])
    ds = mi.transforms.decode(encoded(builder), size, reduced=reduced)
    counts = mi.class_counts(builder, "train")
    ds = mi.transforms.oversample(ds, counts, shuffle_buffer=SHUFFLE_BUFFER)
    return deliver(ds, job, is_decoded=True)


def open_streaming_full(job: Job) -> Epochs:
    return open_streaming(job, reduced=False)


# --- peers ---------------------------------------------------------------------------------------


def records(job: Job, *, is_decoded: bool = False) -> Any:
    """Returns label and image of each record of the split: its file, or its pixels."""
    import tensorflow as tf

    ds = encoded(open_builder(job))
    if not is_decoded:
        return ds
    return ds.map(functools.partial(decoded, side=job["side"]), num_parallel_calls=tf.data.AUTOTUNE)


def decoded(example: Mapping[str, Any], *, side: int) -> dict[str, Any]:
    import tensorflow as tf

    image = tf.io.decode_jpeg(example["image"], channels=3)
    return {"image": resize(image, side), "label": example["label"]}


def deliver(ds: Any, job: Job, *, is_decoded: bool = False) -> Epochs:
    """Makes batches; decodes what is still encoded."""

    def delivered(example: Mapping[str, Any]) -> tuple[Any, Any]:
        example = example if is_decoded else decoded(example, side=job["side"])
        return example["image"], example["label"]

    return tuned(ds, job, delivered)


def open_filter_repeat(job: Job, *, is_decoded: bool = False) -> Epochs:
    import tensorflow as tf

    ds, sizes = records(job, is_decoded=is_decoded), balanced_sizes(class_sizes(job))
    parts = [
        ds.filter(lambda example, number=number: example["label"] == number).repeat().take(size)
        for number, size in enumerate(sizes)
        if size
    ]
    mixed = tf.data.Dataset.sample_from_datasets(parts, stop_on_empty_dataset=False)
    if not is_decoded:
        mixed = mixed.shuffle(SHUFFLE_BUFFER)
    return deliver(mixed, job, is_decoded=is_decoded)


def open_filter_decoded(job: Job) -> Epochs:
    """Not shuffled any more: a buffer would be full after minutes only."""
    return open_filter_repeat(job, is_decoded=True)


def open_rejection(job: Job, *, is_decoded: bool = False) -> Epochs:
    counts = class_sizes(job)
    goal = balanced_sizes(counts)
    accepted = (
        records(job, is_decoded=is_decoded)
        .repeat()
        .rejection_resample(
            lambda example: example["label"],
            target_dist=(goal / goal.sum()).astype(np.float32),
            initial_dist=(counts / counts.sum()).astype(np.float32),
        )
    )
    accepted = accepted.map(lambda _, example: example).take(goal.sum())
    return deliver(accepted.shuffle(SHUFFLE_BUFFER), job, is_decoded=is_decoded)


def open_rejection_decoded(job: Job) -> Epochs:
    return open_rejection(job, is_decoded=True)


def open_sampled(job: Job, *, is_decoded: bool = False) -> Epochs:
    """Fills the caches when it opens."""
    import tensorflow as tf

    ds, sizes = records(job, is_decoded=is_decoded), class_sizes(job)
    parts = []
    for number, size in enumerate(sizes):
        part = ds.filter(lambda example, number=number: example["label"] == number).cache()
        if size:
            for _ in part:
                pass
            parts.append(part.shuffle(size).repeat())
    mixed = tf.data.Dataset.sample_from_datasets(parts, [1 / len(parts)] * len(parts))
    return deliver(mixed.take(balanced_sizes(sizes).sum()), job, is_decoded=is_decoded)


def open_sampled_decoded(job: Job) -> Epochs:
    return open_sampled(job, is_decoded=True)


METHODS = {
    "plain": Method(open=open_ours, decodes="once"),
    "plain_full": Method(open=open_ours_full, decodes="once"),
    "plain_encoder": Method(open=open_ours_encoder, decodes="once"),
    "ours_ones": Method(open=open_ones, decodes="once"),
    "ours": Method(open=open_balanced, is_epoch=False, decodes="once", is_exact=True),
    "ours_full": Method(open=open_balanced_full, is_epoch=False, decodes="once", is_exact=True),
    "streaming": Method(open=open_streaming, is_epoch=False, decodes="once", is_exact=True),
    "streaming_full": Method(
        open=open_streaming_full, is_epoch=False, decodes="once", is_exact=True
    ),
    "filter_repeat": Method(
        open=open_filter_repeat, is_epoch=False, decodes="every", is_exact=True
    ),
    "rejection": Method(open=open_rejection, is_epoch=False, decodes="every"),
    "filter_decoded": Method(
        open=open_filter_decoded, is_epoch=False, decodes="more", is_exact=True
    ),
    "rejection_decoded": Method(open=open_rejection_decoded, is_epoch=False, decodes="more"),
    "sampled": Method(open=open_sampled, is_epoch=False, decodes="every"),
    "sampled_decoded": Method(open=open_sampled_decoded, is_epoch=False, decodes="nothing"),
}
RATIOS: dict[tuple[str, str], Ratio] = {
    ("ours", "plain"): ("images out, balanced", 3),
    ("ours", "filter_repeat"): ("filters by class", 30),
    ("ours", "filter_decoded"): ("filters by class", 30),
    ("ours", "rejection"): ("rejection", 15),
    ("ours", "rejection_decoded"): ("rejection", 15),
    ("ours", "sampled"): ("records in the memory", 4),
    ("ours", "sampled_decoded"): ("all images in the memory", None),
    ("ours", "streaming"): ("our two forms", None),
    ("ours_full", "filter_repeat"): ("both decode all of an image", None),
    ("ours_full", "rejection"): ("both decode all of an image", None),
    ("ours_full", "sampled"): ("both decode all of an image", None),
    ("ours_full", "plain_full"): ("images out, balanced", None),
}
DECODED_RATIOS: dict[tuple[str, str], Ratio] = {
    ("ours", "plain"): ("balanced", 0.95),
    ("ours_full", "plain_full"): ("balanced", 0.95),
    ("ours_ones", "plain"): ("the machinery, factors of 1", 0.95),
    ("plain_encoder", "plain"): ("the encoder of metadata", 0.95),
}

# --- the report ----------------------------------------------------------------------------------


def table(names: Sequence[str], rounds: Sequence[dict[str, Any]], counts: Sequence[int]) -> str:
    width = max(map(len, names)) + 1
    lines = [
        f"{'':{width}}{'images/s out':>24}{'ours / it':>24}{'out':>10}{'decoded':>9}{'ms a':>9}"
        f"{'memory':>8}  off from what is announced\n"
        f"{'':{width}}{'median':>8}{'min':>8}{'max':>8}{'median':>8}{'min':>8}{'max':>8}"
        f"{'an epoch':>10}{'':9}{'decoded':>9}{'MB':>8}  at most, of a class",
    ]
    for name in names:
        runs = [figures[name] for figures in rounds]
        rates = [run["images_per_s"] for run in runs]
        rate, out = statistics.median(rates), int(announced(name, counts).sum())
        number = num_decoded(name, counts)
        told = METHODS[name].decodes if number is None else f"{number:,}"
        cost = f"{1000 * out / rate / number:.2f}" if number else "-"
        memory = statistics.median(run["main_rss"] for run in runs)
        mark = CUT if any(run["is_cut"] for run in runs) else " "
        lines.append(
            f"{name:{width}}{rate:8.0f}{min(rates):8.0f}{max(rates):8.0f}"
            f"{spread(rounds, 'ours', name)}{mark}{out:9,}{told:>9}{cost:>9}"
            f"{memory / 1e6:8.0f}  {tell_deviation(name, runs, counts)}"
        )
    if any(run["is_cut"] for figures in rounds for run in figures.values()):
        lines.append(f"{CUT} stopped before the end of the epoch, see --seconds")
    return "\n".join(lines)


def num_decoded(name: str, counts: Sequence[int]) -> int | None:
    """Returns how many images an epoch decodes; None where that is not known."""
    out = int(announced(name, counts).sum())
    numbers = {"once": sum(counts), "every": out, "nothing": 0}
    return numbers.get(METHODS[name].decodes)


def announced(name: str, counts: Sequence[int]) -> np.ndarray:
    return np.asarray(counts) if METHODS[name].is_epoch else balanced_sizes(counts)


def tell_deviation(name: str, runs: Sequence[dict[str, Any]], counts: Sequence[int]) -> str:
    if any(run["is_cut"] for run in runs):
        return "not known, stopped"
    goal = announced(name, counts)
    off = max(int(np.abs(np.array(run["counts"]) - goal).max()) for run in runs)
    return f"{off:,} images, {off / goal.max():.1%}" if off else "none"


def check_balance(rounds: Sequence[dict[str, Any]], counts: Sequence[int]) -> list[str]:
    """Returns what was said to be exactly balanced and was not."""
    goal = balanced_sizes(counts).tolist()
    return sorted(
        {
            f"{name} delivered {run['counts']} images of the classes, not {goal}"
            for figures in rounds
            for name, run in figures.items()
            if METHODS[name].is_exact and not run["is_cut"] and run["counts"] != goal
        }
    )


def parse_args() -> argparse.Namespace:
    parser = parser_of(__doc__ or "", METHODS)
    args = parser.parse_args()
    args.size = args.size or (600, 450)
    args.images = args.images or 6000
    args.contenders = args.contenders or list(METHODS)
    return check_args(parser, args, METHODS)


def main() -> None:
    args = parse_args()
    if args.job:
        finish(args.job, METHODS)
        return
    about = tell_machine()
    rounds, counts = run_rounds(__file__, args, METHODS)
    told = ", ".join(f"{name} {count}" for name, count in zip(CLASSES, counts, strict=True))
    print(f"\nclasses of the training split: {told}\n")
    print(f"{table(args.contenders, rounds, counts)}\n")
    print(f"{ratio_table(RATIOS, rounds, 'images/s out of one / of the other')}\n")
    for figures in rounds:
        for name, run in figures.items():
            share = (num_decoded(name, counts) or 0) / announced(name, counts).sum()
            run["decoded_per_s"] = run["images_per_s"] * share
    title = "decoded images/s of one / of the other"
    print(ratio_table(DECODED_RATIOS, rounds, title, key="decoded_per_s"))
    write_json(args, about, rounds, counts)
    problems = check_work(rounds, counts, METHODS) + check_balance(rounds, counts)
    if problems:
        sys.exit("not what was to be done:\n" + "\n".join(problems))


if __name__ == "__main__":
    main()
