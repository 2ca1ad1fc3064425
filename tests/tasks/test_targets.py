import mujoco
import numpy as np
import pytest

from troupe.core import Streams, UserError, plugins
from troupe.core.seeding import Generator
from troupe.robots import Robot
from troupe.robots.kinematics import solve_position
from troupe.tasks.targets import BoxTargets, GivenTargets, ReachableTargets, check_reachable

SCARA: Robot = plugins.load("troupe.robots", "scara")
MARA: Robot = plugins.load("troupe.robots", "mara")
MARGINS = {"joint_margin_rad": 0.1, "clearance_m": 0.1, "reach_margin_m": 0.03}
ROBOTS = pytest.mark.parametrize("robot", [SCARA, MARA], ids=lambda robot: robot.name)


def streams(count: int) -> list[Generator]:
    return [Streams(0).generator("task", instance) for instance in range(count)]


@ROBOTS
def test_every_target_is_attained_by_angles_within_the_limits_less_the_margin(robot: Robot) -> None:
    targets = ReachableTargets(robot, **MARGINS)
    frames, angles = targets.draw(streams(500)), targets.draw_joint_positions(streams(500))
    np.testing.assert_allclose(robot.tool_pose(angles), frames, atol=1e-12)
    low, high = robot.position_limits
    assert (angles >= low + 0.1).all()
    assert (angles <= high - 0.1).all()


@ROBOTS
def test_inverse_kinematics_find_the_targets_too(robot: Robot) -> None:
    targets = ReachableTargets(robot, **MARGINS)
    for position in targets.draw(streams(20))[:, :3, 3]:
        assert solve_position(robot, position) is not None


@ROBOTS
def test_targets_keep_clear_of_floor_and_base_axis(robot: Robot) -> None:
    targets = ReachableTargets(robot, **MARGINS)
    position = targets.draw(streams(500))[:, :3, 3]
    from_axis = np.linalg.norm(position[:, :2] - robot.joints[0].offset[:2], axis=1)
    assert position[:, 2].min() > 0.1
    assert from_axis.min() > 0.1
    # all over the workspace: targets stand on all sides, near and far
    sides = np.sign(position[:, :2] - robot.joints[0].offset[:2])
    assert len(np.unique(sides, axis=0)) == 4
    assert from_axis.min() < 0.3 * robot.max_reach() < 0.6 * robot.max_reach() < from_axis.max()


def test_targets_keep_clear_of_where_the_arm_is_stretched() -> None:
    position = ReachableTargets(SCARA, **MARGINS).draw(streams(500))[:, :3, 3]
    # its three links are 0.6952 m long and end 0.2244 m above joint 1
    farthest = np.hypot(0.6952, 0.2244) - 0.03
    distance = np.linalg.norm(position - SCARA.joints[0].offset, axis=1)
    assert farthest - 0.02 < distance.max() <= farthest


def test_the_poses_that_attain_targets_of_mara_touch_nothing() -> None:
    model = mujoco.MjModel.from_xml_path(str(MARA.model_path))
    data = mujoco.MjData(model)
    targets = ReachableTargets(MARA, **MARGINS)
    for angles in targets.draw_joint_positions(streams(3000)):
        data.qpos[:] = angles
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_collision(model, data)
        assert data.ncon == 0


@ROBOTS
def test_a_target_follows_from_its_own_stream(robot: Robot) -> None:
    targets = ReachableTargets(robot, **MARGINS)
    together = targets.draw(streams(16))
    for instance in (0, 7, 15):
        alone = targets.draw([Streams(0).generator("task", instance)])
        assert np.array_equal(alone[0], together[instance])


def test_margins_that_leave_nothing_are_refused() -> None:
    with pytest.raises(UserError, match=r"joint_margin_rad: 2.6 leaves no range .* 0 to 2.350"):
        ReachableTargets(MARA, **{**MARGINS, "joint_margin_rad": 2.6})
    with pytest.raises(UserError, match=r"clearance_m .* 0.7 m .* leave nothing .* 0.695 m"):
        ReachableTargets(SCARA, **{**MARGINS, "clearance_m": 0.7})


def test_given_targets_are_all_drawn() -> None:
    positions = np.array([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]])
    drawn = GivenTargets(positions, np.eye(3)).draw(streams(50))
    assert np.array_equal(np.unique(drawn[:, :3, 3], axis=0), positions)
    assert np.array_equal(drawn[:, :3, :3], np.broadcast_to(np.eye(3), (50, 3, 3)))


def test_targets_in_a_box_leave_out_the_corner_that_is_out_of_reach() -> None:
    # the published box of SCARA: its far corner is 0.7025 m from joint 1, the arm 0.6952 m long
    low, high = np.array([0.285, -0.175, 0.3746]), np.array([0.388, 0.170, 0.3746])
    centre = np.array(SCARA.joints[0].offset)
    targets = BoxTargets(low, high, centre, SCARA.max_reach())
    position = targets.draw(streams(3000))[:, :3, 3]
    assert ((low <= position) & (position <= high)).all()
    distance = np.linalg.norm(position[:, :2] - centre[:2], axis=1)
    assert 0.690 < distance.max() <= 0.6952
    farthest = position[np.argsort(distance)[-5:]]
    assert all(solve_position(SCARA, target) is not None for target in farthest)


def test_a_target_outside_the_workspace_is_refused() -> None:
    check_reachable(SCARA, np.array([0.3, 0.0, 0.3746]), "task.target")
    with pytest.raises(UserError, match=r"task.target: \(0.5, 0, 0.3746\) m is outside the works"):
        check_reachable(SCARA, np.array([0.5, 0.0, 0.3746]), "task.target")
