"""Following of joint trajectories, as ros_control's joint_trajectory_controller does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Array, Ids
from troupe.core.time import NANOSECONDS
from troupe.robots.control.controller import NEVER_NS, Controller, Times
from troupe.robots.control.results import ErrorCode, GoalError, GoalStatus
from troupe.robots.control.splines import NUM_COEFFICIENTS, evaluate
from troupe.robots.control.tolerances import (
    GOAL,
    PATH,
    VIOLATION_WIDTH,
    describe,
    of_goal,
    unbounded_where_0,
    violations,
)
from troupe.robots.control.trajectory import (
    FollowJointTrajectoryGoal,
    Waypoints,
    check_between,
    checked,
    segments,
)
from troupe.robots.robot import START_TOLERANCE_RAD, Robot


@dataclass(frozen=True, eq=False)
class Feedback:
    """Where arms should be, where they are, and the difference, (N, dof) each.

    Attributes:
        desired_position: rad.
        desired_velocity: rad/s.
        actual_position: rad.
        actual_velocity: rad/s.
        error_position: desired less actual, rad.
        error_velocity: desired less actual, rad/s.
    """

    desired_position: Array
    desired_velocity: Array
    actual_position: Array
    actual_velocity: Array
    error_position: Array
    error_velocity: Array


class JointTrajectoryController(Controller[FollowJointTrajectoryGoal]):
    """Lets N arms follow a trajectory each, at their own times.

    An arm without a goal holds: where it was put first, where its last goal led, or, when that was
    cancelled or aborted, where it was then. A new goal replaces one that is followed, and motion
    goes on from what was desired at the last update.
    """

    reads = ("joint_position", "joint_velocity")
    writes = "joint_target"
    STATE = (
        "knot_ns",
        "coefficients",
        "count",
        "tolerances",
        "time_tolerance_ns",
        "violation",
        "desired",
        "actual",
    )

    def __init__(
        self,
        robot: Robot,
        joint_position: Array,
        *,
        path_tolerance_rad: float = 0.0,
        goal_tolerance_rad: float = 0.0,
        stopped_velocity_tolerance: float = 0.01,
        goal_time_tolerance_ns: int = 0,
        lead_s: float | Array = 0.0,
    ) -> None:
        """Hold the arms where they are.

        Args:
            robot: the arm.
            joint_position: where the arms are, (N, dof), rad.
            path_tolerance_rad: of goals that give none; 0 for any distance.
            goal_tolerance_rad: of goals that give none; 0 for any distance.
            stopped_velocity_tolerance: at the end of goals that give none, rad/s; 0 for any.
            goal_time_tolerance_ns: of goals that give none; 0 to wait for ever.
            lead_s: by which commands lead what is desired, one time or (dof,); the joints' servos
                lag by `troupe.robots.robot.Servo.lag_s`.
        """
        n, dof = joint_position.shape
        super().__init__(robot.joint_names, n)
        self.robot = robot
        defaults = unbounded_where_0(
            path_tolerance_rad, 0.0, goal_tolerance_rad, stopped_velocity_tolerance
        )
        self._tolerances = np.repeat(defaults, dof).reshape(2, 2, dof)
        self._time_tolerance_ns, self._lead_s = goal_time_tolerance_ns, lead_s
        self.knot_ns = np.full((n, 1), NEVER_NS)
        self.coefficients = np.zeros((n, 1, NUM_COEFFICIENTS, dof))
        self.count = np.ones(n, np.int64)
        self.tolerances = np.tile(self._tolerances, (n, 1, 1, 1))
        self.time_tolerance_ns = np.zeros(n, np.int64)
        self.violation = np.full((n, VIOLATION_WIDTH), np.nan)
        self.desired = np.zeros((n, 3, dof))
        self.actual = np.zeros((n, 2, dof))
        self.hold(joint_position)

    def update(self, now_ns: int | Times, *measured: Array) -> Array:
        """Return the position commands of the present time, (N, dof), rad.

        Args:
            now_ns: the time, one for all arms or (N,).
            measured: joint positions, (N, dof), rad, and velocities, (N, dof), rad/s.
        """
        is_new = self.is_new.copy()
        self._tick(now_ns)
        if is_new.any():
            # goals that were sent before the first update begin with it
            begins = is_new[:, None] & (self.knot_ns != NEVER_NS)
            self.knot_ns += np.where(begins, self.now_ns[:, None], 0)
        joint_position, joint_velocity = measured
        self.actual[:, 0], self.actual[:, 1] = joint_position, joint_velocity
        self._sample()
        if self.is_active.any():
            self._judge()
        low, high = self.robot.position_limits
        leading = self.desired[:, 0] + self._lead_s * self.desired[:, 1]
        command: Array = np.clip(leading, low, high)
        return command

    @property
    def feedback(self) -> Feedback:
        """What was desired and measured at the last update."""
        position, velocity = self.desired[:, 0].copy(), self.desired[:, 1].copy()
        actual = self.actual.copy()
        errors = (position - actual[:, 0], velocity - actual[:, 1])
        return Feedback(position, velocity, actual[:, 0], actual[:, 1], *errors)

    def restore(
        self, snapshot: Mapping[str, npt.NDArray[Any]], instances: Ids | None = None
    ) -> None:
        """Return instances, None for all, to a snapshot's state, bit for bit."""
        width = snapshot["knot_ns"].shape[1]
        self._widen(width)
        more = (0, self.knot_ns.shape[1] - width)
        knot_ns = np.pad(snapshot["knot_ns"], ((0, 0), more), constant_values=NEVER_NS)
        coefficients = np.pad(snapshot["coefficients"], ((0, 0), more, (0, 0), (0, 0)))
        padded = {**snapshot, "knot_ns": knot_ns, "coefficients": coefficients}
        super().restore(padded, instances)

    def _accept(self, i: int, goal: FollowJointTrajectoryGoal) -> None:
        """Check an arm's goal and lay out its segments."""
        waypoints = checked(self.robot, goal.trajectory)
        tolerances = of_goal(self.robot, self._tolerances, goal.path_tolerance, goal.goal_tolerance)
        if goal.goal_time_tolerance_ns < -1:
            message = f"goal_time_tolerance_ns: {goal.goal_time_tolerance_ns} is negative"
            raise GoalError(ErrorCode.INVALID_GOAL, message)
        start, waypoints = self._from_here(i, goal.start_ns, waypoints)
        duration_s = np.diff(waypoints.times_ns) / NANOSECONDS["s"]
        # what tells the arm's start from the written one is no reason to refuse: a trajectory at
        # the speed limit could never begin
        written = segments(duration_s, waypoints.starting_at(start))
        check_between(self.robot, duration_s, written)
        parts = segments(duration_s, waypoints)

        count = len(waypoints.times_ns)
        self._widen(count)
        self.knot_ns[i], self.knot_ns[i, :count] = NEVER_NS, waypoints.times_ns
        self.coefficients[i] = 0.0
        self.coefficients[i, : count - 1] = parts
        self.coefficients[i, count - 1, 0] = waypoints.positions[-1]
        self.count[i] = count
        self.tolerances[i] = tolerances
        late_ns = goal.goal_time_tolerance_ns or self._time_tolerance_ns
        self.time_tolerance_ns[i] = late_ns if late_ns > 0 else NEVER_NS

    def _from_here(
        self, i: int, start_ns: int | None, waypoints: Waypoints
    ) -> tuple[Array, Waypoints]:
        """Return the written start, (dof,), and waypoints at absolute times from what is desired.

        Waypoints that are over are left out. Where none is written for now, what is desired is the
        start.
        """
        now_ns = int(self.now_ns[i])
        if self.is_new[i] and start_ns is not None:
            message = "start_ns: there is no time before the first update"
            raise GoalError(ErrorCode.INVALID_GOAL, message)
        times_ns = waypoints.times_ns + (now_ns if start_ns is None else start_ns)
        if times_ns[-1] < now_ns:
            message = f"start_ns: the trajectory ended at {times_ns[-1]} ns, it is {now_ns} ns"
            raise GoalError(ErrorCode.OLD_HEADER_TIMESTAMP, message)
        left = times_ns > now_ns
        start = self.desired[i, 0]
        if times_ns[0] == now_ns or not left.any():
            start = waypoints.positions[~left][-1]
            self._check_start(i, start)
        if not left.any():
            left[-1] = True
            return start, waypoints.some(times_ns, left)
        return start, waypoints.some(times_ns, left).after(now_ns, self.desired[i])

    def _check_start(self, i: int, first: Array) -> None:
        """Refuse a trajectory that begins at once, but elsewhere."""
        away = np.abs(first - self.desired[i, 0])
        if away.max() > START_TOLERANCE_RAD:
            j = int(away.argmax())
            raise GoalError(
                ErrorCode.INVALID_GOAL,
                f"positions: '{self.robot.joint_names[j]}' is to be at {first[j]:.4g} rad at once, "
                f"but is held at {self.desired[i, 0, j]:.4g} rad",
            )

    def _sample(self) -> None:
        """Work out what is desired now."""
        rows = np.arange(self.num_instances)
        passed = (self.knot_ns <= self.now_ns[:, None]).sum(axis=1) - 1
        knot = np.maximum(passed, 0)
        since_ns = np.where(passed >= 0, self.now_ns - self.knot_ns[rows, knot], 0)
        sampled = evaluate(self.coefficients[rows, knot], since_ns / NANOSECONDS["s"])
        self.desired[...] = np.stack(sampled, axis=1)

    def _judge(self) -> None:
        """End goals that are reached, and those whose tolerances are violated."""
        running, rows = self.is_active, np.arange(self.num_instances)
        late_ns = self.now_ns - self.knot_ns[rows, self.count - 1]
        is_over = late_ns >= 0
        tolerance = np.where(
            is_over[:, None, None], self.tolerances[:, GOAL], self.tolerances[:, PATH]
        )
        found = violations(self.desired[:, :2], self.actual, tolerance)
        is_within = np.isnan(found[:, 0])
        self.status[running & is_over & is_within] = GoalStatus.SUCCEEDED
        strayed = running & ~is_over & ~is_within
        missed = running & is_over & ~is_within & (late_ns > self.time_tolerance_ns)
        self.violation = np.where((strayed | missed)[:, None], found, self.violation)
        self._end(np.flatnonzero(strayed), ErrorCode.PATH_TOLERANCE_VIOLATED)
        self._end(np.flatnonzero(missed), ErrorCode.GOAL_TOLERANCE_VIOLATED)

    def _found(self, ids: Ids, position: Array) -> None:
        self.actual[ids] = 0.0
        self.actual[ids, 0] = position

    def _describe(self, i: int, code: ErrorCode) -> str:
        return describe(self.robot, code, self.violation[i])

    def _stay(self, ids: Ids) -> None:
        """Let arms hold where they were measured, or at the limits that they sag beyond."""
        here = np.clip(self.actual[ids, 0], *self.robot.position_limits)
        self.knot_ns[ids], self.count[ids] = NEVER_NS, 1
        self.coefficients[ids] = 0.0
        self.coefficients[ids, 0, 0] = here
        self.desired[ids] = 0.0
        self.desired[ids, 0] = here

    def _widen(self, count: int) -> None:
        """Make room for trajectories of so many knots."""
        more = (0, max(0, count - self.knot_ns.shape[1]))
        self.knot_ns = np.pad(self.knot_ns, ((0, 0), more), constant_values=NEVER_NS)
        self.coefficients = np.pad(self.coefficients, ((0, 0), more, (0, 0), (0, 0)))
