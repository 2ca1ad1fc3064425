"""Spikes of many neurons as arrays: drawn from rates, counted, filtered into rates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Array, Ids
from troupe.core.errors import EngineError
from troupe.core.seeding import Streams

BLOCK = 256  # a constant of the streams: another one would be another sequence of spikes

_WINDOW = np.arange(8)  # spikes of a neuron that are looked for at once


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
        # arrivals in unit-rate time: the present block, and the next one once it is wanted
        self._arrivals = np.full((count, 2 * BLOCK), np.inf)
        self._position = np.zeros(count, np.int64)
        self._known = np.full(count, BLOCK)
        self._num_blocks = np.ones(count, np.int64)
        self._per_step = np.zeros(count)  # unit-rate time that passes in one inner step
        self._begun = np.zeros(count)  # unit-rate time when the rate was last changed ...
        self._begun_step = np.zeros(count, np.int64)  # ... and the inner step
        self._step = 0
        self._rows = np.arange(count)[:, None]

    def reset(self, seeds: Sequence[int], instances: Ids) -> None:
        """Begin new, silent trains for instances, one seed each."""
        for i, seed in zip(instances, seeds, strict=True):
            self._streams[i] = Streams(seed)
            rows = slice(i * self._num_neurons, (i + 1) * self._num_neurons)
            waits = self._streams[i].generator(self._purpose).standard_exponential
            self._arrivals[rows, :BLOCK] = np.cumsum(waits((self._num_neurons, BLOCK)), axis=1)
            self._position[rows], self._num_blocks[rows], self._known[rows] = 0, 1, BLOCK
            self._per_step[rows] = self._begun[rows] = 0.0
            self._begun_step[rows] = self._step

    def set_rates(self, rates_hz: Array) -> None:
        """Set the rates from the next inner step on, (num_instances * num_neurons,).

        Raises:
            EngineError: if a rate is negative or not finite.
        """
        if not (np.isfinite(rates_hz) & (rates_hz >= 0)).all():
            raise EngineError(f"{self._purpose}: a rate is negative or not finite.")
        per_step = rates_hz * self._timestep_s
        changed = per_step != self._per_step
        passed = (self._step - self._begun_step) * self._per_step
        self._begun[changed] += passed[changed]
        self._begun_step[changed] = self._step
        self._per_step[changed] = per_step[changed]

    def draw(self, num_steps: int) -> tuple[Ids, Ids]:
        """Advance by inner steps; return each spike's neuron and its step, 1 .. num_steps.

        Spikes are sorted by neuron, then by time.
        """
        end = self._step + num_steps
        neurons: list[Ids] = []
        steps: list[Ids] = []
        rows = self._rows
        while len(rows):
            found = self._next_steps(rows)
            fires = found <= end
            neurons.append(np.broadcast_to(rows, found.shape)[fires])
            steps.append(found[fires].astype(np.int64) - self._step)
            self._position[rows[:, 0]] += fires.sum(axis=1)
            # there may be more of those whose whole window fires
            rows = rows[fires[:, -1]]
        self._step = end
        if len(neurons) == 1:
            return neurons[0], steps[0]
        fired = np.concatenate(neurons)
        order = np.argsort(fired, kind="stable")
        return fired[order], np.concatenate(steps)[order]

    def _next_steps(self, rows: Ids) -> npt.NDArray[np.float64]:
        """Return the inner steps of neurons' next spikes, (len(rows), WINDOW); inf for never."""
        ids = rows[:, 0]
        window = self._position[rows] + _WINDOW
        for neuron in ids[window[:, -1] >= self._known[ids]]:
            window[ids == neuron] -= self._add_block(int(neuron))
        wait = self._arrivals[rows, window] - self._begun[rows]
        per_step = self._per_step[rows]
        steps = np.full(wait.shape, np.inf)
        np.divide(wait, per_step, out=steps, where=per_step > 0)
        steps = np.maximum(np.ceil(steps), 1.0)
        return np.add(self._begun_step[rows], steps, dtype=np.float64)

    def _add_block(self, neuron: int) -> int:
        """Draw a neuron's next block of arrivals; return by how much its positions moved."""
        moved = 0
        arrivals = self._arrivals[neuron]
        if self._known[neuron] == 2 * BLOCK:  # the first block is over
            arrivals[:BLOCK] = arrivals[BLOCK:]
            self._position[neuron] -= BLOCK
            moved = BLOCK
        instance, index = divmod(neuron, self._num_neurons)
        # instance 0 of the purpose's stream is the first block of all the neurons
        rng = self._streams[instance].generator(
            self._purpose, 1 + index, int(self._num_blocks[neuron])
        )
        arrivals[BLOCK:] = arrivals[BLOCK - 1] + np.cumsum(rng.standard_exponential(BLOCK))
        self._known[neuron] = 2 * BLOCK
        self._num_blocks[neuron] += 1
        return moved


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
