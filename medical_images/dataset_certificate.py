"""The certificate of a dataset: what its splits were to hold, and what they do hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from medical_images.dataset_index import resolve_builder

if TYPE_CHECKING:
    import tensorflow_datasets as tfds


class Certificate(dict[str, Any]):
    """What the splits of a dataset were to hold, and what they hold; `print` shows it as text.

    The keys are those of the dataset's metadata: method, seed, splits, labels, largest_deviation,
    rounding_floor, group_overlap, copies, labels_absent, folds, extended, warnings,
    plan_sha256, inputs_sha256.
    """

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def certificate(builder: str | tfds.core.DatasetBuilder) -> Certificate:
    """Reads the certificate of a dataset.

    Args:
      builder: A built dataset, or its name such as `medical_images/mine`.

    Raises:
      ValueError: The dataset has no certificate; it was not built by this package.

    Example:
      >>> print(mi.certificate('medical_images/phantom'))  # doctest: +SKIP
    """
    builder = resolve_builder(builder)
    found = (builder.info.metadata or {}).get("certificate")
    if not isinstance(found, Mapping) or "splits" not in found:
        raise ValueError(
            f"{builder.info.full_name} has no certificate; build it with this version of"
            " medical_images"
        )
    return Certificate(found)


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    splits, worst, copies = told["splits"], told["largest_deviation"], told["copies"]
    names = list(splits)
    yield f"Splits by method '{told['method']}', seed {told['seed']}"
    rows = [["", *names], ["groups", *(f"{splits[name]['groups']:,}" for name in names)]]
    rows.append(["images", *(_cell(splits[name]["images"]) for name in names)])
    for feature, values in told["labels"].items():
        rows.append([feature, *("" for _ in names)])
        rows += [
            [f"  {value}", *(_cell(table[name]) for name in names)]
            for value, table in values.items()
        ]
    yield from _table(rows)
    if worst is not None:
        yield "Each cell: achieved (requested)."
        where = f"{worst['label'] or 'all images'} in {worst['split']}"
        yield (
            f"Largest deviation: {worst['images']:.2f} images ({where}); whole images alone leave"
            f" {told['rounding_floor']:.2f}"
        )
    yield f"Groups in more than one split: {told['group_overlap']:,}"
    yield (
        f"Sets of images with the same bytes: {copies['sets']:,} ({copies['images']:,} images); in"
        f" more than one split: {copies['across_splits']:,}"
    )
    if told["extended"] is not None:
        numbers = (f"{count:,} {kind}" for kind, count in told["extended"].items())
        yield f"Groups of the dataset that was extended: {', '.join(numbers)}"
    for name, labels in told["labels_absent"].items():
        yield f"Absent from {name}: {', '.join(labels)}"
    for warning in told["warnings"]:
        yield f"Warning: {warning}"
    yield f"Plan {told['plan_sha256'][:16]}, inputs {told['inputs_sha256'][:16]} (SHA-256)"


def _cell(count: Mapping[str, Any]) -> str:
    if count["requested"] is None:
        return f"{count['achieved']:,}"
    return f"{count['achieved']:,} ({count['requested']:,.1f})"


def _table(rows: list[list[str]]) -> Iterator[str]:
    """Aligns columns: the first to the left, all others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells]).rstrip()
