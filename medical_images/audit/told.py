"""What a dataset tells of itself, as audits need it: index, kinds of features, label and groups."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from medical_images.dataset_index import GROUP, KEY, index, resolve_builder

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

CLASSES = ("class", "uncertain")
_MOST_WORDS = 30  # a text of so few different ones is a class that the spec does not declare


@dataclasses.dataclass(frozen=True, kw_only=True)
class Told:
    """What a dataset tells of itself.

    Attributes:
      index: Of all examples; see `mi.index`.
      metadata: See `info.metadata`.
    """

    index: pd.DataFrame = dataclasses.field(repr=False)
    metadata: Mapping[str, Any] = dataclasses.field(repr=False)

    @classmethod
    def by(cls, builder: str | tfds.core.DatasetBuilder) -> Told:
        """Reads it.

        Args:
          builder: A built dataset, its name, or what `mi.from_corpus` returns.

        Raises:
          FileNotFoundError: The dataset has no index; it was not built by this package.
        """
        builder = resolve_builder(builder)
        return cls(index=index(builder), metadata=builder.info.metadata or {})

    @property
    def spec(self) -> Mapping[str, Any]:
        """What it tells of its spec; empty for datasets of earlier versions."""
        found: Mapping[str, Any] = self.metadata.get("spec") or {}
        return found

    @property
    def certificate(self) -> Mapping[str, Any]:
        """Its certificate."""
        found: Mapping[str, Any] = self.metadata.get("certificate") or {}
        return found

    @functools.cached_property
    def kinds(self) -> dict[str, str]:
        """{feature: its type in the spec} of the features in the index."""
        features: Mapping[str, Mapping[str, Any]] = self.spec.get("features", {})
        return {name: told["type"] for name, told in features.items() if name in self.index}

    @property
    def group_columns(self) -> Sequence[str]:
        """The columns of the corpus that tell the group; none where each image is one."""
        found: Sequence[str] = self.spec.get("group") or ()
        return found

    @property
    def groups(self) -> pd.Series[Any]:
        """The key of each example's group."""
        return self.index[KEY]

    @functools.cached_property
    def label_name(self) -> str | None:
        """The feature of classes that is to be predicted, else the first one that is balanced."""
        strata = [stratum["feature"] for stratum in self.spec.get("stratify") or ()]
        for name in [self.spec.get("supervised"), *strata]:
            if name is not None and self.kinds.get(name) in (*CLASSES, "labels"):
                return str(name)
        return None

    @functools.cached_property
    def label(self) -> pd.Series[Any]:
        """Of each example, its class, or a tuple of them; missing where none is known."""
        assert self.label_name is not None
        return _plain(self.index[self.label_name])

    @property
    def _others(self) -> list[str]:
        """The features but the label; of type uncertain there are usually many labels."""
        kind = self.kinds.get(self.label_name or "")
        labels = {name for name in self.kinds if kind == self.kinds[name] == "uncertain"}
        return [name for name in self.kinds if name not in {self.label_name, *labels}]

    @functools.cached_property
    def classes(self) -> dict[str, pd.Series[Any]]:
        """The other features of one class an example, and texts of few different words."""
        names = [name for name in self._others if self.kinds[name] in (*CLASSES, "text", "int")]
        values = {name: _plain(self.index[name]) for name in names}
        return {
            name: column
            for name, column in values.items()
            if not _has_lists(column)
            and 1 < column.nunique() <= (_MOST_WORDS if self.kinds[name] not in CLASSES else 10**9)
        }

    @functools.cached_property
    def features(self) -> pd.DataFrame:
        """All features but the label, ids and boxes: numbers, classes, texts, tuples of them."""
        columns = {}
        for name in self._others:
            kind = self.kinds[name]
            if kind in ("id", "boxes", "mask"):
                continue
            column = self.index[name]
            if not isinstance(column.dtype, pd.CategoricalDtype):
                column = _plain(column)
            if kind == "date" and not _has_lists(column):
                days = pd.to_datetime(column, errors="coerce", format="ISO8601")
                column = (days - pd.Timestamp(0)) / pd.Timedelta(days=1)
            columns[name] = column
        return pd.DataFrame(columns, index=self.index.index)

    @functools.cached_property
    def ids(self) -> pd.DataFrame:
        """The ids of images, and those of groups as `(group)`, as texts."""
        names = [name for name, kind in self.kinds.items() if kind == "id"]
        found = self.index[names]
        if self.group_columns:
            found = found.assign(**{"(group)": self.index[GROUP]})
        return found


def _plain(column: pd.Series[Any]) -> pd.Series[Any]:
    """Categories as texts, lists as tuples."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.astype("object").where(column.notna(), None)
    if column.dtype == "object":
        return column.map(lambda cell: tuple(cell) if isinstance(cell, list | np.ndarray) else cell)
    return column


def _has_lists(column: pd.Series[Any]) -> bool:
    return column.dtype == "object" and bool(column.map(lambda c: isinstance(c, tuple)).any())
