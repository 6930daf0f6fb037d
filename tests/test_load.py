"""`mi.load`: what an epoch holds, in which order, and in which form."""

import collections
import itertools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from conftest import build, run_python
from etils import epath
from PIL import Image

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


def test_an_order_that_is_written_stays_with_copies_side_by_side(phantom_builder):
    ds = mi.load(phantom_builder, image_size=SIZE, shuffle=False, oversample="balanced")
    drawn = mi.sampling.epoch_indices(phantom_builder, oversample="balanced", shuffle=False)
    assert ids(ds) == mi.index(phantom_builder, "train")["image_id"].to_numpy()[drawn].tolist()


@pytest.mark.parametrize("memory_mb", [0.01, 10**6])
def test_any_memory_gives_the_same_epoch_in_another_order(any_builder, memory_mb):
    options = {"image_size": SIZE, "oversample": "sqrt", "seed": 2}
    usual = ids(mi.load(any_builder, **options))
    found = ids(mi.load(any_builder, memory_mb=memory_mb, **options))
    assert sorted(found) == sorted(usual)
    assert (found == usual) == (memory_mb > 1)


@pytest.mark.parametrize("augment", [None, keras.layers.RandomBrightness(0.2)])
def test_a_saved_iterator_goes_on_in_its_epoch(any_builder, tmp_path, augment):
    def loaded(epoch):
        return mi.load(
            any_builder, "train[:60]", image_size=SIZE, oversample="sqrt", augment=augment,
            epoch=epoch,
        )  # fmt: skip

    iterator = iter(loaded(epoch=3))
    for _ in range(9):
        next(iterator)
    path = tf.train.Checkpoint(iterator=iterator).save(tmp_path / "state")
    rest = [example["image"].numpy().tobytes() for example in iterator]
    ds = loaded(epoch=4)
    restored = iter(ds)
    tf.train.Checkpoint(iterator=restored).restore(path)
    assert [example["image"].numpy().tobytes() for example in restored] == rest
    assert ids(ds) == ids(loaded(epoch=4))


def test_strategies_do_not_shard_what_is_sharded(phantom_builder):
    for num_shards, policy in (
        (1, tf.data.experimental.AutoShardPolicy.AUTO),
        (2, tf.data.experimental.AutoShardPolicy.OFF),
    ):
        options = mi.load(phantom_builder, image_size=SIZE, num_shards=num_shards).options()
        assert options.experimental_distribute.auto_shard_policy == policy


@pytest.fixture(scope="module")
def scans_builder(tmp_path_factory):
    """A dataset of 16-bit images of two sizes, with masks, boxes, and lists of several lengths."""
    folder = tmp_path_factory.mktemp("scans")
    for name in ("img", "mask"):
        (folder / name).mkdir()
    lines = ["id,findings,edema,grade,age,x1,y1,x2,y2"]
    for k in range(30):
        height, width = ((80, 120), (96, 96))[k % 2]
        lesion = np.zeros((height, width), np.uint8)
        lesion[16:40, 12 + k : 40 + k] = 1
        Image.fromarray(lesion.astype(np.uint16) * 60_000).save(folder / f"img/{k}.png")
        Image.fromarray(lesion).save(folder / f"mask/{k}.png")
        findings = "|".join(name for bit, name in enumerate("abc") if k >> bit & 1)
        row = f"{k},{findings},{(1, 0, 0, -1)[k % 4]},{{}},{30 + k},{12 + k},16,{40 + k},40"
        lines += [row.format(grade) for grade in range(1 + k % 3)]
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    spec = {
        "name": "mine",
        "tables": [{"path": "t.csv"}],
        "images": {"path": "img/{id}.png", "channels": 1, "dtype": "uint16"},
        "features": {
            "id": {"type": "id"},
            "findings": {"type": "labels", "values": ["a", "b", "c"], "separator": "|"},
            "edema": {"type": "uncertain", "policy": "ignore"},
            "grade": {"type": "int", "across_rows": "all"},
            "age": {"type": "float"},
            "box": {"type": "boxes", "columns": ["x1", "y1", "x2", "y2"]},
            "lesion": {"type": "mask", "path": "mask/{id}.png"},
        },
        "supervised": "findings",
        "splits": {"train": 1},
    }
    (folder / "corpus.yaml").write_text(json.dumps(spec))
    return build(folder / "corpus.yaml", folder / "data")


def test_batches_of_lists_are_ragged_and_all_else_is_dense(scans_builder):
    ds = mi.load(scans_builder, image_size=SIZE, batch_size=7, oversample="balanced")
    spec = ds.element_spec
    assert spec["image"] == tf.TensorSpec([None, 16, 16, 1], tf.uint16)
    assert spec["lesion"] == tf.TensorSpec([None, 16, 16, 1], tf.uint8)
    assert spec["findings"] == tf.TensorSpec([None, 3], tf.float32)
    assert spec["edema"] == tf.TensorSpec([None], tf.int64)
    assert spec["grade"] == tf.RaggedTensorSpec([None, None], tf.int64)
    assert spec["box"]["bbox"] == tf.RaggedTensorSpec([None, None, 4], tf.float32, 1)
    index = mi.index(scans_builder, "train").set_index("id")
    for batch in ds:
        for row, name in enumerate(batch["id"].numpy()):
            told = index.loc[name.decode()]
            assert batch["findings"][row].numpy().tolist() == [n in told["findings"] for n in "abc"]
            assert batch["grade"][row].numpy().tolist() == told["grade"].tolist()


@pytest.mark.parametrize("label", ["age", "edema", "findings"])
def test_any_feature_is_a_label(scans_builder, label):
    ds = mi.load(scans_builder, image_size=SIZE, batch_size=30, as_supervised=True, label=label)
    ((image, found),) = ds
    assert image.shape == (30, 16, 16, 1)
    index = mi.index(scans_builder, "train")
    if label == "age":
        assert sorted(found.numpy()) == sorted(index["age"])
    elif label == "edema":
        assert np.bincount(found.numpy() + 1).tolist() == [7, 15, 8]  # -1 is unknown
    else:
        assert found.numpy().sum(axis=0).tolist() == [15, 14, 14]


@pytest.mark.parametrize(
    "changes",
    [
        {"crop": mi.transforms.Crop(scale=(0.3, 0.6))},
        {"augment": keras.layers.RandomFlip(), "augment_to": "all"},
        {
            "augment": keras.layers.RandomTranslation(0.4, 0.4, fill_mode="constant"),
            "augment_to": "all",
        },
        {"augment": keras.layers.RandomRotation(0.5), "oversample": {"c": 3}},
    ],
)
def test_masks_and_boxes_lie_where_the_image_shows_them(scans_builder, changes):
    ds = mi.load(scans_builder, image_size=(96, 96), **changes)
    moved = 0
    for example in ds.as_numpy_iterator():
        lesion, boxes = example["lesion"][..., 0], example["box"]["bbox"]
        if "Rotation" not in str(changes):
            np.testing.assert_allclose(lesion, example["image"][..., 0] / 60_000, atol=1)
        if lesion.sum() < 100:
            continue
        rows, columns = np.flatnonzero(lesion.any(axis=1)), np.flatnonzero(lesion.any(axis=0))
        seen = np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])
        slack = 40 if "Rotation" in str(changes) else 3  # a turned box grows
        np.testing.assert_allclose(boxes[0] * 96, seen, atol=slack)
        moved += abs(boxes[0][0] - 16 / 96) > 0.05
    assert moved > 5


def test_images_of_several_sizes_are_no_batch(scans_builder, phantom_builder):
    options = {"batch_size": 4, "features": ["image", "id"]}
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"several sizes.*`image_size`"):
        list(mi.load(scans_builder, **options))
    (batch,) = mi.load(phantom_builder, "train[:4]", batch_size=4)
    assert batch["image"].shape == (4, 24, 32, 3)
    assert isinstance(batch["image"], tf.Tensor)


class Foreign(tfds.core.GeneratorBasedBuilder):
    """A dataset that this package did not build."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = epath.Path(__file__).parent

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "after": tfds.features.Image(shape=(None, None, 3)),
            "tags": tfds.features.Sequence(tfds.features.ClassLabel(names=["a", "b"])),
            "place": {"x": np.float32, "y": tfds.features.Text()},
            "weight": np.float32,
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features), supervised_keys=("image", "weight")
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(), "test": self._generate_examples()}

    def _generate_examples(self):
        for k in range(9):
            image = np.full((20 + k, 30, 3), (k, 2 * k, 3 * k), np.uint8)
            place = {"x": k, "y": str(k)}
            tags = ["a"] * (k % 2) + ["b"]
            yield k, {"image": image, "after": image, "tags": tags, "place": place, "weight": k}


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_a_dataset_of_others_is_loaded(tmp_path, file_format):
    builder = Foreign(data_dir=tmp_path, file_format=file_format)
    builder.download_and_prepare()
    for example in mi.load(builder, "train[3:]+test[:50%]", image_size=SIZE):
        k = int(example["weight"])
        assert example["image"].shape == (16, 16, 3)
        assert example["after"].numpy()[0, 0].tolist() == [k, 2 * k, 3 * k]  # no mask, so as it is
        assert example["tags"].numpy().tolist() == [k % 2, 1]
        assert example["place"]["y"] == str(k).encode()
    weights = [float(y) for _, y in mi.load(builder, image_size=SIZE, as_supervised=True)]
    assert sorted(weights) == list(range(9))
    with pytest.raises(FileNotFoundError, match="has no index"):
        mi.load(builder, image_size=SIZE, label="tags", oversample="balanced")


def test_a_spec_is_no_dataset():
    with pytest.raises(ValueError, match="from_corpus"):
        mi.load("my/corpus.yaml")


def test_what_cannot_be_is_told_at_once(phantom_builder):
    for arguments, told in [
        ({"split": "train[:0]"}, "has no examples"),
        ({"split": ["train", "test"]}, "one by one"),
        ({"batch_size": 0, "memory_mb": -1, "epoch": -1}, "batch_size.*memory_mb.*epoch"),
        ({"seed": 2**40}, "`seed` is"),
        ({"features": "age"}, r"\['age'\]"),
        ({"augment": lambda image: image}, "without `oversample` there are none"),
        ({"mix": keras.layers.MixUp(), "batch_size": 2, "label": "age"}, "'age' has not"),
        ({"num_shards": 400, "oversample": {"nv": 0}}, "leaves no records to shard 0"),
        ({"batch_size": None, "drop_remainder": True}, "batch_size"),
        ({"shard_index": 2, "num_shards": 2}, "from 0 to 1"),
        ({"label": "age", "oversample": "balanced"}, "'age' is no feature of classes"),
        ({"oversample": {"melanoma": 2.0}}, "melanoma"),
        ({"oversample": "balance"}, "balanced"),
    ]:
        with pytest.raises(ValueError, match=told):
            mi.load(phantom_builder, image_size=SIZE, **arguments)
