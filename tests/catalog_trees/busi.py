"""BUSI: names with spaces and parentheses, and masks beside the images, of some several."""

import io

import numpy as np
from PIL import Image

from catalog_trees import Expected, Tree

TOP = "Dataset_BUSI_with_GT"
IMAGES = [
    *(("benign", k) for k in (1, 2, 4, 100, 437)),
    *(("malignant", k) for k in (1, 2, 3, 210)),
]
IMAGES += [("normal", k) for k in (1, 2, 133)]


def write(tree: Tree) -> None:
    size = (24, 32)
    for label, number in IMAGES:
        stem = f"{TOP}/{label}/{label} ({number})"
        tree.image(f"{stem}.png", size=size, look="mel" if label == "malignant" else "nv")
        num_lesions = 3 if (label, number) == ("benign", 4) else 1
        for k in range(num_lesions):
            mask = np.zeros(size, bool)
            if label != "normal":
                mask[4 : 14 + k, 3 + 5 * k : 11 + 5 * k] = True  # they overlap
            image = Image.fromarray(mask) if number == 2 else Image.fromarray(mask * np.uint8(255))
            file = io.BytesIO()
            image.save(file, "PNG")
            tree.write(f"{stem}_mask{f'_{k}' if k else ''}.png", file.getvalue())


EXPECTED = Expected(
    splits={"train": 10, "validation": 1, "test": 1},
    examples={
        f"{TOP}/benign/benign (4).png": {"label": "benign"},
        f"{TOP}/normal/normal (133).png": {"label": "normal"},
    },
    apart=[(f"{TOP}/benign/benign (1).png", f"{TOP}/malignant/malignant (1).png")],
    draft_images=[
        f"{top}/{{label}}/{name}.png"
        for top in (TOP, "**", "*")
        for name in ("{name}", "*", "{name} ({n})", "{name} ({number})")
    ],
)
