"""Grasping from a tray: things of many shapes, attempts to lift one, and when one counts.

`objects` makes the things by rule, `placing` lays them into the tray, `contents` keeps what is in
it. `attempt` plans how the arm goes about it, `approach` and `closed_loop` turn actions into plans,
`outcome` says what became of them, `task` brings them together, and `settings` is what a user
writes.
"""

from troupe.tasks.grasp.closed_loop import ClosedLoopSettings
from troupe.tasks.grasp.settings import GraspSettings

__all__ = ["ClosedLoopSettings", "GraspSettings"]
