"""Drafts of all made-up corpora: the right join, the right group, and a spec that is accepted."""

import dataclasses
import re

import pandas as pd
import pytest
from catalog_trees import Tree, modules

from medical_images.corpus import plan_corpus
from medical_images.errors import CorpusError
from medical_images.infer import infer_spec
from medical_images.spec import load_spec

MODULES = modules()
# What a draft does not find, and why.
NOT_REACHED = {
    "messidor2": "the eyes of a patient stand in a table of two columns that both name images",
}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a draft."""

    images: tuple[str, ...]
    group: tuple[str, ...]
    is_joined: bool
    is_grouped: bool
    refusal: str


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    return {name: outcome_of(name, tmp_path_factory.mktemp(name)) for name in MODULES}


def outcome_of(name: str, root) -> Outcome:
    MODULES[name].write(Tree(root / "corpus"))
    infer_spec(root / "corpus").write(root / "draft.yaml")
    loaded = load_spec(root / "draft.yaml")
    images, group = tuple(loaded.spec.images.path), loaded.spec.group
    expected = MODULES[name].EXPECTED
    is_named = {name_part(text) for text in images} <= {
        name_part(text) for text in expected.draft_images
    }
    try:
        found = groups_of(loaded)
    except CorpusError as error:
        return Outcome(images, group, is_named, False, str(error))
    right = groups_of(load_spec(name, root=root / "corpus"))
    both = right.index.intersection(found.index)
    # Either the same groups, or those by one of the columns given, which may be finer.
    is_told = list(group) in map(list, expected.draft_group)
    is_grouped = is_same(right[both], found[both], or_finer=is_told)
    return Outcome(images, group, is_named or len(both) > 0.9 * len(right), is_grouped, "")


def name_part(template: str) -> str:
    """Returns the last part of a template, where its folders are free."""
    return template.rsplit("/", 1)[-1].replace(".*", "")


def groups_of(loaded) -> pd.Series:
    """Returns the group of each image, by its path."""
    records = pd.concat(plan_corpus(loaded).plan.splits.values())
    return records.set_index("path")["whole"]


def is_same(right: pd.Series, found: pd.Series, *, or_finer: bool) -> bool:
    pairs = set(zip(right, found, strict=True))
    return len(pairs) == found.nunique() and (or_finer or len(pairs) == right.nunique())


def test_nine_of_ten_have_the_right_join_and_group(outcomes):
    wrong = {name: o for name, o in outcomes.items() if not (o.is_joined and o.is_grouped)}
    assert len(wrong) <= len(outcomes) / 10, wrong
    assert set(wrong) <= set(NOT_REACHED), wrong


def test_each_draft_is_accepted_as_it_is(outcomes):
    assert not {name: o.refusal for name, o in outcomes.items() if o.refusal}


def test_what_is_unsure_is_marked_in_the_draft(tmp_path):
    for name in ("cbis_ddsm", "chexpert", "isic2020"):
        MODULES[name].write(Tree(tmp_path / name))
        draft = infer_spec(tmp_path / name)
        lines = draft.yaml.splitlines()
        for question in draft.questions:
            above = [line for line in lines[: question.line] if re.match(r" *#", line)]
            assert any("? " in line for line in above), question
