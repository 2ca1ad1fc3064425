"""What a configuration may say about each type of engine."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field
from troupe.core.settings import Settings, UserFile
from troupe.engines.base import EngineSettings

from troupe_nrp.engines import settings as engines
from troupe_nrp.seconds import PositiveSeconds, Seconds, seconds

EnvironmentParameter = Annotated[str, Field(pattern="^[^=]+=")]


class LaunchCommand(Settings):
    """How a process is started.

    Attributes:
        LaunchType: ``BasicFork`` for a process of its own, ``EmptyLaunchCommand`` for one that
            somebody else starts.
    """

    LaunchType: Literal["BasicFork", "EmptyLaunchCommand"] = "BasicFork"


class EngineConfig(Settings):
    """What every type of engine has.

    Attributes:
        EngineName: unique in the experiment.
        EngineType: one of the types.
        EngineTimestep: simulated time between two synchronisations.
        EngineCommandTimeout: real time that a step may take; 0: for ever.
        EngineEnvParams: of the process' environment, as "NAME=value".
        EngineLaunchCommand: with BasicFork, a process of its own; default: this process.
        EngineProcStartParams: not possible.
        EngineProcCmd: not possible.
        EngineExtraConfigs: for the script.
    """

    script_keys: ClassVar[bool] = False
    """Whether other keys are the script's own."""

    EngineName: Annotated[str, Field(min_length=1)]
    EngineType: str
    EngineTimestep: PositiveSeconds = seconds(0.01)
    EngineCommandTimeout: Seconds = 0
    EngineEnvParams: tuple[EnvironmentParameter, ...] = ()
    EngineLaunchCommand: LaunchCommand | None = None
    EngineProcStartParams: tuple[str, ...] = ()
    EngineProcCmd: str | None = None
    EngineExtraConfigs: dict[str, Any] = {}

    def settings(self, requested: tuple[str, ...]) -> EngineSettings:
        """Return the settings of the engine.

        Args:
            requested: packs that functions read.
        """
        raise NotImplementedError

    def _common(self, kind: str, requested: tuple[str, ...]) -> dict[str, Any]:
        apart = self.EngineLaunchCommand is not None or self.EngineCommandTimeout > 0
        return {
            "type": kind,
            "requested": requested,
            "environment": dict(pair.split("=", 1) for pair in self.EngineEnvParams),
            "host": "process" if apart or self.EngineEnvParams else "here",
            "timeout": f"{self.EngineCommandTimeout}ns" if self.EngineCommandTimeout > 0 else None,
        }

    def _as_json(self) -> dict[str, Any]:
        """Return the entry as a script sees it, with seconds as numbers."""
        values = self.model_dump(mode="json")
        for key in ("EngineTimestep", "EngineCommandTimeout"):
            values[key] = float(Fraction(values[key], 10**9))
        return values


class JsonServerConfig(EngineConfig):
    """Keys of servers that Troupe does not need; they have no effect.

    Attributes:
        ServerAddress: unused.
        RegistrationServerAddress: unused.
    """

    ServerAddress: str = "localhost:9002"
    RegistrationServerAddress: str = "localhost:9001"


class PythonConfig(JsonServerConfig):
    """A script of the user's, which may have keys of its own.

    Attributes:
        PythonFileName: the file.
        ServerOptions: unused.
        ProtobufPackages: unused: messages are found by their modules.
        ProtobufPluginsPath: unused.
    """

    model_config = ConfigDict(extra="allow")
    script_keys: ClassVar[bool] = True
    kind: ClassVar[str] = "nrp-python-json"

    PythonFileName: UserFile
    ServerOptions: str = ""
    ProtobufPackages: tuple[str, ...] = ()
    ProtobufPluginsPath: str = ""

    def settings(self, requested: tuple[str, ...]) -> EngineSettings:
        cls = {
            "nrp-python-json": engines.PythonJsonSettings,
            "nrp-python-grpc": engines.PythonGrpcSettings,
        }[self.kind]
        common = self._common(self.kind, requested)
        return cls.model_validate(
            {**common, "file": self.PythonFileName, "config": self._as_json()}
        )


class PythonGrpcConfig(PythonConfig):
    """A script that exchanges protobuf messages."""

    kind: ClassVar[str] = "nrp-python-grpc"


class PySimConfig(PythonConfig):
    """A script that steps a simulator.

    Attributes:
        Simulator: which.
        WorldFileName: its model, or the id of an environment.
        Visualizer: whether to show it, where there is a display.
    """

    Simulator: Literal["OpenAI", "Mujoco", "Bullet"]
    WorldFileName: str
    Visualizer: bool = False

    def settings(self, requested: tuple[str, ...]) -> EngineSettings:
        return engines.PySimSettings.model_validate(
            {
                **self._common("nrp-py-sim", requested),
                "file": self.PythonFileName,
                "config": self._as_json(),
                "simulator": self.Simulator,
                "world": self.WorldFileName,
                "visualizer": self.Visualizer,
            }
        )


class NestJsonConfig(JsonServerConfig):
    """A NEST network in a process of its own.

    Attributes:
        NestInitFileName: the script that makes it.
        NestRNGSeed: of NEST's random numbers; 0 for NEST's default.
    """

    NestInitFileName: UserFile
    NestRNGSeed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    def settings(self, requested: tuple[str, ...]) -> EngineSettings:
        return engines.NestJsonSettings.model_validate(
            {
                **self._common("nrp-nest-json", requested),
                "host": "process",
                "file": self.NestInitFileName,
                "rng_seed": self.NestRNGSeed,
            }
        )


class NestServerConfig(EngineConfig):
    """A NEST network in a NEST server.

    Attributes:
        NestInitFileName: the script that makes it, with a dict ``populations``.
        NestRNGSeed: of NEST's random numbers; 0 for NEST's default.
        NestServerHost: of a server that runs already, with EmptyLaunchCommand.
        NestServerPort: of that server.
        MPIProcs: must be 1.
    """

    NestInitFileName: UserFile
    NestRNGSeed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    NestServerHost: str = "localhost"
    NestServerPort: int | None = None
    MPIProcs: Literal[1] = 1

    def settings(self, requested: tuple[str, ...]) -> EngineSettings:
        launch = self.EngineLaunchCommand
        url = None
        if launch is not None and launch.LaunchType == "EmptyLaunchCommand":
            url = f"http://{self.NestServerHost}:{self.NestServerPort or 52425}"
        return engines.NestServerSettings.model_validate(
            {
                **self._common("nrp-nest-server", requested),
                "host": "here",
                "file": self.NestInitFileName,
                "rng_seed": self.NestRNGSeed,
                "url": url,
            }
        )


class Dump(Settings):
    """One datapack that is kept.

    Attributes:
        name: of the pack.
        file: whether it is written to a file.
        network: whether it is published over MQTT.
    """

    name: str
    file: bool = False
    network: bool = False


class DataTransferConfig(JsonServerConfig):
    """Writes datapacks to files.

    Attributes:
        dataDirectory: where to.
        dumps: which.
        MQTTBroker: of streams.
        simulationID: of streams.
        streamDataPackMessage: of streams.
        ProtobufPackages: unused.
        ProtobufPluginsPath: unused.
    """

    dataDirectory: str = "data"
    dumps: tuple[Dump, ...] = ()
    MQTTBroker: str = "localhost:1883"
    simulationID: str = "0"
    streamDataPackMessage: bool = True
    ProtobufPackages: tuple[str, ...] = ()
    ProtobufPluginsPath: str = ""

    def settings(self, requested: tuple[str, ...]) -> EngineSettings:
        return engines.DataTransferSettings.model_validate(
            {
                **self._common("nrp-datatransfer", requested),
                "directory": self.dataDirectory,
                "files": [dump.name for dump in self.dumps if dump.file],
                "streams": [dump.name for dump in self.dumps if dump.network],
                "unused": [d.name for d in self.dumps if not d.file and not d.network],
                "broker": self.MQTTBroker,
                "simulation": self.simulationID,
            }
        )


ENGINE_TYPES: dict[str, type[EngineConfig]] = {
    "python_json": PythonConfig,
    "python_grpc": PythonGrpcConfig,
    "py_sim": PySimConfig,
    "nest_json": NestJsonConfig,
    "nest_server": NestServerConfig,
    "datatransfer_grpc_engine": DataTransferConfig,
}

_INSTEAD_OF_GAZEBO = "describe the robot for MuJoCo (py_sim with Simulator Mujoco) or Bullet"
REFUSED = {
    "gazebo_grpc": _INSTEAD_OF_GAZEBO,
    "gazebo_json": _INSTEAD_OF_GAZEBO,
    "opensim": "convert the model to MuJoCo and use py_sim with Simulator Mujoco",
    "edlut_grpc": "use nest_json, or a python_json engine around a simulator of your own",
    "edlut_json": "use nest_json, or a python_json engine around a simulator of your own",
    "unity_grpc": "use py_sim with Simulator Mujoco or Bullet",
    "spinnaker": "use nest_json, which simulates the same networks",
}
"""Engine types of NRP-core that do not run, with what to do instead."""
