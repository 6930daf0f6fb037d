"""BCCD: one row a box, in a table that is misnamed, with xmax before ymin; lists of stems."""

from catalog_trees import Expected, Tree

HEADER = "filename,cell_type,xmin,xmax,ymin,ymax"
NUMBERS = [0, 1, 2, 4, 7, 10, 11, 19, 20, 38, 99, 410]  # there are gaps
LISTS = {"train": NUMBERS[:7], "val": NUMBERS[7:10], "test": NUMBERS[10:]}


def write(tree: Tree) -> None:
    rows: list[tuple[object, ...]] = []
    for k, number in enumerate(NUMBERS):
        stem = f"BloodImage_{number:05}"
        tree.image(f"BCCD/JPEGImages/{stem}.jpg", size=(48, 64))
        tree.write(f"BCCD/Annotations/{stem}.xml", b"<annotation></annotation>\n")
        rows.append((f"{stem}.jpg", "WBC", 26, 49, 17, 37))
        rows.extend((f"{stem}.jpg", "RBC", 6 + k, 16 + k, 23 - j, 33 + k) for j in range(1 + k % 2))
        if k % 3 == 0:
            rows.append((f"{stem}.jpg", "Platelets", 1, 5, 40, 48))
    rows.insert(4, ("BloodImage_00001.jpg", "RBC", 30, 30, 12, 12))  # no width and no height
    tree.table("test.csv", HEADER, rows, end="\r\n")
    for name, numbers in LISTS.items():
        lines = "".join(f"BloodImage_{number:05}\n" for number in numbers)
        tree.write(f"BCCD/ImageSets/Main/{name}.txt", lines.encode())
    both = "".join(f"BloodImage_{n:05}\n" for n in LISTS["train"] + LISTS["val"])
    tree.write("BCCD/ImageSets/Main/trainval.txt", both.encode())


EXPECTED = Expected(
    splits={"train": 7, "validation": 3, "test": 2},
    examples={
        "BCCD/JPEGImages/BloodImage_00410.jpg": {"filename": "BloodImage_00410.jpg"},
        "BCCD/JPEGImages/BloodImage_00001.jpg": {
            "cells": [
                {"xmin": 7.0, "ymin": 22.0, "xmax": 17.0, "ymax": 34.0, "label": "RBC"},
                {"xmin": 7.0, "ymin": 23.0, "xmax": 17.0, "ymax": 34.0, "label": "RBC"},
                {"xmin": 26.0, "ymin": 17.0, "xmax": 49.0, "ymax": 37.0, "label": "WBC"},
            ],
        },
    },
    rejects={"excluded": {"box_degenerate": 1}},
    apart=[("BCCD/JPEGImages/BloodImage_00000.jpg", "BCCD/JPEGImages/BloodImage_00001.jpg")],
    draft_images=["BCCD/JPEGImages/{filename}", "**/{filename}"],
)
