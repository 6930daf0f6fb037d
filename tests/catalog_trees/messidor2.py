"""Messidor-2: pairs of ADCIS, grades of Kaggle, `.png` and `.JPG`, one image without a grade."""

from catalog_trees import Expected, Tree

# left, its grade, edema and gradability; right, the same
EXAMS = [
    ("20051020_43808_0100_PP.png", "0", "0", "1", "20051020_43832_0100_PP.png", "0", "0", "1"),
    ("20051020_43882_0100_PP.png", "1", "0", "1", "20051020_43906_0100_PP.png", "1", "0", "1"),
    ("20051020_43987_0100_PP.png", "2", "1", "1", "20051020_44020_0100_PP.png", "0", "0", "1"),
    ("20051116_44816_0400_PP.png", "3", "1", "1", "20051116_44841_0400_PP.png", "4", "0", "1"),
    ("IM004832.JPG", "2", "1", "1", "IM004833.JPG", "3", "1", "1"),
    ("20060411_58550_0200_PP.png", "4", "1", "1", "20060411_58575_0200_PP.png", "3", "1", "1"),
    ("IM004836.JPG", "1", "0", "1", "IM004837.JPG", "1", "0", "1"),
    ("IM004838.JPG", "0", "0", "1", "IM004839.JPG", "2", "0", "1"),
    ("IM004842.JPG", "0", "0", "1", "IM004843.JPG", "0", "0", "1"),
    ("IM004840.JPG", "0", "0", "1", "IM004841.JPG", "", "", "0"),
]


def write(tree: Tree) -> None:
    tree.table("messidor-2.csv", "left;right", [(e[0], e[4]) for e in EXAMS], separator=";")
    rows = [row for exam in EXAMS for row in (exam[:4], exam[4:])]
    header = "image_id,adjudicated_dr_grade,adjudicated_dme,adjudicated_gradable"
    tree.table("messidor_data.csv", header, sorted(rows))
    for image, *_ in rows:
        tree.image(f"IMAGES/{image}")


EXPECTED = Expected(
    splits={"train": 16, "validation": 2, "test": 1},
    examples={
        "IMAGES/20051020_43987_0100_PP.png": {
            "label": "moderate", "macular_edema": "yes", "eye": "left",
        },
        "IMAGES/IM004833.JPG": {"label": "severe", "eye": "right", "image_id": "IM004833.JPG"},
    },
    rejects={"rejected": {"label_missing": 1}, "reported": {"join_unmatched": 20}},
    together=[
        ["IMAGES/IM004832.JPG", "IMAGES/IM004833.JPG"],
        ["IMAGES/20051020_43987_0100_PP.png", "IMAGES/20051020_44020_0100_PP.png"],
    ],
    apart=[("IMAGES/IM004832.JPG", "IMAGES/IM004840.JPG")],
    draft_images=["IMAGES/{image_id}", "**/{image_id}"],
    draft_group=[["left"], ["right"]],
)  # fmt: skip
