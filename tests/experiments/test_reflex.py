from pathlib import Path

import numpy as np
import pytest

from tests.experiments.conftest import Recording, RunExperiment
from troupe.engines.base import Engine
from troupe.engines.host import open_engine
from troupe.experiments.build import build_loop
from troupe.experiments.load import load_experiment
from troupe.experiments.simulation import Simulation
from troupe.fleet.launch import EVALUATION_SEED_OFFSET, run_training

MS = 1_000_000
NO_REFLEX = (
    "engines.fusimotor.parameters={stretch_gain_hz_per_rad: 0, velocity_gain_hz_s_per_rad: 0}"
)


def angles(recording: Recording, first_s: float, last_s: float) -> np.ndarray:
    """Return the arms' angles in a span of time, (T, num_instances), rad."""
    angle = recording["arm.angle"]
    within = (angle.time_ns >= first_s * 1e9) & (angle.time_ns < last_s * 1e9)
    return angle.values[within]


@pytest.mark.slow
def test_the_reflex_holds_the_arm_against_a_load(run_experiment: RunExperiment) -> None:
    held = run_experiment("reflex", "fleet.instances=4")
    # quiet before, -4 N m from 1.0 to 1.2 s, back afterwards
    assert np.abs(angles(held, 0.5, 1.0)).mean() < 0.03
    peak = np.abs(angles(held, 1.0, 1.4)).max(axis=0)
    assert (peak > 0.06).all()
    assert (peak < 0.2).all()
    assert np.abs(angles(held, 1.8, 2.5).mean(axis=0)).max() < 0.03
    free = run_experiment("reflex", "fleet.instances=4", NO_REFLEX)
    assert (np.abs(angles(free, 1.0, 1.4)).max(axis=0) > 5 * peak).all()
    assert (np.abs(angles(free, 1.8, 2.5).mean(axis=0)) > 0.3).all()


def test_the_stretched_muscle_pulls_and_its_antagonist_lets_go(
    run_experiment: RunExperiment,
) -> None:
    recording = run_experiment("reflex", "fleet.instances=4", "loop.duration=1300ms")
    torque = recording["arm.muscle_torque"]
    before = torque.values[(torque.time_ns >= 500 * MS) & (torque.time_ns < 1000 * MS)]
    under = torque.values[(torque.time_ns >= 1080 * MS) & (torque.time_ns < 1200 * MS)]
    flexor, extensor = (under.mean(axis=(0, 1)) - before.mean(axis=(0, 1))).tolist()
    assert flexor > 2.0
    assert extensor < 0.0


@pytest.fixture
def circuit() -> Engine:
    return open_engine(load_experiment("reflex").engines["spinal"], "spinal", 1, 1)


def test_afferents_excite_their_own_muscle_and_inhibit_the_other(circuit: Engine) -> None:
    def spikes(flexor_hz: float) -> tuple[int, int]:
        circuit.reset([1])
        circuit.write("flexor_stretch", flexor_hz)
        circuit.write("extensor_stretch", 80.0)
        circuit.advance(1000 * MS)
        return int(circuit.read("flexor_spikes").sum()), int(circuit.read("extensor_spikes").sum())

    rest, stretched = spikes(30.0), spikes(120.0)
    circuit.close()
    assert stretched[0] > 1.5 * rest[0]
    assert stretched[1] < 0.8 * rest[1]


def trajectory(seeds: list[int], steps: int = 60) -> np.ndarray:
    """Return the arms' angles after each step, (steps, num_instances)."""
    loop = build_loop(load_experiment("reflex"), len(seeds), 1)
    loop.reset(seeds)
    loop.refresh()
    angle = []
    for _ in range(steps):
        loop.advance()
        angle.append(loop.world.read("arm.angle").copy())
    loop.close()
    return np.array(angle)


@pytest.mark.slow
def test_an_instance_is_the_same_alone_and_among_others_and_again() -> None:
    together = trajectory([5, 6, 7])
    np.testing.assert_array_equal(trajectory([5, 6, 7]), together)
    np.testing.assert_array_equal(trajectory([7])[:, 0], together[:, 2])
    assert (together[-1] != np.roll(together[-1], 1)).all()


def test_the_task_sets_the_spindles_and_prefers_a_quiet_arm() -> None:
    simulation = Simulation(load_experiment("reflex-gains"), 3)
    simulation.reset()
    # by shares of 0 .. 1200 Hz/rad and 0 .. 60 Hz s/rad: fitting, too sensitive, none
    action = np.array([[-0.5, 0.2], [1.0, -1.0], [-1.0, -1.0]], np.float32)
    rewards = [simulation.step(action).reward for _ in range(20)]
    read = simulation.world.read
    np.testing.assert_allclose(read("fusimotor.stretch_gain"), [300, 1200, 0], atol=1e-3)
    np.testing.assert_allclose(read("fusimotor.velocity_gain"), [36, 0, 0], atol=1e-3)
    total = np.sum(rewards, axis=0)
    assert total[0] > -15
    assert (total[1:] < -60).all()
    assert simulation.metrics()["deflection_rad"].argmin() == 0
    simulation.close()


def test_the_reward_is_minus_deflection_and_effort_squared() -> None:
    simulation = Simulation(load_experiment("reflex-gains"), 2)
    simulation.reset()
    world = simulation.world
    world.write("arm.angle", [0.05, 5.0])
    world.write("arm.muscle_torque", [[8.0, 4.0], [0.0, 0.0]])
    # (0.05 / 0.1)^2 + 1 + 1/4; a fallen arm costs 10
    np.testing.assert_allclose(simulation.task.reward(world, np.zeros((2, 2))), [-1.5, -10.0])
    simulation.close()


def constant_gains(action: list[float]) -> float:
    """Return the mean return of the evaluation's episodes for gains that never change."""
    experiment = load_experiment("reflex-gains")
    simulation = Simulation(experiment, 16)
    simulation.reset(seed=experiment.seed + EVALUATION_SEED_OFFSET)
    actions = np.tile(np.array(action), (16, 1))
    total = sum(simulation.step(actions).reward for _ in range(experiment.max_episode_steps))
    simulation.close()
    return float(np.mean(total))


@pytest.mark.slow
def test_the_gains_are_learned(tmp_path: Path) -> None:
    experiment = load_experiment("reflex-gains", ["steps=3200"])
    summary = run_training(experiment, tmp_path / "run")
    # an untrained policy sets the middle of the range: too sensitive, so the arm shakes
    assert constant_gains([0.0, 0.0]) < -25
    assert summary["evaluation"]["mean_return"] > -16
