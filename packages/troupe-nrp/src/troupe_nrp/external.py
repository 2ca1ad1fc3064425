"""Programs that run beside a simulation."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress

from troupe.core.errors import EngineError, UserError

from troupe_nrp.config import ExternalProcess

STOP_S = 3.0
TAIL_BYTES = 4000


class ExternalPrograms:
    """Starts programs, notices when one ends, and ends them all."""

    def __init__(self, entries: Sequence[ExternalProcess]) -> None:
        """Start the programs, in order.

        Raises:
            UserError: if one cannot be started.
        """
        self._programs: list[_Program] = []
        try:
            for entry in entries:
                self._programs.append(_Program(entry))
        except BaseException:
            self.stop()
            raise

    def check(self) -> None:
        """Raise an EngineError if a program has failed; one may end with status 0."""
        for program in self._programs:
            program.check()

    def stop(self) -> None:
        """End the programs; may be called again."""
        for program in reversed(self._programs):
            program.stop()
        self._programs.clear()


class _Program:
    def __init__(self, entry: ExternalProcess) -> None:
        self._name = entry.ProcCmd
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `stop`
        environment = dict(pair.split("=", 1) for pair in entry.ProcEnvParams)
        try:
            self._process = subprocess.Popen(
                [entry.ProcCmd, *entry.ProcStartParams],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            self._output.close()
            raise UserError(
                f"ExternalProcesses: '{entry.ProcCmd}' cannot be started: {error.strerror}."
            ) from error

    def check(self) -> None:
        code = self._process.poll()
        if code:
            how = (
                f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
            )
            size = os.fstat(self._output.fileno()).st_size
            last = os.pread(self._output.fileno(), TAIL_BYTES, max(0, size - TAIL_BYTES))
            said = last.decode(errors="replace").strip()
            raise EngineError(
                f"external process '{self._name}' {how}."
                + (f" The last it printed:\n{said}" if said else " It printed nothing.")
            )

    def stop(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        # what it started may ignore the first signal
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._output.close()
