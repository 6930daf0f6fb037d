"""What is counted of a plan for its certificate; the tallies of its parts add up. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from medical_images.facts import concat_rows
from medical_images.grouping import own_groups
from medical_images.join import feature_column
from medical_images.scheme import Scheme
from medical_images.spec import CorpusSpec
from medical_images.spec_feature_types import is_list
from medical_images.strata import IntArray

ClassCounts = dict[str, dict[str, int]]
_MODULUS = 2**256
# Columns that a plan adds, or that tell where a row stands; a plan is not made from them.
_MADE_HERE = frozenset({"key", "whole", "position", "table", "line", "lines"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tally:
    """What is counted of the records of all splits. Strata begin with all images.

    Attributes:
      images: int64 of shape (splits, 1 + strata).
      groups: int64 of shape (splits,), groups of which a split has images; copies join none.
      blank: int64 of shape (splits,), images without a group id.
      num_groups: Groups in all splits.
      num_overlapping: Those in more than one split.
      wholes: int64 of shape (1 + strata,), what must stay together.
      num_joined: How many of these are several groups, joined by copies.
      largest: Images of the largest of these in planned splits.
      copies: `copy` and `split`, the number of a split, of each record that is a copy of another.
      places: The sum of the hashes of path, split and position, modulo 2**256.
      inputs: The sum of the hashes of what the plan was made from.
    """

    images: IntArray
    groups: IntArray
    blank: IntArray
    num_groups: int
    num_overlapping: int
    wholes: IntArray
    num_joined: int
    largest: int
    copies: pd.DataFrame
    places: int
    inputs: int

    @classmethod
    def of(cls, records: pd.DataFrame, splits: IntArray, scheme: Scheme) -> Tally:
        """Counts a part of the records, all those of a `whole` in the same one.

        Args:
          records: With `whole` and `position`.
          splits: int64 of shape (records,), the number of each record's split in `scheme.names`.
          scheme: Splits and strata.
        """
        number = len(scheme.names)
        codes, _ = pd.factorize(records["whole"])
        own = own_groups(records)
        own_codes, own_ids = pd.factorize(own)
        pairs = np.unique(np.column_stack([own_codes, splits]), axis=0)
        strata = np.column_stack([np.ones(len(records), np.uint8), scheme.strata.matrix(records)])
        is_planned = splits < len(scheme.shares)
        return cls(
            images=np.array(
                [strata[splits == k].sum(axis=0, dtype=np.int64) for k in range(number)]
            ),
            groups=np.bincount(pairs[:, 1], minlength=number),
            blank=np.bincount(splits[(records["group"] == "").to_numpy()], minlength=number),
            num_groups=len(own_ids),
            num_overlapping=int((np.bincount(pairs[:, 0]) > 1).sum()),
            wholes=np.array([len(np.unique(codes[has > 0])) for has in strata.T]),
            num_joined=records.loc[(records["whole"] != own).to_numpy(), "whole"].nunique(),
            largest=int(np.bincount(codes[is_planned], minlength=1).max()),
            copies=_copies(records, splits),
            places=_hash_sum(_places(records, splits, scheme.names)),
            inputs=_hash_sum(_inputs(records)),
        )

    @classmethod
    def total(cls, parts: Iterable[Tally]) -> Tally:
        """Adds up all parts, of which there is at least one."""
        found = list(parts)
        return cls(
            images=np.sum([part.images for part in found], axis=0),
            groups=np.sum([part.groups for part in found], axis=0),
            blank=np.sum([part.blank for part in found], axis=0),
            num_groups=sum(part.num_groups for part in found),
            num_overlapping=sum(part.num_overlapping for part in found),
            wholes=np.sum([part.wholes for part in found], axis=0),
            num_joined=sum(part.num_joined for part in found),
            largest=max(part.largest for part in found),
            copies=concat_rows(part.copies for part in found),
            places=sum(part.places for part in found) % _MODULUS,
            inputs=sum(part.inputs for part in found) % _MODULUS,
        )

    @property
    def places_digest(self) -> str:
        """A hash of which image is in which split, and where on its line."""
        return hashlib.sha256(self.places.to_bytes(32, "little")).hexdigest()

    def inputs_digest(self, scheme: Scheme) -> str:
        """Returns a hash of all that a plan was made from.

        It covers the records (names and sizes of files, groups, official splits, copies, features),
        what the spec says of splits, strata, copies and the seed, and the dataset that was
        extended.
        """
        told = scheme.spec.model_dump_json(include={"splits", "stratify", "duplicates", "seed"})
        digest = hashlib.sha256(ascii([told, sorted(scheme.spec.features)]).encode())
        digest.update(self.inputs.to_bytes(32, "little"))
        if scheme.former is not None:
            groups = scheme.former.groups
            columns = [groups[name].tolist() for name in ("split", "key", "position")]
            digest.update(_hash_sum(zip(*columns, strict=True)).to_bytes(32, "little"))
        return digest.hexdigest()


def count_classes(records: pd.DataFrame, spec: CorpusSpec) -> ClassCounts:
    """Counts the classes of every class and labels feature.

    Returns:
      {feature: {class: images}}, with every declared class.
    """
    result = {}
    for name, classes in spec.classes.items():
        cells = records[feature_column(name)]
        if is_list(spec.features[name]):  # where votes were kept, a class may stand several times
            cells = cells.map(set).map(list).explode()
        counts = cells.value_counts()
        result[name] = {value: int(counts.get(value, 0)) for value in classes}
    return result


def add_classes(parts: Iterable[ClassCounts]) -> ClassCounts:
    """Adds up what `count_classes` returns of each part.

    Example:
      >>> add_classes([{'label': {'nv': 1, 'mel': 0}}, {'label': {'nv': 2, 'mel': 3}}])
      {'label': {'nv': 3, 'mel': 3}}
    """
    total: ClassCounts = {}
    for part in parts:
        for name, counts in part.items():
            before = total.setdefault(name, {})
            total[name] = {value: before.get(value, 0) + n for value, n in counts.items()}
    return total


def _copies(records: pd.DataFrame, splits: IntArray) -> pd.DataFrame:
    copies = records.get("copy", pd.Series("", index=records.index, dtype="str"))
    is_copy = (copies != "").to_numpy()
    return pd.DataFrame({"copy": copies[is_copy].array, "split": splits[is_copy]})


def _places(records: pd.DataFrame, splits: IntArray, names: Sequence[str]) -> Iterable[Any]:
    split = [names[number] for number in splits]
    return zip(records["path"].tolist(), split, records["position"].tolist(), strict=True)


def _inputs(records: pd.DataFrame) -> Iterable[Any]:
    names = sorted(
        name for name in records.columns if name not in _MADE_HERE and not name.startswith("_")
    )
    return zip(*(records[name].tolist() for name in names), strict=True)


def _hash_sum(rows: Iterable[Any]) -> int:
    """The sum of SHA-256 of each row, modulo 2**256: the order of the rows does not matter."""
    digests = b"".join(hashlib.sha256(ascii(row).encode()).digest() for row in rows)
    words = np.frombuffer(digests, dtype="<u4").reshape(-1, 8).sum(axis=0, dtype=np.uint64)
    return sum(int(word) << (32 * k) for k, word in enumerate(words)) % _MODULUS
