"""Trajectories of joints and goals to follow them, as users and planners write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Array
from troupe.core.time import NANOSECONDS
from troupe.robots.control.controller import Times
from troupe.robots.control.results import ErrorCode, GoalError
from troupe.robots.control.splines import cubic, evaluate, linear, quintic
from troupe.robots.robot import START_TOLERANCE_RAD, Robot
from troupe.robots.trajectory import durations_s

SLACK = 1e-6
"""Share of a limit by which rounding may exceed it."""

SAMPLES = 65
"""Points of a segment at which it is held against the limits."""


@dataclass(frozen=True, eq=False)
class JointTrajectory:
    """Waypoints of named joints, as ``trajectory_msgs/JointTrajectory``.

    Attributes:
        joint_names: in any order, all of the arm's.
        time_from_start_ns: when each waypoint is reached, (P,), increasing.
        positions: (P, dof), rad.
        velocities: (P, dof), rad/s; without them motion between waypoints is linear.
        accelerations: (P, dof), rad/s²; without them it is cubic, with them quintic.
    """

    joint_names: Sequence[str]
    time_from_start_ns: npt.ArrayLike
    positions: npt.ArrayLike
    velocities: npt.ArrayLike | None = None
    accelerations: npt.ArrayLike | None = None

    @classmethod
    def through(cls, robot: Robot, waypoints: Array, least_s: float = 0.0) -> JointTrajectory:
        """Return the fastest trajectory that rests in each waypoint, within the speed limits.

        The quintics between them are those of `troupe.robots.trajectory`.

        Args:
            robot: the arm.
            waypoints: (P, dof), rad; where the arm is, then where it goes. An arm that is at most
                `START_TOLERANCE_RAD` outside its limits begins at them.
            least_s: durations of segments that are not undercut.
        """
        here = robot.at_limits(waypoints[:1], START_TOLERANCE_RAD)
        waypoints = np.concatenate([here, waypoints[1:]])
        spent_s = durations_s(waypoints[None], robot.velocity_limits, least_s)[0]
        spent_ns = np.ceil(spent_s * NANOSECONDS["s"]).astype(np.int64)
        moving = np.concatenate([[True], spent_ns > 0])
        times_ns = np.concatenate([[0], spent_ns.cumsum()])[moving]
        positions = waypoints[moving]
        rest = np.zeros_like(positions)
        return cls(robot.joint_names, times_ns, positions, rest, rest)


@dataclass(frozen=True)
class JointTolerance:
    """How far a joint may be from where it should; 0 is the controller's own, -1 any distance.

    Attributes:
        name: of the joint.
        position: rad.
        velocity: rad/s.
    """

    name: str
    position: float = 0.0
    velocity: float = 0.0


@dataclass(frozen=True, eq=False)
class FollowJointTrajectoryGoal:
    """A goal for one arm, as ``control_msgs/FollowJointTrajectory``.

    Attributes:
        trajectory: to follow.
        start_ns: when it starts, as its header's stamp; default: at the next update.
        path_tolerance: while it is followed.
        goal_tolerance: at its end.
        goal_time_tolerance_ns: how late the arm may be there; 0 is the controller's own, -1 any
            time.
    """

    trajectory: JointTrajectory
    start_ns: int | None = None
    path_tolerance: Sequence[JointTolerance] = ()
    goal_tolerance: Sequence[JointTolerance] = ()
    goal_time_tolerance_ns: int = 0


@dataclass(frozen=True, eq=False)
class Waypoints:
    """A checked trajectory in the arm's own order of joints, each (P, dof) but the times.

    Attributes:
        times_ns: from the start, (P,).
        positions: rad.
        velocities: rad/s; zeros if none were given.
        accelerations: rad/s²; zeros if none were given.
        order: of the polynomials between waypoints: 1, 3 or 5.
    """

    times_ns: Times
    positions: Array
    velocities: Array
    accelerations: Array
    order: int

    def some(self, times_ns: Times, rows: npt.NDArray[np.bool_]) -> Waypoints:
        """Return some of the waypoints, at other times, (P,)."""
        p, v, a = (k[rows] for k in (self.positions, self.velocities, self.accelerations))
        return Waypoints(times_ns[rows], p, v, a, self.order)

    def after(self, time_ns: int, state: Array) -> Waypoints:
        """Return the waypoints after one more, of position, velocity and acceleration (3, dof)."""
        own = (self.positions, self.velocities, self.accelerations)
        p, v, a = (np.vstack([first, rest]) for first, rest in zip(state, own, strict=True))
        return Waypoints(np.concatenate([[time_ns], self.times_ns]), p, v, a, self.order)

    def starting_at(self, position: Array) -> Waypoints:
        """Return the same waypoints with another first position, (dof,)."""
        return replace(self, positions=np.vstack([position, self.positions[1:]]))


def checked(robot: Robot, trajectory: JointTrajectory) -> Waypoints:
    """Return the waypoints of a trajectory in the robot's order of joints.

    Raises:
        GoalError: if joints, times, sizes or limits are wrong.
    """
    columns = _columns(robot, trajectory.joint_names)
    times_ns = np.asarray(trajectory.time_from_start_ns)
    if times_ns.ndim != 1 or not len(times_ns):
        raise GoalError(ErrorCode.INVALID_GOAL, "the trajectory has no waypoints")
    if not np.issubdtype(times_ns.dtype, np.integer):
        raise GoalError(
            ErrorCode.INVALID_GOAL,
            f"time_from_start_ns: whole nanoseconds are wanted, not {times_ns.dtype}",
        )
    late = np.flatnonzero(np.diff(times_ns) <= 0)
    if times_ns[0] < 0 or len(late):
        i = int(late[0]) + 1 if len(late) else 0
        before = f" after {times_ns[i - 1]}" if i else ""
        raise GoalError(
            ErrorCode.INVALID_GOAL,
            f"time_from_start_ns: waypoint {i} is at {times_ns[i]}{before}; times must increase",
        )
    given = {
        "positions": trajectory.positions,
        "velocities": trajectory.velocities,
        "accelerations": trajectory.accelerations,
    }
    if given["velocities"] is None and given["accelerations"] is not None:
        raise GoalError(ErrorCode.INVALID_GOAL, "accelerations: they need velocities too")
    order = 1 + 2 * sum(values is not None for values in list(given.values())[1:])
    zeros = np.zeros((len(times_ns), len(columns)))
    values = {
        name: zeros if value is None else _values(name, value, zeros.shape)[:, columns]
        for name, value in given.items()
    }
    found = Waypoints(times_ns.astype(np.int64), **values, order=order)
    _check_limits(robot, found.positions, found.velocities)
    if found.velocities[-1].any():
        joint = int(np.flatnonzero(found.velocities[-1])[0])
        raise GoalError(
            ErrorCode.INVALID_GOAL,
            f"velocities: '{robot.joint_names[joint]}' ends at {found.velocities[-1, joint]:g} "
            "rad/s; a trajectory ends at rest",
        )
    return found


def segments(duration_s: Array, waypoints: Waypoints) -> Array:
    """Return the coefficients between consecutive waypoints, (P - 1, 6, dof).

    Args:
        duration_s: of each segment, (P - 1,).
        waypoints: P of them.
    """
    ends = (waypoints.positions[:-1], waypoints.positions[1:])
    if waypoints.order == 1:
        return linear(duration_s, *ends)
    speeds = (waypoints.velocities[:-1], waypoints.velocities[1:])
    if waypoints.order == 3:
        return cubic(duration_s, *ends, *speeds)
    changes = (waypoints.accelerations[:-1], waypoints.accelerations[1:])
    return quintic(duration_s, *ends, *speeds, *changes)


def check_between(robot: Robot, duration_s: Array, coefficients: Array) -> None:
    """Hold segments against the limits of positions and speeds.

    Args:
        robot: whose limits count.
        duration_s: (S,).
        coefficients: (S, 6, dof).

    Raises:
        GoalError: that names the joint.
    """
    time_s = duration_s[:, None] * np.linspace(0, 1, SAMPLES)
    position, velocity, _ = evaluate(coefficients[:, None], time_s)
    dof = len(robot.joints)
    _check_limits(robot, position.reshape(-1, dof), velocity.reshape(-1, dof))


def _columns(robot: Robot, names: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return where each of the robot's joints stands among names."""
    valid = ", ".join(robot.joint_names)
    for name in names:
        if name not in robot.joint_names:
            message = f"joint_names: '{robot.name}' has no joint '{name}'; valid: {valid}"
            raise GoalError(ErrorCode.INVALID_JOINTS, message)
        if list(names).count(name) > 1:
            raise GoalError(ErrorCode.INVALID_JOINTS, f"joint_names: '{name}' stands there twice")
    missing = [name for name in robot.joint_names if name not in names]
    if missing:
        message = f"joint_names: '{missing[0]}' is missing; all are wanted: {valid}"
        raise GoalError(ErrorCode.INVALID_JOINTS, message)
    return np.array([list(names).index(name) for name in robot.joint_names])


def _values(name: str, given: npt.ArrayLike, shape: tuple[int, ...]) -> Array:
    values = np.asarray(given, np.float64)
    if values.shape != shape:
        message = f"{name}: shape {values.shape} where {shape} is wanted, waypoints by joints"
        raise GoalError(ErrorCode.INVALID_GOAL, message)
    if not np.isfinite(values).all():
        i, j = (int(k) for k in np.argwhere(~np.isfinite(values))[0])
        message = f"{name}: waypoint {i} holds {values[i, j]} for joint {j}"
        raise GoalError(ErrorCode.INVALID_GOAL, message)
    return values


def _check_limits(robot: Robot, position: Array, velocity: Array) -> None:
    low, high = robot.position_limits
    fastest = robot.velocity_limits
    for what, values, least, most, unit in (
        ("positions", position, low, high, "rad"),
        ("velocities", velocity, -fastest, fastest, "rad/s"),
    ):
        over = np.maximum(values - most, least - values)
        outside = over > SLACK * (most - least)
        if outside.any():
            j = int(np.where(outside, over, -np.inf).max(axis=0).argmax())
            i = int(over[:, j].argmax())
            raise GoalError(
                ErrorCode.INVALID_GOAL,
                f"{what}: '{robot.joint_names[j]}' would get to {values[i, j]:.7g} {unit}; its "
                f"limits are {least[j]:.7g} and {most[j]:.7g}",
            )
