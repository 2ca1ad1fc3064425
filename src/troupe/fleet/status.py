"""A file that tells others, while a run lasts, who works for it and how far it is."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from troupe.fleet.runs import RunDirectory

STATUS = "status.json"
EVERY_S = 0.25


class StatusFile:
    """Writes ``status.json`` of a run from time to time, in a thread of its own."""

    def __init__(self, run: RunDirectory, look: Callable[[], Mapping[str, Any]]) -> None:
        """Begin with the block.

        Args:
            run: that the status is of.
            look: returns it, as plain values.
        """
        self._run, self._look = run, look
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write_often, name="status", daemon=True)

    def __enter__(self) -> StatusFile:
        """Write the first one."""
        self._write()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Write the last one."""
        self._ended.set()
        self._thread.join()
        self._write()

    def _write_often(self) -> None:
        while not self._ended.wait(EVERY_S):
            self._write()

    def _write(self) -> None:
        own = {"process": os.getpid(), "host": socket.gethostname(), "nodes": _nodes()}
        self._run.write_json(STATUS, {**own, **self._look()})


def _nodes() -> list[dict[str, Any]]:
    """Return the process of the Ray node on this machine that was started for the run, if any."""
    if "ray" not in sys.modules:
        return []
    from troupe.fleet.cluster import node_process

    process = node_process()
    return [{"node": 0, "host": socket.gethostname(), "process": process}] if process else []
