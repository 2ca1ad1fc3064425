"""Targets that a robot can reach, drawn at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from troupe.core.arrays import Array
from troupe.core.seeding import Generator
from troupe.robots import Robot

CANDIDATES = 4


class ReachableTargets:
    """Draws tool poses that some joint angles attain.

    Joint angles are drawn uniformly within the limits less a margin, and the tool pose follows by
    forward kinematics, so that every target can be reached. The first candidate is taken whose
    joints and tool keep clear of the floor and whose tool keeps clear of the base axis.
    """

    def __init__(self, robot: Robot, joint_margin_rad: float, clearance_m: float) -> None:
        """Draw for a robot.

        Args:
            robot: whose workspace is meant.
            joint_margin_rad: distance of the drawn angles from the joint limits.
            clearance_m: least height above the floor, and distance from the base axis.
        """
        self._robot = robot
        low, high = robot.position_limits
        self._low, self._high = low + joint_margin_rad, high - joint_margin_rad
        self._clearance_m = clearance_m

    def draw(self, rng: Sequence[Generator]) -> tuple[Array, Array]:
        """Return one target from each stream of randomness.

        Returns:
            Tool frames, (n, 4, 4), and joint angles that attain them, (n, dof).
        """
        frames = np.empty((len(rng), 4, 4))
        angles = np.empty((len(rng), len(self._low)))
        pending = np.arange(len(rng))
        while len(pending):
            shape = (CANDIDATES, len(self._low))
            candidates = np.stack([rng[i].uniform(self._low, self._high, shape) for i in pending])
            links = self._robot.link_frames(candidates)
            valid = self._is_clear(links)
            chosen = valid.argmax(axis=1)
            rows = np.arange(len(pending))
            frames[pending] = links[rows, chosen, -1]
            angles[pending] = candidates[rows, chosen]
            pending = pending[~valid.any(axis=1)]
        return frames, angles

    def _is_clear(self, links: Array) -> Array:
        heights = links[..., 2:, 2, 3]
        from_axis = links[..., -1, :2, 3] - links[..., 0, :2, 3]
        clear: Array = (heights > self._clearance_m).all(axis=-1) & (
            np.hypot(from_axis[..., 0], from_axis[..., 1]) > self._clearance_m
        )
        return clear
