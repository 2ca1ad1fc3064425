"""Figures of a recorded run: spikes, rates, voltages and trajectories on one time axis."""

from __future__ import annotations

import html
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from troupe.analysis.canvas import INK, colour, line_style, styled, to_png, to_svg
from troupe.analysis.figures import Picture
from troupe.episodes.recording import PackRecording

SPIKES_UNIT = "spikes"
MAX_PANELS = 24
MAX_LINES = 6
MAX_POINTS = 4000

Recording = Mapping[str, PackRecording]


def draw_traces(recording: Recording, instance: int = 0) -> list[Picture]:
    """Return the figure of all packs of numbers over time, in one instance; none if there is none.

    Packs in spikes are drawn as a raster, a row a neuron, others as a line a component.
    """
    drawable = {n: p for n, p in recording.items() if p.values.dtype.kind in "fiub"}
    chosen = dict(list(drawable.items())[:MAX_PANELS])
    if not chosen:
        return []
    with styled():
        figure = _figure(chosen, instance)
        title = f"Datapacks over time, instance {instance}"
        note = "Simulated time; spikes as a raster, a row for each neuron, others in their unit."
        if len(chosen) < len(drawable):
            note += f" The first {len(chosen)} of {len(drawable)} packs."
        svg = to_svg(figure, "traces", html.escape(title))
        return [Picture("traces", title, note, to_png(figure), svg)]


def _figure(recording: Recording, instance: int) -> Figure:
    figure = Figure(figsize=(11.0, 1.0 + 1.5 * len(recording)))
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(recording), 1, sharex=True, squeeze=False)[:, 0]
    for panel, (name, pack) in zip(axes, recording.items(), strict=True):
        time_s = np.asarray(pack.time_ns * 1e-9, np.float64)
        values = pack.values[:, instance].reshape(len(time_s), -1).astype(np.float64)
        if pack.spec.unit == SPIKES_UNIT:
            _raster(panel, time_s, values)
        else:
            _lines(panel, time_s, values, pack.spec.names)
        unit = f" [{pack.spec.unit}]" if pack.spec.unit else ""
        panel.set_title(f"{name}{unit}")
    axes[-1].set_xlabel("simulated time [s]")
    return figure


def _raster(axes: Axes, time_s: npt.NDArray[np.float64], counts: npt.NDArray[np.float64]) -> None:
    """Mark the synchronisations in which a neuron fired, larger where it fired more often."""
    moments, neurons = np.nonzero(counts)
    size = 4.0 * np.sqrt(counts[moments, neurons])
    axes.scatter(time_s[moments], neurons, s=size, marker="|", color=INK, linewidths=0.8)
    axes.set_ylim(-0.5, counts.shape[1] - 0.5)
    axes.set_ylabel("neuron")
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_xlim(float(time_s[0]), float(max(time_s[-1], time_s[0] + 1e-9)))


def _lines(
    axes: Axes,
    time_s: npt.NDArray[np.float64],
    values: npt.NDArray[np.float64],
    names: tuple[str, ...],
) -> None:
    every = max(1, len(time_s) // MAX_POINTS)
    shown = min(values.shape[1], MAX_LINES)
    for i in range(shown):
        label = names[i] if i < len(names) else f"{i}"
        style = line_style(i)
        axes.plot(time_s[::every], values[::every, i], color=colour(i), ls=style, label=label)
    if shown > 1:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    if shown < values.shape[1]:
        axes.set_ylabel(f"first {shown} of {values.shape[1]}")
