"""The whole NIH ChestX-ray14 table, with drawn pixels and an official test split, end to end."""

import collections
import csv
import gzip
import hashlib
import json
import struct
import zlib

import numpy as np
import pytest
import yaml
from conftest import SPECS, build, run_python

import medical_images as mi

pytestmark = pytest.mark.realdata
TABLE = "Data_Entry_2017_v2020.csv.gz"
LABEL = "Finding Labels"


def _png(number: int) -> bytes:
    """A grey image of 4x4 pixels that no other number has."""
    pixels = hashlib.blake2b(str(number).encode(), digest_size=16).digest()
    rows = b"".join(b"\0" + pixels[at : at + 4] for at in range(0, 16, 4))
    header = struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _is_test(patient: str) -> bool:
    """About a tenth of the patients, as an official list would have them."""
    return zlib.crc32(patient.encode()) % 10 == 0


@pytest.fixture(scope="module")
def rows(realdata) -> list[dict[str, str]]:
    with gzip.open(realdata / "nih" / TABLE, "rt", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["official"] = "test" if _is_test(row["Patient ID"]) else "train_val"
    return rows


@pytest.fixture(scope="module")
def nih(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nih")
    (folder / "images").mkdir()
    with gzip.open(folder / TABLE, "wt", encoding="utf-8", newline="", compresslevel=1) as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    for number, row in enumerate(rows):
        (folder / "images" / row["Image Index"]).write_bytes(_png(number))
    text = (SPECS / "nih_chestxray14.yaml").read_text(encoding="utf-8")
    spec = yaml.load(text, Loader=yaml.BaseLoader)
    values = {"test": "test", "rest": "train_val"}
    spec["splits"] = {"column": "official", "values": values, "train": "8/9", "validation": "1/9"}
    spec["splits"]["max_deviation"] = "2"
    (folder / "corpus.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    return build(str(folder / "corpus.yaml"), tmp_path_factory.mktemp("data"), name="nih")


def test_every_image_is_written_and_no_patient_is_in_two_splits(nih, rows):
    index = mi.index(nih)
    assert len(index) == len(rows) == 112_120
    assert index.groupby("_group")["_split"].nunique().max() == 1
    official = {row["Patient ID"] for row in rows if row["official"] == "test"}
    assert set(index.loc[index["_split"] == "test", "_group"]) == official
    told = mi.certificate(nih)
    assert (told["group_overlap"], told["copies"]["sets"]) == (0, 0)


def test_planned_splits_hold_their_share_of_all_fifteen_labels(nih, rows):
    planned = [row for row in rows if row["official"] != "test"]
    due = collections.Counter(label for row in planned for label in row[LABEL].split("|"))
    assert len(due) == 15
    for split, share in (("train", 8 / 9), ("validation", 1 / 9)):
        counts = mi.class_counts(nih, split)
        for label, total in due.items():
            assert abs(counts[label] - total * share) <= 2, (split, label)


READ = """
import collections, json, sys
import tensorflow_datasets as tfds
builder = tfds.builder_from_directory(sys.argv[1])
names = builder.info.features["findings"].feature.names
counts = collections.Counter()
for example in tfds.as_numpy(builder.as_dataset(split="train[:10%]")):
    counts.update(names[label] for label in example["findings"])
print(json.dumps([counts, "medical_images" in sys.modules]))
"""


def test_first_tenth_of_train_read_by_plain_tfds_is_what_the_index_says(nih):
    seen, has_package = json.loads(run_python(READ, nih.data_dir))
    assert not has_package
    told, whole = mi.class_counts(nih, "train[:10%]"), mi.class_counts(nih, "train")
    assert seen == {label: count for label, count in told.items() if count}
    # And it is near its share: the rarest label has about 180 images in train.
    deviations = np.array([told[label] - whole[label] / 10 for label in whole])
    assert np.abs(deviations).max() <= 2


def test_folds_of_train_tear_no_patient(nih):
    for fit, held_out in mi.folds(nih, "train", k=5):
        inside, outside = mi.index(nih, held_out), mi.index(nih, fit)
        assert set(inside["_group"]).isdisjoint(outside["_group"])
        assert len(inside) + len(outside) == nih.info.splits["train"].num_examples
