"""Opening and closing grippers, as ros_control's gripper_action_controller does it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from troupe.core.arrays import Array, Ids
from troupe.core.time import NANOSECONDS
from troupe.robots.control.controller import Controller, Times
from troupe.robots.control.results import ErrorCode, GoalError, GoalStatus
from troupe.robots.robot import Gripper

GOAL_TOLERANCE_M = 5e-4
STALL_SPEED = 2e-3
"""Of a finger that counts as still, m/s."""

STALL_TIMEOUT_NS = NANOSECONDS["s"] // 5


@dataclass(frozen=True)
class GripperCommand:
    """A goal for one gripper, as ``control_msgs/GripperCommand``.

    Attributes:
        position: how far each finger is to be from the middle, m.
        max_effort: of the actuator, N; 0 for its own limit.
    """

    position: float
    max_effort: float = 0.0


@dataclass(frozen=True)
class GripperResult:
    """What became of a command.

    Attributes:
        position: of each finger from the middle, m.
        effort: of the actuator, N; positive opens.
        stalled: whether the fingers stand still without being there, as on a thing.
        reached_goal: whether they are there.
    """

    position: float
    effort: float
    stalled: bool
    reached_goal: bool


class StallIs(Enum):
    """What it means that fingers stall before they are there."""

    SUCCESS = "success"
    FAILURE = "failure"


class GripperController(Controller[GripperCommand]):
    """Closes and opens the grippers of N arms, each at its own time.

    An effort below the actuator's is kept by a target so near to the fingers that their position
    controller asks for no more: it is k (target - position), docs/derivations.md, "Effort of a
    gripper". A gripper goes on holding with the effort of its last command.

    Attributes:
        stalled: fingers that stand still without being there, (N,).
        reached_goal: fingers that are there, (N,).
    """

    reads = ("gripper_position",)
    writes = "gripper_target"
    STATE = (
        "position",
        "goal",
        "max_effort",
        "target",
        "moved_ns",
        "stalled",
        "reached_goal",
    )

    def __init__(
        self,
        gripper: Gripper,
        position: Array,
        *,
        goal_tolerance_m: float = GOAL_TOLERANCE_M,
        stall_speed: float = STALL_SPEED,
        stall_timeout_ns: int = STALL_TIMEOUT_NS,
        stall_is: StallIs = StallIs.SUCCESS,
    ) -> None:
        """Hold the fingers where they are.

        Args:
            gripper: of the arm.
            position: of each finger from the middle, (N,), m.
            goal_tolerance_m: how near counts as there.
            stall_speed: of a finger that counts as still, m/s.
            stall_timeout_ns: how long it must be still.
            stall_is: whether a goal whose fingers stall succeeded or is aborted.
        """
        n = len(position)
        super().__init__(("gripper",), n)
        self.gripper = gripper
        self._goal_tolerance_m, self._stall_speed = goal_tolerance_m, stall_speed
        self._stall_timeout_ns, self._stall_is = stall_timeout_ns, stall_is
        self.position, self.goal, self.target = np.zeros((3, n))
        self.max_effort = np.full(n, gripper.effort_limit)
        self.moved_ns = np.zeros(n, np.int64)
        self.stalled, self.reached_goal = np.zeros((2, n), np.bool_)
        self.hold(position)

    def update(self, now_ns: int | Times, *measured: Array) -> Array:
        """Return the position commands of the present time, (N,), m.

        Args:
            now_ns: the time, one for all arms or (N,).
            measured: how far each finger is from the middle, (N,), m.
        """
        before = self.position.copy()
        passed_s = self._tick(now_ns)
        self.position[...] = measured[0]
        moves = np.abs(self.position - before) > self._stall_speed * passed_s
        # a goal that was just sent has not had time to move anything
        since_ns = np.where(moves | (self.moved_ns < 0), self.now_ns, self.moved_ns)
        self.moved_ns[...] = since_ns
        running = self.is_active
        self.reached_goal[running] = (
            np.abs(self.position - self.goal)[running] <= self._goal_tolerance_m
        )
        still = self.now_ns - self.moved_ns >= self._stall_timeout_ns
        self.stalled[running] = (still & ~self.reached_goal)[running]
        fails = self._stall_is is StallIs.FAILURE
        done = running & (self.reached_goal | (self.stalled & (not fails)))
        self.status[done] = GoalStatus.SUCCEEDED
        self._end(np.flatnonzero(running & self.stalled & fails), ErrorCode.GOAL_TOLERANCE_VIOLATED)
        reach_m = self.max_effort / self.gripper.stiffness
        away = np.clip(self.goal - self.position, -reach_m, reach_m)
        is_limited = self.max_effort < self.gripper.effort_limit
        self.target[...] = np.where(is_limited, self.position + away, self.goal)
        low, high = self.gripper.position_limits
        command: Array = np.clip(self.target, low, high)
        return command

    def outcome(self, instance: int) -> GripperResult:
        """Return where a gripper is with its last command."""
        wanted = self.gripper.stiffness * (self.target[instance] - self.position[instance])
        limit = self.gripper.effort_limit
        return GripperResult(
            float(self.position[instance]),
            float(np.clip(wanted, -limit, limit)),
            bool(self.stalled[instance]),
            bool(self.reached_goal[instance]),
        )

    def _accept(self, i: int, goal: GripperCommand) -> None:
        low, high = self.gripper.position_limits
        if not low <= goal.position <= high:
            message = f"position: {goal.position!r} m is not between {low:g} and {high:g}"
            raise GoalError(ErrorCode.INVALID_GOAL, message)
        limit = self.gripper.effort_limit
        if not 0 <= goal.max_effort <= limit:
            message = f"max_effort: {goal.max_effort!r} N is not between 0 and {limit:g}"
            raise GoalError(ErrorCode.INVALID_GOAL, message)
        self.goal[i], self.max_effort[i] = goal.position, goal.max_effort or limit
        self.stalled[i] = self.reached_goal[i] = False
        self.moved_ns[i] = -1

    def _found(self, ids: Ids, position: Array) -> None:
        self.position[ids] = position
        self.max_effort[ids] = self.gripper.effort_limit
        self.stalled[ids] = self.reached_goal[ids] = False
        self.moved_ns[ids] = -1

    def _stay(self, ids: Ids) -> None:
        self.goal[ids] = self.target[ids] = self.position[ids]

    def _describe(self, i: int, code: ErrorCode) -> str:
        return f"the fingers stalled at {self.position[i]:.4g} m"
