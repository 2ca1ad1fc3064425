import gymnasium
import numpy as np
import pytest

from troupe.core import UserError
from troupe.experiments.gymnasium_ids import describe_environment
from troupe.experiments.load import build_experiment
from troupe.experiments.simulation import Simulation


@pytest.mark.parametrize(
    ("id", "step_ns", "max_steps"),
    [
        ("Hopper-v5", 8_000_000, 1000),
        ("MountainCarContinuous-v0", 20_000_000, 999),
        ("Acrobot-v1", 200_000_000, 500),
    ],
)
def test_time_step_and_limit_are_the_environments(id: str, step_ns: int, max_steps: int) -> None:
    experiment = build_experiment(describe_environment(id))
    assert (experiment.loop.step, experiment.max_episode_steps) == (step_ns, max_steps)


@pytest.mark.parametrize("id", ["Hopper-v5", "Pusher-v5", "Acrobot-v1"])
def test_a_simulation_does_what_the_environment_does(id: str) -> None:
    simulation = Simulation(build_experiment(describe_environment(id)), 2, seed=1)
    simulation.reset()
    env = gymnasium.make(id)
    # the seed of instance 1 in its first episode
    observation, _ = env.reset(seed=int(simulation.loop.snapshot()["env/seed"][1]))
    rng = np.random.default_rng(0)
    space = env.action_space
    for _ in range(300):
        np.testing.assert_array_equal(simulation.observe()[1], observation.astype(np.float32))
        if isinstance(space, gymnasium.spaces.Discrete):
            shares = actions = rng.integers(space.n, size=2)
        else:
            assert isinstance(space, gymnasium.spaces.Box)
            shares = rng.uniform(-1.5, 1.5, (2, *space.shape))
            centre, half = (space.high + space.low) / 2, (space.high - space.low) / 2
            actions = (centre + half * np.clip(shares, -1, 1)).astype(np.float32)
        step = simulation.step(shares)
        observation, reward, terminated, truncated, _ = env.step(actions[1])
        np.testing.assert_allclose(step.reward[1], reward, rtol=1e-6)
        assert (step.terminated[1], step.truncated[1]) == (terminated, truncated)
        if terminated or truncated:
            break


def test_a_simulation_of_environments_goes_on_from_a_snapshot() -> None:
    experiment = build_experiment(describe_environment("Hopper-v5"))
    simulation = Simulation(experiment, 3)

    def run(steps: range) -> list[np.ndarray]:
        observations = []
        for step in steps:
            action = np.random.default_rng(step).uniform(-1, 1, (3, 3))
            result = simulation.step(action)
            done = np.flatnonzero(result.terminated | result.truncated)
            if len(done):
                simulation.reset(done)
            observations.append(simulation.observe())
        return observations

    simulation.reset()
    run(range(60))
    assert simulation.episode.max() > 0
    snapshot = simulation.snapshot()
    expected = run(range(60, 100))
    simulation.restore(snapshot)
    assert np.array_equal(run(range(60, 100)), expected)


def test_unknown_environments_are_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown .* 'Hoper-v5'. Nearest: Hopper-v5"):
        describe_environment("Hoper-v5")
