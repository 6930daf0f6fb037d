"""The main job, as the README tells it: the built-in phantom corpus, read by plain TFDS."""

import json

import pytest
import tensorflow_datasets as tfds
from conftest import run_python

_READ = """
import sys, json, collections
import tensorflow_datasets as tfds
counts = {}
for cut in json.loads(sys.argv[2]):
    ds, info = tfds.load("medical_images/phantom", data_dir=sys.argv[1], split=cut, with_info=True,
                         decoders={"image": tfds.decode.SkipDecoding()})
    names = info.features["label"].names
    counts[cut] = collections.Counter(names[int(e["label"])] for e in ds)
assert "medical_images" not in sys.modules
print(json.dumps(counts))
"""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    tfds.builder("medical_images", data_dir=folder).download_and_prepare()
    return folder


def test_slices_hold_each_class_within_one_image_of_its_share(data_dir):
    cuts = [
        "train",
        "train[:10%]",
        "train[37%:52%]",
        *(f"train[{k}%:{k + 10}%]" for k in range(10, 100, 10)),
    ]
    counts = json.loads(run_python(_READ, data_dir, json.dumps(cuts)))
    whole = counts.pop("train")
    assert sum(whole.values()) == 1600
    for cut, found in counts.items():
        begin, end = (int(p or 0) for p in cut[6:-1].replace("%", "").split(":"))
        for name, total in whole.items():
            share = total * (end - begin) / 100
            assert abs(found.get(name, 0) - share) <= 1, (cut, name, found.get(name, 0), share)
