"""Learners that wait for nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ray

from troupe.fleet.peers.pool import Pool

LOOK_EVERY_S = 1.0
"""How often to look for learners that are ready to join while none reports."""


class OwnPace:
    """Gives each learner something to do as soon as it is done, and returns reports as they come.

    Attributes:
        pool: the learners.
    """

    def __init__(self, pool: Pool, send: Callable[[int, Any], Any]) -> None:
        """Give nothing to do yet.

        Args:
            pool: the learners.
            send: gives the actor of a number something to do, and returns the reference of it.
        """
        self.pool = pool
        self._send = send
        self._pending: dict[Any, int] = {}
        self._is_new = True

    def next(self) -> tuple[int, Any]:
        """Return the number of the learner that is done first, and what it returned."""
        while True:
            self.pool.admit(everybody=self._is_new)
            self._is_new = False
            busy = set(self._pending.values())
            for number, actor in self.pool.actors.items():
                if number not in busy:
                    self._pending[self._send(number, actor)] = number
            # the one that waits for longest is the first
            ready, _ = ray.wait(list(self._pending), num_returns=1, timeout=LOOK_EVERY_S)
            for reference in ready:
                number = self._pending.pop(reference)
                found = self.pool.gather({number: reference}) if self._is_here(number) else {}
                if number in found:
                    return number, found[number]

    def _is_here(self, number: int) -> bool:
        return number in self.pool.actors
