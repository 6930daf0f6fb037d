"""Cases 37 to 39: paths that leave the corpus, files that are none, and their names."""

import os
import stat
import sys
import unicodedata

import pytest

from bad_inputs.image_files import encoded, noise
from bad_inputs.report import case

_opened: list[str] = []


def _hear(event, args):
    if event == "open" and isinstance(args[0], str | bytes):
        _opened.append(os.fsdecode(args[0]))


@pytest.fixture
def opened():
    """The paths of all files that this process opens; clear it first."""
    if not hasattr(sys, "_medical_images_heard"):
        sys.addaudithook(_hear)  # there is no way to take one back
        sys._medical_images_heard = True
    return _opened


def paths_in_cells(corpus):
    corpus.spec["images"]["path"] = "{file}"
    for row in corpus.rows:
        row["file"] = f"images/{row['scan']}.png"


def place_outside(corpus):
    """An image beside the corpus, which is never to be opened."""
    outside = corpus.folder / "outside" / "scanQZ66.png"
    outside.parent.mkdir()
    outside.write_bytes(encoded(noise(seed=66)))
    return outside


def climb(corpus, outside):
    paths_in_cells(corpus)
    corpus.rows[3]["file"] = f"images/../../outside/{outside.name}"


def name_from_the_top(corpus, outside):
    paths_in_cells(corpus)
    corpus.rows[3]["file"] = str(outside)


def link_out(corpus, outside):
    corpus.write()
    (corpus.root / "images" / "scanQZ03.png").symlink_to(outside)


@case(37, "../, absolute path, link out of root", "Q path_escape; nothing is opened")
@pytest.mark.parametrize("leave", [climb, name_from_the_top, link_out])
def test_paths_that_leave_the_root(corpus, opened, leave):
    outside = place_outside(corpus)
    del corpus.files["images/scanQZ03.png"]
    leave(corpus, outside)
    opened.clear()
    corpus.assert_rejected({"path_escape": [3]})
    assert any(path.endswith("scanQZ04.png") for path in opened)
    assert not [path for path in opened if os.path.realpath(path) == str(outside)]


def make_pipe(path):
    os.mkfifo(path)


def make_socket(path):
    os.mknod(path, stat.S_IFSOCK | 0o600)


def link_to_pipe(path):
    os.mkfifo(path.parent.parent / "pipe")
    path.symlink_to("../pipe")


@case(37, "fifo, and other files that are none", "Q not_regular; nothing is opened")
@pytest.mark.parametrize("make", [make_pipe, make_socket, link_to_pipe])
def test_files_that_are_none(corpus, opened, make):
    """To open a pipe would be to wait for ever."""
    del corpus.files["images/scanQZ03.png"]
    corpus.write()
    make(corpus.root / "images" / "scanQZ03.png")
    opened.clear()
    corpus.assert_rejected({"not_regular": [3]})
    assert not [path for path in opened if path.endswith("scanQZ03.png")]


def mask_above(corpus, outside):
    corpus.rows[3]["mask"] = f"masks/../../outside/{outside.name}"
    return "path_escape"


def mask_from_the_top(corpus, outside):
    corpus.rows[3]["mask"] = str(outside)
    return "path_escape"


def mask_by_a_link(corpus, outside):
    corpus.rows[3]["mask"] = "masks/link.png"
    (corpus.write().parent / "masks" / "link.png").symlink_to(outside)
    return "path_escape"


def mask_of_a_pipe(corpus, outside):
    corpus.rows[3]["mask"] = "masks/pipe.png"
    os.mkfifo(corpus.write().parent / "masks" / "pipe.png")
    return "not_regular"


@case(
    37,
    "../, absolute path, link out of root, fifo, of a mask",
    "as of an image; nothing outside is opened",
)
@pytest.mark.parametrize("leave", [mask_above, mask_from_the_top, mask_by_a_link, mask_of_a_pipe])
def test_masks_that_leave_the_root(corpus, opened, leave):
    corpus.spec["features"]["lesion"] = {"type": "mask", "path": "{mask}"}
    for k, row in enumerate(corpus.rows):
        row["mask"] = f"masks/{k}.png"
        corpus.files[row["mask"]] = encoded(noise(channels=0, seed=100 + k))
    outside = place_outside(corpus)
    code = leave(corpus, outside)
    opened.clear()
    corpus.assert_rejected({code: [3]}, by_content=True)
    assert any(path.endswith("masks/4.png") for path in opened)
    assert outside.name not in {os.path.basename(path) for path in opened}


def rename(corpus, row, name):
    old = corpus.rows[row]["scan"]
    corpus.files[f"images/{name}.png"] = corpus.files.pop(f"images/{old}.png")
    corpus.rows[row]["scan"] = name


TWINS = {
    "A.png and a.png": ("A", "a"),
    "NFC and NFD": tuple(unicodedata.normalize(form, "\u00e9") for form in ("NFC", "NFD")),
}


@case(38, "A.png and a.png both referenced; NFC/NFD twins", "REFUSE name_clash")
@pytest.mark.parametrize("name", TWINS)
def test_twins(corpus, name):
    for row, twin in zip((3, 8), TWINS[name], strict=True):
        rename(corpus, row, twin)
    corpus.assert_refused("name_clash", "lines 5, 10")
    corpus.assert_refused("name_clash", rejects={"max_fraction": 1})


@case(38, "A.png and a.png, one referenced", "written; the other is listed as unreferenced")
def test_a_twin_that_no_row_names(corpus):
    rename(corpus, 3, "a")
    corpus.files["images/A.png"] = encoded(noise(seed=77))
    corpus.assert_written(noted={("reported", "image_unreferenced"): 1})


@case(39, "non-UTF-8 file name", "Q bad_name, shown escaped")
def test_name_that_is_not_utf8(corpus):
    path = os.fsdecode(b"images/scan\xff77.png")
    corpus.files[path] = encoded(noise(seed=77))
    result = corpus.assert_rejected({"bad_name": ["one"]}, kind="file", told=["1 file"])
    assert [one["path"] for one in result.rejects] == [r"images/scan\udcff77.png"]
    corpus.seen.note(f"listed as `{result.rejects[0]['path']}`")
