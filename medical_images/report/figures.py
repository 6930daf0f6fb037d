"""Charts as SVG: no fonts or colours of their own, those of the page apply."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from medical_images.report.blocks import Bars, Chart, Histogram, Pyramid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What is drawn in these colours is shown in the page's own.
_INK, _MUTED, _RULE = "#010101", "#020202", "#030303"
_SERIES = ("#040401", "#040402", "#040403", "#040404")
_COLOURS = {_INK: "ink", _MUTED: "muted", _RULE: "rule"} | {
    colour: f"series-{number}" for number, colour in enumerate(_SERIES, 1)
}
_MARKERS, _LINES = ("o", "D", "^", "s"), ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
_WIDTH, _ROW = 7.4, 0.235  # inches
_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.edgecolor": _RULE,
    "axes.labelcolor": _MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titlecolor": _MUTED,
    "axes.titlelocation": "left",
    "text.color": _INK,
    "xtick.color": _RULE,
    "ytick.color": _RULE,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _INK,
    "legend.frameon": False,
    "legend.labelcolor": _MUTED,
    "text.parse_math": False,
}


def draw(chart: Chart, name: str) -> str:
    """Draws a chart.

    Args:
      chart: What to draw.
      name: Of the figure, unique in its page; its ids begin with it.

    Returns:
      An `svg` element. The same chart and name give the same text.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings: Any = {**mpl.rcParamsDefault, **_SETTINGS, "svg.hashsalt": name}
    with mpl.rc_context(settings):
        figure = Figure(layout="constrained", facecolor="none")
        FigureCanvasSVG(figure)
        match chart:
            case Bars():
                _bars(figure, chart)
            case Histogram():
                _histogram(figure, chart)
            case Pyramid():
                _pyramid(figure, chart)
        for axes in figure.axes:
            axes.set_facecolor("none")
        written = io.StringIO()
        figure.savefig(
            written,
            format="svg",
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    return _for_page(written.getvalue(), name, chart.title)


def _bars(figure: Figure, chart: Bars) -> None:
    number = len(chart.categories)
    figure.set_size_inches(_WIDTH, 0.75 + _ROW * number)
    if chart.shares:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1, 1])
        _dots(right, chart)
    else:
        left = figure.subplots()
    places = range(number)
    left.barh(places, chart.counts, height=0.62, color=_SERIES[0])
    largest = max(chart.counts, default=0) or 1
    for place, count, text in zip(places, chart.counts, chart.texts, strict=True):
        left.text(count + largest / 60, place, text, va="center", color=_MUTED, fontsize=8.5)
    left.set_yticks([*places], [_short(name) for name in chart.categories])
    left.set_ylim(number - 0.4, -0.6)
    left.set_xlim(0, largest * 1.16)
    left.set_xticks([])
    left.spines["bottom"].set_visible(False)
    left.tick_params(axis="y", length=0)
    left.set_title(chart.unit)


def _dots(axes: Axes, chart: Bars) -> None:
    places = range(len(chart.categories))
    for number, (split, shares) in enumerate(chart.shares.items()):
        axes.plot(
            shares,
            places,
            _MARKERS[number],
            color=_SERIES[number],
            markerfacecolor="none" if number else _SERIES[0],
            markersize=5.5,
            markeredgewidth=1.3,
            label=split,
            clip_on=False,
        )
    axes.hlines(places, 0, 1, transform=axes.get_yaxis_transform(), color=_RULE, lw=0.6, zorder=0)
    known = [share for shares in chart.shares.values() for share in shares if share == share]
    axes.set_xlim(0, max(known, default=0) * 1.05 or 1)
    axes.set_title("percent of each split", pad=22)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelleft=False)
    axes.legend(
        ncols=len(chart.shares), loc="lower left", bbox_to_anchor=(-0.03, 1), borderaxespad=0.1,
        handletextpad=0.2, columnspacing=1.2, borderpad=0,
    )  # fmt: skip


def _histogram(figure: Figure, chart: Histogram) -> None:
    from matplotlib.ticker import MaxNLocator

    figure.set_size_inches(_WIDTH, 2.1)
    axes = figure.subplots()
    edges = tuple(edge - 0.5 * chart.is_each for edge in chart.edges)  # a number stands below
    for number, (split, shares) in enumerate(chart.shares.items()):
        colour = _SERIES[number % len(_SERIES)]
        if number == 0:
            axes.stairs(shares, edges, fill=True, color=colour, alpha=0.16, linewidth=0)
        style: Any = _LINES[number % len(_LINES)]
        axes.stairs(shares, edges, color=colour, linestyle=style, linewidth=1.5, label=split)
    axes.set_xlim(edges[0], edges[-1])
    if chart.is_each:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.set_xlabel(_short(chart.axis, 60))
    axes.set_title("percent of the known values")
    if chart.shares:
        axes.legend(
            ncols=len(chart.shares), loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.1,
            handlelength=1.8, columnspacing=1.4, borderpad=0,
        )  # fmt: skip


def _pyramid(figure: Figure, chart: Pyramid) -> None:
    number = len(chart.bands)
    figure.set_size_inches(_WIDTH, 0.7 + _ROW * number)
    sides: Sequence[Axes] = figure.subplots(1, 2, sharey=True)
    largest = max(max(counts, default=0) for _, counts in chart.sides) or 1
    for side, (axes, (name, counts)) in enumerate(zip(sides, chart.sides, strict=True)):
        axes.barh(range(number), counts, height=0.78, color=_SERIES[side])
        axes.set_title(f"{name}, {chart.unit}", loc="left" if side else "right")
        axes.set_xticks([])
        axes.spines[["bottom", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0, labelleft=bool(side))
        for place, count in enumerate(counts):
            offset = largest / 60
            axes.text(
                count + offset, place, f"{count:,}" if count else "", va="center",
                ha="left" if side else "right", color=_MUTED, fontsize=8.5,
            )  # fmt: skip
        axes.set_xlim((0, largest * 1.15) if side else (largest * 1.15, 0))
    sides[1].set_yticks(range(number), chart.bands)
    sides[1].tick_params(axis="y", labelleft=True)


def _short(text: str, most: int = 28) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _for_page(svg: str, name: str, title: str) -> str:
    """Leaves out what a page has itself, and takes colours, fonts and a title from it."""
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<[^>]*>", lambda tag: _tag(tag[0], name), svg[svg.index("<svg") :])
    svg = re.sub(r">\s+<", "><", svg)
    view = re.search(r'viewBox="[^"]*"', svg)
    assert view is not None
    head = f'<svg {view[0]} role="img" aria-labelledby="{name}-title">'
    return (
        f'{head}<title id="{name}-title">{escape(title)}</title>{svg[svg.index(">") + 1 :]}'.strip()
    )


def _tag(tag: str, name: str) -> str:
    tag = re.sub(r'\bid="', f'id="{name}-', tag)
    tag = re.sub(r'(?:xlink:)?href="#', f'href="#{name}-', tag).replace("url(#", f"url(#{name}-")
    tag = re.sub(r"#0[1-4]0[1-4]0[1-4]", lambda found: f"var(--{_COLOURS[found[0]]})", tag)
    tag = re.sub(r'font-family: [^;"]*;? ?| transform="rotate\(-?0 [^"]*"', "", tag)
    tag = re.sub(r"\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}", tag)
    return re.sub(r"\s+", " ", tag)
