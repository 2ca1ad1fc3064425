from collections.abc import Callable

import numpy as np
import pytest

from troupe.experiments.simulation import Simulation
from troupe.fleet.sampler import Sampler
from troupe.policies import MlpPolicy

T = 30  # with episodes of at most 20 steps, each instance ends one


@pytest.fixture
def policy() -> MlpPolicy:
    rng = np.random.default_rng(0)
    parameters = {
        "actor.0.weight": rng.standard_normal((15, 3)).astype(np.float32),
        "actor.0.bias": np.zeros(3, np.float32),
        "log_std": np.zeros(3, np.float32),
    }
    return MlpPolicy(parameters, np.zeros(15, np.float32), np.ones(15, np.float32), version=5)


@pytest.fixture
def make_sampler(small, policy) -> Callable[..., Sampler]:
    """Makes samplers that act with the policy."""

    def make(num_instances=16, first_instance=0, overrides=()) -> Sampler:
        simulation = Simulation(
            small(*overrides), num_instances, seed=3, first_instance=first_instance
        )
        sampler = Sampler(simulation, seed=3, noise_size=3)
        sampler.policies.newest = policy
        return sampler

    return make


def test_every_step_carries_its_provenance(make_sampler, policy):
    fragment = make_sampler().sample(T).fragment
    assert (fragment.version == 5).all()
    np.testing.assert_array_equal(fragment.time_ns[:, 0] // 20_000_000, [*range(20), *range(10)])
    again = policy.act(fragment.observation[0])
    noise = (fragment.action[0] - again.action) / np.exp(policy.parameters["log_std"])
    expected = -0.5 * (noise**2).sum(axis=1) - 1.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(fragment.log_prob[0], expected, rtol=1e-4, atol=1e-4)


def test_episodes_that_end_are_truncated_with_their_last_observation(make_sampler, policy):
    sampler = make_sampler(overrides=["task.random_start=0"])
    lengths = sampler.simulation.step_limit.copy()  # of the first episodes; later ones have 20
    sample = sampler.sample(T)
    fragment, episodes = sample.fragment, sample.episodes
    ends = [
        (step, instance)
        for step in range(T)
        for instance, length in enumerate(lengths)
        if step + 1 >= length and (step + 1 - length) % 20 == 0
    ]
    np.testing.assert_array_equal(np.argwhere(fragment.truncated), ends)
    np.testing.assert_array_equal(fragment.final_step, ends)
    assert not fragment.terminated.any()
    steps, instances = np.array(ends).T
    np.testing.assert_array_equal(episodes["step"], steps)
    np.testing.assert_array_equal(episodes["instance"], instances)
    expected = [
        fragment.reward[step + 1 - length : step + 1, instance].sum()
        for step, instance, length in zip(steps, instances, episodes["length"], strict=True)
    ]
    np.testing.assert_allclose(episodes["return"], expected, rtol=1e-5)
    # the next observations are the first of new episodes: the arm is at home again, joints at 0
    np.testing.assert_allclose(fragment.observation[steps + 1, instances, :3], 0, atol=1e-6)
    error = np.linalg.norm(fragment.final_observation[:, 3:6], axis=1)
    np.testing.assert_allclose(error, episodes["error_m"], rtol=1e-5)


def test_a_range_of_instances_samples_what_all_of_them_do(make_sampler, policy):
    whole = make_sampler().sample(T).fragment
    part = make_sampler(5, first_instance=6).sample(T).fragment
    np.testing.assert_array_equal(part.action, whole.action[:, 6:11])
    np.testing.assert_array_equal(part.reward, whole.reward[:, 6:11])
    np.testing.assert_array_equal(part.observation, whole.observation[:, 6:11])


def test_it_goes_on_from_a_snapshot_bit_for_bit(make_sampler, policy):
    first, second = make_sampler(), make_sampler()
    first.sample(27)
    second.restore(first.snapshot())
    expected, found = (s.sample(T) for s in (first, second))
    np.testing.assert_array_equal(found.fragment.observation, expected.fragment.observation)
    np.testing.assert_array_equal(found.episodes["return"], expected.episodes["return"])


def test_a_fault_cuts_one_episode_off_and_is_described(make_sampler, policy):
    sampler, undisturbed = make_sampler(), make_sampler()
    sampler.sample(3)
    undisturbed.sample(3)
    sampler.simulation.world.write("arm.joint_velocity", [[np.nan] * 3], np.array([4]))
    sample, expected = sampler.sample(5), undisturbed.sample(5)
    (fault,) = sample.faults
    assert (fault.instance, fault.episode, fault.episode_step) == (4, 0, 4)
    assert sample.fragment.truncated[0, 4]
    others = np.arange(16) != 4
    np.testing.assert_array_equal(
        sample.fragment.observation[:, others], expected.fragment.observation[:, others]
    )
    assert np.isfinite(sample.fragment.observation).all()
