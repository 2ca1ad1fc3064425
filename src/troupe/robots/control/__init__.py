"""Control of many arms at once, with the goals, tolerances and error codes of ros_control.

Enters: goals for instances, and what is measured. Leaves: commands, (N, ...), and what became of
the goals. Nothing here knows a simulator: `JointTrajectoryController.update` takes and returns the
arrays that any engine's packs ``joint_position``, ``joint_velocity`` and ``joint_target`` hold. To
add a controller, copy `gripper.py`: an `ArrayState` that says what it reads, writes and claims.
"""

from troupe.robots.control.joint_trajectory import Feedback, JointTrajectoryController
from troupe.robots.control.results import ErrorCode, GoalStatus, Result
from troupe.robots.control.trajectory import (
    FollowJointTrajectoryGoal,
    JointTolerance,
    JointTrajectory,
)

__all__ = [
    "ErrorCode",
    "Feedback",
    "FollowJointTrajectoryGoal",
    "GoalStatus",
    "JointTolerance",
    "JointTrajectory",
    "JointTrajectoryController",
    "Result",
]
