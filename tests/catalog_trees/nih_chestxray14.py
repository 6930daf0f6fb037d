"""NIH ChestX-ray14 as its Box has it, with the header that says Sex and ends with a comma."""

from catalog_trees import Expected, Tree

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Sex,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
TEST = ["00000004_000", "00000005_000", "00000005_001"]


def row(name, findings, follow_up, age, sex, view="PA", spacing="0.14300000000000002"):
    patient = int(name[:8])
    numbers = ("2682", "2749", spacing, spacing, "")
    return (f"{name}.png", findings, follow_up, patient, age, sex, view, *numbers)


ROWS = [
    row("00000001_000", "Cardiomegaly", 0, "57", "M"),
    row("00000001_001", "Cardiomegaly|Emphysema|Effusion", 1, "58", "M", spacing="0.168"),
    row("00000002_000", "No Finding", 0, "80", "M"),
    row("00000003_001", "Hernia|Infiltration|Mass", 0, "0", "F", "AP"),
    row("00000003_002", "Hernia", 1, "075Y", "F", "AP"),
    row("00000004_000", "Nodule|Pleural_Thickening", 0, "013M", "F", "AP"),
    row("00000005_000", "No Finding", 0, "411Y", "F"),
    row("00000005_001", "Atelectasis", 1, "414", "F"),
    row("00000006_000", "Atelectasis|Consolidation|Edema", 0, "001D", "F", "AP"),
    row("00000007_000", "Fibrosis|Nodule|Pleural_Thickening", 0, "82", "M"),
    row("00000008_000", "Pneumonia|Pneumothorax", 0, "69", "F"),
    row("00000009_000", "Infiltration|Pneumonia", 0, "73", "M"),
]


def write(tree: Tree) -> None:
    tree.table("Data_Entry_2017_v2020.csv", HEADER, ROWS)
    train = [f"{row[0]}\n" for row in ROWS if row[0][:-4] not in TEST]
    tree.write("train_val_list.txt", "".join(train).encode())
    tree.write("test_list.txt", "".join(f"{name}.png\n" for name in TEST).encode())
    boxes = [("00000001_000.png", "Cardiomegaly", "225.08", "547.01", "86.7", "79.1", "", "", "")]
    tree.table("BBox_List_2017.csv", "Image Index,Finding Label,Bbox [x,y,w,h],,,", boxes)
    for number, (name, *_) in enumerate(ROWS):
        # A few have four channels; one of these is not opaque, and coloured.
        tree.image(f"images/{name}", mode="RGBA" if number == 2 else "L")


EXPECTED = Expected(
    splits={"train": 8, "validation": 1, "test": 3},
    examples={
        "images/00000001_001.png": {
            "findings": ["Cardiomegaly", "Effusion", "Emphysema"], "age": 58.0, "sex": "male",
            "follow_up": 1, "width": 2682, "height": 2749,
        },
        "images/00000002_000.png": {"findings": ["No Finding"]},
        "images/00000003_001.png": {"age": 0.0, "view": "AP"},
        "images/00000003_002.png": {"age": 75.0},
        "images/00000005_000.png": {"age": None},
        "images/00000005_001.png": {"age": None},
    },
    together=[["images/00000001_000.png", "images/00000001_001.png"]],
    apart=[("images/00000001_000.png", "images/00000002_000.png")],
    draft_images=["images/{Image Index}", "**/{Image Index}"],
    draft_group=[["Patient ID"]],
)  # fmt: skip
