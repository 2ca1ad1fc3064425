"""Datapacks of all copies of a network, written to and read from a NEST kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Array, ArraySpec, Ids
from troupe.core.errors import EngineError
from troupe.engines.nest_groups import Groups
from troupe.engines.nest_kernel import Kernel
from troupe.engines.spikes import RateFilter, count_spikes

NOTHING: dict[str, Any] = {}


class Input(Protocol):
    """A pack that is written."""

    spec: ArraySpec

    def attach(self, kernel: Kernel, groups: Groups) -> None:
        """Begin with a network that was just built."""

    def reset(self, seeds: Sequence[int], instances: Ids) -> None:
        """Return instances to initial values."""

    def write(self, value: npt.ArrayLike, rows: Any) -> None:
        """Keep values for the next advance."""

    def apply(self, num_steps: int, clock: int) -> None:
        """Give the kernel what was written, before it advances from inner step `clock`."""


class Output(Protocol):
    """A pack that is read."""

    spec: ArraySpec

    def attach(self, kernel: Kernel, groups: Groups) -> None:
        """Begin with a network that was just built."""

    def reset(self, seeds: Sequence[int], instances: Ids) -> None:
        """Return instances to initial values."""

    def read(self) -> npt.NDArray[Any]:
        """Return the values, (num_instances, ...)."""


class FieldInput:
    """Sets a field of the neurons' status, or what is added to its initial value."""

    def __init__(
        self, spec: ArraySpec, population: str, field: str, added_scale: float | None = None
    ) -> None:
        """Set `field` itself, or (initial value + scale * written value) if a scale is given."""
        self.spec = spec
        self._population, self._field, self._scale = population, field, added_scale

    def attach(self, kernel: Kernel, groups: Groups) -> None:
        self._kernel, self._group = kernel, groups[self._population]
        self._initial = self._group.field(self._field).copy()
        self._applied = self._initial.copy()
        self._value = self._initial.copy() if self._scale is None else 0.0 * self._initial
        self._written = np.zeros(self._value.shape, np.bool_)

    def reset(self, seeds: Sequence[int], instances: Ids) -> None:
        self._value[instances] = self._initial[instances] if self._scale is None else 0.0
        self._applied[instances] = self._initial[instances]
        self._written[instances] = False

    def write(self, value: npt.ArrayLike, rows: Any) -> None:
        self._value[rows] = value
        self._written[rows] = True

    def apply(self, num_steps: int, clock: int) -> None:
        if not self._written.any():
            return
        target, new = self._value, self._written
        if self._scale is not None:
            # a current stays what it was set to, unlike a state variable
            target = self._initial + self._scale * self._value
            new = new & (target != self._applied)
            self._applied = target
        if new.any():
            pairs = zip(target.ravel().tolist(), new.ravel().tolist(), strict=True)
            values = [{self._field: v} if is_new else NOTHING for v, is_new in pairs]
            self._kernel.set(self._group.nodes, values)
        self._written[:] = False


class SynapseWeights:
    """The weights of the synapses between two populations, to write and to read."""

    def __init__(
        self, name: str, shape: tuple[int, int], source: str, target: str, scale: float
    ) -> None:
        """Expect (num_instances, num_synapses); the kernel has `scale` times the pack's values."""
        self.spec = ArraySpec(shape[1:])
        self._name, self._source, self._target, self._scale = name, source, target, scale
        self._shape = shape

    def attach(self, kernel: Kernel, groups: Groups) -> None:
        self._kernel = kernel
        source, target = groups[self._source], groups[self._target]
        # node ids ascend from copy to copy, so the order is by copy first
        self._synapses = kernel.synapses(source.ids.ravel(), target.ids.ravel())
        count = len(kernel.get_weights(self._synapses))
        if count != np.prod(self._shape):
            raise EngineError(
                f"{self._name}: {count} synapses in {self._shape[0]} copies, but the first copy "
                f"had {self._shape[1]}; each copy must have as many."
            )
        self._initial = self.read().copy()
        self._pending: Array | None = None

    def reset(self, seeds: Sequence[int], instances: Ids) -> None:
        self.write(self._initial[instances], instances)

    def write(self, value: npt.ArrayLike, rows: Any) -> None:
        if self._pending is None:
            self._pending = self.read().copy()
        self._pending[rows] = value

    def apply(self, num_steps: int, clock: int) -> None:
        if self._pending is None:
            return
        self._kernel.set_weights(self._synapses, self._pending.ravel() * self._scale)
        self._pending = None

    def read(self) -> npt.NDArray[Any]:
        return self._kernel.get_weights(self._synapses).reshape(self._shape) / self._scale


class FieldOutput:
    """Reads a field of the neurons' status, when asked for."""

    def __init__(self, spec: ArraySpec, population: str, field: str) -> None:
        """Read `field` of a population."""
        self.spec = spec
        self._population, self._field = population, field

    def attach(self, kernel: Kernel, groups: Groups) -> None:
        self._group = groups[self._population]
        self._group.wanted.add(self._field)

    def reset(self, seeds: Sequence[int], instances: Ids) -> None:
        pass

    def read(self) -> npt.NDArray[Any]:
        return self._group.field(self._field)


class CountOutput:
    """How many spikes each neuron fired during the last advance."""

    def __init__(self, population: str, shape: tuple[int, int]) -> None:
        """Count the spikes of (num_instances, num_neurons)."""
        self.spec = ArraySpec(shape[1:], "spikes", low=np.zeros(()), dtype=np.dtype(np.int32))
        self.population = population
        self._counts = np.zeros(shape, np.int32)

    def attach(self, kernel: Kernel, groups: Groups) -> None:
        groups[self.population].record()

    def reset(self, seeds: Sequence[int], instances: Ids) -> None:
        self._counts[instances] = 0

    def update(self, duration_s: float, neurons: Ids, ages_s: Array) -> None:
        """Count the spikes of an advance."""
        self._counts[:] = count_spikes(neurons, self._counts.size).reshape(self._counts.shape)

    def read(self) -> npt.NDArray[Any]:
        return self._counts


class RateOutput:
    """Each neuron's firing rate (Hz)."""

    def __init__(self, population: str, shape: tuple[int, int], tau_s: float) -> None:
        """Filter the spikes of (num_instances, num_neurons)."""
        self.spec = ArraySpec(shape[1:], "Hz", low=np.zeros(()))
        self.population = population
        self._filter = RateFilter(*shape, tau_s)

    def attach(self, kernel: Kernel, groups: Groups) -> None:
        groups[self.population].record()

    def reset(self, seeds: Sequence[int], instances: Ids) -> None:
        self._filter.reset(instances)

    def update(self, duration_s: float, neurons: Ids, ages_s: Array) -> None:
        """Add the spikes of an advance."""
        self._filter.update(duration_s, neurons, ages_s)

    def read(self) -> npt.NDArray[Any]:
        return self._filter.rates_hz
