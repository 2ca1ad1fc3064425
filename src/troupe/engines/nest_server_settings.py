"""What a user writes about a NEST server engine; importable without NEST."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

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
        processes: MPI processes of the server that is started; more than 1 need a NEST that was
            built with MPI.
        python: the interpreter whose NEST is started, for example of another environment;
            default: this one's, or for several processes the first with MPI, here or on PATH.
        mpirun: the program that starts several processes, with options.
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
    python: UserFile | None = None
    mpirun: Annotated[str, Field(min_length=1)] = "mpirun"
    start_timeout: Duration = nanoseconds(60 * 10**9)

    @model_validator(mode="after")
    def _check_url(self) -> NestServerSettings:
        if self.url is not None and (self.processes > 1 or self.python is not None):
            raise ValueError("'processes' and 'python' are for a server that is started, not 'url'")
        return self

    def build(self, name: str, num_instances: int, num_threads: int) -> NestEngine:
        """Start or reach the server and return an engine of the network's copies."""
        from troupe.engines.nest import NestEngine
        from troupe.engines.nest_server import server_kernel

        return NestEngine(self, name, num_instances, server_kernel(self, name))
