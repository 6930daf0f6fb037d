"""Fitzpatrick17k: a table of addresses, and the images that could be got, named in two ways."""

import hashlib

import medical_images as mi
from catalog_trees import Expected, Tree
from medical_images import catalog

HEADER = (
    "md5hash,fitzpatrick_scale,fitzpatrick_centaur,label,nine_partition_label,"
    "three_partition_label,qc,url,url_alphanum"
)
GROUPS = {
    "melanoma": ("malignant melanoma", "malignant"),
    "basal cell carcinoma": ("malignant epidermal", "malignant"),
    "mycosis fungoides": ("malignant cutaneous lymphoma", "malignant"),
    "kaposi sarcoma": ("malignant dermal", "malignant"),
    "nevocytic nevus": ("benign melanocyte", "benign"),
    "seborrheic keratosis": ("benign epidermal", "benign"),
    "dermatofibroma": ("benign dermal", "benign"),
    "neurofibromatosis": ("genodermatoses", "non-neoplastic"),
}
CHECKS = ["", "1 Diagnostic", "5 Potentially", "2 Characteristic", "3 Wrongly labelled", "4 Other"]
CLASSES = mi.load_spec(catalog.path_of("fitzpatrick17k")).spec.classes["label"]
LABELS = [*CLASSES, *CLASSES[4:6] * 15]  # of the rows; only two classes are balanced
LOST = 5  # the number of the row whose image could not be got
NAMED = 6  # of one that is named after its address
UNTOLD = 9  # and of one without an address


def name(number: int) -> str:
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()


def address(number: int) -> str:
    return f"http://atlasdermatologico.com.br/img/{LABELS[number].replace(' ', '-')}{number}.jpg"


def alphanumeric(number: int) -> str:
    kept = "".join(letter for letter in address(number)[:-4] if letter.isalnum() or letter == "-")
    return f"{kept}.jpg"


def place(number: int) -> str:
    file = alphanumeric(number) if number == NAMED else f"{name(number)}.jpg"
    return f"images/{file}"


def write(tree: Tree) -> None:
    rows = []
    for number, label in enumerate(LABELS):
        scale, centaur = number % 7 or -1, (number + 1) % 7 or -1
        urls = ["", ""] if number == UNTOLD else [address(number), alphanumeric(number)]
        groups = GROUPS.get(label, ("inflammatory", "non-neoplastic"))
        check = CHECKS[number] if number < len(CHECKS) else ""
        rows.append([name(number), scale, centaur, label, *groups, check, *urls])
        if number != LOST:
            tree.image(place(number), look="mel" if groups[1] == "malignant" else "nv")
    tree.table("fitzpatrick17k.csv", HEADER, rows)


EXPECTED = Expected(
    splits={"train": 122, "validation": 10, "test": 11},
    examples={
        place(4): {"label": CLASSES[4], "quality_check": "wrongly labelled", "skin_type": "4"},
        place(UNTOLD): {"label": CLASSES[UNTOLD], "quality_check": "not checked"},
        place(NAMED): {"skin_type": "6", "skin_type_centaur": "unknown"},
        place(7): {"skin_type": "unknown", "skin_type_centaur": "1"},
        place(LABELS.index("melanoma")): {
            "partition_of_nine": "malignant melanoma", "partition_of_three": "malignant",
        },
    },
    rejects={"reported": {"image_missing": 1}},
    draft_images=["images/{md5hash}.jpg", "**/{md5hash}.jpg"],
)  # fmt: skip
