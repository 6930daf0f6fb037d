"""The index: all metadata of the written examples, in written order, without pixels.

Each split has one Parquet file in the dataset's `index` folder. Counts, weights and leak checks of
any slice are read from it; no image is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from etils import epath

from medical_images.errors import nearest

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

FOLDER = "index"
GROUP, POSITION, SPLIT = "_group", "_position", "_split"


def write_index(
    records: pd.DataFrame,
    *,
    features: Mapping[str, list[str] | None],
    path: str | os.PathLike[str],
) -> None:
    """Writes the index of one split.

    Args:
      records: The records in written order.
      features: {feature: its classes, or None where it has none}.
      path: The Parquet file; its folder is made.
    """
    columns: dict[str, Any] = {}
    for name, classes in features.items():
        values = records[f"feature_{name}"]
        if classes is not None and values.dtype == "str":
            values = pd.Series(pd.Categorical(values, categories=classes))
        elif values.dtype == "object":
            values = values.map(_plain)
        columns[name] = values.reset_index(drop=True)
    columns[GROUP] = records["group"].reset_index(drop=True)
    columns[POSITION] = records["position"].reset_index(drop=True)
    table = pa.Table.from_pandas(pd.DataFrame(columns), preserve_index=False)
    target = epath.Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        pq.write_table(table, file, compression="zstd")


def _plain(value: tuple[Any, ...]) -> list[Any]:
    if value and isinstance(value[0], tuple):
        names = ("xmin", "ymin", "xmax", "ymax", "label")
        return [dict(zip(names, box, strict=True)) for box in value]
    return list(value)


def index(builder: str | tfds.core.DatasetBuilder, split: str | None = None) -> pd.DataFrame:
    """Reads the metadata of a slice.

    Args:
      builder: A built dataset, or its name such as `medical_images/mine`.
      split: A split or slice in TFDS's notation (`train`, `train[:10%]`, `train+test`), or a
        `tfds.core.ReadInstruction`; all splits by default.

    Returns:
      One line an example, in written order: the features (classes as names), `_split`, `_group`
      (blank: a group of its own) and `_position` (place of its group on the split's line, [0, 1)).

    Raises:
      FileNotFoundError: The dataset has no index; it was not built by this package.

    Example:
      >>> mi.index('medical_images/phantom', 'train[:10%]')  # doctest: +SKIP
    """
    builder = resolve_builder(builder)
    instructions = _absolute(builder, split)
    parts: list[pd.DataFrame] = []
    for name, begin, end in instructions:
        path = epath.Path(builder.data_dir) / FOLDER / f"{name}.parquet"
        if not path.exists():
            raise FileNotFoundError(f"{builder.info.full_name} has no index of split '{name}'")
        with path.open("rb") as file:
            whole = pq.read_table(file)
        part = whole.slice(begin, end - begin).to_pandas()
        part.insert(0, SPLIT, name)
        parts.append(part)
    if len(parts) == 1:
        return parts[0]
    return pd.concat(parts, ignore_index=True)


class ClassCounts(dict[str, int]):
    """How often each class occurs in a slice: {class: examples}, in the order of the classes.

    Attributes:
      feature: The class or labels feature counted.
      splits: The splits that the slice is of.
    """

    def __init__(self, counts: Mapping[str, int], *, feature: str, splits: tuple[str, ...]) -> None:
        super().__init__(counts)
        self.feature = feature
        self.splits = splits


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
    supervised = builder.info.supervised_keys
    feature = feature or (supervised[1] if supervised else None)
    if feature is None:
        raise ValueError("this dataset has no supervised feature; name one with `feature=`")
    classes = _class_features(builder)
    if feature not in classes:
        raise ValueError(f"'{feature}' is no feature of classes; {nearest(feature, classes)}")
    counts = index(builder, split)[feature].explode().value_counts()
    splits = tuple(dict.fromkeys(name for name, _, _ in _absolute(builder, split)))
    return ClassCounts(
        {name: int(counts.get(name, 0)) for name in classes[feature]},
        feature=feature,
        splits=splits,
    )


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


def _absolute(builder: tfds.core.DatasetBuilder, split: Any) -> list[tuple[str, int, int]]:
    """Resolves a slice as TFDS does, to (split, begin, end)."""
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
