"""How often each record occurs in each epoch."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from medical_images.copy_plan import ONE, fixed_point, hashes_of, plan_copies

FACTORS = st.one_of(st.integers(0, 5), st.floats(0, 40), st.sampled_from([1e-9, 1 - 1e-12, 0.5]))
RECORDS = st.lists(st.tuples(FACTORS, st.integers(-1, 3)), min_size=0, max_size=40)


def totals_of(copies: np.ndarray, strata: np.ndarray) -> dict[int, int]:
    return {int(stratum): int(copies[strata == stratum].sum()) for stratum in np.unique(strata)}


@given(records=RECORDS, seed=st.integers(-(2**70), 2**70), first=st.integers(0, 2**40))
@example(records=[(1.5, 0)] * 3 + [(1.0, 0)], seed=0, first=0)  # a factor of 1 stays 1
@example(records=[(0.99, 0), (0.3, 0), (0.3, 0)], seed=0, first=0)
@example(records=[(1 / 3, 0)] * 3 + [(2 / 3, 1)] * 3, seed=0, first=0)
def test_every_epoch_holds_whole_numbers_next_to_what_is_wanted(records, seed, first):
    factors = np.array([factor for factor, _ in records], float)
    strata = np.array([stratum for _, stratum in records], int)
    plan = plan_copies(factors, strata, seed)
    exact = fixed_point(factors) / ONE
    wanted = totals_of(exact, strata) if len(records) else {}
    seen = []
    for epoch in range(first, first + 6):
        copies = plan.copies(epoch)
        assert copies.dtype == np.int64
        assert ((np.floor(exact) <= copies) & (copies <= np.ceil(exact))).all()
        assert copies.sum() == plan.num_copies
        seen.append(totals_of(copies, strata))
    assert all(totals == seen[0] for totals in seen)
    for stratum in wanted:
        assert abs(seen[0][stratum] - exact[strata == stratum].sum()) < 1
    assert abs(plan.num_copies - exact.sum()) <= 0.5
    assert plan.copies_may_be_0 == bool((plan.upper - plan.lower < ONE).any())


@given(
    sizes=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 60)), min_size=1, max_size=4),
    seed=st.integers(0, 2**64),
    first=st.integers(0, 10**6),
    num_epochs=st.integers(1, 150),
)
def test_records_have_their_factor_on_average(sizes, seed, first, num_epochs):
    factors = np.concatenate([np.full(n, total / n) for n, total in sizes])
    strata = np.repeat(np.arange(len(sizes)), [n for n, _ in sizes])
    plan = plan_copies(factors, strata, seed)
    copies = sum(plan.copies(epoch) for epoch in range(first, first + num_epochs))
    # Turns by the golden ratio are off by the logarithm of their number at most.
    assert (np.abs(copies - num_epochs * factors) < 2 + 0.5 * np.log2(num_epochs)).all()


def test_a_plan_depends_on_its_seed_alone():
    factors, strata = np.full(1000, 1.3), np.arange(1000) % 3
    first, again, other = (plan_copies(factors, strata, seed).copies(5) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    # Independent choices of 30 % of the records agree in 58 % of them.
    assert 500 < (first == other).sum() < 660


def test_neighbours_are_chosen_independently():
    copies = plan_copies(np.full(20_000, 0.5), np.zeros(20_000, int), 3).copies(0)
    for step in (1, 2, 3, 10, 100):
        assert abs((copies[:-step] == copies[step:]).mean() - 0.5) < 0.02


def test_the_order_is_that_of_splitmix64_everywhere():
    known = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert hashes_of(3).tolist() == known
    assert hashes_of(2, 7, -1).tolist() == hashes_of(2, 7, 2**64 - 1).tolist()
    plan = plan_copies(np.array([0.5, 1.25, 1.25, 2.5, 0.5]), np.array([0, 1, 1, 1, 0]), seed=9)
    assert [plan.copies(epoch).tolist() for epoch in range(3)] == [
        [1, 1, 1, 3, 0],
        [0, 1, 2, 2, 1],
        [1, 1, 1, 3, 0],
    ]


def test_large_epochs_stay_exact():
    factors, strata = np.full(300_000, 7000.123456789), np.zeros(300_000, int)
    plan = plan_copies(factors, strata, 0)
    assert plan.num_copies == round(7000.123456789 * 300_000)
    copies = plan.copies(10**12)
    assert set(copies.tolist()) == {7000, 7001}
    assert copies.sum() == plan.num_copies


@pytest.mark.parametrize(
    ("factors", "strata", "message"),
    [
        ([1.0, -0.5], [0, 0], "at least 0"),
        ([float("nan")], [0], "finite"),
        ([float("inf")], [0], "finite"),
        ([2.0**31], [0], r"2.15e\+09 copies; it must have fewer than 2\*\*31"),
        ([2.0**30, 2.0**30], [0, 1], "lower the factors"),
        ([1.0, 1.0], [0], r"2 factors, but strata of shape \(1,\)"),
    ],
)
def test_what_cannot_be_planned_is_told(factors, strata, message):
    with pytest.raises(ValueError, match=message):
        plan_copies(np.array(factors), np.array(strata), 0)
