"""The loop of an experiment: its engines, built and joined."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from troupe.engines.base import Engine
from troupe.engines.host import open_engine
from troupe.experiments.schema import Experiment
from troupe.loop import EventLoop, EventLoopSettings, FixedStepLoop
from troupe.loop.functions import LoopFunction, load_functions
from troupe.loop.graph import Graph
from troupe.loop.graph_run import GraphRun
from troupe.loop.nodes import NodeFunction
from troupe.loop.pacing import Pacing
from troupe.loop.schedule import Timing, check_timing

Loop = FixedStepLoop | EventLoop


def build_loop(
    experiment: Experiment, num_instances: int, num_threads: int, *, slowdown: float = 1.0
) -> Loop:
    """Return a new loop of an experiment; nothing has been reset or advanced yet.

    Args:
        experiment: with its loop.
        num_instances: worlds to step in lockstep.
        num_threads: native threads for each engine, 0 for one a core.
        slowdown: factor on the time that engines' steps are declared to take.

    Raises:
        UserError: if anything in engines, functions, ports or connections is wrong.
        EngineError: if an engine does not start.
    """
    settings = experiment.loop
    loaded = load_functions(settings.functions, "loop.functions")
    functions = [f for f in loaded if not isinstance(f, NodeFunction)]
    graph = _graph(experiment, loaded)
    timings = {
        name: Timing(engine.sync or settings.step, engine.phase or 0)
        for name, engine in experiment.engines.items()
    }
    engines: dict[str, Engine] = {}
    try:
        for name, engine in experiment.engines.items():
            engines[name] = open_engine(engine, name, num_instances, num_threads, slowdown=slowdown)
        _check_timings(experiment, engines, timings)
        loop = _loop_of(experiment)(
            engines,
            settings.step,
            timings=timings,
            functions=functions,
            graph=graph,
            connections=settings.connections,
        )
        graph.connect()
        return loop
    except BaseException:
        graph.close()
        for opened in engines.values():
            opened.close()
        raise


def _loop_of(experiment: Experiment) -> Callable[..., Loop]:
    if isinstance(experiment.loop, EventLoopSettings):
        return partial(EventLoop, pacing=Pacing(experiment.loop.real_time))
    return FixedStepLoop


def _graph(experiment: Experiment, functions: Sequence[LoopFunction]) -> GraphRun:
    settings = experiment.loop
    nodes = [f for f in functions if isinstance(f, NodeFunction)]
    graph = Graph(nodes, settings.execution)
    ports = {name: port.build(name) for name, port in settings.ports.items()}
    return GraphRun(graph, experiment.engines, ports)


def _check_timings(
    experiment: Experiment, engines: Mapping[str, Engine], timings: Mapping[str, Timing]
) -> None:
    for name, engine in engines.items():
        check_timing(
            name,
            timings[name],
            engine.spec.timestep_ns,
            experiment.loop.step,
            episodes=experiment.task is not None,
        )
