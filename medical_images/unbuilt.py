"""Datasets that are not built: the same examples in the same order, made whenever they are read.

A corpus is read, checked and planned as by a build, and then its image files are read as a build
would read them, each time anew. That spares the space and the wait of a build, and takes longer in
each epoch where images must be converted.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from etils import epath
from numpy.typing import ArrayLike
from tensorflow_datasets.core import splits as tfds_splits

from medical_images.corpus import CorpusInMemory, plan_corpus
from medical_images.dataset_index import FOLDER
from medical_images.errors import BuildError, nearest
from medical_images.medical_images_dataset_builder import Builder, MedicalImagesConfig
from medical_images.remote import in_words, storage_errors
from medical_images.spec import CorpusSpec
from medical_images.unbuilt_split import UnbuiltSplit, write_index

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_datasets as tfds

Spec = str | os.PathLike[str] | CorpusSpec | Mapping[str, Any]


@overload
def from_corpus(
    spec: Spec,
    split: None = None,
    *,
    root: str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> UnbuiltCorpus: ...


@overload
def from_corpus(
    spec: Spec,
    split: str | tfds.core.ReadInstruction,
    *,
    root: str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> tf.data.Dataset: ...


def from_corpus(
    spec: Spec,
    split: Any = None,
    *,
    root: str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> Any:
    """Reads a corpus as the dataset that would be built from it, without building it.

    Splits, order and every example are those of a build. Only what a build finds when it reads the
    images is not known before they are read: images that cannot be used count as all others, and
    reading stops at them, where a build lists them and plans without them. An image is checked when
    it is read first, so the first epoch takes longer than those after it; see `images: check` of
    the spec.

    Args:
      spec: The path of a `corpus.yaml`, or a `CorpusSpec`, or a mapping of its keys.
      split: A split or slice in TFDS's notation (`train[:10%]`), or a `tfds.core.ReadInstruction`;
        none for the whole corpus.
      root: The corpus root; by default `root:` of the spec.
      data_dir: Where TFDS looks for the dataset that `splits: {extend: ...}` names.

    Returns:
      With `split`, a `tf.data.Dataset` of its examples; see `UnbuiltCorpus.as_dataset`. Without, an
      `UnbuiltCorpus`, which `mi.load`, `mi.index`, `mi.class_counts`, `mi.slices`, `mi.folds` and
      `mi.certificate` take in place of a builder.

    Raises:
      CorpusError: The corpus cannot be used as it is, as when it is built.
      BuildError: It cannot be read now.

    Example:
      >>> import medical_images as mi
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     corpus = from_corpus(mi.write_phantom(folder, num_images=100, height=24, width=32))
      ...     print(len(corpus.as_dataset('train[:10%]')), mi.class_counts(corpus, 'train')['nv'])
      8 53
    """
    config = MedicalImagesConfig(
        spec=os.fspath(spec) if isinstance(spec, os.PathLike) else spec,
        root=None if root is None else os.fspath(root),
    )
    assert config.loaded is not None
    former_dir = None if data_dir is None else os.fspath(data_dir)
    try:
        planned = plan_corpus(config.loaded, data_dir=former_dir)
    except storage_errors() as error:
        raise BuildError(f"the corpus cannot be read: {in_words(error)}") from None
    corpus = UnbuiltCorpus(planned, config)
    return corpus if split is None else corpus.as_dataset(split)


class UnbuiltCorpus:
    """A dataset that is not built, in the place of its builder. `print` shows what was found.

    Several threads may read from it.

    Args:
      planned: The corpus.
      config: The config that it would be built with.

    Attributes:
      info: What the `info` of the builder would be: features, splits and their sizes (in bytes,
        those of image files), supervised keys, and as metadata the class counts, the certificate
        and the counts of rejects, as they were planned.
      data_dir: A folder of this object, for its owner only, which holds the index. It is removed
        with the object, at the latest when the process ends: TensorFlow keeps what it reads from.

    Raises:
      BuildError: The index cannot be written.
    """

    def __init__(self, planned: CorpusInMemory, config: MedicalImagesConfig) -> None:
        folder = tempfile.mkdtemp(prefix="medical_images_")
        weakref.finalize(self, _remove, folder, os.getpid())
        builder = Builder(config=config, data_dir=folder)
        self.info: tfds.core.DatasetInfo = builder.info
        self.data_dir: str = builder.data_dir
        self._summary, spec = planned.summary(), planned.accepted.loaded.spec
        self._splits = {
            name: UnbuiltSplit(name, records, planned.accepted.loaded)
            for name, records in planned.plan.splits.items()
        }
        cut = planned.cut(lambda sizes: [(0, len(sizes))])
        self.info.metadata.update(planned.metadata(cut, counters={}))
        self.info.set_splits(
            tfds_splits.SplitDict([part.split_info for part in self._splits.values()])
        )
        try:
            for name, records in planned.plan.splits.items():
                write_index(name, records, spec, epath.Path(self.data_dir) / FOLDER)
        except storage_errors() as error:
            raise BuildError(f"{self.data_dir} cannot be written: {in_words(error)}") from None

    def fetch(self, split_name: str, positions: ArrayLike) -> list[bytes]:
        """Reads examples by their positions.

        An image that was found good is checked in full again only if its file was changed since.

        Args:
          split_name: The name of a split.
          positions: int64 of shape (records,), from 0, in written order.

        Returns:
          Their serialised `tf.train.Example`s, the very bytes that a build writes.

        Raises:
          ValueError: There is no such split.
          IndexError: It has no such position.
          BuildError: An image cannot be used or cannot be read now. The message names its row, not
            its file.
        """
        if split_name not in self._splits:
            raise ValueError(f"no split '{split_name}'; {nearest(split_name, self._splits)}")
        return self._splits[split_name].fetch(np.asarray(positions, np.int64))

    def as_dataset(
        self,
        split: str | tfds.core.ReadInstruction,
        *,
        decoders: Any = None,
        as_supervised: bool = False,
    ) -> tf.data.Dataset:
        """Reads a slice as `as_dataset` of the builder does, in written order.

        TFDS takes records of several shards in turn, unless it is told to read one after the other
        (`read_config=tfds.ReadConfig(interleave_cycle_length=1)`); here, there are no shards.

        Args:
          split: A split or slice in TFDS's notation, or a `tfds.core.ReadInstruction`.
          decoders: TFDS's, such as `{'image': tfds.decode.SkipDecoding()}`.
          as_supervised: Whether elements are (image, supervised feature).

        Returns:
          Feature dicts with the shapes and types of `info.features`; or pairs of them. Where an
          image cannot be used, iteration ends with a TensorFlow error that names its row.

        Raises:
          ValueError: There is no such split, or nothing is supervised.
        """
        import tensorflow as tf

        from medical_images.reading import records_of

        features, keys = self.info.features, self.info.supervised_keys
        if as_supervised and not keys:
            raise ValueError(f"{self.info.full_name} has no supervised feature; set `supervised:`")

        def decode(_: tf.Tensor, serialized: tf.Tensor) -> Any:
            example = features.deserialize_example(serialized, decoders=decoders)
            return tuple(example[key] for key in keys) if as_supervised else example

        records = records_of(self, split)
        decoded = records.map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return decoded.prefetch(tf.data.AUTOTUNE)

    def __str__(self) -> str:
        return f"{self.info.full_name}, not built\n{self._summary}"


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # not in processes that were forked
        shutil.rmtree(folder, ignore_errors=True)
