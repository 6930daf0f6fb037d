"""DDI: a column without a name, CRLF, some files with alpha."""

from catalog_trees import Expected, Tree

HEADER = ",DDI_ID,DDI_file,skin_tone,malignant,disease"
ROWS = [
    ("0", "1", "000001.png", "56", "True", "melanoma-in-situ"),
    ("1", "2", "000002.png", "56", "True", "melanoma-in-situ"),
    ("2", "3", "000003.png", "56", "True", "mycosis-fungoides"),
    ("3", "4", "000004.png", "56", "False", "squamous-cell-carcinoma-in-situ"),
    ("4", "5", "000005.png", "12", "True", "basal-cell-carcinoma"),
    ("5", "6", "000006.png", "12", "False", "seborrheic-keratosis-irritated"),
    ("6", "7", "000007.png", "12", "False", "melanocytic-nevi"),
    ("7", "8", "000008.png", "34", "FALSE", "foreign-body-granuloma"),
    ("8", "9", "000009.png", "34", "TRUE", "nodular-melanoma-(nm)"),
    ("9", "10", "000010.png", "34", "False", "blue-nevus"),
    ("10", "11", "000011.png", "56", "False", "verruca-vulgaris"),
]


def write(tree: Tree) -> None:
    tree.table("ddi_metadata.csv", HEADER, ROWS, end="\r\n")
    for number, (_, _, file, *_) in enumerate(ROWS):
        tree.image(file, mode="RGB" if number % 2 else "RGBA")


EXPECTED = Expected(
    splits={"train": 9, "validation": 1, "test": 1},
    examples={
        "000004.png": {"label": "benign", "skin_type": "56"},
        "000008.png": {"label": "benign", "disease": "foreign-body-granuloma"},
        "000009.png": {"label": "malignant", "skin_type": "34"},
    },
    apart=[("000001.png", "000002.png")],
    draft_images=["{DDI_file}", "**/{DDI_file}"],
)
