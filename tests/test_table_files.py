"""Tables that differ from copy to copy: several files, other names, other columns, other kinds."""

import datetime
import io
import pathlib
import textwrap
from collections.abc import Callable
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medical_images.errors import SpecError, TableError
from medical_images.input_files import input_paths
from medical_images.manifest import sums_of
from medical_images.spec import CorpusSpec, load_spec
from medical_images.table_reader import LINE, TABLE
from medical_images.tables import Rows, read_rows

SPEC = """\
name: mine
tables:
  - {tables}
images: {{path: "{{id}}.png"}}
features:
  note: {{type: text}}
"""


def read(folder: pathlib.Path, tables: str, files: dict[str, str | bytes]) -> Rows:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    text = SPEC.format(tables=textwrap.indent(textwrap.dedent(tables), "  ").strip())
    (folder / "corpus.yaml").write_text(text, encoding="utf-8")
    loaded = load_spec(folder / "corpus.yaml")
    return read_rows(loaded.spec, root=loaded.root, source=loaded.source)


def rows_of(rows: Rows) -> list[tuple[str, int, str, str]]:
    frame = rows.frame
    return list(zip(frame[TABLE], frame[LINE].tolist(), frame["id"], frame["note"], strict=True))


def workbook(*rows: list[Any], above: int = 0, second: list[list[Any]] | None = None) -> bytes:
    book = openpyxl.Workbook()
    for number, row in enumerate(rows, start=above + 1):
        for column, value in enumerate(row, start=1):
            book.active.cell(number, column, value)
    if second is not None:
        sheet = book.create_sheet("two")
        for row in second:
            sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def changed(data: bytes, change: Callable[[Any], Any]) -> bytes:
    book = openpyxl.load_workbook(io.BytesIO(data))
    change(book.active)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


NOT_UTF8 = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff"))


def parquet(**columns: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


DAY = datetime.datetime(2019, 7, 30)
TIME = datetime.datetime(2019, 7, 30, 8, 5)
# Each case: the table, its files, and (file, line, id, note) of each row.
READ: dict[str, tuple[str, dict[str, str | bytes], list[tuple[str, int, str, str]]]] = {
    "files below each other, in the order named": (
        "path: [z.csv, a.csv]", {"z.csv": "id,note\n1,x\n", "a.csv": "note,id\ny,2\nz,3\n"},
        [("z.csv", 2, "1", "x"), ("a.csv", 2, "2", "y"), ("a.csv", 3, "3", "z")]),
    "files of several kinds": (
        "path: [a.csv, b.tsv, c.parquet]",
        {"a.csv": "id,note\n1,x\n", "b.tsv": "id\tnote\n2\ty\n",
         "c.parquet": parquet(id=[3], note=["z"])},
        [("a.csv", 2, "1", "x"), ("b.tsv", 2, "2", "y"), ("c.parquet", 2, "3", "z")]),
    "the first name that exists": (
        "{path: a.csv, or: [b.csv, c.csv]}", {"b.csv": "id,note\n1,x\n", "c.csv": "id,note\n2,y\n"},
        [("b.csv", 2, "1", "x")]),
    "another name alone": (
        "{path: Data.csv, or: data.tsv}", {"data.tsv": "id\tnote\n1\tx\n"},
        [("data.tsv", 2, "1", "x")]),
    "no extension": (
        "path: metadata", {"metadata": "id,note\n1,x\n"}, [("metadata", 2, "1", "x")]),
    "columns of other names": (
        "{path: [a.csv, b.csv], aliases: {id: [image_id, image], note: text}}",
        {"a.csv": "image,note\n1,x\n", "b.csv": "image_id,text\n2,y\n"},
        [("a.csv", 2, "1", "x"), ("b.csv", 2, "2", "y")]),
    "an alias for a column that is renamed elsewhere": (
        "{path: [a.csv, b.csv], rename: {Image: id}, aliases: {id: [Img]}}",
        {"a.csv": "Image,note\n1,x\n", "b.csv": "Img,note\n2,y\n"},
        [("a.csv", 2, "1", "x"), ("b.csv", 2, "2", "y")]),
    "a column that some files lack": (
        "{path: [a.csv, b.csv], optional: note}", {"a.csv": "id\n1\n", "b.csv": "id,note\n2,y\n"},
        [("a.csv", 2, "1", ""), ("b.csv", 2, "2", "y")]),
    "a column that no file has": (
        "{path: a.csv, optional: [note]}", {"a.csv": "id\n1\n"}, [("a.csv", 2, "1", "")]),
    "a renamed column that is optional": (
        "{path: a.csv, rename: {Text: note}, optional: [note]}", {"a.csv": "id\n1\n"},
        [("a.csv", 2, "1", "")]),
    "columns that only some files have, and nobody uses": (
        "path: [a.csv, b.csv]", {"a.csv": "id,note,age\n1,x,4\n", "b.csv": "id,note\n2,y\n"},
        [("a.csv", 2, "1", "x"), ("b.csv", 2, "2", "y")]),
    "the file of each row": (
        "{path: [f/a.csv, f/b.csv], file_column: note}",
        {"f/a.csv": "id\n1\n", "f/b.csv": "id\n2\n"},
        [("f/a.csv", 2, "1", "f/a.csv"), ("f/b.csv", 2, "2", "f/b.csv")]),
    "a workbook": (
        "path: a.xlsx",
        {"a.xlsx": workbook(["id", "note"], [1, 45.0], ["007", 4.5], [3, DAY], [4, TIME],
                            [5, True], [6, None], [7, " x "])},
        [("a.xlsx", n, i, note) for n, i, note in [
            (2, "1", "45"), (3, "007", "4.5"), (4, "3", "2019-07-30"),
            (5, "4", "2019-07-30 08:05:00"), (6, "5", "True"), (7, "6", ""), (8, "7", "x")]]),
    "a workbook with blank rows and a title": (
        "{path: a.xlsx, dialect: {skip_lines: 2}}",
        {"a.xlsx": workbook(["Table 1"], ["id", "note"], [1, "x"], [], [2, "y"], above=1)},
        [("a.xlsx", 4, "1", "x"), ("a.xlsx", 6, "2", "y")]),
    "another sheet": (
        "{path: a.xlsx, dialect: {sheet: two}}",
        {"a.xlsx": workbook(["no"], second=[["id", "note"], [1, "x"]])},
        [("a.xlsx", 2, "1", "x")]),
    "a workbook without a header": (
        "{path: a.xlsx, columns: [id, note], dialect: {header: false}}",
        {"a.xlsx": workbook([1, "x"])}, [("a.xlsx", 1, "1", "x")]),
    "a workbook with merged cells": (
        "{path: a.xlsx, rename: {patient: note}}",
        {"a.xlsx": changed(
            workbook(["id", "patient"], [1, "p"], [2], [], [3], [4]),
            lambda sheet: (sheet.merge_cells("B2:B5"), sheet.merge_cells("Y2:Z9")))},
        [("a.xlsx", 2, "1", "p"), ("a.xlsx", 3, "2", "p"), ("a.xlsx", 5, "3", "p"),
         ("a.xlsx", 6, "4", "")]),
    "a workbook with blank cells far from all others": (
        "path: a.xlsx",
        {"a.xlsx": changed(
            workbook(["id", "note"], [1, "x"]),
            lambda sheet: setattr(sheet["XFD1048576"], "number_format", "000"))},
        [("a.xlsx", 2, "1", "x")]),
    "Parquet": (
        "path: a.parquet",
        {"a.parquet": parquet(
            image=[b"\x89"] * 8, id=[1, 2, 3, 4, 5, 6, 7, 8],
            note=pa.array([45.0, 0.1, None, float("nan"), 1e6, -2, 1e-3, 123456789012.0]))},
        [("a.parquet", n + 2, str(n + 1), note) for n, note in enumerate(
            ["45", "0.1", "", "", "1000000", "-2", "0.001", "123456789012"])]),
    "Parquet of 32 bits": (
        "path: a.parquet", {"a.parquet": parquet(id=["1"], note=pa.array([0.1], pa.float32()))},
        [("a.parquet", 2, "1", "0.1")]),
    "Parquet of days, marks and lists": (
        "{path: [a.parquet, b.parquet, c.parquet]}",
        {"a.parquet": parquet(id=["1"], note=pa.array([DAY], pa.timestamp("ns"))),
         "b.parquet": parquet(id=["02"], note=pa.array([True])),
         "c.parquet": parquet(id=pa.array(["3"]).dictionary_encode(), note=[["a", "b"]])},
        [("a.parquet", 2, "1", "2019-07-30"), ("b.parquet", 2, "02", "True"),
         ("c.parquet", 2, "3", "['a', 'b']")]),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_table_is_read(tmp_path, name):
    tables, files, expected = READ[name]
    rows = read(tmp_path, tables, files)
    assert rows_of(rows) == expected
    assert rows.num_rows == len(expected)
    assert rows.log.entries.empty


# Each case: the table, its files, and parts of the only problem told.
REFUSED: dict[str, tuple[str, dict[str, str | bytes], list[str]]] = {
    "none of the names": (
        "{path: a.csv, or: [b.csv, c/d.csv]}", {}, ["a.csv: no file", "'b.csv'", "'c/d.csv'"]),
    "one of the files is not there": (
        "path: [a.csv, b.csv]", {"a.csv": "id,note\n1,x\n"}, ["b.csv: no file"]),
    "one of the files has no rows": (
        "path: [a.csv, b.csv]", {"a.csv": "id,note\n1,x\n", "b.csv": "id,note\n"},
        ["b.csv: the table has no rows"]),
    "a fault in the second file has its lines": (
        "path: [a.csv, b.csv]", {"a.csv": "id,note\n1,x\n", "b.csv": "id,note\n1,x\n2\n"},
        ["b.csv line 3: 1 cells"]),
    "a column that the second file lacks": (
        "path: [a.csv, b.csv]", {"a.csv": "id,note\n1,x\n", "b.csv": "id,text\n2,y\n"},
        ["b.csv: there is no column 'note'", "optional: [note]", "aliases: {note: ...}"]),
    "both names in one file": (
        "{path: a.csv, aliases: {note: [text]}}", {"a.csv": "id,note,text\n1,x,y\n"},
        ["a.csv line 1", "'note' twice", "'note', 'text'"]),
    "two other names in one file": (
        "{path: a.csv, aliases: {note: [text, words]}}", {"a.csv": "id,words,text\n1,x,y\n"},
        ["a.csv line 1", "'note' twice", "'text', 'words'"]),
    "a column of the name of the file column": (
        "{path: a.csv, file_column: note}", {"a.csv": "id,note\n1,x\n"},
        ["a.csv line 1", "'note'", "file_column"]),
    "a rule of an absent column": (
        "{path: a.csv, where: {vieww: [PA]}}", {"a.csv": "id,note,view\n1,x,PA\n"},
        ["corpus.yaml:3:", "tables.0.where.vieww", "did you mean 'view'?"]),
    "no workbook": ("path: a.xlsx", {"a.xlsx": "id,note\n1,x\n"}, ["a.xlsx", "no workbook"]),
    "no such sheet": (
        "{path: a.xlsx, dialect: {sheet: three}}", {"a.xlsx": workbook(["id"], second=[])},
        ["a.xlsx", "no sheet 'three'", "two"]),
    "a workbook with a cell far from all others": (
        "path: a.xlsx",
        {"a.xlsx": changed(workbook(["id"]), lambda s: s.cell(1 << 20, 1 << 14, "x"))},
        ["a.xlsx", "row 1,048,576 and column 16,384"]),
    "an empty workbook": ("path: a.xlsx", {"a.xlsx": workbook()}, ["a.xlsx line 1", "empty"]),
    "no Parquet": ("path: a.parquet", {"a.parquet": "id,note\n"}, ["a.parquet", "no Parquet"]),
    "Parquet of a text that is none": (
        "path: a.parquet", {"a.parquet": parquet(id=["1"], note=NOT_UTF8)},
        ["a.parquet: there are texts in it that are not UTF-8"]),
    "a column of Parquet twice": (
        "{path: a.parquet, rename: {text: note}}",
        {"a.parquet": parquet(id=["1"], note=["x"], text=["y"])},
        ["a.parquet line 1", "'note' twice"]),
    "NUL in Parquet": (
        "path: a.parquet", {"a.parquet": parquet(id=["1", "2"], note=["x", "\0"])},
        ["a.parquet line 3", "NUL"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_table_is_refused(tmp_path, name):
    tables, files, words = REFUSED[name]
    with pytest.raises(TableError) as caught:
        read(tmp_path, tables, files)
    assert len(caught.value.problems) == 1, str(caught.value)
    for word in words:
        assert word.replace(": no file", ": there is no file") in str(caught.value)


# Each case: the table, and parts of the message.
WRONG_SPECS = {
    "no path": ("path: []", ["tables.0.path"]),
    "or of several": ("{path: [a.csv, b.csv], or: c.csv}", ["`or:`", "`path:` is a list"]),
    "a file twice": ("{path: a.csv, or: ./a.csv}", ["'a.csv' is named twice"]),
    "images": ("path: a.png", ["'a.png' is no table"]),
    "archives": ("{path: a.csv, or: [a.csv.zip]}", ["'a.csv.zip' is no table"]),
    "a sheet of text": ("{path: a.csv, dialect: {sheet: x}}", ["`sheet:` is for workbooks"]),
    "names for Parquet": (
        "{path: a.parquet, columns: [a], dialect: {header: false}}", ["names its columns"]),
    "a rule without cells": ("{path: a, where: {view: []}}", ["tables.0.where.view", "at least 1"]),
    "an alias that is renamed": (
        "{path: a, rename: {x: b}, aliases: {a: [x]}}", ["`rename:` makes 'x' 'b'", "'a'"]),
    "lines above Parquet": (
        "{path: a.parquet, dialect: {skip_lines: 1}}", ["names its columns", "`skip_lines:`"]),
    "one alias of two columns": ("{path: a, aliases: {a: [x], b: [x]}}", ["'x' twice"]),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_SPECS)
def test_spec_is_refused(tmp_path, name):
    tables, words = WRONG_SPECS[name]
    with pytest.raises(SpecError) as caught:
        read(tmp_path, tables, {})
    for word in words:
        assert word in str(caught.value)


def test_rows_that_are_not_wanted_are_counted_and_excluded(tmp_path):
    text = "id,note,view,ok\n1,x,PA,1\n2,y,LL,1\n3,z,,1\n4,w,NA,\n5,v,AP,1\n"
    tables = "{path: a.csv, missing: [NA], where: {view: [PA, NA], ok: 1}}"
    rows = read(tmp_path, tables, {"a.csv": text})
    assert rows_of(rows) == [("a.csv", 2, "1", "x"), ("a.csv", 4, "3", "z")]
    assert rows.num_rows == 5
    entries = rows.log.entries
    told = list(entries[["outcome", "code", "line", "column"]].itertuples(index=False, name=None))
    assert told == [
        ("excluded", "not_wanted", 3, "view"),
        ("excluded", "not_wanted", 6, "view"),
        ("excluded", "not_wanted", 5, "ok"),
    ]
    assert "view" not in rows.frame


def test_rows_that_tell_the_same_are_one_where_the_table_says_so(tmp_path):
    files = {"a.csv": "id,note,box\n1,x,1\n2,y,2\n1,x,3\n", "b.csv": "id,note,box\n1,x,4\n1,y,5\n"}
    rows = read(tmp_path, "{path: [a.csv, b.csv], distinct: true}", files)
    assert [row[:3] for row in rows_of(rows)] == [
        ("a.csv", 2, "1"), ("a.csv", 3, "2"), ("b.csv", 3, "1")
    ]  # fmt: skip
    assert rows.num_rows == 3
    told = rows.log.entries[["outcome", "code", "table", "line"]].itertuples(index=False, name=None)
    assert list(told) == [
        ("noted", "duplicate_row", "a.csv", 4),
        ("noted", "duplicate_row", "b.csv", 2),
    ]


def test_a_table_to_look_up_may_be_restricted_to_one_row_a_key(tmp_path):
    tables = """\
        {path: a.csv}
        - path: b.csv
          where: {kind: mass}
          distinct: true
          join: {on: id, cardinality: one_to_one}
    """
    files = {
        "a.csv": "id\n1\n2\n",
        "b.csv": "id,kind,note\n1,mass,x\n1,mass,x\n1,air,y\n2,mass,z\n",
    }
    rows = read(tmp_path, tables, files)
    assert rows_of(rows) == [("a.csv", 2, "1", "x"), ("a.csv", 3, "2", "z")]
    assert rows.num_rows == 3
    assert rows.log.counts() == {"excluded": {"not_wanted": 1}, "noted": {"duplicate_row": 1}}


KEYS = """\
name: mine
tables:
  - {path: a.csv}
  - {path: b.csv, join: {on: {series: folder}, cardinality: one_to_one}}
derive:
  part: {from: path, pattern: '^[^/]+/(.*)'}
  series: {from: part, pattern: '^[^/]+'}
  folder: {from: file, pattern: '^jpeg/([^/]+)/'}
images: {path: "{folder}.png"}
features: {note: {type: text}}
"""


def test_tables_are_joined_on_derived_columns(tmp_path):
    (tmp_path / "a.csv").write_text("id,path\n1,x/s1/1.dcm\n2,x/s2/1.dcm\n3,x\n4,x/s4/1.dcm\n")
    (tmp_path / "b.csv").write_text("file,note\njpeg/s2/1.jpg,b\njpeg/s1/7.jpg,a\ns3,c\n")
    (tmp_path / "corpus.yaml").write_text(KEYS)
    loaded = load_spec(tmp_path / "corpus.yaml")
    rows = read_rows(loaded.spec, root=loaded.root, source=loaded.source)
    assert rows.frame[["series", "folder", "note"]].to_numpy().tolist() == [
        ["s1", "s1", "a"], ["s2", "s2", "b"]
    ]  # fmt: skip
    told = rows.log.entries[["outcome", "table", "line"]].itertuples(index=False, name=None)
    assert sorted(told) == [
        ("rejected", "a.csv", 4),
        ("rejected", "a.csv", 5),
        ("reported", "b.csv", 4),
    ]


def test_columns_of_images_are_no_keys_of_joins(tmp_path):
    (tmp_path / "a.csv").write_text("id,path\n1,x\n")
    (tmp_path / "b.csv").write_text("file,note\nx,a\n")
    (tmp_path / "corpus.yaml").write_text(KEYS.replace("from: path", "from: images.path"))
    loaded = load_spec(tmp_path / "corpus.yaml")
    with pytest.raises(TableError, match="no column 'series' to join on"):
        read_rows(loaded.spec, root=loaded.root, source=loaded.source)


def test_a_workbook_that_fills_the_memory_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("medical_images.sheets._MOST_BYTES", 1000)
    with pytest.raises(TableError, match=r"unpacked, the workbook has [\d,]+ bytes"):
        read(tmp_path, "path: a.xlsx", {"a.xlsx": workbook(["id", "note"], [1, "x"])})


def test_every_file_that_may_be_read_is_an_input(tmp_path):
    data = {
        "name": "mine",
        "tables": [
            {"path": ["a.csv", "b.csv"]},
            {"path": "c.csv", "or": ["d.csv"],
             "join": {"on": "id", "cardinality": "one_to_one"}},
        ],
        "images": {"path": "{id}.png"},
        "features": {"id": {"type": "id"}},
    }  # fmt: skip
    paths = input_paths(CorpusSpec.from_dict(data))
    assert list(paths.values()) == ["a.csv", "b.csv", "c.csv", "d.csv"]
    (tmp_path / "b.csv").write_text("id\n")
    before = sums_of(str(tmp_path), paths.values())
    (tmp_path / "b.csv").write_text("id\n1\n")
    assert sums_of(str(tmp_path), paths.values()) != before
