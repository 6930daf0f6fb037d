"""All that a data card says, as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medical_images._version import __version__
from medical_images.report import (
    account,
    associations,
    cautions,
    classes,
    pictures,
    relations,
    spreads,
    who,
)
from medical_images.report.blocks import Card
from medical_images.report.counting import groups_text, images_text
from medical_images.report.dataset import Dataset
from medical_images.report.disclosure import Disclosure

if TYPE_CHECKING:
    from medical_images.audit.near_copies import NearCopies


def card_of(
    dataset: Dataset,
    disclosure: Disclosure,
    *,
    num_pictures_per_class: int = 6,
    near_copies: NearCopies | None = None,
) -> Card:
    """Says what there is to say of a dataset.

    Args:
      dataset: The dataset.
      disclosure: How counts are shown.
      num_pictures_per_class: Example images of each class; 0 shows none.
      near_copies: The pairs of images that look the same; None where they were not looked for.
    """
    pairs = associations.pairs_of(dataset, disclosure)
    warnings, notes = cautions.cautions(dataset, disclosure, pairs=pairs, near_copies=near_copies)
    sections = [
        who.origin(dataset),
        cautions.to_know(dataset, warnings, notes),
        who.people(dataset, disclosure),
        classes.classes(dataset, disclosure),
        *(
            [pictures.gallery(dataset, disclosure, num_per_class=num_pictures_per_class)]
            if num_pictures_per_class
            else []
        ),
        who.features(dataset),
        classes.missing(dataset, disclosure),
        spreads.distributions(dataset, disclosure),
        relations.group_sizes(dataset, disclosure),
        associations.associations(dataset, pairs, disclosure),
        relations.copies(dataset, disclosure, near_copies),
        account.left_out(dataset, disclosure),
        account.again(dataset, disclosure),
        account.glossary(),
    ]
    hidden = " ".join(account.how_counts_are_shown(disclosure))
    return Card(
        title=dataset.about.get("title") or dataset.spec["name"],
        name=dataset.info.full_name,
        lead=dataset.spec.get("description", "").strip(),
        note=hidden,
        figures=_figures(dataset, disclosure, len(warnings)),
        sections=tuple(section for section in sections if section is not None and section.blocks),
        foot=f"Made by medical_images {__version__} from the dataset alone.",
    )


def _figures(
    dataset: Dataset, disclosure: Disclosure, num_warnings: int
) -> tuple[tuple[str, str], ...]:
    """The few numbers that come first."""
    figures = [(images_text(dataset, disclosure), "images")]
    if dataset.group_columns:
        figures.append((groups_text(dataset, disclosure), dataset.group_word))
    if dataset.target is not None:
        figures.append((str(len(dataset.target.classes)), f"classes of {dataset.target.name}"))
    figures.append((str(len(dataset.sizes)), "split" if len(dataset.sizes) == 1 else "splits"))
    figures.append((str(num_warnings), "warning" if num_warnings == 1 else "warnings"))
    return tuple(figures)
