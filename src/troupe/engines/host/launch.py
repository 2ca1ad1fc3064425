"""Processes of engines: how they start, how they end, and what they printed."""

from __future__ import annotations

import fcntl
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import cache
from pathlib import Path

from troupe.engines.host.security import ENGINES

CLOSE_S = 3.0
_TERMINATE_S = 1.0
_TAIL_BYTES = 4000
_KEPT_OUTPUT_BYTES = 1_000_000

_Start = tuple[Callable[[], "subprocess.Popen[bytes]"], "Future[subprocess.Popen[bytes]]"]


class EngineProcess:
    """A process in a group of its own, with everything that it starts.

    Attributes:
        end: our end of the socket to it.
        id: of the process and of its group.
    """

    program = Path(__file__).with_name("child.py")

    def __init__(self) -> None:
        """Start it."""
        self._owner = os.getpid()
        self._passed_on = 0
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `stop`
        # appending, so that it may be cut off while it is written
        flags = fcntl.fcntl(self._output, fcntl.F_GETFL)
        fcntl.fcntl(self._output, fcntl.F_SETFL, flags | os.O_APPEND)
        self.end, theirs = socket.socketpair()
        with theirs:
            self._process = _started_by_lasting_thread(lambda: self._start(theirs.fileno()))
        self.id = self._process.pid
        self._stopped = False

    def _start(self, descriptor: int) -> subprocess.Popen[bytes]:
        arguments = [str(descriptor), str(os.getpid()), json.dumps(sys.path)]
        return subprocess.Popen(
            # -P: the program's folder is none to import from
            [sys.executable, "-P", str(self.program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            pass_fds=[descriptor],
            start_new_session=True,
            env=self._environment(),
        )

    def _environment(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name != ENGINES.token}

    def is_alive(self) -> bool:
        """Return whether the process runs."""
        return self._process.poll() is None

    def has_ended(self, within_s: float) -> bool:
        """Wait for the process to end by itself and return whether it did."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(within_s)
        return self._process.returncode is not None

    def kill(self) -> None:
        """End the process and its group at once; `stop` is still to be called."""
        if self._process.returncode is None:
            self._signal_group(signal.SIGKILL)

    def stop(self, grace_s: float) -> None:
        """End the process and its group, in any case; may be called again.

        Args:
            grace_s: to end by itself, before it is told to terminate and then killed.
        """
        # a fork of the owner has a copy of this, but no such child
        if self._stopped or os.getpid() != self._owner:
            return
        self._stopped = True
        if grace_s:
            if not self.has_ended(grace_s):
                self._signal_group(signal.SIGTERM)
                self.has_ended(_TERMINATE_S)
            self.pass_output_on()  # of one that failed, the error tells
        self._signal_group(signal.SIGKILL)
        self._process.wait()
        self._output.close()

    def how_it_ended(self) -> str:
        """Return how a process that has ended did, in words."""
        code = self._process.returncode
        if code is None:
            return "closed its connection and went on"
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"exited with status {code}"

    def last_output(self) -> str:
        """Return the last that the group printed."""
        descriptor = self._output.fileno()
        start = max(0, os.fstat(descriptor).st_size - _TAIL_BYTES)
        return os.pread(descriptor, _TAIL_BYTES, start).decode(errors="replace").strip()

    def pass_output_on(self) -> None:
        """Print what was printed since the last call to our standard error."""
        descriptor = self._output.fileno()
        size = os.fstat(descriptor).st_size
        if size > self._passed_on:
            printed = os.pread(descriptor, size - self._passed_on, self._passed_on)
            sys.stderr.write(printed.decode(errors="replace"))
            sys.stderr.flush()
            self._passed_on = size
        if size > _KEPT_OUTPUT_BYTES:
            os.ftruncate(descriptor, 0)
            self._passed_on = 0

    def _signal_group(self, number: signal.Signals) -> None:
        # nothing of the group may be left, or, on macOS, only what has ended already
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.id, number)


def _started_by_lasting_thread(
    start: Callable[[], subprocess.Popen[bytes]],
) -> subprocess.Popen[bytes]:
    """Start a process from a thread that lasts as long as this process.

    Linux takes the end of the thread that started a process for the end of its parent.
    """
    future: Future[subprocess.Popen[bytes]] = Future()
    _lasting_thread(os.getpid()).put((start, future))
    return future.result()


@cache
def _lasting_thread(process_id: int) -> queue.SimpleQueue[_Start]:
    starts: queue.SimpleQueue[_Start] = queue.SimpleQueue()

    def run() -> None:
        while True:
            start, future = starts.get()
            try:
                future.set_result(start())
            except Exception as error:
                future.set_exception(error)

    threading.Thread(target=run, name="troupe engine starter", daemon=True).start()
    return starts
