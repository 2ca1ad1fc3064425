"""How actions become what an arm does over a tray, and the way of one action an episode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Array, ArraySpec
from troupe.core.time import NANOSECONDS
from troupe.robots import Robot
from troupe.robots.tray import TRAY
from troupe.tasks.base import Bools
from troupe.tasks.control import clip
from troupe.tasks.grasp.attempt import Plan, plan, pointing_down

if TYPE_CHECKING:
    from troupe.tasks.grasp.settings import AttemptSettings, GraspSettings


@dataclass(frozen=True)
class Decision:
    """What actions, looked at in M instances, make their arms do.

    Attributes:
        plan: waypoints and times from now on.
        target: where the tool goes, x, y, z in the base frame and yaw, (M, 4), m and rad.
        is_last: whether no other action follows, (M,).
    """

    plan: Plan
    target: Array
    is_last: Bools


class Approach(Protocol):
    """Turns actions into plans.

    Attributes:
        action_spec: of an action.
        start: joint angles with which an episode begins, (dof,), rad.
        start_target: where the tool then is, as `Decision.target`, (4,).
        interval_s: between actions.
        max_actions: of an episode.
        step_cost: of an action.
    """

    action_spec: ArraySpec
    start: Array
    start_target: Array
    interval_s: float
    max_actions: int
    step_cost: float

    def decide(
        self, action: npt.NDArray[Any], joints: Array, target: Array, number: npt.NDArray[np.int64]
    ) -> Decision:
        """Return what follows from actions.

        Args:
            action: (M, ...).
            joints: present commands, (M, dof), rad.
            target: present ones, (M, 4).
            number: of each action in its episode, from 0, (M,).
        """


class OneAttempt(Approach):
    """An action is a whole attempt: where the hand closes."""

    interval_s, max_actions, step_cost = 0.0, 1, 0.0

    def __init__(self, settings: GraspSettings, robot: Robot) -> None:
        """Plan for a robot."""
        self._settings, self._robot = settings, robot
        self._low, self._high = settings.action_range()
        self.start = robot.home if settings.start_rad is None else np.array(settings.start_rad)
        self.start_target = np.zeros(4)
        one = np.asarray(1.0)
        self.action_spec = ArraySpec((4,), low=-one, high=one, names=("x", "y", "height", "yaw"))

    def decide(
        self, action: npt.NDArray[Any], joints: Array, target: Array, number: npt.NDArray[np.int64]
    ) -> Decision:
        """Plan the attempts."""
        share = 0.5 * (clip(action, -1.0, 1.0) + 1.0)
        goal = self._low + share * (self._high - self._low)
        goal[:, 2] += TRAY.floor_m
        planned = attempt_at(
            goal, self._robot, self._settings, joints, above_m=self._settings.above_m
        )
        return Decision(planned, goal, np.ones(len(goal), np.bool_))


def attempt_at(
    target: Array, robot: Robot, settings: AttemptSettings, joints: Array, **way: float
) -> Plan:
    """Return the plan to close at targets, (M, 4), and lift; `way` is the rest of `plan`."""
    return plan(
        robot,
        joints,
        pointing_down(target[:, :3], target[:, 3]),
        up_m=TRAY.floor_m + settings.lift_to_m,
        close_s=settings.close / NANOSECONDS["s"],
        hold_s=settings.hold / NANOSECONDS["s"],
        **way,
    )
