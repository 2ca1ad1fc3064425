"""From actions in -1 .. 1 to joint commands that respect a robot's limits."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Array
from troupe.robots import Robot

ActionMode = Literal["position", "velocity"]


def position_command(action: npt.NDArray[np.floating], robot: Robot) -> Array:
    """Scale actions to joint angles: -1 is the lower limit, +1 the upper one.

    Args:
        action: (N, dof), clipped to -1 .. 1.
        robot: whose limits count.

    Returns:
        (N, dof), rad.
    """
    low, high = robot.position_limits
    command: Array = low + (clip(action, -1.0, 1.0) + 1.0) * 0.5 * (high - low)
    return command


def rate_limited(command: Array, desired: Array, max_change: Array) -> Array:
    """Move a command towards a desired one, by at most `max_change` in each joint.

    Args:
        command: the present command, (N, dof), rad.
        desired: (N, dof), rad.
        max_change: velocity limit times the control step, (dof,), rad.
    """
    return command + clip(desired - command, -max_change, max_change)


def velocity_command(
    command: Array, action: npt.NDArray[np.floating], max_change: Array, robot: Robot
) -> Array:
    """Move a command by the action's share of `max_change`, within the joint limits.

    Args:
        command: the present command, (N, dof), rad.
        action: (N, dof), clipped to -1 .. 1: shares of the velocity limit.
        max_change: velocity limit times the control step, (dof,), rad.
        robot: whose limits count.
    """
    low, high = robot.position_limits
    return clip(command + clip(action, -1.0, 1.0) * max_change, low, high)


def clip(values: npt.NDArray[np.floating], low: npt.ArrayLike, high: npt.ArrayLike) -> Array:
    """Return values within bounds; for small arrays several times as fast as `numpy.clip`."""
    clipped: Array = np.minimum(np.maximum(values, low), high)
    return clipped
