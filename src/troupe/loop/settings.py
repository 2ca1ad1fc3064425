"""What a user writes about the loop; importable without engines."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from troupe.core.settings import Duration, Settings, UserFile, nanoseconds
from troupe.loop.connections import ConnectionSettings
from troupe.loop.graph import Execution
from troupe.loop.mqtt_settings import PortSettings


class ConnectionEntry(ConnectionSettings):
    """Settings of one connection: from a pack to the functions that read it, or to a pack.

    Attributes:
        source: the pack that functions read, as "engine.pack"; written ``from``.
        target: or the pack that functions write; written ``to``.
    """

    source: str | None = Field(None, alias="from")
    target: str | None = Field(None, alias="to")

    @model_validator(mode="after")
    def _check_end(self) -> Self:
        if (self.source is None) == (self.target is None):
            raise ValueError("give either 'from' or 'to' with the name of a pack")
        if self.source is not None and self.delivery != "latch":
            raise ValueError(f"delivery: {self.delivery} is for packs 'to' an engine")
        return self


class RecordSettings(Settings):
    """What a run keeps of its datapacks.

    Attributes:
        packs: names as "engine.pack", read or written; "engine.*" for all that an engine offers to
            read; default: all of all engines.
        every: simulated time between two records of a pack at least; default: each
            synchronisation of its engine.
        mcap: whether to write the recording as MCAP too, at the end.
    """

    packs: tuple[str, ...] = ("*",)
    every: Duration | None = None
    mcap: bool = False


class LoopSettings(Settings):
    """What a user writes about any loop.

    Attributes:
        duration: of a run, in simulated time; default: until the status function ends it.
        functions: files of the functions and nodes between engines.
        execution: whether ``all-nodes`` run, or those only that a result needs which is sent.
        ports: ways to the outside by name, for nodes.
        connections: delays and the like on the way of packs to and from functions and nodes.
        record: which packs a run keeps.
    """

    duration: Duration | None = None
    functions: tuple[UserFile, ...] = ()
    execution: Execution = "all-nodes"
    ports: dict[str, PortSettings] = {}
    connections: tuple[ConnectionEntry, ...] = ()
    record: RecordSettings = RecordSettings()


class FixedStepSettings(LoopSettings):
    """What a user writes about a fixed-step loop.

    Attributes:
        step: of simulated time between two looks at the world; engines synchronise as often,
            unless they say otherwise.
        real_time: how many times as fast as real time a run is paced; default: as fast as it goes.
    """

    type: Literal["fixed-step"] = "fixed-step"
    step: Duration = nanoseconds(20_000_000)
    real_time: float | None = Field(None, gt=0.0, allow_inf_nan=False)


class EventLoopSettings(LoopSettings):
    """What a user writes about an event loop.

    Attributes:
        step: of simulated time between two ticks.
        real_time: how many times as fast as real time the loop is.
    """

    type: Literal["event"] = "event"
    step: Duration = nanoseconds(10_000_000)
    real_time: float = Field(1.0, gt=0.0, allow_inf_nan=False)
