"""The data card of a built dataset: one HTML page that says what it holds, to read and to print."""

from __future__ import annotations

import os
import pathlib
from typing import TYPE_CHECKING

from medical_images.report.card import card_of
from medical_images.report.dataset import read_dataset
from medical_images.report.disclosure import Disclosure

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

__all__ = ["write_report"]


def write_report(
    builder: str | tfds.core.DatasetBuilder,
    path: str | os.PathLike[str] | None = None,
    *,
    images: bool = True,
    num_images_per_class: int = 6,
    min_cell: int = 1,
    audit: bool = False,
    data_dir: str | os.PathLike[str] | None = None,
) -> pathlib.Path:
    """Writes the data card of a dataset: one HTML file, which needs no network and no scripts.

    The same dataset and arguments give the same file. It shows counts, no ids and no free texts;
    its example images are those of patients.

    Args:
      builder: A built dataset, its name such as `medical_images/mine` or `mine`, or what
        `mi.from_corpus` returns.
      path: The file to write, over an older one; by default `<name>.html` in the current folder.
      images: Whether to show example images.
      num_images_per_class: How many of each class; fewer where there are very many classes.
      min_cell: Counts below it are not shown, all others are rounded to its multiples, and sums are
        those of what is shown; 1 shows all as they are, 2 is refused. That makes it harder to
        compute what is hidden: several tables together may still tell. What is counted in a table
        of images is images: five may be of one patient.
      audit: Whether to look for images that look the same, which decodes all images; needs the
        extra `audit`.
      data_dir: Where a named dataset is; TFDS's own default if None.

    Returns:
      The path of the file.

    Raises:
      ValueError: The dataset was not built by this version of the package; or a number is out of
        range.
      ImportError: The extra `audit` is asked for, and not installed.

    Example:
      >>> write_report('medical_images/phantom', '/tmp/phantom.html', min_cell=5)  # doctest: +SKIP
      PosixPath('/tmp/phantom.html')
    """
    if num_images_per_class < 1:
        raise ValueError(
            f"num_images_per_class is {num_images_per_class}; it must be at least 1. `images=False`"
            " shows none"
        )
    disclosure = Disclosure(min_cell)
    dataset = read_dataset(builder, data_dir=data_dir)
    near_copies = None
    if audit:
        from medical_images.audit.near_copies import near_copies_of

        near_copies = near_copies_of(dataset.builder, progress=True)
    card = card_of(
        dataset,
        disclosure,
        num_pictures_per_class=num_images_per_class if images else 0,
        near_copies=near_copies,
    )
    from medical_images.report.pages import page_of

    target = pathlib.Path(path if path is not None else f"{dataset.spec['name']}.html")
    page = page_of(card)
    beside = target.with_name(f"{target.name}.incomplete")
    beside.write_text(page, encoding="utf-8", newline="\n")
    beside.replace(target)
    return target
