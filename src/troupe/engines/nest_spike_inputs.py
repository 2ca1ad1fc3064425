"""Datapacks that send spikes into the copies of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import ArraySpec, Ids
from troupe.core.errors import EngineError
from troupe.engines.nest_groups import Groups
from troupe.engines.nest_kernel import Kernel
from troupe.engines.nest_packs import NOTHING
from troupe.engines.spikes import PoissonSpikes


class SpikeInput:
    """Sends spikes into the neurons, each from a spike generator of its own."""

    spec: ArraySpec

    def __init__(self, name: str, population: str, synapse: dict[str, Any], timestep_ms: float):
        """Send spikes through synapses of NEST's ``syn_spec``."""
        self._name, self._population = name, population
        self._synapse, self._timestep_ms = synapse, timestep_ms

    def attach(self, kernel: Kernel, groups: Groups) -> None:
        self._kernel, group = kernel, groups[self._population]
        self._count = group.ids.size
        self._generators = kernel.create(
            "spike_generator", self._count, {"precise_times": False, "allow_offgrid_times": False}
        )
        kernel.connect(self._generators, group.nodes, "one_to_one", self._synapse)

    def _send(self, neurons: Ids, steps: Ids, clock: int) -> None:
        """Schedule spikes, sorted by neuron and time, at inner steps after `clock`."""
        if not len(neurons):
            return
        times_ms = ((clock + steps) * self._timestep_ms).tolist()
        values = [NOTHING] * self._count
        starts = np.flatnonzero(np.diff(neurons, prepend=-1))
        ends = [*starts[1:].tolist(), len(times_ms)]
        for neuron, start, end in zip(neurons[starts].tolist(), starts.tolist(), ends, strict=True):
            values[neuron] = {"spike_times": times_ms[start:end]}
        self._kernel.set(self._generators, values)


class PoissonInput(SpikeInput):
    """Poisson spikes of given rates (Hz)."""

    def __init__(
        self,
        name: str,
        population: str,
        shape: tuple[int, int],
        synapse: dict[str, Any],
        timestep_ms: float,
    ) -> None:
        """Make silent trains of (num_instances, num_neurons)."""
        super().__init__(name, population, synapse, timestep_ms)
        self.spec = ArraySpec(shape[1:], "Hz", low=np.zeros(()))
        self._rates = np.zeros(shape)
        self._is_new = False
        self._spikes = PoissonSpikes(name, *shape, timestep_s=timestep_ms / 1000)

    def reset(self, seeds: Sequence[int], instances: Ids) -> None:
        self._rates[instances] = 0.0
        self._spikes.reset(seeds, instances)

    def write(self, value: npt.ArrayLike, rows: Any) -> None:
        self._rates[rows] = value
        self._is_new = True

    def apply(self, num_steps: int, clock: int) -> None:
        if self._is_new:
            self._spikes.set_rates(self._rates.ravel())
            self._is_new = False
        self._send(*self._spikes.draw(num_steps), clock)


class InjectInput(SpikeInput):
    """Given numbers of spikes in the next inner step, once."""

    def __init__(
        self,
        name: str,
        population: str,
        shape: tuple[int, int],
        synapse: dict[str, Any],
        timestep_ms: float,
    ) -> None:
        """Hold counts of (num_instances, num_neurons)."""
        super().__init__(name, population, synapse, timestep_ms)
        self.spec = ArraySpec(shape[1:], low=np.zeros(()), dtype=np.dtype(np.int32))
        self._counts = np.zeros(shape, np.int32)

    def reset(self, seeds: Sequence[int], instances: Ids) -> None:
        self._counts[instances] = 0

    def write(self, value: npt.ArrayLike, rows: Any) -> None:
        self._counts[rows] = value

    def apply(self, num_steps: int, clock: int) -> None:
        if num_steps == 0 or not self._counts.any():
            return
        if (self._counts < 0).any():
            raise EngineError(f"{self._name}: a number of spikes is negative.")
        neurons = np.repeat(np.arange(self._counts.size), self._counts.ravel())
        self._send(neurons, np.ones_like(neurons), clock)
        self._counts[:] = 0
