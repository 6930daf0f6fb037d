"""The index is written beside the shards: a part for each, put together in the end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from etils import epath
from tensorflow_datasets.core.utils import py_utils

from medical_images.dataset_index import GROUP, KEY, OURS, POSITION
from medical_images.join import feature_column
from medical_images.paths import is_remote
from medical_images.read_ahead import map_files
from medical_images.remote import open_to_read, open_to_write
from medical_images.spec import (
    BoxesFeature,
    ClassFeature,
    CorpusSpec,
    DateFeature,
    Feature,
    FloatFeature,
    IdFeature,
    IntFeature,
    LabelsFeature,
    MaskFeature,
    TextFeature,
    UncertainFeature,
)
from medical_images.spec_feature_types import is_list

_BOX = ("xmin", "ymin", "xmax", "ymax", "label")


def write_index_part(records: pd.DataFrame, spec: CorpusSpec, path: epath.Path) -> None:
    """Writes what the index holds of the records of one shard, as an Arrow file.

    Args:
      records: In written order; beside the features `group`, `key` (uint64, the keyed hash of the
        record's own group, also where that is blank) and `position`.
      spec: The features.
      path: The file.
    """
    columns: dict[str, Any] = {}
    for name in _types(spec):
        values, classes = records[feature_column(name)], spec.classes.get(name)
        if classes is not None and values.dtype == "str":
            told = values.where(values != "")  # a state that is to be masked is missing
            values = pd.Series(pd.Categorical(told, categories=classes))
        elif values.dtype == "object":
            values = values.map(_plain)
        columns[name] = values.reset_index(drop=True)
    for name, column in ((GROUP, "group"), (KEY, "key"), (POSITION, "position")):
        columns[name] = records[column].reset_index(drop=True)
    table = pa.Table.from_pandas(pd.DataFrame(columns), _schema(spec), preserve_index=False)
    with (
        py_utils.incomplete_file(path) as temporary,
        open_to_write(temporary) as file,
        pa.ipc.new_file(file, table.schema) as writer,
    ):
        writer.write_table(table)


def merge_index(
    parts: Sequence[epath.Path], path: epath.Path, spec: CorpusSpec, *, is_whole: bool = True
) -> int:
    """Puts the parts of one split together to its Parquet file, a row group for each shard.

    Args:
      parts: In the order of the shards; a few are held in memory at a time.
      path: The Parquet file; its folder is made.
      spec: What the dataset was made for; the index tells its seed, the columns of groups and the
        check value of the key of pseudonyms.
      is_whole: Whether the dataset holds all images of its corpus; a part cannot be extended.

    Returns:
      The number of examples.
    """
    told = {
        "seed": spec.seed,
        "group": list(spec.group),
        "is_whole": is_whole,
        "key_check": spec.privacy.key_check,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    num_examples = 0
    with open_to_write(path) as file:
        writer = None
        for table in map_files(_read_part, parts, is_remote=is_remote(path)):
            if writer is None:
                ours = {OURS: json.dumps(told).encode()}
                schema = table.schema.with_metadata({**table.schema.metadata, **ours})
                writer = pq.ParquetWriter(file, schema, compression="zstd")
            writer.write_table(table, row_group_size=len(table))
            num_examples += len(table)
        if writer is not None:
            writer.close()
    return num_examples


def _read_part(part: epath.Path) -> pa.Table:
    with open_to_read(part) as file:
        return pa.ipc.open_file(file).read_all()


def _schema(spec: CorpusSpec) -> pa.Schema:
    """Types that do not depend on the values, so that all parts have the same."""
    ours = {GROUP: pa.large_string(), KEY: pa.uint64(), POSITION: pa.float64()}
    return pa.schema(list((_types(spec) | ours).items()))


def _types(spec: CorpusSpec) -> dict[str, pa.DataType]:
    """Returns the types of all features but masks."""
    types = {}
    for name, feature in spec.features.items():
        if is_list(feature):
            types[name] = pa.list_(_type(feature, in_list=True))
        elif not isinstance(feature, MaskFeature):
            types[name] = _type(feature)
    return types


def _type(feature: Feature, *, in_list: bool = False) -> pa.DataType:
    match feature:
        case ClassFeature() | LabelsFeature() | UncertainFeature():
            if in_list:
                return pa.string()
            numbers = pa.int8() if len(feature.values) <= 128 else pa.int32()
            return pa.dictionary(numbers, pa.large_string())
        case BoxesFeature():
            corners = [(name, pa.float64()) for name in _BOX[:4]]
            return pa.list_(pa.struct([*corners, (_BOX[4], pa.string())]))
        case FloatFeature():
            return pa.float64()
        case IntFeature():
            return pa.int64()
        case TextFeature() | DateFeature() | IdFeature():
            return pa.large_string()
        case MaskFeature():
            raise TypeError("the index has no masks")


def _plain(value: tuple[Any, ...]) -> list[Any]:
    if value and isinstance(value[0], tuple):
        return [dict(zip(_BOX, box, strict=True)) for box in value]
    return [None if cell == "" else cell for cell in value]
