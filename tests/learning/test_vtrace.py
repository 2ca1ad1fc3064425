import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from troupe.learning import gae
from troupe.learning.vtrace import targets_and_advantages


def column(*values: float) -> jnp.ndarray:
    return jnp.array(values)[:, None]


def estimate(
    terminated: int | None = None, truncated: int | None = None, rho_bar: float = 2.0
) -> tuple[list[float], list[float]]:
    """Targets and advantages of three steps, of which one may end its episode.

    delta = (1 + .5 - .5, 2 + .75 - 1, 3 + 1 - 1.5) = (1, 1.75, 2.5), gamma = lambda = .5,
    and for ratios (4, .5, 1.5) cut at 2 and 1: rho = (2, .5, 1.5), c = .5 (1, .5, 1).
    """
    found = targets_and_advantages(
        reward=column(1.0, 2.0, 3.0),
        value=column(0.5, 1.0, 1.5),
        next_value=column(1.0, 1.5, 2.0),
        terminated=column(*(t == terminated for t in range(3))),
        truncated=column(*(t == truncated for t in range(3))),
        ratio=column(4.0, 0.5, 1.5),
        gamma=0.5,
        gae_lambda=0.5,
        rho_bar=rho_bar,
        c_bar=1.0,
    )
    targets, advantages = (np.asarray(values)[:, 0].tolist() for values in found)
    return targets, advantages


def test_by_hand_with_both_ratios_cut():
    # target - value: 1.5 * 2.5 = 3.75; .5 * 1.75 + .5 * .25 * 3.75 = 1.34375;
    # 2 * 1 + .5 * .5 * 1.34375 = 2.3359375
    targets, advantages = estimate()
    np.testing.assert_allclose(targets, [0.5 + 2.3359375, 1 + 1.34375, 1.5 + 3.75])
    # delta + .25 (target - value) of the next step
    np.testing.assert_allclose(advantages, [1 + 0.25 * 1.34375, 1.75 + 0.25 * 3.75, 2.5])


def test_by_hand_with_ratios_cut_at_1_as_in_impala():
    # 1 * 2.5; .5 * 1.75 + .5 * .25 * 2.5 = 1.1875; 1 * 1 + .5 * .5 * 1.1875 = 1.296875
    targets, advantages = estimate(rho_bar=1.0)
    np.testing.assert_allclose(targets, [0.5 + 1.296875, 1 + 1.1875, 1.5 + 2.5])
    np.testing.assert_allclose(advantages, [1 + 0.25 * 1.1875, 1.75 + 0.25 * 2.5, 2.5])


def test_a_truncation_in_mid_column_counts_the_value_behind_it_but_nothing_later():
    # .5 * 1.75 = .875, and 2 * 1 + .25 * .875 = 2.21875
    targets, advantages = estimate(truncated=1)
    np.testing.assert_allclose(targets, [0.5 + 2.21875, 1 + 0.875, 1.5 + 3.75])
    np.testing.assert_allclose(advantages, [1 + 0.25 * 0.875, 1.75, 2.5])


def test_a_termination_counts_no_value_behind_it():
    # delta_1 = 2 - 1 = 1; .5 * 1 = .5, and 2 * 1 + .25 * .5 = 2.125
    targets, advantages = estimate(terminated=1)
    np.testing.assert_allclose(targets, [0.5 + 2.125, 1 + 0.5, 1.5 + 3.75])
    np.testing.assert_allclose(advantages, [1 + 0.25 * 0.5, 1, 2.5])


def random_steps(seed: int) -> tuple[jnp.ndarray, ...]:
    rng = np.random.default_rng(seed)
    reward, value, next_value = rng.normal(size=(3, 7, 4))
    kind = rng.choice(3, size=(7, 4), p=[0.6, 0.2, 0.2])
    return tuple(map(jnp.asarray, (reward, value, next_value, kind == 1, kind == 2)))


@settings(deadline=None, max_examples=25)
@given(gamma=st.floats(0, 1), gae_lambda=st.floats(0, 1), seed=st.integers(0, 2**16))
def test_for_the_policy_that_acted_it_is_generalised_advantage_estimation(
    gamma: float, gae_lambda: float, seed: int
):
    steps = random_steps(seed)
    targets, advantages = targets_and_advantages(
        *steps, jnp.ones((7, 4)), gamma, gae_lambda, rho_bar=2.0, c_bar=1.0
    )
    expected = gae.advantages(*steps, gamma, gae_lambda)
    np.testing.assert_allclose(advantages, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(targets, steps[1] + expected, rtol=1e-4, atol=1e-5)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**16), rho_bar=st.floats(1, 3), c_bar=st.floats(0.1, 1))
def test_the_recursion_is_the_sum_that_defines_it(seed: int, rho_bar: float, c_bar: float):
    gamma, gae_lambda = 0.9, 0.8
    steps = random_steps(seed)
    reward, value, next_value, terminated, truncated = map(np.asarray, steps)
    ratio = np.exp(np.random.default_rng(seed).normal(size=(7, 4)))
    targets, _ = targets_and_advantages(
        *steps, jnp.asarray(ratio), gamma, gae_lambda, rho_bar, c_bar
    )
    for start, instance in np.ndindex(7, 4):
        expected, carried = float(value[start, instance]), 1.0
        for t in range(start, 7):
            at = (t, instance)
            bootstrap = 0.0 if terminated[at] else gamma * next_value[at]
            expected += carried * min(rho_bar, ratio[at]) * (reward[at] + bootstrap - value[at])
            if terminated[at] or truncated[at]:
                break
            carried *= gamma * gae_lambda * min(c_bar, ratio[at])
        np.testing.assert_allclose(targets[start, instance], expected, rtol=1e-3, atol=1e-3)
