"""Kermany OCT: folders of splits and classes; a patient's number stands under several classes."""

from catalog_trees import Expected, Tree

FOLDER = "OCT2017 "  # with the space of Kaggle's archive
IMAGES = [
    ("train", "CNV", 1016042, 1),
    ("train", "CNV", 1016042, 2),
    ("train", "DME", 1016042, 1),  # the same patient
    ("train", "DME", 1019128, 3),
    ("train", "DRUSEN", 1083159, 1),
    ("train", "DRUSEN", 1083159, 12),
    ("train", "NORMAL", 1001666, 1),
    ("train", "NORMAL", 1083159, 1),
    ("test", "CNV", 1016042, 3),  # a patient of train
    ("test", "DME", 2118496, 1),
    ("test", "NORMAL", 5193994, 1),
    ("val", "CNV", 6294785, 1),
    ("val", "DRUSEN", 9884539, 1),
]


def path_of(split: str, label: str, patient: int, number: int) -> str:
    return f"{FOLDER}/{split}/{label}/{label}-{patient}-{number}.jpeg"


def write(tree: Tree) -> None:
    for image in IMAGES:
        tree.image(path_of(*image), mode="L", look="mel" if image[1] == "CNV" else "nv")
    tree.write(f"{FOLDER}/.DS_Store", b"\0\0\0\1Bud1")


PATHS = [path_of(*image) for image in IMAGES]
EXPECTED = Expected(
    splits={"train": 8, "validation": 2, "test": 3},
    examples={
        PATHS[0]: {"label": "CNV"},
        PATHS[2]: {"label": "DME"},
        PATHS[12]: {"label": "DRUSEN"},
    },
    rejects={"noted": {"group_in_two_splits": 4}},
    together=[[PATHS[0], PATHS[1], PATHS[2], PATHS[8]], [PATHS[4], PATHS[5], PATHS[7]]],
    apart=[(PATHS[0], PATHS[3])],
    draft_images=[
        "OCT2017 /{official_split}/{label}/*.jpeg",
        *(
            f"{top}{{split}}/{{label}}/{name}.jpeg"
            for top in ("OCT2017 /", "*/", "**/", "")
            for name in (
                "{name}",
                "{class}-{patient}-{n}",
                "{label}-{patient}-{n}",
                "*-{patient}-{n}",
            )
        ),
    ],
    draft_group=[["patient"]],
)
