"""The study of collecting and weighting: one factor at a time, samples and time to 5 mm.

Eight slow simulators of SCARA, equal ones or a heterogeneous fleet; the base is asynchronous, with
immediate updates, decoupled correction and uniform weights. All but the mode is varied on the
heterogeneous fleet only. Of the merges each has four learners with two of the workers and a quarter
of the batch each. The finalists learn two harder tasks for a fixed time. docs/study.md tells what
came out and shows the figures drawn here.
"""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy import stats

from benchmarks.harness import Json, Options, Records, Spread, Table, train
from troupe.analysis.canvas import INK, PALETTE, axis_figures, panels, styled, to_png

EXPERIMENT = "scara-reach"
SEEDS = (0, 1, 2, 3, 4)
TARGET_M = 0.005
MOST_STEPS = 800_000

BASE: Mapping[str, Any] = {
    "fleet.mode": "asynchronous",
    "fleet.workers": 8,
    "fleet.instances": 64,
    "engines.arm.step_time": "0.5ms",
    "learner.lag": 0,
    "steps": MOST_STEPS,
    "stop": f"{{metric: error_m, bound: at-most, value: {TARGET_M}}}",
    "evaluation.episodes": 100,
    "evaluation.attempts_every": 0,
}
FOUR_LEARNERS: Mapping[str, Any] = {
    "fleet.mode": "synchronous",
    "fleet.learners": 4,
    "learner.batch": 1024,
    "learner.minibatch": 128,
}
FLEETS: Mapping[str, Mapping[str, Any]] = {
    "equal": {},
    "heterogeneous": {"fleet.slow_workers": "{0: 10, 1: 4, 2: 2}"},
}
FACTORS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "mode": {
        "synchronous": {"fleet.mode": "synchronous"},
        "preemptive": {"fleet.mode": "preemptive"},
        "asynchronous": {},
    },
    "update": {
        "immediate": {},
        "fragment": {"fleet.update": "fragment"},
        "episode": {"fleet.update": "episode"},
    },
    "correction": {
        "decoupled": {},
        "vtrace": {"learner.correction": "vtrace"},
        "none": {"learner.correction": "none"},
    },
    "weighting": {
        "uniform": {},
        "lag-decay": {"learner.weighting": "{type: lag-decay}"},
        "priority": {"learner.weighting": "{type: priority}"},
        "return": {"learner.weighting": "{type: return}"},
        "source-balance": {"learner.weighting": "{type: source-balance}"},
        "novelty": {"learner.weighting": "{type: novelty}"},
    },
    "merge": {
        "average": {**FOUR_LEARNERS, "fleet.merge": "{type: average}"},
        "all-reduce": {**FOUR_LEARNERS, "fleet.merge": "{type: all-reduce}"},
        "gossip": {**FOUR_LEARNERS, "fleet.merge": "{type: gossip}"},
        "parameter-server": {
            **FOUR_LEARNERS,
            "fleet.merge": "{type: parameter-server, synchronous: false}",
        },
    },
}
FINALISTS: Mapping[str, Mapping[str, Any]] = {
    "synchronous": {"fleet.mode": "synchronous"},
    "asynchronous": {},
    "asynchronous, lag-decay": {"learner.weighting": "{type: lag-decay}"},
}
TASKS: Mapping[str, Mapping[str, Any]] = {
    "mara-reach": {"engines.arm.step_time": "0.5ms", "wall_time": "120s"},
    "halfcheetah": {"engines.env.step_time": "5ms", "wall_time": "150s"},
}


def run(options: Options) -> None:
    """Measure all levels of the factors in turn, seed by seed, then the finalists; write both."""
    names = options.parts([*FACTORS, *TASKS], ["mode"])
    seeds = options.choose(SEEDS, (0,), options.seeds)
    pairs = [
        (fleet, factor) for factor in FACTORS if factor in names for fleet in fleets_of(factor)
    ]
    cases = {
        (fleet, factor, level): (EXPERIMENT, {**BASE, **FLEETS[fleet], **settings})
        for fleet, factor in pairs
        for level, settings in FACTORS[factor].items()
    } | {
        (task, level): (task, {**finalist(settings), **TASKS[task]})
        for task in TASKS
        if task in names
        for level, settings in FINALISTS.items()
    }
    if options.quick:
        cases = {key: (name, {**given, "steps": 8192}) for key, (name, given) in cases.items()}
    records = Records("collecting.study", options)
    for seed in seeds:
        for experiment, settings in cases.values():
            # the base stands for one level of each factor and is measured once a seed
            records.get(
                name_of(experiment, settings, seed),
                lambda e=experiment, s=settings, n=seed: measure(options, e, s, n),
            )
    # all seeds that were ever measured are shown
    found = {
        case: [r for seed in SEEDS if (r := records.known(name_of(*run, seed))) is not None]
        for case, run in cases.items()
    }
    tables = [table(fleet, factor, found) for fleet, factor in pairs]
    tables += [finals(task, found) for task in TASKS if task in names]
    for shown in tables:
        print(shown)
    records.write(tables)
    if pairs:
        with styled():
            draw(options.out / "study.png", pairs, found)


def finalist(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the heterogeneous fleet with some settings, without what is SCARA's alone."""
    fleet = {key: value for key, value in BASE.items() if key in ("fleet.mode", "fleet.workers")}
    return {**fleet, "learner.lag": 0, **FLEETS["heterogeneous"], **settings}


def fleets_of(factor: str) -> Sequence[str]:
    """Return the fleets on which a factor is varied."""
    return list(FLEETS) if factor == "mode" else ["heterogeneous"]


def name_of(experiment: str, settings: Mapping[str, Any], seed: int) -> str:
    """Return the key of a run: what differs from the base, and the seed."""
    differing = {k: v for k, v in settings.items() if BASE.get(k) != v}
    of = {} if experiment == EXPERIMENT else {"experiment": experiment}
    return ", ".join(f"{k}={v}" for k, v in {**of, **differing, "seed": seed}.items())


def measure(options: Options, experiment: str, settings: Mapping[str, Any], seed: int) -> Json:
    """Train until the error is below the target, or time is over; return what it took."""
    summary = train([experiment], options.out / "study", {**settings, "seed": seed}).run()
    evaluation = summary["evaluation"]
    lags = [worker["mean_lag"] for worker in summary["by_worker"] if "mean_lag" in worker]
    return {
        "reached": summary["stop_reason"] == "stop.metric",
        "steps": summary["steps"],
        "wall_s": summary["wall_s"],
        "final_mm": evaluation["accuracy_mm"]["mean"] if evaluation.get("accuracy_mm") else None,
        "final_return": evaluation["mean_return"],
        "late": summary["late_steps"] / summary["steps"],
        "dropped_steps": summary["dropped_steps"],
        "mean_lag": sum(lags) / len(lags) if lags else 0.0,
        "load_before": os.getloadavg()[0],
    }


def table(fleet: str, factor: str, found: Mapping[tuple[str, ...], Sequence[Json]]) -> Table:
    """Return the table of a factor."""
    rows = []
    for level in FACTORS[factor]:
        runs = found[fleet, factor, level]
        reached = [run for run in runs if run["reached"]]
        rows.append(
            [
                level,
                f"{len(reached)} of {len(runs)}",
                *(str(Spread.of(run[name] for run in runs)) for name in ("steps", "wall_s")),
                str(Spread.of(run["mean_lag"] for run in runs)),
                f"{max(run['late'] for run in runs):.1%}",
                str(Spread.of(run["final_mm"] for run in runs)),
            ]
        )
    header = [factor, "reached", "steps", "wall, s", "mean lag", "late", "final error, mm"]
    title = f"{EXPERIMENT} to {TARGET_M * 1000:g} mm, 8 {fleet} slow workers, by {factor}"
    return Table(title, header, rows)


def finals(task: str, found: Mapping[tuple[str, ...], Sequence[Json]]) -> Table:
    """Return the table of what the finalists learned of a task in the same time."""
    rows = []
    for level in FINALISTS:
        runs = found[task, level]
        errors = [run["final_mm"] for run in runs if run["final_mm"] is not None]
        rows.append(
            [
                level,
                str(Spread.of(run["steps"] for run in runs)),
                str(Spread.of(errors)) if errors else "-",
                str(Spread.of(run["final_return"] for run in runs)),
                str(Spread.of(run["mean_lag"] for run in runs)),
            ]
        )
    header = ["collecting", "steps", "final error, mm", "final return", "mean lag"]
    return Table(f"{task} in {TASKS[task]['wall_time']}, 8 heterogeneous workers", header, rows)


def draw(
    path: Path,
    pairs: Sequence[tuple[str, str]],
    found: Mapping[tuple[str, ...], Sequence[Json]],
) -> None:
    """Draw steps and seconds to the target: each run a dot, the mean with its 95 % interval."""
    rows = [(*pair, level) for pair in pairs for level in FACTORS[pair[1]]]
    height_in = 1.0 + 0.32 * len(rows)
    panes = panels(2, height_in, sharey=True)
    for axes, (name, label, unit) in zip(
        panes, (("steps", "thousand steps", 1e-3), ("wall_s", "seconds", 1.0)), strict=True
    ):
        for y, row in enumerate(reversed(rows)):
            reached = [unit * run[name] for run in found[row] if run["reached"]]
            missed = [unit * run[name] for run in found[row] if not run["reached"]]
            axes.plot(reached, [y] * len(reached), "o", color=PALETTE[0], alpha=0.5, markersize=5)
            axes.plot(missed, [y] * len(missed), "x", color=PALETTE[1], markersize=6)
            mean, half = interval(reached + missed)
            axes.errorbar(mean, y, xerr=half, fmt="|", color=INK, capsize=3, markersize=9)
        axes.set_xlabel(f"{label} to {TARGET_M * 1000:g} mm")
        axes.set_xlim(left=0)
        axes.grid(axis="x")
    labels = [
        f"{level}, {fleet}" if factor == "mode" else f"{factor}: {level}"
        for fleet, factor, level in rows
    ]
    panes[0].set_yticks(range(len(rows)), list(reversed(labels)))
    path.write_bytes(to_png(axis_figures(panes)))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and half of its 95 % confidence interval, by Student's t."""
    if len(values) < 2:
        return statistics.fmean(values), 0.0
    t = float(stats.t.ppf(0.975, len(values) - 1))
    return statistics.fmean(values), t * statistics.stdev(values) / math.sqrt(len(values))
