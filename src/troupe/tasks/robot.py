"""Which robot a task is about."""

from __future__ import annotations

from collections.abc import Mapping

from troupe.core.errors import UserError, unknown
from troupe.robots import Robot


def robot_of(robots: Mapping[str, Robot], engine: str | None) -> tuple[str, Robot]:
    """Return the name of the engine that simulates the task's robot, and the robot.

    Args:
        robots: the robots by the name of their engine.
        engine: the engine that the user named, or None for the only one with a robot.

    Raises:
        UserError: if there is no such robot, or more than one to choose from.
    """
    if engine is not None:
        if engine not in robots:
            raise unknown("engine with a robot", engine, robots, where="task.engine")
        return engine, robots[engine]
    if len(robots) != 1:
        listed = ", ".join(sorted(robots)) or "none"
        raise UserError(f"task.engine: name the engine whose robot is meant; engines: {listed}.")
    return next(iter(robots.items()))
