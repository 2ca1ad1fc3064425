"""How ``troupe plan`` shows a plan: a table, or one JSON object."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from troupe.cli.output import console

if TYPE_CHECKING:
    from troupe.analysis.fleet_model import Fleet
    from troupe.analysis.fleet_model_plan import Job, Plan, PlanRow
    from troupe.fleet.calibration import Calibration, CallTimes


@dataclass(frozen=True)
class Planned:
    """A plan and what it was made of.

    Attributes:
        experiment: its name.
        fleet: that was modelled.
        job: that it is to do.
        parts: what the experiment's parts take.
        calls: what calls of Ray take.
        plan: the forecasts.
    """

    experiment: str
    fleet: Fleet
    job: Job
    parts: Calibration
    calls: CallTimes
    plan: Plan


def as_json_object(planned: Planned) -> dict[str, Any]:
    """Return a plan as plain values."""
    return {
        "experiment": planned.experiment,
        "fleet": asdict(planned.fleet),
        "job": asdict(planned.job),
        "calibration": {**asdict(planned.parts), **asdict(planned.calls)},
        "plan": [_row_object(row) for row in planned.plan.rows],
        "knee": planned.plan.knee,
        "is_limited": planned.plan.is_limited,
    }


def _row_object(row: PlanRow) -> dict[str, Any]:
    values = asdict(row)
    return {**values.pop("forecast"), **values}


def print_plan(planned: Planned) -> None:
    """Print what was assumed, the table and its knee."""
    from troupe.analysis.words import count, duration

    fleet, parts = planned.fleet, planned.parts
    show = partial(console.print, soft_wrap=True)
    show(
        f"{planned.experiment}: {fleet.mode}, {fleet.instances_per_worker} instances a worker, "
        f"{fleet.workers_per_node} workers a machine of {fleet.cores} cores, "
        f"{count(planned.job.steps)} steps"
    )
    waiting = f" + {duration(parts.step_wait_s)} waiting" if parts.step_wait_s > 1e-5 else ""
    show(
        f"{'measured here' if parts.measured else 'typical, not measured'}: "
        f"step of a worker {duration(parts.step_cpu_s)} of CPU{waiting}, "
        f"update of {count(fleet.batch)} steps {duration(parts.update_s)}, "
        f"{count(parts.step_bytes)} B a step, policy {count(parts.policy_bytes)} B, "
        f"start-up {duration(parts.startup_s)}, Ray call {duration(planned.calls.call_s)}"
    )
    if (simulator := fleet.step.simulator) is not None:
        kind = "" if simulator.kind == "fixed" else f" ({simulator.kind} {simulator.spread:g})"
        show(f"simulator: {duration(simulator.mean_s)} a step of an instance{kind}")
    console.print(_table(planned.plan))
    show(_conclusion(planned.plan))


def _table(plan: Plan) -> Table:
    from troupe.analysis.words import count, figure, percent

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    priced = plan.rows[0].price is not None
    names = ["workers", "steps/s", "of ideal", "lag", "95 %", "length", "busiest", "hours"]
    for name in [*names, *(["cost"] if priced else [])]:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in plan.rows:
        forecast = row.forecast
        busiest = max(forecast.busy, key=lambda part: forecast.busy[part])
        table.add_row(
            count(row.workers),
            figure(forecast.steps_per_s),
            percent(row.efficiency),
            f"{forecast.lag_mean:.1f}",
            f"{forecast.lag_p95:.0f}",
            count(forecast.fragment),
            f"{busiest} {forecast.busy[busiest]:.0%}",
            figure(row.wall_s / 3600),
            *([figure(row.price)] if row.price is not None else []),
            "knee" if row.workers == plan.knee and plan.is_limited else "",
        )
    return table


def _conclusion(plan: Plan) -> str:
    if plan.knee is None:
        return "knee: below; each of these workers adds less than half of what one alone does"
    if not plan.is_limited:
        return f"knee: beyond {plan.knee:,} workers; each adds at least half of what one alone does"
    return f"knee: {plan.knee:,} workers; beyond, each adds less than half of what one alone does"
