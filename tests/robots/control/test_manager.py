"""Controllers take turns, and no joint has two."""

import numpy as np
import pytest

from troupe.core.errors import UserError
from troupe.robots.control import (
    CartesianController,
    ControllerManager,
    ControllerState,
    ErrorCode,
    FollowJointTrajectoryGoal,
    GoalStatus,
    GripperController,
    JointTrajectory,
    JointTrajectoryController,
)
from troupe.robots.iiwa import ROBOT

HOME = np.tile(ROBOT.home, (2, 1))
PACKS = {
    "joint_position": HOME,
    "joint_velocity": np.zeros((2, 7)),
    "gripper_position": np.full(2, 0.03),
}


@pytest.fixture
def manager() -> ControllerManager:
    made = ControllerManager()
    made.load("follow", JointTrajectoryController(ROBOT, HOME))
    made.load("tool", CartesianController(ROBOT, HOME))
    made.load("hand", GripperController(ROBOT.gripper, np.zeros(2)))
    return made


def test_controllers_are_listed_with_their_state_and_joints(manager) -> None:
    manager.switch(["follow", "hand"], read=PACKS.__getitem__)
    joints = ROBOT.joint_names
    assert manager.list_controllers() == [
        ControllerState("follow", "JointTrajectoryController", "active", joints),
        ControllerState("tool", "CartesianController", "inactive", joints),
        ControllerState("hand", "GripperController", "active", ("gripper",)),
    ]


def test_only_active_controllers_command_and_they_hold_what_they_found(manager) -> None:
    manager.switch(["hand"], read=PACKS.__getitem__)
    written = {}
    manager.update(0, PACKS.__getitem__, written.__setitem__)
    assert list(written) == ["gripper_target"]
    np.testing.assert_array_equal(written["gripper_target"], 0.03)
    manager.switch(["tool"], ["hand"], read=PACKS.__getitem__)
    written.clear()
    manager.update(0, PACKS.__getitem__, written.__setitem__)
    assert list(written) == ["joint_target"]
    np.testing.assert_array_equal(written["joint_target"], HOME)


def test_two_active_controllers_never_claim_a_joint(manager) -> None:
    manager.switch(["follow"], read=PACKS.__getitem__)
    with pytest.raises(UserError, match="'follow' and 'tool' both claim joint 'joint1'"):
        manager.switch(["tool", "hand"], read=PACKS.__getitem__)
    states = [found.state for found in manager.list_controllers()]
    assert states == ["active", "inactive", "inactive"]
    manager.switch(["tool"], ["follow"], read=PACKS.__getitem__)
    states = [found.state for found in manager.list_controllers()]
    assert states == ["inactive", "active", "inactive"]


def test_goals_of_a_controller_that_stops_are_cancelled(manager) -> None:
    manager.switch(["follow"], read=PACKS.__getitem__)
    follow = manager.controller("follow")
    follow.send(FollowJointTrajectoryGoal(JointTrajectory(ROBOT.joint_names, [10**9], HOME[:1])))
    manager.switch(deactivate=["follow"], read=PACKS.__getitem__)
    assert follow.status.tolist() == [GoalStatus.CANCELED] * 2


def test_controllers_that_are_inactive_accept_no_goals(manager) -> None:
    goal = FollowJointTrajectoryGoal(JointTrajectory(ROBOT.joint_names, [10**9], HOME[:1]))
    early = JointTrajectoryController(ROBOT, HOME)
    assert all(early.send(goal))  # without a manager
    manager.load("early", early)
    assert early.status.tolist() == [GoalStatus.CANCELED] * 2
    follow = manager.controller("follow")
    for _ in range(2):
        for controller in (early, follow):
            found = controller.send(goal)
            assert [result.error_code for result in found] == [ErrorCode.INVALID_GOAL] * 2
            assert found[0].error_string == "the controller is inactive"
            assert not controller.is_active.any()
        manager.switch(["follow"], read=PACKS.__getitem__)
        assert all(follow.send(goal))
        manager.switch(deactivate=["follow"], read=PACKS.__getitem__)


def test_unknown_and_double_names_are_told(manager) -> None:
    with pytest.raises(UserError, match=r"unknown controller 'folow'. Did you mean 'follow'\?"):
        manager.switch(["folow"], read=PACKS.__getitem__)
    with pytest.raises(UserError, match="'hand' is loaded already"):
        manager.load("hand", GripperController(ROBOT.gripper, np.zeros(2)))
