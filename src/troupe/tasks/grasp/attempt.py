"""An attempt to grasp, as waypoints of the arm: above, down, close, up, hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Array
from troupe.robots import Robot
from troupe.robots.kinematics import solve_pose
from troupe.robots.trajectory import durations_s

NUM_WAYPOINTS = 6
CLOSES, CLOSED, UP = 2, 3, 4
"""Numbers of the waypoints at which the fingers begin to close, are closed, and are up."""

TOUCHES_DOWN_S = 0.3
"""The least time for the last way down and the way up."""

NEVER_S = 1e6
"""When an arm reaches waypoints to which it does not go."""


@dataclass(frozen=True)
class Plan:
    """Attempts of N arms.

    Attributes:
        waypoints: joint angles, (N, 6, dof), rad.
        times_s: when each is reached, after the attempt begins, (N, 6).
        closes_s: after which the fingers close, (N,).
        is_reachable: whether the arm gets there, (N,).
    """

    waypoints: Array
    times_s: Array
    closes_s: Array
    is_reachable: npt.NDArray[np.bool_]


def plan(
    robot: Robot,
    start: Array,
    grasp: Array,
    *,
    above_m: float,
    up_m: float,
    close_s: float,
    hold_s: float,
    reach_s: float = 0.0,
    down_s: float = TOUCHES_DOWN_S,
) -> Plan:
    """Return how arms go about grasps.

    Args:
        robot: the arm.
        start: joint angles from which they begin, (N, dof), rad.
        grasp: tool frames in which the fingers close, (N, 4, 4), the tool pointing down.
        above_m: from how high over that the tool comes.
        up_m: height to which it lifts.
        close_s: for the fingers to close.
        hold_s: for which it holds still in the end.
        reach_s: the least time for the way to above the place.
        down_s: the least time from there down.
    """
    frames = np.repeat(grasp[:, None], 3, axis=1)
    frames[:, 0, 2, 3] += above_m
    frames[:, 2, 2, 3] = up_m
    guess = np.repeat(start, 3, axis=0)
    angles, reached = solve_pose(robot, frames.reshape(-1, 4, 4), guess)
    angles = angles.reshape(len(grasp), 3, -1)
    above, down, up = angles[:, 0], angles[:, 1], angles[:, 2]
    waypoints = np.stack([start, above, down, down, up, up], axis=1)
    least_s = np.array([reach_s, down_s, close_s, TOUCHES_DOWN_S, hold_s])
    spent_s = durations_s(waypoints, robot.velocity_limits, least_s)
    times_s = np.concatenate([np.zeros((len(grasp), 1)), spent_s.cumsum(axis=1)], axis=1)
    is_reachable: npt.NDArray[np.bool_] = np.all(reached.reshape(-1, 3), axis=1)
    return Plan(waypoints, times_s, times_s[:, CLOSES].copy(), is_reachable)


def pointing_down(position: Array, yaw_rad: Array) -> Array:
    """Return tool frames that point down: z of the tool is -z, x turned by yaw, (N, 4, 4)."""
    cosine, sine = np.cos(yaw_rad), np.sin(yaw_rad)
    frames = np.zeros((len(position), 4, 4))
    frames[:, 0, 0], frames[:, 1, 0] = -cosine, -sine
    frames[:, 0, 1], frames[:, 1, 1] = -sine, cosine
    frames[:, 2, 2] = -1.0
    frames[:, :3, 3] = position
    frames[:, 3, 3] = 1.0
    return frames
