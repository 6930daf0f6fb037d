"""SIIM-ACR Pneumothorax: a space in the header, several rows of runs, `-1`, nested DICOM files."""

from catalog_trees import Expected, Tree

NO, YES = "no pneumothorax", "pneumothorax"
PREFIX = "1.2.276.0.7230010.3.1"
# Runs of each image, counted from the end of the run before; the image is 24 high.
RUNS = [["-1"], ["0 5 19 5"], ["48 3", "100 2 22 2"], *[["-1"]] * 6, *[["30 4"]] * 3]


def image_id(number: int) -> str:
    return f"{PREFIX}.4.8323329.{300 + number}.1517875162.{number:06}"


def path(number: int) -> str:
    study, series = f"{PREFIX}.2.8323329.{300 + number}", f"{PREFIX}.3.8323329.{300 + number}"
    return f"dicom-images-train/{study}/{series}/{image_id(number)}.dcm"


def write(tree: Tree) -> None:
    rows = [(image_id(k), f" {runs}") for k, several in enumerate(RUNS) for runs in several]
    tree.table("train-rle.csv", "ImageId, EncodedPixels", rows)
    for number in range(len(RUNS)):
        tree.dicom(path(number), WindowCenter=None, WindowWidth=None)
    # Some files have no row.
    tree.dicom(f"dicom-images-train/{PREFIX}.2.1/{PREFIX}.3.1/{PREFIX}.4.1.dcm")


EXPECTED = Expected(
    splits={"train": 10, "validation": 1, "test": 1},
    examples={
        path(0): {"label": NO, "image_id": image_id(0)},
        path(1): {"label": YES},
        path(2): {"label": YES},
    },
    rejects={"reported": {"image_unreferenced": 1}},
    draft_images=["dicom-images-train/*/*/{ImageId}.dcm", "**/{ImageId}.dcm",
                  "dicom-images-train/**/{ImageId}.dcm", "**/{ImageId}.*"],
    draft_group=[[], ["ImageId"]],
)  # fmt: skip
