"""Brain tumour MRI: folders of splits and classes, grey and RGB JPEG, of which some stand twice."""

from catalog_trees import Expected, Tree

LABELS = {"glioma": "gl", "meningioma": "me", "notumor": "no", "pituitary": "pi"}


def write(tree: Tree) -> None:
    for number, (label, short) in enumerate(LABELS.items()):
        for k in range(2 + number % 2):
            path = f"Training/{label}/Tr-{short}_{10 + k:04}.jpg"
            tree.image(path, mode="L" if k else "RGB", look="nv" if label == "notumor" else "mel")
        tree.image(f"Testing/{label}/Te-{short}_0010.jpg", mode="L")
    tree.image("Testing/glioma/Te-glTr_0007.jpg", mode="L")
    copied = tree.root / "Training/notumor/Tr-no_0011.jpg"
    tree.write("Testing/notumor/Te-no_0011.jpg", copied.read_bytes())
    under_two_labels = tree.encoded("x.jpg", mode="L")
    tree.write("Training/glioma/Tr-gl_0099.jpg", under_two_labels)
    tree.write("Training/meningioma/Tr-me_0099.jpg", under_two_labels)


EXPECTED = Expected(
    splits={"train": 10, "test": 6},
    examples={
        "Training/glioma/Tr-gl_0010.jpg": {"label": "glioma"},
        "Testing/glioma/Te-glTr_0007.jpg": {"label": "glioma"},
        "Testing/notumor/Te-no_0010.jpg": {"label": "notumor"},
    },
    rejects={
        "noted": {"group_in_two_splits": 2, "image_copy": 1},
        "rejected": {"copy_conflict": 2},
    },
    apart=[("Training/glioma/Tr-gl_0010.jpg", "Training/glioma/Tr-gl_0011.jpg")],
    draft_images=[
        "{split}/{label}/{name}.jpg",
        "{split}/{label}/*.jpg",
        "{official_split}/{label}/*.jpg",
    ],
)
