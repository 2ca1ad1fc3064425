"""Connecting to Ray: to a cluster, or to one that starts on this machine."""

from __future__ import annotations

import os
import signal
import socket
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from troupe.core.errors import UserError

ANSWER_WITHIN_S = 10.0


def connect(address: str | None) -> bool:
    """Connect to Ray and return whether that is new.

    Args:
        address: of a cluster, "host:port"; None for ``RAY_ADDRESS``, or this machine.

    Raises:
        UserError: if nothing answers at the address.
    """
    address = check_address(address)
    if ray.is_initialized():
        return False
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address == "local":
        options |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    environment = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    options["runtime_env"] = {"env_vars": environment}
    try:
        with _signals_are_ours(), warnings.catch_warnings():
            # what Ray forks becomes another program at once, so threads of JAX do not matter
            warnings.filterwarnings("ignore", message="os.fork", category=RuntimeWarning)
            _start(address, options)
    except (ConnectionError, ValueError, RuntimeError, RayError) as error:
        raise UserError(f"no Ray cluster can be used at '{address}': {error}") from error
    _keep_token_private()
    return True


def _start(address: str, options: Mapping[str, Any]) -> None:
    """Start Ray, once more if one of its own processes did not come up in time.

    That happens on a machine that is very busy, and where gRPC has threads in this process.
    """
    try:
        ray.init(address=address, **options)
    except RuntimeError as error:
        if address != "local" or "Timed out" not in str(error):
            raise
        ray.init(address=address, **options)


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
def _signals_are_ours() -> Iterator[None]:
    """Keep SIGTERM and its handler for us while Ray starts.

    Ray would replace the handler by one that exits. A signal that is sent to our process group
    must not end Ray's processes before the run has been saved, so they get groups of their own.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    _starting.set()
    try:
        yield
    finally:
        _starting.clear()
        signal.signal(signal.SIGTERM, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _detach() -> None:
    """Give a process that has just been forked a group and SIGTERM of its own, if it is Ray's."""
    if _starting.is_set():
        os.setpgid(0, 0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


_starting = threading.Event()
os.register_at_fork(after_in_child=_detach)
