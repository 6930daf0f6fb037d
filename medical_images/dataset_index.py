"""The index: all metadata of the written examples, in written order, without pixels.

Each split has one Parquet file in the dataset's `index` folder. Counts, weights, leak checks and
slices between groups are read from it; no image is. A later dataset that extends this one reads
from it where the groups stand.
"""

from __future__ import annotations

import functools
import json
import operator
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from etils import epath

from medical_images.errors import Problem, SpecError, nearest
from medical_images.paths import joined
from medical_images.remote import open_to_read

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

FOLDER = "index"
GROUP, KEY, POSITION, SPLIT = "_group", "_key", "_position", "_split"
_NO_FORMER = "The dataset to extend cannot be read"
OURS = b"medical_images"  # the key of the metadata of the Parquet schema that is this package's


def index(builder: str | tfds.core.DatasetBuilder, split: str | None = None) -> pd.DataFrame:
    """Reads the metadata of a slice.

    Args:
      builder: A built dataset, or its name such as `medical_images/mine`.
      split: A split or slice in TFDS's notation (`train`, `train[:10%]`, `train+test`), or a
        `tfds.core.ReadInstruction`; all splits by default.

    Returns:
      One line an example, in written order: the features but masks (classes as names, none for
      -1), `_split`, `_group` (blank: a group of its own), `_key` (uint64, the keyed hash of its
      group, also of a blank one) and `_position` (place of its group on the split's line, [0, 1)).

    Raises:
      FileNotFoundError: The dataset has no index; it was not built by this package.

    Example:
      >>> mi.index('medical_images/phantom', 'train[:10%]')  # doctest: +SKIP
    """
    builder = resolve_builder(builder)
    parts: list[pd.DataFrame] = []
    for name, begin, end in absolute_slices(builder, split):
        part = _read(builder, name).slice(begin, end - begin).to_pandas()
        part.insert(0, SPLIT, name)
        parts.append(part)
    if len(parts) == 1:
        return parts[0]
    return pd.concat(parts, ignore_index=True)


def group_places(builder: tfds.core.DatasetBuilder, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads where the groups of a whole split stand.

    Args:
      builder: A built dataset.
      split: The name of a split.

    Returns:
      Of each example, in written order: the position of its group (float64) and the key of its
      group (uint64).

    Raises:
      FileNotFoundError: The dataset has no index; it was not built by this package.
      ValueError: The index is that of an earlier version of this package, without keys.
    """
    table = _read(builder, split, columns=[POSITION, KEY])
    return table[POSITION].to_numpy(), table[KEY].to_numpy()


class ClassCounts(dict[str, int]):
    """How often each class occurs in a slice: {class: examples}, in the order of the classes.

    Attributes:
      feature: The class or labels feature counted.
      splits: The splits that the slice is of.
      unlabelled: The examples without a class.
      num_examples: All examples. Of a labels feature, one may count for several classes.
    """

    def __init__(
        self,
        counts: Mapping[str, int],
        *,
        feature: str,
        splits: tuple[str, ...],
        unlabelled: int = 0,
        num_examples: int | None = None,
    ) -> None:
        super().__init__(counts)
        self.feature = feature
        self.splits = splits
        self.unlabelled = unlabelled
        self.num_examples = (
            sum(counts.values()) + unlabelled if num_examples is None else num_examples
        )


def class_counts(
    builder: str | tfds.core.DatasetBuilder, split: str = "train", feature: str | None = None
) -> ClassCounts:
    """Counts the classes of a slice, from the index.

    Args:
      builder: A built dataset, or its name.
      split: A split or slice in TFDS's notation.
      feature: A class or labels feature; the supervised one by default.

    Returns:
      {class: examples}, with every declared class.

    Raises:
      ValueError: The dataset has no such feature of classes.

    Example:
      >>> mi.class_counts('medical_images/phantom', 'train')['df']  # doctest: +SKIP
      18
    """
    builder = resolve_builder(builder)
    feature, names = label_of(builder, feature)
    cells = read_columns(builder, split, [feature])[feature]
    num_examples = len(cells)
    if cells.dtype == "object":  # lists, in which a class may stand several times
        cells = cells.map(set).map(list).explode()
    counts = cells.value_counts()
    splits = tuple(dict.fromkeys(name for name, _, _ in absolute_slices(builder, split)))
    return ClassCounts(
        {name: int(counts.get(name, 0)) for name in names},
        feature=feature,
        splits=splits,
        unlabelled=num_examples - cells.dropna().index.nunique(),
        num_examples=num_examples,
    )


def label_of(
    builder: tfds.core.DatasetBuilder, feature: str | None = None, *, argument: str = "feature"
) -> tuple[str, list[str]]:
    """Returns a class or labels feature, the supervised one by default, and its classes.

    Args:
      builder: A built dataset.
      feature: The feature.
      argument: What the caller calls it, for messages.

    Raises:
      ValueError: The dataset has no such feature of classes.
    """
    supervised = builder.info.supervised_keys
    feature = feature or (supervised[1] if supervised else None)
    if feature is None:
        raise ValueError(f"this dataset has no supervised feature; name one with `{argument}=`")
    classes = _class_features(builder)
    if feature not in classes:
        raise ValueError(f"'{feature}' is no feature of classes; {nearest(feature, classes)}")
    return feature, classes[feature]


def read_columns(
    builder: tfds.core.DatasetBuilder, split: Any, columns: Sequence[str]
) -> pd.DataFrame:
    """Reads some columns of a slice, as `index` returns them."""
    parts = [
        _read(builder, name, columns=list(columns)).slice(begin, end - begin).to_pandas()
        for name, begin, end in absolute_slices(builder, split)
    ]
    result: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return result


def _class_features(builder: tfds.core.DatasetBuilder) -> dict[str, list[str]]:
    """Returns {feature: classes} of the class and labels features."""
    result = {}
    for name, connector in builder.info.features.items():
        names = getattr(getattr(connector, "feature", connector), "names", None)
        if names:
            result[name] = names
    return result


def resolve_builder(builder: str | tfds.core.DatasetBuilder) -> tfds.core.DatasetBuilder:
    """Returns the builder of a dataset named by a string."""
    if isinstance(builder, str):
        import tensorflow_datasets as tfds

        return tfds.builder(builder)
    return builder


def absolute_slices(builder: tfds.core.DatasetBuilder, split: Any) -> list[tuple[str, int, int]]:
    """Resolves a slice, or a sum of them, as TFDS does: to (split, begin, end)."""
    import tensorflow_datasets as tfds

    infos = builder.info.splits
    if split is None:
        return [(name, 0, info.num_examples) for name, info in infos.items()]
    if isinstance(split, str):
        split = tfds.core.ReadInstruction.from_spec(split)
    result = []
    for part in split.to_absolute(infos):
        size = infos[part.splitname].num_examples
        begin = 0 if part.from_ is None else part.from_
        end = size if part.to is None else part.to
        result.append((part.splitname, begin, end))
    return result


def num_records(builder: tfds.core.DatasetBuilder, split: Any) -> int:
    """Returns how many examples a slice has."""
    return sum(end - begin for _, begin, end in absolute_slices(builder, split))


def instruction_of(slices: Iterable[tuple[str, int, int]]) -> tfds.core.ReadInstruction:
    """Returns what reads (split, begin, end), one after the other."""
    import tensorflow_datasets as tfds

    terms = [
        tfds.core.ReadInstruction(name, from_=begin, to=end, unit="abs")
        for name, begin, end in slices
    ]
    return functools.reduce(operator.add, terms)


def read_former(
    former: str | os.PathLike[str],
    *,
    base: str | os.PathLike[str] = ".",
    data_dir: str | None = None,
    where: str = "splits.extend",
) -> tuple[pd.DataFrame, int, tuple[str, ...], str | None]:
    """Reads where the groups of an existing dataset stand, so that a new one can leave them there.

    Args:
      former: The dataset's folder (which holds `dataset_info.json`), the folder of its index, or
        its name in TFDS such as `medical_images/mine:1.0.0`.
      base: The folder that a relative path is relative to.
      data_dir: Where TFDS looks for a name; its own default if None.
      where: The place of `former` in the spec, for messages.

    Returns:
      One line a group, split by split in written order: `split`, `key` (uint64) and `position`
      (float64, its place on the split's line); the seed that the keys were made with; the columns
      that told the groups; and the check value of the key of its pseudonyms, None without any. A
      group in several splits, as official ones may have it, is told of the first by name.

    Raises:
      SpecError: There is no such dataset, it was not built by this package, or it was cut short.
    """
    folder = _former_index(os.fspath(former), os.fspath(base), data_dir)
    files = sorted(folder.glob("*.parquet")) if folder else []
    problem = None
    if not files:
        what = f"'{former}' is neither the folder of a dataset of this package nor its name in TFDS"
        remedy = "name the folder that holds its dataset_info.json, or medical_images/NAME:VERSION"
        problem = Problem(where=where, what=what, remedy=remedy)
    parts: list[pd.DataFrame] = []
    told: dict[str, Any] = {}
    for file in files:
        try:
            table = _read_parquet(file, [KEY, POSITION])
            told = json.loads((table.schema.metadata or {})[OURS])
        except (KeyError, ValueError):  # Arrow's error of what is not Parquet is a ValueError
            what = f"'{former}' has no index of keys; an earlier version of this package built it"
            problem = Problem(where=where, what=what, remedy="build it again")
            break
        if not told["is_whole"]:
            what = f"'{former}' holds only the first images of its corpus"
            problem = Problem(where=where, what=what, remedy="build it whole")
            break
        part = table.select([KEY, POSITION]).to_pandas()
        part.columns = pd.Index(["key", "position"])
        part.insert(0, "split", file.stem)
        parts.append(part)
    if problem:
        raise SpecError([problem], headline=_NO_FORMER)
    groups = pd.concat(parts).drop_duplicates("key", ignore_index=True)
    return groups, int(told["seed"]), tuple(told["group"]), told.get("key_check")


def former_folder(former: str, *, base: str = ".", data_dir: str | None = None) -> str:
    """Returns the folder that a former dataset is, or was, in, whether it is there or not.

    Example:
      >>> former_folder('medical_images/mine:1.0.0', base='/corpora', data_dir='/data')
      '/data/medical_images/mine/1.0.0'
      >>> former_folder('../v1/index', base='/corpora/v2')
      '/corpora/v1'
    """
    if data_dir is not None and re.fullmatch(r"\w+/[\w.-]+:\d+\.\d+\.\d+", former):
        return os.path.join(data_dir, former.replace(":", "/"))
    return joined(base, former).removesuffix(f"/{FOLDER}")


def _former_index(former: str, base: str, data_dir: str | None) -> epath.Path | None:
    """Returns the index of a dataset that is named by its path or by its name in TFDS."""
    folder = epath.Path(former_folder(former, base=base, data_dir=data_dir)) / FOLDER
    if folder.is_dir():
        return folder
    import tensorflow_datasets as tfds

    try:
        return epath.Path(tfds.builder(former, data_dir=data_dir).data_dir) / FOLDER
    except (ValueError, tfds.core.DatasetNotFoundError):  # TFDS knows no such name
        return None


def _read(
    builder: tfds.core.DatasetBuilder, split: str, columns: list[str] | None = None
) -> pa.Table:
    path = epath.Path(builder.data_dir) / FOLDER / f"{split}.parquet"
    if not path.exists():
        raise FileNotFoundError(f"{builder.info.full_name} has no index of split '{split}'")
    try:
        return _read_parquet(path, columns)
    except KeyError as error:
        raise ValueError(
            f"the index of {builder.info.full_name} has no column {error}; an earlier version of"
            " this package built it: build it again"
        ) from None


def _read_parquet(path: epath.Path, columns: list[str] | None = None) -> pa.Table:
    """Reads a Parquet file; KeyError for a column that it does not have."""
    with open_to_read(path) as opened:
        file = pq.ParquetFile(opened)
        for column in columns or ():
            if column not in file.schema_arrow.names:
                raise KeyError(column)
        return file.read(columns=columns)
