"""`mi.load`: what an epoch holds, in which order, and in which form."""

import collections
import itertools

import numpy as np
import pytest
import tensorflow as tf
from conftest import build, run_python

import medical_images as mi

SIZE = (16, 16)


@pytest.fixture(scope="module")
def array_record_builder(phantom_corpus, tmp_path_factory):
    return build(phantom_corpus, tmp_path_factory.mktemp("records"), file_format="array_record")


@pytest.fixture(scope="module")
def sharded_builder(phantom_corpus, tmp_path_factory):
    return build(phantom_corpus, tmp_path_factory.mktemp("shards"), num_shards=7)


@pytest.fixture(params=["tfrecord", "sharded", "array_record"])
def any_builder(request):
    names = {
        "tfrecord": "phantom_builder",
        "sharded": "sharded_builder",
        "array_record": "array_record_builder",
    }
    return request.getfixturevalue(names[request.param])


def ids(ds) -> list[str]:
    return [example["image_id"].decode() for example in ds.as_numpy_iterator()]


def labels(ds) -> collections.Counter[int]:
    return collections.Counter(int(example["label"]) for example in ds.as_numpy_iterator())


def test_evaluation_splits_come_once_and_in_written_order(any_builder):
    ds = mi.load(any_builder, "validation", image_size=SIZE)
    assert ids(ds) == mi.index(any_builder, "validation")["image_id"].tolist()


@pytest.mark.parametrize("split", ["train", "train[20%:70%]", "train[:10%]+train[50%:]"])
def test_a_shuffled_epoch_holds_each_record_once_and_the_next_has_another_order(any_builder, split):
    ds = mi.load(any_builder, split, image_size=SIZE)
    written = mi.index(any_builder, split)["image_id"].tolist()
    first, second = ids(ds), ids(ds)
    assert sorted(first) == sorted(second) == sorted(written)
    assert first != second
    assert first != written
    assert int(ds.cardinality()) == len(written)


def test_the_order_is_that_of_seed_and_epoch_alone(any_builder):
    tf.random.set_seed(1)
    ds = mi.load(any_builder, image_size=SIZE, seed=5, oversample="sqrt")
    first, second, third = ids(ds), ids(ds), ids(ds)
    tf.random.set_seed(2)
    resumed = mi.load(any_builder, image_size=SIZE, seed=5, epoch=2, oversample="sqrt")
    assert ids(resumed) == third
    assert len({tuple(first), tuple(second), tuple(third)}) == 3
    assert ids(mi.load(any_builder, image_size=SIZE, seed=6, oversample="sqrt")) != first


def test_two_processes_read_the_same_stream(phantom_builder):
    code = """
import hashlib, sys
import tensorflow as tf, tensorflow_datasets as tfds, medical_images as mi, keras
tf.random.set_seed(int(sys.argv[2]))
builder = tfds.builder_from_directory(sys.argv[1])
ds = mi.load(builder, image_size=(16, 16), batch_size=8, oversample="balanced", seed=3,
             augment=[keras.layers.RandomFlip(), keras.layers.RandomRotation(0.2)])
digest = hashlib.sha256()
for batch in ds:
    digest.update(batch["image"].numpy().tobytes() + b"".join(batch["image_id"].numpy()))
print(digest.hexdigest())
"""
    seen = {run_python(code, phantom_builder.data_dir, seed, PYTHONHASHSEED=seed) for seed in "12"}
    assert len(seen) == 1


def test_balanced_epochs_have_equal_classes_and_the_announced_number(any_builder):
    counts = mi.class_counts(any_builder, "train")
    ds = mi.load(any_builder, image_size=SIZE, oversample="balanced")
    largest = max(counts.values())
    for _ in range(2):
        assert labels(ds) == dict.fromkeys(range(7), largest)
    assert int(ds.cardinality()) == 7 * largest


def test_an_epoch_is_what_its_plan_says(sharded_builder):
    rebalance = mi.Rebalance("factors", factors={"nv": 0.5, "mel": 2.3}, max_factor=4)
    ds = mi.load(sharded_builder, image_size=SIZE, oversample=rebalance, seed=4)
    written = mi.index(sharded_builder, "train")["image_id"].to_numpy()
    for epoch in range(3):
        drawn = mi.sampling.epoch_indices(
            sharded_builder, "train", oversample=rebalance, seed=4, epoch=epoch
        )
        assert sorted(ids(ds)) == sorted(written[drawn].tolist())


def test_copies_are_spread(phantom_builder):
    order = ids(mi.load(phantom_builder, image_size=SIZE, oversample="balanced"))
    places = collections.defaultdict(list)
    for place, name in enumerate(order):
        places[name].append(place)
    gaps = [np.diff(found).mean() for found in places.values() if len(found) > 4]
    assert len(gaps) > 20
    # Of copies spread evenly over the epoch the mean gap is near its length by their number.
    assert np.median(gaps) > len(order) / 100
    assert sum(a == b for a, b in itertools.pairwise(order)) < len(order) / 20


def test_evaluation_splits_are_not_rebalanced(phantom_builder):
    with pytest.raises(ValueError, match="for evaluation"):
        mi.load(phantom_builder, "test", image_size=SIZE, oversample="balanced")


@pytest.mark.parametrize("oversample", [None, "balanced", {"nv": 0.3, "df": 5}])
def test_hosts_have_equally_many_elements_and_all_records_between_them(sharded_builder, oversample):
    parts = [
        mi.load(
            sharded_builder,
            image_size=SIZE,
            oversample=oversample,
            shard_index=index,
            num_shards=3,
        )
        for index in range(3)
    ]
    found = [ids(part) for part in parts]
    assert len({len(part) for part in found}) == 1
    assert len({int(part.cardinality()) for part in parts}) == 1
    whole = mi.index(sharded_builder, "train")["image_id"]
    assert not set(found[0]) & set(found[1])
    if oversample is None:
        assert set().union(*found) == set(whole)


@pytest.mark.parametrize("batch_size", [None, 8])
def test_elements_are_as_documented(phantom_builder, batch_size):
    ds = mi.load(phantom_builder, image_size=SIZE, batch_size=batch_size, oversample="sqrt")
    leading = [] if batch_size is None else [None]
    spec = ds.element_spec
    assert spec["image"] == tf.TensorSpec([*leading, 16, 16, 3], tf.uint8)
    assert spec["label"] == tf.TensorSpec(leading, tf.int64)
    assert spec["age"] == tf.TensorSpec(leading, tf.float32)
    assert spec["note"] == tf.TensorSpec(leading, tf.string)
    assert set(spec) == set(phantom_builder.info.features)


def test_pairs_are_what_keras_takes(phantom_builder):
    ds = mi.load(phantom_builder, image_size=SIZE, batch_size=4, as_supervised=True)
    image, label = next(iter(ds))
    assert image.shape == (4, 16, 16, 3)
    assert label.shape == (4,)


def test_keras_trains_on_it_epoch_by_epoch(phantom_builder):
    import keras

    encoder = mi.MetadataEncoder.fit(phantom_builder, features=["age", "sex", "site"])
    ds = mi.load(
        phantom_builder,
        image_size=SIZE,
        batch_size=32,
        as_supervised=True,
        oversample="sqrt",
        metadata=encoder,
    )
    image = keras.Input((16, 16, 3), name="image")
    told = keras.Input((len(encoder.columns),), name="metadata")
    joined = keras.layers.Concatenate()(
        [keras.layers.GlobalAveragePooling2D()(image / 255.0), told]
    )
    model = keras.Model({"image": image, "metadata": told}, keras.layers.Dense(7)(joined))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(ds, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_features_can_be_chosen(phantom_builder):
    ds = mi.load(phantom_builder, image_size=SIZE, features=["image", "age"], oversample="sqrt")
    assert set(ds.element_spec) == {"image", "age"}
    with pytest.raises(ValueError, match=r"'ages' is no feature.*age"):
        mi.load(phantom_builder, features=["ages"])


def test_copies_are_augmented_and_firsts_are_not(phantom_builder):
    def inverted(image):
        return 255 - image

    plain = {
        example["image_id"]: example["image"].tobytes()
        for example in mi.load(phantom_builder, image_size=SIZE).as_numpy_iterator()
    }
    ds = mi.load(phantom_builder, image_size=SIZE, oversample="balanced", augment=inverted)
    assert set(ds.element_spec) == set(phantom_builder.info.features)
    seen = collections.Counter(
        (example["image_id"], example["image"].tobytes() == plain[example["image_id"]])
        for example in ds.as_numpy_iterator()
    )
    drawn = mi.sampling.epoch_indices(phantom_builder, "train", oversample="balanced")
    copies = collections.Counter(
        mi.index(phantom_builder, "train")["image_id"].to_numpy()[drawn].tolist()
    )
    for name, number in copies.items():
        assert seen[name.encode(), True] == 1
        assert seen[name.encode(), False] == number - 1


def test_it_is_distributed_over_devices(phantom_builder):
    code = """
import sys, collections
import tensorflow as tf, tensorflow_datasets as tfds, medical_images as mi
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
builder = tfds.builder_from_directory(sys.argv[1])
ds = mi.load(builder, image_size=(16, 16), batch_size=8, oversample="balanced")
distributed = strategy.experimental_distribute_dataset(ds)
for _ in range(2):
    seen = collections.Counter()
    for batch in distributed:
        for part in strategy.experimental_local_results(batch["label"]):
            seen.update(part.numpy().tolist())
    print(sorted(seen.items()))
"""
    first, second = run_python(code, phantom_builder.data_dir).splitlines()
    largest = max(mi.class_counts(phantom_builder, "train").values())
    assert first == second == str([(number, largest) for number in range(7)])


def test_what_cannot_be_is_told_at_once(phantom_builder):
    for arguments, told in [
        ({"batch_size": None, "drop_remainder": True}, "batch_size"),
        ({"shard_index": 2, "num_shards": 2}, "from 0 to 1"),
        ({"label": "age", "oversample": "balanced"}, "'age' is no feature of classes"),
        ({"oversample": {"melanoma": 2.0}}, "melanoma"),
        ({"oversample": "balance"}, "balanced"),
    ]:
        with pytest.raises(ValueError, match=told):
            mi.load(phantom_builder, image_size=SIZE, **arguments)
