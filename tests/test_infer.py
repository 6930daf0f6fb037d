"""Drafts of small made-up corpora: what is found, what is marked as a guess, what is left out."""

import os
import re

import pytest
from catalog_trees import Tree
from hypothesis import given
from hypothesis import strategies as st

from medical_images.corpus import plan_corpus
from medical_images.drafting.document import render, scalar
from medical_images.errors import CorpusError, SpecError, TableError
from medical_images.infer import infer_spec
from medical_images.phantom import write_phantom
from medical_images.spec import load_spec
from medical_images.yaml_source import parse_yaml


def two_tables(tree):
    rows = [(f"{i:04}", f"P{i // 2}", ("nv", "mel")[i % 2], "Köln") for i in range(40)]
    tree.table("i.csv", "image_id;patient_id;dx;site", rows, separator=";", encoding="cp1252")
    who = [(f"P{i}", "MF"[i % 2], f"{20 + i:03}Y", f"Jane {i}", "1960-01-01") for i in range(20)]
    tree.table("p.csv", "patient_id,sex,age,name,birth_date", who)
    for i in range(40):
        tree.image(f"img/{i:04}.png")


def both_eyes(tree):
    rows = [(i, f"{i}_left.jpg", f"{i}_right.jpg", i % 2, 0) for i in range(20)]
    tree.table("x.csv", "ID,Left-Fundus,Right-Fundus,Left-Grade,Right-Grade", rows)
    for i in range(20):
        tree.image(f"{i}_left.jpg")
        tree.image(f"{i}_right.jpg")


def studies(tree):
    tree.table("x.tsv", "participant_id\tage", [(f"sub-{i:02}", 30 + i) for i in range(12)],
               separator="\t")  # fmt: skip
    for i in range(12):
        for k in range(3):
            tree.image(f"sub-{i:02}/anat/{k}.png")


def no_header(tree):
    tree.table("l.csv", None, [(f"a/{i}.png", i % 2) for i in range(20)])
    for i in range(20):
        tree.image(f"a/{i}.png")


def bare_dicom(tree):
    rows = [(f"p{i // 3}", f"1.2.840.{i}", ("yes", "no")[i % 2]) for i in range(20)]
    tree.table("x.csv", "PatientID,SOPInstanceUID,Finding", rows)
    for i in range(20):
        tree.dicom(f"D/p{i // 3}/1.2.840.{i}", bits=12)


def folders(tree):
    for i in range(30):
        tree.image(f"{('train', 'test')[i % 5 == 0]}/{'ab'[i % 2]}/case{i}.png", mode="L")


def odd_names(tree):
    rows = [(f"x {i}.png", i, ["no", "yes", "a: b"][i % 3]) for i in range(20)]
    tree.table("l.csv", 'my image: file,"a,b",the # class', rows)
    for i in range(20):
        tree.image(f"dir {{1}} é/x {i}.png")


def masks(tree):
    for i in range(20):
        tree.image(f"all/c{i}.png")
        tree.image(f"all/c{i}_mask.png", mode="L")


def other_extensions(tree):
    rows = [(f"IM{i}.png", "ab"[i % 2], ("train", "test", "")[i % 3]) for i in range(30)]
    tree.table("m.csv", "file,label,split", rows)
    for i in range(30):
        tree.image(f"IM{i}.{('png', 'PNG')[i % 2]}")


CASES = {  # images, group, supervised
    two_tables: ("img/{image_id}.png", ("patient_id",), "dx"),
    both_eyes: ("{file}", ("ID",), "grade"),
    studies: ("{participant_id}/**/*.png", ("participant_id",), None),
    no_header: ("{column_1}", (), "column_2"),
    bare_dicom: ("D/{PatientID}/{SOPInstanceUID}", ("PatientID",), "finding"),
    folders: ("{official_split}/{label}/*.png", (), "label"),
    odd_names: ("*/{my image: file}", (), "the_class"),
    other_extensions: ("{image_file}.*", (), "label"),
    masks: ("all/*.png", (), None),
}


@pytest.fixture(params=CASES, ids=lambda write: write.__name__)
def case(request, tmp_path):
    request.param(Tree(tmp_path / "corpus"))
    draft = infer_spec(tmp_path / "corpus")
    draft.write(tmp_path / "corpus" / "corpus.yaml")
    return CASES[request.param], draft, load_spec(tmp_path / "corpus" / "corpus.yaml")


def test_the_draft_names_images_groups_and_the_label(case):
    (images, group, supervised), _, loaded = case
    spec = loaded.spec
    assert (spec.images.path, spec.group, spec.supervised) == ([images], group, supervised)


def test_the_draft_is_accepted_as_it_is(case):
    _, draft, loaded = case
    planned = plan_corpus(loaded)
    assert sum(map(len, planned.plan.splits.values())) >= 20, draft


def test_every_guess_is_a_question_that_names_its_line(case):
    _, draft, _ = case
    lines = draft.yaml.splitlines()
    assert draft.yaml.count("# ? ") == len(draft.questions)
    for question in draft.questions:
        assert lines[question.line - 1].strip(" -").startswith(scalar(question.key.split(".")[-1]))
        assert question.what.split()[0] in draft.yaml


def drafted(write, tmp_path, **options):
    write(Tree(tmp_path / "corpus"))
    return infer_spec(tmp_path / "corpus", **options)


def test_names_and_days_of_birth_are_left_out_and_said(tmp_path):
    draft = drafted(two_tables, tmp_path)
    assert re.search(r"# name: .*who somebody is", draft.yaml)
    assert re.search(r"# birth_date: .*who somebody is", draft.yaml)
    assert "Jane" not in draft.yaml + str(draft)
    assert "{type: float, unit: years, format: age}" in draft.yaml
    assert "40 of 40 rows have a partner" in str(draft)
    assert 'dialect: {separator: ";", encoding: cp1252}' in draft.yaml


def test_masks_are_no_images(tmp_path):
    draft = drafted(masks, tmp_path)
    assert 'exclude: ["*_mask*"]' in draft.yaml
    assert "20 masks" in draft.yaml


def test_missing_tokens_are_proposed_with_their_counts(tmp_path):
    def write(tree):
        size = ["1.5", "NA", "2.25", "?", "3", "7", "8.5", "9", "10", "11", "12", "unknown"]
        rows = [(f"{i}.png", size[i % 12], ["a", "b", ""][i % 3]) for i in range(24)]
        tree.table("l.csv", "file,size_mm,kind", rows)
        for i in range(24):
            tree.image(f"{i}.png")

    draft = drafted(write, tmp_path)
    assert "'?' 2, 'NA' 2, 'unknown' 2 times" in draft.yaml
    assert 'missing: ["?", NA, unknown]' in draft.yaml
    assert "unit: mm" in draft.yaml
    assert "rows: a 8, b 8, blank 8" in draft.yaml


def test_official_splits_that_part_a_patient_are_not_taken(tmp_path):
    def write(tree):
        rows = [
            (f"{i}.png", f"P{i // 3}", "ab"[i % 2], ["train", "test"][i % 2]) for i in range(30)
        ]
        tree.table("l.csv", "file,patient,label,split", rows)
        for i in range(30):
            tree.image(f"{i}.png")

    draft = drafted(write, tmp_path)
    assert "would part 10 groups" in draft.yaml
    assert "splits: {train: 0.8, validation: 0.1, test: 0.1}" in draft.yaml


def test_without_images_the_place_to_fill_in_is_refused_by_its_line(tmp_path):
    def write(tree):
        tree.table("l.csv", "file,label", [(f"{i}.png", "ab"[i % 2]) for i in range(20)])

    draft = drafted(write, tmp_path)
    draft.write(tmp_path / "corpus" / "corpus.yaml")
    (question,) = [q for q in draft.questions if "???" in q.chosen]
    with pytest.raises(CorpusError, match=rf"corpus\.yaml:{question.line - 1}:3 images\.path"):
        plan_corpus(load_spec(tmp_path / "corpus" / "corpus.yaml"))


def test_a_draft_elsewhere_finds_its_root_and_overwrites_nothing(tmp_path):
    draft = drafted(two_tables, tmp_path, name="mine")
    os.mkdir(tmp_path / "specs")
    draft.write(tmp_path / "specs" / "mine.yaml")
    loaded = load_spec(tmp_path / "specs" / "mine.yaml")
    assert loaded.spec.name == "mine"
    assert plan_corpus(loaded).plan.splits
    with pytest.raises(FileExistsError):
        draft.write(tmp_path / "specs" / "mine.yaml")


def test_tables_that_are_named_are_the_only_ones(tmp_path):
    draft = drafted(two_tables, tmp_path, tables=["i.csv"])
    assert "p.csv" not in draft.yaml
    with pytest.raises(SpecError, match=r"no table 'q\.csv'.*did you mean 'p\.csv'"):
        infer_spec(tmp_path / "corpus", tables=["q.csv"])
    (tmp_path / "corpus" / "torn.csv").write_text('a,b\n"1,2\n')
    with pytest.raises(TableError, match="torn"):
        infer_spec(tmp_path / "corpus", tables=["torn.csv"])


def test_what_cannot_be_read_is_passed_over_and_said(tmp_path):
    tree = Tree(tmp_path / "corpus")
    two_tables(tree)
    tree.write("broken.xlsx", b"no workbook")
    tree.write("sample_submission.csv", b"id,label\n1,0\n")
    tree.write("__MACOSX/x.png", b"")
    found = str(infer_spec(tmp_path / "corpus"))
    assert "broken.xlsx: passed over" in found
    assert "sample_submission.csv (by its name)" in found
    assert "1 files of __MACOSX" in found


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(SpecError, match="neither images nor tables"):
        infer_spec(tmp_path)


def test_the_phantom_is_drafted_as_its_spec_says(tmp_path):
    path = write_phantom(tmp_path, num_images=100, height=24, width=32)
    draft, spec = infer_spec(tmp_path), load_spec(path).spec
    data = parse_yaml(draft.yaml, name="draft").data
    assert (data["images"]["path"],) == tuple(spec.images.path)
    assert (data["group"],) == spec.group


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)


@given(
    st.recursive(
        WORDS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    )
)
def test_what_is_written_is_read_again(value):
    text = render({"features": {"x": value}}, comments={("features", "x"): ["why: # ? {}"]})
    assert parse_yaml(text, name="draft").data == {"features": {"x": value}}
