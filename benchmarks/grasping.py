"""Random grasps an hour of `iiwa-grasp`, beside pybullet's Kuka, and 128 instances in real time.

Both sides have a process a core, five things in the tray, and keep 64x64 colours, depth and mask of
the start and the end of each attempt: pybullet in memory, Troupe in its store. Beside pybullet
an attempt of Troupe's, too, succeeds only when a thing is 0.39 m above the tray, and goes on to its
end even if nothing comes along. Pybullet's time counts from its first attempt; Troupe's also has
the start of its workers, and attempts that are unfinished in the end count for nothing.

In real time steps are counted rather than attempts: those of all instances, unfinished attempts
included, over the time that the workers were at work, with all that they waited for the store. So
neither the start, nor how long one worker waits for another in the end, nor the chance that makes
an attempt longer or shorter is part of it.
"""

from __future__ import annotations

import os
import shutil
import statistics
from functools import partial
from typing import Any

from benchmarks.harness import (
    Json,
    Options,
    Spread,
    Table,
    in_turn,
    peer_script,
    progress,
    ratio,
    run_together,
    troupe,
    write_result,
)
from troupe.core.time import NANOSECONDS
from troupe.episodes.store import open_store
from troupe.experiments.load import build_experiment, load_experiment
from troupe.fleet.collecting.crew import Progress, collect

EXPERIMENT = "iiwa-grasp"
PYBULLET = "pybullet, KukaDiverseObjectEnv"
AS_PYBULLET = f"{EXPERIMENT}, lifted as in pybullet"
DEFAULTS = f"{EXPERIMENT} as it is"
SETTINGS: dict[str, dict[str, Any]] = {
    AS_PYBULLET: {
        # pybullet's tray stands at z = -0.19 m, and a thing counts above z = 0.2 m
        "task.lifted_m": 0.39,
        "task.lift_to_m": 0.45,
        # one step: pybullet looks once
        "task.hold": "48ms",
        "task.ends_early": False,
        "task.count": [5, 5],
    },
    DEFAULTS: {},
}
MUST_BE_FASTER = "≥ 5×"
MUST_BE_PHYSICS = "≥ 0.6"
MUST_KEEP_PACE = "≥ 0.97"


def run(options: Options) -> None:
    """Measure what was asked for and write the result."""
    parts = {"attempts": attempts, "pace": pace}
    tables: list[Table] = []
    measured: Json = {}
    for name in options.parts(list(parts), list(parts)):
        measured[name], found = parts[name](options)
        tables += found
        print(*found, sep="\n")
        write_result("grasping", options, tables, settings=SETTINGS, measured=measured)


def attempts(options: Options) -> tuple[Json, list[Table]]:
    """As many attempts as the machine makes, beside pybullet."""
    rounds = options.choose(3, 1, options.rounds)
    contenders = {
        PYBULLET: partial(measure_pybullet, options),
        **{name: partial(measure, options, name) for name in SETTINGS},
    }
    runs = in_turn(contenders, rounds)
    rates = {name: figures(found, "attempts_per_hour") for name, found in runs.items()}
    rows, shares = [], []
    for name, found in runs.items():
        simulated_s, success, lost = (
            Spread.of(figures(found, figure))
            for figure in ("simulated_s_per_attempt", "success_rate", "not_closed_share")
        )
        shown = [str(Spread.of(rates[name])), str(simulated_s), str(lost), str(success)]
        must = MUST_BE_FASTER if name == AS_PYBULLET else ""
        faster = "" if name == PYBULLET else f"**{ratio(rates[name], rates[PYBULLET])}**"
        rows.append([name, *shown, faster, must])
        if name in SETTINGS:
            share = str(Spread.of(figures(found, "stepping_share")))
            shares.append([name, share, MUST_BE_PHYSICS])
    header = ["", "attempts/h", "simulated s each", "never closed", "succeeded", "/ pybullet"]
    title = f"Random grasps on {len(cores())} cores, a process each (rounds: {rounds})"
    speed = Table(title, [*header, "must"], rows)
    title = "Share of the workers' time that engines and task take while collecting"
    return runs, [speed, Table(title, ["", "share", "must"], shares)]


def measure_pybullet(options: Options) -> Json:
    """Let pybullet grasp for a while, in a process on each core."""
    given = {"seconds": options.choose(60, 5)}
    commands = [
        peer_script("pybullet", "collect.py", {**given, "seed": seed}).on_core(core)
        for seed, core in enumerate(cores())
    ]
    found = run_together(commands)
    means = ("success_rate", "simulated_s_per_attempt", "closed_share")
    mean = {name: statistics.fmean(figures(found, name)) for name in means}
    return {
        **mean,
        "not_closed_share": 1 - mean["closed_share"],
        "attempts_per_hour": sum(figures(found, "attempts_per_hour")),
        "processes": found,
    }


def measure(options: Options, name: str) -> Json:
    """Collect attempts with a worker on each core, and return what is known of them."""
    store = empty_store(options)
    wanted = {"store": store, "episodes": options.choose(2000, 96), "workers": len(cores())}
    given = [text for key, value in wanted.items() for text in (f"--{key}", str(value))]
    given += [t for key, value in SETTINGS[name].items() for t in ("--set", f"{key}={value}")]
    summary = troupe("collect", EXPERIMENT, *given, "--json").run()
    sql = "select avg(length) as steps, avg(unreachable) as unreachable from episodes"
    [means] = open_store(store).query(sql).to_pylist()
    return {
        **summary,
        "attempts_per_hour": summary["episodes_per_hour"],
        "simulated_s_per_attempt": means["steps"] * step_s(),
        "not_closed_share": means["unreachable"],
    }


def pace(options: Options) -> tuple[Json, list[Table]]:
    """Many instances that step in real time, beside as many times one."""
    rounds = options.choose(2, 1, options.rounds)
    many, one = options.choose(128, 4), 1
    episodes = options.choose({many: 5000, one: 40}, {many: 12, one: 3})
    workers = {many: len(cores()), one: 0}
    runs = in_turn(
        {n: partial(measure_paced, options, n, workers[n], episodes[n]) for n in (one, many)},
        rounds,
    )
    steps = {n: figures(found, "steps_per_s_each") for n, found in runs.items()}
    rows = []
    for n, found in runs.items():
        counted = Spread.of(figures(found, "attempts_per_hour"))
        late = Spread.of(figures(found, "late_s_per_s"))
        of_clock = ratio(steps[n], [1 / step_s()] * rounds)
        shown = [str(Spread.of(steps[n])), str(of_clock), str(counted), str(late)]
        kept = "" if n == one else f"**{ratio(steps[n], steps[one])}**"
        rows.append([str(n), str(workers[n]), *shown, kept, "" if n == one else MUST_KEEP_PACE])
    header = ["instances", "workers", "steps/s each", "/ real time", "attempts/h, start included"]
    header += ["late, s a s", "/ one", "must"]
    title = f"{EXPERIMENT} in real time: {1 / step_s():.4g} steps/s each (rounds: {rounds})"
    return {str(n): found for n, found in runs.items()}, [Table(title, header, rows)]


def measure_paced(options: Options, instances: int, workers: int, episodes: int) -> Json:
    """Collect in real time as ``troupe collect --pace 1`` does, and return its figures.

    In this process, since the command does not tell how long the workers were at work.
    """
    store = empty_store(options)
    description = load_experiment(EXPERIMENT).resolved()
    description["fleet"] |= {"instances": instances, "workers": workers}
    progress(f"  collect {EXPERIMENT}, instances {instances}, workers {workers}, pace 1")
    seen: list[Progress] = []
    summary = collect(build_experiment(description), store, episodes, pace=1.0, report=seen.append)
    last = seen[-1]
    return {
        **summary,
        "attempts_per_hour": summary["episodes_per_hour"],
        "working_s": last.working_s,
        "steps_per_s_each": last.steps * max(1, workers) / (last.working_s * instances),
        "late_s_per_s": last.late_s / last.working_s,
    }


def empty_store(options: Options) -> str:
    """Return where a store can be made; what an earlier run has left there is gone."""
    folder = options.out.absolute() / "grasping"
    shutil.rmtree(folder, ignore_errors=True)
    return str(folder)


def cores() -> list[int]:
    """Return the numbers of the cores that this process may use."""
    return sorted(os.sched_getaffinity(0))


def step_s() -> float:
    """Return the simulated time of a step of the experiment."""
    return load_experiment(EXPERIMENT).loop.step / NANOSECONDS["s"]


def figures(found: list[Json], name: str) -> list[float]:
    """Return one figure of each run."""
    return [float(run[name]) for run in found]
