"""Inverse kinematics of a serial arm, to tell whether a position can be reached."""

from __future__ import annotations

import numpy as np

from troupe.core.arrays import Array
from troupe.robots.robot import Robot

RESTARTS = 256
ITERATIONS = 60
DAMPING = 0.02


def position_jacobian(robot: Robot, joint_position: Array) -> Array:
    """Return the derivative of the tool's position by the joint angles, (..., 3, dof), m/rad.

    Column i is z_i x (p_tool - o_i), for the axis z_i and the origin o_i of joint i.
    """
    frames = robot.link_frames(joint_position)
    axes = np.array([joint.axis for joint in robot.joints])
    axes_base = np.einsum("...jab,jb->...ja", frames[..., :-1, :3, :3], axes)
    levers = frames[..., -1:, :3, 3] - frames[..., :-1, :3, 3]
    return np.swapaxes(np.cross(axes_base, levers), -1, -2)


def solve_position(robot: Robot, position: Array, tolerance_m: float = 1e-3) -> Array | None:
    """Return joint angles within the limits that bring the tool to a position, or None.

    Damped least squares, dq = J^T (J J^T + d^2 I)^-1 e, from several starting poses at once.

    Args:
        robot: the arm.
        position: (3,), m, in the base frame.
        tolerance_m: how near counts as there.
    """
    low, high = robot.position_limits
    rng = np.random.default_rng(0)
    angles = rng.uniform(low, high, (RESTARTS, len(low)))
    damping = DAMPING**2 * np.eye(3)
    for _ in range(ITERATIONS):
        error = position - robot.tool_pose(angles)[:, :3, 3]
        distance = np.linalg.norm(error, axis=1)
        if distance.min() < tolerance_m:
            solution: Array = angles[distance.argmin()]
            return solution
        jacobian = position_jacobian(robot, angles)
        transposed = np.swapaxes(jacobian, 1, 2)
        step = transposed @ np.linalg.solve(jacobian @ transposed + damping, error[..., None])
        angles = np.clip(angles + step[..., 0], low, high)
    return None
