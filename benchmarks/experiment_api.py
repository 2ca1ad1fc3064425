"""The Experiment API beside stepping a simulation directly, and not waiting beside waiting.

What it costs to step all instances together through it: in this process, with worker processes,
and through a server on this machine. And what it gains, where steps of simulators take their time
and are not equally long, that no instance waits for another.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np

import troupe
from benchmarks.harness import (
    BenchmarkError,
    Json,
    Options,
    Spread,
    Table,
    in_turn,
    ratio,
    write_result,
)
from troupe.experiments.load import load_experiment
from troupe.experiments.simulation import Simulation
from troupe.fleet.serving import Fleet

EXPERIMENT = "scara-reach"
INSTANCES = 64
SERVE = "import typer; from troupe.cli.serve import serve; typer.run(serve)"
DIRECT = "Simulation.step"
TOGETHER = "all wait for the slowest"
SLOW = {
    "20 ms each, one worker 10 times slower": (
        "engines.arm.step_time=20ms",
        "fleet.slow_workers={0: 10}",
    ),
    "20 ms on average, lognormal": ("engines.arm.step_time={type: lognormal, mean: 20ms}",),
    "20 ms on average, Pareto": ("engines.arm.step_time={type: pareto, mean: 20ms, longest: 1s}",),
}
SLOW_INSTANCES, SLOW_WORKERS = 16, 4

Rates = dict[str, list[float]]


def run(options: Options) -> None:
    """Measure both and write the result."""
    rounds = options.choose(5, 1, options.rounds)
    steps = options.choose(1000, 20)
    contenders: dict[str, Callable[[], float]] = {DIRECT: partial(direct, steps)}
    for workers in (0, 2):
        name = f"{workers} workers" if workers else "in this process"
        contenders[name] = partial(local, steps, workers)
        contenders[f"server, {name.replace('this', 'its')}"] = partial(served, steps, workers)
    together = in_turn(contenders, rounds)
    tables = [summary(f"{EXPERIMENT}, {INSTANCES} instances stepped together", together, DIRECT)]
    print(tables[-1])
    duration_s = options.choose(10.0, 0.5)
    slow_rounds = options.choose(3, 1, options.rounds)
    apart: dict[str, Rates] = {}
    for name, overrides in SLOW.items():
        paces = {TOGETHER: in_lockstep, "nobody waits": at_own_pace}
        apart[name] = in_turn(
            {pace: partial(slow, overrides, step, duration_s) for pace, step in paces.items()},
            slow_rounds,
        )
        title = f"{SLOW_INSTANCES} instances in {SLOW_WORKERS} workers, a step takes {name}"
        tables.append(summary(title, apart[name], TOGETHER))
        print(tables[-1])
    found: Json = {"together": together, "apart": apart}
    write_result("experiment_api", options, tables, steps_per_s=found)


def direct(steps: int) -> float:
    """Return the steps/s of a simulation in this process."""
    simulation = Simulation(load_experiment(EXPERIMENT), INSTANCES)
    simulation.reset()
    actions = actions_of(steps)
    start_s = time.perf_counter()
    for action in actions:
        step = simulation.step(action)
        done = np.flatnonzero(step.terminated | step.truncated)
        if len(done):
            simulation.reset(done)
            simulation.observe()
    rate = steps * INSTANCES / (time.perf_counter() - start_s)
    simulation.close()
    return rate


def local(steps: int, workers: int) -> float:
    """Return the steps/s of a fleet on this machine."""
    with troupe.connect(EXPERIMENT, instances=INSTANCES, workers=workers) as fleet:
        return stepped(fleet, steps)


def served(steps: int, workers: int) -> float:
    """Return the steps/s of a fleet behind a server on this machine."""
    with server(workers) as address, troupe.connect(address) as fleet:
        return stepped(fleet, steps)


def stepped(fleet: Fleet, steps: int) -> float:
    """Return the steps/s of a fleet as a vector environment."""
    envs = fleet.vector_env()
    envs.reset()
    actions = actions_of(steps)
    start_s = time.perf_counter()
    for action in actions:
        envs.step(action)
    return steps * INSTANCES / (time.perf_counter() - start_s)


def slow(overrides: Sequence[str], pace: Callable[[Fleet, float], int], duration_s: float) -> float:
    """Return the steps/s of slow simulators at a pace."""
    size = {"instances": SLOW_INSTANCES, "workers": SLOW_WORKERS}
    with troupe.connect(EXPERIMENT, **size, overrides=overrides) as fleet:
        start_s = time.perf_counter()
        num_steps = pace(fleet, duration_s)
        return num_steps / (time.perf_counter() - start_s)


def in_lockstep(fleet: Fleet, duration_s: float) -> int:
    """Step all instances together for a time and return how many steps these were."""
    envs = fleet.vector_env()
    envs.reset()
    action = np.zeros(envs.action_space.shape or (), np.float32)
    num_steps, end_s = 0, time.perf_counter() + duration_s
    while time.perf_counter() < end_s:
        envs.step(action)
        num_steps += fleet.num_instances
    return num_steps


def at_own_pace(fleet: Fleet, duration_s: float) -> int:
    """Step each instance as soon as it waits, for a time, and return how many steps these were."""
    shape = fleet.action_space.shape or ()
    batch = fleet.recv(min_ready=fleet.num_instances)
    num_steps, end_s = 0, time.perf_counter() + duration_s
    while time.perf_counter() < end_s:
        fleet.send(np.zeros((len(batch), *shape), np.float32), batch.ids)
        batch = fleet.recv()
        num_steps += len(batch)
    return num_steps


@contextmanager
def server(workers: int) -> Iterator[str]:
    """Serve a fleet on this machine for a block, and give its address.

    Raises:
        BenchmarkError: if the server does not start.
    """
    options = ["--instances", str(INSTANCES), "--workers", str(workers), "--port", "0"]
    command = [sys.executable, "-c", SERVE, EXPERIMENT, *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            if " at grpc://" not in line:
                raise BenchmarkError(f"the server did not start: {line}")
            yield line.split()[-1]
        finally:
            process.terminate()


def actions_of(steps: int) -> list[np.ndarray]:
    """Return the same actions for all contenders."""
    rng = np.random.default_rng(0)
    return [rng.uniform(-1, 1, (INSTANCES, 3)).astype(np.float32) for _ in range(steps)]


def summary(title: str, rates: Rates, reference: str) -> Table:
    """Return a table of steps/s, and of their ratios to a reference."""
    rows = [
        [name, str(Spread.of(found)), str(ratio(found, rates[reference]))]
        for name, found in rates.items()
    ]
    return Table(title, ["", "steps/s", f"/ {reference}"], rows)
