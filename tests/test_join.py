"""Rows and files to records: each ends in exactly one place, and the counts add up."""

import collections
import contextlib
import os
import pathlib
import textwrap
import unicodedata
from typing import Any

import pandas as pd
import pytest
from conftest import SPECS
from hypothesis import assume, example, given
from hypothesis import strategies as st
from PIL import Image
from strategies import FEW, SmallCorpus, box_corpora, corpora, files_of, rows_of

from medical_images.acceptance import check_rejects
from medical_images.corpus import plan_corpus
from medical_images.errors import CorpusError, RejectedError, SpecError
from medical_images.header_facts import facts_of_files
from medical_images.images import list_images
from medical_images.join import Joined, join_images
from medical_images.rejects import CODES, RejectLog
from medical_images.spec import CorpusSpec, load_spec
from medical_images.tables import KEY_SEPARATOR, read_lists, read_rows

SPEC = """\
name: mine
tables: [{path: data.csv}]
images: {path: "img/{id}.png"}
features:
  label: {column: dx, type: class, values: [nv, mel], rename: {melanoma: mel}}
group: patient
"""


def _write(folder: pathlib.Path, spec: str, table: str | None, images: list[str]) -> pathlib.Path:
    """Writes a corpus; table cells are separated by spaces, images are 10 by 10 pixels."""
    if table is not None:
        lines = textwrap.dedent(table).strip().splitlines()
        text = "".join(",".join(c.strip("-") for c in line.split()) + "\n" for line in lines)
        (folder / "data.csv").write_text(text, encoding="utf-8")
    (folder / "img").mkdir()
    for path in images:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (10, 10)).save(folder / path, format="PNG")
    (folder / "corpus.yaml").write_text(spec, encoding="utf-8")
    return folder / "corpus.yaml"


def _join(path: pathlib.Path) -> tuple[Joined, CorpusSpec]:
    loaded = load_spec(path)
    spec, root = loaded.spec, loaded.root
    rows = read_rows(spec, root=root, source=loaded.source) if spec.tables else None
    files = list_images(root, spec.images)
    files = files.assign(**facts_of_files(root, files, spec))
    lists = read_lists(spec, root=root, source=loaded.source)
    return join_images(rows, files, spec, lists), spec


def _check_rejects(joined: Joined, spec: CorpusSpec, *, epilog: str = "") -> None:
    counts = {"num_rows": joined.num_rows, "num_records": len(joined.records)}
    check_rejects(joined.log, spec, **counts, epilog=epilog)


def _entries(joined: Joined) -> list[tuple[str, str, object]]:
    """(outcome, code, line of a row or path of a file), sorted."""
    return sorted(
        (
            (entry.outcome, entry.code, entry.line if entry.kind == "row" else entry.path)
            for entry in joined.log.entries.itertuples()
        ),
        key=str,
    )


def _spec(old: str = "", new: str = "", *, more: str = "") -> str:
    assert old in SPEC
    return (SPEC.replace(old, new) if old else SPEC) + more


BOX_SPEC = """\
name: mine
tables: [{path: data.csv}]
images: {path: "img/{id}.png"}
features:
  cells: {type: boxes, columns: [x1, y1, x2, y2]}
"""
CELLS = "columns: [x1, y1, x2, y2]"
ONE, TWO, THREE = "img/1.png", "img/2.png", "img/3.png"
GOOD = "\n1 p nv\n2 q mel"

# Each case: the spec, the table (a lone hyphen is a blank cell), the images, the paths of the
# records, and what is logged.
CASES = {
    "all is well": (SPEC, "id patient dx" + GOOD, [ONE, TWO], [ONE, TWO], []),
    "file of a row is missing": (
        SPEC, "id patient dx" + GOOD, [TWO], [TWO], [("rejected", "image_missing", 2)]),
    "name of a file is blank": (
        SPEC, "id patient dx\n- p nv\n2 q nv", [TWO], [TWO], [("rejected", "image_missing", 2)]),
    "zeros of names count": (
        SPEC, "id patient dx\n01 p nv\n1 q nv", [ONE], [ONE], [("rejected", "image_missing", 2)]),
    "missing files are only reported": (
        _spec(more="rejects: {rows_without_image: report}\n"), "id patient dx" + GOOD, [TWO],
        [TWO], [("reported", "image_missing", 2)]),
    "no row names a file": (
        SPEC, "id patient dx" + GOOD, [ONE, TWO, THREE], [ONE, TWO],
        [("reported", "image_unreferenced", THREE)]),
    "files that no row names are rejected": (
        _spec(more="rejects: {images_without_row: reject}\n"), "id patient dx" + GOOD,
        [ONE, TWO, THREE], [ONE, TWO], [("rejected", "image_unreferenced", THREE)]),
    "files that no template fits are not of the corpus": (
        SPEC, "id patient dx" + GOOD, [ONE, TWO, "img/3.jpg", "img/.4.png", "5.png"], [ONE, TWO],
        []),
    "two files fit": (
        _spec("img/{id}.png", "img/*/{id}.png"), "id patient dx" + GOOD,
        ["img/a/1.png", "img/b/1.png", "img/a/2.png"], ["img/a/2.png"],
        [("rejected", "image_ambiguous", 2)]),
    "two files differ in their extension": (
        _spec("{id}.png", "{id}.*"), "id patient dx" + GOOD, [ONE, "img/1.PNG", TWO], [TWO],
        [("rejected", "image_ambiguous", 2)]),
    "a file of a row that two files fit is another row's": (
        _spec("{id}.png", "{id}*.png"), "id patient dx\n1 p nv\n12 p nv",
        ["img/12.png", "img/13.png"], ["img/12.png"], [("rejected", "image_ambiguous", 2)]),
    "no row is left before files are looked for": (
        _spec(more="derive: {patient: {from: visit, pattern: p}}\n"), "id visit dx\n1 q nv", [ONE],
        [], [("rejected", "derive_no_match", 2)]),
    "two templates fit two files": (
        _spec('"img/{id}.png"', '["img/{id}.png", "old/{id}.png"]'), "id patient dx" + GOOD,
        [ONE, "old/1.png", "old/2.png"], ["old/2.png"], [("rejected", "image_ambiguous", 2)]),
    "two templates fit the same file": (
        _spec('"img/{id}.png"', '["img/{id}.png", "img/{id}.*"]'), "id patient dx" + GOOD,
        [ONE, TWO], [ONE, TWO], []),
    "name that leaves the root": (
        SPEC, "id patient dx\n../../1 p nv\n2 q nv", [TWO], [TWO],
        [("rejected", "path_escape", 2)]),
    "name from the root of the disk": (
        _spec("img/{id}.png", "{id}.png"), "id patient dx\n/etc/1 p nv\nimg/2 q nv", [TWO], [TWO],
        [("rejected", "path_escape", 2)]),
    "two dots inside a name are no way out": (
        SPEC, "id patient dx\na..b p nv", ["img/a..b.png"], ["img/a..b.png"], []),
    "exact copies": (
        SPEC, "id patient dx" + GOOD + "\n1 p nv\n1 p nv", [ONE, TWO], [ONE, TWO],
        [("excluded", "duplicate_row", 4), ("excluded", "duplicate_row", 5)]),
    "copies but for a column that is not used": (
        SPEC, "id patient dx other\n1 p nv a\n1 p nv b", [ONE], [ONE],
        [("excluded", "duplicate_row", 3)]),
    "rows disagree on the label": (
        SPEC, "id patient dx\n1 p nv\n2 q nv\n1 p mel", [ONE, TWO], [TWO],
        [("rejected", "conflict", 2), ("rejected", "conflict", 4)]),
    "rows disagree on the group": (
        SPEC, "id patient dx\n1 p nv\n1 q nv\n2 q nv", [ONE, TWO], [TWO],
        [("rejected", "conflict", 2), ("rejected", "conflict", 3)]),
    "a copy among rows that disagree": (
        SPEC, "id patient dx\n1 p nv\n1 p nv\n1 p mel\n2 q nv", [ONE, TWO], [TWO],
        [("excluded", "duplicate_row", 3), ("rejected", "conflict", 2),
         ("rejected", "conflict", 4)]),
    "class missing and unknown": (
        SPEC, "id patient dx\n1 p -\n2 q NV\n3 q melanoma", [ONE, TWO, THREE], [THREE],
        [("rejected", "label_missing", 2), ("rejected", "label_unknown", 3)]),
    "marks of no class and of two": (
        _spec("column: dx, type: class, values: [nv, mel], rename: {melanoma: mel}",
              "type: class, columns: [nv, mel]"),
        "id patient nv mel\n1 p 0 0\n2 p 1 1\n3 q 0.0 1.0", [ONE, TWO, THREE], [THREE],
        [("rejected", "label_missing", 2), ("rejected", "label_conflict", 3)]),
    "identifier missing": (
        _spec("group", "  lesion: {type: id}\ngroup"), "id patient dx lesion\n1 p nv -\n2 q nv a",
        [ONE, TWO], [TWO], [("rejected", "id_missing", 2)]),
    "number missing or odd": (
        _spec("group", "  n: {type: int, max: 9}\ngroup"),
        "id patient dx n\n1 p nv -\n2 q nv x\n3 q nv 10\n4 q nv 9",
        [ONE, TWO, THREE, "img/4.png"], ["img/4.png"],
        [("rejected", "value_missing", 2), ("rejected", "value_invalid", 3),
         ("rejected", "value_out_of_range", 4)]),
    "number is infinite": (
        _spec("group", "  age: {type: float}\ngroup"), "id patient dx age\n1 p nv inf\n2 q nv -",
        [ONE, TWO], [TWO], [("rejected", "value_infinite", 2)]),
    "row with two faults is rejected once": (
        _spec("group", "  age: {type: float}\ngroup"), "id patient dx age\n1 p ? x\n2 q nv -",
        [ONE, TWO], [TWO], [("rejected", "label_unknown", 2)]),
    "column cut out of another": (
        _spec(more="derive: {patient: {from: visit, pattern: '^([a-z]+)'}}\n"),
        "id visit dx\n1 p1 nv\n2 22 nv\n3 - nv", [ONE, TWO, THREE], [ONE, THREE],
        [("rejected", "derive_no_match", 3)]),
    "column cut out of another, if it can be": (
        _spec(more="derive: {patient: {from: visit, pattern: '[a-z]+', optional: true}}\n"),
        "id visit dx\n1 p1 nv\n2 22 nv", [ONE, TWO], [ONE, TWO], []),
    "column cut out of the path": (
        _spec("img/{id}.png", "img/**/{id}.png")
        + "derive: {patient: {from: images.path, pattern: 'p(\\d+)/'}}\n",
        "id dx\n1 nv\n2 nv", ["img/p7/1.png", "img/x/2.png"], ["img/p7/1.png"],
        [("rejected", "derive_no_match", 3)]),
    "row without a partner": (
        _spec("[{path: data.csv}]",
              "[{path: data.csv}, {path: data.csv, rename: {patient: sign, dx: dy},"
              " join: {on: {patient: id}, cardinality: many_to_one}}]"),
        "id patient dx\n1 2 nv\n2 9 nv", [ONE, TWO], [ONE],
        [("rejected", "join_unmatched", 3), ("reported", "join_unmatched", 2),
         ("reported", "image_unreferenced", TWO)]),
    "box without width": (
        BOX_SPEC, "id x1 y1 x2 y2\n1 3 1 3 2\n2 1 1 2 2", [ONE, TWO], [TWO],
        [("rejected", "box_degenerate", 2)]),
    "box outside": (
        BOX_SPEC, "id x1 y1 x2 y2\n1 3 1 11 2\n2 0 0 10 10", [ONE, TWO], [TWO],
        [("rejected", "box_outside", 2)]),
    "half a box": (
        BOX_SPEC, "id x1 y1 x2 y2\n1 3 1 - 2\n2 - - - -", [ONE, TWO], [TWO],
        [("rejected", "value_invalid", 2)]),
    "image of a rejected box": (
        BOX_SPEC, "id x1 y1 x2 y2\n1 1 1 2 2\n1 3 1 3 2\n2 1 1 2 2", [ONE, TWO], [TWO],
        [("rejected", "box_degenerate", 3), ("rejected", "image_rejected", 2)]),
    "the same box twice": (
        BOX_SPEC, "id x1 y1 x2 y2\n1 1 1 2 2\n1 1 1 2 2", [ONE], [ONE],
        [("excluded", "duplicate_row", 3)]),
    "official split missing and unknown": (
        _spec(more="splits: {column: set, values: [train]}\n"),
        "id patient dx set\n1 p nv train\n2 q nv -\n3 q nv Train", [ONE, TWO, THREE], [ONE],
        [("rejected", "split_missing", 3), ("rejected", "split_unknown", 4)]),
    "rows disagree on the official split": (
        _spec(more="splits: {column: set, values: [train, test]}\n"),
        "id patient dx set\n1 p nv train\n1 p nv test\n2 q nv test", [ONE, TWO], [TWO],
        [("rejected", "conflict", 2), ("rejected", "conflict", 3)]),
    "image of boxes without an official split": (
        BOX_SPEC + "splits: {column: set, values: [a]}\n",
        "id x1 y1 x2 y2 set\n1 1 1 2 2 -\n1 3 1 4 2 -\n2 1 1 2 2 a", [ONE, TWO], [TWO],
        [("rejected", "split_missing", 2), ("rejected", "split_missing", 3)]),
}  # fmt: skip

# These are not of the join: they come of the images' bytes, and of the plan.
LATER = {
    "image_copy", "copy_conflict", "group_in_two_splits",
    "not_regular", "empty", "not_an_image", "unsupported", "truncated", "corrupt", "corrupt_scan",
    "not_checked", "too_large", "multi_frame", "needs_window", "channels", "extension_mismatch",
    "exif_malformed", "converted", "burned_in", "dicom_unreadable", "dicom_syntax", "dicom_frames",
    "dicom_no_preamble", "dicom_no_pixels", "dicom_pixels", "dicom_window", "mask_missing",
    "mask_unreadable", "mask_size",
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_rows_and_files_end_where_they_belong(tmp_path, name):
    spec, table, images, records, log = CASES[name]
    joined, _ = _join(_write(tmp_path, spec, table, images))
    assert joined.records["path"].tolist() == records
    found = _entries(joined)
    if ("rejected", "image_ambiguous", 2) in log:  # their files have a test of their own
        found = [entry for entry in found if entry[0] != "reported"]
    assert found == sorted(log, key=str)
    assert joined.num_rows == len(table.splitlines()) - 1


def test_cases_cover_every_code():
    covered = {code for *_, log in CASES.values() for _, code, _ in log}
    elsewhere = {
        "bad_name",
        "not_wanted",
        "part_without_image",
    } | LATER  # these have tests of their own
    assert covered | elsewhere == CODES.keys()


def test_files_of_an_ambiguous_row_are_not_called_unreferenced(tmp_path):
    spec = _spec("img/{id}.png", "img/*/{id}.png")
    images = ["img/a/1.png", "img/b/1.png", "img/a/2.png"]
    joined, _ = _join(_write(tmp_path, spec, "id patient dx" + GOOD, images))
    assert _entries(joined) == [("rejected", "image_ambiguous", 2)]


def test_records_hold_typed_values_and_groups(tmp_path):
    spec = _spec("group: patient", "  age: {type: float}\ngroup: [site, patient]")
    table = "id patient dx site age\n2 p melanoma s 5\n1 p nv - -\n3 - nv s 7"
    joined, _ = _join(_write(tmp_path, spec, table, [ONE, TWO, THREE]))
    records = joined.records
    assert records["path"].tolist() == [ONE, TWO, THREE]
    assert records["line"].tolist() == [3, 2, 4]
    assert records["feature_label"].tolist() == ["nv", "mel", "nv"]
    assert records["feature_age"].fillna(-1).tolist() == [-1, 5, 7]
    assert records["group"].tolist() == [
        f"{KEY_SEPARATOR}p",
        f"s{KEY_SEPARATOR}p",
        f"s{KEY_SEPARATOR}",
    ]


def test_groups_of_several_columns_are_not_run_together(tmp_path):
    spec = _spec("group: patient", "group: [site, patient]")
    table = "id patient dx site\n1 bc nv a\n2 c nv ab"
    joined, _ = _join(_write(tmp_path, spec, table, [ONE, TWO]))
    assert joined.records["group"].nunique() == 2


def test_file_name_may_be_decomposed_on_disk(tmp_path):
    path = unicodedata.normalize("NFD", "img/é.png")
    joined, _ = _join(_write(tmp_path, SPEC, "id patient dx\né p nv", [path]))
    assert joined.records["path"].tolist() == [path]
    assert joined.log.entries.empty


def test_files_that_differ_by_normal_form_are_ambiguous(tmp_path):
    paths = [unicodedata.normalize(form, "img/é.png") for form in ("NFC", "NFD")]
    joined, _ = _join(_write(tmp_path, SPEC, "id patient dx\né p nv\n1 p nv", [*paths, ONE]))
    assert joined.records["path"].tolist() == [ONE]
    assert ("rejected", "image_ambiguous", 2) in _entries(joined)


def _link(place: pathlib.Path, target: pathlib.Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


@pytest.fixture
def outside(tmp_path_factory) -> pathlib.Path:
    """A folder beside the corpus that holds an image."""
    folder = tmp_path_factory.mktemp("outside")
    Image.new("L", (10, 10)).save(folder / "1.png")
    return folder


def test_link_out_of_the_root_is_rejected(tmp_path, outside):
    path = _write(tmp_path, SPEC, "id patient dx" + GOOD, [TWO])
    _link(tmp_path / ONE, outside / "1.png")
    joined, _ = _join(path)
    assert joined.records["path"].tolist() == [TWO]
    assert _entries(joined) == [("rejected", "path_escape", 2)]


def test_link_inside_the_root_is_followed(tmp_path):
    path = _write(tmp_path, SPEC, "id patient dx" + GOOD, [TWO, "other/x.png"])
    _link(tmp_path / ONE, tmp_path / "other" / "x.png")
    joined, _ = _join(path)
    assert joined.records["path"].tolist() == [ONE, TWO]


def test_folder_that_is_a_link_out_of_the_root_is_not_read(tmp_path, outside):
    path = _write(tmp_path, SPEC, "id patient dx\n1 p nv", [])
    (tmp_path / "img").rmdir()
    _link(tmp_path / "img", outside)
    with contextlib.suppress(CorpusError):
        joined, _ = _join(path)
        assert joined.records.empty
        assert ("rejected", "path_escape", 2) in _entries(joined)


def test_pipes_and_broken_links_are_no_files(tmp_path):
    path = _write(tmp_path, SPEC, "id patient dx" + GOOD, [])
    os.mkfifo(tmp_path / ONE)
    _link(tmp_path / TWO, tmp_path / "nowhere.png")
    joined, _ = _join(path)
    assert _entries(joined) == [
        ("rejected", "image_missing", 3),
        ("rejected", "not_regular", 2),
    ]


def test_absent_folder_is_told(tmp_path):
    path = _write(tmp_path, _spec("img/", "imgs/"), "id patient dx" + GOOD, [ONE])
    with pytest.raises(SpecError, match="imgs"):
        _join(path)


# --- corpora without tables, derived columns, names of columns -----------------------------------

PATHS = """\
name: mine
images: {path: "img/{label}/{patient}-*.png"}
features: {label: {type: class, values: [nv, mel]}}
group: patient
"""


def test_paths_tell_everything_where_there_is_no_table(tmp_path):
    images = ["img/nv/p-1.png", "img/nv/p-2.png", "img/mel/q-1.png", "img/df/r-1.png"]
    joined, _ = _join(_write(tmp_path, PATHS, None, images))
    told = joined.records.set_index("path")[["feature_label", "group"]]
    assert told.to_dict("index") == {
        "img/mel/q-1.png": {"feature_label": "mel", "group": "q"},
        "img/nv/p-1.png": {"feature_label": "nv", "group": "p"},
        "img/nv/p-2.png": {"feature_label": "nv", "group": "p"},
    }
    assert joined.log.counts() == {"rejected": {"label_unknown": 1}}
    assert joined.num_rows == joined.num_files == 4


# Each case: templates; paths, sorted; and `n` of those that are rows.
FITS = {
    "a deeper file": (["img/{n}.png"], ["img/a.png", "img/b/c.png", "img/d.png"], ["a", "", "d"]),
    "a deeper file beside wildcards": (
        ["img/*{n}.*"], ["img/b/c.png", "img/d.JPG"], ["", "d"]),
    "two values of a column": (["img/{n}/{n}.png"], ["img/a/a.png", "img/a/b.png"], ["a", ""]),
    "another template names the deeper file": (
        ["img/{n}.png", "img/**/{n}.png"], ["img/a.png", "img/b/c.png"], ["a", "c"]),
    "the first template that fits tells": (
        ["img/{n}-{m}.png", "img/{n}.png"], ["img/a-b.png", "img/c.png"], ["a", "c"]),
    "a template twice": (
        ["img/{n}.png", "img/{n}.png", "./img//{n}.png"], ["img/a.png", "img/b/c.png"], ["a", ""]),
    "wildcards that stand for more or less": (
        ["**/{n}.*", "img/**/*{n}*.*"], ["img/a/a.png", "img/ab.png"], ["a", "ab"]),
}  # fmt: skip


@pytest.mark.parametrize("name", FITS)
def test_a_file_is_one_row_where_a_template_tells_its_columns_and_none_elsewhere(name, tmp_path):
    templates, paths, told = FITS[name]
    spec = f"name: mine\nimages: {{path: {templates}}}\nfeatures: {{n: {{type: text}}}}\ngroup: n\n"
    joined, _ = _join(_write(tmp_path, spec, None, paths))
    lines = dict(enumerate(zip(paths, told, strict=True), start=1))
    assert joined.records[["line", "path", "feature_n", "group"]].to_numpy().tolist() == [
        [line, path, n, n] for line, (path, n) in lines.items() if n
    ]
    assert _entries(joined) == [
        ("reported", "image_unreferenced", path) for path, n in lines.values() if not n
    ]
    assert (joined.num_rows, joined.num_files) == (len(list(filter(None, told))), len(paths))


@FEW
@given(
    st.sets(
        st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map(lambda f: "/".join(f) + ".png")
    ),
    st.lists(st.sampled_from(["{n}", "a/{n}", "{m}/{n}", "{n}/{n}", "{n[:1]}/b/{n}"]), min_size=1),
    st.sampled_from(["report", "reject"]),
)
def test_no_column_of_a_path_is_blank(paths, names, policy):
    spec = CorpusSpec.from_dict({
        "name": "mine", "images": {"path": [f"{name}.png" for name in names]},
        "features": {"n": {"type": "text"}}, "rejects": {"images_without_row": policy},
    })  # fmt: skip
    files = files_of(sorted(paths), spec)
    depths = {
        "{n}": {1}, "a/{n}": {2}, "{m}/{n}": {2}, "{n}/{n}": {2}, "{n[:1]}/b/{n}": {3},
    }  # fmt: skip

    def fits(path: str, name: str) -> bool:
        parts = path.removesuffix(".png").split("/")
        is_spelt = {
            "a/{n}": parts[0] == "a", "{n}/{n}": len(set(parts)) == 1,
            "{n[:1]}/b/{n}": parts[1:2] == ["b"],
        }.get(name, True)  # fmt: skip
        return len(parts) in depths[name] and is_spelt

    expected = {path for path in files["path"] if any(fits(path, name) for name in names)}
    assume(expected)
    told_by = [next(name for name in names if fits(path, name)) for path in expected]
    assume("{m}/{n}" not in names or "{m}/{n}" in told_by)  # or nothing tells `m`
    joined = join_images(None, files, spec)
    assert set(joined.records["path"]) == expected
    assert joined.records["feature_n"].all()
    assert joined.num_rows == len(expected)
    places = [files["path"].tolist().index(path) + 1 for path in joined.records["path"]]
    assert joined.records["line"].tolist() == places
    outcome = "reported" if policy == "report" else "rejected"
    assert _entries(joined) == sorted(
        ((outcome, "image_unreferenced", p) for p in {*files["path"]} - expected), key=str
    )


# Each case: the template, and what the message says.
UNTOLD_PATHS = {
    "a slice only": ("img/{n[:1]}.png", "slices of 'n' only.*write '{n}' somewhere"),
    "a slice beside a column": ("img/{m[:1]}{n}.png", "slices of 'm' only"),
    "all files lie deeper": ("{n}.png", "no image file fits the path; 1 would if a column held"),
}


@pytest.mark.parametrize("name", UNTOLD_PATHS)
def test_paths_that_do_not_tell_a_column_whole_are_refused(name, tmp_path):
    template, message = UNTOLD_PATHS[name]
    spec = f'name: mine\nimages: {{path: "{template}"}}\nfeatures: {{n: {{type: text}}}}\n'
    with pytest.raises(SpecError, match=message):
        _join(_write(tmp_path, spec, None, ["img/ab.png"]))


def test_refusal_without_a_file_that_fits_tells_what_is_there(tmp_path):
    spec = 'name: mine\nimages: {path: "img/{n}.h5/{k}"}\nfeatures: {n: {type: text}}\n'
    path = _write(tmp_path, spec, None, [])
    for name in "ab":
        (tmp_path / f"img/{name}.h5").write_bytes(b"no container")
    with pytest.raises(SpecError) as refusal:
        _join(path)
    assert [problem.what for problem in refusal.value.problems] == [
        "no image file fits the path",
        f"corrupt: {CODES['corrupt']}; 2 files",
    ]


def test_column_that_paths_do_not_tell_is_named(tmp_path):
    spec = PATHS.replace("group: patient", "group: patiend")
    path = _write(tmp_path, spec, None, ["img/nv/p-1.png"])
    with pytest.raises(SpecError, match=r"patiend.*did you mean 'patient'"):
        _join(path)


def test_link_out_of_the_root_is_rejected_where_there_is_no_table(tmp_path, outside):
    path = _write(tmp_path, PATHS, None, ["img/nv/p-1.png"])
    _link(tmp_path / "img/nv/p-2.png", outside / "1.png")
    joined, _ = _join(path)
    assert joined.records["path"].tolist() == ["img/nv/p-1.png"]
    assert joined.log.counts() == {"rejected": {"path_escape": 1}}


def test_corpus_without_tables_and_without_images_is_refused(tmp_path):
    path = _write(tmp_path, PATHS, None, [])
    with pytest.raises(CorpusError):
        _check_rejects(*_join(path))


# Each case: a pattern, and the groups of the ids p12, q34.
PATTERNS = {
    "a group": (r"([a-z])\d", ["p", "q"]),
    "the first of two groups": (r"([a-z])(\d)", ["p", "q"]),
    "no group": (r"[a-z]\d", ["p1", "q3"]),
    "brackets that are no group": (r"(?:p|q)\d", ["p1", "q3"]),
    "a named group": (r"(?P<letter>[a-z])", ["p", "q"]),
    "an escaped bracket": (r"[a-z\(]", ["p", "q"]),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_first_group_or_the_whole_match_is_derived(tmp_path, name):
    pattern, groups = PATTERNS[name]
    spec = _spec(more=f"derive: {{patient: {{from: id, pattern: '{pattern}'}}}}\n")
    images = ["img/p12.png", "img/q34.png"]
    joined, _ = _join(_write(tmp_path, spec, "id dx\np12 nv\nq34 nv", images))
    assert joined.records["group"].tolist() == groups


# Each case: `derive:`; columns derived from each other can be made, in any order, or are refused.
CHAINS = {
    "from an earlier one": ("{a: {from: id, pattern: .+}, patient: {from: a, pattern: .}}", True),
    "from a later one": ("{patient: {from: a, pattern: .}, a: {from: id, pattern: .+}}", False),
    "from one of the path": (
        "{a: {from: images.path, pattern: '/(.+)'}, patient: {from: a, pattern: .}}",
        True,
    ),
    "from itself": ("{patient: {from: patient, pattern: .}}", False),
}


@pytest.mark.parametrize("name", CHAINS)
def test_derived_columns_lead_to_others_or_are_refused(tmp_path, name):
    derive, possible = CHAINS[name]
    spec = _spec(more=f"derive: {derive}\n")
    path = _write(tmp_path, spec, "id dx\n1 nv\n2 nv", [ONE, TWO])
    if possible:
        assert _join(path)[0].records["group"].tolist() == ["1", "2"]
    else:
        with contextlib.suppress(CorpusError):
            assert _join(path)[0].records["group"].tolist() == ["1", "2"]


def test_template_over_a_column_of_the_path_is_refused(tmp_path):
    spec = _spec("{id}", "{a}") + "derive: {a: {from: images.path, pattern: .}}\n"
    path = _write(tmp_path, spec, "id patient dx" + GOOD, [ONE, TWO])
    with pytest.raises(CorpusError, match="images"):
        _join(path)


@pytest.mark.parametrize("column", ["path", "line", "table", "value", "group", "num_bytes", "#id"])
def test_columns_may_have_any_name(tmp_path, column):
    spec = _spec("{id}", f"{{{column}}}")
    table = f"{column} patient dx\n1 p nv\n2 q ?\n3 q nv\n3 q nv"
    joined, _ = _join(_write(tmp_path, spec, table, [ONE, TWO]))
    assert joined.records[["path", "line", "group"]].values.tolist() == [[ONE, 2, "p"]]
    assert _entries(joined) == [
        ("rejected", "image_missing", 4),
        ("rejected", "image_missing", 5),
        ("rejected", "label_unknown", 3),
    ]
    assert set(joined.log.entries["table"]) == {"data.csv"}
    assert "found '?'" in str(joined.log.problems()[1])


# --- boxes ---------------------------------------------------------------------------------------

# Each case: rules of the boxes, boxes of image 1, its boxes in the record (None where it has no
# record), and what is logged.
BOXES = {
    "inside": ("", ["0 0 10 10", "1 2 3 4"], [(0, 0, 10, 10), (1, 2, 3, 4)], []),
    "none": ("", ["- - - -"], [], []),
    "outside is rejected": ("", ["1 2 3 11"], None, [("rejected", "box_outside", 2)]),
    "outside is clipped": (
        "outside: clip", ["-1 2 3 11", "4 4 5 5"], [(0, 2, 3, 10), (4, 4, 5, 5)], []),
    "outside is dropped": (
        "outside: drop", ["-1 2 3 4", "4 4 5 5"], [(4, 4, 5, 5)],
        [("excluded", "box_outside", 2)]),
    "the only box is dropped": (
        "outside: drop", ["-1 2 3 4"], [], [("excluded", "box_outside", 2)]),
    "all boxes are dropped": (
        "outside: drop", ["-1 2 3 4", "-1 2 3 5"], [],
        [("excluded", "box_outside", 2), ("excluded", "box_outside", 3)]),
    "nothing is left to clip": (
        "outside: clip", ["12 2 13 4", "4 4 5 5"], [(4, 4, 5, 5)],
        [("excluded", "box_outside", 2)]),
    "without area is dropped": (
        "degenerate: drop", ["1 1 1 2", "4 4 5 5"], [(4, 4, 5, 5)],
        [("excluded", "box_degenerate", 2)]),
    "the only box is without area": (
        "degenerate: drop", ["1 1 1 2"], [], [("excluded", "box_degenerate", 2)]),
    "one is rejected, one dropped": (
        "outside: drop", ["x 2 3 4", "-1 2 3 4"], None,
        [("excluded", "box_outside", 3), ("rejected", "value_invalid", 2)]),
}  # fmt: skip


@pytest.mark.parametrize("name", BOXES)
def test_boxes_follow_their_rules(tmp_path, name):
    rules, rows, boxes, log = BOXES[name]
    spec = BOX_SPEC.replace(CELLS, f"{CELLS}, {rules}") if rules else BOX_SPEC
    # A negative number begins with the sign of a blank cell.
    table = "id x1 y1 x2 y2\n" + "\n".join(f"1 {row}" for row in rows).replace(" -1", " -1.0")
    path = _write(tmp_path, spec, table.replace("-1.0", "0-1"), [ONE])
    text = (tmp_path / "data.csv").read_text(encoding="utf-8").replace("0-1", "-1")
    (tmp_path / "data.csv").write_text(text, encoding="utf-8")
    joined, _ = _join(path)
    found = [[box[:4] for box in cell] for cell in joined.records["feature_cells"]]
    assert found == ([] if boxes is None else [boxes])
    assert _entries(joined) == sorted(log, key=str)


def test_image_whose_size_cannot_be_read_has_no_boxes(tmp_path):
    path = _write(tmp_path, BOX_SPEC, "id x1 y1 x2 y2\n1 1 1 2 2\n2 1 1 2 2", [ONE, TWO])
    (tmp_path / ONE).write_bytes(b"<html>")
    joined, _ = _join(path)
    assert joined.records["path"].tolist() == [TWO]
    assert _entries(joined) == [("rejected", "corrupt", 2)]


def test_class_of_the_image_that_is_also_that_of_its_boxes_may_not_disagree(tmp_path):
    spec = BOX_SPEC.replace(CELLS, f"{CELLS}, label: kind, values: [rbc, wbc]")
    spec += "  kind: {type: class, values: [rbc, wbc]}\n"
    table = "id x1 y1 x2 y2 kind\n1 1 1 2 2 rbc\n1 3 3 4 4 wbc"
    joined, _ = _join(_write(tmp_path, spec, table, [ONE]))
    assert joined.records.empty
    assert joined.log.counts() == {"rejected": {"conflict": 2}}


# --- official splits -----------------------------------------------------------------------------

IMAGES = ["img/a/1.png", "img/a/2.png", "img/b/3.png"]
SET = "id patient dx set\n1 p nv {}\n2 q mel {}\n3 r nv {}"
# Each case: `splits:`, the cells of the column `set`, lists by their names, the splits of the three
# images (None for one that is rejected), and how many lines fit no image.
OFFICIAL = {
    "nothing is official": ("{train: 1}", "a b c", {}, ["", "", ""], 0),
    "cells are names": (
        "{column: set, values: [train, test]}", "train test train", {},
        ["train", "test", "train"], 0),
    "several cells of one split": (
        "{column: set, values: {train: [0, TRAIN], test: 1}}", "0 1 TRAIN", {},
        ["train", "test", "train"], 0),
    "blank cells and those of the rest are planned": (
        "{column: set, values: {test: [test], rest: [train_val]}, train: 1}",
        "train_val test -", {}, ["", "test", ""], 0),
    "an unknown cell is rejected, whatever is planned": (
        "{column: set, values: [test], folds: 2}", "- test toast", {}, ["", "test", None], 0),
    "the column is cut out of the path": (
        "{column: site, values: {train: a, test: b}}\n"
        "derive: {site: {from: images.path, pattern: '/(.)/'}}", "- - -", {},
        ["train", "train", "test"], 0),
    "lines are paths": (
        "{files: {train: x.txt, test: y.txt}}", "- - -",
        {"x.txt": "img/a/1.png\nimg/a/2.png\n", "y.txt": "./img/b/3.png"},
        ["train", "train", "test"], 0),
    "lines are paths of another system": (
        "{files: {train: x.txt}}", "- - -", {"x.txt": "img\\a\\1.png\r\nimg/a/2\r\nimg/b/3\r\n"},
        ["train", "train", "train"], 0),
    "lines are names of files, with and without extension": (
        "{files: {train: x.txt}}", "- - -", {"x.txt": "1.png\n 2 \n\n3"},
        ["train", "train", "train"], 0),
    "images in no list are planned": (
        "{files: {test: x.txt}, train: 1}", "- - -", {"x.txt": "2"}, ["", "test", ""], 0),
    "images in no list are rejected where nothing is planned": (
        "{files: {test: x.txt}}", "- - -", {"x.txt": "2"}, [None, "test", None], 0),
    "lines that name no image": (
        "{files: {test: x.txt, other: y.txt}, train: 1}", "- - -",
        {"x.txt": "2\n4\nb/3.png\n2.jpg", "y.txt": "5"}, ["", "test", ""], 4),
    "lines are cells": (
        "{files: {test: x.txt}, on: patient, train: 1}", "- - -", {"x.txt": "q\nz\n1"},
        ["", "test", ""], 2),
    "one line is the cell of several images": (
        "{files: {test: x.txt}, on: set, train: 1}", "s t s", {"x.txt": "s"},
        ["test", "", "test"], 0),
    "a blank cell is in no list": (
        "{files: {test: x.txt}, on: set, train: 1}", "s - -", {"x.txt": "s\n\n"},
        ["test", "", ""], 0),
    "the first list wins where leaks are allowed": (
        "{files: {a: x.txt, b: y.txt}, allow_leaks: true}", "- - -",
        {"x.txt": "1\n2", "y.txt": "2\nimg/a/1.png\n3"}, ["a", "a", "b"], 0),
    "each class is left out": (
        "{leave_one_out: label}", "- - -", {}, ["label_nv", "label_mel", "label_nv"], 0),
}  # fmt: skip


def _write_official(
    folder: pathlib.Path, splits: str, cells: str, lists: dict[str, str], images: list[str]
) -> pathlib.Path:
    for name, text in lists.items():
        (folder / name).write_text(text, encoding="utf-8", newline="")
    spec = _spec("img/{id}.png", "**/{id}.*") + f"splits: {splits}\n"
    return _write(folder, spec, SET.format(*cells.split()), images)


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_splits_are_told_by_cells_lines_and_classes(tmp_path, name):
    splits, cells, lists, expected, num_unmatched = OFFICIAL[name]
    joined, _ = _join(_write_official(tmp_path, splits, cells, lists, IMAGES))
    found = dict(zip(joined.records["path"], joined.records["split"], strict=True))
    assert [found.get(path) for path in IMAGES] == expected
    assert joined.num_unmatched_lines == num_unmatched
    codes = set(joined.log.entries.code)
    assert codes <= {"split_missing", "split_unknown"}
    assert bool(codes) == (None in expected)


def test_a_list_may_be_written_with_decomposed_letters(tmp_path):
    spec = _spec(more="splits: {files: {test: x.txt}}\n")
    (tmp_path / "x.txt").write_text(unicodedata.normalize("NFD", "\ufeffé"), encoding="utf-8")
    joined, _ = _join(_write(tmp_path, spec, "id patient dx\né p nv", ["img/é.png"]))
    assert joined.records["split"].tolist() == ["test"]
    path = unicodedata.normalize("NFD", "img/é.png")
    (tmp_path / "img/é.png").rename(tmp_path / path)
    (tmp_path / "x.txt").write_text("é.png", encoding="utf-8")
    joined, _ = _join(tmp_path / "corpus.yaml")
    assert joined.records[["path", "split"]].values.tolist() == [[path, "test"]]


def test_a_line_that_is_a_path_is_no_other_file_of_that_name(tmp_path):
    images = ["1.png", "b/1.png", "2.png"]
    spec = "name: mine\nimages: {path: '**/{id}.png'}\nfeatures: {id: {type: id}}\n"
    spec += "splits: {files: {test: x.txt}, train: 1}\n"
    (tmp_path / "x.txt").write_text("1.png\n2", encoding="utf-8")
    joined, _ = _join(_write(tmp_path, spec, None, images))
    assert joined.records["split"].tolist() == ["test", "test", ""]


def test_lines_that_fit_several_images_are_refused(tmp_path):
    spec = "name: mine\nimages: {path: '**/{id}.png'}\nfeatures: {id: {type: id}}\n"
    spec += "splits: {files: {test: x.txt}, train: 1}\n"
    (tmp_path / "x.txt").write_text(f"{IMAGE}.png\n{IMAGE}\na/2\n", encoding="utf-8")
    path = _write(tmp_path, spec, None, [f"a/{IMAGE}.png", f"b/{IMAGE}.png", "a/2.png"])
    with pytest.raises(
        SpecError, match=r"splits\.files\.test: 2 of its lines fit several"
    ) as caught:
        _join(path)
    assert "`on: ...`" in str(caught.value)
    assert IMAGE not in str(caught.value)


def test_image_that_two_lists_name_in_different_words_is_refused(tmp_path):
    lists = {"x.txt": "1\n2", "y.txt": "img/a/1.png\n2.png\n3"}
    splits = "{files: {train: x.txt, test: y.txt}}"
    with pytest.raises(SpecError, match=r"files\.test: 2 of its lines .* 'train'.*allow_leaks"):
        _join(_write_official(tmp_path, splits, "- - -", lists, IMAGES))


def test_lines_of_rejected_images_fit_none(tmp_path):
    spec = BOX_SPEC + "splits: {files: {test: x.txt}}\n"
    (tmp_path / "x.txt").write_text("1\n2\n", encoding="utf-8")
    path = _write(tmp_path, spec, "id x1 y1 x2 y2\n1 1 1 2 2\n1 9 1 99 2\n2 1 1 2 2", [ONE, TWO])
    joined, _ = _join(path)
    assert joined.records["path"].tolist() == [TWO]
    assert joined.num_unmatched_lines == 1


def test_refusal_tells_unknown_cells_of_official_splits(tmp_path):
    splits = "{column: set, values: {train: [TRAIN, 0], rest: TEST}, a: 1}"
    path = _write_official(tmp_path, splits, "TRAIN Train -", {}, IMAGES)
    with pytest.raises(RejectedError) as caught:
        _check_rejects(*_join(path))
    (problem,) = caught.value.problems
    assert "column 'set'" in str(problem)
    assert "line 3); found 'Train' (allowed: TRAIN, 0, TEST)" in str(problem)


def test_cells_of_a_column_that_is_a_group_too_are_not_shown(tmp_path):
    path = _write_official(tmp_path, "{column: patient, values: [p]}", "- - -", {}, IMAGES)
    with pytest.raises(RejectedError, match="split_unknown") as caught:
        _check_rejects(*_join(path))
    assert "'q'" not in str(caught.value)


@pytest.mark.realdata
def test_official_lists_of_bccd_are_read(realdata, tmp_path):
    text = (SPECS / "bccd.yaml").read_text(encoding="utf-8")
    (tmp_path / "corpus.yaml").write_text(f"{text}root: {realdata / 'bccd'}\n", encoding="utf-8")
    joined, _ = _join(tmp_path / "corpus.yaml")
    assert joined.records["split"].value_counts().to_dict() == {
        "train": 205,
        "validation": 87,
        "test": 72,
    }
    assert joined.num_unmatched_lines == 0


# --- what a build accepts ------------------------------------------------------------------------

# Each case: `rejects:`, the images (of the rows 1 and 2), and whether the corpus is accepted.
POLICIES = {
    "all is well": ("{}", [ONE, TWO], True),
    "one of two rows, none accepted": ("{}", [ONE], False),
    "one of two rows, half accepted": ("{max_fraction: 0.5}", [ONE], True),
    "one of two rows, less than half accepted": ("{max_fraction: 0.49}", [ONE], False),
    "no record is left": ("{max_fraction: 1}", [THREE], False),
    "rows are only reported": ("{rows_without_image: report}", [ONE], True),
    "rows are refused whatever is accepted": (
        "{rows_without_image: refuse, max_fraction: 1}",
        [ONE],
        False,
    ),
    "files are only reported": ("{}", [ONE, TWO, THREE], True),
    "files are rejected": ("{images_without_row: reject}", [ONE, TWO, THREE], False),
    "one of three, a third accepted": (
        "{images_without_row: reject, max_fraction: 0.334}",
        [ONE, TWO, THREE],
        True,
    ),
    "files are refused whatever is accepted": (
        "{images_without_row: refuse, max_fraction: 1}",
        [ONE, TWO, THREE],
        False,
    ),
}


@pytest.mark.parametrize("name", POLICIES)
def test_build_accepts_what_the_spec_says(tmp_path, name):
    rejects, images, accepted = POLICIES[name]
    spec = _spec(more=f"rejects: {rejects}\n")
    joined, parsed = _join(_write(tmp_path, spec, "id patient dx" + GOOD, images))
    with contextlib.nullcontext() if accepted else pytest.raises(RejectedError):
        _check_rejects(joined, parsed)


def test_refusal_tells_codes_lines_and_what_is_allowed(tmp_path):
    table = "id patient dx\n1 p nw\n2 q nw\n3 q -\n4 q nv"
    joined, spec = _join(_write(tmp_path, SPEC, table, [ONE, TWO, THREE]))
    with pytest.raises(RejectedError) as caught:
        _check_rejects(joined, spec, epilog="Listed in a file.")
    message = str(caught.value)
    assert "4 of 4 rows and files rejected" in message
    assert (
        "2 rows (lines 2, 3); found 'nw' (allowed: nv, mel; other spellings of them: `rename:`)"
        in message
    )
    assert "label_missing" in message
    assert "image_missing" in message
    assert "line 5" in message
    assert message.endswith("Listed in a file.")
    assert len(caught.value.problems) == 3


def test_refusal_because_nothing_is_left_says_why(tmp_path):
    spec = _spec(more="rejects: {rows_without_image: report}\n")
    joined, parsed = _join(_write(tmp_path, spec, "id patient dx" + GOOD, [THREE]))
    with pytest.raises(RejectedError) as caught:
        _check_rejects(joined, parsed)
    assert len(caught.value.problems) > 0
    assert "0 problems" not in str(caught.value)


def test_many_unknown_classes_are_counted_not_listed(tmp_path):
    table = "id patient dx\n" + "\n".join(f"{n} p secret{n}" for n in range(21))
    joined, spec = _join(_write(tmp_path, SPEC, table, [f"img/{n}.png" for n in range(21)]))
    with pytest.raises(RejectedError, match="21 distinct values") as caught:
        _check_rejects(joined, spec)
    assert "secret" not in str(caught.value)


def test_the_order_of_a_log_is_not_that_of_its_making():
    rows = pd.DataFrame({"table": "a.csv", "line": [10, 9]})
    rows["path"] = pd.Series(["x", "\udce9"], dtype="object")
    made = {"outcome": "rejected", "kind": "row"}
    log = RejectLog().adding(code="conflict", entries=rows, **made)
    other = RejectLog().adding(code="bad_name", entries=rows[:1], **made)
    found = RejectLog.concat([log, other]).in_order()
    assert found.entries[["code", "line"]].values.tolist() == [
        ["bad_name", 10], ["conflict", 9], ["conflict", 10],
    ]  # fmt: skip
    pd.testing.assert_frame_equal(found.entries, RejectLog.concat([other, log]).in_order().entries)


def test_rejects_file_is_read_by_its_owner_only_and_holds_odd_names(tmp_path):
    path = _write(tmp_path, SPEC, "id patient dx\n1 p nw", [ONE])
    odd = os.path.join(os.fsencode(tmp_path / "img"), b"\xe9.png")
    with open(odd, "wb"):
        pass
    joined, _ = _join(path)
    joined.log.write(tmp_path / "rejects.csv")
    assert (tmp_path / "rejects.csv").stat().st_mode & 0o777 == 0o600
    written = pd.read_csv(tmp_path / "rejects.csv", dtype=str, keep_default_na=False)
    assert written["path"].tolist() == [r"img/\udce9.png", ONE]
    assert written["code"].tolist() == ["bad_name", "label_unknown"]
    assert written["value"].tolist() == ["", "nw"]


PATIENT, IMAGE = "PATIENT-4711", "IMAGE-0815"


@pytest.mark.parametrize("folders", ["", "a", "ab"], ids=["none", "one", "two"])
@pytest.mark.parametrize(
    "cells",
    ["nv", "", "nv\n{row}mel", "nv\n{row}nv\n{row}?"],
    ids=["good", "missing", "conflict", "copies"],
)
def test_messages_show_neither_patients_nor_image_names(tmp_path, folders, cells):
    row = f"{IMAGE} {PATIENT} "
    table = "id patient dx\n" + row + cells.format(row=row)
    spec = _spec("img/{id}.png", "img/*/{id}.png") + "rejects: {images_without_row: refuse}\n"
    images = [f"img/{folder}/{IMAGE}.png" for folder in folders] + [f"img/c/{IMAGE}-2.png"]
    with pytest.raises(CorpusError) as caught:
        _check_rejects(*_join(_write(tmp_path, spec, table, images)))
    for message in (str(caught.value), repr(caught.value)):
        assert PATIENT not in message
        assert IMAGE not in message


@pytest.mark.parametrize("code", [code for code in CODES if not code.endswith("_unknown")])
def test_problem_of_every_code_shows_lines_only(code):
    entries = pd.DataFrame(
        {"table": ["t.csv"], "line": [7], "path": [f"{IMAGE}.png"], "value": [PATIENT]}
    )
    log = RejectLog().adding(
        outcome="rejected", code=code, kind="row", entries=entries, column="patient"
    )
    (problem,) = log.problems()
    assert str(problem).startswith("t.csv column 'patient': ")
    assert "line 7" in str(problem)
    assert PATIENT not in str(problem)
    assert IMAGE not in str(problem)


# --- properties ----------------------------------------------------------------------------------

FOLDERS = {
    "name": "mine",
    "tables": [{"path": "data.csv"}],
    "images": {"path": "part_*/{image_id}.png"},
    "features": {
        "label": {
            "column": "dx",
            "type": "class",
            "values": ["nv", "mel"],
            "rename": {"melanoma": "mel"},
        },
        "age": {"type": "float", "max": 120},
    },
    "group": "patient_id",
}


BY_PATIENT = {"column": "patient_id", "values": {"train": ["p1", "01"], "test": ["p2"]}}


def _expected(
    corpus: SmallCorpus, *, report: bool, official: bool
) -> dict[int, set[tuple[str, str]]]:
    """What each row may become, by its line: (outcome, code), or ("record", its path)."""
    may: dict[int, set[tuple[str, str]]] = {}
    by_path: dict[str, list[tuple[int, Any]]] = {}
    for line, row in enumerate(corpus.rows, start=2):
        candidates = [
            path
            for path in corpus.files
            if row["image_id"] and path.split("/")[1] == row["image_id"] + ".png"
        ]
        codes = set()
        if set(candidates) & corpus.escaping:
            codes.add("path_escape")
        if len(candidates) > 1:
            codes.add("image_ambiguous")
        if codes:
            may[line] = {("rejected", code) for code in codes}
        elif not candidates:
            may[line] = {("reported" if report else "rejected", "image_missing")}
        else:
            by_path.setdefault(candidates[0], []).append((line, tuple(sorted(row.items()))))
    for path, rows in by_path.items():
        seen: dict[Any, int] = {}
        for line, cells in rows:
            if cells in seen:
                may[line] = {("excluded", "duplicate_row")}
            else:
                seen[cells] = line
        told: dict[Any, int] = {}
        for cells, line in seen.items():
            row = dict(cells)
            row["dx"] = row["dx"].replace("melanoma", "mel")
            row["age"] = row["age"].replace("63.0", "63")
            if (values := tuple(row.values())) in told:
                may[line] = {("excluded", "duplicate_row")}
            else:
                told[values] = line
        for cells, line in told.items():
            row = dict(zip(sorted(corpus.rows[0]), cells, strict=True))
            codes = set()
            if row["dx"] not in ("nv", "mel"):
                codes.add("label_unknown" if row["dx"] else "label_missing")
            codes |= {"x": {"value_invalid"}, "inf": {"value_infinite"}}.get(row["age"], set())
            codes |= {"value_out_of_range"} if row["age"] == "200" else set()
            if official:
                by_cell = {"": {"split_missing"}, "1": {"split_unknown"}}
                codes |= by_cell.get(row["patient_id"], set())
            if len(told) > 1:
                codes = {"conflict"}
            may[line] = {("rejected", code) for code in codes} or {("record", path)}
    return may


def _outcomes(joined: Joined) -> dict[int, list[tuple[str, str]]]:
    """What each row became, by its line."""
    found: dict[int, list[tuple[str, str]]] = {}
    for entry in joined.log.entries.itertuples():
        if entry.kind == "row":
            found.setdefault(entry.line, []).append((entry.outcome, entry.code))
    for line, path in zip(joined.records["line"], joined.records["path"], strict=True):
        found.setdefault(line, []).append(("record", path))
    return found


@FEW
@given(corpus=corpora(), report=st.booleans(), official=st.booleans())
def test_every_row_ends_in_exactly_one_place(corpus, report, official):
    rejects = {"rows_without_image": "report"} if report else {}
    splits = {"splits": BY_PATIENT} if official else {}
    spec = CorpusSpec.from_dict({**FOLDERS, "rejects": rejects, **splits})
    joined = join_images(
        rows_of(corpus.rows), files_of(corpus.files, spec, escaping=corpus.escaping), spec
    )
    expected, found = _expected(corpus, report=report, official=official), _outcomes(joined)
    assert found.keys() == expected.keys() == set(range(2, len(corpus.rows) + 2))
    for line, outcomes in found.items():
        assert len(outcomes) == 1, line
        assert outcomes[0] in expected[line], line
    assert joined.num_rows == len(corpus.rows)
    assert set(joined.records["split"]) <= ({"train", "test"} if official else {""})


@FEW
@given(corpus=corpora())
def test_every_file_ends_in_exactly_one_place(corpus):
    spec = CorpusSpec.from_dict(FOLDERS)
    joined = join_images(
        rows_of(corpus.rows), files_of(corpus.files, spec, escaping=corpus.escaping), spec
    )
    entries = joined.log.entries
    records = joined.records["path"].tolist()
    unreferenced = entries.loc[entries.kind == "file", "path"].tolist()
    named = {f"part_{n}/{row['image_id']}.png" for row in corpus.rows for n in (1, 2)}
    assert set(records) <= named & set(corpus.files) - corpus.escaping
    assert len(set(records)) == len(records)
    assert len(set(unreferenced)) == len(unreferenced)
    assert set(unreferenced).isdisjoint(records)
    assert set(unreferenced) >= set(corpus.files) - named
    of_rows = entries.loc[entries.kind == "row", "path"]
    of_rows = {path for paths in of_rows for path in paths.split(" | ")} - {""}
    assert set(records) | set(unreferenced) | of_rows == set(corpus.files)
    assert joined.num_files == len(corpus.files)


def _comparable(joined: Joined) -> tuple[list[dict[str, Any]], list[tuple[Any, ...]]]:
    """Records and counts of the log, without lines, and whichever of several files is named."""
    records = joined.records.drop(columns=["line", "num_bytes"])
    codes = {"image_ambiguous": "", "path_escape": ""}
    counts = collections.Counter(
        (entry.outcome, codes.get(entry.code, entry.code), entry.kind)
        for entry in joined.log.entries.itertuples()
    )
    return records.astype("object").fillna("NaN").to_dict("records"), sorted(counts.items())


@FEW
@given(corpus=corpora(), random=st.randoms())
def test_records_do_not_depend_on_the_order_of_rows_and_files(corpus, random):
    spec = CorpusSpec.from_dict(FOLDERS)
    rows = random.sample(corpus.rows, len(corpus.rows))
    files = files_of(corpus.files, spec, escaping=corpus.escaping)
    shuffled = files.sample(frac=1, random_state=random.randrange(1000)).reset_index(drop=True)
    first = join_images(rows_of(corpus.rows), files, spec)
    second = join_images(rows_of(rows), shuffled, spec)
    assert first.records["path"].is_monotonic_increasing
    assert _comparable(first) == _comparable(second)


def _box_spec(degenerate: str, outside: str, **more: Any) -> CorpusSpec:
    boxes = {"type": "boxes", "columns": ["x1", "y1", "x2", "y2"], "label": "cell"}
    rules = {"degenerate": degenerate, "outside": outside, "values": ["rbc", "wbc"]}
    return CorpusSpec.from_dict(
        {
            "name": "mine",
            "tables": [{"path": "data.csv"}],
            "images": {"path": "{image_id}.png"},
            "features": {"cells": {**boxes, **rules}},
            **more,
        }
    )


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _expected_boxes(corpus: SmallCorpus, degenerate: str, outside: str) -> dict[str, list[Any]]:
    """The boxes of each record, by path."""
    by_path: dict[str, list[Any]] = {}
    for row in dict.fromkeys(tuple(sorted(row.items())) for row in corpus.rows):
        cells = dict(row)
        by_path.setdefault(f"{cells['image_id']}.png", []).append(cells)
    records = {}
    for path in by_path.keys() & set(corpus.files):
        boxes, good = [], True
        for cells in by_path[path]:
            texts = [cells[name] for name in ("x1", "y1", "x2", "y2")]
            if not any(texts):
                continue
            numbers = [_number(text) for text in texts]
            if None in numbers:
                good = False
                continue
            x1, y1, x2, y2 = numbers
            if x2 <= x1 or y2 <= y1:
                good &= degenerate == "drop"
                continue
            if cells["cell"] not in ("rbc", "wbc"):
                good = False
                continue
            if x1 < 0 or y1 < 0 or x2 > 10 or y2 > 10:
                good &= outside != "reject"
                x1, y1, x2, y2 = max(x1, 0), max(y1, 0), min(x2, 10), min(y2, 10)
                if outside == "drop" or x2 <= x1 or y2 <= y1:
                    continue
            boxes.append((x1, y1, x2, y2, cells["cell"]))
        if good:
            records[path] = sorted(boxes)
    return records


_RULES = st.sampled_from([(d, o) for d in ("reject", "drop") for o in ("reject", "clip", "drop")])


def _label_is_known(row: Any) -> bool:
    return row["cell"] in ("rbc", "wbc") or not any(row[name] for name in ("x1", "y1", "x2", "y2"))


@FEW
@given(corpus=box_corpora(), rules=_RULES, random=st.randoms())
def test_boxes_are_those_of_the_rows_whatever_their_order(corpus, rules, random):
    known = tuple(row for row in corpus.rows if _label_is_known(row))
    assume(known)
    corpus = SmallCorpus(known, corpus.files)
    spec = _box_spec(*rules)
    rows = random.sample(corpus.rows, len(corpus.rows))
    joined = join_images(rows_of(rows), files_of(corpus.files, spec), spec)
    found = joined.records.set_index("path")["feature_cells"].map(list).to_dict()
    assert found == _expected_boxes(corpus, *rules)


_DROPPED = {"image_id": "1", "x1": "2", "y1": "2", "x2": "2", "y2": "4", "cell": "rbc"}
_BAD = {**_DROPPED, "x2": "x"}


@FEW
@given(corpus=box_corpora(), rules=_RULES, line=st.sampled_from(["1", "2.png"]))
@example(corpus=SmallCorpus((_DROPPED, _BAD), ("1.png",)), rules=("drop", "reject"), line="1")
@example(corpus=SmallCorpus((_DROPPED,), ("1.png",)), rules=("drop", "reject"), line="2.png")
def test_every_row_of_boxes_ends_in_exactly_one_place(corpus, rules, line):
    spec = _box_spec(*rules, splits={"files": {"test": "x.txt"}})
    files = files_of(corpus.files, spec)
    joined = join_images(rows_of(corpus.rows), files, spec, {"test": [line]})
    entries = joined.log.entries
    logged = collections.Counter(entries.loc[entries.kind == "row", "line"])
    assert max(logged.values(), default=1) == 1
    written = set(joined.records["path"])
    for line, row in enumerate(corpus.rows, start=2):
        assert line in logged or f"{row['image_id']}.png" in written
    assert joined.num_rows == len(corpus.rows)


def test_tables_and_spec_and_rejects_are_no_images(tmp_path):
    spec = _spec("img/{id}.png", "**/{file}", more="splits: {train: 1}\n")
    path = _write(tmp_path, spec, "file patient dx\n1.png p nv\n1.png p nv", [ONE, TWO])
    for _ in range(2):  # the first leaves a list of rejects beside the spec
        accepted = plan_corpus(load_spec(path)).accepted
        assert accepted.num_files == 2
        assert accepted.log.counts() == {
            "excluded": {"duplicate_row": 1},
            "reported": {"image_unreferenced": 1},
        }


def test_empty_files_are_rejected_before_writing(tmp_path):
    path = _write(tmp_path, SPEC, "id patient dx\n1 p nv\n2 q nv", [ONE, TWO])
    (tmp_path / TWO).write_bytes(b"")
    joined, _ = _join(path)
    assert joined.records["path"].tolist() == [ONE]
    assert _entries(joined) == [("rejected", "empty", 3)]


def test_names_that_are_not_utf8_are_rejected_without_tables_too(tmp_path):
    path = _write(tmp_path, PATHS, None, ["img/nv/p-1.png"])
    with open(os.path.join(os.fsencode(tmp_path / "img/nv"), b"\xe9-1.png"), "wb"):
        pass
    joined, _ = _join(path)
    assert joined.records["path"].tolist() == ["img/nv/p-1.png"]
    assert joined.log.counts() == {"rejected": {"bad_name": 1}}


def test_a_list_of_rejects_replaces_no_other_file(tmp_path):
    spec = _spec(more="rejects: {file: data.csv}\n")
    path = _write(tmp_path, spec, "id patient dx" + GOOD, [ONE, TWO])
    before = (tmp_path / "data.csv").read_bytes()
    with pytest.raises(SpecError, match=r"corpus.yaml:\d+:\d+ rejects.file: .* no list of rejects"):
        plan_corpus(load_spec(path))
    assert (tmp_path / "data.csv").read_bytes() == before


def test_cells_of_identifying_columns_are_not_shown(tmp_path):
    spec = SPEC.replace("column: dx", "column: patient")
    assert spec != SPEC
    path = _write(tmp_path, spec, "id patient dx\n1 SMITH nv\n2 JONES nv", [ONE, TWO])
    joined, parsed = _join(path)
    with pytest.raises(RejectedError, match="label_unknown") as caught:
        _check_rejects(joined, parsed)
    assert "SMITH" not in str(caught.value)


def test_a_row_taken_for_a_header_is_not_shown(tmp_path):
    path = _write(tmp_path, SPEC, "1 SMITH 1950-03-02\n2 JONES 1951-03-02", [ONE, TWO])
    with pytest.raises(CorpusError, match="header: false") as caught:
        plan_corpus(load_spec(path))
    assert "SMITH" not in str(caught.value)


def test_a_link_out_of_the_root_is_not_opened_for_its_size(tmp_path, outside):
    path = _write(tmp_path, BOX_SPEC, "id x1 y1 x2 y2\n1 1 1 2 2", [])
    _link(tmp_path / ONE, outside / "1.png")
    spec = load_spec(path).spec
    listed = list_images(str(tmp_path), spec.images)
    assert listed["fault"].tolist() == ["path_escape"]
    facts = facts_of_files(str(tmp_path), listed, spec)
    assert (facts["width"].tolist(), facts["height"].tolist()) == ([0], [0])
