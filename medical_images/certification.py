"""What a plan achieved, in numbers that can be checked. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np

from medical_images.join import feature_column
from medical_images.plan import Plan, group_ids, label_matrix
from medical_images.spec import CorpusSpec


def class_counts(plan: Plan, spec: CorpusSpec) -> dict[str, dict[str, dict[str, int]]]:
    """Counts the classes of every class and labels feature.

    Returns:
      {split: {feature: {class: images}}}, with every declared class.
    """
    result: dict[str, dict[str, dict[str, int]]] = {}
    for split, records in plan.splits.items():
        result[split] = {}
        for name, classes in spec.classes.items():
            counts = records[feature_column(name)].explode().value_counts()
            result[split][name] = {value: int(counts.get(value, 0)) for value in classes}
    return result


def certify(plan: Plan, spec: CorpusSpec) -> dict[str, Any]:
    """States how close the splits of a plan are to what the spec asks for.

    Returns:
      A dictionary of plain values:
        images, groups: {split: count};
        images_without_group: {split: count} of images whose group is blank, each a group alone;
        requested: {split: share};
        group_overlap: groups that stand in more than one split (0);
        labels: {feature: {class: {split: images}}} of the `stratify` features;
        largest_deviation: the largest difference, in images, between a count of a label or of all
          images and its share;
        labels_absent: {split: [feature=class, ...]} of classes that occur, but not in this split;
        seed, method.
    """
    names = list(plan.splits)
    matrices = [label_matrix(records, spec) for records in plan.splits.values()]
    sizes = np.array([len(matrix) for matrix in matrices])
    achieved = np.stack([matrix.sum(axis=0) for matrix in matrices])
    achieved = np.concatenate([achieved, sizes[:, None]], axis=1)
    shares = np.array([[float(spec.splits[name])] for name in names])
    deviation = np.abs(achieved - shares * achieved.sum(axis=0))
    labels = [(name, value) for name in spec.stratify for value in spec.classes[name]]
    table: dict[str, dict[str, dict[str, int]]] = {name: {} for name in spec.stratify}
    absent: dict[str, list[str]] = {}
    for column, (feature, value) in enumerate(labels):
        counts = {name: int(count) for name, count in zip(names, achieved[:, column], strict=True)}
        table[feature][value] = counts
        for name, count in counts.items():
            if count == 0 and any(counts.values()):
                absent.setdefault(name, []).append(f"{feature}={value}")
    groups = {name: set(group_ids(records)) for name, records in plan.splits.items()}
    return {
        "method": "line",
        "seed": spec.seed,
        "requested": {name: str(spec.splits[name]) for name in names},
        "images": {name: int(size) for name, size in zip(names, sizes, strict=True)},
        "groups": {name: len(ids) for name, ids in groups.items()},
        "images_without_group": {
            name: int((records["group"] == "").sum()) if spec.group else 0
            for name, records in plan.splits.items()
        },
        "group_overlap": sum(map(len, groups.values())) - len(set().union(*groups.values())),
        "labels": table,
        "largest_deviation": round(float(deviation.max()), 6),
        "labels_absent": absent,
    }
