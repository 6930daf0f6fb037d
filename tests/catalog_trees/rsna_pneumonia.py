"""RSNA Pneumonia Detection Challenge, stage 2: one row a box, and the classes as often."""

import uuid
import warnings

from catalog_trees import Expected, Tree

NORMAL, OTHER, OPAQUE = "Normal", "No Lung Opacity / Not Normal", "Lung Opacity"
IDS = [str(uuid.uuid5(uuid.NAMESPACE_OID, str(number))) for number in range(12)]
# Class, boxes, and fields of the DICOM header.
IMAGES = [
    (OTHER, [], {"PatientSex": "F", "PatientAge": "51", "ViewPosition": "PA"}),
    (OPAQUE, [("2.0", "3.0", "10.0", "12.0"), ("16.0", "4.5", "10.0", "14.0")],
     {"PatientSex": "M", "PatientAge": "48", "ViewPosition": "AP"}),
    (OPAQUE, [("1.0", "2.0", "8.0", "9.0")],
     {"PatientSex": "M", "PatientAge": "155", "ViewPosition": "AP"}),
    (NORMAL, [], {"PatientSex": "F", "PatientAge": "1", "ViewPosition": "PA"}),
    (OPAQUE, [("3.0", "3.0", "5.0", "5.0"), ("12.0", "3.0", "5.0", "5.0"),
              ("20.0", "3.0", "5.0", "5.0"), ("3.0", "12.0", "5.0", "5.0")],
     {"PatientSex": "F", "PatientAge": "19", "ViewPosition": "AP"}),
    *[(kind, [], {"PatientSex": "M", "PatientAge": "60", "ViewPosition": "PA"})
      for kind in (NORMAL, NORMAL, OTHER, OTHER)],
    *[(OPAQUE, [("4.0", "4.0", "6.0", "7.0")],
       {"PatientSex": "F", "PatientAge": "33", "ViewPosition": "AP"}) for _ in range(2)],
    (NORMAL, [], {"PatientSex": None, "PatientAge": None, "ViewPosition": None}),
]  # fmt: skip


def write(tree: Tree) -> None:
    labels, classes = [], []
    for image_id, (kind, boxes, fields) in zip(IDS, IMAGES, strict=True):
        labels += [(image_id, *box, "1") for box in boxes] or [(image_id, *[""] * 4, "0")]
        classes += [(image_id, kind)] * max(1, len(boxes))
        path = f"stage_2_train_images/{image_id}.dcm"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ages are plain numbers, which DICOM does not allow
            tree.dicom(path, PatientID=image_id, WindowCenter=None, WindowWidth=None, **fields)
    tree.table("stage_2_train_labels.csv", "patientId,x,y,width,height,Target", labels)
    tree.table("stage_2_detailed_class_info.csv", "patientId,class", classes)
    submission = [("0000a175-0e68-4ca4-b1af-167204a7e0bc", "0.5 0 0 100 100")]
    tree.table("stage_2_sample_submission.csv", "patientId,PredictionString", submission)
    tree.dicom(f"stage_2_test_images/{submission[0][0]}.dcm")


def path(number: int) -> str:
    return f"stage_2_train_images/{IDS[number]}.dcm"


EXPECTED = Expected(
    splits={"train": 10, "validation": 1, "test": 1},
    examples={
        path(0): {"label": OTHER, "age": 51.0, "sex": "female", "view": "PA", "boxes": []},
        path(1): {
            "label": OPAQUE,
            "boxes": [
                {"xmin": 2.0, "ymin": 3.0, "xmax": 12.0, "ymax": 15.0, "label": ""},
                {"xmin": 16.0, "ymin": 4.5, "xmax": 26.0, "ymax": 18.5, "label": ""},
            ],
        },
        path(2): {"age": None},
        path(11): {"label": NORMAL, "age": None, "sex": "unknown", "view": "unknown"},
    },
    rejects={"noted": {"duplicate_row": 4}},  # classes that are told once more for each box
    draft_images=["stage_2_train_images/{patientId}.dcm", "**/{patientId}.dcm",
                  "stage_2_train_images/{patientId}.*"],
    draft_group=[[], ["patientId"]],
)  # fmt: skip
