"""Lifting one thing: what the reward says on the way, and when it counts as lifted."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from troupe.core.errors import UserError
from troupe.experiments.load import load_experiment
from troupe.experiments.simulation import Simulation
from troupe.robots.tray import TRAY
from troupe.tasks.lift.task import LiftTask, shape_in_hand

TOP_SPEED = 0.4 * 0.048  # m a step
TOP_TURN = 2.0 * 0.048  # rad a step


def simulate(num_instances: int, *overrides: str, seed: int = 1) -> Simulation:
    made = Simulation(
        load_experiment("iiwa-lift", overrides), num_instances, seed=seed, num_threads=1
    )
    made.reset()
    return made


class Lifter:
    """Goes over the thing, down along its long axis, closes, and goes up."""

    def __init__(self, num_instances: int) -> None:
        self.since_closing = np.zeros(num_instances)

    def act(self, simulation: Simulation) -> np.ndarray:
        world = simulation.world
        pose, tool = world.read("arm.object_pose")[:, 0], world.read("arm.tool_position")
        target = world.arrays["lift_target"]
        long_axis = Rotation.from_quat(pose[:, 3:], scalar_first=True).as_matrix()[:, :, 2]
        turn = np.arctan2(long_axis[:, 1], long_axis[:, 0]) - target[:, 3]
        turn = (turn + np.pi / 2) % np.pi - np.pi / 2
        away = pose[:, :2] - target[:, :2]
        is_over = (np.abs(away).max(axis=1) < 0.01) & (np.abs(turn) < 0.1)
        height = np.where(is_over, np.maximum(pose[:, 2] - 0.005, 0.016), pose[:, 2] + 0.08)
        is_there = np.abs(tool - pose[:, :3]).max(axis=1) < 0.014
        self.since_closing[is_there | (self.since_closing > 0)] += 1
        closing = self.since_closing > 0
        height = np.where(closing, np.where(self.since_closing > 8, 0.2, target[:, 2]), height)
        moves = np.column_stack([away, height - target[:, 2]]) / TOP_SPEED
        moves[closing, :2] = 0
        turn = np.where(closing, 0.0, turn / TOP_TURN)
        return np.clip(np.column_stack([moves, turn, np.where(closing, 1, -1)]), -1, 1)


def test_a_scripted_lift_succeeds_and_the_reward_rises_along_it() -> None:
    simulation, lifter = simulate(16), Lifter(16)
    rewards = []
    for _ in range(70):
        step = simulation.step(lifter.act(simulation))
        rewards.append(step.reward)
        assert not step.terminated.any()
    lifted = simulation.metrics()["success"] == 1
    assert lifted.mean() > 0.8
    assert (simulation.metrics()["height_m"][lifted] > 0.1).all()
    gained = np.array(rewards)[:, lifted]
    assert ((gained >= 0) & (gained <= 1)).all()
    by_phase = [gained[i : i + 5].mean() for i in (0, 10, 25, 65)]
    assert by_phase == sorted(by_phase)
    assert (gained[0] < 0.15).all()
    assert (gained[-1] > 0.9).all()


def test_what_is_held_for_less_than_the_hold_is_no_success() -> None:
    simulation, lifter = simulate(8), Lifter(8)
    held = np.zeros(8)
    for _ in range(60):
        simulation.step(lifter.act(simulation))
        metrics = simulation.metrics()
        held = np.where(metrics["height_m"] > 0.1, held + 0.048, 0.0)
        np.testing.assert_allclose(metrics["held_s"], held, atol=1e-9)
        np.testing.assert_array_equal(metrics["success"], held > 1.0 - 1e-9)
    assert held.max() > 1.0


def test_only_the_first_thing_counts() -> None:
    simulation = simulate(2, "task.count=[2, 2]", "engines.arm.scene.objects=2")
    world = simulation.world
    for lifted, success in ((1, 0.0), (0, 1.0)):
        pose = world.read("arm.object_pose").copy()
        pose[:, lifted, 2] = TRAY.floor_m + 0.5
        weightless = world.read("arm.object_weightless").copy()
        weightless[:, lifted] = 1.0
        world.write("arm.object_weightless", weightless)
        for _ in range(22):
            world.write("arm.object_pose", pose)
            simulation.step(np.zeros((2, 5)))
        np.testing.assert_array_equal(simulation.metrics()["success"], success)


def test_the_parts_of_the_reward_by_hand() -> None:
    simulation = simulate(4)
    task, world = simulation.task, simulation.world
    assert isinstance(task, LiftTask)
    away = world.read("arm.object_pose")[:, 0, :3] - world.read("arm.tool_position")
    parts = task.parts(world)
    np.testing.assert_allclose(parts.approach, 1 - np.tanh(np.linalg.norm(away, axis=1) / 0.1))
    assert (parts.grasp == 0).all()
    assert (parts.hold == 0).all()
    np.testing.assert_allclose(task.reward(world, np.zeros((4, 5))), 0.2 * parts.approach)
    # half way from where it lay to 10 cm, and above
    lay = world.arrays["lift_start"]
    pose = world.read("arm.object_pose").copy()
    for height, lift, hold in (((lay + 0.1) / 2, 0.5, 0.0), (np.full(4, 0.12), 1.0, 1.0)):
        pose[:, 0, 2] = TRAY.floor_m + height
        world.write("arm.object_pose", pose)
        simulation.loop.refresh(np.arange(4))
        parts = task.parts(world)
        np.testing.assert_allclose(parts.lift, lift)
        np.testing.assert_array_equal(parts.hold, hold)


def test_the_tool_starts_over_the_thing_and_follows_its_target_within_bounds() -> None:
    simulation = simulate(16)
    world = simulation.world
    away = world.read("arm.tool_position") - world.read("arm.object_pose")[:, 0, :3]
    assert (np.abs(away[:, :2]) < 0.055).all()
    assert ((away[:, 2] > 0.045) & (away[:, 2] < 0.155)).all()
    for _ in range(30):
        simulation.step(np.tile([1.0, -1.0, 1.0, 1.0, -1.0], (16, 1)))
    for _ in range(10):
        simulation.step(np.zeros((16, 5)))
    corner = [0.71, -0.15, TRAY.floor_m + 0.3]
    np.testing.assert_allclose(world.read("arm.tool_position"), np.tile(corner, (16, 1)), atol=6e-3)
    np.testing.assert_allclose(world.arrays["lift_target"][:, 3], 1.5708)
    assert (world.read("arm.gripper_position") > 0.035).all()


def test_the_shape_before_the_hand_is_that_of_its_box_however_it_is_turned_round() -> None:
    half_size = np.array([[0.01, 0.02, 0.03]])
    lies = Rotation.from_euler("zyx", [[0.4, 0.1, -0.2]])
    turned_round = lies * Rotation.from_rotvec([0, np.pi, 0])
    yaw = np.array([0.7])
    seen, again = (
        shape_in_hand(turn.as_quat(scalar_first=True), half_size, yaw)
        for turn in (lies, turned_round)
    )
    np.testing.assert_allclose(seen, again, atol=1e-12)
    matrix = (Rotation.from_rotvec([0, 0, -0.7]) * lies).as_matrix()[0]
    whole = matrix @ np.diag(half_size[0]) @ matrix.T
    np.testing.assert_allclose(seen[0, :3], np.diag(whole))
    np.testing.assert_allclose(seen[0, 3:], [whole[0, 1], whole[0, 2], whole[1, 2]])


def test_kinds_are_those_of_the_settings() -> None:
    simulation = simulate(6, "task.kinds=[mug]")
    drawn = [simulation.task.draws(simulation.world, i)["kinds"] for i in range(6)]
    assert drawn == ["mug"] * 6
    assert simulate(2).task.draws(simulate(2).world, 0)["kinds"] == "box"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("engines.arm.robot=mara", "robot 'mara' of 'arm' has no gripper"),
        ("engines.arm.scene=null", "unknown datapack to read 'arm.object_pose'"),
        ("task.count=[1, 2]", "scene of 'arm' has room for 1 things, not 2"),
        ("task.height_m=[0.3, 0.1]", "height_m: 0.3 is more than 0.1"),
        ("task.start_above_m=[0.3, 0.1]", "start_above_m: 0.3 is more than 0.1"),
        ("task.lifted_m=0.4", "below the greatest height_m, 0.3"),
        ("task.lifted_m=0.02", "lifted_m: 0.02 must be above 0.0"),
        ("task.speed_m_s=0", "speed_m_s"),
        ("task.x_m=[0.5, 1.2]", "(1.2, -0.15, 0.006) m and -1.5708 rad"),
    ],
)
def test_what_cannot_be_is_refused(override: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        simulate(1, override)
    assert message in str(caught.value)
