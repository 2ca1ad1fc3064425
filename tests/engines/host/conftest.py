import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from troupe.engines.base import Engine, EngineSettings
from troupe.engines.host import HostedEngine, open_engine
from troupe.engines.host.grpc_server import EngineService

# where an engine's process finds the odd engine, as it has this path too
if (folder := str(Path(__file__).parent)) not in sys.path:
    sys.path.append(folder)

Open = Callable[..., Any]


@pytest.fixture(scope="session")
def service() -> Iterator[EngineService]:
    service = EngineService("127.0.0.1:0")
    yield service
    service.stop()


@pytest.fixture
def open_odd() -> Iterator[Callable[..., HostedEngine]]:
    """Open odd engines that are closed after the test."""
    from odd_engine import OddSettings

    opened: list[Engine] = []

    def open_one(num_instances: int = 3, num_threads: int = 1, **settings: Any) -> Any:
        engine = open_engine(
            OddSettings.model_validate({"host": "process", **settings}),
            "odd",
            num_instances,
            num_threads,
        )
        opened.append(engine)
        return engine

    yield open_one
    for engine in opened:
        engine.close()


@pytest.fixture
def odd_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the service of this process offer the odd engine, as an entry point would."""
    from odd_engine import OddSettings

    from troupe.core import plugins

    load = plugins.load

    def load_or_odd(group: str, name: str, where: str = "") -> type[EngineSettings]:
        return OddSettings if name == "odd" else load(group, name, where)

    monkeypatch.setattr(plugins, "load", load_or_odd)
