"""What stopped builds leave: kept for the next build of the dataset, which clears it away."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence

from etils import epath

from medical_images.paths import is_remote
from medical_images.remote import forget_listings
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
    found.sort(key=lambda path: (-path.stat().mtime, path.name))
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
            f", {num_other:,} written anew (their images, rows or features have changed, or they"
            " were damaged)"
        )
    return told


def clear(leftovers: Sequence[str]) -> str:
    """Removes the folders; remote ones stay, since another machine may be writing there.

    Returns:
      What to tell the user.
    """
    if not leftovers:
        return ""
    remote = [folder for folder in leftovers if is_remote(folder)]
    for folder in leftovers:
        if folder not in remote:
            epath.Path(folder).rmtree()
    if remote:
        return f"left by builds that were stopped, and yours to delete: {', '.join(remote)}"
    return f"removed what stopped builds had left: {', '.join(map(os.path.basename, leftovers))}"


@contextlib.contextmanager
def kept_if_stopped(folder: str | os.PathLike[str], dataset: str) -> Iterator[None]:
    """Keeps finished shards when a build ends by an error; TFDS would delete them.

    Args:
      folder: That of the build.
      dataset: The name of the folder of the dataset, its version.
    """
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            _keep(epath.Path(folder), dataset)
        raise


def _keep(folder: epath.Path, dataset: str) -> None:
    if is_remote(folder):
        return
    num_finished = sum(1 for _ in (folder / RESULTS).glob("*.json"))
    if num_finished:
        for task in (folder / RESULTS).glob("*.task"):
            task.unlink()
        kept = folder.parent / f"incomplete.{uuid.uuid4().hex[:6]}_{dataset}"
        folder.rename(kept)
        shards = "1 finished shard is" if num_finished == 1 else f"{num_finished:,} finished shards are"
        print(f"{shards} kept for the next build, in {kept}")
