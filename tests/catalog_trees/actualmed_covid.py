"""Actualmed's images: CRLF, names of files that are UIDs, blank clinical columns."""

from catalog_trees import Expected, Tree

HEADER = (
    "patientid,offset,sex,age,finding,survival,temperature,pO2 saturation,view,modality,imagename,"
    "artifacts/distortion,notes"
)
UID = "1.2.840.113564.1722810170.2020031309002342170"
IMAGES = [
    ("ANON196", "", "PA", f"CR.{UID}0.1003000225002.png"),
    ("ANON196", "COVID-19", "PA", f"CR.{UID}1.1003000225002.png"),
    ("ANON56", "No finding", "PA", f"CR.{UID}2.1003000225002.png"),
    ("ANON91", "No finding", "AP", f"CR.{UID}3.1003000225002.png"),
    ("ANON170", "COVID-19", "AP", f"CR.{UID}4.1003000225002.png"),
    ("ANON45", "COVID-19", "AP", f"CR.{UID}5.1003000225002.png"),
    ("ANON86", "No finding", "PA", f"DX.{UID}6.1203801020003.png"),
    ("ANON86", "", "PA", f"DX.{UID}7.1203801020003.png"),
    ("ANON162", "No finding", "PA", f"DX.{UID}8.1203801020003.png"),
    ("ANON8", "", "PA", f"CR.{UID}9.1003000225002.png"),
    ("ANON9", "No finding", "PA", f"DX.{UID}10.1203801020003.png"),
    ("ANON10", "No finding", "PA", f"{UID}11.png"),
]


def write(tree: Tree) -> None:
    notes = ", date taken (YYYYMMDD): 20200313"
    rows = [
        (patient, "", "", "", finding, "", "", "", view, "X-ray", name, "", notes)
        for patient, finding, view, name in IMAGES
    ]
    tree.table("metadata.csv", HEADER, rows, end="\r\n")
    for number, (*_, name) in enumerate(IMAGES):
        tree.image(f"images/{name}", mode="L" if number else "RGB")


EXPECTED = Expected(
    splits={"train": 10, "validation": 1, "test": 1},
    examples={
        f"images/{IMAGES[0][-1]}": {"label": "unknown", "device": "CR", "view": "PA"},
        f"images/{IMAGES[1][-1]}": {"label": "COVID-19"},
        f"images/{IMAGES[6][-1]}": {"label": "No finding", "device": "DX"},
        f"images/{IMAGES[11][-1]}": {"device": "unknown"},
    },
    together=[
        [f"images/{IMAGES[0][-1]}", f"images/{IMAGES[1][-1]}"],
        [f"images/{IMAGES[6][-1]}", f"images/{IMAGES[7][-1]}"],
    ],
    apart=[(f"images/{IMAGES[0][-1]}", f"images/{IMAGES[2][-1]}")],
    draft_images=["images/{imagename}", "**/{imagename}"],
    draft_group=[["patientid"]],
)
