"""The sample of NIH ChestX-ray14 on Kaggle: clean names of columns, ages of DICOM, CRLF."""

from catalog_trees import Expected, Tree
from catalog_trees.nih_chestxray14 import ROWS as FEW
from catalog_trees.nih_chestxray14 import row

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImageWidth,OriginalImageHeight,OriginalImagePixelSpacing_x,OriginalImagePixelSpacing_y"
)
ROWS = [*FEW, *(row(f"000000{number}_000", "No Finding", 0, "50", "F") for number in range(10, 18))]


def write(tree: Tree) -> None:
    ages = [row[4] if row[4].endswith(("Y", "M", "D")) else f"{row[4]:0>3}Y" for row in ROWS]
    rows = [(*row[:4], age, *row[5:11]) for row, age in zip(ROWS, ages, strict=True)]
    tree.table("sample_labels.csv", HEADER, rows, end="\r\n")
    for name, *_ in ROWS:
        tree.image(f"images/{name}", mode="L")


EXPECTED = Expected(
    splits={"train": 17, "validation": 1, "test": 2},
    examples={
        "images/00000001_001.png": {
            "findings": ["Cardiomegaly", "Effusion", "Emphysema"], "age": 58.0, "width": 2682,
        },
        "images/00000003_001.png": {"age": 0.0},
        "images/00000005_000.png": {"age": None},
        "images/00000005_001.png": {"age": None},
    },
    together=[["images/00000001_000.png", "images/00000001_001.png"]],
    draft_images=["images/{Image Index}", "**/{Image Index}"],
    draft_group=[["Patient ID"]],
)  # fmt: skip
