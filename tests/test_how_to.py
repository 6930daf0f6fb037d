"""Each answer of the guide builds from the files that it shows."""

import pathlib
import re

import pytest
import tensorflow_datasets as tfds
import yaml
from catalog_trees import Tree
from conftest import REPOSITORY, build
from PIL import Image

TEXT = (REPOSITORY / "docs" / "how_to.md").read_text(encoding="utf-8")
SECTIONS = dict(section.split("\n", 1) for section in re.split(r"^## ", TEXT, flags=re.M)[1:])
NUM_WRITTEN = {"Masks beside the images": 2, "Only some rows are wanted": 2}


def blocks(section: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", section, flags=re.M | re.S)


@pytest.mark.parametrize("title", SECTIONS)
def test_it_builds(title, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDICAL_IMAGES_KEY", "0123456789abcdef" * 4)
    section, tree = SECTIONS[title], Tree(tmp_path)
    paths = blocks(section, "text")[0].split()
    for path in paths:
        if "_mask" in path:
            Image.new("L", (32, 24), 255).save(tmp_path / path)
        else:
            tree.image(path)
    for table in blocks(section, "csv"):
        name, content = table.split("\n", 1)
        tree.write(name, content.encode())
    for text in blocks(section, "yaml"):
        spec = pathlib.Path(tmp_path, "corpus.yaml")
        spec.write_text(text, encoding="utf-8")
        builder = build(spec, tmp_path / "data", name=yaml.safe_load(text)["name"])
        written = [
            len(list(tfds.as_numpy(builder.as_dataset(split=s)))) for s in builder.info.splits
        ]
        assert sum(written) == NUM_WRITTEN.get(title, len(paths))
        assert all(written)
