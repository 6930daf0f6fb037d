"""The documents say what the program does."""

import doctest
import importlib
import math
import pathlib
import pkgutil
import re
import subprocess
import tomllib

import pydantic
import pytest
import tensorflow_datasets as tfds
import yaml
from conftest import REPOSITORY, SPECS, build
from transcripts import environment, prepare, rerun, settled

import medical_images as mi
from medical_images import rejects, spec, spec_features, spec_images, spec_parts, spec_privacy
from medical_images.cli import cli

DOCS = REPOSITORY / "docs"
MODULES = sorted(
    module.name for module in pkgutil.walk_packages(mi.__path__, prefix="medical_images.")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


def test_public_names_have_docstrings():
    for name in mi.__all__:
        assert name.startswith("__") or (getattr(mi, name).__doc__ or "").strip(), name


def test_every_code_of_rejects_is_documented_as_it_is_worded():
    text = (REPOSITORY / "docs" / "rejects.md").read_text(encoding="utf-8")
    for code, meaning in rejects.CODES.items():
        assert f"| `{code}` | {meaning} |" in text


def test_every_key_of_the_spec_is_documented():
    text = (REPOSITORY / "docs" / "spec.md").read_text(encoding="utf-8")
    parts = [
        p
        for p in (
            vars(spec)
            | vars(spec_parts)
            | vars(spec_features)
            | vars(spec_images)
            | vars(spec_privacy)
        ).values()
        if isinstance(p, type)
    ]
    for part in parts:
        if issubclass(part, pydantic.BaseModel) and part is not spec.LoadedSpec:
            for name, field in part.model_fields.items():
                key = field.alias or name
                assert re.search(rf"[`{{ ]{re.escape(key)}\b", text), (part.__name__, key)


@pytest.mark.parametrize("path", sorted(SPECS.glob("*.yaml")), ids=lambda path: path.stem)
def test_example_specs_are_valid(path):
    assert mi.load_spec(path).spec.name == path.stem


def readme_block(language: str, number: int = 0) -> str:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.S)[number]


def test_the_readme_corpus_builds_loads_and_is_rebalanced(tmp_path):
    """The three steps of the README, with smaller images, on a corpus of its shape."""
    mi.write_phantom(tmp_path, num_images=200, height=16, width=16)
    (tmp_path / "corpus.yaml").write_text(readme_block("yaml"), encoding="utf-8")
    builder = build(str(tmp_path / "corpus.yaml"), tmp_path / "data", name="my_lesions")
    assert builder.info.splits["train"].num_examples == 160
    tfds.core.add_data_dir(tmp_path / "data")
    seen: dict[str, object] = {}
    exec(readme_block("python").replace("224", "32"), seen)
    assert len(seen["ds"]) == 16  # type: ignore[arg-type]
    assert len(seen["table"]) == 160  # type: ignore[arg-type]
    largest = max(mi.class_counts(builder, "train").values())
    assert len(seen["batches"]) == math.ceil(7 * largest / 32)  # type: ignore[arg-type]
    text = (REPOSITORY / "docs" / "splits.md").read_text(encoding="utf-8")
    exec(re.findall(r"```python\n(.*?)```", text, flags=re.S)[0], seen)
    assert len(seen["parts"]) == 4  # type: ignore[arg-type]


def test_the_code_of_the_guide_to_loading_runs(phantom_corpus, tmp_path, monkeypatch):
    """All of it, in order, with smaller images."""
    monkeypatch.chdir(tmp_path)
    builder = build(phantom_corpus, tmp_path, file_format="array_record")
    seen: dict[str, object] = {"builder": builder, "spec": phantom_corpus}
    text = (REPOSITORY / "docs" / "loading.md").read_text(encoding="utf-8").replace("224", "32")
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.S):
        exec(block, seen)
    assert next(iter(seen["ds"]))[0]["image"].shape[1:] == (32, 32, 3)  # type: ignore
    assert next(iter(seen["first_look"]))["image"].shape[1:] == (32, 32, 3)  # type: ignore
    assert seen["probabilities"].shape == (len(seen["table"]), 7)  # type: ignore
    own = len(seen["chosen"])  # type: ignore[arg-type]
    assert own == math.ceil(7 * max(mi.class_counts(builder, "train").values()) / 2)
    assert set(seen["dataset"][0]) == set(builder.info.features)  # type: ignore[index]
    assert len(list(seen["examples"])) == len(seen["sampler"])  # type: ignore


def test_the_commands_of_the_readme_run(tmp_path):
    """Those of one's own corpus, with its spec in the place of the draft."""
    spec = mi.write_phantom(tmp_path / "my_corpus", num_images=100, height=16, width=16)
    spec.unlink()
    env = environment(tmp_path)
    for command in readme_block("sh", 2).splitlines():
        subprocess.run(command, shell=True, cwd=tmp_path, env=env, check=True, timeout=300)
        spec.write_text(readme_block("yaml"), encoding="utf-8")
    assert "<html" in (tmp_path / "my_lesions.html").read_text(encoding="utf-8")


def test_every_command_is_in_the_documents():
    texts = [path.read_text("utf-8") for path in (REPOSITORY / "README.md", *DOCS.glob("*.md"))]
    for command in cli.commands:
        assert any(f"medical-images {command}" in text for text in texts), command


def test_every_example_of_splits_in_the_documents_is_valid():
    """The rows of the table in docs/splits.md, and the lines of docs/spec.md."""
    texts = [(REPOSITORY / "docs" / name).read_text("utf-8") for name in ("splits.md", "spec.md")]
    examples = re.findall(r"^\| `(\{.*?\})` \|", texts[0], flags=re.M)
    examples += re.findall(r"^splits: (\{.*\})$", texts[1], flags=re.M)
    assert len(examples) >= 12
    site = {"site": {"type": "class", "values": ["a", "b"]}}
    keys = {"name": "mine", "images": {"path": "{id}.png"}, "features": site}
    for text in examples:
        splits = yaml.load(text, Loader=yaml.BaseLoader)
        mi.CorpusSpec.from_dict({**keys, "splits": splits})


def test_links_between_documents_lead_somewhere():
    for path in [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), (path.name, target)


def test_versions_agree():
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {mi.__version__}" in changelog
    assert tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    assert pathlib.Path(mi.__file__).name == "__init__.py"


@pytest.mark.parametrize("name", ["tutorial.md", "hannover.md"])
def test_commands_of_the_documents_print_what_these_say(name, request, tmp_path):
    text = (REPOSITORY / "docs" / name).read_text(encoding="utf-8")
    needs_data = "covid-19-image-repository" in text
    prepare(tmp_path, request.getfixturevalue("realdata") if needs_data else None)
    assert settled(rerun(text, tmp_path)[0]) == settled(text)
