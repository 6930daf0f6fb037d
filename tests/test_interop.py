"""The README's code for other libraries runs, and gives what it says."""

import importlib.util
import re

import numpy as np
import pandas as pd
import tensorflow_datasets as tfds
from conftest import REPOSITORY, build

import medical_images as mi

HEADING = "## With Keras, PyTorch, JAX and others"


def test_the_code_for_other_libraries_runs(tmp_path, monkeypatch):
    """All of it, with smaller images; PyTorch's paragraph only where it is installed."""
    torch = importlib.import_module("torch") if importlib.util.find_spec("torch") else None
    spec = mi.write_phantom(tmp_path / "corpus", num_images=80, height=32, width=32)
    builder = build(spec, tmp_path / "data", name="my_lesions", file_format="array_record")
    tfds.core.add_data_dir(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    section = (REPOSITORY / "README.md").read_text(encoding="utf-8").partition(f"{HEADING}\n")[2]
    (code, *_) = re.findall(r"```python\n(.*?)```", section, flags=re.S)
    assert len(code.splitlines()) <= 40
    if torch is None:
        code, num_cut = re.subn(
            r"^import torch\n|^# PyTorch;.*?(?=^# JAX)", "", code, flags=re.M | re.S
        )
        assert num_cut == 2
        assert "torch" not in code
    seen: dict[str, object] = {}
    exec(code.replace("224", "32"), seen)

    table = mi.index(builder, "train")
    in_order = np.concatenate([batch["label"] for batch in seen["batches"]])  # type: ignore
    codes = table["label"].cat.codes.to_numpy()
    assert in_order.tolist() == codes[seen["positions"]].tolist()  # type: ignore
    ids = {record["examples/image_id"].decode() for record in seen["records"]}  # type: ignore
    assert ids == set(pd.read_parquet("my_lesions.parquet")["image_id"])
    if torch is not None:
        copies = 7 * table["label"].value_counts().max()
        images, labels = (torch.cat(parts) for parts in zip(*seen["loader"], strict=True))  # type: ignore
        assert images.shape == (copies, 3, 32, 32)
        assert 0 <= images.min() < images.max() <= 1
        assert np.bincount(labels, minlength=7).tolist() == [copies / 7] * 7
