"""ISIC 2019 as Kaggle nests it: two tables, one-hot classes, blank lesions, names with suffixes."""

from catalog_trees import Expected, Tree

CLASSES = ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK"]
# image, class, age_approx, anatom_site_general, lesion_id, sex
ROWS = [
    ("ISIC_0000000", "NV", "55", "anterior torso", "", "female"),
    ("ISIC_0000001_downsampled", "NV", "30", "anterior torso", "", "female"),
    ("ISIC_0024329", "AK", "75", "lower extremity", "HAM_0002954", "female"),
    ("ISIC_0024372", "AK", "70", "lower extremity", "HAM_0005389", "male"),
    ("ISIC_0053453", "MEL", "0", "head/neck", "BCN_0000003", "male"),
    ("ISIC_0053454", "MEL", "0", "", "BCN_0000003", "male"),
    ("ISIC_0053456", "BCC", "70", "upper extremity", "BCN_0003442", "male"),
    ("ISIC_0053457", "BKL", "", "palms/soles", "BCN_0004730", ""),
    ("ISIC_0053458", "DF", "85", "posterior torso", "BCN_0000001", "female"),
    ("ISIC_0013549", "VASC", "15", "oral/genital", "MSK4_0011169", "female"),
    ("ISIC_0053460", "SCC", "85", "lateral torso", "BCN_0002083", "male"),
    ("ISIC_0053463", "NV", "35", "posterior torso", "BCN_0001888", "male"),
]
FOLDER = "ISIC_2019_Training_Input/ISIC_2019_Training_Input"


def write(tree: Tree) -> None:
    marks = [[row[0], *(f"{float(row[1] == name)}" for name in CLASSES)] for row in ROWS]
    tree.table("ISIC_2019_Training_GroundTruth.csv", ",".join(["image", *CLASSES]), marks)
    tree.table(
        "ISIC_2019_Training_Metadata.csv",
        "image,age_approx,anatom_site_general,lesion_id,sex",
        [(image, *cells) for image, _, *cells in ROWS],
    )
    for image, *_ in ROWS:
        tree.image(f"{FOLDER}/{image}.jpg")
    tree.write("ISIC_2019_Training_Input/ATTRIBUTION.txt", b"See the archive.\n")
    tree.table(
        "ISIC_2019_Test_Metadata.csv",
        "image,age_approx,anatom_site_general,sex",
        [("ISIC_0034321", "", "", "")],
        end="\r\n",
    )
    tree.image("ISIC_2019_Test_Input/ISIC_0034321.jpg")


EXPECTED = Expected(
    splits={"train": 10, "validation": 1, "test": 1},
    examples={
        f"{FOLDER}/ISIC_0053454.jpg": {
            "age": 0.0, "label": "MEL", "site": "unknown", "source": "BCN",
        },
        f"{FOLDER}/ISIC_0053457.jpg": {"age": None, "sex": "unknown", "label": "BKL"},
        f"{FOLDER}/ISIC_0013549.jpg": {"source": "MSK4", "site": "oral/genital"},
        f"{FOLDER}/ISIC_0000001_downsampled.jpg": {"source": "unknown", "label": "NV"},
    },
    together=[[f"{FOLDER}/ISIC_0053453.jpg", f"{FOLDER}/ISIC_0053454.jpg"]],
    apart=[(f"{FOLDER}/ISIC_0000000.jpg", f"{FOLDER}/ISIC_0000001_downsampled.jpg")],
    draft_images=[f"{FOLDER}/{{image}}.jpg", "ISIC_2019_Training_Input/**/{image}.jpg",
        "**/{image}.jpg"],
    draft_group=[["lesion_id"]],
)  # fmt: skip
