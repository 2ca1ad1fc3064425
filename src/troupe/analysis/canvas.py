"""Figures without global state: one look, saved as PNG for documents and SVG for the page."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito 2008: told apart with any colour vision; without its yellow, pale on white
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINE_STYLES = ("-", (0, (6, 2)), (0, (2, 1.5)))
PUBLISHED_COLOUR = "#8a8f98"
INK = "#24292f"
GRID = "#d9dce1"

# matplotlib lists the valid keys as a type, which changes from version to version
STYLE: Any = {
    "axes.edgecolor": INK,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 11,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "grid.color": GRID,
    "hatch.color": INK,
    "legend.fontsize": 10.5,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "troupe",
    "text.color": INK,
    "xtick.color": INK,
    "xtick.labelsize": 10,
    "ytick.color": INK,
    "ytick.labelsize": 10,
}


def styled() -> AbstractContextManager[None]:
    """Return the context in which figures are drawn and saved."""
    return mpl.rc_context(STYLE)


def panels(num_panels: int, height_in: float = 3.6, sharey: bool = False) -> list[Axes]:
    """Return axes side by side in a new figure, which each of them knows."""
    figure = Figure(figsize=(11.0, height_in))
    FigureCanvasAgg(figure)
    return list(figure.subplots(1, num_panels, sharey=sharey, squeeze=False)[0])


def colour(index: int) -> str:
    """Return the colour of the group at an index; they repeat after six."""
    return PALETTE[index % len(PALETTE)]


def line_style(index: int) -> Any:
    """Return the line style of the group at an index, another one when colours repeat."""
    return LINE_STYLES[index // len(PALETTE) % len(LINE_STYLES)]


def legend_above(figure: Figure, entries: dict[str, Any], columns: int = 5) -> None:
    """Put a legend above the axes, outside the data; entries are what was drawn, by label."""
    longest = max(map(len, entries), default=0)
    fitting = max(1, min(columns, 110 // (longest + 6)))
    figure.legend(list(entries.values()), list(entries), loc="outside upper left", ncols=fitting)


def to_png(figure: Figure) -> bytes:
    """Return a figure on white."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, facecolor="white")
    return buffer.getvalue()


def to_svg(figure: Figure, name: str, label: str) -> str:
    """Return a figure for inside an HTML page, in the page's colours, without addresses.

    Args:
        figure: to be drawn.
        name: unique in the page.
        label: what it shows, for those who cannot see it; already escaped.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text).replace("xlink:href", "href")
    # ids are unique in a document, not in a figure
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = text.replace(INK, "currentColor").replace(GRID, "var(--grid)")
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def axis_figures(sequence: Sequence[Axes]) -> Figure:
    """Return the figure that axes belong to."""
    figure = sequence[0].figure
    assert isinstance(figure, Figure)
    return figure
