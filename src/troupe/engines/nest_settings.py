"""What a user writes about a NEST engine; importable without NEST."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from troupe.core.settings import Timestep, UserFile
from troupe.engines.base import EngineSettings, Host
from troupe.engines.brain_packs import MILLISECOND_NS, BrainPack

if TYPE_CHECKING:
    from troupe.engines.nest import NestEngine


class NestSettings(EngineSettings):
    """A network of spiking neurons in NEST; its copies share one kernel.

    Attributes:
        network: a Python file with ``network(nest, **parameters)``, which builds one copy and
            returns its populations by name. It may also take ``instance``, the copy's number,
            and ``rng``, a generator that follows from the copy's seed.
        parameters: for the function.
        packs: what can be written and read; default: ``NAME_spikes`` of each population.
        timestep: NEST's resolution.
        threads: native threads of the kernel.
        host: ``process``, as NEST has one kernel for a process and keeps Python's lock.
    """

    type: Literal["nest"] = "nest"
    network: UserFile
    parameters: dict[str, Any] = {}
    packs: dict[str, BrainPack] | None = None
    timestep: Timestep = Fraction(MILLISECOND_NS, 10)
    threads: Annotated[int, Field(ge=1)] = 1
    host: Host = "process"

    def build(self, name: str, num_instances: int, num_threads: int) -> NestEngine:
        """Take this process' NEST kernel and return an engine of the network's copies."""
        from troupe.engines.nest import NestEngine
        from troupe.engines.nest_network import nest_kernel

        return NestEngine(self, name, num_instances, nest_kernel(self, name))


_DESCRIBE = """
import nest
info = nest.build_info
words = {True: "with", False: "without"}
print(f"NEST {info['version']}, {words[info['have_threads']]} threads, "
      f"{words[info['have_mpi']]} MPI")
"""


def describe_nest() -> str:
    """Return NEST's version and whether it has threads and MPI, asked of another process."""
    command = [sys.executable, "-c", _DESCRIBE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    said = lines[-1] if lines else f"exit code {done.returncode}"
    return said if done.returncode == 0 else f"NEST cannot be imported: {said}"
