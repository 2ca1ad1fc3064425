"""What a user writes about engines of NRP-core's types; importable without simulators."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field
from troupe.core.settings import UserFile
from troupe.engines.base import EngineSettings

if TYPE_CHECKING:
    from troupe_nrp.engines.adapter import PartEngine


class NrpEngineSettings(EngineSettings):
    """What every type has.

    Attributes:
        requested: packs to offer for reading; default: all.
        environment: variables to set, where the engine has a process of its own.
    """

    requested: tuple[str, ...] | None = None
    environment: dict[str, str] = {}

    def build(self, name: str, num_instances: int, num_threads: int) -> PartEngine:
        """Start the engine where its process is.

        Raises:
            UserError: if its file cannot be used, or it has no such packs.
        """
        from troupe_nrp.engines.adapter import PartEngine

        os.environ.update(self.environment)
        part, releases_gil = self.part(name)
        return PartEngine(name, part, num_instances, self.requested, releases_gil=releases_gil)

    def part(self, name: str) -> tuple[Any, bool]:
        """Return what the engine is made of, and whether it leaves Python to others."""
        raise NotImplementedError


class PythonJsonSettings(NrpEngineSettings):
    """A script with a class that derives from ``EngineScript``.

    Attributes:
        file: of the script.
        config: that the script sees.
    """

    type: Literal["nrp-python-json"] = "nrp-python-json"
    file: UserFile
    config: dict[str, Any] = {}

    def part(self, name: str) -> tuple[Any, bool]:
        from troupe_nrp.engines.scripts import EngineScript, ScriptPart

        return ScriptPart(self.file, self.config, name, EngineScript), False


class PythonGrpcSettings(NrpEngineSettings):
    """A script with a class that derives from ``GrpcEngineScript``.

    Attributes:
        file: of the script.
        config: that the script sees.
    """

    type: Literal["nrp-python-grpc"] = "nrp-python-grpc"
    file: UserFile
    config: dict[str, Any] = {}

    def part(self, name: str) -> tuple[Any, bool]:
        from troupe_nrp.engines.scripts import GrpcEngineScript, ScriptPart

        return ScriptPart(self.file, self.config, name, GrpcEngineScript), False


class PySimSettings(NrpEngineSettings):
    """A script with a class that derives from ``PySimEngineScript``.

    Attributes:
        file: of the script.
        config: that the script sees.
        simulator: which one it steps.
        world: the simulator's model, or an environment's id.
        visualizer: whether to show it, where there is a display.
    """

    type: Literal["nrp-py-sim"] = "nrp-py-sim"
    file: UserFile
    config: dict[str, Any] = {}
    simulator: Literal["OpenAI", "Mujoco", "Bullet"]
    world: str
    visualizer: bool = False

    def part(self, name: str) -> tuple[Any, bool]:
        from troupe_nrp.engines.py_sim import PySimPart

        return PySimPart(self, name), False


class NestJsonSettings(NrpEngineSettings):
    """A NEST network of a script that registers datapacks.

    Attributes:
        file: of the script.
        rng_seed: of NEST's random numbers; 0 for NEST's default.
    """

    type: Literal["nrp-nest-json"] = "nrp-nest-json"
    file: UserFile
    rng_seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    def part(self, name: str) -> tuple[Any, bool]:
        from troupe_nrp.engines.nest_json import NestJsonPart

        return NestJsonPart(self, name), True


class NestServerSettings(NrpEngineSettings):
    """A NEST network in a NEST server, of a script with a dict ``populations``.

    Attributes:
        file: of the script.
        rng_seed: of NEST's random numbers; 0 for NEST's default.
        url: of a server that runs already; default: start one.
        token_env: environment variable with that server's access token.
    """

    type: Literal["nrp-nest-server"] = "nrp-nest-server"
    file: UserFile
    rng_seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    url: str | None = None
    token_env: str = "NEST_SERVER_ACCESS_TOKEN"

    def part(self, name: str) -> tuple[Any, bool]:
        from troupe_nrp.engines.nest_server import NestServerPart

        return NestServerPart(self, name), True


class DataTransferSettings(NrpEngineSettings):
    """Writes datapacks to files.

    Attributes:
        directory: where to, in a folder named by the time.
        files: packs that are written.
        streams: packs that are published over MQTT.
        unused: packs that are taken and dropped.
        broker: of MQTT, "host:port".
        simulation: part of the topics' names.
    """

    type: Literal["nrp-datatransfer"] = "nrp-datatransfer"
    directory: str = "data"
    files: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    broker: str = "localhost:1883"
    simulation: str = "0"

    def part(self, name: str) -> tuple[Any, bool]:
        from troupe_nrp.engines.datatransfer import DataTransferPart

        return DataTransferPart(self, name), False
