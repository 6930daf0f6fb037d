"""PAD-UFES-20: names with extensions, alpha, unanswered questions, copies that disagree."""

from catalog_trees import Expected, Tree

HEADER = (
    "patient_id,lesion_id,smoke,drink,background_father,background_mother,age,pesticide,gender,"
    "skin_cancer_history,cancer_history,has_piped_water,has_sewage_system,fitspatrick,region,"
    "diameter_1,diameter_2,diagnostic,itch,grew,hurt,changed,bleed,elevation,img_id,biopsed"
)
NOTHING = [""] * 12
ROWS = [
    ["PAT_1516", "1765", *NOTHING[:4], "8", *NOTHING[:7], "ARM", "", "", "NEV",
     "False", "False", "False", "False", "False", "False", "PAT_1516_1765_530.png", "False"],
    ["PAT_46", "881", "False", "False", "POMERANIA", "POMERANIA", "55", "False", "FEMALE", "True",
     "True", "True", "True", "3.0", "NECK", "6.0", "5.0", "BCC",
     "True", "True", "False", "True", "True", "True", "PAT_46_881_939.png", "True"],
    ["PAT_46", "882", "False", "False", "POMERANIA", "POMERANIA", "55", "False", "FEMALE", "True",
     "True", "True", "True", "3.0", "FACE", "9.0", "7.5", "ACK",
     "True", "UNK", "False", "UNK", "False", "False", "PAT_46_882_102.png", "False"],
    ["PAT_47", "881", "True", "True", "BRASIL", "UNK", "79", "True", "MALE", "False",
     "False", "False", "False", "1.0", "LIP", "5.0", "5.0", "SCC",
     "True", "True", "UNK", "True", "True", "UNK", "PAT_47_881_617.png", "True"],
    ["PAT_1545", "1867", *NOTHING[:4], "77", *NOTHING[:7], "FACE", "", "", "ACK",
     "True", "False", "False", "False", "False", "False", "PAT_1545_1867_547.png", "False"],
    ["PAT_1989", "4061", *NOTHING[:4], "75", *NOTHING[:7], "BACK", "", "", "ACK",
     "True", "False", "False", "False", "False", "False", "PAT_1989_4061_934.png", "False"],
    ["PAT_684", "1302", "False", "True", "GERMANY", "ITALY", "52", "False", "MALE", "True",
     "True", "True", "True", "2.0", "SCALP", "10.0", "8.0", "MEL",
     "False", "True", "False", "True", "False", "True", "PAT_684_1302_588.png", "True"],
    ["PAT_685", "1303", "False", "True", "BRAZIL", "NORWAY", "94", "False", "MALE", "True",
     "True", "True", "True", "6.0", "THIGH", "11.0", "8.0", "SEK",
     "False", "True", "False", "True", "False", "True", "PAT_685_1303_12.png", "True"],
    ["PAT_1549", "1882", *NOTHING[:4], "70", *NOTHING[:7], "ARM", "", "", "SEK",
     "False", "False", "False", "False", "False", "True", "PAT_1549_1882_230.png", "False"],
    ["PAT_778", "1471", "False", "True", "GERMANY", "BRAZIL", "6", "False", "FEMALE", "True",
     "True", "True", "True", "1.0", "FACE", "9.0", "9.0", "SCC",
     "True", "True", "True", "False", "True", "True", "PAT_778_1471_835.png", "True"],
    ["PAT_117", "179", "False", "False", "POMERANIA", "POMERANIA", "74", "True", "FEMALE", "False",
     "False", "False", "False", "1.0", "FACE", "15.0", "10.0", "BCC",
     "True", "True", "False", "False", "True", "True", "PAT_117_179_983.png", "True"],
    ["PAT_1723", "3217", *NOTHING[:4], "61", *NOTHING[:7], "HAND", "", "", "ACK",
     "True", "False", "False", "False", "False", "False", "PAT_1723_3217_646.png", "False"],
    ["PAT_107", "160", "False", "False", "AUSTRIA", "FRANCE", "53", "True", "MALE", "False",
     "False", "True", "False", "2.0", "NOSE", "4.0", "4.0", "BCC",
     "True", "False", "False", "False", "True", "True", "PAT_107_160_609.png", "True"],
    ["PAT_1708", "3156", *NOTHING[:4], "33", *NOTHING[:7], "CHEST", "", "", "NEV",
     "False", "False", "False", "False", "False", "True", "PAT_1708_3156_175.png", "False"],
]  # fmt: skip
CONFLICT = ("PAT_1545_1867_547.png", "PAT_778_1471_835.png")  # ACK and SCC
COPIES = ("PAT_1989_4061_934.png", "PAT_1723_3217_646.png")  # both ACK


def place(image: str) -> str:
    number = next(k for k, row in enumerate(ROWS) if row[24] == image)
    return f"images/imgs_part_{number % 3 + 1}/{image}"


def write(tree: Tree) -> None:
    tree.table("metadata.csv", HEADER, ROWS)
    for number, row in enumerate(ROWS):
        tree.image(place(row[24]), mode="RGB" if number % 3 else "RGBA")
    for first, second in (CONFLICT, COPIES):
        tree.write(place(second), (tree.root / place(first)).read_bytes())


EXPECTED = Expected(
    splits={"train": 10, "validation": 1, "test": 1},
    examples={
        place("PAT_1516_1765_530.png"): {
            "label": "NEV", "smoke": "unknown", "sex": "unknown", "skin_type": "unknown",
            "diameter_1": None, "itch": "no", "biopsied": "no", "age": 8.0,
        },
        place("PAT_46_882_102.png"): {"grew": "unknown", "skin_type": "3", "drink": "no"},
        place("PAT_47_881_617.png"): {
            "background_father": "BRAZIL", "background_mother": "unknown", "biopsied": "yes",
        },
    },
    rejects={"rejected": {"copy_conflict": 2}, "noted": {"image_copy": 1}},
    together=[
        [place("PAT_46_881_939.png"), place("PAT_46_882_102.png")],
    ],
    apart=[(place("PAT_46_881_939.png"), place("PAT_47_881_617.png"))],
    draft_images=["images/imgs_part_*/{img_id}", "images/**/{img_id}", "**/{img_id}",
        "**/imgs_part_*/{img_id}", "images/*/{img_id}"],
    draft_group=[["patient_id"]],
)  # fmt: skip
