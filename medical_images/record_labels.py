"""Which classes each record of a slice has, and what repeating records makes of their shares."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from medical_images.dataset_index import KEY


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Labels:
    """Which classes each record of a slice has.

    Attributes:
      names: The classes.
      present: bool (records, classes); a row of a class feature has one True at most, a row
        without any is unlabelled.
      groups: uint64 (records,), the key of each record's group, if known.
    """

    names: tuple[str, ...]
    present: np.ndarray
    groups: np.ndarray | None = None

    @classmethod
    def of(cls, index: pd.DataFrame, feature: str, names: Sequence[str]) -> Labels:
        """Reads the classes of a feature from the index.

        Args:
          index: What `mi.index` returns, or at least the columns `feature` and `_key`.
          feature: A class or labels feature.
          names: Its classes.

        Example:
          >>> cells = [['edema'], [], ['mass', 'edema']]
          >>> index = pd.DataFrame({'finding': cells, '_key': [7, 7, 9]})
          >>> Labels.of(index, 'finding', ['mass', 'edema']).present.astype(int).tolist()
          [[0, 1], [0, 0], [1, 1]]
        """
        cells = index[feature].reset_index(drop=True)
        cells = cells.explode() if cells.dtype == "object" else cells
        present = np.zeros((len(index), len(names)), bool, order="F")
        numbers = pd.Categorical(cells, categories=list(names)).codes
        told = numbers >= 0
        present[cells.index.to_numpy()[told], numbers[told]] = True
        groups = index[KEY].to_numpy(np.uint64) if KEY in index else None
        return cls(names=tuple(names), present=present, groups=groups)


def rebalancing_report(labels: Labels, copies: np.ndarray) -> pd.DataFrame:
    """Says what rebalancing makes of each class.

    Args:
      labels: The classes of the records.
      copies: (records,), how often each occurs: in one epoch, or on average.

    Returns:
      A line a class, and one named `(none)` if there are records without a class: `records` and
      `copies` that have it, with others or alone; their shares of all records and of all copies,
      `share_before` and `share_after`; and `factor`, copies for each record (NaN without records).

    Example:
      >>> present = np.array([[True, False], [True, False], [False, True]])
      >>> labels = Labels(names=('nv', 'mel'), present=present)
      >>> rebalancing_report(labels, np.array([1, 1, 2]))['factor'].to_dict()
      {'nv': 1.0, 'mel': 2.0}
    """
    names, present = labels.names, labels.present
    without = ~present.any(axis=1)
    if without.any():
        names, present = (*names, "(none)"), np.column_stack([present, without])
    result = pd.DataFrame(index=pd.Index(names, name="class"))
    result["records"] = present.sum(axis=0)
    result["copies"] = [copies[column].sum() for column in present.T]
    result["share_before"] = result["records"] / max(len(present), 1)
    result["share_after"] = result["copies"] / (copies.sum() or 1)
    result["factor"] = result["copies"] / result["records"].where(result["records"] > 0)
    return result
