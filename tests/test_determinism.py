"""The same corpus, spec and seed give the same bytes, whatever the circumstances."""

import csv
import random
import shutil
import subprocess
import sys

from conftest import build, run_python, shard_bytes

import medical_images as mi

_BUILD = """
import sys, medical_images as mi, tensorflow_datasets as tfds
config = mi.MedicalImagesConfig(name="mine", spec=sys.argv[1], num_workers=int(sys.argv[3]))
mi.Builder(config=config, data_dir=sys.argv[2]).download_and_prepare(
    download_config=tfds.download.DownloadConfig(num_shards=5))
"""


def shuffle_rows(path) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    random.Random(5).shuffle(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def test_row_order_workers_hash_seed_and_locale_do_not_change_a_byte(phantom_corpus, tmp_path):
    reference = shard_bytes(build(phantom_corpus, tmp_path / "reference", num_shards=5))
    shuffled = tmp_path / "shuffled"
    shutil.copytree(phantom_corpus.parent, shuffled)
    for table in ("metadata.csv", "patients.csv"):
        shuffle_rows(shuffled / table)
    circumstances = {
        "1": {"PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "UTC"},
        "3": {"PYTHONHASHSEED": "77", "LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo"},
    }
    for workers, environment in circumstances.items():
        data_dir = tmp_path / f"data{workers}"
        run_python(_BUILD, shuffled / "corpus.yaml", data_dir, workers, **environment)
        builder = mi.Builder(
            config=mi.MedicalImagesConfig(name="mine", spec=str(phantom_corpus)), data_dir=data_dir
        )
        assert shard_bytes(builder) == reference


def test_another_seed_gives_other_splits(phantom_corpus, phantom_builder, tmp_path):
    text = phantom_corpus.read_text(encoding="utf-8").replace("seed: 0", "seed: 1")
    other = phantom_corpus.with_name("other.yaml")
    other.write_text(text, encoding="utf-8")
    builder = build(other, tmp_path)
    assert set(mi.index(builder, "test")["image_id"]) != set(
        mi.index(phantom_builder, "test")["image_id"]
    )


def test_a_script_without_a_main_guard_builds_with_several_processes(phantom_corpus, tmp_path):
    """The workers do not run the script again."""
    script = tmp_path / "script.py"
    script.write_text("print('once')\n" + _BUILD, encoding="utf-8")
    command = [sys.executable, script, phantom_corpus, tmp_path / "data", "2"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert result.stdout.count("once") == 1
