"""Rows that are several images, images that are several rows, and columns out of image files."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import FEW, MANY, files_of, rows_of

from medical_images.acceptance import check_rejects
from medical_images.across_rows import combine
from medical_images.errors import ImageError, RejectedError
from medical_images.join import Joined, join_images
from medical_images.masks import mask_of_runs
from medical_images.rejects import RejectLog
from medical_images.spec import CorpusSpec, LabelsFeature
from medical_images.tables import Rows, explode_table


def _spec(features: Mapping[str, Any], **keys: Any) -> CorpusSpec:
    return CorpusSpec.from_dict(
        {
            "name": "mine",
            "tables": [{"path": "data.csv"}],
            "images": {"path": "{id}.png"},
            "features": features,
            "group": "patient",
            **keys,
        }
    )


def _rows(table: str) -> list[dict[str, str]]:
    """Rows of a table whose cells are separated by spaces; a lone hyphen is a blank cell."""
    header, *lines = table.split("\n")
    names = header.split()
    return [
        dict(
            zip(names, [c.replace("_", " ") if c != "-" else "" for c in line.split()], strict=True)
        )
        for line in lines
    ]


def _join(
    spec: CorpusSpec, rows: Sequence[Mapping[str, str]], paths: Sequence[str], **facts: Any
) -> Joined:
    files = files_of(paths, spec).assign(**facts)
    return join_images(explode_table(rows_of(rows), spec), files, spec)


def _log(log: RejectLog) -> list[tuple[str, str, object]]:
    return sorted(
        (e.outcome, e.code, e.line if e.kind == "row" else e.path) for e in log.entries.itertuples()
    )


# --- several rows, one image ---------------------------------------------------------------------

DX = {"type": "class", "values": ["nv", "mel", "bcc"]}
LABELS = {"type": "labels", "values": ["edema", "mass", "air"]}
EDEMA = {"type": "uncertain", "policy": "class"}
BOX = {"type": "boxes", "columns": ["x1", "y1", "x2", "y2"]}
RUNS = {"type": "mask", "runs": {"column": "m", "none": ["-1"]}}
FOUR = "\n".join(["id patient who m", "1 p a mass|air", "1 p b mass", "1 p c edema", "1 p d mass"])
VOTES = "\n".join(["id patient who m", "1 p a nv", "1 p b mel", "1 p c nv"])
TWICE = "\n".join(["id patient who m", "1 p a nv", "1 p a nv", "1 p b mel", "1 p c mel"])
KIDS = "\n".join(["id patient who m", "1 p a 7", "1 p b -", "1 p c 3", "1 p d 7"])


def _rejected(code: str, *lines: int) -> list[tuple[str, str, int]]:
    return [("rejected", code, line) for line in lines]


# Each case: the feature m, the table, its value of image 1 (None: there is no record), and the log.
ACROSS = {
    "labels of any row": ({**LABELS, "across_rows": "union"}, FOUR, ("edema", "mass", "air"),
        [("excluded", "duplicate_row", 5)]),
    "labels of most rows": ({**LABELS, "across_rows": "majority"}, FOUR, ("mass",), []),
    "labels of half the rows": (
        {**LABELS, "across_rows": "majority"}, FOUR.rsplit("\n", 2)[0], ("mass",), []),
    "labels of all rows": (
        {**LABELS, "across_rows": "all"}, FOUR, ("edema", "mass", "mass", "mass", "air"), []),
    "labels that rows share": (LABELS, FOUR, None,
        [("excluded", "duplicate_row", 5), *_rejected("conflict", 2, 3, 4)]),
    "class of most rows": ({**DX, "across_rows": "majority"}, VOTES, "nv", []),
    "class of all rows": ({**DX, "across_rows": "all"}, VOTES, ("nv", "nv", "mel"), []),
    "a tie": (
        {**DX, "across_rows": "majority"}, VOTES.rsplit("\n", 1)[0], None,
        _rejected("conflict", 2, 3)),
    "equal rows are votes": ({**DX, "across_rows": "majority"}, TWICE, None,
                             _rejected("conflict", 2, 3, 4, 5)),
    "equal rows of a reader are one vote": (
        {**DX, "across_rows": "majority", "reader": "who"}, TWICE, "mel",
        [("excluded", "duplicate_row", 3)]),
    "equal rows of the same state": (DX, TWICE.rsplit("\n", 2)[0], "nv",
                                     [("excluded", "duplicate_row", 3)]),
    "rows of no reader are votes of their own": (
        {**DX, "across_rows": "majority", "reader": "who"},
        TWICE.replace(" a ", " - ").replace("\n1 p - nv\n1 p - nv", "\n1 p - nv\n1 p - bcc"),
        "mel", []),
    "a reader who disagrees with himself": (
        {**DX, "across_rows": "all", "reader": "who"},
        VOTES.replace("1 p b mel", "1 p a mel"), None, _rejected("conflict", 2, 3, 4)),
    "a reader of several labels": (
        {**LABELS, "across_rows": "majority", "reader": "who"},
        FOUR.replace("1 p b mass", "1 p a edema").replace("1 p d mass", "1 p b edema"),
        ("edema",), []),
    "states of most rows": (
        {**EDEMA, "across_rows": "majority"}, "id patient m\n1 p 1\n1 p -1\n1 p -1.0", "uncertain",
        []),
    "states of all rows": (
        {**EDEMA, "across_rows": "all", "blank": "ignore"}, "id patient m\n1 p 1\n1 p -\n1 p 0",
        ("", "negative", "positive"), []),
    "numbers of all rows": (
        {"type": "int", "across_rows": "all", "missing_as": -1}, KIDS, (-1, 3, 7, 7), []),
    "numbers of the rows that tell one": (
        {"type": "int", "across_rows": "all"}, KIDS.replace("d 7", "d 9007199254740993"),
        (3, 7, 9007199254740993), []),
    "runs of all rows": (
        RUNS, "id patient m\n1 p 9_2\n1 p -\n1 p 1_4\n1 p -1",
        ("", "-1", "1 4", "9 2"), []),
    "a row without a class": (
        {**DX, "across_rows": "majority"}, "id patient m\n1 p nv\n1 p -\n1 p nv", None,
        [*_rejected("image_rejected", 2, 4), *_rejected("label_missing", 3)]),
    "groups may not differ": (
        {**DX, "across_rows": "majority"}, "id patient m\n1 p nv\n1 q nv\n1 p nv", None,
        _rejected("conflict", 2, 3, 4)),
    "cells that differ and mean the same": (
        {**DX, "rename": {"mole": "nv"}}, "id patient m\n1 p mole\n1 p nv\n1 p mole", "nv",
        [("excluded", "duplicate_row", 3), ("excluded", "duplicate_row", 4)]),
    "numbers that differ as text only": (
        {"type": "float", "missing": ["NA"]}, "id patient m\n1 p 7\n1 p 7.0", 7.0,
        [("excluded", "duplicate_row", 3)]),
    "a cell without a class beside a class": (DX, "id patient m\n1 p nv\n1 p ?", None,
                                              _rejected("conflict", 2, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", ACROSS)
def test_rows_of_one_image_are_combined(name):
    feature, table, expected, log = ACROSS[name]
    spec = _spec({"m": feature})
    rows = _rows(table)
    joined = _join(spec, [*rows, {**rows[0], "id": "2"}], ["1.png", "2.png"])
    assert joined.records["path"].tolist() == ["1.png", "2.png"][expected is None :]
    assert _log(joined.log) == sorted(log)
    if expected is not None:
        assert joined.records["feature_m"].tolist()[0] == expected
    if expected is not None and "lines" in joined.records:
        excluded = [line for _, _, line in log]
        lines = [line for line in range(2, 2 + len(rows)) if line not in excluded]
        assert joined.records["lines"].tolist() == [tuple(lines), (2 + len(rows),)]


READERS = {
    "findings": {"type": "labels", "column": "name", "values": ["mass", "air"],
                 "across_rows": "union"},
    "votes": {"type": "labels", "column": "name", "values": ["mass", "air"], "reader": "who",
              "across_rows": "majority"},
    "sure": {"type": "uncertain", "policy": "ignore", "across_rows": "majority"},
    "cells": {**BOX, "label": "kind", "values": ["m", "a"], "degenerate": "drop"},
}  # fmt: skip


@FEW
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["1", "2"]),
            st.sampled_from(["a", "b", ""]),
            st.sampled_from(["mass", "air", "cyst", ""]),
            st.sampled_from(["1", "1", "0", "-1"]),
            st.sampled_from(["1", "5", "5"]),
        ),
        min_size=1,
        max_size=8,
    ),
    st.randoms(),
)
def test_order_of_rows_does_not_matter_and_all_are_accounted_for(cells, random):
    names = ["id", "who", "name", "sure", "x2"]
    rows = [dict(zip(names, row, strict=True)) for row in cells]
    rows = [{**r, "x1": "1", "y1": "1", "y2": "4", "kind": r["name"][:1]} for r in rows]
    derive = {"kind": {"from": "name", "pattern": "^[ma]", "optional": True}}
    rows = [{k: v for k, v in row.items() if k != "kind"} for row in rows]
    spec = _spec(READERS, group=[], derive=derive)
    lines = list(range(2, len(rows) + 2))
    pairs = list(zip(rows, lines, strict=True))
    shuffled = random.sample(pairs, len(pairs))
    found = []
    for some in (pairs, shuffled):
        table = rows_of([row for row, _ in some], lines=[line for _, line in some])
        joined = join_images(table, files_of(["1.png", "2.png", "3.png"], spec), spec)
        found.append((joined.records.to_dict("records"), joined.log.in_order().entries.to_dict()))
        logged = {e.line for e in joined.log.entries.itertuples() if e.kind == "row"}
        kept = [line for lines in joined.records.get("lines", []) for line in lines]
        assert logged | set(kept) == set(lines)
        for record in joined.records.to_dict("records"):
            told = {r["name"] for r, line in pairs if line in record["lines"]} - {""}
            assert set(record["feature_findings"]) == told
            assert set(record["feature_votes"]) <= told
    assert found[0] == found[1]


@MANY
@given(
    st.lists(
        st.tuples(st.sampled_from("12"), st.sampled_from("ab"), st.sets(st.sampled_from("xyz")))
    )
)
def test_majorities_are_those_of_a_plain_count(rows):
    paths, readers = (pd.Series([row[k] for row in rows], dtype="str") for k in (0, 1))
    values = pd.Series([tuple(sorted(row[2])) for row in rows], dtype="object")
    for by in (None, readers):
        feature = LabelsFeature(type="labels", values=list("xyz"), across_rows="majority")
        found, torn = combine(values, paths, by, feature)
        assert not torn
        for path in set(paths):
            told = collections.defaultdict(set)
            for number, (of, reader, labels) in enumerate(rows):
                if of == path:
                    told[number if by is None else reader] |= labels
            most = [x for x in "xyz" if 2 * sum(x in v for v in told.values()) > len(told)]
            assert found[path] == tuple(most)


def test_label_of_a_row_whose_box_is_dropped_still_counts():
    features = {"dx": DX, "cells": {**BOX, "degenerate": "drop"}}
    rows = _rows("id patient dx x1 y1 x2 y2\n1 p ? 1 1 1 2\n2 p nv 1 1 1 2")
    joined = _join(_spec(features), rows, ["1.png", "2.png"])
    assert joined.records["feature_dx"].tolist() == ["nv"]
    assert _log(joined.log) == [
        ("excluded", "box_degenerate", 3), ("rejected", "label_unknown", 2)
    ]  # fmt: skip


# --- one row, several images ---------------------------------------------------------------------

EYES = {
    "column": "eye",
    "into": {
        "left": {"file": "Left", "words": "LeftWords"},
        "right": {"file": "Right", "words": "RightWords"},
    },
}
EYE = {"eye": {"type": "class", "values": ["left", "right"]}, "words": {"type": "text"},
       "age": {"type": "int"}}  # fmt: skip
EYE_TABLE = "\n".join(
    [
        "patient age Left Right LeftWords RightWords",
        "p 50 1 2 normal cataract",
        "q 60 3 - normal -",
        "r 70 - - - -",
        "s 80 4 5 normal normal",
        "t x 6 7 - -",
    ]
)


def test_each_eye_is_a_row():
    spec = _spec(EYE, images={"path": "{file}.png"}, explode=EYES, stratify="eye")
    rows = _rows(EYE_TABLE)
    joined = _join(spec, rows, [f"{n}.png" for n in (1, 2, 3, 4, 6, 7, 8)])
    columns = ["path", "line", "group", "feature_eye", "feature_words", "feature_age"]
    assert joined.records[columns].to_numpy().tolist() == [
        ["1.png", 2, "p", "left", "normal", 50],
        ["2.png", 2, "p", "right", "cataract", 50],
        ["3.png", 3, "q", "left", "normal", 60],
        ["4.png", 5, "s", "left", "normal", 80],
    ]
    assert joined.num_rows == 10
    assert _log(joined.log) == [
        ("excluded", "part_without_image", 3),
        ("rejected", "image_missing", 4),
        ("rejected", "image_missing", 4),
        ("rejected", "image_missing", 5),
        ("rejected", "value_invalid", 6),
        ("rejected", "value_invalid", 6),
        ("reported", "image_unreferenced", "8.png"),
    ]


def test_the_name_of_an_entry_may_tell_the_image_and_so_may_what_is_derived():
    into = {"left": {"grade": "L"}, "right": {"grade": "R"}}
    keys = {"explode": {"column": "eye", "into": into}, "images": {"path": "{id}_{eye}.png"}}
    spec = _spec({"grade": {"type": "int"}}, group="id", **keys)
    joined = _join(spec, _rows("id L R\n7 0 -"), ["7_left.png", "7_right.png"])
    assert joined.records["path"].tolist() == ["7_left.png"]
    assert _log(joined.log) == [("rejected", "value_missing", 2)]
    keys = {"explode": EYES, "images": {"path": "{stem}.png"}}
    derive = {"stem": {"from": "file", "pattern": "^[^.]+"}}
    spec = _spec(EYE, derive=derive, **keys)
    joined = _join(spec, _rows(EYE_TABLE.replace("50 1 2", "50 1.x -")), ["1.png", "3.png"])
    assert joined.records["path"].tolist() == ["1.png", "3.png"]
    assert ("excluded", "part_without_image", 2) in _log(joined.log)


def test_rows_that_name_one_image_with_different_others_do_not_disagree():
    rows = _rows(EYE_TABLE.replace("s 80 4 5", "p 50 1 5").replace("q 60 3 -", "p 50 1 9"))
    spec = _spec({"age": {"type": "int"}}, images={"path": "{file}.png"}, explode=EYES)
    joined = _join(spec, rows[:2] + rows[3:4], [f"{n}.png" for n in (1, 2, 5, 9)])
    assert joined.records["path"].tolist() == ["1.png", "2.png", "5.png", "9.png"]
    assert _log(joined.log) == [("excluded", "duplicate_row", 3), ("excluded", "duplicate_row", 4)]


@FEW
@given(
    st.lists(st.tuples(*[st.sampled_from(["1", "2", "3", "4", ""])] * 2), min_size=1, max_size=6),
    st.integers(0, 6),
)
def test_parts_of_rows_are_exploded_as_all_are(cells, at):
    spec = _spec(EYE, images={"path": "{file}.png"}, explode=EYES)
    rows = [
        {"patient": "p", "age": "1", "Left": a, "Right": b, "LeftWords": "", "RightWords": ""}
        for a, b in cells
    ]
    whole = rows_of(rows)
    made = explode_table(whole, spec)
    parts = [whole.frame.iloc[:at], whole.frame.iloc[at:]]
    apart = [explode_table(Rows(part, RejectLog(), len(part)), spec) for part in parts]
    pd.testing.assert_frame_equal(pd.concat([part.frame for part in apart]), made.frame)
    assert sum(part.num_rows for part in apart) == made.num_rows == 2 * len(rows)
    assert made.frame.index.is_unique
    assert not {"Left", "RightWords"} & set(made.frame.columns)
    joined = _join(spec, rows, ["1.png", "2.png", "3.png"])  # counts add up, or this raises
    assert set(joined.records["path"]) <= {"1.png", "2.png", "3.png"}


# --- one row, many files -------------------------------------------------------------------------

MANY_FILES = {"path": ["{study}/*.png", "more/{study}*.png"], "per_row": "many"}


def test_a_row_names_every_image_that_fits_it():
    spec = _spec({"dx": DX}, images=MANY_FILES)
    rows = _rows("study patient dx\na p nv\nb p mel\nc q nv\nd q nv\ne q ?\nab q nv")
    paths = ["a/1.png", "a/2.png", "b/1.png", "more/a1.png", "more/ab.png", "e/1.png", "x/1.png"]
    joined = _join(spec, rows, paths)
    assert joined.records[["path", "line", "group", "feature_dx"]].to_numpy().tolist() == [
        ["a/1.png", 2, "p", "nv"],
        ["a/2.png", 2, "p", "nv"],
        ["b/1.png", 3, "p", "mel"],
        ["more/a1.png", 2, "p", "nv"],
    ]
    assert _log(joined.log) == [
        ("rejected", "conflict", 2),  # more/ab.png, of the studies a and ab
        ("rejected", "conflict", 7),
        ("rejected", "image_missing", 4),
        ("rejected", "image_missing", 5),
        ("rejected", "label_unknown", 6),
        ("reported", "image_unreferenced", "x/1.png"),
    ]
    assert joined.num_rows == 9


def test_a_line_of_many_rows_is_named_once_and_all_are_counted():
    spec = _spec({"dx": DX}, images=MANY_FILES)
    rows = _rows("study patient dx\na p ?\nb p nv\nc q ?")
    joined = _join(spec, rows, ["a/1.png", "a/2.png", "a/3.png", "b/1.png", "c/1.png"])
    with pytest.raises(RejectedError) as refusal:
        check_rejects(joined.log, spec, num_rows=joined.num_rows, num_records=1)
    assert "4 of 5 rows and files rejected" in str(refusal.value)
    assert "; 4 rows (lines 2, 4); found '?'" in str(refusal.value)
    log = RejectLog(joined.log.entries[joined.log.entries.line == 2])
    assert "; 3 rows (line 2);" in log.problems()[0].what


@FEW
@given(
    st.lists(st.sampled_from(["a", "b", "ab", "c", ""]), min_size=1, max_size=5),
    st.sets(st.sampled_from(["a/1.png", "a/2.png", "ab/1.png", "more/ab1.png", "x/1.png"])),
    st.sets(st.sampled_from(["a/1.png", "more/ab1.png"])),
)
def test_every_file_that_fits_is_accounted_for(studies, paths, escaping):
    spec = _spec({"study": {"type": "text"}}, images=MANY_FILES, group="study")
    files = files_of(sorted(paths), spec, escaping=frozenset(escaping))
    joined = join_images(rows_of([{"study": study} for study in studies]), files, spec)
    fits = {
        path: {
            s for s in studies if s and (path.startswith(f"{s}/") or path.startswith(f"more/{s}"))
        }
        for path in paths
    }
    good = {path for path, of in fits.items() if len(of) == 1 and path not in escaping}
    assert set(joined.records["path"]) == good
    unreferenced = joined.log.entries[joined.log.entries.code == "image_unreferenced"]
    assert set(unreferenced["path"]) == {path for path, of in fits.items() if not of}


# --- columns out of files ------------------------------------------------------------------------


def test_columns_are_cut_out_of_header_fields():
    features = {
        "age": {"type": "float", "format": "age", "unit": "years"},
        "sex": {"type": "class", "values": ["F", "M"]},
        "site": {"type": "text"},
    }
    derive = {
        "age": {"from": "dicom.PatientAge"},
        "sex": {"from": "dicom.PatientSex", "pattern": "[FM]"},
        "maker": {"from": "dicom.Manufacturer", "pattern": "(?i)acme \\w+", "optional": True},
        "site": {"from": "maker", "pattern": "\\w+$"},
    }
    spec = _spec(features, derive=derive)
    facts = {
        "dicom.PatientAge": ["060Y", "", "6"],
        "dicom.PatientSex": ["M", "F", "other"],
        "dicom.Manufacturer": ["ACME one", "none", ""],
    }
    rows = _rows("id patient\n1 p\n2 p\n3 p")
    joined = _join(spec, rows, ["1.png", "2.png", "3.png"], **facts)
    found = joined.records[[f"feature_{name}" for name in features]].fillna(-1)
    assert found.to_numpy().tolist() == [[60.0, "M", "one"], [-1.0, "F", ""]]
    assert _log(joined.log) == [("rejected", "derive_no_match", 4)]


@pytest.mark.parametrize(
    ("none", "absent", "drawn"),
    [
        (["-1"], "reject", [1, 0, None, None, 1]),  # as in SIIM-ACR
        (["-1"], "empty", [1, 0, 0, 0, 1]),
        ([""], "reject", [1, None, 0, None, 1]),  # as in many tables of Kaggle
    ],
)
def test_a_cell_that_tells_of_no_run_is_a_mask_and_a_missing_one_is_none(none, absent, drawn):
    runs = {"type": "mask", "runs": {"column": "m", "none": none}, "missing": ["NA"]}
    spec = _spec({"lesion": {**runs, "absent": absent}})
    rows = _rows("id patient m\n1 p 1_2\n2 p -1\n3 p -\n4 p NA\n5 p 4_1\n5 p 1_2\n5 p -")
    records = _join(spec, rows, [f"{n}.png" for n in range(1, 6)]).records
    found = []
    for cells in records["feature_lesion"]:
        try:
            found.append(int(mask_of_runs(cells, spec.masks["lesion"], (2, 3)).max()))
        except ImageError as error:
            found.append(None if error.code in ("mask_missing", "mask_unreadable") else error.code)
    assert found == drawn


MISSED = "id patient m x1 y1 x2 y2\n1 p a1 1 1 2 2\n1 p a2 3 3 4 4\n1 p b 5 5 6 6\n2 p a 1 1 2 2"


@pytest.mark.parametrize(
    ("features", "records", "log"),
    [
        ({"box": BOX}, ["2.png"],
         [*_rejected("derive_no_match", 4), *_rejected("image_rejected", 2, 3)]),
        ({"kind": {"type": "text"}}, ["1.png", "2.png"],
         [("excluded", "duplicate_row", 3), *_rejected("derive_no_match", 4)]),
    ],
    ids=["boxes", "no boxes"],
)  # fmt: skip
def test_an_image_that_lost_a_row_before_it_was_matched_is_no_image_with_fewer_boxes(
    features, records, log
):
    spec = _spec(features, derive={"kind": {"from": "m", "pattern": "^a"}})
    joined = _join(spec, _rows(MISSED), ["1.png", "2.png", "3.png"])
    assert joined.records["path"].tolist() == records
    assert _log(joined.log) == sorted([*log, ("reported", "image_unreferenced", "3.png")])


@pytest.mark.parametrize("features", [{}, {"box": BOX}], ids=["no boxes", "boxes"])
def test_rows_agree_on_what_is_cut_out_and_differ_in_the_rest(features):
    """Whether there is a finding, of rows that each tell of another one."""
    found = {"type": "class", "values": ["no", "yes"], "missing_as": "yes"}
    spec = _spec(
        {"found": {**found, "rename": {"-1": "no"}}, **features},
        derive={
            "found": {"from": "m", "pattern": "^-1$", "optional": True},
            "unused": {"from": "m"},
        },
    )
    rows = _rows(MISSED.replace(" b ", " c ").replace("2 p a", "2 p -1"))
    joined = _join(spec, rows, ["1.png", "2.png"])
    assert joined.records["feature_found"].tolist() == ["yes", "no"]
    assert joined.log.counts() == ({} if features else {"excluded": {"duplicate_row": 2}})


def test_a_conflict_names_the_column():
    spec = _spec({"a": DX, "b": {"type": "text"}})
    rows = _rows("id patient a b\n1 p nv x\n1 p nv y\n2 p nv x\n2 q nv x\n3 p - -\n3 p - NA")
    entries = _join(spec, rows, ["1.png", "2.png", "3.png"]).log.entries
    assert entries[["code", "column"]].drop_duplicates().to_numpy().tolist() == [
        ["conflict", "b"], ["conflict", "patient"],
    ]  # fmt: skip


def test_masks_are_named_by_rows():
    mask = {"type": "mask", "path": "masks/{mask}.png"}
    spec = _spec({"lesion": mask, "dx": DX})
    rows = _rows("id patient dx mask\n1 p nv m1\n2 p nv -\n3 p nv ../../x\n4 p nv m1\n4 p nv m2")
    joined = _join(spec, rows, [f"{n}.png" for n in range(1, 5)])
    assert joined.records["feature_lesion"].tolist() == ["masks/m1.png", ""]
    assert _log(joined.log) == [
        *_rejected("conflict", 5, 6), *_rejected("path_escape", 4)
    ]  # fmt: skip
