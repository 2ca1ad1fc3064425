"""Keeping the policy lag of what is learned from within a bound."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

QUANTILE = 0.95
"""Share of a worker's steps that are to be within the bound."""

IN_FLIGHT = 2
"""Fragments that a worker has been asked for, so that it never waits for the next request."""

LENGTHEN = 1.25
RECENT = 512
"""Steps of a worker over which its lag is judged."""


class LagController:
    """Chooses how long the fragments of each worker are, and how many it is asked for ahead.

    A step waits for the rest of its fragment, and for what was asked for before. So a worker
    whose steps come too late gets shorter fragments, in proportion, down to single steps; then it
    is asked for one fragment at a time. One far within the bound gets longer ones again, up to the
    length that the experiment names.

    Attributes:
        longest: steps of each instance in a fragment, at most.
        changes: how often a length or number was changed.
    """

    def __init__(self, num_workers: int, longest: int, max_lag: int) -> None:
        """Begin with the longest fragments.

        Args:
            num_workers: workers to control.
            longest: steps of each instance in a fragment, at most.
            max_lag: versions by which most steps may be behind when they are learned from.
        """
        self.changes = 0
        self.longest, self._max_lag = longest, max_lag
        self._steps = [longest] * num_workers
        self._in_flight = [IN_FLIGHT] * num_workers
        self._recent: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)] * num_workers
        self._ignored = [0] * num_workers

    def steps(self, worker: int) -> int:
        """Return how many steps of each instance the worker's next fragment is to have."""
        return self._steps[worker]

    def in_flight(self, worker: int) -> int:
        """Return how many fragments the worker may be asked for at a time."""
        return self._in_flight[worker]

    def observe(self, worker: int, lag: npt.NDArray[np.int64]) -> None:
        """Note the lag of a worker's steps as they are learned from, and adapt.

        Args:
            worker: that sampled them.
            lag: of each step, in policy versions.
        """
        skipped = min(self._ignored[worker], len(lag))  # asked for before the last change
        self._ignored[worker] -= skipped
        recent = np.concatenate([self._recent[worker], lag[skipped:]])[-RECENT:]
        self._recent[worker] = recent
        if not len(recent):
            return
        late = float(np.quantile(recent, QUANTILE))
        if late > self._max_lag:
            self._hurry(worker, late, len(lag))
        elif late < self._max_lag / 2 and len(recent) == RECENT:
            self._relax(worker, len(lag))

    def report(self, worker: int) -> dict[str, Any]:
        """Return what holds for a worker now."""
        return {"fragment": self._steps[worker], "in_flight": self._in_flight[worker]}

    def _hurry(self, worker: int, late: float, num_steps: int) -> None:
        shorter = max(1, math.floor(self._steps[worker] * self._max_lag / (late + 1)))
        if shorter < self._steps[worker]:
            self._change(worker, shorter, IN_FLIGHT, num_steps)
        elif self._in_flight[worker] > 1:
            self._change(worker, self._steps[worker], 1, num_steps)

    def _relax(self, worker: int, num_steps: int) -> None:
        if self._in_flight[worker] < IN_FLIGHT:
            self._change(worker, self._steps[worker], IN_FLIGHT, num_steps)
        elif self._steps[worker] < self.longest:
            longer = min(self.longest, math.ceil(self._steps[worker] * LENGTHEN))
            self._change(worker, longer, IN_FLIGHT, num_steps)

    def _change(self, worker: int, steps: int, in_flight: int, num_steps: int) -> None:
        self._steps[worker], self._in_flight[worker] = steps, in_flight
        self._recent[worker] = np.empty(0, np.int64)
        self._ignored[worker] = IN_FLIGHT * num_steps
        self.changes += 1
