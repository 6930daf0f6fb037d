"""The local engine: shards mapped over the processes of one machine."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import loky
import numpy as np
import tqdm

from medical_images.errors import BuildError
from medical_images.shards import ShardResult, ShardTask, write_shard

# What one process takes, about; used to see whether starting several (a second or so) pays.
_SECONDS_AN_IMAGE, _SECONDS_A_BYTE, _SECONDS_TO_START = 8e-5, 5e-10, 1.5
_POLL_SECONDS = 0.1


def write_shards(
    tasks: Sequence[ShardTask], *, num_workers: int | None = None, progress: bool = True
) -> list[ShardResult]:
    """Writes shards in parallel, with a progress bar.

    Args:
      tasks: The shards; the result does not depend on how they are dealt out.
      num_workers: How many processes; by default one for each core, or this one alone where the
        work would be done before others have started.
      progress: Whether to show the bar.

    Returns:
      One result for each task, in their order.

    Raises:
      BuildError: A shard could not be written; the others are abandoned.
    """
    workers = min(num_workers or _usual_workers(tasks), len(tasks))
    bar = tqdm.tqdm(
        total=sum(len(task.records) for task in tasks),
        unit=" images",
        desc="Writing",
        disable=not progress,
        # A log file need not hold every state of the bar.
        mininterval=0.2 if sys.stderr.isatty() else 10,
    )
    if workers == 1:
        with bar, futures.ThreadPoolExecutor(1) as executor:
            return _run(tasks, executor.submit, bar)
    # loky, not multiprocessing: a script without `if __name__ == "__main__"` works, and a worker
    # that dies raises an error instead of hanging the build.
    with bar:
        return _run(tasks, loky.get_reusable_executor(workers, timeout=30).submit, bar)


def _usual_workers(tasks: Sequence[ShardTask]) -> int:
    num_images = sum(len(task.records) for task in tasks)
    num_bytes = sum(int(task.records["num_bytes"].sum()) for task in tasks)
    seconds = num_images * _SECONDS_AN_IMAGE + num_bytes * _SECONDS_A_BYTE
    return int(loky.cpu_count()) if seconds > _SECONDS_TO_START else 1


def _run(
    tasks: Sequence[ShardTask], submit: Callable[..., Any], bar: tqdm.tqdm[Any]
) -> list[ShardResult]:
    """Writes the largest shards first, so that no worker starts the largest last."""
    order = sorted(range(len(tasks)), key=lambda number: -len(tasks[number].records))
    with _counters(len(tasks)) as counters:
        running = {k: submit(_write_counted, tasks[k], str(counters.filename), k) for k in order}
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
        yield np.memmap(path, dtype=np.int64, mode="w+", shape=(num_tasks + 1,))


def _write_counted(task: ShardTask, path: str, number: int) -> ShardResult:
    counters = np.memmap(path, dtype=np.int64, mode="r+")

    def advance(done: int) -> None:
        counters[number] = done
        if counters[-1]:
            raise BuildError("abandoned, since another shard could not be written")

    return write_shard(task, advance=advance)
