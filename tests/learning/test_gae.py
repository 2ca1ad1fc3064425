import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from troupe.learning.gae import advantages

FLAGS = {"terminated": [False, False, False], "truncated": [False, False, False]}


def column(*values: float) -> jnp.ndarray:
    return jnp.array(values)[:, None]


def estimate(gamma: float, gae_lambda: float, **flags: list[bool]) -> list[float]:
    ends = {name: column(*values) for name, values in {**FLAGS, **flags}.items()}
    result = advantages(
        reward=column(1.0, 2.0, 3.0),
        value=column(0.5, 1.0, 1.5),
        next_value=column(1.0, 1.5, 2.0),
        terminated=ends["terminated"].astype(bool),
        truncated=ends["truncated"].astype(bool),
        gamma=gamma,
        gae_lambda=gae_lambda,
    )
    return np.asarray(result)[:, 0].tolist()


def test_by_hand_within_an_episode():
    # delta = (1 + .5 - .5, 2 + .75 - 1, 3 + 1 - 1.5) = (1, 1.75, 2.5); gamma lambda = .25
    np.testing.assert_allclose(estimate(0.5, 0.5), [1 + 0.25 * 2.375, 1.75 + 0.25 * 2.5, 2.5])


def test_a_termination_counts_no_value_behind_it():
    # delta_1 = 2 - 1 = 1, and nothing of step 2 flows back
    result = estimate(0.5, 0.5, terminated=[False, True, False])
    np.testing.assert_allclose(result, [1 + 0.25 * 1, 1, 2.5])


def test_a_truncation_counts_the_value_behind_it_but_no_later_advantage():
    result = estimate(0.5, 0.5, truncated=[False, True, False])
    np.testing.assert_allclose(result, [1 + 0.25 * 1.75, 1.75, 2.5])


@settings(deadline=None, max_examples=25)
@given(gamma=st.floats(0, 1), seed=st.integers(0, 2**16))
def test_with_lambda_1_it_is_the_discounted_return_less_the_value(gamma: float, seed: int):
    rng = np.random.default_rng(seed)
    reward, value = rng.normal(size=(2, 6, 1))
    next_value = np.concatenate([value[1:], rng.normal(size=(1, 1))])
    never = np.zeros((6, 1), np.bool_)
    result = advantages(*map(jnp.asarray, (reward, value, next_value, never, never)), gamma, 1.0)
    following = next_value[-1]
    for t in reversed(range(6)):
        following = reward[t] + gamma * following
        np.testing.assert_allclose(result[t], following - value[t], rtol=1e-3, atol=1e-3)
