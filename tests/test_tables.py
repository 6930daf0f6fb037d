"""Tables to rows: text is kept letter by letter, and what does not fit is told with its line."""

import csv
import gzip
import pathlib
import textwrap
import unicodedata
from typing import Any

import pandas as pd
import pytest
from etils import epath
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import FEW, MANY

from medical_images import table_reader
from medical_images.errors import Problem, SpecError, TableError
from medical_images.spec import load_spec
from medical_images.spec_parts import Table
from medical_images.table_reader import (
    LINE,
    TABLE,
    Faults,
    Header,
    clean,
    count_quotes,
    problems_of,
    ranges_of,
    read_header,
    read_parts,
    read_range,
)
from medical_images.tables import Rows, read_lists, read_rows

SPEC = """\
name: mine
tables:
  - path: {path}
    {keys}
images: {{path: "{{id}}.png"}}
features:
  note: {{type: text}}
"""


def _read(folder: pathlib.Path, spec: str, **tables: str | bytes) -> Rows:
    """Reads the tables of a spec; a name such as `a_csv` stands for the file a.csv."""
    for name, content in tables.items():
        data = content.encode() if isinstance(content, str) else content
        (folder / name.replace("_", ".")).write_bytes(data)
    path = folder / "corpus.yaml"
    path.write_text(spec, encoding="utf-8")
    loaded = load_spec(path)
    return read_rows(loaded.spec, root=loaded.root, source=loaded.source)


def _read_one(folder: pathlib.Path, data: bytes | None, path: str, keys: str) -> Rows:
    tables = {} if data is None else {path.replace(".", "_"): data}
    return _read(folder, SPEC.format(path=path, keys=keys), **tables)


def _values(rows: Rows) -> list[tuple[int, str, str]]:
    frame = rows.frame
    return list(zip(frame[LINE].tolist(), frame["id"], frame["note"], strict=True))


def _gz(text: str) -> bytes:
    return gzip.compress(text.encode())


# Each case: the file's bytes, its name, more keys of the table, and (line, id, note) of each row.
READ = {
    "plain": (b"id,note\n1,x\n", "a.csv", "", [(2, "1", "x")]),
    "no line end at the end": (b"id,note\n1,x", "a.csv", "", [(2, "1", "x")]),
    "byte order mark": (b"\xef\xbb\xbfid,note\n1,x\n", "a.csv", "", [(2, "1", "x")]),
    "byte order mark before a quote": (
        b'\xef\xbb\xbf"id","note"\n1,x\n', "a.csv", "", [(2, "1", "x")]),
    "byte order mark, encoding spelt otherwise": (
        b"\xef\xbb\xbfid,note\n1,x\n", "a.csv", "dialect: {encoding: utf_8}", [(2, "1", "x")]),
    "UTF-16": (
        "id,note\n1,é\n".encode("utf-16"), "a.csv", "dialect: {encoding: utf-16}", [(2, "1", "é")]),
    "Latin-1": (
        "id,note\n1,é\n".encode("latin-1"), "a.csv", "dialect: {encoding: latin-1}",
        [(2, "1", "é")]),
    "gzip": (_gz("id,note\n1,x\n"), "a.csv.gz", "", [(2, "1", "x")]),
    "tabs": (b"id\tnote\n1\tx, y\n", "a.tsv", "", [(2, "1", "x, y")]),
    "tabs, gzip": (_gz("id\tnote\n1\tx\n"), "a.tsv.gz", "", [(2, "1", "x")]),
    "tabs, said so": (b"id\tnote\n1\tx\n", "a.txt", "dialect: {separator: tab}", [(2, "1", "x")]),
    "tabs, as an escape": (
        b"id\tnote\n1\tx\n", "a.txt", r'dialect: {separator: "\t"}', [(2, "1", "x")]),
    "spaces": (b"id note\n1 x\n", "a.txt", "dialect: {separator: space}", [(2, "1", "x")]),
    "semicolons": (b"id;note\n1;x\n", "a.csv", "dialect: {separator: ;}", [(2, "1", "x")]),
    "single quotes": (b"id,note\n1,'x,y'\n", "a.csv", 'dialect: {quote: "\'"}', [(2, "1", "x,y")]),
    "CRLF": (b"id,note\r\n1,x\r\n2,y\r\n", "a.csv", "", [(2, "1", "x"), (3, "2", "y")]),
    "CR": (b"id,note\r1,x\r2,y\r", "a.csv", "", [(2, "1", "x"), (3, "2", "y")]),
    "quoted separator and quote": (
        b'id,note\n1,"x, ""y"""\n', "a.csv", "", [(2, "1", 'x, "y"')]),
    "quoted line ends": (
        b'id,note\n1,"x\ny\n\nz"\n2,w\n', "a.csv", "", [(2, "1", "x\ny\n\nz"), (6, "2", "w")]),
    "quoted line end in the header": (
        b'id,note,"a\nb"\n1,x,\n', "a.csv", "", [(3, "1", "x")]),
    "quoted CRLF": (
        b'id,note\r\n1,"x\r\ny"\r\n2,w\r\n', "a.csv", "", [(2, "1", "x\r\ny"), (4, "2", "w")]),
    "blank lines": (b"id,note\n\n1,x\n\n\n2,y\n\n", "a.csv", "", [(3, "1", "x"), (6, "2", "y")]),
    "ids keep zeros and dots": (
        b"id,note\n007,1.0\n7,1e5\n", "a.csv", "", [(2, "007", "1.0"), (3, "7", "1e5")]),
    "NA is text": (
        b"id,note\nNA,nan\nNone,null\n", "a.csv", "", [(2, "NA", "nan"), (3, "None", "null")]),
    "listed tokens are missing": (
        b"id,note\nNA,NAN\n?, NA \n", "a.csv", 'missing: [NA, "?"]', [(2, "", "NAN"), (3, "", "")]),
    "blank is missing though not listed": (
        b'id,note\n1,\n2,"  "\n', "a.csv", "missing: [NA]", [(2, "1", ""), (3, "2", "")]),
    "white space around names and cells": (
        b"id , note\n 1 ,\tx y \n", "a.csv", "", [(2, "1", "x y")]),
    "non-breaking space around cells": (
        "id,note\n1,\xa0x\xa0\n".encode(), "a.csv", "", [(2, "1", "x")]),
    "decomposed letters": ("id,note\n1,e\u0301\n".encode(), "a.csv", "", [(2, "1", "é")]),
    "decomposed missing token": (
        "id,note\n1,ne\u0301ant\n".encode(), "a.csv", "missing: [ne\u0301ant]", [(2, "1", "")]),
    "unnamed columns": (b",id,note,\n0,1,x,9\n", "a.csv", "", [(2, "1", "x")]),
    "trailing separators everywhere": (b"id,note,\n1,x,\n", "a.csv", "", [(2, "1", "x")]),
    "no header": (
        b"1,x\n2,y\n", "a.csv", "columns: [id, note]\n    dialect: {header: false}",
        [(1, "1", "x"), (2, "2", "y")]),
    "renamed": (
        b"Image Name,Text\n1,x\n", "a.csv", "rename: {Image Name: id, Text: note}",
        [(2, "1", "x")]),
    "swapped names": (b"note,id\n1,x\n", "a.csv", "rename: {note: id, id: note}", [(2, "1", "x")]),
    "lines before the header": (
        b"Exported, by me\n\nid,note\n1,x\n", "a.csv", "dialect: {skip_lines: 2}", [(4, "1", "x")]),
    "lines before the rows": (
        b"# one\n1,x\n", "a.csv",
        "columns: [id, note]\n    dialect: {header: false, skip_lines: 1}", [(2, "1", "x")]),
    "column called like part of a record": (
        b"id,note,path,line,table,value,group,position\n1,x,a,b,c,d,e,f\n", "a.csv", "",
        [(2, "1", "x")]),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_table_is_read(tmp_path, name):
    data, path, keys, expected = READ[name]
    rows = _read_one(tmp_path, data, path, keys)
    assert _values(rows) == expected
    assert rows.num_rows == len(expected)
    assert set(rows.frame[TABLE]) == {path}
    assert rows.log.entries.empty


CUT = _gz("id,note\n" + "1,x\n" * 99)[:-9]
BROKEN = bytearray(_gz("id,note\n" + "".join(f"{n},{n * 7919 % 997}\n" for n in range(5000))))
BROKEN[200:260] = bytes(60)

# Each case: the file's bytes, its name, more keys of the table, and parts of the only problem told.
REFUSED = {
    "UTF-16 not declared": (
        "id,note\n1,x\n".encode("utf-16"), "a.csv", "",
        ["a.csv line 1", "byte 0xff at offset 0", "encoding: utf-16"]),
    "Latin-1 not declared": (
        "id,note\n1,x\n2,né\n".encode("latin-1"), "a.csv", "",
        ["a.csv line 3", "byte 0xe9 at offset 15", "latin-1"]),
    "Latin-1 far into the file": (
        b"id,note\n" + b"1,x\n" * 50_000 + b"1,\xe9\n", "a.csv", "",
        ["a.csv line 50002", "offset 200010"]),
    "Latin-1 in a gzip file": (
        gzip.compress(b"id,note\n1,\xe9\n"), "a.csv.gz", "", ["a.csv.gz line 2", "offset 10"]),
    "UTF-16 declared, but it is not": (
        b"id,note\n1,x\n", "a.csv", "dialect: {encoding: utf-16}", ["a.csv", "utf-16"]),
    "unknown encoding": (
        b"id,note\n1,x\n", "a.csv", "dialect: {encoding: utf-88}", ["a.csv", "utf-88"]),
    "no file": (None, "a.csv", "", ["a.csv: there is no file", "a.csv"]),
    "gzip by name only": (b"id,note\n1,x\n", "a.csv.gz", "", ["a.csv.gz", "cannot be read"]),
    "gzip file cut short": (CUT, "a.csv.gz", "", ["a.csv.gz", "cannot be read"]),
    "gzip file with bad bytes": (bytes(BROKEN), "a.csv.gz", "", ["a.csv.gz", "cannot be read"]),
    "empty file": (b"", "a.csv", "", ["a.csv line 1", "empty"]),
    "header only": (b"id,note\n", "a.csv", "", ["a.csv", "no rows"]),
    "fewer lines than are skipped": (
        b"id,note\n1,x\n", "a.csv", "dialect: {skip_lines: 9}", ["a.csv", "empty"]),
    "no rows under declared names": (
        b"", "a.csv", "columns: [id, note]\n    dialect: {header: false}", ["a.csv", "no rows"]),
    "name twice": (b"id,note,note\n1,x,y\n", "a.csv", "", ["a.csv line 1", "'note' twice"]),
    "name twice but for white space": (
        b"id,note, note\n1,x,y\n", "a.csv", "", ["a.csv line 1", "'note' twice"]),
    "name twice below skipped lines": (
        b"-\n-\nid,note,note\n1,x,y\n", "a.csv", "dialect: {skip_lines: 2}",
        ["a.csv line 3", "'note' twice"]),
    "name twice after renaming": (
        b"id,note,text\n1,x,y\n", "a.csv", "rename: {text: note}",
        ["a.csv line 1", "'note' twice"]),
    "rename of an absent column": (
        b"id,note\n1,x\n", "a.csv", "rename: {note_: n}",
        ["a.csv", "'note_'", "did you mean 'note'?"]),
    "trailing separator on rows only": (
        b"id,note\n1,x,\n2,y,\n", "a.csv", "",
        ["a.csv lines 2, 3", "3 cells where the header has 2", "the header must too"]),
    "another separator and decimal commas": (
        b"id;x\n1;2,5\n", "a.csv", "",
        ["a.csv line 2", "2 cells where the header has 1", "set `dialect: {separator: ';'}`"]),
    "row too short": (
        b"id,note\n1,x\n2\n3,z\n", "a.csv", "", ["a.csv line 3", "1 cells where the header has 2"]),
    "row too long after a quoted line end": (
        b'id,note\n1,"x\ny"\n2,a,b\n', "a.csv", "", ["a.csv line 4", "3 cells"]),
    "many rows too long": (
        b"id,note\n" + b"1,x,y\n" * 9, "a.csv", "", ["a.csv lines 2, 3, 4, 5, 6 and 4 more"]),
    "quote never closed": (
        b'id,note\n1,x\n2,"y\n3,z\n4,w\n', "a.csv", "", ["a.csv line 3", "never closed"]),
    "quote never closed, below skipped lines": (
        b'-\nid,note\n1,x\n2,"y\n3,z\n', "a.csv", "dialect: {skip_lines: 1}",
        ["a.csv line 4", "never closed"]),
    "quote never closed in the header": (
        b'id,"note\n1,x\n', "a.csv", "", ["a.csv line 1", "never closed"]),
    "text after a quote": (b'id,note\n1,"x"y\n', "a.csv", "", ["a.csv line 2", "not valid CSV"]),
    "NUL": (b"id,note\n1,x\n2,\0\n", "a.csv", "", ["a.csv line 3", "NUL"]),
    "absent column": (
        b"id,nota\n1,x\n", "a.csv", "",
        ["corpus.yaml:7:3 features.note", "'note'", "did you mean 'nota'?"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_table_is_refused(tmp_path, name):
    data, path, keys, words = REFUSED[name]
    with pytest.raises(TableError) as caught:
        _read_one(tmp_path, data, path, keys)
    assert len(caught.value.problems) == 1, str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_utf16_without_a_mark_is_no_text(tmp_path):
    with pytest.raises(TableError, match=r"a\.csv lines 1, 2.*NUL"):
        _read_one(tmp_path, "id,note\n1,x\n".encode("utf-16-le"), "a.csv", "")


def test_semicolon_file_is_told_by_its_header(tmp_path):
    with pytest.raises(TableError, match=r"separator: ';'") as caught:
        _read_one(tmp_path, b"id;note\n1;x\n", "a.csv", "")
    assert "id;note" in str(caught.value)
    assert "'id'" in str(caught.value)


def test_header_that_begins_with_a_number_sign_is_a_column(tmp_path):
    spec = SPEC.format(path="a.csv", keys="").replace("{id}", "{#id}")
    rows = _read(tmp_path, spec, a_csv="#id,note\n7,x\n")
    assert rows.frame["#id"].tolist() == ["7"]


def test_problems_of_several_tables_are_told_at_once(tmp_path):
    spec = textwrap.dedent(
        """\
        name: mine
        tables:
          - path: a.csv
          - {path: b.csv, join: {on: id, cardinality: one_to_one}}
          - {path: c.csv, join: {on: id, cardinality: one_to_one}}
        images: {path: "{id}.png"}
        features: {note: {type: text}}
        """
    )
    with pytest.raises(TableError) as caught:
        _read(tmp_path, spec, a_csv='id,note\n1,x,y\n2\n3,"z\n', b_csv="id,id\n1,1\n")
    places = [problem.where for problem in caught.value.problems]
    assert places == ["a.csv line 4", "a.csv line 3", "a.csv line 2", "b.csv line 1", "c.csv"]


@FEW
@given(st.lists(st.tuples(*[st.text(alphabet='a1 ,"\n\ré\u0301', max_size=4)] * 2), min_size=1))
def test_what_a_csv_writer_writes_is_read_letter_by_letter(tmp_path_factory, cells):
    folder = tmp_path_factory.mktemp("table")
    with (folder / "a.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerows([("id", "note"), *cells])
    rows = _read(folder, SPEC.format(path="a.csv", keys=""))
    expected = [tuple(unicodedata.normalize("NFC", cell.strip()) for cell in row) for row in cells]
    assert [row[1:] for row in _values(rows)] == expected


# --- ranges --------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        "a",
        "1",
        ",",
        '"',
        '""',
        '"a,b"',
        '"a\nb"',
        '"\r\n"',
        "\n",
        "\r\n",
        "\r",
        "é",
        " ",
        "x,y\n",
        "\0",
    ]
)


def _whole(table: Table, path: epath.Path) -> tuple[Any, list[Problem]]:
    try:
        header = read_header(table, path=path)
        parts = list(read_parts(table, path=path, num_rows=2))
    except TableError as error:
        return None, list(error.problems)
    faults = sum((part.faults for part in parts), Faults())
    frame = pd.concat([part.frame for part in parts], ignore_index=True)
    return frame, problems_of(table, header, faults, num_rows=len(frame))


def _in_ranges(table: Table, path: epath.Path, num_bytes: int) -> tuple[Any, list[Problem]] | None:
    """The rows as read in ranges; None where the table must be read whole."""
    header = read_header(table, path=path)
    parts, num_lines, num_quotes = [], header.num_lines, 0
    for begin, end in ranges_of(table, header, path=path, num_bytes=num_bytes):
        found = count_quotes(table, path=path, begin=begin, end=end)
        part = read_range(
            table, header, path=path, begin=begin, end=end, num_quotes=(num_quotes, found)
        )
        num_quotes += found
        if part.faults.error is not None:
            return None
        parts.append(part.moved(num_lines))
        num_lines += part.num_lines
    if not parts:
        return None
    faults = sum((part.faults for part in parts), Faults())
    frame = pd.concat([part.frame for part in parts], ignore_index=True)
    return frame, problems_of(table, header, faults, num_rows=len(frame))


@MANY
@given(
    pieces=st.lists(PIECES, max_size=30),
    num_bytes=st.integers(1, 40),
    header=st.sampled_from(["id,note\n", '"id","no\nte"\r\n', "\ufeffid,note\r", None]),
    skip_lines=st.integers(0, 2),
    encoding=st.sampled_from(["utf-8", "latin-1"]),
)
@example(["1,x\n", '"a\n', "1,y\n", 'b",2\n'], 6, "id,note\n", 0, "utf-8")
@example(["1,x\r\n"] * 6, 1, "id,note\r\n", 1, "utf-8")
def test_ranges_give_the_rows_of_the_whole_or_an_error(
    tmp_path_factory, pieces, num_bytes, header, skip_lines, encoding
):
    text = "above\n" * skip_lines + (header or "") + "".join(pieces)
    path = epath.Path(tmp_path_factory.mktemp("ranges")) / "a.csv"
    path.write_bytes(text.encode(encoding, "replace"))
    dialect = {"skip_lines": skip_lines, "encoding": encoding, "header": header is not None}
    table = Table(path="a.csv", dialect=dialect, columns=None if header else ["id", "note"])
    expected, problems = _whole(table, path)
    found = _in_ranges(table, path, num_bytes)
    if found is not None:
        pd.testing.assert_frame_equal(found[0], expected)
        assert found[1] == problems


@FEW
@given(
    cells=st.lists(st.tuples(*[st.text(alphabet='a1 ,"\n\ré', max_size=4)] * 2), min_size=1),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    num_bytes=st.integers(1, 10),
)
def test_what_a_csv_writer_writes_can_be_read_in_ranges(
    tmp_path_factory, cells, quoting, end, num_bytes
):
    path = epath.Path(tmp_path_factory.mktemp("ranges")) / "a.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=quoting, lineterminator=end)
        writer.writerows([("id", "no\nte"), *cells])
    found = _in_ranges(table := Table(path="a.csv"), path, num_bytes)
    assert found is not None
    pd.testing.assert_frame_equal(found[0], _whole(table, path)[0])


def test_no_range_is_read_to_the_end_of_the_file_for_a_line_end(tmp_path, monkeypatch):
    monkeypatch.setattr(table_reader, "_MAX_CELL", 200)
    monkeypatch.setattr(table_reader, "_BLOCK", 10)
    path = epath.Path(tmp_path) / "a.csv"
    path.write_text('id,note\n1,"x\n' + "1,x\n" * 1000)
    table, header = Table(path="a.csv"), Header(("id", "note"), 1)
    ranges = ranges_of(table, header, path=path, num_bytes=100)
    quotes = [count_quotes(table, path=path, begin=begin, end=end) for begin, end in ranges]
    parts = [
        read_range(
            table, header, path=path, begin=b, end=e, num_quotes=(sum(quotes[:number]), count)
        )
        for number, ((b, e), count) in enumerate(zip(ranges, quotes, strict=True))
    ]
    assert len(ranges) > 30
    assert all(part.faults.error for part in parts[:-3])  # there the end of the file is near


@pytest.mark.parametrize(
    ("path", "encoding"), [("a.csv.gz", "utf-8"), ("a.csv", "utf-16"), ("a.csv", "cp037")]
)
def test_what_is_packed_or_not_like_ascii_is_not_cut(tmp_path, path, encoding):
    text = ("id,note\n" + "1,x\n" * 99).encode(encoding)
    (tmp_path / path).write_bytes(gzip.compress(text, 0) if path.endswith("gz") else text)
    table, place = Table(path=path, dialect={"encoding": encoding}), epath.Path(tmp_path) / path
    header = read_header(table, path=place)
    assert ranges_of(table, header, path=place, num_bytes=50) == []
    assert len(_whole(table, place)[0]) == 99


def test_cleaning_keeps_the_index():
    cells = pd.Series([" a", "NA"], index=[5, 2], dtype="str")
    assert clean(cells, missing=["NA"]).to_dict() == {5: "a", 2: ""}


# --- joins ---------------------------------------------------------------------------------------

JOIN = """\
name: mine
tables:
  - path: a.csv
  - path: b.csv
    join: {join}
images: {{path: "{{id}}.png"}}
features: {{note: {{type: text}}{more}}}
"""

# Each case: the join, both tables, (line, id, note) of each row, unmatched (outcome, table, line).
JOINS = {
    "one to one": (
        "{on: id, cardinality: one_to_one}", "id,x\n1,\n2,\n", "id,note\n2,b\n1,a\n",
        [(2, "1", "a"), (3, "2", "b")], []),
    "zeros of keys count": (
        "{on: id, cardinality: one_to_one, unmatched: keep}", "id,x\n07,\n7,\n", "id,note\n7,b\n",
        [(2, "07", ""), (3, "7", "b")], []),
    "many to one": (
        "{on: p, cardinality: many_to_one}", "id,p\n1,x\n2,y\n3,x\n", "p,note\nx,a\ny,b\n",
        [(2, "1", "a"), (3, "2", "b"), (4, "3", "a")], []),
    "one to many keeps the lines of the many": (
        "{on: p, cardinality: one_to_many}", "p,note\nx,a\ny,b\n", "id,p\n1,x\n2,y\n3,x\n",
        [(2, "1", "a"), (3, "2", "b"), (4, "3", "a")], []),
    "no partner is rejected": (
        "{on: p, cardinality: many_to_one}", "id,p\n1,x\n2,z\n3,\n", "p,note\nx,a\n",
        [(2, "1", "a")], [("rejected", "a.csv", 3), ("rejected", "a.csv", 4)]),
    "no partner is kept": (
        "{on: p, cardinality: many_to_one, unmatched: keep}", "id,p\n1,x\n2,z\n3,\n",
        "p,note\nx,a\n", [(2, "1", "a"), (3, "2", ""), (4, "3", "")], []),
    "partners that nobody needs are listed": (
        "{on: p, cardinality: many_to_one}", "id,p\n1,x\n", "p,note\nx,a\ny,b\nz,c\n",
        [(2, "1", "a")], [("reported", "b.csv", 3), ("reported", "b.csv", 4)]),
    "no partner among many is rejected": (
        "{on: p, cardinality: one_to_many}", "p,note\nx,a\ny,b\n", "id,p\n1,x\n2,x\n",
        [(2, "1", "a"), (3, "2", "a")], [("rejected", "a.csv", 3)]),
    "keys of other names": (
        "{on: {id: picture}, cardinality: one_to_one}", "id,x\n1,\n2,\n",
        "picture,note\n2,b\n1,a\n", [(2, "1", "a"), (3, "2", "b")], []),
    "two keys": (
        "{on: [id, side], cardinality: one_to_one}", "id,side\n1,l\n1,r\n",
        "side,id,note\nr,1,b\nl,1,a\n", [(2, "1", "a"), (3, "1", "b")], []),
    "a shared column that is not used": (
        "{on: id, cardinality: one_to_one}", "id,x\n1,u\n", "id,x,note\n1,v,a\n",
        [(2, "1", "a")], []),
    "blank keys are no partners": (
        "{on: p, cardinality: many_to_one, unmatched: keep}", "id,p\n1,x\n2,\n",
        "p,note\nx,a\n,b\n", [(2, "1", "a"), (3, "2", "")], [("reported", "b.csv", 3)]),
    "columns called like part of a log": (
        "{on: id, cardinality: one_to_one}", "id,path,line,table,value\n1,,,,\n2,,,,\n",
        "id,note\n1,a\n3,b\n", [(2, "1", "a")],
        [("rejected", "a.csv", 3), ("reported", "b.csv", 3)]),
}  # fmt: skip


@pytest.mark.parametrize("name", JOINS)
def test_tables_are_joined(tmp_path, name):
    join, left, right, expected, unmatched = JOINS[name]
    rows = _read(tmp_path, JOIN.format(join=join, more=""), a_csv=left, b_csv=right)
    assert sorted(_values(rows)) == expected
    entries = rows.log.entries
    assert set(entries["code"]) <= {"join_unmatched"}
    found = zip(entries["outcome"], entries["table"], entries["line"], strict=True)
    assert sorted(found) == unmatched
    num_rejected = sum(outcome == "rejected" for outcome, *_ in unmatched)
    assert rows.num_rows == len(expected) + num_rejected


def test_log_columns_used_by_the_spec_do_not_disturb_the_log(tmp_path):
    rows = _read(
        tmp_path,
        JOIN.format(
            join="{on: id, cardinality: one_to_one}",
            more=", path: {type: text}, line: {type: text}, table: {type: text}",
        ),
        a_csv="id,path,line,table\n1,p,l,t\n2,q,m,u\n",
        b_csv="id,note\n1,a\n",
    )
    (entry,) = rows.log.entries.to_dict("records")
    assert (entry["table"], entry["line"], entry["path"]) == ("a.csv", 3, "")
    assert rows.frame[["path", "line", "table"]].values.tolist() == [["p", "l", "t"]]


# Each case: the join, more features, both tables, and parts of the message.
BAD_JOINS = {
    "many on the left of one to one": (
        "{on: id, cardinality: one_to_one}", "", "id,x\n1,\n2,\n1,\n", "id,note\n1,a\n2,b\n",
        ["a.csv lines 2, 4", "id stands more than once", "one_to_one"]),
    "many on the right of one to one": (
        "{on: id, cardinality: one_to_one}", "", "id,x\n1,\n", "id,note\n1,a\n2,b\n2,c\n",
        ["b.csv lines 3, 4", "one_to_one"]),
    "many on the right of many to one": (
        "{on: id, cardinality: many_to_one}", "", "id,x\n1,\n1,\n", "id,note\n1,a\n1,a\n",
        ["b.csv lines 2, 3", "many_to_one"]),
    "many on the left of one to many": (
        "{on: id, cardinality: one_to_many}", "", "id,x\n1,\n1,\n", "id,note\n1,a\n1,b\n",
        ["a.csv lines 2, 3", "one_to_many"]),
    "both sides at once": (
        "{on: id, cardinality: one_to_one}", "", "id,x\n1,\n1,\n", "id,note\n1,a\n1,b\n",
        ["a.csv lines 2, 3", "b.csv lines 2, 3"]),
    "key absent on the left": (
        "{on: {idd: id}, cardinality: one_to_one}", "", "id,x\n1,\n", "id,note\n1,a\n",
        ["corpus.yaml:5:5 tables.1.join", "'idd'", "did you mean 'id'?"]),
    "key absent on the right": (
        "{on: id, cardinality: one_to_one}", "", "id,x\n1,\n", "image_id,note\n1,a\n",
        ["corpus.yaml:5:5 tables.1.join", "'id'", "image_id"]),
    "shared column that is used": (
        "{on: id, cardinality: one_to_one}", ", sex: {type: text}", "id,sex\n1,f\n",
        "id,note,sex\n1,a,m\n", ["'sex' stands in a.csv and in b.csv", "rename"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_JOINS)
def test_join_is_refused(tmp_path, name):
    join, more, left, right, words = BAD_JOINS[name]
    with pytest.raises(TableError) as caught:
        _read(tmp_path, JOIN.format(join=join, more=more), a_csv=left, b_csv=right)
    for word in words:
        assert word in str(caught.value)


def test_key_of_another_name_can_still_be_used(tmp_path):
    spec = JOIN.format(
        join="{on: {id: picture}, cardinality: one_to_one}", more=", picture: {type: id}"
    )
    rows = _read(tmp_path, spec, a_csv="id,x\n1,\n", b_csv="picture,note\n1,a\n")
    assert rows.frame["picture"].tolist() == ["1"]


def test_key_of_another_name_beside_a_column_of_that_name(tmp_path):
    spec = JOIN.format(join="{on: {key: ref}, cardinality: one_to_one}", more="")
    rows = _read(tmp_path, spec, a_csv="id,key\n1,k\n", b_csv="ref,key,note\nk,other,a\n")
    assert _values(rows) == [(2, "1", "a")]


def test_three_tables_are_joined_in_order(tmp_path):
    spec = textwrap.dedent(
        """\
        name: mine
        tables:
          - path: a.csv
          - {path: b.csv, join: {on: p, cardinality: one_to_many}}
          - {path: c.csv, join: {on: site, cardinality: many_to_one, unmatched: keep}}
        images: {path: "{id}.png"}
        features: {note: {type: text}, country: {type: text}}
        """
    )
    rows = _read(
        tmp_path,
        spec,
        a_csv="p,note\nx,a\ny,b\nz,c\n",
        b_csv="id,p,site\n1,x,s\n2,y,t\n3,y,u\n4,w,s\n",
        c_csv="site,country\ns,S\nt,T\n",
    )
    assert _values(rows) == [(2, "1", "a"), (3, "2", "b"), (4, "3", "b")]
    assert rows.frame["country"].tolist() == ["S", "T", ""]
    assert rows.num_rows == 4
    assert rows.log.counts() == {
        "rejected": {"join_unmatched": 1},
        "reported": {"join_unmatched": 1},
    }


_IDS = st.lists(st.sampled_from(["1", "01", "2", "3", "4"]), unique=True, min_size=1)


@FEW
@given(left=_IDS, right=_IDS, keep=st.booleans())
def test_rows_of_a_join_add_up(tmp_path_factory, left, right, keep):
    unmatched = "keep" if keep else "reject"
    rows = _read(
        tmp_path_factory.mktemp("join"),
        JOIN.format(join=f"{{on: id, cardinality: one_to_one, unmatched: {unmatched}}}", more=""),
        a_csv="id,x\n" + "".join(f"{value},\n" for value in left),
        b_csv="id,note\n" + "".join(f"{value},n{value}\n" for value in right),
    )
    expected = [
        (line, value, f"n{value}" if value in right else "")
        for line, value in enumerate(left, start=2)
        if keep or value in right
    ]
    assert _values(rows) == expected
    assert rows.num_rows == len(left)
    lost = {("rejected", line) for line, v in enumerate(left, start=2) if v not in right}
    unused = {("reported", line) for line, v in enumerate(right, start=2) if v not in left}
    entries = rows.log.entries
    logged = set(zip(entries["outcome"], entries["line"], strict=True))
    assert logged == unused | (set() if keep else lost)


# --- lists of official splits --------------------------------------------------------------------

LISTED = """\
name: mine
images: {path: "{id}.png"}
features: {id: {type: id}}
splits:
  allow_leaks: %s
  files:
    train: lists/train.txt
    test: test.txt
"""


def _read_lists(
    folder: pathlib.Path, train: bytes | None, test: bytes | None, *, leaks: bool = False
) -> dict[str, list[str]]:
    (folder / "lists").mkdir()
    for name, data in (("lists/train.txt", train), ("test.txt", test)):
        if data is not None:
            (folder / name).write_bytes(data)
    path = folder / "corpus.yaml"
    path.write_text(LISTED % str(leaks).lower(), encoding="utf-8")
    loaded = load_spec(path)
    return read_lists(loaded.spec, root=loaded.root, source=loaded.source)


# Each case: the bytes of a list, and its lines.
LISTS = {
    "plain": (b"1.png\n2.png\n", ["1.png", "2.png"]),
    "no line end at the end": (b"1\n2", ["1", "2"]),
    "CRLF and CR": (b"1\r\n2\r3", ["1", "2", "3"]),
    "blank lines and white space": (b"\n  1 \n\t\n2\t\n\n", ["1", "2"]),
    "white space inside": (b"a b.png\n", ["a b.png"]),
    "byte order mark": (b"\xef\xbb\xbf1\n2\n", ["1", "2"]),
    "decomposed letters": ("e\u0301\n".encode(), ["\u00e9"]),
    "a line twice": (b"1\n2\n1\n", ["1", "2"]),
    "zeros count": (b"01\n1\n", ["01", "1"]),
    "empty": (b"", []),
}


@pytest.mark.parametrize("name", LISTS)
def test_list_is_read(tmp_path, name):
    data, lines = LISTS[name]
    assert _read_lists(tmp_path, data, b"test") == {"train": lines, "test": ["test"]}


def test_spec_without_lists_reads_none(tmp_path):
    path = tmp_path / "corpus.yaml"
    path.write_text(SPEC.format(path="a.csv", keys=""), encoding="utf-8")
    loaded = load_spec(path)
    assert read_lists(loaded.spec, root=loaded.root, source=loaded.source) == {}


def test_all_that_is_wrong_with_lists_is_told_at_once(tmp_path):
    with pytest.raises(SpecError) as caught:
        _read_lists(tmp_path, None, b"1\n\n\xe9\n")
    missing, encoded = map(str, caught.value.problems)
    assert "corpus.yaml:7:5 splits.files.train: there is no file 'lists/train.txt'" in missing
    assert "corpus.yaml:8:5 splits.files.test: 'test.txt' is not UTF-8 text (line 3)" in encoded


def test_folder_in_place_of_a_list_is_refused(tmp_path):
    (tmp_path / "test.txt").mkdir()
    with pytest.raises(SpecError, match=r"splits\.files\.test: 'test.txt' cannot be read"):
        _read_lists(tmp_path, b"1", None)


def test_line_of_two_lists_is_refused_with_its_numbers_only(tmp_path):
    with pytest.raises(SpecError) as caught:
        _read_lists(tmp_path, b"\nSMITH\nJONES\nMILLER", b"MILLER\nBAKER\n\nSMITH")
    (problem,) = map(str, caught.value.problems)
    assert problem.startswith(
        "test.txt lines 1, 4: 2 lines of 'test' stand in lists/train.txt (lines 2, 4)"
    )
    assert "allow_leaks" in problem
    assert "SMITH" not in str(caught.value)


def test_line_of_two_lists_is_the_first_ones_where_leaks_are_allowed(tmp_path):
    lists = _read_lists(tmp_path, b"1\n2\n", b"2\n3\n", leaks=True)
    assert lists == {"train": ["1", "2"], "test": ["3"]}
