"""The network that a user's file builds in this process."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from troupe.core.errors import UserError
from troupe.core.seeding import Streams
from troupe.core.user_code import find_in_file, load_file, user_traceback
from troupe.engines.nest_kernel import LocalKernel, import_nest, nest_seed
from troupe.engines.nest_settings import NestSettings


def nest_kernel(settings: NestSettings, name: str) -> LocalKernel:
    """Return this process' kernel, which builds the network of the settings.

    Raises:
        UserError: if NEST is missing, or the file has no function ``network``.
        EngineError: if another engine holds the kernel.
    """
    where = f"engines.{name}"
    nest = import_nest(where)
    network = load_network(settings.network, where)
    timestep_ms = float(settings.timestep / 10**6)

    def build(seeds: Sequence[int]) -> list[Mapping[str, Any]]:
        nest.ResetKernel()
        try:
            nest.set(resolution=timestep_ms, local_num_threads=settings.threads)
        except Exception as error:
            raise UserError(f"{where}.timestep: {error}") from error
        nest.rng_seed = nest_seed(seeds[0])
        return [
            call_network(network, nest, settings.parameters, i, seed, where)
            for i, seed in enumerate(seeds)
        ]

    return LocalKernel(nest, name, settings.timestep, build)


def load_network(path: Path, where: str) -> Callable[..., Any]:
    """Return the function ``network`` of a user's file.

    Raises:
        UserError: if the file raises or has none.
    """
    place = f"{where}.network"
    function: Callable[..., Any] = find_in_file(load_file(path, place), "network", place)
    return function


def call_network(
    network: Callable[..., Any],
    simulator: Any,
    parameters: Mapping[str, Any],
    instance: int,
    seed: int,
    where: str,
) -> Mapping[str, Any]:
    """Build one copy and return its populations.

    Raises:
        UserError: if the function raises, or returns anything but populations by name.
    """
    extra = {"instance": instance, "rng": Streams(seed).generator("network")}
    taken = inspect.signature(network).parameters
    arguments = {**parameters, **{k: v for k, v in extra.items() if k in taken}}
    place = f"{where}.network: '{inspect.getfile(network)}'"
    try:
        populations = network(simulator, **arguments)
    except Exception as error:
        raise UserError(f"{place} raised:\n{user_traceback(error)}") from error
    check_populations(populations, place)
    return {str(name): population for name, population in populations.items()}


def check_populations(populations: Any, place: str) -> None:
    """Check what the user's function returned.

    Raises:
        UserError: if it is no mapping from names to populations that have neurons.
    """
    if not isinstance(populations, Mapping) or not populations:
        raise UserError(
            f"{place}: network() returned {populations!r}; it must return a dict of populations."
        )
    for name, population in populations.items():
        if not hasattr(population, "__len__") or isinstance(population, str) or not population:
            raise UserError(f"{place}: network() returned {population!r} as population '{name}'.")
