"""Figures of results beside the published ones: accuracy, time to train, throughput."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from troupe.analysis.canvas import PUBLISHED_COLOUR, axis_figures, colour, legend_above, panels
from troupe.analysis.groups import Group, workers_label
from troupe.analysis.measures import Measure, Spread, evaluated, learned, spread, throughput, total
from troupe.analysis.published import Published
from troupe.analysis.words import millimetres


@dataclass(frozen=True)
class _Bar:
    label: str
    spread: Spread
    colour: str
    hatch: str = ""


def accuracy_bars(groups: Sequence[Group]) -> Figure | None:
    """Return the paper's accuracy and repeatability beside the published ones, in mm."""
    accuracy = _bars(groups, evaluated("paper", "accuracy_mm"), "accuracy")
    repeatability = _bars(groups, evaluated("paper", "repeatability_mm"), "repeatability")
    if not accuracy and not repeatability:
        return None
    height_in = 1.4 + 0.42 * max(len(accuracy), len(repeatability))
    left, right = panels(2, height_in, sharey=len(accuracy) == len(repeatability))
    _draw_bars(left, accuracy, "accuracy (mm)")
    _draw_bars(right, repeatability, "repeatability (mm)")
    return axis_figures([left])


def time_by_workers(groups: Sequence[Group]) -> Figure | None:
    """Return the time to train beside the published times; None if there is one time only."""
    times = {
        "until learned": learned("wall_s"),
        "whole run": total("wall_s"),
    }
    if not any(spread(group.runs, total("wall_s")) for group in groups):
        return None
    ticks = _worker_ticks(groups, [g.published for g in groups])
    if len(ticks) < 2:
        return None
    (axes,) = panels(1, height_in=4.2)
    entries: dict[str, Any] = {}
    for i, series in enumerate(_series(groups)):
        for (words, measure), filled in zip(times.items(), (True, False), strict=True):
            label = f"{series}: {words}" if series else words
            drawn = _draw_by_workers(axes, groups, series, measure, ticks, colour(i), filled)
            if drawn is not None:
                entries[label] = drawn
    for published in {p.robot: p for g in groups if (p := g.published) is not None}.values():
        (line,) = axes.plot(
            [ticks.index(workers) for workers in published.time_s],
            list(published.time_s.values()),
            color=PUBLISHED_COLOUR,
            linestyle="--",
            marker="s",
        )
        entries[f"published, {published.joints} joints (Gazebo)"] = line
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter("")
    axes.set_ylabel("time to train (s)")
    _label_ticks(axes, ticks)
    legend_above(axis_figures([axes]), entries, columns=3)
    return axis_figures([axes])


def throughput_by_workers(groups: Sequence[Group]) -> Figure | None:
    """Return steps per second by number of workers; None if all runs have the same number."""
    measured = [group for group in groups if spread(group.runs, throughput) is not None]
    if len({group.workers for group in measured}) < 2:
        return None
    (axes,) = panels(1)
    ticks = _worker_ticks(groups, [])
    entries: dict[str, Any] = {}
    for i, series in enumerate(_series(groups)):
        drawn = _draw_by_workers(axes, groups, series, throughput, ticks, colour(i), True)
        if drawn is not None:
            entries[series] = drawn
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_ylabel("steps per second,\nsampling and learning")
    _label_ticks(axes, ticks)
    if len(entries) > 1:
        legend_above(axis_figures([axes]), entries)
    return axis_figures([axes])


def _bars(groups: Sequence[Group], measure: Measure, name: str) -> list[_Bar]:
    bars = [
        _Bar(group.label or "this run", found, colour(i))
        for i, group in enumerate(groups)
        if (found := spread(group.runs, measure)) is not None
    ]
    if not bars:
        return []
    robots = {p.robot: p for g in groups if (p := g.published) is not None and p.unit == "mm"}
    for published in robots.values():
        values: dict[int, float] = getattr(published, name)
        bars += [
            _Bar(
                f"published, {workers_label(workers)}",
                Spread(value, value, value, 1),
                PUBLISHED_COLOUR,
                "//",
            )
            for workers, value in values.items()
        ]
    return bars


def _draw_bars(axes: Axes, bars: list[_Bar], title: str) -> None:
    axes.set_title(title)
    axes.grid(visible=False)
    for i, bar in enumerate(bars):
        median, low, high = bar.spread.median, bar.spread.low, bar.spread.high
        axes.barh(i, median, color=bar.colour, hatch=bar.hatch, height=0.66, alpha=0.9)
        if high > low:
            error = [[median - low], [high - median]]
            axes.errorbar(median, i, xerr=error, color="#24292f", capsize=4, linewidth=1.3)
        axes.annotate(
            millimetres(median),
            (high, i),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=10,
        )
    axes.set_yticks(range(len(bars)), [bar.label for bar in bars])
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.14)
    axes.set_xlim(left=0)
    axes.set_ylim(len(bars) - 0.5, -0.5)


def _series(groups: Sequence[Group]) -> list[str]:
    return list(dict.fromkeys(group.series for group in groups))


def _worker_ticks(groups: Sequence[Group], published: Sequence[Published | None]) -> list[int]:
    counts = {group.workers for group in groups}
    return sorted(counts.union(*(p.time_s for p in published if p is not None)))


def _label_ticks(axes: Axes, ticks: list[int]) -> None:
    labels = ["in process" if workers == 0 else str(workers) for workers in ticks]
    axes.set_xticks(range(len(ticks)), labels)
    axes.set_xlim(-0.4, len(ticks) - 0.6)
    axes.set_xlabel("workers")


def _draw_by_workers(
    axes: Axes,
    groups: Sequence[Group],
    series: str,
    measure: Measure,
    ticks: list[int],
    line_colour: str,
    filled: bool,
) -> Any:
    found = [
        (ticks.index(group.workers), spread_of)
        for group in groups
        if group.series == series and (spread_of := spread(group.runs, measure)) is not None
    ]
    if not found:
        return None
    medians = [s.median for _, s in found]
    error = [[s.median - s.low for _, s in found], [s.high - s.median for _, s in found]]
    return axes.errorbar(
        [x for x, _ in found],
        medians,
        yerr=error,
        color=line_colour,
        marker="o",
        markersize=7,
        markerfacecolor=line_colour if filled else "none",
        linestyle="-" if filled else ":",
        capsize=4,
    )
