"""Connecting to Ray: to a cluster, or to one that starts on this machine."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray._private.authentication.authentication_token_setup import (
    maybe_enable_token_auth_if_token_available,
)
from ray.exceptions import RayError

from troupe.core.errors import UserError

ANSWER_WITHIN_S = 10.0

ENDED_WITHIN_S = 30.0
"""For how long to wait for the processes of a Ray that was started here."""

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""What the processes of workers have in their environment: there is one of them per core."""


def connect(address: str | None) -> bool:
    """Connect to Ray and return whether that is new, so that `disconnect` is due.

    Args:
        address: of a cluster, "host:port"; None for ``RAY_ADDRESS``, or this machine.

    Raises:
        UserError: if nothing answers at the address.
    """
    address = check_address(address)
    if ray.is_initialized():
        return False
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address == "local":
            address = _start()
            _use_token()
        else:
            options["runtime_env"] = {"env_vars": ONE_THREAD}
        with _handler_is_ours():
            ray.init(address=address, **options)
    except (ConnectionError, ValueError, RuntimeError, RayError) as error:
        disconnect()
        raise UserError(f"no Ray cluster can be used at '{address}': {error}") from error
    _keep_token_private()
    return True


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Connect to Ray for a block, unless this process is connected already; see `connect`."""
    is_new = connect(address)
    try:
        yield
    finally:
        if is_new:
            disconnect()


def disconnect() -> None:
    """Disconnect from Ray, and end it with all its processes if it was started here."""
    ray.shutdown()
    while _started:
        _, process = _started.popitem()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(ENDED_WITHIN_S)
        except subprocess.TimeoutExpired:  # what it started ends with it
            process.kill()
            process.wait()
        process.stdout.close()


def started_nodes() -> list[int]:
    """Return the process of the node of the Ray that was started here, if any."""
    return list(_started)


def _start() -> str:
    """Start Ray on this machine and return its address.

    Signals to our process group do not reach it: a run has to be saved before its workers end.

    Raises:
        RuntimeError: if it does not start.
    """
    with tempfile.TemporaryFile(mode="w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "troupe.fleet.local_ray"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=os.environ | ONE_THREAD,
            process_group=0,
        )
        assert process.stdout is not None
        if line := process.stdout.readline():
            about = json.loads(line)
            _started[about["node"]] = process
            return str(about["address"])
        process.wait()
        errors.seek(0)
        raise RuntimeError(errors.read().strip() or f"it ended with status {process.returncode}")


def _use_token() -> None:
    """Authenticate as a Ray that was started here demands; Ray itself would only if told to."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


def _keep_token_private() -> None:
    """Let nobody else read the token with which Ray authenticates; Ray leaves that to the umask."""
    token = Path.home() / ".ray" / "auth_token"
    if token.is_file() and token.stat().st_uid == os.getuid():
        token.chmod(0o600)


def check_address(address: str | None) -> str:
    """Return where to find Ray, having checked that something listens there.

    Ray itself would try for many minutes.

    Args:
        address: of a cluster, "host:port"; None for ``RAY_ADDRESS``, or this machine.

    Raises:
        UserError: if nothing answers at the address.
    """
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if address in ("local", "auto"):
        return address
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise UserError(f"Ray address '{address}': write host:port, e.g. 10.0.0.5:6379.")
    try:
        socket.create_connection((host, int(port)), ANSWER_WITHIN_S).close()
    except OSError as error:
        raise UserError(f"no Ray cluster answers at '{address}': {error}.") from error
    return address


@contextmanager
def _handler_is_ours() -> Iterator[None]:
    """Keep our handler of SIGTERM; Ray would replace it by one that exits."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


_started: dict[int, subprocess.Popen[str]] = {}
"""The Ray that was started here, if any, by the process of its node."""
