"""Connections that take values at times of their own: every 100 ms, say, 5 ms after the start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Ids
from troupe.core.errors import UserError
from troupe.core.time import format_duration
from troupe.loop.connections import NEVER, ConnectionSettings, Line
from troupe.loop.schedule import Timing
from troupe.loop.stored import restore_stored, stored


@dataclass(frozen=True)
class Sampling:
    """When a connection takes a value: at phase, phase + every, phase + 2 every, ...

    Attributes:
        every_ns: between two samples.
        phase_ns: of the first, less than ``every_ns``.
    """

    every_ns: int
    phase_ns: int


class SampledLine:
    """A line on which values set out only when they are sampled.

    A sample is the newest value that was sent by its time, also if nobody looks at that very time;
    a value that was sampled before is not sampled again. Times count from each instance's reset.
    """

    def __init__(self, line: Line, sampling: Sampling, start_ns: npt.NDArray[np.int64]) -> None:
        """Sample what is sent on an empty line.

        Args:
            line: on which samples travel.
            sampling: when they set out.
            start_ns: time of each instance's last reset, kept current by others.
        """
        self._line = line
        self._every_ns, self._phase_ns = sampling.every_ns, sampling.phase_ns
        self._start_ns = start_ns
        self._newest = np.zeros_like(line.value)
        self._departure = np.full(len(line.value), NEVER, np.int64)

    @property
    def value(self) -> npt.NDArray[Any]:
        """The sample that arrived last, (num_instances, ...)."""
        return self._line.value

    @property
    def has_value(self) -> npt.NDArray[np.bool_]:
        """For which instances any sample has arrived, (N,)."""
        return self._line.has_value

    def reset(self, seeds: Sequence[int], instances: Ids | None = None) -> None:
        """Lose what waits and what is on its way for instances."""
        rows: Any = slice(None) if instances is None else instances
        self._newest[rows], self._departure[rows] = 0, NEVER
        self._line.reset(seeds, instances)

    def send(self, value: npt.NDArray[Any], now_ns: int) -> None:
        """Let a value wait for the next sample, in place of one that nobody has sampled."""
        self._depart(now_ns - 1)
        self._newest[...] = value
        self._departure[:] = now_ns + (self._start_ns + self._phase_ns - now_ns) % self._every_ns

    def deliver(self, now_ns: int) -> npt.NDArray[np.bool_]:
        """Let samples arrive and return for which instances there is a new one, (N,)."""
        self._depart(now_ns)
        return self._line.deliver(now_ns)

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Return the state, arrays that lead with the instances."""
        waiting = {"newest": stored(self._newest), "departure": self._departure.copy()}
        return self._line.snapshot() | waiting

    def restore(self, snapshot: Mapping[str, npt.NDArray[Any]]) -> None:
        """Return to a snapshot's state."""
        restore_stored(self._newest, snapshot["newest"])
        self._departure[...] = snapshot["departure"]
        self._line.restore(snapshot)

    def _depart(self, until_ns: int) -> None:
        """Let the values set out that were to be sampled until a time."""
        ids = np.flatnonzero(self._departure <= until_ns)
        if len(ids):
            self._line.send(self._newest[ids], self._departure[ids], ids)
            self._departure[ids] = NEVER


def sampling_of(
    settings: ConnectionSettings, source: Timing, exchanges: Sequence[Timing], where: str
) -> Sampling:
    """Return when a connection samples.

    Args:
        settings: of the connection.
        source: when the engine that has the pack exchanges it.
        exchanges: when the pack is sent or looked at, one of which a sample must fall on.
        where: the connection, for the message.

    Raises:
        UserError: if values are not there so often, or nothing happens at the phase.
    """
    every_ns, phase_ns = settings.every or source.sync_ns, settings.phase or 0
    if every_ns % source.sync_ns:
        valid = [format_duration(source.sync_ns * k) for k in (1, 2, 3)]
        raise UserError(
            f"{where}: every: {format_duration(every_ns)} is not a multiple of its engine's sync. "
            f"Valid: {', '.join(valid)}, ..."
        )
    times = [
        range(timing.phase_ns % timing.sync_ns, every_ns, timing.sync_ns)
        for timing in exchanges
        if every_ns % timing.sync_ns == 0
    ]
    if not any(phase_ns in of_engine for of_engine in times):
        raise UserError(
            f"{where}: phase: {format_duration(phase_ns)}: no exchange that concerns the pack is "
            f"at that time. Valid with every: {format_duration(every_ns)}: {_first(times)}."
        )
    return Sampling(every_ns, phase_ns)


def _first(times: Sequence[range]) -> str:
    """Return the text of the first few times, and of the last."""
    found = sorted({time for several in times for time in (*several[:4], several[-1])})
    texts = [format_duration(time) for time in found]
    return ", ".join(texts if len(texts) <= 4 else [*texts[:3], "...", texts[-1]])
