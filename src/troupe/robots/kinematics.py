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
POSE_RESTARTS = 32
POSTURE_GAIN = 0.02
POSTURE_SHARE = 0.3
"""Of the joints' speed limits, which may go into the posture."""

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
    posture: Array | None = None,
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return joint angles within the limits that bring the tool to poses, and which got there.

    Damped least squares as in `solve_position`, of position and rotation vector together; what the
    seventh joint leaves free moves towards a posture (docs/derivations.md, "Inverse kinematics").

    Args:
        robot: the arm.
        pose: T_base_tool, (N, 4, 4), m.
        start: angles to begin with, (N, dof) or (dof,), rad; solutions stay near them.
        tolerance: how near counts as there, m and rad.
        iterations: after which the search ends.
        posture: angles, (N, dof) or (dof,), rad; default: the middle of the joints' ranges.

    Returns:
        (N, dof), rad, and (N,).
    """
    low, high = robot.position_limits
    angles = np.array(np.broadcast_to(start, (len(pose), len(low))))
    reached = np.zeros(len(pose), np.bool_)
    wanted = (low + high) / 2 if posture is None else posture
    for _ in range(iterations):
        frames = robot.link_frames(angles)
        error = pose_error(frames[:, -1], pose)
        apart = np.linalg.norm(error.reshape(-1, 2, 3), axis=2)
        reached = (apart <= tolerance).all(axis=1)
        if reached.all():
            break
        step = _damped_step(_pose_jacobian(robot, frames), error, wanted - angles)
        moved = np.clip(angles + np.clip(step, -MAX_STEP, MAX_STEP), low, high)
        angles = np.where(reached[:, None], angles, moved)
    return angles, reached


def solve_pose_anywhere(
    robot: Robot,
    pose: Array,
    start: Array,
    *,
    posture: Array | None = None,
    restarts: int = POSE_RESTARTS,
    seed: int = 0,
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return joint angles for one pose from several starts, and which of them get there.

    Args:
        robot: the arm.
        pose: T_base_tool, (4, 4), m.
        start: the first start, (dof,), rad; the others are drawn.
        posture: as for `solve_pose`.
        restarts: how many others.
        seed: of the draws.

    Returns:
        (1 + restarts, dof), rad, those that get there first, by their distance from the start;
        and (1 + restarts,).
    """
    low, high = robot.position_limits
    drawn = np.random.default_rng(seed).uniform(low, high, (restarts, len(low)))
    starts = np.concatenate([start[None], drawn])
    poses = np.broadcast_to(pose, (len(starts), 4, 4))
    angles, reached = solve_pose(robot, poses, starts, posture=posture)
    order = np.lexsort([np.abs(angles - start).max(axis=1), ~reached])
    return angles[order], reached[order]


def differential_step(
    robot: Robot, joint_position: Array, pose: Array, max_change: Array, posture: Array
) -> tuple[Array, Array]:
    """Return joint angles one step nearer to poses, within the limits of positions and speeds.

    A joint that would leave its range stays, and the others make up for it; a step that is too fast
    for a joint is shortened for all, so that the tool keeps its direction (docs/derivations.md,
    "Differential inverse kinematics").

    Args:
        robot: the arm.
        joint_position: present angles, (N, dof), rad.
        pose: T_base_tool to go to, (N, 4, 4), m.
        max_change: of each joint in this step, (dof,) or (N, dof), rad.
        posture: towards which what is left free moves, (N, dof) or (dof,), rad.

    Returns:
        (N, dof), rad, and the share of the step that was made, (N,).
    """
    low, high = robot.position_limits
    frames = robot.link_frames(joint_position)
    error, jacobian = pose_error(frames[:, -1], pose), _pose_jacobian(robot, frames)
    free, step = np.ones(joint_position.shape, np.bool_), np.zeros(joint_position.shape)
    most = POSTURE_SHARE / POSTURE_GAIN * max_change
    towards = np.clip(posture - joint_position, -most, most)
    for _ in range(joint_position.shape[1]):
        step = _damped_step(jacobian * free[:, None], error, np.where(free, towards, 0.0))
        moved = joint_position + step
        leaving = free & ((moved < low) | (moved > high))
        if not leaving.any():
            break
        free &= ~leaving
    share: Array = 1 / np.maximum((np.abs(step) / max_change).max(axis=1), 1.0)
    return np.clip(joint_position + share[:, None] * step, low, high), share


def is_frame(matrix: Array) -> bool:
    """Whether a (4, 4) matrix is finite and has a rotation in its upper left."""
    turn = matrix[:3, :3]
    is_rotation = np.allclose(turn @ turn.T, np.eye(3), atol=1e-6) and np.linalg.det(turn) > 0
    return bool(is_rotation and np.isfinite(matrix).all())


def pose_error(present: Array, desired: Array) -> Array:
    """Return position errors, m, and rotation vectors, rad, from present to desired, (N, 6)."""
    turn = desired[:, :3, :3] @ np.swapaxes(present[:, :3, :3], 1, 2)
    vector = Rotation.from_matrix(turn).as_rotvec()
    return np.concatenate([desired[:, :3, 3] - present[:, :3, 3], vector], axis=1)


def _damped_step(jacobian: Array, error: Array, towards: Array) -> Array:
    """Return J+ e + (1 - J+ J) k (posture - q), (N, dof), rad."""
    transposed = np.swapaxes(jacobian, 1, 2)
    inner = np.linalg.inv(jacobian @ transposed + DAMPING**2 * np.eye(6))
    inverse = transposed @ inner
    posture = POSTURE_GAIN * towards[..., None]
    step: Array = inverse @ error[..., None] + posture - inverse @ (jacobian @ posture)
    return step[..., 0]


def _pose_jacobian(robot: Robot, frames: Array) -> Array:
    axes = np.array([joint.axis for joint in robot.joints])
    axes_base = np.einsum("...jab,jb->...ja", frames[..., :-1, :3, :3], axes)
    levers = frames[..., -1:, :3, 3] - frames[..., :-1, :3, 3]
    return np.swapaxes(np.concatenate([np.cross(axes_base, levers), axes_base], axis=-1), -1, -2)
