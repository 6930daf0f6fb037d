"""Paths that lead out of the corpus, or to what is no file; and names of all kinds."""

import csv
import errno
import os
import pathlib
import socket
import unicodedata
import zipfile

import pandas as pd
import pytest
from conftest import build
from hypothesis import given
from hypothesis import strategies as st
from strategies import MANY
from test_beam_reading import MANY_PARTS, ONE_PART, by_beam, check_equal, write

import medical_images as mi
from medical_images import opening
from medical_images.copies import find_copies
from medical_images.corpus import plan_corpus
from medical_images.errors import ImageError, SpecError
from medical_images.header_facts import read_pixel_sizes
from medical_images.images import list_images
from medical_images.members import read
from medical_images.name_clashes import check_names, clashing_rows, folded
from medical_images.opening import open_below
from medical_images.spec_images import Images

ANY = Images(path="**/{id}.png")
SPEC = """\
name: mine
tables: [{path: data.csv}]
images: {path: "img/{id}.png", channels: 1%s}
features: {id: {type: text}}
"""
NFC = "\u00e9"
NFD = unicodedata.normalize("NFD", NFC)


@pytest.fixture
def corpus(tmp_path) -> pathlib.Path:
    """A corpus of one file, beside a file that is not in it."""
    (tmp_path / "outside.png").write_bytes(b"outside")
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "1.png").write_bytes(b"outside")
    (tmp_path / "corpus" / "img").mkdir(parents=True)
    (tmp_path / "corpus" / "img" / "in.png").write_bytes(b"inside")
    return tmp_path / "corpus"


def listen(path: pathlib.Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


# Each case: what makes a file of it, and why it is not opened.
MADE = {
    "a file": (lambda p: p.write_bytes(b"inside"), ""),
    "a link in the root": (lambda p: p.symlink_to("in.png"), ""),
    "a link to a link": (
        lambda p: [p.with_suffix(".x").symlink_to("in.png"), p.symlink_to("p.x")], "",
    ),
    "an absolute link in the root": (lambda p: p.symlink_to(p.parent / "in.png"), ""),
    "a link out": (lambda p: p.symlink_to("../../outside.png"), "path_escape"),
    "an absolute link out": (lambda p: p.symlink_to("/etc/passwd"), "path_escape"),
    "a link to a device": (lambda p: p.symlink_to("/dev/zero"), "path_escape"),
    "a link to a link out": (
        lambda p: [p.with_suffix(".x").symlink_to("../../outside.png"), p.symlink_to("p.x")],
        "path_escape",
    ),
    "a pipe": (os.mkfifo, "not_regular"),
    "a link to a pipe": (
        lambda p: [os.mkfifo(p.with_suffix(".x")), p.symlink_to("p.x")], "not_regular",
    ),
    "a socket": (listen, "not_regular"),
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_only_regular_files_in_the_root_are_opened(corpus, name):
    make, code = MADE[name]
    make(corpus / "img" / "p.png")
    listed = list_images(str(corpus), ANY).set_index("path")["fault"]
    assert listed["img/p.png"] == code
    if code:
        with pytest.raises(ImageError) as error:
            read(str(corpus), "img/p.png", ANY)
        assert error.value.code == code
    else:
        assert read(str(corpus), "img/p.png", ANY) == b"inside"


@pytest.mark.parametrize("path", ["../outside.png", "/etc/passwd", "img/../../outside.png"])
def test_paths_that_leave_the_root_are_not_read(corpus, path):
    with pytest.raises(ImageError, match="path_escape"):
        read(str(corpus), path, ANY)


def test_what_changed_since_it_was_listed_is_not_followed_out(corpus, monkeypatch):
    (corpus / "img" / "1.png").write_bytes(b"inside!")
    (corpus / "img" / "2.png").write_bytes(b"inside!")
    records = list_images(str(corpus), ANY)
    (corpus / "img" / "1.png").unlink()
    (corpus / "img" / "1.png").symlink_to(corpus.parent / "outside.png")
    (corpus / "img" / "in.png").unlink()
    os.mkfifo(corpus / "img" / "in.png")  # whose reader would wait for ever
    for without_proc in (False, True):
        if without_proc:
            monkeypatch.setattr(os, "readlink", _no_readlink)
        for path, code in [("img/1.png", "path_escape"), ("img/in.png", "not_regular")]:
            with pytest.raises(ImageError, match=code):
                os.close(open_below(str(corpus), path))
        assert find_copies(str(corpus), records, ANY).tolist() == ["", "", ""]
        assert not read_pixel_sizes(str(corpus), records["path"].tolist(), ANY).any()
        os.rename(corpus / "img", corpus / "old")
        (corpus / "img").symlink_to(corpus.parent / "away")
        with pytest.raises(ImageError, match="path_escape"):
            os.close(open_below(str(corpus), "img/1.png"))
        (corpus / "img").unlink()
        os.rename(corpus / "old", corpus / "img")


def _no_readlink(path, **options):
    if str(path).startswith("/proc"):
        raise OSError(errno.ENOENT, "no /proc here")
    return READLINK(path, **options)


READLINK = os.readlink


def test_a_root_that_is_a_link_may_be_changed(corpus, tmp_path):
    root = tmp_path / "latest"
    for number in range(3):
        (tmp_path / f"v{number}").mkdir()
        (tmp_path / f"v{number}" / "1.png").write_bytes(b"%d" % number)
        root.unlink(missing_ok=True)
        root.symlink_to(tmp_path / f"v{number}")
        assert read(str(root), "1.png", ANY) == b"%d" % number


def test_a_descriptor_is_closed_when_the_file_is_refused(corpus):
    os.mkfifo(corpus / "img" / "p.png")
    before = len(os.listdir("/proc/self/fd"))
    for path in ("img/p.png", "../outside.png", "img"):
        with pytest.raises(ImageError):
            open_below(str(corpus), path)
    assert len(os.listdir("/proc/self/fd")) == before
    assert opening.leaves_root(corpus / ".." / "outside.png", corpus)


@pytest.mark.parametrize("setting", [ONE_PART, MANY_PARTS])
def test_rows_that_name_no_regular_file_say_why(tmp_path, setting):
    rows = "id\nfine\npipe\nlink\n../up\nfolder/1\ngone\n"
    files = {"data.csv": rows, "img/fine.png": 1, "img/text.txt": ""}
    loaded = write(tmp_path / "corpus", SPEC % "", files)
    folder = tmp_path / "corpus" / "img"
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "1.png").write_bytes(b"outside")
    os.mkfifo(folder / "pipe.png")
    (folder / "link.png").symlink_to(tmp_path / "away" / "1.png")
    (folder / "folder").symlink_to(tmp_path / "away")
    joined = check_equal(loaded, tmp_path / "parts", setting)
    entries = joined.log.entries
    told = sorted(zip(entries["line"], entries["code"], strict=True))
    assert joined.records["path"].tolist() == ["img/fine.png"]
    assert told == [
        (3, "not_regular"),
        (4, "path_escape"),
        (5, "path_escape"),
        (6, "image_missing"),
        (7, "image_missing"),
    ]


@pytest.mark.parametrize("path", ["img/*/{id}.png", "img/**/{id}.png"])
def test_a_link_to_a_folder_outside_is_rejected_where_a_template_enters_it(tmp_path, path):
    spec = SPEC.replace("img/{id}.png", path)
    loaded = write(tmp_path / "corpus", spec % "", {"data.csv": "id\n1\n", "img/a/2.png": 1})
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "1.png").write_bytes(b"outside")
    (tmp_path / "corpus" / "img" / "b").symlink_to(tmp_path / "away")
    (tmp_path / "corpus" / "img" / "notes").symlink_to("/etc/passwd")  # no template names it
    os.mkfifo(tmp_path / "corpus" / "img" / "c")
    entries = check_equal(loaded, tmp_path / "parts", MANY_PARTS).log.entries
    assert set(zip(entries["code"], entries["path"], strict=True)) == {
        ("image_missing", ""),
        ("image_unreferenced", "img/a/2.png"),
        ("path_escape", "img/b/"),
    }


# Each case: the names of two files.
CLASHES = {
    "case": ("A", "a"),
    "case of other letters": ("\u00c9", "\u00e9"),
    "forms of Unicode": (NFC, NFD),
    "both": ("\u00c9", unicodedata.normalize("NFD", "\u00e9")),
    "sharp s": ("stra\u00dfe", "STRASSE"),
}


@pytest.mark.parametrize("with_table", [True, False])
@pytest.mark.parametrize("name", CLASHES)
def test_names_that_clash_are_refused(tmp_path, name, with_table):
    one, other = CLASHES[name]
    files = {f"img/{one}.png": 1, f"img/{other}.png": 2, "img/3.png": 3}
    spec = SPEC % ""
    if with_table:
        files["data.csv"] = f"id\n3\n{one}\n{other}\n"
    else:
        spec = spec.replace("tables: [{path: data.csv}]\n", "")
    loaded = write(tmp_path / "corpus", spec, files)
    where = r"lines 3, 4 of data\.csv" if with_table else r"lines \d, \d of images"
    with pytest.raises(SpecError, match=rf"{where}: name_clash: the images of 2 rows") as found:
        plan_corpus(loaded)
    assert one not in str(found.value)
    with pytest.raises(SpecError) as by_workers:
        by_beam(loaded, {"data.csv", "corpus.yaml"}, tmp_path / "parts", MANY_PARTS)
    assert str(by_workers.value) == str(found.value)
    files.pop(f"img/{other}.png")
    (tmp_path / "corpus" / "img" / f"{other}.png").unlink()
    if with_table:
        write(tmp_path / "corpus", spec, {"data.csv": f"id\n3\n{one}\n"})
        check_equal(loaded, tmp_path / "more", MANY_PARTS)


@MANY
@given(st.text(min_size=1), st.text(min_size=1))
def test_names_clash_if_their_folded_forms_are_one(one, other):
    records = pd.DataFrame({"path": [one, other], "table": "t", "line": [1, 2]})
    expected = [("t", 1), ("t", 2)] if folded(one) == folded(other) else []
    assert clashing_rows(records) == expected
    for form in ("NFC", "NFD"):
        assert folded(unicodedata.normalize(form, one)) == folded(one)
    assert folded(one.upper().lower()) == folded(one.upper())


def test_many_clashes_are_counted_and_few_are_shown():
    check_names([])
    with pytest.raises(SpecError) as error:
        check_names([("a.csv", line) for line in range(2, 1002)] + [("b.csv", 7)] * 2)
    assert "lines 2, 3, 4, 5, 6 and 995 more of a.csv: name_clash: the images of 1,000" in str(
        error.value
    )
    assert "line 7 of b.csv: name_clash: the images of 1 row" in str(error.value)


NAMES = [
    "a b", "[1]", "{x}", "50%", "a#b", "it's", 'say "a"', "two\nlines", "a\ttab", "*", "?", "é",
    "日本", "-rf", "$HOME", "a;b", "~", "b\u00a0c",
]  # fmt: skip


@pytest.mark.parametrize("container", ["", "a.zip/"])
def test_odd_names_work_from_the_table_to_the_dataset(tmp_path, container):
    folder = tmp_path / "corpus"
    spec = SPEC.replace("img/{id}.png", f"{container or 'img/'}{{id}}.png") % ""
    files = {f"img/{name}.png": number for number, name in enumerate(NAMES)}
    write(folder, spec + "splits: {train: 1}\n", files)
    if container:
        with zipfile.ZipFile(folder / "a.zip", "w") as file:
            for name in NAMES:
                file.write(folder / "img" / f"{name}.png", f"{name}.png")
    with open(folder / "data.csv", "w", newline="", encoding="utf-8") as table:
        csv.writer(table).writerows([["id"], *([name] for name in NAMES)])
    builder = build(folder / "corpus.yaml", tmp_path / "data", workers=1)
    assert sorted(mi.index(builder)["id"]) == sorted(NAMES)


def test_names_that_are_not_utf8_are_shown_escaped(tmp_path):
    loaded = write(tmp_path / "corpus", SPEC % "", {"data.csv": "id\n1\n", "img/1.png": 1})
    (tmp_path / "corpus" / "img" / os.fsdecode(b"\xff.png")).write_bytes(b"2")
    entries = check_equal(loaded, tmp_path / "parts", MANY_PARTS).log.entries
    assert entries["code"].tolist() == ["bad_name"]


# Each case: a pattern of paths that are no images, and those that are left.
EXCLUDED = {
    "*_mask.png": ["a/1.png", "a/B/2.PNG", "c.png"],
    "a/*": ["c.png", "c_mask.png"],
    "*.PNG": ["a/1.png", "a/1_mask.png", "c.png", "c_mask.png"],
    "?.png": ["a/1.png", "a/1_mask.png", "a/B/2.PNG", "c_mask.png"],
    "*[1-2]*": ["c.png", "c_mask.png"],
    "c": ["a/1.png", "a/1_mask.png", "a/B/2.PNG", "c.png", "c_mask.png"],
}


@pytest.mark.parametrize("pattern", EXCLUDED)
def test_excluded_paths_are_no_images(tmp_path, pattern):
    names = ["a/1.png", "a/1_mask.png", "a/B/2.PNG", "c.png", "c_mask.png"]
    spec = 'name: mine\nimages: {path: "**/{id}.*", exclude: "%s"}\nfeatures: {id: {type: text}}\n'
    loaded = write(tmp_path / "corpus", spec % pattern, dict.fromkeys(names, 1))
    assert list_images(loaded.root, loaded.spec.images)["path"].tolist() == EXCLUDED[pattern]
    joined = check_equal(loaded, tmp_path / "parts", ONE_PART)
    assert joined.records["path"].tolist() == EXCLUDED[pattern]
