"""When engines synchronise: an exact clock of whole nanoseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from troupe.core.errors import UserError
from troupe.core.time import format_duration


@dataclass(frozen=True)
class Timing:
    """When an engine exchanges packs with the loop: at 0, phase, phase + sync, phase + 2 sync, ...

    Attributes:
        sync_ns: between two exchanges.
        phase_ns: of the first exchange after the start; 0 for one sync later.
    """

    sync_ns: int
    phase_ns: int = 0

    def next_ns(self, now_ns: int) -> int:
        """Return the first exchange after a time."""
        since = now_ns - self.phase_ns
        return self.phase_ns if since < 0 else now_ns + self.sync_ns - since % self.sync_ns


class Schedule:
    """The exchanges of all engines in order.

    Attributes:
        now_ns: time of the last exchange.
        due: indices of the engines that exchange now.
    """

    def __init__(self, timings: Sequence[Timing]) -> None:
        """Start at time 0, when all engines exchange."""
        self._timings = tuple(timings)
        self._all = tuple(range(len(timings)))
        self._is_uniform = len(set(timings)) == 1 and not timings[0].phase_ns
        self._next = [0] * len(timings)
        self.restart()

    def restart(self) -> None:
        """Return to time 0."""
        self.set(0)
        self.due = self._all

    def set(self, now_ns: int) -> None:
        """Go to a time at which all engines exchange, or all have the same exchanges ahead."""
        self.now_ns = now_ns
        self._next = [timing.next_ns(now_ns) for timing in self._timings]
        self.due = tuple(i for i in self._all if self.is_due(i, now_ns))

    def is_due(self, index: int, now_ns: int) -> bool:
        """Return whether an engine exchanges at a time."""
        timing = self._timings[index]
        since = now_ns - timing.phase_ns
        return now_ns == 0 or (since >= 0 and since % timing.sync_ns == 0)

    def following(self, index: int) -> int:
        """Return the time of an engine's next exchange."""
        return self._next[index]

    def peek(self) -> int:
        """Return the time of the next exchange of any engine."""
        return self._next[0] if self._is_uniform else min(self._next)

    def advance(self) -> None:
        """Go to the next exchange."""
        self.now_ns = now = self.peek()
        if self._is_uniform:
            self._next = [now + self._timings[0].sync_ns] * len(self._next)
            return
        self.due = tuple(i for i in self._all if self._next[i] == now)
        for i in self.due:
            self._next[i] = now + self._timings[i].sync_ns


def check_timing(
    name: str, timing: Timing, timestep_ns: Fraction, step_ns: int, *, episodes: bool
) -> None:
    """Check that an engine can exchange packs when it is to.

    Args:
        name: of the engine.
        timing: that it is to have.
        timestep_ns: of its inner steps.
        step_ns: of the loop.
        episodes: whether instances are reset between two steps of the loop.

    Raises:
        UserError: if its inner step does not divide its sync, or the sync the step of a task.
    """
    for key, duration_ns in (("sync", timing.sync_ns), ("phase", timing.phase_ns)):
        # a step such as 1/240 s divides no whole number of nanoseconds and is counted exactly
        if timestep_ns.denominator == 1 and duration_ns % timestep_ns:
            raise UserError(
                f"engines.{name}.{key}: {format_duration(duration_ns)} is not a multiple of the "
                f"engine's time step of {format_duration(int(timestep_ns))}."
            )
    if episodes and (step_ns % timing.sync_ns or timing.phase_ns):
        raise UserError(
            f"engines.{name}.sync: with a task, loop.step ({format_duration(step_ns)}) must be a "
            f"multiple of it, without a phase, not {format_duration(timing.sync_ns)}."
        )
