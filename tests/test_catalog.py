"""Each corpus of the catalog is read in its exact layout, and gives what it should."""

import json
import math
import pathlib
import subprocess
import sys

import pandas as pd
import pytest
import tensorflow_datasets as tfds
from catalog_trees import Tree, modules
from click.testing import CliRunner
from conftest import REPOSITORY

import medical_images as mi
from medical_images import catalog
from medical_images.cli import cli
from medical_images.corpus import plan_corpus
from medical_images.dataset_index import GROUP, KEY

MODULES = modules()


@pytest.fixture(scope="module", params=sorted(MODULES))
def corpus(request, tmp_path_factory):
    """Its name, its planned corpus, and the same unbuilt."""
    root = tmp_path_factory.mktemp(request.param)
    MODULES[request.param].write(Tree(root))
    loaded = mi.load_spec(request.param, root=root)
    return request.param, plan_corpus(loaded), mi.from_corpus(loaded.spec, root=root)


def test_every_corpus_of_the_catalog_has_a_tree():
    assert catalog.names() == tuple(MODULES)
    assert len(MODULES) >= 32


def table_of(planned, unbuilt) -> pd.DataFrame:
    """The index, with the paths of images."""
    paths = pd.concat([records["path"] for records in planned.plan.splits.values()])
    return mi.index(unbuilt).assign(path=paths.to_numpy()).set_index("path", verify_integrity=True)


def test_it_gives_the_examples_that_its_tables_tell(corpus):
    name, planned, unbuilt = corpus
    expected = MODULES[name].EXPECTED
    found = table_of(planned, unbuilt)
    assert unbuilt.info.metadata["rejects"] == expected.rejects
    splits = {split: info.num_examples for split, info in unbuilt.info.splits.items()}
    assert splits == expected.splits
    assert sum(splits.values()) >= 10
    assert expected.examples
    for path, features in expected.examples.items():
        for feature, value in features.items():
            seen = found.loc[path, feature]
            if isinstance(value, list):
                assert list(seen) == value, (path, feature)
            elif value is None:
                assert math.isnan(seen), (path, feature)
            else:
                assert seen == value, (path, feature)
    for paths in expected.together:
        assert len(set(found.loc[list(paths), KEY])) == 1, paths
    for one, other in expected.apart:
        assert found.loc[one, KEY] != found.loc[other, KEY], (one, other)
    group = planned.accepted.loaded.spec.group
    assert not group or found[GROUP].ne("").any(), "the group is blank everywhere"


def test_its_images_are_read(corpus):
    _, _, unbuilt = corpus
    for split, info in unbuilt.info.splits.items():
        read = list(unbuilt.as_dataset(split))
        assert len(read) == info.num_examples
        assert all(example["image"].shape[0] > 0 for example in read)


def test_it_says_what_a_user_must_know(corpus):
    name, planned, _ = corpus
    spec = planned.accepted.loaded.spec
    assert spec.name == name
    about = spec.about
    told = (spec.description, spec.license, spec.citation, spec.homepage, about.title)
    assert all((*told, about.modality, about.access, about.get))
    assert spec.group or about.warnings, "without a group, say why"
    for other in about.overlaps:
        assert name in mi.load_spec(catalog.path_of(other)).spec.about.overlaps, other
    for sentence in (*about.get, *about.warnings, *about.unverified):
        assert sentence.endswith((".", ".)")), sentence


def test_sex_age_and_eye_mean_the_same_in_all_corpora():
    for name in catalog.names():
        features = mi.load_spec(catalog.path_of(name)).spec.features
        if "sex" in features:
            assert set(features["sex"].values) <= {"female", "male", "other", "unknown"}, name
        if "age" in features:
            assert (features["age"].type, features["age"].unit) == ("float", "years"), name
        for side in {"eye", "side"} & set(features):
            assert set(features[side].values) == {"left", "right"}, name


@pytest.fixture
def manual_dir(tmp_path):
    """A folder of what was downloaded by hand, with HAM10000 in it."""
    MODULES["ham10000"].write(Tree(tmp_path / "manual" / "ham10000"))
    return tmp_path / "manual"


def test_a_corpus_is_built_by_its_name_alone(manual_dir, tmp_path):
    builder = tfds.builder("medical_images/ham10000", data_dir=tmp_path / "data")
    config = tfds.download.DownloadConfig(manual_dir=manual_dir)
    builder.download_and_prepare(download_config=config)
    loaded, info = tfds.load(
        "medical_images/ham10000", split="train", data_dir=tmp_path / "data", with_info=True
    )
    assert len(loaded) == 10
    assert "Tschandl" in info.citation
    assert mi.verify(builder) == []


def test_a_folder_of_its_name_is_no_spec(manual_dir, monkeypatch):
    monkeypatch.chdir(manual_dir)
    loaded = mi.load_spec("ham10000", root="ham10000")
    assert (loaded.spec.name, loaded.root) == ("ham10000", str(manual_dir / "ham10000"))


def test_a_spec_of_ones_own_in_a_folder_of_its_name_goes_first(manual_dir, monkeypatch):
    monkeypatch.chdir(manual_dir)
    own = mi.infer_spec("ham10000").yaml.replace("name: ham10000", "name: of_mine")
    pathlib.Path("ham10000/corpus.yaml").write_text(own, encoding="utf-8")
    loaded = mi.load_spec("ham10000")
    assert (loaded.spec.name, loaded.root) == ("of_mine", str(manual_dir / "ham10000"))


def test_tfds_build_takes_a_corpus_by_its_name(manual_dir, tmp_path):
    command = [
        pathlib.Path(sys.executable).with_name("tfds"), "build", "medical_images",
        "--config", "ham10000", "--imports", "medical_images",
        "--manual_dir", manual_dir, "--data_dir", tmp_path / "data",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "data/medical_images/ham10000/1.0.0/dataset_info.json").exists()


def test_it_is_told_where_a_corpus_is_looked_for_and_how_to_get_it(tmp_path):
    builder = tfds.builder("medical_images/ham10000", data_dir=tmp_path)
    with pytest.raises(mi.SpecError) as raised:
        builder.download_and_prepare()
    told = str(raised.value)
    assert str(tmp_path / "downloads" / "manual" / "ham10000") in told
    assert "Dataverse" in told


def test_a_name_that_is_not_in_the_catalog_is_told_with_the_nearest_one():
    with pytest.raises(mi.SpecError, match="did you mean 'ham10000'"):
        mi.load_spec("ham1000")


def test_nothing_is_written_beside_the_specs_of_the_package(manual_dir):
    root = manual_dir / "ham10000"
    next(root.glob("HAM10000_images_part_1/*")).unlink()
    with pytest.raises(mi.RejectedError, match=str(root)):
        mi.from_corpus("ham10000", root=root)
    assert (root / "ham10000.rejects.csv").exists()
    assert not list(catalog.path_of("ham10000").parent.glob("*.csv"))


def test_the_readme_names_every_corpus():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert [name for name in catalog.names() if f"`{name}`" not in text] == []


def test_the_command_line_lists_and_tells_every_corpus():
    listed = CliRunner().invoke(cli, ["catalog", "--json"])
    assert [told["name"] for told in json.loads(listed.output)] == list(catalog.names())
    listed = CliRunner().invoke(cli, ["catalog"])
    assert all(name in listed.output for name in catalog.names())
    told = CliRunner().invoke(cli, ["catalog", "ham10000", "--data-dir", "/somewhere"])
    for words in ("Dataverse", "CC BY-NC 4.0", "/somewhere/downloads/manual/ham10000", "isic2019"):
        assert words in told.output
    spec = CliRunner().invoke(cli, ["catalog", "ham10000", "--spec"]).output
    assert spec == catalog.path_of("ham10000").read_text(encoding="utf-8")
    absent = CliRunner().invoke(cli, ["catalog", "ham1000"])
    assert isinstance(absent.exception, mi.SpecError)
