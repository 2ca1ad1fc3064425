"""Loops: what steps engines together on one clock.

Enters: engines, the user's functions and the loop's settings. Leaves: a `World` of all their
datapacks, advanced in steps of simulated time. `functions` is what users write between engines,
`fixed_step` the loop in which every engine that is due is waited for. `wiring` binds functions to
packs, `connections` delays and drops on the way, `schedule` is the clock.
"""

from troupe.loop.connections import ConnectionSettings
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
from troupe.loop.settings import FixedStepSettings

__all__ = [
    "ConnectionSettings",
    "FixedStepLoop",
    "FixedStepSettings",
    "From",
    "InstanceTime",
    "IsUpdated",
    "Iteration",
    "Memory",
    "SimulationTime",
    "To",
    "preprocessing",
    "status",
    "transceiver",
]
