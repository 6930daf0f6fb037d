"""What `build.py` compares: each contender imports what it needs and returns its build.

All write the images of a phantom corpus with the same metadata. `COUNT` tells how many records are
in what was written.
"""

from __future__ import annotations

import csv
import functools
import json
import os
import pathlib
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

CLASSES = ("nv", "mel", "bkl", "bcc", "akiec", "vasc", "df")
SEXES = ("female", "male", "unknown")
SITES = (
    "abdomen", "back", "chest", "face", "foot", "hand", "lower extremity", "neck", "scalp",
    "upper extremity", "unknown",
)  # fmt: skip


def prepare_ours(job: dict[str, Any], *, spec: str | None = None) -> Callable[[], Any]:
    import medical_images as mi

    def build() -> Any:
        config = mi.MedicalImagesConfig(
            name="bench",
            spec=spec or os.path.join(job["corpus"], "corpus.yaml"),
            engine="local",
            num_workers=job["workers"],
        )
        builder = mi.Builder(config=config, data_dir=job["out"], file_format=job["file_format"])
        builder.download_and_prepare()
        return builder

    return build


def prepare_unchecked(job: dict[str, Any]) -> Callable[[], Any]:
    """Ours, with `images: {check: none}`."""
    folder = pathlib.Path(job["out"]) / "spec"
    folder.mkdir()
    text = (pathlib.Path(job["corpus"]) / "corpus.yaml").read_text()
    text = text.replace("images:\n", "images:\n  check: none\n", 1)
    text = text.replace("root: .\n", f"root: {json.dumps(job['corpus'])}\n", 1)
    path = folder / "corpus.yaml"
    path.write_text(text)
    return prepare_ours(job, spec=os.fspath(path))


def decode_strictly(paths: Sequence[str]) -> int:
    import simplejpeg

    for path in paths:
        simplejpeg.decode_jpeg(pathlib.Path(path).read_bytes(), strict=True)
    return len(paths)


def prepare_strict(job: dict[str, Any]) -> Callable[[], Any]:
    """Two processes, which run already, decode the files, and write nothing."""
    import multiprocessing

    pool = multiprocessing.get_context("spawn").Pool(2)
    pool.map(decode_strictly, [[], []])
    paths = [row["path"] for row in rows_of(pathlib.Path(job["corpus"]))]
    parts = [paths[begin : begin + 100] for begin in range(0, len(paths), 100)]

    def build() -> int:
        number = sum(pool.map(decode_strictly, parts, chunksize=1))
        pool.terminate()
        (pathlib.Path(job["out"]) / "decoded").write_text(str(number))
        return number

    return build


def prepare_plain(job: dict[str, Any]) -> Callable[[], Any]:
    import tensorflow as tf  # noqa: F401 - TFDS's writer would import it inside the timed part
    import tensorflow_datasets as tfds

    plain = make_plain_builder(pathlib.Path(job["corpus"]))
    tfds.disable_progress_bar()

    def build() -> Any:
        builder = plain(data_dir=job["out"], file_format=job["file_format"])
        builder.download_and_prepare()
        return builder

    return build


def make_plain_builder(corpus: pathlib.Path) -> Any:
    """Returns a builder class as the TFDS guide tells to write one."""
    import numpy as np
    import pandas as pd
    import tensorflow_datasets as tfds

    class Plain(tfds.core.GeneratorBasedBuilder):
        """The phantom corpus."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "image_id": tfds.features.Text(),
                "label": tfds.features.ClassLabel(names=CLASSES),
                "age": tfds.features.Scalar(np.float32),
                "sex": tfds.features.ClassLabel(names=SEXES),
                "site": tfds.features.ClassLabel(names=SITES),
                "note": tfds.features.Text(),
            }
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(features),
                supervised_keys=("image", "label"),
            )

        def _split_generators(self, dl_manager):
            people = pd.read_csv(corpus / "patients.csv")
            table = pd.read_csv(corpus / "metadata.csv").merge(people, on="patient_id")
            table["note"] = table["note"].fillna("")
            patients = people["patient_id"].sample(frac=1, random_state=0)
            first, second = int(len(patients) * 0.8), int(len(patients) * 0.9)
            split_patients = {
                "train": patients[:first],
                "validation": patients[first:second],
                "test": patients[second:],
            }
            return {
                name: self._generate_examples(table[table["patient_id"].isin(members)])
                for name, members in split_patients.items()
            }

        def _generate_examples(self, table):
            for row in table.itertuples():
                yield (
                    row.image_id,
                    {
                        "image": corpus / "images" / f"{row.image_id}.jpg",
                        "image_id": row.image_id,
                        "label": row.dx,
                        "age": row.age,
                        "sex": row.sex,
                        "site": row.site,
                        "note": row.note,
                    },
                )

    return Plain


def prepare_loop(job: dict[str, Any]) -> Callable[[], Any]:
    import tensorflow as tf

    path = os.path.join(job["out"], f"loop.{job['file_format']}")
    if job["file_format"] == "array_record":
        from array_record.python import array_record_module

        make_writer = functools.partial(array_record_module.ArrayRecordWriter, path, "group_size:1")
    else:
        make_writer = functools.partial(tf.io.TFRecordWriter, path)

    def build() -> int:
        corpus = pathlib.Path(job["corpus"])
        with (corpus / "patients.csv").open(newline="") as file:
            sexes = {row["patient_id"]: row["sex"] for row in csv.DictReader(file)}
        writer, num_examples = make_writer(), 0
        with (corpus / "metadata.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                image = (corpus / "images" / f"{row['image_id']}.jpg").read_bytes()
                writer.write(serialise(tf, image, row, sexes[row["patient_id"]]))
                num_examples += 1
        writer.close()
        return num_examples

    return build


def serialise(tf: Any, image: bytes, row: dict[str, str], sex: str) -> bytes:
    """Returns one `tf.train.Example`, as the loop writes it."""

    def text(value: bytes) -> Any:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    def integer(value: int) -> Any:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    age = tf.train.FloatList(value=[float(row["age"] or "nan")])
    feature = {
        "image": text(image),
        "image_id": text(row["image_id"].encode()),
        "label": integer(CLASSES.index(row["dx"])),
        "age": tf.train.Feature(float_list=age),
        "sex": integer(SEXES.index(sex)),
        "site": integer(SITES.index(row["site"])),
        "note": text(row["note"].encode()),
    }
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    return example.SerializeToString()


def rows_of(corpus: pathlib.Path) -> Iterator[dict[str, str]]:
    """Yields the rows of the phantom's tables, joined, with the place of the image."""
    with (corpus / "patients.csv").open(newline="") as file:
        sexes = {row["patient_id"]: row["sex"] for row in csv.DictReader(file)}
    with (corpus / "metadata.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            path = os.fspath(corpus / "images" / f"{row['image_id']}.jpg")
            yield {**row, "sex": sexes[row["patient_id"]], "path": path}


def prepare_tfds_beam(job: dict[str, Any]) -> Callable[[], Any]:
    import apache_beam as beam
    import tensorflow as tf  # noqa: F401 - as for `plain`
    import tensorflow_datasets as tfds

    plain = make_plain_builder(pathlib.Path(job["corpus"]))

    class OnBeam(plain):  # type: ignore[misc, valid-type]
        """The plain builder as TFDS's guide tells to write it for Beam."""

        def _split_generators(self, dl_manager):
            parts = super()._split_generators(dl_manager)
            return {name: beam.Create(list(examples)) for name, examples in parts.items()}

    tfds.disable_progress_bar()
    config = tfds.download.DownloadConfig(
        beam_runner="FnApiRunner", beam_options=beam.options.pipeline_options.PipelineOptions([])
    )

    def build() -> Any:
        builder = OnBeam(data_dir=job["out"], file_format=job["file_format"])
        builder.download_and_prepare(download_config=config)
        return builder

    return build


def prepare_hf(job: dict[str, Any]) -> Callable[[], Any]:
    """`imagefolder` makes a table of paths; its bytes are embedded as in the upload to a hub."""
    os.environ["HF_HOME"] = os.path.join(job["out"], "home")
    os.environ["HF_HUB_OFFLINE"] = "1"
    import datasets
    from datasets.table import embed_table_storage

    datasets.disable_progress_bars()
    corpus = pathlib.Path(job["corpus"])

    def build() -> int:
        folder = pathlib.Path(job["out"]) / "tree"
        folder.mkdir()
        rows = list(rows_of(corpus))
        with (folder / "metadata.csv").open("w", newline="") as file:
            names = ["file_name", *(name for name in rows[0] if name != "path")]
            writer = csv.DictWriter(file, names, extrasaction="ignore")
            writer.writeheader()
            writer.writerows({**row, "file_name": os.path.basename(row["path"])} for row in rows)
        for row in rows:
            os.link(row["path"], folder / os.path.basename(row["path"]))
        found = datasets.load_dataset("imagefolder", data_dir=os.fspath(folder), split="train")
        embedded = found.with_format("arrow").map(
            embed_table_storage, batched=True, batch_size=1000, num_proc=os.cpu_count()
        )
        embedded.with_format(None).save_to_disk(os.path.join(job["out"], "saved"))
        return len(embedded)

    return build


def prepare_webdataset(job: dict[str, Any]) -> Callable[[], Any]:
    import webdataset

    def build() -> int:
        pattern = os.path.join(job["out"], "%05d.tar")
        rows = list(rows_of(pathlib.Path(job["corpus"])))
        with webdataset.ShardWriter(pattern, maxsize=64 << 20, verbose=0) as sink:
            for row in rows:
                image = pathlib.Path(row["path"]).read_bytes()
                sink.write({"__key__": row["image_id"], "jpg": image, "json": row})
        return len(rows)

    return build


def litdata_sample(row: dict[str, str]) -> dict[str, Any]:
    """Returns what litdata is to store of a row; a worker process must find it by name."""
    return {**row, "image": pathlib.Path(row["path"]).read_bytes()}


def prepare_litdata(job: dict[str, Any]) -> Callable[[], Any]:
    os.environ["DATA_OPTIMIZER_CACHE_FOLDER"] = os.path.join(job["out"], "cache")
    os.environ["DATA_OPTIMIZER_DATA_CACHE_FOLDER"] = os.path.join(job["out"], "data_cache")
    import litdata

    def build() -> int:
        rows = list(rows_of(pathlib.Path(job["corpus"])))
        litdata.optimize(
            fn=litdata_sample,
            inputs=rows,
            output_dir=os.path.join(job["out"], "optimised"),
            num_workers=os.cpu_count(),
            chunk_bytes="64MB",
            verbose=False,
        )
        return len(rows)

    return build


PREPARE = {
    "ours": prepare_ours,
    "unchecked": prepare_unchecked,
    "strict": prepare_strict,
    "plain": prepare_plain,
    "loop": prepare_loop,
    "webdataset": prepare_webdataset,
    "litdata": prepare_litdata,
    "hf": prepare_hf,
    "tfds_beam": prepare_tfds_beam,
}

# --- counting what was written -------------------------------------------------------------------


def count_tfds(folder: pathlib.Path, file_format: str) -> int:
    """Counts the records in all files of a folder."""
    paths = [path for path in folder.rglob(f"*.{file_format}*") if path.is_file()]
    if file_format == "array_record":
        from array_record.python import array_record_module

        readers = [array_record_module.ArrayRecordReader(os.fspath(path)) for path in paths]
        return sum(reader.num_records() for reader in readers)
    return sum(1 for path in paths for _ in iter_record_sizes(path))


def iter_record_sizes(path: pathlib.Path) -> Iterator[int]:
    """Yields the size of each record of a TFRecord file, going from length to length."""
    with path.open("rb") as file:
        while head := file.read(12):  # length (8 bytes) and its checksum
            (size,) = struct.unpack("<Q", head[:8])
            file.seek(size + 4, os.SEEK_CUR)
            yield size


def count_strict(folder: pathlib.Path, file_format: str) -> int:
    del file_format
    return int((folder / "decoded").read_text())


def count_webdataset(folder: pathlib.Path, file_format: str) -> int:
    import tarfile

    del file_format
    number = 0
    for path in folder.glob("*.tar"):
        with tarfile.open(path) as file:
            number += sum(name.endswith(".jpg") for name in file.getnames())
    return number


def count_litdata(folder: pathlib.Path, file_format: str) -> int:
    del file_format
    told = json.loads((folder / "optimised" / "index.json").read_text())
    return sum(chunk["chunk_size"] for chunk in told["chunks"])


def count_hf(folder: pathlib.Path, file_format: str) -> int:
    import datasets

    del file_format
    found = datasets.load_from_disk(os.fspath(folder / "saved")).with_format("arrow")
    images = found.data.column("image").combine_chunks().field("bytes")
    return len(images) - images.null_count


COUNT = {
    **dict.fromkeys(("ours", "unchecked", "plain", "loop", "tfds_beam"), count_tfds),
    "strict": count_strict,
    "webdataset": count_webdataset,
    "litdata": count_litdata,
    "hf": count_hf,
}
