"""Datapacks with all of their randomisations, one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core import World
from troupe.core.arrays import Ids
from troupe.tasks.randomisation.draws import Draw

NONE = np.zeros(0, np.int64)


class DrawnPack:
    """A pack and its randomisations, which follow each other from one nominal value.

    Attributes:
        pack: as "engine.pack".
    """

    def __init__(self, pack: str, draws: Sequence[Draw], world: World) -> None:
        """Add an array to the world if any of the randomisations draws in mid-episode."""
        self.pack = pack
        self._draws, self._world = draws, world
        self._repeated = [draw for draw in draws if draw.is_repeated]
        self._spec = world.input(pack)
        self._size = math.prod(self._spec.shape)
        if self._repeated:
            name = f"randomise/{pack}/nominal"
            world.arrays[name] = np.zeros((world.num_instances, self._size), self._spec.dtype)
            self._nominal = world.arrays[name]

    def begin(self, ids: Ids) -> npt.NDArray[Any]:
        """Draw for new episodes of instances, and return the values to write, (n, ...)."""
        values = self._present(ids)
        if self._repeated:
            self._nominal[ids] = values
        for draw in self._draws:
            draw.begin(ids)
            draw.apply(values, ids)
        return self._shaped(values)

    def again(self) -> tuple[Ids, npt.NDArray[Any]]:
        """Draw where it is time, and return these instances and the values to write, (n, ...).

        Elements that none of what is due chooses keep what they have come to since.
        """
        if not self._repeated:
            return NONE, NONE
        due = [draw.due() for draw in self._repeated]
        ids = np.flatnonzero(np.logical_or.reduce(due))
        if not len(ids):
            return NONE, NONE
        is_drawn = np.zeros((len(ids), self._size), np.bool_)
        for draw, is_due in zip(self._repeated, due, strict=True):
            draw.again(np.flatnonzero(is_due))
            is_drawn[np.ix_(is_due[ids], draw.chosen)] = True
        values = self._nominal[ids]
        for draw in self._draws:
            draw.apply(values, ids)
        return ids, self._shaped(np.where(is_drawn, values, self._present(ids)))

    def _present(self, ids: Ids) -> npt.NDArray[Any]:
        """Return a copy of the values of instances, (n, size); 0 of what cannot be read."""
        if self.pack not in self._world.outputs:
            return np.zeros((len(ids), self._size), self._spec.dtype)
        return np.array(self._world.read(self.pack)[ids]).reshape(len(ids), self._size)

    def _shaped(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return values.reshape(len(values), *self._spec.shape)
