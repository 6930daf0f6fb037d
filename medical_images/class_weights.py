"""Weights of classes for the loss, and what undoes rebalancing at prediction."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from medical_images.dataset_index import ClassCounts
from medical_images.rebalancing import Rebalance


def class_weights(
    counts: Mapping[str, int], *, strategy: str | Mapping[str, float] | Rebalance = "balanced"
) -> dict[int, float]:
    """Returns the weight of each class in the loss, for `class_weight=` of Keras's `fit`.

    A weight is the factor by which `Rebalance` would repeat the class's records, so that weights do
    in the loss what copies do in the data, on average. Take one of the two, not both.

    Args:
      counts: {class: records} in the order of the classes, such as `mi.class_counts` returns.
      strategy: What `Rebalance.of` takes, such as `balanced`, `sqrt` or
        `Rebalance('effective_number', beta=0.99)`.

    Returns:
      {number of the class: weight}. The mean of the weights over the records of all classes is 1,
      so that the learning rate keeps its meaning. Classes without records have weight 1.

    Raises:
      ValueError: A class is unknown, no class has records with a factor above 0, or the strategy
        has `per_group` or `num_records`, which weights of classes cannot follow.

    Example:
      >>> class_weights({'nv': 6, 'mel': 2})
      {0: 0.6666666666666666, 1: 2.0}
    """
    rebalance = Rebalance.of(strategy)
    if rebalance.per_group or rebalance.num_records is not None:
        raise ValueError("weights of classes cannot follow `per_group` or `num_records`; leave out")
    sizes = np.array(list(counts.values()), np.int64)
    factors = rebalance.class_factors(tuple(counts), sizes, _num_examples(counts))
    total = (factors * sizes).sum()
    if not total:
        raise ValueError("no class has records with a factor above 0; there is nothing to weight")
    weights = np.where(sizes > 0, factors * sizes.sum() / total, 1)
    return dict(enumerate(weights.tolist()))


def log_prior_offsets(before: Mapping[str, float], after: Mapping[str, float]) -> np.ndarray:
    """Returns what to add to the logits of a model that was trained on rebalanced data.

    Rebalancing makes a model believe that classes are as common as in training. If p(image | class)
    is the same, its softmax times p(class) before / p(class) after, brought to sum 1, is the
    probability where classes are as common as they were before (Saerens et al. 2002). On the
    logits this is an offset: log p(class) before - log p(class) after. It is added at prediction
    only, after training, to the logits of one class out of several (softmax), and not to those of
    labels (sigmoid). Models that were trained with `class_weights` are corrected alike, with the
    products of counts and weights as `after`.

    The logit adjustment of Menon et al. (2021) has the other sign, since it serves another end:
    with a model trained on data as they are, `log_prior_offsets(after, before)` for equal counts
    `after` gives the predictions with the least balanced error.

    Args:
      before: {class: records} where the model is used, for example of `mi.class_counts`.
      after: {class: copies} in an epoch of training, for example of `Rebalance.class_totals`, or
        the column `copies` of a report.

    Returns:
      float32 (classes,), in the order of `before`; 0 for classes that are in neither.

    Raises:
      ValueError: The classes are not the same, a count is negative, or a class is in only one.

    Example:
      >>> log_prior_offsets({'nv': 90, 'mel': 10}, {'nv': 50, 'mel': 50}).round(3).tolist()
      [0.5879999995231628, -1.6089999675750732]
    """
    if set(before) != set(after):
        raise ValueError(
            f"`before` and `after` must name the same classes; found {', '.join(before)} and"
            f" {', '.join(after)}"
        )
    sizes = np.array([[before[name], after[name]] for name in before], np.float64).reshape(-1, 2)
    if not (np.isfinite(sizes) & (sizes >= 0)).all():
        raise ValueError("counts of classes must be finite and at least 0")
    is_in = sizes > 0
    odd = [name for name, (one, other) in zip(before, is_in, strict=True) if one != other]
    if odd:
        raise ValueError(
            f"{', '.join(odd)} occurs in only one of `before` and `after`: a model can say nothing"
            " of classes that it did not see; leave the class out of both"
        )
    priors = np.where(is_in, sizes, 1) / np.where(is_in.any(), sizes.sum(axis=0), 1)
    offsets = np.where(is_in[:, 0], np.log(priors[:, 0]) - np.log(priors[:, 1]), 0)
    return offsets.astype(np.float32)


def minority_classes(counts: Mapping[str, int], threshold: float) -> list[str]:
    """Lists the classes that fewer than a share of the records have, but some.

    Args:
      counts: {class: records}; of `mi.class_counts`, the share is of all its examples.
      threshold: The share, in [0, 1].

    Example:
      >>> minority_classes({'nv': 90, 'mel': 9, 'df': 1}, 0.05)
      ['df']
    """
    most = threshold * _num_examples(counts)
    return [name for name, size in counts.items() if 0 < size < most]


def _num_examples(counts: Mapping[str, int]) -> int:
    return counts.num_examples if isinstance(counts, ClassCounts) else sum(counts.values())
