"""VinDr-CXR as on Kaggle: three readers an image; 12 bits, some MONOCHROME1."""

import hashlib

from catalog_trees import Expected, Tree

HEADER = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"
CLASSES = [
    "Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Consolidation", "ILD",
    "Infiltration", "Lung Opacity", "Nodule/Mass", "Other lesion", "Pleural effusion",
    "Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "No finding",
]  # fmt: skip
NONE = 14
IDS = [hashlib.md5(str(number).encode()).hexdigest() for number in range(12)]
# What three readers saw; the first image has what only one saw, and a box beyond its edge.
SEEN = [
    ({"R8": [0, 3, 3], "R9": [0], "R10": [0, 11]}),
    ({"R8": [NONE], "R9": [NONE], "R10": [NONE]}),
    ({"R1": [NONE], "R2": [NONE], "R17": [NONE]}),
    *[dict.fromkeys(("R8", "R9", "R10"), (first, first + 7)) for first in range(7)],
    ({"R3": [12], "R4": [12], "R5": [13]}),
    ({"R8": [NONE], "R9": [NONE], "R10": [NONE]}),
]


def rows():
    for image_id, readers in zip(IDS, SEEN, strict=True):
        for number, (reader, classes) in enumerate(readers.items()):
            for place, kind in enumerate(classes):
                box = [2 + place, 3 + number, 20 + place, 15 + number]
                if image_id == IDS[0] and place == 2:
                    box[2] = 40  # the image is 32 wide
                cells = [""] * 4 if kind == NONE else [f"{value}.0" for value in box]
                yield (image_id, CLASSES[kind], kind, reader, *cells)


def write(tree: Tree) -> None:
    tree.table("train.csv", HEADER, rows())
    for number, image_id in enumerate(IDS):
        kind = "MONOCHROME1" if number == 4 else "MONOCHROME2"
        tree.dicom(f"train/{image_id}.dicom", bits=12, kind=kind)
    tree.dicom("test/002a34c58c5b758217ed1f584ccbcfe9.dicom", bits=12)
    submission = [("002a34c58c5b758217ed1f584ccbcfe9", "14 1 0 0 1 1")]
    tree.table("sample_submission.csv", "image_id,PredictionString", submission)


def box(label, *corners):
    names = ("xmin", "ymin", "xmax", "ymax")
    return dict(zip(names, map(float, corners), strict=True)) | {"label": label}


EXPECTED = Expected(
    splits={"train": 10, "validation": 1, "test": 1},
    examples={
        f"train/{IDS[0]}.dicom": {
            "findings": ["Aortic enlargement"],
            "votes": [*["Aortic enlargement"] * 3, "Cardiomegaly", "Pleural thickening"],
            "boxes": [
                box("Aortic enlargement", 2, 3, 20, 15), box("Aortic enlargement", 2, 4, 20, 16),
                box("Aortic enlargement", 2, 5, 20, 17), box("Cardiomegaly", 3, 3, 21, 15),
                box("Pleural thickening", 3, 5, 21, 17), box("Cardiomegaly", 4, 3, 32, 15),
            ],
        },
        f"train/{IDS[1]}.dicom": {"findings": ["No finding"], "votes": ["No finding"] * 3},
        f"train/{IDS[10]}.dicom": {"findings": ["Pneumothorax"]},
    },
    draft_images=["train/{image_id}.dicom", "**/{image_id}.dicom", "train/{image_id}.*"],
    draft_group=[[], ["image_id"]],
)  # fmt: skip
