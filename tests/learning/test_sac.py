import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.learning.fragments import ACTION, OBSERVATION
from troupe.core import UserError
from troupe.core.arrays import ArraySpec
from troupe.core.goals import Goals
from troupe.episodes import Fragment
from troupe.learning.normalisation import Running
from troupe.learning.sac import SAC
from troupe.learning.sac_networks import (
    draw_actions,
    initial_actor,
    initial_critics,
    taken_up,
    values,
)
from troupe.learning.sac_settings import SACSettings
from troupe.learning.sac_update import Batch, initial_state, td_errors
from troupe.learning.weighting.priority import PrioritySettings
from troupe.policies import MlpPolicy
from troupe.policies.base import ActionNoise

T, N = 8, 4
SMALL = SACSettings(batch=T * N, minibatch=32, start_steps=0, hidden=(16, 16), step_size=3e-3)


def make(settings: SACSettings = SMALL, seed: int = 0, goals: Goals | None = None) -> SAC:
    learner = settings.build(OBSERVATION, ACTION, seed, num_updates=100, goals=goals)
    learner.prepare(T, N)
    return learner


def sample(policy: MlpPolicy, update: int = 0, best: float = 0.3) -> Fragment:
    """Steps of a bandit: each is an episode, and the reward is highest for actions near `best`."""
    rng = np.random.default_rng(update)
    observation = rng.standard_normal((T + 1, N, 2)).astype(np.float32)
    noise = ActionNoise(update, 0, N, policy.noise_size)
    steps = [policy.act(observation[t], noise.draw()) for t in range(T)]
    action = np.stack([step.action for step in steps])
    ends = np.ones((T, N), np.bool_)
    return Fragment(
        observation=observation,
        action=action,
        log_prob=np.stack([step.log_prob for step in steps]),
        reward=-np.abs(action - best).sum(axis=-1).astype(np.float32),
        terminated=ends,
        truncated=~ends,
        final_step=np.argwhere(ends),
        final_observation=observation[1:].reshape(-1, 2),
        version=np.full((T, N), policy.version),
        time_ns=np.zeros((T, N), np.int64),
        instance=np.tile(np.arange(N), (T, 1)),
        episode=update * T + np.tile(np.arange(T)[:, None], (1, N)),
    )


def learn(learner: SAC, num_updates: int, first: int = 0) -> dict[str, float]:
    figures: dict[str, float] = {}
    for update in range(first, first + num_updates):
        figures = learner.update(sample(learner.policy(), update))
    return figures


def assert_same(first: SAC, second: SAC) -> None:
    states = first.state(), second.state()
    assert states[0].keys() == states[1].keys()
    for name, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][name], err_msg=name)


def test_numpy_and_jax_agree_on_squashed_actions():
    policy = make().policy()
    observation = np.random.default_rng(0).standard_normal((5, 2)).astype(np.float32)
    noise = np.random.default_rng(1).standard_normal((5, 1)).astype(np.float32)
    step = policy.act(observation, noise)
    actor = {name: jnp.asarray(array) for name, array in policy.parameters.items()}
    action, log_prob = draw_actions(actor, jnp.asarray(observation), "relu", jnp.asarray(noise))
    np.testing.assert_allclose(action, step.action, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(log_prob, step.log_prob, rtol=1e-4, atol=1e-5)


def test_the_first_policy_acts_nearly_uniformly():
    policy = make().policy()
    observation = np.random.default_rng(0).standard_normal((4000, 2)).astype(np.float32)
    noise = np.random.default_rng(1).standard_normal((4000, 1)).astype(np.float32)
    action = policy.act(observation, noise).action[:, 0]
    shares = np.histogram(action, bins=4, range=(-1, 1))[0] / len(action)
    assert shares.min() > 0.2
    assert shares.max() < 0.3


def test_the_target_and_its_error_by_hand():
    # critics that say 2 and 3 whatever they see; an actor of mean 0 and deviation 1
    actor = {"actor.0.weight": jnp.zeros((1, 2)), "actor.0.bias": jnp.zeros(2)}
    critics = {
        "critic.0.weight": jnp.zeros((2, 2, 1)),
        "critic.0.bias": jnp.array([[2.0], [3.0]]),
    }
    settings = SACSettings(gamma=0.5, initial_temperature=1e-9, reward_scale=2.0)
    state = initial_state(settings, actor, critics, num_observations=1)
    batch = Batch(
        observation=jnp.zeros((2, 1)),
        action=jnp.zeros((2, 1)),
        reward=jnp.array([1.0, 1.0]),
        next_observation=jnp.zeros((2, 1)),
        terminated=jnp.array([False, True]),
        weight=jnp.ones(2),
    )
    errors = td_errors(settings, state, batch, jax.random.key(0))
    # targets: 2 * 1 + 0.5 * min(2, 3) and 2 * 1; the critics' mean is 2.5
    np.testing.assert_allclose(errors, [0.5, 0.5], atol=1e-5)
    # entropy counts: at temperature 1 the target is higher by 0.5 times -log pi
    soft = state._replace(log_temperature=jnp.zeros(()))
    noise = jax.random.normal(jax.random.split(jax.random.key(0))[0], (2, 1))
    _, log_prob = draw_actions(actor, jnp.zeros((2, 1)), "relu", noise)
    errors = td_errors(settings, soft, batch, jax.random.key(0))
    np.testing.assert_allclose(errors[0], abs(2.5 - (3 - 0.5 * log_prob[0])), rtol=1e-4)


def test_critics_are_independent_networks():
    critics = initial_critics(3, 2, (8,), np.random.default_rng(0))
    rng = np.random.default_rng(1)
    observation, action = rng.standard_normal((4, 2)), rng.standard_normal((4, 1))
    said = values(critics, jnp.asarray(observation), jnp.asarray(action), "relu", True)
    for i in range(2):
        layers = [{k: np.asarray(v[i], np.float64) for k, v in critics.items()}]
        x = np.concatenate([observation, action], axis=1)
        x = x @ layers[0]["critic.0.weight"] + layers[0]["critic.0.bias"]
        x = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
        x = np.maximum(x, 0) @ layers[0]["critic.1.weight"] + layers[0]["critic.1.bias"]
        np.testing.assert_allclose(said[i], x[:, 0], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_dropout_leaves_the_mean():
    critics = initial_critics(3, 1, (256,), np.random.default_rng(0))
    x = jnp.asarray(np.random.default_rng(1).standard_normal((1, 2)), jnp.float32)
    arguments = (critics, x, jnp.zeros((1, 1)), "relu", False)
    keys = jax.random.split(jax.random.key(0), 2000)
    dropped = jax.vmap(lambda key: values(*arguments, 0.5, key)[0, 0])(keys)
    assert float(dropped.std()) > 0.02
    assert float(dropped.mean()) == pytest.approx(float(values(*arguments)[0, 0]), abs=0.01)


@pytest.mark.slow
def test_new_moments_leave_actor_and_critics_as_they_are():
    rng = np.random.default_rng(0)
    actor = initial_actor(OBSERVATION, ACTION, (16,), 1.0, rng)
    critics = initial_critics(3, 2, (16,), rng)
    old = Running(jnp.array([1.0, 2.0]), jnp.array([4.0, 9.0]), jnp.asarray(100.0))
    new = old.merge(jnp.asarray(rng.normal(5, 1, (300, 2)), jnp.float32))
    observation = jnp.asarray(rng.normal(2, 1, (20, 2)), jnp.float32)
    action, noise = jnp.zeros((20, 1)), jnp.ones((20, 1))
    before, after = (
        (
            draw_actions(
                taken_up(actor, "actor", old, m), m.normalised(observation), "relu", noise
            ),
            values(
                taken_up(critics, "critic", old, m),
                m.normalised(observation),
                action,
                "relu",
                True,
            ),
        )
        for m in (old, new)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3), before, after)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param(
            {"critic_dropout": 0.01, "updates_per_step": 4.0, "actor_every": 4},
            marks=pytest.mark.slow,
        ),
        {"weighting": (PrioritySettings(),)},
        pytest.param({"critics": 5, "critic_layer_norm": False}, marks=pytest.mark.slow),
    ],
    ids=["plain", "droq", "priority", "ensemble"],
)
def test_it_learns_a_bandit(changes):
    learner = make(SMALL.model_copy(update=changes))
    before = sample(learner.policy()).reward.mean()
    figures = learn(learner, 40)
    assert sample(learner.policy()).reward.mean() > before + 0.2
    actions = learner.policy().act(np.zeros((1, 2), np.float32)).action
    assert abs(actions[0, 0] - 0.3) < 0.15
    assert figures["replay_steps"] == 40 * T * N
    assert np.isfinite(list(figures.values())).all()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"weighting": (PrioritySettings(),)},
        pytest.param({"critic_dropout": 0.1, "updates_per_step": 0.3}, marks=pytest.mark.slow),
    ],
    ids=["plain", "priority", "dropout"],
)
def test_updates_are_bitwise_repeatable_and_resumable(changes):
    settings = SMALL.model_copy(update=changes)
    first, second = make(settings), make(settings)
    learn(first, 5)
    learn(second, 3)
    third = make(settings)
    learn(third, 1, first=70)
    third.restore(second.state())
    learn(third, 2, first=3)
    assert_same(first, third)
    assert third.version == 5


def test_before_the_start_steps_the_policy_stays_as_it_is():
    learner = make(SMALL.model_copy(update={"start_steps": 3 * T * N}))
    before = learner.policy()
    assert learn(learner, 2).keys() == {"replay_steps"}
    after = learner.policy()
    assert after.version == 2
    for layer in (1, 2):
        name = f"actor.{layer}.weight"
        np.testing.assert_array_equal(before.parameters[name], after.parameters[name])
    assert "critic_loss" in learn(learner, 1, first=2)


@pytest.mark.slow
def test_gradient_steps_follow_the_steps_of_instances():
    learner = make(SMALL.model_copy(update={"updates_per_step": 0.5}))
    learn(learner, 4)
    assert int(learner._state.steps) == 4 * T * N // 2


def test_normalisation_travels_with_the_policy():
    learner = make()
    fragment = sample(learner.policy())
    shifted = Fragment.from_arrays(
        {**fragment.arrays(), "observation": fragment.observation * 3 + 7}
    )
    learner.update(shifted)
    seen = shifted.observation[:-1].reshape(-1, 2)
    np.testing.assert_allclose(learner.policy().mean, seen.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(learner.policy().scale, 1 / seen.std(axis=0), rtol=1e-3)


def test_padding_is_not_learned_from():
    fragment = sample(make().policy())
    weight = np.ones((T, N), np.float32)
    weight[5:, 2] = 0.0
    damaged = {name: array.copy() for name, array in fragment.arrays().items()}
    damaged["reward"][5:, 2] = np.nan
    damaged["observation"][5:-1, 2] = np.nan
    first, second = make(), make()
    first.update(fragment, weight)
    second.update(Fragment.from_arrays(damaged), weight)
    assert first.update(fragment)["replay_steps"] == 2 * T * N - 3
    second.update(fragment)
    assert_same(first, second)


@pytest.mark.slow
def test_priorities_are_of_steps_and_fall_as_they_are_learned():
    learner = make(SMALL.model_copy(update={"gamma": 0.0}))
    fragment = sample(learner.policy())
    before = learner.priorities(fragment)
    assert before.shape == (T, N)
    learn(learner, 60)
    assert learner.priorities(fragment).mean() < 0.5 * before.mean()


def test_parameters_are_all_that_the_policy_needs():
    first, second = make(), make(seed=1)
    learn(first, 3)
    second.adopt(first.parameters())
    observation = np.random.default_rng(0).standard_normal((5, 2)).astype(np.float32)
    policies = first.policy(), second.policy()
    np.testing.assert_array_equal(*(policy.act(observation).action for policy in policies))
    fragment = sample(first.policy())
    np.testing.assert_array_equal(*(each.priorities(fragment) for each in (first, first)))
    assert first.parameters().keys() == second.parameters().keys()


def test_other_writers_in_a_given_directory_are_learned_from(tmp_path):
    settings = SMALL.model_copy(update={"replay_directory": tmp_path})
    from troupe.learning.replay import ReplayWriter

    learner = make(settings)
    other = ReplayWriter(tmp_path / "worker-1.ring", OBSERVATION, ACTION, 1000)
    other.append(sample(learner.policy(), 7))
    assert learn(learner, 1)["replay_steps"] == 2 * T * N
    assert (tmp_path / "learner.ring").exists()


def test_categories_are_refused():
    with pytest.raises(UserError, match=r"learner\.type: 'sac' needs continuous actions"):
        SMALL.build(OBSERVATION, ArraySpec((), categories=3), 0, 10)


def test_hindsight_needs_goals():
    with pytest.raises(UserError, match=r"learner\.hindsight: the task has no goals"):
        make(SMALL.model_copy(update={"hindsight": 4}))
