"""Connections: how a datapack travels between an engine and a function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from troupe.core.arrays import ArraySpec, Ids
from troupe.core.seeding import Streams
from troupe.core.settings import Duration, DurationOrNone, Settings
from troupe.loop.stored import restore_stored, stored

DRAWS = 256
"""Random numbers that a connection draws at once for each instance."""

NEVER = np.iinfo(np.int64).max


class ConnectionSettings(Settings):
    """What happens to a datapack on its way; without settings it arrives at once.

    Attributes:
        delivery: ``latch`` sends the newest value at every synchronisation of the receiver,
            ``once`` only those that are new.
        every: simulated time between two samples of the pack, a multiple of its engine's sync;
            between them the last one stays. Default, with a phase: the sync.
        phase: of the first sample, less than ``every``; before it there is none. Without ``every``
            and ``phase`` all values are sent. Times count from an instance's reset.
        delay: simulated time on the way.
        jitter: of the delay: up to so much more, uniform, drawn for each message and instance.
        dropout: probability that a message is lost.
    """

    delivery: Literal["latch", "once"] = "latch"
    every: Duration | None = None
    phase: DurationOrNone = None
    delay: DurationOrNone = None
    jitter: DurationOrNone = None
    dropout: float = Field(0.0, ge=0.0, le=1.0)

    @property
    def is_direct(self) -> bool:
        """Whether all messages arrive, and at once."""
        is_perfect = self.delay is None and self.jitter is None and self.dropout == 0.0
        return is_perfect and not self.is_sampled

    @property
    def is_sampled(self) -> bool:
        """Whether it takes values at times of its own."""
        return self.every is not None or self.phase is not None


class Line:
    """Messages of one datapack on their way, with their own fate for each instance.

    Messages that overtake others win: a receiver never sees an older value after a newer one.

    Attributes:
        value: that arrived last, (num_instances, ...).
    """

    def __init__(
        self,
        name: str,
        settings: ConnectionSettings,
        spec: ArraySpec,
        num_instances: int,
        interval_ns: int,
    ) -> None:
        """Make an empty line; until the first message arrives its value is 0.

        Args:
            name: of the stream of randomness.
            settings: of the connection.
            spec: of the datapack.
            num_instances: how many messages travel side by side.
            interval_ns: the least time between two messages.
        """
        self._purpose = f"connection {name}"
        self._delay_ns, self._jitter_ns = settings.delay or 0, settings.jitter or 0
        self._dropout = settings.dropout
        capacity = (self._delay_ns + self._jitter_ns) // interval_ns + 2
        self.value = np.zeros((num_instances, *spec.shape), spec.dtype)
        self._messages = np.zeros((num_instances, capacity, *spec.shape), spec.dtype)
        self._arrival = np.full((num_instances, capacity), NEVER, np.int64)
        self._order = np.full((num_instances, capacity), -1, np.int64)
        self._shown = np.full(num_instances, -1, np.int64)
        self._sent = np.zeros(num_instances, np.int64)
        self._seed = np.zeros(num_instances, np.int64)
        self._draws = np.zeros((num_instances, DRAWS, 2))
        self._rows = np.arange(num_instances)
        self._is_random = bool(self._jitter_ns or self._dropout)

    def reset(self, seeds: Sequence[int], instances: Ids | None = None) -> None:
        """Lose what is on its way to instances, and begin their streams of randomness."""
        ids = self._rows if instances is None else instances
        self.value[ids] = 0
        self._arrival[ids], self._order[ids] = NEVER, -1
        self._shown[ids], self._sent[ids] = -1, 0
        self._seed[ids] = seeds

    @property
    def has_value(self) -> npt.NDArray[np.bool_]:
        """For which instances any message has arrived, (N,)."""
        return self._shown >= 0

    def send(
        self,
        value: npt.NDArray[Any],
        now_ns: int | npt.NDArray[np.int64],
        instances: Ids | None = None,
    ) -> None:
        """Put a message on its way for every instance, or for some.

        Args:
            value: for each of these instances.
            now_ns: when it sets out, for all or for each.
            instances: which.
        """
        rows = self._rows if instances is None else instances
        sent = self._sent[rows]
        arrival = self._arrivals(rows, sent, now_ns)
        slot = sent % self._messages.shape[1]
        self._sent[rows] += 1
        if self._dropout:  # what is lost must not take the place of what nobody has read yet
            kept = np.flatnonzero(arrival < NEVER)
            rows, sent, arrival, value = rows[kept], sent[kept], arrival[kept], value[kept]
            slot = self._order[rows].argmin(axis=1)
        self._messages[rows, slot] = value
        self._order[rows, slot] = sent
        self._arrival[rows, slot] = arrival

    def deliver(self, now_ns: int) -> npt.NDArray[np.bool_]:
        """Let messages arrive and return for which instances there is a new value, (N,)."""
        order = np.where(self._arrival <= now_ns, self._order, -1)
        newest = order.argmax(axis=1)
        is_new: npt.NDArray[np.bool_] = order[self._rows, newest] > self._shown
        if is_new.any():
            ids = np.flatnonzero(is_new)
            self.value[ids] = self._messages[ids, newest[ids]]
            self._shown[ids] = order[ids, newest[ids]]
        return is_new

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Return the line's state, arrays that lead with the instances."""
        return {name: stored(getattr(self, f"_{name}")) for name in _STATE} | {
            "value": stored(self.value)
        }

    def restore(self, snapshot: Mapping[str, npt.NDArray[Any]]) -> None:
        """Return to a snapshot's state."""
        for name in _STATE:
            restore_stored(getattr(self, f"_{name}"), snapshot[name])
        restore_stored(self.value, snapshot["value"])
        if self._is_random:
            for instance in self._rows[self._sent % DRAWS != 0]:
                self._draw(int(instance))

    def _arrivals(
        self, rows: Ids, sent: npt.NDArray[np.int64], now_ns: int | npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        arrival = np.full(len(rows), now_ns + self._delay_ns, np.int64)
        if not self._is_random:
            return arrival
        index = sent % DRAWS
        for instance in rows[index == 0]:
            self._draw(int(instance))
        draws = self._draws[rows, index]
        arrival += (draws[:, 0] * self._jitter_ns).astype(np.int64)
        arrival[draws[:, 1] < self._dropout] = NEVER
        return arrival

    def _draw(self, instance: int) -> None:
        """Draw the numbers for the block of messages that the next one belongs to."""
        block = int(self._sent[instance]) // DRAWS
        stream = Streams(int(self._seed[instance])).generator(self._purpose, 0, block)
        self._draws[instance] = stream.random((DRAWS, 2))


_STATE = ("messages", "arrival", "order", "shown", "sent", "seed")
