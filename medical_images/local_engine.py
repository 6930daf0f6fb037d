"""The local engine: shards mapped over the processes of one machine."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import loky
import numpy as np
import tqdm

from medical_images.shards import ShardResult, ShardTask, write_shard

_ALONE_BYTES = 48 << 20  # below this, starting a process takes longer than the work
_POLL_SECONDS = 0.2


def write_shards(
    tasks: Sequence[ShardTask], *, num_workers: int | None = None, progress: bool = True
) -> list[ShardResult]:
    """Writes shards by several processes, with a progress bar.

    Args:
      tasks: The shards; the result does not depend on how they are dealt out.
      num_workers: How many processes; all cores by default.
      progress: Whether to show the bar.

    Returns:
      One result for each task, in their order.

    Raises:
      BuildError: A shard could not be written; the others are abandoned.
    """
    workers = min(num_workers or loky.cpu_count(), len(tasks))
    total = sum(len(task.records) for task in tasks)
    num_bytes = sum(int(task.records["num_bytes"].sum()) for task in tasks)
    bar = tqdm.tqdm(
        total=total,
        unit=" images",
        desc="Writing",
        disable=not progress,
        # A log file need not hold every state of the bar.
        mininterval=0.2 if sys.stderr.isatty() else 10,
    )
    with bar, _counters(len(tasks)) as counters:
        if workers <= 1 or (num_workers is None and num_bytes < _ALONE_BYTES):
            return [_write_here(task, number, counters, bar) for number, task in enumerate(tasks)]
        return _write_apart(tasks, workers, counters, bar)


@contextmanager
def _counters(size: int) -> Iterator[np.memmap]:
    """One number a shard that all processes of this machine can see: examples written so far."""
    with tempfile.TemporaryDirectory(prefix="medical_images_") as folder:
        path = os.path.join(folder, "progress")
        yield np.memmap(path, dtype=np.int64, mode="w+", shape=(size,))


def _write_here(
    task: ShardTask,
    number: int,
    counters: np.memmap,
    bar: tqdm.tqdm[Any],
) -> ShardResult:
    def advance(done: int) -> None:
        bar.update(done - int(counters[number]))
        counters[number] = done

    return write_shard(task, advance=advance)


def _write_counted(task: ShardTask, path: str, number: int) -> ShardResult:
    counters = np.memmap(path, dtype=np.int64, mode="r+")

    def advance(done: int) -> None:
        counters[number] = done

    return write_shard(task, advance=advance)


def _write_apart(
    tasks: Sequence[ShardTask],
    workers: int,
    counters: np.memmap,
    bar: tqdm.tqdm[Any],
) -> list[ShardResult]:
    # loky, not multiprocessing: a script without `if __name__ == "__main__"` works, and a worker
    # that dies raises an error instead of hanging the build.
    executor = loky.get_reusable_executor(max_workers=workers, timeout=30)
    # Large shards first, so that no worker starts the largest last.
    order = sorted(range(len(tasks)), key=lambda number: -len(tasks[number].records))
    running = {
        number: executor.submit(_write_counted, tasks[number], str(counters.filename), number)
        for number in order
    }
    try:
        while True:
            state = futures.wait(
                running.values(), timeout=_POLL_SECONDS, return_when=futures.FIRST_EXCEPTION
            )
            bar.update(int(counters.sum()) - bar.n)
            if not state.not_done or any(future.exception() for future in state.done):
                break
        return [running[number].result() for number in range(len(tasks))]
    except BaseException:
        executor.shutdown(wait=True, kill_workers=True)
        raise
