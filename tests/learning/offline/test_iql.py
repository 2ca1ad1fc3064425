import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.stats import expectile

from tests.learning.offline.episodes import ACTION, stored
from troupe.learning.offline.bc_settings import BCSettings
from troupe.learning.offline.iql import State, advantage_weights, expectile_loss, step
from troupe.learning.offline.iql_settings import IQLSettings
from troupe.learning.offline.learner import Batch
from troupe.learning.weighting.returns import ReturnSettings

START, MIDDLE = [1.0, 0.0], [0.0, 1.0]
QUICK = {"gradient_steps": 800, "minibatch": 64, "hidden": (32,), "step_size": 3e-3}


def test_the_expectile_loss_by_hand():
    loss = expectile_loss(jnp.array([2.0, -2.0]), 0.9)
    np.testing.assert_allclose(loss, [0.9 * 4, 0.1 * 4], rtol=1e-6)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_minimum_of_the_loss_is_the_expectile(share):
    sample = np.random.default_rng(0).exponential(size=50)
    gradient = jax.grad(lambda v: expectile_loss(jnp.asarray(sample) - v, share).mean())
    assert float(gradient(expectile(sample, share))) == pytest.approx(0, abs=1e-6)


def test_advantages_weigh_actions_up_to_a_limit():
    settings = IQLSettings(inverse_temperature=2.0, max_advantage_weight=10.0)
    weights = advantage_weights(settings, jnp.array([0.0, 0.5, -0.5, 3.0]))
    np.testing.assert_allclose(weights, [1.0, np.e, 1 / np.e, 10.0], rtol=1e-6)


def test_a_gradient_step_by_hand():
    # networks of one layer that see nothing: V = 1, targets 2 and 3, critics 4 and 6
    def constant(*said: float) -> dict[str, jax.Array]:
        if len(said) == 1:
            return {"critic.0.weight": jnp.zeros((1, 1)), "critic.0.bias": jnp.array(said)}
        bias = jnp.array(said)[:, None]
        return {"critic.0.weight": jnp.zeros((2, 2, 1)), "critic.0.bias": bias}

    settings = IQLSettings(step_size=1e-6, inverse_temperature=1.0, polyak=0.75)
    actor = {
        "actor.0.weight": jnp.zeros((1, 1)),
        "actor.0.bias": jnp.zeros(1),
        "log_std": jnp.zeros(1),
    }
    critics = constant(4.0, 6.0)
    optimiser = optax.adam(settings.step_size)
    optimisers = tuple(optimiser.init(p) for p in (actor, constant(1.0), critics))
    state = State(actor, constant(1.0), critics, constant(2.0, 3.0), optimisers)
    batch = Batch(
        observation=jnp.zeros((2, 1)),
        action=jnp.zeros((2, 1)),
        reward=jnp.array([1.0, 1.0]),
        next_observation=jnp.zeros((2, 1)),
        discount=jnp.array([0.5, 0.0]),
        weight=jnp.ones(2),
    )
    compiled = jax.jit(step, static_argnums=(0, 1))
    after, figures, errors = compiled(settings, "normal", state, batch)
    # A = min(2, 3) - 1 = 1; the expectile's loss 0.7 A²; y = 1 + 0.5 V and 1; the mean critic 5
    assert figures["advantage"] == pytest.approx(1.0, abs=1e-4)
    assert figures["value_loss"] == pytest.approx(0.7, abs=1e-4)
    assert figures["advantage_weight"] == pytest.approx(np.e, abs=1e-4)
    np.testing.assert_allclose(errors, [3.5, 4.0], atol=1e-4)
    assert figures["critic_loss"] == pytest.approx(
        (2.5**2 + 3**2) / 2 + (4.5**2 + 5**2) / 2, abs=1e-3
    )
    expected = 0.75 * np.array([2.0, 3.0]) + 0.25 * np.array([4.0, 6.0])
    np.testing.assert_allclose(after.targets["critic.0.bias"][:, 0], expected, atol=1e-4)


def crossing(repeats: int = 20):
    """Ways of which none from the start is good, but the first half of one and another's second.

    From the start, +1 leads to the middle and -1 ends with reward 0.6. From the middle, +1 ends
    with reward 1 and -1 with 0. All who came to the middle from the start went on with -1; others
    began there and went on with +1.
    """
    rng = np.random.default_rng(0)
    lengths = [2, 1, 1] * repeats
    action = np.tile([1.0, -1.0, -1.0, 1.0], repeats) + 0.05 * rng.normal(size=4 * repeats)
    return stored(
        lengths,
        np.tile([0.0, 0.0, 0.6, 1.0], repeats),
        terminated=[True] * len(lengths),
        observation=np.tile([START, MIDDLE, START, MIDDLE], (repeats, 1)),
        next_observation=np.tile([MIDDLE, START, START, START], (repeats, 1)),
        action=action[:, None].astype(np.float32),
    )


def learned_actions(settings) -> np.ndarray:
    learner = settings.build(crossing(), ACTION, seed=0)
    for done in range(0, settings.gradient_steps, 100):
        learner.update(100, done / settings.gradient_steps)
    return learner.policy().act(np.array([START, MIDDLE], np.float32)).action[:, 0]


def test_iql_joins_the_good_parts_of_episodes_and_cloning_does_not():
    from_start, from_middle = learned_actions(
        IQLSettings(**QUICK, expectile=0.9, inverse_temperature=10.0)
    )
    assert from_start > 0.7
    assert from_middle > 0.7
    # imitation does at best as those did whose episodes ended best
    weighting = (ReturnSettings(temperature=0.3),)
    from_start, from_middle = learned_actions(BCSettings(**QUICK, weighting=weighting))
    assert from_start < -0.5
    assert from_middle > 0.5
