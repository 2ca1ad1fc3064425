"""Reach: bring an arm's tool to targets all over its workspace."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from troupe.core import World
from troupe.core.arrays import Array
from troupe.robots import Robot
from troupe.tasks import rewards
from troupe.tasks.arm import Errors, ReachRules, ReachTask
from troupe.tasks.arm_goals import ArmGoals
from troupe.tasks.base import TaskSettings
from troupe.tasks.control import ActionMode
from troupe.tasks.robot import robot_of
from troupe.tasks.targets import (
    BoxTargets,
    GivenTargets,
    ReachableTargets,
    Targets,
    check_reachable,
)

Position = tuple[float, float, float]


class ReachSettings(TaskSettings):
    """Targets over the reachable workspace less a margin, and a reward that values millimetres.

    Attributes:
        engine: which engine simulates the robot; default: the only one.
        target: ``random``, or positions (x, y, z) in the base frame, metres, to draw from.
        box_m: corners, least and greatest (x, y, z), between which random targets are drawn;
            default: all over the workspace.
        action: what an action means, each joint's share -1 .. 1: of the range of ``position``, or
            of the ``velocity`` limit.
        orientation: whether the tool's orientation counts too.
        joint_margin_rad: distance of the targets' joint angles from the joint limits.
        clearance_m: of the targets from the floor and from the base axis.
        reach_margin_m: distance of the targets from the farthest that the tool gets.
        random_start: share of the training episodes that start at random joint angles, not at
            home, so that the policy also learns to come back from where it should not go.
        limit_cost: of joints near their limits, see `rewards.limit_excess`.
        precision_m: width of the reward's peak at the target.
        precision_rad: the same for the orientation.
        threshold_m: an episode succeeds that ends within it.
        threshold_rad: the same for the orientation.
        ends_when_reached: whether an episode ends as soon as it succeeds, so that episodes are of
            very different length; else it goes on to its time limit, and the tool has to stay.
    """

    type: Literal["reach"] = "reach"
    engine: str | None = None
    target: Literal["random"] | tuple[Position, ...] = "random"
    box_m: tuple[Position, Position] | None = None
    action: ActionMode = "velocity"
    orientation: bool = False
    joint_margin_rad: float = Field(0.1, ge=0)
    clearance_m: float = Field(0.1, ge=0)
    reach_margin_m: float = Field(0.03, ge=0)
    random_start: float = Field(0.1, ge=0, le=1)
    limit_cost: float = Field(2.0, ge=0)
    precision_m: float = Field(0.03, gt=0)
    precision_rad: float = Field(0.1, gt=0)
    threshold_m: float = Field(0.005, gt=0)
    threshold_rad: float = Field(0.1, gt=0)
    ends_when_reached: bool = False

    @model_validator(mode="after")
    def _check_box(self) -> ReachSettings:
        if self.box_m is None:
            return self
        if self.target != "random":
            raise ValueError("box_m: it is for random targets, but target gives positions")
        if self.orientation:
            raise ValueError("box_m: its targets have no orientation; set orientation to false")
        for axis, low, high in zip("xyz", *self.box_m, strict=True):
            if low > high:
                raise ValueError(f"box_m: {axis} of the first corner, {low:g}, is above {high:g}")
        return self

    def build(self, robots: Mapping[str, Robot], world: World, step_ns: int) -> ReachTask:
        """Return the task on a world with a robot."""
        engine, robot = robot_of(robots, self.engine)
        return ReachTask(self._rules(robot), engine, robot, world, step_ns)

    def goals(self, robots: Mapping[str, Robot]) -> ArmGoals:
        """Return how steps can be relabelled with other targets."""
        _, robot = robot_of(robots, self.engine)
        return ArmGoals(self._rules(robot), robot)

    def as_measured(self) -> ReachSettings:
        """Return the settings under which a policy is measured: every episode starts at home."""
        return self.model_copy(update={"random_start": 0.0})

    def _rules(self, robot: Robot) -> ReachRules:
        return ReachRules(
            targets=self._targets(robot),
            action=self.action,
            orientation=self.orientation,
            observe_command=True,
            reward=self._reward,
            reached=lambda errors: (
                (errors.distance_m < self.threshold_m) & (errors.angle_rad < self.threshold_rad)
            ),
            ends_when_reached=self.ends_when_reached,
            limit_cost=self.limit_cost,
            starts=self._reachable(robot) if self.random_start else None,
            random_start=self.random_start,
        )

    def _reachable(self, robot: Robot) -> ReachableTargets:
        return ReachableTargets(robot, self.joint_margin_rad, self.clearance_m, self.reach_margin_m)

    def _reward(self, errors: Errors) -> Array:
        reward = rewards.precise(errors.distance_m, self.precision_m)
        if self.orientation:
            reward = reward + rewards.precise(errors.angle_rad, self.precision_rad)
        return reward

    def _targets(self, robot: Robot) -> Targets:
        if self.box_m is not None:
            low, high = np.array(self.box_m)
            # the middle too: what is too near the base is out of reach as well
            for position in product(*np.linspace(low, high, 3).T):
                check_reachable(robot, np.array(position), "task.box_m")
            return BoxTargets(low, high, np.array(robot.joints[0].offset), robot.max_reach())
        if self.target == "random":
            return self._reachable(robot)
        positions = np.array(self.target)
        for i, position in enumerate(positions):
            check_reachable(robot, position, f"task.target.{i}")
        return GivenTargets(positions, np.eye(3))
