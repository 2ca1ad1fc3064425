"""Robots: one folder each, with an MJCF model and nothing that is written twice.

Enters: the MJCF file of a robot. Leaves: a `Robot` with joint names, limits, home pose and
forward kinematics, read from that file. To add one, copy `scara/` and name it in the entry-point
group ``troupe.robots``. `control` moves arms as ros_control does, `planning` finds ways around
obstacles.
"""

from troupe.robots.robot import Joint, Robot

__all__ = ["Joint", "Robot"]
