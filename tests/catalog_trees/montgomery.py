"""Montgomery: the last digit of a name is the label; each lung has a mask of its own."""

import io

import numpy as np
from PIL import Image

from catalog_trees import Expected, Tree

IMAGES = [(number, 0) for number in (1, 2, 3, 4, 5, 6, 11)]
IMAGES += [(number, 1) for number in (108, 113, 117, 126, 140)]
TOP = "MontgomerySet"


def write(tree: Tree) -> None:
    for k, (number, label) in enumerate(IMAGES):
        stem = f"MCUCXR_{number:04}_{label}"
        size = (30, 24) if k % 2 else (24, 30)
        tree.image(f"{TOP}/CXR_png/{stem}.png", mode="L", size=size, look="mel" if label else "nv")
        for side, begin in (("left", size[1] // 2 + 2), ("right", 3)):
            lung = np.zeros(size, np.uint8)
            lung[4:-4, begin : begin + 7] = 255
            file = io.BytesIO()
            image = Image.fromarray(lung)
            (image.convert("1") if k % 3 else image).save(file, "PNG")
            tree.write(f"{TOP}/ManualMask/{side}Mask/{stem}.png", file.getvalue())
        text = f"Patient's Sex: {'FM'[k % 2]}\r\nPatient's Age: 0{27 + k}Y\r\nnormal\r\n"
        tree.write(f"{TOP}/ClinicalReadings/{stem}.txt", text.encode())
    tree.write(f"{TOP}/CXR_png/Thumbs.db", b"\xd0\xcf\x11\xe0")


EXPECTED = Expected(
    splits={"train": 10, "validation": 1, "test": 1},
    examples={
        f"{TOP}/CXR_png/MCUCXR_0001_0.png": {"label": "normal", "sex": "female", "age": 27.0},
        f"{TOP}/CXR_png/MCUCXR_0108_1.png": {"label": "tuberculosis", "sex": "male", "age": 34.0},
    },
    apart=[(f"{TOP}/CXR_png/MCUCXR_0001_0.png", f"{TOP}/CXR_png/MCUCXR_0002_0.png")],
    draft_images=[
        f"{top}{name}.png"
        for top in (f"{TOP}/CXR_png/", "**/CXR_png/", "**/")
        for name in ("{name}", "*", "MCUCXR_{patient}_{label}", "{prefix}_{patient}_{label}",
                     "MCUCXR_{number}_{label}", "MCUCXR_{name}_{label}")
    ],
    draft_group=[[], ["patient"]],
)  # fmt: skip
