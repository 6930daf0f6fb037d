"""What Beam's workers read and join is what memory reads and joins."""

import errno
import gzip
import io
import os
import pathlib
import pickle
import textwrap
import traceback
from collections.abc import Mapping

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import execution
from conftest import SPECS
from PIL import Image

from medical_images import beam_join, images, tables
from medical_images.beam_reading import ReadCorpus, read_corpus
from medical_images.beam_workers import Workers
from medical_images.copies import apply_copies, find_copies
from medical_images.errors import BuildError, CorpusError
from medical_images.header_facts import facts_of_files, read_pixel_sizes
from medical_images.join import Joined, join_images
from medical_images.spec import LoadedSpec, load_spec
from medical_images.spec_images import Images


def in_memory(loaded: LoadedSpec, exclude: set[str]) -> Joined:
    spec, root = loaded.spec, loaded.root
    rows = tables.read_rows(spec, root=root, source=loaded.source) if spec.tables else None
    lists = tables.read_lists(spec, root=root, source=loaded.source)
    files = images.list_images(root, spec.images, exclude=exclude)
    files = files.assign(**facts_of_files(root, files, spec))
    joined = join_images(rows, files, spec, lists)
    return apply_copies(joined, find_copies(root, joined.records, spec.images), spec)


# Buckets and bytes of a range; with one worker, as Beam's local runner loses elements with more.
ONE_PART, MANY_PARTS, LARGE_PARTS = (1, 1 << 20), (7, 30), (5, 20_000)


def by_beam(
    loaded: LoadedSpec, exclude: set[str], folder: pathlib.Path, setting: tuple[int, int]
) -> ReadCorpus:
    num_buckets, range_bytes = setting
    folder.mkdir()
    return read_corpus(
        loaded,
        Workers(folder=str(folder), runner="FnApiRunner", options=PipelineOptions([])),
        exclude=exclude,
        num_buckets=num_buckets,
        range_bytes=range_bytes,
    )


def check_equal(loaded: LoadedSpec, folder: pathlib.Path, setting: tuple[int, int]) -> Joined:
    exclude = {path for t in loaded.spec.tables for path in t.files} | {"corpus.yaml"}
    expected = in_memory(loaded, exclude)
    found = by_beam(loaded, exclude, folder, setting)
    parts = [pickle.loads(pathlib.Path(path).read_bytes()) for path in found.paths]
    for part in parts:
        assert len(part)
        assert part["path"].is_monotonic_increasing
        assert list(part.columns) == list(expected.records.columns)
    if parts:
        records = pd.concat(parts).sort_values("path", ignore_index=True)
        pd.testing.assert_frame_equal(records, expected.records, check_exact=True)
    assert bool(parts) == bool(len(expected.records))
    pd.testing.assert_frame_equal(found.log.entries, expected.log.in_order().entries)
    assert found.num_rows == expected.num_rows
    assert found.listing.num_files == expected.num_files
    assert found.num_unmatched_lines == expected.num_unmatched_lines
    return expected


def write(folder: pathlib.Path, spec: str, files: Mapping[str, str | bytes | int]) -> LoadedSpec:
    """Writes a corpus: texts, bytes, and images of so much grey."""
    for path, content in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, int):
            Image.new("L", (10, 10), content).save(place, format="PNG")
        else:
            place.write_bytes(content.encode() if isinstance(content, str) else content)
    folder.mkdir(exist_ok=True)
    (folder / "corpus.yaml").write_text(textwrap.dedent(spec), encoding="utf-8")
    return load_spec(folder / "corpus.yaml")


BOXES = """\
name: mine
tables: [{path: data.csv}]
images: {path: ["img/{id}.png", "img/{id}*.png"]}
features:
  cells: {type: boxes, columns: [x1, y1, x2, y2], label: cell, values: [rbc, wbc],
          degenerate: drop, outside: %s}
splits: {files: {test: test.txt}, train: 1}
group: patient
"""
BOX_ROWS = """\
id,patient,x1,y1,x2,y2,cell
1,p,1,1,4,4,rbc
1,p,2,2,9,9,wbc
1,p,1,1,4,4,rbc
2,q,3,3,3,9,rbc
3,q,3,3,5,20,wbc
3,q,1,1,2,2,rbc
4,r,x,1,2,2,rbc
4,r,1,1,2,2,rbc
5,r,,,,,
6,s,1,1,2,2,?
7,s,1,1,2,2,rbc
8,s,1,1,2,2,rbc
,s,1,1,2,2,rbc
"""
OFFICIAL = """\
name: mine
tables: [{path: data.csv}]
images: {path: "**/{id}.*"}
features: {id: {type: id}}
group: patient
splits: {files: {train: x.txt, test: y.txt}%s}
"""
IDS = "id,patient\n" + "".join(f"{n},p{n // 3}\n" for n in range(12))
IMAGES = {f"img/{n % 3}/{n}.png": n % 9 for n in range(12)}
# Two tables, of which one has many rows; files of several templates, copies, and all that is wrong
# with names.
MANY = """\
name: mine
tables:
  - {path: a.csv, missing: [NA]}
  - {path: b.csv, join: {on: patient, cardinality: one_to_many, unmatched: keep}}
  - {path: c.tsv.gz, join: {on: {site: name}, cardinality: many_to_one, unmatched: %s}}
derive:
  visit: {from: id, pattern: '(\\d)$', optional: true}
  folder: {from: images.path, pattern: '^(\\w+)/'}
  letter: {from: patient, pattern: '[a-z]'}
images: {path: ["one/{id}.png", "two/{id}*.png", "**/{id}.*"]}
features:
  label: {column: dx, type: class, values: [nv, mel], rename: {melanoma: mel}}
  findings: {type: labels, values: [edema, mass], separator: ";"}
  age: {type: float, infinite: keep}
  count: {type: int, missing_as: -1}
  note: {type: text}
  place: {column: folder, type: text}
supervised: label
group: [patient, visit]
duplicates: %s
splits: {column: set, values: {test: [t], rest: [r]}, train: 1}
rejects: {rows_without_image: report, images_without_row: reject}
"""
PATIENTS = """\
patient,age,dx\r
p1,50,nv\r
p2,inf,melanoma\r
p3,NA,nv\r
4,1,nv\r
p5,x,nv\r
p6,7,nv\r
,7,nv\r
"""
VISITS = """\
\ufeffid,patient,site,findings,count,note,set
a1,p1,s,edema,1,"one
and ""two"", or
three",t
a2,p1,s,mass;edema,,x,r
b1,p2,t,,2,é,r
b1,p2,t,,2,é,r
b2,p2,u,other,2,,r
c1,p3,,,2,,
c1,p3,,,2,,?
d1,p3,s,,3,,r
../e1,p3,s,,3,,r
f1,p3,s,,3,,r
g1,p3,t,,3,,r
h1,,s,,3,,r
i1,p9,s,,3,,r
j1,4,s,,3,,r
k1,p5,s,,3,,r
l1,p3,s,,3,,t
m1,p6,s,,3,,r
n1,p6,s,,,,r
a11,p6,s,,3,,r
,p6,s,,3,,r
""".encode()
SITES = gzip.compress(b"name\tcountry\ns\tS\nt\tT\nv\tV\n")
SEEN = {
    "one/a1.png": 1, "one/a2.png": 2, "two/b1x.png": 1, "two/b2.png": 3, "c1.PNG": 4,
    "one/d1.png": b"", "one/f1.png": 5, "two/f1-.png": 6, "one/g1.bmp": 7, "one/k1.png": 8,
    "one/l1.png": 1, "one/m1.png": 1, "one/n1.png": b"no image", "two/a11.png": 5, "z/z.png": 9,
    "one/.hidden.png": 1, "z/o1.png": 10, "one/a11y.jpg": 2,
}  # fmt: skip
FOLDERS = """\
name: mine
images: {path: ["data/{dx}/{patient}-{n}.png", "data/*/{patient}.*"]}
derive: {visit: {from: n, pattern: '[0-9]'}}
features:
  label: {column: dx, type: class, values: [nv, mel]}
  line: {column: %s, type: text}
group: patient
splits: {files: {test: test.txt}, on: %s, train: 1}
"""
DEEP = """\
name: mine
images: {path: ['%s.png']}
features: {label: {column: dx, type: class, values: [nv, mel, z]}, n: {type: text}}
group: n
"""
# A row is both eyes, and each of them all files of a study; of two tables.
EYES = """\
name: mine
tables:
  - {path: a.csv}
  - {path: b.csv, join: {on: patient, cardinality: one_to_many}}
explode:
  column: eye
  into: {left: {study: Left, edema: LeftEdema}, right: {study: Right, edema: RightEdema}}
derive:
  stem: {from: study, pattern: '^[a-z0-9]+'}
  folder: {from: images.path, pattern: '^(\\w+)/'}
images: {path: ["{stem}/*.png", "more/{stem}*.png"], per_row: many}
features:
  eye: {type: class, values: [left, right]}
  edema: {type: uncertain, policy: ignore}
  dx: {type: class, columns: {NV: nv, MEL: mel}}
  age: {type: int, format: age, plus: keep}
  seen: {type: date, format: "%Y%m%d"}
  folder: {type: text}
group: patient
stratify: [edema, dx]
rejects: {rows_without_image: report}
"""
EYE_PATIENTS = "patient,age,NV,MEL\n" + "".join(
    f"p{n},{age},{nv},{mel}\n"
    for n, (age, nv, mel) in enumerate(
        [("060Y", 1, 0), ("018M", 0, 1), ("90+", 1, 0), ("x", 0, 1), ("7", 1, 1), ("7", "", 0)]
    )
)
EYE_VISITS = """\
patient,Left,LeftEdema,Right,RightEdema,seen
p0,a-1,1.0,b-1,,20190730
p0,c-1,-1,,0,
p1,d-1,0,d-1,0,20190731
p1,,,,,20190731
p2,e-1,2,f-1,-1.0,20190801
p2,.,1,g-1,1,2019081
p3,h-1,1,a-2,1,
p4,i-1,1,j-1,1,
p5,k-1,1,,1,
p9,a-3,1,b-3,1,
"""
# Several rows are an image: boxes, and votes of those who read it.
READERS = """\
name: mine
tables: [{path: data.csv}]
derive: {kind: {from: name, pattern: '^[a-z]', optional: true}}
images: {path: "img/{id}.png"}
features:
  cells: {type: boxes, columns: [x1, y1, x2, y2], label: kind, values: [m, a], degenerate: drop}
  any: {type: labels, column: name, values: [mass, air], across_rows: union}
  most: {type: labels, column: name, values: [mass, air], across_rows: majority%s}
  state: {type: uncertain, policy: class, across_rows: %s}
  scores: {type: float, across_rows: all%s}
  lung: {type: mask, runs: {column: runs, none: ["-1"]}}
  whole: {type: mask, path: "masks/{patient}.png"}
group: patient
"""
READ = "id,patient,who,name,state,scores,runs,x1,y1,x2,y2\n" + "".join(
    f"{n % 9},{'../p' if n % 9 == 8 else 'p' + str(n % 9 // 2)},{'abc'[n // 9 % 3]},"
    f"{['mass', {7: 'cyst', 5: ''}.get(n % 9, 'air'), 'mass'][n // 9 % 3]},"
    f"{[1, 1, 0, -1, ''][n // 9 % (5 if n % 9 == 4 else 3)]},"
    f"{['', 1, 2.5, 'x'][n // 9 % (4 if n % 9 == 6 else 3)]},"
    f"{['-1', '1 2', '', '9 9 1 1'][n % 4]},1,1,{[4, 4, 1][n % 3]},{n % 2 + 3}\n"
    for n in [*range(36), *range(7), 3, 3]
)
# Tables that stand in several files, of which not all rows are wanted.
PARTED = """\
name: mine
derive: {key: {from: age, pattern: '^.'}, number: {from: patient, pattern: 'p(.)'}}
tables:
  - {path: z.csv, or: [b/patients.csv, c.csv], aliases: {patient: [Patient]}, where: {kind: [x]}}
  - path: [train.csv, a/valid.csv, more.parquet]
    aliases: {id: [image]}
    optional: note
    where: {view: [PA, ""]}
    distinct: true
    file_column: set
    join: {on: patient, cardinality: one_to_many}
  - path: c.csv
    distinct: true
    where: {kind: [y]}
    join: {on: {number: key}, cardinality: many_to_one}
images: {path: "img/{id}.png"}
features:
  note: {type: text}
  age: {type: int}
  set: {type: text}
group: patient
rejects: {rows_without_image: report}
"""
TRAIN = "id,patient,note,view,box\n" + "".join(
    f"{n % 20},p{n % 20 // 3},note {n % 3 and 1},{('PA', '', 'LL')[n % 20 % 3]},{n}\n"
    for n in range(50)
)
VALID = "box,patient,image,view\n" + "".join(f"{n},p{n // 4},{n},PA\n" for n in range(20, 30))
SIDES = pa.table(
    {
        "id": [30.0, 30.0, None, 31.0],
        "patient": ["p1", "p1", "p2", "p9"],
        "view": ["PA", "PA", None, "PA"],
    }
)
LOOKED_UP = "name,kind,age\n" + "".join(f"p{n // 2},{'yyx'[n % 3]},{n // 2}\n" for n in range(20))


def parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


# Each case: the spec, and the files.
TEXTS = """\
name: mine
tables: [{path: "t/**/*.txt", texts: [file, text]}]
derive:
  id: {from: file, pattern: '(\\d+)\\.txt$'}
  age: {from: text, pattern: 'Age: (\\d+)', optional: true}
images: {path: "img/{id}.png"}
features: {age: {type: float}, text: {type: text}}
rejects: {accept: [image_missing]}
splits: {train: 1}
"""
CORPORA = {
    "tables in several files": (
        PARTED, {"b/patients.csv": "Patient,kind\n" + "".join(f"p{n},x\n" for n in range(9))
                 + "p9,w\n", "train.csv": TRAIN, "a/valid.csv": VALID,
                 "more.parquet": parquet(SIDES), "c.csv": LOOKED_UP,
                 **{f"img/{n}.png": n for n in range(32)}}),
    "rows of both eyes and of several files": (
        EYES, {"a.csv": EYE_PATIENTS, "b.csv": EYE_VISITS,
               **{f"{study}/{n}.png": n for n, study in enumerate("abcdefghik")},
               **{f"{study}/{n}x.png": n for n, study in enumerate("abdz")},
               "more/a.png": 9, "more/b1.png": 3, "more/z.png": 4}),
    "rows of several readers": (
        READERS % ("", "majority", ""), {
            "data.csv": READ, **{f"img/{n}.png": n for n in range(10)}}),
    "rows of several readers who are named": (
        READERS % (", reader: who", "all, reader: who", ", reader: who"), {
            "data.csv": READ, **{f"img/{n}.png": n for n in range(10)}}),
    "boxes that are dropped": (
        BOXES % "drop", {"data.csv": BOX_ROWS, "test.txt": "1\n9", "img/7-.png": 7,
                         **{f"img/{n}.png": n for n in (1, 2, 3, 4, 5, 6, 7)}}),
    "boxes that are rejected": (
        BOXES % "reject", {"data.csv": BOX_ROWS, "test.txt": "img/2.png\n2\n5.png",
                           **{f"img/{n}.png": n % 3 for n in (1, 2, 3, 4, 5, 6, 8, 9)}}),
    "texts": (
        TEXTS, {**{f"t/{n}.txt": f"Age: {n + 20}Y\nsome words" for n in range(9)},
                "t/x/10.txt": "none", **{f"img/{n}.png": n for n in (0, 1, 2, 3, 4, 5, 7, 10)}}),
    "lists": (
        OFFICIAL % ", validation: 1", {
            "data.csv": IDS, "x.txt": "./img/0/0.png\n1\n3.png\nimg/7", "y.txt": "4\n99\n5\r\n",
            **IMAGES}),
    "lists, and the rest is rejected": (
        OFFICIAL % "", {"data.csv": IDS, "x.txt": "0\n1\n3.png", "y.txt": "4", **IMAGES}),
    "lists of groups": (
        OFFICIAL % ", on: patient, validation: 1", {
            "data.csv": IDS, "x.txt": "p1\np7", "y.txt": "p2\n", **IMAGES}),
    "tables and templates": (
        MANY % ("reject", "group"), {
            "a.csv": PATIENTS, "b.csv": VISITS, "c.tsv.gz": SITES, **SEEN}),
    "tables and templates, rows without partner kept, copies rejected": (
        MANY % ("keep", "reject"), {
            "a.csv": PATIENTS, "b.csv": VISITS, "c.tsv.gz": SITES, **SEEN}),
    "no tables": (
        FOLDERS % ("n", "images.path"), {
            "test.txt": "p1-1\ndata/nv/p2-1.png\nx", "data/nv/p1-1.png": 1, "data/nv/p2-1.png": 1,
            "data/nv/p2-x.png": 2, "data/mel/p3-2.png": b"", "data/mel/p4-3.png": 1,
            "data/o/p5-1.png": 3, "data/mel-/p6-1.png": 4, "data/mel/p7.png": 4, "data/p8.png": 5,
            "data/mel/a/p9.png": 4}),
    "no tables, files that fit no template": (
        DEEP % "{dx}/{n}", {"nv/1.png": 1, "nv/1/2.png": 2, "mel/3.png": 3, "mel/a/b/4.png": 4,
                            "mel/5.png": b"", "o/6.png": 6, "o/7/8.png": b"", "z/9.png": 9}),
    "no tables, files that two templates name": (
        DEEP % "{dx}/{n}.png', './{dx}//{n}.png', '{dx}/**/{n}", {
            "nv/1.png": 1, "nv/1/2.png": 2, "mel/3.png": 3, "mel/a/b/4.png": 4}),
    "no tables, names that are not UTF-8": (
        FOLDERS % ("patient", "patient"), {
            "test.txt": "p1\np2", "data/nv/p1-1.png": 1, "data/nv/p2-1.png": 1,
            "data/nv/\udce9-1.png": 2, "data/\udce9/p9-1.png": 3, "data/mel/p3-2.png": 7}),
    "nothing is left": (
        OFFICIAL % "", {"data.csv": IDS, "x.txt": "", "y.txt": "4", "img/9.png": 1}),
}  # fmt: skip


@pytest.mark.parametrize("name", CORPORA)
def test_corpora_are_read_as_in_memory(name, tmp_path):
    spec, files = CORPORA[name]
    check_equal(write(tmp_path / "corpus", spec, files), tmp_path / "parts", MANY_PARTS)


@pytest.mark.parametrize("name", ["tables and templates", "no tables"])
def test_one_part_gives_what_many_give(name, tmp_path):
    spec, files = CORPORA[name]
    check_equal(write(tmp_path / "corpus", spec, files), tmp_path / "parts", ONE_PART)


TWO = """\
name: mine
tables:
  - {path: a.csv}
  - {path: b.csv, join: {on: id, cardinality: %s}}
  - {path: c.csv, join: {on: %s, cardinality: many_to_one}}
images: {path: "img/{id}.png"}
features: {note: {type: text}, %s: {type: text}}
splits: {files: {train: x.txt, test: y.txt}}
"""
GOOD = {"a.csv": "id,x\n" + "".join(f"{n},{n % 3}\n" for n in range(40)),
        "b.csv": "id,note\n" + "".join(f"{n},{n}\n" for n in range(40)),
        "c.csv": "x,more\n0,a\n1,b\n2,c\n", "x.txt": "1", "y.txt": "2", "img/1.png": 1}  # fmt: skip
FINE = TWO % ("one_to_one", "x", "more")
# Each case: the spec, and the files that are not those of `GOOD`.
REFUSED = {
    "tables": (
        FINE, {"a.csv": GOOD["a.csv"] + '1,"x\n',
               "b.csv": GOOD["b.csv"] + "1\n\0,1\n1,2,3\n2\n",
               "c.csv": b"x,more\n" * 20 + b"\xe9,1"}),
    "tables and headers": (
        FINE, {"a.csv": GOOD["a.csv"] + "1\n", "b.csv": "id,id\n", "c.csv": "x,more\n",
               "y.txt": "1"}),
    "tables before columns and lists": (
        TWO % ("one_to_one", "x", "mor"), {"b.csv": GOOD["b.csv"] + "1\n", "y.txt": "1"}),
    "columns": (TWO % ("one_to_one", "y", "mor"), {"y.txt": "1"}),
    "joins before lists": (
        FINE, {"a.csv": GOOD["a.csv"] + "".join(f"{n},{n % 3}\n" for n in range(10, 30, 2)),
               "b.csv": GOOD["b.csv"] + "7,0\n8,1\n", "c.csv": "x,more\n1,\n1,\n", "y.txt": "1"}),
    "second join": (FINE, {"c.csv": "x,more\n" + "0,a\n1,b\n2,c\n" * 4}),
    "lists": (FINE, {"y.txt": "1"}),
    "folders": (FINE.replace("img/", "image/"), {}),
    "lines that fit several images": (
        FINE.replace("img/{id}", "img/{id}/{x}"),
        {"x.txt": "0\n1\n7", "y.txt": "0.png", **{f"img/{n}/{n % 3}.png": n for n in range(9)}}),
    "images of two lists": (
        FINE, {"x.txt": "1\n2\n3", "y.txt": "img/1.png\n2.png", "img/2.png": 1, "img/3.png": 1}),
    "paths do not tell": (
        FOLDERS % ("q", "patient"), {"test.txt": "", "data/nv/p1-1.png": 1, "data/nv/x.png": 2}),
    "only files that lie deeper": (
        DEEP % "{dx}/{n}", {f"nv/{n}/{n}.png": n for n in range(9)}),
    "only files that lie deeper, rejected, and others at fault": (
        (DEEP % "{dx}/{n}.png', '{dx}/{n}.h5/{k}") + "rejects: {images_without_row: reject}\n", {
            "nv/a.h5": "x", "nv/b.h5": "x", "nv/\udce9.png": 1, "nv/1/2.png": 3}),
    "texts of another encoding": (TEXTS, {"t/1.txt": "x", "t/2.txt": b"\xe9", "img/1.png": 1}),
    "no text": (TEXTS, {"t/1.csv": "x", "img/1.png": 1}),
    "files of tables that are at fault": (
        PARTED, {"train.csv": TRAIN + "1\n", "a/valid.csv": VALID, "more.parquet": "x",
                 "c.csv": "name,kind,age\n"}),
    "files of tables that lack columns": (
        PARTED, {"train.csv": TRAIN, "a/valid.csv": VALID.replace("view", "views"),
                 "more.parquet": parquet(SIDES.drop_columns("patient")),
                 "c.csv": "patient,Kind\np1,x\n"}),
    "slices only": (DEEP % "{dx[:1]}/{n}", {"nv/1.png": 1, "mel/2.png": 2, "mel/a/2.png": 3}),
    "no image": (FOLDERS % ("n", "patient"), {"test.txt": "", "data/nv/p1-1.txt": 1}),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_are_told_in_the_same_words(name, tmp_path):
    spec, files = REFUSED[name]
    files = {**(GOOD if "tables:" in spec else {}), **files}
    loaded = write(tmp_path / "corpus", spec, files)
    with pytest.raises(CorpusError) as expected:
        in_memory(loaded, set())
    with pytest.raises(CorpusError) as found:
        by_beam(loaded, set(), tmp_path / "parts", MANY_PARTS)
    assert type(found.value) is type(expected.value)
    assert found.value.problems == expected.value.problems
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("setting", [ONE_PART, MANY_PARTS], ids=["whole", "in ranges"])
def test_columns_that_the_spec_does_not_name_do_not_leave_the_worker_that_reads(
    setting, tmp_path, monkeypatch
):
    passed = []
    for buffer in (execution.ListBuffer, execution.GroupingBuffer):

        def append(self, element, append=buffer.append):
            passed.append(element)
            append(self, element)

        monkeypatch.setattr(buffer, "append", append)
    table = "id,patient,name\n" + "".join(f"{n},patient{n // 3},Jane{n}\n" for n in range(12))
    files = {"data.csv": table, "x.txt": "", "y.txt": "", **IMAGES}
    loaded = write(tmp_path / "corpus", OFFICIAL % ", validation: 1", files)
    check_equal(loaded, tmp_path / "parts", setting)
    assert b"patient3" in b"".join(passed)
    assert b"Jane" not in b"".join(passed)


def test_images_of_one_size_are_compared_in_many_parts(tmp_path, monkeypatch):
    compared = []

    def compare(root, records, *others, show_progress):
        compared.append(len(records))
        return compare_samples(root, records, *others, show_progress=show_progress)

    compare_samples = beam_join.compare_samples
    monkeypatch.setattr(beam_join, "compare_samples", compare)
    files = {f"img/{n}.png": f"GIF89a{n % 30:02}" for n in range(40)}
    files |= {"data.csv": "id,patient\n" + "".join(f"{n},{n}\n" for n in range(40))}
    loaded = write(
        tmp_path / "corpus", OFFICIAL % ", validation: 1", {**files, "x.txt": "1", "y.txt": "2"}
    )
    expected = check_equal(loaded, tmp_path / "parts", MANY_PARTS)
    assert (expected.records["copy"] != "").sum() == 20
    assert sum(compared) == 40
    assert max(compared) < 20


def failing(function, number):
    """As a function of the file system that fails for all that is named for patients."""

    def fail(path, *others, **options):
        if "patient" in str(path):
            raise OSError(number, os.strerror(number), path)
        return function(path, *others, **options)

    return fail


# Each case: the function that fails, by what, and what is said.
UNREAD = {
    "a folder": ("scandir", errno.EACCES,
                 "a folder of images cannot be listed (PermissionError: Permission denied)"),
    "files to be compared": (
        "open", errno.EIO, "2 image files cannot be read now, so that it is not known what is"
        " a copy (OSError: Input/output error)"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREAD)
def test_storage_that_fails_ends_the_build_without_names(name, tmp_path, monkeypatch):
    function, number, words = UNREAD[name]
    spec = FOLDERS % ("patient", "patient")
    files = {"test.txt": "", "data/nv/patient/p1-1.png": 1, "data/nv/patient/p2-1.png": 1}
    loaded = write(tmp_path / "corpus", spec.replace("data/{dx}/", "data/{dx}/*/"), files)
    monkeypatch.setattr(os, function, failing(getattr(os, function), number))
    with pytest.raises(BuildError) as found:
        in_memory(loaded, set())
    assert str(found.value) == words
    with pytest.raises(BuildError) as found:
        by_beam(loaded, set(), tmp_path / "parts", ONE_PART)
    told = "".join(traceback.format_exception(found.value))
    assert words in told
    assert "/patient" not in told
    assert "p1-1" not in told


def test_sizes_in_pixels_that_cannot_be_read_now_are_no_rejects(tmp_path, monkeypatch):
    files = {"patient.png": 1, "cut.png": b"\x89PNG\r\n\x1a\n", "other.png": b"no image"}
    write(tmp_path, FINE, files)
    paths = [*files, "gone.png"]
    declared = Images(path="*")
    sizes = read_pixel_sizes(str(tmp_path), paths, declared)
    assert sizes.tolist() == [[10, 10], *[[0, 0]] * 3]
    monkeypatch.setattr("os.open", failing(os.open, errno.EIO))
    with pytest.raises(BuildError) as found:
        read_pixel_sizes(str(tmp_path), paths, declared)
    assert str(found.value) == (
        "1 image file cannot be read now, so that sizes in pixels are not known"
        " (OSError: Input/output error)"
    )


def test_a_folder_that_no_worker_made_is_empty(tmp_path):
    assert Workers(folder=str(tmp_path)).written("ranges") == {}


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["bccd", "hannover_covid", "nih_chestxray14"])
def test_real_corpora_are_read_as_in_memory(name, realdata, tmp_path):
    text = (SPECS / f"{name}.yaml").read_text(encoding="utf-8")
    text = text.replace("files: {test: test_list.txt}", "method: line")  # the list is not there
    (tmp_path / "corpus.yaml").write_text(text, encoding="utf-8")
    loaded = load_spec(tmp_path / "corpus.yaml", root=realdata / name.partition("_")[0])
    check_equal(loaded, tmp_path / "parts", LARGE_PARTS)
