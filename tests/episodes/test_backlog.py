"""Fragments of any length, laid end to end into batches."""

import jax.numpy as jnp
import numpy as np

from troupe.episodes import Backlog, Fragment
from troupe.learning.gae import advantages

GAMMA, LAMBDA = 0.9, 0.8


def make_fragment(num_steps: int, first_instance: int, num_instances: int) -> Fragment:
    """Steps whose observation tells (instance, step); instance 1 ends an episode at step 1."""
    shape = (num_steps, num_instances)
    instance = np.tile(np.arange(num_instances) + first_instance, (num_steps, 1))
    step = np.tile(np.arange(num_steps + 1)[:, None], (1, num_instances))
    observation = np.stack([np.tile(instance[:1], (num_steps + 1, 1)), step], -1).astype(float)
    terminated = (instance == 1) & (step[:-1] == 1)
    final_step = np.argwhere(terminated)
    return Fragment(
        observation=observation,
        action=observation[:-1] + 0.5,
        log_prob=np.full(shape, -1.0, np.float32),
        reward=(10 * instance + step[:-1]).astype(np.float32),
        terminated=terminated,
        truncated=np.zeros(shape, np.bool_),
        final_step=final_step,
        final_observation=np.full((len(final_step), 2), -7.0),
        version=instance + 100,
        time_ns=step[:-1] * 20,
        instance=instance,
        episode=np.zeros(shape, np.int64),
    )


def test_what_goes_in_comes_out_once_and_in_order():
    backlog = Backlog()
    pieces = [make_fragment(3, 0, 2), make_fragment(1, 2, 3), make_fragment(5, 5, 1)]
    for piece in pieces:
        backlog.add(piece)
    assert backlog.num_steps == 14
    batches = [backlog.take(2, 3), backlog.take(4, 2)]
    assert backlog.num_steps == 0
    found = [
        (instance, time_ns)
        for batch in batches
        for instance, time_ns in zip(batch.instance.T.ravel(), batch.time_ns.T.ravel(), strict=True)
    ]
    expected = [
        (piece.instance[t, n], piece.time_ns[t, n])
        for piece in pieces
        for n in range(piece.instance.shape[1])
        for t in range(len(piece.instance))
    ]
    assert found == expected
    for batch in batches:
        np.testing.assert_array_equal(batch.reward, 10 * batch.instance + batch.time_ns // 20)
        np.testing.assert_array_equal(batch.observation[:-1, :, 0], batch.instance)


def test_each_step_keeps_what_it_led_to():
    backlog = Backlog()
    backlog.add(make_fragment(3, 0, 2))
    batch = backlog.take(3, 2)
    np.testing.assert_array_equal(batch.next_observation()[..., 1], [[1, 1], [2, -7], [3, 3]])
    np.testing.assert_array_equal(batch.terminated, [[0, 0], [0, 1], [0, 0]])
    np.testing.assert_array_equal(batch.truncated, [[0, 0], [0, 0], [1, 1]])


def test_advantages_of_a_repacked_fragment_are_those_of_the_fragment():
    fragment = make_fragment(4, 0, 3)
    backlog = Backlog()
    backlog.add(make_fragment(2, 7, 1))
    backlog.add(fragment)
    assert backlog.take(2, 1).instance.tolist() == [[7], [7]]
    repacked = backlog.take(12, 1)

    def estimate(f: Fragment) -> np.ndarray:
        value, following = f.observation[:-1].sum(-1), f.next_observation().sum(-1)
        return np.asarray(
            advantages(
                jnp.asarray(f.reward), value, following, f.terminated, f.truncated, GAMMA, LAMBDA
            )
        )

    expected = estimate(fragment)
    np.testing.assert_allclose(estimate(repacked).ravel(), expected.T.ravel(), rtol=1e-6)


def test_a_checkpoint_holds_what_waits():
    backlog, again = Backlog(), Backlog()
    backlog.add(make_fragment(3, 0, 2))
    backlog.take(1, 1)
    again.restore(backlog.arrays())
    assert again.num_steps == backlog.num_steps == 5
    np.testing.assert_array_equal(again.take(5, 1).time_ns, backlog.take(5, 1).time_ns)
    again.restore({})
    assert again.num_steps == 0
