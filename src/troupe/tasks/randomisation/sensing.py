"""Datapacks as sensors tell them: late, and with noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core import World
from troupe.core.arrays import Ids
from troupe.core.world import Source
from troupe.tasks.randomisation.delays import DelayLine
from troupe.tasks.randomisation.noise import SensorNoise


class Sensor(Source):
    """One datapack of a world, delayed and then with noise."""

    def __init__(
        self, pack: str, world: World, lines: Sequence[DelayLine], noises: Sequence[SensorNoise]
    ) -> None:
        """Take what is between the engine and who reads the pack.

        Args:
            pack: as "engine.pack".
            world: of the engine.
            lines: delays, one after the other.
            noises: that are added.
        """
        self._pack, self._world = pack, world
        self._lines, self._noises = lines, noises
        self._rows = np.arange(world.num_instances)

    def begin(self, ids: Ids) -> None:
        """Begin with the present value."""
        value = self._world.read(self._pack) if self._lines else None
        for line in self._lines:
            assert value is not None
            line.fill(value, ids)

    def follow(self) -> None:
        """Look at the value of the present step; only a delayed one has to be."""
        if not self._lines:
            return
        value = self._world.read(self._pack)
        for line in self._lines:
            line.put(value)
            value = line.get()

    def read(self, pack: str) -> npt.NDArray[Any]:
        """Return what the sensor tells at the present step, (N, ...)."""
        value = self._lines[-1].get() if self._lines else self._world.read(self._pack)
        return self.noisy(value, self._rows)

    def noisy(self, value: npt.NDArray[Any], ids: Ids) -> npt.NDArray[Any]:
        """Return values of instances, (n, ...), with the noise of their present steps."""
        for noise in self._noises:
            value = noise.apply(value, ids)
        return value

    def write(
        self, pack: str, value: npt.ArrayLike, instances: npt.NDArray[np.int64] | None = None
    ) -> None:
        """Write to the engine."""
        self._world.write(self._pack, value, instances)
