"""What a user writes about a PyNN engine; importable without PyNN."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from troupe.core.settings import Timestep, UserFile
from troupe.engines.base import EngineSettings, Host
from troupe.engines.brain_packs import MILLISECOND_NS, BrainPack

if TYPE_CHECKING:
    from troupe.engines.nest import NestEngine


class PynnSettings(EngineSettings):
    """A network described in PyNN, simulated by NEST; its copies share one kernel.

    Currents and weights of packs are PyNN's, nA and nA or µS.

    Attributes:
        network: a Python file with ``network(sim, **parameters)``, which builds one copy and
            returns its populations by name. It may also take ``instance``, the copy's number,
            and ``rng``, a generator that follows from the copy's seed. Troupe calls ``setup``.
        parameters: for the function.
        setup: for PyNN's ``setup``, e.g. ``{min_delay: 0.1}``.
        packs: what can be written and read; default: ``NAME_spikes`` of each population.
        timestep: of the simulation.
        threads: native threads of NEST's kernel.
        host: ``process``, as NEST has one kernel for a process and keeps Python's lock.
    """

    type: Literal["pynn"] = "pynn"
    network: UserFile
    parameters: dict[str, Any] = {}
    setup: dict[str, Any] = {}
    packs: dict[str, BrainPack] | None = None
    timestep: Timestep = Fraction(MILLISECOND_NS, 10)
    threads: Annotated[int, Field(ge=1)] = 1
    host: Host = "process"

    def build(self, name: str, num_instances: int, num_threads: int) -> NestEngine:
        """Take this process' NEST kernel and return an engine of the network's copies."""
        from troupe.engines.nest import NestEngine
        from troupe.engines.nest_bind import PYNN_UNITS
        from troupe.engines.pynn import pynn_kernel

        return NestEngine(self, name, num_instances, pynn_kernel(self, name), PYNN_UNITS)
