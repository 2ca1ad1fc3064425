"""What a user writes about an event loop; importable without engines and ports' libraries."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from troupe.core.settings import Duration, Settings, UserFile, nanoseconds
from troupe.loop.graph import Execution
from troupe.loop.mqtt_settings import PortSettings
from troupe.loop.settings import ConnectionEntry, RecordSettings


class EventLoopSettings(Settings):
    """What a user writes about an event loop.

    Attributes:
        step: of simulated time between two ticks.
        duration: of a run, in simulated time; default: until the status function ends it.
        functions: files of the nodes and functions between engines.
        execution: whether ``all-nodes`` run, or those only that a result needs which is sent.
        ports: ways to the outside by name.
        connections: delays and the like on the way of packs to and from functions and nodes.
        real_time: how many times as fast as real time the loop is.
        record: which packs a run keeps.
    """

    type: Literal["event"] = "event"
    step: Duration = nanoseconds(10_000_000)
    duration: Duration | None = None
    functions: tuple[UserFile, ...] = ()
    execution: Execution = "all-nodes"
    ports: dict[str, PortSettings] = {}
    connections: tuple[ConnectionEntry, ...] = ()
    real_time: float = Field(1.0, gt=0.0)
    record: RecordSettings = RecordSettings()
