"""Training that begins again by itself where it stood, whatever it died of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Self

from troupe.core.errors import UserError
from troupe.fleet.journal import Journal
from troupe.fleet.local_ray import LocalRay
from troupe.fleet.runs import RunDirectory
from troupe.fleet.sweep import SWEEP_FILE

DONE, FAILED, USER_ERROR, INTERRUPTED = 0, 1, 2, 130
RESTARTS_WITHOUT_PROGRESS = 3
ENDS_WITHIN_S = 1.5
"""How long what a dead training process leaves behind has to end by itself."""


KEEP_COMPILED = {
    "JAX_COMPILATION_CACHE_MAX_SIZE": str(2**30),  # with which JAX locks it
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
"""JAX's settings with which all that is compiled is kept in a directory."""


def supervise(
    first: Sequence[str],
    again: Sequence[str],
    out: Path,
    report: Callable[[str], None],
    *,
    lends_ray: bool = False,
) -> int:
    """Run ``troupe train`` in a process of its own until it is done, and return its exit status.

    One that dies, of a signal, of a lost Ray head or of any error in mid-run, is started again
    and goes on from its newest checkpoint. What the user got wrong, and an interruption, end it;
    so do several deaths in a row between which nothing was learned or arrived. What it compiled
    is kept for the next start, and so are Ray of this machine and the actors on it.

    Args:
        first: arguments of ``troupe`` for the first start.
        again: arguments with which it resumes.
        out: the run directory that both name.
        report: called with a line for each restart.
        lends_ray: whether to start a Ray on this machine for it, which outlives it.

    Raises:
        UserError: if Ray does not start.
    """
    with tempfile.TemporaryDirectory(prefix="troupe-") as compiled, _Lender() as lender:
        cache = {"JAX_COMPILATION_CACHE_DIR": compiled, **KEEP_COMPILED}
        environment = {**cache, **os.environ}
        arguments, deaths, reached, replaced = first, 0, _reached(out), _begun(out)
        while True:
            ray = lender.lent() if lends_ray else {}
            child = _Child([sys.executable, "-m", "troupe", *arguments], environment | ray)
            status = child.wait()
            if status in (DONE, USER_ERROR):
                return status
            if status == INTERRUPTED or child.is_interrupted:
                # also if the signal came before the process could handle it
                return INTERRUPTED
            before, reached = reached, _reached(out)
            deaths = 1 if reached != before else deaths + 1
            if deaths > RESTARTS_WITHOUT_PROGRESS:
                report(f"died {deaths} times in a row at step {reached}: giving up")
                return FAILED
            report(f"died of {_described(status)} at step {reached}; goes on from there")
            if _begun(out) not in (None, replaced):
                arguments = again


class _Lender:
    """Has a Ray of this machine for others, and starts another one if it dies."""

    def __init__(self) -> None:
        self._ray: LocalRay | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._ray is not None:
            self._ray.close()

    def lent(self) -> dict[str, str]:
        """Return the environment in which a process finds it."""
        if self._ray is not None and not self._ray.is_whole():
            self._ray.close()
            self._ray = None
        if self._ray is None:
            try:
                self._ray = LocalRay()
            except RuntimeError as error:
                raise UserError(f"Ray cannot be started on this machine: {error}") from error
        return self._ray.place.lent()


class _Child:
    """A process in a session of its own, with all that it starts.

    Attributes:
        is_interrupted: whether Ctrl-C or SIGTERM reached this process and was handed on.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.is_interrupted = False
        # Ctrl-C on the terminal does not reach it by itself, but through this process, once
        self._process = subprocess.Popen(command, start_new_session=True, env=environment)

    def wait(self) -> int:
        """Hand on the signals that reach this process until it ends; return its exit status."""
        handled = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, self._hand_on) for number in handled]
        try:
            return self._process.wait()
        finally:
            self._end_rest()
            for number, handler in zip(handled, before, strict=True):
                signal.signal(number, handler)

    def _hand_on(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.is_interrupted = True
        self._process.send_signal(number)

    def _end_rest(self) -> None:
        """End what it started and left behind: not every engine sees that its process died."""
        deadline = time.monotonic() + ENDS_WITHIN_S
        number = signal.SIGTERM
        while rest := _session(self._process.pid):
            if time.monotonic() > deadline:
                number = signal.SIGKILL
            for process in rest:
                with suppress(ProcessLookupError):
                    os.kill(process, number)
            time.sleep(0.1)


def _session(leader: int) -> list[int]:
    """Return the processes of a session, whose number stays taken as long as there are any."""
    listed = subprocess.run(["ps", "-A", "-o", "pid="], capture_output=True, text=True, check=True)
    found = []
    for process in map(int, listed.stdout.split()):
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(process) == leader:
                found.append(process)
    return found


def _begun(out: Path) -> tuple[int, int] | None:
    """Return by what to know a run, or sweep, that has begun in a directory; None before."""
    for marker in ("config.yaml", SWEEP_FILE):
        with suppress(FileNotFoundError):
            found = (out / marker).stat()
            return found.st_ino, found.st_mtime_ns
    return None


def _reached(out: Path) -> int:
    """Return how many steps of a run have arrived, or are in its newest checkpoint."""
    if not (out / "config.yaml").is_file():
        return 0
    run = RunDirectory.open(out)
    saved = int(run.latest_checkpoint().name) if run.has_checkpoint() else 0
    return Journal(out / "journal", saved).num_steps + saved


def _described(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"an error (exit status {status})"
