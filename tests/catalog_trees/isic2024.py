"""ISIC 2024 as Kaggle has it: JPEG files in HDF5, once more as single files, and 55 columns."""

import io

import h5py
import numpy as np

from catalog_trees import Expected, Tree

MEASURES = [
    "tbp_lv_A", "tbp_lv_Aext", "tbp_lv_B", "tbp_lv_Bext", "tbp_lv_C", "tbp_lv_Cext", "tbp_lv_H",
    "tbp_lv_Hext", "tbp_lv_L", "tbp_lv_Lext", "tbp_lv_areaMM2", "tbp_lv_area_perim_ratio",
    "tbp_lv_color_std_mean", "tbp_lv_deltaA", "tbp_lv_deltaB", "tbp_lv_deltaL", "tbp_lv_deltaLB",
    "tbp_lv_deltaLBnorm", "tbp_lv_eccentricity", "tbp_lv_location", "tbp_lv_location_simple",
    "tbp_lv_minorAxisMM", "tbp_lv_nevi_confidence", "tbp_lv_norm_border", "tbp_lv_norm_color",
    "tbp_lv_perimeterMM", "tbp_lv_radial_color_std_max", "tbp_lv_stdL", "tbp_lv_stdLExt",
    "tbp_lv_symm_2axis", "tbp_lv_symm_2axis_angle", "tbp_lv_x", "tbp_lv_y", "tbp_lv_z",
]  # fmt: skip
SHARED = [
    "patient_id", "age_approx", "sex", "anatom_site_general", "clin_size_long_diam_mm",
    "image_type", "tbp_tile_type", *MEASURES, "attribution", "copyright_license",
]  # fmt: skip
DIAGNOSIS = [
    "lesion_id", "iddx_full", "iddx_1", "iddx_2", "iddx_3", "iddx_4", "iddx_5", "mel_mitotic_index",
    "mel_thick_mm", "tbp_lv_dnn_lesion_confidence",
]  # fmt: skip
# isic_id, target, patient, age, sex, site, tile, location, simple location, licence
ROWS = [
    ("ISIC_0015670", "0", "IP_1235828", "60.0", "male", "lower extremity", "3D: white",
     "Right Leg - Upper", "Right Leg", "CC-BY"),
    ("ISIC_0015845", "0", "IP_8170065", "60.0", "male", "head/neck", "3D: XP", "Head & Neck",
     "Head & Neck", "CC-BY-NC"),
    ("ISIC_0015864", "0", "IP_6724798", "60.0", "male", "posterior torso", "3D: XP",
     "Torso Back Top Third", "Torso Back", "CC-BY-NC"),
    ("ISIC_0015902", "0", "IP_4111386", "65.0", "male", "anterior torso", "3D: XP",
     "Torso Front Top Half", "Torso Front", "CC-0"),
    ("ISIC_0024200", "0", "IP_8313778", "55.0", "female", "upper extremity", "3D: white",
     "Right Arm - Upper", "Right Arm", "CC-BY"),
    ("ISIC_0035502", "0", "IP_3026693", "", "", "", "3D: XP", "Unknown", "Unknown", "CC-BY"),
    ("ISIC_0035547", "0", "IP_8170065", "60.0", "male", "lower extremity", "3D: XP",
     "Left Leg - Lower", "Left Leg", "CC-BY-NC"),
    ("ISIC_0082829", "1", "IP_3249371", "80.0", "female", "head/neck", "3D: white", "Head & Neck",
     "Head & Neck", "CC-BY-NC"),
    ("ISIC_0096034", "1", "IP_6723298", "75.0", "male", "posterior torso", "3D: XP",
     "Torso Back Middle Third", "Torso Back", "CC-BY"),
    ("ISIC_0104229", "1", "IP_9057861", "80.0", "male", "upper extremity", "3D: white",
     "Left Arm - Lower", "Left Arm", "CC-0"),
    ("ISIC_0119495", "1", "IP_6856511", "60.0", "NA", "anterior torso", "3D: white", "Torso Front",
     "Torso Front", "CC-BY"),
]  # fmt: skip


def cells(number: int, row: tuple[str, ...]) -> list[str]:
    """The shared columns of a row, with made-up measures."""
    _, _, patient, age, sex, site, tile, location, simple, licence = row
    made = {name: f"{number + k / 7:.7g}" for k, name in enumerate(MEASURES)}
    made |= {"tbp_lv_location": location, "tbp_lv_location_simple": simple}
    made |= {"tbp_lv_symm_2axis_angle": str(5 * number), "tbp_lv_nevi_confidence": "8.052259e-13"}
    kind = "TBP tile: close-up"
    size = f"{3.04 + number:.2f}"
    return [patient, age, sex, site, size, kind, tile, *made.values(), "FNQH Cairns", licence]


def write(tree: Tree) -> None:
    rows = []
    with h5py.File(packed := io.BytesIO(), "w") as file:
        for number, row in enumerate(ROWS):
            image_id, target = row[:2]
            is_malignant = target == "1"
            told = ["IL_6727506", "Malignant::Melanoma", "Malignant", *[""] * 4, "0.4"]
            diagnosis = told if is_malignant else ["", "Benign", "Benign", *[""] * 5]
            diagnosis = [*diagnosis, "", "97.51728"]
            rows.append([image_id, target, *cells(number, row), *diagnosis])
            size = (119 + 2 * number,) * 2 if number < 2 else (24, 24)
            data = tree.encoded(f"{image_id}.jpg", size=size, look="mel" if is_malignant else "nv")
            file[image_id] = np.void(data) if number == 3 else np.bytes_(data)
            tree.write(f"train-image/image/{image_id}.jpg", data)
    tree.write("train-image.hdf5", packed.getvalue())
    header = ["isic_id", "target", *SHARED, *DIAGNOSIS]
    tree.table("train-metadata.csv", ",".join(header), rows)
    test = ("ISIC_0015657", "", *ROWS[0][2:])
    tree.table("test-metadata.csv", ",".join(["isic_id", *SHARED]), [[test[0], *cells(0, test)]])
    with h5py.File(packed := io.BytesIO(), "w") as file:
        file[test[0]] = np.bytes_(tree.encoded("test.jpg"))
    tree.write("test-image.hdf5", packed.getvalue())
    tree.table("sample_submission.csv", "isic_id,target", [(test[0], "0.3")])


EXPECTED = Expected(
    splits={"train": 9, "validation": 1, "test": 1},
    examples={
        "train-image.hdf5/ISIC_0035502": {
            "age": None, "sex": "unknown", "site": "unknown", "location": "Unknown",
            "label": "benign",
        },
        "train-image.hdf5/ISIC_0119495": {
            "label": "malignant", "sex": "unknown", "location_simple": "Torso Front",
            "asymmetry_angle": 50.0, "copyright_license": "CC-BY", "tile_type": "3D: white",
        },
    },
    together=[["train-image.hdf5/ISIC_0015845", "train-image.hdf5/ISIC_0035547"]],
    draft_images=["train-image.hdf5/{isic_id}", "train-image/image/{isic_id}.jpg",
        "train-image/**/{isic_id}.jpg", "**/{isic_id}.jpg"],
    draft_group=[["patient_id"]],
)  # fmt: skip
