"""Figures of learning curves: against wall time, steps and attempts, a colour a group."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

from troupe.analysis.canvas import (
    PUBLISHED_COLOUR,
    axis_figures,
    colour,
    legend_above,
    line_style,
    panels,
)
from troupe.analysis.curves import Band, band, curve, error_bound_m
from troupe.analysis.groups import Group
from troupe.analysis.terms import terms
from troupe.analysis.words import millimetres
from troupe.episodes.accuracy import MM_PER_M

AXES = {"wall_s": "learning time (s)", "steps": "{steps}", "attempts": "attempts (episodes begun)"}

# times further apart than this are shown on a logarithmic axis
LOG_SPAN = 8.0

# length of one colour on a line that several groups share, in line widths
STRIPE = 4.0


def return_curves(groups: Sequence[Group]) -> Figure | None:
    """Return the mean return against wall time, steps and attempts; None without data."""
    return _curves(groups, "mean_return", 1.0, "mean return of the\n{episodes}")


def error_curves(groups: Sequence[Group]) -> Figure | None:
    """Return the mean error in mm against wall time, steps and attempts, with its bounds."""
    figure = _curves(groups, "error_m", MM_PER_M, "mean error of the\n{episodes} (mm)")
    if figure is None:
        return None
    bounds_mm = _bounds_mm(groups)
    first = figure.axes[0]
    first.set_yscale("log")
    first.set_ylim(bottom=0.75 * min(first.dataLim.ymin, *bounds_mm, math.inf))
    first.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    first.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    first.yaxis.set_minor_locator(NullLocator())
    for bound_mm, label in bounds_mm.items():
        for axes in figure.axes:
            axes.axhline(bound_mm, color=PUBLISHED_COLOUR, linewidth=1.3, linestyle=":", zorder=1)
        # by step, all groups fall from the upper left: the lower left is free
        figure.axes[1].annotate(
            label,
            (0.02, bound_mm),
            xycoords=("axes fraction", "data"),
            xytext=(0, 2),
            textcoords="offset points",
            fontsize=9,
        )
    return figure


def _bounds_mm(groups: Sequence[Group]) -> dict[float, str]:
    bounds: dict[float, str] = {}
    for group in groups:
        bound_m = error_bound_m(group.runs[0].experiment)
        if bound_m is not None:
            bounds[MM_PER_M * bound_m] = f"success {millimetres(MM_PER_M * bound_m)} mm"
        published = group.published
        if published is not None and published.best_accuracy_mm is not None:
            best_mm = published.best_accuracy_mm
            bounds[best_mm] = f"published {millimetres(best_mm)} mm"
    return bounds


def _curves(groups: Sequence[Group], y: str, scale: float, ylabel: str) -> Figure | None:
    all_bands = {x: [band([curve(run, x, y) for run in g.runs]) for g in groups] for x in AXES}
    shown = [i for i in range(len(groups)) if all(bands[i] for bands in all_bands.values())]
    if not shown:
        return None
    words = asdict(terms(run for i in shown for run in groups[i].runs))
    all_axes = panels(len(AXES), height_in=3.9, sharey=True)
    for axes, (x, label) in zip(all_axes, AXES.items(), strict=True):
        bands = {i: made for i in shown if (made := all_bands[x][i]) is not None}
        for i, made in bands.items():
            equals = [j for j, other in bands.items() if _equal(made, other)]
            _draw_band(axes, made, scale, i, equals)
        axes.set_xlabel(label.format(**words))
        axes.xaxis.set_major_formatter(_thousands)
        axes.margins(x=0.02)
        if x == "wall_s":
            _span(axes, [made.x[-1] for made in bands.values()])
    all_axes[0].set_ylabel(ylabel.format(**words))
    if len(shown) > 1:
        entries = {
            groups[i].label: Line2D([], [], color=colour(i), linestyle=line_style(i), linewidth=2.5)
            for i in shown
        }
        legend_above(axis_figures(all_axes), entries)
    return axis_figures(all_axes)


def _equal(one: Band, other: Band) -> bool:
    return all(
        np.array_equal(getattr(one, part), getattr(other, part))
        for part in ("x", "median", "low", "high")
    )


def _draw_band(axes: Axes, made: Band, scale: float, index: int, equals: list[int]) -> None:
    """Draw a band; of equal ones each has its stripes on the line, and the first the area."""
    place, of = equals.index(index), len(equals)
    stripes = (-place * STRIPE, (STRIPE, (of - 1) * STRIPE))
    axes.plot(
        made.x,
        made.median * scale,
        color=colour(index),
        linestyle=stripes if of > 1 else line_style(index),
        linewidth=1.9,
        marker="o" if len(made.x) == 1 else None,
        dash_capstyle="butt",
        zorder=3,
    )
    if place == 0 and np.any(made.high > made.low):
        fill = colour(index) if of == 1 else PUBLISHED_COLOUR
        low, high = made.low * scale, made.high * scale
        axes.fill_between(made.x, low, high, color=fill, alpha=0.22, linewidth=0, zorder=2)


def _span(axes: Axes, ends: list[float]) -> None:
    """Give the time axis a logarithmic scale if groups take very different times."""
    if max(ends) > LOG_SPAN * min(ends) > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(_thousands)
        axes.xaxis.set_minor_formatter(NullFormatter())


def _thousands(value: float, _: object = None) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
