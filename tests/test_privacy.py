"""Nothing about a patient leaks: pseudonyms, moved dates, the key, and planted tokens."""

import copy
import datetime
import hashlib
import hmac
import os
import pickle
import re
import sys

import pandas as pd
import pytest
import tensorflow_datasets as tfds
from conftest import build
from faults import datasets, in_child, is_private, tree
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from planted import (
    KEY,
    build_hidden,
    build_hidden_and_die,
    build_hidden_by_beam,
    build_without_key,
    planted_image,
    tokens_below,
    tokens_in,
    write_dicom_files,
    write_planted,
)

import medical_images as mi
from medical_images import corpus, pseudonyms
from medical_images.errors import BuildError, SpecError
from medical_images.header_facts import read_pixel_sizes
from medical_images.matching import Sieve
from medical_images.prepared_image import prepare
from medical_images.privacy_key import Key, read_key, with_key
from medical_images.rejects import RejectLog
from medical_images.shards import ShardTask
from medical_images.spec import CorpusSpec, LoadedSpec, load_spec
from medical_images.spec_images import Images
from medical_images.spec_privacy import KEY_VARIABLE
from medical_images.table_reader import LINE, TABLE

OTHER_KEY = b"another key, of more than sixteen bytes"


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setitem(os.environb, KEY_VARIABLE.encode(), KEY)
    return Key(KEY)


def spec_of(privacy, **parts):
    """A spec of a patient, a date and a label, with the given parts in the place of its own."""
    keys = {
        "name": "mine",
        "tables": [{"path": "t.csv"}],
        "images": {"path": "images/{scan}.png"},
        "features": {
            "id": {"column": "patient", "type": "id"},
            "born": {"type": "text"},
            "label": {"type": "class", "values": ["a", "b"]},
        },
        "group": "patient",
    }
    return CorpusSpec.from_dict({**keys, "privacy": privacy, **parts})


def hidden(spec, **columns):
    """What becomes of rows; the log of those taken out."""
    frame = pd.DataFrame(columns, dtype="str")
    sieve = Sieve(frame.assign(**{TABLE: "t.csv", LINE: range(2, len(frame) + 2)}))
    pseudonyms.hide_patients(sieve, spec)
    return sieve


# Pseudonyms and dates


def test_a_pseudonym_is_what_others_compute_with_the_key(key):
    for cell in ("patient 7", "M\u00fcller", "007"):
        told = hmac.new(KEY, cell.encode(), hashlib.sha256).hexdigest()[:32]
        assert key.pseudonym(cell) == told
    assert key.pseudonym("Mu\u0308ller ") == key.pseudonym("M\u00fcller")
    assert key.pseudonym("007") != key.pseudonym("7") != Key(OTHER_KEY).pseudonym("7")


def test_an_id_has_one_pseudonym_in_all_columns_and_blank_cells_stay(key):
    features = {
        "id": {"column": "patient", "type": "id"},
        "mother": {"type": "text", "missing": ["unknown"]},
    }
    spec = spec_of({"pseudonymize": ["patient", "mother"]}, features=features)
    rows = hidden(spec, patient=["p1", "p2", ""], mother=["p2", "unknown", ""], scan=list("123"))
    one, two = key.pseudonym("p1"), key.pseudonym("p2")
    assert rows.frame[["patient", "mother", "scan"]].values.tolist() == [
        [one, two, "1"],
        [two, "unknown", "2"],
        ["", "", "3"],
    ]
    assert rows.log.entries.empty


DAYS = st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1))


@given(st.lists(st.tuples(st.sampled_from("pq"), DAYS), min_size=1, max_size=8), st.integers(1, 99))
def test_dates_of_a_patient_move_together_into_the_past(rows, most):
    spec = spec_of(
        {
            "pseudonymize": "patient",
            "shift_dates": {
                "columns": "born",
                "by": "patient",
                "max_days": most,
                "format": "%d.%m.%Y",
            },
        }
    )
    patients, dates = zip(*rows, strict=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_VARIABLE, "a key for a test of dates")
        told = hidden(spec, patient=patients, born=[f"{d:%d.%m.%Y}" for d in dates]).frame["born"]
    after = [datetime.datetime.strptime(cell, "%d.%m.%Y").date() for cell in told]
    moved = {(p, (old - new).days) for p, old, new in zip(patients, dates, after, strict=True)}
    assert len(moved) == len(set(patients))
    assert all(1 <= days <= most for _, days in moved)


def test_dates_that_cannot_be_moved_are_blank_or_rejected(key):
    cells = {
        "1931-04-17": "moved", "": "", "NA": "NA", "17.4.1931": None, "1931-02-29": None,
        "0001-01-01": None,
    }  # fmt: skip
    born = {"id": {"column": "patient", "type": "id"}, "born": {"type": "text", "missing": ["NA"]}}
    spec = spec_of({"shift_dates": {"columns": ["born"], "by": "patient"}}, features=born)
    rows = hidden(spec, patient=["p"] * len(cells), born=list(cells))
    kept = [cell for cell, told in cells.items() if told is not None]
    told = dict(zip(kept, rows.frame["born"], strict=True))
    assert (told[""], told["NA"]) == ("", "NA")
    days = datetime.timedelta(days=key.days("p", max_days=365))
    assert told["1931-04-17"] == f"{datetime.date(1931, 4, 17) - days}"
    assert set(rows.log.entries.code) == {"value_invalid"}
    assert rows.log.entries.line.tolist() == [5, 6, 7]
    nobody = hidden(spec, patient=[""], born=["1931-04-17"])
    assert nobody.frame["born"].tolist() == [""]


def test_days_are_no_part_of_pseudonyms(key):
    """Many patients share a number of days; it tells nothing of their pseudonyms."""
    days = [key.days(f"p{k}", max_days=30) for k in range(2000)]
    assert set(days) == set(range(1, 31))
    digests = [hmac.digest(KEY, f"p{k}".encode(), "sha256") for k in range(2000)]
    for size in (16, 32):
        told = [1 + int.from_bytes(digest[:size]) % 30 for digest in digests]
        assert sum(map(int.__eq__, days, told)) < 200  # as often as by chance


def test_lists_of_official_splits_name_patients_as_they_are(tmp_path, key):
    spec = write_planted(tmp_path)
    (spec.parent / "test.txt").write_text("ZQQZpatient02\nZQQZpatient04\nZQQZpatient77\n")
    text = spec.read_text().replace(
        "{train: 0.75, test: 0.25}", "{train: 1, files: {test: test.txt}, 'on': patient}"
    )
    spec.write_text(text)
    planned = corpus.plan_corpus(load_spec(spec))
    expected = {key.pseudonym(f"ZQQZpatient{k:02}") for k in (2, 4)}
    assert set(planned.plan.splits["test"]["group"]) == expected
    assert not expected & set(planned.plan.splits["train"]["group"])
    assert any("1 lines of the lists" in text for text in planned.certificate["warnings"])


# The key


def test_a_key_is_not_shown_and_not_passed_on():
    key = Key(KEY)
    for shown in (repr(key), str(key), f"{key}", f"{vars(type(key))}"):
        assert not tokens_in(shown.encode())
    for pass_on in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            pass_on(key)
    with pytest.raises(ValueError, match="at least 16 bytes") as caught:
        Key(b"KQkeyKQ too few")
    assert not tokens_in(str(caught.value).encode())
    assert not KEY.hex().startswith(key.check)


def none_at_all(folder):
    return None


def too_short(folder):
    os.environ[KEY_VARIABLE] = "KQkeyKQ"


def empty(folder):
    os.environ[KEY_VARIABLE] = ""


def written(name, content=KEY, mode=0o600):
    def write(folder):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
        return name

    return write


def pipe(folder):
    os.mkfifo(folder / "pipe", 0o600)
    return "pipe"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (none_at_all, "MEDICAL_IMAGES_KEY: is not set"),
        (empty, "MEDICAL_IMAGES_KEY: is not set"),
        (too_short, "MEDICAL_IMAGES_KEY: a key has at least 16 bytes"),
        (lambda folder: "absent", "the key file does not exist; `key_file:` is its path"),
        (lambda folder: KEY.hex(), "the key file does not exist"),  # the key by mistake
        (lambda folder: KEY.hex() * 9, "the key file cannot be read: File name too long"),
        (lambda folder: "images", "the key file cannot be read"),
        (pipe, "is no regular file"),
        (written("short", b"KQkeyKQ\n\n\n\n\n\n\n\n\n\n\n"), "a key has at least 16 bytes"),
        (written("others", mode=0o640), r"others can read it \(mode 640\); `chmod 600` it"),
        (written("long", KEY * 100), "is no key: it has more than"),
        (written("images/key"), "stands among the images"),
    ],
)
def test_a_build_without_a_good_key_is_refused_before_anything_is_read(
    tmp_path, monkeypatch, make, told
):
    monkeypatch.setenv(KEY_VARIABLE, "")
    (tmp_path / "images").mkdir()
    given = make(tmp_path)
    privacy = {"pseudonymize": ["patient"]} | ({"key_file": given} if given else {})
    loaded = LoadedSpec(
        spec=spec_of(privacy),
        source=load_spec(spec_of(privacy), root=tmp_path).source,
        path=str(tmp_path / "corpus.yaml"),
        root=str(tmp_path),
    )
    with pytest.raises(SpecError, match=told) as caught:
        corpus.plan_corpus(loaded)  # its table does not exist
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].remedy
    assert not tokens_in(str(caught.value).encode())
    assert "KQkeyKQ" not in str(caught.value)
    frame = caught.value.__traceback__
    while frame is not None:  # tools that report errors show what variables hold
        held = {name: frame.tb_frame.f_locals[name] for name in frame.tb_frame.f_locals}
        assert frame.tb_frame.f_code.co_filename == __file__ or KEY not in held.values()
        frame = frame.tb_next


def test_a_key_is_the_same_in_a_file_and_in_the_environment(tmp_path, monkeypatch, key):
    spec = write_planted(tmp_path)
    check = with_key(load_spec(spec)).spec.privacy.key_check
    assert check == key.check
    monkeypatch.delenv(KEY_VARIABLE)
    written("key", KEY + b"\n")(spec.parent)
    text = spec.read_text().replace("images/", "").replace('"**/{scan}.*"', '"images/*/{scan}.*"')
    spec.write_text(text.replace("privacy:\n", "privacy:\n  key_file: key\n"))
    loaded = with_key(load_spec(spec))
    assert loaded.spec.privacy.key_check == check
    monkeypatch.chdir("/")  # as a worker may be
    passed_on = pickle.loads(pickle.dumps(loaded.spec))
    assert read_key(passed_on.privacy).check == check
    written("key", OTHER_KEY)(spec.parent)
    with pytest.raises(BuildError, match="another key"):
        read_key(passed_on.privacy)


def test_what_is_passed_on_holds_no_key_and_no_token(tmp_path, key):
    spec = write_planted(tmp_path)
    planned = corpus.plan_corpus(load_spec(spec))
    loaded = planned.accepted.loaded
    assert not tokens_in(pickle.dumps(loaded.spec))
    assert not tokens_in(loaded.spec.model_dump_json().encode())
    records = planned.plan.splits["train"].drop(columns=["path"])
    task = ShardTask(
        path="x", file_format="tfrecord", spec=loaded.spec, root="/", records=records, num_records=9
    )
    assert not tokens_in(pickle.dumps(task))
    config = mi.MedicalImagesConfig(spec=loaded.spec, root="/")
    assert not tokens_in(pickle.dumps(config))


# What specs are refused

ID, ITSELF = {"column": "patient", "type": "id"}, {"type": "id"}
CLASS = {"type": "class", "values": ["a", "b"]}
HIDDEN = {"pseudonymize": ["patient"]}
DATES = {"shift_dates": {"columns": ["born"], "by": "patient"}}
FROM = {"part": {"from": "patient", "pattern": "^.."}}
OF_DICOM = {"part": {"from": "dicom.PatientID"}, "later": {"from": "part", "pattern": "^.."}}
EYES = {"column": "eye", "into": {side: {"scan": side, "who": "patient"} for side in ("l", "r")}}
SPLITS = {"train": "1", "values": {"test": ["p7"]}, "column": "patient"}


def dates(**keys):
    return {"shift_dates": {**DATES["shift_dates"], **keys}}


@pytest.mark.parametrize(
    ("privacy", "parts", "told"),
    [
        ({"pseudonymize": ["patientid"]}, {}, "made of the column 'patientid'; did you mean 'pat"),
        ({"pseudonymize": ["patient", "patient"]}, {}, "'patient' is named twice"),
        ({**HIDDEN, **dates(columns=["patient"], by="x")}, {}, "'patient' is named twice"),
        (dates(columns=["bron"]), {}, "did you mean 'born'"),
        (dates(by="born"), {}, "the column of the patient, and no date"),
        (dates(format="%m/%d/%y"), {}, "does not tell year"),
        (dates(format="%Y-%m"), {}, "does not tell year"),
        (dates(format="day"), {}, "does not tell year"),
        (dates(format="%Y-%m-%d %Y"), {}, "does not tell year"),
        (dates(max_days="0"), {}, "greater than or equal to 1"),
        ({"key_file": "key"}, {}, "is for `pseudonymize:` and `shift_dates:`"),
        ({"key": "KQkeyKQ"}, {}, "unknown key 'key'; Known: keep, key_file, "),
        (HIDDEN, {"features": {"id": {**CLASS, "column": "patient"}}}, "of type id, text"),
        (HIDDEN, {"features": {"id": {"type": "float", "column": "patient"}}}, "of type id, text"),
        (DATES, {"features": {"id": ID, "born": CLASS}}, "of type date, text, int"),
        (HIDDEN, {"derive": FROM, "features": {"part": {"type": "text"}}}, "made of patient, whic"),
        (HIDDEN, {"derive": FROM, "features": {"part": {"type": "int"}}}, "made of patient, which"),
        (HIDDEN, {"derive": FROM, "group": ["patient", "part"]}, "made of patient, which tells"),
        (HIDDEN, {"derive": FROM, "features": {"part": CLASS}}, None),
        (
            {"pseudonymize": ["patient", "part"]},
            {"derive": FROM, "features": {"part": ITSELF}},
            None,
        ),
        ({}, {"derive": FROM, "features": {"part": {"type": "text"}}}, None),
        (HIDDEN, {"explode": EYES, "features": {"who": {"type": "text"}}}, "'who' is made of pati"),
        ({}, {"derive": OF_DICOM, "group": "part"}, "made of the DICOM field PatientID"),
        (
            {},
            {"derive": OF_DICOM, "features": {"later": ITSELF}},
            "made of the DICOM field PatientID",
        ),
        ({"pseudonymize": ["part"]}, {"derive": OF_DICOM, "group": "part"}, None),
        ({"pseudonymize": ["part"]}, {"derive": OF_DICOM, "group": ["part", "later"]}, "made of p"),
        ({}, {"derive": {"sex": {"from": "dicom.PatientSex"}}, "group": "sex"}, None),
        (HIDDEN, {"splits": SPLITS}, "take lists instead"),
        (DATES, {"splits": {"train": "1", "files": {"t": "t.txt"}, "on": "born"}}, "are moved"),
    ],
)
def test_specs_that_would_tell_of_patients_are_refused(privacy, parts, told):
    if told is None:
        spec_of(privacy, **parts)
        return
    with pytest.raises(SpecError, match=re.escape(told)) as caught:
        spec_of(privacy, **parts)
    assert "KQkeyKQ" not in str(caught.value)


def test_a_spec_of_dicom_fields_is_read_where_pydicom_is_missing(monkeypatch):
    """As where a dataset is only read; columns that are known to tell of patients are refused."""
    monkeypatch.setitem(sys.modules, "pydicom", None)
    spec_of({}, derive={"part": {"from": "dicom.PatientSex"}}, group="part")
    with pytest.raises(SpecError, match="PatientID"):
        spec_of({}, derive=OF_DICOM, group="part")


def test_what_is_cut_out_of_paths_is_told_of():
    derive = {"stem": {"from": "images.path"}, "side": {"from": "stem", "pattern": "[LR]"}}
    parts = {"derive": derive, "features": {"stem": {"type": "text"}, "side": CLASS}}
    (warning,) = pseudonyms.warnings_of(spec_of(HIDDEN, **parts))
    assert warning.startswith("'stem' is cut out of the paths")
    assert not pseudonyms.warnings_of(spec_of({}, **parts))
    assert not pseudonyms.warnings_of(spec_of({"pseudonymize": ["patient", "stem"]}, **parts))
    assert pseudonyms.hidden_columns(spec_of({}, **parts)) == {"stem", "side"}


def test_libraries_log_no_metadata(tmp_path, caplog):
    """Even where all is logged: `tfds --verbosity 1` sets the level DEBUG for all libraries."""
    caplog.set_level(1)
    shown = Image.new("RGB", (8, 8))
    shown.save(tmp_path / "a.tif", tiffinfo={270: "ZQQZtiff", 315: "ZQQZartist"})
    jpeg = planted_image(shown, "jpg")
    at = jpeg.index(b"\xff\xe0")  # without JFIF, Pillow looks into EXIF for the size of pixels
    (tmp_path / "b.jpg").write_bytes(jpeg[:at] + jpeg[at + 18 :])
    images = Images(path=["*.tif", "*.jpg"])
    for name in ("a.tif", "b.jpg"):
        prepare((tmp_path / name).read_bytes(), images, name=name)
    assert read_pixel_sizes(str(tmp_path), ["a.tif", "b.jpg"], images).tolist() == [[8, 8]] * 2
    assert not tokens_in(caplog.text.encode())


def test_what_holds_cells_is_shown_without_them():
    rows = pd.DataFrame({"table": ["t.csv"], "line": [2], "path": ["ZQQZfile"], "value": ["ZQQZa"]})
    log = RejectLog().adding(outcome="rejected", code="label_unknown", kind="row", entries=rows)
    assert not tokens_in(repr(log).encode())
    long = rows.assign(value="ZQQZa" + "x" * 1000)
    (problem,) = (
        RejectLog()
        .adding(outcome="rejected", code="label_unknown", kind="row", entries=long)
        .problems()
    )
    assert len(str(problem)) < 300


# A dataset that is extended


def test_a_dataset_is_extended_by_its_own_key_only(tmp_path, monkeypatch, key):
    spec, data = write_planted(tmp_path), tmp_path / "data"
    former = mi.index(build(spec, data, workers=1))
    more = write_planted(tmp_path / "more", num_images=16)
    text = more.read_text().replace("test: 0.25}", "test: 0.25, extend: 'medical_images/mine'}")
    more.write_text(text + "version: 2.0.0\n")
    builder = build(more, data, workers=1)
    told = builder.info.metadata["certificate"]["extended"]
    assert (told["known"], told["new"], told["gone"]) == (6, 2, 0)
    now = mi.index(builder).groupby("_group")["_split"].first()
    assert now[former["_group"]].tolist() == former["_split"].tolist()
    more.write_text(text + "version: 3.0.0\n")
    monkeypatch.setitem(os.environb, KEY_VARIABLE.encode(), OTHER_KEY)
    with pytest.raises(SpecError, match="has pseudonyms by another key than this"):
        build(more, data, workers=1)
    lines = text.partition("privacy:")[0]
    more.write_text(lines + "version: 3.0.0\n")
    with pytest.raises(SpecError, match="made with a key, and one without"):
        build(more, data, workers=1)


# Planted tokens: what is said and what is left


def assert_silent(said, spec, data):
    """Neither words nor files hold a token; only rejects do, and these are for their owner."""
    said = said.replace(str(spec.parent), "")  # messages say where the spec is
    assert not tokens_in(said.encode()), said
    assert not tokens_below(data)
    aside = data.with_name("aside")
    listed = [*spec.parent.glob("*.rejects.csv"), *aside.rglob("*.rejects.csv")]
    assert all(is_private(path) for path in listed)
    assert not [name for name in tokens_below(aside) if not name.endswith(".rejects.csv")]
    return listed


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return write_planted(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def whole(planted, tmp_path_factory):
    data = tmp_path_factory.mktemp("whole") / "data"
    status, said = in_child(build_hidden, planted, data)
    assert status == 0, said
    assert_silent(said, planted, data)
    return data


def test_tokens_are_found_where_they_stand(planted, tmp_path):
    """The search itself: each place of each file gives its tokens away."""
    found = tokens_below(planted.parent)
    assert found["images/ZQQZfolder/ZQQZfile00.png"] >= {
        "ZQQZexif", "ZQQZtext", "ZQQZpressed", "ZQQZitext", "ZQQZxmp", "ZQQZprivate", "ZQQZafter",
    }  # fmt: skip
    assert found["images/ZQQZfolder/ZQQZfile01.jpg"] >= {
        "ZQQZexif", "ZQQZcomment", "ZQQZxmp", "ZQQZiptc", "ZQQZprivate", "ZQQZafter",
    }  # fmt: skip
    assert any(
        "z\0q\0q\0z\0" in token.lower() for token in found["images/ZQQZfolder/ZQQZfile01.jpg"]
    )
    pd.DataFrame({"a": ["ZQQZcell00"] * 9}).to_parquet(tmp_path / "x.parquet", compression="zstd")
    (tmp_path / "key.pickle").write_bytes(pickle.dumps({"key": KEY}))
    assert tokens_below(tmp_path) == {"x.parquet": {"ZQQZcell00"}, "key.pickle": {"the key"}}


def test_a_dataset_tells_pseudonyms_and_moved_dates(whole):
    builder = tfds.builder("medical_images/mine", data_dir=whole)
    table, key = mi.index(builder), Key(KEY)
    assert set(table["_group"]) == {key.pseudonym(f"ZQQZpatient{k:02}") for k in range(6)}
    assert set(table["id"]) == {key.pseudonym(f"ZQQZfile{k:02}") for k in range(12)}
    assert set(table["visit"]) == {key.pseudonym(f"{k:02}") for k in range(12)}
    days = {key.pseudonym(f"ZQQZpatient{k:02}"): key.days(f"ZQQZpatient{k:02}", max_days=365)
            for k in range(6)}  # fmt: skip
    born = datetime.date(1931, 4, 17)
    for group, told in zip(table["_group"], table["born"], strict=True):
        assert told == str(born - datetime.timedelta(days=days[group]))
    examples = [
        e for split in builder.info.splits for e in tfds.as_numpy(builder.as_dataset(split))
    ]
    assert {example["id"].decode() for example in examples} == set(table["id"])


def test_an_array_record_is_silent_too(planted, tmp_path):
    data = tmp_path / "data"
    status, said = in_child(build_hidden, planted, data, "--file-format", "array_record")
    assert status == 0, said
    assert_silent(said, planted, data)


def test_a_build_by_beam_gives_the_same_and_is_silent(planted, whole, tmp_path):
    data = tmp_path / "data"
    status, said = in_child(build_hidden_by_beam, planted, data)
    assert status == 0, said
    assert_silent(said, planted, data)
    one, other = (mi.index(tfds.builder("medical_images/mine", data_dir=d)) for d in (whole, data))
    pd.testing.assert_frame_equal(one, other)


@pytest.mark.parametrize("at", ["train.*tfrecord", "index/"])
def test_a_build_that_is_killed_is_silent(planted, tmp_path, at):
    data = tmp_path / "data"
    status, said = in_child(build_hidden_and_die, planted, data, f"open .*{at}")
    assert status < 0, said
    assert list(datasets(data).glob("incomplete*"))
    assert_silent(said, planted, data)


def change(name, old, new, count=-1):
    def apply(folder):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, count))

    return apply


def image(folder, k=3):
    (path,) = folder.glob(f"images/ZQQZfolder/ZQQZfile{k:02}.*")
    return path


def truncate(folder):
    image(folder).write_bytes(image(folder).read_bytes()[:300])


def lose_image(folder):
    image(folder).rename(image(folder).with_name("ZQQZfile99.jpg"))


def not_an_image(folder):
    image(folder).write_bytes(b"<html>ZQQZpatient01</html>")


def empty_image(folder):
    image(folder).write_bytes(b"")


def unreadable_table(folder):
    (folder / "scans.csv").write_bytes((folder / "scans.csv").read_bytes() + b"ZQQZfile\xff\xfe,\n")


def copy_under_other_label(folder):
    image(folder, 5).write_bytes(image(folder, 0).read_bytes())
    image(folder, 5).rename(folder / "images" / "ZQQZfolder" / "ZQQZfile05.png")


def clash(folder):
    image(folder).with_name("ZQQZFILE03.JPG").write_bytes(image(folder, 1).read_bytes())
    repeat("ZQQZFILE03,ZQQZpatient01,ZQQZsurname01,ZQQZcell03,nv,43")(folder)


def link_out(folder):
    image(folder).unlink()
    os.symlink("/etc/hostname", folder / "images" / "ZQQZfolder" / "ZQQZfile03.jpg")


def escaping(folder):
    change("scans.csv", "ZQQZfile03,", "../ZQQZfile03,")(folder)


def repeat(row):
    def apply(folder):
        with (folder / "scans.csv").open("a") as file:
            file.write(row + "\n")

    return apply


FAILURES = {
    "label": change("scans.csv", ",mel,", ",ZQQZmel,", 1),
    "missing": lose_image,
    "truncated": truncate,
    "html": not_an_image,
    "empty": empty_image,
    "escape": escaping,
    "link": link_out,
    "clash": clash,
    "conflict": repeat("ZQQZfile03,ZQQZpatient01,ZQQZsurname01,ZQQZcell03,mel,43"),
    "copy": copy_under_other_label,
    "ragged": repeat("ZQQZfile90,ZQQZpatient01"),
    "shifted": repeat("ZQQZfile90,ZQQZpatient01,ZQQZsurname01,ZQQZcell,nv,40,,"),
    "quote": repeat('"ZQQZfile90,ZQQZpatient01'),
    "bytes": unreadable_table,
    "date": change("patients.csv", "1931-04-17", "ZQQZborn", 1),
    "number": change("scans.csv", ",43", ",ZQQZage", 1),
    "patients": change("patients.csv", "ZQQZpatient03,", "ZQQZpatient02,"),
    "stranger": change("patients.csv", "ZQQZpatient03,", "ZQQZpatient93,"),
    "derived": change("corpus.yaml", "(\\d+)$", "x(\\d+)$"),
}
ALLOWED = {  # of the label at fault, names of classes are told
    "label": {"ZQQZmel"},
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_build_that_fails_is_silent(tmp_path, kind):
    """Whatever is wrong, messages tell of lines, and only the rejects file tells of patients."""
    spec, data = write_planted(tmp_path), tmp_path / "data"
    FAILURES[kind](spec.parent)
    status, said = in_child(build_hidden, spec, data)
    assert status in (1, 2), said
    assert "Traceback" not in said, said
    for word in ALLOWED.get(kind, ()):
        said = said.replace(word, "")
    listed = assert_silent(said, spec, data)
    if kind in ("label", "missing", "date", "conflict", "number"):
        assert re.search(r"lines? \d", said)
        assert tokens_in(listed[0].read_bytes())
    assert not (datasets(data) / "1.0.0").exists()


def test_a_build_without_a_key_leaves_nothing(planted, tmp_path):
    data = tmp_path / "data"
    status, said = in_child(build_without_key, planted, data)
    assert status == 2, said
    assert "openssl rand -hex 32" in said
    assert_silent(said, planted, data)
    assert not [name for name in tree(data) if "1.0.0" in name]


# Masks and DICOM files


def test_masks_are_found_by_cells_as_they_are(tmp_path, key):
    spec, data = write_planted(tmp_path), tmp_path / "data"
    (spec.parent / "masks").mkdir()
    for path in spec.parent.glob("images/*/*"):
        shown = Image.new("L", (8, 8), 1)
        shown.save(spec.parent / "masks" / f"{path.stem}.png")
    mask = 'lesion: {type: mask, path: "masks/{scan}.png", values: [none, lesion]}'
    text = spec.read_text().replace('"**/', '"images/**/')
    spec.write_text(text.replace("features:\n", f"features:\n  {mask}\n"))
    status, said = in_child(build_hidden, spec, data)
    assert status == 0, said
    assert_silent(said, spec, data)
    builder = tfds.builder("medical_images/mine", data_dir=data)
    assert all(e["lesion"].min() == 1 for e in tfds.as_numpy(builder.as_dataset("train")))


def test_of_dicom_files_only_what_is_hidden_is_written(tmp_path, key):
    pytest.importorskip("pydicom")
    folder, data = tmp_path / "ZQQZspec", tmp_path / "data"
    write_dicom_files(folder, num_images=8)
    status, said = in_child(build_hidden, folder / "corpus.yaml", data)
    assert status == 0, said
    assert_silent(said, folder / "corpus.yaml", data)
    table = mi.index(tfds.builder("medical_images/mine", data_dir=data))
    assert set(table["_group"]) == {key.pseudonym(f"ZQQZpatient{k:02}") for k in range(4)}
    assert table["studied"].str.fullmatch(r"193[01]\d{4}").all()
    assert not {"19310417", ""} & set(table["studied"])


def test_a_damaged_dicom_file_is_told_of_by_its_line(tmp_path):
    pytest.importorskip("pydicom")
    folder, data = tmp_path / "ZQQZspec", tmp_path / "data"
    write_dicom_files(folder, num_images=8)
    damaged = folder / "images" / "ZQQZfile03.dcm"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    status, said = in_child(build_hidden, folder / "corpus.yaml", data)
    assert status in (1, 2), said
    assert "Traceback" not in said
    assert_silent(said, folder / "corpus.yaml", data)
