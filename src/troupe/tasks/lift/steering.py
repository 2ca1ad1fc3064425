"""From movements of a tool that points down to joint commands."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Array
from troupe.core.errors import UserError
from troupe.robots import Robot
from troupe.robots.kinematics import differential_step, solve_pose
from troupe.robots.tray import TRAY
from troupe.tasks.control import clip
from troupe.tasks.grasp.attempt import pointing_down


class Steering:
    """Moves the targets of tools, x, y, z and yaw in the base frame, and joints after them."""

    def __init__(self, robot: Robot, low: Array, high: Array, greatest: Array, step_s: float):
        """Steer a robot.

        Args:
            robot: the arm.
            low: least target, (4,), m and rad.
            high: greatest target.
            greatest: speeds of a target, (4,), m/s and rad/s.
            step_s: time between two actions.

        Raises:
            UserError: if the arm does not get to a corner of where targets may be.
        """
        self._robot, self._low, self._high = robot, low, high
        self._change = greatest * step_s
        self._max_turn = robot.velocity_limits * step_s
        middle = np.array([[*TRAY.centre_m, TRAY.floor_m + 0.2, 0.0]])
        self._waits, _ = solve_pose(robot, _frames(middle), robot.home)
        corners = np.array(list(product(*zip(low, high, strict=True))))
        _, reached = solve_pose(robot, _frames(corners), self._waits)
        if not reached.all():
            x, y, z, yaw = corners[~reached][0]
            raise UserError(
                "task: the tool does not get to a corner of x_m, y_m, height_m and yaw_rad, "
                f"({x:g}, {y:g}, {z - TRAY.floor_m:g}) m and {yaw:g} rad."
            )

    def start(self, target: Array) -> Array:
        """Return joint angles that bring tools to targets, (N, 4) to (N, dof), rad."""
        joints, _ = solve_pose(self._robot, _frames(target), self._waits)
        return joints

    def within(self, target: Array) -> Array:
        """Return targets, (N, 4), moved to where they may be."""
        return clip(target, self._low, self._high)

    def move(
        self, target: Array, action: npt.NDArray[np.floating], command: Array
    ) -> tuple[Array, Array]:
        """Return targets and joint commands after a step.

        Args:
            target: present ones, (N, 4).
            action: shares of the greatest speeds, (N, 4), clipped to -1 .. 1.
            command: present joint commands, (N, dof), rad.
        """
        moved = self.within(target + clip(action, -1.0, 1.0) * self._change)
        joints, _ = differential_step(
            self._robot, command, _frames(moved), self._max_turn, self._waits[0]
        )
        return moved, joints


def _frames(target: Array) -> Array:
    return pointing_down(target[:, :3], target[:, 3])
