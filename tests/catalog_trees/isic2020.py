"""ISIC 2020 as Kaggle has it: the same images as JPEG and DICOM files, a test without labels."""

from catalog_trees import Expected, Tree

HEADER = (
    "image_name,patient_id,sex,age_approx,anatom_site_general_challenge,diagnosis,"
    "benign_malignant,target"
)
ROWS = [
    ("ISIC_2637011", "IP_7279968", "male", "45.0", "head/neck", "unknown", "benign", "0"),
    ("ISIC_0015719", "IP_3075186", "female", "45.0", "upper extremity", "unknown", "benign", "0"),
    ("ISIC_0052212", "IP_2842074", "female", "50.0", "lower extremity", "nevus", "benign", "0"),
    ("ISIC_0052213", "IP_2842074", "female", "50.0", "torso", "melanoma", "malignant", "1"),
    ("ISIC_0068279", "IP_6890425", "female", "0.0", "head/neck", "unknown", "benign", "0"),
    ("ISIC_0074268", "IP_8723313", "", "", "", "unknown", "benign", "0"),
    ("ISIC_0074311", "IP_2950485", "female", "40.0", "palms/soles", "lentigo NOS", "benign", "0"),
    ("ISIC_0074542", "IP_4698288", "male", "90.0", "oral/genital", "solar lentigo", "benign", "0"),
    ("ISIC_0075663", "IP_6017204", "female", "35.0", "torso", "melanoma", "malignant", "1"),
    ("ISIC_0075914", "IP_7622888", "male", "30.0", "torso", "seborrheic keratosis", "benign", "0"),
    ("ISIC_0076262", "IP_5075533", "female", "50.0", "torso", "lichenoid keratosis", "benign", "0"),
    ("ISIC_0076545", "IP_9802602", "male", "55.0", "torso", "melanoma", "malignant", "1"),
]


def write(tree: Tree) -> None:
    tree.table("train.csv", HEADER, ROWS)
    for image, *_, label, _ in ROWS:
        look = "mel" if label == "malignant" else "nv"
        tree.image(f"jpeg/train/{image}.jpg", look=look)
        tree.dicom(f"train/{image}.dcm")
    tree.table(
        "test.csv",
        "image_name,patient_id,sex,age_approx,anatom_site_general_challenge",
        [("ISIC_0052060", "IP_3579794", "male", "70.0", "")],
    )
    tree.image("jpeg/test/ISIC_0052060.jpg")
    tree.dicom("test/ISIC_0052060.dcm")
    tree.table("sample_submission.csv", "image_name,target", [("ISIC_0052060", "0")])


EXPECTED = Expected(
    splits={"train": 10, "validation": 1, "test": 1},
    examples={
        "jpeg/train/ISIC_0068279.jpg": {"age": 0.0, "label": "benign", "diagnosis": "unknown"},
        "jpeg/train/ISIC_0074268.jpg": {"age": None, "sex": "unknown", "site": "unknown"},
        "jpeg/train/ISIC_0076545.jpg": {"label": "malignant", "diagnosis": "melanoma"},
    },
    together=[["jpeg/train/ISIC_0052212.jpg", "jpeg/train/ISIC_0052213.jpg"]],
    draft_images=[
        "jpeg/train/{image_name}.jpg", "train/{image_name}.dcm", "jpeg/*/{image_name}.jpg",
        "jpeg/**/{image_name}.jpg", "**/{image_name}.jpg",
        "**/train/{image_name}.jpg",
    ],
    draft_group=[["patient_id"]],
)  # fmt: skip
