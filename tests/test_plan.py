"""Records to a plan: which split each is in, and where on its line."""

import collections
import dataclasses
import functools
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracles import joined_ids, own_ids, torn_ids
from strategies import copied, records, records_of, spec_of

from medical_images import line
from medical_images.errors import SpecError
from medical_images.plan import Plan, plan_records
from medical_images.scheme import Former
from medical_images.spec import CorpusSpec

AGE = {"feature": "age", "bins": ["40", "60"]}
ALL = ["label", AGE, "findings"]
# A plan takes a fifth of a second, so there are few examples of each.
PLANS = settings(max_examples=6, deadline=None)
HASHED = {"train": "1/2", "validation": "1/3", "test": "1/6", "method": "hash"}


def placed(plan: Plan) -> dict[str, tuple[str, float]]:
    """{path: (split, position)}, in written order."""
    return {
        path: (split, position)
        for split, table in plan.splits.items()
        for path, position in zip(table["path"], table["position"], strict=True)
    }


def sizes(plan: Plan) -> dict[str, int]:
    return {name: len(table) for name, table in plan.splits.items()}


def plan_or_refusal(table: pd.DataFrame, spec: CorpusSpec) -> Plan | str:
    """A plan; or why it is refused, since by hash a split may be empty by chance."""
    if spec.splits.method != "hash":
        return plan_records(table, spec)
    try:
        return plan_records(table, spec)
    except SpecError as error:
        return str(error)


def assert_same(plan: Plan | str, other: Plan | str) -> None:
    if isinstance(plan, str) or isinstance(other, str):
        assert plan == other
        return
    assert list(plan.splits) == list(other.splits)
    for name, table in plan.splits.items():
        pd.testing.assert_frame_equal(table, other.splits[name])


def many_groups(num_groups: int = 200) -> pd.DataFrame:
    """Groups of three images; every sixth image is malignant."""
    count = 3 * num_groups
    return records_of(
        [f"p{n // 3}" for n in range(count)],
        feature_label=[("nv", "mel")[n % 6 == 5] for n in range(count)],
    )


@functools.cache
def thirds() -> Plan:
    """A plan of `many_groups` in three splits."""
    return plan_records(many_groups(), spec_of(splits={"a": "0.8", "b": "0.1", "c": "0.1"}))


# --- every record and every group ---------------------------------------------------------------


@PLANS
@given(table=copied(records(max_groups=14, official=["", "", "exam"])))
@pytest.mark.parametrize("duplicates", ["group", "report"])
def test_each_record_is_in_one_split_and_each_group_is_whole(table, duplicates):
    spec = spec_of(
        stratify=ALL,
        duplicates=duplicates,
        splits={"train": "2/3", "test": "1/3", "column": "official", "values": {"exam": ["x"]}},
    )
    by = ("copy",) if duplicates == "group" else ()
    torn = torn_ids(table, by=by)
    if torn:
        with pytest.raises(SpecError, match=rf": {len(torn)} groups? \(\d+ images\) stand in two"):
            plan_records(table, spec)
        return
    planned = {n for n, split in zip(joined_ids(table), table["split"], strict=True) if not split}
    assume("exam" in set(table["split"]) and len(planned) > 3)
    plan = plan_records(table, spec)
    places = placed(plan)
    assert list(plan.splits) == ["train", "test", "exam"]
    assert plan.num_records == len(places) == len(table)
    assert sorted(places) == table["path"].tolist()
    kept = pd.concat(plan.splits.values()).sort_values("path", ignore_index=True)
    pd.testing.assert_frame_equal(kept[table.columns], table)
    splits_of_group = collections.defaultdict(set)
    groups = joined_ids(table, by=by)
    for path, split, group in zip(table["path"], table["split"], groups, strict=True):
        assert (places[path][0] == "exam") == (split == "exam")
        splits_of_group[group].add(places[path])
    assert {len(found) for found in splits_of_group.values()} == {1}


@PLANS
@given(table=copied(records(max_groups=14)))
def test_groups_stand_together_about_the_middle_of_their_images(table):
    group = dict(zip(table["path"], joined_ids(table), strict=True))
    for part in plan_records(table, spec_of(stratify=ALL)).splits.values():
        ids = [group[path] for path in part["path"]]
        runs = [name for n, name in enumerate(ids) if n == 0 or name != ids[n - 1]]
        assert len(runs) == len(set(runs))
        for name in runs:
            places = [n for n, other in enumerate(ids) if other == name]
            middle = (places[0] + places[-1] + 1) / (2 * len(ids))
            assert part["position"].iloc[places].tolist() == pytest.approx([middle] * len(places))
            assert part["path"].iloc[places].is_monotonic_increasing
        assert part["position"].is_monotonic_increasing


@PLANS
@given(table=copied(records(max_groups=14)), seed=st.integers(0, 9))
def test_the_key_is_the_hash_of_the_record_s_own_group(table, seed):
    plan = plan_records(table, spec_of(seed=seed, splits={"all_of_it": "1", "method": "hash"}))
    for part in plan.splits.values():
        named = part[part["group"] != ""]
        assert part["key"].dtype == np.uint64
        assert named["key"].tolist() == line.hash_groups(named["group"], seed=seed).tolist()
    whole = pd.concat(plan.splits.values())
    assert whole["key"].nunique() == len(set(own_ids(whole)))


# --- what a plan does not depend on -------------------------------------------------------------


@PLANS
@given(table=copied(records(max_groups=14)), random=st.randoms())
@pytest.mark.parametrize("method", ["line", "hash"])
def test_the_order_of_records_does_not_matter(table, random, method):
    spec = spec_of(stratify=ALL, splits={"train": "3/4", "test": "1/4", "method": method})
    mixed = table.iloc[random.sample(range(len(table)), len(table))]
    plan, other = (plan_or_refusal(some, spec) for some in (table, mixed))
    assert_same(plan, other)


@PLANS
@given(table=records(max_groups=14), order=st.permutations(["nv", "mel", "df", "vasc"]))
def test_names_and_order_of_labels_and_features_do_not_matter(table, order):
    new = dict(zip(["nv", "mel", "df", "vasc"], ["9", "b & c", "b", "missing"], strict=True))
    features = {
        "years": {"type": "float"},
        "diagnosis": {"type": "class", "values": [new[name] for name in order]},
        "signs": {"type": "labels", "values": ["MASS", "EDEMA"]},
    }
    renamed = table.assign(
        feature_diagnosis=table["feature_label"].map(new),
        feature_signs=table["feature_findings"].map(lambda c: tuple(v.upper() for v in c)),
        feature_years=table["feature_age"],
    )
    strata = ["signs", {**AGE, "feature": "years"}, "diagnosis"]
    other = spec_of(features=features, supervised="diagnosis", stratify=strata)
    plan = plan_records(table, spec_of(stratify=ALL))
    assert placed(plan_records(renamed, other)) == placed(plan)


@PLANS
@given(
    table=records(max_groups=20),
    times=st.sampled_from([2, 3]),
    splits=st.sampled_from([{"train": "0.8", "test": "0.2"}, {"folds": "3"}]),
)
def test_groups_stay_when_every_image_is_there_several_times(table, times, splits):
    table = table[table["group"] != ""]
    parts = [table.assign(path=f"{k}_" + table["path"]) for k in range(times)]
    spec = spec_of(splits=splits)
    once, more = (placed(plan_records(t, spec)) for t in (table, pd.concat(parts)))
    assert more == {f"{k}_{path}": place for path, place in once.items() for k in range(times)}


@settings(max_examples=30, deadline=None)
@given(table=copied(records(max_groups=60)), data=st.data())
def test_by_hash_a_group_that_goes_leaves_all_others_where_they_are(table, data):
    spec = spec_of(splits=HASHED)
    groups = np.array(joined_ids(table))
    gone = data.draw(st.sets(st.sampled_from(sorted(set(groups))), max_size=3))
    plans = [plan_or_refusal(t, spec) for t in (table, table[~np.isin(groups, list(gone))])]
    assume(all(isinstance(plan, Plan) for plan in plans))
    before, after = map(placed, plans)
    assert list(after.items()) == [item for item in before.items() if item[0] in after]


def test_another_seed_makes_another_plan():
    tables = [placed(plan_records(many_groups(60), spec_of(seed=seed))) for seed in (0, 0, 1, 2)]
    assert tables[0] == tables[1]
    tests = [{p for p, (split, _) in plan.items() if split == "test"} for plan in tables[1:]]
    assert tests[0] != tests[1] != tests[2] != tests[0]


# --- a corpus that grows ------------------------------------------------------------------------


def former_of(plan: Plan, seed: int = 0) -> Former:
    """A plan, as it is read from the index of the dataset that it became."""
    parts = [table[["key", "position"]].assign(split=name) for name, table in plan.splits.items()]
    return Former(pd.concat(parts).drop_duplicates("key", ignore_index=True), seed, ("patient",))


EXTENDING = {"train": "3/4", "test": "1/4", "extend": "former"}


def grown(corpus: pd.DataFrame, new: pd.DataFrame, random, step: int) -> pd.DataFrame:
    """The corpus with new images of known groups and of new ones, some of these copies of known."""
    new = new.assign(copy="", path=f"{step}_" + new["path"])
    is_new = new["group"].str.contains("[02468]$")
    new["group"] = new["group"].mask(is_new, f"{step}_" + new["group"])
    corpus = pd.concat([corpus, new], ignore_index=True)
    late = corpus.index[-len(new) :][is_new]
    known = corpus.index[: -len(new)][corpus["copy"][: -len(new)] == ""]
    firsts = corpus.loc[late].drop_duplicates("group").index[:3]
    for place, original in zip(firsts, random.sample(list(known), len(firsts)), strict=True):
        corpus.loc[[place, original], "copy"] = f"{step}_{place}"
    return corpus


@PLANS
@given(tables=st.tuples(*[records(max_groups=13)] * 3), random=st.randoms())
def test_known_groups_never_move(tables, random):
    corpus = tables[0].assign(copy="")
    plan = plan_records(corpus, spec_of())
    for step in (1, 2):
        former = former_of(plan)
        corpus = grown(corpus, tables[step], random, step)
        plan = plan_records(corpus, spec_of(splits=EXTENDING), former)
        assert plan.num_records == len(corpus)
        after = former_of(plan).groups
        assert len(after) == len(set(own_ids(corpus)))
        kept = after[after["key"].isin(former.groups["key"])]
        pd.testing.assert_frame_equal(
            kept.sort_values("key", ignore_index=True),
            former.groups.sort_values("key", ignore_index=True),
        )


def test_new_groups_mend_what_known_ones_lack():
    known = many_groups(40)
    former = former_of(plan_records(known, spec_of()))
    late = many_groups(40).assign(path=lambda t: "late_" + t["path"], group=lambda t: "q" + t.group)
    # A third split takes all that is due to it from the new groups.
    splits = {"train": "1/2", "test": "1/4", "more": "1/4", "extend": "former"}
    plan = plan_records(pd.concat([known, late]), spec_of(splits=splits), former)
    assert sizes(plan) == {"train": 120, "test": 60, "more": 60}
    assert set(plan.splits["more"]["group"].str[0]) == {"q"}


def test_groups_and_splits_that_have_gone_are_not_missed():
    plan, table = thirds(), many_groups()
    place = placed(plan)
    stays = table["path"].map(lambda path: place[path][0] != "c") & (table["group"] != "p7")
    splits = {"a": "8/9", "b": "1/9", "extend": "former"}
    after = placed(plan_records(table[stays], spec_of(splits=splits), former_of(plan)))
    assert after == {path: place[path] for path in table["path"][stays]}


KNOWN = records_of([f"p{n}" for n in range(8)])


def two_known(same_split: bool) -> list[str]:
    """Images of two known groups, of one split or of two."""
    place = placed(plan_records(KNOWN, spec_of()))
    first = "i0000.png"
    other = [p for p in place if p != first and (place[p][0] == place[first][0]) == same_split]
    return [first, other[0]]


def test_new_copies_of_two_known_groups_of_one_split_are_together_there():
    pair = two_known(same_split=True)
    before = plan_records(KNOWN, spec_of())
    table = KNOWN.assign(copy=KNOWN["path"].isin(pair).map({True: "x", False: ""}))
    after = placed(plan_records(table, spec_of(splits=EXTENDING), former_of(before)))
    known = placed(before)
    assert after[pair[0]] == after[pair[1]] == min(known[pair[0]], known[pair[1]])
    assert {p: after[p] for p in after if p not in pair} == {
        p: known[p] for p in known if p not in pair
    }


EXTENSIONS: dict[str, tuple[dict[str, Any], bool, list[str]]] = {
    "another seed": (
        {"seed": 7, "splits": EXTENDING},
        False,
        ["splits.extend: ", "the seed 0, this 7", "use the same seed"],
    ),
    "other names": (
        {"splits": {"train": "3/4", "exam": "1/4", "extend": "former"}},
        False,
        ["splits.extend: ", "groups stood in test, and are now to be planned among train, exam"],
    ),
    "other groups": (
        {"group": ["patient", "visit"], "splits": EXTENDING},
        False,
        ["splits.extend: ", "`group` patient, and this one patient, visit", "same columns"],
    ),
    "copies of two splits": (
        {"splits": EXTENDING},
        True,
        ["splits.extend: ", "join groups that stood in different splits, 1 times"],
    ),
}


@pytest.mark.parametrize("name", EXTENSIONS)
def test_a_former_dataset_that_does_not_fit_is_refused(name):
    keys, with_copies, told = EXTENSIONS[name]
    is_copy = KNOWN["path"].isin(two_known(same_split=False)) & with_copies
    table = KNOWN.assign(copy=is_copy.map({True: "x", False: ""}))
    with pytest.raises(SpecError) as caught:
        plan_records(table, spec_of(**keys), former_of(plan_records(KNOWN, spec_of())))
    for text in told:
        assert text in str(caught.value)
    if with_copies:  # copies that may stand in two splits join nothing
        plan = plan_records(
            table,
            spec_of(duplicates="report", **keys),
            former_of(plan_records(KNOWN, spec_of())),
        )
        assert placed(plan) == placed(plan_records(KNOWN, spec_of()))


def test_a_dataset_none_of_whose_groups_is_here_is_not_extended():
    spec = spec_of(splits=EXTENDING)
    renamed = KNOWN.assign(group=KNOWN["group"].str.upper())
    with pytest.raises(SpecError, match=r"none of the \d+ groups of the dataset to extend"):
        plan_records(renamed, spec, former_of(plan_records(KNOWN, spec_of())))


def test_an_official_split_does_not_take_a_known_group_from_another():
    plan = plan_records(KNOWN, spec_of())
    moved = plan.splits["train"]["group"].iloc[0]
    table = KNOWN.assign(split=KNOWN["group"].map(lambda group: "test" if group == moved else ""))
    is_test = table["path"].isin(plan.splits["test"]["path"])
    table["split"] = table["split"].mask(is_test, "test")
    official = {"column": "official", "values": {"test": ["x"]}}
    keys = {"train": "1", **official, "extend": "former"}
    with pytest.raises(SpecError, match=r"1 groups .* in another split than their official one"):
        plan_records(table, spec_of(splits=keys), former_of(plan))
    kept = table.assign(split=table["split"].mask(table["group"] == moved, ""))
    assert placed(plan_records(kept, spec_of(splits=keys), former_of(plan))) == placed(plan)


@pytest.mark.parametrize(
    ("splits", "first"),
    [
        ({"test": "1/5", "train": "4/5"}, "train"),
        ({"test": "1/5", "folds": "4"}, "fold_0"),
        ({"b": "1/4", "a": "3/4"}, "a"),
    ],
    ids=["train", "folds", "largest"],
)
def test_a_class_of_one_patient_comes_to_what_is_trained_on(splits, first):
    labels = ["df", *["nv"] * 59]
    table = records_of([f"p{n}" for n in range(60)], feature_label=labels)
    plan = plan_records(table, spec_of(splits=splits))
    assert placed(plan)[table["path"].iloc[0]][0] == first


# --- shares, counts, folds and official splits --------------------------------------------------

HUNDRED = records_of([f"p{n}" for n in range(100)], feature_label=["nv"] * 60 + ["mel"] * 40)
OFFICIAL = {"column": "official", "values": {"exam": ["x"]}}
SIZES: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "shares": ({"train": "0.8", "test": "1/5"}, {"train": 80, "test": 20}),
    "one split": ({"all_of_it": "1"}, {"all_of_it": 100}),
    "rest of shares": (
        {"test": "0.1", "train": "rest", "validation": "0.2"},
        {"test": 10, "train": 70, "validation": 20},
    ),
    "counts": ({"a": "30", "b": "70"}, {"a": 30, "b": 70}),
    "counts and rest": ({"train": "35", "test": "rest"}, {"train": 35, "test": 65}),
    "folds": ({"folds": "4"}, {f"fold_{k}": 25 for k in range(4)}),
    "folds beside a share": (
        {"test": "0.2", "folds": "5"},
        {"test": 20} | {f"fold_{k}": 16 for k in range(5)},
    ),
    "folds beside a count": (
        {"test": "10", "folds": "2"},
        {"test": 10, "fold_0": 45, "fold_1": 45},
    ),
    "official beside shares": (
        {"train": "0.75", "test": "0.25", **OFFICIAL},
        {"train": 60, "test": 20, "exam": 20},
    ),
    "official beside counts": (
        {"train": "79", "test": "1", **OFFICIAL},
        {"train": 79, "test": 1, "exam": 20},
    ),
    "official beside folds": ({"folds": "2", **OFFICIAL}, {"fold_0": 40, "fold_1": 40, "exam": 20}),
}


@pytest.mark.parametrize("name", SIZES)
def test_single_images_meet_their_shares_exactly(name):
    splits, expected = SIZES[name]
    table = HUNDRED
    if "exam" in expected:
        table = HUNDRED.assign(split=["exam" if n % 5 == 0 else "" for n in range(100)])
    plan = plan_records(table, spec_of(splits=splits))
    assert sizes(plan) == expected
    assert list(plan.splits) == list(expected)
    planned = {name: count for name, count in expected.items() if name != "exam"}
    total = sum(planned.values())
    assert plan.shares == {name: Fraction(count, total) for name, count in planned.items()}
    for name, part in plan.splits.items():
        malignant = (part["feature_label"] == "mel").sum()
        assert malignant == pytest.approx(0.4 * expected[name], abs=1)


def test_official_splits_alone_are_ordered_and_not_planned():
    table = many_groups(60)
    table["split"] = np.where(table["group"].str.endswith("7"), "exam", "study")
    splits = {"column": "official", "values": {"study": ["s"], "exam": ["x"]}}
    plan = plan_records(table, spec_of(splits=splits))
    assert plan.shares == {}
    assert {name: set(part["split"]) for name, part in plan.splits.items()} == {
        "study": {"study"},
        "exam": {"exam"},
    }
    study = (plan.splits["study"]["feature_label"] == "mel").to_numpy()
    for tenth in np.array_split(study, 10):
        assert tenth.sum() == pytest.approx(study.sum() / 10, abs=1)


def test_each_class_that_has_images_is_left_out_in_turn():
    features = {"site": {"type": "class", "values": ["b", "St. Mary", "none", "a"]}}
    keys = {"features": features, "supervised": None, "splits": {"leave_one_out": "site"}}
    sites = ["a", "a", "b", "St. Mary", "St. Mary"]
    names = [f"site_{site}".replace("St. Mary", "St__Mary") for site in sites]
    table = records_of(list("ppqrs"), feature_site=sites, split=names)
    plan = plan_records(table, spec_of(**keys))
    assert sizes(plan) == {"site_b": 1, "site_St__Mary": 2, "site_a": 2}


def test_the_combination_of_two_features_is_balanced():
    """Groups of a benign and a malignant image, one of which shows a mass: labels and masses alone
    do not tell apart those where it is the benign one.
    """
    masses = [("mass",), (), (), ("mass",)] * 30
    table = records_of(
        [f"p{n // 2}" for n in range(120)],
        feature_label=["nv", "mel"] * 60,
        feature_findings=pd.Series(masses, dtype="object"),
    )
    plan = plan_records(table, spec_of(stratify=["label", "findings"], splits={"folds": "4"}))
    for part in plan.splits.values():
        with_mass = part["feature_label"][part["feature_findings"].map(bool)]
        assert with_mass.value_counts().to_dict() == pytest.approx({"nv": 7.5, "mel": 7.5}, abs=1)


@pytest.mark.parametrize("bins", [["40", "60"], 3], ids=["edges", "of equally many images"])
def test_numbers_are_balanced_by_their_bins(bins):
    rng = np.random.default_rng(3)
    ages = np.where(rng.random(150) < 0.1, np.nan, np.round(rng.normal(50, 15, 150)))
    table = records_of([f"p{n}" for n in range(150)], feature_age=ages)
    spec = spec_of(stratify={"feature": "age", "bins": bins}, splits={"folds": "3"})
    plan = plan_records(table, spec)
    edges = [40, 60] if isinstance(bins, list) else np.sort(ages[~np.isnan(ages)])[[45, 90]]
    for part in plan.splits.values():
        for low, high in [(-np.inf, edges[0]), (edges[0], edges[1]), (edges[1], np.inf)]:
            due = ((ages >= low) & (ages < high)).sum() / 3
            found = ((part["feature_age"] >= low) & (part["feature_age"] < high)).sum()
            assert found == pytest.approx(due, abs=1)
        assert part["feature_age"].isna().sum() == pytest.approx(np.isnan(ages).sum() / 3, abs=1)


def test_slices_of_a_split_hold_their_share_of_a_rare_class():
    train = thirds().splits["a"]
    rare = (train["feature_label"] == "mel").to_numpy()
    for start in range(0, 100, 10):
        first, last = len(rare) * start // 100, len(rare) * (start + 10) // 100
        assert rare[first:last].sum() == pytest.approx(rare.sum() / 10, abs=1)


def test_first_records_of_each_split():
    plan = thirds()
    cut = plan.first(7)
    assert cut.num_records == 21
    for split, part in cut.splits.items():
        pd.testing.assert_frame_equal(part, plan.splits[split].head(7))
    assert plan.first(None) is plan


# --- what is refused ----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Refusal:
    """A corpus that cannot be planned.

    Attributes:
      table: Its records.
      keys: Of its spec.
      told: What each problem says, in any order.
      never: What no message may hold.
    """

    table: pd.DataFrame
    keys: Mapping[str, Any]
    told: list[list[str]]
    never: str = "p1"


THREE = {"train": "0.8", "validation": "0.1", "test": "0.1"}
BY_COLUMN = {"column": "official", "values": {"study": ["s"], "exam": ["x"]}}
BY_COLUMN_AND_SHARE = {**OFFICIAL, "train": "1"}
STRICT = {"rejects": {}}
TORN = records_of(["p1", "p1", "p2", "p3", "p3", "p3"], split=["study", "exam"] * 3)
COPIED = records_of(["p1", "p2", "p3"], split=["study", "exam", "exam"], copy=["x", "x", ""])
REFUSALS = {
    "fewer groups than splits": Refusal(
        records_of(["p1", "p2"]),
        {"splits": THREE},
        [
            ["splits.validation: would be empty: its share is 0.1 of 2 images in 2 groups"],
            ["splits.test: would be empty", "give it a larger share, or leave it out"],
        ],
    ),
    "one group": Refusal(
        records_of(["p1"] * 50),
        {"splits": {"a": "1/2", "b": "1/4", "c": "1/4"}},
        [
            ["splits.b: ", "0.25 of 50 images in 1 groups, the largest of 50 images"],
            ["splits.c: ", "0.25 of 50 images in 1 groups, the largest of 50 images"],
        ],
    ),
    "a share too small": Refusal(
        records_of(["p1", "p2", "p3"]),
        {"splits": {"a": "0.99", "b": "0.01"}},
        [["splits.b: would be empty", "share is 0.01 of 3 images in 3 groups"]],
    ),
    "copies join all groups": Refusal(
        records_of(["p1", "p2", "p3"], copy="x"),
        {},
        [["splits.test: would be empty", "of 3 images in 1 groups, the largest of 3"]],
    ),
    "nothing left to plan": Refusal(
        records_of(["p1", "p2"], split="exam"),
        {"splits": BY_COLUMN_AND_SHARE},
        [["splits: every image has an official split; none is left to plan", "take out train"]],
    ),
    "an official split without an image": Refusal(
        records_of(["p1", "p2"], split="study"),
        {"splits": BY_COLUMN},
        [["splits.exam: is an official split without an image"]],
    ),
    "counts of more images than there are": Refusal(
        records_of(["p1", "p2", "p3"]),
        {"splits": {"train": "2", "test": "2"}},
        [["splits: the counts add up to 4 images, but 3 are to be planned"]],
    ),
    "counts of fewer images than there are": Refusal(
        records_of(["p1", "p2", "p3", "p4"], split=["", "", "", "exam"]),
        {"splits": {"train": "1", "test": "1", **OFFICIAL}},
        [["splits: the counts add up to 2 images, but 3 are to be planned"]],
    ),
    "counts that leave nothing": Refusal(
        records_of(["p1", "p2", "p3"]),
        {"splits": {"train": "3", "test": "rest"}},
        [["splits: ", "leaves none of the 3 for test"]],
    ),
    "classes without an image": Refusal(
        records_of([f"p{n}" for n in range(10)], feature_findings=pd.Series([("mass",)] * 10)),
        {**STRICT, "stratify": ["label", "findings", AGE]},
        [
            ["features.label.values: 0 of 10 images have the class 'mel', 'df', 'vasc'", "report"],
            ["features.findings.values: 0 of 10 images have the class 'edema'", "declare only"],
        ],
    ),
    "a group in two official splits": Refusal(
        TORN,
        {"splits": BY_COLUMN},
        [
            [
                "splits: 2 groups (5 images) stand in two of the official splits (exam, study)",
                "lines 2, 3, 5, 6, 7",
                "allow_leaks: true",
            ]
        ],
    ),
    "a group that is partly to be planned": Refusal(
        records_of(["p1", "p1", "p2"], split=["exam", "", ""]),
        {"splits": BY_COLUMN_AND_SHARE},
        [["splits: 1 group (2 images) stand in two", "(exam, those to plan): lines 2, 3"]],
    ),
    "copies that join groups of two official splits": Refusal(
        COPIED, {"splits": BY_COLUMN}, [["splits: 1 group (2 images) stand in two", "lines 2, 3"]]
    ),
    "a group of two sites": Refusal(
        records_of(["p1", "p1"], split=["label_nv", "label_mel"], feature_label=["nv", "mel"]),
        {"splits": {"leave_one_out": "label"}},
        [["splits: 1 group (2 images) stand in two", "(label_mel, label_nv)"]],
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_planned_is_told_with_counts_and_without_ids(name):
    case = REFUSALS[name]
    with pytest.raises(SpecError) as caught:
        plan_records(case.table, spec_of(**case.keys))
    problems = [str(problem) for problem in caught.value.problems]
    assert len(problems) == len(case.told)
    for texts in case.told:
        assert any(all(text in problem for text in texts) for problem in problems), problems
    assert case.never not in str(caught.value)
    assert "i00" not in str(caught.value)


ACCEPTED = {
    "a leak that is allowed": (TORN, {"splits": {**BY_COLUMN, "allow_leaks": True}}, (3, 3)),
    "copies in two splits": (COPIED, {"splits": BY_COLUMN, "duplicates": "report"}, (1, 2)),
    "copies and a leak": (COPIED, {"splits": {**BY_COLUMN, "allow_leaks": True}}, (1, 2)),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_official_splits_are_kept_where_leaks_are_accepted(name):
    table, keys, (study, exam) = ACCEPTED[name]
    plan = plan_records(table, spec_of(**keys))
    assert sizes(plan) == {"study": study, "exam": exam}
    for split, part in plan.splits.items():
        assert set(part["split"]) == {split}


@pytest.mark.parametrize(
    "keys",
    [
        {"rejects": {"classes_without_image": "report"}},
        {**STRICT, "stratify": []},  # classes that are not balanced may lack images
        {**STRICT, "stratify": {"feature": "age", "bins": ["90"]}},  # so may bins
    ],
    ids=["report", "not balanced", "bins"],
)
def test_strata_without_an_image_are_accepted(keys):
    table = records_of([f"p{n}" for n in range(8)])
    assert sizes(plan_records(table, spec_of(**keys))) == {"train": 6, "test": 2}
