"""The figures of a group of runs, as median, minimum and maximum over its seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from troupe.analysis.runs import RunRecord

Measure = Callable[[RunRecord], float | None]


@dataclass(frozen=True)
class Spread:
    """A figure over several runs.

    Attributes:
        median: of the runs that have it.
        low: the least.
        high: the greatest.
        count: how many runs have it.
    """

    median: float
    low: float
    high: float
    count: int


def spread(runs: Iterable[RunRecord], measure: Measure) -> Spread | None:
    """Return a measure over runs, None if no run has it."""
    found = [value for run in runs if (value := measure(run)) is not None]
    if not found:
        return None
    return Spread(float(np.median(found)), min(found), max(found), len(found))


def total(key: str) -> Measure:
    """Return the measure of a whole run's figure, e.g. ``wall_s``."""
    return lambda run: run.total(key)


def evaluated(*keys: str) -> Measure:
    """Return the measure of a figure of the evaluation, e.g. ``accuracy_mm``, ``mean``."""
    return lambda run: _number(run.evaluation, keys)


def learned(key: str) -> Measure:
    """Return the measure of a figure at which the task was learned, e.g. ``attempts``."""
    return lambda run: _number(run.summary, ("learned", key))


def throughput(run: RunRecord) -> float | None:
    """Return steps per second of learning time over the whole run."""
    if run.summary is not None and run.summary.get("steps_per_s") is not None:
        return float(run.summary["steps_per_s"])
    steps, wall_s = run.last("steps"), run.last("wall_s")
    return steps / wall_s if steps is not None and wall_s else None


def _number(values: Mapping[str, Any] | None, keys: tuple[str, ...]) -> float | None:
    found: Any = values
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    if not isinstance(found, int | float) or np.isnan(found):
        return None
    return float(found)
