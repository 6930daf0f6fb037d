"""Weights of classes, and offsets that undo rebalancing at prediction."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medical_images.class_weights import class_weights, log_prior_offsets, minority_classes
from medical_images.dataset_index import ClassCounts
from medical_images.rebalancing import Rebalance

COUNTS = st.lists(st.integers(1, 500), min_size=2, max_size=6).map(
    lambda sizes: {f"class_{number}": size for number, size in enumerate(sizes)}
)


@given(counts=COUNTS, strategy=st.sampled_from(["balanced", "sqrt", "effective_number"]))
def test_weights_do_in_the_loss_what_copies_do_in_the_data(counts, strategy):
    weights = class_weights(counts, strategy=strategy)
    sizes = np.array(list(counts.values()))
    found = np.array([weights[number] for number in range(len(counts))])
    assert (found * sizes).sum() == pytest.approx(sizes.sum())
    factors = Rebalance(strategy).class_factors(tuple(counts), sizes, int(sizes.sum()))
    np.testing.assert_allclose(found / found[0], factors / factors[0])
    if strategy == "balanced":  # as scikit-learn defines it
        np.testing.assert_allclose(found, sizes.sum() / (len(sizes) * sizes))


def test_classes_without_records_have_weight_1():
    assert class_weights({"a": 3, "b": 0, "c": 1}) == {0: 2 / 3, 1: 1.0, 2: 2.0}


@given(
    st.lists(st.floats(0.01, 1), min_size=3, max_size=3),
    st.lists(st.integers(1, 99), min_size=3, max_size=3),
    st.lists(st.integers(1, 99), min_size=3, max_size=3),
)
def test_offsets_restore_the_probabilities_of_a_perfect_model(likelihoods, before, after):
    def logits(sizes):  # of a perfect model of data with these classes, up to a constant
        return np.log(likelihoods) + np.log(sizes) + 0.7

    names = ("a", "b", "c")
    offsets = log_prior_offsets(
        dict(zip(names, before, strict=True)), dict(zip(names[::-1], after[::-1], strict=True))
    )
    assert offsets.dtype == np.float32
    corrected = np.exp(logits(after) + offsets)
    true = np.array(likelihoods) * before
    np.testing.assert_allclose(corrected / corrected.sum(), true / true.sum(), rtol=1e-5)


def test_a_class_that_is_nowhere_has_offset_0():
    offsets = log_prior_offsets({"a": 9, "b": 0, "c": 1}, {"a": 5, "b": 0, "c": 5})
    np.testing.assert_allclose(offsets, [np.log(1.8), 0, np.log(0.2)], rtol=1e-6)


def test_minority_is_told_by_the_share_of_all_examples():
    counts = ClassCounts(
        {"a": 60, "b": 30, "c": 0}, feature="x", splits=("train",), num_examples=1000
    )
    assert minority_classes(counts, 0.05) == ["b"]
    assert minority_classes(dict(counts), 0.05) == []
    assert minority_classes({"a": 1, "b": 19}, 0.05) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: class_weights({"a": 0}), "nothing to weight"),
        (lambda: class_weights({"a": 2}, strategy={"a": 0}), "nothing to weight"),
        (lambda: class_weights({"a": 2}, strategy={"b": 0}), "'b' is no class"),
        (lambda: class_weights({"a": 2}, strategy=Rebalance(per_group=True)), "cannot follow"),
        (lambda: log_prior_offsets({"a": 1}, {"b": 1}), "same classes; found a and b"),
        (lambda: log_prior_offsets({"a": 1, "b": 0}, {"a": 1, "b": 1}), "b occurs in only one"),
        (lambda: log_prior_offsets({"a": -1}, {"a": 1}), "at least 0"),
    ],
)
def test_what_has_no_answer_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
