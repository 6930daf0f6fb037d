"""MURA v1.1: tables without a header, one row a study; label and patient stand in the paths."""

from catalog_trees import Expected, Tree

STUDIES = [  # folder, label, images, mode
    ("train/XR_SHOULDER/patient00001/study1_positive", 1, 3, "L"),
    ("train/XR_SHOULDER/patient00001/study2_negative", 0, 1, "L"),
    ("train/XR_HAND/patient00001/study1_negative", 0, 2, "RGB"),
    ("train/XR_ELBOW/patient00011/study1_negative", 0, 1, "L"),
    ("train/XR_FINGER/patient00012/study1_positive", 1, 2, "L"),
    ("train/XR_FOREARM/patient00013/study1_negative", 0, 1, "L"),
    ("train/XR_HUMERUS/patient00014/study1_positive", 1, 1, "L"),
    ("valid/XR_WRIST/patient11185/study1_positive", 1, 4, "L"),
    ("valid/XR_WRIST/patient11186/study1_negative", 0, 2, "RGB"),
    ("valid/XR_WRIST/patient11186/study2_negative", 0, 1, "L"),
]


def write(tree: Tree) -> None:
    for split in ("train", "valid"):
        found = [study for study in STUDIES if study[0].startswith(split)]
        rows = [(f"MURA-v1.1/{folder}/", label) for folder, label, *_ in found]
        tree.table(f"MURA-v1.1/{split}_labeled_studies.csv", None, rows, end="\r\n")
        paths = [
            (f"MURA-v1.1/{folder}/image{k}.png",)
            for folder, _, number, _ in found
            for k in range(1, number + 1)
        ]
        tree.table(f"MURA-v1.1/{split}_image_paths.csv", None, paths, end="\r\n")
    for folder, label, number, mode in STUDIES:
        for k in range(1, number + 1):
            path = f"MURA-v1.1/{folder}/image{k}.png"
            tree.image(path, mode=mode, look="mel" if label else "nv")
        tree.write(f"MURA-v1.1/{folder}/._image1.png", b"\0\5\26\7")  # of macOS


EXPECTED = Expected(
    splits={"train": 11, "validation": 7},
    examples={
        "MURA-v1.1/train/XR_SHOULDER/patient00001/study1_positive/image3.png": {
            "label": "positive", "body_part": "SHOULDER",
        },
        "MURA-v1.1/train/XR_HAND/patient00001/study1_negative/image2.png": {
            "label": "negative", "body_part": "HAND",
        },
        "MURA-v1.1/valid/XR_WRIST/patient11186/study2_negative/image1.png": {
            "label": "negative", "body_part": "WRIST",
        },
    },
    together=[
        [
            "MURA-v1.1/train/XR_SHOULDER/patient00001/study1_positive/image1.png",
            "MURA-v1.1/train/XR_SHOULDER/patient00001/study2_negative/image1.png",
            "MURA-v1.1/train/XR_HAND/patient00001/study1_negative/image1.png",
        ]
    ],
    apart=[
        (
            "MURA-v1.1/valid/XR_WRIST/patient11185/study1_positive/image1.png",
            "MURA-v1.1/valid/XR_WRIST/patient11186/study1_negative/image1.png",
        )
    ],
    draft_images=[
        "{study}image*.png", "{study}*.png", "{study}*", "{study}*.*", "{path}", "{folder}/*",
        "MURA-v1.1/{split}/{part}/{patient}/{study}_{label}/{name}.png",
    ],
    draft_group=[["patient"]],
)  # fmt: skip
