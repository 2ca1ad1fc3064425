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

Values = dict[str, npt.NDArray[Any]]


class DrawnPack:
    """One randomisation of a pack.

    Attributes:
        name: of the randomisation.
        pack: as "engine.pack".
    """

    def __init__(
        self,
        name: str,
        settings: PackSettings,
        world: World,
        streams: InstanceStreams,
        step_ns: int,
    ) -> None:
        """Look the pack up, and add arrays to the world.

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
        chosen = self._elements.chosen
        self._low, self._high = spec.low.ravel()[chosen], spec.high.ravel()[chosen]
        self._check_readable(world, where)
        if settings.operation == "absolute":
            self._check_bounds(where)
        n = world.num_instances
        world.arrays[f"randomise/{name}"] = np.zeros((n, self._elements.num_draws))
        self._drawn = world.arrays[f"randomise/{name}"]
        self._every = _steps(settings.every, step_ns, f"{where}.every")
        if self._every and settings.operation != "absolute":
            self._nominal = np.zeros((n, len(chosen)))
            world.arrays[f"randomise/{name}/nominal"] = self._nominal

    def begin(self, values: Values, ids: Ids) -> None:
        """Draw for new episodes of instances, and change the pack's values, (n, ...)."""
        nominal = self._flat(values)[:, self._elements.chosen].astype(np.float64)
        if self._every and self._settings.operation != "absolute":
            self._nominal[ids] = nominal
        self._apply(values, nominal, ids, block=0)

    def due(self) -> Ids:
        """Return the instances for which an interval is over."""
        if not self._every:
            return np.zeros(0, np.int64)
        step = self._streams.step
        return np.flatnonzero((step > 0) & (step % self._every == 0))

    def again(self, values: Values, ids: Ids) -> None:
        """Draw anew for instances that are due, and change the pack's values, (n, ...)."""
        if self._settings.operation == "absolute":
            nominal = np.zeros((len(ids), len(self._elements.chosen)))
        else:
            nominal = self._nominal[ids]
        self._apply(values, nominal, ids, block=None)

    def draws(self, i: int) -> Array:
        """Return the numbers that an instance has now."""
        drawn: Array = self._drawn[i]
        return drawn

    def _apply(self, values: Values, nominal: Array, ids: Ids, block: int | None) -> None:
        for i in ids:
            self._drawn[i] = self._draw(int(i), block)
        drawn = self._elements.spread(self._drawn[ids])
        if self._settings.operation == "add":
            drawn = nominal + drawn
        elif self._settings.operation == "scale":
            drawn = nominal * drawn
        drawn = np.clip(drawn, self._low, self._high)
        if self._spec.dtype.kind in "iu":
            drawn = np.rint(drawn)
        self._flat(values)[:, self._elements.chosen] = drawn

    def _draw(self, i: int, block: int | None) -> Array:
        if block is None:
            block = int(self._streams.step[i]) // self._every
        episode = 0 if self._settings.mode == "startup" else None
        rng = self._streams.generator(self._purpose, i, block, episode)
        return np.ravel(self._settings.distribution.draw(rng, self._elements.draw_shape))

    def _flat(self, values: Values) -> npt.NDArray[Any]:
        value = values[self.pack]
        return value.reshape(len(value), -1)

    def _check_readable(self, world: World, where: str) -> None:
        is_whole = len(self._elements.chosen) == math.prod(self._spec.shape)
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
