"""The figures of a report."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from troupe.analysis.bars import accuracy_bars, throughput_by_workers, time_by_workers
from troupe.analysis.canvas import styled, to_png, to_svg
from troupe.analysis.groups import Group
from troupe.analysis.lines import error_curves, return_curves

Draw = Callable[[Sequence[Group]], Figure | None]


@dataclass(frozen=True)
class FigureKind:
    """A figure that a report may hold.

    Attributes:
        title: what it shows.
        note: how to read it.
        draw: returns the figure, None if the runs have nothing for it.
    """

    title: str
    note: str
    draw: Draw


@dataclass(frozen=True)
class Picture:
    """A figure, drawn.

    Attributes:
        name: of its file, without suffix.
        title: what it shows.
        note: how to read it.
        png: on white.
        svg: for inside a page, in the page's colours.
    """

    name: str
    title: str
    note: str
    png: bytes
    svg: str


BANDS = (
    "Line: median of the seeds; band: least to greatest. A line striped in several colours belongs "
    "to all of them: their curves are equal."
)

FIGURES = {
    "error": FigureKind("Error while training", BANDS, error_curves),
    "return": FigureKind("Return while training", BANDS, return_curves),
    "accuracy": FigureKind(
        "Accuracy and repeatability beside the published ones",
        "Root mean square distance of final positions from the target (accuracy) and from "
        "their mean (repeatability); median of the seeds, least to greatest. Published: hatched.",
        accuracy_bars,
    ),
    "time": FigureKind(
        "Time to train by number of workers",
        "Learning time without start-up; median of the seeds, least to greatest. Published times "
        "are of another simulator on other machines.",
        time_by_workers,
    ),
    "throughput": FigureKind(
        "Throughput by number of workers",
        "Median of the seeds, least to greatest.",
        throughput_by_workers,
    ),
}


def draw_figures(groups: Sequence[Group]) -> list[Picture]:
    """Return the figures for which the groups have data."""
    pictures = []
    with styled():
        for name, kind in FIGURES.items():
            figure = kind.draw(groups)
            if figure is not None:
                label = html.escape(kind.title)
                svg = to_svg(figure, name, label)
                pictures.append(Picture(name, kind.title, kind.note, to_png(figure), svg))
    return pictures
