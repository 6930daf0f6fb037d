"""Records to a plan, and the certificate of what the plan achieved."""

import collections
import functools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from strategies import records

from medical_images.certification import certify, class_counts
from medical_images.errors import SpecError
from medical_images.plan import Plan, group_ids, label_matrix, plan_records
from medical_images.spec import CorpusSpec

FEATURES = {
    "label": {"type": "class", "values": ["nv", "mel", "df", "vasc"]},
    "findings": {"type": "labels", "values": ["edema", "mass"]},
}


def _spec(**keys: Any) -> CorpusSpec:
    features = {"name": "mine", "images": {"path": "{id}.png"}, "features": FEATURES}
    return CorpusSpec.from_dict({**features, "supervised": "label", "group": "patient", **keys})


def _table(groups: list[str], labels: list[str] | None = None) -> pd.DataFrame:
    """Records of these groups, one each."""
    count = len(groups)
    return pd.DataFrame(
        {
            "path": [f"i{number:04}.png" for number in range(count)],
            "num_bytes": 1,
            "table": "data.csv",
            "line": range(2, count + 2),
            "group": groups,
            "feature_label": labels or ["nv"] * count,
            "feature_findings": [()] * count,
        }
    )


def _placed(plan: Plan) -> list[tuple[str, str, float]]:
    """(split, path, position) of every record in written order."""
    return [
        (split, path, position)
        for split, table in plan.splits.items()
        for path, position in zip(table["path"], table["position"], strict=True)
    ]


SEEDS = range(6)


def _random_table(seed: int) -> pd.DataFrame:
    """Records of 20 to 60 groups of one to five images, some of no group."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, size=rng.integers(20, 60))
    groups = np.repeat([f"p{n}" for n in range(len(sizes))], sizes)
    groups = np.where(rng.random(len(groups)) < 0.1, "", groups).tolist()
    table = _table(groups, rng.choice(["nv", "nv", "nv", "mel", "df"], len(groups)).tolist())
    findings = [tuple(v for v in ("edema", "mass") if rng.random() < 0.3) for _ in groups]
    return table.assign(feature_findings=pd.Series(findings, dtype="object"))


@functools.cache
def _plan_of(seed: int) -> Plan:
    return plan_records(_random_table(seed), _spec())


MANY_GROUPS = _table([f"p{n // 3}" for n in range(600)], (["nv"] * 5 + ["mel"]) * 100)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_record_is_in_one_split_and_no_group_in_two(seed):
    table, plan = _random_table(seed), _plan_of(seed)
    placed = _placed(plan)
    assert sorted(path for _, path, _ in placed) == table["path"].tolist()
    assert plan.num_records == len(table)
    group = dict(zip(table["path"], table["group"], strict=True))
    splits = collections.defaultdict(set)
    for split, path, _ in placed:
        splits[group[path] or path].add(split)
    assert {len(names) for names in splits.values()} == {1}


@settings(max_examples=8, deadline=None)
@given(table=records(max_groups=20), random=st.randoms())
def test_plan_does_not_depend_on_the_order_of_records(table, random):
    spec = _spec(stratify=["label", "findings"])
    try:
        plan = plan_records(table, spec)
    except SpecError:  # too few groups to fill every split
        reject()
    order = random.sample(range(len(table)), len(table))
    assert _placed(plan_records(table.iloc[order], spec)) == _placed(plan)


@pytest.mark.parametrize("seed", SEEDS)
def test_groups_stand_together_on_the_line(seed):
    for split in _plan_of(seed).splits.values():
        groups = group_ids(split).tolist()
        runs = [name for n, name in enumerate(groups) if n == 0 or name != groups[n - 1]]
        assert len(runs) == len(set(runs))
        # The position of a group is the middle of its images.
        for name in runs:
            places = [n for n, other in enumerate(groups) if other == name]
            middle = (places[0] + places[-1] + 1) / (2 * len(groups))
            np.testing.assert_allclose(split["position"].iloc[places], middle)
            assert split["path"].iloc[places].is_monotonic_increasing
        assert split["position"].is_monotonic_increasing


@pytest.mark.parametrize("stratify", [[], ["label"], ["findings", "label"]], ids=len)
@pytest.mark.parametrize("seed", SEEDS[:3])
def test_certificate_tells_what_the_plan_did(seed, stratify):
    spec = _spec(stratify=stratify, supervised=None, splits={"a": "2/3", "b": "1/3"})
    plan = plan_records(_random_table(seed), spec)
    told = certify(plan, spec)
    images = {split: len(part) for split, part in plan.splits.items()}
    groups = {
        split: len({group or path for group, path in zip(part["group"], part["path"], strict=True)})
        for split, part in plan.splits.items()
    }
    labels: dict[str, dict[str, dict[str, int]]] = {}
    for name in stratify:
        for value in FEATURES[name]["values"]:
            for split, part in plan.splits.items():
                cells = part[f"feature_{name}"]
                count = sum(value == c if name == "label" else value in c for c in cells)
                labels.setdefault(name, {}).setdefault(value, {})[split] = count
    counts = [images, *(c for values in labels.values() for c in values.values())]
    shares = {"a": 2 / 3, "b": 1 / 3}
    deviation = max(abs(c[s] - shares[s] * sum(c.values())) for c in counts for s in shares)
    absent: dict[str, list[str]] = {}
    for name, values in labels.items():
        for value, by_split in values.items():
            for split, count in by_split.items():
                if count == 0 and sum(by_split.values()):
                    absent.setdefault(split, []).append(f"{name}={value}")
    assert told["images"] == images
    assert told["groups"] == groups
    assert told["labels"] == labels
    assert told["largest_deviation"] == pytest.approx(deviation, abs=1e-6)
    assert told["labels_absent"] == absent
    assert told["group_overlap"] == 0
    assert told["requested"] == {"a": "2/3", "b": "1/3"}
    assert (told["seed"], told["method"]) == (0, "line")


@pytest.mark.parametrize("seed", SEEDS)
def test_class_counts_name_every_declared_class(seed):
    plan = _plan_of(seed)
    told = class_counts(plan, _spec())
    for split, part in plan.splits.items():
        labels = collections.Counter(part["feature_label"])
        findings = collections.Counter(v for values in part["feature_findings"] for v in values)
        assert told[split] == {
            "label": {value: labels[value] for value in FEATURES["label"]["values"]},
            "findings": {value: findings[value] for value in FEATURES["findings"]["values"]},
        }


def test_group_in_two_splits_would_be_certified():
    spec = _spec(splits={"a": "1/2", "b": "1/2"})
    plan = Plan({"a": _table(["p", "q"]), "b": _table(["q", "r"])})
    assert certify(plan, spec)["group_overlap"] == 1


def test_blank_group_is_a_group_of_its_own():
    spec = _spec()
    blank = _table([""] * 100)
    assert group_ids(blank).nunique() == 100
    sizes = [len(part) for part in plan_records(blank, spec).splits.values()]
    assert sizes == [80, 10, 10]
    one = _table(["p"] * 100)
    with pytest.raises(SpecError):
        plan_records(one, spec)


def test_group_called_like_an_image_is_not_that_of_the_image():
    table = _table(["", "i0000.png", "image:i0000.png"])
    assert group_ids(table).nunique() == 3


def test_same_seed_same_plan_and_another_seed_another():
    plans = [_placed(plan_records(MANY_GROUPS, _spec(seed=seed))) for seed in (0, 0, 1, 2)]
    assert plans[0] == plans[1]
    assert len({tuple(plan) for plan in plans}) == 3
    tests = [{path for split, path, _ in plan if split == "test"} for plan in plans[1:]]
    assert tests[0] != tests[1] != tests[2] != tests[0]


def test_shares_of_images_and_classes_are_met():
    spec = _spec()
    certificate = certify(plan_records(MANY_GROUPS, spec), spec)
    assert certificate["images"] == pytest.approx(
        {"train": 480, "validation": 60, "test": 60}, abs=3
    )
    assert certificate["labels"]["label"]["mel"] == pytest.approx(
        {"train": 80, "validation": 10, "test": 10}, abs=1
    )
    assert certificate["largest_deviation"] <= 3


def test_slices_of_a_split_hold_their_share_of_a_rare_class():
    train = plan_records(MANY_GROUPS, _spec()).splits["train"]
    rare = (train["feature_label"] == "mel").to_numpy()
    for start in range(0, 100, 10):
        first, last = len(rare) * start // 100, len(rare) * (start + 10) // 100
        assert rare[first:last].sum() == pytest.approx(rare.sum() / 10, abs=2)


# Each case: groups of one image each, splits, and what the refusal says of which split.
EMPTY = {
    "fewer groups than splits": (["p", "q"], {}, "splits.", "2 images in 2 groups"),
    "one large group": (["p"] * 50, {"a": 0.5, "b": 0.5}, "splits.", "the largest of 50"),
    "a share too small": (
        ["p", "q", "r"],
        {"a": "0.99", "b": "0.01"},
        "splits.b: would be empty",
        "share is 0.01",
    ),
}


@pytest.mark.parametrize("name", EMPTY)
def test_empty_split_is_refused_with_counts(name):
    groups, splits, where, what = EMPTY[name]
    spec = _spec(splits=splits) if splits else _spec()
    with pytest.raises(SpecError) as caught:
        plan_records(_table(groups), spec)
    assert where in str(caught.value)
    assert what in str(caught.value)


def test_every_empty_split_is_told():
    spec = _spec(splits={"a": "1/4", "b": "1/4", "c": "1/4", "d": "1/4"})
    with pytest.raises(SpecError) as caught:
        plan_records(_table(["p"] * 8), spec)
    assert len(caught.value.problems) == 3


def test_class_of_one_group_goes_to_the_first_split():
    labels = ["df"] + ["nv"] * 59
    spec = _spec(splits={"train": 0.5, "test": 0.5})
    plan = plan_records(_table([f"p{n}" for n in range(60)], labels), spec)
    assert certify(plan, spec)["labels_absent"] == {"test": ["label=df"]}


def test_labels_are_counted_once_for_each_feature_to_balance():
    table = _table(["p", "q"], ["mel", "df"])
    table["feature_findings"] = pd.Series([("edema", "mass"), ()], dtype="object")
    matrix = label_matrix(table, _spec(stratify=["findings", "label"]))
    assert matrix.tolist() == [[1, 1, 0, 1, 0, 0], [0, 0, 0, 0, 1, 0]]
    assert label_matrix(table, _spec(supervised=None)).shape == (2, 0)


def test_first_records_of_each_split():
    plan = plan_records(MANY_GROUPS, _spec())
    cut = plan.first(7)
    assert cut.num_records == 21
    for split, part in cut.splits.items():
        pd.testing.assert_frame_equal(part, plan.splits[split].head(7))
    assert plan.first(None) is plan
