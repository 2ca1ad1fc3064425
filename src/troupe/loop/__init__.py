"""Loops: what steps engines together on one clock.

Enters: engines and the loop's settings. Leaves: a `World` of all their datapacks, advanced in
steps of simulated time. `fixed_step` is the only loop so far.
"""

from troupe.loop.fixed_step import FixedStepLoop, FixedStepSettings

__all__ = ["FixedStepLoop", "FixedStepSettings"]
