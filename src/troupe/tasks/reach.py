"""Reach: bring an arm's tool to targets all over its workspace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from troupe.core import World
from troupe.core.arrays import Array, ArraySpec, Ids
from troupe.core.seeding import Generator
from troupe.robots import Robot
from troupe.tasks import rewards
from troupe.tasks.base import Bools, TaskSettings
from troupe.tasks.control import ActionMode, position_command, rate_limited, velocity_command
from troupe.tasks.robot import robot_of
from troupe.tasks.targets import ReachableTargets


class ReachSettings(TaskSettings):
    """Random targets over the reachable workspace less a margin.

    Attributes:
        engine: which engine simulates the robot; default: the only one.
        action: what an action means, each joint's share -1 .. 1: of the range of ``position``, or
            of the ``velocity`` limit.
        orientation: whether the tool's orientation counts too.
        joint_margin_rad: distance of the targets' joint angles from the joint limits.
        clearance_m: of the targets from the floor and from the base axis.
        precision_m: width of the reward's peak at the target.
        threshold_m: an episode succeeds that ends within it.
    """

    type: Literal["reach"] = "reach"
    engine: str | None = None
    action: ActionMode = "velocity"
    orientation: bool = False
    joint_margin_rad: float = Field(0.1, ge=0)
    clearance_m: float = Field(0.1, ge=0)
    precision_m: float = Field(0.01, gt=0)
    threshold_m: float = Field(0.005, gt=0)

    def build(self, robots: Mapping[str, Robot], world: World, step_ns: int) -> ReachTask:
        """Return the task on a world with a robot."""
        engine, robot = robot_of(robots, self.engine)
        return ReachTask(self, engine, robot, world, step_ns)


class ReachTask:
    """Moves the tool to a target that stays for the episode."""

    def __init__(
        self, settings: ReachSettings, engine: str, robot: Robot, world: World, step_ns: int
    ) -> None:
        """Add the task's arrays to a world."""
        self.settings = settings
        self._robot = robot
        self._packs = {pack: f"{engine}.{pack}" for pack in world_packs(settings.orientation)}
        for pack in self._packs.values():
            world.output(pack)
        self._command = f"{engine}.joint_target"
        dof = len(robot.joints)
        world.input(self._command)
        world.arrays["target_position"] = np.zeros((world.num_instances, 3))
        world.arrays["target_rotation"] = np.zeros((world.num_instances, 3, 3))
        self._max_change = robot.velocity_limits * (step_ns * 1e-9)
        self._targets = ReachableTargets(robot, settings.joint_margin_rad, settings.clearance_m)
        self.observation_spec = ArraySpec(
            (3 * dof + 6 + 9 * settings.orientation,), dtype=np.dtype(np.float32)
        )
        self.action_spec = ArraySpec(
            (dof,), low=np.asarray(-1.0), high=np.asarray(1.0), names=robot.joint_names
        )

    def reset(self, world: World, instances: Ids, rng: Sequence[Generator]) -> None:
        """Draw a target for each episode; the arm starts at its home pose."""
        frames, _ = self._targets.draw(rng)
        world.arrays["target_position"][instances] = frames[:, :3, 3]
        world.arrays["target_rotation"][instances] = frames[:, :3, :3]
        world.write(self._command, self._robot.home, instances)

    def act(self, world: World, action: npt.NDArray[Any]) -> None:
        """Command joint positions, within the limits of position and velocity."""
        command = world.read(self._command)
        if self.settings.action == "velocity":
            moved = velocity_command(command, action, self._max_change, self._robot)
        else:
            moved = rate_limited(command, position_command(action, self._robot), self._max_change)
        world.write(self._command, moved)

    def observe(self, world: World) -> npt.NDArray[np.float32]:
        """Return joint positions, command errors and speeds, tool error and velocity."""
        packs = self._packs
        position = world.read(packs["joint_position"])
        parts = [
            position,
            world.read(self._command) - position,
            world.read(packs["joint_velocity"]),
            self._error(world),
            world.read(packs["tool_velocity"]),
        ]
        if self.settings.orientation:
            relative = np.swapaxes(world.arrays["target_rotation"], 1, 2) @ world.read(
                packs["tool_rotation"]
            )
            parts.append(relative.reshape(-1, 9))
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def reward(self, world: World, action: npt.NDArray[Any]) -> Array:
        """Return minus the error, with a peak at the target."""
        reward = rewards.precise_reach(
            rewards.distance(self._error(world)), self.settings.precision_m
        )
        if self.settings.orientation:
            reward = reward - 0.2 * self._angle(world)
        return reward

    def terminated(self, world: World) -> Bools:
        """Return False: the arm has to stay at the target until the time is over."""
        return np.zeros(world.num_instances, np.bool_)

    def metrics(self, world: World) -> dict[str, Array]:
        """Return the tool's distance from the target, and whether it is within the threshold."""
        error_m = rewards.distance(self._error(world))
        metrics = {"error_m": error_m, "success": (error_m < self.settings.threshold_m) * 1.0}
        if self.settings.orientation:
            metrics["angle_rad"] = self._angle(world)
        return metrics

    def _error(self, world: World) -> Array:
        error: Array = world.arrays["target_position"] - world.read(self._packs["tool_position"])
        return error

    def _angle(self, world: World) -> Array:
        rotation = world.read(self._packs["tool_rotation"])
        return rewards.rotation_angle(rotation, world.arrays["target_rotation"])


def world_packs(orientation: bool) -> tuple[str, ...]:
    """Return the packs that a reach task reads."""
    packs = ("joint_position", "joint_velocity", "tool_position", "tool_velocity")
    return (*packs, "tool_rotation") if orientation else packs
