"""What is balanced: classes, bins of numbers, and combinations of them."""

import collections
import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import bin_name, strata_of
from strategies import FEW, records, records_of, spec_of

from medical_images.spec import CorpusSpec
from medical_images.strata import Numbers, Strata, numbers_of

AGE = {"feature": "age", "bins": ["40", "60"]}
FEATURES = {"label": None, "findings": None, "age": (40.0, 60.0)}


def fitted(table: pd.DataFrame, spec: CorpusSpec) -> Strata:
    return Strata.fit(numbers_of(table, spec), spec)


def counts_of(strata: Strata, table: pd.DataFrame) -> dict[tuple[str, str], int]:
    return dict(zip(strata.names, strata.matrix(table).sum(axis=0).tolist(), strict=True))


def cells_of(table: pd.DataFrame) -> list[dict[str, object]]:
    return table.to_dict("records")


@FEW
@given(table=records(), names=st.permutations(list(FEATURES)), number=st.integers(1, 3))
def test_each_record_is_in_the_strata_of_its_cells(table, names, number):
    features = {name: FEATURES[name] for name in names[:number]}
    spec = spec_of(stratify=[AGE if name == "age" else name for name in features])
    strata = fitted(table, spec)
    strata = strata.with_joint(strata.count_joint(table, np.arange(len(table))), shares=[1.0])
    matrix = strata.matrix(table)
    assert matrix.dtype == np.uint8
    assert set(np.unique(matrix)) <= {0, 1}
    for row, record in zip(matrix, cells_of(table), strict=True):
        held = {name for name, is_in in zip(strata.names, row, strict=True) if is_in}
        assert held == strata_of(record, features)
    # Every declared class and every bin is there, whether a record has it or not.
    declared = {
        "label": ["nv", "mel", "df", "vasc"],
        "findings": ["edema", "mass"],
        "age": ["under 40", "40 to under 60", "60 and over", "missing"],
    }
    singles = [(name, value) for name in features for value in declared[name]]
    assert strata.names[: len(singles)] == singles
    occurring = {stratum for record in cells_of(table) for stratum in strata_of(record, features)}
    assert set(strata.names[len(singles) :]) == {s for s in occurring if " & " in s[0]}


@pytest.mark.parametrize(
    ("age", "name"),
    [
        (-1.0, "under 40"),
        (39.999, "under 40"),
        (40.0, "40 to under 60.5"),
        (60.499, "40 to under 60.5"),
        (60.5, "60.5 and over"),
        (float("inf"), "60.5 and over"),
        (float("-inf"), "under 40"),
        (float("nan"), "missing"),
    ],
)
def test_a_bin_holds_its_lower_edge(age, name):
    spec = spec_of(stratify={"feature": "age", "bins": ["40", "60.5"]})
    table = records_of(["p"], feature_age=[age])
    found = counts_of(fitted(table, spec), table)
    assert found == {("age", n): int(n == name) for n in (*found_names([40, 60.5]), "missing")}


def found_names(edges: list[float]) -> list[str]:
    """The names of bins, from the oracle."""
    return [bin_name(number, edges) for number in (edges[0] - 1, *edges)]


NUMBERS = st.lists(
    st.one_of(st.sampled_from([0.0, 1.0, 2.0, float("nan")]), st.floats(-5, 5)), max_size=40
)


@FEW
@given(numbers=NUMBERS, num_bins=st.integers(2, 6))
def test_bins_of_equally_many_images_are_never_empty(numbers, num_bins):
    table = records_of([""] * len(numbers), feature_age=pd.Series(numbers, dtype="float64"))
    strata = fitted(table, spec_of(stratify={"feature": "age", "bins": num_bins}))
    counts = counts_of(strata, table)
    present = [number for number in numbers if number == number]
    assert counts.pop(("age", "missing")) == len(numbers) - len(present)
    assert sum(counts.values()) == len(present)
    assert len(counts) <= num_bins
    assert all(counts.values()) or not present
    # Where no two are equal and there are enough, each bin has its share, to one image.
    if len(set(present)) == len(present) >= num_bins:
        assert len(counts) == num_bins
        assert max(counts.values()) - min(counts.values()) <= 1
    # Equal numbers are in one bin, and bins do not overlap.
    matrix = strata.matrix(table)[:, :-1]
    spans = [
        sorted(n for n, is_in in zip(numbers, column, strict=True) if is_in) for column in matrix.T
    ]
    for low, high in itertools.pairwise(span for span in spans if span):
        assert low[-1] < high[0]


@FEW
@given(numbers=NUMBERS, num_parts=st.integers(1, 4), num_bins=st.integers(2, 6))
def test_counts_of_parts_make_the_bins_of_all_records(numbers, num_parts, num_bins):
    parts = np.array_split(np.array(numbers, dtype=np.float64), num_parts)
    total = Numbers.total(Numbers.of(part) for part in parts)
    ordered = sorted(number for number in numbers if number == number)
    places = {len(ordered) * k // num_bins for k in range(1, num_bins)} - {len(ordered)}
    edges = {ordered[place] for place in places} - set(ordered[:1])
    assert total.edges(num_bins) == tuple(sorted(edges))


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        ([7.0] * 5, {"any": 5, "missing": 0}),
        ([float("nan")] * 3, {"any": 0, "missing": 3}),
        ([1.0, 1.0, 1.0, 9.0], {"any": 4, "missing": 0}),  # the median is the least
        ([1.0, 9.0, 9.0, 9.0], {"under 9": 1, "9 and over": 3, "missing": 0}),
        ([1.0, 2.0, 3.0, 4.0], {"under 3": 2, "3 and over": 2, "missing": 0}),
    ],
    ids=["all equal", "all missing", "most are the least", "most are the greatest", "distinct"],
)
def test_two_bins_of_equally_many_images(ages, expected):
    table = records_of([""] * len(ages), feature_age=ages)
    strata = fitted(table, spec_of(stratify={"feature": "age", "bins": 2}))
    assert counts_of(strata, table) == {("age", name): n for name, n in expected.items()}


def test_whole_numbers_have_bins_too():
    table = records_of([""] * 3, feature_stage=[1, 2, 3])
    spec = spec_of(
        features={"stage": {"type": "int"}},
        supervised=None,
        stratify={"feature": "stage", "bins": ["2"]},
    )
    found = counts_of(fitted(table, spec), table)
    assert found == {("stage", "under 2"): 1, ("stage", "2 and over"): 2, ("stage", "missing"): 0}


def test_without_features_there_is_no_stratum():
    table = records_of(["p", "q"])
    strata = fitted(table, spec_of(stratify=[]))
    assert strata.names == []
    assert strata.matrix(table).shape == (2, 0)
    assert strata.with_joint(strata.count_joint(table, np.arange(2)), shares=[1.0]) == strata


@FEW
@given(
    table=records(),
    shares=st.sampled_from([[0.5, 0.5], [0.8, 0.1, 0.1], [0.2] * 5]),
    with_age=st.booleans(),
)
def test_combinations_are_balanced_where_every_split_can_have_one(table, shares, with_age):
    features = {name: FEATURES[name] for name in ("label", "findings", "age")[: 2 + with_age]}
    spec = spec_of(stratify=["label", "findings", *([AGE] if with_age else [])])
    codes = pd.factorize(table["group"])[0]
    strata = fitted(table, spec)
    strata = strata.with_joint(strata.count_joint(table, codes), shares=shares)
    images: collections.Counter = collections.Counter()
    groups: dict[tuple[str, str], set[int]] = collections.defaultdict(set)
    for record, code in zip(cells_of(table), codes, strict=True):
        for stratum in strata_of(record, features):
            if " & " in stratum[0]:
                images[stratum] += 1
                groups[stratum].add(code)
    common = {
        stratum
        for stratum, count in images.items()
        if count * min(shares) >= 1 and len(groups[stratum]) >= len(shares)
    }
    assert {name for name in strata.names if " & " in name[0]} == common
    assert strata.num_left_out == len(images) - len(common)
    assert len(set(strata.names)) == len(strata.names)


def wide_spec(*sizes: int):
    """A spec whose features have so many classes."""
    features = {
        f"f{k}": {"type": "class", "values": [f"v{n}" for n in range(size)]}
        for k, size in enumerate(sizes)
    }
    return spec_of(features=features, supervised=None, stratify=list(features))


@pytest.mark.parametrize(
    ("sizes", "num_joint", "num_left_out"),
    [((20, 20), 1, 0), ((20, 21), 0, 420), ((50, 50, 50, 50, 50), 0, 50**5)],
    ids=["400", "420", "312,500,000"],
)
def test_too_many_combinations_are_left_out_and_told(sizes, num_joint, num_left_out):
    table = records_of(["p", "q", "r"], **{f"feature_f{k}": "v0" for k in range(len(sizes))})
    strata = fitted(table, wide_spec(*sizes))
    strata = strata.with_joint(strata.count_joint(table, np.arange(3)), shares=[0.5, 0.5])
    assert len(strata.joint) == num_joint
    assert strata.num_left_out == num_left_out
