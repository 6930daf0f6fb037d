"""Corpora of DICOM files, built whole: header fields as columns, frames as images."""

import json
import pathlib
import shutil

import numpy as np
import pydicom.data
import pytest
import tensorflow_datasets as tfds
from conftest import build
from dicom_files import dicom_bytes

import medical_images as mi
from medical_images.rejects import CODES
from medical_images.spec import CorpusSpec

KEY = "a key of more than sixteen letters"


def test_pydicoms_own_files_are_written_or_rejected_with_a_code(tmp_path):
    """Nothing else names them; each file ends in exactly one place."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    found = [p for p in pydicom.data.get_testdata_files("*.dcm") if "test_files" in p]
    names = {}
    for path in map(pathlib.Path, found):
        name = f"{len(names):03}_{path.stem}"
        names[name] = path
        shutil.copy(path, folder / f"{name}.dcm")
    assert len(names) > 60
    spec = {
        "name": "mine",
        "images": {"path": "{name}.dcm", "channels": 3, "window": "file"},
        "derive": {
            "modality": {"from": "dicom.Modality"},
            "age": {"from": "dicom.PatientAge"},
        },
        "features": {
            "name": {"type": "id"},
            "modality": {"type": "text"},
            "age": {"type": "float", "format": "age", "unit": "years"},
        },
        "duplicates": "report",
        "splits": {"train": 1},
        "rejects": {"max_fraction": 1},
    }
    path = folder / "corpus.yaml"
    path.write_text(json.dumps(spec))
    builder = build(path, tmp_path / "data")
    rejected = builder.info.metadata["rejects"]["rejected"]
    assert set(rejected) <= set(CODES)
    num_written = builder.info.splits["train"].num_examples
    assert num_written > 30
    assert num_written + sum(rejected.values()) == len(names)
    assert {"dicom_frames", "dicom_no_pixels", "truncated"} <= set(rejected)
    table = mi.index(builder, "train").set_index("name")
    for name in table.index:
        header = pydicom.dcmread(names[name], stop_before_pixels=True, force=True)
        assert table.modality[name] == str(header.get("Modality", "") or "")
    examples = tfds.as_numpy(builder.as_dataset(split="train"))
    config = mi.MedicalImagesConfig(name="mine", spec=str(path))
    other = mi.Builder(config=config, data_dir=tmp_path / "other", file_format="array_record")
    other.download_and_prepare()
    by_name = {example["name"]: example for example in other.as_data_source(split="train")}
    for example in examples:
        np.testing.assert_array_equal(example["image"], by_name[example["name"]]["image"])


def test_header_fields_name_no_files():
    spec = {
        "name": "mine",
        "tables": [{"path": "data.csv"}],
        "images": {"path": "**/{uid}"},
        "derive": {"uid": {"from": "dicom.SOPInstanceUID"}, "end": {"from": "uid"}},
        "features": {"uid": {"type": "id"}},
    }
    for column in ("uid", "end"):
        with pytest.raises(mi.SpecError) as error:
            CorpusSpec.from_dict({**spec, "images": {"path": f"**/{{{column}}}"}})
        assert f"'{column}' is made of a header field; headers are read after" in str(error.value)
        assert "they cannot name files" in str(error.value)
        assert "derived from the image's path" not in str(error.value)


@pytest.mark.parametrize("beam", [{}, {"beam_runner": "FnApiRunner"}], ids=["local", "beam"])
def test_frames_are_images_grouped_by_patients_whose_ids_are_hidden(tmp_path, monkeypatch, beam):
    folder = tmp_path / "corpus"
    folder.mkdir()
    frames = np.arange(9 * 3 * 16 * 16).reshape(9, 3, 16, 16) % 251
    for number, pixels in enumerate(frames.astype(np.uint8)):
        data = dicom_bytes(
            pixels,
            NumberOfFrames=3,
            PatientID=f"MRN{number // 2}",
            PatientAge=f"{40 + number:03}Y",
        )
        (folder / f"{number}.dcm").write_bytes(data)
    spec = {
        "name": "mine",
        "images": {"path": "{scan}.dcm/{frame}", "channels": 1, "frames": "all"},
        "derive": {
            "patient": {"from": "dicom.PatientID"},
            "age": {"from": "dicom.PatientAge"},
        },
        "features": {
            "scan": {"type": "id"},
            "frame": {"type": "int"},
            "age": {"type": "int", "format": "age"},
        },
        "group": "patient",
        "splits": {"train": 0.5, "test": 0.5},
    }
    path = folder / "corpus.yaml"
    path.write_text(json.dumps(spec))
    with pytest.raises(mi.CorpusError, match="PatientID"):
        build(path, tmp_path / "data", **beam)
    path.write_text(json.dumps({**spec, "privacy": {"pseudonymize": ["patient"]}}))
    monkeypatch.setenv("MEDICAL_IMAGES_KEY", KEY)
    builder = build(path, tmp_path / "data", **beam)
    groups = {}
    for split in ("train", "test"):
        table = mi.index(builder, split)
        for line, example in zip(
            table.itertuples(), tfds.as_numpy(builder.as_dataset(split=split)), strict=True
        ):
            expected = frames[int(line.scan), line.frame - 1]
            np.testing.assert_array_equal(example["image"][..., 0], expected)
            assert example["age"] == 40 + int(line.scan)
        groups[split] = set(table["_group"])
        assert not any("MRN" in group for group in groups[split])
    assert not groups["train"] & groups["test"]
    assert sum(split.num_examples for split in builder.info.splits.values()) == 27
