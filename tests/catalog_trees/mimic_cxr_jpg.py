"""MIMIC-CXR-JPG: three packed tables of three keys; findings of studies, one of which has none."""

import hashlib

from catalog_trees import Expected, Tree

METADATA = (
    "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,"
    "StudyDate,StudyTime,ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,"
    "PatientOrientationCodeSequence_CodeMeaning"
)
FINDINGS = (
    "Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,Lung Lesion,"
    "Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices"
)
BOTH, SINGLE = "CHEST (PA AND LAT)", "CHEST (PORTABLE AP)"
# Patient, study, view, split.
IMAGES = [
    ("10000032", "50414267", "PA", "train"),
    ("10000032", "50414267", "LATERAL", "train"),
    ("10000032", "53189527", "AP", "train"),
    ("10000764", "57375967", "LL", "train"),
    ("10000898", "50771383", "", "train"),
    ("10000935", "50578979", "XTABLE LATERAL", "train"),
    ("11000935", "51178377", "AP", "train"),
    ("12000980", "54577367", "AP", "train"),
    ("15000032", "54205396", "AP", "validate"),
    ("15000032", "54205397", "LATERAL", "validate"),
    ("19999987", "55368167", "AP", "test"),
    ("19999987", "58621812", "PA", "test"),
    ("13000001", "58999999", "AP", "train"),  # the study without findings
]
MARKS = {
    "50414267": {"No Finding": "1.0"},
    "53189527": {"Edema": "-1.0", "Support Devices": "1.0"},
    "57375967": {"Consolidation": "1.0", "Pneumonia": "-1.0", "Fracture": "0.0"},
}


def image_id(number: int) -> str:
    digest = hashlib.sha1(str(number).encode()).hexdigest()
    return "-".join(digest[at : at + 8] for at in range(0, 40, 8))


def path(number: int) -> str:
    patient, study, *_ = IMAGES[number]
    return f"files/p{patient[:2]}/p{patient}/s{study}/{image_id(number)}.jpg"


def write(tree: Tree) -> None:
    metadata, split = [], []
    for number, (patient, study, view, part) in enumerate(IMAGES):
        name = BOTH if view in ("PA", "LATERAL") else SINGLE
        keys = (image_id(number), patient, study)
        size_and_time = ("3056", "2544", "21800506", "213014.531")
        metadata.append((*keys, name, view, *size_and_time, name, "antero-posterior", "Erect"))
        split.append((keys[0], study, patient, part))
        tree.image(path(number), mode="L")
    studies = dict.fromkeys((study, patient) for patient, study, *_ in IMAGES[:-1])
    findings = [
        (patient, study, *(MARKS.get(study, {}).get(name, "") for name in FINDINGS.split(",")))
        for study, patient in studies
    ]
    tree.table("mimic-cxr-2.0.0-metadata.csv.gz", METADATA, metadata)
    tree.table("mimic-cxr-2.0.0-split.csv.gz", "dicom_id,study_id,subject_id,split", split)
    for kind in ("chexpert", "negbio"):
        tree.table(f"mimic-cxr-2.0.0-{kind}.csv.gz", f"subject_id,study_id,{FINDINGS}", findings)


EXPECTED = Expected(
    splits={"train": 8, "validation": 2, "test": 2},
    examples={
        path(0): {"no_finding": "positive", "edema": "negative", "view": "PA", "procedure": BOTH},
        path(1): {"no_finding": "positive", "view": "LATERAL"},
        path(2): {"edema": "uncertain", "support_devices": "positive", "height": 3056},
        path(3): {"consolidation": "positive", "fracture": "negative", "view": "LL"},
        path(4): {"view": "unknown"},
    },
    rejects={"rejected": {"join_unmatched": 1}, "reported": {"image_unreferenced": 1}},
    together=[[path(0), path(1), path(2)]],
    apart=[(path(0), path(3))],
    draft_images=[
        "files/p{subject_id[:2]}/p{subject_id}/s{study_id}/{dicom_id}.jpg", "**/{dicom_id}.jpg",
        "files/**/{dicom_id}.jpg",
    ],
    draft_group=[["subject_id"]],
)  # fmt: skip
