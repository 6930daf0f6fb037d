"""BreakHis as Kaggle has it: nested once more, and with the folds of each image in a table."""

from catalog_trees import Expected, Tree

SLIDES = [  # class, type, its folder, year and slide
    ("B", "A", "adenosis", "14-22549AB"),
    ("B", "A", "adenosis", "14-22549CD"),
    ("B", "F", "fibroadenoma", "14-9133"),
    ("B", "PT", "phyllodes_tumor", "14-21998AB"),
    ("B", "TA", "tubular_adenoma", "14-16184"),
    ("M", "DC", "ductal_carcinoma", "14-13412"),
    ("M", "LC", "lobular_carcinoma", "14-13412"),
    ("M", "MC", "mucinous_carcinoma", "14-18842"),
    ("M", "PC", "papillary_carcinoma", "14-15704"),
]
CLASSES = {"B": "benign", "M": "malignant"}


def path_of(slide: tuple[str, str, str, str], magnification: int, number: int) -> str:
    kind, short, long, name = slide
    folder = f"SOB_{kind}_{short}_{name}/{magnification}X"
    file = f"SOB_{kind}_{short}-{name}-{magnification}-{number:03}.png"
    return f"BreaKHis_v1/histology_slides/breast/{CLASSES[kind]}/SOB/{long}/{folder}/{file}"


IMAGES = [
    *((slide, 40, 1) for slide in SLIDES),
    *((slide, 400, 12) for slide in SLIDES[::2]),
    (SLIDES[0], 100, 1),
    (SLIDES[5], 200, 7),
]


def write(tree: Tree) -> None:
    rows = []
    for image in IMAGES:
        slide, magnification, _ = image
        look = "mel" if slide[0] == "M" else "nv"
        tree.image(f"BreaKHis_v1/{path_of(*image)}", size=(23, 35), look=look)
        test_fold = SLIDES.index(slide) // 2 % 5 + 1
        for fold in range(1, 6):
            part = "test" if fold == test_fold else "train"
            rows.append((fold, magnification, part, path_of(*image)))
    tree.table("Folds.csv", "fold,mag,grp,filename", sorted(rows))


def placed(*image: object) -> str:
    return f"BreaKHis_v1/{path_of(*image)}"  # type: ignore[arg-type]


EXAMPLES = {
    placed(SLIDES[0], 100, 1): {
        "label": "benign", "tumor_type": "adenosis", "magnification": 100,
    },
    placed(SLIDES[7], 40, 1): {
        "label": "malignant", "tumor_type": "mucinous_carcinoma", "magnification": 40,
    },
    placed(SLIDES[6], 400, 12): {"tumor_type": "lobular_carcinoma", "magnification": 400},
}  # fmt: skip
TOGETHER = [
    [placed(SLIDES[0], 40, 1), placed(SLIDES[1], 40, 1), placed(SLIDES[0], 400, 12)],
    [placed(SLIDES[5], 40, 1), placed(SLIDES[6], 40, 1)],
]
APART = [(placed(SLIDES[2], 40, 1), placed(SLIDES[3], 40, 1))]

EXPECTED = Expected(
    splits={"train": 13, "validation": 2, "test": 1},
    examples=EXAMPLES,
    together=TOGETHER,
    apart=APART,
    draft_images=[
        "**/histology_slides/breast/{label}/SOB/*/*/*/{name}.png",
        "BreaKHis_v1/{filename}", "**/{filename}", "*/{filename}",
    ],
    draft_group=[["patient"], ["slide"]],
)  # fmt: skip
