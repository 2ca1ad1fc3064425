"""Who may step a fleet from elsewhere: a token, and TLS."""

from __future__ import annotations

import hmac
import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path

import grpc

from troupe.core.errors import UserError
from troupe.engines.host import security

TOKEN_VARIABLE = "TROUPE_TOKEN"
TOKEN_FILE_VARIABLE = "TROUPE_TOKEN_FILE"
AUTHORITY_VARIABLE = "TROUPE_CA"


def read_token(file: Path | None = None, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the token, None if there is none.

    Args:
        file: that holds it; default: what the environment names or holds.
        environment: where ``TROUPE_TOKEN`` holds it, or ``TROUPE_TOKEN_FILE`` names the file.

    Raises:
        UserError: if the file is missing, empty, or readable by others.
    """
    names = {
        security.TOKEN_VARIABLE: TOKEN_VARIABLE,
        security.TOKEN_FILE_VARIABLE: TOKEN_FILE_VARIABLE,
    }
    given = {theirs: environment[own] for theirs, own in names.items() if own in environment}
    return security.read_token(file, given)


def authorise(context: grpc.ServicerContext, token: str | None) -> None:
    """End a call that does not show the token."""
    if token is None:
        return
    given = str(dict(context.invocation_metadata()).get("authorization", ""))
    if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        what = "it is another one" if given else "there is none"
        context.abort(grpc.StatusCode.UNAUTHENTICATED, what)


def check_reach(host: str, token: str | None) -> None:
    """Check that others can connect with a token only.

    Raises:
        UserError: if they could without.
    """
    if token is None and not _is_loopback(host):
        raise UserError(
            f"'{host}' can be reached by others: give them a token to show "
            f"({TOKEN_VARIABLE} or --token-file)."
        )


def open_channel(scheme: str, address: str, options: tuple[tuple[str, int], ...]) -> grpc.Channel:
    """Return a channel, with TLS if the scheme is ``grpcs``.

    Raises:
        UserError: if the file of the certificate authority cannot be read.
    """
    if scheme == "grpc":
        return grpc.insecure_channel(address, options)
    authority = os.environ.get(AUTHORITY_VARIABLE)
    certificates = None
    if authority:
        certificates = security.read_file(Path(authority), "certificate authority's")
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(certificates), options)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
