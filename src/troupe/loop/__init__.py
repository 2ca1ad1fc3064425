"""Loops: what steps engines together on one clock.

Enters: engines, the user's functions and the loop's settings. Leaves: a `World` of all their
datapacks, advanced in steps of simulated time. `functions` is what users write between engines and
`nodes` what they write for a graph; `fixed_step` the loop in which every engine that is due is
waited for, `event_loop` the one in soft real time; `ports` the way to the outside. `wiring` binds
functions to packs, `connections` delays and drops on the way, `sampling` takes values at times of
a connection's own, `schedule` is the clock.
"""

from troupe.loop.connections import ConnectionSettings
from troupe.loop.event_loop import EventLoop
from troupe.loop.fixed_step import FixedStepLoop
from troupe.loop.functions import (
    From,
    InstanceTime,
    IsUpdated,
    Iteration,
    Memory,
    SimulationTime,
    To,
    preprocessing,
    status,
    transceiver,
)
from troupe.loop.nodes import All, Every, Message, New, Node, Out, Previous, Publish, node
from troupe.loop.settings import EventLoopSettings, FixedStepSettings

__all__ = [
    "All",
    "ConnectionSettings",
    "EventLoop",
    "EventLoopSettings",
    "Every",
    "FixedStepLoop",
    "FixedStepSettings",
    "From",
    "InstanceTime",
    "IsUpdated",
    "Iteration",
    "Memory",
    "Message",
    "New",
    "Node",
    "Out",
    "Previous",
    "Publish",
    "SimulationTime",
    "To",
    "node",
    "preprocessing",
    "status",
    "transceiver",
]
