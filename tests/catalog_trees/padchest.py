"""PadChest: an index without a name, lists of Python in cells, 16 bits, numbered folders."""

from catalog_trees import Expected, Tree

COLUMNS = (
    "ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,"
    "ViewPosition_DICOM,Projection,MethodProjection,Pediatric,Modality_DICOM,Manufacturer_DICOM,"
    "PhotometricInterpretation_DICOM,PixelRepresentation_DICOM,PixelAspectRatio_DICOM,"
    "SpatialResolution_DICOM,BitsStored_DICOM,WindowCenter_DICOM,WindowWidth_DICOM,Rows_DICOM,"
    "Columns_DICOM,XRayTubeCurrent_DICOM,Exposure_DICOM,ExposureInuAs_DICOM,ExposureTime,"
    "RelativeXRayExposure_DICOM,ReportID,Report,MethodLabel,Labels,Localizations,"
    "LabelsLocalizationsBySentence,labelCUIS,LocalizationsCUIS"
)
COMMON = {
    "StudyDate_DICOM": "20150622", "MethodProjection": "Manual review of DICOM fields",
    "Pediatric": "No", "Modality_DICOM": "CR", "Manufacturer_DICOM": "PhilipsMedicalSystems",
    "PhotometricInterpretation_DICOM": "MONOCHROME2", "PixelRepresentation_DICOM": "0",
    "PixelAspectRatio_DICOM": "['1', '1']", "SpatialResolution_DICOM": "0.200",
    "BitsStored_DICOM": "12", "WindowCenter_DICOM": "2047.0", "WindowWidth_DICOM": "4095.0",
    "Rows_DICOM": "1760", "Columns_DICOM": "2140", "Report": "sin hallazg signific .",
    "Localizations": "['loc right', 'loc basal']",
}  # fmt: skip
NORMAL, SPACED = "['normal']", "['infiltrates', ' pneumonia', '']"
# Folder, patient, birth, sex, projection, findings, by whom.
IMAGES = [
    (0, "7", "1993.0", "F", "AP_horizontal", "['interstitial pattern', 'unchanged']", "Physician"),
    (0, "7", "1993.0", "F", "L", "['interstitial pattern', 'unchanged']", "Physician"),
    (0, "8", "1958.0", "M", "PA", SPACED, "RNN_model"),
    (1, "9", "", "None", "PA", "", "RNN_model"),
    (1, "10", "1948.0", "O", "COSTAL", "['exclude']", "Physician"),
    (1, "11", "1911.0", "M", "PA", "['suboptimal study']", "RNN_model"),
    (50, "12", "2016.0", "M", "AP", "['NSG tube', 'Chilaiditi sign', 'COPD signs']", "RNN_model"),
    (50, "13", "1980.0", "F", "PA", NORMAL, "RNN_model"),
    (54, "14", "1981.0", "F", "PA", NORMAL, "RNN_model"),
    (54, "15", "1982.0", "M", "PA", NORMAL, "Physician"),
    (54, "16", "1983.0", "M", "L", "['pleural effusion', 'cardiomegaly']", "RNN_model"),
    (54, "17", "1984.0", "F", "EXCLUDE", NORMAL, "RNN_model"),
]
FILES = [
    f"{folder}/2168401113669640{number:02}_{patient}0abc.png"
    for number, (folder, patient, *_) in enumerate(IMAGES)
]


def write(tree: Tree) -> None:
    rows = []
    for number, (_, patient, birth, sex, projection, findings, by) in enumerate(IMAGES):
        folder, name = FILES[number].split("/")
        cells = COMMON | {
            "ImageID": name, "ImageDir": folder, "StudyID": f"21684011136696{patient}",
            "PatientID": f"3258801631404295{patient}", "PatientBirth": birth,
            "PatientSex_DICOM": sex, "Projection": projection, "ReportID": f"47{number}",
            "Labels": findings, "MethodLabel": by,
        }  # fmt: skip
        if number == 5:
            cells["PhotometricInterpretation_DICOM"] = "MONOCHROME1"
        rows.append((number, *(cells.get(column, "") for column in COLUMNS.split(","))))
        tree.image(FILES[number], mode="I;16")
    table = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz"
    tree.table(table, f",{COLUMNS}", rows)


EXPECTED = Expected(
    splits={"train": 10, "validation": 1, "test": 1},
    examples={
        FILES[0]: {
            "findings": ["interstitial pattern", "unchanged"], "birth_year": 1993.0,
            "study_year": 2015.0, "view": "AP_horizontal", "sex": "female",
        },
        FILES[2]: {"findings": ["infiltrates", "pneumonia"], "method": "RNN_model"},
        FILES[3]: {"findings": [], "birth_year": None, "sex": "unknown"},
        FILES[4]: {"findings": ["exclude"], "sex": "other", "view": "COSTAL"},
        FILES[5]: {"photometric": "MONOCHROME1"},
        FILES[6]: {"findings": ["COPD signs", "Chilaiditi sign", "NSG tube"]},
    },
    together=[FILES[:2]],
    apart=[(FILES[0], FILES[2])],
    draft_images=["{ImageDir}/{ImageID}", "**/{ImageID}", "*/{ImageID}"],
    draft_group=[["PatientID"]],
)  # fmt: skip
