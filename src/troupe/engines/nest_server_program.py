"""A NEST server of the engine's own."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from troupe.core.errors import EngineError, UserError
from troupe.engines.nest_server_client import NestServerClient

STOP_TIMEOUT_S = 10.0
POLL_S = 0.1
# Open MPI would tie each process to the same cores as another program's, with all its threads, and
# have those that wait keep the cores busy
MPI_ENVIRONMENT = {
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "PRTE_MCA_hwloc_default_binding_policy": "none",
    "OMPI_MCA_mpi_yield_when_idle": "1",
}


class NestServerProgram:
    """Runs a NEST server in the foreground on a free port of this machine, until stopped.

    It runs the user's own script, so it is started with scripts enabled and unrestricted, for
    one who has the token only, which is new each time.

    Attributes:
        url: of the server.
        token: to give with each request.
    """

    def __init__(
        self,
        where: str,
        imports: str = "import nest",
        python: Path | None = None,
        mpi_command: Sequence[str] | None = None,
    ) -> None:
        """Start the server.

        Args:
            where: the engine, for messages.
            imports: statements for what scripts can use without importing it.
            python: the interpreter whose NEST is used; default: this one.
            mpi_command: starts a server of several processes, given host and port.

        Raises:
            UserError: if it is not installed.
        """
        folder = str((python or Path(sys.executable)).parent)
        path = os.pathsep.join([folder, os.environ.get("PATH", "")])
        self._where = where
        self.token = secrets.token_urlsafe(24)
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        environment = {
            **os.environ,
            "PATH": path,
            "PYNEST_QUIET": "1",
            "PYTHONWARNINGS": "ignore",
            "PYTHONUNBUFFERED": "1",
            "NEST_SERVER_ACCESS_TOKEN": self.token,
            "NEST_SERVER_DISABLE_AUTH": "false",
            "NEST_SERVER_ENABLE_EXEC_CALL": "true",
            "NEST_SERVER_DISABLE_RESTRICTION": "true",
            "NEST_SERVER_MODULES": imports,
            "NEST_SERVER_LOGFILE": "-",
        }
        if mpi_command is None:
            command = _command(where, folder if python else path, port)
        else:
            command = [*mpi_command, "--host", "127.0.0.1", "--port", str(port)]
            environment = {**MPI_ENVIRONMENT, **environment}
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the program
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.stop = weakref.finalize(self, _stop, self._process, self._output)

    def wait(self, client: NestServerClient, timeout_s: float) -> None:
        """Wait until the server answers.

        Raises:
            EngineError: if it ends, or does not answer in time, with what it said.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            self.check()
            try:
                client.version(timeout_s=5.0)
            except EngineError:
                if time.monotonic() > deadline:
                    raise self._error(f"did not answer within {timeout_s:g} s") from None
                time.sleep(POLL_S)
                continue
            return

    def check(self, patience_s: float = 0.0) -> None:
        """Raise an EngineError if the server has ended, or does so while it is waited for."""
        try:
            code = self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            return
        raise self._error(f"ended with code {code}")

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    def _error(self, what: str) -> EngineError:
        if self._output.closed:
            return EngineError(f"{self._where}: nest-server {what}.")
        self._output.seek(0)
        lines = self._output.read().decode(errors="replace").replace(self.token, "***")
        last = "\n".join(lines.strip().splitlines()[-15:])
        return EngineError(f"{self._where}: nest-server {what}. It said:\n{last}")


def _command(where: str, path: str, port: int) -> list[str]:
    program = shutil.which("nest-server", path=path)
    if program is None:
        raise UserError(
            f"{where}: there is no program 'nest-server' in {path}: pip install 'troupe[nest]'"
        )
    # -t 0: never killed for being silent, as it is during a long advance
    return [program, "start", "-o", "-h", "127.0.0.1", "-p", str(port), "-t", "0"]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _stop(process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
    output.close()
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # the session that was started for it
        process.wait()
