"""The words that every other package speaks.

Array specs and worlds (`arrays`, `world`), simulated time in integer nanoseconds (`time`),
reproducible streams of randomness (`seeding`), the tree of errors (`errors`), settings classes
(`settings`), types found by name (`plugins`), files that appear whole or not at all (`files`) and
the machine's cores (`machine`).
Nothing here knows a simulator, a learner or a file format.
"""

from troupe.core.arrays import ArraySpec
from troupe.core.errors import EngineError, InterruptedRun, TroupeError, UserError
from troupe.core.seeding import Streams
from troupe.core.world import World

__all__ = [
    "ArraySpec",
    "EngineError",
    "InterruptedRun",
    "Streams",
    "TroupeError",
    "UserError",
    "World",
]
