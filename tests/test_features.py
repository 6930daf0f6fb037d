"""Features of every type: from cells to what TFDS reads, and to the index."""

import numpy as np
import pytest
from conftest import build
from PIL import Image

import medical_images as mi
from medical_images.certification import class_counts
from medical_images.corpus import plan_corpus
from medical_images.spec import load_spec

SPEC = """\
name: mine
tables: [{path: data.csv}]
images: {path: "img/{id}.png", channels: 1}
features:
  id: {type: id}
  edema: {type: uncertain, policy: class}
  mass: {type: uncertain, policy: ignore, blank: ignore}
  votes: {type: class, values: [no, yes], across_rows: all}
  states: {type: uncertain, column: votes, policy: ignore, positive: [yes], negative: [no],
           uncertain: ["?"], across_rows: all}
  most: {type: class, column: votes, values: [no, yes], across_rows: majority}
  seen: {type: labels, columns: {Air: air, Fluid: fluid}}
  years: {column: age, type: float, format: age, unit: years}
  ages: {column: reads, type: int, across_rows: all, missing_as: -1}
  scores: {column: reads, type: float, across_rows: all}
  day: {type: date, format: "%Y%m%d"}
supervised: mass
stratify: [mass, edema, votes]
splits: {train: 1}
"""
HEAD = "id,edema,mass,votes,Air,Fluid,age,day,reads\n"
ROWS = """\
1,1.0,1,no,1,0,060Y,20190730,7
1,1.0,1,yes,1,0,060Y,20190730,
1,1.0,1,yes,1,0,060Y,20190730,3
2,-1,-1,yes,0,0,018M,,7
3,0.0,,no,1,1,,20200229,
4,,0,no,0,1,45,,1
"""
# What is read of images 1 to 4, by feature.
EXPECTED = {
    "edema": [1, 2, 0, 0],
    "mass": [1, -1, -1, 0],
    "votes": [[0, 1, 1], [1], [0], [0]],
    "states": [[0, 1, 1], [1], [0], [0]],
    "most": [1, 1, 0, 0],
    "seen": [[0], [], [0, 1], [1]],
    "years": [60.0, 1.5, np.nan, 45.0],
    "ages": [[-1, 3, 7], [7], [-1], [1]],
    "scores": [[3.0, 7.0], [7.0], [], [1.0]],
    "day": [b"2019-07-30", b"", b"2020-02-29", b""],
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "img").mkdir()
    for number in range(1, 5):
        Image.new("L", (10, 10), number).save(folder / "img" / f"{number}.png")
    (folder / "data.csv").write_text(HEAD + ROWS)
    (folder / "corpus.yaml").write_text(SPEC)
    return folder / "corpus.yaml"


@pytest.fixture(scope="module")
def builder(corpus, tmp_path_factory):
    return build(corpus, tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def random_access_builder(corpus, tmp_path_factory):
    return build(corpus, tmp_path_factory.mktemp("data"), file_format="array_record")


def plain(value):
    return value.tolist() if isinstance(value, np.ndarray) else value


def test_every_feature_is_read_as_it_was_told(builder, random_access_builder):
    dataset = builder.as_dataset(split="train").as_numpy_iterator()
    for examples in (random_access_builder.as_data_source(split="train"), dataset):
        by_id = sorted(examples, key=lambda example: example["id"])
        assert [example["id"] for example in by_id] == [b"1", b"2", b"3", b"4"]
        for name, expected in EXPECTED.items():
            found = [plain(example[name]) for example in by_id]
            np.testing.assert_equal(found, expected, err_msg=name)
    dtypes = {name: by_id[0][name].dtype for name in ("mass", "votes", "scores", "ages", "years")}
    assert dtypes == {"mass": np.int64, "votes": np.int64, "scores": np.float32, "ages": np.int64,
                      "years": np.float32}  # fmt: skip
    pairs = builder.as_dataset(split="train", as_supervised=True).as_numpy_iterator()
    assert sorted(int(label) for _, label in pairs) == [-1, -1, 0, 1]


def test_every_feature_is_in_the_index(builder):
    index = mi.index(builder, "train").sort_values("id")
    assert index["edema"].tolist() == ["positive", "uncertain", "negative", "negative"]
    masks = index["mass"].astype("object").fillna("masked")
    assert masks.tolist() == ["positive", "masked", "masked", "negative"]
    assert [list(cell) for cell in index["votes"]] == [
        ["no", "yes", "yes"],
        ["yes"],
        ["no"],
        ["no"],
    ]
    assert [list(cell) for cell in index["ages"]] == EXPECTED["ages"]
    assert [list(cell) for cell in index["scores"]] == EXPECTED["scores"]
    assert index["day"].tolist() == ["2019-07-30", "", "2020-02-29", ""]


def test_classes_are_counted_once_an_image(builder, corpus):
    expected = {
        "edema": {"negative": 2, "positive": 1, "uncertain": 1},
        "mass": {"negative": 1, "positive": 1},
        "votes": {"no": 3, "yes": 2},
        "states": {"negative": 3, "positive": 2},
        "most": {"no": 2, "yes": 2},
        "seen": {"air": 2, "fluid": 2},
    }
    assert {name: mi.class_counts(builder, "train", name) for name in expected} == expected
    assert mi.class_counts(builder) == expected["mass"]
    planned = plan_corpus(load_spec(corpus))
    assert class_counts(planned.plan, planned.accepted.loaded.spec) == {"train": expected}
    labels = planned.certificate["labels"]
    assert labels["mass"]["ignored"]["train"]["achieved"] == 2
    assert labels["votes"]["yes"]["train"]["achieved"] == 2
