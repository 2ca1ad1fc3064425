"""Targets for an arm's tool: drawn all over its workspace, or published ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Array
from troupe.core.errors import UserError
from troupe.core.seeding import Generator
from troupe.robots import Robot
from troupe.robots.kinematics import solve_position

CANDIDATES = 4

SHOULDER_CLEARANCES = 1.5
"""Distance of joints 4 and on from joint 1, in clearances: links are thicker than lines."""


class Targets(Protocol):
    """Draws target poses."""

    def draw(self, rng: Sequence[Generator]) -> Array:
        """Return one tool frame from each stream of randomness, (n, 4, 4)."""


class ReachableTargets:
    """Draws tool poses that some joint angles attain.

    Joint angles are drawn uniformly within the limits less a margin, and the tool pose follows by
    forward kinematics, so that every target can be reached. The first candidate is taken whose
    joints and tool keep clear of the floor and the shoulder, and whose tool keeps clear of the base
    axis and of the outer bound of the workspace, where the arm is stretched and cannot move its
    tool outwards.
    """

    def __init__(
        self, robot: Robot, joint_margin_rad: float, clearance_m: float, reach_margin_m: float
    ) -> None:
        """Draw for a robot.

        Args:
            robot: whose workspace is meant.
            joint_margin_rad: distance of the drawn angles from the joint limits.
            clearance_m: least height above the floor, and distance from the base axis.
            reach_margin_m: distance of the tool from the farthest that it gets from joint 1.

        Raises:
            UserError: if the margins leave nothing of the workspace.
        """
        self._robot = robot
        low, high = robot.position_limits
        self._low, self._high = low + joint_margin_rad, high - joint_margin_rad
        self._clearance_m = clearance_m
        if (self._low >= self._high).any():
            widest = float((high - low).min() / 2)
            raise UserError(
                f"task.joint_margin_rad: {joint_margin_rad} leaves no range to a joint; "
                f"valid: 0 to {widest:.3f}."
            )
        sample = np.random.default_rng(0).uniform(self._low, self._high, (4096, len(low)))
        frames = robot.link_frames(sample)
        self._reach_m = float(_from_shoulder(frames)[..., -1].max()) - reach_margin_m
        if not self._is_clear(frames).mean() > 0.02:
            raise UserError(
                f"task.clearance_m and task.reach_margin_m: {clearance_m} m and {reach_margin_m} m "
                f"leave nothing of the workspace; the arm reaches {robot.max_reach():.3f} m."
            )

    def draw(self, rng: Sequence[Generator]) -> Array:
        """Return one tool frame from each stream of randomness, (n, 4, 4)."""
        return self._robot.tool_pose(self.draw_joint_positions(rng))

    def draw_joint_positions(self, rng: Sequence[Generator]) -> Array:
        """Return angles that attain one target from each stream of randomness, (n, dof), rad."""
        angles = np.empty((len(rng), len(self._low)))
        pending = np.arange(len(rng))
        while len(pending):
            shape = (CANDIDATES, len(self._low))
            candidates = np.stack(
                [rng[int(i)].uniform(self._low, self._high, shape) for i in pending]
            )
            valid = self._is_clear(self._robot.link_frames(candidates))
            angles[pending] = candidates[np.arange(len(pending)), valid.argmax(axis=1)]
            pending = pending[~valid.any(axis=1)]
        return angles

    def _is_clear(self, links: Array) -> npt.NDArray[np.bool_]:
        positions = links[..., :3, 3]
        from_axis = positions[..., -1, :2] - positions[..., 0, :2]
        distance = np.hypot(from_axis[..., 0], from_axis[..., 1])
        high_enough = (positions[..., 2:, 2] > self._clearance_m).all(axis=-1)
        # an arm that folds back onto its shoulder would collide with itself
        from_shoulder = _from_shoulder(links)
        unfolded = (from_shoulder[..., 3:] > SHOULDER_CLEARANCES * self._clearance_m).all(axis=-1)
        within = (distance > self._clearance_m) & (from_shoulder[..., -1] < self._reach_m)
        clear: npt.NDArray[np.bool_] = high_enough & unfolded & within
        return clear


def _from_shoulder(links: Array) -> Array:
    """Return the distances of the joints and the tool from joint 1, (..., dof + 1), m."""
    positions = links[..., :3, 3]
    distances: Array = np.linalg.norm(positions - positions[..., :1, :], axis=-1)
    return distances


class GivenTargets:
    """Draws one of several given positions."""

    def __init__(self, positions: Array, rotation: Array) -> None:
        """Draw from positions, (K, 3) in metres, with one rotation, (3, 3)."""
        self._frames = np.tile(np.eye(4), (len(positions), 1, 1))
        self._frames[:, :3, 3] = positions
        self._frames[:, :3, :3] = rotation

    def draw(self, rng: Sequence[Generator]) -> Array:
        """Return one tool frame from each stream of randomness, (n, 4, 4)."""
        return self._frames[[int(r.integers(len(self._frames))) for r in rng]]


class BoxTargets:
    """Draws positions uniformly in a box, again where one cannot be reached."""

    def __init__(self, low: Array, high: Array, centre: Array, reach_m: float) -> None:
        """Draw from the part of a box, (3,) to (3,), that lies within reach of a centre."""
        self._low, self._high = low, high
        self._centre, self._reach_m = centre, reach_m

    def draw(self, rng: Sequence[Generator]) -> Array:
        """Return one tool frame from each stream of randomness, (n, 4, 4)."""
        frames = np.tile(np.eye(4), (len(rng), 1, 1))
        for i, generator in enumerate(rng):
            position = generator.uniform(self._low, self._high)
            while np.linalg.norm(position[:2] - self._centre[:2]) > self._reach_m:
                position = generator.uniform(self._low, self._high)
            frames[i, :3, 3] = position
        return frames


def check_reachable(robot: Robot, position: Array, where: str) -> None:
    """Check that the robot's tool can be brought to a position.

    Raises:
        UserError: if it cannot.
    """
    if solve_position(robot, position) is None:
        shown = ", ".join(f"{x:g}" for x in position)
        base = ", ".join(f"{x:g}" for x in robot.joints[0].offset)
        raise UserError(
            f"{where}: ({shown}) m is outside the workspace of {robot.name}, which reaches "
            f"at most {robot.max_reach():.3f} m from its first joint at ({base}) m."
        )
