"""Shenzhen: the last digit of a name is the label; each image has a text file, freely written."""

from catalog_trees import Expected, Tree

READINGS = [
    "male 45yrs\nnormal\n", "female 63yrs\nnormal\n", "femal 24 yr\n\nnormal",
    "Male, 31yrs\nnormal",
    "male 52yrs\nbilateral PTB\n", "female 28yrs\nPTB in the right upper field\n",
]  # fmt: skip
IMAGES = [(number, 0) for number in range(1, 7)] + [(number, 1) for number in range(327, 333)]


def write(tree: Tree) -> None:
    for k, (number, label) in enumerate(IMAGES):
        stem = f"CHNCXR_{number:04}_{label}"
        mode = "RGB" if k % 3 == 0 else "L"
        path = f"ChinaSet_AllFiles/CXR_png/{stem}.png"
        tree.image(path, mode=mode, look="mel" if label else "nv")
        text = READINGS[k % 4 if not label else 4 + k % 2]
        tree.write(f"ChinaSet_AllFiles/ClinicalReadings/{stem}.txt", text.encode())


FOLDER = "ChinaSet_AllFiles/CXR_png"
EXPECTED = Expected(
    splits={"train": 10, "validation": 1, "test": 1},
    examples={
        f"{FOLDER}/CHNCXR_0001_0.png": {"label": "normal", "sex": "male", "age": 45.0},
        f"{FOLDER}/CHNCXR_0003_0.png": {"label": "normal", "sex": "female", "age": 24.0},
        f"{FOLDER}/CHNCXR_0004_0.png": {"label": "normal", "sex": "male", "age": 31.0},
        f"{FOLDER}/CHNCXR_0327_1.png": {"label": "tuberculosis", "sex": "male", "age": 52.0},
    },
    apart=[(f"{FOLDER}/CHNCXR_0001_0.png", f"{FOLDER}/CHNCXR_0002_0.png")],
    draft_images=[
        f"{top}{name}.png"
        for top in (f"{FOLDER}/", "**/CXR_png/", "**/")
        for name in ("{name}", "*", "CHNCXR_{patient}_{label}", "{prefix}_{patient}_{label}",
                     "CHNCXR_{number}_{label}", "CHNCXR_{name}_{label}")
    ],
    draft_group=[[], ["patient"]],
)  # fmt: skip
