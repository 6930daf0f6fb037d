"""What `load.py` compares: each contender imports what it needs and returns what begins an epoch.

All deliver every image of the training split once an epoch, shuffled, resized to the same side and
in batches, with the number of its class. Peers are written as their guides tell, with the parallel
calls, processes and prefetching that these offer; readers that take worker processes get one for
each core. Shuffle buffers hold 1024 elements.

An iterator of `tf.data` that ends waits for its autotuner, which sleeps for up to half the time it
has run: an epoch then takes 2.55, 5.11 or 10.2 s instead of what it needs. `mi.load` switches the
autotuner off, and so do the peers here that are tuned; `directory` and `tfds_default` are as
readers find them.
"""

from __future__ import annotations

import functools
import itertools
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from build_contenders import CLASSES
from load_forms import Row, open_builder, read_rows
from throughput import Batch, Contender, Epochs, Job, batched

SHUFFLE_BUFFER = 1024
PREFETCHED = 2  # batches; without the autotuner it is to be said

# --- ours ----------------------------------------------------------------------------------------


def open_ours(job: Job, *, source: Any = None, **options: Any) -> Epochs:
    import medical_images as mi

    ds = mi.load(
        source if source is not None else open_builder(job),
        "train",
        image_size=(job["side"], job["side"]),
        batch_size=job["batch"],
        **options,
    )
    return lambda: ((batch["image"], batch["label"]) for batch in ds)


def open_ours_antialias(job: Job) -> Epochs:
    return open_ours(job, antialias=True)


def open_ours_full(job: Job) -> Epochs:
    return open_ours(job, reduced=False)


def open_ours_array_record(job: Job) -> Epochs:
    return open_ours(job, source=open_builder(job, "array_record"))


def open_ours_encoder(job: Job) -> Epochs:
    """With age, sex, site and note of the patient encoded."""
    import medical_images as mi

    builder, features = open_builder(job), ["age", "sex", "site", "note"]
    encoder = mi.MetadataEncoder.fit(builder, split="train", features=features)
    ds = mi.load(
        builder,
        "train",
        image_size=(job["side"], job["side"]),
        batch_size=job["batch"],
        metadata=encoder,
    )

    def epoch() -> Iterator[Batch]:
        for batch in ds:
            if batch["metadata"].shape[0] != batch["label"].shape[0]:
                raise ValueError("the metadata is not that of the batch")
            yield batch["image"], batch["label"]

    return epoch


def open_ours_files(job: Job) -> Epochs:
    import medical_images as mi

    corpus = mi.from_corpus(os.path.join(job["corpus"], "corpus.yaml"))
    return open_ours(job, source=corpus)


# --- TensorFlow ----------------------------------------------------------------------------------


def resize(image: Any, side: int, *, antialias: bool = False) -> Any:
    """Returns the image as uint8; bytes are batched faster than floats, so this helps peers."""
    import tensorflow as tf

    resized = tf.image.resize(image, (side, side), antialias=antialias)
    return tf.cast(resized + 0.5, tf.uint8)


def open_tfds_default(job: Job) -> Epochs:
    """As the guides of TFDS and Keras have it."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    side = job["side"]
    ds = open_builder(job).as_dataset(
        split="train",
        shuffle_files=True,
        as_supervised=True,
        read_config=tfds.ReadConfig(try_autocache=False),  # TFDS keeps small datasets, decoded
    )
    ds = ds.map(lambda image, label: (tf.image.resize(image, (side, side)), label))
    ds = ds.shuffle(SHUFFLE_BUFFER).batch(job["batch"]).prefetch(tf.data.AUTOTUNE)
    return lambda: ds


def open_tfds_tuned(job: Job) -> Epochs:
    """All that `tf.data` can be told to be faster; images are decoded inside the parallel call."""
    builder = open_builder(job)
    decode = builder.info.features["image"].decode_example

    def delivered(example: Mapping[str, Any]) -> tuple[Any, Any]:
        return resize(decode(example["image"]), job["side"]), example["label"]

    return tuned(encoded(builder).shuffle(SHUFFLE_BUFFER), job, delivered)


def open_tfds_by_hand(job: Job) -> Epochs:
    """The same, decoding at half the scale, by one who knows that all files allow that."""
    import tensorflow as tf

    builder = open_builder(job)
    (row, *_) = read_rows(job)
    height, width, _ = tf.io.extract_jpeg_shape(tf.io.read_file(row.path)).numpy()
    ratio = max(ratio for ratio in (1, 2, 4, 8) if min(height, width) >= ratio * job["side"])

    def delivered(example: Mapping[str, Any]) -> tuple[Any, Any]:
        image = tf.io.decode_jpeg(example["image"], channels=3, ratio=ratio)
        return resize(image, job["side"]), example["label"]

    return tuned(encoded(builder).shuffle(SHUFFLE_BUFFER), job, delivered)


def encoded(builder: Any) -> Any:
    """Returns label and image file of each record; shards are read in turn, in another order."""
    import tensorflow_datasets as tfds

    config = tfds.ReadConfig(
        interleave_cycle_length=16, interleave_block_length=16, try_autocache=False
    )
    wanted = {"image": True, "label": True}
    return builder.as_dataset(
        split="train",
        shuffle_files=True,
        read_config=config,
        decoders=tfds.decode.PartialDecoding(
            wanted, decoders={"image": tfds.decode.SkipDecoding()}
        ),
    )


def tuned(ds: Any, job: Job, delivered: Callable[..., Any] | None = None) -> Epochs:
    """Makes (image, label) of elements in parallel, if that is to be done, and batches of them."""
    import tensorflow as tf

    if delivered is not None:
        ds = ds.map(delivered, num_parallel_calls=job["workers"], deterministic=False)
    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = False
    options.threading.private_threadpool_size = job["workers"]
    ds = ds.batch(job["batch"]).prefetch(PREFETCHED).with_options(options)
    return lambda: ds


def open_directory(job: Job) -> Epochs:
    import keras

    ds = keras.utils.image_dataset_from_directory(
        os.path.join(job["work"], "folders"),
        class_names=list(CLASSES),
        batch_size=job["batch"],
        image_size=(job["side"], job["side"]),
        verbose=False,
    )
    return lambda: ds


def open_files(job: Job, *, antialias: bool = False) -> Epochs:
    """Paths, and a table that tells the class of a path, as tutorials have it."""
    import tensorflow as tf

    paths, labels = map(list, zip(*read_rows(job), strict=True))
    pairs = tf.lookup.KeyValueTensorInitializer(paths, tf.constant(labels, tf.int64))
    classes = tf.lookup.StaticHashTable(pairs, default_value=-1)

    def delivered(path: Any) -> tuple[Any, Any]:
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        return resize(image, job["side"], antialias=antialias), classes.lookup(path)

    return tuned(tf.data.Dataset.from_tensor_slices(paths).shuffle(len(paths)), job, delivered)


def open_full_antialias(job: Job) -> Epochs:
    return open_files(job, antialias=True)


# --- others --------------------------------------------------------------------------------------


def pillow_resized(image: Any, side: int) -> np.ndarray:
    """Returns uint8 (side, side, 3); Pillow's bilinear filter widens where an image shrinks."""
    return np.asarray(image.convert("RGB").resize((side, side), 2))  # 2: BILINEAR


class DraftFiles:
    """A map-style dataset of PyTorch; Pillow decodes JPEG at a reduced scale (`draft`)."""

    def __init__(self, rows: Sequence[Row], side: int) -> None:
        self.rows, self.side = rows, side

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> tuple[np.ndarray, int]:
        from PIL import Image

        path, label = self.rows[number]
        with Image.open(path) as image:
            image.draft("RGB", (self.side, self.side))
            return pillow_resized(image, self.side), label


def torch_loader(dataset: Any, job: Job, **options: Any) -> Any:
    import torch

    return torch.utils.data.DataLoader(
        dataset,
        num_workers=job["workers"],
        persistent_workers=True,
        prefetch_factor=4,
        **options,
    )


def open_torch_draft(job: Job) -> Epochs:
    dataset = DraftFiles(read_rows(job), job["side"])
    loader = torch_loader(dataset, job, batch_size=job["batch"], shuffle=True)
    return lambda: loader


def hf_resized(examples: Mapping[str, Any], *, side: int) -> dict[str, Any]:
    images = [pillow_resized(image, side) for image in examples["image"]]
    return {"image": images, "label": examples["label"]}


def open_hf(job: Job) -> Epochs:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import datasets

    table = datasets.load_from_disk(os.path.join(job["work"], "hf", "saved"))
    table = table.with_transform(functools.partial(hf_resized, side=job["side"]))
    loader = torch_loader(table, job, batch_size=job["batch"], shuffle=True)
    return lambda: ((batch["image"], batch["label"]) for batch in loader)


def open_webdataset(job: Job) -> Epochs:
    import webdataset

    tars = sorted(map(os.fspath, pathlib.Path(job["work"], "tars").glob("*.tar")))
    resized = functools.partial(pillow_resized, side=job["side"])
    dataset = (
        webdataset.WebDataset(tars, shardshuffle=len(tars))
        .shuffle(SHUFFLE_BUFFER // job["workers"])
        .decode("pil")
        .to_tuple("jpg", "cls")
        .map_tuple(resized, int)
        .batched(job["batch"])
    )
    loader = torch_loader(dataset, job, batch_size=None)
    return lambda: loader


def grain_resized(example: Mapping[str, Any], *, side: int) -> tuple[np.ndarray, int]:
    from PIL import Image

    return pillow_resized(Image.fromarray(example["image"]), side), int(example["label"])


def open_grain(job: Job) -> Epochs:
    """Reads the ArrayRecord files by TFDS's data source, which decodes.

    Its processes are started anew for each iteration, so one goes on over all epochs; a batch may
    hold the end of one and the start of the next.
    """
    import grain

    source = open_builder(job, "array_record").as_data_source("train")
    dataset = grain.MapDataset.source(source).seed(0).shuffle().repeat()
    dataset = dataset.map(functools.partial(grain_resized, side=job["side"]))
    dataset = dataset.to_iter_dataset(grain.ReadOptions(num_threads=4, prefetch_buffer_size=64))
    dataset = dataset.batch(job["batch"])
    dataset = dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=job["workers"]))
    iterator, num_batches = iter(dataset), -(-len(source) // job["batch"])
    return lambda: itertools.islice(iterator, num_batches)


def simplejpeg_decode(rows: Sequence[Row], *, side: int) -> list[int]:
    """Decodes files; `side` is the least height and width of the reduced image, 0 for all of it."""
    import simplejpeg

    for row in rows:
        data = pathlib.Path(row.path).read_bytes()
        # As TensorFlow decodes by default: the faster transformation, smooth colours.
        simplejpeg.decode_jpeg(data, min_height=side, min_width=side, fastdct=True)
    return [row.label for row in rows]


def open_limit(job: Job, *, side: int = 0) -> Epochs:
    """Processes that run already decode the files, and neither resize nor deliver them."""
    import multiprocessing

    pool = multiprocessing.get_context("spawn").Pool(job["workers"])
    pool.map(functools.partial(simplejpeg_decode, side=side), [[], []])
    parts = list(batched(read_rows(job), job["batch"]))

    def epoch() -> Iterator[Batch]:
        work = functools.partial(simplejpeg_decode, side=side)
        for labels in pool.imap_unordered(work, parts):
            yield None, labels

    return epoch


def open_limit_scaled(job: Job) -> Epochs:
    return open_limit(job, side=job["side"])


CONTENDERS = {
    "ours": Contender(open=open_ours),
    "ours_antialias": Contender(open=open_ours_antialias),
    "ours_full": Contender(open=open_ours_full),
    "ours_encoder": Contender(open=open_ours_encoder),
    "ours_files": Contender(open=open_ours_files, form=None),
    "ours_array_record": Contender(open=open_ours_array_record, form="array_record"),
    "tfds_default": Contender(open=open_tfds_default),
    "tfds_tuned": Contender(open=open_tfds_tuned),
    "tfds_by_hand": Contender(open=open_tfds_by_hand),
    "directory": Contender(open=open_directory, form="folders"),
    "files": Contender(open=open_files, form=None),
    "full_antialias": Contender(open=open_full_antialias, form=None),
    "torch_draft": Contender(open=open_torch_draft, form=None),
    "hf": Contender(open=open_hf, form="hf"),
    "webdataset": Contender(open=open_webdataset, form="tars"),
    "grain": Contender(open=open_grain, form="array_record", is_epoch=False),
    "limit": Contender(open=open_limit, form=None),
    "limit_scaled": Contender(open=open_limit_scaled, form=None),
}
