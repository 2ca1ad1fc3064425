"""The targets of reaching tasks as goals that can be changed in hindsight."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.goals import Goals, Rows
from troupe.robots import Robot
from troupe.tasks import rewards
from troupe.tasks.arm import Errors, ReachRules
from troupe.tasks.base import Bools


class ArmGoals(Goals):
    """What observations of `ReachTask` would be with the target where the tool was later.

    They hold the target relative to the tool, e = p_target - p_tool, and R = R_target^T R_tool. A
    later error e' is p_target - p_tool', so with the target at p_tool' the error is e - e', and
    the relative orientation is R'^T R.
    """

    def __init__(self, rules: ReachRules, robot: Robot) -> None:
        """Judge by the rules of a task of a robot whose contacts cost nothing."""
        self._rules = rules
        self._robot = robot
        self._dof = len(robot.joints)
        self._error = slice(self._dof, self._dof + 3)

    def relabelled(self, observation: Rows, achieving: Rows) -> Rows:
        """Return observations as if the tool's pose in other ones had been the target, (B, D)."""
        changed = observation.copy()
        changed[:, self._error] -= achieving[:, self._error]
        if self._rules.orientation:
            rotation = np.swapaxes(_rotation(achieving), 1, 2) @ _rotation(observation)
            changed[:, -9:] = rotation.reshape(-1, 9)
        return changed

    def outcome(self, observation: Rows, action: npt.NDArray[Any]) -> tuple[Rows, Bools]:
        """Return the rewards of steps that led to observations, and which steps terminated."""
        seen = observation.astype(np.float64)
        position_m = seen[:, self._error]
        angle_rad = np.zeros(len(seen))
        if self._rules.orientation:
            angle_rad = rewards.rotation_angle(_rotation(seen), np.eye(3)[None])
        free = np.zeros(len(seen), np.bool_)
        errors = Errors(position_m, rewards.distance(position_m), angle_rad, free)
        reward = self._rules.total_reward(errors, seen[:, : self._dof], self._robot)
        return reward.astype(np.float32), self._rules.ends(errors)


def _rotation(observation: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return observation[:, -9:].reshape(-1, 3, 3)
