"""Where an engine runs is a word in its settings."""

from __future__ import annotations

from troupe.engines.base import Engine, EngineSettings
from troupe.engines.host.engine import HostedEngine
from troupe.engines.host.process import ProcessLink


def open_engine(
    settings: EngineSettings, name: str, num_instances: int, num_threads: int
) -> Engine:
    """Return a new engine of the settings, running where their ``host`` says.

    Args:
        settings: of the engine.
        name: of the engine in its loop.
        num_instances: worlds to step in lockstep.
        num_threads: native threads to step them on, there; 0 for one a core.

    Raises:
        UserError: if the settings are wrong there, or the token is.
        EngineError: if the engine's process or machine fails.
    """
    if settings.host == "here":
        return settings.build(name, num_instances, num_threads)
    if settings.host == "process":
        return HostedEngine(ProcessLink(settings, name, num_instances, num_threads))
    from troupe.engines.host.grpc_client import GrpcLink

    return HostedEngine(GrpcLink(settings, name, num_instances, num_threads))
