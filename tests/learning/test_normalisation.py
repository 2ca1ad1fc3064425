import jax.numpy as jnp
import numpy as np

from troupe.learning.normalisation import Running


def test_merging_batches_is_the_same_as_all_at_once():
    rng = np.random.default_rng(0)
    batches = [rng.normal(3.0, 2.0, size=(n, 4)).astype(np.float32) for n in (5, 17, 256)]
    running = Running.empty((4,))
    for batch in batches:
        running = running.merge(jnp.asarray(batch))
    everything = np.concatenate(batches)
    np.testing.assert_allclose(running.mean, everything.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(running.variance, everything.var(axis=0), rtol=1e-4)
    np.testing.assert_allclose(running.scale, 1 / everything.std(axis=0), rtol=1e-4)


def test_what_never_varied_has_no_scale_so_that_noise_on_it_is_not_amplified():
    samples = np.array([[1.0, 0.3746], [3.0, 0.3746]], np.float32)
    running = Running.empty((2,)).merge(jnp.asarray(samples))
    np.testing.assert_allclose(running.informative_scale, [1, 0], atol=1e-4)


def test_of_nothing_it_changes_nothing():
    empty = Running.empty((2,))
    np.testing.assert_allclose((jnp.array([3.0, -1.0]) - empty.mean) * empty.scale, [3, -1])


def test_observations_are_measured_in_deviations_and_clipped():
    seen = Running(jnp.array([1.0, 5.0]), jnp.array([4.0, 0.0]), jnp.array(10.0))
    observation = jnp.array([[3.0, 7.0], [-200.0, 5.0]])
    np.testing.assert_allclose(seen.normalised(observation), [[1, 0], [-10, 0]], rtol=1e-6)
