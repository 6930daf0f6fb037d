"""Epochs for readers with random access."""

import collections
import itertools
import json

import numpy as np
import pytest
import tensorflow_datasets as tfds
from conftest import build, run_python
from PIL import Image

import medical_images as mi
from medical_images.sampling import EpochSampler, epoch_indices, plan_of, report

BOTH = "train[40%:]+validation"


@pytest.fixture(scope="module")
def array_builder(phantom_corpus, tmp_path_factory):
    return build(phantom_corpus, tmp_path_factory.mktemp("arrays"), file_format="array_record")


@pytest.fixture(scope="module")
def scans_builder(tmp_path_factory):
    """A dataset of uncertain findings and of several labels an image."""
    folder = tmp_path_factory.mktemp("scans")
    lines = ["id,edema,finding"]
    for k in range(24):
        Image.fromarray(np.full((8, 8), k, np.uint8)).save(folder / f"{k}.png")
        finding = "|".join(name for name, nth in (("mass", 2), ("air", 6)) if k % nth == 0)
        lines.append(f"{k},{(1, 0, 0, -1)[k % 4]},{finding}")
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    labels = {"type": "labels", "values": ["mass", "air"], "separator": "|"}
    spec = {
        "name": "mine",
        "tables": [{"path": "t.csv"}],
        "images": {"path": "{id}.png", "channels": 1},
        "features": {
            "id": {"type": "id"},
            "edema": {"type": "uncertain", "policy": "ignore"},
            "finding": labels,
        },
        "supervised": "finding",
        "splits": {"train": 1},
    }
    (folder / "corpus.yaml").write_text(json.dumps(spec))
    return build(folder / "corpus.yaml", folder / "data")


def classes_of(builder, split, indices) -> dict[str, int]:
    return dict(collections.Counter(mi.index(builder, split)["label"].to_numpy()[indices]))


@pytest.mark.parametrize("split", ["train", "train[10%:35%]", BOTH])
def test_indices_are_positions_in_the_data_source(array_builder, split):
    source = array_builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
    indices = epoch_indices(array_builder, split, allow_evaluation=True, oversample="sqrt")
    ids = mi.index(array_builder, split)["image_id"].to_numpy()
    drawn = [source[int(index)]["image_id"].decode() for index in indices[:40]]
    assert drawn == ids[indices[:40]].tolist()


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_epoch_holds_the_classes_announced(phantom_builder, shuffle):
    plan, _ = plan_of(phantom_builder, "train", "sqrt", seed=5)
    announced = report(phantom_builder, oversample="sqrt", seed=5)
    epochs = [
        epoch_indices(phantom_builder, oversample="sqrt", seed=5, epoch=epoch, shuffle=shuffle)
        for epoch in range(3)
    ]
    for epoch, indices in enumerate(epochs):
        assert classes_of(phantom_builder, "train", indices) == announced["copies"].to_dict()
        np.testing.assert_array_equal(np.bincount(indices), plan.copies(epoch))
        assert (np.diff(indices) >= 0).all() == (not shuffle)
    assert epochs[0].tolist() != epochs[1].tolist()


def test_without_rebalancing_each_record_comes_once(phantom_builder):
    for split in ("test", BOTH):
        size = len(mi.index(phantom_builder, split))
        indices = epoch_indices(phantom_builder, split)
        assert sorted(indices) == list(range(size)) != indices.tolist()
        assert epoch_indices(phantom_builder, split, shuffle=False).tolist() == list(range(size))
    assert epoch_indices(phantom_builder, "train[:0]").tolist() == []


@pytest.mark.parametrize("num_shards", [1, 3, 8])
def test_shards_are_of_one_length_and_hold_the_whole_epoch(phantom_builder, num_shards):
    whole = epoch_indices(phantom_builder, oversample="balanced", epoch=2)
    shards = [
        epoch_indices(
            phantom_builder, oversample="balanced", epoch=2, shard_index=k, num_shards=num_shards
        )
        for k in range(num_shards)
    ]
    assert len({len(shard) for shard in shards}) == 1
    joined = list(itertools.chain(*zip(*shards, strict=True)))
    assert joined[: len(whole)] == whole.tolist()
    assert joined[len(whole) :] == whole[: len(joined) - len(whole)].tolist()


def test_an_epoch_is_gone_on_with(phantom_builder):
    options = {"oversample": "sqrt", "num_shards": 2, "shard_index": 1, "seed": 3}
    whole = epoch_indices(phantom_builder, epoch=1, **options)
    np.testing.assert_array_equal(
        epoch_indices(phantom_builder, epoch=1, start=17, **options), whole[17:]
    )
    sampler = EpochSampler(phantom_builder, epoch=1, **options)
    assert len(sampler) == len(whole)
    drawn = list(itertools.islice(iter(sampler), 17))
    state = json.loads(json.dumps(sampler.state_dict()))
    later = EpochSampler(phantom_builder, **options)
    later.load_state_dict(state)
    later.set_epoch(1)  # as a loop over epochs does; it is that epoch already
    assert drawn + list(later) == whole.tolist()
    third = epoch_indices(phantom_builder, epoch=2, **options).tolist()
    assert list(later) == third  # the next epoch, from its beginning
    assert list(itertools.islice(iter(sampler), 5)) == drawn[:5]  # a peek does not move the epoch
    sampler.set_epoch(2)
    assert list(sampler) == third


def test_a_state_of_another_order_is_refused(phantom_builder):
    state = EpochSampler(phantom_builder, oversample="sqrt").state_dict()
    with pytest.raises(ValueError, match=r"different: seed 0, here 1, num_copies \d+, here 560"):
        EpochSampler(phantom_builder, seed=1).load_state_dict(state)


def test_another_process_draws_the_same_without_tensorflow(phantom_builder):
    code = """
import sys, tensorflow_datasets as tfds, medical_images as mi
from medical_images.sampling import epoch_indices
builder = tfds.builder_from_directory(sys.argv[1])
print(epoch_indices(builder, oversample="balanced", seed=4, epoch=7).tolist())
assert "tensorflow" not in sys.modules
"""
    here = epoch_indices(phantom_builder, oversample="balanced", seed=4, epoch=7).tolist()
    assert json.loads(run_python(code, phantom_builder.data_dir)) == here


def test_records_without_a_class_are_kept_once_and_counted(scans_builder):
    counts = mi.class_counts(scans_builder, "train", "edema")
    assert counts == {"negative": 12, "positive": 6}
    assert (counts.unlabelled, counts.num_examples) == (6, 24)
    found = report(scans_builder, label="edema")
    assert found["records"].to_dict() == {"negative": 12, "positive": 6, "(none)": 6}
    assert found["copies"].to_dict() == {"negative": 12, "positive": 12, "(none)": 6}
    ds = scans_builder.as_dataset(split="train")
    ds = mi.transforms.oversample(ds, counts)
    seen = collections.Counter(int(example["edema"]) for example in tfds.as_numpy(ds))
    assert (seen, int(ds.cardinality())) == ({0: 12, 1: 12, -1: 6}, 30)


def test_labels_that_come_along_are_reported(scans_builder):
    counts = mi.class_counts(scans_builder, "train")  # air only with mass
    assert counts == {"mass": 12, "air": 4}
    assert (counts.unlabelled, counts.num_examples) == (12, 24)
    found = report(scans_builder, oversample="balanced")
    assert found["copies"].to_dict() == {"mass": 20, "air": 12, "(none)": 12}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda b: epoch_indices(b, "test", oversample="sqrt"), "'test' is for evaluation"),
        (lambda b: epoch_indices(b, BOTH, oversample="sqrt"), "'validation' is for evaluation"),
        (lambda b: epoch_indices(b, oversample="sqr"), "did you mean 'sqrt'"),
        (lambda b: epoch_indices(b, oversample={"mell": 2}), "did you mean 'mel'"),
        (lambda b: epoch_indices(b, oversample="sqrt", label="age"), "no feature of classes"),
        (lambda b: epoch_indices(b, num_shards=2, shard_index=2), "must be from 0 to 1"),
        (lambda b: epoch_indices(b, num_shards=0), "`num_shards` is 0"),
        (lambda b: epoch_indices(b, start=561), "`start` is 561; .* has 560 records"),
    ],
)
def test_what_cannot_be_drawn_is_told(phantom_builder, call, message):
    with pytest.raises(ValueError, match=message):
        call(phantom_builder)
