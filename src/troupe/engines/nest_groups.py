"""All copies of one population in a kernel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from troupe.core.arrays import Array, Ids
from troupe.engines.nest_kernel import Kernel


class Group:
    """A population's neurons in all copies.

    Attributes:
        ids: node ids, (num_instances, num_neurons), ascending.
        nodes: the kernel's handle of all of them.
        wanted: fields of the status that are read at once.
    """

    def __init__(self, kernel: Kernel, ids: Ids) -> None:
        """Hold the neurons of a network that was just built."""
        self.ids = ids
        self.nodes = kernel.nodes(ids.ravel())
        self.wanted: set[str] = set()
        self.recorder: Any = None
        self._kernel = kernel
        self._known: dict[str, Array] = {}
        self._initial: dict[str, Any] = {}

    def field(self, name: str) -> Array:
        """Return a field of the status, (num_instances, num_neurons)."""
        if name not in self._known:
            values = self._kernel.get(self.nodes, sorted({name, *self.wanted}))
            self._known = {
                field: np.asarray(v, np.float64).reshape(self.ids.shape)
                for field, v in values.items()
            }
        return self._known[name]

    def forget(self) -> None:
        """Read fields anew when they are asked for next, because time has passed."""
        self._known = {}

    def record(self) -> None:
        """Record the spikes from now on."""
        if self.recorder is None:
            self.recorder = self._kernel.create("spike_recorder", 1, {})
            self._kernel.connect(self.nodes, self.recorder, "all_to_all", {})
            self._index = np.zeros(self.ids.max() + 1, np.int64)
            self._index[self.ids.ravel()] = np.arange(self.ids.size)

    def take_spikes(self) -> tuple[Ids, Array]:
        """Return neurons, as indices into all copies, and times (ms) of the spikes since before."""
        senders, times_ms = self._kernel.take_events(self.recorder)
        return self._index[senders], times_ms

    def remember(self, fields: tuple[str, ...]) -> None:
        """Keep the fields' present values, to return to."""
        if fields:
            self._initial = self._kernel.get(self.nodes, fields)

    def restore(self, instances: Ids) -> None:
        """Return copies to the values that were kept."""
        if self._initial:
            rows = np.arange(self.ids.size).reshape(self.ids.shape)[instances].ravel()
            values = [{f: v[row] for f, v in self._initial.items()} for row in rows.tolist()]
            self._kernel.set(self._kernel.nodes(self.ids[instances].ravel()), values)


Groups = Mapping[str, Group]
