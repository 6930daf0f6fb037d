"""PatchCamelyon as Kaggle has it: TIFF files by the hashes of their names, and two columns."""

import hashlib

from catalog_trees import Expected, Tree

IDS = [hashlib.sha1(bytes([k])).hexdigest() for k in range(12)]


def write(tree: Tree) -> None:
    tree.table("train_labels.csv", "id,label", [(i, k % 2) for k, i in enumerate(IDS)])
    for k, name in enumerate(IDS):
        tree.image(f"train/{name}.tif", size=(96, 96), look="mel" if k % 2 else "nv")
    hidden = [hashlib.sha1(bytes([100 + k])).hexdigest() for k in range(2)]
    for name in hidden:
        tree.image(f"test/{name}.tif", size=(96, 96))
    tree.table("sample_submission.csv", "id,label", [(name, 0) for name in hidden])


EXPECTED = Expected(
    splits={"train": 10, "validation": 1, "test": 1},
    examples={
        f"train/{IDS[0]}.tif": {"image_id": IDS[0], "label": "no_tumor"},
        f"train/{IDS[1]}.tif": {"label": "tumor"},
    },
    apart=[(f"train/{IDS[0]}.tif", f"train/{IDS[1]}.tif")],
    draft_images=["train/{id}.tif", "**/{id}.tif", "*/{id}.tif", "train/{id}.*", "**/{id}.*"],
)
