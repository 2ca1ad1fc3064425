"""Fleets of slow simulators: what many give against many times one, and what a straggler costs.

The simulators sleep, as Gazebo does while it waits for its own clock, so hundreds of them fit two
cores. Throughput counts the steps that have arrived, over the time since the actors started. Beside
it stands what ``troupe plan`` predicts for the same fleet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from benchmarks.harness import (
    Json,
    Options,
    Spread,
    Table,
    in_turn,
    peer_script,
    ratio,
    short,
    train,
    troupe,
    write_result,
)

EXPERIMENT = "scara-reach"
MODES = ("synchronous", "preemptive", "asynchronous")
STRAGGLER = 10.0
EQUAL_WORKERS = 8
PEERS = ("PPO", "APPO")


def run(options: Options) -> None:
    """Measure both fleets and write the result."""
    parts = {"scale": scale, "straggler": straggler}
    chosen = options.parts(list(parts), list(parts))
    tables = []
    measured: Json = {}
    for name in chosen:
        measured[name], table = parts[name](options)
        tables.append(table)
        print(table)
        write_result("collecting.slow_simulators", options, tables, measured=measured)


def scale(options: Options) -> tuple[Json, Table]:
    """128 simulators of 100 ms a step on this machine, beside one of them alone."""
    many, rounds = options.choose(128, 4), options.choose(3, 1, options.rounds)
    shared = options.choose(16, 2)
    steps_each = options.choose(600, 20)
    contenders = {}
    for workers, in_a_process in ((1, 1), (many, shared), (many, 1)):
        settings = {
            "engines.arm.step_time": "100ms",
            "fleet.workers_per_process": in_a_process,
        }
        contenders[workers, in_a_process] = partial(measure, options, workers, steps_each, settings)
    runs = in_turn(contenders, rounds)
    rates = {key: [run["steps_per_s"] for run in found] for key, found in runs.items()}
    rows = []
    for (workers, in_a_process), found in rates.items():
        share = ratio([rate / workers for rate in found], rates[1, 1])
        startup = Spread.of(run["startup_s"] for run in runs[workers, in_a_process])
        settings = settings_of(options, workers, steps_each, {"engines.arm.step_time": "100ms"})
        shown = [str(Spread.of(found)), str(share), predicted(settings, found), str(startup)]
        rows.append([str(workers), str(in_a_process), *shown, "0.95" if workers > 1 else ""])
    title = f"{EXPERIMENT}, simulators of 100 ms a step, one instance a worker, asynchronous"
    header = ["workers", "in a process", "steps/s", "/ workers x one", "plan", "start, s", "must"]
    return {f"{w} by {p}": found for (w, p), found in runs.items()}, Table(title, header, rows)


def straggler(options: Options) -> tuple[Json, Table]:
    """Eight simulators of 20 ms a step of which one is ten times slower, beside equal ones."""
    steps_each, rounds = options.choose(1800, 60), options.choose(3, 1, options.rounds)
    slow = {"engines.arm.step_time": "20ms"}
    contenders = {}
    for mode in MODES:
        settings = {**slow, "fleet.mode": mode}
        uneven = {**settings, "fleet.slow_workers": f"{{0: {STRAGGLER}}}"}
        # synchronous workers all wait for the slowest, so a tenth of the steps takes as long
        steps = steps_each // (10 if mode == "synchronous" else 1)
        contenders[mode, "equal"] = partial(measure, options, EQUAL_WORKERS, steps_each, settings)
        contenders[mode, "one slow"] = partial(measure, options, EQUAL_WORKERS, steps, uneven)
    for algorithm in PEERS:
        for kind, factor in (("equal", 1.0), ("one slow", STRAGGLER)):
            contenders[algorithm, kind] = partial(measure_peer, options, algorithm, factor)
    runs = in_turn(contenders, rounds)
    worth = (EQUAL_WORKERS - 1 + 1 / STRAGGLER) / EQUAL_WORKERS
    rows = [
        peer_row(algorithm, runs[algorithm, "equal"], runs[algorithm, "one slow"], worth)
        for algorithm in PEERS
    ]
    for mode in MODES:
        equal, uneven = (runs[mode, kind] for kind in ("equal", "one slow"))
        rates = [[run["steps_per_s"] for run in found] for found in (equal, uneven)]
        kept = ratio(rates[1], [rate * worth for rate in rates[0]])
        dropped = sum(run["dropped_steps"] for run in uneven)
        late = max(run["late_steps"] / run["steps"] for run in uneven)
        must = "" if mode == "synchronous" else "0.9; 0"
        shown = [str(Spread.of(rates[0])), str(Spread.of(rates[1])), str(kept)]
        plans = ["", ""]
        if mode != "preemptive":  # which the model does not know
            settings = settings_of(options, EQUAL_WORKERS, steps_each, {**slow, "fleet.mode": mode})
            uneven_settings = {**settings, "fleet.slow_workers": f"{{0: {STRAGGLER}}}"}
            plans = [predicted(settings, rates[0]), predicted(uneven_settings, rates[1])]
        rows.append([mode, *shown, *plans, str(dropped), f"{late:.1%}", must])
    title = (
        f"{EXPERIMENT}, {EQUAL_WORKERS} simulators of 20 ms a step, one of them "
        f"{STRAGGLER:g} times slower: worth {EQUAL_WORKERS * worth:g} equal ones"
    )
    header = ["mode", "equal, steps/s", "one slow", "/ worth", "plan, equal", "plan, one slow"]
    header += ["dropped", "late", "must"]
    return {" ".join(key): found for key, found in runs.items()}, Table(title, header, rows)


def peer_row(name: str, equal: list[Json], uneven: list[Json], worth: float) -> list[str]:
    """Return the row of RLlib with one algorithm."""
    rates = [[run["steps_per_s"] for run in found] for found in (equal, uneven)]
    kept = ratio(rates[1], [rate * worth for rate in rates[0]])
    shown = [str(Spread.of(rates[0])), str(Spread.of(rates[1])), str(kept)]
    return [f"RLlib {name}", *shown, "", "", "not told", "not told", ""]


def measure_peer(options: Options, algorithm: str, slow_factor: float) -> Json:
    """Let RLlib train on the same arm for a while and return its throughput."""
    return peer_script(
        "rllib",
        "slow.py",
        {
            "algorithm": algorithm,
            "runners": EQUAL_WORKERS,
            "step-ms": 20,
            "slow-factor": slow_factor,
            "seconds": options.choose(30, 2),
        },
    ).run()


def measure(options: Options, workers: int, steps_each: int, settings: Mapping[str, Any]) -> Json:
    """Train with workers of one instance each and return what a run tells of itself."""
    chosen = settings_of(options, workers, steps_each, settings)
    summary = train([EXPERIMENT], options.out / "slow_simulators", chosen).run()
    arrived = sum(worker.get("steps_per_s", 0.0) for worker in summary["by_worker"])
    kept = ("steps", "wall_s", "startup_s", "dropped_steps", "late_steps", "by_worker")
    return {"steps_per_s": arrived or summary["steps_per_s"], **{n: summary[n] for n in kept}}


def settings_of(
    options: Options, workers: int, steps_each: int, settings: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return the settings of a fleet with one instance a worker, 30 steps of each an update."""
    batch = options.choose(30, 2) * workers
    return {
        "fleet.mode": "asynchronous",
        "fleet.workers": workers,
        "fleet.instances": workers,
        "learner.batch": batch,
        "learner.minibatch": max(1, batch // 8) if batch % 8 == 0 else batch,
        "steps": steps_each * workers,
        "evaluation.episodes": 1,
        "evaluation.attempts_every": 0,
        **settings,
    }


def predicted(settings: Mapping[str, Any], measured: Sequence[float]) -> str:
    """Return the steps/s that ``troupe plan`` predicts, and how far off that is."""
    given = [text for key, value in settings.items() for text in ("--set", f"{key}={value}")]
    workers = str(settings["fleet.workers"])
    fleet = ["--workers", workers, "--workers-per-node", workers]
    (row,) = troupe("plan", EXPERIMENT, *given, *fleet, "--json").run()["plan"]
    error = row["steps_per_s"] / Spread.of(measured).median - 1
    return f"{short(row['steps_per_s'])} ({error:+.0%})"
