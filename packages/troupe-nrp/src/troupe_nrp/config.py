"""What a ``simulation_config.json`` may say."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny
from troupe.core.settings import Settings, UserFile

from troupe_nrp import engine_configs
from troupe_nrp.engine_configs import EngineConfig
from troupe_nrp.seconds import PositiveSeconds, Seconds, seconds

Graph = tuple[UserFile, ...]


class FunctionConfig(Settings):
    """A file with one of the user's functions.

    Attributes:
        Name: for messages.
        FileName: of the file.
        IsActive: whether it is used.
    """

    Name: str
    FileName: UserFile
    IsActive: bool = True


class ExternalProcess(Settings):
    """A program that runs as long as the simulation.

    Attributes:
        ProcCmd: the program.
        ProcStartParams: its arguments.
        ProcEnvParams: of its environment, as "NAME=value".
        LaunchCommand: how it is started.
    """

    ProcCmd: str
    ProcStartParams: tuple[str, ...] = ()
    ProcEnvParams: tuple[Annotated[str, Field(pattern="^[^=]+=")], ...] = ()
    LaunchCommand: engine_configs.LaunchCommand | None = None


class MqttConfig(Settings):
    """An MQTT broker.

    Attributes:
        MQTTBroker: its address, "host:port".
        ClientName: of this client.
    """

    MQTTBroker: str = "localhost:1883"
    ClientName: str = "NRP-core-client"


class EventLoopConfig(Settings):
    """The event loop.

    Attributes:
        Timeout: when it ends; 0: never.
        Timestep: of its clock.
        RealTimeDeltaThres: how late a step may be before a warning.
        LogRTInfo: whether the steps' durations are written to a file.
        UseGlobalClock: whether several event loops share a clock.
        ExecutionMode: which nodes run in a step.
    """

    Timeout: Seconds | None = None
    Timestep: PositiveSeconds | None = None
    RealTimeDeltaThres: Seconds = seconds(0.001)
    LogRTInfo: bool = False
    UseGlobalClock: bool = False
    ExecutionMode: Literal["AllNodes", "OutputDriven"] = "AllNodes"


class SimulationConfig(Settings):
    """A whole experiment; names as NRP-core has them.

    Attributes:
        SimulationName: of the experiment.
        SimulationDescription: for people.
        SimulationLoop: which loop steps the engines.
        SimulationTimeout: simulated time of a run; 0: until something else ends it.
        SimulationTimestep: simulated time of one iteration of the client's; default: the least
            time step of the engines.
        DataPackProcessor: what is between the engines: functions, or a computational graph.
        DataPackPassingPolicy: functions always get copies.
        DataPackDelivery: ``latch`` sends results again at each synchronisation, as NRP-core does,
            ``once`` sends new ones only; a key of Troupe's own.
        ProcessLauncherType: how processes are started.
        EngineConfigs: the engines.
        ExternalProcesses: programs that run beside.
        DataPackProcessingFunctions: files of the functions, in their order.
        StatusFunction: what ends the run, or collects data for the client.
        ComputationalGraph: files of the graph's nodes.
        EventLoop: settings of the event loop.
        MQTTNode: the broker of the graph's MQTT nodes.
        ROSNode: not possible.
        StartROSNode: not possible.
        ConnectROS: not possible.
        ConnectMQTT: the same as MQTTNode.
        EventLoopTimeout: of older configurations.
        EventLoopTimestep: of older configurations.
    """

    SimulationName: str = "simulation"
    SimulationDescription: str = ""
    SimDescription: str = ""
    SimulationLoop: Literal["FTILoop", "EventLoop"] = "FTILoop"
    SimulationTimeout: Seconds = 0
    SimulationTimestep: PositiveSeconds | None = None
    DataPackProcessor: Literal["tf", "cg"] = "tf"
    DataPackPassingPolicy: Literal["value", "reference"] = "reference"
    DataPackDelivery: Literal["latch", "once"] = "latch"
    ProcessLauncherType: Literal["Basic"] = "Basic"
    EngineConfigs: tuple[SerializeAsAny[EngineConfig], ...] = ()
    ExternalProcesses: tuple[ExternalProcess, ...] = ()
    DataPackProcessingFunctions: tuple[FunctionConfig, ...] = ()
    StatusFunction: FunctionConfig | None = None
    ComputationalGraph: Graph = ()
    EventLoop: EventLoopConfig = EventLoopConfig()
    EventLoopTimeout: Seconds | None = None
    EventLoopTimestep: PositiveSeconds | None = None
    MQTTNode: MqttConfig | None = None
    ConnectMQTT: MqttConfig | None = None
    ROSNode: dict[str, Any] | None = None
    ConnectROS: dict[str, Any] | None = None
    StartROSNode: bool = False
