"""The training split of a phantom corpus, in the form that each reader wants it.

Each form is made once, in a process of its own, in a folder of its own below `job['work']`; a
marker beside it tells that it is whole and of which corpus.

  tfds          the dataset that this package builds, TFRecord; and `train.csv`, its training images
  array_record  the same as ArrayRecord files, which can be read at random
  folders       a folder a class, of symbolic links to the image files
  tars          tar files of the image files and their class, as webdataset writes them
  hf            a table of the library `datasets` with the bytes of the image files in it
"""

from __future__ import annotations

import csv
import os
import pathlib
import shutil
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from build_contenders import CLASSES

NUM_TARS = 8  # so that worker processes can share them


class Row(NamedTuple):
    """An image file of the training split, and the number of its class."""

    path: str
    label: int


def read_rows(job: dict[str, Any]) -> list[Row]:
    with (pathlib.Path(job["work"]) / "train.csv").open(newline="") as file:
        return [Row(path, int(label)) for path, label in csv.reader(file)]


def open_builder(job: dict[str, Any], form: str = "tfds") -> Any:
    """Returns the built dataset, read-only."""
    import tensorflow_datasets as tfds

    (found,) = (pathlib.Path(job["work"]) / form).glob("medical_images/bench/*/dataset_info.json")
    return tfds.builder_from_directory(os.fspath(found.parent))


def missing_forms(job: dict[str, Any], forms: Iterable[str]) -> list[str]:
    """Returns what is still to be made of a corpus; `tfds` is first, for the others follow it."""

    def is_made(form: str) -> bool:
        marker = pathlib.Path(job["work"]) / f"{form}.json"
        return marker.is_file() and marker.read_text() == job["stamp"]

    wanted = [form for form in FORMS if form in {"tfds", *forms}]
    return [form for form in wanted if not (is_made("tfds") and is_made(form))]


# --- the forms -----------------------------------------------------------------------------------


def make_form(job: dict[str, Any]) -> dict[str, Any]:
    work, form = pathlib.Path(job["work"]), job["form"]
    marker, folder = work / f"{form}.json", work / form
    marker.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    FORMS[form](job, folder)
    marker.write_text(job["stamp"])
    return {}


def build(job: dict[str, Any], folder: pathlib.Path, file_format: str) -> Any:
    import medical_images as mi

    spec = os.path.join(job["corpus"], "corpus.yaml")
    config = mi.MedicalImagesConfig(name="bench", spec=spec)
    builder = mi.Builder(config=config, data_dir=os.fspath(folder), file_format=file_format)
    builder.download_and_prepare()
    return builder


def make_tfds(job: dict[str, Any], folder: pathlib.Path) -> None:
    import medical_images as mi

    table = mi.index(build(job, folder, "tfrecord"), "train")
    images = pathlib.Path(job["corpus"]) / "images"
    with (folder.parent / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        for image_id, name in zip(table["image_id"], table["label"], strict=True):
            writer.writerow([images / f"{image_id}.jpg", CLASSES.index(name)])


def make_array_record(job: dict[str, Any], folder: pathlib.Path) -> None:
    build(job, folder, "array_record")


def make_folders(job: dict[str, Any], folder: pathlib.Path) -> None:
    for name in CLASSES:
        (folder / name).mkdir()
    for row in read_rows(job):
        os.symlink(row.path, folder / CLASSES[row.label] / os.path.basename(row.path))


def make_tars(job: dict[str, Any], folder: pathlib.Path) -> None:
    import webdataset

    rows = read_rows(job)
    pattern, size = os.fspath(folder / "%05d.tar"), -(-len(rows) // NUM_TARS)
    with webdataset.ShardWriter(pattern, maxcount=size, maxsize=1 << 40, verbose=0) as sink:
        for row in rows:
            key = pathlib.Path(row.path).stem
            image = pathlib.Path(row.path).read_bytes()
            sink.write({"__key__": key, "jpg": image, "cls": row.label})


def make_hf(job: dict[str, Any], folder: pathlib.Path) -> None:
    os.environ["HF_HOME"] = os.fspath(folder / "home")
    os.environ["HF_HUB_OFFLINE"] = "1"
    import datasets
    from datasets.table import embed_table_storage

    paths, labels = zip(*read_rows(job), strict=True)
    table = datasets.Dataset.from_dict(
        {"image": paths, "label": labels},
        features=datasets.Features(
            {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(CLASSES))}
        ),
    )
    embedded = table.with_format("arrow").map(embed_table_storage, batched=True, batch_size=1000)
    embedded.with_format(None).save_to_disk(os.fspath(folder / "saved"))


FORMS: dict[str, Callable[[dict[str, Any], pathlib.Path], None]] = {
    "tfds": make_tfds,
    "array_record": make_array_record,
    "folders": make_folders,
    "tars": make_tars,
    "hf": make_hf,
}
