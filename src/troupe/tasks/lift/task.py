"""Lift: take hold of a thing in a tray, lift it and hold it up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from troupe.core import World
from troupe.core.arrays import Array, ArraySpec, Ids
from troupe.core.errors import UserError
from troupe.core.seeding import Generator
from troupe.core.time import NANOSECONDS
from troupe.robots import Robot
from troupe.robots.tray import TRAY
from troupe.tasks import rewards
from troupe.tasks.base import Bools, Task
from troupe.tasks.grasp.contents import Contents
from troupe.tasks.grasp.hand import Hand
from troupe.tasks.grasp.outcome import CLOSED_ON_NOTHING_M, Held
from troupe.tasks.grasp.things import Drawn
from troupe.tasks.lift.steering import Steering

if TYPE_CHECKING:
    from troupe.tasks.lift.settings import LiftSettings

APPROACH_M = 0.1
"""Scale of the reward for getting near."""

WITHIN_M = 0.03
"""How near the tool is to the middle of a thing that the fingers are about."""

STILL_M = 0.001
"""How far fingers that hold something move in a step, at most."""

WEIGHTS = {"approach": 0.2, "grasp": 0.2, "lift": 0.3, "hold": 0.3}
"""Of the parts of the reward, each of which is 0 to 1."""


@dataclass(frozen=True)
class Parts:
    """The parts of the reward, each (N,), 0 to 1 (docs/derivations.md, "Lifting").

    Attributes:
        approach: how near the tool is to the thing.
        grasp: 1 where the fingers are closed on something and about the thing.
        lift: how far the thing has come on its way up.
        hold: 1 where it is high enough.
    """

    approach: Array
    grasp: Array
    lift: Array
    hold: Array

    def total(self) -> Array:
        """Return the weighted sum, (N,)."""
        total: Array = sum(
            (weight * getattr(self, name) for name, weight in WEIGHTS.items()),
            np.zeros(len(self.approach)),
        )
        return total


class LiftTask(Task):
    """Lifts the first thing in the tray; an episode succeeds that ends with it held up."""

    def __init__(
        self, settings: LiftSettings, engine: str, robot: Robot, world: World, step_ns: int
    ) -> None:
        """Add the task's arrays to a world.

        Raises:
            UserError: if the world lacks a datapack of the robot's or the scene's, a thing may lie
                as high as it is to be lifted, or the tool does not get everywhere.
        """
        self._settings = settings
        self._step_s = step_ns / NANOSECONDS["s"]
        self._hand = Hand(engine, robot, world, "tool_velocity")
        self._contents = contents = Contents(settings, engine, world, 2 * self._hand.open_m)
        lies_m = max(thing.solid.radius_m for thing in contents.shown)
        if lies_m >= settings.lifted_m:
            raise UserError(
                f"task.lifted_m: {settings.lifted_m:g} must be above {lies_m:.3f}, where the "
                "middle of a thing may lie."
            )
        hold_s = settings.hold / NANOSECONDS["s"]
        self._held = Held(world, 1, settings.lifted_m, hold_s)
        heights = TRAY.floor_m + np.array(settings.height_m)
        low, high = np.array([settings.x_m, settings.y_m, heights, settings.yaw_rad]).T
        greatest = np.array([settings.speed_m_s] * 3 + [settings.turn_rad_s])
        self._steering = Steering(robot, low, high, greatest, self._step_s)
        n = world.num_instances
        world.arrays |= {
            "lift_target": np.zeros((n, 4)),
            "lift_closing": np.zeros(n, np.bool_),
            "lift_opening": np.zeros(n),
            "lift_start": np.zeros(n),
            "lift_half_size": np.zeros((n, 3)),
        }
        self.observation_spec = ArraySpec((21,), dtype=np.dtype(np.float32))
        one, names = np.asarray(1.0), ("x", "y", "z", "yaw", "close")
        self.action_spec = ArraySpec((5,), low=-one, high=one, names=names)

    def reset(self, world: World, instances: Ids, rng: Sequence[Generator]) -> None:
        """Draw a thing and where over it the tool starts, with an open hand."""
        drawn = self._contents.reset(world, instances, rng)
        self._held.reset(world, instances)
        pairs = zip(drawn, rng, strict=True)
        target = self._steering.within(np.array([self._start(*pair) for pair in pairs]))
        self._hand.reset(world, self._steering.start(target), instances)
        arrays = world.arrays
        arrays["lift_target"][instances] = target
        arrays["lift_closing"][instances] = False
        arrays["lift_opening"][instances] = self._hand.open_m
        arrays["lift_start"][instances] = [d.poses[0, 2] - TRAY.floor_m for d in drawn]
        arrays["lift_half_size"][instances] = [d.things[0].solid.half_size_m for d in drawn]

    def act(self, world: World, action: npt.NDArray[Any]) -> None:
        """Move the tool, and close or open the hand."""
        arrays = world.arrays
        command = self._hand.joint_command(world)
        target, joints = self._steering.move(arrays["lift_target"], action[:, :4], command)
        arrays["lift_target"][...] = target
        arrays["lift_closing"][...] = action[:, 4] > 0
        arrays["lift_opening"][...] = self._hand.read(world, "gripper_position")
        self._hand.command(world, joints, arrays["lift_closing"])

    def observe(self, world: World) -> npt.NDArray[np.float32]:
        """Return where the tool is and how the thing lies before it, (N, 21).

        The tool's position from the middle of the tray's floor, the thing's from the tool, its
        shape (see `shape_in_hand`), how far the tool lags behind its target, its velocity, the
        hand's turn, how far it is open, and whether it is closing.
        """
        arrays, tool = world.arrays, self._hand.read(world, "tool_position")
        pose, target = self._contents.poses(world)[:, 0], arrays["lift_target"]
        fingers = [self._hand.read(world, "gripper_position"), arrays["lift_closing"]]
        parts = [
            tool - [*TRAY.centre_m, TRAY.floor_m],
            pose[:, :3] - tool,
            shape_in_hand(pose[:, 3:], arrays["lift_half_size"], target[:, 3]),
            target[:, :3] - tool,
            self._hand.read(world, "tool_velocity"),
            np.stack([target[:, 3], *fingers], axis=1),
        ]
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def reward(self, world: World, action: npt.NDArray[Any]) -> Array:
        """Return the weighted sum of `Parts`, 0 to 1, (N,)."""
        return self.parts(world).total()

    def parts(self, world: World) -> Parts:
        """Return what the reward is made of."""
        arrays = world.arrays
        distance = rewards.distance(
            self._contents.poses(world)[:, 0, :3] - self._hand.read(world, "tool_position")
        )
        opening = self._hand.read(world, "gripper_position")
        height, lifted_m = self._contents.heights(world)[:, 0], self._settings.lifted_m
        holds = arrays["lift_closing"] & (distance < WITHIN_M) & (opening > CLOSED_ON_NOTHING_M)
        holds &= np.abs(opening - arrays["lift_opening"]) < STILL_M
        return Parts(
            rewards.near(distance, APPROACH_M),
            holds.astype(np.float64),
            rewards.progress(height, arrays["lift_start"], lifted_m),
            (height > lifted_m).astype(np.float64),
        )

    def terminated(self, world: World) -> Bools:
        """Follow how long the thing is held; no episode ends by itself, (N,)."""
        everywhere = np.ones(world.num_instances, np.bool_)
        first = self._contents.heights(world)[:, :1]
        self._held.follow(world, first, everywhere, self._step_s)
        return ~everywhere

    def metrics(self, world: World) -> dict[str, Array]:
        """Return success, the thing's height over the floor and the parts of the reward."""
        parts = self.parts(world)
        return {
            "success": self._held.succeeded(world).astype(np.float64),
            "height_m": self._contents.heights(world)[:, 0],
            "held_s": self._held.longest(world)[1],
            "approach": parts.approach,
            "grasp": parts.grasp,
        }

    def draws(self, world: World, instance: int) -> Mapping[str, Any]:
        """Return what was drawn for the present episode of an instance."""
        return self._contents.draws(world, instance)

    def _start(self, drawn: Drawn, rng: Generator) -> Array:
        """Draw where the tool starts: x, y, z and yaw, (4,)."""
        settings = self._settings
        beside, yaw = settings.start_beside_m, settings.start_yaw_rad
        least, most = settings.start_above_m
        offset = rng.uniform([-beside, -beside, least, -yaw], [beside, beside, most, yaw])
        return np.array([*drawn.poses[0, :3], 0.0]) + offset


def shape_in_hand(quaternion: Array, half_size_m: Array, yaw_rad: Array) -> Array:
    """Return how things lie before hands, as six numbers in which no turn by half a circle shows.

    The matrix R diag(a) R^T, for the turn R of a thing against the hand's heading and the half
    lengths a of its main axes (docs/derivations.md, "Lifting"): xx, yy, zz, xy, xz, yz, m.

    Args:
        quaternion: of things in the base frame, w first, (N, 4).
        half_size_m: (N, 3).
        yaw_rad: of the hands about the vertical, (N,).
    """
    axes = Rotation.from_quat(quaternion, scalar_first=True).as_matrix()
    cosine, sine = np.cos(yaw_rad)[:, None], np.sin(yaw_rad)[:, None]
    x, y, z = axes[:, 0], axes[:, 1], axes[:, 2]
    x, y = cosine * x + sine * y, cosine * y - sine * x
    pairs = ((x, x), (y, y), (z, z), (x, y), (x, z), (y, z))
    return np.stack([(half_size_m * a * b).sum(axis=1) for a, b in pairs], axis=1)
