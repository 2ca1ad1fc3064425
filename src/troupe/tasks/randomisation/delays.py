"""Delays: what was put in comes out some steps later, as many as were drawn for the episode."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core import World
from troupe.core.arrays import ArraySpec, Ids
from troupe.core.seeding import InstanceStreams
from troupe.core.world import Source
from troupe.tasks.randomisation.settings import DelaySettings


class DelayLine:
    """The last values of each instance; before there are enough the first one comes out.

    Attributes:
        name: of the randomisation.
        of: ``action``, ``observation`` or a datapack.
        side: of the datapack: ``sensor`` or ``command``.
    """

    def __init__(
        self,
        name: str,
        settings: DelaySettings,
        spec: ArraySpec,
        world: World,
        streams: InstanceStreams,
    ) -> None:
        """Add arrays to the world.

        Args:
            name: of the randomisation.
            settings: of the delay.
            spec: of what is delayed.
            world: of the instances.
            streams: to draw from, and the steps of the episodes.
        """
        self.name, self.of, self.side = name, settings.of, settings.side
        self._least, self._most = settings.range
        self._streams = streams
        self._rows = np.arange(world.num_instances)
        world.arrays[f"randomise/{name}"] = np.zeros((world.num_instances, 1), np.int64)
        self._steps = world.arrays[f"randomise/{name}"]
        shape = (world.num_instances, self._most + 1, *spec.shape)
        world.arrays[f"randomise/{name}/line"] = np.zeros(shape, spec.dtype)
        self._line = world.arrays[f"randomise/{name}/line"]

    def begin(self, ids: Ids) -> None:
        """Draw the delays of new episodes."""
        for i in ids:
            rng = self._streams.generator(f"randomise {self.name}", int(i))
            self._steps[i] = rng.integers(self._least, self._most, endpoint=True)

    def fill(self, value: npt.NDArray[Any], ids: Ids) -> None:
        """Let instances begin with a value, (N, ...), as if it had been there for ever."""
        self._line[ids] = value[ids][:, None]

    def put(self, value: npt.NDArray[Any]) -> None:
        """Put the values of the present step in, (N, ...); once more they replace the last."""
        self._line[self._rows, self._streams.step % (self._most + 1)] = value

    def get(self) -> npt.NDArray[Any]:
        """Return what comes out at the present step, (N, ...)."""
        slot = (self._streams.step - self._steps[:, 0]) % (self._most + 1)
        delayed: npt.NDArray[Any] = self._line[self._rows, slot]
        return delayed

    def draws(self, i: int) -> npt.NDArray[np.int64]:
        """Return the delay of an instance, steps, (1,)."""
        steps: npt.NDArray[np.int64] = self._steps[i]
        return steps


class SlowCommand(Source):
    """A datapack as the task writes it, which the engine gets later.

    The task reads what it wrote last, so that commands which count on from there stay right.
    """

    def __init__(self, line: DelayLine, world: World) -> None:
        """Add an array to the world, which has the pack as input and output."""
        spec = world.input(line.of)
        name = f"randomise/{line.name}/sent"
        world.arrays[name] = np.zeros((world.num_instances, *spec.shape), spec.dtype)
        self._sent = world.arrays[name]
        self._line, self._world = line, world

    def begin(self, ids: Ids) -> None:
        """Begin with the value that the engine has."""
        value = self._world.read(self._line.of)
        self._sent[ids] = value[ids]
        self._line.fill(value, ids)

    def read(self, pack: str) -> npt.NDArray[Any]:
        """Return what was written last."""
        return self._sent

    def write(
        self, pack: str, value: npt.ArrayLike, instances: npt.NDArray[np.int64] | None = None
    ) -> None:
        """Keep a value."""
        self._sent[slice(None) if instances is None else instances] = value

    def send(self) -> None:
        """Give the engine what has come out by now."""
        self._line.put(self._sent)
        self._world.write(self._line.of, self._line.get())
