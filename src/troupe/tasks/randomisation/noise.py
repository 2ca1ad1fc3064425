"""Noise of sensors: the same for the same step, however often it is asked for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core import World
from troupe.core.arrays import ArraySpec, Ids
from troupe.core.errors import UserError
from troupe.core.seeding import InstanceStreams
from troupe.tasks.randomisation.settings import NoiseSettings

NUMBERS_AT_ONCE = 1024
"""To begin a stream costs as much as that many numbers: several steps are drawn together."""


class SensorNoise:
    """The noise of one value; all of it follows from the instance, its episode and step.

    Attributes:
        name: of the randomisation.
        of: ``observation`` or a datapack.
    """

    def __init__(
        self,
        name: str,
        settings: NoiseSettings,
        spec: ArraySpec,
        world: World,
        streams: InstanceStreams,
    ) -> None:
        """Add arrays to the world.

        Raises:
            UserError: if the settings do not fit the value.
        """
        where = f"randomise.{name}"
        if spec.dtype.kind not in "iuf" or spec.categories:
            raise UserError(f"{where}.of: '{settings.of}' holds no numbers that could be noisy.")
        self.name, self.of = name, settings.of
        self._spec, self._streams, self._dropout = spec, streams, settings.dropout
        self._deviation = _fitting(settings.deviation, spec, f"{where}.deviation")
        self._bias_deviation = _fitting(settings.bias, spec, f"{where}.bias")
        self._has_bias, self._is_shared = bool(np.any(settings.bias)), settings.shared
        self._has_deviation = bool(np.any(settings.deviation))
        self._is_bounded = bool(np.isfinite([spec.low, spec.high]).any())
        is_image = len(spec.shape) == 3
        self._drop_shape = (*spec.shape[:2], 1) if is_image else spec.shape
        size = math.prod(spec.shape)
        self._steps_at_once = max(1, NUMBERS_AT_ONCE // max(1, size))
        n = world.num_instances
        biases = size if self._has_bias and not self._is_shared else 1
        world.arrays[f"randomise/{name}"] = np.zeros((n, biases))
        self._bias = world.arrays[f"randomise/{name}"]
        self._blocks = np.full(n, -1, np.int64)
        self._normal: npt.NDArray[np.float32] | None = None
        self._uniform: npt.NDArray[np.float32] | None = None

    def begin(self, ids: Ids) -> None:
        """Draw the biases of new episodes."""
        self._blocks[ids] = -1
        if self._has_bias:
            for i in ids:
                rng = self._streams.generator(f"randomise {self.name}", int(i))
                self._bias[i] = rng.standard_normal(self._bias.shape[1])

    def forget(self) -> None:
        """Draw anew what was drawn ahead: the episodes are others."""
        self._blocks[:] = -1

    def apply(self, value: npt.NDArray[Any], ids: Ids) -> npt.NDArray[Any]:
        """Return values of instances at their present steps, (n, ...), as the sensor tells them."""
        self._draw_ahead(ids)
        at = self._streams.step[ids] % self._steps_at_once
        noisy = value.astype(np.float64)
        if self._has_bias:
            noisy += self._bias_of(ids)
        if self._normal is not None:
            noisy += self._deviation * self._normal[ids, at]
        if self._uniform is not None:
            noisy = np.where(self._uniform[ids, at] < self._dropout, 0.0, noisy)
        if self._is_bounded:
            noisy = np.clip(noisy, self._spec.low, self._spec.high)
        if self._spec.dtype.kind in "iu":
            noisy = np.rint(noisy)
        return noisy.astype(value.dtype)

    def draws(self, i: int) -> npt.NDArray[np.float64]:
        """Return the biases of an instance; nothing if there are none."""
        if not self._has_bias:
            return np.zeros(0)
        biases: npt.NDArray[np.float64] = self._bias_of(np.array([i])).ravel()
        return biases[:1] if self._is_shared and not np.ndim(self._bias_deviation) else biases

    def _bias_of(self, ids: Ids) -> npt.NDArray[np.float64]:
        unit = self._bias[ids]
        shape = (1,) * len(self._spec.shape) if self._is_shared else self._spec.shape
        return unit.reshape(len(ids), *shape) * self._bias_deviation

    def _draw_ahead(self, ids: Ids) -> None:
        """Draw the blocks of steps that instances are in."""
        if not (self._has_deviation or self._dropout):
            return
        n, blocks = len(self._blocks), self._streams.step[ids] // self._steps_at_once
        is_past = self._blocks[ids] != blocks
        if not is_past.any():
            return
        for i in ids[is_past]:
            block = int(self._streams.step[i]) // self._steps_at_once
            # block 0 of the stream is the bias's
            rng = self._streams.generator(f"randomise {self.name}", int(i), 1 + block)
            if self._has_deviation:
                if self._normal is None:
                    shape = (n, self._steps_at_once, *self._spec.shape)
                    self._normal = np.zeros(shape, np.float32)
                self._normal[i] = rng.standard_normal(self._normal.shape[1:], np.float32)
            if self._dropout:
                if self._uniform is None:
                    shape = (n, self._steps_at_once, *self._drop_shape)
                    self._uniform = np.ones(shape, np.float32)
                self._uniform[i] = rng.random(self._uniform.shape[1:], np.float32)
            self._blocks[i] = block


def _fitting(numbers: Any, spec: ArraySpec, where: str) -> npt.NDArray[np.float64]:
    """Return numbers that broadcast to a value.

    Raises:
        UserError: if they do not.
    """
    array = np.asarray(numbers, np.float64)
    if array.ndim and (not spec.shape or array.shape[0] not in (1, spec.shape[-1])):
        raise UserError(
            f"{where}: {len(array)} numbers do not fit a value of shape {spec.shape}; give one, or "
            "one for each along its last axis."
        )
    return array
