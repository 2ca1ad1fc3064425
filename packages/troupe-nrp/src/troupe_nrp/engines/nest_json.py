"""A NEST kernel of this process, with the datapacks that a script registers."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from troupe.core.errors import UserError
from troupe.core.user_code import make_importable, user_traceback
from troupe.engines.base import StepCounter
from troupe.engines.nest_kernel import import_nest

from troupe_nrp.engines.settings import NestJsonSettings
from troupe_nrp.json_data import plain

KERNEL = "kernel"
"""The pack with NEST's kernel status, which there always is."""

_registered: dict[str, Any] = {}


def RegisterDataPack(datapack_name: str, nodes: Any) -> Any:  # noqa: N802 - NRP-core's name
    """Offer the status of nodes or synapses as a datapack, and return them."""
    _registered[datapack_name] = nodes
    return nodes


def CreateDataPack(datapack_name: str, *arguments: Any, **keywords: Any) -> Any:  # noqa: N802 - NRP-core's
    """Create nodes, as ``nest.Create`` does, and offer their status as a datapack."""
    import nest

    return RegisterDataPack(datapack_name, nest.Create(*arguments, **keywords))


class NestJsonPart:
    """Steps the kernel; values are status dicts, one for each node."""

    def __init__(self, settings: NestJsonSettings, name: str) -> None:
        """Import NEST.

        Raises:
            UserError: if it is not installed.
        """
        self._settings, self._where = settings, f"engines.{name}"
        self._nest = import_nest(self._where)

    def initialize(self) -> Iterable[str]:
        nest = self._nest
        nest.ResetKernel()
        _registered.clear()
        self._seed()
        self._execute_script()
        self._seed()  # the script may have reset the kernel
        self._resolution_ns = milliseconds(nest.resolution)
        self._counter = StepCounter(self._resolution_ns, 1)
        return [*_registered, KERNEL]

    def run(self, duration_ns: int) -> None:
        (steps,) = self._counter.advance(duration_ns)
        if steps.count:
            self._nest.Simulate(float(steps.count * self._resolution_ns / 10**6))

    def reset(self) -> None:
        self.initialize()

    def shutdown(self) -> None:
        self._nest.ResetKernel()

    def get(self, name: str) -> Any:
        if name == KERNEL:
            return as_json(self._nest.GetKernelStatus())
        return statuses(_registered[name].get(), len(_registered[name]))

    def set(self, name: str, value: Any) -> None:
        if name == KERNEL:
            self._nest.SetKernelStatus(value)
            return
        nodes = _registered[name]
        if isinstance(value, list) and len(value) != len(nodes):
            raise ValueError(f"{len(value)} dicts for {len(nodes)} nodes")
        nodes.set(value)

    def _seed(self) -> None:
        if self._settings.rng_seed:
            self._nest.rng_seed = self._settings.rng_seed

    def _execute_script(self) -> None:
        path = self._settings.file
        make_importable(path.parent)
        names = {"nest": self._nest, "sys": sys, "__name__": "nest_script", "__file__": str(path)}
        try:
            exec(compile(path.read_bytes(), str(path), "exec", dont_inherit=True), names)
        except Exception as error:
            raise UserError(
                f"{self._where}.NestInitFileName: '{path}' raised:\n{user_traceback(error)}"
            ) from error


def milliseconds(value: float) -> Fraction:
    """Return the exact nanoseconds of a decimal number of milliseconds."""
    return Fraction(str(float(value))) * 10**6


def statuses(status: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Return one dict for each node of what NEST returns as a dict of one value or of many."""
    if count == 1:
        first = status.get("model", status.get("synapse_model"))
        alone = {k: v[0] for k, v in status.items()} if isinstance(first, list | tuple) else status
        return [as_json(alone)]
    return [as_json({key: values[i] for key, values in status.items()}) for i in range(count)]


def as_json(value: Any) -> Any:
    """Return a value of NEST's as JSON; what is none as text."""
    if isinstance(value, dict):
        return {str(key): as_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(inner) for inner in value]
    try:
        return plain(value)
    except TypeError:
        return str(value)
