"""What Croissant tells of a dataset is what the dataset holds, and other tools can read it."""

import hashlib
import json
import math
import pathlib

import mlcroissant as mlc
import numpy as np
import pandas as pd
import pytest
from conftest import build
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import medical_images as mi
from medical_images import croissant
from medical_images.croissant_records import RECORDS
from medical_images.spec_parts import normal_form

WARNING = "Lesions of one patient may stand in two splits."
SPEC = {
    "name": "every_kind",
    "description": 'Grey squares, "quoted", ümlauted.',
    "homepage": "https://example.org/squares",
    "license": "CC0-1.0",
    "citation": "Nobody, Squares (2020)",
    "about": {"title": "Squares", "modality": "drawing", "warnings": [WARNING]},
    "tables": [{"path": "data.csv", "missing": ["NA"]}],
    "images": {"path": "{id}.png", "channels": 1},
    "features": {
        "id": {"type": "id"},
        "label": {"type": "class", "values": ["naïve", "b c"]},
        "findings": {"type": "labels", "values": ["mass", "edema"]},
        "mass": {"type": "uncertain", "policy": "ignore"},
        "age": {"type": "float", "unit": "years", "description": "At the visit."},
        "packs": {"type": "int", "missing_as": -1},
        "note": {"type": "text"},
        "visited": {"type": "date"},
        "lesions": {
            "type": "boxes",
            "columns": ["x0", "y0", "x1", "y1"],
            "label": "what",
            "values": ["cyst", "scar"],
        },
        "grades": {"column": "grade", "type": "int", "across_rows": "all"},
        "views": {
            "column": "view",
            "type": "class",
            "values": ["AP", "PA"],
            "across_rows": "all",
        },
        "runs": {"type": "mask", "runs": {"column": "pixels"}, "absent": "empty"},
    },
    "supervised": "label",
    "group": "patient",
    "splits": {"train": 0.5, "test_2": 0.5},
}


def write_corpus(folder: pathlib.Path, num_images: int = 12) -> None:
    """Images of one to three rows each; each third cell is blank."""
    rows = []
    for k in range(num_images):
        Image.fromarray(np.full((8, 10), 10 * k, np.uint8)).save(folder / f"{k:03}.png")
        told = {
            "id": f"{k:03}",
            "patient": f"P{k // 2}" if k % 3 else "",
            "label": ["naïve", "b c"][k % 2],
            "findings": ["", "mass", "mass|edema"][k % 3],
            "mass": ["1", "0", "-1"][k % 3],
            "age": f"{k}.5" if k % 3 else "NA",
            "packs": str(k) if k % 3 else "",
            "note": ['said "no", twice', "", "é\tÜ"][k % 3],
            "visited": f"2019-07-{k + 1:02}" if k % 3 else "",
            "pixels": "1 3" if k % 3 else "",
        }
        for row in range(k % 3 + 1):
            box = dict(zip(("x0", "y0", "x1", "y1"), (row, 1, row + 2, 4), strict=True))
            seen = {
                "what": ["cyst", "scar"][row % 2],
                "grade": 3 - row,
                "view": ["AP", "PA"][k % 2],
            }
            rows.append(told | (box | seen if k % 4 else {"grade": 1, "view": "AP"}))
    pd.DataFrame(rows).to_csv(folder / "data.csv", index=False)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("squares")
    write_corpus(folder)
    return folder


@pytest.fixture(scope="module")
def builder(corpus, tmp_path_factory):
    return build(SPEC, tmp_path_factory.mktemp("data"), root=corpus, name="every_kind")


@pytest.fixture(scope="module")
def read(builder):
    return mlc.Dataset(pathlib.Path(builder.data_dir) / croissant.FILE)


def plain(value):
    """Croissant's records and pandas' cells in one form: text as str, nothing as None."""
    if isinstance(value, dict):
        return {key.rpartition("/")[2]: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(part) for part in value]
    if isinstance(value, bytes):
        return plain(value.decode())
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    is_blank = value is None or value is pd.NaT or value == ""
    return None if is_blank or (isinstance(value, float) and math.isnan(value)) else value


def records_of(read, **more):
    records = [plain(record) for record in read.records(RECORDS, **more)]
    return sorted(records, key=lambda record: record["_split"])


def test_the_records_of_croissant_are_those_of_the_index(builder, read):
    expected = [plain(row) for row in mi.index(builder).to_dict("records")]
    assert len(expected) == 12
    for value in ("naïve", None, -1, "2019-07-03"):
        assert any(value in row.values() for row in expected)
    assert any(len(row["lesions"]) > 1 for row in expected)
    assert any(row["grades"] == [1, 2, 3] for row in expected)
    assert records_of(read) == sorted(expected, key=lambda row: row["_split"])


def test_a_split_can_be_asked_for(builder):
    read = mlc.Dataset(pathlib.Path(builder.data_dir) / croissant.FILE)
    expected = [plain(row) for row in mi.index(builder, "test_2").to_dict("records")]
    assert records_of(read, filters={"examples/_split": "test_2"}) == expected


def test_all_that_the_spec_tells_its_readers_is_there(builder, read):
    told = read.metadata
    assert not told.ctx.issues.errors
    assert told.name == "every_kind"
    assert told.description == f"Squares {SPEC['description']}"
    assert (told.url, told.license) == (SPEC["homepage"], [SPEC["license"]])
    assert (told.cite_as, told.version) == (SPEC["citation"], "1.0.0")
    assert told.keywords == ["medical images", "drawing"]
    assert told.data_limitations == [WARNING]
    (examples,) = (records for records in told.record_sets if records.id == RECORDS)
    fields = {field.name: field for field in examples.fields}
    assert "runs" not in fields  # masks are pixels
    assert fields["age"].description == "At the visit. In years."
    classes = list(read.records("classes-label"))
    assert [plain(record) for record in classes] == [
        {"name": "naïve", "number": 0},
        {"name": "b c", "number": 1},
    ]


def test_files_are_told_with_their_hashes_and_the_manifest_vouches_for_croissant(builder, read):
    folder = pathlib.Path(builder.data_dir)
    files = {file.id: file for file in read.metadata.distribution}
    for name in ("index/train.parquet", "index/test_2.parquet"):
        content = (folder / name).read_bytes()
        assert files[name].sha256 == hashlib.sha256(content).hexdigest()
        assert files[name].content_size == f"{len(content)} B"
    shards = {
        path for split in ("train", "test_2") for path in builder.info.splits[split].filenames
    }
    found = {
        path.name
        for split in ("train", "test_2")
        for pattern in files[f"shards-{split}"].includes
        for path in folder.glob(pattern)
    }
    assert found == shards
    path = folder / croissant.FILE
    content = path.read_text(encoding="utf-8")
    assert croissant.FILE in json.loads((folder / "manifest.json").read_text())["files"]
    path.write_text(content.replace("Squares", "Circles"), encoding="utf-8")
    assert mi.verify(builder) == [
        f"{croissant.FILE} is damaged: its checksum is not that of what was written"
    ]
    path.write_text(content, encoding="utf-8")
    assert mi.verify(builder) == []


def test_the_same_dataset_gives_the_same_bytes_by_beam_too(corpus, builder, tmp_path):
    again = build(
        SPEC, tmp_path, root=corpus, name="every_kind", beam_runner="DirectRunner", workers=1
    )
    one, other = (pathlib.Path(b.data_dir) / croissant.FILE for b in (builder, again))
    assert one.read_bytes() == other.read_bytes()


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
WORDS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=6)


@given(
    texts=st.fixed_dictionaries(
        dict.fromkeys(("description", "homepage", "citation", "license"), TEXTS)
    ),
    warnings=st.lists(TEXTS, max_size=2),
    values=st.lists(TEXTS.filter(str.strip), min_size=1, max_size=3, unique_by=normal_form),
    splits=st.lists(WORDS, min_size=1, max_size=3, unique=True),
)
@settings(max_examples=50)
def test_whatever_a_spec_says_croissant_stays_valid(texts, warnings, values, splits):
    features = {"type": {"type": "class", "values": values}, "id": {"type": "id"}}
    about = {"title": "", "warnings": warnings}
    spec = mi.CorpusSpec.from_dict(
        {
            **SPEC,
            **texts,
            "about": about,
            "features": features,
            "supervised": "type",
            "stratify": "type",
        }
    )
    told = croissant.croissant_of(
        {"name": "medical_images", "version": "1.0.0", "splits": [{"name": s} for s in splits]},
        spec,
        index={f"index/{name}.parquet": (8, "00") for name in splits},
    )
    read = mlc.Dataset(json.loads(json.dumps(told)))
    assert not read.metadata.ctx.issues.errors
    names = [plain(record)["name"] for record in read.records("classes-type")]
    assert names == [normal_form(value) or None for value in values]


def test_an_index_is_written_to_parquet_and_read_back(builder, tmp_path):
    for split in (None, "train[:50%]", "train+test_2"):
        table = mi.index(builder, split)
        table.to_parquet(tmp_path / "index.parquet")
        again = pd.read_parquet(tmp_path / "index.parquet")
        assert list(again["label"].dropna()) == list(table["label"].dropna())
        assert [plain(row) for row in again.to_dict("records")] == [
            plain(row) for row in table.to_dict("records")
        ]
