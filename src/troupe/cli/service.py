"""What the commands that serve others share: their options, and waiting for the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from troupe.cli.output import console
from troupe.core.errors import UserError

if TYPE_CHECKING:
    from troupe.engines.host.grpc_server import Certificate

TlsCertificate = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Certificate (PEM), to serve with TLS.")
]
TlsKey = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The certificate's private key (PEM).")
]


class Service(Protocol):
    """What serves others until it is stopped."""

    def wait(self) -> None:
        """Serve on."""

    def stop(self) -> None:
        """Serve no more."""


def token_option(variable: str) -> Any:
    """Return the option for a file with the token that an environment variable else has."""
    return typer.Option(metavar="FILE", help=f"With the token; default: {variable}.")


def serve_until_interrupted(service: Service) -> None:
    """Serve until Ctrl-C."""
    try:
        service.wait()
    except KeyboardInterrupt:
        console.print("stopping")
    finally:
        service.stop()


def read_certificate(certificate: Path | None, key: Path | None) -> Certificate | None:
    """Return what the files hold, None if none are given.

    Raises:
        UserError: if only one is given, or one cannot be read.
    """
    from troupe.engines.host.grpc_server import Certificate
    from troupe.engines.host.security import read_file

    if (certificate is None) != (key is None):
        raise UserError("give both --tls-cert and --tls-key, or neither.")
    if certificate is None or key is None:
        return None
    return Certificate(read_file(certificate, "certificate"), read_file(key, "key"))
