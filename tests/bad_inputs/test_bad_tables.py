"""Cases 21 to 36 and 40 to 43: rows, cells, tables and groups."""

import collections
import json
import pathlib
import re
import subprocess
import sys
import unicodedata

import pytest

import medical_images as mi
from bad_inputs.image_files import encoded, noise
from bad_inputs.report import case

LINE_4 = "scans.csv line 4"


@case(21, "row without image", "Q image_missing, row number")
def test_row_without_image(corpus):
    del corpus.files["images/scanQZ03.png"]
    corpus.assert_rejected({"image_missing": [3]}, told=["1 of 12 rows and files rejected"])


@case(21, "row without image, by `tfds build`", "REFUSE, exit status 2, no traceback")
def test_row_without_image_by_tfds(corpus):
    del corpus.files["images/scanQZ03.png"]
    config, data = json.dumps({"spec": str(corpus.write())}), corpus.folder / "data"
    tfds_cli = pathlib.Path(sys.executable).parent / "tfds"
    command = [tfds_cli, "build", "medical_images", "--imports", "medical_images"]
    done = subprocess.run(
        [*command, "--config", config, "--data_dir", data],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "Traceback" not in done.stderr
    message = done.stderr[done.stderr.index("The corpus is refused") :]
    result = corpus.outcome(done.returncode, message, done.stdout + done.stderr, data)
    assert result.status == 2
    assert "image_missing" in result.message
    assert "1 row (line 5)" in result.message
    assert result.files_written() == []


@case(22, "image without row", "listed unreferenced; REFUSE in strict")
def test_image_without_row(corpus):
    corpus.files["images/scanQZ77.png"] = encoded(noise(seed=77))
    listed = corpus.assert_written(noted={("reported", "image_unreferenced"): 1})
    assert listed.rejects[0]["path"] == "images/scanQZ77.png"
    corpus.assert_refused(
        "image_unreferenced", "1 file", into="strict", rejects={"images_without_row": "refuse"}
    )


@case(23, "duplicate rows, equal", "one kept, counter")
def test_duplicate_rows(corpus):
    corpus.rows.append(dict(corpus.rows[3]))
    result = corpus.assert_written(noted={("excluded", "duplicate_row"): 1})
    assert len(result.index()) == 12
    assert result.rejects[0]["line"] == "14"


@case(24, "same image id, other label", "Q conflict, both rows, neither written")
def test_rows_that_disagree(corpus):
    corpus.rows.append({**corpus.rows[3], "dx": "nv"})
    result = corpus.assert_rejected({"conflict": [3, 12]}, told=["2 of 13 rows and files rejected"])
    assert 3 not in result.splits()


@case(25, "same bytes under two ids", "same group (so same split), reported")
def test_copies(corpus):
    """Chains of copies through three patients, so that chance alone would tear them."""
    for copy, original in ((2, 0), (4, 3), (6, 5)):
        corpus.rows[copy]["dx"] = corpus.rows[original]["dx"]
        name = f"images/scanQZ{original:02}.png"
        corpus.files[f"images/scanQZ{copy:02}.png"] = corpus.files[name]
    result = corpus.assert_written(noted={("noted", "image_copy"): 3})
    splits = result.splits()
    assert len({splits[number] for number in range(8)}) == 1  # patients 0 to 3
    assert {one["value"] for one in result.rejects} == {
        f"images/scanQZ{k:02}.png" for k in (0, 3, 5)
    }


@case(25, "same bytes under two ids, other label", "Q conflict")
def test_copies_that_disagree(corpus):
    corpus.files["images/scanQZ04.png"] = corpus.files["images/scanQZ03.png"]
    corpus.assert_rejected({"copy_conflict": [3, 4]})


@case(26, "ids 00123 and 123", "two ids")
def test_zeros_of_ids(corpus):
    for row, name, patient in ((0, "00123", "007"), (2, "123", "7")):
        old = corpus.rows[row]["scan"]
        corpus.files[f"images/{name}.png"] = corpus.files.pop(f"images/{old}.png")
        corpus.rows[row] |= {"scan": name, "patient": patient}
    corpus.spec["features"]["id"] = {"column": "scan", "type": "id"}
    corpus.rows = [corpus.rows[0], corpus.rows[2]]
    corpus.files = {path: data for path, data in corpus.files.items() if "123" in path}
    corpus.spec["splits"] = {"train": 1}
    corpus.spec["stratify"] = []
    result = corpus.assert_written()
    ids = {number: example["id"] for number, example in result.examples().items()}
    assert ids == {0: b"00123", 2: b"123"}
    assert set(result.index()["_group"]) == {"007", "7"}


@case(27, 'label "NA"', "a class if declared")
def test_na_is_a_class(corpus):
    corpus.spec["features"]["label"]["values"] = ["nv", "NA"]
    for row in corpus.rows:
        row["dx"] = row["dx"].replace("mel", "NA")
    builder = corpus.assert_written().builder()
    assert builder.info.features["label"].names == ["nv", "NA"]
    counts = [mi.class_counts(builder, split)["NA"] for split in ("train", "test")]
    assert sum(counts) == 4


@case(28, "empty label", "Q label_missing (or declared unlabelled)")
def test_empty_label(corpus):
    corpus.rows[3]["dx"], corpus.rows[4]["dx"] = "", "  "
    corpus.assert_rejected({"label_missing": [3, 4]}, told=["column 'dx'"])


@case(28, "empty label, declared unlabelled", "written as the declared class")
def test_empty_label_declared(corpus):
    corpus.rows[3]["dx"] = corpus.rows[8]["dx"] = ""
    corpus.spec["features"]["label"] |= {"values": ["nv", "mel", "none"], "missing_as": "none"}
    examples = corpus.assert_written().examples()
    unlabelled = {number for number, example in examples.items() if example["label"] == 2}
    assert unlabelled == {3, 8}


@case(29, 'label "a " / NFD', 'equals "a" / NFC after normalising')
def test_spellings_of_a_label(corpus):
    corpus.spec["features"]["label"]["values"] = ["nv", "m\u00e9l"]
    for row in corpus.rows:
        row["dx"] = row["dx"].replace("mel", "m\u00e9l")
    corpus.rows[0]["dx"] += " "
    corpus.rows[3]["dx"] = "\u00a0" + unicodedata.normalize("NFD", corpus.rows[3]["dx"])
    builder = corpus.assert_written().builder()
    counts = collections.Counter(mi.class_counts(builder, "train"))
    assert counts + collections.Counter(mi.class_counts(builder, "test")) == {
        "nv": 8,
        "m\u00e9l": 4,
    }


@case(29, "two declared classes that normalising merges", "REFUSE")
@pytest.mark.parametrize("other", [unicodedata.normalize("NFD", "m\u00e9l"), "m\u00e9l "])
def test_classes_that_normalising_merges(corpus, other):
    corpus.spec["features"]["label"]["values"] = ["nv", "m\u00e9l", other]
    corpus.assert_refused("corpus.yaml:", "features.label", "'m\\xe9l' and ", "which are equal")


@case(30, "unknown label", "Q label_unknown; lists the distinct values")
def test_unknown_labels(corpus):
    corpus.rows[3]["dx"], corpus.rows[7]["dx"] = "melanoma", "Nv"
    told = ["column 'dx'", "found 'Nv', 'melanoma'", "allowed: nv, mel"]
    corpus.assert_rejected({"label_unknown": [3, 7]}, told=told)


@case(30, "more than 20 unknown labels", "their count only")
def test_many_unknown_labels(corpus):
    corpus.rows += [
        {"scan": f"scanQZ{k}", "patient": f"patientQZ{k}", "dx": f"kind{k}", "number": str(k)}
        for k in range(12, 33)
    ]
    more = {f"images/scanQZ{k}.png": encoded(noise(seed=k)) for k in range(12, 33)}
    corpus.files |= more
    refused = corpus.assert_refused("label_unknown", "21 rows", "21 distinct values")
    assert "kind1" not in refused.message
    del corpus.rows[-1]
    refused = corpus.assert_refused("label_unknown", "20 rows", "found 'kind12', 'kind13'")


@case(31, 'label 1.0, 1, "1"', "mapped only by declared table; 1.7 and -1 rejected")
def test_labels_that_are_numbers(corpus):
    cells = ["0", "1", "1.0", '"1"', "0", "1", "1.7", "-1", "0", "1", "1.0", "0.0"]
    lines = [
        f"{row['scan']},{row['patient']},{cell},{row['number']}"
        for row, cell in zip(corpus.rows, cells, strict=True)
    ]
    corpus.table = "\n".join(["scan,patient,dx,number", *lines, ""]).encode()
    label = {"column": "dx", "type": "class", "values": ["0", "1"]}
    corpus.spec["features"]["label"] = label
    corpus.assert_rejected({"label_unknown": [2, 6, 7, 10, 11]}, told=["'1.0'", "'1.7'", "'-1'"])
    corpus.spec["features"]["label"] = label | {"rename": {"1.0": "1", "0.0": "0"}}
    corpus.folder /= "declared"
    result = corpus.assert_rejected({"label_unknown": [6, 7]}, told=["found '-1', '1.7'"])
    labels = {number: int(one["label"]) for number, one in result.examples().items()}
    assert labels == {0: 0, 1: 1, 2: 1, 3: 1, 4: 0, 5: 1, 8: 0, 9: 1, 10: 1, 11: 0}


ENCODINGS = {
    "UTF-8 with a mark": ("utf-8-sig", "utf-8"),
    "UTF-16": ("utf-16", "utf-16"),
    "Latin-1": ("latin-1", "latin-1"),
}


@case(32, "BOM; UTF-16; latin-1", "read")
@pytest.mark.parametrize("name", ENCODINGS)
def test_encodings_are_read(corpus, name):
    written, declared = ENCODINGS[name]
    corpus.rows[3]["dx"] = "n\u00e9"
    corpus.spec["features"]["label"]["values"] = ["nv", "mel", "n\u00e9"]
    corpus.table = corpus.table_bytes().decode().encode(written)
    corpus.spec["tables"][0]["dialect"] = {"encoding": declared}
    assert corpus.assert_written().examples()[3]["label"] == 2


@case(32, "UTF-16 and latin-1, not declared", "REFUSE with byte offset and encoding hint")
@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_encodings_that_are_not_declared(corpus, encoding):
    corpus.rows[1]["dx"] = "n\u00e9"
    text = corpus.table_bytes().decode()
    corpus.table = text.encode(encoding)
    offset, line = (0, 1) if encoding == "utf-16" else (len(text.partition("\u00e9")[0]), 3)
    hint = ["dialect: {encoding: ", encoding]
    corpus.assert_refused(f"scans.csv line {line}", f"at offset {offset}", *hint)


@case(33, "trailing comma shift", "REFUSE with line number")
def test_trailing_comma(corpus):
    lines = corpus.table_bytes().splitlines()
    corpus.table = b"\n".join([lines[0], *(line + b"," for line in lines[1:]), b""])
    corpus.assert_refused("lines 2, 3, 4, 5, 6 and 7 more", "7 cells where the header has 6")


@case(34, "semicolon file", "REFUSE, shows found header")
def test_semicolons(corpus):
    corpus.table = corpus.table_bytes().replace(b",", b";")
    header = "scan;patient;surname;born;dx;number"
    corpus.assert_refused("no table has a column 'scan'", header, "dialect: {separator: ';'}")


@case(34, "missing column", "REFUSE, shows found header")
def test_missing_column(corpus):
    corpus.table = corpus.table_bytes().replace(b"dx", b"diagnosis", 1)
    told = ["no table has a column 'dx'", "Known: born, diagnosis, number, patient, scan, surname"]
    corpus.assert_refused("corpus.yaml:", "features.label", *told)


RAGGED = {
    "ragged row": (b"nv,2\n", b"nv\n", [LINE_4, "5 cells where the header has 6"]),
    "unclosed quote": (b"nv,2\n", b'"nv,2\n', [LINE_4, "never closed"]),
    "NUL": (b"nv,2\n", b"n\0v,2\n", [LINE_4, "NUL"]),
}


@case(35, "ragged row / unclosed quote / NUL", "Q row or REFUSE with line")
@pytest.mark.parametrize("name", RAGGED)
def test_broken_lines(corpus, name):
    old, new, told = RAGGED[name]
    text = corpus.table_bytes()
    assert text.count(old) == 1
    corpus.table = text.replace(old, new)
    corpus.assert_refused(*told)


@case(36, "duplicate header", "REFUSE")
def test_duplicate_header(corpus):
    corpus.table = corpus.table_bytes().replace(b"born", b"dx", 1)
    corpus.assert_refused("scans.csv line 1", "'dx' twice")


@case(40, "patient in two strata", "one split only; stratum by declared rule (rarest label)")
def test_patient_in_two_strata(corpus):
    """Every second patient has one image of the rare label; both splits get half of these."""
    for k, row in enumerate(corpus.rows):
        row["dx"] = "mel" if k % 4 == 0 and k < 8 else "nv"
    result = corpus.assert_written()
    splits, index = result.splits(), result.index()
    for number in range(0, 12, 2):
        assert splits[number] == splits[number + 1]
    assert {splits[0], splits[4]} == {"train", "test"}
    assert index["_split"].value_counts().to_dict() == {"train": 6, "test": 6}


@case(41, "class with 1 patient", "goes to train by rule, warning names class and splits it lacks")
def test_class_of_one_patient(corpus):
    for k, row in enumerate(corpus.rows):
        row["dx"] = "mel" if k in (6, 7) else "nv"
    corpus.spec["splits"] = {"test": 0.2, "validation": 0.2, "train": 0.6}
    result = corpus.assert_written()
    splits = result.splits()
    assert splits[6] == splits[7] == "train"
    told = "label=mel has 1 group for 3 splits; none in test, validation"
    assert f"warning: {told}" in result.said
    assert told in mi.certificate(result.builder())["warnings"]
    corpus.seen.note(f"“{told}”")


@case(42, "empty stratum", "REFUSE with counts, before writing")
def test_empty_stratum(corpus):
    corpus.spec["features"]["label"]["values"].append("bcc")
    corpus.assert_refused("'bcc'", "0 of 12 images", "classes_without_image")


@case(42, "empty split", "REFUSE with counts, before writing")
def test_empty_split(corpus):
    corpus.rows, corpus.files = corpus.rows[:4], dict(list(corpus.files.items())[:4])
    corpus.spec["splits"] = {"train": 0.5, "validation": 0.25, "test": 0.25}
    told = "splits.test: would be empty: its share is 0.25 of 4 images in 2 groups"
    corpus.assert_refused("corpus.yaml:", told, "leave it out")


@case(42, "given split that no image has", "REFUSE with counts, before writing")
def test_empty_given_split(corpus):
    give_splits(corpus, first_of_test=12)
    corpus.assert_refused("corpus.yaml:", "splits.test", "without an image", "leave it out")


def give_splits(corpus, *, first_of_test):
    for k, row in enumerate(corpus.rows):
        row["given"] = "train" if k < first_of_test else "test"
    corpus.spec["splits"] = {"column": "given", "values": ["train", "test"]}


@case(
    43,
    "given split column with a patient in two splits",
    "REFUSE, count and keyed ids of the patients",
)
def test_patient_in_two_given_splits(corpus, monkeypatch):
    give_splits(corpus, first_of_test=5)
    refused = corpus.assert_refused("1 group", "(test, train): lines 6, 7", "allow_leaks: true")
    assert refused.counts == {("noted", "group_in_two_splits"): 2}
    monkeypatch.setenv("MEDICAL_IMAGES_KEY", "a key of more than sixteen letters")
    corpus.spec["privacy"] = {"pseudonymize": ["patient"]}
    refused = corpus.assert_refused("1 group")
    assert re.search(r"\b[0-9a-f]{32}\b", refused.message), refused.message
