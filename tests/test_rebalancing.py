"""What a strategy makes of the classes of a slice."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medical_images.copy_plan import plan_copies
from medical_images.dataset_index import ClassCounts
from medical_images.rebalancing import Rebalance, refuse_evaluation
from medical_images.record_labels import Labels, rebalancing_report

NAMES = ("a", "b", "c", "d")
STRATEGIES = st.sampled_from(
    [
        Rebalance(),
        Rebalance("sqrt", max_factor=3),
        Rebalance("power", power=0.9),
        Rebalance("effective_number", beta=0.9),
        Rebalance("repeat_factor", threshold=0.4, minority_below=0.3),
        Rebalance("target", shares={"a": 1, "b": 2, "c": 0.5, "d": 1}),
        Rebalance("factors", factors={"a": 0.3, "c": 2.7}),
    ]
)
MANY = st.lists(st.sets(st.integers(0, 3)), min_size=1, max_size=40)


def labels_of(sets, groups=None) -> Labels:
    present = np.array([[number in found for number in range(4)] for found in sets], bool)
    groups = None if groups is None else np.array(groups, np.uint64)
    return Labels(names=NAMES, present=present.reshape(-1, 4), groups=groups)


def one_class_each(sizes) -> Labels:
    return labels_of([{number} for number, size in enumerate(sizes) for _ in range(size)])


@pytest.mark.parametrize(
    ("rebalance", "totals"),
    [
        ("balanced", [400, 400, 400, 0]),
        ("sqrt", [400, 200, 40, 0]),
        (Rebalance("power", power=0), [400, 400, 400, 0]),
        (Rebalance("power", power=1), [400, 100, 4, 0]),
        (Rebalance("power", power=0.5), [400, 200, 40, 0]),
        (Rebalance("effective_number", beta=0), [400, 100, 4, 0]),
        # E(400) = 1 / (1 - beta) within rounding, E(4) = 3.439, E(100) = 9.9997.
        (Rebalance("effective_number", beta=0.9), [400, 100, 12, 0]),
        (Rebalance("repeat_factor", threshold=0.1), [400, 100, 14, 0]),
        (Rebalance("target", shares={"a": 2, "b": 1, "c": 1}), [400, 200, 200, 0]),
        (Rebalance("target", shares={"a": 0.02, "b": 0.49, "c": 0.49}), [400, 9800, 9800, 0]),
        ({"a": 0.5, "c": 2.3}, [200, 100, 9, 0]),
        ({}, [400, 100, 4, 0]),
        (Rebalance(minority_below=0.05), [400, 100, 400, 0]),
        (Rebalance(max_factor=3), [400, 300, 12, 0]),
        (Rebalance(num_records=300), [100, 100, 100, 0]),
        (Rebalance(num_records=500, max_factor=10), [230, 230, 40, 0]),
        (Rebalance("target", shares={"a": 1, "b": 2, "c": 2}, num_records=50), [10, 20, 20, 0]),
        (Rebalance("power", power=1, num_records=252), [200, 50, 2, 0]),
    ],
)
def test_strategies_by_their_formulas(rebalance, totals):
    counts = dict(zip(NAMES, (400, 100, 4, 0), strict=True))
    rebalance = Rebalance.of(rebalance)
    assert list(rebalance.class_totals(counts).values()) == totals
    labels = one_class_each(counts.values())
    factors, strata = rebalance.factors_and_strata(labels)
    copies = plan_copies(factors, strata, seed=1).copies(0)
    assert rebalancing_report(labels, copies)["copies"].tolist() == totals


@given(
    sizes=st.lists(st.integers(0, 30), min_size=4, max_size=4).filter(any),
    unlabelled=st.integers(0, 5),
    strategy=STRATEGIES,
    seed=st.integers(0, 9),
)
def test_counts_alone_give_the_totals_of_a_plan(sizes, unlabelled, strategy, seed):
    counts = dict(zip(NAMES, sizes, strict=True))
    counts = ClassCounts(counts, feature="x", splits=("train",), unlabelled=unlabelled)
    sets = [{number} for number, size in enumerate(sizes) for _ in range(size)]
    labels = labels_of(sets + [set()] * unlabelled)
    factors, strata = strategy.factors_and_strata(labels)
    np.testing.assert_array_equal(factors[len(sets) :], 1)
    plan = plan_copies(factors, strata, seed)
    numbers = np.append(labels.present.T @ plan.copies(3), plan.copies(3)[len(sets) :].sum())
    assert strategy.totals(counts).tolist() == numbers.tolist()
    if strategy.strategy != "factors":
        assert not plan.copies_may_be_0


@given(sets=MANY, threshold=st.floats(0.01, 1))
def test_labels_are_repeated_as_the_authors_of_lvis_do(sets, threshold):
    found = Rebalance("repeat_factor", threshold=threshold).factors_of(labels_of(sets))
    share = [sum(number in labels for labels in sets) / len(sets) for number in range(4)]
    for factor, labels in zip(found, sets, strict=True):
        of_labels = [max(1, (threshold / share[number]) ** 0.5) for number in labels]
        assert factor == pytest.approx(max(of_labels, default=1))


@given(sets=MANY, strategy=STRATEGIES)
def test_a_record_takes_the_largest_factor_of_its_labels(sets, strategy):
    labels = labels_of(sets)
    factors, strata = strategy.factors_and_strata(labels)
    of_class = strategy.class_factors(NAMES, labels.present.sum(axis=0), len(sets))
    for factor, stratum, found in zip(factors, strata, sets, strict=True):
        largest = max((of_class[number] for number in found), default=1)
        assert factor == pytest.approx(min(largest, strategy.max_factor or np.inf))
        assert (stratum in found and of_class[stratum] == largest) if found else stratum == -1


@given(records=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=40))
def test_groups_of_a_class_have_equal_parts_of_it(records):
    labels = labels_of([{number} for number, _ in records], [group for _, group in records])
    factors = Rebalance(per_group=True).factors_of(labels)
    largest = max(labels.present.sum(axis=0))
    table = pd.DataFrame(records, columns=["class", "group"]).assign(factor=factors)
    parts = table.groupby(["class", "group"])["factor"].sum()
    for _, of_class in parts.groupby(level="class"):
        np.testing.assert_allclose(of_class, largest / len(of_class))


@given(
    sets=MANY,
    strategy=st.sampled_from([Rebalance(), Rebalance("factors", factors={"a": 0, "b": 9})]),
    size=st.integers(1, 200),
    most=st.one_of(st.none(), st.floats(1, 8)),
)
def test_an_epoch_has_the_size_wanted_as_far_as_the_largest_factor_allows(
    sets, strategy, size, most
):
    labels = labels_of(sets)
    given_factors = strategy.strategy, {"factors": strategy.factors} if strategy.factors else {}
    wanted = Rebalance(given_factors[0], **given_factors[1], num_records=size, max_factor=most)
    free = Rebalance(given_factors[0], **given_factors[1])
    try:
        raw = free.factors_of(labels)
    except ValueError:
        with pytest.raises(ValueError, match="every record has factor 0"):
            wanted.factors_of(labels)
        return
    if most is not None and size > (raw > 0).sum() * most:
        with pytest.raises(ValueError, match="lower it, or raise `max_factor`"):
            wanted.factors_of(labels)
        return
    factors, strata = wanted.factors_and_strata(labels)
    assert plan_copies(factors, strata, 0).num_copies == size
    assert factors.max() <= (most or np.inf)
    below = (factors < (most or np.inf)) & (raw > 0)
    np.testing.assert_allclose(factors[below] / raw[below], (factors / np.maximum(raw, 1e-9)).max())


def test_the_report_counts_labels_that_come_along():
    labels = labels_of([{0}, {0, 1}, {0}, set()])
    report = rebalancing_report(labels, np.array([1, 3, 0, 1]))
    assert report.index.tolist() == [*NAMES, "(none)"]
    assert report["records"].tolist() == [3, 1, 0, 0, 1]
    assert report["copies"].tolist() == [4, 3, 0, 0, 1]
    np.testing.assert_allclose(report["share_before"], [0.75, 0.25, 0, 0, 0.25])
    np.testing.assert_allclose(report["share_after"], [0.8, 0.6, 0, 0, 0.2])
    np.testing.assert_allclose(report["factor"], [4 / 3, 3, np.nan, np.nan, 1])


@pytest.mark.parametrize(
    ("cells", "present"),
    [
        (pd.Categorical(["b", None, "a"], categories=["a", "b"]), [[0, 1], [0, 0], [1, 0]]),
        ([["b", "b"], [], [None, "a"]], [[0, 1], [0, 0], [1, 0]]),
        ([np.array(["a", "b"], object), np.array([], object)], [[1, 1], [0, 0]]),
        ([[], []], [[0, 0], [0, 0]]),
    ],
)
def test_classes_are_read_from_cells_of_the_index(cells, present):
    index = pd.DataFrame({"x": cells, "_key": np.arange(len(cells), dtype=np.uint64)})
    labels = Labels.of(index.iloc[::-1], "x", ["a", "b"])
    assert labels.present.astype(int).tolist() == present[::-1]
    assert labels.groups.tolist() == list(range(len(cells)))[::-1]


@pytest.mark.parametrize(
    ("make", "messages"),
    [
        (lambda: Rebalance("balance"), ["'balance' is no strategy; did you mean 'balanced'"]),
        (lambda: Rebalance("target"), ["strategy 'target' needs `shares`"]),
        (lambda: Rebalance("factors"), ["strategy 'factors' needs `factors`"]),
        (
            lambda: Rebalance("sqrt", power=0.3, max_factor=0.5, num_records=1.5),
            ["`power` is of strategy 'power'", "`max_factor` is 0.5; allowed: 1", "whole number"],
        ),
        (lambda: Rebalance("power", power=float("nan")), ["`power` is nan; allowed: 0 to 1"]),
        (lambda: Rebalance("effective_number", beta=1), ["`beta` is 1; allowed: 0 to less than 1"]),
        (lambda: Rebalance.of({"a": -1}), ["`factors` is {'a': -1}; allowed: numbers from 0"]),
        (lambda: Rebalance(num_records=float("inf")), ["whole number"]),
        (lambda: Rebalance(minority_below="x"), ["`minority_below` is 'x'"]),
        (
            lambda: Rebalance.of({"aa": 2, "e": 1}).class_totals({"a": 1, "bb": 2}),
            ["'aa' is no class; did you mean 'a'", "'e' is no class; Known: a, bb"],
        ),
        (
            lambda: Rebalance("target", shares={"a": 1}).class_totals({"a": 1, "b": 2}),
            ["`shares` leaves out 'b', which has 2 records"],
        ),
        (lambda: Rebalance(per_group=True).class_totals({"a": 1}), ["needs the index"]),
        (lambda: Rebalance(per_group=True).factors_of(labels_of([{0}])), ["are not known"]),
        (lambda: Rebalance.of({"a": 0}).class_totals({"a": 1}), ["every record has factor 0"]),
        (
            lambda: Rebalance(num_records=9, max_factor=2).class_totals({"a": 1, "b": 3}),
            ["`num_records` is 9", "add up to 8 at most"],
        ),
        (lambda: refuse_evaluation(["train", "test"], False), ["'test' is for evaluation"]),
        (lambda: refuse_evaluation([], False), ["say which split"]),
    ],
)
def test_all_that_is_wrong_is_told(make, messages):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        make()
    assert all(message in str(caught.value) for message in messages), caught.value
