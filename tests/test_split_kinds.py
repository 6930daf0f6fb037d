"""Each kind of splits that a spec can ask for, from the corpus to the dataset that TFDS reads."""

import csv
import os
import pathlib
import shutil
from typing import Any

import pandas as pd
import pytest
import tensorflow_datasets as tfds
import yaml
from conftest import build

import medical_images as mi

SITES = ("north", "south", "St. Mary")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> pathlib.Path:
    """A phantom of 300 images with a column `official` and a column `site`, both of the patient."""
    folder = tmp_path_factory.mktemp("kinds")
    mi.write_phantom(folder, num_images=300, height=12, width=12)
    rows = _rows(folder)
    patients = sorted({row["patient_id"] for row in rows})
    number = {patient: k for k, patient in enumerate(patients)}
    for row in rows:
        row["official"] = "TEST" if number[row["patient_id"]] % 4 == 0 else "train_val"
        row["site"] = SITES[number[row["patient_id"]] % 3]
    _write_rows(folder, rows)
    test = [row["image_id"] for row in rows if row["official"] == "TEST"]
    (folder / "test_list.txt").write_text("\n".join(test) + "\n", encoding="utf-8")
    return folder


def _rows(folder: pathlib.Path) -> list[dict[str, str]]:
    with open(folder / "metadata.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _write_rows(folder: pathlib.Path, rows: list[dict[str, str]]) -> None:
    with open(folder / "metadata.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _build(folder: pathlib.Path, data: pathlib.Path, splits: dict[str, Any], **keys: Any):
    text = (folder / "corpus.yaml").read_text(encoding="utf-8")
    spec = yaml.load(text, Loader=yaml.BaseLoader)  # `on` is no truth value here
    spec |= {"name": "kinds", "splits": splits, **keys}
    spec["features"] |= {"site": {"type": "class", "values": list(SITES)}}
    path = folder / f"{data.name}.yaml"
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")
    return build(str(path), data, name="kinds")


def _groups_by_split(index: pd.DataFrame) -> dict[str, set[str]]:
    return index.groupby("_split")["_group"].agg(set).to_dict()


def test_official_test_split_by_a_column_and_the_rest_planned(corpus, tmp_path):
    values = {"test": ["TEST"], "rest": ["train_val"]}
    splits = {"column": "official", "values": values, "train": 0.8, "validation": "rest"}
    builder = _build(corpus, tmp_path, splits)
    index = mi.index(builder)
    is_test = {row["image_id"] for row in _rows(corpus) if row["official"] == "TEST"}
    assert set(index.loc[index["_split"] == "test", "image_id"]) == is_test
    groups = _groups_by_split(index)
    assert not groups["train"] & groups["validation"] | groups["test"] & groups["train"]
    told = mi.certificate(builder)
    assert told["splits"]["test"]["images"]["requested"] is None
    planned = 300 - len(is_test)
    assert told["splits"]["train"]["images"]["requested"] == pytest.approx(planned * 0.8)
    assert told["largest_deviation"]["images"] <= 2


def test_official_test_split_by_a_list_is_that_of_the_column(corpus, tmp_path):
    splits = {"files": {"test": "test_list.txt"}, "on": "image_id", "train": 0.8, "validation": 0.2}
    by_list = mi.index(_build(corpus, tmp_path, splits))
    is_test = {row["image_id"] for row in _rows(corpus) if row["official"] == "TEST"}
    assert set(by_list.loc[by_list["_split"] == "test", "image_id"]) == is_test


def test_patient_in_two_official_splits_is_refused_before_anything_is_written(corpus, tmp_path):
    torn = tmp_path / "torn"
    shutil.copytree(corpus, torn)
    rows = _rows(torn)
    patient = next(r["patient_id"] for r in rows if r["official"] == "TEST")
    moved = [k for k, row in enumerate(rows) if row["patient_id"] == patient]
    rows.append({**rows[moved[0]], "official": "train_val", "image_id": "ISIC_copy"})
    source = torn / "images" / f"{rows[moved[0]]['image_id']}.jpg"
    other = torn / "images" / f"{rows[moved[0] + 1]['image_id']}.jpg"
    assert source.exists()
    (torn / "images" / "ISIC_copy.jpg").write_bytes(other.read_bytes() + b"\0")
    _write_rows(torn, rows)
    values = {"test": ["TEST"], "train": ["train_val"]}
    splits = {"column": "official", "values": values}
    with pytest.raises(
        mi.SpecError, match=r"1 group .* stand in two of the official splits"
    ) as told:
        _build(torn, tmp_path / "data", splits)
    assert patient not in str(told.value)
    assert "data.yaml:" in str(told.value)
    assert "kinds.rejects.csv" in str(told.value)
    assert not (tmp_path / "data").exists()
    builder = _build(torn, tmp_path / "data", {**splits, "allow_leaks": True})
    told = mi.certificate(builder)
    assert told["group_overlap"] == 1
    assert any("allow_leaks" in warning for warning in told["warnings"])
    listed = pd.read_csv(torn / "kinds.rejects.csv", dtype=str)
    assert set(listed["code"]) == {"group_in_two_splits"}
    assert len(listed) == len(moved) + 1


def test_leave_one_site_out(corpus, tmp_path):
    builder = _build(corpus, tmp_path, {"leave_one_out": "site"})
    assert set(builder.info.splits) == {"site_north", "site_south", "site_St__Mary"}
    index = mi.index(builder)
    pairs = mi.folds(builder)
    assert len(pairs) == 3
    for fit, held_out in pairs:
        sites = set(mi.index(builder, held_out)["site"])
        assert len(sites) == 1
        assert sites.isdisjoint(mi.index(builder, fit)["site"])
        assert len(mi.index(builder, fit)) + len(mi.index(builder, held_out)) == len(index)


def test_folds_beside_a_test_split(corpus, tmp_path):
    builder = _build(corpus, tmp_path, {"test": 0.2, "folds": 4})
    sizes = {name: split.num_examples for name, split in builder.info.splits.items()}
    assert sizes == {"test": 60, "fold_0": 60, "fold_1": 60, "fold_2": 60, "fold_3": 60}
    held = [set(mi.index(builder, held_out)["image_id"]) for _, held_out in mi.folds(builder)]
    assert sum(map(len, held)) == len(set().union(*held)) == 240


def test_counts_of_images(corpus, tmp_path):
    builder = _build(corpus, tmp_path, {"train": "rest", "test": 50})
    assert builder.info.splits["test"].num_examples == 50
    with pytest.raises(mi.SpecError, match="add up to 250"):
        _build(corpus, tmp_path / "other", {"train": 200, "test": 50})


@pytest.mark.parametrize("kind", ["line", "hash"])
def test_corpus_that_grows_moves_no_patient(corpus, tmp_path, kind):
    """The first two thirds of the patients are built, then all of them."""
    small = tmp_path / "small"
    shutil.copytree(corpus, small)
    rows = _rows(small)
    known = set(
        sorted({row["patient_id"] for row in rows})[: len({r["patient_id"] for r in rows}) * 2 // 3]
    )
    _write_rows(small, [row for row in rows if row["patient_id"] in known])
    shares = {"train": 0.6, "validation": 0.2, "test": 0.2}
    extra = {"method": "hash"} if kind == "hash" else {}
    rejects = {"classes_without_image": "report"}
    before = _build(small, tmp_path / "before", {**shares, **extra}, rejects=rejects)
    if kind == "line":
        extra = {"extend": os.path.relpath(before.data_dir, corpus)}  # as the spec lies there
    after = _build(corpus, tmp_path / "after", {**shares, **extra}, rejects=rejects)
    old, new = mi.index(before), mi.index(after)
    assert len(new) == 300 > len(old)
    columns = ["image_id", "_split", "_position"]
    kept = new[new["image_id"].isin(old["image_id"])]
    # Splits, positions and the order along each split are what they were.
    pd.testing.assert_frame_equal(
        kept[columns].reset_index(drop=True), old[columns].reset_index(drop=True)
    )
    if kind == "line":
        assert mi.certificate(after)["largest_deviation"]["images"] <= 5


def test_copies_of_an_image_stay_in_one_split(corpus, tmp_path):
    twins = tmp_path / "twins"
    shutil.copytree(corpus, twins)
    rows = _rows(twins)
    copied = rows[:40]
    for row in copied:  # each under another name, of another patient
        name = f"copy_of_{row['image_id']}"
        shutil.copyfile(
            twins / "images" / f"{row['image_id']}.jpg", twins / "images" / f"{name}.jpg"
        )
        rows.append({**row, "image_id": name, "patient_id": f"other_{row['patient_id']}"})
    _write_rows(twins, rows)
    patients = (twins / "patients.csv").read_text(encoding="utf-8").splitlines()
    others = {row["patient_id"] for row in copied}
    patients += [f"other_{line}" for line in patients[1:] if line.split(",")[0] in others]
    (twins / "patients.csv").write_text("\n".join(patients) + "\n", encoding="utf-8")
    shares = {"train": 0.5, "test": 0.5}
    builder = _build(twins, tmp_path / "group", shares)
    index = mi.index(builder).set_index("image_id")["_split"]
    for row in copied:
        assert index[row["image_id"]] == index[f"copy_of_{row['image_id']}"]
    told = mi.certificate(builder)["copies"]
    assert (told["sets"], told["images"], told["across_splits"]) == (40, 80, 0)
    apart = mi.certificate(_build(twins, tmp_path / "report", shares, duplicates="report"))
    assert apart["copies"]["across_splits"] > 0
    assert any("same bytes" in warning for warning in apart["warnings"])
    rejected = _build(
        twins, tmp_path / "reject", shares, duplicates="reject", rejects={"max_fraction": 0.5}
    )
    assert len(mi.index(rejected)) == 300


def test_plan_outside_its_tolerance_stops_before_anything_is_written(corpus, tmp_path):
    with pytest.raises(mi.SpecError, match=r"max_deviation: 0.*\n.*corpus|max_deviation") as told:
        _build(corpus, tmp_path / "data", {"train": "2/3", "test": "1/3", "max_deviation": 0})
    assert "achieved" in str(told.value)
    assert not (tmp_path / "data").exists()
    within = {"train": 0.8, "test": 0.2, "max_deviation": 3}
    builder = _build(corpus, tmp_path / "data", within)
    assert mi.certificate(builder)["largest_deviation"]["images"] <= 3


def test_certificate_as_text(corpus, tmp_path):
    builder = _build(corpus, tmp_path, {"train": 0.8, "test": 0.2})
    text = str(mi.certificate(builder))
    for word in (
        "240 (240.0)",
        "60 (60.0)",
        "Largest deviation",
        "Groups in more than one split: 0",
    ):
        assert word in text
    with pytest.raises(ValueError, match="no certificate"):
        mi.certificate(tfds.testing.DummyDataset(data_dir=tmp_path))
