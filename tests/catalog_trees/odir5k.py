"""ODIR-5K as Kaggle has it: a row an eye, lists in cells, findings of both eyes together."""

from catalog_trees import Expected, Tree

HEADER = (
    "ID,Patient Age,Patient Sex,Left-Fundus,Right-Fundus,Left-Diagnostic Keywords,"
    "Right-Diagnostic Keywords,N,D,G,C,A,H,M,O,filepath,labels,target,filename"
)
CODES = "NDGCAHMO"
COMMA = "\uff0c"  # full-width
# patient, age, sex, keywords of both eyes, findings, {eye: class}
PATIENTS = [
    (0, 69, "Female", "cataract", "normal fundus", "C", {"right": "N", "left": "C"}),
    (1, 57, "Male", "normal fundus", "normal fundus", "N", {"right": "N", "left": "N"}),
    (2, 42, "Male", f"laser spot{COMMA}moderate non proliferative retinopathy",
     "moderate non proliferative retinopathy", "DO", {"right": "D", "left": "D"}),
    (4, 53, "Male", "macular epiretinal membrane", "mild nonproliferative retinopathy", "DO",
     {"right": "D"}),
    (5, 1, "Female", "moderate non proliferative retinopathy", "glaucoma", "DG", {"right": "G"}),
    (6, 60, "Male", "macular epiretinal membrane", "hypertensive retinopathy", "HO",
     {"right": "H", "left": "O"}),
    (7, 60, "Female", "drusen", "dry age-related macular degeneration", "AO",
     {"right": "A", "left": "O"}),
    (8, 59, "Male", "pathological myopia", "normal fundus", "M", {"right": "N", "left": "M"}),
    (9, 54, "Male", "normal fundus", "vitreous degeneration", "O", {"left": "N", "right": "O"}),
    (10, 70, "Male", "epiretinal membrane", "normal fundus", "O", {"right": "N"}),
    (11, 60, "Female", "moderate non proliferative retinopathy",
     f"moderate non proliferative retinopathy{COMMA}hypertensive retinopathy", "DH", {"left": "D"}),
]  # fmt: skip


def write(tree: Tree) -> None:
    rows = []
    for number, age, sex, left, right, findings, eyes in PATIENTS:
        marks = [int(code in findings) for code in CODES]
        for eye, label in eyes.items():
            file = f"{number}_{eye}.jpg"
            target = [int(code == label) for code in CODES]
            path = f"../input/ocular-disease-recognition-odir5k/ODIR-5K/Training Images/{file}"
            names = (f"{number}_left.jpg", f"{number}_right.jpg")
            rows.append([
                number, age, sex, *names, left, right, *marks, path, f"['{label}']", target, file,
            ])  # fmt: skip
            tree.image(f"preprocessed_images/{file}", size=(32, 32))
            tree.image(f"ODIR-5K/ODIR-5K/Training Images/{file}", size=(32, 48))
    tree.table("full_df.csv", HEADER, rows, end="\r\n")
    tree.image("ODIR-5K/ODIR-5K/Testing Images/937_left.jpg")


EXPECTED = Expected(
    splits={"train": 14, "validation": 2, "test": 2},
    examples={
        "preprocessed_images/0_right.jpg": {
            "label": "normal", "patient_findings": ["cataract"], "sex": "female", "eye": "right",
        },
        "preprocessed_images/2_left.jpg": {
            "label": "diabetes", "patient_findings": ["diabetes", "other"], "age": 42.0,
        },
        "preprocessed_images/5_right.jpg": {"age": None, "label": "glaucoma"},
    },
    together=[["preprocessed_images/0_right.jpg", "preprocessed_images/0_left.jpg"]],
    apart=[("preprocessed_images/0_left.jpg", "preprocessed_images/1_left.jpg")],
    draft_images=["preprocessed_images/{filename}", "ODIR-5K/ODIR-5K/Training Images/{filename}",
        "**/{filename}"],
    draft_group=[["ID"]],
)  # fmt: skip
