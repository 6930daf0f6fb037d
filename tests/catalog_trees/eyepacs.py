"""EyePACS: patients and eyes in names, grades in two tables, the test's with CRLF and its use."""

from catalog_trees import Expected, Tree

TRAIN = {
    "10_left": 0, "10_right": 0, "13_left": 0, "13_right": 0, "15_left": 1, "15_right": 2,
    "16_left": 4, "16_right": 4, "17_left": 0, "17_right": 1, "99_left": 3, "99_right": 0,
}  # fmt: skip
TEST = [
    ("1_left", 0, "Private"), ("1_right", 0, "Private"), ("2_left", 0, "Public"),
    ("2_right", 0, "Public"), ("3_left", 2, "Private"), ("3_right", 2, "Private"),
]  # fmt: skip


def write(tree: Tree) -> None:
    tree.table("trainLabels.csv", "image,level", TRAIN.items())
    tree.table("retinopathy_solution.csv", "image,level,Usage", TEST, end="\r\n")
    for image in TRAIN:
        tree.image(f"train/{image}.jpeg")
    for image, *_ in TEST:
        tree.image(f"test/{image}.jpeg")
    tree.write("sample/10_left.jpeg", (tree.root / "train/10_left.jpeg").read_bytes())


EXPECTED = Expected(
    splits={"train": 12, "validation": 2, "test": 4},
    examples={
        "train/15_left.jpeg": {"label": "mild", "eye": "left"},
        "train/99_left.jpeg": {"label": "severe"},
        "test/3_right.jpeg": {"label": "moderate", "eye": "right"},
    },
    together=[
        ["train/15_left.jpeg", "train/15_right.jpeg"],
        ["test/1_left.jpeg", "test/1_right.jpeg"],
    ],
    apart=[("train/10_left.jpeg", "test/1_left.jpeg")],
    draft_images=["train/{image}.jpeg", "*/{image}.jpeg", "**/{image}.jpeg", "test/{image}.jpeg"],
    draft_group=[["patient"], ["patient_id"], ["group"]],
)  # fmt: skip
