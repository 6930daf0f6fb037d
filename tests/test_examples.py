"""The examples run, and print what they say."""

import importlib.util
import os
import re
import subprocess
import sys

import pytest
from conftest import REPOSITORY


def test_train_phantom_tells_the_recalls_of_four_arms(tmp_path):
    figure = tmp_path / "recall.svg"
    small = ["--images", "140", "--size", "16", "--steps", "2", "--batch-size", "8", "--seeds", "1"]
    drawn = ["--plot", figure] if importlib.util.find_spec("matplotlib") else []
    result = subprocess.run(
        [
            sys.executable,
            REPOSITORY / "examples" / "train_phantom.py",
            *small,
            *["--how", "film"],
            *drawn,
        ],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    arms = ["plain", "oversampled", "metadata", "oversampled, metadata"]
    lines = {arm: line for line in result.stdout.splitlines() for arm in arms if _is_of(line, arm)}
    for arm in arms:
        *recalls, balanced = map(float, re.findall(r"(\d\.\d\d) ±", lines[arm]))
        assert len(recalls) == 7
        assert all(0 <= recall <= 1 for recall in recalls)
        assert balanced == pytest.approx(sum(recalls) / 7, abs=0.011), "means of rounded means"
    assert not drawn or "<svg" in figure.read_text(encoding="utf-8")


def _is_of(line: str, arm: str) -> bool:
    return line.startswith(f"{arm}  ")
