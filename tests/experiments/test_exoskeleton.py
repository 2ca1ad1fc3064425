from pathlib import Path

import numpy as np
import pytest

from tests.experiments.conftest import Recording, RunExperiment
from troupe.experiments.load import load_experiment
from troupe.experiments.simulation import Simulation
from troupe.fleet.launch import EVALUATION_SEED_OFFSET, run_training

WITHOUT = "engines.exoskeleton.parameters.assistance=0"


def after_a_stride(recording: Recording, pack: str) -> np.ndarray:
    """Return a pack after the first second, (T, ...), of the only instance."""
    found = recording[pack]
    return found.values[found.time_ns >= 10**9, 0]


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def error_deg(recording: Recording, joint: str = "knee") -> float:
    """Return how far a joint is from the gait, root mean square."""
    angle = after_a_stride(recording, f"leg.{joint}_angle")
    return rms(np.degrees(angle - after_a_stride(recording, f"gait.{joint}_angle")))


def test_the_exoskeleton_reduces_error_and_the_persons_torque(
    run_experiment: RunExperiment,
) -> None:
    alone, helped = run_experiment("exoskeleton", WITHOUT), run_experiment("exoskeleton")
    # too weak to follow the gait alone
    assert error_deg(alone) > 12
    assert error_deg(helped) < 0.5 * error_deg(alone)
    person = [rms(after_a_stride(r, "person.torque")) for r in (alone, helped)]
    assert person[1] < 0.75 * person[0]
    for recording in (alone, helped):
        assert error_deg(recording, "hip") < 2
        assert np.abs(after_a_stride(recording, "person.torque")).max() <= 10
        assert np.abs(after_a_stride(recording, "exoskeleton.torque")).max() <= 40
    assert not after_a_stride(alone, "exoskeleton.torque").any()


def test_the_gait_is_that_of_a_normal_stride(run_experiment: RunExperiment) -> None:
    recording = run_experiment("exoskeleton", "loop.duration=2s")
    hip, knee = (np.degrees(recording[f"gait.{j}_angle"].values[:, 0]) for j in ("hip", "knee"))
    assert (hip.min(), hip.max()) == pytest.approx((-10, 32), abs=2)
    assert (knee.min(), knee.max()) == pytest.approx((5, 61), abs=2)
    # most knee flexion in the middle of the swing, a second stride like the first
    assert 0.70 < knee[:500].argmax() / 500 < 0.80
    np.testing.assert_allclose(knee[500:1000], knee[:500], atol=1e-9)
    for joint in ("hip", "knee"):
        angle = recording[f"gait.{joint}_angle"].values[:, 0]
        velocity = recording[f"gait.{joint}_velocity"].values[:, 0]
        np.testing.assert_allclose(np.gradient(angle, 0.002)[1:-1], velocity[1:-1], atol=0.01)


def test_episodes_begin_with_the_gait_and_persons_of_their_own_strength() -> None:
    simulation = Simulation(load_experiment("exoskeleton-assist"), 3)
    simulation.reset()
    begin = simulation.observe().copy()
    for _ in range(30):
        simulation.step(-np.ones((3, 1), np.float32))
    simulation.reset(np.array([1]))
    read = simulation.world.read
    np.testing.assert_array_equal(simulation.observe()[1], begin[1])
    np.testing.assert_allclose(read("leg.knee_angle")[1], read("gait.knee_angle")[1], atol=1e-3)
    assert (simulation.observe()[[0, 2]] != begin[[0, 2]]).any()
    for _ in range(30):
        simulation.step(-np.ones((3, 1), np.float32))
    # alone they lag as far behind as they are weak
    assert len(np.unique(np.abs(read("person.torque")).round(3))) == 3
    simulation.close()


def test_the_task_sets_the_assistance_and_pays_for_error_torque_and_help() -> None:
    simulation = Simulation(load_experiment("exoskeleton-assist"), 3)
    simulation.reset()
    rewards = []
    for _ in range(100):
        step = simulation.step(np.array([[-1.0], [0.0], [1.0]], np.float32))
        figures = simulation.metrics()
        cost = (figures["error_deg"] / 5) ** 2 + (figures["person_n_m"] / 5) ** 2
        np.testing.assert_allclose(step.reward, -cost - 2 * np.array([0.0, 0.5, 1.0]) ** 2)
        rewards.append(step.reward)
    assert figures["assistance"].tolist() == [0.0, 0.5, 1.0]
    # any help is better than none
    total = np.sum(rewards, axis=0)
    assert (total[1:] > total[0] + 100).all()
    simulation.close()


def test_an_instance_is_the_same_alone_and_among_others() -> None:
    experiment = load_experiment("exoskeleton-assist", ["task.episode=200ms"])

    def observations(num_instances: int, first_instance: int) -> np.ndarray:
        simulation = Simulation(experiment, num_instances, seed=3, first_instance=first_instance)
        simulation.reset()
        observed = []
        for k in range(25):
            step = simulation.step(np.full((num_instances, 1), np.sin(k)))
            observed.append(step.observation)
            if step.truncated.any():
                simulation.reset()
        simulation.close()
        return np.array(observed)

    together = observations(16, 0)
    for instance in (0, 5, 15):
        np.testing.assert_array_equal(observations(1, instance)[:, 0], together[:, instance])


def returns_of_constant_help(shares: list[float]) -> np.ndarray:
    """Return the mean return of the evaluation's episodes for help that never changes."""
    experiment = load_experiment("exoskeleton-assist")
    simulation = Simulation(experiment, 32 * len(shares))
    simulation.reset(seed=experiment.seed + EVALUATION_SEED_OFFSET)
    action = 2 * np.repeat(shares, 32)[:, None] - 1
    total = sum(simulation.step(action).reward for _ in range(experiment.max_episode_steps))
    simulation.close()
    return np.asarray(total).reshape(len(shares), 32).mean(axis=1)


@pytest.mark.slow
def test_a_policy_learns_to_help_when_it_is_needed(tmp_path: Path) -> None:
    summary = run_training(load_experiment("exoskeleton-assist"), tmp_path / "run")
    learned = summary["evaluation"]["mean_return"]
    constant = returns_of_constant_help([0.0, 0.25, 0.5, 0.625, 0.75, 0.875, 1.0])
    # an untrained policy helps by a half
    assert learned > constant[2] + 80
    assert learned > constant.max() + 20
