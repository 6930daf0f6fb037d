"""APTOS 2019 as Kaggle has it, with a test that has no grades and two files of the same bytes."""

from catalog_trees import Expected, Tree

GRADES = {
    "000c1434d8d7": 2, "001639a390f0": 4, "0024cdab0c1e": 1, "002c21358ce6": 0, "005b95c28852": 0,
    "0083ee8054ee": 4, "0097f532ac9f": 0, "00a8624548a9": 2, "00b74780d31d": 2, "0104b032c141": 3,
    "0124dffecf29": 1, "0151781fe50b": 0, "0161338f53cc": 2,
}  # fmt: skip
CONFLICT = ("002c21358ce6", "0024cdab0c1e")  # of grade 0 and 1
COPIES = ("005b95c28852", "0151781fe50b")  # both of grade 0


def write(tree: Tree) -> None:
    tree.table("train.csv", "id_code,diagnosis", GRADES.items())
    for number, image in enumerate(GRADES):
        size = (24, 32) if number % 2 else (40, 60)
        tree.image(f"train_images/{image}.png", size=size)
    for first, second in (CONFLICT, COPIES):
        copied = (tree.root / f"train_images/{first}.png").read_bytes()
        tree.write(f"train_images/{second}.png", copied)
    tree.table("test.csv", "id_code", [("0005cfc8afb6",)])
    tree.image("test_images/0005cfc8afb6.png")
    tree.table("sample_submission.csv", "id_code,diagnosis", [("0005cfc8afb6", "0")])


EXPECTED = Expected(
    splits={"train": 9, "validation": 1, "test": 1},
    examples={
        "train_images/000c1434d8d7.png": {"image_id": "000c1434d8d7", "label": "moderate"},
        "train_images/0083ee8054ee.png": {"label": "proliferative"},
        "train_images/005b95c28852.png": {"label": "none"},
    },
    rejects={"rejected": {"copy_conflict": 2}, "noted": {"image_copy": 1}},
    apart=[("train_images/000c1434d8d7.png", "train_images/001639a390f0.png")],
    draft_images=["train_images/{id_code}.png", "**/{id_code}.png", "*/{id_code}.png"],
)
