"""The spec: what is read from YAML, and how each mistake in it is told."""

import pathlib
import pickle
import textwrap
from fractions import Fraction

import pytest

from medical_images.errors import SpecError
from medical_images.spec import CorpusSpec, load_spec
from medical_images.yaml_source import parse_yaml

GOOD = textwrap.dedent(
    """\
    name: mine
    tables:
      - path: data.csv
        missing: [NA]
      - path: patients.csv
        join: {on: patient_id, cardinality: many_to_one}
    images:
      path: "png/{image_id}.png"
      channels: 1
    features:
      age: {type: float, unit: years}
      label: {column: dx, type: class, values: [nv, mel], rename: {melanoma: mel}}
      findings: {type: labels, values: [edema, mass]}
    supervised: label
    group: patient_id
    splits: {train: 1/3, validation: 1/3, test: 1/3}
    rejects: {max_fraction: 0.25}
    """
)


def _write(folder: pathlib.Path, text: str) -> pathlib.Path:
    path = folder / "corpus.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def _error(folder: pathlib.Path, text: str) -> SpecError:
    with pytest.raises(SpecError) as caught:
        load_spec(_write(folder, text))
    return caught.value


def _edit(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)


BOXES = "b: {type: boxes, columns: [a, b, c, d]}\n  c: {type: boxes, columns: [a, b, c, d]}"
# Each case: what to replace by what in the good spec, or lines to add to it; where the message says
# it stands (line:column and path); and words that it holds, among them the nearest known word where
# one was misspelt.
BAD = {
    "misspelt key at the top": (
        ("supervised: label", "supervized: label"),
        ":14:1 supervized:",
        ["unknown key 'supervized'", "did you mean 'supervised'?"],
    ),
    "misspelt key of a table": (
        ("    missing: [NA]", "    mising: [NA]"),
        ":4:5 tables.0.mising:",
        ["unknown key 'mising'", "did you mean 'missing'?"],
    ),
    "misspelt key of a join": (
        ("many_to_one}", "many_to_one, unmatchd: keep}"),
        ":6:54 tables.1.join.unmatchd:",
        ["unknown key 'unmatchd'", "did you mean 'unmatched'?"],
    ),
    "misspelt key of a feature": (
        ("unit: years", "units: years"),
        ":11:22 features.age.units:",
        ["unknown key 'units'", "did you mean 'unit'?", "infinite"],
    ),
    "misspelt key of the images": (
        ("channels: 1", "chanels: 1"),
        ":9:3 images.chanels:",
        ["unknown key 'chanels'", "did you mean 'channels'?"],
    ),
    "misspelt key of the rejects": (
        ("max_fraction", "max_fracton"),
        ":17:11 rejects.max_fracton:",
        ["unknown key 'max_fracton'", "did you mean 'max_fraction'?"],
    ),
    "misspelt key of a feature that is called like a type": (
        ("age: {type: float, unit: years}", "float: {type: class, values: [a], renam: {}}"),
        ":11:37 features.float.renam:",
        ["did you mean 'rename'?"],
    ),
    "misspelt key of a feature that is called like a part of the spec": (
        ("age: {type: float, unit: years}", "images: {type: class, values: [a], renam: {}}"),
        ":11:38 features.images.renam:",
        ["did you mean 'rename'?"],
    ),
    "unknown type": (
        ("type: float", "type: flaot"),
        ":11:9 features.age.type:",
        ["unknown type 'flaot'", "did you mean 'float'?"],
    ),
    "type missing": (
        ("{type: float, unit: years}", "{unit: years}"),
        ":11:3 features.age:",
        ["the key 'type' is missing", "float"],
    ),
    "values missing": (
        ("{type: labels, values: [edema, mass]}", "{type: labels}"),
        ":13:3 features.findings:",
        ["the key 'values' is missing"],
    ),
    "name missing": (("name: mine", "seed: 1"), ":1:1:", ["the key 'name' is missing"]),
    "path of a table missing": (
        ("- path: patients.csv\n    join", "- join"),
        ":5:5 tables.1:",
        ["the key 'path' is missing"],
    ),
    "supervised names no feature": (
        ("supervised: label", "supervised: lable"),
        ":14:1 supervised:",
        ["'lable'", "did you mean 'label'?"],
    ),
    "stratify names no feature": (
        "stratify: [findigs]\n",
        ":18:1 stratify:",
        ["'findigs'", "did you mean 'findings'?"],
    ),
    "stratify names a number": (
        "stratify: age\n",
        ":18:1 stratify:",
        ["'age'", "class and labels"],
    ),
    "shares below 1": (
        ("{train: 1/3, validation: 1/3, test: 1/3}", "{train: 0.7, test: 0.2}"),
        ":16:1 splits:",
        ["add up to 1", "0.9"],
    ),
    "share of nothing": (
        ("{train: 1/3, validation: 1/3, test: 1/3}", "{train: 1, test: 0}"),
        ":16:1 splits:",
        ["above 0"],
    ),
    "share that is no number": (
        ("train: 1/3,", "train: most,"),
        ":16:1 splits:",
        ["0.8", "1/3"],
    ),
    "share divided by zero": (("train: 1/3,", "train: 1/0,"), ":16:1 splits:", ["1/3"]),
    "rename to an unknown class": (
        ("{melanoma: mel}", "{melanoma: mell}"),
        ":12:3 features.label:",
        ["'mell'", "did you mean 'mel'?"],
    ),
    "missing_as is no class": (
        ("rename: {melanoma: mel}", "missing_as: nvv"),
        ":12:3 features.label:",
        ["missing_as: nvv", "did you mean 'nv'?"],
    ),
    "class named twice": (
        ("values: [nv, mel]", "values: [nv, mel, nv]"),
        ":12:3 features.label:",
        ["'nv' twice"],
    ),
    "no class at all": (
        ("values: [edema, mass]", "values: []"),
        ":13:28 features.findings.values:",
        ["at least 1 item"],
    ),
    "unknown cardinality": (
        ("cardinality: many_to_one", "cardinality: many_to_many"),
        ":6:28 tables.1.join.cardinality:",
        ["'many_to_many'", "'one_to_one', 'many_to_one' or 'one_to_many'"],
    ),
    "unknown policy": (
        ("{max_fraction: 0.25}", "{rows_without_image: ignore}"),
        ":17:11 rejects.rows_without_image:",
        ["'ignore'", "'reject', 'report' or 'refuse'"],
    ),
    "max_fraction above 1": (("0.25", "25"), ":17:11 rejects.max_fraction:", ["1"]),
    "join of the first table": (
        ("missing: [NA]", "join: {on: a, cardinality: one_to_one}"),
        ":3:5 tables.0:",
        ["the first table"],
    ),
    "later table without join": (
        ("    join: {on: patient_id, cardinality: many_to_one}\n", ""),
        ":5:5 tables.1:",
        ["join"],
    ),
    "table of an unknown kind": (
        ("patients.csv", "patients.docx"),
        ":5:5 tables.1.path:",
        ["patients.docx", ".csv", ".tsv"],
    ),
    "header and columns": (
        ("missing: [NA]", "columns: [a, b]"),
        ":3:5 tables.0:",
        ["columns:", "header: false"],
    ),
    "neither header nor columns": (
        ("missing: [NA]", "dialect: {header: false}"),
        ":3:5 tables.0:",
        ["columns:", "header: false"],
    ),
    "separator of two characters": (
        ("missing: [NA]", "dialect: {separator: '||'}"),
        ":4:15 tables.0.dialect.separator:",
        ["at most 1 character"],
    ),
    "absolute image path": (
        ('"png/{image_id}.png"', "/png/{image_id}.png"),
        ":8:3 images.path:",
        ["relative"],
    ),
    "image path that leaves the root": (
        ('"png/{image_id}.png"', '"../{image_id}.png"'),
        ":8:3 images.path:",
        ["stays inside"],
    ),
    "brace left open": (('{image_id}.png"', '{image_id.png"'), ":8:3 images.path:", ["brace"]),
    "no image path": (('"png/{image_id}.png"', "[]"), ":8:3 images.path:", ["at least one"]),
    "two channels": (("channels: 1", "channels: 2"), ":9:3 images.channels:", ["1, 3 or 4"]),
    "feature called image": (("  age:", "  image:"), ":10:1 features:", ["'image'"]),
    "feature name with a space": (("  age:", "  my age:"), ":10:1 features:", ["my age"]),
    "split name with a slash": (("train: 1/3", "a/b: 1/3"), ":16:1 splits:", ["a/b"]),
    "split called all": (("train: 1/3", "all: 1/3"), ":16:1 splits:", ["all"]),
    "name with a space": (("name: mine", "name: my corpus"), ":1:1 name:", ["pattern"]),
    "version of two numbers": (
        ("name: mine", "name: mine\nversion: '1.0'"),
        ":2:1 version:",
        ["pattern"],
    ),
    "pattern that does not compile": (
        "derive: {site: {from: path, pattern: 'a(b'}}\n",
        ":18:29 derive.site.pattern:",
        ["regular expression"],
    ),
    "two boxes features": (
        ("age: {type: float, unit: years}", BOXES),
        ":10:1 features:",
        ["at most one"],
    ),
    "boxes of three columns": (
        ("{type: float, unit: years}", "{type: boxes, columns: [a, b, c]}"),
        ":11:22 features.age.columns:",
        ["4"],
    ),
    "boxes with a label but no values": (
        ("{type: float, unit: years}", "{type: boxes, columns: [a, b, c, d], label: e}"),
        ":11:3 features.age:",
        ["label:", "values:"],
    ),
    "boxes whose rename leads nowhere": (
        (
            "{type: float, unit: years}",
            "{type: boxes, columns: [a, b, c, d], label: e, values: [rbc], rename: {red: rcb}}",
        ),
        ":11:3 features.age:",
        ["'rcb'", "did you mean 'rbc'?"],
    ),
    "boxes with a class named twice": (
        (
            "{type: float, unit: years}",
            "{type: boxes, columns: [a, b, c, d], label: e, values: [rbc, rbc]}",
        ),
        ":11:3 features.age:",
        ["'rbc' twice"],
    ),
    "labels without a separator": (
        ("{type: labels, values: [edema, mass]}", "{type: labels, values: [a], separator: ''}"),
        ":13:41 features.findings.separator:",
        ["separator"],
    ),
    "key that stands twice": (
        "supervised: age\n",
        ":18:1",
        ["'supervised' stands twice"],
    ),
    "nested key that stands twice": (
        ("unit: years", "unit: a, unit: b"),
        ":11:31",
        ["'unit' stands twice"],
    ),
    "YAML syntax": (("values: [nv, mel]", "values: [nv, mel"), ":12:", ["expected"]),
    "tab as indentation": (("  channels: 1", "\tchannels: 1"), ":9:1:", ["\\t"]),
    "number that is none": (
        ("name: mine", "name: mine\nseed: one"),
        ":2:1 seed:",
        ["integer"],
    ),
    "list instead of a mapping": (("{max_fraction: 0.25}", "[1]"), ":17:1 rejects:", ["dict"]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_spec_tells_place_and_remedy(tmp_path, name):
    change, place, words = BAD[name]
    text = GOOD + change if isinstance(change, str) else _edit(*change)
    error = _error(tmp_path, text)
    assert len(error.problems) == 1, str(error)
    message = str(error.problems[0])
    assert f"corpus.yaml{place}" in message
    for word in words:
        assert word in message
    assert message in str(error)


def test_all_problems_are_told_at_once(tmp_path):
    text = _edit("unit: years", "units: years").replace("type: labels", "type: label")
    text = text.replace("channels: 1", "chanels: 1").replace("1/3, test", "1/4, test")
    text = text.replace("many_to_one", "many")
    error = _error(tmp_path, text)
    places = [problem.where.rpartition(":")[2].partition(" ")[2] for problem in error.problems]
    assert sorted(places) == [
        "features.age.units",
        "features.findings.type",
        "images.chanels",
        "splits",
        "tables.1.join.cardinality",
    ]
    assert "5 problems" in str(error)


def test_all_wrong_references_are_told_at_once(tmp_path):
    text = _edit("supervised: label", "supervised: lable") + "stratify: [findigs, age]\n"
    message = str(_error(tmp_path, text))
    for word in ("'lable'", "'findigs'", "'age'"):
        assert word in message


def test_ten_of_many_problems_are_shown(tmp_path):
    features = "".join(f"  f{n}: {{type: flaot}}\n" for n in range(14))
    error = _error(tmp_path, f"name: x\nimages: {{path: a}}\nfeatures:\n{features}")
    assert len(error.problems) == 14
    assert str(error).count("flaot") == 10
    assert "and 4 more" in str(error)


def test_absent_spec_file_is_named(tmp_path):
    with pytest.raises(SpecError, match=r"nowhere\.yaml: there is no such file"):
        load_spec(tmp_path / "nowhere.yaml")


def test_folder_in_place_of_a_spec_is_refused(tmp_path):
    with pytest.raises(SpecError, match="cannot be read"):
        load_spec(tmp_path)


def test_spec_that_is_not_utf8_is_refused(tmp_path):
    path = tmp_path / "corpus.yaml"
    path.write_bytes(GOOD.replace("mine", "mïne").encode("latin-1"))
    with pytest.raises(SpecError, match=r"corpus\.yaml.*UTF-8"):
        load_spec(path)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just text\n"])
def test_spec_that_is_no_mapping_is_refused(tmp_path, text):
    assert "corpus.yaml:1:1" in str(_error(tmp_path, text))


def test_alias_that_holds_itself_is_refused(tmp_path):
    assert "corpus.yaml:1" in str(_error(tmp_path, "name: &a [*a]\n"))


def test_yaml_texts_stay_text(tmp_path):
    text = _edit("values: [nv, mel], rename: {melanoma: mel}", "values: [no, 007, NA, ~, 1.0, on]")
    spec = load_spec(_write(tmp_path, text)).spec
    assert spec.features["label"].values == ["no", "007", "NA", "~", "1.0", "on"]


def test_shares_are_exact_fractions(tmp_path):
    spec = load_spec(_write(tmp_path, GOOD)).spec
    assert set(spec.splits.values()) == {Fraction(1, 3)}
    tenths = CorpusSpec.from_dict(_minimal(splits={"train": 0.7, "validation": 0.2, "test": 0.1}))
    assert list(tenths.splits.values()) == [Fraction(7, 10), Fraction(2, 10), Fraction(1, 10)]


def _minimal(**more: object) -> dict[str, object]:
    return {"name": "x", "images": {"path": "{id}.png"}, "features": {"id": {"type": "id"}}, **more}


@pytest.mark.parametrize("key", ["group", "stratify", "tables", "splits", "features", "seed"])
def test_none_in_a_spec_made_in_code_is_told(key):
    with pytest.raises(SpecError, match=key):
        CorpusSpec.from_dict(_minimal(**{key: None}))


def test_defaults_of_a_small_spec():
    spec = CorpusSpec.from_dict(_minimal())
    assert spec.splits == {"train": Fraction(4, 5), "validation": Fraction(1, 10)} | {
        "test": Fraction(1, 10)
    }
    assert (spec.group, spec.stratify, spec.supervised, spec.tables) == ((), (), None, [])
    assert (spec.images.channels, spec.images.dtype) == (3, "uint8")
    assert spec.rejects.max_fraction == 0
    assert (spec.rejects.rows_without_image, spec.rejects.images_without_row) == (
        "reject",
        "report",
    )


STRATIFY = {
    "the supervised class is balanced unless told otherwise": ({"supervised": "c"}, ("c",)),
    "the supervised labels are balanced too": ({"supervised": "l"}, ("l",)),
    "a supervised number balances nothing": ({"supervised": "f"}, ()),
    "what is named wins": ({"supervised": "c", "stratify": "l"}, ("l",)),
    "several": ({"stratify": ["c", "l"]}, ("c", "l")),
}


@pytest.mark.parametrize("name", STRATIFY)
def test_stratify_follows_supervised(name):
    keys, expected = STRATIFY[name]
    features = {
        "c": {"type": "class", "values": ["a"]},
        "l": {"type": "labels", "values": ["a"]},
        "f": {"type": "float"},
    }
    assert CorpusSpec.from_dict(_minimal(features=features, **keys)).stratify == expected


def test_spec_survives_pickling(tmp_path):
    loaded = load_spec(_write(tmp_path, GOOD))
    copy = pickle.loads(pickle.dumps(loaded))
    assert copy.spec == loaded.spec
    assert copy.spec.stratify == ("label",)
    assert copy.root == loaded.root
    assert copy.source.where(("supervised",)) == loaded.source.where(("supervised",))


def test_error_survives_pickling_with_added_context(tmp_path):
    error = _error(tmp_path, GOOD + "sed: 1\n")
    error.args = (f"{error.args[0]}\nWhile building.",)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.problems, str(copy)) == (SpecError, error.problems, str(error))


def test_root_is_relative_to_the_spec(tmp_path):
    path = _write(tmp_path, GOOD + "root: data\n")
    assert load_spec(path).root == str(tmp_path / "data")
    assert load_spec(path, root=tmp_path / "other").root == str(tmp_path / "other")


def test_feature_reads_its_own_column_by_default(tmp_path):
    spec = load_spec(_write(tmp_path, GOOD)).spec
    used = dict(spec.columns_used())
    assert used["features", "age"] == "age"
    assert used["features", "label"] == "dx"
    assert used["images", "path"] == "image_id"
    assert used["group",] == "patient_id"


def test_place_of_an_unknown_part_is_that_of_its_parent():
    source = parse_yaml("a:\n  b: [1, 2]\n", name="x.yaml")
    assert source.where(("a", "b", 1)) == "x.yaml:2:10 a.b.1"
    assert source.where(("a", "b", 7, "c")) == "x.yaml:2:3 a.b.7.c"
    assert source.where(("z",)) == "x.yaml:1:1 z"
