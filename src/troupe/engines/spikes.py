"""Spikes of many neurons as arrays: drawn from rates, counted, filtered into rates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Array, Ids
from troupe.core.errors import EngineError
from troupe.core.seeding import Streams

BLOCK = 256  # a constant of the streams: another one would be another sequence of spikes


class PoissonSpikes:
    """Poisson spike trains of changing rates, reproducible from each instance's seed alone.

    A neuron has one Poisson process of unit rate; it fires where that process has an arrival, on
    a time that runs as fast as the neuron's rate (time rescaling). So the cost is that of the
    spikes, not of the steps, and it makes no difference in how many advances time passes.
    """

    def __init__(
        self, purpose: str, num_instances: int, num_neurons: int, timestep_s: float
    ) -> None:
        """Make silent trains; `reset` gives them their seeds."""
        count = num_instances * num_neurons
        self._purpose = purpose
        self._num_neurons = num_neurons
        self._timestep_s = timestep_s
        self._streams: list[Streams] = [Streams(0)] * num_instances
        self._arrivals = np.full((count, BLOCK), np.inf)
        self._position = np.zeros(count, np.int64)
        self._num_blocks = np.ones(count, np.int64)
        self._per_step = np.zeros(count)  # unit-rate time that passes in one inner step
        self._begun = np.zeros(count)  # unit-rate time when the rate was last changed ...
        self._begun_step = np.zeros(count, np.int64)  # ... and the inner step
        self._step = 0
        self._next = np.full(count, np.inf)  # inner step in which each neuron fires next

    def reset(self, seeds: Sequence[int], instances: Ids) -> None:
        """Begin new, silent trains for instances, one seed each."""
        for i, seed in zip(instances, seeds, strict=True):
            self._streams[i] = Streams(seed)
            rows = slice(i * self._num_neurons, (i + 1) * self._num_neurons)
            waits = self._streams[i].generator(self._purpose).standard_exponential
            self._arrivals[rows] = np.cumsum(waits((self._num_neurons, BLOCK)), axis=1)
            self._position[rows], self._num_blocks[rows] = 0, 1
            self._per_step[rows] = self._begun[rows] = 0.0
            self._begun_step[rows] = self._step
            self._next[rows] = np.inf

    def set_rates(self, rates_hz: Array) -> None:
        """Set the rates from the next inner step on, (num_instances * num_neurons,).

        Raises:
            EngineError: if a rate is negative or not finite.
        """
        if not (np.isfinite(rates_hz) & (rates_hz >= 0)).all():
            raise EngineError(f"{self._purpose}: a rate is negative or not finite.")
        per_step = rates_hz * self._timestep_s
        changed = np.flatnonzero(per_step != self._per_step)
        passed = (self._step - self._begun_step[changed]) * self._per_step[changed]
        self._begun[changed] += passed
        self._begun_step[changed] = self._step
        self._per_step[changed] = per_step[changed]
        self._find_next(changed)

    def draw(self, num_steps: int) -> tuple[Ids, Ids]:
        """Advance by inner steps; return each spike's neuron and its step, 1 .. num_steps.

        Spikes are sorted by neuron, then by time.
        """
        end = self._step + num_steps
        neurons: list[Ids] = []
        steps: list[Ids] = []
        due = np.flatnonzero(self._next <= end)
        while len(due):
            neurons.append(due)
            steps.append(self._next[due].astype(np.int64) - self._step)
            self._position[due] += 1
            for neuron in due[self._position[due] == BLOCK]:
                self._refill(int(neuron))
            self._find_next(due)
            due = due[self._next[due] <= end]
        self._step = end
        if not neurons:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        fired = np.concatenate(neurons)
        order = np.argsort(fired, kind="stable")
        return fired[order], np.concatenate(steps)[order]

    def _find_next(self, neurons: Ids) -> None:
        wait = self._arrivals[neurons, self._position[neurons]] - self._begun[neurons]
        steps = np.full(len(neurons), np.inf)
        np.divide(wait, self._per_step[neurons], out=steps, where=self._per_step[neurons] > 0)
        self._next[neurons] = self._begun_step[neurons] + np.maximum(np.ceil(steps), 1.0)

    def _refill(self, neuron: int) -> None:
        instance, index = divmod(neuron, self._num_neurons)
        block = int(self._num_blocks[neuron])
        # instance 0 of the purpose's stream is the first block of all the neurons
        rng = self._streams[instance].generator(self._purpose, 1 + index, block)
        waits = rng.standard_exponential(BLOCK)
        self._arrivals[neuron] = self._arrivals[neuron, -1] + np.cumsum(waits)
        self._position[neuron] = 0
        self._num_blocks[neuron] += 1


class RateFilter:
    """Firing rates: each spike adds 1/tau, which decays with tau."""

    def __init__(self, num_instances: int, num_neurons: int, tau_s: float) -> None:
        """Start at rates of 0."""
        self._tau_s = tau_s
        self.rates_hz: Array = np.zeros((num_instances, num_neurons))

    def reset(self, instances: Ids) -> None:
        """Return instances to rates of 0."""
        self.rates_hz[instances] = 0.0

    def update(self, duration_s: float, neurons: Ids, ages_s: Array) -> None:
        """Advance time.

        Args:
            duration_s: how far.
            neurons: that fired in it, as indices into all instances' neurons.
            ages_s: time from each of these spikes to the end.
        """
        flat = self.rates_hz.reshape(-1)
        flat *= np.exp(-duration_s / self._tau_s)
        added = np.exp(-ages_s / self._tau_s) / self._tau_s
        flat += np.bincount(neurons, added, minlength=len(flat))


def count_spikes(neurons: Ids, num_neurons: int) -> npt.NDArray[np.int32]:
    """Return how many spikes each of the neurons fired."""
    return np.bincount(neurons, minlength=num_neurons).astype(np.int32)
