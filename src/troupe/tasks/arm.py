"""What all reaching tasks of an arm share: commands, observations and errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core import World
from troupe.core.arrays import Array, ArraySpec, Ids
from troupe.core.seeding import Generator
from troupe.robots import Robot
from troupe.tasks import rewards
from troupe.tasks.base import Bools, Task
from troupe.tasks.control import ActionMode, position_command, rate_limited, velocity_command
from troupe.tasks.targets import ReachableTargets, Targets


@dataclass(frozen=True)
class Errors:
    """How far the tools are from their targets.

    Attributes:
        position_m: target less tool, (N, 3).
        distance_m: its length, (N,).
        angle_rad: between the orientations, (N,); zeros where the orientation does not count.
        collided: whether the arm touches anything, (N,).
    """

    position_m: Array
    distance_m: Array
    angle_rad: Array
    collided: Bools


@dataclass(frozen=True)
class ReachRules:
    """What distinguishes one reaching task from another.

    Attributes:
        targets: where the tool is to go.
        action: what an action means.
        orientation: whether the orientation counts too.
        observe_command: whether the policy sees joint speeds and how far joints lag behind.
        reward: of the errors, (N,).
        reached: whether the errors are small enough, (N,).
        ends_when_reached: whether reaching terminates the episode.
        limit_cost: of a joint at its limit, for each share of its range beyond the free one.
        starts: where the arm may start other than at home, if anywhere.
        random_start: share of the episodes that start there.
    """

    targets: Targets
    action: ActionMode
    orientation: bool
    observe_command: bool
    reward: Callable[[Errors], Array]
    reached: Callable[[Errors], Bools]
    ends_when_reached: bool
    limit_cost: float = 0.0
    starts: ReachableTargets | None = None
    random_start: float = 0.0

    def total_reward(self, errors: Errors, joint_position: Array, robot: Robot) -> Array:
        """Return the reward of the errors, less the cost of joints at limits, (N,)."""
        reward = self.reward(errors)
        if self.limit_cost:
            excess = rewards.limit_excess(joint_position, robot.position_limits)
            reward = reward - self.limit_cost * excess
        return reward

    def ends(self, errors: Errors) -> Bools:
        """Return which episodes end because the target is reached, (N,)."""
        if not self.ends_when_reached:
            return np.zeros(len(errors.distance_m), np.bool_)
        return self.reached(errors)


class ReachTask(Task):
    """Brings an arm's tool from its home pose to a target that stays for the episode."""

    def __init__(
        self, rules: ReachRules, engine: str, robot: Robot, world: World, step_ns: int
    ) -> None:
        """Add the task's arrays to a world.

        Raises:
            UserError: if the world lacks a datapack of the robot's.
        """
        self._rules = rules
        self._robot = robot
        packs = ["joint_position", "joint_velocity", "tool_position", "tool_velocity"]
        packs += ["tool_rotation", "contacts"]
        self._packs = {pack: f"{engine}.{pack}" for pack in packs}
        for pack in self._packs.values():
            world.output(pack)
        self._command = f"{engine}.joint_target"
        dof = world.input(self._command).shape[0]
        world.arrays["target_position"] = np.zeros((world.num_instances, 3))
        world.arrays["target_rotation"] = np.zeros((world.num_instances, 3, 3))
        self._max_change = robot.velocity_limits * (step_ns * 1e-9)
        num_observations = dof + 6 + 2 * dof * rules.observe_command + 9 * rules.orientation
        self.observation_spec = ArraySpec((num_observations,), dtype=np.dtype(np.float32))
        one = np.asarray(1.0)
        self.action_spec = ArraySpec((dof,), low=-one, high=one, names=robot.joint_names)

    def reset(self, world: World, instances: Ids, rng: Sequence[Generator]) -> None:
        """Draw a target for each episode, and a pose to start from; else that is home."""
        frames = self._rules.targets.draw(rng)
        world.arrays["target_position"][instances] = frames[:, :3, 3]
        world.arrays["target_rotation"][instances] = frames[:, :3, :3]
        world.write(self._command, self._robot.home, instances)
        if self._rules.starts is not None:
            chosen = [i for i, r in enumerate(rng) if r.random() < self._rules.random_start]
            start = self._rules.starts.draw_joint_positions([rng[i] for i in chosen])
            world.write(self._packs["joint_position"], start, instances[chosen])
            world.write(self._command, start, instances[chosen])

    def act(self, world: World, action: npt.NDArray[Any]) -> None:
        """Command joint positions, within the limits of position and velocity."""
        command = world.read(self._command)
        if self._rules.action == "velocity":
            moved = velocity_command(command, action, self._max_change, self._robot)
        else:
            moved = rate_limited(command, position_command(action, self._robot), self._max_change)
        world.write(self._command, moved)

    def observe(self, world: World) -> npt.NDArray[np.float32]:
        """Return joint positions, tool error and velocity, and what the rules add, (N, D)."""
        position = self._read(world, "joint_position")
        error = world.arrays["target_position"] - self._read(world, "tool_position")
        parts = [position, error, self._read(world, "tool_velocity")]
        if self._rules.observe_command:
            lag = world.read(self._command) - position
            parts += [lag, self._read(world, "joint_velocity")]
        if self._rules.orientation:
            rotation = self._read(world, "tool_rotation")
            relative = np.swapaxes(world.arrays["target_rotation"], 1, 2) @ rotation
            parts.append(relative.reshape(-1, 9))
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def reward(self, world: World, action: npt.NDArray[Any]) -> Array:
        """Return what the rules give for the errors, less the cost of joints at limits, (N,)."""
        position = self._read(world, "joint_position")
        return self._rules.total_reward(self.errors(world), position, self._robot)

    def terminated(self, world: World) -> Bools:
        """Return which tools have reached their targets, if that ends the episode, (N,)."""
        return self._rules.ends(self.errors(world))

    def metrics(self, world: World) -> dict[str, Array]:
        """Return the distance from the target, whether it is small enough, and the angle."""
        errors = self.errors(world)
        success = self._rules.reached(errors).astype(np.float64)
        metrics = {"error_m": errors.distance_m, "success": success}
        if self._rules.orientation:
            metrics["angle_rad"] = errors.angle_rad
        return metrics

    def tool_position(self, world: World) -> Array:
        """Return where the tools are, (N, 3), m."""
        return self._read(world, "tool_position")

    def observation_noise(self, joint_rad: float, tool_m: float) -> Array:
        """Return the deviations of observations for sensors of given noise, (D,).

        Args:
            joint_rad: standard deviation of a joint's angle.
            tool_m: standard deviation of each coordinate of the tool's position.
        """
        dof = self.action_spec.shape[0]
        noise = np.zeros(self.observation_spec.shape)
        noise[:dof] = joint_rad
        noise[dof : dof + 3] = tool_m
        return noise

    def errors(self, world: World) -> Errors:
        """Return how far the tools are from their targets."""
        position_m = world.arrays["target_position"] - self._read(world, "tool_position")
        angle_rad = np.zeros(world.num_instances)
        if self._rules.orientation:
            rotation = self._read(world, "tool_rotation")
            angle_rad = rewards.rotation_angle(rotation, world.arrays["target_rotation"])
        collided = self._read(world, "contacts") > 0
        return Errors(position_m, rewards.distance(position_m), angle_rad, collided)

    def _read(self, world: World, pack: str) -> npt.NDArray[Any]:
        return world.read(self._packs[pack])
