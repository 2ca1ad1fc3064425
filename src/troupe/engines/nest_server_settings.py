"""What a user writes about a NEST server engine; importable without NEST."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from troupe.core.errors import UserError
from troupe.core.settings import Duration, Timestep, UserFile, nanoseconds
from troupe.engines.base import EngineSettings
from troupe.engines.brain_packs import MILLISECOND_NS, BrainPack

if TYPE_CHECKING:
    from troupe.engines.nest import NestEngine


class NestServerSettings(EngineSettings):
    """A network of spiking neurons in a NEST server, reached over HTTP.

    Attributes:
        network: a Python file with ``network(nest, **parameters)``; its text is sent to the
            server, so it can import only what the server lets it. It may also take ``instance``.
        parameters: for the function.
        packs: what can be written and read; default: ``NAME_spikes`` of each population.
        timestep: NEST's resolution.
        threads: native threads of the server's kernel.
        url: of a server that runs already, with its ``/exec`` enabled; default: start one.
        token_env: environment variable with the server's access token.
        processes: MPI processes.
        start_timeout: real time that a server may take to start.
    """

    type: Literal["nest-server"] = "nest-server"
    network: UserFile
    parameters: dict[str, Any] = {}
    packs: dict[str, BrainPack] | None = None
    timestep: Timestep = Fraction(MILLISECOND_NS, 10)
    threads: Annotated[int, Field(ge=1)] = 1
    url: Annotated[str, Field(pattern=r"^https?://[^/]+/?$")] | None = None
    token_env: str = "NEST_SERVER_ACCESS_TOKEN"
    processes: Annotated[int, Field(ge=1)] = 1
    start_timeout: Duration = nanoseconds(60 * 10**9)

    def build(self, name: str, num_instances: int, num_threads: int) -> NestEngine:
        """Start or reach the server and return an engine of the network's copies."""
        from troupe.engines.nest import NestEngine
        from troupe.engines.nest_server import server_kernel

        if self.processes > 1:
            from troupe.engines.nest_settings import describe_nest

            raise UserError(
                f"engines.{name}.processes: {self.processes} MPI processes are not possible with "
                f"this NEST ({describe_nest()}), whose server also answers scripts with the first "
                "process' data only. Valid: 1."
            )
        return NestEngine(self, name, num_instances, server_kernel(self, name))
