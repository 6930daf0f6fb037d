"""Work on files in their order, by several threads where storage is slow."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import TypeVar

# Work on a file that is near takes less than this, on average over so many files.
_NEAR_SECONDS, _NEAR_BYTES_A_SECOND, _LOOKED_AT = 1e-3, 2e8, 16
_NUM_THREADS, _NUM_AHEAD, _AHEAD_BYTES = 16, 32, 32_000_000

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_files(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    num_bytes: Callable[[Item], int] = lambda _: 0,
    is_remote: bool = False,
) -> Iterator[Result]:
    """Yields the result of each item, in their order.

    Threads would only hinder each other where files are in memory or on a disk nearby. So work is
    done one by one, until it proves slow (a network, a disk that turns); of remote files, from the
    start it is done ahead of need.

    Args:
      work: What is done to an item, mostly waiting for storage; it must bear threads.
      items: For example paths.
      num_bytes: How many bytes the result of an item holds; 32 MB at most are held ahead, and 32
        results.
      is_remote: Whether the files are remote.

    Raises:
      Exception: What `work` raises, when the item's turn comes.

    Example:
      >>> list(map_files(len, ['a', 'bcd', 'ef'], is_remote=True))
      [1, 3, 2]
    """
    begin = 0
    while begin < len(items) and not is_remote:
        waited, some = 0.0, items[begin : begin + _LOOKED_AT]
        for item in some:
            started = time.perf_counter()
            result = work(item)
            waited += time.perf_counter() - started
            yield result
        begin += len(some)
        near = len(some) * _NEAR_SECONDS + sum(map(num_bytes, some)) / _NEAR_BYTES_A_SECOND
        is_remote = waited > near
    if begin < len(items):
        yield from _ahead(work, items[begin:], num_bytes)


def _ahead(
    work: Callable[[Item], Result], items: Sequence[Item], num_bytes: Callable[[Item], int]
) -> Iterator[Result]:
    pool = futures.ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="read_ahead")
    started: collections.deque[tuple[int, futures.Future[Result]]] = collections.deque()
    held = 0
    try:
        for item in items:
            size = num_bytes(item)
            while started and (len(started) == _NUM_AHEAD or held + size > _AHEAD_BYTES):
                done, result = started.popleft()
                yield result.result()
                held -= done
            started.append((size, pool.submit(work, item)))
            held += size
        while started:
            yield started.popleft()[1].result()
    finally:
        pool.shutdown(cancel_futures=True)
