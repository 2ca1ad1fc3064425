"""Tools go to poses: on lines, within limits, and to the same poses as with mink."""

import mink
import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from troupe.robots.control import CartesianController, ErrorCode, GoalStatus, MoveToPoseGoal
from troupe.robots.iiwa import ROBOT

HOME = ROBOT.home
THERE = ROBOT.tool_pose(HOME)
STEP = 10**9 // 50
NAMES = ROBOT.joint_names


def moved(x: float, y: float, z: float, turn=(0.0, 0.0, 0.0)) -> np.ndarray:
    pose = THERE.copy()
    pose[:3, 3] += x, y, z
    pose[:3, :3] = Rotation.from_rotvec(turn).as_matrix() @ pose[:3, :3]
    return pose


POSES = [
    moved(0.1, 0.2, 0.1),
    moved(0.0, -0.3, 0.2, (0.3, 0.0, 0.0)),
    moved(-0.1, 0.1, 0.3, (0.0, -0.4, 0.5)),
    moved(0.05, 0.0, 0.1, (0.2, 0.2, -1.0)),
]


def run(controller: CartesianController, seconds: float, position=None) -> np.ndarray:
    """Let perfect arms, or ones that stay somewhere, do what they are told; all commands."""
    commands = []
    command = controller.command.copy() if position is None else position
    begin_ns = int(controller.now_ns[0])
    for k in range(int(seconds * 50)):
        command = controller.update(begin_ns + k * STEP, command, np.zeros_like(command))
        commands.append(command)
        command = command if position is None else position
        if not controller.is_active.any():
            break
    return np.array(commands)


def starting(num_instances: int, **settings) -> CartesianController:
    return CartesianController(ROBOT, np.tile(HOME, (num_instances, 1)), **settings)


@pytest.mark.parametrize("path", ["line", "joints"])
def test_poses_are_reached_within_the_limits(path) -> None:
    controller = starting(len(POSES))
    assert all(controller.send([MoveToPoseGoal(pose, path=path, speed=2.0) for pose in POSES]))
    commands = run(controller, 5)
    assert (controller.status == GoalStatus.SUCCEEDED).all()
    np.testing.assert_allclose(ROBOT.tool_pose(commands[-1]), POSES, atol=2e-3)
    speed = np.abs(np.diff(commands, axis=0)) / 0.02
    assert (speed <= ROBOT.velocity_limits * (1 + 1e-9)).all()
    low, high = ROBOT.position_limits
    assert ((low <= commands) & (commands <= high)).all()
    # the fast line is limited by a joint, not by the tool's speed
    assert path == "joints" or (speed.max(axis=(0, 1)) / ROBOT.velocity_limits).max() > 0.99


def test_on_a_line_the_tool_goes_straight_turns_evenly_and_keeps_its_speed() -> None:
    controller = starting(1)
    controller.send(MoveToPoseGoal(POSES[1], speed=0.4))
    tools = ROBOT.tool_pose(run(controller, 5)[:, 0])
    way = POSES[1][:3, 3] - THERE[:3, 3]
    length = np.linalg.norm(way)
    gone = tools[:, :3, 3] - THERE[:3, 3]
    share = gone @ way / length**2
    assert np.linalg.norm(gone - share[:, None] * way, axis=1).max() < 5e-4
    turn = Rotation.from_matrix(tools[:, :3, :3] @ THERE[:3, :3].T).as_rotvec()
    np.testing.assert_allclose(turn, np.outer(share, [0.3, 0, 0]), atol=5e-3)
    assert np.linalg.norm(np.diff(gone, axis=0), axis=1).max() / 0.02 < 0.4 * 1.01


def test_what_a_pose_leaves_free_goes_towards_the_posture() -> None:
    low, high = ROBOT.position_limits
    leaning = (low + high) / 2
    leaning[2] = 1.0
    controller = starting(2)
    controller.send([MoveToPoseGoal(POSES[0]), MoveToPoseGoal(POSES[0], posture=leaning)])
    last = run(controller, 5)[-1]
    assert last[1, 2] > last[0, 2] + 0.2
    np.testing.assert_allclose(ROBOT.tool_pose(last), POSES[:1] * 2, atol=2e-3)


def test_poses_out_of_reach_are_refused_with_how_near_the_tool_gets() -> None:
    controller = starting(2)
    far = moved(0.6, 0, 0)
    found = controller.send([MoveToPoseGoal(far), MoveToPoseGoal(POSES[0])])
    assert found[0].error_code == ErrorCode.NO_IK_SOLUTION
    assert "'iiwa' does not reach it within its limits; the nearest" in found[0].error_string
    assert found[1]
    assert controller.status.tolist() == [GoalStatus.UNKNOWN, GoalStatus.EXECUTING]


def test_a_line_that_leads_where_the_tool_cannot_be_is_given_up() -> None:
    # both ends are within reach, but the line between them passes through the robot's base
    goal = np.eye(4)
    goal[:3, :3] = Rotation.from_euler("z", 2.6).as_matrix()
    goal = goal @ THERE
    controller = starting(2)
    line, around = MoveToPoseGoal(goal, speed=1.0), MoveToPoseGoal(goal, path="joints")
    assert all(controller.send([line, around]))
    run(controller, 10)
    assert controller.status.tolist() == [GoalStatus.ABORTED, GoalStatus.SUCCEEDED]
    found = controller.result(0)
    assert found.error_code == ErrorCode.PATH_TOLERANCE_VIOLATED
    assert "from its line; at their limits: " in found.error_string


def test_an_arm_that_does_not_follow_is_given_up_in_time() -> None:
    controller = starting(1)
    controller.send(MoveToPoseGoal(POSES[0], path="joints", goal_time_tolerance_ns=10**9))
    commands = run(controller, 4, position=HOME[None])
    assert controller.result(0).error_code == ErrorCode.GOAL_TOLERANCE_VIOLATED
    assert "the tool is 245 mm and 0 rad from the goal" in controller.result(0).error_string
    np.testing.assert_array_equal(commands[-1, 0], HOME)


def test_a_controller_goes_on_from_a_snapshot_bit_for_bit() -> None:
    controller = starting(1)
    controller.send(MoveToPoseGoal(POSES[2]))
    run(controller, 0.3)
    kept = controller.snapshot()
    first = run(controller, 0.5)
    again = starting(1)
    again.restore(kept)
    np.testing.assert_array_equal(run(again, 0.5), first)


@pytest.mark.parametrize(
    ("goal", "message"),
    [
        (MoveToPoseGoal(np.eye(3)), "pose: shape (3, 3)"),
        (MoveToPoseGoal(2 * np.eye(4)), "pose: its upper left is no rotation matrix"),
        (MoveToPoseGoal(POSES[0], speed=0), "speed: 0 is not greater than 0"),
        (MoveToPoseGoal(POSES[0], path="arc"), "path: 'arc' is neither 'line' nor 'joints'"),
        (MoveToPoseGoal(POSES[0], posture=[0.0]), "posture: shape (1,)"),
        (MoveToPoseGoal(POSES[0], posture=[0, np.nan, *HOME[2:]]), "posture: nan for 'joint2'"),
        (MoveToPoseGoal(POSES[0], posture=[np.inf, *HOME[1:]]), "posture: inf for 'joint1'"),
    ],
)
def test_goals_that_make_no_sense_are_refused(goal: MoveToPoseGoal, message: str) -> None:
    found = starting(1).send(goal)[0]
    assert found.error_code == ErrorCode.INVALID_GOAL
    assert message in found.error_string


def test_mink_gets_to_the_same_poses() -> None:
    model = mujoco.MjModel.from_xml_path(str(ROBOT.model_path))
    poses = POSES[1:3]
    ours = starting(len(poses))
    ours.send([MoveToPoseGoal(pose, path="joints") for pose in poses])
    last = run(ours, 5)[-1]
    speeds = dict(zip(NAMES, ROBOT.velocity_limits, strict=True))
    limits = [mink.ConfigurationLimit(model), mink.VelocityLimit(model, speeds)]
    for i, pose in enumerate(poses):
        configuration = mink.Configuration(model, model.key("home").qpos)
        tool = mink.FrameTask("tool", "site", position_cost=1.0, orientation_cost=1.0)
        tool.set_target(mink.SE3.from_matrix(pose))
        posture = mink.PostureTask(model, cost=1e-4)
        posture.set_target_from_configuration(configuration)
        for _ in range(100):
            step = mink.solve_ik(configuration, [tool, posture], 0.02, "daqp", limits=limits)
            configuration.integrate_inplace(step, 0.02)
        theirs = configuration.get_transform_frame_to_world("tool", "site").as_matrix()
        np.testing.assert_allclose(theirs, pose, atol=2e-3)
        np.testing.assert_allclose(ROBOT.tool_pose(last[i]), theirs, atol=3e-3)
        # with their joints ours is the same tool, too
        np.testing.assert_allclose(ROBOT.tool_pose(configuration.q[:7]), theirs, atol=1e-9)
