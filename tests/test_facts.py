"""What is counted of parts of the records adds up to what is counted of all of them."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
import test_plan
from hypothesis import given
from hypothesis import strategies as st
from strategies import FEW, copied, records, records_of, spec_of

from medical_images.errors import SpecError
from medical_images.facts import Basis, Facts, with_former, with_groups
from medical_images.grouping import own_groups
from medical_images.plan import plan_records
from medical_images.scheme import Former, Scheme
from medical_images.spec import CorpusSpec
from medical_images.strata import Strata
from medical_images.tally import Tally, add_classes, count_classes

SPEC = spec_of(
    stratify=["label", "findings", {"feature": "age", "bins": 3}],
    splits={"train": "3/4", "test": "1/4", "column": "official", "values": ["exam", "study"]},
)


def dealt(table: pd.DataFrame, by: pd.Series, number: int) -> list[pd.DataFrame]:
    """Parts of the records, some of them empty; those with the same value are in the same one."""
    codes = pd.factorize(by)[0] * 7 % number
    return [table[codes == k] for k in range(number)]


def basis_of(table: pd.DataFrame, spec: CorpusSpec, number: int) -> Basis:
    parts = dealt(table, own_groups(table), number)
    return Basis.total(Basis.of(part, spec) for part in parts)


def plain(value: Any) -> Any:
    """What can be compared; the order of rows does not matter."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, pd.DataFrame):
        return sorted(map(repr, value.itertuples(index=False)))
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return value


def former_of(table: pd.DataFrame) -> Former:
    """A dataset of half of the groups, and of one that is gone."""
    known = table.drop_duplicates("key")[::2].assign(position=0.5)
    names = ["train", "test", "exam"]
    known["split"] = [names[n % 3] for n in range(len(known))]
    gone = pd.DataFrame({"split": ["train"], "key": np.array([5], np.uint64), "position": [0.1]})
    return Former(pd.concat([known[["split", "key", "position"]], gone]), 0, ("patient",))


@FEW
@given(
    table=copied(records(max_groups=20, official=["", "exam", "study"])),
    number=st.integers(1, 6),
    duplicates=st.sampled_from(["group", "report"]),
    extends=st.booleans(),
    seed=st.integers(0, 99),
)
def test_counts_of_parts_add_up(table, number, duplicates, extends, seed):
    spec = SPEC.model_copy(update={"duplicates": duplicates})
    basis = basis_of(table, spec, number)
    whole = Basis.of(table, spec)
    assert basis.joined == whole.joined
    strata = Strata.fit(basis.numbers, spec)
    assert strata == Strata.fit(whole.numbers, spec)
    table = with_groups(table, basis.joined, seed=0)
    if extends:
        table = with_former(table, former_of(table).groups)
    parts = dealt(table, table["whole"], number)
    facts = Facts.total(Facts.of(part, strata) for part in parts)
    assert plain(facts) == plain(Facts.of(table, strata))

    names = ("train", "test", "exam", "study")
    scheme = Scheme(names, spec.splits.planned(10), strata.with_joint(facts.joint, shares=[0.5]))
    splits = pd.Series(np.random.default_rng(seed).integers(0, 4, len(table)), index=table.index)
    table = table.assign(position=splits / 7)
    tallies = [
        Tally.of(part, splits[part.index].to_numpy(), scheme)
        for part in dealt(table, table["whole"], number)
    ]
    assert plain(Tally.total(tallies)) == plain(Tally.of(table, splits.to_numpy(), scheme))
    assert add_classes(count_classes(part, spec) for part in parts) == count_classes(table, spec)


def scheme_of_parts(
    table: pd.DataFrame, spec: CorpusSpec, former: Former | None, number: int
) -> Scheme:
    """What `plan_records` does before it plans, of records in parts."""
    basis = basis_of(table, spec, number)
    table = with_groups(table, basis.joined, seed=spec.seed)
    if former is not None:
        table = with_former(table, former.groups)
    strata = Strata.fit(basis.numbers, spec)
    parts = [Facts.of(part, strata) for part in dealt(table, table["whole"], number)]
    return Scheme.make(Facts.total(parts), strata, former)


EXTENDED = {
    name: (
        test_plan.KNOWN.assign(
            copy=test_plan.KNOWN["path"]
            .isin(test_plan.two_known(same_split=False) if with_copies else [])
            .map({True: "x", False: ""})
        ),
        keys,
    )
    for name, (keys, with_copies, _) in test_plan.EXTENSIONS.items()
}


# These are refused when the splits are there; Beam's tests have some of them.
PLANNED = {
    "fewer groups than splits", "one group", "a share too small", "copies join all groups",
    "nothing left to plan", "an official split without an image",
}  # fmt: skip


@pytest.mark.parametrize("name", [n for n in (*test_plan.REFUSALS, *EXTENDED) if n not in PLANNED])
def test_records_in_parts_are_refused_in_the_same_words(name):
    former = None
    if name in EXTENDED:
        table, keys = EXTENDED[name]
        former = test_plan.former_of(plan_records(test_plan.KNOWN, spec_of()))
    else:
        table, keys = test_plan.REFUSALS[name].table, test_plan.REFUSALS[name].keys
    spec = spec_of(**keys)
    with pytest.raises(SpecError) as in_memory:
        plan_records(table, spec, former)
    for number in (1, 3):
        with pytest.raises(SpecError) as in_parts:
            scheme_of_parts(table, spec, former, number)
        assert str(in_parts.value) == str(in_memory.value)
        assert in_parts.value.problems == in_memory.value.problems


def test_tables_without_rows_have_no_say_in_types():
    table = records_of(["p", "p"], split=["exam", "study"], copy="x")
    none = table.iloc[:0].astype("object")
    spec = spec_of(duplicates="report", splits={"a": "1/2", "b": "1/2"})
    strata = Strata.fit({}, spec)
    parts = [with_groups(part, {}, seed=0).assign(position=0.5) for part in (none, table)]
    assert Facts.total(Facts.of(part, strata) for part in parts).torn["line"].dtype == np.int64
    scheme = Scheme(("a", "b"), spec.splits.planned(2), strata)
    tallies = [Tally.of(part, np.zeros(len(part), np.int64), scheme) for part in parts]
    assert plain(Tally.total(tallies)) == plain(tallies[1])
