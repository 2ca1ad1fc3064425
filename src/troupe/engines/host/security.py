"""Who may use what a machine serves: a token, and TLS."""

from __future__ import annotations

import ipaddress
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from troupe.core.errors import UserError


@dataclass(frozen=True)
class Access:
    """Names of the environment variables with which both ends say who may.

    Attributes:
        token: holds the token.
        token_file: names the file that holds it.
        authority: names the file of the certificate authority, for clients.
    """

    token: str
    token_file: str
    authority: str


ENGINES = Access("TROUPE_ENGINE_TOKEN", "TROUPE_ENGINE_TOKEN_FILE", "TROUPE_ENGINE_CA")
FLEETS = Access("TROUPE_TOKEN", "TROUPE_TOKEN_FILE", "TROUPE_CA")


def read_token(
    access: Access, file: Path | None = None, environment: Mapping[str, str] = os.environ
) -> str | None:
    """Return the token, None if there is none.

    Args:
        access: whose variables count.
        file: that holds it; default: what the environment names or holds.
        environment: of the process.

    Raises:
        UserError: if the file is missing, empty, or readable by others.
    """
    if file is None and environment.get(access.token):
        return environment[access.token].strip()
    if file is None and environment.get(access.token_file):
        file = Path(environment[access.token_file])
    if file is None:
        return None
    token = read_file(file, "token").decode().strip()
    if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UserError(f"token file '{file}' can be read by others: chmod 600 '{file}'.")
    if not token:
        raise UserError(f"token file '{file}' is empty.")
    return token


def read_file(file: Path, kind: str) -> bytes:
    """Return the content of a file.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"{kind} file '{file}' cannot be read: {error.strerror}.") from error


def check_reach(access: Access, bind: str, token: str | None) -> None:
    """Check that others can connect with a token only.

    Args:
        access: whose variables count.
        bind: where a server is to listen, "host:port".
        token: that clients have to show.

    Raises:
        UserError: if they could without.
    """
    if token is None and not _is_loopback(bind.rpartition(":")[0]):
        raise UserError(
            f"'{bind}' can be reached by others: give them a token to show "
            f"({access.token} or --token-file)."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
