"""Learning curves: bands over seeds, and where a bound is met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from troupe.analysis.runs import RunRecord
from troupe.core.arrays import Array
from troupe.experiments.schema import Experiment

NUM_POINTS = 300

# of these tasks the threshold is on ‖d‖/√3: docs/derivations.md, Reward of the SCARA task
ROOT_MEAN_SQUARE_TASKS = ("point",)


@dataclass(frozen=True, eq=False)
class Band:
    """Several curves on a common axis.

    Attributes:
        x: the axis, (n,), from the first point of any curve to the last of any.
        median: of the curves that have a value at x, (n,).
        low: the least of them, (n,).
        high: the greatest of them, (n,).
    """

    x: Array
    median: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class Milestone:
    """When a run reached something.

    Attributes:
        wall_s: learning time until then.
        steps: of all instances until then.
        attempts: episodes begun until then.
    """

    wall_s: float
    steps: int
    attempts: int


def curve(run: RunRecord, x: str, y: str) -> tuple[Array, Array]:
    """Return two metrics against each other where both are numbers, x ascending; maybe empty."""
    if x not in run.metrics or y not in run.metrics:
        return np.empty(0), np.empty(0)
    xs = np.asarray(run.metrics[x], np.float64)
    ys = np.asarray(run.metrics[y], np.float64)
    known = ~(np.isnan(xs) | np.isnan(ys))
    xs, ys = xs[known], ys[known]
    # updates in which no episode began: the newest value counts
    newest = np.append(np.diff(xs) > 0, True)[: len(xs)]
    return xs[newest], ys[newest]


def band(curves: Sequence[tuple[Array, Array]], num_points: int = NUM_POINTS) -> Band | None:
    """Return median, minimum and maximum of curves, linear between their points.

    A curve counts where it has values: it is not continued beyond its ends.

    Args:
        curves: each (x, y), x strictly ascending; empty ones are left out.
        num_points: of the common axis, evenly spaced.

    Returns:
        None if all curves are empty.
    """
    curves = [(x, y) for x, y in curves if len(x)]
    if not curves:
        return None
    if len(curves) == 1:
        x, y = curves[0]
        return Band(x, y, y, y)
    axis = np.linspace(
        min(x[0] for x, _ in curves), max(x[-1] for x, _ in curves), num_points, dtype=np.float64
    )
    values = np.stack([np.interp(axis, x, y, left=np.nan, right=np.nan) for x, y in curves])
    covered = ~np.isnan(values).all(axis=0)
    axis, values = axis[covered], values[:, covered]
    return Band(
        x=axis,
        median=np.nanmedian(values, axis=0),
        low=np.nanmin(values, axis=0),
        high=np.nanmax(values, axis=0),
    )


def first_within(run: RunRecord, bound_m: float) -> Milestone | None:
    """Return when the mean error of the last episodes first was at most a bound, if it was."""
    if "error_m" not in run.metrics:
        return None
    met = np.flatnonzero(np.asarray(run.metrics["error_m"], np.float64) <= bound_m)
    if not len(met):
        return None
    i = met[0]
    return Milestone(
        wall_s=float(run.metrics["wall_s"][i]),
        steps=int(run.metrics["steps"][i]),
        attempts=int(run.metrics["attempts"][i]),
    )


def error_bound_m(experiment: Experiment) -> float | None:
    """Return the distance from the target that the task calls a success, None if it has none."""
    threshold_m: float | None = getattr(experiment.task, "threshold_m", None)
    if threshold_m is None or experiment.task is None:
        return None
    scale = np.sqrt(3.0) if experiment.task.type in ROOT_MEAN_SQUARE_TASKS else 1.0
    return float(threshold_m * scale)
