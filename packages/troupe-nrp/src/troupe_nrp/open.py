"""The simulation that a configuration asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from troupe.core.errors import UserError
from troupe.engines.base import Engine
from troupe.loop.event_loop import EventLoop
from troupe.loop.fixed_step import FixedStepLoop
from troupe.loop.pacing import Pacing
from troupe.loop.schedule import Timing

from troupe_nrp.config import SimulationConfig
from troupe_nrp.engines.adapter import PartEngine
from troupe_nrp.exchange import Exchange
from troupe_nrp.graph.exchange import ALONE, GraphExchange
from troupe_nrp.load import Experiment, load_functions
from troupe_nrp.simulation import Loop, LoopSimulation, Simulation

DEFAULT_STEP_NS = 10_000_000


def open_simulation(experiment: Experiment) -> Simulation:
    """Start the simulation of an experiment; the working directory must be its folder.

    Raises:
        UserError: if anything in the configuration or its files is wrong.
        EngineError: if an engine does not start.
    """
    config = experiment.config
    if config.SimulationLoop == "EventLoop":
        return _event_loop(config)
    if not config.EngineConfigs:
        raise UserError("EngineConfigs: give at least one engine.")
    between: Exchange | GraphExchange
    if config.DataPackProcessor == "cg":
        between = GraphExchange(config)
    else:
        between = Exchange(load_functions(config), config.DataPackDelivery)
    least_ns = min(engine.EngineTimestep for engine in config.EngineConfigs)

    def make_loop(engines: Mapping[str, Engine], names: Mapping[str, str]) -> Loop:
        return FixedStepLoop(
            {names[name]: engine for name, engine in engines.items()},
            least_ns,
            timings=_timings(config, names),
            functions=between.loop_functions(names, _inputs(engines)),
        )

    step_ns = config.SimulationTimestep or least_ns
    return LoopSimulation(config, between, make_loop, step_ns, config.SimulationTimeout)


def _event_loop(config: SimulationConfig) -> Simulation:
    settings = config.EventLoop
    if settings.UseGlobalClock:
        raise UserError("EventLoop.UseGlobalClock: a clock over MQTT does not run on Troupe.")
    graph = GraphExchange(config)
    timestep_ns = settings.Timestep or config.EventLoopTimestep or config.SimulationTimestep
    step_ns = timestep_ns or DEFAULT_STEP_NS

    def make_loop(engines: Mapping[str, Engine], names: Mapping[str, str]) -> Loop:
        by_name = {names[name]: engine for name, engine in engines.items()}
        run = graph.graph_run(names, _inputs(engines))
        return EventLoop(
            # a graph may stand alone, a loop has an engine
            by_name or {ALONE: PartEngine(ALONE, _Nothing(), 1, ())},
            step_ns,
            timings=_timings(config, names),
            graph=run,
            pacing=Pacing(1.0),
        )

    timeouts = (settings.Timeout, config.EventLoopTimeout, config.SimulationTimeout)
    timeout_ns = next(timeout for timeout in timeouts if timeout is not None)
    return LoopSimulation(config, graph, make_loop, step_ns, timeout_ns)


def _timings(config: SimulationConfig, names: Mapping[str, str]) -> dict[str, Timing]:
    return {names[e.EngineName]: Timing(e.EngineTimestep) for e in config.EngineConfigs}


def _inputs(engines: Mapping[str, Engine]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(engine.spec.inputs) for name, engine in engines.items()}


class _Nothing:
    """An engine that does nothing."""

    def initialize(self) -> tuple[str, ...]:
        return ()

    def run(self, duration_ns: int) -> None:
        """Do nothing."""

    def reset(self) -> None:
        """Do nothing."""

    def shutdown(self) -> None:
        """Do nothing."""

    def get(self, name: str) -> Any:
        return None

    def set(self, name: str, value: Any) -> None:
        """Do nothing."""
