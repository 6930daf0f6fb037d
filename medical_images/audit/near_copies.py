"""Images that look the same: compressed, scaled, lightened or turned copies of one image.

Copies of the same bytes are found by every build. These here are found by perceptual hashes, of
which all pairs are compared (by faiss, of the extra `audit`). Every image is read and decoded once,
which takes longest. 100,000 hashes are compared in half a minute on two cores, ten times as many in
a hundred times as long; each takes less than 1 KB of memory.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from concurrent import futures
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from medical_images.audit.image_hashes import (
    NUM_BYTES,
    NUM_TURNS,
    WAVES,
    ImageHash,
    hash_of,
    turned,
    turned_waves,
)
from medical_images.dataset_index import KEY, absolute_slices, read_columns, resolve_builder
from medical_images.progress import progress_bar

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

MAX_DISTANCE = 32  # of 255 bits; images that have nothing to do with each other differ in about 125
_LEAST_ALIKE = 0.96  # correlation: 0.97 of a copy that has lost a margin, 0.95 of two drawn lesions
_MOST_PAIRS = 100_000
_COMPARED_AT_ONCE = 1 << 15
_HASHED_AT_ONCE, _SEARCHED_AT_ONCE = 256, 64
_PLACES = ["split_a", "number_a", "split_b", "number_b"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class NearCopies:
    """Pairs of images that look the same.

    Attributes:
      pairs: One line a pair: `split_a` and `number_a` (the split, and the number in written order,
        from 0), `split_b`, `number_b`, `distance` (bits that differ), `is_turned` (one is turned or
        reflected), `same_group` and `same_bytes`. Of very many pairs those across splits and across
        groups are kept first, then the nearest.
      max_distance: The largest distance of a pair.
      num_images: Images that were compared.
      num_flat: Images of one colour, which were not.
      num_unusable: Images that cannot be decoded.
      num_pairs: All pairs, also those that are not in `pairs`.
      num_images_in_pairs: Images that have a near copy.
      num_across_groups: Images that have one in another group.
      num_across_splits: Images that have one in another split.
    """

    pairs: pd.DataFrame = dataclasses.field(repr=False)
    max_distance: int
    num_images: int
    num_flat: int
    num_unusable: int
    num_pairs: int
    num_images_in_pairs: int
    num_across_groups: int
    num_across_splits: int

    def as_dict(self) -> dict[str, int]:
        """Returns the numbers, without the pairs."""
        told = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in told.items() if name != "pairs"}


def near_copies_of(
    builder: str | tfds.core.DatasetBuilder,
    split: Any = None,
    *,
    max_distance: int = MAX_DISTANCE,
    progress: bool = False,
) -> NearCopies:
    """Finds images of a dataset that look the same. All images are read and decoded once.

    Args:
      builder: A built dataset, its name such as `medical_images/mine`, or what `mi.from_corpus`
        returns.
      split: A split or slice in TFDS's notation; all splits by default.
      max_distance: How many of 255 bits may differ.
      progress: Whether to show bars.

    Raises:
      FileNotFoundError: The dataset has no index; it was not built by this package.
      ImportError: The extra `audit` is not installed.
      ValueError: `max_distance` is not from 0 to 60.

    Example:
      >>> near_copies_of('medical_images/phantom').num_across_groups  # doctest: +SKIP
      0
    """
    _refuse_distance(max_distance)
    require_faiss()
    builder = resolve_builder(builder)
    slices = absolute_slices(builder, split)
    places = read_columns(builder, split, [KEY]).rename(columns={KEY: "group"})
    places["split"] = [name for name, begin, end in slices for _ in range(begin, end)]
    places["number"] = [number for _, begin, end in slices for number in range(begin, end)]
    hashes = hash_images(_encoded(builder, split), len(places), progress=progress)
    return find_near_copies(hashes, places, max_distance=max_distance, progress=progress)


def hash_images(
    images: Iterable[bytes | None], num_images: int, *, progress: bool = False
) -> list[ImageHash | None]:
    """Hashes images, some at the same time.

    Args:
      images: JPEG or PNG files; None for one that cannot be used.
      num_images: How many they are.
      progress: Whether to show a bar.

    Returns:
      None for each that cannot be decoded.
    """
    hashes: list[ImageHash | None] = []
    remaining = iter(images)
    with (
        progress_bar(num_images, "Comparing images", is_shown=progress) as bar,
        futures.ThreadPoolExecutor() as pool,
    ):
        while some := list(itertools.islice(remaining, _HASHED_AT_ONCE)):
            hashes += pool.map(_hash_if_usable, some)
            bar.update(len(some))
    return hashes


def find_near_copies(
    hashes: Sequence[ImageHash | None],
    places: pd.DataFrame,
    *,
    max_distance: int = MAX_DISTANCE,
    progress: bool = False,
) -> NearCopies:
    """Finds pairs of images that look the same.

    Args:
      hashes: Of each image; None if it cannot be used.
      places: One line an image: `split`, `number` and `group` (equal for images of one group).
      max_distance: How many of 255 bits may differ.
      progress: Whether to show a bar.

    Raises:
      ImportError: The extra `audit` is not installed.
      ValueError: `max_distance` is not from 0 to 60, or there are not as many places as hashes.
    """
    _refuse_distance(max_distance)
    if len(hashes) != len(places):
        raise ValueError(f"{len(hashes)} hashes of images have {len(places)} places")
    usable = [number for number, found in enumerate(hashes) if found and not found.is_flat]
    kept = [found for found in map(hashes.__getitem__, usable) if found is not None]
    bits = np.frombuffer(b"".join(found.bits for found in kept), np.uint8).reshape(-1, NUM_BYTES)
    waves = np.array([found.waves for found in kept], np.float16).reshape(-1, WAVES, WAVES)
    images = places.iloc[usable].reset_index(drop=True)
    images["digest"] = np.array([found.digest for found in kept], np.uint64)
    none = pd.DataFrame({"a": [], "b": [], "distance": [], "is_turned": []}, dtype=np.int64)
    some, num_pairs = _told(none.astype({"is_turned": np.bool_}), images), 0
    has_copy = {name: np.zeros(len(images), np.bool_) for name in ("any", "group", "split")}
    for found in _pairs(bits, waves, max_distance, progress):
        if found.empty:
            continue
        told = _told(found, images)
        num_pairs += len(told)
        for name, is_meant in [
            ("any", np.ones(len(told), np.bool_)),
            ("group", ~told["same_group"].to_numpy()),
            ("split", (told["split_a"] != told["split_b"]).to_numpy()),
        ]:
            has_copy[name][told.loc[is_meant, ["a", "b"]].to_numpy().ravel()] = True
        some = _first_pairs(pd.concat([some, told], ignore_index=True))
    columns = [*_PLACES, "distance", "is_turned", "same_group", "same_bytes"]
    return NearCopies(
        pairs=some.reindex(columns=columns),
        max_distance=max_distance,
        num_images=len(images),
        num_flat=sum(found is not None and found.is_flat for found in hashes),
        num_unusable=sum(found is None for found in hashes),
        num_pairs=num_pairs,
        num_images_in_pairs=int(has_copy["any"].sum()),
        num_across_groups=int(has_copy["group"].sum()),
        num_across_splits=int(has_copy["split"].sum()),
    )


def _pairs(
    bits: npt.NDArray[np.uint8], waves: npt.NDArray[np.float16], max_distance: int, progress: bool
) -> Iterator[pd.DataFrame]:
    """Yields pairs of rows: `a` < `b`, `distance` and `is_turned`; each pair once."""
    index = require_faiss().IndexBinaryFlat(8 * NUM_BYTES)
    index.add(np.ascontiguousarray(bits))
    with progress_bar(len(bits), "Finding near copies", is_shown=progress, comes_late=True) as bar:
        for begin in range(0, len(bits), _SEARCHED_AT_ONCE):
            some = slice(begin, begin + _SEARCHED_AT_ONCE)
            queries = turned(bits[some])
            number = queries.shape[1]
            bounds, distances, neighbours = index.range_search(
                np.ascontiguousarray(queries.reshape(-1, NUM_BYTES)), max_distance + 1
            )
            query = np.repeat(np.arange(NUM_TURNS * number), np.diff(bounds.astype(np.int64)))
            found = pd.DataFrame(
                {
                    "a": begin + query % number,
                    "b": neighbours,
                    "distance": distances.astype(np.int64),
                    "is_turned": query >= number,
                }
            )
            is_later = (found["a"] < found["b"]).to_numpy()
            found, query = found[is_later], query[is_later]
            turns = np.concatenate(list(turned_waves(waves[some].astype(np.float32))))
            found = found[_likeness(turns, query, waves, found["b"].to_numpy()) >= _LEAST_ALIKE]
            found = found.sort_values(["a", "b", "distance", "is_turned"])
            yield found.drop_duplicates(["a", "b"])
            bar.update(number)


def _likeness(
    one: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    other: npt.NDArray[np.float16],
    other_rows: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32]:
    """The correlation of pairs of images, of float32 of shape (pairs,), from their frequencies."""
    found = np.empty(len(rows), np.float32)
    for begin in range(0, len(rows), _COMPARED_AT_ONCE):
        some = slice(begin, begin + _COMPARED_AT_ONCE)
        pair = one[rows[some]], other[other_rows[some]].astype(np.float32)
        found[some] = np.einsum("ijk,ijk->i", *pair)
    return found


def _told(found: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Returns pairs with what is known of their images."""
    a, b = (images.iloc[found[name]].reset_index(drop=True) for name in ("a", "b"))
    return found.reset_index(drop=True).assign(
        split_a=a["split"],
        number_a=a["number"],
        split_b=b["split"],
        number_b=b["number"],
        same_group=a["group"] == b["group"],
        same_bytes=a["digest"] == b["digest"],
    )


def _first_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """Returns the pairs to keep, in their order."""
    ordered = pairs.assign(same_split=pairs["split_a"] == pairs["split_b"]).sort_values(
        ["same_split", "same_group", "distance", *_PLACES], ignore_index=True
    )
    return ordered.head(_MOST_PAIRS).drop(columns="same_split")


def _encoded(builder: Any, split: Any) -> Iterator[bytes]:
    """Yields the files of the images of a slice, in written order."""
    import tensorflow_datasets as tfds

    from medical_images.reading import records_of

    image = tfds.features.FeaturesDict({"image": builder.info.features["image"]})
    skip = {"image": tfds.decode.SkipDecoding()}
    records = records_of(builder, split).map(
        lambda _, record: image.deserialize_example(record, decoders=skip)["image"]
    )
    yield from records.prefetch(_HASHED_AT_ONCE).as_numpy_iterator()


def _hash_if_usable(data: bytes | None) -> ImageHash | None:
    try:
        return None if data is None else hash_of(data)
    except (OSError, SyntaxError, ValueError):  # as Pillow has it of damaged files
        return None


def _refuse_distance(max_distance: int) -> None:
    if not 0 <= max_distance <= 60:  # images that are not alike begin to be found from about 60
        raise ValueError(f"`max_distance` is {max_distance}; it must be from 0 to 60")


def require_faiss() -> Any:
    """Returns the library that compares hashes.

    Raises:
      ImportError: The extra `audit` is not installed.
    """
    try:
        import faiss
    except ImportError:
        raise ImportError(
            "near copies are found with faiss; run: pip install 'medical_images[audit]'"
        ) from None
    return faiss
