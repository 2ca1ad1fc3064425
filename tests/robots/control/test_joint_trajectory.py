"""Trajectories are followed with the semantics of ROS: what is accepted, how goals end."""

import numpy as np
import pytest

from troupe.core.errors import UserError
from troupe.robots.control import (
    ErrorCode,
    FollowJointTrajectoryGoal,
    GoalStatus,
    JointTolerance,
    JointTrajectory,
    JointTrajectoryController,
)
from troupe.robots.iiwa import ROBOT
from troupe.robots.trajectory import durations_s, positions_at

NAMES = ROBOT.joint_names
HOME = ROBOT.home
AWAY = HOME + [0.3, -0.1, 0.0, 0.2, 0.0, -0.2, 0.4]
SECOND = 10**9
STEP = SECOND // 50
STILL = np.zeros((1, 7))


def controller(num_instances: int = 1, **settings) -> JointTrajectoryController:
    return JointTrajectoryController(ROBOT, np.tile(HOME, (num_instances, 1)), **settings)


def goal(*waypoints, times_ns=None, **more) -> FollowJointTrajectoryGoal:
    times_ns = times_ns or [SECOND * (i + 1) for i in range(len(waypoints))]
    return FollowJointTrajectoryGoal(JointTrajectory(NAMES, times_ns, list(waypoints)), **more)


def follow(made: JointTrajectoryController, begin_ns: int, end_ns: int) -> np.ndarray:
    """Let perfect arms do what they are told; all commands."""
    commands = []
    position = made.actual[:, 0].copy()
    for now_ns in range(begin_ns, end_ns + 1, STEP):
        command = made.update(now_ns, position, np.zeros_like(position))
        commands.append(command)
        position = command
    return np.array(commands)


def test_without_a_goal_arms_hold() -> None:
    made = controller(2)
    commands = follow(made, 0, SECOND)
    np.testing.assert_array_equal(commands, np.broadcast_to(HOME, commands.shape))
    assert made.status.tolist() == [GoalStatus.UNKNOWN] * 2


def test_positions_alone_are_joined_by_lines_and_reached_in_time() -> None:
    made = controller()
    assert all(made.send(goal(AWAY, HOME)))
    commands = follow(made, 0, 2 * SECOND)[:, 0]
    for share in (0.1, 0.5, 1.0):
        np.testing.assert_allclose(commands[int(50 * share)], HOME + share * (AWAY - HOME))
    np.testing.assert_allclose(commands[75], (HOME + AWAY) / 2)
    assert made.status[0] == GoalStatus.SUCCEEDED
    assert made.result(0)


def test_velocities_make_it_cubic_and_accelerations_quintic() -> None:
    rest = np.zeros((1, 7))
    made = controller(2)
    goals = [
        FollowJointTrajectoryGoal(JointTrajectory(NAMES, [SECOND], [AWAY], rest)),
        FollowJointTrajectoryGoal(JointTrajectory(NAMES, [SECOND], [AWAY], rest, rest)),
    ]
    assert all(made.send(goals))
    quarter = follow(made, 0, SECOND // 4)[-1]
    s = 0.24  # 12 steps of 20 ms
    for found, way in zip(
        quarter, (3 * s**2 - 2 * s**3, 10 * s**3 - 15 * s**4 + 6 * s**5), strict=True
    ):
        np.testing.assert_allclose(found, HOME + way * (AWAY - HOME))


def test_joints_may_stand_in_any_order() -> None:
    order = np.array([3, 0, 6, 1, 5, 2, 4])
    shuffled = JointTrajectory([NAMES[i] for i in order], [SECOND], [AWAY[order]])
    made = controller()
    assert all(made.send(FollowJointTrajectoryGoal(shuffled)))
    np.testing.assert_allclose(follow(made, 0, SECOND)[-1, 0], AWAY)


def test_each_arm_has_its_own_goal_at_its_own_time() -> None:
    made = controller(3)
    follow(made, 0, SECOND)
    assert all(made.send(goal(AWAY), np.array([2])))
    assert all(made.send(goal(AWAY, start_ns=3 * SECOND), np.array([0])))
    commands = follow(made, SECOND, 4 * SECOND)
    np.testing.assert_allclose(commands[50, 2], AWAY)
    np.testing.assert_allclose(commands[50, 0], HOME + (AWAY - HOME) / 3)
    np.testing.assert_allclose(commands[:, 1], np.broadcast_to(HOME, (151, 7)))
    assert made.status.tolist() == [GoalStatus.SUCCEEDED, GoalStatus.UNKNOWN, GoalStatus.SUCCEEDED]


def test_a_trajectory_through_waypoints_is_that_of_attempts_to_grasp() -> None:
    waypoints = np.stack([HOME, AWAY, AWAY, HOME])
    trajectory = JointTrajectory.through(ROBOT, waypoints)
    made = controller(stopped_velocity_tolerance=0)
    assert all(made.send(FollowJointTrajectoryGoal(trajectory)))
    commands = follow(made, 0, 2 * SECOND)[:, 0]
    spent_s = durations_s(waypoints[None], ROBOT.velocity_limits)
    times_s = np.concatenate([[[0.0]], spent_s.cumsum(axis=1)], axis=1)
    for k, command in enumerate(commands):
        there = positions_at(waypoints[None], times_s, np.array([k * 0.02]))[0]
        np.testing.assert_allclose(command, there, atol=1e-8)


def test_a_trajectory_at_the_speed_limit_may_begin_where_the_arm_nearly_is() -> None:
    starts = HOME + np.random.default_rng(0).uniform(-1e-3, 1e-3, (20, 7))
    goals = [
        FollowJointTrajectoryGoal(JointTrajectory.through(ROBOT, np.stack([start, AWAY])))
        for start in starts
    ]
    made = controller(len(goals))
    assert all(made.send(goals))
    commands = follow(made, 0, SECOND)
    np.testing.assert_allclose(commands[0], np.tile(HOME, (len(goals), 1)))
    np.testing.assert_allclose(commands[-1], np.tile(AWAY, (len(goals), 1)))


def test_the_speed_that_an_arm_has_counts_for_the_limits() -> None:
    made = controller()
    made.send(goal(HOME + 0.7 * ROBOT.velocity_limits * [1, 0, 0, 0, 0, 0, 0]))
    follow(made, 0, SECOND // 2)
    here = made.desired[0, 0]
    back = JointTrajectory.through(ROBOT, np.stack([here, HOME]))
    found = made.send(FollowJointTrajectoryGoal(back))[0]
    assert "'joint1' would get to" in found.error_string


@pytest.mark.parametrize("outside", [1e-4, 0.009])
def test_an_arm_that_sags_beyond_its_limits_is_held_at_them_and_can_be_moved(outside) -> None:
    low, high = ROBOT.position_limits
    sagging = HOME.copy()
    sagging[1], sagging[3] = high[1] + outside, low[3] - outside
    made = JointTrajectoryController(ROBOT, np.tile(sagging, (2, 1)))
    goals = [
        goal(AWAY),
        FollowJointTrajectoryGoal(JointTrajectory.through(ROBOT, np.stack([sagging, AWAY]))),
    ]
    assert all(made.send(goals))
    commands = follow(made, 0, 2 * SECOND)
    assert commands[0, 0, 1] == high[1]
    assert commands[0, 0, 3] == low[3]
    np.testing.assert_allclose(commands[-1], [AWAY, AWAY])


def test_how_far_a_limit_is_exceeded_can_be_read() -> None:
    beyond = HOME.copy()
    beyond[0] = ROBOT.position_limits[1, 0] + 1e-4
    found = controller().send(goal(beyond))[0]
    assert "'joint1' would get to 2.9671 rad; its limits are -2.967 and 2.967" in (
        found.error_string
    )


def test_a_new_goal_replaces_the_old_one_without_a_jump() -> None:
    made = controller()
    rest = np.zeros((1, 7))
    made.send(FollowJointTrajectoryGoal(JointTrajectory(NAMES, [SECOND], [AWAY], rest)))
    before = follow(made, 0, SECOND // 2)
    made.send(FollowJointTrajectoryGoal(JointTrajectory(NAMES, [SECOND], [HOME], rest)))
    after = follow(made, SECOND // 2, 3 * SECOND // 2)
    path = np.concatenate([before[:-1], after])[:, 0]
    np.testing.assert_allclose(after[-1, 0], HOME, atol=1e-12)
    # neither position nor speed jumps: second differences are those of the accelerations
    assert np.abs(np.diff(path, 2, axis=0)).max() < 10 * 0.02**2


def test_a_refused_goal_leaves_the_old_one() -> None:
    made = controller()
    made.send(goal(AWAY))
    follow(made, 0, SECOND // 2)
    assert not any(made.send(goal(HOME + 9)))
    np.testing.assert_allclose(follow(made, SECOND // 2, SECOND)[-1, 0], AWAY)


def test_cancelled_arms_hold_where_they_are() -> None:
    made = controller(2)
    made.send(goal(AWAY))
    follow(made, 0, SECOND // 2)
    made.cancel(np.array([1]))
    where = made.actual[1, 0].copy()
    commands = follow(made, SECOND // 2, SECOND)
    np.testing.assert_allclose(commands[-1], [AWAY, where])
    assert made.status.tolist() == [GoalStatus.SUCCEEDED, GoalStatus.CANCELED]


def test_straying_from_the_path_aborts_and_holds_where_the_arm_is() -> None:
    made = controller(2)
    tolerance = [JointTolerance("joint7", 0.05)]
    made.send(goal(AWAY, path_tolerance=tolerance), np.array([0]))
    made.send(goal(AWAY), np.array([1]))
    stuck = np.tile(HOME, (2, 1))
    for now_ns in range(0, SECOND // 2, STEP):
        command = made.update(now_ns, stuck, np.zeros((2, 7)))
    assert made.status.tolist() == [GoalStatus.ABORTED, GoalStatus.EXECUTING]
    found = made.result(0)
    assert found.error_code == ErrorCode.PATH_TOLERANCE_VIOLATED == -4
    assert found.error_string == (
        "joint 'joint7': position 0 rad where 0.056 is desired; the error 0.056 exceeds the path "
        "tolerance 0.05"
    )
    np.testing.assert_array_equal(command[0], HOME)


@pytest.mark.parametrize(
    ("more", "default", "ends_ns"),
    [
        ({"goal_time_tolerance_ns": SECOND // 2}, 0, 1.52 * SECOND),
        ({}, SECOND, 2.02 * SECOND),
        ({"goal_time_tolerance_ns": -1}, SECOND, None),
        ({}, 0, None),
    ],
    ids=["the goal's", "the controller's", "any, says the goal", "any"],
)
def test_an_arm_that_does_not_arrive_is_given_up_after_the_time_tolerance(
    more, default, ends_ns
) -> None:
    made = controller(goal_tolerance_rad=0.01, goal_time_tolerance_ns=default)
    made.send(goal(AWAY, **more))
    ended = None
    for now_ns in range(0, 4 * SECOND, STEP):
        made.update(now_ns, HOME[None], STILL)
        if made.status[0] != GoalStatus.EXECUTING:
            ended = ended or now_ns
    assert ended == ends_ns
    if ended is not None:
        assert made.result(0).error_code == ErrorCode.GOAL_TOLERANCE_VIOLATED == -5
        assert "'joint7': position 0 rad where 0.4 is desired" in made.result(0).error_string


def test_an_arm_that_still_moves_has_not_arrived() -> None:
    made = controller()
    made.send(goal(AWAY, goal_time_tolerance_ns=SECOND))
    moving = STILL + 0.05
    for now_ns in range(0, 2 * SECOND, STEP):
        made.update(now_ns, AWAY[None], moving)
        assert made.status[0] == GoalStatus.EXECUTING
    made.update(2 * SECOND, AWAY[None], STILL)
    assert made.status[0] == GoalStatus.SUCCEEDED


def test_feedback_is_desired_actual_and_error() -> None:
    made = controller()
    made.send(goal(AWAY))
    made.update(0, HOME[None], STILL)
    made.update(SECOND // 2, HOME[None], STILL)
    found = made.feedback
    np.testing.assert_allclose(found.desired_position[0], (HOME + AWAY) / 2)
    np.testing.assert_allclose(found.desired_velocity[0], AWAY - HOME)
    np.testing.assert_array_equal(found.actual_position[0], HOME)
    np.testing.assert_allclose(found.error_position[0], (AWAY - HOME) / 2)
    np.testing.assert_allclose(found.error_velocity[0], AWAY - HOME)


def test_commands_may_lead_what_is_desired() -> None:
    made = controller(lead_s=0.1)
    made.send(goal(AWAY))
    commands = follow(made, 0, SECOND // 2)[:, 0]
    np.testing.assert_allclose(commands[-1], HOME + 0.6 * (AWAY - HOME))


def test_a_controller_goes_on_from_a_snapshot_bit_for_bit() -> None:
    made = controller(3)
    made.send(goal(AWAY, HOME, AWAY), np.array([1]))
    follow(made, 0, SECOND // 2)
    kept = made.snapshot()
    assert all(isinstance(values, np.ndarray) and len(values) == 3 for values in kept.values())
    first = follow(made, SECOND // 2, 2 * SECOND)
    again = controller(3)
    again.send(goal(AWAY, HOME, AWAY, HOME, AWAY))
    again.restore(kept)
    np.testing.assert_array_equal(follow(again, SECOND // 2, 2 * SECOND), first)
    made.restore(kept, np.array([1]))
    assert made.status.tolist() == [0, GoalStatus.EXECUTING, 0]


def trajectory(names=NAMES, times_ns=(SECOND,), positions=(AWAY,), **more) -> JointTrajectory:
    return JointTrajectory(names, list(times_ns), list(positions), **more)


BAD = HOME.copy()
BAD[3] = np.nan


@pytest.mark.parametrize(
    ("sent", "code", "message"),
    [
        (trajectory(NAMES[:6] + ("wrist",)), -2, "'iiwa' has no joint 'wrist'; valid: joint1"),
        (trajectory(NAMES[:6]), -2, "'joint7' is missing"),
        (trajectory(NAMES[:6] + NAMES[:1]), -2, "'joint1' stands there twice"),
        (trajectory(times_ns=[], positions=[]), -1, "no waypoints"),
        (trajectory(times_ns=[2, 1], positions=[AWAY] * 2), -1, "waypoint 1 is at 1 after 2"),
        (trajectory(times_ns=[-1]), -1, "waypoint 0 is at -1"),
        (trajectory(times_ns=[0.5]), -1, "whole nanoseconds are wanted, not float64"),
        (trajectory(positions=[AWAY[:3]]), -1, "shape (1, 3) where (1, 7) is wanted"),
        (trajectory(positions=[BAD]), -1, "positions: waypoint 0 holds nan for joint 3"),
        (trajectory(positions=[HOME * 4]), -1, "'joint4' would get to -6.284 rad"),
        (trajectory(velocities=[HOME / 2]), -1, "'joint2' ends at 0.3925 rad/s"),
        (trajectory(times_ns=[SECOND // 10]), -1, "'joint7' would get to 4 rad/s; its limits"),
        (trajectory(accelerations=[HOME]), -1, "accelerations: they need velocities too"),
        (
            trajectory(times_ns=[0]),
            -1,
            "'joint7' is to be at 0.4 rad at once, but is held at 0 rad",
        ),
    ],
)
def test_what_cannot_be_followed_is_refused(sent: JointTrajectory, code: int, message: str) -> None:
    made = controller()
    found = made.send(FollowJointTrajectoryGoal(sent))[0]
    assert not found
    assert found.error_code == code
    assert message in found.error_string
    assert made.status[0] == GoalStatus.UNKNOWN


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        ({"path_tolerance": [JointTolerance("wrist", 1)]}, -2, "has no joint 'wrist'"),
        ({"goal_tolerance": [JointTolerance("joint1", -2)]}, -1, "goal_tolerance: -2 of 'joint1'"),
        ({"goal_time_tolerance_ns": -5}, -1, "goal_time_tolerance_ns: -5"),
        ({"start_ns": 0}, -3, "the trajectory ended at 1000000000 ns, it is 5000000000 ns"),
    ],
)
def test_goals_that_make_no_sense_are_refused(more, code: int, message: str) -> None:
    made = controller()
    made.update(5 * SECOND, HOME[None], STILL)
    found = made.send(goal(AWAY, **more))[0]
    assert found.error_code == code
    assert message in found.error_string


def test_of_a_trajectory_that_began_earlier_the_rest_is_followed() -> None:
    made = controller()
    made.update(5 * SECOND, HOME[None], STILL)
    assert all(made.send(goal(HOME - 0.3, AWAY, HOME, start_ns=4 * SECOND - 1)))
    commands = follow(made, 5 * SECOND, 7 * SECOND)[:, 0]
    np.testing.assert_allclose(commands[25], (HOME + AWAY) / 2, atol=1e-8)
    np.testing.assert_allclose(commands[50], AWAY, atol=1e-8)


@pytest.mark.parametrize(
    ("times_ns", "start_ns"),
    [
        ([0], 5 * SECOND),
        ([SECOND], 4 * SECOND),
        ([0, SECOND], 5 * SECOND),
        ([1, 2], 5 * SECOND - 2),
    ],
)
def test_what_is_wanted_at_once_must_be_where_the_arm_is(times_ns, start_ns) -> None:
    for away, is_accepted in ((0.5, False), (0.005, True)):
        made = controller()
        made.update(5 * SECOND, HOME[None], STILL)
        there = [HOME + away] * len(times_ns)
        found = made.send(goal(*there, times_ns=times_ns, start_ns=start_ns))[0]
        assert bool(found) == is_accepted
        if not found:
            assert found.error_code == ErrorCode.INVALID_GOAL
            assert "is to be at 1.285 rad at once, but is held at 0.785 rad" in found.error_string


def test_goals_for_arms_that_there_are_not_are_told() -> None:
    made = controller(2)
    with pytest.raises(UserError, match="goals: 1 where 2 instances want one each"):
        made.send([goal(AWAY)])
    with pytest.raises(UserError, match="instances: there is no 2; valid: 0 to 1"):
        made.send(goal(AWAY), [0, 2])
    assert made.status.tolist() == [GoalStatus.UNKNOWN] * 2


def test_a_mask_chooses_the_arms_where_it_is_true() -> None:
    made = controller(4)
    made.send(goal(AWAY), np.array([2, 3]))
    made.cancel(made.is_active & [True, True, False, True])
    assert made.status.tolist() == [0, 0, GoalStatus.EXECUTING, GoalStatus.CANCELED]
    with pytest.raises(UserError, match=r"instances: a mask of shape \(2,\) for 4 instances"):
        made.cancel(np.array([True, False]))
