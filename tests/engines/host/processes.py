"""What tests ask of processes."""

import time
from pathlib import Path

from troupe.engines.base import Engine


def ids_of(engine: Engine) -> list[int]:
    """Return the ids of the odd engine's process and of the program that it started."""
    return [int(pid) for pid in engine.read("pids")[0] if pid]


def runs(pid: int) -> bool:
    """Return whether a process runs; one that only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def end(pids: list[int], within_s: float = 20.0) -> bool:
    """Wait for processes to end and return whether they all did."""
    until = time.monotonic() + within_s
    while any(runs(pid) for pid in pids):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
