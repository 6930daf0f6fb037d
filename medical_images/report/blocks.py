"""What a data card is made of: plain values that a page shows one below the other. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
      text: What it says.
      note: What stands small below it.
    """

    text: str
    note: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A table. The first cell of a row names the row.

    Attributes:
      caption: What it shows.
      head: The names of the columns.
      rows: As many cells each.
      is_folded: Whether it is shown only when it is asked for.
      is_text: Whether its cells are words, and not numbers.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    is_folded: bool = False
    is_text: bool = False

    @classmethod
    def of(
        cls,
        caption: str,
        head: Iterable[str],
        rows: Iterable[Iterable[str | Cell]],
        *,
        is_folded: bool = False,
        is_text: bool = False,
    ) -> Table:
        """Makes a table of cells and plain texts.

        Example:
          >>> Table.of('Images', ['class', 'train'], [['nv', '12']]).rows
          ((Cell(text='nv', note=''), Cell(text='12', note='')),)
        """
        cells = tuple(
            tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in row) for row in rows
        )
        return cls(
            caption=caption, head=tuple(head), rows=cells, is_folded=is_folded, is_text=is_text
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bars:
    """Counts of some categories, and their share of each split.

    Attributes:
      title: What it shows, for who cannot see it.
      categories: From top to bottom.
      counts: One of each category.
      texts: The counts as they are written.
      unit: What is counted.
      shares: {split: percent of each category, NaN where it is not shown}; none for counts alone.
    """

    title: str
    categories: tuple[str, ...]
    counts: tuple[int, ...]
    texts: tuple[str, ...]
    unit: str
    shares: dict[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Histogram:
    """How the numbers of each split are distributed.

    Attributes:
      title: What it shows.
      edges: The ends of the bins, one more than bins.
      shares: {split: percent of its known values in each bin}.
      axis: Name and unit of the numbers.
      is_each: Whether each bin holds one whole number.
    """

    title: str
    edges: tuple[float, ...]
    shares: dict[str, tuple[float, ...]]
    axis: str
    is_each: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pyramid:
    """Counts by band of age, to the left and to the right.

    Attributes:
      title: What it shows.
      bands: From bottom to top.
      sides: Two names with their counts.
      unit: What is counted.
    """

    title: str
    bands: tuple[str, ...]
    sides: tuple[tuple[str, tuple[int, ...]], tuple[str, tuple[int, ...]]]
    unit: str


Chart = Bars | Histogram | Pyramid


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """An example image.

    Attributes:
      source: The image as a `data:` URI.
      alt: What it is, for who cannot see it.
      width: In pixels.
      height: In pixels.
    """

    source: str = dataclasses.field(repr=False)
    alt: str
    width: int
    height: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gallery:
    """Example images in rows.

    Attributes:
      rows: (name, note, pictures).
      legend: (name, colour) of the boxes that are drawn.
      is_large: Whether there is something to see in them that is small.
      is_dense: Whether there are many rows of a few images.
    """

    rows: tuple[tuple[str, str, tuple[Picture, ...]], ...]
    legend: tuple[tuple[str, str], ...] = ()
    is_large: bool = False
    is_dense: bool = False


@dataclasses.dataclass(frozen=True)
class Facts:
    """Names and what there is to say of each."""

    pairs: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Points:
    """Sentences, one below the other.

    Attributes:
      sentences: What they say.
      title: With it, they are shown only when they are asked for.
    """

    sentences: tuple[str, ...]
    title: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Code:
    """Text to copy.

    Attributes:
      title: What it is.
      text: The text.
      is_folded: Whether it is shown only when it is asked for.
    """

    title: str
    text: str
    is_folded: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Heading:
    """A heading inside a section.

    Attributes:
      title: Its text.
      note: What stands beside it.
    """

    title: str
    note: str = ""


Block = str | Table | Chart | Gallery | Facts | Points | Code | Heading


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the card; a text among its blocks is a paragraph."""

    name: str
    title: str
    blocks: Sequence[Block]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """All that a data card says.

    Attributes:
      title: Of the dataset.
      name: Of the dataset in TFDS, with its version.
      lead: What it is, in a paragraph.
      note: How counts are shown, if not as they are.
      figures: (number, what it counts), the most important ones.
      sections: In the order in which they are read.
      foot: What made the card.
    """

    title: str
    name: str
    lead: str
    note: str
    figures: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    foot: str
