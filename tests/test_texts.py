"""A folder of texts is a table: one row a text."""

import pathlib
import textwrap

import pytest
from conftest import build
from PIL import Image

import medical_images as mi
from medical_images.corpus import inputs_now
from medical_images.input_files import check_input_paths
from medical_images.manifest import differences
from medical_images.tables import read_rows

SPEC = """\
name: mine
tables:
  - path: "{path}"
    texts: [file, report]
    {keys}
derive:
  id: {{from: file, pattern: '(\\w+)\\.txt$'}}
  age: {{from: report, pattern: '(\\d+) ?y', optional: true}}
images: {{path: "img/{{id}}.png"}}
features:
  id: {{type: id}}
  age: {{type: float, unit: years}}
  report: {{type: text}}
splits: {{train: 1}}
"""
TEXTS = {"b": "femal, 45yrs\r\n\r\nPTB, \u201cleft\u201d\r\n", "a": "  male 7 y\n", "c": ""}


def write(root: pathlib.Path, *, path="t/*.txt", keys="", texts=TEXTS, encoding="utf-8"):
    for name, text in texts.items():
        file = root / "t" / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode(encoding))
        (root / "img").mkdir(exist_ok=True)
        Image.new("L", (4, len(name) + 4)).save(root / "img" / f"{pathlib.Path(name).name}.png")
    (root / "corpus.yaml").write_text(SPEC.format(path=path, keys=keys), encoding="utf-8")
    return root / "corpus.yaml"


def rows_of(spec: pathlib.Path):
    loaded = mi.load_spec(spec)
    return read_rows(loaded.spec, root=loaded.root, source=loaded.source)


def test_each_text_is_a_row_in_the_order_of_names(tmp_path):
    frame = rows_of(write(tmp_path)).frame
    assert frame["file"].tolist() == ["t/a.txt", "t/b.txt", "t/c.txt"]
    assert frame["report"].tolist() == ["male 7 y", "femal, 45yrs\n\nPTB, \u201cleft\u201d", ""]
    builder = build(tmp_path / "corpus.yaml", tmp_path / "data")
    index = mi.index(builder).set_index("id")
    assert index["age"].to_dict() == pytest.approx(
        {"a": 7, "b": 45, "c": float("nan")}, nan_ok=True
    )


@pytest.mark.parametrize(
    ("path", "found"),
    [("t/*.txt", "abc"), ("**/*.txt", "abcd"), ("**/d*.txt", "d"), ("t/**/*/*.txt", "d"),
     ("*/*.txt", "abc"), ("t/[ab]*.txt", "")],
)  # fmt: skip
def test_patterns(tmp_path, path, found):
    spec = write(tmp_path, path=path, texts={**TEXTS, "e/f/d": "x", ".e/h": "y", "e/.i": "z"})
    if found:
        files = rows_of(spec).frame["file"].map(lambda file: pathlib.Path(file).stem)
        assert "".join(sorted(files)) == found
    else:
        with pytest.raises(mi.TableError, match=r"there is no file that fits"):
            rows_of(spec)


def test_another_encoding_is_told_or_read(tmp_path):
    spec = write(tmp_path, texts={"a": "x", "m\u00fcller": "j\u00f6rg"}, encoding="cp1252")
    with pytest.raises(mi.TableError, match=r"file 2 of those that fit is not utf-8.*cp1252") as it:
        rows_of(spec)
    assert "m\u00fcller" not in str(it.value)
    spec = write(tmp_path, keys="dialect: {encoding: cp1252}", texts={})
    assert rows_of(spec).frame["report"].tolist() == ["x", "j\u00f6rg"]


def test_links_out_of_the_root_and_what_is_no_file_are_refused(tmp_path):
    spec = write(tmp_path / "corpus")
    (tmp_path / "secret.txt").write_text("Jane Doe")
    (tmp_path / "corpus" / "t" / "d.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(
        mi.TableError, match=r"file 4 of those that fit cannot be read: path_escape"
    ):
        rows_of(spec)


@pytest.mark.parametrize("change", ["text", "name", "less", "more"])
def test_a_changed_text_is_a_changed_table(tmp_path, change):
    spec = write(tmp_path)
    before = inputs_now(mi.load_spec(spec))
    assert differences(before, inputs_now(mi.load_spec(spec))) == []
    text = tmp_path / "t" / "a.txt"
    match change:
        case "text":
            text.write_text("male 8 y")
        case "name":
            text.rename(tmp_path / "t" / "aa.txt")
        case "less":
            text.unlink()
        case "more":
            (tmp_path / "t" / "z.txt").write_text("")
    assert differences(before, inputs_now(mi.load_spec(spec))) == [
        "the table or list 't/*.txt' has changed"
    ]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('{path: "t/*.csv"}', "`*` in `path:` is for folders of texts"),
        ("{path: a.txt, texts: [a, b]}", "one path with `*`"),
        ('{path: "*.txt", texts: [a]}', "names two columns"),
        ('{path: "*.txt", texts: [a, a]}', "names two columns"),
        ('{path: ["*.txt", b.txt], texts: [a, b]}', "one path with `*`"),
        ('{path: "*.txt", texts: [a, b], rename: {a: c}}', "goes with"),
        ('{path: "*.txt", texts: [a, b], dialect: {separator: ";"}}', "goes with"),
        ('{path: "../*.txt", texts: [a, b]}', "leads out of the corpus root"),
    ],
)
def test_what_does_not_go_together_is_told(tmp_path, table, told):
    text = f"""\
        name: mine
        tables: [{table}]
        images: {{path: "img/{{a}}.png"}}
        features: {{a: {{type: id}}}}
        splits: {{train: 1}}
        """
    (tmp_path / "corpus.yaml").write_text(textwrap.dedent(text))
    with pytest.raises(mi.SpecError) as caught:
        check_input_paths(mi.load_spec(tmp_path))
    assert told in str(caught.value)
