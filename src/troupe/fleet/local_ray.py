"""A Ray of this machine alone, in a process of its own.

Ray forks its processes, and a fork of a process in which threads of JAX or gRPC run may stand still
before it becomes another program. Run as a program, this module has none: it starts Ray, writes a
line of JSON that says where, and another one for each line that it reads: whether all of Ray still
runs. It ends with its standard input, which is when the process that started it ends, however that
happens.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

ENDED_WITHIN_S = 30.0
"""For how long to wait for the processes of a Ray that was started here."""

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""What the processes of workers have in their environment: there is one of them per core."""

LENT = "TROUPE_LOCAL_RAY"
"""The variable in which a process finds the `Place` of a Ray that it may use and is not to end."""


@dataclass(frozen=True)
class Place:
    """Where a Ray is on this machine.

    Attributes:
        address: of its control store, "host:port".
        node: the process of its node.
    """

    address: str
    node: int

    def lent(self) -> dict[str, str]:
        """Return the environment in which other processes find it."""
        return {LENT: json.dumps([self.address, self.node])}


def borrowed() -> Place | None:
    """Return where the Ray is that this process may use, if another process lends it one."""
    text = os.environ.get(LENT)
    return Place(*json.loads(text)) if text else None


class LocalRay:
    """A Ray that this process has started, and ends.

    Attributes:
        place: where it is.
    """

    def __init__(self) -> None:
        """Start it.

        Signals to our process group do not reach it: a run has to be saved before its workers end.

        Raises:
            RuntimeError: if it does not start.
        """
        with tempfile.TemporaryFile(mode="w+") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "troupe.fleet.local_ray"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | ONE_THREAD,
                process_group=0,
            )
            answer = self._answer()
            if not answer:
                self._process.wait()
                errors.seek(0)
                said = errors.read().strip()
                raise RuntimeError(said or f"it ended with status {self._process.returncode}")
            self.place = Place(*answer)

    def is_whole(self) -> bool:
        """Return whether all that belongs to it still runs."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            return bool(self._answer())
        return False

    def close(self) -> None:
        """End it, with all its processes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(ENDED_WITHIN_S)
        except subprocess.TimeoutExpired:  # what it started ends with it
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _answer(self) -> Any:
        """Return the next line that it writes; None if it has ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else None


def main() -> None:
    """Start Ray, say where it is, and answer."""
    import ray
    from ray._private import worker

    ray.init(
        address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
    )
    node: Any = worker._global_node
    (raylet,) = node.all_processes["raylet"]
    _say([ray.get_runtime_context().gcs_address, raylet.process.pid])
    for _ in sys.stdin:
        _say(not node.dead_processes())
    ray.shutdown()


def _say(value: Any) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main()
