"""An arm with a hand, as datapacks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core import World
from troupe.core.arrays import Array, Ids
from troupe.robots import Robot


class Hand:
    """Reads and commands an arm with a gripper.

    Attributes:
        open_m: how far each finger is from the middle when the hand is open.
    """

    def __init__(self, engine: str, robot: Robot, world: World, *more: str) -> None:
        """Look the datapacks up, and `more` of the robot's that a task reads.

        Raises:
            UserError: if the world lacks one.
        """
        self._servo = robot.servo
        gains = {key: f"{engine}.servo_{key}" for key in ("stiffness", "damping")}
        self._gains = {key: pack for key, pack in gains.items() if pack in world.outputs}
        names = ["joint_position", "joint_velocity", "tool_position", "gripper_position", *more]
        self._packs = {name: f"{engine}.{name}" for name in names}
        for pack in self._packs.values():
            world.output(pack)
        self._command, self._fingers = f"{engine}.joint_target", f"{engine}.gripper_target"
        self.open_m = float(world.input(self._fingers).high)

    def read(self, world: World, pack: str) -> npt.NDArray[Any]:
        """Return a datapack of the arm's, (N, ...)."""
        return world.read(self._packs[pack])

    def joint_command(self, world: World) -> Array:
        """Return the joint angles that are commanded, (N, dof), rad."""
        command: Array = world.read(self._command)
        return command

    def reset(self, world: World, joints: Array, instances: Ids) -> None:
        """Put arms of instances at joint angles, at rest, with open hands."""
        world.write(self._packs["joint_position"], joints, instances)
        world.write(self._command, joints, instances)
        world.write(self._fingers, self.open_m, instances)

    def command(self, world: World, joints: Array, is_closing: npt.NDArray[np.bool_]) -> None:
        """Command joint angles, (N, dof), rad, and which hands are to be closed, (N,)."""
        world.write(self._command, joints)
        world.write(self._fingers, np.where(is_closing, 0.0, self.open_m))

    def power_w(self, world: World) -> Array:
        """Return what the joints' motors and brakes do, (N,); 0 where the gains are unknown.

        The gains are each instance's own where the engine tells them, else the robot's.
        """
        if self._servo is None:
            return np.zeros(world.num_instances)
        position, velocity = (self.read(world, f"joint_{n}") for n in ("position", "velocity"))
        servo = replace(self._servo, **{key: world.read(p) for key, p in self._gains.items()})
        effort = servo.effort(self.joint_command(world), position, velocity)
        power: Array = np.abs(effort * velocity).sum(axis=1)
        return power
