"""Who may run engines on a machine: a token, and TLS."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from troupe.core.errors import UserError

TOKEN_VARIABLE = "TROUPE_ENGINE_TOKEN"
TOKEN_FILE_VARIABLE = "TROUPE_ENGINE_TOKEN_FILE"
AUTHORITY_VARIABLE = "TROUPE_ENGINE_CA"


def read_token(file: Path | None = None, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the token, None if there is none.

    Args:
        file: that holds it; default: what the environment names or holds.
        environment: where ``TROUPE_ENGINE_TOKEN`` holds it, or ``TROUPE_ENGINE_TOKEN_FILE`` names
            the file.

    Raises:
        UserError: if the file is missing, empty, or readable by others.
    """
    if file is None and environment.get(TOKEN_VARIABLE):
        return environment[TOKEN_VARIABLE].strip()
    if file is None and environment.get(TOKEN_FILE_VARIABLE):
        file = Path(environment[TOKEN_FILE_VARIABLE])
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
