import numpy as np

from tests.learning.fragments import ACTION, OBSERVATION, walk
from troupe.core.goals import Goals
from troupe.learning.her import EpisodeIndex, Hindsight
from troupe.learning.replay import Replay, ReplayWriter


class Counter(Goals):
    """The goal of `walk` is a step of the run; achieved is the present one."""

    def relabelled(self, observation, achieving):
        """Tell how far it is to the other observation's step."""
        changed = observation.copy()
        changed[:, 0] -= achieving[:, 0]
        return changed

    def outcome(self, observation, action):
        """Reward the distance; it ends at the goal."""
        return -np.abs(observation[:, 0]), observation[:, 0] == 0


def replay_of(path, *fragments, capacity=1000):
    writer = ReplayWriter(path / "a.ring", OBSERVATION, ACTION, capacity)
    for fragment in fragments:
        writer.append(fragment)
    return writer, Replay(path)


def test_a_later_step_is_of_the_same_episode_over_the_bounds_of_fragments(tmp_path):
    writer, replay = replay_of(tmp_path, walk(0, 4, episode_steps=10))
    index = EpisodeIndex(replay.rings[0])
    index.refresh()
    writer.append(walk(4, 12, episode_steps=10))
    index.refresh()
    records = np.repeat(replay.all().records, 200)
    later, whole = replay.rings[0].read(index.later(np.random.default_rng(0), records))
    assert whole.all()
    np.testing.assert_array_equal(later["episode"], records["episode"])
    np.testing.assert_array_equal(later["instance"], records["instance"])
    ahead = later["reward"] - records["reward"]  # which is the step of the run
    # each of the steps to the end, and itself, is as probable as the others
    first = ahead[records["reward"] == 6]
    np.testing.assert_allclose(np.bincount(first.astype(int)) / len(first), [0.25] * 4, atol=0.07)
    assert ahead.min() == 0


def test_steps_that_are_overwritten_are_not_chosen(tmp_path):
    writer, replay = replay_of(tmp_path, walk(0, 6, 1, episode_steps=100), capacity=8)
    index = EpisodeIndex(replay.rings[0])
    index.refresh()
    writer.append(walk(6, 6, 1, episode_steps=100))
    index.refresh()
    drawn = replay.draw(np.random.default_rng(0), 500)
    later = index.later(np.random.default_rng(1), drawn.records)
    assert set(drawn.number) == set(range(4, 12))
    assert (later >= drawn.number).all()
    assert set(later) == set(range(4, 12))


def test_a_step_that_is_not_known_yet_stays_as_it_was(tmp_path):
    writer, replay = replay_of(tmp_path, walk(0, 3, 1))
    hindsight = Hindsight(replay, Counter(), 10_000)
    hindsight.refresh()
    writer.append(walk(3, 3, 1))
    drawn = replay.draw(np.random.default_rng(0), 200)
    chosen = hindsight.relabel(np.random.default_rng(1), drawn)
    np.testing.assert_array_equal(chosen, drawn.number < 3)


def test_a_share_is_relabelled_with_rewards_and_ends(tmp_path):
    _, replay = replay_of(tmp_path, walk(0, 20, episode_steps=10))
    hindsight = Hindsight(replay, Counter(), 4)
    hindsight.refresh()
    drawn = replay.draw(np.random.default_rng(0), 5000)
    before = drawn.records.copy()
    chosen = hindsight.relabel(np.random.default_rng(1), drawn)
    assert abs(chosen.mean() - 0.8) < 0.02
    np.testing.assert_array_equal(drawn.records[~chosen], before[~chosen])
    records, was = drawn.records[chosen], before[chosen]
    # the goal is what a step from this one on led to: 1 to 10 steps after what this one began with
    assert set(records["observation"][:, 0]) <= {*-np.arange(1.0, 11), *-np.arange(1.5, 11)}
    moved = was["next_observation"] - was["observation"]
    np.testing.assert_array_equal(records["next_observation"] - records["observation"], moved)
    np.testing.assert_array_equal(records["reward"], -np.abs(records["next_observation"][:, 0]))
    np.testing.assert_array_equal(records["terminated"], records["reward"] == 0)
    assert 0.1 < records["terminated"].mean() < 0.5
    np.testing.assert_array_equal(records["action"], was["action"])
