"""What a task sees of the engines: datapacks by name, and named arrays of its own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import ArraySpec
from troupe.core.errors import unknown


class Source(Protocol):
    """What a world needs of an engine."""

    def read(self, pack: str) -> npt.NDArray[Any]:
        """Return the pack's values, (num_instances, ...)."""

    def write(
        self, pack: str, value: npt.ArrayLike, instances: npt.NDArray[np.int64] | None = None
    ) -> None:
        """Give the pack values, for some instances or all."""


class World:
    """The datapacks of a loop, as "engine.pack", plus a task's own per-instance arrays.

    Attributes:
        num_instances: how many instances each array leads with.
        outputs: specs of the datapacks that can be read.
        inputs: specs of the datapacks that can be written.
        arrays: the task's own arrays by name, (num_instances, ...); they are part of snapshots.
    """

    def __init__(
        self,
        engines: Mapping[str, Source],
        outputs: Mapping[str, ArraySpec],
        inputs: Mapping[str, ArraySpec],
        num_instances: int,
    ) -> None:
        """Collect the engines' packs; `outputs` and `inputs` are keyed "engine.pack"."""
        self.num_instances = num_instances
        self.arrays: dict[str, npt.NDArray[Any]] = {}
        self.outputs = dict(outputs)
        self.inputs = dict(inputs)
        packs = [*outputs, *inputs]
        self._sources = {p: (engines[p.split(".", 1)[0]], p.split(".", 1)[1]) for p in packs}

    def output(self, name: str) -> ArraySpec:
        """Return the spec of a datapack that can be read.

        Raises:
            UserError: if no engine offers it.
        """
        if name not in self.outputs:
            raise unknown("datapack to read", name, self.outputs)
        return self.outputs[name]

    def input(self, name: str) -> ArraySpec:
        """Return the spec of a datapack that can be written.

        Raises:
            UserError: if no engine accepts it.
        """
        if name not in self.inputs:
            raise unknown("datapack to write", name, self.inputs)
        return self.inputs[name]

    def through(self, sources: Mapping[str, Source]) -> World:
        """Return a view in which some datapacks are read from and written to other sources.

        Its arrays are the same.
        """
        view = copy.copy(self)
        own = {name: (source, name.split(".", 1)[1]) for name, source in sources.items()}
        view._sources = self._sources | own
        return view

    def reader(self, name: str) -> tuple[Callable[[str], npt.NDArray[Any]], str]:
        """Return the call that reads a datapack, and the argument that it takes."""
        engine, pack = self._sources[name]
        return engine.read, pack

    def writer(self, name: str) -> tuple[Callable[..., None], str]:
        """Return the call that writes a datapack, and its first argument."""
        engine, pack = self._sources[name]
        return engine.write, pack

    def read(self, name: str) -> npt.NDArray[Any]:
        """Return a datapack, (num_instances, ...): a view, valid until the engine's next step."""
        engine, pack = self._sources[name]
        return engine.read(pack)

    def write(
        self, name: str, value: npt.ArrayLike, instances: npt.NDArray[np.int64] | None = None
    ) -> None:
        """Write a datapack; it takes effect when the engine next advances."""
        engine, pack = self._sources[name]
        engine.write(pack, value, instances)
