"""Each corpus of the catalog is read in its exact layout, and gives what it should."""

import math

import pandas as pd
import pytest
from catalog_trees import Tree, modules

import medical_images as mi
from medical_images import catalog
from medical_images.corpus import plan_corpus
from medical_images.dataset_index import GROUP, KEY

MODULES = modules()


@pytest.fixture(scope="module", params=sorted(MODULES))
def corpus(request, tmp_path_factory):
    """Its name, its planned corpus, and the same unbuilt."""
    root = tmp_path_factory.mktemp(request.param)
    MODULES[request.param].write(Tree(root))
    loaded = catalog.load(request.param, root=str(root))
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
        assert found.loc[list(paths), KEY].nunique() == 1, paths
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
    assert spec.description and spec.license and spec.citation and spec.homepage
    about = spec.about
    assert about.title and about.modality and about.access and about.get
    assert spec.group or about.warnings, "without a group, say why"
    assert set(about.overlaps) <= set(catalog.names())
