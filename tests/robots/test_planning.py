"""Ways around a wall: they touch nothing, a seed gives one, and failures name their reason."""

import sys
from itertools import pairwise

import numpy as np
import pytest

from troupe.core.errors import PlanningError, UserError
from troupe.engines.mujoco import MujocoEngine
from troupe.engines.mujoco_settings import MujocoSettings
from troupe.robots.control import (
    FollowJointTrajectoryGoal,
    GoalStatus,
    JointTrajectory,
    JointTrajectoryController,
)
from troupe.robots.iiwa import ROBOT
from troupe.robots.kinematics import solve_pose
from troupe.robots.planning import plan_path

STEP = 10**9 // 50


def pose_at(y_m: float) -> np.ndarray:
    pose = ROBOT.tool_pose(ROBOT.home)
    pose[:3, 3] = 0.55, y_m, 0.2
    return pose


@pytest.fixture(scope="module")
def engine() -> MujocoEngine:
    """The arm before a tray, whose one thing is a wall between its left and its right."""
    settings = MujocoSettings(robot="iiwa", scene={"type": "tray", "objects": 1})
    made = settings.build("arm", 1, 1)
    made.reset([0])
    made.write("object_pose", [[(0.55, 0.0, 0.5, 1.0, 0.0, 0.0, 0.0)]])
    made.write("object_weightless", [[1.0]])
    sizes = np.full((1, 1, 4, 3), 1e-3)
    sizes[0, 0, 0] = 0.3, 0.03, 0.45
    made.write("object_sizes", sizes)
    made.write("object_positions", np.zeros((1, 1, 4, 3)))
    made.write("object_quaternions", np.tile([1.0, 0.0, 0.0, 0.0], (1, 1, 4, 1)))
    made.write("object_radii", [[[0.55, 2e-3, 2e-3, 2e-3]]])
    made.advance(0)
    return made


@pytest.fixture(scope="module")
def right() -> np.ndarray:
    angles, reached = solve_pose(ROBOT, pose_at(-0.3)[None], ROBOT.home)
    assert reached.all()
    return angles[0]


@pytest.fixture(scope="module")
def left(right: np.ndarray) -> np.ndarray:
    return solve_pose(ROBOT, pose_at(0.3)[None], right)[0][0]


def between(path: np.ndarray, count: int = 200) -> np.ndarray:
    shares = np.linspace(0, 1, count)[:, None]
    return np.concatenate([a + shares * (b - a) for a, b in pairwise(path)])


def test_a_way_to_joints_leads_around_the_wall(engine, right, left) -> None:
    checker = engine.collision_checker(clearance_m=0.005)
    straight = between(np.stack([right, left]))
    assert not checker(straight).all()
    path = plan_path(ROBOT, right, left, checker, seed=3)
    np.testing.assert_array_equal(path[[0, -1]], [right, left])
    # looked at more closely than the planner did, and with what the clearance leaves
    assert engine.collision_checker()(between(path)).all()
    np.testing.assert_array_equal(plan_path(ROBOT, right, left, checker, seed=3), path)
    other = plan_path(ROBOT, right, left, checker, seed=4)
    assert other.shape != path.shape or not np.array_equal(other, path)


def test_a_way_to_a_pose_is_followed_by_an_arm_that_touches_nothing(engine, right) -> None:
    path = plan_path(ROBOT, right, pose_at(0.3), engine.collision_checker(clearance_m=0.01))
    engine.write("joint_position", right[None])
    engine.write("joint_target", right[None])
    engine.advance(0)
    controller = JointTrajectoryController(
        ROBOT, right[None], goal_tolerance_rad=0.01, lead_s=ROBOT.servo.lag_s
    )
    assert all(controller.send(FollowJointTrajectoryGoal(JointTrajectory.through(ROBOT, path))))
    now_ns = 0
    while controller.is_active[0]:
        position, velocity = engine.read("joint_position"), engine.read("joint_velocity")
        engine.write("joint_target", controller.update(now_ns, position, velocity))
        engine.advance(STEP)
        assert engine.read("contacts")[0] == 0
        now_ns += STEP
    assert controller.status[0] == GoalStatus.SUCCEEDED
    np.testing.assert_allclose(engine.read("tool_position")[0], [0.55, 0.3, 0.2], atol=5e-3)


def test_where_nothing_is_in_between_the_way_is_straight(engine, right) -> None:
    near = right + 0.05
    path = plan_path(ROBOT, right, near, engine.collision_checker())
    np.testing.assert_array_equal(path, [right, near])


def test_plain_functions_will_do(right) -> None:
    path = plan_path(ROBOT, right, right + 0.1, lambda q: np.ones(len(q), bool))
    assert len(path) == 2
    with pytest.raises(PlanningError, match="start: 'iiwa' may not be there"):
        plan_path(ROBOT, right, right + 0.1, lambda q: np.zeros(len(q), bool))


def test_a_way_from_a_hair_outside_the_limits_begins_at_them(right) -> None:
    def anywhere(joint_position: np.ndarray) -> np.ndarray:
        return np.ones(len(joint_position), bool)

    high = ROBOT.position_limits[1]
    beyond = right.copy()
    beyond[5] = high[5] + 1e-4
    path = plan_path(ROBOT, beyond, right, anywhere)
    assert path[0, 5] == high[5]
    np.testing.assert_array_equal(np.delete(path[0], 5), np.delete(right, 5))
    with pytest.raises(PlanningError, match="goal: 'joint6' is at"):
        plan_path(ROBOT, right, beyond, anywhere)
    beyond[5] = high[5] + 0.02
    with pytest.raises(PlanningError, match="start: 'joint6' is at"):
        plan_path(ROBOT, beyond, right, anywhere)


def test_errors_of_the_callers_function_come_through(engine, right, left) -> None:
    checker, calls = engine.collision_checker(), []

    def broken(joint_position: np.ndarray) -> np.ndarray:
        calls.append(1)
        if len(calls) > 20:
            raise ZeroDivisionError("mine")
        return checker(joint_position)

    with pytest.raises(ZeroDivisionError, match="mine"):
        plan_path(ROBOT, right, left, broken)


def test_ends_that_cannot_be_are_told_with_what_touches(engine, right, left) -> None:
    checker = engine.collision_checker()
    inside = ROBOT.home
    low = pose_at(-0.11)
    low[2, 3] = 0.02
    with pytest.raises(PlanningError, match=r"start: '.*' touches 'object0_part0', .* mm deep"):
        plan_path(ROBOT, inside, left, checker)
    with pytest.raises(PlanningError, match=r"goal: '.*' touches 'object0_part0'"):
        plan_path(ROBOT, right, inside, checker)
    with pytest.raises(
        PlanningError, match=r"goal: '.*_finger' is 5.* mm from 'tray', which is too"
    ):
        plan_path(ROBOT, right, low, engine.collision_checker(clearance_m=0.02))
    with pytest.raises(PlanningError, match=r"goal: 'iiwa' does not reach the pose at \(0\.55, 2,"):
        plan_path(ROBOT, right, pose_at(2.0), checker)
    with pytest.raises(PlanningError, match=r"goal: 'joint1' is at 3 rad; its limits are -2\.967"):
        plan_path(ROBOT, right, np.full(7, 3.0), checker)
    with pytest.raises(PlanningError, match="no way was found in 1 iterations"):
        plan_path(ROBOT, right, left, checker, max_iterations=1)
    with pytest.raises(UserError, match=r"start: shape \(3,\) where \(7,\) is wanted"):
        plan_path(ROBOT, right[:3], left, checker)
    with pytest.raises(UserError, match="the upper left of the pose is no rotation matrix"):
        plan_path(ROBOT, right, np.ones((4, 4)), checker)
    with pytest.raises(UserError, match="resolution_rad: 0 is not greater than 0"):
        plan_path(ROBOT, right, left, checker, resolution_rad=0)


def test_without_ompl_its_extra_is_named(monkeypatch, right) -> None:
    monkeypatch.setitem(sys.modules, "ompl", None)
    with pytest.raises(UserError, match=r"pip install 'troupe\[planning\]'"):
        plan_path(ROBOT, right, right, lambda q: np.ones(len(q), bool))
