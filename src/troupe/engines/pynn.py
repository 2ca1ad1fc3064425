"""Networks described in PyNN, in this process' NEST kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from troupe.core.errors import UserError
from troupe.engines.nest_kernel import LocalKernel, import_nest, nest_seed, silent
from troupe.engines.nest_network import call_network, load_network
from troupe.engines.pynn_settings import PynnSettings


def pynn_kernel(settings: PynnSettings, name: str) -> LocalKernel:
    """Return this process' kernel, which builds the network of the settings.

    Raises:
        UserError: if PyNN or NEST is missing, or the file has no function ``network``.
        EngineError: if another engine holds the kernel.
    """
    where = f"engines.{name}"
    nest = import_nest(where)
    sim = _import_pynn(where)
    network = load_network(settings.network, where)

    def build(seeds: Sequence[int]) -> list[Mapping[str, Any]]:
        _set_up(sim, settings, nest_seed(seeds[0]), where)
        copies = [
            call_network(network, sim, settings.parameters, i, seed, where)
            for i, seed in enumerate(seeds)
        ]
        sim.run(0.0)  # makes the connections that PyNN puts off until then
        return [{n: _nodes(nest, population) for n, population in c.items()} for c in copies]

    def finish() -> None:
        sim.end()  # removes its temporary folders
        nest.ResetKernel()

    return LocalKernel(nest, name, settings.timestep, build, finish)


def _import_pynn(where: str) -> Any:
    try:
        with silent():
            import pyNN.nest as sim
    except ImportError as error:
        message = f"{where}: PyNN is not installed ({error}): pip install 'troupe[pynn]'"
        raise UserError(message) from error
    return sim


def _set_up(sim: Any, settings: PynnSettings, seed: int, where: str) -> None:
    own = {"timestep": float(settings.timestep / 10**6), "threads": settings.threads}
    sim.end()
    try:
        sim.setup(**{"rng_seed": seed, **settings.setup, **own})
    except Exception as error:
        raise UserError(f"{where}.setup: {error}") from error


def _nodes(nest: Any, population: Any) -> Any:
    return nest.NodeCollection(sorted(int(cell) for cell in population.all_cells))
