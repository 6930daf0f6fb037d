"""LC25000: the classes stand in folders below those of the organs."""

from catalog_trees import Expected, Tree

CLASSES = {
    "colon_aca": "colonca", "colon_n": "colonn", "lung_aca": "lungaca", "lung_n": "lungn",
    "lung_scc": "lungscc",
}  # fmt: skip
TOP = "lung_colon_image_set"


def write(tree: Tree) -> None:
    for label, stem in CLASSES.items():
        organ = label.partition("_")[0]
        for k in (1, 2, 5000):
            path = f"{TOP}/{organ}_image_sets/{label}/{stem}{k}.jpeg"
            tree.image(path, size=(32, 32), look="nv" if label.endswith("_n") else "mel")


EXPECTED = Expected(
    splits={"train": 12, "validation": 2, "test": 1},
    examples={
        f"{TOP}/colon_image_sets/colon_aca/colonca1.jpeg": {
            "label": "colon_adenocarcinoma", "organ": "colon",
        },
        f"{TOP}/lung_image_sets/lung_scc/lungscc5000.jpeg": {
            "label": "lung_squamous", "organ": "lung",
        },
        f"{TOP}/lung_image_sets/lung_n/lungn2.jpeg": {"label": "lung_benign"},
    },
    draft_images=[
        f"{top}/{{label}}/{name}.jpeg"
        for top in (
            "**", f"{TOP}/*", f"{TOP}/{{organ}}", f"{TOP}/*_image_sets",
            f"{TOP}/{{organ}}_image_sets", f"{TOP}/{{folder}}", f"{TOP}/{{folder_2}}",
        )
        for name in ("{name}", "*")
    ],
)  # fmt: skip
