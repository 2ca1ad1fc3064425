import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import troupe.envs
from troupe.core import UserError
from troupe.experiments.environments import TroupeEnv, TroupeVectorEnv
from troupe.experiments.load import load_experiment, trainable_names

SHORT = ["task.episode=100ms"]
SEEDS = [5, 6, 7]
IIWA = ["iiwa-reach", "iiwa-lift", "iiwa-grasp", "iiwa-grasp-closed-loop"]


def make(id: str = "troupe/ScaraReach-v0", **kwargs: Any) -> gymnasium.Env[Any, Any]:
    return gymnasium.make(id, overrides=SHORT, **kwargs)


def make_vec(num_envs: int = 3, id: str = "troupe/ScaraReach-v0") -> TroupeVectorEnv:
    envs = gymnasium.make_vec(id, num_envs=num_envs, overrides=SHORT)
    assert isinstance(envs, TroupeVectorEnv)
    return envs


def test_the_bundled_experiments_with_a_task_are_registered() -> None:
    ids = {troupe.envs.environment_id(name) for name in trainable_names()}
    named = {"ScaraReach", "MaraReach", "ScaraPoint", "MaraPoint"}
    assert {f"troupe/{name}-v0" for name in named} <= ids <= set(gymnasium.registry)


@pytest.mark.parametrize(
    "name",
    ["scara-reach", "mara-reach", "scara-point", "mara-point", *IIWA],
)
def test_gymnasiums_checker_passes_without_warnings(name: str) -> None:
    env = gymnasium.make(f"troupe.envs:{troupe.envs.environment_id(name)}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
    env.close()


def test_spaces_are_those_of_the_task() -> None:
    env = gymnasium.make("troupe/MaraReach-v0")
    assert env.action_space == gymnasium.spaces.Box(-1, 1, (6,), np.float32)
    assert isinstance(env.observation_space, gymnasium.spaces.Box)
    assert env.observation_space.shape == (24,)
    assert env.observation_space.dtype == np.float32
    assert make_vec(4).action_space == gymnasium.spaces.Box(-1, 1, (4, 3), np.float32)


def test_an_episode_ends_at_its_time_limit_with_metrics() -> None:
    env = make()
    env.reset(seed=0)
    for _ in range(4):
        *_, terminated, truncated, info = env.step(np.ones(3, np.float32))
        assert (terminated, truncated, info) == (False, False, {})
    *_, terminated, truncated, info = env.step(np.ones(3, np.float32))
    assert (terminated, truncated) == (False, True)
    assert set(info) == {"error_m", "success"}
    assert info["error_m"] > 0


def test_a_seed_decides_all_that_follows() -> None:
    first, second = make(), make()
    for env in (first, second):
        env.reset(seed=4)
    for _ in range(3):
        assert np.array_equal(first.reset()[0], second.reset()[0])
    one, other = first.reset(seed=4)[0], first.reset()[0]
    assert np.array_equal(one, second.reset(seed=4)[0])
    assert not np.array_equal(one, other)


def test_without_a_seed_environments_differ() -> None:
    assert not np.array_equal(make().reset()[0], make().reset()[0])
    assert not np.array_equal(*make_vec(2).reset()[0])


def test_an_environment_is_instance_0_of_a_simulation_with_its_seed() -> None:
    env = make()
    observation, _ = env.reset(seed=2**63 + 11)
    # seeds beyond the range of root seeds are taken modulo it
    assert np.array_equal(observation, make().reset(seed=11)[0])


@pytest.mark.parametrize("id", ["troupe/ScaraReach-v0", "troupe/MaraReach-v0"])
def test_the_vector_environment_does_what_single_ones_do(id: str) -> None:
    envs, singles = make_vec(3, id), [make(id) for _ in range(3)]
    observations, infos = envs.reset(seed=5)
    assert infos == {}
    for i, env in enumerate(singles):
        assert np.array_equal(observations[i], env.reset(seed=5 + i)[0])
    envs.action_space.seed(0)
    for _ in range(12):
        actions = envs.action_space.sample()
        observations, rewards, terminated, truncated, infos = envs.step(actions)
        for i, env in enumerate(singles):
            observation, reward, *ends, info = env.step(actions[i])
            assert (rewards[i], [terminated[i], truncated[i]]) == (reward, ends)
            if any(ends):
                assert np.array_equal(infos["final_obs"][i], observation)
                assert {k: infos["final_info"][k][i] for k in info} == info
                observation, _ = env.reset()
            assert np.array_equal(observations[i], observation)


def test_the_next_episode_begins_in_the_step_in_which_one_ends() -> None:
    envs = make_vec()
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    envs.reset(seed=0)
    still = np.zeros((3, 3), np.float32)
    for _ in range(2):
        envs.step(still)
    envs.reset(options={"reset_mask": np.array([False, True, False])})
    for _ in range(2):
        *_, infos = envs.step(still)
        assert infos == {}
    # the second instance began two steps later
    observations, _, terminated, truncated, infos = envs.step(still)
    assert not terminated.any()
    assert truncated.tolist() == [True, False, True]
    assert infos["_final_obs"].tolist() == infos["_final_info"].tolist() == [True, False, True]
    assert infos["final_obs"][1] is None
    assert infos["final_info"]["_error_m"].tolist() == [True, False, True]
    assert infos["final_info"]["error_m"][1] == 0
    assert not np.array_equal(infos["final_obs"][0], observations[0])


def test_what_is_given_out_is_not_changed_later() -> None:
    envs = make_vec()
    envs.reset(seed=0)
    given = [envs.step(np.full((3, 3), 0.1, np.float32)) for _ in range(6)]
    kept = [[np.copy(part) for part in step[:4]] for step in given]
    envs.step(np.full((3, 3), -1.0, np.float32))
    for step, copies in zip(given, kept, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(step[:4], copies, strict=True))


def test_seeds_can_be_given_one_by_one() -> None:
    envs = make_vec()
    expected = [make().reset(seed=seed)[0] for seed in SEEDS]
    assert np.array_equal(envs.reset(seed=SEEDS)[0], expected)
    changed, _ = envs.reset(seed=[None, 6, None])
    assert np.array_equal(changed[1], expected[1])
    assert not np.array_equal(changed[0], expected[0])
    with pytest.raises(ValueError, match="a seed for each of the 3 instances, not 2"):
        envs.reset(seed=[1, 2])


def test_only_masked_instances_are_reset() -> None:
    envs = make_vec()
    envs.reset(seed=0)
    before = envs.step(np.ones((3, 3), np.float32))[0]
    mask = np.array([True, False, False])
    after, _ = envs.reset(seed=8, options={"reset_mask": mask})
    assert np.array_equal(after[1:], before[1:])
    assert np.array_equal(after[0], make().reset(seed=8)[0])
    for wrong in ([True, False, False], np.array([True]), np.array([1, 0, 0])):
        with pytest.raises(ValueError, match="reset_mask"):
            envs.reset(options={"reset_mask": wrong})


def test_gymnasiums_wrappers_understand_the_vector_environment() -> None:
    envs = gymnasium.wrappers.vector.RecordEpisodeStatistics(make_vec())
    envs.reset(seed=0)
    rewards = np.zeros(3)
    for _ in range(5):
        *_, infos = (step := envs.step(np.ones((3, 3), np.float32)))
        rewards += step[1]
    np.testing.assert_allclose(infos["episode"]["r"], rewards)
    assert infos["episode"]["l"].tolist() == [5, 5, 5]


def test_any_experiment_makes_an_environment() -> None:
    experiment = load_experiment("mara-point", ["task.orientation=true"])
    env = TroupeEnv(experiment)
    assert env.reset(seed=0)[0].shape == (6 + 6 + 9,)
    env.close()
    env.close()


def test_a_plain_description_makes_the_same_environment() -> None:
    resolved = load_experiment("scara-reach", SHORT).resolved()
    envs = [make(), TroupeEnv(resolved)]
    np.testing.assert_array_equal(*(env.reset(seed=3)[0] for env in envs))
    action = envs[0].action_space.sample()
    np.testing.assert_array_equal(*(env.step(action)[0] for env in envs))


def test_discrete_actions_are_a_discrete_space() -> None:
    description = {
        "name": "cart",
        "engines": {"env": {"type": "gymnasium", "id": "CartPole-v1"}},
        "task": {"type": "gymnasium", "episode": "10s"},
    }
    from troupe.experiments.load import build_experiment

    env, original = TroupeEnv(build_experiment(description)), gymnasium.make("CartPole-v1")
    assert env.action_space == original.action_space
    env.reset(seed=0)
    assert env.step(env.action_space.sample())[1] == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"experiment": "scara-rech"}, "unknown experiment 'scara-rech'. Did you mean 'scara-re"),
        ({"experiment": "scara-reach", "overrides": ["task=null"]}, "'scara-reach' has no task"),
        ({"experiment": "scara-reach", "num_envs": 0}, "num_envs: at least 1, not 0"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TroupeVectorEnv(**{"num_envs": 2, **arguments})
