"""BRSET: a byte order mark, CRLF, `NA` beside blank cells, codes for sex, eye and quality."""

from catalog_trees import Expected, Tree

HEADER = (
    "image_id,patient_id,camera,patient_age,comorbidities,diabetes_time_y,insuline,patient_sex,"
    "exam_eye,diabetes,nationality,optic_disc,vessels,macula,DR_SDRG,DR_ICDR,focus,iluminaton,"
    "image_field,artifacts,diabetic_retinopathy,macular_edema,scar,nevus,amd,vascular_occlusion,"
    "hypertensive_retinopathy,drusens,hemorrhage,retinal_detachment,myopic_fundus,"
    "increased_cup_disc,other,quality"
)
FINDINGS = HEADER.split(",")[20:33]
CANON, NIKON = "Canon CR", "NIKON NF5050"
# number, patient, camera, age, comorbidities, years, insulin, sex, eye, diabetes, disc, SDRG, ICDR,
# findings, quality
ROWS = [
    (1, 1, CANON, 48, "diabetes1", 12, "yes", 1, 1, "yes", 1, 0, 0, [], "Adequate"),
    (2, 1, CANON, 48, "diabetes1", 12, "yes", 1, 2, "yes", 1, 0, 0, [], "Adequate"),
    (3, 2, CANON, 18, "diabetes1", 7, "yes", 2, 1, "yes", 1, 4, 4,
     ["diabetic_retinopathy", "macular_edema", "hemorrhage"], "Adequate"),
    (4, 2, CANON, 18, "diabetes1", "NA", "NA", 2, 2, "yes", 1, 1, 1, ["diabetic_retinopathy"],
     "Adequate"),
    (5, 3, CANON, 97, "", "", "", 1, 1, "no", 2, 0, 0, ["increased_cup_disc", "drusens"],
     "Adequate"),
    (6, 4, CANON, 55, '"hypertension, other"', "", "", 1, 2, "no", 1, 0, 0,
     ["hypertensive_retinopathy", "vascular_occlusion"], "Inadequate"),
    (7, 5, NIKON, "NA", "", "", "", 2, 1, "no", 1, 0, 0, ["amd", "scar"], "Adequate"),
    (8, 5, NIKON, "NA", "", "", "", 2, 2, "no", 1, 0, 0, ["nevus"], "Adequate"),
    (9, 6, NIKON, "NA", "diabetes", 5, "no", 2, 2, "yes", 1, 2, 2, ["diabetic_retinopathy"],
     "Inadequate"),
    (10, 7, NIKON, 5, "", "", "", 1, 1, "no", 1, 0, 0, ["myopic_fundus", "retinal_detachment"],
     "Adequate"),
    (8220, 8, NIKON, "NA", "diabetes", "NA", "NA", 2, 1, "yes", "bv", 3, 3,
     ["diabetic_retinopathy", "other"], "Adequate"),
]  # fmt: skip


def write(tree: Tree) -> None:
    rows = []
    for number, *patient, disc, sdrg, icdr, findings, quality in ROWS:
        bad = 1 + (quality == "Inadequate")
        marks = [int(name in findings) for name in FINDINGS]
        rows.append([
            f"img{number:05}", *patient, "Brazil", disc, 1, 1, sdrg, icdr, bad, 1, 1, bad, *marks,
            quality,
        ])  # fmt: skip
        tree.image(f"fundus_photos/img{number:05}.jpg")
    tree.table("labels.csv", HEADER, rows, end="\r\n", encoding="utf-8-sig")


EXPECTED = Expected(
    splits={"train": 8, "validation": 2, "test": 1},
    examples={
        "fundus_photos/img00003.jpg": {
            "findings": ["diabetic_retinopathy", "macular_edema", "hemorrhage"],
            "dr_icdr": "proliferative", "sex": "female", "eye": "right", "diabetes_time": 7.0,
        },
        "fundus_photos/img00001.jpg": {"findings": [], "age": 48.0, "insulin": "yes"},
        "fundus_photos/img00005.jpg": {"diabetes_time": None, "insulin": "not told", "sex": "male"},
        "fundus_photos/img00009.jpg": {"age": None, "quality": "inadequate", "focus": "inadequate"},
        "fundus_photos/img08220.jpg": {
            "optic_disc": "unknown", "insulin": "unknown", "diabetes_time": None,
        },
    },
    together=[["fundus_photos/img00001.jpg", "fundus_photos/img00002.jpg"]],
    apart=[("fundus_photos/img00007.jpg", "fundus_photos/img00009.jpg")],
    draft_images=["fundus_photos/{image_id}.jpg", "**/{image_id}.jpg"],
    draft_group=[["patient_id"]],
)  # fmt: skip
