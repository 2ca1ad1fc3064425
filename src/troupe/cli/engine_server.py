"""``troupe engine-server``: run engines for other machines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from troupe.cli.output import console
from troupe.core.errors import UserError


def engine_server(
    bind: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 for any.")
    ] = "127.0.0.1:50051",
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With the token; default: TROUPE_ENGINE_TOKEN."),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificate (PEM), to serve with TLS.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The certificate's private key (PEM).")
    ] = None,
) -> None:
    """Run engines for experiments on other machines (host: grpc://...), until interrupted."""
    from troupe.engines.host.grpc_server import Certificate, EngineService
    from troupe.engines.host.security import ENGINES, read_file, read_token

    if (tls_cert is None) != (tls_key is None):
        raise UserError("give both --tls-cert and --tls-key, or neither.")
    certificate = None
    if tls_cert is not None and tls_key is not None:
        certificate = Certificate(read_file(tls_cert, "certificate"), read_file(tls_key, "key"))
    service = EngineService(bind, read_token(ENGINES, token_file), certificate)
    console.print(f"serving engines at {service.address}", soft_wrap=True)
    try:
        service.wait()
    except KeyboardInterrupt:
        console.print("stopping")
    finally:
        service.stop()
