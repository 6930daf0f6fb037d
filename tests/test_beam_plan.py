"""The plan that Beam's workers make is the one that memory makes."""

import pathlib

import apache_beam as beam
import numpy as np
import pandas as pd
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from medical_images.beam_pipeline import PlanRecords
from medical_images.grouping import whole_groups
from medical_images.line import groups as line_groups
from medical_images.plan import plan_records
from medical_images.spec import CorpusSpec

SPEC = CorpusSpec.from_dict(
    {
        "name": "mine",
        "images": {"path": "{id}.png"},
        "features": {
            "label": {"type": "class", "values": ["nv", "mel", "df", "vasc"]},
            "findings": {"type": "labels", "values": ["edema", "mass"]},
        },
        "supervised": "label",
        "group": "patient",
        "stratify": ["label", "findings"],
        "duplicates": "report",
        "splits": {"train": 0.8, "validation": 0.1, "test": 0.1},
        "seed": 3,
    }
)

# In how many elements the records come, and groups of a chunk. One worker: with several, Beam's
# local runner loses elements, or mistakes one for another, whatever the pipeline.
SETTINGS = {
    "one element": (1, 64_000),
    "many elements, chunks": (23, 100),
    "other elements, other chunks": (40, 400),
}


def corpus(num_groups: int = 900) -> pd.DataFrame:
    """Records of groups of one to five images, some blank; one class has two groups."""
    rng = np.random.default_rng(7)
    sizes = rng.integers(1, 6, num_groups)
    group = np.repeat([f"p{n}" for n in range(num_groups)], sizes)
    classes = np.array(["nv", "mel", "df"], dtype=object)
    label = np.repeat(rng.choice(classes, num_groups, p=[0.8, 0.15, 0.05]), sizes)
    label[np.isin(group, ["p3", "p14"])] = "vasc"
    group[rng.random(len(group)) < 0.05] = ""
    findings = [tuple(f for f in ("edema", "mass") if rng.random() < 0.2) for _ in group]
    return pd.DataFrame(
        {
            "path": [f"i{n:05}.png" for n in range(len(group))],
            "num_bytes": 1,
            "split": "",
            "group": group,
            "feature_label": label,
            "feature_findings": pd.Series(findings, dtype="object"),
        }
    )


def planned_on_beam(records: pd.DataFrame, folder: pathlib.Path, num_elements: int) -> pd.DataFrame:
    """Each image's split and position, as a pipeline tells them."""
    plan = plan_records(records, SPEC)  # the strata are fitted to all records
    rows = np.random.default_rng(num_elements).permutation(len(records))
    parts = [records.iloc[part] for part in np.array_split(rows, num_elements)]
    with beam.Pipeline(runner="FnApiRunner", options=PipelineOptions([])) as pipeline:
        _ = (
            pipeline
            | beam.Create(parts)
            | PlanRecords(plan.shares, plan.strata)
            | beam.MapTuple(
                lambda split, part: part.assign(split=split)[["path", "split", "position"]]
            )
            | beam.Map(lambda part: part.to_csv(header=False, index=False, float_format="%.17g"))
            | beam.io.WriteToText(str(folder / "plan"), append_trailing_newlines=False)
        )
    texts = [pd.read_csv(f, header=None) for f in sorted(folder.glob("plan*")) if f.stat().st_size]
    found = pd.concat(texts)
    found.columns = pd.Index(["path", "split", "position"])
    return found.sort_values("path", ignore_index=True)


@pytest.mark.parametrize("setting", SETTINGS)
def test_beam_plans_as_memory_does(setting, tmp_path, monkeypatch):
    num_elements, chunk_groups = SETTINGS[setting]
    monkeypatch.setattr(line_groups, "_CHUNK_GROUPS", chunk_groups)
    records = corpus()
    records["whole"] = whole_groups(records, join_copies=True)
    found = planned_on_beam(records, tmp_path, num_elements)
    in_memory = pd.concat(
        part.assign(split=name) for name, part in plan_records(records, SPEC).splits.items()
    )
    in_memory = in_memory.sort_values("path", ignore_index=True)[["path", "split", "position"]]
    pd.testing.assert_frame_equal(found, in_memory, check_dtype=False, check_exact=True)
