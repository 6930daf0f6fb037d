"""Figure 1's images: latin-1, ages such as 50+, names that end with a letter, two extensions."""

from catalog_trees import Expected, Tree

HEADER = (
    "patientid,offset,sex,age,finding,survival,temperature,pO2 saturation,view,modality,"
    "artifacts/distortion,notes"
)


def row(patient, finding, *, offset="", sex="", age="", temperature="", saturation="", notes=""):
    view = "AP erect"
    seen = (temperature, saturation, view, "X-ray", "", notes)
    return (patient, offset, sex, age, finding, "", *seen)


ROWS = [
    row("COVID-00001", "COVID-19", offset="13", sex="M", age="33", saturation="58"),
    row("COVID-00002", "COVID-19", sex="M", age="50+", temperature="38+"),
    row("COVID-00003a", "COVID-19", sex="M", age="28", temperature="39.1", saturation="90"),
    row("COVID-00003b", "COVID-19", sex="M", age="28", notes="Febrile, 39.1°C"),
    row("COVID-00004", "COVID-19", offset="2", sex="M", age="42", saturation="91-92"),
    row("COVID-00005", "", age="67+", saturation="low 90s"),
    row("COVID-00006", "No finding", sex="F"),
    row("COVID-00007", "Pneumonia", sex="F"),
    row("COVID-00008", ""),
    row("COVID-00009", "COVID-19"),
    row("COVID-00010", "COVID-19"),
    row("COVID-00011", "No finding"),
]
PNG = ("COVID-00004", "COVID-00009")


def write(tree: Tree) -> None:
    tree.table("metadata.csv", HEADER, ROWS, encoding="latin-1")
    for number, (patient, *_) in enumerate(ROWS):
        extension = "png" if patient in PNG else "jpg"
        tree.image(f"images/{patient}.{extension}", mode="L" if number % 3 else "RGB")


EXPECTED = Expected(
    splits={"train": 10, "validation": 1, "test": 1},
    examples={
        "images/COVID-00001.jpg": {"label": "COVID-19", "offset": 13.0, "age": 33.0, "sex": "male"},
        "images/COVID-00002.jpg": {"age": 50.0, "temperature": "38+", "offset": None},
        "images/COVID-00004.png": {"po2_saturation": "91-92"},
        "images/COVID-00005.jpg": {"label": "unknown", "age": 67.0, "sex": "unknown"},
    },
    together=[["images/COVID-00003a.jpg", "images/COVID-00003b.jpg"]],
    apart=[("images/COVID-00001.jpg", "images/COVID-00002.jpg")],
    draft_images=["images/{patientid}.*", "**/{patientid}.*"],
    draft_group=[["patientid"], ["patient"]],
)
