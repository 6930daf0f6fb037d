"""How even splits and slices are, and what planning costs, next to scikit-learn and the like.

Only the planning is measured: no image is read or written. The tables are the NIH's ChestX-ray14
(15 labels, many to one), the phantom's, one of 20,000 groups of Zipf sizes up to 200 with 4
classes, and larger and larger ones of 7 classes with the shares of HAM10000. All but the first are
made from a seed; in these, groups are mostly of one class: an image in ten is drawn anew.

Each contender gets the labels and the group of every image and gives every image a split; for
folds, the fold that holds it out. Peers with folds of one size make 80/10/10 from ten.

  ours                  `plan_splits` of `medical_images.line`, with the summing by group and the
                        hashing that come before it; `plan_positions` is timed apart.
  StratifiedGroupKFold  scikit-learn, shuffled. It takes one class an image: where there are
                        several labels it gets the rarest of them, or, named `sets`, every set of
                        labels that occurs as a class of its own.
  iterative             `MultilabelStratifiedKFold` of the library iterative-stratification,
  stratification        shuffled. It knows no groups: each group is one row, which has a label if
                        any of its images has. So it deals groups evenly; how many images a group
                        brings it cannot see.
  GroupShuffleSplit     scikit-learn, cut by cut: groups at random, labels not looked at.
  train_test_split      scikit-learn, cut by cut, stratified by the class (or rarest label) of each
                        image. It knows no groups: those in two splits are counted.

What is measured:
  largest    |count - share| in images, the largest over all labels, all images, and all splits.
             The floor is a bound below which no plan can come: by largest remainders of whole
             images, and since the largest group of a label stands in one split.
  relative   |count - share| / share, mean and worst over the same.
  slices     the first split of 80/10/10 in ten or twenty even slices, as TFDS cuts percents: mean
             of |count - share| / share over labels and slices. Beside it the same groups in a
             random order, and the floor of whole images.
  seconds    from labels and groups to splits. Imports and the making of the table are outside.
  memory     peak resident set of the process, sampled twenty times a second, with Python and the
             table in it; and what it held before the planning.

Every contender runs once a seed, in an order that turns by seed, each time in a process of its own.
Deviations are the worst of the seeds, times and ratios their median.

    python benchmarks/plan.py --table Data_Entry_2017_v2020.csv.gz --figure splits.svg
    python benchmarks/plan.py --groups 1e7 --markdown plan.md
    python benchmarks/plan.py --quick  # a quick try

It needs the extra `bench`: pip install ".[bench]"
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import importlib.metadata
import io
import itertools
import json
import math
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import psutil

NIH_TABLE = "Data_Entry_2017_v2020.csv.gz"
HAM10000 = (6705, 1113, 1099, 514, 327, 142, 115)
MAIN_PLAN, FOLDS_PLAN = "80/10/10", "5 folds"
PLANS: dict[str, tuple[Fraction, ...]] = {
    MAIN_PLAN: (Fraction(8, 10), Fraction(1, 10), Fraction(1, 10)),
    "70/15/15": (Fraction(70, 100), Fraction(15, 100), Fraction(15, 100)),
    FOLDS_PLAN: (Fraction(1, 5),) * 5,
    "10 folds": (Fraction(1, 10),) * 10,
}
PLANS_OF_PEERS = (MAIN_PLAN, FOLDS_PLAN)
NUMBERS_OF_SLICES = (10, 20)
SAMPLE_SECONDS = 0.05

# --- tables --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """The labels and the group of each image.

    Attributes:
      labels: bool[images, labels].
      groups: int64[images], 0 to the number of groups - 1.
      ids: the id of each group.
      names: the name of each label.
    """

    labels: np.ndarray
    groups: np.ndarray
    ids: Sequence[Any]
    names: Sequence[str]

    def label_sets(self) -> np.ndarray:
        """int64[images]: the number of the set of labels that each image has."""
        return np.unique(self.labels, axis=0, return_inverse=True)[1].ravel()

    def rarest_labels(self) -> np.ndarray:
        """int64[images]: the rarest label of each image, numbered from rare to common."""
        by_rarity = np.argsort(self.labels.sum(axis=0), kind="stable")
        has_none = ~self.labels.any(axis=1, keepdims=True)
        return np.hstack([self.labels[:, by_rarity], has_none]).argmax(axis=1)


def read_nih(path: str, num_rows: int | None) -> Table:
    import pandas as pd

    frame = pd.read_csv(path, nrows=num_rows, usecols=["Finding Labels", "Patient ID"])
    return tabulate(frame["Finding Labels"], frame["Patient ID"])


def read_phantom(num_images: int) -> Table:
    import pandas as pd

    from medical_images import write_phantom

    with tempfile.TemporaryDirectory() as folder:
        write_phantom(folder, num_images=num_images, height=8, width=8, num_workers=1)
        frame = pd.read_csv(pathlib.Path(folder, "metadata.csv"))
    return tabulate(frame["dx"], frame["patient_id"])


def tabulate(labels: Any, group_ids: Any) -> Table:
    """Makes a table of two columns, of which the first joins labels by a bar."""
    columns = labels.str.get_dummies("|")
    groups, ids = group_ids.factorize(sort=True)
    return Table(columns.to_numpy(bool), groups, ids.tolist(), columns.columns.tolist())


def make_table(
    num_groups: int, size_weights: Sequence[float], class_weights: Sequence[int]
) -> Table:
    """Draws groups of 1, 2, ... images, mostly of one class: an image in ten is drawn anew."""
    rng = np.random.default_rng(0)

    def draw(weights: Sequence[float], number: int) -> np.ndarray:
        ends = np.cumsum(weights) / np.sum(weights)
        return np.searchsorted(ends[:-1], rng.random(number), side="right")

    groups = np.repeat(np.arange(num_groups), draw(size_weights, num_groups) + 1)
    classes = draw(class_weights, num_groups).astype(np.int8)[groups]
    anew = np.flatnonzero(rng.random(len(groups)) < 0.1)
    classes[anew] = draw(class_weights, len(anew))
    names = [f"class_{number}" for number in range(len(class_weights))]
    labels = classes[:, None] == np.arange(len(names), dtype=np.int8)
    return Table(labels, groups, range(num_groups), names)


def make_zipf(num_groups: int) -> Table:
    return make_table(num_groups, [size**-1.5 for size in range(1, 201)], (60, 25, 10, 5))


def make_ham(num_groups: int) -> Table:
    return make_table(num_groups, (50, 25, 12, 6, 4, 3), HAM10000)


MAKE: dict[str, Callable[..., Table]] = {
    "nih": read_nih,
    "phantom": read_phantom,
    "zipf": make_zipf,
    "ham": make_ham,
}


# --- what is measured of a plan ------------------------------------------------------------------


def deviations(table: Table, splits: np.ndarray, ratios: Sequence[Fraction]) -> dict[str, float]:
    """Returns how far the splits are from their shares, and how many groups are in two of them."""
    num = len(ratios)
    members = [splits[has_label] for has_label in table.labels.T] + [splits]
    counts = np.stack([np.bincount(inside, minlength=num) for inside in members])
    shares = np.outer(counts.sum(axis=1), np.array(ratios, dtype=float))
    off = np.abs(counts - shares)
    relative = off[shares > 0] / shares[shares > 0]
    seen = np.zeros((num, len(table.ids)), dtype=bool)
    seen[splits, table.groups] = True
    return {
        "largest": float(off.max()),
        "mean_relative": float(relative.mean()),
        "worst_relative": float(relative.max()),
        "groups_in_two": int(np.count_nonzero(seen.sum(axis=0) > 1)),
    }


def split_floor(totals: Sequence[int], largest: Sequence[int], ratios: Sequence[Fraction]) -> float:
    """Returns a bound below which no largest deviation can be.

    Args:
      totals: images with each label.
      largest: the most such images that one group has.
      ratios: the share of each split.
    """
    floor = Fraction(0)
    for total, most in zip(totals, largest, strict=True):
        remainders = sorted(total * ratio % 1 for ratio in ratios)
        num_kept = len(remainders) - int(sum(remainders))
        raised = [1 - remainder for remainder in remainders[num_kept:]]
        floor = max(floor, *remainders[:num_kept], *raised, most - total * max(ratios))
    return float(floor)


def slice_counts(labels: np.ndarray, number: int) -> np.ndarray:
    """Returns int64[number, labels]: images with each label in each of so many even slices."""
    ends = np.rint(np.arange(number) * len(labels) / number).astype(np.int64)
    return np.add.reduceat(labels, ends, axis=0, dtype=np.int64)


def slice_deviation(counts: np.ndarray) -> float:
    """Returns the mean of |count - share| / share over slices and labels that occur."""
    shares = counts.mean(axis=0)
    off = np.abs(counts - shares).mean(axis=0)
    return float((off[shares > 0] / shares[shares > 0]).mean())


def slice_floor(counts: np.ndarray) -> float:
    """Returns the same for counts that differ by one image at most."""
    totals, number = counts.sum(axis=0), len(counts)
    return slice_deviation(np.stack([(totals + k) // number for k in range(number)]))


def images_in_order(table: Table, order: np.ndarray) -> np.ndarray:
    """Returns the images of some groups, given in order; a group's own stand as in the table."""
    place = np.full(len(table.ids), -1)
    place[order] = np.arange(len(order))
    images = np.flatnonzero(place[table.groups] >= 0)
    return images[np.argsort(place[table.groups[images]], kind="stable")]


# --- contenders ----------------------------------------------------------------------------------


def group_images(table: Table, seed: int) -> dict[str, np.ndarray]:
    """Returns what the planner takes of each group: hashes, sizes, counts."""
    from medical_images import line

    return {
        "hashes": line.hash_groups(map(str, table.ids), seed=seed),
        "sizes": np.bincount(table.groups, minlength=len(table.ids)),
        "counts": label_counts(table),
    }


def label_counts(table: Table) -> np.ndarray:
    """Returns int64[groups, labels]: images of each group with each label."""
    counts = np.empty((len(table.ids), len(table.names)), dtype=np.int64)
    for column, has_label in enumerate(table.labels.T):
        counts[:, column] = np.bincount(table.groups[has_label], minlength=len(counts))
    return counts


def order_splits(groups: dict[str, np.ndarray], splits: np.ndarray) -> list[np.ndarray]:
    """Returns the groups of each split, in the order of its line."""
    from medical_images import line

    orders = []
    for number in range(splits.max() + 1):
        members = np.flatnonzero(splits == number)
        part = {name: values[members] for name, values in groups.items()}
        positions = line.plan_positions(**part)
        orders.append(members[np.lexsort((part["hashes"], positions))])
    return orders


def stratified_group_k_fold(
    table: Table, ratios: Sequence[Fraction], seed: int, *, by_set: bool
) -> np.ndarray:
    from sklearn.model_selection import StratifiedGroupKFold

    owners = fold_owners(ratios)
    folds = StratifiedGroupKFold(len(owners), shuffle=True, random_state=seed)
    classes = table.label_sets() if by_set else table.rarest_labels()
    return join_folds(folds.split(classes, classes, table.groups), owners, len(classes))


def iterative_stratification(table: Table, ratios: Sequence[Fraction], seed: int) -> np.ndarray:
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    rows, owners = label_counts(table) > 0, fold_owners(ratios)
    folds = MultilabelStratifiedKFold(len(owners), shuffle=True, random_state=seed)
    return join_folds(folds.split(rows, rows), owners, len(rows))[table.groups]


def group_shuffle_split(table: Table, ratios: Sequence[Fraction], seed: int) -> np.ndarray:
    from sklearn.model_selection import GroupShuffleSplit

    def cut(images: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
        shuffle = GroupShuffleSplit(1, train_size=share, random_state=seed)
        first, others = next(shuffle.split(images, groups=table.groups[images]))
        return images[first], images[others]

    return cut_by_cut(cut, ratios, len(table.groups))


def stratified_train_test_split(table: Table, ratios: Sequence[Fraction], seed: int) -> np.ndarray:
    from sklearn.model_selection import train_test_split

    classes = table.rarest_labels()

    def cut(images: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
        first, others = train_test_split(
            images, train_size=share, stratify=classes[images], random_state=seed
        )
        return first, others

    return cut_by_cut(cut, ratios, len(table.groups))


def fold_owners(ratios: Sequence[Fraction]) -> np.ndarray:
    """Returns the split of each of the fewest even folds that make up the splits."""
    number = math.lcm(*(ratio.denominator for ratio in ratios))
    return np.repeat(np.arange(len(ratios)), [int(ratio * number) for ratio in ratios])


def join_folds(
    folds: Iterator[tuple[np.ndarray, np.ndarray]], owners: np.ndarray, num_rows: int
) -> np.ndarray:
    splits = np.zeros(num_rows, dtype=np.int64)
    for owner, (_, held_out) in zip(owners, folds, strict=True):
        splits[held_out] = owner
    return splits


def cut_by_cut(
    cut: Callable[[np.ndarray, float], tuple[np.ndarray, np.ndarray]],
    ratios: Sequence[Fraction],
    num_images: int,
) -> np.ndarray:
    """Cuts one split after the other from what is left."""
    splits = np.full(num_images, len(ratios) - 1)
    images, left = np.arange(num_images), Fraction(1)
    for number, ratio in enumerate(ratios[:-1]):
        first, images = cut(images, float(ratio / left))
        splits[first] = number
        left -= ratio
    return splits


@dataclass(frozen=True)
class Peer:
    """Another way to split.

    Attributes:
      split: gives each image a split, from the table, the ratios and a seed.
      module: what it imports, before the clock starts.
      about: what it makes of labels and groups, for the figure; `{}` is for the groups in two
        splits.
      most_groups: with more it takes minutes, and is left out.
      only_sets: whether it is left out where no image has several labels.
    """

    split: Callable[[Table, Sequence[Fraction], int], np.ndarray]
    module: str
    about: str
    most_groups: float = math.inf
    only_sets: bool = False


OURS = "ours"
PEERS = {
    "StratifiedGroupKFold": Peer(
        functools.partial(stratified_group_k_fold, by_set=False),
        "sklearn.model_selection",
        "class: rarest label",
        most_groups=100_000,
    ),
    "StratifiedGroupKFold, sets": Peer(
        functools.partial(stratified_group_k_fold, by_set=True),
        "sklearn.model_selection",
        "class: set of labels",
        most_groups=100_000,
        only_sets=True,
    ),
    "iterative stratification": Peer(
        iterative_stratification,
        "iterstrat.ml_stratifiers",
        "a patient is one row",
        most_groups=1_000_000,
    ),
    "GroupShuffleSplit": Peer(group_shuffle_split, "sklearn.model_selection", "patients at random"),
    "train_test_split": Peer(
        stratified_train_test_split, "sklearn.model_selection", "tears {:,.0f} patients apart"
    ),
}


# --- measuring, in a process of its own ----------------------------------------------------------


def timed(function: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, float]:
    begin = time.perf_counter()
    result = function(*args, **kwargs)
    return result, time.perf_counter() - begin


def measure_ours(table: Table, seed: int) -> dict[str, Any]:
    """Returns the figures of all plans, and of the order and the slices of the main one."""
    from medical_images import line

    groups, prepare_s = timed(group_images, table, seed)
    totals = [*groups["counts"].sum(axis=0).tolist(), len(table.groups)]
    largest = [*groups["counts"].max(axis=0).tolist(), int(groups["sizes"].max())]
    plans = {}
    for name, ratios in PLANS.items():
        splits, seconds = timed(line.plan_splits, ratios=ratios, **groups)
        plans[name] = {
            **deviations(table, splits[table.groups], ratios),
            "floor": split_floor(totals, largest, ratios),
            "seconds": prepare_s + seconds,
        }
        if name == MAIN_PLAN:
            (order, *_), order_s = timed(order_splits, groups, splits)
            slices = measure_slices(table, order, seed)
    return {"plans": plans, "prepare_s": prepare_s, "order_s": order_s, **slices}


def measure_slices(table: Table, order: np.ndarray, seed: int) -> dict[str, Any]:
    """Returns the deviations of slices, and each tenth's share of the rarest label."""
    orders = {"ours": order, "random": np.random.default_rng(seed).permutation(order)}
    slices: dict[str, dict[str, float]] = {str(number): {} for number in NUMBERS_OF_SLICES}
    tenths: dict[str, Any] = {}
    for name, groups in orders.items():
        labels = table.labels[images_in_order(table, groups)]
        totals = np.where(labels.any(axis=0), labels.sum(axis=0), len(labels) + 1)
        rarest = int(totals.argmin())
        for number in NUMBERS_OF_SLICES:
            counts = slice_counts(labels, number)
            slices[str(number)][name] = slice_deviation(counts)
            slices[str(number)]["floor"] = slice_floor(counts)
        tenths["label"], tenths["images"] = table.names[rarest], int(totals[rarest])
        tenths[name] = slice_counts(labels, 10)[:, rarest].tolist()
    return {"slices": slices, "tenths": tenths}


def measure_peer(peer: Peer, table: Table, seed: int) -> dict[str, Any]:
    """Returns the figures of the two plans that peers are asked for."""
    plans = {}
    for name in PLANS_OF_PEERS:
        splits, seconds = timed(peer.split, table, PLANS[name], seed)
        plans[name] = {**deviations(table, splits, PLANS[name]), "seconds": seconds}
    return {"plans": plans}


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Makes the table and measures one contender on it."""
    kind, *args = job["source"]
    table = MAKE[kind](*args)
    peer = PEERS.get(job["contender"])
    importlib.import_module(peer.module if peer else "medical_images.line")
    before = psutil.Process().memory_info().rss
    figures = measure_peer(peer, table, job["seed"]) if peer else measure_ours(table, job["seed"])
    size = {"images": len(table.labels), "groups": len(table.ids), "labels": len(table.names)}
    return {**figures, "size": size, "before_rss": before}


def run_job(job: dict[str, Any]) -> dict[str, Any]:
    """Runs `measure` in a new process; adds the peak memory of its processes, in bytes."""
    with tempfile.TemporaryDirectory(prefix="bench_plan_") as folder:
        result, log = pathlib.Path(folder, "result.json"), pathlib.Path(folder, "log")
        job = {**job, "result": os.fspath(result)}
        command = [sys.executable, os.path.abspath(__file__), "--job", json.dumps(job)]
        with log.open("wb") as file:
            process = subprocess.Popen(command, stdout=file, stderr=file)
            peak = watch(process)
        if process.returncode:
            sys.exit(f"{job['contender']} failed on {job['source']}:\n{log.read_text()}")
        return {**json.loads(result.read_text()), "peak_rss": peak}


def watch(process: subprocess.Popen[bytes]) -> int:
    """Waits for a process; returns the peak memory of it and those below it, in bytes."""
    peak, root = 0, psutil.Process(process.pid)
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=SAMPLE_SECONDS)
            return peak
        with contextlib.suppress(psutil.Error):
            tree = (root, *root.children(recursive=True))
            peak = max(peak, sum(member.memory_info().rss for member in tree))


@dataclass(frozen=True)
class Source:
    """How a table is made.

    Attributes:
      kind: one of `MAKE`.
      args: its arguments.
      most_groups: it has no more groups than these; known before it is made.
      has_sets: whether some image has several labels.
    """

    kind: str
    args: Sequence[Any]
    most_groups: int
    has_sets: bool = False

    def suits(self, peer: Peer) -> bool:
        """Returns whether a peer is to be measured on the table."""
        return self.most_groups <= peer.most_groups and self.has_sets >= peer.only_sets


Runs = dict[str, list[dict[str, Any]]]  # by contender or by table: one run a seed


def run_table(name: str, source: Source, num_seeds: int) -> Runs:
    """Measures all contenders on one table, in an order that turns by seed."""
    contenders = [OURS, *(name for name, peer in PEERS.items() if source.suits(peer))]
    runs: Runs = {contender: [] for contender in contenders}
    for seed in range(num_seeds):
        turn = seed % len(contenders)
        for contender in contenders[turn:] + contenders[:turn]:
            job = {"source": [source.kind, *source.args], "contender": contender, "seed": seed}
            runs[contender].append(run_job(job))
        times = (
            f"{contender} {done[-1]['plans'][MAIN_PLAN]['seconds']:.2f} s"
            for contender, done in runs.items()
        )
        print(f"{name}, seed {seed}: {', '.join(times)}", flush=True)
    return runs


# --- the report ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sheet:
    """A table of the report; cells are text, the first columns are names."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    num_names: int

    def to_text(self) -> str:
        """Returns it for a terminal."""
        lines = [self.head, *self.rows]
        widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
        text = [self.title]
        for line in lines:
            cells = (
                f"{cell:<{width}}" if column < self.num_names else f"{cell:>{width}}"
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            text.append("  ".join(cells).rstrip())
        return "\n".join(text)

    def to_markdown(self) -> str:
        """Returns it as Markdown."""
        rule = ["---" if column < self.num_names else "---:" for column in range(len(self.head))]
        lines = (f"| {' | '.join(cells)} |" for cells in (self.head, rule, *self.rows))
        return "\n".join([f"**{self.title}**", "", *lines])


def worst(runs: Sequence[dict[str, Any]], *path: str) -> float:
    return max(look_up(run, *path) for run in runs)


def median(runs: Sequence[dict[str, Any]], *path: str) -> float:
    return statistics.median(look_up(run, *path) for run in runs)


def look_up(run: dict[str, Any], *path: str) -> float:
    return float(functools.reduce(lambda part, key: part[key], path, run))


def times_ours(runs: Runs, contender: str, *, with_order: bool = False) -> float:
    """Returns the median of a contender's time over ours on the main plan, seed by seed."""
    path = ("plans", MAIN_PLAN, "seconds")
    return statistics.median(
        look_up(other, *path) / (look_up(ours, *path) + with_order * ours["order_s"])
        for other, ours in zip(runs[contender], runs[OURS], strict=True)
    )


def report(tables: dict[str, Runs]) -> list[Sheet]:
    ours = {name: runs[OURS] for name, runs in tables.items()}
    return [sheet_splits(ours), sheet_slices(ours), sheet_costs(ours), sheet_peers(tables)]


def sheet_splits(tables: Runs) -> Sheet:
    rows = []
    for (name, runs), plan in itertools.product(tables.items(), PLANS):
        at = functools.partial(worst, runs, "plans", plan)
        images = (f"{at(key):.2f}" for key in ("largest", "floor"))
        shares = (f"{at('mean_relative'):.3%}", f"{at('worst_relative'):.2%}")
        rows.append((name, plan, *images, *shares))
    head = ("table", "splits", "largest, images", "floor", "mean relative", "worst relative")
    return Sheet("Splits, ours: how far labels and images are from their shares", head, rows, 2)


def sheet_slices(tables: Runs) -> Sheet:
    columns = list(itertools.product(map(str, NUMBERS_OF_SLICES), ("ours", "floor", "random")))
    rows = [
        (name, *(f"{worst(runs, 'slices', *column):.2%}" for column in columns))
        for name, runs in tables.items()
    ]
    head = ("table", *(f"{number}: {kind}" for number, kind in columns))
    return Sheet("Slices of train: mean relative deviation of labels", head, rows, 1)


def sheet_costs(tables: Runs) -> Sheet:
    rows = []
    for name, runs in tables.items():
        sizes = (f"{runs[0]['size'][unit]:,}" for unit in ("images", "groups", "labels"))
        both = median(runs, "plans", MAIN_PLAN, "seconds")
        prepare, order = median(runs, "prepare_s"), median(runs, "order_s")
        times = (f"{seconds:.2f}" for seconds in (prepare, both - prepare, order, both + order))
        memory = (f"{median(runs, key) / 1e6:,.0f}" for key in ("peak_rss", "before_rss"))
        rows.append((name, *sizes, *times, *memory))
    head = "table, images, groups, labels, prepare/s, splits/s, order/s, all/s, peak/MB, before/MB"
    title = f"What ours costs ({MAIN_PLAN}, order of all three)"
    return Sheet(title, head.split(", "), rows, 1)


def sheet_peers(tables: dict[str, Runs]) -> Sheet:
    rows = []
    for name, tried in tables.items():
        for contender, runs in tried.items():
            far, took = (
                {plan: function(runs, "plans", plan, key) for plan in PLANS_OF_PEERS}
                for function, key in ((worst, "largest"), (median, "seconds"))
            )
            cells = (
                f"{far[MAIN_PLAN]:,.1f}",
                f"{worst(runs, 'plans', MAIN_PLAN, 'groups_in_two'):,.0f}",
                f"{took[MAIN_PLAN]:.2f}",
                f"{times_ours(tried, contender):.2f}",
                f"{far[FOLDS_PLAN]:,.1f}",
                f"{took[FOLDS_PLAN]:.2f}",
                f"{median(runs, 'peak_rss') / 1e6:,.0f}",
            )
            rows.append((name, contender, *cells))
    head = (
        f"table, contender, {MAIN_PLAN}: largest, groups in two, s, ours = 1,"
        f" {FOLDS_PLAN}: largest, s, peak/MB"
    ).split(", ")
    return Sheet("Splits, ours and the peers (without the order)", head, rows, 2)


def remarks(tables: dict[str, Runs]) -> Iterator[str]:
    """Yields what the sheets do not say."""
    for name, runs in tables.items():
        if name.startswith("NIH"):
            alone, both = (
                times_ours(runs, "StratifiedGroupKFold", with_order=with_order)
                for with_order in (False, True)
            )
            yield (
                f"{name}: StratifiedGroupKFold takes {alone:.1f} times as long as our splits,"
                f" {both:.1f} times as long as our splits and order."
            )
        num_groups = runs[OURS][0]["size"]["groups"]
        missing = [name for name, peer in PEERS.items() if peer.most_groups < num_groups]
        if missing:
            yield f"{name}: left out, since they take minutes a run: {'; '.join(missing)}."


def machine() -> dict[str, Any]:
    names = ("numpy", "pandas", "scikit-learn", "iterative-stratification")
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in names},
    }


# --- the figure ----------------------------------------------------------------------------------

INK, FAINT, PAPER = "#24292f", "#6e7781", "#ffffff"
DARK = {INK: "#e6edf3", FAINT: "#8b949e", PAPER: "#0d1117"}
BLUE, ORANGE = "#0072b2", "#d55e00"  # Okabe and Ito's; both stand out on light and on dark
STYLE = {
    "svg.hashsalt": "plan",  # the same bytes for the same figures
    "svg.fonttype": "none",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.facecolor": PAPER,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "figure.facecolor": PAPER,
}


def draw_figure(runs: Runs) -> str:
    """Returns the SVG: the largest deviations, and the rarest label in each tenth of train."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.06})
        draw_deviations(left, runs)
        draw_tenths(right, runs[OURS][0]["tenths"])
        buffer = io.StringIO()
        about = {"Title": "Splits and slices of NIH ChestX-ray14", "Date": None, "Creator": None}
        figure.savefig(buffer, format="svg", metadata=about)
    return follow_theme(buffer.getvalue())


def draw_deviations(axes: Any, runs: Runs) -> None:
    """Draws the worst of the seeds."""
    far = {name: worst(done, "plans", MAIN_PLAN, "largest") for name, done in runs.items()}
    names = sorted(far, key=lambda name: far[name], reverse=True)
    for place, name in enumerate(names):
        color, marker = (BLUE, "o") if name == OURS else (ORANGE, "s")
        axes.plot(far[name], place, marker, color=color, markersize=8)
        text = f"{far[name]:.1f}" if far[name] < 10 else f"{far[name]:,.0f}"
        beside = {"xytext": (9, 0), "textcoords": "offset points", "verticalalignment": "center"}
        axes.annotate(text, (far[name], place), **beside)
    axes.set_yticks(range(len(names)), [describe(name, runs[name]) for name in names])
    axes.tick_params(axis="y", length=0, pad=6)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xscale("log")
    axes.set_xlim(0.4, 3 * max(far.values()))
    axes.minorticks_off()
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.set_xlabel("images")
    axes.set_title(f"{MAIN_PLAN}: label farthest from its share")


def describe(name: str, runs: Sequence[dict[str, Any]]) -> str:
    if name == OURS:
        return name
    torn = worst(runs, "plans", MAIN_PLAN, "groups_in_two")
    return f"{name.partition(',')[0]}\n{PEERS[name].about.format(torn)}"


def draw_tenths(axes: Any, tenths: dict[str, Any]) -> None:
    """Draws the first seed."""
    axes.axhline(10, color=FAINT, linewidth=1, linestyle=(0, (4, 3)), label="even share")
    for name, color, marker, label in (
        ("random", ORANGE, "s", "random order"),
        ("ours", BLUE, "o", "ours"),
    ):
        shares = 100 * np.array(tenths[name]) / tenths["images"]
        axes.plot(range(1, 11), shares, marker=marker, markersize=5, color=color, label=label)
    axes.set_xticks(range(1, 11))
    axes.set_ylim(0, 1.25 * axes.dataLim.ymax)
    axes.locator_params(axis="y", nbins=5, steps=(1, 5, 10))
    axes.yaxis.set_major_formatter("{x:g} %")
    axes.set_xlabel(f"tenth of train, which has {tenths['images']} images of it")
    axes.set_title(f"{tenths['label']}, the rarest label: share of each tenth")
    axes.legend(frameon=False, loc="upper left", ncols=3, fontsize=9, borderaxespad=0)


def follow_theme(svg: str) -> str:
    """Adds the colours for a dark page; who does not know the rule sees the light ones."""
    rules = "".join(
        f'[style*="{what}: {light}"]{{{what}:{dark}!important}}'
        for light, dark in DARK.items()
        for what in ("fill", "stroke")
    )
    head, mark, tail = svg.partition("</style>")
    return f"{head}@media (prefers-color-scheme: dark){{{rules}}}{mark}{tail}"


# --- the command line ----------------------------------------------------------------------------


def list_sources(args: argparse.Namespace) -> dict[str, Source]:
    """Returns the tables to measure, by name."""
    sources = {}
    if args.table:
        name, num_rows = ("NIH, 20,000 rows", 20_000) if args.quick else ("NIH", None)
        sources[name] = Source("nih", (os.fspath(args.table), num_rows), 30_805, has_sets=True)
    num_zipf, num_phantom = (2_000, 1_000) if args.quick else (20_000, 2_000)
    sources["phantom"] = Source("phantom", (num_phantom,), num_phantom)
    sources["Zipf sizes"] = Source("zipf", (num_zipf,), num_zipf)
    powers = [10**power for power in range(4, 8) if 10**power < args.groups]
    for num_groups in (*powers, args.groups):
        sources[f"{num_groups:,} groups"] = Source("ham", (num_groups,), num_groups)
    return sources


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--table",
        type=pathlib.Path,
        help=f"the NIH's table, gzipped ($MEDICAL_IMAGES_REALDATA/nih/{NIH_TABLE})",
    )
    parser.add_argument("--seeds", type=int, help="how many seeds (3; 1 with --quick)")
    parser.add_argument(
        "--groups",
        type=lambda text: int(float(text)),
        help="groups of the largest table that is made (1e6; 1e4 with --quick)",
    )
    parser.add_argument("--quick", action="store_true", help="small tables, for a trial")
    parser.add_argument("--markdown", type=pathlib.Path, help="file for the report")
    parser.add_argument("--figure", type=pathlib.Path, help="file for the figure (SVG)")
    parser.add_argument("--json", type=pathlib.Path, help="file for the figures of every run")
    parser.add_argument("--job", help=argparse.SUPPRESS)  # this script, as one contender
    args = parser.parse_args()
    if args.job:
        return args
    real = os.environ.get("MEDICAL_IMAGES_REALDATA")
    args.table = args.table or (pathlib.Path(real, "nih", NIH_TABLE) if real else None)
    if args.table and not args.table.is_file():
        parser.error(f"there is no table {args.table}; the NIH gives it with ChestX-ray14")
    if args.figure and not args.table:
        parser.error("the figure shows the NIH's table: name it with --table")
    args.seeds = args.seeds or (1 if args.quick else 3)
    args.groups = args.groups or (10**4 if args.quick else 10**6)
    if args.seeds < 1 or args.groups < 1000:
        parser.error("--seeds is at least 1, --groups at least 1000")
    return args


def compare(args: argparse.Namespace) -> None:
    about = machine()
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    if not args.table:
        print("the NIH's table is left out: name it with --table")
    sources = list_sources(args)
    tables = {name: run_table(name, source, args.seeds) for name, source in sources.items()}
    sheets, notes = report(tables), list(remarks(tables))
    print("", *(sheet.to_text() + "\n" for sheet in sheets), *notes, sep="\n")
    if args.markdown:
        blocks = [", ".join(f"{key} {value}" for key, value in about.items())]
        blocks += [sheet.to_markdown() for sheet in sheets]
        blocks += ["\n".join(f"- {note}" for note in notes)] if notes else []
        args.markdown.write_text("\n\n".join(blocks) + "\n")
    if args.figure:
        args.figure.write_text(draw_figure(next(iter(tables.values()))))
    if args.json:
        args.json.write_text(json.dumps({"machine": about, "tables": tables}, indent=1))


def main() -> None:
    args = parse_args()
    if args.job:
        job = json.loads(args.job)
        pathlib.Path(job["result"]).write_text(json.dumps(measure(job)))
    else:
        compare(args)


if __name__ == "__main__":
    main()
