"""Where an engine runs, and how slowly, are words in its settings."""

from __future__ import annotations

from troupe.engines.base import Engine, EngineSettings
from troupe.engines.host.cameras import hosted
from troupe.engines.host.process import ProcessLink
from troupe.engines.slowness import declared_slow


def open_engine(
    settings: EngineSettings,
    name: str,
    num_instances: int,
    num_threads: int,
    *,
    slowdown: float = 1.0,
) -> Engine:
    """Return a new engine of the settings, running where their ``host`` says.

    The real time that its steps are declared to take passes here, wherever it runs.

    Args:
        settings: of the engine.
        name: of the engine in its loop.
        num_instances: worlds to step in lockstep.
        num_threads: native threads to step them on, there; 0 for one a core.
        slowdown: factor on the declared time of a step.

    Raises:
        UserError: if the settings are wrong there, or the token is.
        EngineError: if the engine's process or machine fails.
    """
    engine = _opened(settings, name, num_instances, num_threads)
    return declared_slow(engine, settings, slowdown)


def _opened(settings: EngineSettings, name: str, num_instances: int, num_threads: int) -> Engine:
    if settings.host == "here":
        return settings.build(name, num_instances, num_threads)
    if settings.host == "process":
        return hosted(ProcessLink(settings, name, num_instances, num_threads))
    from troupe.engines.host.grpc_client import GrpcLink

    return hosted(GrpcLink(settings, name, num_instances, num_threads))
