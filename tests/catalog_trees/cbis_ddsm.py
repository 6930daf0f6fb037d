"""CBIS-DDSM: tables of two headers, folders by the first part of a path, several rows an image."""

from collections.abc import Iterator, Sequence

from catalog_trees import Expected, Tree

HEADERS = {
    "mass": (
        "patient_id,breast_density,left or right breast,image view,abnormality id,abnormality type,"
        "mass shape,mass margins,assessment,pathology,subtlety,image file path,"
        "cropped image file path,ROI mask file path"
    ),
    "calc": (
        "patient_id,breast density,left or right breast,image view,abnormality id,abnormality type,"
        "calc type,calc distribution,assessment,pathology,subtlety,image file path,"
        "cropped image file path,ROI mask file path"
    ),
}
ROWS: dict[tuple[str, str], list[tuple[object, ...]]] = {
    ("mass", "train"): [
        ("P_00001", 3, "LEFT", "CC", 1, "IRREGULAR-ARCHITECTURAL_DISTORTION", "SPICULATED", 4,
         "MALIGNANT", 4),
        ("P_00001", 3, "LEFT", "MLO", 1, "IRREGULAR-ARCHITECTURAL_DISTORTION", "SPICULATED", 4,
         "MALIGNANT", 4),
        ("P_00004", 3, "RIGHT", "CC", 1, "OVAL", "CIRCUMSCRIBED", 3, "BENIGN", 3),
        ("P_00004", 3, "RIGHT", "CC", 2, "", "ILL_DEFINED", 5, "MALIGNANT", 1),
        ("P_00009", 1, "RIGHT", "MLO", 1, "ROUND", "OBSCURED", 0, "BENIGN_WITHOUT_CALLBACK", 5),
    ],
    ("mass", "test"): [
        ("P_00016", 4, "LEFT", "CC", 1, "IRREGULAR", "SPICULATED", 5, "MALIGNANT", 5),
        ("P_00017", 2, "LEFT", "MLO", 1, "ROUND", "CIRCUMSCRIBED", 4, "BENIGN", 4),
        ("P_00018", 2, "RIGHT", "MLO", 1, "LYMPH_NODE", "CIRCUMSCRIBED", 2,
         "BENIGN_WITHOUT_CALLBACK", 4),
    ],
    ("calc", "train"): [
        ("P_00005", 3, "RIGHT", "CC", 1, "AMORPHOUS", "CLUSTERED", 3, "MALIGNANT", 3),
        ("P_00007", 4, "LEFT", "CC", 1, "PLEOMORPHIC", "LINEAR", 4, "BENIGN", 4),
        ("P_00007", 4, "LEFT", "CC", 2, "PLEOMORPHIC", "LINEAR", 4, "BENIGN", 4),
        ("P_00008", 1, "LEFT", "CC", 1, "LUCENT_CENTER", "NA", 2, "BENIGN_WITHOUT_CALLBACK", 5),
    ],
    ("calc", "test"): [
        ("P_00001", 3, "LEFT", "CC", 1, "PLEOMORPHIC", "CLUSTERED", 4, "BENIGN", 4),  # of train too
        ("P_00038", 0, "LEFT", "CC", 1, "PUNCTATE-PLEOMORPHIC", "CLUSTERED", 4, "BENIGN", 2),
        ("P_00038", 0, "LEFT", "MLO", 1, "VASCULAR", "NA", 0, "MALIGNANT", 2),
    ],
}  # fmt: skip
UID = "1.3.6.1.4.1.9590.100.1.2"


def folder_of(kind: str, split: str, row: Sequence[object]) -> str:
    names = {"train": "Training", "test": "Test"}
    return f"{kind.title()}-{names[split]}_{row[0]}_{row[2]}_{row[3]}"


def series_of(kind: str, split: str, row: Sequence[object], part: int = 0) -> str:
    """The series of an image; `part` tells the full image, and the crop or mask of a row."""
    number = sorted(ROWS).index((kind, split)) * 1000 + int(str(row[0])[2:]) * 10
    return f"{UID}.{number + (row[3] == 'MLO') + 100000 * part}"


def rows_of(kind: str, split: str) -> Iterator[tuple[object, ...]]:
    for row in ROWS[kind, split]:
        folder = folder_of(kind, split, row)
        full = f"{folder}/{UID}.7/{series_of(kind, split, row)}/000000.dcm"
        part = f"{folder}_{row[4]}/{UID}.8/{series_of(kind, split, row, int(str(row[4])))}"
        kinds = {"mass": "mass", "calc": "calcification"}
        # One path of each row ends with a line end of its own: of the mask, or else of the crop.
        crop, mask = f"{part}/000000.dcm", f"{part}/000001.dcm"
        paths = (crop, f"{mask}\n") if kind == "mass" else (f"{crop}\n", mask)
        yield (*row[:5], kinds[kind], *row[5:], full, *paths)


def write_tables(tree: Tree, folder: str = "") -> None:
    for kind, split in ROWS:
        name = f"{folder}{kind}_case_description_{split}_set.csv"
        tree.table(name, HEADERS[kind], rows_of(kind, split), end="\r\n")


def path_of(kind: str, split: str, row: Sequence[object]) -> str:
    below = "07-20-2016-DDSM-NA-30288/1.000000-full mammogram images-24515"
    return f"CBIS-DDSM/{folder_of(kind, split, row)}/{below}/1-1.dcm"


def write(tree: Tree) -> None:
    write_tables(tree)
    for (kind, split), rows in ROWS.items():
        for row in rows:
            path = path_of(kind, split, row)
            if row[4] == 1:
                tree.dicom(path, bits=16)
            folder = folder_of(kind, split, row)
            part = path.replace(folder, f"{folder}_{row[4]}")
            tree.dicom(part, bits=16, size=(8, 8))
            tree.dicom(part.replace("1-1", "1-2"))


def image(kind: str, split: str, number: int) -> str:
    return path_of(kind, split, ROWS[kind, split][number])


VALUES = {
    ("mass", "train", 0): {
        "findings": ["malignant"], "abnormality": "mass", "view": "CC", "side": "left",
        "breast_density": [3],
    },
    ("mass", "train", 2): {
        "findings": ["benign", "malignant"], "assessment": [3, 5], "subtlety": [1, 3],
    },
    ("mass", "train", 4): {"findings": ["benign_without_callback"], "assessment": [0]},
    ("calc", "test", 2): {"breast_density": [], "abnormality": "calcification", "view": "MLO"},
}  # fmt: skip
TOGETHER = [[("mass", "train", 0), ("mass", "train", 1), ("calc", "test", 0)]]
APART = [(("mass", "train", 0), ("mass", "train", 2))]

EXPECTED = Expected(
    splits={"train": 7, "test": 6},
    rejects={"noted": {"group_in_two_splits": 3}},  # P_00001
    examples={image(*key): values for key, values in VALUES.items()},
    together=[[image(*key) for key in keys] for keys in TOGETHER],
    apart=[(image(*one), image(*other)) for one, other in APART],
    draft_images=[
        "**/{folder}/*/*/*.dcm",
        "CBIS-DDSM/{folder}/**/*.dcm",
        "CBIS-DDSM/{folder}/*/*/*.dcm",
        "CBIS-DDSM/{folder}/*/*/1-1.dcm",
    ],
    draft_group=[["patient_id"]],
)
