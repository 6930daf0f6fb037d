"""The plan that Beam's workers make is the one that memory makes: splits, order and certificate."""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
import test_plan
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from strategies import records_of, spec_of

from medical_images import beam_planning, line
from medical_images.beam_planning import CutSplits, PlannedRecords
from medical_images.beam_survey import survey_records
from medical_images.beam_workers import Workers
from medical_images.certification import certify, class_counts
from medical_images.errors import SpecError
from medical_images.grouping import own_groups, whole_groups
from medical_images.line import groups as line_groups
from medical_images.plan import Plan, plan_records
from medical_images.scheme import Former
from medical_images.shards import estimate_sizes, plan_shards
from medical_images.spec import CorpusSpec

STRATIFY = ["label", "findings", {"feature": "age", "bins": 3}]
BOUNDS = functools.partial(plan_shards, min_bytes=20_000, max_bytes=30_000)


def corpus(num_groups: int = 300, **cells: Any) -> pd.DataFrame:
    """Records of groups of one to five images, some blank; one class has two groups; some images
    are copies of one of another group.
    """
    rng = np.random.default_rng(7)
    sizes = rng.integers(1, 6, num_groups)
    group = np.repeat([f"p{n}" for n in range(num_groups)], sizes)
    classes = np.array(["nv", "mel", "df"], dtype=object)
    label = np.repeat(rng.choice(classes, num_groups, p=[0.8, 0.15, 0.05]), sizes)
    label[np.isin(group, ["p3", "p14"])] = "vasc"
    group[rng.random(len(group)) < 0.05] = ""
    findings = [tuple(f for f in ("edema", "mass") if rng.random() < 0.2) for _ in group]
    copy = np.full(len(group), "", dtype=object)
    for number, place in enumerate(rng.permutation(len(group))[: num_groups // 10]):
        copy[place] = f"copy {number // 3}"
    columns = {
        "num_bytes": rng.integers(100, 900, len(group)),
        "feature_label": label,
        "feature_findings": pd.Series(findings, dtype="object"),
        "feature_age": np.where(rng.random(len(group)) < 0.1, np.nan, rng.integers(1, 90)),
        "copy": copy,
    }
    return records_of(group.tolist(), **columns | cells)


def by_group(records: pd.DataFrame, **splits: float) -> pd.Series:
    """An official split for a part of the groups, whole groups and what copies join to them."""
    whole = whole_groups(records, join_copies=True)
    hashes = line.hash_groups(whole, seed=99) / 2.0**64
    result = np.full(len(records), "", dtype=object)
    begin = 0.0
    for name, share in splits.items():
        result[(hashes >= begin) & (hashes < begin + share)] = name
        begin += share
    return pd.Series(result, index=records.index, dtype="str")


def workers_of(folder: pathlib.Path) -> Workers:
    """One worker: with several, Beam's local runner loses elements, whatever the pipeline."""
    return Workers(folder=str(folder), runner="FnApiRunner", options=PipelineOptions([]))


def in_parts(records: pd.DataFrame, number: int, folder: pathlib.Path, seed: int) -> list[str]:
    """Files of the records, those of a group in the same one, in no order."""
    mixed = records.sample(frac=1, random_state=number)
    keys = line.hash_groups(own_groups(mixed), seed=seed)
    paths = []
    for k in range(number):
        part = mixed[keys % np.uint64(number) == k].reset_index(drop=True)
        paths.append(str(folder / f"records-{k}.pickle"))
        (part if len(part) else part.astype("object")).to_pickle(paths[-1])
    return paths


def planned_on_beam(
    records: pd.DataFrame,
    spec: CorpusSpec,
    folder: pathlib.Path,
    *,
    num_parts: int,
    former: Former | None = None,
) -> PlannedRecords:
    paths = in_parts(records, num_parts, folder, spec.seed)
    surveyed = survey_records(paths, spec, workers_of(folder))
    sizes_of = functools.partial(estimate_sizes, spec=spec)
    return beam_planning.plan_records(surveyed, sizes_of=sizes_of, former=former)


def assert_same_tasks(cut: CutSplits, plan: Plan, spec: CorpusSpec) -> None:
    assert list(cut.tasks) == list(plan.splits)
    for name, records in plan.splits.items():
        bounds = BOUNDS(estimate_sizes(records, spec))
        assert [number for _, number in cut.tasks[name]] == [end - begin for begin, end in bounds]
        for (path, _), (begin, end) in zip(cut.tasks[name], bounds, strict=True):
            expected = records.iloc[begin:end].reset_index(drop=True)
            pd.testing.assert_frame_equal(pd.read_pickle(path), expected)
    assert cut.class_counts == class_counts(plan, spec)


@dataclasses.dataclass(frozen=True)
class Case:
    """A corpus to plan.

    Attributes:
      table: Its records.
      keys: Of its spec.
      num_parts: In how many files the records come.
      chunk_groups: How many groups are planned at once, at least.
      extends: A part of the records was planned before.
    """

    table: pd.DataFrame
    keys: Mapping[str, Any]
    num_parts: int = 7
    chunk_groups: int = 64_000
    extends: bool = False


WHOLE = corpus()
OFFICIAL = {"column": "official", "values": {"exam": ["x"], "study": ["s"]}}
TWO_OFFICIAL = WHOLE.assign(split=by_group(WHOLE, exam=0.2, study=0.3))
LEAKY = TWO_OFFICIAL.assign(
    split=TWO_OFFICIAL["split"].mask(TWO_OFFICIAL["group"].isin(["p5", "p6", "p7"]), "exam")
    .mask(TWO_OFFICIAL["path"].str.endswith("0.png"), "study")
)  # fmt: skip
CASES = {
    "one part": Case(WHOLE, {"stratify": STRATIFY}, num_parts=1),
    "many parts, chunks": Case(
        WHOLE, {"stratify": STRATIFY, "duplicates": "report"}, num_parts=23, chunk_groups=60
    ),
    "folds, chunks": Case(
        WHOLE,
        {"stratify": ["label"], "splits": {"test": "1/10", "folds": "3"}, "seed": 3},
        chunk_groups=40,
    ),
    "counts": Case(WHOLE, {"splits": {"train": "rest", "test": "100"}, "group": []}),
    "official beside shares": Case(
        TWO_OFFICIAL, {"stratify": STRATIFY, "splits": {"train": "3/4", "test": "1/4", **OFFICIAL}}
    ),
    "leaks": Case(
        LEAKY, {"splits": {"train": "3/4", "test": "1/4", **OFFICIAL, "allow_leaks": "true"}}
    ),
    "leave one out": Case(
        WHOLE.assign(split="label_" + WHOLE["feature_label"].astype("str"), copy="", group=""),
        {"stratify": ["findings"], "splits": {"leave_one_out": "label"}, "duplicates": "reject"},
    ),
    "by hash": Case(
        TWO_OFFICIAL,
        {"splits": {"train": "1/2", "test": "1/2", "method": "hash", **OFFICIAL}},
    ),
    "extended, chunks": Case(
        TWO_OFFICIAL.assign(split=TWO_OFFICIAL["split"].replace("study", "")),
        {
            "stratify": STRATIFY,
            "splits": {
                "train": "3/4",
                "test": "1/4",
                "extend": "former",
                "column": "official",
                "values": {"exam": ["x"]},
                "allow_leaks": "true",
            },
        },
        num_parts=4,
        chunk_groups=50,
        extends=True,
    ),
    "parts that are empty": Case(
        records_of(list("ppqrst"), copy=["x", "", "x", "", "", ""], feature_age=range(6)),
        {"stratify": STRATIFY},
        num_parts=9,
    ),
}


def former_of(table: pd.DataFrame, spec: CorpusSpec) -> Former:
    """The dataset that the groups with an even number became, and some that have gone."""
    known = table[table["group"].str.contains("[02468]$")].assign(split="")
    gone = known.assign(group=known["group"].replace({"p8": "gone", "p20": "gone too"}))
    before = spec_of(stratify=["label"], splits={"train": "3/4", "test": "1/4"})
    plan = plan_records(gone, before)
    parts = [part[["key", "position"]].assign(split=name) for name, part in plan.splits.items()]
    groups = pd.concat(parts).drop_duplicates("key", ignore_index=True)
    return Former(groups, spec.seed, spec.group)


@pytest.mark.parametrize("name", CASES)
def test_beam_plans_as_memory_does(name, tmp_path, monkeypatch):
    case = CASES[name]
    monkeypatch.setattr(line_groups, "_CHUNK_GROUPS", case.chunk_groups)
    monkeypatch.setattr(beam_planning, "_RANGE_RECORDS", 90)
    spec = spec_of(**case.keys)
    former = former_of(case.table, spec) if case.extends else None
    plan = plan_records(case.table, spec, former)
    found = planned_on_beam(case.table, spec, tmp_path, num_parts=case.num_parts, former=former)
    assert found.scheme.shares == plan.shares
    assert found.scheme.strata == plan.strata
    told, expected = found.certificate(warnings=["first"]), certify(plan, warnings=["first"])
    assert json.dumps(told, indent=1) == json.dumps(expected, indent=1)
    assert list(found.num_records.items()) == [(n, len(part)) for n, part in plan.splits.items()]
    assert_same_tasks(beam_planning.cut_splits(found, bounds_of=BOUNDS), plan, spec)


def test_first_records_and_work_that_a_runner_repeats(tmp_path, monkeypatch):
    """Fifty records are more than a range has, so a range is cut too."""
    monkeypatch.setattr(beam_planning, "_RANGE_RECORDS", 40)
    spec = spec_of(stratify=STRATIFY)
    plan = plan_records(WHOLE, spec)
    workers = Workers(folder=str(tmp_path), runner=FnApiRunner(bundle_repeat=1))
    surveyed = survey_records(in_parts(WHOLE, 3, tmp_path, spec.seed), spec, workers)
    sizes_of = functools.partial(estimate_sizes, spec=spec)
    for _ in range(2):  # the second time, all files are there
        found = beam_planning.plan_records(surveyed, sizes_of=sizes_of)
        assert found.certificate() == certify(plan)
    cut = beam_planning.cut_splits(found, bounds_of=BOUNDS, max_records=50)
    assert_same_tasks(cut, plan.first(50), spec)


REFUSED = {
    "a torn group": (test_plan.REFUSALS["a group in two official splits"], False),
    "an empty split": (test_plan.REFUSALS["fewer groups than splits"], False),
    "nothing left to plan": (test_plan.REFUSALS["nothing left to plan"], False),
    "an empty official split": (test_plan.REFUSALS["an official split without an image"], False),
    "another former dataset": (
        test_plan.Refusal(
            test_plan.KNOWN.assign(group="q"), {"splits": test_plan.EXTENDING}, []
        ),
        True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_beam_refuses_in_the_words_of_memory(name, tmp_path):
    case, extends = REFUSED[name]
    spec = spec_of(**case.keys)
    former = test_plan.former_of(plan_records(test_plan.KNOWN, spec_of())) if extends else None
    with pytest.raises(SpecError) as in_memory:
        plan_records(case.table, spec, former)
    with pytest.raises(SpecError) as on_beam:
        planned_on_beam(case.table, spec, tmp_path, num_parts=2, former=former)
    assert on_beam.value.problems == in_memory.value.problems
    assert str(on_beam.value) == str(in_memory.value)
