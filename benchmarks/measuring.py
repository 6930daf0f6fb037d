"""What the benchmarks share: timing of phases, and tasks in processes of their own."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import psutil

SAMPLE_SECONDS = 0.05


class Clock:
    """Sums the seconds spent in wrapped functions, by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @classmethod
    def of_builds(cls) -> Clock:
        """Wraps what a build by the local engine goes through."""
        from medical_images import corpus, local_engine

        clock = cls()
        clock.wrap("reading tables", corpus.tables, "read_rows")
        clock.wrap("listing images", corpus.images, "list_images")
        clock.wrap("join", corpus, "join_images")
        clock.wrap("comparing bytes", corpus, "find_copies")
        clock.wrap("planning", corpus, "survey_records")
        clock.wrap("planning", corpus, "plan_surveyed")
        clock.wrap("certificate", corpus.certification, "certify")
        clock.wrap("writing", local_engine, "write_shards")
        return clock

    @classmethod
    def of_beam_builds(cls) -> Clock:
        """Wraps what a build by Beam goes through."""
        from medical_images import beam_corpus, beam_planning, beam_writing

        clock = cls()
        clock.wrap("reading and join", beam_corpus, "read_corpus")
        clock.wrap("counting", beam_corpus.beam_survey, "survey_records")
        clock.wrap("planning", beam_planning, "plan_records")
        clock.wrap("cutting to shards", beam_planning, "cut_splits")
        clock.wrap("writing", beam_writing, "write_shards")
        return clock

    def phases(self, total: float) -> dict[str, float]:
        """Returns the seconds of each phase; what is left over is `other`."""
        return {**self.seconds, "other": total - sum(self.seconds.values())}

    def wrap(self, phase: str, owner: Any, name: str) -> None:
        """Replaces the function `name` of a module by one that is timed."""
        inner = getattr(owner, name)

        @functools.wraps(inner)
        def timed(*args: Any, **kwargs: Any) -> Any:
            begin = time.perf_counter()
            try:
                return inner(*args, **kwargs)
            finally:
                spent = time.perf_counter() - begin
                self.seconds[phase] = self.seconds.get(phase, 0.0) + spent

        setattr(owner, name, timed)


def run_job(script: str, task: str, job: dict[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    """Runs a task of a script in a new process; adds the peak memory of its processes, in bytes."""
    result, log = folder / f"{task}.json", folder / f"{task}.log"
    job = {**job, "task": task, "result": os.fspath(result)}
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, os.path.abspath(script), "--job", json.dumps(job)]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env={**os.environ, **quiet})
        peaks = watch(process)
    if process.returncode:
        sys.exit(f"{task} failed:\n{log.read_text()}")
    main, *others = peaks
    return {**json.loads(result.read_text()), "main_rss": main, "worker_rss": others}


def watch(process: subprocess.Popen[bytes]) -> list[int]:
    """Waits; returns the peak memory of the process, then of those below it, largest first."""
    root = psutil.Process(process.pid)
    peaks: dict[int, int] = {root.pid: 0}
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=SAMPLE_SECONDS)
            main = peaks.pop(root.pid)
            return [main, *sorted(peaks.values(), reverse=True)]
        with contextlib.suppress(psutil.Error):
            for member in (root, *root.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    rss = member.memory_info().rss
                    peaks[member.pid] = max(peaks.get(member.pid, 0), rss)


def finish_job(
    job: dict[str, Any], tasks: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]]
) -> None:
    """Does a task in the process that `run_job` started, and leaves its figures."""
    pathlib.Path(job["result"]).write_text(json.dumps(tasks[job["task"]](job)))
