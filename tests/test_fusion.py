"""Metadata act on images as said, and models that use them are saved whole."""

import keras
import numpy as np
import pytest
from conftest import run_python

from medical_images.fusion import FiLM, MetadataChannels, TokenMean, classifier, fuse, small_cnn
from medical_images.transforms.encode import MetadataEncoder

WAYS = ["concat", "branch", "film", "channels"]
SHAPE = (16, 16, 3)
RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def same_numbers():
    """Numbers that do not depend on which tests ran before, or on chance; first weights too."""
    keras.utils.set_random_seed(0)
    RANDOM.bit_generator.state = np.random.default_rng(0).bit_generator.state


def floats(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


def inputs_of(number: int = 5, columns: int = 4) -> dict[str, np.ndarray]:
    return {
        "image": RANDOM.integers(0, 256, (number, *SHAPE), dtype=np.uint8),
        "metadata": floats(number, columns),
        "tokens_note": RANDOM.integers(0, 50, (number, 6)),
    }


def randomize(model: keras.Model) -> None:
    """Moves each weight, as training does; the zeros of FiLM too."""
    for weight in model.weights:
        weight.assign_add(0.1 * floats(*weight.shape))


@pytest.mark.parametrize("shape", [(5, 7), (5, 3, 2, 7), (5, 2, 3, 4, 7)])
def test_film_scales_and_shifts_each_channel_as_numpy_does(shape):
    features, metadata, layer = floats(*shape), floats(5, 4), FiLM()
    assert np.array_equal(layer([features, metadata]), features), (
        "an untrained FiLM changes nothing"
    )
    kernel, bias = floats(4, 14), floats(14)
    layer.set_weights([kernel, bias])
    gamma, beta = np.split(np.einsum("bd,dk->bk", metadata, kernel) + bias, 2, axis=1)
    expected = np.stack(
        [(1 + g) * one + b for one, g, b in zip(features, gamma, beta, strict=True)]
    )
    assert np.allclose(layer([features, metadata]), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(5, 7), (5, 3, 2, 7), (5, 2, 3, 4, 7)])
def test_metadata_channels_stand_at_every_pixel(shape):
    features, metadata = floats(*shape), floats(5, 4)
    joined = np.asarray(MetadataChannels()([features, metadata]))
    assert np.array_equal(joined[..., :7], features)
    pixels = joined[..., 7:].reshape(5, -1, 4)
    assert np.array_equal(pixels, np.broadcast_to(metadata[:, None], pixels.shape))


def test_a_text_is_the_mean_of_its_tokens_and_an_empty_one_is_zeros():
    layer = TokenMean(10, 3)
    tokens = np.array([[4, 9, 0, 0], [0, 0, 0, 0], [1, 1, 4, 2]])
    found = np.asarray(layer(tokens))
    table = layer.get_weights()[0]
    rows = [table[row[row > 0]].mean(0) if row.any() else np.zeros(3) for row in tokens]
    assert np.allclose(found, rows, atol=1e-6)


def test_fused_vectors_are_what_numpy_makes_of_maps_and_metadata():
    maps, metadata = keras.Input((3, 2, 7)), keras.Input((4,))
    models = {how: keras.Model([maps, metadata], fuse(maps, metadata, how=how)) for how in WAYS}
    x, m = floats(5, 3, 2, 7), floats(5, 4)
    for model in models.values():
        model.set_weights([floats(*weight.shape) for weight in model.weights])
    mean = x.mean((1, 2))
    kernel, bias, *film = models["film"].get_weights()
    gamma, beta = (half[:, None, None] for half in np.split(m @ film[0] + film[1], 2, axis=1))
    modulated = (1 + gamma) * (x @ kernel + bias) + beta
    dense, at_pixels = models["branch"].get_weights(), models["channels"].get_weights()
    everywhere = np.concatenate([x, np.broadcast_to(m[:, None, None], (5, 3, 2, 4))], -1)
    expected = {
        "concat": np.concatenate([mean, m], 1),
        "branch": np.concatenate([mean, np.maximum(m @ dense[0] + dense[1], 0)], 1),
        "film": np.maximum(modulated, 0).mean((1, 2)),
        "channels": np.maximum(everywhere @ at_pixels[0] + at_pixels[1], 0).mean((1, 2)),
    }
    for how, model in models.items():
        assert np.allclose(model([x, m]), expected[how], atol=1e-4), how


def test_saved_models_predict_the_same_in_another_process(tmp_path):
    inputs = inputs_of()
    np.savez(tmp_path / "inputs.npz", **inputs)
    expected = {}
    for how in WAYS:
        texts = {"tokens_note": 50}
        model = classifier(
            None, image_shape=SHAPE, num_classes=3, metadata=4, tokens=texts, how=how
        )
        randomize(model)
        expected[how] = model.predict(inputs, verbose=0)
        assert np.ptp(expected[how], axis=0).max() > 1e-4, "this model tells nothing apart"
        model.save(tmp_path / f"{how}.keras")
    run_python(
        """
import sys, pathlib, keras, numpy as np, medical_images.fusion
folder = pathlib.Path(sys.argv[1])
inputs = dict(np.load(folder / "inputs.npz"))
for path in folder.glob("*.keras"):
    outputs = keras.saving.load_model(path).predict(inputs, verbose=0)
    np.save(path.with_suffix(".npy"), outputs)
""",
        tmp_path,
    )
    for how in WAYS:
        assert np.allclose(np.load(tmp_path / f"{how}.npy"), expected[how], atol=1e-6), how


@pytest.mark.parametrize("how", WAYS)
def test_what_metadata_alone_decide_is_learnt(how):
    inputs = inputs_of(64)
    labels = (inputs["metadata"][:, 0] > 0).astype(np.int64)
    assert accuracy_after_training(inputs, labels, metadata=4, how=how) > 0.95


def test_what_a_text_alone_decides_is_learnt():
    inputs = inputs_of(64)
    labels = (inputs["tokens_note"] < 6).any(axis=1).astype(np.int64)
    assert accuracy_after_training(inputs, labels, tokens={"tokens_note": 50}) > 0.95


def accuracy_after_training(inputs, labels, **options) -> float:
    """The share of these images that a model predicts after it was trained on them."""
    keras.utils.set_random_seed(0)
    tiny = small_cnn(SHAPE, filters=(4,))
    model = classifier(tiny, image_shape=SHAPE, num_classes=2, **options)
    assert "image" in model.input
    used = {name: inputs[name] for name in model.input}
    model.compile(keras.optimizers.Adam(0.03), "sparse_categorical_crossentropy", run_eagerly=True)
    model.fit(used, labels, batch_size=64, epochs=50, verbose=0)
    return float(np.mean(model.predict(used, verbose=0).argmax(axis=1) == labels))


def test_the_backbone_may_be_any_model_and_its_averages_too():
    for pooling in (None, "avg"):
        backbone = keras.applications.MobileNetV3Small(
            input_shape=(32, 32, 3), include_top=False, weights=None, pooling=pooling
        )
        model = classifier(backbone, image_shape=(32, 32, 3), num_classes=2, metadata=4, how="film")
        images = RANDOM.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
        assert model({"image": images, "metadata": floats(2, 4)}).shape == (2, 2)


def test_images_alone_need_no_dict():
    model = classifier(None, image_shape=SHAPE, num_classes=2)
    assert model(inputs_of()["image"]).shape == (5, 2)


def test_probabilities_stay_float32_in_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = classifier(
            small_cnn(SHAPE), image_shape=SHAPE, num_classes=3, metadata=4,
            tokens={"tokens_note": 50}, activation="sigmoid", dropout=0.5,
        )  # fmt: skip
    finally:
        keras.config.set_dtype_policy("float32")
    found = np.asarray(model(inputs_of()))
    assert found.dtype == np.float32
    assert ((found > 0) & (found < 1)).all()


def test_the_sizes_come_from_the_encoder():
    text = {"kind": "tokens", "feature": "note", "vocabulary": ["itching"], "length": 6}
    encoder = MetadataEncoder([{"kind": "number", "feature": "age", "mean": 50, "scale": 9}, text])
    model = classifier(None, image_shape=SHAPE, num_classes=3, metadata=encoder)
    assert {name: x.shape[1:] for name, x in model.input.items()} == {
        "image": SHAPE, "metadata": (2,), "tokens_note": (None,)
    }  # fmt: skip
    encoded = encoder({"age": np.array([50.0, np.nan], np.float32), "note": ["", "no itching"]})
    images = keras.ops.convert_to_tensor(inputs_of(2)["image"])
    assert model({"image": images, **encoded}).shape == (2, 3)
    without = classifier(None, image_shape=SHAPE, num_classes=3, metadata=encoder, tokens={})
    assert set(without.input) == {"image", "metadata"}


def test_wrong_arguments_are_named_all_at_once():
    with pytest.raises(ValueError, match=r"num_classes is 0.*metadata is -1.*did you mean 'film'"):
        classifier(None, image_shape=SHAPE, num_classes=0, metadata=-1, how="flim")
    with pytest.raises(ValueError, match="metadata is str; allowed are a fitted MetadataEncoder"):
        classifier(None, image_shape=SHAPE, num_classes=3, metadata="age")
    with pytest.raises(ValueError, match="cannot be halved"):
        small_cnn((4, 64, 3))
    with pytest.raises(ValueError, match="before pooling"):
        fuse(keras.Input((8,)), keras.Input((4,)), how="channels")
    with pytest.raises(ValueError, match="did you mean 'concat'"):
        fuse(keras.Input((8,)), keras.Input((4,)), how="concatenate")
    for layer in (FiLM(), MetadataChannels()):
        with pytest.raises(ValueError, match=r"\(batch, columns\)"):
            layer([floats(2, 3, 3, 8), floats(2, 1, 4)])
    with pytest.raises(ValueError, match="above 0"):
        TokenMean(0)
