"""A data card as one page of HTML that needs nothing else."""

from __future__ import annotations

import importlib.resources
import itertools

import jinja2
import markupsafe

from medical_images.report import blocks, figures
from medical_images.report.blocks import Card

_FOLDER = importlib.resources.files("medical_images.report") / "templates"


def page_of(card: Card) -> str:
    """Returns the card as HTML; its texts are escaped. The same card gives the same text."""
    numbers = itertools.count(1)

    def drawn(chart: blocks.Chart) -> markupsafe.Markup:
        return markupsafe.Markup(figures.draw(chart, f"figure-{next(numbers)}"))

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    template = environment.get_template("card.html.j2")
    style = markupsafe.Markup(_read("card.css"))
    return template.render(card=card, style=style, drawn=drawn, kind_of=_kind_of)


def _kind_of(block: blocks.Block) -> str:
    return "Text" if isinstance(block, str) else type(block).__name__


def _read(name: str) -> str:
    return (_FOLDER / name).read_text("utf-8")
