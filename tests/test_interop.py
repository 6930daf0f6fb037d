"""The README's code for other libraries runs, and gives what it says."""

import re

import numpy as np
import pandas as pd
import pytest
import tensorflow_datasets as tfds
from conftest import REPOSITORY, build

import medical_images as mi

HEADING = "## With Keras, PyTorch, JAX and others"


def test_the_code_for_other_libraries_runs(tmp_path, monkeypatch):
    """All of it, with smaller images."""
    torch = pytest.importorskip("torch")
    spec = mi.write_phantom(tmp_path / "corpus", num_images=80, height=32, width=32)
    builder = build(spec, tmp_path / "data", name="my_lesions", file_format="array_record")
    tfds.core.add_data_dir(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    section = (REPOSITORY / "README.md").read_text(encoding="utf-8").partition(f"{HEADING}\n")[2]
    (code, *_) = re.findall(r"```python\n(.*?)```", section, flags=re.S)
    assert len(code.splitlines()) <= 40
    seen: dict[str, object] = {}
    exec(code.replace("224", "32"), seen)

    table = mi.index(builder, "train")
    copies = 7 * table["label"].value_counts().max()
    images, labels = (torch.cat(parts) for parts in zip(*seen["loader"], strict=True))  # type: ignore
    assert images.shape == (copies, 3, 32, 32)
    assert 0 <= images.min() < images.max() <= 1
    assert np.bincount(labels, minlength=7).tolist() == [copies / 7] * 7
    in_order = np.concatenate([batch["label"] for batch in seen["batches"]])  # type: ignore
    codes = table["label"].cat.codes.to_numpy()
    assert in_order.tolist() == codes[seen["positions"]].tolist()  # type: ignore
    ids = {record["examples/image_id"].decode() for record in seen["records"]}  # type: ignore
    assert ids == set(pd.read_parquet("my_lesions.parquet")["image_id"])
