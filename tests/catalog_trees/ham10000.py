"""HAM10000 as Kaggle has it: each image twice, in folders whose names differ by case."""

from catalog_trees import Expected, Tree

HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization"
ROWS = [
    ("HAM_0000118", "ISIC_0027419", "bkl", "histo", "80", "male", "scalp"),
    ("HAM_0000118", "ISIC_0025030", "bkl", "histo", "80", "male", "scalp"),
    ("HAM_0002730", "ISIC_0026769", "nv", "follow_up", "0", "female", "back"),
    ("HAM_0001466", "ISIC_0031633", "mel", "histo", "75", "male", "ear"),
    ("HAM_0005132", "ISIC_0025837", "df", "consensus", "", "unknown", "unknown"),
    ("HAM_0001396", "ISIC_0025276", "vasc", "consensus", "55", "female", "trunk"),
    ("HAM_0004234", "ISIC_0029396", "bcc", "histo", "85", "female", "chest"),
    ("HAM_0001949", "ISIC_0025984", "akiec", "histo", "70", "male", "face"),
    ("HAM_0001949", "ISIC_0025985", "akiec", "histo", "70", "male", "hand"),
    ("HAM_0007207", "ISIC_0025661", "nv", "confocal", "50", "female", "lower extremity"),
    ("HAM_0007208", "ISIC_0025662", "nv", "follow_up", "45", "male", "genital"),
    ("HAM_0007209", "ISIC_0025663", "nv", "follow_up", "40", "male", "acral"),
]


def write(tree: Tree) -> None:
    tree.table("HAM10000_metadata.csv", HEADER, ROWS, end="\r\n")
    for number, (_, image_id, label, *_) in enumerate(ROWS):
        path = f"HAM10000_images_part_{1 + number % 2}/{image_id}.jpg"
        data = tree.encoded(path, look=label)
        tree.write(path, data)
        tree.write(path.lower().replace(image_id.lower(), image_id), data)


EXPECTED = Expected(
    splits={"train": 10, "validation": 1, "test": 1},
    examples={
        "HAM10000_images_part_1/ISIC_0026769.jpg": {"age": 0.0, "label": "nv", "site": "back"},
        "HAM10000_images_part_1/ISIC_0025837.jpg": {
            "age": None, "sex": "unknown", "source": "unknown",
        },
    },
    together=[
        ["HAM10000_images_part_1/ISIC_0027419.jpg", "HAM10000_images_part_2/ISIC_0025030.jpg"]
    ],
    draft_images=["HAM10000_images_part_*/{image_id}.jpg", "**/{image_id}.jpg"],
    draft_group=[["lesion_id"]],
)  # fmt: skip
