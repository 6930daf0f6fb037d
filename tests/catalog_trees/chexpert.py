"""CheXpert-v1.0-small, with the root in its outer folder."""

from catalog_trees import Expected, Tree

FINDINGS = (
    "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,"
    "Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,"
    "Support Devices"
)
HEADER = f"Path,Sex,Age,Frontal/Lateral,AP/PA,{FINDINGS}"


def row(path, sex, age, view, projection, **findings):
    names = {name.replace(" ", "_"): name for name in FINDINGS.split(",")}
    assert set(findings) <= set(names)
    cells = [findings.get(name, "") for name in names]
    return (f"CheXpert-v1.0-small/{path}", sex, age, view, projection, *cells)


FIVE = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural_Effusion")
NO, YES, UNSURE = (dict.fromkeys(FIVE, cell) for cell in ("0.0", "1.0", "-1.0"))
FIRST, SECOND = "train/patient00001/study1", "train/patient00002"
TRAIN = [
    row(f"{FIRST}/view1_frontal.jpg", "Female", 68, "Frontal", "AP", No_Finding="1.0",
        Support_Devices="1.0"),
    row(f"{SECOND}/study2/view1_frontal.jpg", "Female", 87, "Frontal", "AP", **UNSURE),
    row(f"{SECOND}/study1/view1_frontal.jpg", "Female", 83, "Frontal", "PA", **YES),
    row(f"{SECOND}/study1/view2_lateral.jpg", "Female", 83, "Lateral", "", **YES),
    row("train/patient00003/study1/view1_frontal.jpg", "Male", 90, "Frontal", "LL", **NO),
    row("train/patient00004/study1/view1_frontal.jpg", "Male", 0, "Frontal", "RL"),
    row("train/patient00005/study1/view1_frontal.jpg", "Unknown", 0, "Frontal", "PA", **UNSURE),
    row("train/patient00006/study1/view1_frontal.jpg", "Male", 41, "Frontal", "AP", **YES),
    row("train/patient00007/study1/view1_frontal.jpg", "Male", 20, "Frontal", "AP", **UNSURE),
    row("train/patient00008/study1/view1_frontal.jpg", "Female", 33, "Frontal", "AP",
        Fracture="-1.0"),
]  # fmt: skip
VALID = [
    row("valid/patient64541/study1/view1_frontal.jpg", "Male", 73, "Frontal", "AP",
        **dict.fromkeys((name.replace(" ", "_") for name in FINDINGS.split(",")), "0.0") | YES),
    row("valid/patient64542/study1/view1_frontal.jpg", "Male", 70, "Frontal", "PA", **NO),
    row("valid/patient64542/study1/view2_lateral.jpg", "Male", 70, "Lateral", "", **NO),
]  # fmt: skip


def write(tree: Tree) -> None:
    tree.table("train.csv", HEADER, TRAIN)
    tree.table("valid.csv", HEADER, VALID)
    for path, *_ in TRAIN + VALID:
        tree.image(path.removeprefix("CheXpert-v1.0-small/"), mode="L")


EXPECTED = Expected(
    splits={"train": 9, "test": 1, "validation": 3},
    examples={
        f"{FIRST}/view1_frontal.jpg": {
            "no_finding": "positive", "support_devices": "positive", "edema": "negative",
            "sex": "female", "age": 68.0, "direction": "Frontal", "view": "AP",
        },
        f"{SECOND}/study2/view1_frontal.jpg": {"edema": "uncertain", "fracture": "negative"},
        f"{SECOND}/study1/view2_lateral.jpg": {
            "edema": "positive", "direction": "Lateral", "view": "lateral",
        },
        "train/patient00005/study1/view1_frontal.jpg": {"sex": "unknown", "age": 0.0},
        "valid/patient64541/study1/view1_frontal.jpg": {"edema": "positive"},
    },
    together=[[
        f"{SECOND}/study2/view1_frontal.jpg", f"{SECOND}/study1/view1_frontal.jpg",
        f"{SECOND}/study1/view2_lateral.jpg",
    ]],
    apart=[("valid/patient64541/study1/view1_frontal.jpg",
            "valid/patient64542/study1/view1_frontal.jpg")],
    draft_images=["{file}", "**/{file}", "{image}", "{path}"],
    draft_group=[["patient"]],
)  # fmt: skip
