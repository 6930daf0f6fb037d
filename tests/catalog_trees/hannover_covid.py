"""Hannover's repository: blank columns, `inf` and `-inf`."""

from catalog_trees import Expected, Tree

HEADER = (
    "patient_id,image_id,sex,age,size,weight,admission_offset,icu_admission_offset,"
    "icu_release_offset,death_offset,modality,projection,crp_offset,crp_val,d-dimer_offset,"
    "d-dimer_val,factor_xii_offset,factor_xii_val,ldh_offset,ldh_val,lymphocytes_offset,"
    "lymphocytes_val,neutrophils_offset,neutrophils_val,pco2_offset,pco2_val,po2_offset,po2_val"
)


def row(patient, image, sex, projection, *, modality="CR", **cells):
    given = {name.replace("d_dimer", "d-dimer"): cell for name, cell in cells.items()}
    given |= {"patient_id": patient, "image_id": image, "sex": sex, "projection": projection}
    given = {"modality": modality, "admission_offset": "0"} | given
    assert set(given) <= set(HEADER.split(","))
    return tuple(given.get(column, "") for column in HEADER.split(","))


ROWS = [
    row("0a4e7871", "fff13f3a", "f", "pa", crp_offset="0.0", crp_val="3.0", d_dimer_val="0.3"),
    row("0a2f06a9", "b343e657", "m", "ap", icu_admission_offset="0.0", crp_val="5.0"),
    row("0a2f06a9", "c9280a30", "m", "ap", admission_offset="-2", death_offset="13.0"),
    row("6b53918c", "0b53918c", "m", "ap", d_dimer_offset="0.0", d_dimer_val="inf"),
    row("6b53918c", "1b53918c", "m", "ap", d_dimer_offset="-4.0", d_dimer_val="-inf"),
    row("6b53918c", "2b53918c", "m", "pa", modality="DX", po2_val="40.0"),
    row("48bbd9e5", "3b53918c", "f", "ap", modality="DX", ldh_val="990.0"),
    row("741f3334", "4b53918c", "w", "ap", factor_xii_val="145.0"),
    row("85901531", "5b53918c", "", "ap", lymphocytes_val="1.1", neutrophils_val="10.5"),
    row("189daebe", "00000000", "m", "pa", pco2_val="45.0"),
    row("43b865bf", "007e1234", "m", "ap"),
    row("271ddf1a", "1e100000", "m", "ap"),
]


def write(tree: Tree) -> None:
    tree.table("data.csv", HEADER, ROWS)
    tree.write("readme.md", b"COVID-19 Image Repository\n")
    for _, image, *_ in ROWS:
        tree.image(f"png/{image}.png", mode="L")


EXPECTED = Expected(
    splits={"train": 10, "validation": 1, "test": 1},
    examples={
        "png/fff13f3a.png": {
            "sex": "female",
            "projection": "pa",
            "crp_val": 3.0,
            "death_offset": None,
        },
        "png/c9280a30.png": {"admission_offset": -2.0, "death_offset": 13.0},
        "png/0b53918c.png": {"d_dimer_val": float("inf")},
        "png/1b53918c.png": {"d_dimer_val": float("-inf"), "d_dimer_offset": -4.0},
        "png/2b53918c.png": {"modality": "DX", "po2_val": 40.0},
        "png/4b53918c.png": {"sex": "female"},
        "png/5b53918c.png": {"sex": "unknown"},
        "png/1e100000.png": {"image_id": "1e100000"},
    },
    together=[["png/b343e657.png", "png/c9280a30.png"]],
    apart=[("png/fff13f3a.png", "png/b343e657.png")],
    draft_images=["png/{image_id}.png", "**/{image_id}.png"],
    draft_group=[["patient_id"]],
)
