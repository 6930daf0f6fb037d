"""A corpus of the catalog in another layout than that of its tree gives the same examples."""

import gzip
import pathlib
import shutil

import numpy as np
import pandas as pd
import pytest
from catalog_trees import Tree, modules
from conftest import build

import medical_images as mi

MODULES = modules()


def rewrite(
    table: pathlib.Path, *changes: tuple[str, str], name: str = "", end: str = "\n"
) -> None:
    """Gives a table other text, another name, or other line ends."""
    data = table.read_bytes()
    text = (gzip.decompress(data) if table.suffix == ".gz" else data).decode()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    table.unlink()
    Tree(table.parent).write(name or table.name, text.replace("\n", end).encode())


def nih_of_kaggle(root: pathlib.Path) -> None:
    for number, image in enumerate(sorted((root / "images").iterdir())):
        folder = root / f"images_{1 + number % 12:03}" / "images"
        folder.mkdir(parents=True, exist_ok=True)
        image.rename(folder / image.name)
    (root / "images").rmdir()
    changes = [("Patient Sex", "Patient Gender"), ("y],", "y]"), (",\n", "\n")]
    table = root / "Data_Entry_2017_v2020.csv"
    rewrite(table, *changes, name="Data_Entry_2017.csv", end="\r\n")


def nih_packed(root: pathlib.Path) -> None:
    table = root / "Data_Entry_2017_v2020.csv"
    clean = [
        ("OriginalImage[Width,Height]", "OriginalImageWidth,OriginalImageHeight"),
        ("[x,y]", "_x,OriginalImagePixelSpacing_y"),
    ]
    rewrite(table, *clean, name=f"{table.name}.gz")


def chexpert_in_batches(root: pathlib.Path) -> None:
    for table in ("train.csv", "valid.csv"):
        rewrite(root / table, ("CheXpert-v1.0-small/", "CheXpert-v1.0/"))
    (root / "train").rename(root / "CheXpert-v1.0 batch 2 (train 1)")
    batch = root / "CheXpert-v1.0 batch 1 (validate & csv)"
    batch.mkdir()
    (root / "valid").rename(batch / "valid")


def mimic_unpacked(root: pathlib.Path) -> None:
    for table in root.glob("*.csv.gz"):
        rewrite(table, name=table.stem)


def padchest_in_a_folder_of_images(root: pathlib.Path) -> None:
    folders = [folder for folder in root.iterdir() if folder.is_dir()]
    for folder in folders:
        shutil.move(folder, root / "images" / folder.name)
    (table,) = root.glob("*.csv.gz")
    rewrite(table, name=table.stem)


def covid_of_march(root: pathlib.Path) -> None:
    """As the table was before it told folders, intubation and tests."""
    table = root / "metadata.csv"
    frame = pd.read_csv(table, dtype=str, keep_default_na=False)
    frame = frame[frame["folder"] == "images"]
    old = {"patientid": "Patientid", "url": " url", "clinical_notes": "clinical notes"}
    kept = "patientid,offset,sex,age,finding,survival,view,modality,date,location,filename,doi,url"
    kept = [*kept.split(","), "license", "clinical_notes"]
    frame[kept].rename(columns=old).to_csv(table, index=False)


LAYOUTS = {
    nih_of_kaggle: "nih_chestxray14",
    nih_packed: "nih_chestxray14",
    chexpert_in_batches: "chexpert",
    mimic_unpacked: "mimic_cxr_jpg",
    padchest_in_a_folder_of_images: "padchest",
    covid_of_march: "covid_chestxray",
}
# What the tables of a layout do not tell, of what the tree tells.
NOT_TOLD = {
    covid_of_march: [
        "rt_pcr", "intubated", "went_icu", "temperature", "po2_saturation", "lymphocyte_count",
    ]
}  # fmt: skip


def told(name: str, root: pathlib.Path, *, without: list[str]) -> pd.DataFrame:
    """What the index tells of each image, without what depends on paths."""
    index = mi.index(mi.from_corpus(name, root=root))
    index = index.drop(columns=["_split", "_key", "_position", *without])
    text = index.map(lambda cell: str(cell.tolist() if isinstance(cell, np.ndarray) else cell))
    return text.sort_values(list(text.columns), ignore_index=True)


@pytest.mark.parametrize("change", LAYOUTS, ids=lambda change: change.__name__)
def test_another_layout_gives_the_same_examples(change, tmp_path):
    name, without = LAYOUTS[change], NOT_TOLD.get(change, [])
    MODULES[name].write(Tree(tmp_path))
    before = told(name, tmp_path, without=without)
    change(tmp_path)
    pd.testing.assert_frame_equal(told(name, tmp_path, without=without), before)


def test_padchest_is_built_without_the_files_that_end_too_early(tmp_path):
    root = tmp_path / "padchest"
    MODULES["padchest"].write(Tree(root))
    image = root / MODULES["padchest"].FILES[-1]
    image.write_bytes(image.read_bytes()[:400])
    builder = build("padchest", tmp_path / "data", name="padchest", root=str(root))
    assert len(mi.index(builder)) == len(MODULES["padchest"].IMAGES) - 1
    assert builder.info.metadata["rejects"] == {"rejected": {"truncated": 1}}
    (example,) = builder.as_dataset("test")
    assert example["image"].dtype == "uint16"


def test_masks_of_siim_acr_are_its_runs(tmp_path):
    MODULES["siim_acr"].write(Tree(tmp_path))
    unbuilt = mi.from_corpus("siim_acr", root=tmp_path)
    masks = {
        example["image_id"].numpy().decode(): example["mask"].numpy()[..., 0]
        for split in unbuilt.info.splits
        for example in unbuilt.as_dataset(split)
    }
    # Down the columns of 24 pixels; each run counts from the end of the one before, in its row.
    seen = np.flatnonzero(masks[MODULES["siim_acr"].image_id(1)].T)
    assert seen.tolist() == [*range(5), *range(24, 29)]
    seen = np.flatnonzero(masks[MODULES["siim_acr"].image_id(2)].T)
    assert seen.tolist() == [48, 49, 50, 100, 101, 124, 125]
    assert not masks[MODULES["siim_acr"].image_id(0)].any()
