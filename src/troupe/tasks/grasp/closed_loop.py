"""Grasping in a closed loop: small moves of the hand, a look before each, then an attempt.

Moves and their number are those of pybullet's KukaDiverseObject; what ``commanded`` adds is what
QT-Opt's actions have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from troupe.core import World
from troupe.core.arrays import Array, ArraySpec
from troupe.core.errors import UserError
from troupe.core.settings import Duration, nanoseconds
from troupe.core.time import NANOSECONDS
from troupe.robots import Robot
from troupe.robots.kinematics import solve_pose
from troupe.robots.tray import TRAY
from troupe.tasks.control import clip
from troupe.tasks.grasp.approach import Approach, Decision, attempt_at
from troupe.tasks.grasp.attempt import NEVER_S, pointing_down
from troupe.tasks.grasp.settings import AttemptSettings, Count
from troupe.tasks.grasp.task import GraspTask

Moves = Literal["planar", "spatial", "discrete", "commanded"]

COMPONENTS: dict[Moves, tuple[str, ...]] = {
    "planar": ("x", "y", "yaw"),
    "spatial": ("x", "y", "z", "yaw"),
    "discrete": (),
    "commanded": ("x", "y", "z", "yaw", "close", "terminate"),
}
"""Of actions that are continuous."""

DISCRETE = np.array(
    [[0, 0, 0], [-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1]], np.float64
)
"""What the discrete actions are as planar ones."""


class ClosedLoopSettings(AttemptSettings):
    """Grasping in up to eight small moves of a hand that points down.

    The tool starts high over the middle of the tray. Each action moves it; when it is low, the hand
    closes by itself, lifts and holds. Between two actions the next one is not looked at.

    Attributes:
        action: ``planar``: x, y and yaw, each a share -1 .. 1 of the greatest move, and the hand
            comes down by itself; ``spatial``: x, y, z and yaw; ``discrete``: seven planar ones,
            stay, -x, +x, -y, +y, -yaw, +yaw; ``commanded``: x, y, z, yaw, close and terminate: the
            hand is closed where close is above 0, and lifts and holds when terminate is, or after
            the last action.
        actions: of an episode, at most.
        interval: time for a move.
        move_m: greatest move along each axis; so much the hand comes down by itself.
        turn_rad: greatest turn of a move.
        start_m: height of the tool above the tray's floor at first, and at most.
        closes_below_m: height below which the hand closes by itself.
        lowest_m: height to which it goes at least.
        step_cost: that each action takes off the reward, 0.05 in QT-Opt.
    """

    type: Literal["grasp-closed-loop"] = "grasp-closed-loop"
    episode: Duration = nanoseconds(10_000_000_000)
    action: Moves = "planar"
    actions: Count = 8
    interval: Duration = nanoseconds(336_000_000)
    move_m: float = Field(0.06, gt=0)
    turn_rad: float = Field(0.25, gt=0)
    start_m: float = Field(0.37, gt=0)
    closes_below_m: float = Field(0.03, gt=0)
    lowest_m: float = Field(0.012, gt=0)
    step_cost: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _check_way_down(self) -> ClosedLoopSettings:
        if not self.lowest_m < self.closes_below_m < self.start_m:
            raise ValueError(
                f"closes_below_m: {self.closes_below_m:g} must be above lowest_m, "
                f"{self.lowest_m:g}, and below start_m, {self.start_m:g}"
            )
        way_m = self.start_m - self.closes_below_m
        if self.action != "commanded" and self.actions * self.move_m <= way_m:
            raise ValueError(
                f"actions: {self.actions} moves of {self.move_m:g} m do not bring the hand down "
                f"from start_m, {self.start_m:g}, to closes_below_m, {self.closes_below_m:g}; "
                f"valid: {int(way_m / self.move_m) + 1} or more"
            )
        return self

    def build(self, robots: Mapping[str, Robot], world: World, step_ns: int) -> GraspTask:
        """Return the task on a world with a robot, its gripper and a tray."""
        engine, robot = self.hand_over_tray(robots, world)
        return GraspTask(self, ClosedLoop(self, robot), engine, robot, world, step_ns)


class ClosedLoop(Approach):
    """An action is a small move; the one that comes low is an attempt too."""

    def __init__(self, settings: ClosedLoopSettings, robot: Robot) -> None:
        """Plan for a robot.

        Raises:
            UserError: if its tool does not get to the start.
        """
        self._settings, self._robot = settings, robot
        self.interval_s = settings.interval / NANOSECONDS["s"]
        self.max_actions, self.step_cost = settings.actions, settings.step_cost
        heights = (settings.lowest_m, settings.start_m)
        self._low, self._high = np.array([settings.x_m, settings.y_m, heights, settings.yaw_rad]).T
        self._low[2] += TRAY.floor_m
        self._high[2] += TRAY.floor_m
        self._greatest = np.array([settings.move_m] * 3 + [settings.turn_rad])
        start = np.array([*TRAY.centre_m, self._high[2], 0.0])
        self.start_target = clip(start, self._low, self._high)
        frame = pointing_down(self.start_target[None, :3], self.start_target[3:])
        [self.start], reached = solve_pose(robot, frame, robot.home)
        if not reached.all():
            raise UserError(
                f"task.start_m: the tool of '{robot.name}' does not get {settings.start_m:g} m "
                "over the middle of the tray, pointing down."
            )
        if settings.action == "discrete":
            self.action_spec = ArraySpec((), dtype=np.dtype(np.int64), categories=len(DISCRETE))
        else:
            names, one = COMPONENTS[settings.action], np.asarray(1.0)
            self.action_spec = ArraySpec((len(names),), low=-one, high=one, names=names)

    def decide(
        self, action: npt.NDArray[Any], joints: Array, target: Array, number: npt.NDArray[np.int64]
    ) -> Decision:
        """Plan the moves, and attempts where they come low or are told to end."""
        settings, is_commanded = self._settings, self._settings.action == "commanded"
        goal = clip(target + self._moves(action), self._low, self._high)
        if is_commanded:
            is_last = (action[:, 5] > 0) | (number == self.max_actions - 1)
            goal[is_last] = target[is_last]
        else:
            is_last = goal[:, 2] < TRAY.floor_m + settings.closes_below_m
        planned = attempt_at(
            goal, self._robot, settings, joints, above_m=0.0, reach_s=self.interval_s, down_s=0.0
        )
        planned.times_s[~is_last, 2:] = NEVER_S
        planned.closes_s[~is_last] = NEVER_S
        if is_commanded:
            planned.closes_s[...] = np.where(action[:, 4] > 0, 0.0, NEVER_S)
        return Decision(planned, goal, is_last)

    def _moves(self, action: npt.NDArray[Any]) -> Array:
        """Return how far tools are to go, (M, 4)."""
        if self._settings.action == "discrete":
            action = DISCRETE[action.astype(np.int64)]
        moves = clip(action[:, :4], -1.0, 1.0)
        if self._settings.action in ("planar", "discrete"):
            moves = np.insert(moves[:, :3], 2, -1.0, axis=1)
        far: Array = moves * self._greatest
        return far
