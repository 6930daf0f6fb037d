"""COVID-19 image data collection, late version: no name of the last column, paths of findings."""

from catalog_trees import Expected, Tree

HEADER = (
    "patientid,offset,sex,age,finding,RT_PCR_positive,survival,intubated,intubation_present,"
    "went_icu,in_icu,needed_supplemental_O2,extubated,temperature,pO2_saturation,leukocyte_count,"
    "neutrophil_count,lymphocyte_count,view,modality,date,location,folder,filename,doi,url,license,"
    "clinical_notes,other_notes,"
)
COVID = "Pneumonia/Viral/COVID-19"


def row(patient, name, finding, view="PA", **cells):
    given = {
        "patientid": patient, "filename": name, "finding": finding, "view": view,
        "modality": "X-ray", "folder": "images", "date": "January 22, 2020",
        "location": "Ho Chi Minh City, Vietnam", "clinical_notes": "Seen, with\nfever.",
    } | cells  # fmt: skip
    assert set(given) <= set(HEADER.split(","))
    return tuple(given.get(column, "") for column in HEADER.split(","))


ROWS = [
    row("2", "a-2020.jpeg", COVID, offset="0", sex="M", age="65", RT_PCR_positive="Y",
        survival="Y", temperature="38.6", pO2_saturation="97", lymphocyte_count="0.9",
        license="CC BY-NC-SA"),
    row("2", "b-2020.jpeg", COVID, "L", offset="3", sex="M", age="65", survival="?",
        intubated="Not visible", went_icu="Would have been stated"),
    row("3", "SARS-10.1148rg.242035193-g04mr34g0-Fig8a-day0.jpeg", "Pneumonia/Viral/SARS", "AP"),
    row("5", "ARDSSevere.png", "Pneumonia"),
    row("6", "c.PNG", "COVID-19, ARDS", "AP Supine"),
    row("7", "d_jumbo.JPG", "todo", "AP Erect"),
    row("311a", "e.jpg", "No Finding", RT_PCR_positive="Unclear"),
    row("311b", "f.jpg", "Unknown"),
    row("461", "g.jpeg", "Pneumonia/Bacterial/Staphylococcus/MRSA"),
    row("462", "h.jpeg", "Tuberculosis"),
    row("463", "i.jpeg", "Pneumonia/Viral/Herpes "),
    row("463", "CT.jpg", COVID, "Axial", modality="CT"),
    row("464", "volume.nii.gz", COVID, "Axial", modality="CT", folder="volumes"),
    row("465", "twice.jpg", COVID),
    row("466", "twice.jpg", COVID),
]  # fmt: skip


def write(tree: Tree) -> None:
    tree.table("metadata.csv", HEADER, ROWS)
    scores = "## Severity by three readers\n## 0 to 6\nfilename,geographic_mean\na-2020.jpeg,3.0\n"
    tree.write("annotations/covid-severity-scores.csv", scores.encode())
    tree.write("volumes/DOWNLOAD.md", b"Volumes lie elsewhere.\n")
    column = HEADER.split(",").index("filename")
    for name in sorted({row[column] for row in ROWS} - {"volume.nii.gz"}):
        mode = "RGBA" if name == "c.PNG" else "RGB" if name in ("e.jpg", "CT.jpg") else "L"
        tree.image(f"images/{name}", mode=mode)
    tree.image("images/without-row.jpg", mode="L")


EXPECTED = Expected(
    splits={"train": 10, "validation": 1, "test": 1},
    examples={
        "images/a-2020.jpeg": {
            "findings": ["COVID-19", "Pneumonia", "Viral"], "age": 65.0, "sex": "male",
            "survival": "Y", "rt_pcr": "Y", "license": "CC BY-NC-SA",
        },
        "images/b-2020.jpeg": {
            "survival": "unknown", "intubated": "unknown", "went_icu": "unknown", "view": "L",
        },
        "images/c.PNG": {"findings": ["ARDS", "COVID-19"], "age": None},
        "images/d_jumbo.JPG": {"findings": []},
        "images/e.jpg": {"findings": ["No Finding"], "rt_pcr": "unknown"},
        "images/f.jpg": {"findings": []},
        "images/i.jpeg": {"findings": ["Herpes", "Pneumonia", "Viral"]},
    },
    rejects={
        "rejected": {"conflict": 2},
        "excluded": {"not_wanted": 1},
        "reported": {"image_unreferenced": 1},
    },
    together=[["images/a-2020.jpeg", "images/b-2020.jpeg"]],
    apart=[("images/e.jpg", "images/f.jpg")],
    draft_images=["{folder}/{filename}", "images/{filename}", "**/{filename}"],
    draft_group=[["patientid"]],
)  # fmt: skip
