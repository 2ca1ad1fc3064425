"""``troupe serve``: give models elsewhere the instances of an experiment."""

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
from troupe.core.time import NANOSECONDS, parse_duration


def serve(
    source: Annotated[
        str, typer.Argument(metavar="EXPERIMENT", help="A catalog name or a YAML file.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", "-o", metavar="KEY=VALUE", help="Override a setting."),
    ] = None,
    instances: Annotated[
        int | None, typer.Option(help="Of each client; default: fleet.instances.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes that step a client's instances; default: fleet.workers."),
    ] = None,
    group: Annotated[
        int | None,
        typer.Option(help="Instances that step together; default: a worker's, or 1 if slow."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The root seed of clients without one.")] = None,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen at; 0 for any.")] = 50052,
    clients: Annotated[int, typer.Option(help="That are served at the same time, at most.")] = 1,
    keep: Annotated[
        str, typer.Option(help="How long instances wait for a client whose connection is lost.")
    ] = "60s",
    token_file: Annotated[Path | None, token_option("TROUPE_TOKEN")] = None,
    tls_cert: TlsCertificate = None,
    tls_key: TlsKey = None,
) -> None:
    """Give models elsewhere the instances of an experiment (troupe.connect), until interrupted."""
    from troupe.engines.host.security import FLEETS, read_token
    from troupe.fleet.serving.plan import read_experiment
    from troupe.fleet.serving.service import FleetService

    certificate = read_certificate(tls_cert, tls_key)
    experiment = read_experiment(source, overrides or [], instances, workers)
    token = read_token(FLEETS, token_file)
    service = FleetService(
        experiment,
        f"{host}:{port}",
        group=group,
        seed=seed,
        token=token,
        certificate=certificate,
        max_clients=clients,
        keep_s=parse_duration(keep) / NANOSECONDS["s"],
    )
    fleet = experiment.fleet
    stepped = f"{fleet.workers} processes" if fleet.workers else "this process"
    console.print(
        f"serving {fleet.instances} instances of {experiment.name}, stepped by {stepped}, "
        f"at {service.address}",
        soft_wrap=True,
    )
    needed = ", with the token in TROUPE_TOKEN" if token is not None else ""
    console.print(f"connect{needed}: fleet = troupe.connect('{service.address}')", soft_wrap=True)
    serve_until_interrupted(service)
