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


def ham_of_dataverse(root: pathlib.Path) -> None:
    """One folder, once each; a table without an extension, with one more column and other ages."""
    for image in root.glob("HAM10000_images_part_*/*.jpg"):
        image.rename(root / image.name)
    for folder in root.glob("*_images_part_*"):
        shutil.rmtree(folder)
    table = root / "HAM10000_metadata.csv"
    frame = pd.read_csv(table, dtype=str, keep_default_na=False).assign(dataset="rosendahl")
    frame["age"] = frame["age"].map(lambda age: age and f"{age}.0")
    frame.to_csv(root / "HAM10000_metadata", index=False)
    table.unlink()


def isic2019_of_a_copy(root: pathlib.Path) -> None:
    rewrite(root / "ISIC_2019_Training_Metadata.csv", (",sex", ",gender"))


def isic2020_of_the_archive(root: pathlib.Path) -> None:
    shutil.rmtree(root / "train")
    (root / "jpeg" / "train").rename(root / "train")
    table = root / "train.csv"
    frame = pd.read_csv(table, dtype=str, keep_default_na=False)
    frame["age_approx"] = frame["age_approx"].str.removesuffix(".0")
    frame.insert(2, "lesion_id", [f"IL_{number}" for number in range(len(frame))])
    name = "ISIC_2020_Training_GroundTruth_v2.csv"
    frame.to_csv(root / name, index=False, lineterminator="\r\n")
    table.unlink()


def brset_of_the_next_version(root: pathlib.Path) -> None:
    rewrite(root / "labels.csv", ("iluminaton", "illumination"), name="labels_brset.csv")


def messidor_of_a_copy(root: pathlib.Path) -> None:
    """Grades of another header, whose names end in lower case, as those of the files do."""
    header = ("image_id,adjudicated_dr_grade", "id_code,diagnosis")
    rewrite(root / "messidor_data.csv", header, (".JPG", ".jpg"))
    for image in root.glob("IMAGES/*.JPG"):
        image.rename(image.with_suffix(".jpg"))


def pad_in_one_folder(root: pathlib.Path) -> None:
    for image in root.glob("images/imgs_part_*/*.png"):
        image.rename(root / "images" / image.name)


def kermany_without_the_space(root: pathlib.Path) -> None:
    (root / "OCT2017 ").rename(root / "OCT2017")


LAYOUTS = {
    ham_of_dataverse: "ham10000",
    isic2019_of_a_copy: "isic2019",
    isic2020_of_the_archive: "isic2020",
    brset_of_the_next_version: "brset",
    messidor_of_a_copy: "messidor2",
    pad_in_one_folder: "pad_ufes_20",
    kermany_without_the_space: "kermany_oct",
    nih_of_kaggle: "nih_chestxray14",
    nih_packed: "nih_chestxray14",
    chexpert_in_batches: "chexpert",
    mimic_unpacked: "mimic_cxr_jpg",
    padchest_in_a_folder_of_images: "padchest",
    covid_of_march: "covid_chestxray",
}
# What the tables of a layout do not tell, of what the tree tells.
NOT_TOLD = {
    ham_of_dataverse: ["source"],
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


# Folders that archives, and those who unpack them, nest once more.
NESTED = {
    "aptos2019": "train_images", "breakhis": "BreaKHis_v1", "brset": "fundus_photos",
    "busi": "Dataset_BUSI_with_GT", "cbis_ddsm": "CBIS-DDSM", "cbis_ddsm_kaggle": "jpeg",
    "eyepacs": "train", "ham10000": "HAM10000_images_part_1", "lc25000": "lung_colon_image_set",
    "montgomery": "MontgomerySet", "nih_chestxray14": "images", "odir5k": "preprocessed_images",
    "pad_ufes_20": "images", "patch_camelyon": "train", "rsna_pneumonia": "stage_2_train_images",
    "shenzhen": "ChinaSet_AllFiles", "siim_acr": "dicom-images-train", "vindr_cxr": "train",
    "vindr_cxr_physionet": "test",
}  # fmt: skip


@pytest.mark.parametrize("name", NESTED)
def test_a_folder_nested_once_more_gives_the_same_examples(name, tmp_path):
    MODULES[name].write(Tree(tmp_path))
    before = told(name, tmp_path, without=[])
    folder = tmp_path / NESTED[name]
    folder.rename(tmp_path / "moved")
    shutil.move(tmp_path / "moved", folder / folder.name)
    pd.testing.assert_frame_equal(told(name, tmp_path, without=[]), before)


def test_grades_that_name_other_images_are_no_loss_that_is_accepted(tmp_path):
    MODULES["messidor2"].write(Tree(tmp_path))
    rewrite(tmp_path / "messidor_data.csv", ("IM0048", "M0048"))
    with pytest.raises(mi.RejectedError, match="label_missing"):
        mi.from_corpus("messidor2", root=tmp_path)


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


def masks_of(name: str, feature: str, key: str, root: pathlib.Path) -> dict[str, list[np.ndarray]]:
    """The masks of a tree, by the value of another feature."""
    MODULES[name].write(Tree(root))
    unbuilt = mi.from_corpus(name, root=root)
    masks: dict[str, list[np.ndarray]] = {}
    for split in unbuilt.info.splits:
        for example in unbuilt.as_dataset(split):
            value = example[key].numpy()
            told = (
                value.decode()
                if isinstance(value, bytes)
                else unbuilt.info.features[key].names[value]
            )
            masks.setdefault(told, []).append(example[feature].numpy()[..., 0])
    return masks


def test_masks_of_montgomery_are_two_lungs(tmp_path):
    for masks in masks_of("montgomery", "lungs", "label", tmp_path).values():
        for mask in masks:
            assert (mask == 1).sum() == (mask == 2).sum() == 7 * (mask.shape[0] - 8)
            assert np.nonzero(mask == 1)[1].min() > np.nonzero(mask == 2)[1].max()


def test_masks_of_busi_are_all_lesions_of_an_image(tmp_path):
    masks = masks_of("busi", "lesion", "label", tmp_path)
    assert not any(mask.any() for mask in masks["normal"])
    assert {int(mask.sum()) for mask in masks["malignant"]} == {80}
    # Of three lesions, 8 wide and 10, 11 and 12 high, each is 5 to the right of the one before.
    assert sorted(int(mask.sum()) for mask in masks["benign"])[-1] == 5 * 10 + 5 * 11 + 8 * 12
    assert {number for mask in masks["benign"] for number in np.unique(mask)} == {0, 1}


def test_masks_of_siim_acr_are_its_runs(tmp_path):
    masks = {
        image_id: mask
        for image_id, (mask,) in masks_of("siim_acr", "mask", "image_id", tmp_path).items()
    }
    # Down the columns of 24 pixels; each run counts from the end of the one before, in its row.
    seen = np.flatnonzero(masks[MODULES["siim_acr"].image_id(1)].T)
    assert seen.tolist() == [*range(5), *range(24, 29)]
    seen = np.flatnonzero(masks[MODULES["siim_acr"].image_id(2)].T)
    assert seen.tolist() == [48, 49, 50, 100, 101, 124, 125]
    assert not masks[MODULES["siim_acr"].image_id(0)].any()
