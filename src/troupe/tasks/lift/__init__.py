"""Lifting one thing out of a tray, with the hand under control at every step.

`settings` is what a user writes, `steering` turns actions into joint commands, `task` observes and
rewards.
"""

from troupe.tasks.lift.settings import LiftSettings

__all__ = ["LiftSettings"]
