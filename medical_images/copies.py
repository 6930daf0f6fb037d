"""Copies: images of the same bytes under several names, found and dealt with.

Of slices, frames and other arrays in one file, the pixels are compared.
A corpus may hold one image twice, of one patient under two ids even. Such copies in two splits leak
just as images of one patient do.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from etils import epath

from medical_images.errors import ImageError
from medical_images.image_kinds import kind_of
from medical_images.images import none_unread
from medical_images.join import Joined, feature_column
from medical_images.members import frame_of, is_member, read
from medical_images.opening import open_below
from medical_images.paths import is_remote
from medical_images.progress import progress_bar
from medical_images.read_ahead import map_files
from medical_images.rejects import Outcome
from medical_images.remote import storage_errors
from medical_images.spec import CorpusSpec
from medical_images.spec_images import Images

COPY = "copy"
COPY_CODES = ("copy_conflict", "image_copy")  # of the log
_BLOCK = 4096  # bytes of a sample; files begin alike (headers), so it is not taken from there
_SMALL = 16 * _BLOCK  # files of up to as many bytes are read whole at once
ReadAt = Callable[[int, int], bytes]


def find_copies(
    root: str, records: pd.DataFrame, images: Images, *, show_progress: bool = True
) -> pd.Series[str]:
    """Finds images whose files have the same bytes.

    A file is opened only if another one has its size. Of larger files samples are compared first:
    a block from the middle and one from the end. What is equal so far is compared whole.

    Args:
      root: The corpus root, local or remote.
      records: One line an image, with `path` and `num_bytes`.
      images: What `members.read` needs, and `dicom.pixels.read_pixels`.
      show_progress: Whether a bar tells of work that takes long.

    Returns:
      For each record the digest of its bytes (BLAKE2b, 32 hexadecimal digits) where another record
      has the same bytes, else "". It is "" too where a file is gone, which the writing of the
      shards will tell.

    Raises:
      BuildError: Files cannot be read, so that they may be copies or not.
    """
    is_shared = records["num_bytes"].duplicated(keep=False)
    samples = digest_samples(root, records, is_shared, images, show_progress=show_progress)
    return compare_samples(root, records, samples, images, show_progress=show_progress)


def digest_samples(
    root: str,
    records: pd.DataFrame,
    is_shared: pd.Series[bool],
    images: Images,
    *,
    show_progress: bool = True,
) -> pd.Series[str]:
    """Does the first half of `find_copies`, also for a part of all records.

    Args:
      root: The corpus root.
      records: The records.
      is_shared: Whether another record, of this part or not, has the same `num_bytes`.
      images: See `find_copies`.
      show_progress: Whether a bar tells of work that takes long.

    Returns:
      For each record that shares its size a digest of a sample, else "".
    """
    digests = _digests(records[is_shared], root, images, _sample, show_progress=show_progress)
    return digests.reindex(records.index, fill_value="").astype("str")


def compare_samples(
    root: str,
    records: pd.DataFrame,
    samples: pd.Series[str],
    images: Images,
    *,
    show_progress: bool = True,
) -> pd.Series[str]:
    """Does the second half of `find_copies`, also for a part of all records.

    Args:
      root: The corpus root.
      records: The records; all those of one sample are among them.
      samples: What `digest_samples` returns of each.
      images: See `find_copies`.
      show_progress: Whether a bar tells of work that takes long.
    """
    alike = _alike(records[["path", "num_bytes"]].assign(digest=samples))
    is_small = alike["num_bytes"] <= _SMALL
    large = alike[~is_small]
    whole = _digests(large, root, images, _whole, show_progress=show_progress)
    large = _alike(large.assign(digest=whole))
    found = pd.concat([alike[is_small], large])
    firsts = found.drop_duplicates("digest")
    kinds = _digests(firsts, root, images, _kind, show_progress=show_progress)
    # One page of a web server, saved as many images, is no copy of an image.
    digests = found["digest"].mask(found["digest"].isin(firsts["digest"][kinds == ""]), "")
    return digests.reindex(records.index, fill_value="").astype("str").rename(COPY)


def apply_copies(joined: Joined, digests: pd.Series[str], spec: CorpusSpec) -> Joined:
    """Deals with copies as `duplicates` of the spec says. Pure.

    Copies that disagree on the supervised feature, or on a class or labels feature to stratify, are
    all rejected (`copy_conflict`): one of their labels is wrong, and none says which. Of all other
    copies, the first by path stands for the image, and the others are listed (`image_copy`): noted
    under `group`, where they stay in one split, and under `report`; rejected under `reject`. Under
    `report` those that disagree are noted too.

    Args:
      joined: Records and log of the join.
      digests: Of each record, what `find_copies` returns.
      spec: `duplicates`, `supervised` and `stratify`.

    Returns:
      The records that are left, with a column `copy` (the same text for copies of one image, ""
      where a record has none), and the log with an entry for each row of an image that was listed;
      its value is the path of the first copy.
    """
    records = joined.records.assign(**{COPY: digests})
    at_fault = _disagreements(records, spec)
    is_later = (records[COPY] != "") & records[COPY].duplicated()
    conflict: Outcome = "noted" if spec.duplicates == "report" else "rejected"
    later: Outcome = "rejected" if spec.duplicates == "reject" else "noted"
    listed = [
        (conflict, "copy_conflict", name, at_fault == name)
        for name in at_fault[at_fault != ""].unique()
    ]
    listed.append((later, "image_copy", "", is_later & (at_fault == "")))
    first = records.groupby(COPY)["path"].transform("first")
    entries = records[["table", "path"]].assign(
        value=first, line=records.get("lines", records["line"])
    )
    log, is_kept = joined.log, pd.Series(True, index=records.index)
    for outcome, code, name, mask in listed:
        log = log.adding(
            outcome=outcome,
            code=code,
            kind="row",
            entries=entries[mask].explode("line", ignore_index=True),
            column=spec.features[name].columns(name)[0] if name else "",
        )
        is_kept &= ~mask if outcome == "rejected" else True
    records = records[is_kept].reset_index(drop=True)
    if spec.duplicates == "reject":
        records[COPY] = ""  # of each image one is left
    return dataclasses.replace(joined, records=records, log=log)


def _disagreements(records: pd.DataFrame, spec: CorpusSpec) -> pd.Series[str]:
    """Returns the first feature on which the copies of each record disagree, or ""."""
    strata = [stratum.feature for stratum in spec.stratify if stratum.feature in spec.classes]
    supervised = [spec.supervised] if spec.supervised and spec.supervised not in spec.masks else []
    names = dict.fromkeys([*supervised, *strata])
    at_fault = pd.Series("", index=records.index, dtype="str")
    copies = records[records[COPY] != ""]
    for name in reversed(names):
        versions = copies[[COPY, feature_column(name)]].drop_duplicates()[COPY]
        clashing = versions[versions.duplicated()]
        at_fault = at_fault.mask(records[COPY].isin(clashing), name)
    return at_fault


def _alike(files: pd.DataFrame) -> pd.DataFrame:
    """Returns the files that share their size and their digest with another."""
    files = files[files["digest"] != ""]
    return files[files.duplicated(["num_bytes", "digest"], keep=False)]


def _digests(
    files: pd.DataFrame,
    root: str,
    images: Images,
    digest: Callable[[ReadAt, int], str],
    *,
    show_progress: bool,
) -> pd.Series[str]:
    """Returns the digest of each file, "" of one that is gone or cannot be used."""

    def digest_of(file: tuple[str, int]) -> str | Exception:
        path, num_bytes = file
        try:
            if is_member(root, path, images):
                return _digest_of_member(root, path, images, digest)
            with _open(root, path) as read_at:
                return digest(read_at, num_bytes)
        except (FileNotFoundError, ImageError):
            return ""
        except storage_errors() as error:
            return error

    items = list(zip(files["path"].tolist(), files["num_bytes"].tolist(), strict=True))
    found: list[str | Exception] = []
    with progress_bar(len(files), "Comparing", is_shown=show_progress, comes_late=True) as bar:
        for one in map_files(digest_of, items, is_remote=is_remote(root)):
            found.append(one)
            bar.update()
    digests = none_unread(found, so_that="it is not known what is a copy")
    return pd.Series(digests, index=files.index, dtype="str")


def _digest_of_member(
    root: str, path: str, images: Images, digest: Callable[[ReadAt, int], str]
) -> str:
    """Returns the digest of encoded bytes as if they were a file, else that of the pixels."""
    found = read(root, path, images)
    _, frame = frame_of(root, path, images)
    if frame is not None and isinstance(found, bytes):
        from medical_images.dicom.pixels import read_pixels

        found = read_pixels(found, images, frame=frame)
    if isinstance(found, np.ndarray):
        if found.size and bool((found == found.flat[0]).all()):
            return ""  # blank slices of two patients are no copies
        return _hash(f"{found.dtype.str} {found.shape} ".encode() + found.tobytes()).hexdigest()
    data = memoryview(found)
    return digest(lambda size, place: bytes(data[place : place + size]), len(data))


@contextlib.contextmanager
def _open(root: str, path: str) -> Iterator[ReadAt]:
    """Yields what reads so many bytes from a place of a file."""
    if is_remote(root):
        with (epath.Path(root) / path).open("rb") as file:

            def read_at(size: int, place: int) -> bytes:
                file.seek(place)
                return bytes(file.read(size))

            yield read_at
        return
    descriptor = open_below(root, path)
    try:
        yield functools.partial(os.pread, descriptor)
    finally:
        os.close(descriptor)


def _sample(read_at: ReadAt, num_bytes: int) -> str:
    """Digests a small file whole, and of a larger one a block from the middle and from the end."""
    if num_bytes <= _SMALL:
        return _hash(read_at(num_bytes, 0)).hexdigest()
    middle = read_at(_BLOCK, num_bytes // 2)
    return _hash(middle + read_at(_BLOCK, num_bytes - _BLOCK)).hexdigest()


def _whole(read_at: ReadAt, num_bytes: int) -> str:
    """Digests a file of any size, piece by piece."""
    del num_bytes
    digest, place = _hash(b""), 0
    while piece := read_at(1 << 20, place):
        digest.update(piece)
        place += len(piece)
    return digest.hexdigest()


def _kind(read_at: ReadAt, num_bytes: int) -> str:
    """Tells what kind of image a file begins like; "" if it is none."""
    return kind_of(read_at(min(num_bytes, _BLOCK), 0)) or ""


def _hash(data: bytes) -> hashlib.blake2b:
    return hashlib.blake2b(data, digest_size=16)
