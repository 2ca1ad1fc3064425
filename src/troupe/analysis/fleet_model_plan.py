"""A plan: what more and more workers would do and cost, and from where on more do not pay."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from troupe.analysis.cost import instance_hours
from troupe.analysis.fleet_model import Fleet, Forecast, forecast

KNEE_EFFICIENCY = 0.5
"""Share of one worker's speed that each more must add to pay."""

KNEE_RESOLUTION = 8
"""The knee is found to a step of 1/8 of its number of workers."""


@dataclass(frozen=True)
class PlanRow:
    """What a number of workers would do and cost.

    Attributes:
        forecast: speed and lag.
        efficiency: speed against that of so many single workers.
        marginal_efficiency: what each worker more than in the row before adds, against one.
        wall_s: of the whole run, start-up included.
        instance_hours: of all machines.
        price: of them; None without a price per hour.
    """

    forecast: Forecast
    efficiency: float
    marginal_efficiency: float
    wall_s: float
    instance_hours: float
    price: float | None

    @property
    def workers(self) -> int:
        """How many workers."""
        return self.forecast.workers


@dataclass(frozen=True)
class Plan:
    """Rows by number of workers.

    Attributes:
        rows: in the order of the number of workers.
        knee: the last number of workers with a marginal efficiency of at least 50 %; None if not
            even the first has it.
        is_limited: whether there are rows beyond the knee, so that it is one.
    """

    rows: Sequence[PlanRow]
    knee: int | None
    is_limited: bool


@dataclass(frozen=True)
class Job:
    """What the fleet is to do.

    Attributes:
        steps: of the whole run.
        startup_s: of the learner, before the first step.
        actor_startup_s: on a core, of each actor.
        price_per_hour: of a machine.
    """

    steps: int
    startup_s: float = 0.0
    actor_startup_s: float = 0.0
    price_per_hour: float | None = None


def plan(fleet: Fleet, numbers: Sequence[int], job: Job, seed: int = 0) -> Plan:
    """Forecast fleets of some numbers of workers, and of more about the knee of the curve.

    Args:
        fleet: but for the number of workers.
        numbers: of workers, at least one.
        job: that they are to do.
        seed: of the model's draws.
    """
    one = forecast(fleet, 1, seed)
    found: dict[int, Forecast] = {}
    for workers in sorted(set(numbers)):
        found[workers] = _next_forecast(fleet, found, one, workers, seed)
    # narrow the knee down
    while (middle := _between_knee_and_next(found, one)) is not None:
        found[middle] = _next_forecast(fleet, found, one, middle, seed)
    knee = _knee(found, one)
    rows = [_row(fleet, job, f, m, one) for f, m in _marginal(found, one)]
    return Plan(rows, knee, is_limited=knee != rows[-1].workers)


def _next_forecast(
    fleet: Fleet, found: dict[int, Forecast], one: Forecast, workers: int, seed: int
) -> Forecast:
    if workers == 1:
        return one
    fewer = [number for number in found if number < workers]
    if fleet.mode == "asynchronous" and fewer:
        # where fewer workers needed shorter fragments, so do more
        fleet = replace(fleet, fragment=found[max(fewer)].fragment)
    return forecast(fleet, workers, seed)


def _marginal(found: dict[int, Forecast], one: Forecast) -> list[tuple[Forecast, float]]:
    """Return the forecasts in order, each with its marginal efficiency."""
    forecasts = [found[workers] for workers in sorted(found)]
    before = forecasts if forecasts[0].workers == 1 else [one, *forecasts]
    added = {
        b.workers: (b.steps_per_s - a.steps_per_s) / (b.workers - a.workers) / one.steps_per_s
        for a, b in pairwise(before)
    }
    return [(f, added.get(f.workers, 1.0)) for f in forecasts]


def _knee(found: dict[int, Forecast], one: Forecast) -> int | None:
    good = [f.workers for f, marginal in _marginal(found, one) if marginal >= KNEE_EFFICIENCY]
    return max(good, default=None)


def _between_knee_and_next(found: dict[int, Forecast], one: Forecast) -> int | None:
    knee = _knee(found, one)
    beyond = [workers for workers in found if knee is not None and workers > knee]
    if knee is None or not beyond:
        return None
    gap = min(beyond) - knee
    return knee + gap // 2 if gap > max(1, knee // KNEE_RESOLUTION) else None


def _row(fleet: Fleet, job: Job, forecast: Forecast, marginal: float, one: Forecast) -> PlanRow:
    workers = forecast.workers
    on_a_node = min(workers, fleet.workers_per_node)
    startup_s = job.startup_s + job.actor_startup_s * math.ceil(on_a_node / fleet.cores)
    wall_s = job.steps / forecast.steps_per_s + startup_s
    hours = instance_hours(fleet.num_nodes(workers), wall_s)
    return PlanRow(
        forecast=forecast,
        efficiency=forecast.steps_per_s / (workers * one.steps_per_s),
        marginal_efficiency=marginal,
        wall_s=wall_s,
        instance_hours=hours,
        price=None if job.price_per_hour is None else hours * job.price_per_hour,
    )
