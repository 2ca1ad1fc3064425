"""Connecting to Ray: to a cluster, or to one that starts on this machine."""

from __future__ import annotations

import logging
import os
import signal
import socket
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
from troupe.fleet.local_ray import ONE_THREAD, LocalRay, borrowed

ANSWER_WITHIN_S = 10.0


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
        _started.pop().close()


def node_process() -> int | None:
    """Return the process of the node of the Ray on this machine that was started for this run."""
    place = _started[0].place if _started else borrowed()
    return place.node if place else None


def is_borrowed() -> bool:
    """Return whether this process uses a Ray of this machine that outlives it."""
    return ray.is_initialized() and borrowed() is not None


def _start() -> str:
    """Start Ray on this machine, unless it is lent, and return its address.

    Raises:
        RuntimeError: if it does not start.
    """
    place = borrowed()
    if place is None:
        _started.append(LocalRay())
        place = _started[0].place
    return place.address


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


_started: list[LocalRay] = []
"""The Ray that was started here, if any."""
