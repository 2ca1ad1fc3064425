"""What becomes of goals, in the words and numbers of ROS's actions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class GoalStatus(IntEnum):
    """Where a goal is; the numbers are those of ``action_msgs/GoalStatus``."""

    UNKNOWN = 0
    ACCEPTED = 1
    EXECUTING = 2
    CANCELING = 3
    SUCCEEDED = 4
    CANCELED = 5
    ABORTED = 6


class ErrorCode(IntEnum):
    """Why a goal ended; those of ``FollowJointTrajectory``, and one of MoveIt's."""

    SUCCESSFUL = 0
    INVALID_GOAL = -1
    INVALID_JOINTS = -2
    OLD_HEADER_TIMESTAMP = -3
    PATH_TOLERANCE_VIOLATED = -4
    GOAL_TOLERANCE_VIOLATED = -5
    NO_IK_SOLUTION = -31


@dataclass(frozen=True)
class Result:
    """What became of a goal, or of the attempt to send one.

    Attributes:
        error_code: of what went wrong.
        error_string: in words, with joint and values; empty if nothing did.
    """

    error_code: ErrorCode = ErrorCode.SUCCESSFUL
    error_string: str = ""

    def __bool__(self) -> bool:
        """Whether all went well."""
        return self.error_code == ErrorCode.SUCCESSFUL


class GoalError(Exception):
    """A goal cannot be accepted; it becomes the `Result` that its sender gets."""

    def __init__(self, error_code: ErrorCode, error_string: str) -> None:
        """Say why."""
        super().__init__(error_string)
        self.result = Result(error_code, error_string)
