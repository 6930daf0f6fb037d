"""Documents whose commands are run, and which hold what they print.

A block of `console` holds commands after `$ ` and what they print (of `python` blocks, a block of
`text` that follows holds it). All blocks of a document are run in order, in one folder. To write
down what they print now:

    python tests/transcripts.py docs/tutorial.md
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

HOME = "/home/you"
_BLOCK = re.compile(r"```(console|python|text)\n(.*?)```", flags=re.S)
_VARYING = (
    (r"\d+(\.\d+)?( to \d+(\.\d+)?)? ?(seconds?|s|ms|minutes?|min|hours?|[kKMGT]i?B|bytes)\b", "#"),
    (r"[\d,]+(\.\d+)? images/s", "#"),
    (r"\b0\.\d+\b", "0.#"),
    (r"\s+", " "),
)  # fmt: skip


def prepare(folder: pathlib.Path, realdata: pathlib.Path | None) -> None:
    """Puts what a reader is said to have into the folder of a document."""
    if realdata is not None:
        shutil.copytree(realdata / "hannover", folder / "covid-19-image-repository")


def environment(folder: pathlib.Path) -> dict[str, str]:
    """Returns that of the commands: their own data folder, and the package under test first."""
    shims = folder / ".bin"
    shims.mkdir(exist_ok=True)
    for name, module in (("medical-images", "medical_images.cli"), ("python", "")):
        shim = shims / name
        shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module and f"-m {module}"} "$@"\n')
        shim.chmod(0o755)
    return {
        **os.environ,
        "HOME": str(folder),
        "PATH": f"{shims}:{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
        "TFDS_DATA_DIR": str(folder / "tensorflow_datasets"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "COLUMNS": "100",
    }


def rerun(text: str, folder: pathlib.Path) -> tuple[str, list[tuple[str, float]]]:
    """Runs a document.

    Args:
      text: The document.
      folder: Where its commands are run.

    Returns:
      The document with what they print now, and the seconds that each command took.
    """
    times: list[tuple[str, float]] = []
    env = environment(folder)

    def run(command: list[str] | str, told: str) -> str:
        begin = time.monotonic()
        done = subprocess.run(
            command, shell=isinstance(command, str), cwd=folder, env=env, timeout=600,
            capture_output=True, text=True,
        )  # fmt: skip
        times.append((told, time.monotonic() - begin))
        assert done.returncode == 0, f"{told}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        lines = (line.rstrip() for line in done.stdout.splitlines())
        return "\n".join(lines).replace(str(folder), HOME).strip("\n")

    def blocks() -> Iterator[str]:
        end, printed = 0, ""
        for match in _BLOCK.finditer(text):
            yield text[end : match.start()]
            kind, content = match.groups()
            if kind == "console":
                commands = re.findall(r"^\$ (.*(?:\\\n.*)*)", content, flags=re.M)
                parts = [
                    f"$ {command}\n{run(command, command)}".rstrip("\n") for command in commands
                ]
                yield "```console\n" + "\n".join(parts) + "\n```"
            elif kind == "python":
                printed = run([sys.executable, "-c", content], content.splitlines()[0])
                yield match.group()
            else:
                yield f"```text\n{printed}\n```"
            end = match.end()
        yield text[end:]

    return "".join(blocks()), times


def settled(text: str) -> str:
    """Returns a document without what differs from one run to the next."""
    for pattern, replacement in _VARYING:
        text = re.sub(pattern, replacement, text)
    return text


def main() -> None:
    for name in sys.argv[1:]:
        path, realdata = pathlib.Path(name), os.environ.get("MEDICAL_IMAGES_REALDATA")
        with tempfile.TemporaryDirectory() as folder:
            needs_data = "covid-19-image-repository" in path.read_text(encoding="utf-8")
            source = pathlib.Path(realdata) if realdata and needs_data else None
            prepare(pathlib.Path(folder), source)
            told, times = rerun(path.read_text(encoding="utf-8"), pathlib.Path(folder))
        path.write_text(told, encoding="utf-8")
        for command, seconds in times:
            print(f"{seconds:6.1f} s  {command}")


if __name__ == "__main__":
    main()
