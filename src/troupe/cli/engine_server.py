"""``troupe engine-server``: run engines for other machines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from troupe.cli.output import console
from troupe.cli.service import (
    TlsCertificate,
    TlsKey,
    read_certificate,
    serve_until_interrupted,
    token_option,
)


def engine_server(
    bind: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 for any.")
    ] = "127.0.0.1:50051",
    token_file: Annotated[Path | None, token_option("TROUPE_ENGINE_TOKEN")] = None,
    tls_cert: TlsCertificate = None,
    tls_key: TlsKey = None,
) -> None:
    """Run engines for experiments on other machines (host: grpc://...), until interrupted."""
    from troupe.engines.host.grpc_server import EngineService
    from troupe.engines.host.security import ENGINES, read_token

    certificate = read_certificate(tls_cert, tls_key)
    service = EngineService(bind, read_token(ENGINES, token_file), certificate)
    console.print(f"serving engines at {service.address}", soft_wrap=True)
    serve_until_interrupted(service)
