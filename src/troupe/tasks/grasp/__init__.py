"""Grasping from a tray: things of many shapes, attempts to lift one, and when one counts.

`objects` makes the things by rule, `placing` lays them into the tray, `attempt` plans how the arm
goes about it, `task` brings them together, and `settings` is what a user writes.
"""

from troupe.tasks.grasp.settings import GraspSettings

__all__ = ["GraspSettings"]
