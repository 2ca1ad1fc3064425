"""What a step and a reset cost with each kind of randomisation, beside none.

64 SCARA arms on one thread, whose physics is cheap: for slower worlds the shares are smaller.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.harness import Options, Spread, Table, in_turn, ratio, write_result
from troupe.experiments.load import build_experiment, read_description
from troupe.experiments.simulation import Simulation

NONE = "none"
INSTANCES = 64
_SCALE = {"type": "uniform", "low": 0.9, "high": 1.1}
_DAMPING = {"pack": "arm.joint_damping", "operation": "scale", "distribution": _SCALE}
CASES: dict[str, Mapping[str, Any]] = {
    NONE: {},
    "a pack at startup": {"x": {**_DAMPING, "mode": "startup"}},
    "a pack at resets": {"x": _DAMPING},
    "a pack every 200 ms": {"x": {**_DAMPING, "mode": "interval", "every": "200ms"}},
    "late actions": {"x": {"type": "delay", "of": "action", "steps": [0, 2]}},
    "late commands": {
        "x": {"type": "delay", "of": "arm.joint_target", "side": "command", "steps": [0, 2]}
    },
    "noise of a sensor": {"x": {"type": "noise", "of": "arm.joint_position", "deviation": 0.001}},
    "noise of observations": {"x": {"type": "noise", "of": "observation", "deviation": 0.001}},
}
Case = tuple[str, str]


def run(options: Options) -> None:
    """Step and reset in turn and write the result."""
    rounds, steps = options.choose(15, 1, options.rounds), options.choose(200, 5)
    num_instances = options.choose(INSTANCES, 4)
    simulations = {name: _simulation(entries, num_instances) for name, entries in CASES.items()}
    contenders: dict[Case, Callable[[], float]] = {}
    for name, simulation in simulations.items():
        contenders[name, "step"] = _stepping(simulation, steps)
        contenders[name, "reset"] = _resetting(simulation)
    try:
        times = in_turn(contenders, rounds)
    finally:
        for simulation in simulations.values():
            simulation.close()
    rows = []
    for name in CASES:
        shown = [name]
        for what in ("step", "reset"):
            taken, none = times[name, what], times[NONE, what]
            shown += [str(Spread.of(taken)), str(ratio(taken, none))]
        rows.append(shown)
    header = ["randomised", "step, ms", "beside none", "reset of all, ms", "beside none"]
    table = Table(f"{num_instances} SCARA arms, one thread (rounds: {rounds})", header, rows)
    print(table)
    found = [{"case": case, "what": what, "ms": ms} for (case, what), ms in times.items()]
    write_result("randomising", options, [table], times=found)


def _simulation(entries: Mapping[str, Any], num_instances: int) -> Simulation:
    description = {**read_description("scara-reach"), "randomise": dict(entries)}
    simulation = Simulation(build_experiment(description), num_instances, num_threads=1)
    simulation.reset()
    return simulation


def _stepping(simulation: Simulation, steps: int) -> Callable[[], float]:
    action = np.random.default_rng(0).uniform(-1, 1, (simulation.num_instances, 3))

    def measure() -> float:
        began = time.perf_counter()
        for _ in range(steps):
            simulation.step(action)
        return 1e3 * (time.perf_counter() - began) / steps

    return measure


def _resetting(simulation: Simulation) -> Callable[[], float]:
    def measure() -> float:
        began = time.perf_counter()
        simulation.reset()
        return 1e3 * (time.perf_counter() - began)

    return measure
