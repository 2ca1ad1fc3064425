from pathlib import Path

import mujoco
import numpy as np
import pytest

from troupe.core import plugins
from troupe.robots import Robot
from troupe.robots.kinematics import pose_jacobian, position_jacobian, solve_pose, solve_position
from troupe.robots.robot import Gripper

SCARA: Robot = plugins.load("troupe.robots", "scara")
MARA: Robot = plugins.load("troupe.robots", "mara")
IIWA: Robot = plugins.load("troupe.robots", "iiwa")
ROBOTS = pytest.mark.parametrize("robot", [SCARA, MARA, IIWA], ids=lambda robot: robot.name)


@pytest.mark.parametrize(
    ("robot", "position_m"),
    [
        (SCARA, (0.4102, -0.0313, 0.3746)),
        (MARA, (-0.001054, 0.0, 0.889191)),
        (IIWA, (0.0, 0.0, 1.306 + 0.105)),  # the flange, and the hand
    ],
    ids=["scara", "mara", "iiwa"],
)
def test_tool_stands_at_the_published_position_when_all_angles_are_0(
    robot: Robot, position_m: tuple[float, float, float]
) -> None:
    pose = robot.tool_pose(np.zeros(len(robot.joints)))
    np.testing.assert_allclose(pose[:3, 3], position_m, atol=1e-9)
    np.testing.assert_allclose(pose[:3, :3], np.eye(3), atol=1e-15)


def test_limits_are_the_published_ones() -> None:
    np.testing.assert_allclose(SCARA.position_limits, [[-3.1416] * 3, [3.1416] * 3])
    np.testing.assert_allclose(MARA.position_limits[1], [3.1416, 2.35, 2.61, 3.14, 2.56, 3.14])
    np.testing.assert_allclose(SCARA.velocity_limits, 10.0)
    np.testing.assert_allclose(MARA.velocity_limits, 1.57)


@pytest.mark.parametrize(
    ("robot", "effort"),
    [
        (SCARA, [10, 10, 10]),
        (MARA, [104, 104, 69, 69, 34, 34]),
        (IIWA, [320, 320, 176, 176, 110, 40, 40]),
    ],
    ids=["scara", "mara", "iiwa"],
)
def test_actuators_keep_the_published_effort(robot: Robot, effort: list[float]) -> None:
    model = mujoco.MjModel.from_xml_path(str(robot.model_path))
    limits = model.actuator_forcerange[: len(effort)]
    np.testing.assert_allclose(limits[:, 1], effort)
    np.testing.assert_allclose(limits[:, 0], np.negative(effort))


def test_servos_have_the_gains_of_the_model() -> None:
    assert IIWA.servo is not None
    model = mujoco.MjModel.from_xml_path(str(IIWA.model_path))
    np.testing.assert_allclose(IIWA.servo.stiffness, model.actuator_gainprm[:7, 0])
    np.testing.assert_allclose(IIWA.servo.damping, -model.actuator_biasprm[:7, 2])


OWN_GRIPPER = '<position name="gripper" joint="left_finger" kp="2000" kv="80" forcerange="-40 40"/>'
FINGER = '<default class="finger">'


@pytest.mark.parametrize(
    ("actuator", "default", "stiffness"),
    [
        ('class="finger"', '<position kp="500" kv="5" forcerange="-7 7"/>', 500),
        ('class="finger"', '<position forcerange="-7 7"/>', 2000),
        ('class="inner"', '<position kp="9" forcerange="-7 7"/><default class="inner"/>', 9),
        ('forcerange="-7 7"', "", 2000),
    ],
    ids=["class", "class and main default", "class in a class", "main default"],
)
def test_a_gripper_may_have_its_numbers_from_defaults(
    tmp_path: Path, actuator: str, default: str, stiffness: float
) -> None:
    robot = Robot.from_mjcf(with_gripper(tmp_path, actuator, default))
    assert robot.gripper == Gripper((0.0, 0.04), stiffness, 7.0)
    model = mujoco.MjModel.from_xml_path(str(robot.model_path))
    assert model.actuator("gripper").gainprm[0] == stiffness
    assert model.actuator("gripper").forcerange[1] == 7.0


@pytest.mark.parametrize(
    ("actuator", "replaced", "message"),
    [
        ("", ("", ""), "the model has no 'forcerange' for position 'gripper', nor a default"),
        (
            'forcerange="-7 7"',
            ('<position kp="2000" kv="200"', "<position"),
            "the model has no 'kp' for position 'gripper', nor a default",
        ),
        (
            'forcerange="-7 7"',
            ('range="0 0.04"', ""),
            "the model has no 'range' for joint 'left_finger', nor a default",
        ),
        ("", (' joint="left_finger"', ' site="tool"'), "no 'joint' for position 'gripper'"),
    ],
    ids=["no force range", "no gain", "no range", "no joint"],
)
def test_what_a_gripper_lacks_is_named(
    tmp_path: Path, actuator: str, replaced: tuple[str, str], message: str
) -> None:
    path = with_gripper(tmp_path, actuator, "")
    path.write_text(path.read_text().replace(*replaced))
    with pytest.raises(ValueError, match=message):
        Robot.from_mjcf(path)


def test_a_finger_may_have_its_class_from_a_body_around_it(tmp_path: Path) -> None:
    path = tmp_path / "arm.xml"
    text = IIWA.model_path.read_text()
    assert '<body name="left_finger"' in text
    text = text.replace('<body name="left_finger"', '<body name="left_finger" childclass="finger"')
    text = text.replace('<joint name="left_finger" class="finger"', '<joint name="left_finger"')
    path.write_text(text)
    assert Robot.from_mjcf(path).gripper == IIWA.gripper


def test_a_robot_whose_joints_have_no_limit_of_effort_has_no_servo(tmp_path: Path) -> None:
    path = tmp_path / "arm.xml"
    path.write_text(IIWA.model_path.read_text().replace(' forcerange="-320 320"', ""))
    assert Robot.from_mjcf(path).servo is None


def with_gripper(tmp_path: Path, actuator: str, default: str) -> Path:
    """Write the iiwa with another actuator of the gripper, and more in its fingers' default."""
    text = IIWA.model_path.read_text()
    assert OWN_GRIPPER in text
    own = f'<position name="gripper" joint="left_finger" {actuator}/>'
    path = tmp_path / "arm.xml"
    path.write_text(text.replace(OWN_GRIPPER, own).replace(FINGER, FINGER + default))
    return path


@pytest.mark.parametrize("robot", [SCARA, MARA, IIWA], ids=["scara", "mara", "iiwa"])
def test_no_joint_chatters_when_its_target_jumps_at_each_step_of_control(robot: Robot) -> None:
    model = mujoco.MjModel.from_xml_path(str(robot.model_path))
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    dof, low, high = len(robot.joints), *robot.position_limits
    target = robot.home.copy()
    velocities = []
    for _ in range(20):
        # 48 ms at half the greatest speed
        target = np.clip(target + 0.024 * np.minimum(robot.velocity_limits, 2.0), low, high)
        data.ctrl[:dof] = target
        for _ in range(round(0.048 / model.opt.timestep)):
            mujoco.mj_step(model, data)
            velocities.append(data.qvel[:dof].copy())
    # a joint is pushed the other way once a step of control, not at each step of the physics
    changes = np.diff(velocities, axis=0)
    turned = (changes[1:] * changes[:-1] < 0) & (np.abs(changes[1:]) > 0.1)
    assert turned.mean(axis=0).max() < 0.1


@ROBOTS
def test_forward_kinematics_agree_with_mujoco(robot: Robot) -> None:
    model = mujoco.MjModel.from_xml_path(str(robot.model_path))
    data = mujoco.MjData(model)
    low, high = robot.position_limits
    angles = np.random.default_rng(0).uniform(low, high, (100, len(low)))
    poses = robot.tool_pose(angles)
    for q, pose in zip(angles, poses, strict=True):
        data.qpos[: len(q)] = q
        mujoco.mj_kinematics(model, data)
        site = data.site("tool")
        np.testing.assert_allclose(pose[:3, 3], site.xpos, atol=1e-12)
        np.testing.assert_allclose(pose[:3, :3], site.xmat.reshape(3, 3), atol=1e-12)


@ROBOTS
def test_jacobian_is_the_derivative_of_the_position(robot: Robot) -> None:
    low, high = robot.position_limits
    angles = np.random.default_rng(1).uniform(low, high, (20, len(low)))
    jacobian = position_jacobian(robot, angles)
    for i in range(len(low)):
        step = np.zeros(len(low))
        step[i] = 1e-6
        ahead, behind = robot.tool_pose(angles + step), robot.tool_pose(angles - step)
        numeric = (ahead - behind)[:, :3, 3] / 2e-6
        np.testing.assert_allclose(jacobian[:, :, i], numeric, atol=1e-8)


@ROBOTS
def test_inverse_kinematics_bring_the_tool_there_within_the_limits(robot: Robot) -> None:
    low, high = robot.position_limits
    angles = np.random.default_rng(2).uniform(low, high, (10, len(low)))
    for position in robot.tool_pose(angles)[:, :3, 3]:
        solution = solve_position(robot, position)
        assert solution is not None
        assert (low <= solution).all()
        assert (solution <= high).all()
        assert np.linalg.norm(robot.tool_pose(solution)[:3, 3] - position) < 1e-3


@ROBOTS
def test_rotation_jacobian_is_the_derivative_of_the_rotation(robot: Robot) -> None:
    low, high = robot.position_limits
    angles = np.random.default_rng(4).uniform(low, high, (20, len(low)))
    jacobian = pose_jacobian(robot, angles)[:, 3:]
    rotation = robot.tool_pose(angles)[:, :3, :3]
    for i in range(len(low)):
        step = np.zeros(len(low))
        step[i] = 1e-6
        change = robot.tool_pose(angles + step)[:, :3, :3] - rotation
        # dR R^T = [w]x
        skew = change @ np.swapaxes(rotation, 1, 2) / 1e-6
        numeric = np.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], axis=1)
        np.testing.assert_allclose(jacobian[:, :, i], numeric, atol=1e-5)


def test_inverse_kinematics_bring_iiwas_tool_to_poses_within_the_limits() -> None:
    low, high = IIWA.position_limits
    near = IIWA.home + np.random.default_rng(5).uniform(-0.4, 0.4, (200, 7))
    poses = IIWA.tool_pose(np.clip(near, low, high))
    angles, reached = solve_pose(IIWA, poses, IIWA.home)
    assert reached.all()
    assert ((low <= angles) & (angles <= high)).all()
    found = IIWA.tool_pose(angles)
    np.testing.assert_allclose(found[:, :3, 3], poses[:, :3, 3], atol=1e-4)
    np.testing.assert_allclose(found[:, :3, :3], poses[:, :3, :3], atol=2e-3)


def test_inverse_kinematics_say_which_poses_are_out_of_reach() -> None:
    poses = np.repeat(IIWA.tool_pose(IIWA.home)[None], 2, axis=0)
    poses[1, 0, 3] = 1.5
    _, reached = solve_pose(IIWA, poses, IIWA.home)
    assert reached.tolist() == [True, False]


def test_no_pose_without_numbers_counts_as_reached() -> None:
    poses = np.repeat(IIWA.tool_pose(IIWA.home)[None], 2, axis=0)
    poses[1, 0, 3] = np.nan
    _, reached = solve_pose(IIWA, poses, IIWA.home, iterations=1)
    assert reached.tolist() == [True, False]


@pytest.mark.parametrize(
    ("robot", "position"),
    [(SCARA, (0.42, -0.0313, 0.3746)), (SCARA, (0.3, 0.0, 0.40)), (MARA, (0.0, 0.0, 1.3))],
    ids=["too far", "too high", "too far up"],
)
def test_inverse_kinematics_find_nothing_out_of_reach(
    robot: Robot, position: tuple[float, float, float]
) -> None:
    assert solve_position(robot, np.array(position)) is None


@ROBOTS
def test_tool_never_goes_beyond_the_stated_reach(robot: Robot) -> None:
    low, high = robot.position_limits
    angles = np.random.default_rng(3).uniform(low, high, (1000, len(low)))
    frames = robot.link_frames(angles)
    from_joint_1 = frames[:, -1, :3, 3] - frames[:, 0, :3, 3]
    if robot is SCARA:
        from_joint_1[:, 2] = 0
    distance = np.linalg.norm(from_joint_1, axis=1)
    assert distance.max() <= robot.max_reach()


def test_reach_of_scara_is_the_published_one() -> None:
    assert SCARA.max_reach() == pytest.approx(0.6952)
