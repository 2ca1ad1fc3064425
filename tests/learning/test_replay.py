import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.learning.fragments import ACTION, OBSERVATION, walk
from troupe.core import UserError
from troupe.core.arrays import ArraySpec
from troupe.learning.replay import Replay, ReplayWriter
from troupe.learning.weighting import Draws


def open_writer(path: Path, capacity: int = 100) -> ReplayWriter:
    return ReplayWriter(path, OBSERVATION, ACTION, capacity)


def test_a_fragment_comes_back_as_transitions(tmp_path):
    writer, fragment = open_writer(tmp_path / "a.ring"), walk(first_step=1, num_steps=4, version=3)
    assert writer.append(fragment) == 8
    records = Replay(tmp_path).all().records
    assert len(records) == 8
    # instance 1: steps 1 and 2 end an episode, 3 and 4 begin the next
    own = records[records["instance"] == 1]
    np.testing.assert_array_equal(own["observation"], [[1, 1], [2, 1], [3, 1], [4, 1]])
    np.testing.assert_array_equal(own["next_observation"], [[2, 1], [3.5, 1], [4, 1], [5, 1]])
    np.testing.assert_array_equal(own["reward"], [1, 2, 3, 4])
    np.testing.assert_array_equal(own["time_ns"], [20_000_000, 40_000_000, 0, 20_000_000])
    assert len(set(own["episode"][:2])) == len(set(own["episode"][2:])) == 1
    assert len(set(records["episode"])) == 4
    assert not own["terminated"].any()
    assert (set(own["version"]), set(own["log_prob"])) == ({3}, {-0.5})
    assert (own["action"] == 0.25).all()


def test_an_episode_keeps_its_number_from_fragment_to_fragment(tmp_path):
    writer = open_writer(tmp_path / "a.ring")
    writer.append(walk(0, 4))
    writer.append(walk(4, 4))
    records = Replay(tmp_path).all().records
    for instance in (0, 1):
        own = records[records["instance"] == instance]
        np.testing.assert_array_equal(np.diff(own["episode"]) != 0, [0, 0, 1, 0, 0, 1, 0])
    writer.close()
    # in a later run the same numbers of episodes are others
    again = open_writer(tmp_path / "a.ring")
    again.append(walk(0, 4))
    assert len(set(Replay(tmp_path).all().records["episode"])) == 6 + 4


def test_padding_is_left_out(tmp_path):
    fragment = walk(0, 4)
    weight = np.ones((4, 2), np.float32)
    weight[2:, 1] = 0
    assert open_writer(tmp_path / "a.ring").append(fragment, weight) == 6
    records = Replay(tmp_path).all().records
    assert records["reward"][records["instance"] == 1].tolist() == [0, 1]


def test_all_rings_are_drawn_from_alike(tmp_path):
    for name, steps in (("a", 10), ("b", 30)):
        writer = open_writer(tmp_path / f"{name}.ring")
        writer.append(walk(0, steps, num_instances=1))
    replay = Replay(tmp_path)
    assert len(replay) == 40
    drawn = replay.draw(np.random.default_rng(0), 8000)
    assert abs((drawn.ring == 0).mean() - 0.25) < 0.02
    np.testing.assert_array_equal(drawn.records["reward"], drawn.number)
    assert set(drawn.number[drawn.ring == 0]) == set(range(10))
    # a worker that comes later
    open_writer(tmp_path / "c.ring").append(walk(100, 5))
    replay.refresh()
    assert len(replay) == 50


def test_weights_choose_what_is_drawn(tmp_path):
    open_writer(tmp_path / "a.ring").append(walk(0, 4, num_instances=1))
    probability, correction = np.array([0.0, 0.25, 0.75, 0.0]), np.array([1, 1, 0.5, 1])
    steps = Replay(tmp_path).all()
    drawn = steps.draw(np.random.default_rng(0), 4000, Draws(probability, correction))
    assert set(drawn.number) == {1, 2}
    assert abs((drawn.number == 2).mean() - 0.75) < 0.03
    np.testing.assert_array_equal(drawn.weight, np.where(drawn.number == 2, 0.5, 1))


def test_a_state_brings_the_content_back(tmp_path):
    writer = open_writer(tmp_path / "a.ring", capacity=10)
    for first in range(0, 16, 4):
        writer.append(walk(first, 4))
    state = writer.state()
    (tmp_path / "other").mkdir()
    other = open_writer(tmp_path / "other" / "a.ring", capacity=10)
    other.append(walk(50, 4))
    other.restore(state)
    for each in (writer, other):
        each.append(walk(16, 3))
    contents = [Replay(path).all().records for path in (tmp_path, tmp_path / "other")]
    assert contents[0].tobytes() == contents[1].tobytes()


def test_steps_of_another_experiment_are_refused(tmp_path):
    open_writer(tmp_path / "a.ring")
    ReplayWriter(tmp_path / "b.ring", ArraySpec((5,)), ACTION, 100)
    with pytest.raises(UserError, match=r"b\.ring' holds steps of another experiment"):
        Replay(tmp_path)


def test_categories_and_images_are_kept_flat(tmp_path):
    writer = ReplayWriter(tmp_path / "a.ring", ArraySpec((2, 1)), ArraySpec((), categories=4), 100)
    fragment = walk(0, 4)
    writer.append(
        dataclasses.replace(
            fragment,
            observation=fragment.observation[..., None],
            final_observation=fragment.final_observation[..., None],
            action=np.full((4, 2), 3),
        )
    )
    records = Replay(tmp_path).all().records
    assert records["observation"].shape == (8, 2)
    assert records["action"].dtype == np.int32
    assert records["action"].tolist() == [[3]] * 8
