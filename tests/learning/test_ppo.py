import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.learning import bandit
from tests.learning.bandit import CONTINUOUS, DISCRETE, OBSERVATION, SMALL, N, T
from troupe.core.arrays import ArraySpec
from troupe.episodes import Fragment
from troupe.learning.networks import forward, initial_parameters, log_prob_and_entropy
from troupe.learning.normalisation import Running
from troupe.learning.ppo import PPO
from troupe.learning.ppo_loss import Batch, loss_and_figures
from troupe.learning.ppo_settings import PPOSettings
from troupe.learning.ppo_state import State, normalise, values, with_observations, with_returns
from troupe.learning.ppo_update import adapted


def make_learner(
    settings: PPOSettings = SMALL, action: ArraySpec = CONTINUOUS, seed: int = 0
) -> PPO:
    learner = bandit.make_learner(settings, action, seed)
    learner.prepare(T, N)
    return learner


def sample(learner: PPO, seed: int = 0) -> Fragment:
    return bandit.sample(learner.policy(), seed)


def test_numpy_and_jax_agree_on_log_probabilities():
    learner = make_learner()
    fragment = sample(learner)
    policy = learner.policy()
    mean = policy.forward(fragment.observation[0])
    parameters = {"log_std": jnp.asarray(policy.parameters["log_std"])}
    log_prob, _ = log_prob_and_entropy(parameters, "normal", jnp.asarray(mean), fragment.action[0])
    np.testing.assert_allclose(log_prob, fragment.log_prob[0], rtol=1e-4, atol=1e-5)


def test_numpy_and_jax_agree_where_the_deviation_depends_on_the_state():
    learner = make_learner(SMALL.model_copy(update={"std": "state"}))
    fragment = sample(learner)
    output = jnp.asarray(learner.policy().forward(fragment.observation[0]))
    log_prob, _ = log_prob_and_entropy({}, "state-normal", output, fragment.action[0])
    np.testing.assert_allclose(log_prob, fragment.log_prob[0], rtol=1e-4, atol=1e-5)


def test_entropy_of_a_gaussian_and_of_categories():
    parameters = {"log_std": jnp.array([0.0, np.log(2.0)])}
    _, entropy = log_prob_and_entropy(parameters, "normal", jnp.zeros((1, 2)), jnp.zeros((1, 2)))
    np.testing.assert_allclose(entropy, np.log(2 * np.pi * np.e) + np.log(2.0), rtol=1e-6)
    _, entropy = log_prob_and_entropy({}, "categorical", jnp.zeros((1, 4)), jnp.zeros(1))
    np.testing.assert_allclose(entropy, np.log(4.0), rtol=1e-6)


def test_the_loss_by_hand():
    # one layer of zeros: mean 0, value 0; std 1, so log p(a) = -a^2 / 2 - log(2 pi) / 2
    parameters = {
        "actor.0.weight": jnp.zeros((1, 1)),
        "actor.0.bias": jnp.zeros(1),
        "critic.0.weight": jnp.zeros((1, 1)),
        "critic.0.bias": jnp.zeros(1),
        "log_std": jnp.zeros(1),
    }
    constant = -0.5 * np.log(2 * np.pi)
    batch = Batch(
        observation=jnp.zeros((2, 1)),
        action=jnp.zeros((2, 1)),
        # ratios 2 and 0.5
        log_prob=jnp.array([constant - np.log(2.0), constant + np.log(2.0)]),
        importance=jnp.array([1.5, 1.0]),
        advantage=jnp.array([1.0, -1.0]),
        target=jnp.array([1.0, 3.0]),
    )
    settings = PPOSettings(
        normalise_advantages="none",
        value_coefficient=0.5,
        clip=0.2,
        entropy_coefficient=0.1,
        kl_coefficient=2.0,
    )
    loss, figures = loss_and_figures(parameters, settings, "normal", batch)
    surrogate = (1.5 * 1.2 * 1 + 0.8 * -1) / 2
    value_loss = 0.5 * (1 + 9) / 2
    entropy = 0.5 * np.log(2 * np.pi * np.e)
    kl = ((2 - 1 - np.log(2)) + (0.5 - 1 + np.log(2))) / 2
    expected = -surrogate + 0.5 * value_loss - 0.1 * entropy + 2 * kl
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(figures["kl"], kl, rtol=1e-5)
    assert float(figures["clipped"]) == 1.0


@pytest.mark.parametrize(
    ("action", "std"),
    [(CONTINUOUS, "shared"), (CONTINUOUS, "state"), (DISCRETE, "shared")],
    ids=["normal", "state-normal", "categorical"],
)
def test_it_learns_a_bandit(action: ArraySpec, std: str):
    changes = {"step_size": 1e-2, "schedule": "constant", "epochs": 5, "std": std}
    settings = SMALL.model_copy(update=changes)
    learner = make_learner(settings, action)
    before = sample(learner).reward.mean()
    for i in range(40):
        learner.update(sample(learner, seed=i))
    assert sample(learner).reward.mean() > before + 0.5


def test_updates_are_bitwise_repeatable_and_resumable():
    first, second = make_learner(), make_learner()
    fragments = [sample(first, seed) for seed in range(4)]
    for fragment in fragments:
        first.update(fragment)
    for fragment in fragments[:2]:
        second.update(fragment)
    third = make_learner(seed=5)
    third._streams = first._streams
    third.restore(second.state())
    for fragment in fragments[2:]:
        third.update(fragment)
    for name, expected in first.policy().parameters.items():
        np.testing.assert_array_equal(expected, third.policy().parameters[name])
    np.testing.assert_array_equal(first.policy().mean, third.policy().mean)
    assert third.version == 4


def test_normalisation_travels_with_the_policy():
    learner = make_learner()
    fragment = sample(learner)
    shifted = Fragment.from_arrays(
        {**fragment.arrays(), "observation": fragment.observation * 3 + 7}
    )
    learner.update(shifted)
    policy = learner.policy()
    seen = shifted.observation[:-1].reshape(-1, 3)
    np.testing.assert_allclose(policy.mean, seen.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(policy.scale, 1 / seen.std(axis=0), rtol=1e-3)


def test_new_moments_of_observations_leave_the_policy_as_it_is():
    rng = np.random.default_rng(0)
    parameters = initial_parameters(OBSERVATION, CONTINUOUS, "normal", (16, 16), 1.0, rng)
    seen = Running(jnp.array([1.0, 2.0, 0.0]), jnp.array([4.0, 9.0, 0.0]), jnp.asarray(100.0))
    state = State(
        parameters=jax.tree.map(jnp.asarray, parameters),
        optimiser=(),
        observations=seen,
        returns=Running.empty(()),
        step_size=jnp.asarray(1e-3),
    )
    samples = rng.normal(5.0, 1.0, (300, 3)).astype(np.float32) * [1, 1, 0]
    moved = with_observations(state, seen.merge(jnp.asarray(samples, jnp.float32)))
    assert abs(float(moved.observations.mean[0]) - 4) < 0.1
    observation = jnp.asarray(rng.normal(2.0, 1.0, (T, N, 3)) * [1, 1, 0], jnp.float32)
    for network in ("actor", "critic"):
        before, after = (
            forward(s.parameters, network, normalise(observation, s.observations), "tanh")
            for s in (state, moved)
        )
        np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-4)


def test_new_moments_of_returns_leave_the_values_as_they_are():
    rng = np.random.default_rng(0)
    parameters = initial_parameters(OBSERVATION, CONTINUOUS, "normal", (16, 16), 1.0, rng)
    state = State(
        parameters=jax.tree.map(jnp.asarray, parameters),
        optimiser=(),
        observations=Running.empty((3,)),
        returns=Running(jnp.asarray(2.0), jnp.asarray(9.0), jnp.asarray(100.0)),
        step_size=jnp.asarray(1e-3),
    )
    observation = jnp.asarray(rng.standard_normal((T, N, 3)), jnp.float32)
    targets = jnp.asarray(rng.normal(50, 20, 200), jnp.float32)
    before = values(SMALL, state, observation)
    moved = with_returns(SMALL, state, state.returns.merge(targets))
    assert float(moved.returns.mean) > 10
    np.testing.assert_allclose(values(SMALL, moved, observation), before, rtol=1e-3, atol=1e-3)


def test_the_step_size_follows_the_divergence():
    assert float(adapted(jnp.asarray(1e-3), jnp.asarray(0.05), 0.01)) == pytest.approx(1e-3 / 1.5)
    assert float(adapted(jnp.asarray(1e-3), jnp.asarray(0.001), 0.01)) == pytest.approx(1.5e-3)
    assert float(adapted(jnp.asarray(1e-3), jnp.asarray(0.01), 0.01)) == pytest.approx(1e-3)


def test_the_linear_schedule_falls_to_zero():
    learner = make_learner()
    sizes = [learner.update(sample(learner))["step_size"] for _ in range(10)]
    np.testing.assert_allclose(sizes, [1e-3 * (1 - i / 10) for i in range(10)], rtol=1e-5)
