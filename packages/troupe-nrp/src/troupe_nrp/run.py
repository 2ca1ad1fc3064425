"""``troupe run simulation_config.json``."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from troupe.core.errors import InterruptedRun
from troupe.core.time import NANOSECONDS
from troupe.fleet.signals import interruptible, stopping_on_signals

from troupe_nrp.load import load_experiment
from troupe_nrp.open import open_simulation
from troupe_nrp.simulation import Simulation
from troupe_nrp.working_directory import working_in

FOREVER_NS = 2**62


def run(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Run an experiment until its timeout, or its status function ends it.

    Args:
        path: of the configuration.
        overrides: each "Key.Sub=value".

    Returns:
        A summary: time_s, iterations, stop_reason, wall_s and more.

    Raises:
        UserError: if anything in the configuration or its files is wrong; nothing has run then.
        EngineError: if an engine or program fails.
        FunctionError: if a function of the user's raises.
        InterruptedRun: if a signal ended it.
    """
    experiment = load_experiment(path, overrides)
    stop = threading.Event()
    began_s = time.perf_counter()
    with working_in(experiment.directory), interruptible(stop):
        simulation = open_simulation(experiment)
        try:
            with stopping_on_signals(stop):
                simulation.start()
                reason = _advance(simulation, stop)
        except BaseException:
            _close_quietly(simulation)
            raise
        simulation.close()
    time_s = simulation.now_ns / NANOSECONDS["s"]
    if reason == "interrupted":
        raise InterruptedRun(f"stopped at {time_s:g} s of simulated time")
    return {
        "experiment": experiment.config.SimulationName,
        "time_s": time_s,
        "iterations": simulation.iteration,
        "stop_reason": reason,
        "wall_s": time.perf_counter() - began_s,
    }


def _advance(simulation: Simulation, stop: threading.Event) -> str:
    until_ns = simulation.timeout_ns or FOREVER_NS
    while simulation.now_ns < until_ns:
        if stop.is_set():
            return "interrupted"
        simulation.advance(until_ns)
        simulation.take_trajectory()  # it is for clients
        if simulation.is_done:
            return "status"
    return "timeout"


def _close_quietly(simulation: Simulation) -> None:
    """Close what failed; what failed first is what the user is to hear of."""
    try:
        simulation.close()
    except Exception:
        return
