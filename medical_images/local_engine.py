"""The local engine: shards mapped over the threads or the processes of one machine."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import loky
import numpy as np
import tqdm

from medical_images.errors import BuildError
from medical_images.progress import progress_bar
from medical_images.shard_writing import ShardResult, write_once
from medical_images.shards import ShardTask

# What writing takes, about: Python's work for an image, which threads cannot share, and what the
# operating system does for its bytes, which they can. Other processes have to start first.
_SECONDS_AN_IMAGE, _SECONDS_A_BYTE, _SECONDS_TO_START = 7e-5, 5e-10, 1.0
_POLL_SECONDS = 0.1
_KILLED = (
    "a worker process was killed, by the system perhaps because memory ran out; fewer workers"
    " (--workers) take less"
)


def write_shards(
    tasks: Sequence[ShardTask],
    *,
    results: str,
    leftovers: Sequence[str] = (),
    num_workers: int | None = None,
    progress: bool = True,
) -> list[ShardResult]:
    """Writes shards in parallel, with a progress bar.

    Args:
      tasks: The shards; the result does not depend on how they are dealt out.
      results: The folder of results; see `shard_writing.write_once`.
      leftovers: Folders of stopped builds, likewise.
      num_workers: How many processes; by default one for each core, or this one alone, with a
        thread for each core, where the work would be done before others have started.
      progress: Whether to show the bar.

    Returns:
      One result for each task, in their order.

    Raises:
      BuildError: A shard could not be written, or a process was killed; the others are abandoned.
    """
    processes = min(num_workers or _usual_processes(tasks), len(tasks))
    write = functools.partial(_write_counted, results=results, leftovers=tuple(leftovers))
    num_images = sum(task.num_records for task in tasks)
    bar = progress_bar(num_images, "Writing", is_shown=progress)
    if processes == 1:
        threads = 1 if num_workers == 1 else int(loky.cpu_count())
        with bar, futures.ThreadPoolExecutor(threads) as executor:
            return _run(tasks, functools.partial(executor.submit, write), bar)
    # loky, not multiprocessing: a script without `if __name__ == "__main__"` works, and a worker
    # that dies raises an error instead of hanging the build.
    with bar:
        pool = loky.get_reusable_executor(processes, timeout=30)
        try:
            return _run(tasks, functools.partial(pool.submit, write), bar)
        except loky.BrokenProcessPool:
            raise BuildError(_KILLED) from None


def _usual_processes(tasks: Sequence[ShardTask]) -> int:
    cores = int(loky.cpu_count())
    python = sum(task.num_records for task in tasks) * _SECONDS_AN_IMAGE
    system = sum(int(task.loaded["num_bytes"].sum()) for task in tasks) * _SECONDS_A_BYTE
    by_threads = max(python, (python + system) / cores)
    by_processes = _SECONDS_TO_START + (python + system) / cores
    return cores if by_processes < by_threads else 1


def _run(
    tasks: Sequence[ShardTask], submit: Callable[..., Any], bar: tqdm.tqdm[Any]
) -> list[ShardResult]:
    """Writes the largest shards first, so that no worker starts the largest last."""
    order = sorted(range(len(tasks)), key=lambda number: -tasks[number].num_records)
    with _counters(len(tasks)) as counters:
        running = {k: submit(tasks[k], str(counters.filename), k) for k in order}
        try:
            pending: Any = running.values()
            while pending:
                done, pending = futures.wait(
                    pending, timeout=_POLL_SECONDS, return_when=futures.FIRST_EXCEPTION
                )
                bar.update(int(counters[:-1].sum()) - bar.n)
                for future in done:
                    future.result()
            return [running[number].result() for number in range(len(tasks))]
        except BaseException:
            counters[-1] = 1  # tells the others to stop
            for future in running.values():
                future.cancel()
            futures.wait(running.values())
            raise


@contextmanager
def _counters(num_tasks: int) -> Iterator[np.memmap]:
    """Numbers that all workers of this machine see: examples written of each shard; stop."""
    with tempfile.TemporaryDirectory(prefix="medical_images_") as folder:
        path = os.path.join(folder, "progress")
        np.zeros(num_tasks + 1, dtype=np.int64).tofile(path)  # on a full disk, it fails here
        yield np.memmap(path, dtype=np.int64, mode="r+")


def _write_counted(
    task: ShardTask, path: str, number: int, *, results: str, leftovers: Sequence[str]
) -> ShardResult:
    counters = np.memmap(path, dtype=np.int64, mode="r+")

    def advance(done: int) -> None:
        counters[number] = done
        if counters[-1]:
            raise BuildError("abandoned, since another shard could not be written")

    return write_once(task, results=results, leftovers=leftovers, advance=advance)
