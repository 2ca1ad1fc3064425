"""Where the processes that work for a run are, once they have told."""

from __future__ import annotations

import os
import socket
from typing import Any

import ray

Whereabout = tuple[str, int]
"""A host and the id of a process on it."""


def here() -> Whereabout:
    """Return the host and id of this process."""
    return socket.gethostname(), os.getpid()


class Whereabouts:
    """Answers to `here` of Ray actors, by number."""

    def __init__(self) -> None:
        """Know none yet."""
        self._known: dict[int, Any] = {}

    def expect(self, number: int, answer: Any) -> None:
        """Take the reference to an answer, in place of an earlier process of the number."""
        self._known[number] = answer

    def known(self) -> dict[int, Whereabout]:
        """Return the answers that have arrived, by number."""
        found = {}
        for number, answer in sorted(self._known.items()):
            if not isinstance(answer, tuple):
                if not ray.wait([answer], timeout=0)[0]:
                    continue
                try:
                    self._known[number] = answer = ray.get(answer)
                except ray.exceptions.RayError:  # it died before it answered
                    continue
            found[number] = answer
        return found
