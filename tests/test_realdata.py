"""The main job on real corpora."""

import collections
import io
import math

import numpy as np
import pandas as pd
import pytest
import tensorflow_datasets as tfds
from conftest import SPECS, build
from PIL import Image

import medical_images as mi

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def bccd(realdata, tmp_path_factory):
    return build_real(realdata, "bccd", tmp_path_factory.mktemp("bccd"))


@pytest.fixture(scope="module")
def hannover(realdata, tmp_path_factory):
    return build_real(realdata, "hannover_covid", tmp_path_factory.mktemp("hannover"))


def build_real(realdata, name, folder):
    spec = folder / "corpus.yaml"  # rejects are listed beside it
    spec.write_text((SPECS / f"{name}.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    return build(spec, folder / "data", name=name, root=str(realdata / name.partition("_")[0]))


def test_bccd_loses_no_image_and_no_box_but_the_two_without_area(bccd):
    index = mi.index(bccd)
    assert len(index) == index["filename"].nunique() == 364
    kinds = collections.Counter(box["label"] for boxes in index["cells"] for box in boxes)
    # 4,155 red cells stand in the table; two have xmin = xmax and ymin = ymax.
    assert kinds == {"RBC": 4155 - 2, "WBC": 372, "Platelets": 361}
    assert bccd.info.metadata["rejects"] == {"excluded": {"box_degenerate": 2}}
    assert bccd.info.metadata["rows"] == 4888


def test_bccd_has_the_splits_of_its_authors_lists(bccd, realdata):
    lists = {"train": ("train", 205), "validation": ("val", 87), "test": ("test", 72)}
    for split, (name, count) in lists.items():
        path = realdata / "bccd" / "BCCD" / "ImageSets" / "Main" / f"{name}.txt"
        listed = {f"{line}.jpg" for line in path.read_text(encoding="utf-8").split()}
        assert set(mi.index(bccd, split)["filename"]) == listed
        assert bccd.info.splits[split].num_examples == count
    assert mi.certificate(bccd)["method"] == "official"


def test_bccd_reports_the_lines_of_the_degenerate_boxes(realdata, tmp_path):
    build_real(realdata, "bccd", tmp_path)
    rejects = (tmp_path / "bccd.rejects.csv").read_text(encoding="utf-8").splitlines()[1:]
    # Rows 3,951 and 4,005 of the body stand one line further down, under the header.
    assert [line.split(",")[:5] for line in rejects] == [
        ["excluded", "box_degenerate", "row", "test.csv", "3952"],
        ["excluded", "box_degenerate", "row", "test.csv", "4006"],
    ]


def test_bccd_without_the_rule_is_refused(realdata, tmp_path):
    spec = mi.load_spec(SPECS / "bccd.yaml").spec.model_dump(by_alias=True)
    spec["features"]["cells"]["degenerate"] = "reject"
    spec["rejects"] = {"file": str(tmp_path / "rejects.csv")}
    with pytest.raises(mi.RejectedError, match=r"box_degenerate.*lines 3952, 4006"):
        build(mi.CorpusSpec.from_dict(spec), tmp_path / "data", root=str(realdata / "bccd"))


def test_bccd_boxes_are_the_annotators_after_normalisation(bccd):
    """Boxes of BloodImage_00000, 640 x 480, read by eye in its VOC file."""
    by_hand = {
        ("WBC", 260, 177, 491, 376),
        ("RBC", 78, 336, 184, 435),
        ("RBC", 63, 237, 169, 336),
        ("RBC", 214, 362, 320, 461),
    }
    names = bccd.info.features["cells"].feature["label"].names
    for split in bccd.info.splits:
        for example in tfds.as_numpy(bccd.as_dataset(split=split)):
            if example["filename"] == b"BloodImage_00000.jpg":
                cells = example["cells"]
                found = {
                    (
                        names[label],
                        *(round(float(v)) for v in (x1 * 640, y1 * 480, x2 * 640, y2 * 480)),
                    )
                    for (y1, x1, y2, x2), label in zip(cells["bbox"], cells["label"], strict=True)
                }
                assert by_hand <= found
                assert example["image"].shape == (480, 640, 3)
                return
    raise AssertionError("BloodImage_00000 was not written")


def test_hannover_keeps_patients_whole_and_projections_balanced(hannover):
    index = mi.index(hannover)
    assert len(index) == 243
    assert index["_group"].nunique() == 71
    assert index.groupby("_group")["_split"].nunique().max() == 1
    assert index.groupby("_group").size().max() == 22
    is_frontal = index["projection"] == "ap"
    shares = is_frontal.groupby(index["_split"]).mean()
    assert (abs(shares - is_frontal.mean()) < 0.03).all()
    certificate = mi.certificate(hannover)
    assert certificate["largest_deviation"]["images"] < 2
    assert certificate["group_overlap"] == 0
    assert sum(split["images"]["achieved"] for split in certificate["splits"].values()) == 243


def test_hannover_keeps_blank_and_infinite_values_apart(hannover, realdata):
    index = mi.index(hannover)
    table = pd.read_csv(realdata / "hannover" / "data.csv", dtype=str, keep_default_na=False)
    table = table.set_index("image_id").loc[index["image_id"]]
    for name in ("crp_val", "d_dimer_val", "ldh_val", "po2_val", "death_offset"):
        cells = table[name.replace("d_dimer", "d-dimer")]
        assert (index[name].isna().to_numpy() == (cells == "").to_numpy()).all()
        assert (np.isposinf(index[name]).to_numpy() == (cells == "inf").to_numpy()).all()
        assert (np.isneginf(index[name]).to_numpy() == (cells == "-inf").to_numpy()).all()
    examples = [
        example
        for split in hannover.info.splits
        for example in tfds.as_numpy(hannover.as_dataset(split=split))
    ]
    assert sum(math.isinf(e["d_dimer_val"]) for e in examples) == np.isinf(index.d_dimer_val).sum()
    assert sum(math.isnan(e["death_offset"]) for e in examples) == index.death_offset.isna().sum()
    assert examples[0]["image"].shape[-1] == 1


def test_hannover_pixels_are_those_of_the_files(hannover, realdata):
    for example in tfds.as_numpy(hannover.as_dataset(split="test")):
        path = realdata / "hannover" / "png" / f"{example['image_id'].decode()}.png"
        pixels = np.asarray(Image.open(io.BytesIO(path.read_bytes())))
        np.testing.assert_array_equal(example["image"][..., 0], pixels)
