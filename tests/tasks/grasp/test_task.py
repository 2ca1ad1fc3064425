"""Attempts to grasp: what succeeds, what does not, and when they end."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.tasks.grasp.conftest import run_episode
from troupe.core import plugins
from troupe.core.errors import UserError
from troupe.experiments.load import load_experiment
from troupe.experiments.simulation import Simulation
from troupe.tasks.grasp.objects import NUM_TRAIN, thing


def simulate(num_instances: int, *overrides: str, seed: int = 0) -> Simulation:
    made = Simulation(
        load_experiment("iiwa-grasp", overrides), num_instances, seed=seed, num_threads=1
    )
    made.reset()
    return made


def aimed(simulation: Simulation) -> np.ndarray:
    """Actions that close along the first thing's broad side, over its middle."""
    world, task = simulation.world, simulation.task
    pose = world.read("arm.object_pose")[:, 0]
    long_axis = Rotation.from_quat(pose[:, 3:], scalar_first=True).as_matrix()[:, :, 2]
    yaw = np.arctan2(long_axis[:, 1], long_axis[:, 0])
    yaw = (yaw + np.pi / 2) % np.pi - np.pi / 2
    height = np.maximum(pose[:, 2] - 0.015, 0.006)
    wanted = np.stack([pose[:, 0], pose[:, 1], height, yaw], axis=1)
    settings = task._settings
    low, high = np.array([settings.x_m, settings.y_m, settings.height_m, settings.yaw_rad]).T
    return 2 * (wanted - low) / (high - low) - 1


def test_most_attempts_that_aim_at_a_thing_lift_it_and_hold_it() -> None:
    simulation = simulate(32, "task.kinds=[box, cylinder, wrench, mug]", "task.count=[1, 1]")
    found = run_episode(simulation, aimed)
    assert found["success"].mean() > 0.7
    lifted = found["success"] == 1
    number = simulation.world.arrays["tray_object"][lifted, 0]
    np.testing.assert_array_equal(found["object"][lifted], number)
    np.testing.assert_array_equal(found["return"], found["success"])
    assert (found["object"][~lifted] == -1).all()
    assert (found["slip_m"][lifted] < 0.05).all()
    assert (found["energy_j"] > 0).all()


def test_the_energy_is_what_motors_of_the_instance_do() -> None:
    half = "{operation: scale, shared: true, distribution: {type: uniform, low: 0.4, high: 0.6}"
    simulation = simulate(
        2,
        f"randomise.kp={half}, pack: arm.servo_stiffness}}",
        f"randomise.kv={half}, pack: arm.servo_damping}}",
    )
    read, expected = simulation.world.read, np.zeros(2)
    for _ in range(40):
        simulation.step(np.zeros((2, 4)))
        speed = read("arm.joint_velocity")
        effort = read("arm.servo_stiffness") * (
            read("arm.joint_target") - read("arm.joint_position")
        )
        power_w = np.abs((effort - read("arm.servo_damping") * speed) * speed).sum(axis=1)
        expected += power_w * simulation.loop.step_ns / 1e9
    assert (expected > 0.1).all()
    np.testing.assert_allclose(simulation.metrics()["energy_j"], expected)


def test_the_engine_tells_the_gains_that_the_robot_states() -> None:
    simulation, servo = simulate(1), plugins.load("troupe.robots", "iiwa").servo
    for key in ("stiffness", "damping"):
        np.testing.assert_array_equal(
            simulation.world.read(f"arm.servo_{key}")[0], getattr(servo, key)
        )


def test_an_attempt_beside_all_things_fails_and_ends_as_soon_as_the_fingers_are_closed() -> None:
    beside = "task.count=[1, 1]", "task.x_m=[0.7, 0.7]", "task.y_m=[0.14, 0.14]"
    simulation = simulate(16, *beside)
    away = simulation.world.read("arm.object_pose")[:, 0, :2] - [0.7, 0.14]
    found = run_episode(simulation, lambda simulation: np.zeros((16, 4)))
    far = np.linalg.norm(away, axis=1) > 0.12
    assert far.sum() > 8
    assert (found["success"][far] == 0).all()
    early = found["length"][far].max()
    whole = run_episode(
        simulate(16, *beside, "task.ends_early=false"), lambda simulation: np.zeros((16, 4))
    )
    assert (whole["length"][far] > early + 20).all()


def test_an_instance_is_the_same_alone_and_among_others() -> None:
    many = run_episode(simulate(5, seed=7), aimed)
    experiment = load_experiment("iiwa-grasp")
    for i in (0, 4):
        alone = Simulation(experiment, 1, seed=7, first_instance=i, num_threads=1)
        alone.reset()
        found = run_episode(alone, aimed)
        assert {name: values[0] for name, values in found.items()} == {
            name: values[i] for name, values in many.items()
        }


def test_an_attempt_goes_on_from_a_snapshot_bit_for_bit() -> None:
    simulation = simulate(4)
    for _ in range(20):
        simulation.step(np.zeros((4, 4)))
    saved = simulation.snapshot()
    first = run_episode(simulation, aimed)
    again = simulate(4, seed=1)
    again.restore(saved)
    second = run_episode(again, aimed)
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])


def test_draws_tell_what_is_in_the_tray() -> None:
    simulation = simulate(8, "task.objects=test", "task.count=[2, 4]")
    counts = set()
    for i in range(8):
        draws = simulation.task.draws(simulation.world, i)
        counts.add(len(draws["objects"]))
        assert len(draws["mass_kg"]) == len(draws["friction"]) == len(draws["objects"])
        assert min(draws["objects"]) >= NUM_TRAIN
        assert draws["kinds"] == ",".join(thing(n).kind for n in draws["objects"])
    assert counts <= {2, 3, 4}
    assert len(counts) > 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("task.count=[3, 9]", "scene of 'arm' has room for 6 things, not 9"),
        ("task.count=[4, 2]", "count: 4 is more than 2"),
        ("task.kinds=[ball]", "'ball'"),
        ("task.kinds=[]", "name at least one"),
        ("task.lift_to_m=0.05", "lift_to_m: 0.05 is below lifted_m"),
        ("engines.arm.robot=scara", "robot 'scara' of 'arm' has no gripper"),
    ],
)
def test_what_cannot_be_is_refused(override: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        simulate(1, override)
    assert message in str(caught.value)
