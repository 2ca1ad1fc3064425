import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from troupe.fleet.serving import Fleet, connect
from troupe.fleet.serving.plan import read_experiment
from troupe.fleet.serving.service import FleetService

if (folder := str(Path(__file__).parent)) not in sys.path:
    sys.path.append(folder)

from fleets import SHORT, Proxy


@pytest.fixture
def open_fleet() -> Iterator[Callable[..., Fleet]]:
    """Open fleets that are closed after the test."""
    opened: list[Fleet] = []

    def open_one(source: str = "scara-reach", **options: Any) -> Fleet:
        if source == "scara-reach":
            options = {"instances": 6, "seed": 3, "overrides": SHORT, **options}
        opened.append(connect(source, **options))
        return opened[-1]

    yield open_one
    for fleet in opened:
        fleet.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., FleetService]]:
    """Serve six instances, until the test is over."""
    services: list[FleetService] = []

    def serve(
        overrides: Sequence[str] = SHORT, *, workers: int = 0, instances: int = 6, **options: Any
    ) -> FleetService:
        experiment = read_experiment("scara-reach", overrides, instances, workers)
        service = FleetService(experiment, "127.0.0.1:0", **{"seed": 3, **options})
        services.append(service)
        return service

    yield serve
    for service in services:
        service.stop()


@pytest.fixture
def proxy() -> Iterator[Callable[[str], Proxy]]:
    """Put proxies before servers."""
    made: list[Proxy] = []

    def make(url: str) -> Proxy:
        made.append(Proxy(url))
        return made[-1]

    yield make
    for one in made:
        one.close()
