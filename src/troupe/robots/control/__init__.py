"""Control of many arms at once, with the goals, tolerances and error codes of ros_control.

Enters: goals for instances, and what is measured. Leaves: commands, (N, ...), and what became of
the goals. Nothing here knows a simulator: what a controller's `update` takes and returns are the
arrays of an engine's packs. To add a controller, copy `gripper.py`: a `Controller` that says what
it reads, writes and claims.
"""

from troupe.robots.control.cartesian import CartesianController, MoveToPoseGoal
from troupe.robots.control.controller import Controller
from troupe.robots.control.gripper import (
    GripperCommand,
    GripperController,
    GripperResult,
    StallIs,
)
from troupe.robots.control.joint_trajectory import Feedback, JointTrajectoryController
from troupe.robots.control.manager import ControllerManager, ControllerState
from troupe.robots.control.results import ErrorCode, GoalStatus, Result
from troupe.robots.control.trajectory import (
    FollowJointTrajectoryGoal,
    JointTolerance,
    JointTrajectory,
)

__all__ = [
    "CartesianController",
    "Controller",
    "ControllerManager",
    "ControllerState",
    "ErrorCode",
    "Feedback",
    "FollowJointTrajectoryGoal",
    "GoalStatus",
    "GripperCommand",
    "GripperController",
    "GripperResult",
    "JointTolerance",
    "JointTrajectory",
    "JointTrajectoryController",
    "MoveToPoseGoal",
    "Result",
    "StallIs",
]
