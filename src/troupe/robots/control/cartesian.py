"""Moving tools to poses, by differential inverse kinematics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from troupe.core.arrays import Array, Ids
from troupe.core.time import NANOSECONDS
from troupe.robots.control.controller import NEVER_NS, Controller, Times
from troupe.robots.control.results import ErrorCode, GoalError, GoalStatus, Result
from troupe.robots.kinematics import (
    differential_step,
    is_frame,
    pose_error,
    solve_pose,
    solve_pose_anywhere,
)
from troupe.robots.robot import Robot
from troupe.robots.trajectory import PEAK, durations_s, share_of_way

LATE_NS = 2 * NANOSECONDS["s"]
STRAYED = (0.01, 0.05)
"""How far from its line a tool may be commanded before the motion is given up, m and rad."""

NEAR_LIMIT_RAD = 0.02


@dataclass(frozen=True, eq=False)
class MoveToPoseGoal:
    """A pose for the tool of one arm.

    Attributes:
        pose: T_base_tool, (4, 4), m.
        path: ``line``, the tool goes straight and turns evenly, or ``joints``, it goes as it comes.
        speed: of the tool on a line, at most, m/s.
        turning_speed: the same, rad/s; the joints' limits hold in any case.
        position_tolerance_m: how near counts as there.
        orientation_tolerance_rad: the same.
        goal_time_tolerance_ns: how late the tool may be there; -1 for any time.
        posture: angles towards which what the pose leaves free moves, (dof,), rad; default: the
            middle of the joints' ranges.
    """

    pose: npt.ArrayLike
    path: Literal["line", "joints"] = "line"
    speed: float = 0.25
    turning_speed: float = 1.0
    position_tolerance_m: float = 1e-3
    orientation_tolerance_rad: float = 1e-2
    goal_time_tolerance_ns: int = LATE_NS
    posture: npt.ArrayLike | None = None


class CartesianController(Controller[MoveToPoseGoal]):
    """Moves the tools of N arms to a pose each, at their own times.

    Where a joint's speed limit would be exceeded the tool slows down, and stays on its line.
    """

    reads = ("joint_position", "joint_velocity")
    writes = "joint_target"
    STATE = (
        "is_line",
        "begin",
        "goal",
        "start",
        "end",
        "posture",
        "duration_s",
        "spent_s",
        "over_ns",
        "tolerance",
        "late_ns",
        "command",
        "speed",
        "actual",
        "error",
    )

    def __init__(self, robot: Robot, joint_position: Array, *, lead_s: float | Array = 0.0) -> None:
        """Hold the arms where they are.

        Args:
            robot: the arm.
            joint_position: where the arms are, (N, dof), rad.
            lead_s: as of `JointTrajectoryController`.
        """
        n, dof = joint_position.shape
        super().__init__(robot.joint_names, n)
        self.robot, self._lead_s = robot, lead_s
        self.is_line = np.zeros(n, np.bool_)
        self.begin, self.goal = np.tile(np.eye(4), (2, n, 1, 1))
        self.start, self.end, self.posture, self.command, self.speed, self.actual = np.zeros(
            (6, n, dof)
        )
        self.duration_s, self.spent_s = np.zeros((2, n))
        self.over_ns, self.late_ns = np.zeros((2, n), np.int64)
        self.tolerance, self.error = np.zeros((2, n, 2))
        # only while goals are being accepted
        self._wanted, self._towards = np.zeros((n, 4, 4)), np.zeros((n, dof))
        self.hold(joint_position)

    def update(self, now_ns: int | Times, *measured: Array) -> Array:
        """Return the position commands of the present time, (N, dof), rad.

        Args:
            now_ns: the time, one for all arms or (N,).
            measured: joint positions, (N, dof), rad, and velocities, which do not matter.
        """
        passed_s = self._tick(now_ns)
        self.actual[...] = measured[0]
        if self.is_active.any():
            self._move(passed_s)
            self._judge()
        low, high = self.robot.position_limits
        leading: Array = np.clip(self.command + self._lead_s * self.speed, low, high)
        return leading

    def _accept_all(self, ids: Ids, goals: Sequence[MoveToPoseGoal]) -> list[Result]:
        """Note what is wanted one by one, and solve all poses together."""
        results = super()._accept_all(ids, goals)
        noted = [k for k, result in enumerate(results) if result]
        solving = ids[noted]
        poses, postures, here = self._wanted[solving], self._towards[solving], self.command[solving]
        angles, reached = solve_pose(self.robot, poses, here, posture=postures)
        for n in np.flatnonzero(~reached):
            found, is_there = solve_pose_anywhere(
                self.robot, poses[n], here[n], posture=postures[n]
            )
            angles[n], reached[n] = found[0], is_there[0]
            if not is_there[0]:
                why = _nearest(self.robot, found, poses[n])
                results[noted[n]] = Result(ErrorCode.NO_IK_SOLUTION, why)
        rows = np.array(noted, np.int64)[reached]
        self._begin(ids[rows], [goals[k] for k in rows.tolist()], angles[reached])
        return results

    def _accept(self, i: int, goal: MoveToPoseGoal) -> None:
        pose = _checked_pose(goal.pose)
        for name in ("speed", "turning_speed", "position_tolerance_m", "orientation_tolerance_rad"):
            if not getattr(goal, name) > 0:
                message = f"{name}: {getattr(goal, name)!r} is not greater than 0"
                raise GoalError(ErrorCode.INVALID_GOAL, message)
        if goal.path not in ("line", "joints"):
            message = f"path: '{goal.path}' is neither 'line' nor 'joints'"
            raise GoalError(ErrorCode.INVALID_GOAL, message)
        if goal.goal_time_tolerance_ns < -1:
            message = f"goal_time_tolerance_ns: {goal.goal_time_tolerance_ns} is negative"
            raise GoalError(ErrorCode.INVALID_GOAL, message)
        low, high = self.robot.position_limits
        posture = (low + high) / 2 if goal.posture is None else np.asarray(goal.posture, np.float64)
        if posture.shape != low.shape:
            message = f"posture: shape {posture.shape} where {low.shape} is wanted"
            raise GoalError(ErrorCode.INVALID_GOAL, message)
        if not np.isfinite(posture).all():
            j = int(np.flatnonzero(~np.isfinite(posture))[0])
            message = f"posture: {posture[j]} for '{self.robot.joint_names[j]}'"
            raise GoalError(ErrorCode.INVALID_GOAL, message)
        self._wanted[i], self._towards[i] = pose, posture

    def _begin(self, ids: Ids, goals: Sequence[MoveToPoseGoal], angles: Array) -> None:
        """Begin the ways of arms to poses that they attain with some joint angles."""
        here = self.command[ids]
        self.start[ids], self.end[ids], self.posture[ids] = here, angles, self._towards[ids]
        self.begin[ids], self.goal[ids] = self.robot.tool_pose(here), self._wanted[ids]
        self.is_line[ids] = [goal.path == "line" for goal in goals]
        speeds = np.array([(goal.speed, goal.turning_speed) for goal in goals]).reshape(-1, 2)
        on_line = PEAK * (_apart(self.begin[ids], self.goal[ids]) / speeds).max(axis=1)
        ways = np.stack([here, angles], axis=1)
        direct = durations_s(ways, self.robot.velocity_limits)[:, 0]
        self.duration_s[ids] = np.where(self.is_line[ids], on_line, direct)
        self.spent_s[ids], self.over_ns[ids] = 0.0, 0
        for i, goal in zip(ids.tolist(), goals, strict=True):
            self.tolerance[i] = goal.position_tolerance_m, goal.orientation_tolerance_rad
            late_ns = goal.goal_time_tolerance_ns
            self.late_ns[i] = late_ns if late_ns >= 0 else NEVER_NS

    def _move(self, passed_s: Array) -> None:
        """Take a step on the way of each arm that has one."""
        moving = np.flatnonzero(self.is_active)
        passed = passed_s[moving]
        spent = np.minimum(self.spent_s[moving] + passed, self.duration_s[moving])
        way = share_of_way(spent / np.maximum(self.duration_s[moving], 1e-9))
        desired = _between(self.begin[moving], self.goal[moving], way)
        most = self.robot.velocity_limits * passed[:, None]
        before, line = self.command[moving], self.is_line[moving]
        direct = self.start[moving] + way[:, None] * (self.end[moving] - self.start[moving])
        stepped, share = differential_step(
            self.robot, before, desired, np.maximum(most, 1e-12), self.posture[moving]
        )
        after = np.where(line[:, None], stepped, direct)
        share = np.where(line, share, 1.0)
        self.spent_s[moving] += share * (spent - self.spent_s[moving])
        self.command[moving] = after
        took_s = np.where(passed > 0, passed, np.inf)
        self.speed[moving] = (after - before) / took_s[:, None]
        # a step that was shortened is no straying: the tool waits for its joints
        whole = moving[line & (share == 1.0)]
        apart = _apart(self.robot.tool_pose(self.command[whole]), desired[line & (share == 1.0)])
        strayed = whole[(apart > STRAYED).any(axis=1)]
        self.error[strayed] = apart[(apart > STRAYED).any(axis=1)]
        self._end(strayed, ErrorCode.PATH_TOLERANCE_VIOLATED)

    def _judge(self) -> None:
        """End goals that are reached, and those that come too late."""
        moving = np.flatnonzero(self.is_active)
        apart = _apart(self.robot.tool_pose(self.actual[moving]), self.goal[moving])
        self.error[moving] = apart
        is_over = self.spent_s[moving] >= self.duration_s[moving]
        is_there = is_over & (apart <= self.tolerance[moving]).all(axis=1)
        self.status[moving[is_there]] = GoalStatus.SUCCEEDED
        self.speed[moving[is_over]] = 0.0
        first = is_over & (self.over_ns[moving] == 0)
        self.over_ns[moving[first]] = self.now_ns[moving[first]]
        late = self.now_ns[moving] - self.over_ns[moving] > self.late_ns[moving]
        self._end(moving[is_over & ~is_there & late], ErrorCode.GOAL_TOLERANCE_VIOLATED)

    def _found(self, ids: Ids, position: Array) -> None:
        self.actual[ids] = position

    def _stay(self, ids: Ids) -> None:
        self.command[ids] = self.actual[ids]
        self.speed[ids] = 0.0

    def _describe(self, i: int, code: ErrorCode) -> str:
        distance, turn = self.error[i]
        what = "its line" if code == ErrorCode.PATH_TOLERANCE_VIOLATED else "the goal"
        return (
            f"the tool is {distance * 1e3:.3g} mm and {turn:.3g} rad from {what}"
            f"{_at_limits(self.robot, self.command[i])}"
        )


def _checked_pose(pose: npt.ArrayLike) -> Array:
    matrix = np.asarray(pose, np.float64)
    if matrix.shape != (4, 4):
        message = f"pose: shape {matrix.shape} where (4, 4) is wanted"
        raise GoalError(ErrorCode.INVALID_GOAL, message)
    if not is_frame(matrix):
        raise GoalError(ErrorCode.INVALID_GOAL, "pose: its upper left is no rotation matrix")
    return matrix


def _between(begin: Array, goal: Array, share: Array) -> Array:
    """Return frames on straight ways, turned evenly, (N, 4, 4)."""
    away = pose_error(begin, goal) * share[:, None]
    frames = begin.copy()
    frames[:, :3, 3] += away[:, :3]
    frames[:, :3, :3] = Rotation.from_rotvec(away[:, 3:]).as_matrix() @ begin[:, :3, :3]
    return frames


def _apart(present: Array, desired: Array) -> Array:
    """Return distances, m, and angles, rad, between frames, (N, 2)."""
    apart: Array = np.linalg.norm(pose_error(present, desired).reshape(-1, 2, 3), axis=2)
    return apart


def _nearest(robot: Robot, angles: Array, pose: Array) -> str:
    """Say how near the arm gets to a pose that it does not reach."""
    apart = _apart(robot.tool_pose(angles), np.broadcast_to(pose, (len(angles), 4, 4)))
    nearest = int((apart @ [1.0, 0.1]).argmin())
    distance, turn = apart[nearest]
    return (
        f"pose: '{robot.name}' does not reach it within its limits; the nearest that was found is "
        f"{distance * 1e3:.3g} mm and {turn:.3g} rad away"
    )


def _at_limits(robot: Robot, angles: Array) -> str:
    low, high = robot.position_limits
    near = (angles < low + NEAR_LIMIT_RAD) | (angles > high - NEAR_LIMIT_RAD)
    names = [f"'{name}'" for name, is_near in zip(robot.joint_names, near, strict=True) if is_near]
    return f"; at their limits: {', '.join(names)}" if names else ""
