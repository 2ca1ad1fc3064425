import gymnasium
import numpy as np
import pytest
from fleets import SHORT, actions_of
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from troupe.core import UserError
from troupe.experiments.environments import TroupeVectorEnv


@pytest.fixture
def env(open_fleet):
    return open_fleet(workers=2, group=1).vector_env()


def test_spaces_and_autoreset_are_declared(env):
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert env.single_action_space == gymnasium.spaces.Box(-1, 1, (3,), np.float32)
    assert env.action_space.shape == (6, 3)
    observation, info = env.reset(seed=1)
    assert info == {}
    assert observation in env.observation_space
    env.action_space.seed(1)
    observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
    assert observation in env.observation_space
    assert (reward.shape, terminated.dtype, truncated.dtype) == ((6,), np.bool_, np.bool_)


def test_what_an_ended_episode_tells_is_as_in_other_vector_environments(env):
    reference = TroupeVectorEnv(6, "scara-reach", SHORT)
    seeds = list(range(6))
    for one in (env, reference):
        one.reset(seed=seeds)
    for step in range(5):
        found, expected = (e.step(actions_of(step, 6)) for e in (env, reference))
    for one, other in zip(found[:4], expected[:4], strict=True):
        assert np.array_equal(one, other)
    assert found[4].keys() == expected[4].keys()
    assert np.array_equal(np.stack(found[4]["final_obs"]), np.stack(expected[4]["final_obs"]))
    for name, values in expected[4]["final_info"].items():
        assert np.array_equal(found[4]["final_info"][name], values)


def test_gymnasiums_wrappers_work(env):
    wrapped = RecordEpisodeStatistics(env)
    wrapped.reset(seed=1)
    for step in range(5):
        *_, info = wrapped.step(actions_of(step, 6))
    assert info["episode"]["l"].tolist() == [5] * 6


def test_a_step_before_the_reset_and_options_are_refused(env):
    with pytest.raises(UserError, match="instance 0 still steps"):
        env.step(np.zeros((6, 3), np.float32))
    with pytest.raises(UserError, match="a fleet resets as a whole"):
        env.reset(options={"reset_mask": np.ones(6, np.bool_)})
    with pytest.raises(UserError, match="a seed for each instance, or one for all"):
        env.reset(seed=[1, None, 2, 3, 4, 5])
