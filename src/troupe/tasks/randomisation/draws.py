"""Datapacks whose values are drawn: distribution, operation, mode."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core import World
from troupe.core.arrays import Array, ArraySpec, Ids
from troupe.core.errors import UserError, unknown
from troupe.core.seeding import InstanceStreams
from troupe.core.time import format_duration
from troupe.tasks.randomisation.elements import elements_of
from troupe.tasks.randomisation.settings import PackSettings


class Draw:
    """One randomisation of a pack.

    Attributes:
        name: of the randomisation.
        pack: as "engine.pack".
        is_repeated: whether it is drawn again and again in an episode.
        chosen: the elements that it changes, their indices in the flat value, (E,).
    """

    def __init__(
        self,
        name: str,
        settings: PackSettings,
        world: World,
        streams: InstanceStreams,
        step_ns: int,
    ) -> None:
        """Look the pack up, and add an array to the world.

        Raises:
            UserError: if it cannot be written, the draws do not fit it or its bounds, or the
                interval does not fit the step.
        """
        where = f"randomise.{name}"
        self.name, self.pack = name, settings.pack
        self._settings, self._streams = settings, streams
        self._purpose = f"randomise {name}"
        spec = self._spec = _writable(world, settings.pack, where)
        self._elements = elements_of(spec, settings, where)
        self.chosen = chosen = self._elements.chosen
        self._low, self._high = spec.low.ravel()[chosen], spec.high.ravel()[chosen]
        self._check_readable(world, where)
        if settings.operation == "absolute":
            self._check_bounds(where)
        world.arrays[f"randomise/{name}"] = np.zeros(
            (world.num_instances, self._elements.num_draws)
        )
        self._drawn = world.arrays[f"randomise/{name}"]
        self._every = _steps(settings.every, step_ns, f"{where}.every")
        self.is_repeated = self._every > 0

    def begin(self, ids: Ids) -> None:
        """Draw for new episodes of instances."""
        for i in ids:
            self._drawn[i] = self._draw(int(i), block=0)

    def due(self) -> npt.NDArray[np.bool_]:
        """Return for which instances an interval is over, (N,)."""
        step = self._streams.step
        due: npt.NDArray[np.bool_] = (step > 0) & (step % self._every == 0)
        return due

    def again(self, ids: Ids) -> None:
        """Draw anew for instances that are due."""
        for i in ids:
            self._drawn[i] = self._draw(int(i), int(self._streams.step[i]) // self._every)

    def apply(self, values: npt.NDArray[Any], ids: Ids) -> None:
        """Change flat values of instances, (n, size), by the numbers that they have now."""
        drawn = self._elements.spread(self._drawn[ids])
        before = values[:, self.chosen].astype(np.float64)
        if self._settings.operation == "add":
            drawn = before + drawn
        elif self._settings.operation == "scale":
            drawn = before * drawn
        drawn = np.clip(drawn, self._low, self._high)
        if self._spec.dtype.kind in "iu":
            drawn = np.rint(drawn)
        values[:, self.chosen] = drawn

    def draws(self, i: int) -> Array:
        """Return the numbers that an instance has now."""
        drawn: Array = self._drawn[i]
        return drawn

    def _draw(self, i: int, block: int) -> Array:
        episode = 0 if self._settings.mode == "startup" else None
        rng = self._streams.generator(self._purpose, i, block, episode)
        return np.ravel(self._settings.distribution.draw(rng, self._elements.draw_shape))

    def _check_readable(self, world: World, where: str) -> None:
        is_whole = len(self.chosen) == math.prod(self._spec.shape)
        if self.pack in world.outputs or (is_whole and self._settings.operation == "absolute"):
            return
        raise UserError(
            f"{where}: '{self.pack}' can be written, not read: only all of its elements can be "
            "drawn, with the operation 'absolute'."
        )

    def _check_bounds(self, where: str) -> None:
        least, greatest = self._settings.distribution.support()
        elements = self._elements
        low, high = self._low.reshape(elements.shape), self._high.reshape(elements.shape)
        too_low = np.isfinite(least) & (least < low)
        too_high = np.isfinite(greatest) & (greatest > high)
        if np.any(too_low) or np.any(too_high):
            raise UserError(
                f"{where}.distribution: it goes from {least} to {greatest}, but '{self.pack}' "
                f"takes {low.min():g} to {high.max():g} {self._spec.unit}".rstrip()
                + "."
            )


def _writable(world: World, pack: str, where: str) -> ArraySpec:
    if pack not in world.inputs:
        if pack in world.outputs:
            raise UserError(
                f"{where}.pack: '{pack}' can be read, not written. Valid: "
                f"{', '.join(sorted(world.inputs))}."
            )
        raise unknown("datapack to write", pack, world.inputs, f"{where}.pack")
    spec = world.inputs[pack]
    if spec.dtype.kind not in "iuf":
        raise UserError(f"{where}.pack: '{pack}' holds no numbers but {spec.dtype}.")
    return spec


def _steps(every_ns: int | None, step_ns: int, where: str) -> int:
    """Return the steps of an interval; 0 if there is none."""
    if every_ns is None:
        return 0
    if every_ns % step_ns:
        raise UserError(
            f"{where}: {format_duration(every_ns)} is no multiple of the loop's step, "
            f"{format_duration(step_ns)}."
        )
    return every_ns // step_ns
