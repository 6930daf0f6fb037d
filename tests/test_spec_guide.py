"""The guide to the spec and its JSON schema say what the models say."""

import copy
import functools
import json
import re

import jsonschema
import pytest
import yaml
from conftest import DUMMY_DATA, REPOSITORY
from hypothesis import given, settings
from hypothesis import strategies as st

import medical_images as mi
from medical_images import catalog, spec_guide
from medical_images.spec_docstrings import described
from medical_images.spec_schema import _ACCEPTED, spec_schema

DOCS = REPOSITORY / "docs"
TEMPLATE = (DOCS / "spec.template.md").read_text(encoding="utf-8")
BASE = {
    "name": "mine",
    "tables": [{"path": "data.csv"}],
    "images": {"path": "{id}.png"},
    "features": {"site": {"type": "class", "values": ["a", "b"]}},
}
SPECS = {name: catalog.path_of(name).read_text(encoding="utf-8") for name in catalog.names()} | {
    "phantom": (DUMMY_DATA / "corpus.yaml").read_text(encoding="utf-8")
}
MODELS = spec_guide.models()
WRITTEN = set(re.findall(r"<!-- keys: (\w+) -->", TEMPLATE))


class Editor(yaml.SafeLoader):
    """Reads YAML 1.2, as editors do: `on` and `no` are texts there, `3` is a number."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [
            (tag, pattern)
            for tag, pattern in found
            if tag != "tag:yaml.org,2002:bool" or first in "tTfF"
        ]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


@functools.cache
def validator():
    jsonschema.Draft202012Validator.check_schema(spec_schema())
    return jsonschema.Draft202012Validator(spec_schema())


def faults(data):
    found = validator().iter_errors(json.loads(json.dumps(data, default=str)))
    return [(list(error.absolute_path), error.message) for error in found]


def blocks():
    """The YAML of the guide; lines that begin with the same key are examples of their own."""
    for block in re.findall(r"```yaml\n(.*?)```", TEMPLATE, flags=re.S):
        lines = block.splitlines(keepends=True)
        keys = [line.partition(":")[0] for line in lines]
        yield from lines if len(set(keys)) < len(keys) and len(set(keys)) == 1 else [block]


def test_the_committed_guide_is_what_the_models_give():
    committed = (DOCS / "spec.md").read_text(encoding="utf-8")
    assert committed == spec_guide.guide(TEMPLATE), "run: python -m medical_images.spec_guide"


def test_every_key_has_its_row_and_every_row_its_meaning():
    left_out = {"CorpusSpec": set(), "OfRows": {"across_rows", "reader"}}
    told = {key for name in WRITTEN for key in described(MODELS[name])}
    for name, part in MODELS.items():
        keys = {field.alias or key for key, field in part.model_fields.items()} - {"type"}
        assert keys <= described(part).keys(), name
        if name not in WRITTEN:  # a base of others, or a feature without keys of its own
            assert keys - left_out.get(name, set()) <= told, name
    text = spec_guide.guide(TEMPLATE)
    for anchor in re.findall(r"\]\(#([\w-]+)\)", text):
        assert re.search(rf"^#+ `?{anchor}`?$", text, flags=re.M), anchor


def test_a_guide_of_an_unknown_model_is_refused():
    with pytest.raises(KeyError, match="Imagez"):
        spec_guide.guide("<!-- keys: Imagez -->")


@pytest.mark.parametrize("block", blocks())
def test_every_example_of_the_guide_is_a_spec(block):
    data = {**BASE, **yaml.load(block, Loader=yaml.BaseLoader)}
    mi.CorpusSpec.from_dict(data)
    assert faults(data) == []
    assert faults({**BASE, **yaml.load(block, Loader=Editor)}) == []


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("loader", [yaml.BaseLoader, Editor])
def test_the_schema_accepts_real_specs(name, loader):
    assert faults(yaml.load(SPECS[name], Loader=loader)) == []


def test_the_schema_knows_every_value_that_is_converted_before_it_is_checked():
    as_they_are = {"values", "rename", "channels", "axis", "sizes"}  # only checked, or texts anyway
    for part in MODELS.values():
        for decorator in part.__pydantic_decorators__.field_validators.values():
            for name in decorator.info.fields if decorator.info.mode == "before" else ():
                key = part.model_fields[name].alias or name
                is_abstract = part.__name__.startswith("_")
                assert is_abstract or key in as_they_are or (part, key) in _ACCEPTED, (part, key)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ("nmae: other", []),
        ("seed: many", ["seed"]),
        ("seed: -1", ["seed"]),
        ("duplicates: keep", ["duplicates"]),
        ("images: {path: a.png, chanels: 1}", ["images"]),
        ("images: {path: a.png, channels: 2}", ["images", "channels"]),
        ("images: {path: a.png, window: [40]}", ["images", "window"]),
        ("images: {}", ["images"]),
        ("features: {age: {type: flota}}", ["features", "age", "type"]),
        ("features: {age: {type: float, units: years}}", ["features", "age"]),
        ("features: {dx: {type: class}}", ["features", "dx"]),
        ("features: {dx: {type: class, columns: [[a]]}}", ["features", "dx", "columns"]),
        (
            "tables: [{path: a.csv, dialect: {separator: [a]}}]",
            ["tables", 0, "dialect", "separator"],
        ),
        ("tables: [{path: a.csv}, {path: b.csv, join: {on: id}}]", ["tables", 1, "join"]),
        ("stratify: {feature: age, bins: [[40]]}", ["stratify"]),
    ],
)
def test_what_the_schema_refuses_the_loader_refuses(change, place):
    data = {**BASE, **yaml.load(change, Loader=yaml.BaseLoader)}
    with pytest.raises(mi.SpecError):
        mi.CorpusSpec.from_dict(data)
    seen = {**BASE, **yaml.load(change, Loader=Editor)}
    assert [where for where, _ in faults(seen)] == [place]


def leaves(data, path=()):
    parts = data.items() if isinstance(data, dict) else enumerate(data)
    for key, part in parts:
        yield (*path, key)
        if isinstance(part, dict | list):
            yield from leaves(part, (*path, key))


@given(data=st.data())
@settings(max_examples=200)
def test_what_the_loader_accepts_the_schema_accepts(data):
    """A real spec in which one part is another value, of the spec or made up."""
    spec = yaml.load(SPECS[data.draw(st.sampled_from(sorted(SPECS)))], Loader=yaml.BaseLoader)
    place = data.draw(st.sampled_from(sorted(leaves(spec), key=str)))
    words = ["1", "0", "-1", "0.5", "1.0", "none", "true", "No", "file", "rest", "all", "", "inf"]
    made_up = st.one_of(
        st.sampled_from(words),
        st.lists(st.sampled_from(words), max_size=3),
        st.dictionaries(st.sampled_from(words), st.sampled_from(words), max_size=2),
    )
    changed = copy.deepcopy(spec)
    parent = functools.reduce(lambda part, key: part[key], place[:-1], changed)
    parent[place[-1]] = data.draw(made_up)
    try:
        mi.CorpusSpec.from_dict(changed)
    except mi.SpecError:
        return
    assert faults(changed) == []
