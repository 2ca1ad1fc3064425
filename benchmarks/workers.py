"""Training with 0 to 8 Ray workers: the same policy bit for bit, and how long it takes.

Once with the simulator as it is, and once with one whose instances take 20 ms a step and cannot
share a process's time, as Gazebo does: there workers pay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from benchmarks.harness import (
    BenchmarkError,
    Json,
    Options,
    Spread,
    Table,
    in_turn,
    ratio,
    train,
    write_result,
)
from troupe.fleet.runs import RunDirectory

EXPERIMENT = "scara-reach"
WORKERS = (0, 1, 2, 4, 8)


SLOW = {
    "engines.arm.step_time": "20ms",
    "fleet.instances": 8,
    "learner.batch": 256,
    "learner.minibatch": 64,
}


@dataclass(frozen=True)
class Case:
    """A simulator, with as many steps as suit its speed."""

    name: str
    settings: Mapping[str, Any]
    workers: Sequence[int]
    rounds: int


def run(options: Options) -> None:
    """Train with every number of workers in turn and write the result."""
    workers = options.choose(WORKERS, (0, 2))
    steps, slow_steps = options.choose(409_600, 8192), options.choose(1024, 256)
    rounds, slow_rounds = (options.choose(n, 1, options.rounds) for n in (3, 1))
    cases = [
        Case("as-is", {"steps": steps}, workers, rounds),
        Case("20ms-a-step", {**SLOW, "steps": slow_steps}, workers, slow_rounds),
    ]
    names = [case.name for case in cases]
    chosen = options.parts(names, names)
    cases = [case for case in cases if case.name in chosen]
    tables: list[Table] = []
    measured = {}
    for case in cases:
        runs = in_turn({w: partial(measure, case, w, options) for w in workers}, case.rounds)
        measured[case.name] = {"settings": case.settings, "runs": runs}
        tables.append(summary(case, runs))
        print(tables[-1])
        write_result("workers", options, tables, cases=measured)


def measure(case: Case, workers: int, options: Options) -> Json:
    """Train with a number of workers and check that the policy is that of the first number.

    Raises:
        BenchmarkError: if it is not, bit for bit.
    """
    folder = options.out / "workers" / case.name
    settings = {**case.settings, "fleet.workers": workers}
    summary = train([EXPERIMENT], folder / str(workers), settings).run()
    own, reference = policy(folder / str(workers)), policy(folder / str(case.workers[0]))
    different = [name for name in reference if not np.array_equal(own[name], reference[name])]
    if different:
        raise BenchmarkError(
            f"{EXPERIMENT}, {case.name}: the policy of {workers} workers differs from that of "
            f"{case.workers[0]} in {', '.join(different)}"
        )
    return {name: summary[name] for name in ("steps", "wall_s", "startup_s", "steps_per_s")}


def policy(run: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the tensors of a run's last policy."""
    return load_file(RunDirectory.open(run).latest_checkpoint() / "policy.safetensors")


def summary(case: Case, runs: Mapping[int, list[Json]]) -> Table:
    """Return a table of a case."""
    alone = [run["steps_per_s"] for run in runs[case.workers[0]]]
    rows = []
    for workers, found in runs.items():
        rates = [run["steps_per_s"] for run in found]
        wall, startup = (
            str(Spread.of(run[name] for run in found)) for name in ("wall_s", "startup_s")
        )
        rows.append([str(workers), str(Spread.of(rates)), str(ratio(rates, alone)), wall, startup])
    steps = runs[case.workers[0]][0]["steps"]
    return Table(
        f"{EXPERIMENT}, simulator {case.name}, {steps:,} steps; all policies equal bit for bit",
        ["workers", "steps/s", "/ without workers", "learning, s", "start-up, s"],
        rows,
    )
