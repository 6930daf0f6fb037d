"""What stopped builds leave: kept for the next build of the dataset, which clears it away."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence

from etils import epath

from medical_images.build_lock import build_lock
from medical_images.errors import BuildError
from medical_images.overwriting import bring_back, discard, is_complete
from medical_images.paths import is_remote
from medical_images.remote import changed_at, forget_listings, storage_errors
from medical_images.shard_writing import RESULTS, ShardResult, read_result, result_path


def find_leftovers(dataset: str | os.PathLike[str]) -> list[str]:
    """Returns the folders that stopped builds of a dataset left, the newest first.

    To be asked before the build makes its own, and with the lock of the dataset held: only then is
    nobody writing there.
    """
    target = epath.Path(dataset)
    forget_listings(target)
    if not target.parent.exists():
        return []
    found = [
        path
        for path in target.parent.iterdir()
        if path.name.startswith("incomplete.") and path.name.endswith(f"_{target.name}")
    ]
    found.sort(key=lambda path: (-changed_at(path), path.name))
    return [os.fspath(path) for path in found]


def tell_of(leftovers: Sequence[str], written: Iterable[ShardResult]) -> str:
    """Says how many shards were taken over from stopped builds, and why others were not.

    Args:
      leftovers: Their folders; finished shards were moved out, but results are still there.
      written: All shards of this build.
    """
    if not leftovers:
        return ""
    num_kept = num_other = 0
    for result in written:
        paths = (result_path(epath.Path(folder) / RESULTS, result.name) for folder in leftovers)
        num_kept += result.was_kept
        num_other += not result.was_kept and any(map(read_result, paths))
    told = f"an earlier build was stopped: {num_kept:,} of its finished shards were kept"
    if num_other:
        told += (
            f", {num_other:,} written anew (their images, rows, features or places have changed,"
            " or they were damaged)"
        )
    return told


def clear(leftovers: Sequence[str]) -> str:
    """Removes the folders; remote ones stay, since another machine may be writing there.

    Returns:
      What to tell the user.
    """
    if remote := [folder for folder in leftovers if is_remote(folder)]:
        return f"left by builds that were stopped, and yours to delete: {', '.join(remote)}"
    gone = [os.path.basename(folder) for folder in leftovers if discard(epath.Path(folder))]
    return f"removed what stopped builds had left: {', '.join(gone)}" if gone else ""


def settle(dataset: epath.Path) -> None:
    """Ends what a killed build of a dataset had begun; see `bring_back` and `clear_away`."""
    if not is_remote(dataset):
        bring_back(dataset)
    clear_away(dataset)


def tidy(dataset: epath.Path) -> None:
    """Settles a dataset that is built, unless a build of it goes on, or it cannot be written to."""
    with contextlib.suppress(*storage_errors(BuildError)):
        hidden = () if is_remote(dataset) else dataset.parent.glob(f".{dataset.name}.*")
        if (dataset / RESULTS).exists() or any(hidden):
            with build_lock(dataset):
                settle(dataset)


def clear_away(dataset: epath.Path) -> None:
    """Removes what was needed until a dataset stood in its place; there, results tell that it does.

    What cannot be removed is told, and no error.

    Args:
      dataset: Its folder, whose lock is held.
    """
    with contextlib.suppress(*storage_errors()):
        forget_listings(dataset)
        if (dataset / RESULTS).exists() and is_complete(dataset):
            if told := clear(find_leftovers(dataset)):
                print(told)
            discard(dataset / RESULTS)


@contextlib.contextmanager
def kept_if_finished(folder: epath.Path) -> Iterator[None]:
    """Keeps the folder of a build that ends by an error if it holds finished shards.

    Args:
      folder: That of the build.
    """
    try:
        yield
    except BaseException:
        with contextlib.suppress(*storage_errors()):
            if num_finished := _num_finished(folder):
                is_one = num_finished == 1
                shards = (
                    "1 finished shard is" if is_one else f"{num_finished:,} finished shards are"
                )
                print(f"{shards} kept for the next build, in {os.fspath(folder)}")
            else:
                discard(folder)
        raise


def _num_finished(folder: epath.Path) -> int:
    """Counts shards that have a result; a shard with images that cannot be used is not written."""
    forget_listings(folder)
    results = folder / RESULTS
    names = [path.name for path in results.iterdir()] if results.exists() else []
    shards = {path.name for path in folder.iterdir()} if names else set()
    return sum(name.removesuffix(".json") in shards for name in names if name.endswith(".json"))
