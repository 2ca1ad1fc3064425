"""Grasping in small moves: when actions count, what they do, and what comes of them."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.tasks.grasp.conftest import run_episode
from troupe.core.errors import UserError
from troupe.experiments.load import load_experiment
from troupe.experiments.simulation import Simulation
from troupe.fleet.collecting.policies import open_policy
from troupe.robots.tray import TRAY

ONE_THING = (
    "task.kinds=[box, cylinder, wrench, mug]",
    "task.count=[1, 1]",
    "engines.arm.scene.objects=1",
)
MOVE_M, TURN_RAD = 0.06, 0.25
DISCRETE = [(0, 0, 0), (-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1)]


def simulate(num_instances: int, *overrides: str, seed: int = 1) -> Simulation:
    experiment = load_experiment("iiwa-grasp-closed-loop", [*ONE_THING, *overrides])
    made = Simulation(experiment, num_instances, seed=seed, num_threads=1)
    made.reset()
    return made


def way(simulation: Simulation) -> np.ndarray:
    """How far the first thing is from the hand in greatest moves: x, y, z and turn, (N, 4)."""
    world = simulation.world
    pose, target = world.read("arm.object_pose")[:, 0], world.arrays["grasp_target"]
    long_axis = Rotation.from_quat(pose[:, 3:], scalar_first=True).as_matrix()[:, :, 2]
    yaw = np.arctan2(long_axis[:, 1], long_axis[:, 0])
    turn = (yaw + np.pi / 2) % np.pi - np.pi / 2 - target[:, 3]
    height = np.maximum(pose[:, 2] - 0.015, TRAY.floor_m + 0.006)
    far = np.column_stack([pose[:, :2], height]) - target[:, :3]
    return np.column_stack([far / MOVE_M, turn / TURN_RAD])


def planar(simulation: Simulation) -> np.ndarray:
    return np.clip(way(simulation)[:, [0, 1, 3]], -1, 1)


def spatial(simulation: Simulation) -> np.ndarray:
    moves = way(simulation)
    moves[simulation.world.arrays["grasp_actions"] < 2, 2] = -0.3  # first to the side
    return np.clip(moves, -1, 1)


def discrete(simulation: Simulation) -> np.ndarray:
    moves = way(simulation)[:, [0, 1, 3]]
    axis = np.abs(moves).argmax(axis=1)
    far = moves[np.arange(len(moves)), axis]
    return np.where(np.abs(far) < 0.5, 0, 1 + 2 * axis + (far > 0))


def commanded(simulation: Simulation) -> np.ndarray:
    """As above, then close where the hand is down, and be done where it is closed."""
    moves = spatial(simulation)
    is_closed = simulation.world.read("arm.gripper_position") < 0.036
    closes = is_closed | (np.abs(moves[:, 2]) < 0.15)
    moves[closes] = 0
    return np.column_stack([moves, np.where([closes, is_closed], 1, -1).T])


@pytest.mark.parametrize(
    ("choose", "overrides", "share", "actions"),
    [
        (planar, [], 0.7, 6),
        (spatial, ["task.action=spatial"], 0.6, 8),
        (discrete, ["task.action=discrete"], 0.2, 6),
        (commanded, ["task.action=commanded", "task.actions=14"], 0.5, 14),
    ],
)
def test_a_hand_that_is_moved_over_a_thing_lifts_it(choose, overrides, share, actions) -> None:
    simulation = simulate(10, *overrides, "task.step_cost=0.05")
    found = run_episode(simulation, choose)
    assert found["success"].mean() > share
    assert (found["actions"] <= actions).all()
    np.testing.assert_allclose(found["return"], found["success"] - 0.05 * found["actions"])
    assert (found["unreachable"] == 0).all()


def test_an_action_counts_every_336_ms_and_moves_the_hand_by_its_share() -> None:
    simulation = simulate(2)
    world, rng = simulation.world, np.random.default_rng(0)
    counted, places = [], []
    for step in range(13 + 5 * 7):
        if simulation.task.decides(world)[0]:
            counted.append(step)
            places.append(world.read("arm.tool_position")[0].copy())
            action = np.tile([1.0, -0.5, 0.0], (2, 1))
        else:
            action = rng.uniform(-1, 1, (2, 3))  # not looked at
        simulation.step(action)
    assert counted == [13 + 7 * i for i in range(5)]
    middle = [*TRAY.centre_m, TRAY.floor_m + 0.37]
    # x stays within x_m
    expected = [middle] + [[0.6 + min(0.06 * i, 0.11), -0.03 * i, 0.38 - 0.06 * i] for i in (1, 2)]
    np.testing.assert_allclose(places[:3], expected, atol=12e-3)  # the servos lag


def test_discrete_actions_are_the_planar_moves_of_pybullet() -> None:
    one, other = simulate(7, "task.action=discrete"), simulate(7)
    for _ in range(13 + 3):
        a = one.step(np.arange(7))
        b = other.step(np.array(DISCRETE))
        np.testing.assert_array_equal(a.observation, b.observation)


def test_a_hand_that_does_not_come_down_makes_no_attempt() -> None:
    simulation = simulate(2, "task.action=spatial")
    found = run_episode(simulation, lambda simulation: np.zeros((2, 4)))
    assert (found["success"] == 0).all()
    np.testing.assert_array_equal(found["actions"], 8)
    np.testing.assert_array_equal(found["length"], 13 + 8 * 7)


def test_the_image_is_that_of_the_latest_decision() -> None:
    small = [f"engines.arm.cameras.shoulder.{side}=8" for side in ("width", "height")]
    simulation = simulate(1, "task.image=shoulder.depth", *small)
    seen = simulation.observe()
    for _ in range(13 + 15):
        decides = simulation.task.decides(simulation.world)[0]
        now = simulation.observe()
        if decides:
            np.testing.assert_array_equal(now, simulation.world.read("arm.shoulder.depth"))
            assert not np.array_equal(now, seen)
        else:
            np.testing.assert_array_equal(now, seen)
        seen = now
        simulation.step(np.ones((1, 3)))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("task.actions=4", "4 moves of 0.06 m do not bring the hand down from start_m, 0.37"),
        ("task.move_m=0.01", "valid: 34 or more"),
        ("task.start_m=1.9 task.actions=40", "'iiwa' does not get 1.9 m over the middle"),
        ("task.lowest_m=0.05", "closes_below_m: 0.03 must be above lowest_m, 0.05"),
        ("task.action=cubic", "'planar', 'spatial', 'discrete' or 'commanded'"),
        ("task.action=discrete", "--policy random: it chooses continuous actions"),
        ("engines.arm.robot=scara", "robot 'scara' of 'arm' has no gripper"),
    ],
)
def test_what_cannot_be_is_refused(overrides: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        open_policy("random", load_experiment("iiwa-grasp-closed-loop", overrides.split()))
    assert message in str(caught.value)


def test_the_heuristic_says_what_it_is_for() -> None:
    with pytest.raises(UserError, match="for a task of type `grasp`; that of 'iiwa-grasp-closed"):
        open_policy("heuristic", load_experiment("iiwa-grasp-closed-loop"))
