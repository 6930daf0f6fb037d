"""Path templates: how rows name files, and how files tell columns."""

import unicodedata

import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import MANY

from medical_images.template import IMAGE_EXTENSIONS, PathTemplate

NFC, NFD = "é", "e\u0301"


def _row_key(template: PathTemplate, row: dict[str, str]) -> str:
    return template.row_keys(pd.DataFrame([row], dtype="str")).item()


def _belong(text: str, row: dict[str, str], path: str) -> bool:
    template = PathTemplate(text)
    key = _row_key(template, row)
    return key != "" and key in template.file_keys(path)


# Each case: a template, a row, a file, and whether they belong together.
MATCHES = {
    "plain": ("png/{id}.png", {"id": "7"}, "png/7.png", True),
    "another folder": ("png/{id}.png", {"id": "7"}, "7.png", False),
    "zeros count": ("{id}.png", {"id": "007"}, "7.png", False),
    "case counts": ("{id}.png", {"id": "a"}, "A.png", False),
    "case of a written extension counts": ("{id}.png", {"id": "a"}, "a.PNG", False),
    "longer name": ("{id}.png", {"id": "7"}, "17.png", False),
    "name with something after it": ("{id}.png", {"id": "7"}, "7.png.bak", False),
    "dots are dots": ("{id}.png", {"id": "7"}, "7xpng", False),
    "brackets are themselves": ("a+(b)/{id}.png", {"id": "[7]"}, "a+(b)/[7].png", True),
    "value with folders": ("{id}.png", {"id": "a/b/7"}, "a/b/7.png", True),
    "value with spaces": ("{id}.png", {"id": "left eye 7"}, "left eye 7.png", True),
    "value that is the whole path": ("{id}", {"id": "a/b.png"}, "a/b.png", True),
    "column name with spaces": ("{Image Index}", {"Image Index": "a.png"}, "a.png", True),
    "two columns": ("{p}/{i}.png", {"p": "x", "i": "y"}, "x/y.png", True),
    "two columns swapped": ("{p}/{i}.png", {"p": "x", "i": "y"}, "y/x.png", False),
    "the same column twice": ("{p}/{p}_1.png", {"p": "x"}, "x/x_1.png", True),
    "one of two columns blank": ("{p}/{i}.png", {"p": "", "i": "y"}, "/y.png", False),
    "first letters": ("{p[:2]}/{p}.png", {"p": "abc"}, "ab/abc.png", True),
    "first letters of another": ("{p[:2]}/{p}.png", {"p": "abc"}, "xx/abc.png", False),
    "last letters": ("{p[-2:]}/{p}.png", {"p": "abc"}, "bc/abc.png", True),
    "middle letters": ("{p[1:3]}.png", {"p": "abcd"}, "bc.png", True),
    "all but the last letter": ("{p[:-1]}.png", {"p": "abc"}, "ab.png", True),
    "any folder": ("part_*/{id}.png", {"id": "7"}, "part_2/7.png", True),
    "any folder, but only one": ("part_*/{id}.png", {"id": "7"}, "part_2/x/7.png", False),
    "any empty text": ("part*/{id}.png", {"id": "7"}, "part/7.png", True),
    "any text after the column": ("{id}_*.png", {"id": "7"}, "7_L.png", True),
    "any text with the separator in it": ("{id}_*.png", {"id": "7"}, "7_L_CC.png", True),
    "any text right after the column": ("{id}*.png", {"id": "77"}, "77_L.png", True),
    "any text before the column": ("*_{id}.png", {"id": "7_1"}, "x_7_1.png", True),
    "any text right before the column": ("*{id}.png", {"id": "77"}, "x77.png", True),
    "any folders": ("**/{id}.png", {"id": "7"}, "a/b/7.png", True),
    "any folders, even none": ("**/{id}.png", {"id": "7"}, "7.png", True),
    "any folders before a value with folders": ("**/{id}.png", {"id": "b/7"}, "a/b/7.png", True),
    "any folders take whole names": ("**/{id}.png", {"id": "7"}, "a/b7.png", False),
    "any extension": ("{id}.*", {"id": "7"}, "7.jpg", True),
    "any extension in any case": ("{id}.*", {"id": "7"}, "7.JpEg", True),
    "any extension of images only": ("{id}.*", {"id": "7"}, "7.txt", False),
    "any extension after dots": ("{id}.*", {"id": "7.1"}, "7.1.png", True),
    "any extension keeps the case of the name": ("{id}.*", {"id": "a"}, "A.png", False),
    "composed value, decomposed file": ("{id}.png", {"id": NFC}, f"{NFD}.png", True),
    "decomposed file with a wildcard": ("*/{id}.*", {"id": NFC}, f"{NFD}/{NFD}.PNG", True),
    "decomposed template": (f"{NFD}/{{id}}.png", {"id": "7"}, f"{NFC}/7.png", True),
    "star in a value is a star": ("*/{id}.png", {"id": "*"}, "a/b.png", False),
}  # fmt: skip


@pytest.mark.parametrize("name", MATCHES)
def test_row_and_file_belong_together(name):
    text, row, path, expected = MATCHES[name]
    assert _belong(text, row, path) == expected


@pytest.mark.parametrize("extension", IMAGE_EXTENSIONS)
def test_final_star_means_every_image_extension(extension):
    assert _belong("{id}.*", {"id": "7"}, f"7{extension}")
    assert _belong("{id}.*", {"id": "7"}, f"7{extension.upper()}")


def test_rows_with_a_blank_column_name_no_file():
    rows = pd.DataFrame({"p": ["x", "", "x"], "i": ["1", "1", ""]}, dtype="str")
    assert PathTemplate("{p}/{i}.png").row_keys(rows).tolist() == ["x/1.png", "", ""]


def test_row_keys_keep_the_index_of_the_rows():
    rows = pd.DataFrame({"i": ["a", "b"]}, index=[7, 3], dtype="str")
    assert PathTemplate("{i}.png").row_keys(rows).to_dict() == {7: "a.png", 3: "b.png"}


_TEXT = st.text(alphabet="ab1._- é", min_size=1, max_size=4).filter(lambda text: text.strip("."))
_PIECES = st.lists(
    st.one_of(
        st.sampled_from(["/", "_", "img", "é/"]).map(lambda text: ("literal", text)),
        st.sampled_from(["{p}", "{q}", "{p[:1]}", "{q[-2:]}"]).map(lambda text: ("column", text)),
    ),
    min_size=1,
    max_size=5,
)


def _render(pieces: list[tuple[str, str]], row: dict[str, str]) -> str:
    slices = {
        "{p}": row["p"],
        "{q}": row["q"],
        "{p[:1]}": row["p"][:1],
        "{q[-2:]}": row["q"][-2:],
    }
    path = "".join(slices.get(text, text) for _, text in pieces)
    return unicodedata.normalize("NFC", path)


@MANY
@given(
    pieces=_PIECES,
    row=st.fixed_dictionaries({"p": _TEXT, "q": _TEXT}),
    other=st.fixed_dictionaries({"p": _TEXT, "q": _TEXT}),
    decomposed=st.booleans(),
)
def test_without_wildcards_the_rendered_path_is_the_only_file(pieces, row, other, decomposed):
    text = "x" + "".join(text for _, text in pieces) + ".png"
    assume("//" not in text)  # it is left out
    mine, theirs = (f"x{_render(pieces, columns)}.png" for columns in (row, other))
    file = unicodedata.normalize("NFD", theirs) if decomposed else theirs
    assert _belong(text, row, file) == (mine == theirs)
    assert _row_key(PathTemplate(text), row) == mine


_NAME = st.text(alphabet="ab1", min_size=1, max_size=3)


@MANY
@given(
    folders=st.lists(_NAME, max_size=3),
    any_text=st.text(alphabet="ab1", max_size=3),
    image_id=_NAME,
    other=_NAME,
    extension=st.sampled_from([".png", ".JPG", ".tif", ".txt"]),
)
def test_wildcards_take_any_text(folders, any_text, image_id, other, extension):
    path = "/".join([*folders, f"v{any_text}", f"{image_id}{extension}"])
    assert _belong("**/v*/{id}.*", {"id": image_id}, path) == (extension != ".txt")
    assert _belong("**/v*/{id}.*", {"id": other}, path) == (
        extension != ".txt" and other == image_id
    )


# Each case: a template, a path, and the columns that it tells.
TOLD = {
    "folder and name": ("{l}/{p}-{n}.png", "CNV/17-2.png", {"l": "CNV", "p": "17", "n": "2"}),
    "same column twice": ("{p}/{p}_{n}.png", "7/7_1.png", {"p": "7", "n": "1"}),
    "a slice and the whole": ("{p[:1]}/{p}.png", "7/71.png", {"p": "71"}),
    "a slice only": ("{p[:1]}/{n}.png", "7/71.png", {"n": "71"}),
    "same column with other values": ("{p}/{p}_{n}.png", "7/8_1.png", None),
    "wildcards tell nothing": ("**/{label}/*.*", "a/b/nv/x.JPG", {"label": "nv"}),
    "no match": ("{label}/{p}.png", "x.png", None),
    "columns stay inside one folder": ("{label}/{p}.png", "a/b/c.png", None),
    "decomposed path": ("{label}.png", f"{NFD}.png", {"label": NFC}),
    "names with spaces": ("{my label}/*.png", "a/1.png", {"my label": "a"}),
}  # fmt: skip


@pytest.mark.parametrize("name", TOLD)
def test_paths_tell_columns(name):
    text, path, expected = TOLD[name]
    assert PathTemplate(text).file_columns(path) == expected


@MANY
@given(row=st.fixed_dictionaries({"p": _NAME, "q": _NAME}))
def test_told_columns_are_those_that_name_the_file(row):
    template = PathTemplate("{p}/x_{q}.png")
    assert template.file_columns(_row_key(template, row)) == row


@pytest.mark.parametrize("text", ["./a/{p}.png", "a//{p}.png", "a/./{p}.png", ".//./a/.//{p}.png"])
def test_a_template_is_the_same_however_its_folders_are_spelt(text):
    assert PathTemplate(text) == PathTemplate("a/{p}.png")
    assert PathTemplate(f"**/{text}") == PathTemplate("**/a/{p}.png")


BAD = {
    "absolute": "/a/{id}.png",
    "outside": "../{id}.png",
    "outside later": "a/../../{id}.png",
    "outside after a folder itself": "./.././{id}.png",
    "brace left open": "{id.png",
    "brace closed only": "id}.png",
    "no column name": "{}.png",
    "one letter instead of a slice": "{id[0]}.png",
    "nested braces": "{{id}}.png",
}


@pytest.mark.parametrize("name", BAD)
def test_bad_template_is_refused(name):
    with pytest.raises(ValueError, match=r"path template|brace"):
        PathTemplate(BAD[name])


FOLDERS = {
    "root": ("{id}.png", ""),
    "written folders": ("a/b/{id}.png", "a/b"),
    "before a wildcard": ("a/b*/{id}.png", "a"),
    "before a column in a folder name": ("a/p{p}/{id}.png", "a"),
    "wildcard first": ("**/{id}.png", ""),
    "no column at all": ("a/b/x.png", "a/b"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_folder_holds_all_files_of_the_template(name):
    text, expected = FOLDERS[name]
    assert PathTemplate(text).folder == expected


def test_columns_are_named_once_in_their_order():
    assert PathTemplate("{q}/{p[:1]}/{ q }_{p}.png").columns == ("q", "p")


@pytest.mark.parametrize("cell", ["a/1.png", "./a/1.png", "a\\1.png", ".\\a\\1.png", "././a/1.png"])
def test_paths_in_cells_may_be_spelt_as_on_other_systems(cell):
    template = PathTemplate("{path}")
    keys = template.row_keys(pd.DataFrame({"path": [cell]}, dtype="str"))
    assert keys.tolist() == ["a/1.png"]


# Each case: a template, the folder that is listed for it, and the files that it enters.
CONTAINERS = {
    "none": ("a/b/{id}.png", "a/b", []),
    "a zip": ("a/b.zip/{id}.png", "a", ["a/b.zip"]),
    "in the root": ("b.ZIP/x/{id}.png", "", ["b.ZIP"]),
    "several": ("a/part_*.zip/**/{id}.png", "a", ["a/part_*.zip"]),
    "for each row": ("ct/{subject}.nii.gz/{slice}", "ct", ["ct/{subject}.nii.gz"]),
    "one in another": ("a.zip/{id}.dcm/*", "", ["a.zip", "a.zip/{id}.dcm"]),
    "the last name is the image": ("a/{id}.dcm", "a", []),
    "a column with a slash": ("a/{x.zip/y}.png", "a", []),
    "a part of a column": ("{file[:-7]}.nii.gz/{slice}", "", ["{file[:-7]}.nii.gz"]),
    "an extension in the middle": ("a.zipped/b.zip.d/{id}.png", "a.zipped/b.zip.d", []),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_are_told_by_their_extensions(name):
    text, folder, containers = CONTAINERS[name]
    template = PathTemplate(text)
    assert template.folder == folder
    assert [container.text for container in template.containers] == containers
