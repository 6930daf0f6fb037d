import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medical_images import line
from medical_images.line import groups as line_groups
from medical_images.line import (
    hash_groups,
    hash_positions,
    hash_splits,
    plan_positions,
    plan_splits,
)

RATIOS = {
    "80/10/10": [Fraction(8, 10), Fraction(1, 10), Fraction(1, 10)],
    "70/15/15": [Fraction(70, 100), Fraction(15, 100), Fraction(15, 100)],
    "5 folds": [Fraction(1, 5)] * 5,
    "10 folds": [Fraction(1, 10)] * 10,
    "odd": [Fraction(1, 3), Fraction(17, 30), Fraction(0), Fraction(1, 10)],
}


@dataclass(frozen=True)
class Groups:
    hashes: np.ndarray
    sizes: np.ndarray
    counts: np.ndarray

    @classmethod
    def make(cls, sizes, counts, *, seed=0):
        sizes = np.asarray(sizes, dtype=np.int64)
        counts = np.asarray(counts, dtype=np.int64)
        return cls(hash_groups([f"g{k}" for k in range(len(sizes))], seed=seed), sizes, counts)

    def take(self, rows):
        return Groups(self.hashes[rows], self.sizes[rows], self.counts[rows])

    def splits(self, ratios):
        return plan_splits(hashes=self.hashes, sizes=self.sizes, counts=self.counts, ratios=ratios)

    def positions(self):
        return plan_positions(hashes=self.hashes, sizes=self.sizes, counts=self.counts)

    def order(self):
        return np.lexsort((self.hashes, self.positions()))

    def train(self):
        return self.take(self.splits(RATIOS["80/10/10"]) == 0)


@st.composite
def tables(draw, *, min_groups=1, max_labels=4):
    num_labels = draw(st.integers(0, max_labels))
    group = st.integers(1, 9).flatmap(
        lambda size: st.tuples(
            st.just(size), st.lists(st.integers(0, size), min_size=num_labels, max_size=num_labels)
        )
    )
    groups = draw(st.lists(group, min_size=min_groups, max_size=60))
    counts = np.array([c for _, c in groups], dtype=np.int64).reshape(len(groups), num_labels)
    return Groups.make([s for s, _ in groups], counts, seed=draw(st.integers(0, 2**40)))


def deviation(groups, splits, ratios):
    """Largest difference, in images, between a split's count and its share of labels and size."""
    vectors = np.column_stack([groups.counts, groups.sizes])
    held = np.array([vectors[splits == s].sum(axis=0) for s in range(len(ratios))])
    return np.abs(held - np.outer([float(r) for r in ratios], vectors.sum(axis=0))).max()


def prefix_errors(groups, order, cuts):
    """Counts of the records before each cut (a share of 1) minus the share of the labels."""
    num_images = groups.sizes.sum()
    records = [round(num_images * cut) for cut in cuts]
    ends = np.append(0, np.cumsum(groups.sizes[order]))
    sums = np.vstack([np.zeros(groups.counts.shape[1]), np.cumsum(groups.counts[order], axis=0)])
    held = np.column_stack([np.interp(records, ends, column) for column in sums.T])
    return held - np.outer(cuts, groups.counts.sum(axis=0))


def mean_slice_deviation(groups, order, number):
    """Mean relative deviation of the label counts of equal slices."""
    errors = prefix_errors(groups, order, np.arange(number + 1) / number)
    return np.abs(np.diff(errors, axis=0) * number / groups.counts.sum(axis=0)).mean()


def small_table(seed, *, largest_rare_group):
    """2,000 images of 7 classes and about 1,200 patients of 1 to 6 images, few with two classes."""
    rng = np.random.default_rng(seed)
    shares = np.array([67, 11, 11, 5, 3.3, 1.4, 1.15])
    sizes, counts = [], []
    while sum(sizes) < 2000:
        main, other = rng.choice(7, size=2, p=shares / shares.sum())
        size = int(rng.choice(np.arange(1, 7), p=[0.62, 0.22, 0.09, 0.04, 0.02, 0.01]))
        size = min(size, 2000 - sum(sizes), 6 if main < 3 else largest_rare_group)
        count = np.zeros(7, dtype=np.int64)
        count[main] = size
        if size > 1 and rng.random() < 0.08:
            count[main] -= 1
            count[other] += 1
        sizes.append(size)
        counts.append(count)
    return Groups.make(sizes, counts, seed=seed)


@pytest.fixture(params=["one chunk", "chunks"])
def chunking(request, monkeypatch):
    if request.param == "chunks":
        monkeypatch.setattr(line_groups, "_CHUNK_GROUPS", 8)


any_ratios = st.sampled_from(sorted(RATIOS)).map(RATIOS.__getitem__)
property_test = settings(max_examples=20, deadline=None, derandomize=True)


class TestPlans:
    """What holds for every table, small or in chunks."""

    pytestmark = pytest.mark.usefixtures("chunking")

    @property_test
    @given(groups=tables(), ratios=any_ratios)
    def test_every_group_is_in_one_split_of_positive_share(self, groups, ratios):
        splits = groups.splits(ratios)
        assert splits.shape == groups.sizes.shape
        assert splits.dtype == np.int64
        assert {int(s) for s in splits} <= {s for s, r in enumerate(ratios) if r > 0}

    @property_test
    @given(groups=tables())
    def test_every_group_has_a_place_of_its_own(self, groups):
        positions = groups.positions()
        assert ((positions >= 0) & (positions < 1)).all()
        places = set(zip(positions.tolist(), groups.hashes.tolist(), strict=True))
        assert len(places) == len(groups.sizes)

    @property_test
    @given(groups=tables(), ratios=any_ratios, data=st.data())
    def test_rows_and_labels_may_stand_in_any_order(self, groups, ratios, data):
        rows = np.array(data.draw(st.permutations(range(len(groups.sizes)))))
        labels = data.draw(st.permutations(range(groups.counts.shape[1])))
        other = Groups(groups.hashes[rows], groups.sizes[rows], groups.counts[rows][:, labels])
        assert groups.splits(ratios)[rows].tolist() == other.splits(ratios).tolist()
        assert groups.order().tolist() == rows[other.order()].tolist()

    @property_test
    @given(groups=tables(), ratios=any_ratios, times=st.integers(2, 5))
    def test_rows_that_stand_there_several_times_leave_the_plan(self, groups, ratios, times):
        other = Groups(groups.hashes, groups.sizes * times, groups.counts * times)
        assert other.splits(ratios).tolist() == groups.splits(ratios).tolist()
        assert other.order().tolist() == groups.order().tolist()

    @property_test
    @given(groups=tables(), ratios=any_ratios, data=st.data())
    def test_known_groups_stay(self, groups, ratios, data):
        """The plan of any groups with any others stays, whatever comes to them."""
        is_known = np.array(data.draw(st.lists(st.booleans(), min_size=60, max_size=60)))
        old = np.flatnonzero(is_known[: len(groups.sizes)])
        table = {"hashes": groups.hashes, "sizes": groups.sizes, "counts": groups.counts}
        known = np.full(len(groups.sizes), -1)
        known[old] = groups.take(old).splits(ratios)
        splits = plan_splits(**table, ratios=ratios, known=known)
        assert splits[old].tolist() == known[old].tolist()
        assert splits.min(initial=0) >= 0
        places = np.full(len(groups.sizes), np.nan)
        places[old] = groups.take(old).positions()
        positions = plan_positions(**table, known=places)
        assert positions[old].tolist() == places[old].tolist()
        assert ((positions >= 0) & (positions < 1)).all()

    @property_test
    @given(groups=tables(max_labels=0), ratios=any_ratios)
    def test_without_labels_splits_are_within_one_group_of_their_share(self, groups, ratios):
        splits = groups.splits(ratios)
        assert deviation(groups, splits, ratios) <= groups.sizes.max() + 1


@property_test
@given(groups=tables(), ratios=any_ratios)
def test_equal_hash_and_counts_are_interchangeable(groups, ratios):
    twice = np.repeat(np.arange(len(groups.sizes)), 2)
    doubled, flipped = groups.take(twice), groups.take(twice[::-1])

    def plan(table):
        names = list(zip(table.hashes.tolist(), map(tuple, table.counts.tolist()), strict=True))
        return (
            sorted(zip(names, table.splits(ratios).tolist(), strict=True)),
            [names[k] for k in table.order()],
        )

    assert plan(doubled) == plan(flipped)


@property_test
@given(groups=tables(), ratios=any_ratios, data=st.data())
def test_by_hash_no_group_depends_on_another(groups, ratios, data):
    kept = np.flatnonzero(data.draw(st.lists(st.booleans(), min_size=60, max_size=60)))
    kept = kept[kept < len(groups.sizes)]
    splits = hash_splits(hashes=groups.hashes, ratios=ratios)
    positions = hash_positions(hashes=groups.hashes)
    some = groups.hashes[kept]
    assert hash_splits(hashes=some, ratios=ratios).tolist() == splits[kept].tolist()
    assert hash_positions(hashes=some).tolist() == positions[kept].tolist()
    assert {int(s) for s in splits} <= {s for s, ratio in enumerate(ratios) if ratio > 0}


def test_by_hash_shares_and_places_are_those_of_chance():
    hashes = hash_groups((f"p{k}" for k in range(20_000)), seed=1)
    splits = hash_splits(hashes=hashes, ratios=RATIOS["80/10/10"])
    shares = np.bincount(splits) / len(hashes)
    assert np.abs(shares - [0.8, 0.1, 0.1]).max() < 0.015  # five standard deviations
    for split in range(3):  # each split spreads over its whole line
        places = np.histogram(hash_positions(hashes=hashes[splits == split]), 5, (0, 1))[0]
        assert places.min() > places.sum() / 5 * 0.8


SCRIPT = """
import hashlib, sys
from fractions import Fraction
import numpy as np
from medical_images.line import hash_groups, plan_positions, plan_splits
rng = np.random.default_rng(0)
ids = {f"patient-{k}" for k in range(300)}  # The order of a set differs between processes.
table = dict(zip(sorted(ids), rng.integers(0, 4, size=(300, 3)), strict=True))
ids = list(ids)
counts = np.array([table[k] for k in ids])
plan = dict(hashes=hash_groups(ids, seed=5), sizes=counts.sum(axis=1) + 1, counts=counts)
splits = plan_splits(**plan, ratios=[Fraction(1, 2), Fraction(1, 4), Fraction(1, 4)])
order = np.lexsort((plan["hashes"], plan_positions(**plan)))
text = repr((sorted(zip(ids, splits.tolist())), [ids[k] for k in order]))
print(hashlib.sha256(text.encode()).hexdigest())
"""


def test_plan_is_the_same_in_every_process():
    root = Path(line.__file__).parents[2]
    digests = set()
    for hash_seed, threads in (("0", "1"), ("1", "2"), ("77", "2")):
        env = os.environ | {"PYTHONHASHSEED": hash_seed, "OPENBLAS_NUM_THREADS": threads}
        env["PYTHONPATH"] = os.pathsep.join([str(root), env.get("PYTHONPATH", "")])
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True
        )
        digests.add(run.stdout)
    assert len(digests) == 1


def test_hash_is_keyed_blake2b():
    key = hashlib.sha256(b"3").digest()
    digest = hashlib.blake2b("größe".encode(), digest_size=8, key=key).digest()
    assert hash_groups(["größe"], seed=3).tolist() == [int.from_bytes(digest, "little")]
    assert hash_groups(["größe"], seed=4) != hash_groups(["größe"], seed=3)
    assert hash_groups([], seed=3).dtype == np.uint64


def test_seed_changes_the_plan():
    sizes, counts = np.ones(50), np.ones((50, 1))
    plans = [Groups.make(sizes, counts, seed=seed) for seed in (1, 2)]
    assert (
        plans[0].splits(RATIOS["5 folds"]).tolist() != plans[1].splits(RATIOS["5 folds"]).tolist()
    )
    assert plans[0].order().tolist() != plans[1].order().tolist()


@pytest.mark.parametrize(
    ("sizes", "counts", "ratios", "expected"),
    [
        pytest.param([], np.zeros((0, 2)), "80/10/10", [], id="no groups"),
        pytest.param([3], [[2]], "80/10/10", [0], id="one group"),
        pytest.param([3], np.zeros((1, 0)), "80/10/10", [0], id="one group, no labels"),
        pytest.param([3], [[0, 0]], "80/10/10", [0], id="one group, empty counts"),
        pytest.param([800, 1, 1], np.zeros((3, 0)), "80/10/10", [0], id="one giant group"),
    ],
)
def test_split_of_first_group(sizes, counts, ratios, expected):
    groups = Groups.make(sizes, counts)
    assert groups.splits(RATIOS[ratios])[:1].tolist() == expected
    assert sorted(groups.order()) == list(range(len(sizes)))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("num_rare", "ratios", "expected"),
    [
        (1, "80/10/10", [1, 0, 0]),
        (2, "80/10/10", [2, 0, 0]),
        (1, "5 folds", [1, 0, 0, 0, 0]),
        (4, "5 folds", [1, 1, 1, 1, 0]),
    ],
)
def test_rare_label_goes_to_the_first_split_first(seed, num_rare, ratios, expected):
    counts = [[k < num_rare, 1] for k in range(100)]
    groups = Groups.make(np.ones(100), counts, seed=seed)
    splits = groups.splits(RATIOS[ratios])
    assert np.bincount(splits[:num_rare], minlength=len(expected)).tolist() == expected
    assert deviation(groups, splits, RATIOS[ratios]) <= 1


def test_no_labels_gives_exact_splits_and_slices():
    groups = Groups.make(np.ones(1000), np.zeros((1000, 0)))
    assert np.bincount(groups.splits(RATIOS["80/10/10"])).tolist() == [800, 100, 100]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": np.ones(2, dtype=np.int64)}, r"\[G\], \[G\], \[G, L\]"),
        ({"counts": np.ones(3, dtype=np.int64)}, r"\[G\], \[G\], \[G, L\]"),
        ({"ratios": [Fraction(1, 2)]}, "sum to exactly 1"),
        ({"ratios": [Fraction(3, 2), Fraction(-1, 2)]}, "0 or more"),
    ],
)
def test_wrong_input_is_refused(change, message):
    groups = Groups.make(np.ones(3), np.ones((3, 1)))
    right = {"hashes": groups.hashes, "sizes": groups.sizes, "counts": groups.counts}
    with pytest.raises(ValueError, match=message):
        plan_splits(**(right | {"ratios": [Fraction(1)]} | change))


@pytest.mark.parametrize("name", sorted(RATIOS))
@pytest.mark.parametrize("seed", range(3))
def test_splits_of_small_tables_are_within_an_image(seed, name):
    groups = small_table(seed, largest_rare_group=2)
    assert deviation(groups, groups.splits(RATIOS[name]), RATIOS[name]) <= 1


@pytest.mark.parametrize("seed", range(5))
def test_chunks_together_hold_their_share(seed, monkeypatch):
    monkeypatch.setattr(line_groups, "_CHUNK_GROUPS", 200)
    groups = small_table(seed, largest_rare_group=2)
    for ratios in RATIOS.values():
        assert deviation(groups, groups.splits(ratios), ratios) <= 2
    errors = prefix_errors(groups, groups.order(), np.arange(0, 101, 10) / 100)
    assert np.abs(errors).max() <= 10


def slice_errors(groups):
    """Errors of all whole-percent slices of the planned line: [a, b, label] for [a%:b%)."""
    prefixes = prefix_errors(groups, groups.order(), np.arange(101) / 100)
    return prefixes[None, :] - prefixes[:, None]


@pytest.mark.parametrize("seed", range(5))
def test_every_percent_slice_of_single_images_is_near_its_share(seed):
    counts = np.repeat(np.eye(7), [1340, 220, 220, 100, 66, 28, 23], axis=0)
    errors = np.abs(slice_errors(Groups.make(np.ones(len(counts)), counts, seed=seed).train()))
    assert errors[0].max() <= 0.9  # Prefixes; rounding alone leaves 0.72 here.
    assert errors.max() <= 1.6
    assert max(errors[a, a + 10].max() for a in range(0, 100, 10)) <= 1
    assert errors[37, 52].max() <= 1 + 1e-9


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("largest_rare_group", "slack"), [(2, 0.5), (6, 1.5)])
def test_slices_of_patients_are_as_near_as_their_groups_allow(seed, largest_rare_group, slack):
    train = small_table(seed, largest_rare_group=largest_rare_group).train()
    errors = np.abs(slice_errors(train))
    totals, largest = train.counts.sum(axis=0), train.counts.max(axis=0)
    # A slice with a group of m images of a label cannot be nearer to its share than m - share.
    tenths = np.max([errors[a, a + 10] for a in range(0, 100, 10)], axis=0)
    assert (tenths - np.maximum(1, largest - totals / 10)).max() <= slack
    # A prefix that ends before a group of m images and one that ends after it differ by about m.
    assert (errors[0] - np.maximum(1, largest) / 2).max() <= 1
    assert np.sqrt((errors[0] ** 2).mean()) <= 0.9
    assert (errors <= 1).mean() >= 0.6


def test_whole_percents_of_patients_fall_between_groups():
    train = small_table(1, largest_rare_group=6).train()
    ends = np.append(0, np.cumsum(train.sizes[train.order()]))
    cuts = [round(ends[-1] * k / 100) for k in range(101)]
    assert len(set(cuts) - set(ends.tolist())) <= 2


@pytest.fixture(scope="module")
def nih():
    folder = os.environ.get("MEDICAL_IMAGES_REALDATA")
    if not folder:
        pytest.skip("MEDICAL_IMAGES_REALDATA does not name the folder of the real corpora")
    table = pd.read_csv(Path(folder) / "nih" / "Data_Entry_2017_v2020.csv.gz")
    labels = table["Finding Labels"].str.get_dummies("|")
    counts = labels.groupby(table["Patient ID"]).sum()
    sizes = table.groupby("Patient ID").size().reindex(counts.index)
    return sizes.to_numpy(), counts.to_numpy()


@pytest.mark.realdata
@pytest.mark.parametrize("seed", range(3))
def test_nih_reaches_the_promised_figures(nih, seed):
    groups = Groups.make(*nih, seed=seed)
    for name in ("80/10/10", "70/15/15", "5 folds", "10 folds"):
        assert deviation(groups, groups.splits(RATIOS[name]), RATIOS[name]) < 1
    train = groups.train()
    order = train.order()
    assert mean_slice_deviation(train, order, 10) <= 0.003
    assert mean_slice_deviation(train, order, 20) <= 0.0045


@pytest.mark.realdata
@pytest.mark.parametrize("seed", range(4))
def test_nih_extended_by_a_hundredth_moves_nobody_and_stays_near_its_shares(nih, seed):
    groups, ratios = Groups.make(*nih, seed=seed), RATIOS["80/10/10"]
    old = np.flatnonzero(np.random.default_rng(seed).random(len(groups.sizes)) >= 0.01)
    known = np.full(len(groups.sizes), -1)
    known[old] = groups.take(old).splits(ratios)
    table = {"hashes": groups.hashes, "sizes": groups.sizes, "counts": groups.counts}
    splits = plan_splits(**table, ratios=ratios, known=known)
    assert (splits[old] == known[old]).all()
    assert deviation(groups, splits, ratios) <= 8
