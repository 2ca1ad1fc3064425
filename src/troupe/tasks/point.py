"""Point: the published reaching tasks of SCARA and MARA, with the originals' defects mended.

Targets, rewards, thresholds and lengths of episodes are those of gym-gazebo and gym-gazebo2.
Mended: the tool's velocity is J dq/dt, where the originals computed J q; the reward belongs to the
state after the action, not before it; steps are synchronous with the simulation; targets are drawn
anew for each episode from its seed, not once from global randomness; MARA's actions end at its
joint limits. Actions lie in -1 .. 1 and are scaled to the joint limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from troupe.core import World
from troupe.core.arrays import Array
from troupe.core.errors import unknown
from troupe.core.settings import Duration, nanoseconds
from troupe.robots import Robot
from troupe.tasks import rewards
from troupe.tasks.arm import Errors, ReachRules, ReachTask
from troupe.tasks.arm_goals import ArmGoals
from troupe.tasks.base import Bools, TaskSettings
from troupe.tasks.robot import robot_of
from troupe.tasks.targets import BoxTargets, GivenTargets, Targets, check_reachable

Position = tuple[float, float, float]


@dataclass(frozen=True)
class Published:
    """What was published for a robot.

    Attributes:
        targets: positions by name, metres.
        box: the corners between which random targets are drawn, metres.
        rotation: of the targets whose orientation counts.
    """

    targets: Mapping[str, Position]
    box: tuple[Position, Position]
    rotation: Array


PUBLISHED = {
    "scara": Published(
        targets={
            "O": (0.3325683, 0.0657366, 0.3746),
            "H": (0.3305805, -0.1326121, 0.3746),
            "S": (0.3349774, 0.1570571, 0.3746),
        },
        box=((0.285, -0.175, 0.3746), (0.388, 0.170, 0.3746)),
        rotation=np.eye(3),
    ),
    "mara": Published(
        targets={
            "MARA": (-0.40028, 0.095615, 0.25),
            "Orient": (-0.40028, 0.095615, 0.72466),
            "Collision": (-0.40028, 0.095615, 0.72466),
        },
        box=((-0.5, -0.2, 0.25), (-0.5, 0.2, 0.25)),
        rotation=np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]]),
    ),
}
"""By robot. The rotation is the quaternion wxyz (0, 1/sqrt(2), 1/sqrt(2), 0)."""


class PointSettings(TaskSettings):
    """The published tasks.

    Attributes:
        engine: which engine simulates the robot; default: the only one.
        target: name of a published target, or ``random`` in the published box.
        orientation: MARA: whether the orientation counts too.
        threshold_m: on the root mean square of the position error's three components.
        episode: 1000 steps for SCARA, 1024 for MARA.
    """

    type: Literal["point"] = "point"
    engine: str | None = None
    target: str = "O"
    orientation: bool = False
    threshold_m: float = Field(0.005, gt=0)
    episode: Duration = nanoseconds(20_000_000_000)

    def build(self, robots: Mapping[str, Robot], world: World, step_ns: int) -> ReachTask:
        """Return the task on a world with SCARA or MARA."""
        engine, robot = robot_of(robots, self.engine)
        return ReachTask(self._rules(robot), engine, robot, world, step_ns)

    def goals(self, robots: Mapping[str, Robot]) -> ArmGoals | None:
        """Return how SCARA's steps can be relabelled with other targets.

        MARA's cannot: contacts cost, and observations do not tell of them.
        """
        _, robot = robot_of(robots, self.engine)
        return ArmGoals(self._rules(robot), robot) if robot.name == "scara" else None

    def _rules(self, robot: Robot) -> ReachRules:
        if robot.name not in PUBLISHED:
            raise unknown("robot with published targets", robot.name, PUBLISHED, "task.engine")
        return ReachRules(
            targets=self._targets(robot, PUBLISHED[robot.name]),
            action="position",
            orientation=self.orientation,
            observe_command=False,
            reward=self._scara_reward if robot.name == "scara" else self._mara_reward,
            reached=self._reached,
            ends_when_reached=robot.name == "scara",
        )

    def _targets(self, robot: Robot, published: Published) -> Targets:
        if self.target == "random":
            low, high = np.array(published.box)
            return BoxTargets(low, high, np.array(robot.joints[0].offset), robot.max_reach())
        if self.target not in published.targets:
            raise unknown("target", self.target, [*published.targets, "random"], "task.target")
        position = np.array(published.targets[self.target])
        check_reachable(robot, position, "task.target")
        return GivenTargets(position[None], published.rotation)

    def _reached(self, errors: Errors) -> Bools:
        reached: Bools = errors.distance_m / np.sqrt(3.0) < self.threshold_m
        return reached

    def _scara_reward(self, errors: Errors) -> Array:
        return rewards.scara_point(errors.distance_m, self.threshold_m)

    def _mara_reward(self, errors: Errors) -> Array:
        angle_rad, collided = errors.angle_rad, errors.collided
        return rewards.mara_point(errors.distance_m, angle_rad, collided, self.orientation)
