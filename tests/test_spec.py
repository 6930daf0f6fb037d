"""The spec: what is read from YAML, and how each mistake in it is told."""

import pathlib
import pickle
import textwrap
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import MANY

from medical_images.corpus import spec_digest
from medical_images.errors import SpecError
from medical_images.spec import CorpusSpec, Splits, Stratum, load_spec
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
        ":18:12 stratify.0:",
        ["'findigs'", "did you mean 'findings'?"],
    ),
    "stratify names a number without bins": (
        "stratify: age\n",
        ":18:1 stratify:",
        ["{feature: age, bins: [40, 60]}"],
    ),
    "stratify names a text": (
        (
            "findings: {type: labels, values: [edema, mass]}\n",
            "note: {type: text}\nstratify: note\n",
        ),
        ":14:1 stratify:",
        ["'note'", "class, labels, uncertain, float and int"],
    ),
    "stratify names a feature twice": (
        "stratify: [label, findings, label]\n",
        ":18:29 stratify.2:",
        ["'label' twice"],
    ),
    "stratify without a name": (
        "stratify: [label, {bins: 4}]\n",
        ":18:19 stratify.1:",
        ["'feature' is missing"],
    ),
    "misspelt key of a stratum": (
        "stratify: {feature: age, bin: 4}\n",
        ":18:26 stratify.bin:",
        ["unknown key 'bin'", "did you mean 'bins'?"],
    ),
    "bins of a class": (
        "stratify: {feature: label, bins: 2}\n",
        ":18:28 stratify.bins:",
        ["bins are for numbers", "'label'"],
    ),
    "bins that descend": (
        "stratify: [{feature: age, bins: [60, 40]}]\n",
        ":18:27 stratify.0.bins:",
        ["ascending", "[40, 60]"],
    ),
    "bins without an edge": (
        "stratify: {feature: age, bins: []}\n",
        ":18:26 stratify.bins:",
        ["inner edges"],
    ),
    "bins with an edge that is no number": (
        "stratify: {feature: age, bins: [1, nan]}\n",
        ":18:26 stratify.bins:",
        ["inner edges"],
    ),
    "one bin": ("stratify: {feature: age, bins: 1}\n", ":18:26 stratify.bins:", ["from 2"]),
    "half a bin": ("stratify: {feature: age, bins: 2.5}\n", ":18:26 stratify.bins:", ["from 2"]),
    "unknown rule for duplicates": (
        "duplicates: drop\n",
        ":18:1 duplicates:",
        ["'drop'", "'group', 'report' or 'reject'"],
    ),
    "unknown rule for classes without image": (
        ("{max_fraction: 0.25}", "{classes_without_image: reject}"),
        ":17:11 rejects.classes_without_image:",
        ["'reject'", "'refuse' or 'report'"],
    ),
    "shares below 1": (
        ("{train: 1/3, validation: 1/3, test: 1/3}", "{train: 0.7, test: 0.2}"),
        ":16:1 splits:",
        ["add up to 1", "0.9"],
    ),
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
        ":12:36 features.label.values:",
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
        ":11:55 features.age.values:",
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
        ["takes a whole number, and not 'one'"],
    ),
    "number below its least": (
        ("name: mine", "name: mine\nseed: -1"),
        ":2:1 seed:",
        ["must be greater than or equal to 0, and is '-1'"],
    ),
    "list instead of a mapping": (
        ("{max_fraction: 0.25}", "[1]"),
        ":17:1 rejects:",
        ["takes keys with values (max_fraction, ", "and not a list"],
    ),
    "feature that is only its type": (
        ("age: {type: float, unit: years}", "age: float"),
        ":11:3 features.age:",
        ["takes keys with values, such as {type: id}, and not 'float'"],
    ),
}
SPLITS = "splits: {train: 1/3, validation: 1/3, test: 1/3}"
# The same for what stands in place of the splits; several messages where there are several.
BAD_SPLITS = {
    "share of nothing": ("{train: 1, test: 0}", [(":16:20 splits.test:", ["above 0"])]),
    "share below nothing": ("{train: 1.5, test: -0.5}", [(":16:22 splits.test:", ["above 0"])]),
    "share that is no number": (
        "{train: most, test: 0.2}", [(":16:10 splits.train:", ["'most'", "0.8", "1/3"])]),
    "share divided by zero": ("{train: 1/0}", [(":16:10 splits.train:", ["'1/0'"])]),
    "shares in percent": (
        "{train: 80%, test: 20%}",
        [(":16:10 splits.train:", ["'80%'"]), (":16:22 splits.test:", ["'20%'"])]),
    "shares above 1": ("{train: 0.8, test: 0.3}", [(":16:1 splits:", ["add up to 1 ", "1.1"])]),
    "shares that leave nothing for the rest": (
        "{train: 1.0, test: rest}", [(":16:1 splits:", ["nothing for test"])]),
    "shares that leave nothing for folds": (
        "{test: 1, folds: 5}", [(":16:1 splits:", ["nothing for fold_0"])]),
    "two rests": (
        "{train: rest, test: rest}", [(":16:23 splits.test:", ["only one", "train"])]),
    "rest and folds": (
        "{train: rest, folds: 2}", [(":16:23 splits.folds:", ["`rest`", "train"])]),
    "share and count": (
        "{train: 0.8, test: 200}", [(":16:22 splits.test:", ["(test)", "(train)", "mix"])]),
    "misspelt key with a word": (
        "{train: 1, colum: official}",
        [(":16:20 splits.colum:", ["'official'", "did you mean 'column'?"])]),
    "misspelt key with a number": (
        "{test: 0.2, fold: 5}", [(":16:21 splits.fold:", ["mix", "did you mean 'folds'?"])]),
    "misspelt key with a list": (
        "{train: 1, value: [a]}", [(":16:20 splits.value:", ["did you mean 'values'?"])]),
    "one fold": ("{folds: 1}", [(":16:10 splits.folds:", ["2"])]),
    "no split": ("{}", [(":16:1 splits:", ["train: 0.8", "leave_one_out"])]),
    "keys without a split": (
        "{method: hash}",
        [(":16:1 splits:", ["no split"]), (":16:10 splits.method:", ["planned"])]),
    "list": ("[train, test]", [(":16:1 splits:", ["maps names to shares"])]),
    "name with a slash": ("{a/b: 1}", [(":16:10 splits.a/b:", ["not a split name", "a/b"])]),
    "name all": ("{all: 1}", [(":16:10 splits.all:", ["not a split name", "all"])]),
    "name rest": ("{rest: 1}", [(":16:10 splits.rest:", ["not a split name", "rest"])]),
    "official name that is a key": (
        "{files: {on: a.txt}}", [(":16:18 splits.files.on:", ["not a split name"])]),
    "name of a fold": (
        "{fold_1: 0.5, folds: 2}", [(":16:10 splits.fold_1:", ["one of the 2 folds"])]),
    "official name of a fold": (
        "{column: a, values: [fold_0], folds: 2}",
        [(":16:21 splits.values.fold_0:", ["one of the 2 folds"])]),
    "planned and official at once": (
        "{train: 0.9, test: 0.1, files: {test: a.txt}}",
        [(":16:41 splits.files.test:", ["planned and official"])]),
    "column and files": (
        "{column: a, values: [b], files: {test: a.txt}}",
        [(":16:34 splits.files:", ["one key", "`column`"])]),
    "files and leave_one_out": (
        "{files: {test: a.txt}, leave_one_out: label}",
        [(":16:32 splits.leave_one_out:", ["one key", "`files`"])]),
    "column without values": ("{column: a}", [(":16:10 splits.column:", ["values: {train"])]),
    "values that are neither": (
        "{column: a, values: [[b]]}", [(":16:21 splits.values:", ["{split: [cells]}"])]),
    "values without column": ("{train: 1, values: [b]}", [(":16:20 splits.values:", ["column"])]),
    "cell of two splits": (
        "{column: a, values: {train: [x, y], test: y}}",
        [(":16:21 splits.values:", ["'y'", "2 splits"])]),
    "cells of the rest and nothing planned": (
        "{column: a, values: {train: x, rest: y}}",
        [(":16:40 splits.values.rest:", ["no split is planned", "0.9"])]),
    "on without files": ("{train: 1, on: a}", [(":16:20 splits.on:", ["files"])]),
    "leaks of planned splits": (
        "{train: 1, allow_leaks: true}", [(":16:20 splits.allow_leaks:", ["official"])]),
    "leave_one_out and what is planned": (
        "{leave_one_out: label, train: 1, method: hash, extend: ../old}",
        [(":16:32 splits.train:", ["leave_one_out"]),
         (":16:42 splits.method:", ["none is planned"]),
         (":16:56 splits.extend:", ["none is planned"]),
         (":16:56 splits.extend:", ["hash"])]),
    "leave_one_out and folds": (
        "{leave_one_out: label, folds: 5}", [(":16:32 splits.folds:", ["leave_one_out"])]),
    "leave_one_out of a misspelt feature": (
        "{leave_one_out: lable}", [(":16:10 splits.leave_one_out:", ["did you mean 'label'?"])]),
    "leave_one_out of a number": (
        "{leave_one_out: age}", [(":16:10 splits.leave_one_out:", ["'age'", "class"])]),
    "hash and a former dataset": (
        "{train: 1, method: hash, extend: a}", [(":16:34 splits.extend:", ["hash"])]),
    "hash and counts": (
        "{train: 80, test: rest, method: hash}", [(":16:33 splits.method:", ["counts"])]),
    "unknown method": (
        "{train: 1, method: hsh}", [(":16:20 splits.method:", ["'line' or 'hash'"])]),
    "deviation below 0": (
        "{train: 1, max_deviation: -1}", [(":16:20 splits.max_deviation:", ["0"])]),
    "leaks that are neither": (
        "{leave_one_out: label, allow_leaks: perhaps}",
        [(":16:32 splits.allow_leaks:", ["true or false", "'perhaps'"])]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_SPLITS)
def test_bad_splits_tell_places_and_remedies(tmp_path, name):
    splits, expected = BAD_SPLITS[name]
    error = _error(tmp_path, _edit(SPLITS, f"splits: {splits}"))
    messages = sorted(map(str, error.problems))
    assert len(messages) == len(expected), str(error)
    for place, words in expected:
        fitting = [text for text in messages if f"corpus.yaml{place}" in text]
        assert any(all(word in text for word in words) for text in fitting), (place, str(error))


def test_classes_whose_splits_would_have_one_name_are_refused(tmp_path):
    text = _edit(SPLITS, "splits: {leave_one_out: label}")
    text = text.replace("values: [nv, mel]", "values: [a b, a-b, mel]")
    error = _error(tmp_path, text)
    assert ":16:10 splits.leave_one_out: the classes 'a b', 'a-b'" in str(error)
    assert "'label_a_b'" in str(error)


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
    text = _edit("supervised: label", "supervised: lable") + "stratify: [findigs, agee]\n"
    message = str(_error(tmp_path, text))
    for word in ("'lable'", "'findigs'", "'agee'"):
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


def test_a_folder_means_the_corpus_yaml_in_it(tmp_path):
    with pytest.raises(SpecError, match=r"folder without a corpus\.yaml; `medical-images init`"):
        load_spec(tmp_path)
    path = tmp_path / "corpus.yaml"
    path.write_text(GOOD)
    assert load_spec(tmp_path) == load_spec(path)


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
    assert set(spec.splits.planned(100).values()) == {Fraction(1, 3)}
    tenths = _splits({"train": 0.7, "validation": 0.2, "test": 0.1})
    assert list(tenths.planned(7).values()) == [Fraction(7, 10), Fraction(2, 10), Fraction(1, 10)]


def _minimal(**more: object) -> dict[str, object]:
    return {"name": "x", "images": {"path": "{id}.png"}, "features": {"id": {"type": "id"}}, **more}


@pytest.mark.parametrize("key", ["group", "stratify", "tables", "splits", "features", "seed"])
def test_none_in_a_spec_made_in_code_is_told(key):
    with pytest.raises(SpecError, match=key):
        CorpusSpec.from_dict(_minimal(**{key: None}))


def test_defaults_of_a_small_spec():
    spec = CorpusSpec.from_dict(_minimal())
    assert spec.splits.planned(30) == {"train": Fraction(4, 5), "validation": Fraction(1, 10)} | {
        "test": Fraction(1, 10)
    }
    assert (spec.splits.official, spec.splits.method, spec.splits.on) == ([], "line", "images.path")
    assert spec.duplicates == "group"
    assert spec.rejects.classes_without_image == "refuse"
    assert (spec.group, spec.stratify, spec.supervised, spec.tables) == ((), (), None, [])
    assert (spec.images.channels, spec.images.dtype) == (3, "uint8")
    assert spec.rejects.max_fraction == 0
    assert (spec.rejects.rows_without_image, spec.rejects.images_without_row) == (
        "reject",
        "report",
    )


def _splits(splits: dict[str, object]) -> Splits:
    return CorpusSpec.from_dict(_minimal(splits=splits)).splits


# Each case: the splits, how many images there are, and how many of them each planned split has.
PLANNED = {
    "whole number 1 alone is the share 1": ({"train": "1"}, 10, {"train": 10}),
    "1 as a number": ({"train": 1}, 10, {"train": 10}),
    "decimals and fractions": ({"train": "0.5", "test": "1/2"}, 10, {"train": 5, "test": 5}),
    "a share and the rest": ({"train": "rest", "test": "0.2"}, 10, {"train": 8, "test": 2}),
    "the rest alone": ({"train": "rest"}, 10, {"train": 10}),
    "counts": ({"train": "7", "test": "1"}, 8, {"train": 7, "test": 1}),
    "counts of 1": ({"train": "1", "test": "1"}, 2, {"train": 1, "test": 1}),
    "a count and the rest": ({"test": "3", "train": "rest"}, 10, {"test": 3, "train": 7}),
    "folds": ({"folds": "4"}, 10, {f"fold_{n}": Fraction(5, 2) for n in range(4)}),
    "a share and folds": ({"folds": 2, "test": 0.2}, 10, {"test": 2, "fold_0": 4, "fold_1": 4}),
    "a count and folds": ({"test": 4, "folds": 2}, 10, {"test": 4, "fold_0": 3, "fold_1": 3}),
    "beside official splits": (
        {"files": {"test": "a.txt"}, "train": "0.9", "validation": "0.1"}, 20,
        {"train": 18, "validation": 2}),
    "official splits alone": ({"column": "a", "values": ["train", "test"]}, 10, {}),
    "each class left out": ({"leave_one_out": "site"}, 10, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANNED)
def test_planned_shares_are_exact_and_in_order(name):
    keys, num_images, expected = PLANNED[name]
    features = {"id": {"type": "id"}, "site": {"type": "class", "values": ["a"]}}
    splits = CorpusSpec.from_dict(_minimal(splits=keys, features=features)).splits
    shares = splits.planned(num_images)
    assert list(shares) == list(expected)
    assert {name: share * num_images for name, share in shares.items()} == expected
    assert splits.is_planned == bool(expected)


WRONG_COUNTS = {
    "too few": ({"train": 80, "test": 20}, 101, ["100 images", "101", "`rest`", "0.8"]),
    "too many": ({"train": 80, "test": 20}, 99, ["100 images", "99", "`rest`"]),
    "too many before the rest": ({"train": 80, "test": "rest"}, 79, ["80 images", "79"]),
    "none left for the rest": ({"train": 80, "test": "rest"}, 80, ["none of the 80 for test"]),
    "none left for folds": ({"test": 80, "folds": 2}, 80, ["none of the 80 for fold_0, fold_1"]),
    "no image at all": ({"train": 1, "test": 1}, 0, ["2 images", "0 are"]),
}


@pytest.mark.parametrize("name", WRONG_COUNTS)
def test_counts_that_do_not_fit_the_images_are_told(name):
    keys, num_images, words = WRONG_COUNTS[name]
    with pytest.raises(ValueError, match="the counts add up to") as caught:
        _splits(keys).planned(num_images)
    for word in words:
        assert word in str(caught.value)


@MANY
@given(
    parts=st.lists(st.integers(2, 50), min_size=1, max_size=6),
    rest=st.none() | st.integers(0, 5),
    folds=st.integers(2, 9),
    are_counts=st.booleans(),
)
def test_planned_shares_add_up_to_one_and_keep_their_proportions(parts, rest, folds, are_counts):
    total = sum(parts)
    sizes = {f"s{n}": size if are_counts else f"{size}/{total}" for n, size in enumerate(parts)}
    expected = {name: Fraction(size, total) for name, size in zip(sizes, parts, strict=True)}
    if rest is not None and rest < len(parts):  # this one takes what the others leave
        sizes[f"s{rest}"] = "rest"
    elif rest is not None and len(parts) > 1:  # and here the folds take what the last would have
        left = expected.pop(sizes.popitem()[0]) / folds
        expected |= {f"fold_{n}": left for n in range(folds)}
        sizes["folds"] = folds
    shares = _splits(sizes).planned(total)
    assert list(shares.items()) == list(expected.items())
    assert sum(shares.values()) == 1


OFFICIAL = {
    "list of cells": (["train", "test"], ["train", "test"], {"train": ["train"], "test": ["test"]}),
    "cells of each": (
        {"test": ["TEST", " test "], "train": "1"}, ["test", "train"],
        {"test": ["TEST", "test"], "train": ["1"]}),
    "cells of the rest": (
        {"rest": ["train_val"], "test": ["ne\u0301ant"]}, ["test"],
        {"rest": ["train_val"], "test": ["n\u00e9ant"]}),
}  # fmt: skip


@pytest.mark.parametrize("name", OFFICIAL)
def test_values_name_official_splits(name):
    values, official, expected = OFFICIAL[name]
    splits = _splits({"column": "set", "values": values, "validation": 1})
    assert (splits.official, splits.values) == (official, expected)
    assert _splits({"files": {"b": "b.txt", "a": "a.txt"}}).official == ["b", "a"]


def _stratum(feature: str, bins: object = None) -> Stratum:
    return Stratum(feature=feature, bins=bins)


STRATIFY = {
    "the supervised class is balanced unless told otherwise": (
        {"supervised": "c"}, [_stratum("c")]),
    "the supervised labels are balanced too": ({"supervised": "l"}, [_stratum("l")]),
    "a supervised number balances nothing": ({"supervised": "f"}, []),
    "nothing on purpose": ({"supervised": "c", "stratify": []}, []),
    "what is named wins": ({"supervised": "c", "stratify": "l"}, [_stratum("l")]),
    "several": ({"stratify": ["c", "l"]}, [_stratum("c"), _stratum("l")]),
    "edges": (
        {"stratify": {"feature": "f", "bins": ["40", "60.5"]}}, [_stratum("f", (40.0, 60.5))]),
    "number of bins": (
        {"stratify": ["c", {"feature": "f", "bins": "4"}]}, [_stratum("c"), _stratum("f", 4)]),
    "made in code": ({"stratify": [_stratum("f", [40])]}, [_stratum("f", (40.0,))]),
}  # fmt: skip


@pytest.mark.parametrize("name", STRATIFY)
def test_stratify_follows_supervised(name):
    keys, expected = STRATIFY[name]
    features = {
        "c": {"type": "class", "values": ["a"]},
        "l": {"type": "labels", "values": ["a"]},
        "f": {"type": "float"},
    }
    spec = CorpusSpec.from_dict(_minimal(features=features, **keys))
    assert spec.stratify == tuple(expected)


def test_spec_made_of_the_parts_of_another_is_the_same():
    splits = {"files": {"test": "a.txt"}, "on": "id", "train": "1/3", "validation": "rest"}
    spec = CorpusSpec.from_dict(_minimal(splits=splits, duplicates="report"))
    assert CorpusSpec.from_dict(spec.model_dump()) == spec


DIGESTS = {
    "sizes": ({"splits": {"train": 1}}, {"splits": {"train": 0.5, "test": 0.5}}),
    "shares and counts": ({"splits": {"train": 1}}, {"splits": {"train": "rest"}}),
    "order of the splits": (
        {"splits": {"a": 0.5, "b": 0.5}}, {"splits": {"b": 0.5, "a": 0.5}}),
    "method": ({"splits": {"train": 1}}, {"splits": {"train": 1, "method": "hash"}}),
    "bins": (
        {"stratify": {"feature": "age", "bins": 4}}, {"stratify": {"feature": "age", "bins": [4]}}),
    "duplicates": ({"duplicates": "group"}, {"duplicates": "reject"}),
}  # fmt: skip


@pytest.mark.parametrize("name", DIGESTS)
def test_digest_tells_specs_apart_by_what_decides_the_dataset(name):
    features = {"id": {"type": "id"}, "age": {"type": "int"}}
    made = [CorpusSpec.from_dict(_minimal(features=features, **keys)) for keys in DIGESTS[name]]
    again = [CorpusSpec.from_dict(spec.model_dump()) for spec in made]
    assert spec_digest(made[0]) != spec_digest(made[1])
    assert [spec_digest(spec) for spec in again] == [spec_digest(spec) for spec in made]


def test_spec_survives_pickling(tmp_path):
    loaded = load_spec(_write(tmp_path, GOOD))
    copy = pickle.loads(pickle.dumps(loaded))
    assert copy.spec == loaded.spec
    assert copy.spec.stratify == (Stratum(feature="label"),)
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
    assert ("splits", "column") not in used
    official = CorpusSpec.from_dict(_minimal(splits={"column": "set", "values": ["train"]}))
    assert dict(official.columns_used())["splits", "column"] == "set"
    listed = CorpusSpec.from_dict(_minimal(splits={"files": {"train": "a.txt"}, "on": "name"}))
    assert dict(listed.columns_used())["splits", "on"] == "name"


def test_place_of_an_unknown_part_is_that_of_its_parent():
    source = parse_yaml("a:\n  b: [1, 2]\n", name="x.yaml")
    assert source.where(("a", "b", 1)) == "x.yaml:2:10 a.b.1"
    assert source.where(("a", "b", 7, "c")) == "x.yaml:2:3 a.b.7.c"
    assert source.where(("z",)) == "x.yaml:1:1 z"


# Each case: the type of a feature, its keys, and words of the message.
BAD_FEATURES = {
    "uncertain without a policy": ({"type": "uncertain"}, ["'policy' is missing"]),
    "unknown policy": ({"type": "uncertain", "policy": "one"}, ["'one'", "'ones', 'zeros'"]),
    "state with two cells": (
        {"type": "uncertain", "policy": "ones", "uncertain": ["?", "1"]}, ["'1'", "`positive:`"]),
    "blank as a state": (
        {"type": "uncertain", "policy": "ones", "negative": ["0", ""]}, ["`blank:`"]),
    "classes equal in normal form": (
        {"type": "class", "values": ["e\u0301", "x", "\u00e9 "]},
        ["'e\\u0301'", "'\\xe9 '", "NFC"]),
    "classes equal without white space": (
        {"type": "labels", "values": ["a ", "a"]}, ["'a '", "'a'"]),
    "spellings equal in normal form": (
        {"type": "class", "values": ["a", "b"], "rename": {"x": "a", "x ": "b"}}, ["'x '"]),
    "columns of classes that are not there": (
        {"type": "class", "columns": {"MEL": "mel"}, "values": ["nv", "mell"]},
        ["'mel'", "did you mean 'mell'?"]),
    "columns and a column": (
        {"type": "labels", "columns": ["a"], "column": "b"}, ["`column:`", "`columns:`"]),
    "columns and a separator": (
        {"type": "labels", "columns": ["a"], "separator": ";"}, ["`separator:`"]),
    "columns named twice": ({"type": "labels", "columns": ["a", "b", "a"]}, ["'a' twice"]),
    "no columns": ({"type": "labels", "columns": []}, ["at least 1"]),
    "a mark of both kinds": (
        {"type": "labels", "columns": ["a"], "positive": ["x"], "negative": ["x"]}, ["'x'"]),
    "marks of one column": ({"type": "class", "values": ["a"], "positive": ["x"]}, ["`columns:`"]),
    "a list with a separator": (
        {"type": "labels", "values": ["a"], "format": "list", "separator": ";"}, ["commas"]),
    "no separators": ({"type": "labels", "values": ["a"], "separator": []}, ["one character"]),
    "age in months": ({"type": "float", "format": "age", "unit": "months"}, ["years"]),
    "plus of no age": ({"type": "int", "plus": "keep"}, ["`format: age`"]),
    "date without a year": ({"type": "date", "format": "%d.%m."}, ["'%d.%m.'", "year"]),
    "date by no code": ({"type": "date", "format": "%Q"}, ["'%Q'"]),
    "union of classes": (
        {"type": "class", "values": ["a"], "across_rows": "union"},
        ["'union'", "'same', 'majority' or 'all'"]),
    "majority of numbers": ({"type": "float", "across_rows": "majority"}, ["'same' or 'all'"]),
    "reader without votes": (
        {"type": "labels", "values": ["a"], "across_rows": "union", "reader": "r"}, ["`reader:`"]),
    "text across rows": ({"type": "text", "across_rows": "all"}, ["'across_rows'"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FEATURES)
def test_bad_features_are_told_as_one_problem(name):
    keys, words = BAD_FEATURES[name]
    spec = {"name": "mine", "images": {"path": "{id}.png"}, "features": {"x": keys}}
    with pytest.raises(SpecError) as caught:
        CorpusSpec.from_dict(spec)
    assert len(caught.value.problems) == 1, str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_keys_of_features_have_their_defaults():
    spec = CorpusSpec.from_dict(
        {
            "name": "mine",
            "tables": [{"path": "data.csv"}],
            "images": {"path": "{id}.png"},
            "features": {
                "dx": {"type": "class", "columns": {"MEL": "mel", "NV": "nv", "M": "mel"}},
                "findings": {"type": "labels", "columns": ["Edema", "Mass"], "reader": "who",
                             "across_rows": "majority"},
                "edema": {"type": "uncertain", "policy": "class", "column": "Edema"},
                "mass": {"type": "uncertain", "policy": "ignore"},
            },
            "supervised": "mass",
        }
    )  # fmt: skip
    assert spec.classes == {
        "dx": ["mel", "nv"],
        "findings": ["Edema", "Mass"],
        "edema": ["negative", "positive", "uncertain"],
        "mass": ["negative", "positive"],
    }
    assert spec.features["findings"].columns("findings") == ("Edema", "Mass", "who")
    assert spec.stratify == (Stratum(feature="mass", bins=None),)
    assert CorpusSpec.from_dict(spec.model_dump(by_alias=True)) == spec


NUMBERS = {"type": "float", "across_rows": "all"}
VOTES = {"type": "class", "values": ["a", "b"], "across_rows": "majority"}
EYES = {"left": {"file": "Left"}, "right": {"file": "Right"}}
# Each case: keys of the spec, and words of the message.
BAD_TOGETHER = {
    "bins of several numbers": (
        {"features": {"x": NUMBERS}, "stratify": {"feature": "x", "bins": 2}}, ["'x' is none"]),
    "one class of several left out": (
        {"features": {"x": VOTES}, "splits": {"leave_one_out": "x"}}, ["share", "'x' is none"]),
    "nothing to explode": (
        {"tables": [], "explode": {"column": "eye", "into": EYES}}, ["explode", "no"]),
    "halves that differ": (
        {"explode": {"column": "eye", "into": {**EYES, "third": {"fil": "x"}}}}, ["'fil'"]),
    "one half": ({"explode": {"column": "eye", "into": {"left": {"file": "x"}}}}, ["2"]),
    "entry that is a new column": ({"explode": {"column": "file", "into": EYES}}, ["'file'"]),
    "column that is derived too": (
        {"explode": {"column": "eye", "into": EYES}, "derive": {"eye": {"from": "id"}}}, ["'eye'"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_TOGETHER)
def test_parts_that_do_not_go_together_are_told(name):
    keys, words = BAD_TOGETHER[name]
    good = {"name": "mine", "tables": [{"path": "a.csv"}], "images": {"path": "{id}.png"}}
    with pytest.raises(SpecError) as caught:
        CorpusSpec.from_dict({**good, "features": {}, **keys})
    assert len(caught.value.problems) == 1, str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_codes_that_are_accepted_are_known_ones():
    with pytest.raises(
        SpecError, match=r"rejects\.accept.*no code 'truncate'; did you mean 'trunc"
    ):
        CorpusSpec.from_dict(
            {
                "name": "mine",
                "images": {"path": "{id}.png"},
                "features": {"id": {"type": "id"}},
                "rejects": {"accept": ["truncate"]},
            }
        )
