"""The loop of an experiment: its engines, built and joined."""

from __future__ import annotations

from collections.abc import Mapping

from troupe.engines.base import Engine
from troupe.engines.host import open_engine
from troupe.experiments.schema import Experiment
from troupe.loop import FixedStepLoop
from troupe.loop.functions import load_functions
from troupe.loop.schedule import Timing, check_timing


def build_loop(experiment: Experiment, num_instances: int, num_threads: int) -> FixedStepLoop:
    """Return a new loop of an experiment; nothing has been reset or advanced yet.

    Args:
        experiment: with a fixed-step loop.
        num_instances: worlds to step in lockstep.
        num_threads: native threads for each engine, 0 for one a core.

    Raises:
        UserError: if anything in engines, functions or connections is wrong.
        EngineError: if an engine does not start.
    """
    settings = experiment.loop
    functions = load_functions(settings.functions, "loop.functions")
    timings = {
        name: Timing(engine.sync or settings.step, engine.phase or 0)
        for name, engine in experiment.engines.items()
    }
    engines: dict[str, Engine] = {}
    try:
        for name, engine in experiment.engines.items():
            engines[name] = open_engine(engine, name, num_instances, num_threads)
        _check_timings(experiment, engines, timings)
        return FixedStepLoop(
            engines,
            settings.step,
            timings=timings,
            functions=functions,
            connections=settings.connections,
        )
    except BaseException:
        for opened in engines.values():
            opened.close()
        raise


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
