import numpy as np
import pytest

from tests.learning.offline.episodes import stored
from troupe.core import UserError
from troupe.learning.offline.transitions import cut


def test_each_step_is_a_transition_where_every_action_counts():
    made = cut(stored([2, 3], [1, 2, 3, 4, 5], terminated=[True, False]), gamma=0.5)
    np.testing.assert_array_equal(made.reward, [1, 2, 3, 4, 5])
    # a time limit goes on, what terminated does not
    np.testing.assert_array_equal(made.discount, [0.5, 0, 0.5, 0.5, 0.5])
    np.testing.assert_array_equal(made.observation[:, 0], [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(made.next_observation[:, 0], [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(made.episode, [0, 0, 1, 1, 1])


def test_a_transition_lasts_until_the_next_decision_of_its_episode():
    # by hand: steps 0 and 4 belong to no decision of their episodes
    decides = [False, True, False, True, False, True, False]
    episodes = stored([4, 3], [8, 1, 2, 3, 8, 5, 6], terminated=[True, False], decides=decides)
    made = cut(episodes, gamma=0.5)
    np.testing.assert_array_equal(made.observation[:, 0], [1, 3, 5])
    np.testing.assert_array_equal(made.reward, [1 + 0.5 * 2, 3, 5 + 0.5 * 6])
    np.testing.assert_array_equal(made.discount, [0.25, 0, 0.25])
    np.testing.assert_array_equal(made.next_observation[:, 0], [3, 4, 7])
    np.testing.assert_array_equal(made.episode, [0, 0, 1])


def test_what_ends_with_a_fault_of_an_engine_is_left_out():
    made = cut(stored([2, 2], [1, 2, 3, 4], faulty=[True, False]), gamma=1.0)
    np.testing.assert_array_equal(made.reward, [1, 3, 4])


def test_episodes_that_leave_no_transition_are_refused():
    episodes = stored([1, 2], [1, 2, 3], faulty=[True, True], decides=[True, False, True])
    with pytest.raises(UserError, match=r"all transitions of the 2 episodes end with the fault"):
        cut(episodes, gamma=1.0)
