"""Figures of learning curves: against wall time, steps and attempts, a colour a group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from troupe.analysis.canvas import (
    PUBLISHED_COLOUR,
    axis_figures,
    colour,
    legend_above,
    line_style,
    panels,
)
from troupe.analysis.curves import band, curve, error_bound_m
from troupe.analysis.groups import Group
from troupe.core.arrays import Array

AXES = {"wall_s": "learning time (s)", "steps": "steps", "attempts": "attempts (episodes begun)"}

# times further apart than this are shown on a logarithmic axis
LOG_SPAN = 8.0


def return_curves(groups: Sequence[Group]) -> Figure | None:
    """Return the mean return against wall time, steps and attempts."""
    return _curves(groups, "mean_return", 1.0, "mean return of the last 100 episodes")


def error_curves(groups: Sequence[Group]) -> Figure | None:
    """Return the mean error in mm against wall time, steps and attempts, with its bounds."""
    figure = _curves(groups, "error_m", 1000.0, "mean error of the last 100\nepisodes (mm)")
    if figure is None:
        return None
    for axes in figure.axes:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter("")
        for bound_mm, label in _bounds_mm(groups).items():
            axes.axhline(bound_mm, color=PUBLISHED_COLOUR, linewidth=1.2, linestyle=":", zorder=1)
            if axes is figure.axes[-1]:
                axes.annotate(
                    label,
                    (1.0, bound_mm),
                    xycoords=("axes fraction", "data"),
                    xytext=(0, 2),
                    textcoords="offset points",
                    ha="right",
                    va="bottom",
                    fontsize=9,
                )
    return figure


def _bounds_mm(groups: Sequence[Group]) -> dict[float, str]:
    bounds: dict[float, str] = {}
    for group in groups:
        bound_m = error_bound_m(group.runs[0].experiment)
        if bound_m is not None:
            bounds[1000.0 * bound_m] = f"success: {1000.0 * bound_m:.3g} mm"
        published = group.published
        if published is not None and published.best_accuracy_mm is not None:
            best_mm = published.best_accuracy_mm
            bounds[best_mm] = f"published: {best_mm:.3g} mm"
    return bounds


def _curves(groups: Sequence[Group], y: str, scale: float, ylabel: str) -> Figure | None:
    curves = {x: [[curve(run, x, y) for run in g.runs] for g in groups] for x in AXES}
    if not any(len(xs) for group in curves["steps"] for xs, _ in group):
        return None
    all_axes = panels(len(AXES), height_in=3.9, sharey=True)
    entries: dict[str, Any] = {}
    for axes, (x, label) in zip(all_axes, AXES.items(), strict=True):
        for i, group in enumerate(groups):
            drawn = _draw_band(axes, curves[x][i], scale, i, len(groups))
            if drawn is not None:
                entries[group.label] = drawn
        axes.set_xlabel(label)
        axes.xaxis.set_major_formatter(FuncFormatter(_thousands))
        axes.margins(x=0.02)
    _span(all_axes[0], curves["wall_s"])
    all_axes[0].set_ylabel(ylabel)
    if len(groups) > 1:
        legend_above(axis_figures(all_axes), entries)
    return axis_figures(all_axes)


def _draw_band(
    axes: Axes, curves: list[tuple[Array, Array]], scale: float, index: int, num_groups: int
) -> Any:
    made = band(curves)
    if made is None:
        return None
    marker = "o" if len(made.x) == 1 else None
    # curves that lie on each other, as those by step do for any number of workers, all show
    width = 1.6 + 1.5 * (min(num_groups, 6) - 1 - index % 6) * (num_groups > 1)
    (line,) = axes.plot(
        made.x,
        made.median * scale,
        color=colour(index),
        linestyle=line_style(index),
        linewidth=width,
        marker=marker,
        solid_capstyle="butt",
        zorder=3,
    )
    if len(curves) > 1:
        low, high = made.low * scale, made.high * scale
        axes.fill_between(made.x, low, high, color=colour(index), alpha=0.18, linewidth=0, zorder=2)
    return line


def _span(axes: Axes, curves: list[list[tuple[Array, Array]]]) -> None:
    """Give the time axis a logarithmic scale if groups take very different times."""
    ends = [max((xs[-1] for xs, _ in group if len(xs)), default=np.nan) for group in curves]
    ends = [end for end in ends if end > 0]
    if ends and max(ends) > LOG_SPAN * min(ends):
        axes.set_xscale("log")


def _thousands(value: float, _: object) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
