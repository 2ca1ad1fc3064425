import numpy as np
import pytest
from scipy.stats import norm

from troupe.policies import MlpPolicy
from troupe.policies.base import ActionNoise
from troupe.policies.mlp import BLOCK, LOG_STD_RANGE, Activation, Distribution

OBSERVATIONS, ACTIONS = 5, 3


def make_policy(
    activation: Activation = "tanh", distribution: Distribution = "normal"
) -> MlpPolicy:
    rng = np.random.default_rng(0)
    outputs = 2 * ACTIONS if distribution in ("state-normal", "squashed-normal") else ACTIONS

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    parameters = {
        "actor.0.weight": normal(OBSERVATIONS, 16),
        "actor.0.bias": normal(16),
        "actor.1.weight": normal(16, outputs),
        "actor.1.bias": normal(outputs),
    }
    if distribution == "normal":
        parameters["log_std"] = np.array([-1.0, 0.0, 0.5], np.float32)
    mean, scale = normal(OBSERVATIONS), np.full(OBSERVATIONS, 0.5, np.float32)
    return MlpPolicy(parameters, mean, scale, activation, distribution)


def observations(n: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((n, OBSERVATIONS)).astype(np.float32)


def test_forward_is_the_network_on_normalised_observations():
    policy, x = make_policy(), observations(4).astype(np.float64)
    p = policy.parameters
    hidden = np.tanh((x - policy.mean) * policy.scale @ p["actor.0.weight"] + p["actor.0.bias"])
    expected = hidden @ p["actor.1.weight"] + p["actor.1.bias"]
    np.testing.assert_allclose(policy.forward(x.astype(np.float32)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("first", "last"), [(0, 8), (8, 16), (3, 7), (5, 21), (30, 31)])
def test_rows_do_not_depend_on_how_instances_are_divided(first: int, last: int):
    policy, x = make_policy(), observations(4 * BLOCK)
    whole = policy.forward(x)
    np.testing.assert_array_equal(policy.forward(x[first:last], first), whole[first:last])


def test_gaussian_log_prob_is_that_of_scipy():
    policy, x = make_policy(), observations(6)
    noise = np.random.default_rng(2).standard_normal((6, ACTIONS)).astype(np.float32)
    step = policy.act(x, noise)
    expected = norm.logpdf(step.action, policy.forward(x), np.exp(policy.parameters["log_std"]))
    np.testing.assert_allclose(step.log_prob, expected.sum(axis=1), rtol=1e-4, atol=1e-4)


def test_a_deviation_that_depends_on_the_state():
    policy, x = make_policy(distribution="state-normal"), observations(6)
    noise = np.random.default_rng(2).standard_normal((6, ACTIONS)).astype(np.float32)
    assert policy.noise_size == ACTIONS
    step = policy.act(x, noise)
    mean, log_std = np.split(policy.forward(x), 2, axis=1)
    std = np.exp(np.clip(log_std, *LOG_STD_RANGE))
    np.testing.assert_allclose(step.action, mean + std * noise, rtol=1e-5)
    expected = norm.logpdf(step.action, mean, std).sum(axis=1)
    np.testing.assert_allclose(step.log_prob, expected, rtol=1e-3, atol=1e-3)


def test_a_squashed_gaussian():
    policy, x = make_policy(distribution="squashed-normal"), observations(6)
    noise = np.random.default_rng(2).standard_normal((6, ACTIONS)).astype(np.float32)
    assert policy.noise_size == ACTIONS
    step = policy.act(x, noise)
    mean, log_std = np.split(policy.forward(x).astype(np.float64), 2, axis=1)
    std = np.exp(np.clip(log_std, *LOG_STD_RANGE))
    drawn = mean + std * noise
    np.testing.assert_allclose(step.action, np.tanh(drawn), rtol=1e-4, atol=1e-6)
    slope = 1 / np.cosh(drawn) ** 2
    expected = (norm.logpdf(drawn, mean, std) - np.log(slope)).sum(axis=1)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(step.log_prob, expected, rtol=1e-3, atol=1e-3)
    assert step.log_prob.dtype == step.action.dtype == np.float32
    np.testing.assert_allclose(policy.act(x).action, np.tanh(mean), rtol=1e-5)


@pytest.mark.parametrize(("first", "last"), [(0, 8), (3, 7), (5, 21), (30, 31), (33, 100)])
def test_squashed_actions_do_not_depend_on_how_instances_are_divided(first: int, last: int):
    policy, x = make_policy(distribution="squashed-normal"), observations(4 * BLOCK)
    noise = np.random.default_rng(2).standard_normal((len(x), ACTIONS)).astype(np.float32)
    whole, part = policy.act(x, noise), policy.act(x[first:last], noise[first:last], first)
    np.testing.assert_array_equal(part.action, whole.action[first:last])
    np.testing.assert_array_equal(part.log_prob, whole.log_prob[first:last])


def test_without_noise_the_action_is_the_mean():
    policy, x = make_policy(), observations(6)
    np.testing.assert_array_equal(policy.act(x).action, policy.forward(x))


def test_categories_are_drawn_with_the_probabilities_of_the_logits():
    policy = make_policy(distribution="categorical")
    x = np.repeat(observations(1), 20_000, axis=0)
    noise = np.random.default_rng(3).standard_normal((len(x), 1)).astype(np.float32)
    step = policy.act(x, noise)
    logits = policy.forward(x[:1])[0]
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(np.bincount(step.action) / len(x), expected, atol=0.02)
    np.testing.assert_allclose(np.exp(step.log_prob), expected[step.action], rtol=1e-5)
    assert policy.act(x[:1]).action[0] == logits.argmax()


def test_noise_depends_on_global_id_and_step_only():
    together = ActionNoise(0, 0, 10, 2)
    alone = ActionNoise(0, 7, 1, 2)
    for _ in range(ActionNoise.BLOCK + 3):
        np.testing.assert_array_equal(together.draw()[7:8], alone.draw())
    later = ActionNoise(0, 0, 10, 2)
    later.step = together.step
    np.testing.assert_array_equal(later.draw(), together.draw())
