"""Figures about a store's episodes: success over time, by place, and over numbers that differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from troupe.analysis.canvas import axis_figures, colour, panels

TIME_BINS = 30
MOST_MAP_BINS, MOST_CURVE_BINS = 12, 10
EPISODES_A_CELL, EPISODES_A_POINT = 8, 25
LEAST_VALUES = 8
"""Different ones that a column needs for a curve; fewer make groups."""
MOST_CURVES, CURVES_A_ROW = 12, 4
PLACES = (("x_m", "y_m"), ("x", "y"))
"""Columns that say where something was tried."""

Values = npt.NDArray[Any]


def over_time(success: Values) -> Iterator[Figure]:
    """Draw success in the order in which episodes were written, if they are enough."""
    if len(success) < 2 * TIME_BINS:
        return
    parts = np.array_split(np.arange(len(success)), TIME_BINS)
    (axes,) = panels(1)
    ends = [part[-1] + 1 for part in parts]
    axes.plot(ends, [100 * success[part].mean() for part in parts], color=colour(0), marker="o")
    axes.set_xlabel("episodes, in the order in which they were written")
    _share_axis(axes)
    yield axis_figures([axes])


def by_place(episodes: pa.Table, success: Values) -> Iterator[Figure]:
    """Draw a map of success by where something was tried, if a pair of columns tells it."""
    for names in PLACES:
        if all(n in episodes.column_names and _is_number(episodes[n].type) for n in names):
            break
    else:
        return
    x, y = (np.asarray(episodes[name].to_numpy(), np.float64) for name in names)
    there = np.isfinite(x) & np.isfinite(y)
    if not there.any():
        return
    bins = int(np.clip(np.sqrt(there.sum() / EPISODES_A_CELL), 2, MOST_MAP_BINS))
    tried, x_edges, y_edges = np.histogram2d(x[there], y[there], bins)
    good, _, _ = np.histogram2d(x[there], y[there], [x_edges, y_edges], weights=success[there])
    share = np.divide(100 * good, tried, out=np.full_like(good, np.nan), where=tried > 0)
    (axes,) = panels(1, height_in=5.0)
    mesh = axes.pcolormesh(x_edges, y_edges, share.T, vmin=0, cmap="cividis")
    axis_figures([axes]).colorbar(mesh, ax=axes, label="success (%)")
    axes.grid(visible=False)
    axes.set_aspect("equal")
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    yield axis_figures([axes])


def over_numbers(episodes: pa.Table, success: Values) -> Iterator[Figure]:
    """Draw success over each number that differs from episode to episode, some side by side."""
    found = {n: v for n, v in numbers(episodes).items() if not _follows(v, success)}
    shown = list(found.items())[:MOST_CURVES]
    if len(success) < 2 * EPISODES_A_POINT:
        return
    for first in range(0, len(shown), CURVES_A_ROW):
        row = shown[first : first + CURVES_A_ROW]
        sequence = panels(CURVES_A_ROW, height_in=2.8, sharey=True)
        for axes, (name, values) in zip(sequence, row, strict=False):
            _curve(axes, values, success)
            axes.set_xlabel(name)
        _share_axis(sequence[0])
        for axes in sequence[len(row) :]:
            axes.set_axis_off()
        yield axis_figures(sequence)


def numbers(episodes: pa.Table) -> Mapping[str, Values]:
    """Return columns of numbers with many different values; of lists their mean and length."""
    found: dict[str, Values] = {}
    for name in episodes.column_names:
        kind = episodes[name].type
        if _is_number(kind):
            found[name] = np.asarray(episodes[name].to_numpy(), np.float64)
        elif pa.types.is_list(kind) and _is_number(kind.value_type):
            lists = [np.asarray(row or (), np.float64) for row in episodes[name].to_pylist()]
            found[f"{name}: how many"] = np.array([len(row) for row in lists], np.float64)
            if any((row % 1).any() for row in lists):  # otherwise they are numbers of something
                means = [row.mean() if len(row) else np.nan for row in lists]
                found[f"{name}: mean"] = np.array(means)
    return {name: values for name, values in found.items() if _varies(values)}


def _varies(values: Values) -> bool:
    """Return whether there are many different values, and none is that of every second episode."""
    different, times = np.unique(values[np.isfinite(values)], return_counts=True)
    return len(different) >= LEAST_VALUES and bool(times.max() < len(values) / 2)


def _follows(values: Values, success: Values) -> bool:
    """Return whether a number only follows from success: one value wherever there is none."""
    failed = values[(success == 0) & np.isfinite(values)]
    return not len(failed) or bool((failed == failed[0]).all())


def _curve(axes: Axes, values: Values, success: Values) -> None:
    """Draw the mean success of parts of the episodes with as many each, by a value."""
    there = np.flatnonzero(np.isfinite(values))
    order = there[np.argsort(values[there], kind="stable")]
    bins = int(np.clip(len(order) // EPISODES_A_POINT, 2, MOST_CURVE_BINS))
    parts = np.array_split(order, bins)
    means = [values[part].mean() for part in parts]
    axes.plot(means, [100 * success[part].mean() for part in parts], color=colour(0), marker="o")


def _share_axis(axes: Axes) -> None:
    axes.set_ylim(0, min(100.0, max(10.0, 1.2 * axes.get_ylim()[1])))
    axes.set_ylabel("success (%)")


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))
