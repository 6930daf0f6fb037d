"""Drafts of small made-up corpora: what is found, what is marked as a guess, what is left out."""

import os
import re
import zipfile

import numpy as np
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


def hospital_export(tree):
    rows = [
        (f"B{i:03}.JPG", f"{7000 + i // 2:06}", f"Weiß, Jörg{i // 2}", "02.05.1950",
         f"170,{i % 10}", ("unauffällig", "Erguß")[i % 2], f"Dr. {'ABC'[i % 3]}")
        for i in range(40)
    ]  # fmt: skip
    header = "Bild-Nr.;Patienten-ID;Name;Geburtsdatum;Größe (cm);Befund;befundet von"
    tree.table("Export 2021.csv", header, rows, separator=";", encoding="latin-1")
    for i in range(40):
        tree.image(f"Röntgen Bilder/B{i:03}.JPG")


def other_machine(tree):
    rows = [(rf"D:\Studie\Anna Weiß\{'ab'[i % 2]}\{i}.PNG", i % 2) for i in range(24)]
    tree.table("f.csv", "File,Class", rows)
    for i in range(24):
        tree.image(f"{'ab'[i % 2]}/{i}.PNG")


def lost_zeros(tree):
    tree.table("l.csv", "id,label", [(i, "ab"[i % 2]) for i in range(24)])
    for i in range(24):
        tree.image(f"{i:04}.png")


def same_names(tree):
    rows = [(f"p{i // 2:03}", f"{i % 2}.png", "ab"[i % 3 == 0]) for i in range(40)]
    tree.table("x.csv", "patient_id,filename,label", rows)
    for i in range(40):
        tree.image(f"imgs/p{i // 2:03}/{i % 2}.png")


def table_of_each_class(tree):
    for word in ("covid", "normal"):
        tree.table(f"{word}.csv", "file,age", [(f"{i}.png", 30 + i) for i in range(15)])
        for i in range(15):
            tree.image(f"{word}/{i}.png")


def numbered_folders(tree):
    tree.table("x.csv", "Patient,Diagnose", [(i, "ab"[i % 2]) for i in range(1, 16)])
    for i in range(1, 16):
        for k in range(2):
            tree.image(f"P_{i:03}/t{k}/x.png")


def unsure_label(tree):
    rows = [(f"{i}.png", "ab"[i % 2], ("I", "II")[i % 2], "mf"[i % 2]) for i in range(30)]
    tree.table("x.csv", "fn,histology,lobe,sex", rows)
    for i in range(30):
        tree.image(f"{i}.png")


def volumes(tree):
    nibabel = pytest.importorskip("nibabel")
    rows = [(f"sub-{i:02}", ("control", "case")[i % 2]) for i in range(12)]
    tree.table("participants.tsv", "participant_id\tdiagnosis", rows, separator="\t")
    for i in range(12):
        voxels = np.random.default_rng(i).integers(0, 900, (8, 8, 3)).astype("int16")
        for kind in ("T1w", "mask"):
            path = tree.root / f"sub-{i:02}_{kind}.nii.gz"
            nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), path)


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
    hospital_export: ("Röntgen Bilder/{Bild-Nr.}", ("Patienten-ID",), "befund"),
    other_machine: ("{file}", (), "class"),
    lost_zeros: (["00{id}.png", "000{id}.png"], (), "label"),
    same_names: ("imgs/{patient_id}/{filename}", ("patient_id",), "label"),
    table_of_each_class: ("{folder}/{file}", (), "label"),
    numbered_folders: (
        ["P_0{Patient}/**/*.png", "P_00{Patient}/**/*.png"],
        ("Patient",),
        "diagnose",
    ),
    unsure_label: ("{fn}", (), "histology"),
    volumes: ("{participant_id}_T1w.nii.gz/*", ("participant_id",), "diagnosis"),
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
    images = images if isinstance(images, list) else [images]
    assert (spec.images.path, spec.group, spec.supervised) == (images, group, supervised)


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


def column_of(name, cells):
    """Writes a table of ids and of one more column, and an image for each row."""

    def write(tree):
        tree.table("t.csv", f"id,{name}", list(enumerate(cells)))
        for i in range(len(cells)):
            tree.image(f"i/{i}.png")

    return write


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


def test_nothing_of_persons_is_written_in_any_language(tmp_path):
    draft = drafted(hospital_export, tmp_path)
    for word in ("Jörg", "1950", "Dr. "):
        assert word not in draft.yaml + str(draft)
    features = parse_yaml(draft.yaml, name="draft").data["features"]
    assert list(features) == ["bild_nr", "groesse_cm", "befund"]
    assert features["groesse_cm"]["decimal"] == ","


def test_commas_that_may_mark_thousands_are_asked_for(tmp_path):
    def write(tree):
        rows = [(i, f"{1 + i},{200 + i}", f"{i},5") for i in range(24)]
        tree.table("t.csv", "id,volume,area", rows)
        for i in range(24):
            tree.image(f"i/{i}.png")

    draft = drafted(write, tmp_path)
    assert re.search(r"# volume: .*commas mark decimals .* or thousands", draft.yaml)
    assert """area: {type: float, decimal: ","}""" in draft.yaml


def test_names_are_compared_in_normal_form(tmp_path):
    def write(tree):
        rows = [(f"L\u00e4sion_{i}.png", i // 2, "ab"[i % 2]) for i in range(40)]
        tree.table("t.csv", "Bild,Patient,Diagnose", rows)
        for i in range(40):
            tree.image(f"Bilder/La\u0308sion_{i}.png")

    draft = drafted(write, tmp_path)
    assert "40 of 40 rows name 40 of 40 images by 'Bild'" in str(draft)


def test_folders_are_compared_in_normal_form(tmp_path):
    def write(tree):
        tree.table("t.csv", "Studie,Befund", [(f"L\u00e4ufer{i}", "ab"[i % 2]) for i in range(24)])
        for i in range(24):
            for k in range(2):
                tree.image(f"Bilder/La\u0308ufer{i}/{k}.png")

    draft = drafted(write, tmp_path)
    assert "24 of 24 rows name 48 of 48 images by 'Studie'" in str(draft)


@pytest.mark.parametrize("name", ["scan_{}", "{}", "{:04}"])
def test_numbers_of_patients_are_no_names_of_images(tmp_path, name):
    """They stand in half of the names by chance; then labels would go to wrong images."""

    def write(tree):
        rows = [(f"scan {i}", i // 2, "ab"[i % 2]) for i in range(50)]
        tree.table("t.csv", "scan,patient,label", rows)
        for i in range(50):
            tree.image(f"images/{name.format(i)}.png")

    draft = drafted(write, tmp_path)
    assert "{patient" not in draft.yaml
    assert any(question.key == "images.path" for question in draft.questions)


# Cells of 40 rows, and what is asked for.
DOUBTS = {
    "thousands": ("volume", [f"{1 + i % 9}.{100 + i}" for i in range(40)], "marks thousands"),
    "a sentinel": ("weight", [*map(str, range(50, 89)), "-999"], "missing: ['-999']"),
    "one class in two cases": ("label", ["pos", "Pos", "neg", "neg"] * 10, "see `rename:`"),
    "ids in several spellings": (
        "patient_id", [f"{i // 2}" if i % 2 else f"P-{i // 2:03}"[2:] for i in range(40)],
        "differ from another only in case"),
    "ids that are blank": (
        "patient_id", [f"P{i}" if i % 4 == 0 else "" for i in range(40)],
        "30 of 40 rows have none"),
}  # fmt: skip


@pytest.mark.parametrize("name", DOUBTS)
def test_what_cells_may_mean_is_asked_for(tmp_path, name):
    column, cells, told = DOUBTS[name]
    draft = drafted(column_of(column, cells), tmp_path)
    assert any(told in question.what for question in draft.questions), draft.yaml


def test_ids_of_several_sites_are_asked_for_and_so_are_images_without_a_row(tmp_path):
    def write(tree):
        for site in ("north", "south"):
            rows = [(f"{site}{i}.png", i // 2, "ab"[i % 2]) for i in range(20)]
            tree.table(f"{site}.csv", "file,patient,label", rows)
            for i in range(25):
                tree.image(f"{site}/{site}{i}.png")

    asked = [question.what for question in drafted(write, tmp_path).questions]
    assert any("10 of its ids stand in several files" in what for what in asked)
    assert any(
        "40 of 50 images are named by rows, the others are left out" in what for what in asked
    )


def test_a_remark_among_numbers_is_neither_shown_nor_taken_as_missing(tmp_path):
    cells = [f"{i / 4}" for i in range(40)]
    cells[7], cells[9] = "see Frau Meier 0511-4711", "x"
    draft = drafted(column_of("size", cells), tmp_path)
    assert "Meier" not in draft.yaml + str(draft)
    assert re.search(r"# size: .*numbers, but for a few cells", draft.yaml)


@pytest.mark.parametrize(("last", "is_unsure"), [("12/11/2020", True), ("13/11/2020", False)])
def test_days_that_may_be_months_are_asked_for(tmp_path, last, is_unsure):
    days = [f"{1 + i % 12:02}/{1 + i % 11:02}/2019" for i in range(39)]
    draft = drafted(column_of("day", [*days, last]), tmp_path)
    assert """day: {type: date, format: "%d/%m/%Y"}""" in draft.yaml
    assert ("# ? the format may as well be" in draft.yaml) == is_unsure


@pytest.mark.parametrize(
    ("cells", "keys"),
    [
        ([f"{i % 3},{i % 10}" for i in range(40)], {"type": "float", "decimal": ","}),
        (
            ["1", "1,3", "2,3", "3"] * 10,
            {"type": "labels", "separator": ",", "values": ["1", "2", "3"]},
        ),
    ],
    ids=["numbers", "lists of codes"],
)
def test_commas_between_single_digits(tmp_path, cells, keys):
    draft = drafted(column_of("found", cells), tmp_path)
    features = parse_yaml(draft.yaml, name="draft").data["features"]
    assert features["found"] == keys


def test_paths_of_another_machine_do_not_tell_who_works_there(tmp_path):
    draft = drafted(other_machine, tmp_path)
    assert "Anna" not in draft.yaml + str(draft)
    assert re.search(r"# file: .*paths of another machine", draft.yaml)


def test_a_number_is_a_better_group_than_a_name_and_a_name_is_asked_for(tmp_path):
    def write(tree, header="file,patient_name,mrn,dx"):
        rows = [(f"{i}.png", f'"Doe, Jane{i // 2}"', 9000 + i // 2, "ab"[i % 2]) for i in range(20)]
        tree.table("l.csv", header, rows)
        for i in range(20):
            tree.image(f"{i}.png")

    assert "group: mrn" in drafted(write, tmp_path).yaml
    draft = drafted(lambda tree: write(tree, "file,patient_name,size,dx"), tmp_path / "other")
    (question,) = [q for q in draft.questions if q.key == "group"]
    assert question.chosen == "patient_name"
    assert "pseudonymize" in question.what


def test_what_is_in_the_way_is_said(tmp_path):
    tree = Tree(tmp_path / "corpus")
    tree.table("x.csv", "Image,y", [(f"PAT{i}.jpg", i % 2) for i in range(12)])
    for i in range(12):
        tree.image(f"img/Pat{i}.jpg")
    os.mkdir(tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", tree.root / "more")
    found = str(infer_spec(tree.root))
    assert "but for capital letters, 'Image' does" in found
    assert "1 links that lead out of the folder" in found


def test_images_in_zip_files_are_looked_at(tmp_path):
    tree = Tree(tmp_path / "corpus")
    for i in range(12):
        tree.image(f"{i}.png", mode="L")
    with zipfile.ZipFile(tree.root / "images.zip", "w") as file:
        for i in range(12):
            file.write(tree.root / f"{i}.png", f"in/{i}.png")
            os.remove(tree.root / f"{i}.png")
    draft = infer_spec(tree.root)
    assert "path: images.zip/in/*.png" in draft.yaml.replace('"', "")
    assert "channels: 1" in draft.yaml


def test_a_title_above_the_header_of_a_sheet_is_passed_over(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    tree = Tree(tmp_path / "corpus")
    book = openpyxl.Workbook()
    rows = [(f"{i}.png", ("case", "control")[i % 2], 30 + i) for i in range(12)]
    for row in [("Study ABC",), (), ("file", "diagnosis", "age"), *rows]:
        book.active.append(row)
    book.save(tree.root / "a.xlsx")
    for i in range(12):
        tree.image(f"{i}.png")
    draft = infer_spec(tree.root)
    assert "skip_lines: 2" in draft.yaml
    assert 'path: "{file}"' in draft.yaml


def test_a_table_of_many_numbers_is_used_but_they_are_not_proposed(tmp_path):
    def write(tree):
        header = ",".join(["file", "dx", *(f"radiomics_{k}" for k in range(450))])
        rows = [(f"{i}.png", "ab"[i % 2], *(k + i + 0.5 for k in range(450))) for i in range(20)]
        tree.table("l.csv", header, rows)
        for i in range(20):
            tree.image(f"{i}.png")

    draft = drafted(write, tmp_path)
    assert list(parse_yaml(draft.yaml, name="draft").data["features"]) == ["file", "dx"]
    assert "# radiomics_7: {type: float}" in draft.yaml


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
