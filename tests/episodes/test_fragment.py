import numpy as np

from troupe.episodes import Fragment, join_instances


def make_fragment(num_instances: int, finals: list[tuple[int, int]], offset: float = 0) -> Fragment:
    """T = 3 steps; observation t of instance n is 10 n + t + offset, a final one is negative."""
    steps, instances = np.arange(4)[:, None], np.arange(num_instances)[None, :]
    observation = (10.0 * instances + steps + offset)[..., None]
    shape = (3, num_instances)
    done = np.zeros(shape, np.bool_)
    for t, n in finals:
        done[t, n] = True
    return Fragment(
        observation=observation,
        action=np.zeros((*shape, 1)),
        log_prob=np.zeros(shape, np.float32),
        reward=np.zeros(shape, np.float32),
        terminated=done,
        truncated=np.zeros(shape, np.bool_),
        final_step=np.array(finals, np.int64).reshape(-1, 2),
        final_observation=np.array([[-(t + 1.0)] for t, _ in finals]).reshape(-1, 1),
        version=np.zeros(shape, np.int64),
        time_ns=np.zeros(shape, np.int64),
        instance=np.zeros(shape, np.int64),
        episode=np.zeros(shape, np.int64),
    )


def test_next_observation_is_the_final_one_where_an_episode_ended():
    fragment = make_fragment(2, [(1, 0), (2, 1)])
    following = fragment.next_observation()[..., 0]
    np.testing.assert_array_equal(following, [[1, 11], [-2, 12], [3, -3]])


def test_joined_instances_keep_their_final_observations():
    left, right = make_fragment(2, [(2, 0)]), make_fragment(1, [(0, 0)], offset=100)
    joined = join_instances([left, right])
    np.testing.assert_array_equal(joined.final_step, [[0, 2], [2, 0]])
    expected = np.concatenate([left.next_observation(), right.next_observation()], axis=1)
    np.testing.assert_array_equal(joined.next_observation(), expected)


def test_arrays_come_back():
    fragment = make_fragment(2, [(1, 1)])
    again = Fragment.from_arrays(fragment.arrays())
    np.testing.assert_array_equal(again.next_observation(), fragment.next_observation())
