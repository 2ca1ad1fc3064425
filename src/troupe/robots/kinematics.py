"""Inverse kinematics of a serial arm, many poses at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from troupe.core.arrays import Array
from troupe.robots.robot import Robot

RESTARTS = 256
ITERATIONS = 60
DAMPING = 0.02
POSE_ITERATIONS = 50
POSTURE_GAIN = 0.02
MAX_STEP = 0.5
"""Of a joint's angle in an iteration, rad."""


def position_jacobian(robot: Robot, joint_position: Array) -> Array:
    """Return the derivative of the tool's position by the joint angles, (..., 3, dof), m/rad.

    Column i is z_i x (p_tool - o_i), for the axis z_i and the origin o_i of joint i.
    """
    return pose_jacobian(robot, joint_position)[..., :3, :]


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


def pose_jacobian(robot: Robot, joint_position: Array) -> Array:
    """Return the derivative of the tool's pose by the joint angles, (..., 6, dof).

    The first three rows are `position_jacobian`'s, m/rad; the others are the joints' axes z_i, by
    which the tool turns.
    """
    return _pose_jacobian(robot, robot.link_frames(joint_position))


def solve_pose(
    robot: Robot,
    pose: Array,
    start: Array,
    tolerance: tuple[float, float] = (1e-4, 1e-3),
    iterations: int = POSE_ITERATIONS,
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return joint angles within the limits that bring the tool to poses, and which got there.

    Damped least squares as in `solve_position`, of position and rotation vector together; what the
    seventh joint leaves free moves towards the middle of the joints' ranges
    (docs/derivations.md, "Inverse kinematics").

    Args:
        robot: the arm.
        pose: T_base_tool, (N, 4, 4), m.
        start: angles to begin with, (N, dof) or (dof,), rad; solutions stay near them.
        tolerance: how near counts as there, m and rad.
        iterations: after which the search ends.

    Returns:
        (N, dof), rad, and (N,).
    """
    low, high = robot.position_limits
    angles = np.array(np.broadcast_to(start, (len(pose), len(low))))
    reached = np.zeros(len(pose), np.bool_)
    damping = DAMPING**2 * np.eye(6)
    for _ in range(iterations):
        frames = robot.link_frames(angles)
        error = _pose_error(frames[:, -1], pose)
        far = np.linalg.norm(error.reshape(-1, 2, 3), axis=2) > tolerance
        reached = ~far.any(axis=1)
        if reached.all():
            break
        jacobian = _pose_jacobian(robot, frames)
        transposed = np.swapaxes(jacobian, 1, 2)
        inner = np.linalg.inv(jacobian @ transposed + damping)
        inverse = transposed @ inner
        posture = POSTURE_GAIN * ((low + high) / 2 - angles)[..., None]
        step = inverse @ error[..., None] + posture - inverse @ (jacobian @ posture)
        moved = np.clip(angles + np.clip(step[..., 0], -MAX_STEP, MAX_STEP), low, high)
        angles = np.where(reached[:, None], angles, moved)
    return angles, reached


def _pose_jacobian(robot: Robot, frames: Array) -> Array:
    axes = np.array([joint.axis for joint in robot.joints])
    axes_base = np.einsum("...jab,jb->...ja", frames[..., :-1, :3, :3], axes)
    levers = frames[..., -1:, :3, 3] - frames[..., :-1, :3, 3]
    return np.swapaxes(np.concatenate([np.cross(axes_base, levers), axes_base], axis=-1), -1, -2)


def _pose_error(present: Array, desired: Array) -> Array:
    """Return position errors and rotation vectors from present to desired frames, (N, 6)."""
    turn = desired[:, :3, :3] @ np.swapaxes(present[:, :3, :3], 1, 2)
    vector = Rotation.from_matrix(turn).as_rotvec()
    return np.concatenate([desired[:, :3, 3] - present[:, :3, 3], vector], axis=1)
