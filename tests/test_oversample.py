"""Rebalancing at load time."""

import collections
import itertools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from hypothesis import given, settings
from hypothesis import strategies as st

import medical_images as mi


def labels_of(ds) -> collections.Counter:
    return collections.Counter(int(example["label"]) for example in tfds.as_numpy(ds))


def dataset(labels) -> tf.data.Dataset:
    labels = tf.constant(labels, tf.int64)
    return tf.data.Dataset.from_tensor_slices({"n": tf.range(len(labels)), "label": labels})


def repeats_of(ds) -> collections.Counter:
    return collections.Counter(int(example["n"]) for example in tfds.as_numpy(ds))


@settings(max_examples=6, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 3))
def test_every_class_becomes_as_large_as_the_largest(labels, seed):
    counts = {str(c): labels.count(c) for c in range(5)}
    ds = mi.transforms.oversample(
        dataset(labels), counts, label="label", split="train", seed=seed, shuffle_buffer=None
    )
    target = max(counts.values())
    assert int(ds.cardinality()) == target * len(set(labels))
    repeats = repeats_of(ds)
    for number, label in enumerate(labels):
        low, extra = divmod(target, counts[str(label)])
        assert low <= repeats[number] <= low + bool(extra)
    for label in set(labels):
        assert sum(n for k, n in repeats.items() if labels[k] == label) == target


@pytest.mark.parametrize(
    ("strategy", "totals"),
    [
        ("sqrt", {0: 64, 1: 32, 2: 16, -1: 3}),
        ({"a": 0.25, "c": 2.5}, {0: 16, 1: 16, 2: 10, -1: 3}),
        (mi.Rebalance(max_factor=3), {0: 64, 1: 48, 2: 12, -1: 3}),
        (mi.Rebalance("power", power=1, num_records=29), {0: 21, 1: 5, 2: 2, -1: 1}),
    ],
)
def test_strategies_and_records_without_a_class(strategy, totals):
    numbers = np.repeat([0, 1, 2, -1], [64, 16, 4, 3])
    numbers = numbers[np.argsort(np.sin(np.arange(87)))]
    counts = mi.ClassCounts(
        {"a": 64, "b": 16, "c": 4}, feature="label", splits=("train",), unlabelled=3
    )
    ds = mi.transforms.oversample(dataset(numbers), counts, strategy=strategy)
    assert int(ds.cardinality()) == sum(totals.values())
    assert labels_of(ds) == totals
    # Over several epochs each record of a class has its share.
    total = sum((repeats_of(ds) for _ in range(12)), collections.Counter())
    for label, size in ((0, 64), (1, 16), (2, 4)):
        found = [total[n] for n in np.flatnonzero(numbers == label)]
        assert max(found) - min(found) <= 3
        assert sum(found) == 12 * totals[label]
        assert len(found) == size


def test_copies_are_numbered_for_what_comes_after():
    ds = mi.transforms.oversample(
        dataset([0, 0, 0, 1]), {"a": 3, "b": 1}, label="label", split="train",
        with_copy_numbers=True,
    )  # fmt: skip
    seen = sorted((int(e["n"]), int(e["_copy"])) for e in tfds.as_numpy(ds))
    assert seen == [(0, 0), (1, 0), (2, 0), (3, 0), (3, 1), (3, 2)]
    pairs = tf.data.Dataset.from_tensors((0, 0))
    with pytest.raises(ValueError, match="feature dicts only"):
        mi.transforms.oversample(pairs, {"a": 1}, split="train", with_copy_numbers=True)


def test_a_built_slice_is_balanced_exactly(phantom_builder):
    for split in ("train", "train[:50%]"):
        counts = mi.class_counts(phantom_builder, split)
        ds = mi.transforms.oversample(phantom_builder.as_dataset(split=split), counts)
        assert set(labels_of(ds).values()) == {max(counts.values())}
        assert len(ds) == 7 * max(counts.values())


def test_image_label_pairs_are_balanced_too(phantom_builder):
    counts = mi.class_counts(phantom_builder, "train")
    pairs = phantom_builder.as_dataset(split="train", as_supervised=True, shuffle_files=True)
    ds = mi.transforms.oversample(pairs, counts)
    seen = collections.Counter(int(label) for _, label in tfds.as_numpy(ds))
    assert set(seen.values()) == {max(counts.values())}


def test_copies_are_spread_and_the_seed_decides(phantom_builder):
    counts = mi.class_counts(phantom_builder, "train")
    source = phantom_builder.as_dataset(
        split="train", decoders={"image": tfds.decode.SkipDecoding()}
    )

    def stream(seed):
        ds = mi.transforms.oversample(source, counts, seed=seed)
        return [example["image_id"] for example in tfds.as_numpy(ds)]

    first = stream(1)
    assert first == stream(1) != stream(2)
    neighbours = sum(a == b for a, b in itertools.pairwise(first))
    assert neighbours < len(first) / 50


def test_epochs_differ_in_order_and_in_who_has_a_copy_more(phantom_builder):
    counts = mi.class_counts(phantom_builder, "train")
    source = phantom_builder.as_dataset(
        split="train", decoders={"image": tfds.decode.SkipDecoding()}
    )
    ds = mi.transforms.oversample(source, counts)
    examples = [[(e["image_id"], e["label"]) for e in tfds.as_numpy(ds)] for _ in range(2)]
    first, second = (collections.Counter(name for name, _ in epoch) for epoch in examples)
    assert examples[0] != examples[1]
    assert {abs(first[name] - second[name]) for name in first} == {0, 1}
    assert len({tuple(sorted(label for _, label in epoch)) for epoch in examples}) == 1
    again = mi.transforms.oversample(source, counts, epoch=1)
    assert [(e["image_id"], e["label"]) for e in tfds.as_numpy(again)] == examples[1]


def test_records_are_read_once(phantom_builder):
    reads = tf.Variable(0, dtype=tf.int64)

    def count(example):
        reads.assign_add(1)
        return example

    counts = mi.class_counts(phantom_builder, "train")
    ds = phantom_builder.as_dataset(split="train").map(count)
    assert sum(labels_of(mi.transforms.oversample(ds, counts)).values()) > 2 * sum(counts.values())
    assert int(reads) == sum(counts.values())


@pytest.mark.parametrize(
    "split",
    [
        "test",
        "validation[:50%]",
        "val",
        "train+test",
        "Validation_2",
        "test1",
        "internal_test",
        "train_val",
        "tune",
        "extra",
    ],
)
def test_evaluation_splits_are_refused_unless_told(split):
    counts = {"a": 2, "b": 1}
    with pytest.raises(ValueError, match="for evaluation"):
        mi.transforms.oversample(dataset([0, 0, 1]), counts, label="label", split=split)
    ds = mi.transforms.oversample(
        dataset([0, 0, 1]), counts, label="label", split=split, allow_evaluation=True
    )
    assert labels_of(ds) == {0: 2, 1: 2}


def test_the_slice_counted_is_the_one_that_is_checked(phantom_builder):
    counts = mi.class_counts(phantom_builder, "test")
    with pytest.raises(ValueError, match="'test' is for evaluation"):
        mi.transforms.oversample(phantom_builder.as_dataset(split="test"), counts)


def test_an_unnamed_split_is_refused():
    with pytest.raises(ValueError, match="say which split"):
        mi.transforms.oversample(dataset([0]), {"a": 1}, label="label")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 0, 1], "more records than `counts` says"),
        ([0, -1], "tells of no record without a class"),
        ([0, 7], "number of no class"),
    ],
)
def test_counts_of_another_slice_are_noticed(labels, message):
    ds = mi.transforms.oversample(dataset(labels), {"a": 1, "b": 1}, label="label", split="train")
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        list(ds)


def test_several_labels_an_image_are_refused_with_what_was_found():
    ds = tf.data.Dataset.from_tensors({"label": tf.constant([0, 1])})
    with pytest.raises(ValueError, match="integer scalar"):
        mi.transforms.oversample(ds, {"a": 1}, label="label", split="train")
