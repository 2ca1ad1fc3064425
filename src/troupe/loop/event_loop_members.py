"""One engine of an event loop, which may be late."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from troupe.core.errors import UserError
from troupe.core.time import format_duration
from troupe.engines.base import ConcurrentEngine, Engine
from troupe.loop.members import Member
from troupe.loop.schedule import Timing


@runtime_checkable
class PollableEngine(ConcurrentEngine, Protocol):
    """A concurrent engine that says whether it is done; others are waited for."""

    def poll(self) -> bool:
        """Return at once whether `finish` would not wait, also because it would raise."""


class EventMember:
    """An engine that is started at a tick and looked at when its advance is due.

    It always advances by its own sync: after a late one its simulated time stays behind that of
    the loop, so that an engine that is too slow does not get ever longer advances.

    Attributes:
        name: of the engine.
        engine: itself.
        is_concurrent: whether it advances elsewhere in the meantime.
        num_late: ticks at which its advance should have been over and was still running.
        grace_ns: how late it may be, in real time, because the loop started it late.
    """

    def __init__(self, name: str, engine: Engine, timing: Timing) -> None:
        """Take an idle engine."""
        self.name = name
        self.engine = engine
        self._member = Member(name, engine)
        self._poll = engine.poll if isinstance(engine, PollableEngine) else lambda: True
        self._timing = timing
        self.is_concurrent = self._member.is_concurrent
        self.restart()

    def restart(self) -> None:
        """Return to the start, idle."""
        self.num_late = self._num_advances = 0
        self._due_ns = self.grace_ns = 0
        self._member.forget()

    def start(self, now_ns: int, grace_ns: int) -> None:
        """Let the engine advance by its sync, or to its phase at first."""
        self.grace_ns = grace_ns
        ahead_ns = self._timing.sync_ns if self._num_advances else self._timing.next_ns(0)
        self._due_ns = now_ns + ahead_ns
        self._num_advances += 1
        self._member.start(ahead_ns)

    def is_due(self, now_ns: int) -> bool:
        """Return whether the advance should be over."""
        return now_ns >= self._due_ns

    def is_done(self) -> bool:
        """Return whether nobody would have to wait for its results."""
        return self._member.is_idle or not self.is_concurrent or self._poll()

    def complete(self) -> None:
        """Wait until the engine has advanced by what it was started for."""
        self._member.complete()


def check_timings(timings: Mapping[str, Timing], step_ns: int) -> None:
    """Check that engines exchange packs at ticks.

    Raises:
        UserError: if a sync or phase is no multiple of the step.
    """
    for name, timing in timings.items():
        for key, duration_ns in (("sync", timing.sync_ns), ("phase", timing.phase_ns)):
            if duration_ns % step_ns:
                raise UserError(
                    f"engines.{name}.{key}: {format_duration(duration_ns)} is not a multiple of "
                    f"loop.step ({format_duration(step_ns)}), as an event loop needs."
                )
