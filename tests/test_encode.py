"""Metadata as vectors and tokens."""

import datetime
import json
import math

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from conftest import build, run_python
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import medical_images as mi
from medical_images.transforms.encode import MetadataEncoder
from medical_images.transforms.encodings.classes import MultiHot, OneHot
from medical_images.transforms.encodings.numbers import Day, Number
from medical_images.transforms.encodings.texts import Tokens

FINDINGS = ["mass", "air", "scar"]
FEATURES = {
    "image_id": {"type": "id"},
    "patient_id": {"type": "id"},
    "dx": {"type": "class", "values": ["benign", "malignant"]},
    "age": {"type": "float"},
    "packs": {"type": "int", "missing_as": -1},
    "number": {"type": "int"},
    "edema": {"type": "uncertain", "policy": "ignore"},
    "findings": {"type": "labels", "values": FINDINGS},
    "visited": {"type": "date"},
    "note": {"type": "text"},
    "ages": {"type": "float", "column": "age", "across_rows": "all"},
}
ENCODED = ["number", "edema", "visited", "note", "age", "findings", "packs"]


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    """A dataset with a feature of every kind, each with gaps; patients have two images each."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "img").mkdir()
    lines = ["image_id,patient_id,dx,age,packs,number,edema,findings,visited,note"]
    for k in range(48):
        Image.new("RGB", (8, 8), (5 * k, 40, k)).save(folder / "img" / f"I{k}.png")
        age, packs = "" if k % 7 == 0 else 30 + k / 10, "" if k % 5 == 0 else 3 * k
        findings = "|".join(name for bit, name in enumerate(FINDINGS) if k >> bit & 1)
        day = "" if k % 11 == 0 else datetime.date(2019, 12, 1) + datetime.timedelta(days=k * k)
        note = ["", "Seen, ONCE", f"seen by Dr. Name{k // 2}", "ÉTAT: 1.5 mm²"][k % 4]
        cells = (f"I{k}", f"P{k // 2}", ["benign", "malignant"][k % 3 == 0], age, packs)
        others = (10**12 + k, [-1, 0, 1][k % 3], findings, day, note)
        lines.append(",".join(f'"{cell}"' for cell in (*cells, *others)))
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    spec = {
        "name": "kinds",
        "tables": [{"path": "t.csv"}],
        "images": {"path": "img/{image_id}.png"},
        "features": FEATURES,
        "supervised": "dx",
        "group": "patient_id",
        "splits": {"train": 0.75, "test": 0.25},
    }
    (folder / "corpus.yaml").write_text(json.dumps(spec))
    return build(folder / "corpus.yaml", tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def encoder(builder):
    return fit(builder)


def fit(builder, split="train", features=ENCODED, **kwargs):
    choices = {"dates": ["visited"], "missing": {"packs": -1}, "text_length": 4, **kwargs}
    return MetadataEncoder.fit(builder, split, features=features, **choices)


def examples(builder, split):
    ds = builder.as_dataset(split=split, decoders={"image": tfds.decode.SkipDecoding()})
    return ds.map(lambda example: {key: example[key] for key in example if key != "ages"})


def batch_of(builder, split):
    return next(iter(examples(builder, split).ragged_batch(100)))


def oracle(table, fitted_to):
    """The columns as pandas makes them from the index."""

    def standard(values):
        known = values(fitted_to).dropna()
        return ((values(table) - known.mean()) / known.std(ddof=0)).fillna(0)

    def days(t):
        return (pd.to_datetime(t["visited"], format="%Y-%m-%d") - pd.Timestamp(0)).dt.days

    def packs(t):
        return t["packs"].where(t["packs"] != -1)

    columns = {"number": standard(lambda t: t["number"].astype("float64"))}
    for state in ("negative", "positive"):
        columns[f"edema={state}"] = table["edema"] == state
    columns["edema_missing"] = table["edema"].isna()
    columns["visited"], columns["visited_missing"] = standard(days), days(table).isna()
    columns["age"], columns["age_missing"] = standard(lambda t: t["age"]), table["age"].isna()
    for name in FINDINGS:
        columns[f"findings={name}"] = table["findings"].map(lambda found, name=name: name in found)
    columns["packs"], columns["packs_missing"] = standard(packs), packs(table).isna()
    return pd.DataFrame(columns).astype("float64")


@pytest.mark.parametrize("split", ["train", "test", "train[:30%]"])
def test_columns_are_those_of_pandas(builder, encoder, split):
    expected = oracle(mi.index(builder, split), mi.index(builder, "train"))
    found = encoder(batch_of(builder, split))["metadata"]
    assert encoder.columns == tuple(expected.columns)
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, expected, atol=2e-6)
    if split == "train":
        flags = expected.filter(like="_missing")
        assert flags.columns.size == 4
        assert flags.any().all()
        numbers = found.numpy()[:, [0, 4, 6, 11]]
        np.testing.assert_allclose(numbers.mean(axis=0), 0, atol=1e-6)


def test_texts_become_tokens_of_words_that_several_patients_have(builder, encoder):
    words = encoder.encodings[3].vocabulary
    assert set(words) == {"seen", "once", "by", "dr", "état", "1", "5", "mm²"}
    assert words[0] == "seen"
    assert encoder.num_tokens == {"tokens_note": 10}
    texts = tf.constant(["", "Seen; once", "SEEN by Dr. Name3 again", "état 1.5 mm² — seen"])
    batch = {key: values[:4] for key, values in batch_of(builder, "train").items()}
    tokens = encoder({**batch, "note": texts})["tokens_note"]
    number = {word: place for place, word in enumerate(words, 2)}
    told = [[], ["seen", "once"], ["seen", "by", "dr", "?"], ["état", "1", "5", "mm²"]]
    assert tokens.dtype == tf.int64
    assert tokens.numpy().tolist() == [
        [number.get(word, 1) for word in line] + [0] * (4 - len(line)) for line in told
    ]
    all_words = fit(builder, min_groups=1).encodings[3].vocabulary
    assert len(all_words) > len(words)
    assert fit(builder, text_vocabulary=5).encodings[3].vocabulary == words[:3]


def test_scalars_batches_and_pipelines_agree(builder, encoder):
    whole = encoder(batch_of(builder, "train"))
    ds = examples(builder, "train")
    for again in (ds.map(encoder).batch(100), ds.ragged_batch(100).map(encoder)):
        assert {key: spec.shape[-1] for key, spec in again.element_spec.items()} == {
            "metadata": len(encoder.columns),
            "tokens_note": 4,
        }
        for key, values in next(iter(again)).items():
            np.testing.assert_array_equal(values, whole[key])
    for place, example in enumerate(tfds.as_numpy(ds.take(3))):
        for key, values in encoder(example).items():
            np.testing.assert_array_equal(values, whole[key][place])


def test_what_mi_load_gives_is_encoded_alike(builder, encoder):
    whole = encoder(batch_of(builder, "test"))
    ds = mi.load(builder, "test", batch_size=100, features=["image"], metadata=encoder)
    loaded = next(iter(ds))
    raw = next(iter(mi.load(builder, "test", batch_size=100, features=ENCODED)))
    inputs = encoder.inputs()
    model = keras.Model(inputs, encoder(inputs))
    assert set(loaded) == {"image", *whole}
    for key, values in whole.items():
        np.testing.assert_array_equal(loaded[key], values)
        np.testing.assert_array_equal(model(raw)[key], values)
    unlabelled = mi.index(builder, "test")["edema"].isna()
    unknown = whole["metadata"][:, encoder.columns.index("edema_missing")]
    np.testing.assert_array_equal(unknown, unlabelled)


def model_of(encoder):
    inputs = {**encoder.inputs(), "packs": keras.Input((1,), dtype="int64", name="packs")}
    inputs["findings"] = keras.Input((None,), dtype="int64", name="findings")
    encoded = encoder(inputs)
    embedding = keras.layers.Embedding(encoder.num_tokens["tokens_note"], 3)
    words = keras.layers.GlobalAveragePooling1D()(embedding(encoded["tokens_note"]))
    both = keras.layers.Concatenate()([encoded["metadata"], words])
    return keras.Model(inputs, keras.layers.Dense(2)(both))


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_model_with_it_is_trained_saved_and_loaded(builder, tmp_path, policy):
    batch = batch_of(builder, "train")
    batch["findings"], label = batch["findings"].to_tensor(-1), batch["dx"]
    batch = {name: batch[name] for name in ENCODED}
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        encoder = fit(builder)
        model = model_of(encoder)
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(batch, label, verbose=0)
        model.save(tmp_path / "model.keras")
        keras.config.set_dtype_policy("float32")
        loaded = keras.models.load_model(tmp_path / "model.keras")
    finally:
        keras.config.set_dtype_policy(before)
    expected = model.predict(batch, verbose=0)
    np.testing.assert_array_equal(loaded.predict(batch, verbose=0), expected)
    layers = [layer for layer in loaded.layers if isinstance(layer, MetadataEncoder)]
    assert [layer.to_json() for layer in layers] == [encoder.to_json()]
    assert encoder(batch)["metadata"].dtype == tf.float32
    assert encoder.weights == []

    loaded.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    shaped = {**batch, "packs": batch["packs"][:, None]}
    np.testing.assert_allclose(exported.serve(shaped), expected, atol=1e-3)


def test_another_process_fits_and_gives_the_same(builder, encoder):
    code = """
import sys, json, tensorflow as tf, tensorflow_datasets as tfds
from medical_images.transforms.encode import MetadataEncoder
builder = tfds.builder_from_directory(sys.argv[1])
encoder = MetadataEncoder.fit(
    builder, features=sys.argv[2].split(","), dates=["visited"], missing={"packs": -1},
    text_length=4)
read = MetadataEncoder.from_json(encoder.to_json())
example = next(iter(builder.as_dataset(split="test")))
told = {key: values.numpy().tolist() for key, values in read(example).items()}
print(json.dumps([encoder.to_json(), told]))
"""
    told = json.loads(run_python(code, builder.data_dir, ",".join(ENCODED)).splitlines()[-1])
    here = encoder(next(iter(examples(builder, "test"))))
    assert told[0] == encoder.to_json() == MetadataEncoder.from_json(told[0]).to_json()
    assert told[1] == {key: values.numpy().tolist() for key, values in here.items()}


@settings(max_examples=60)
@given(st.lists(st.dates(), min_size=1, max_size=20))
def test_days_are_counted_as_the_calendar_has_them(dates):
    day = Day(feature="d", mean=0.0, scale=1.0)
    found = day.encode(tf.constant([date.isoformat() for date in dates])).numpy()
    epoch = datetime.date(1970, 1, 1).toordinal()
    assert found.tolist() == [[date.toordinal() - epoch, 0] for date in dates]


def test_what_is_no_day_is_missing():
    day = Day(feature="d", mean=5.0, scale=1.0)
    texts = ["", "2019-13-01", "2019-7-3", "20190730", "2019-07-30T12:00", "x2019-07-30", "\n"]
    assert day.encode(tf.constant(texts)).numpy().tolist() == [[0, 1]] * len(texts)


@settings(max_examples=60)
@given(st.lists(st.floats(width=32, allow_nan=True), min_size=1, max_size=20))
def test_numbers_are_finite_whatever_comes(values):
    age = Number(feature="age", mean=1.5, scale=0.5, missing=3.0)
    found = age.encode(tf.constant(values, tf.float32)).numpy()
    known = [math.isfinite(value) and value != 3 for value in values]
    assert found[:, 1].tolist() == [not each for each in known]
    expected = np.array([(v - 1.5) / 0.5 if k else 0 for v, k in zip(values, known, strict=True)])
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(found[:, 0], expected.astype(np.float32))


def test_a_missing_number_has_no_gradient():
    age = tf.constant([math.nan, 60.0])
    with tf.GradientTape() as tape:
        tape.watch(age)
        encoded = Number(feature="age", mean=50.0, scale=10.0).encode(age)
    assert tape.gradient(encoded, age).numpy().tolist() == pytest.approx([0, 0.1])


@settings(max_examples=60)
@given(st.lists(st.integers(-(2**31), 2**31 - 1) | st.integers(-1, 4), min_size=1, max_size=20))
def test_a_class_has_exactly_one_column(numbers):
    found = OneHot(feature="c", classes=("a", "b", "c")).encode(tf.constant(numbers, tf.int32))
    expected = [number if 0 <= number < 3 else 3 for number in numbers]
    np.testing.assert_array_equal(found, np.eye(4)[expected])


@settings(max_examples=60)
@given(st.lists(st.lists(st.integers(-1, 2), max_size=4), min_size=1, max_size=8))
def test_labels_are_the_same_ragged_padded_and_multi_hot(rows):
    labels = MultiHot(feature="f", classes=("a", "b", "c"))
    ragged = tf.ragged.constant(rows, dtype=tf.int64, ragged_rank=1)
    expected = np.array([[float(k in row) for k in range(3)] for row in rows], np.float32)
    found = (
        labels.encode(ragged),
        labels.encode(ragged.to_tensor(-1)),
        labels.encode(tf.constant(expected)),
        labels.encode(tf.constant(expected > 0)),
        tf.stack([labels.encode(tf.constant(row, tf.int64)) for row in rows]),
    )
    for each in found:
        np.testing.assert_array_equal(each, expected)


def test_numbers_that_are_all_equal_or_missing_are_zero(phantom_builder):
    index = mi.index(phantom_builder, "train")
    blank = int(np.flatnonzero(index["age"].isna())[0])
    for split in (f"train[{blank}:{blank + 1}]", "train[:1]"):
        encoder = MetadataEncoder.fit(phantom_builder, split, features=["age"])
        assert encoder.encodings[0].scale == 1
        example = next(iter(phantom_builder.as_dataset(split=split)))
        assert encoder(example)["metadata"].numpy()[0] == 0


def test_texts_alone_give_no_metadata(phantom_builder):
    encoder = MetadataEncoder.fit(phantom_builder, features=["note"])
    outputs = encoder({"note": tf.constant(["Seen once."])})
    assert list(outputs) == ["tokens_note"]
    assert encoder.columns == ()


REFUSED = {
    "absent": ({"features": ["agee"]}, "did you mean 'age'"),
    "none": ({"features": []}, "none are named"),
    "a name alone": ({"features": "age"}, "lists of names"),
    "twice": ({"features": ["age", "age"]}, "'age' is named twice"),
    "image": ({"features": ["image"]}, "'image' is no number"),
    "a list of numbers": ({"features": ["ages"]}, "'ages' is no number"),
    "label": ({"features": ["dx"]}, "what is to be predicted"),
    "id of an image": ({"features": ["image_id"]}, "'image_id' is an identifier"),
    "id of a patient": ({"features": ["patient_id"]}, "'patient_id' is an identifier"),
    "days as text": ({"dates": []}, "'visited' holds days; name it in `dates`"),
    "text as days": ({"dates": ["visited", "note"]}, "'note' holds what is no day .*lines "),
    "a number as days": ({"dates": ["visited", "age"]}, "'age' is not text"),
    "days not encoded": ({"features": ["age"], "missing": {}}, "'visited' is not among"),
    "missing text": ({"missing": {"note": 0}}, "'note' is not a number"),
    "no shared word": ({"min_groups": 99}, "no word that stands in 99 groups"),
    "no words": ({"text_length": 0}, "text_length: it is 0"),
    "test split": ({"split": "test"}, "'test' is for evaluation"),
    "all splits": ({"split": None}, "'test' is for evaluation"),
    "no images": ({"split": "train[:0]"}, "no images"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_encoded_is_refused(builder, case):
    kwargs, message = REFUSED[case]
    if "features" in kwargs and case != "days not encoded":
        kwargs = {"dates": [], "missing": {}, **kwargs}
    with pytest.raises(ValueError, match=message) as error:
        fit(builder, **kwargs)
    assert "Name" not in str(error.value)
    assert "P1" not in str(error.value)


def test_all_problems_are_told_at_once(builder):
    with pytest.raises(ValueError, match="4 problems") as error:
        fit(builder, split="test", features=["dx", "ag", "visited"])
    assert len(str(error.value).splitlines()) == 5


def test_label_and_evaluation_are_allowed_where_asked_for(builder):
    encoder = MetadataEncoder.fit(
        builder, "test", features=["dx"], allow_label=True, allow_evaluation=True
    )
    assert encoder.columns == ("dx=benign", "dx=malignant", "dx_missing")


UNFIT = {
    "absent": ({"sex": [0]}, "no 'age'"),
    "text for a number": ({"age": ["Núñez"], "sex": [0]}, "'age' is string; allowed is a number"),
    "a number for a class": ({"age": [1.0], "sex": [0.0]}, "the number of a class"),
    "several numbers": ({"age": [[1.0, 2.0]], "sex": [0]}, "one value an image"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_inputs_that_do_not_fit_are_refused(case):
    encoder = MetadataEncoder(
        [Number(feature="age", mean=0.0, scale=1.0), OneHot(feature="sex", classes=("f",))]
    )
    inputs, message = UNFIT[case]
    with pytest.raises(ValueError, match=message) as error:
        encoder({key: tf.constant(values) for key, values in inputs.items()})
    assert "Núñez" not in str(error.value)


def test_encoders_that_are_not_valid_are_refused():
    age = Number(feature="age", mean=0.0, scale=1.0)
    with pytest.raises(ValueError, match="age_missing"):
        MetadataEncoder([age, Number(feature="age_missing", mean=0.0, scale=1.0, flag=False)])
    with pytest.raises(ValueError, match="did you mean 'number'"):
        MetadataEncoder([{**age.to_dict(), "kind": "numbr"}])
    with pytest.raises(ValueError, match="kind 'number' does not fit"):
        MetadataEncoder([{"kind": "number", "feature": "age"}])
    for text in ("[]", '{"encodings": ["age"]}', "encoder.json"):
        with pytest.raises(ValueError, match="no encoder"):
            MetadataEncoder.from_json(text)
    with pytest.raises(ValueError, match="at least 1"):
        MetadataEncoder([])
    both = [age, Tokens(feature="note", vocabulary=("seen",), length=2)]
    assert MetadataEncoder(both).encodings == tuple(both)
