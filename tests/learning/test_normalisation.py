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


def test_of_nothing_it_changes_nothing():
    empty = Running.empty((2,))
    np.testing.assert_allclose((jnp.array([3.0, -1.0]) - empty.mean) * empty.scale, [3, -1])
