"""VinDr-CXR as on PhysioNet: marks in 28 columns, of each reader in train, of all in test."""

from catalog_trees import Expected, Tree
from catalog_trees.vindr_cxr import IDS

LOCAL = (
    "Aortic enlargement,Atelectasis,Calcification,Cardiomegaly,Clavicle fracture,Consolidation,"
    "Edema,Emphysema,Enlarged PA,ILD,Infiltration,Lung Opacity,Lung cavity,Lung cyst,"
    "Mediastinal shift,Nodule/Mass,Pleural effusion,Pleural thickening,Pneumothorax,"
    "Pulmonary fibrosis,Rib fracture,Other lesion,COPD,Lung tumor,Pneumonia,Tuberculosis"
)
TRAIN_HEADER = f"image_id,rad_id,{LOCAL},Other diseases,No finding"
TEST_HEADER = f"image_id,{LOCAL},Other disease,No finding"
NAMES = [*LOCAL.split(","), "Other diseases", "No finding"]
TRAIN = [
    ({"R8": ["Edema", "COPD"], "R9": ["Edema"], "R10": ["Edema", "Tuberculosis"]}),
    *[dict.fromkeys(("R1", "R2", "R3"), NAMES[first : first + 4]) for first in range(0, 24, 4)],
    ({"R8": ["Pneumonia"], "R9": ["Pneumonia", "Other diseases"], "R11": ["Other diseases"]}),
    ({"R8": ["No finding"], "R9": ["No finding"], "R10": ["No finding"]}),
]
TEST = [["Other diseases", "Rib fracture"], ["No finding"], ["Lung tumor"]]


def marks(found):
    return [int(name in found) for name in NAMES]


def write(tree: Tree) -> None:
    train = [
        (image_id, reader, *marks(found))
        for image_id, readers in zip(IDS, TRAIN, strict=False)
        for reader, found in readers.items()
    ]
    test = [(image_id, *marks(found)) for image_id, found in zip(IDS[9:], TEST, strict=True)]
    tree.table("annotations/image_labels_train.csv", TRAIN_HEADER, train)
    tree.table("annotations/image_labels_test.csv", TEST_HEADER, test)
    boxes = [(IDS[0], "R8", "Edema", "2.5", "3.0", "20.1", "15.0")]
    header = "image_id,rad_id,class_name,x_min,y_min,x_max,y_max"
    tree.table("annotations/annotations_train.csv", header, boxes)
    for number, image_id in enumerate(IDS):
        kind = "MONOCHROME1" if number == 4 else "MONOCHROME2"
        folder = "train" if number < 9 else "test"
        tree.dicom(f"{folder}/{image_id}.dicom", bits=14, kind=kind)


EXPECTED = Expected(
    splits={"train": 8, "validation": 1, "test": 3},
    examples={
        f"train/{IDS[0]}.dicom": {
            "findings": ["Edema"], "votes": ["Edema", "Edema", "Edema", "COPD", "Tuberculosis"],
        },
        f"train/{IDS[7]}.dicom": {"findings": ["Pneumonia", "Other diseases"]},
        f"test/{IDS[9]}.dicom": {"findings": ["Rib fracture", "Other diseases"]},
        f"test/{IDS[10]}.dicom": {"findings": ["No finding"], "votes": ["No finding"]},
    },
    draft_images=["train/{image_id}.dicom", "**/{image_id}.dicom", "{split}/{image_id}.dicom",
                  "*/{image_id}.dicom", "**/{image_id}.*"],
    draft_group=[[], ["image_id"]],
)  # fmt: skip
