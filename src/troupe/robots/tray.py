"""The tray from which an arm grasps: where it stands, in the arm's base frame."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tray:
    """A flat box without a lid.

    Attributes:
        centre_m: of its floor, x and y.
        floor_m: height of the surface on which things lie.
        half_size_m: of the floor within the walls, along x and y.
        wall_m: height of the walls over the floor.
        thickness_m: of floor and walls, so much that nothing falls through: the floor is partly in
            the ground.
    """

    centre_m: tuple[float, float] = (0.6, 0.0)
    floor_m: float = 0.01
    half_size_m: tuple[float, float] = (0.14, 0.18)
    wall_m: float = 0.03
    thickness_m: float = 0.03


TRAY = Tray()


def parked_pose(number: int) -> tuple[float, ...]:
    """Return where a thing that an episode leaves out lies: beside the robot, out of the way."""
    return (-0.4 - 0.2 * (number // 5), -0.4 + 0.2 * (number % 5), 0.2, 1.0, 0.0, 0.0, 0.0)
