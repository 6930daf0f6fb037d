"""The same tree as that of `breakhis`, read by its folds."""

from catalog_trees import Expected
from catalog_trees.breakhis import APART, EXAMPLES, TOGETHER, write

__all__ = ["EXPECTED", "write"]

EXPECTED = Expected(
    splits={"train": 12, "test": 4},
    examples=EXAMPLES,
    rejects={"excluded": {"not_wanted": 64}},
    together=TOGETHER,
    apart=APART,
    draft_images=[
        "**/histology_slides/breast/{label}/SOB/*/*/*/{name}.png",
        "BreaKHis_v1/{filename}", "**/{filename}", "*/{filename}",
    ],
    draft_group=[["patient"], ["slide"]],
)  # fmt: skip
