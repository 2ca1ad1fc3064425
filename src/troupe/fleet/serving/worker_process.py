"""The process of a worker, seen from the one that started it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from troupe.engines.host.channel import Channel, PeerEnded
from troupe.engines.host.launch import EngineProcess
from troupe.engines.host.messages import Message
from troupe.engines.host.security import FLEETS
from troupe.fleet.local_ray import ONE_THREAD

_ENDING_S = 2.0
_CLOSE_S = 0.5


class WorkerProcess(EngineProcess):
    """A process in a group of its own that steps groups of instances.

    Attributes:
        channel: to it.
    """

    program = Path(__file__).with_name("worker_program.py")

    def __init__(self, start: dict[str, Any]) -> None:
        """Start it.

        Args:
            start: what it is told to begin with; its first answer is the fleet's spec.
        """
        super().__init__()
        self.channel = Channel(self.end, self.is_alive)
        with suppress(PeerEnded):  # whoever receives finds out
            self.channel.send(Message(start))

    def terminate(self) -> None:
        """Ask it to end."""
        if self.is_alive():
            self._signal_group(signal.SIGTERM)

    def close(self) -> None:
        """End it."""
        self.stop(_CLOSE_S if self.is_alive() else 0.0)
        self.channel.close()

    def end_of_life(self) -> str:
        """Return how a process ended that closed its end, and the last that it printed."""
        self.has_ended(_ENDING_S)
        how, printed = self.how_it_ended(), self.last_output()
        return f"{how}. The last it printed:\n{printed}" if printed else how

    def _environment(self) -> dict[str, str]:
        # the token of engine servers stays, since its engines may run there
        return {n: v for n, v in os.environ.items() if n != FLEETS.token} | ONE_THREAD
