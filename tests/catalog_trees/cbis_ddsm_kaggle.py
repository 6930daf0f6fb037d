"""CBIS-DDSM as the copy on Kaggle has it: JPEG in folders of series, and tables in `csv`."""

from collections.abc import Sequence

from catalog_trees import Expected, Tree
from catalog_trees.cbis_ddsm import (
    APART,
    ROWS,
    TOGETHER,
    VALUES,
    folder_of,
    series_of,
    write_tables,
)


def path_of(kind: str, split: str, row: Sequence[object]) -> str:
    return f"jpeg/{series_of(kind, split, row)}/1-{100 + int(str(row[0])[2:])}.jpg"


def write(tree: Tree) -> None:
    write_tables(tree, "csv/")
    found = []
    for (kind, split), rows in ROWS.items():
        for row in rows:
            folder, path = folder_of(kind, split, row), path_of(kind, split, row)
            if row[4] == 1:
                tree.image(path, mode="L")
                found.append((path, folder, "full mammogram images"))
            for name, what in (("1-026", "cropped images"), ("2-026", "ROI mask images")):
                part = f"jpeg/{series_of(kind, split, row, int(str(row[4])))}/{name}.jpg"
                tree.image(part, mode="L", size=(8, 8))
                found.append((part, f"{folder}_{row[4]}", what))
    header = "file_path,image_path,Modality,PatientID,SeriesDescription"
    lines = [(f"CBIS-DDSM/dicom/{p[5:-4]}.dcm", f"CBIS-DDSM/{p}", "MG", f, w) for p, f, w in found]
    tree.table("csv/dicom_info.csv", header, lines)
    tree.table(
        "csv/meta.csv", "SeriesInstanceUID,Modality", [(p.split("/")[1], "MG") for p, *_ in found]
    )


def image(kind: str, split: str, number: int) -> str:
    return path_of(kind, split, ROWS[kind, split][number])


EXPECTED = Expected(
    splits={"train": 7, "test": 6},
    examples={image(*key): values for key, values in VALUES.items()},
    rejects={"noted": {"group_in_two_splits": 3}, "reported": {"image_unreferenced": 30}},
    together=[[image(*key) for key in keys] for keys in TOGETHER],
    apart=[(image(*one), image(*other)) for one, other in APART],
    draft_images=[
        "jpeg/{series}/*.jpg",
        "jpeg/{folder}/*.jpg",
        "**/{series}/*.jpg",
        "{image_path[10:]}",
    ],
    draft_group=[["patient_id"], ["PatientID"]],
)
