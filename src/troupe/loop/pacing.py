"""Real time: when a moment of simulated time is due, and how late it was."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

LATE_NS = 1_000_000
"""A deadline counts as missed when it is met more than this late."""


class Pacing:
    """Holds simulated time to a multiple of real time, with deadlines from one start, so no drift.

    Attributes:
        factor: simulated time over real time.
        sleep: lets a real time pass, in seconds.
    """

    def __init__(
        self,
        factor: float,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare; time starts with the first deadline."""
        self.factor = factor
        self._clock_ns = clock_ns
        self.sleep = sleep
        self.restart()

    def restart(self) -> None:
        """Let time start with the next deadline, and forget those that were."""
        self._start_ns: int | None = None
        self._lateness_ns: list[int] = []

    def wait(self, simulated_ns: int) -> int:
        """Sleep until a moment of simulated time is due, and return how many ns late it is."""
        late_ns = self.lateness_ns(simulated_ns)
        if late_ns < 0:
            self.sleep(-late_ns * 1e-9)
            late_ns = max(0, self.lateness_ns(simulated_ns))
        self._lateness_ns.append(late_ns)
        return late_ns

    def lateness_ns(self, simulated_ns: int) -> int:
        """Return how long ago a moment of simulated time was due, negative if it is to come."""
        now_ns = self._clock_ns()
        if self._start_ns is None:
            self._start_ns = now_ns - round(simulated_ns / self.factor)
        return now_ns - self._start_ns - round(simulated_ns / self.factor)

    def statistics(self) -> dict[str, float]:
        """Return how many deadlines there were, how many were missed, and the lateness in ms."""
        late = np.asarray(self._lateness_ns or [0])
        return {
            "real_time_factor": self.factor,
            "deadlines": len(self._lateness_ns),
            "missed": int((late > LATE_NS).sum()),
            "late_ms_mean": float(late.mean() * 1e-6),
            "late_ms_p99": float(np.quantile(late, 0.99) * 1e-6),
            "late_ms_max": float(late.max() * 1e-6),
        }
