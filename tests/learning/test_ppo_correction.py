import functools
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from tests.learning.bandit import SMALL, N, T, long_episodes, make_learner, sample
from troupe.learning.ppo import PPO
from troupe.learning.ppo_settings import PPOSettings

CORRECTIONS = ("none", "decoupled", "vtrace")


def test_for_steps_of_the_newest_policy_all_corrections_are_the_same():
    after = []
    for correction in CORRECTIONS:
        learner = make_learner(correction=correction)
        learner.update(long_episodes(sample(learner.policy())))
        after.append(learner.parameters())
    for name, values in after[0].items():
        for other in after[1:]:
            np.testing.assert_allclose(other[name], values, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_for_steps_of_an_older_policy_they_differ_and_say_how_often_a_ratio_was_cut():
    figures, after = {}, {}
    for correction in CORRECTIONS:
        learner = make_learner(correction=correction, normalise_advantages="none")
        fragment = long_episodes(sample(learner.policy()))
        # half of the actions were four times less likely for the policy that acted
        stale = fragment.log_prob - np.where(np.arange(N) < N // 2, np.log(4.0), 0)
        fragment = replace(fragment, log_prob=stale.astype(np.float32))
        figures[correction] = learner.update(fragment)
        after[correction] = learner.parameters()["actor.0.weight"]
    assert "truncated" not in figures["none"]
    assert figures["decoupled"]["truncated"] == figures["vtrace"]["truncated"] == 0.5
    for correction in CORRECTIONS:
        # mean of ratio - 1 - log ratio over both halves
        expected = (3 - np.log(4.0)) / 2
        assert figures[correction]["staleness"] == pytest.approx(expected, rel=1e-3)
    for first, second in (("none", "decoupled"), ("decoupled", "vtrace"), ("none", "vtrace")):
        assert np.abs(after[first] - after[second]).max() > 1e-5


@functools.cache
def learner_of_one_step(correction: str, **changes: float) -> PPO:
    settings = {"batch": 1, "minibatch": 1, "epochs": 1, "normalise_advantages": "none"}
    return make_learner(
        **settings, correction=correction, normalise_returns=False, gamma=0.0, **changes
    )


def one_step(correction: str, log_ratio: float, **changes: float) -> float:
    """The policy loss of one step with advantage 1, taken with another probability than now."""
    learner = learner_of_one_step(correction, **changes)
    learner.adopt(nothing_learned(learner))
    fragment = sample(learner.policy(), shape=(1, 1))
    fragment = replace(
        fragment,
        reward=np.ones((1, 1), np.float32),
        log_prob=(fragment.log_prob - log_ratio).astype(np.float32),
    )
    return learner.update(fragment)["policy_loss"]


def nothing_learned(learner: PPO) -> dict[str, np.ndarray]:
    """Weights of 0: all values and mean actions are 0, all deviations 1."""
    zeros = {name: np.zeros_like(values) for name, values in learner.parameters().items()}
    zeros["observations.variance"] += 1
    zeros["returns.variance"] += 1
    return zeros


@pytest.mark.parametrize(
    ("correction", "ratio", "expected"),
    [
        # clipped about the policy that acted: min(4, 1.2) and min(.5, .8)
        ("none", 4.0, -1.2),
        ("none", 0.5, -0.5),
        # clipped about the newest, so the ratio is 1, and weighed with min(ratio, 2), once
        ("decoupled", 4.0, -2.0),
        ("decoupled", 0.5, -0.5),
        ("vtrace", 4.0, -2.0),
        ("vtrace", 0.5, -0.5),
    ],
)
def test_the_surrogate_by_hand(correction: str, ratio: float, expected: float):
    assert one_step(correction, np.log(ratio)) == pytest.approx(expected, rel=1e-4)


def test_where_ratios_are_cut_is_a_setting():
    assert one_step("decoupled", np.log(4.0), max_importance=3.0) == pytest.approx(-3, rel=1e-4)


def test_ratios_are_not_cut_below_1_where_steps_of_the_newest_policy_would_lose_weight():
    with pytest.raises(ValidationError, match="max_importance"):
        PPOSettings(max_importance=0.5)


@pytest.mark.parametrize("correction", CORRECTIONS)
def test_it_learns_from_steps_three_updates_old(correction: str):
    changes = {"step_size": 5e-3, "schedule": "constant", "epochs": 5}
    learner = make_learner(SMALL, correction=correction, **changes)
    policies = [learner.policy()] * 4
    before = sample(learner.policy()).reward.mean()
    for i in range(50):
        learner.update(sample(policies[-4], seed=i))
        policies.append(learner.policy())
    assert sample(learner.policy()).reward.mean() > before + 0.5


def test_priorities_are_the_sizes_of_the_advantages():
    learner = make_learner(gamma=0.5, gae_lambda=1.0)
    learner.adopt(nothing_learned(learner))
    fragment = sample(learner.policy())
    never = np.zeros((T, N), np.bool_)
    reward = np.zeros((T, N), np.float32)
    reward[2, 1] = -8.0
    fragment = replace(
        fragment,
        reward=reward,
        terminated=never,
        final_step=np.zeros((0, 2), np.int64),
        final_observation=np.zeros((0, 3), np.float32),
    )
    priorities = learner.priorities(fragment)
    assert priorities.shape == (T, N)
    np.testing.assert_allclose(priorities[:4, 1], [2, 4, 8, 0], rtol=1e-6)
    assert priorities[:, 0].max() == 0
