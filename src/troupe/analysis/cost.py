"""What a run costs on rented machines."""

from __future__ import annotations

from dataclasses import dataclass

from troupe.analysis.runs import RunRecord

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Cost:
    """Instance hours and their price.

    Attributes:
        instance_hours: rented, one machine a worker.
        price: in the currency of the price per hour.
    """

    instance_hours: float
    price: float


def instance_hours(workers: int, wall_s: float) -> float:
    """Return max(1, workers) · wall time, in hours: training in one process needs a machine too."""
    return max(1, workers) * wall_s / SECONDS_PER_HOUR


def run_cost(run: RunRecord, price_per_hour: float) -> Cost | None:
    """Return what a run costs if each worker has a machine; None if it has no time yet.

    The time is that of learning and of start-up, since both are paid for; the latter is known
    only of a run that has ended.

    Args:
        run: whose wall time counts.
        price_per_hour: of one machine.
    """
    wall_s = run.total("wall_s")
    if wall_s is None:
        return None
    startup_s = run.total("startup_s") or 0.0
    hours = instance_hours(run.experiment.fleet.workers, wall_s + startup_s)
    return Cost(instance_hours=hours, price=hours * price_per_hour)
