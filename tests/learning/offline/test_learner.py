from collections.abc import Mapping

import numpy as np
import pytest

from tests.learning.offline.episodes import ACTION, random_walks, stored
from troupe.core import UserError
from troupe.core.arrays import ArraySpec
from troupe.core.settings import validated
from troupe.learning.offline.base import OfflineLearner, OfflineSettings
from troupe.learning.offline.bc_settings import BCSettings
from troupe.learning.offline.iql_settings import IQLSettings
from troupe.learning.weighting.base import StepRecords, Weighting, WeightingSettings, Weights
from troupe.learning.weighting.lag_decay import LagDecaySettings
from troupe.learning.weighting.novelty import NoveltySettings
from troupe.learning.weighting.priority import PrioritySettings
from troupe.learning.weighting.returns import ReturnSettings
from troupe.learning.weighting.source_balance import SourceBalanceSettings

SMALL = {"minibatch": 16, "hidden": (8,)}


class Turns(Weighting):
    """One step of all counts most, the next one each time."""

    def __init__(self) -> None:
        self._turn = 0

    def weigh(self, records: StepRecords) -> Weights:
        weights = np.ones(records.num_steps)
        weights[self._turn] = 9
        self._turn += 1
        return weights / weights.mean()

    def state(self) -> dict[str, np.ndarray]:
        return {"turn": np.asarray(self._turn)}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self._turn = int(state["turn"])


class TurnsSettings(WeightingSettings):
    type: str = "turns"

    def build(self, seed: int = 0) -> Turns:
        return Turns()


def make(settings: OfflineSettings, seed: int = 0) -> OfflineLearner:
    versions = [0, 0, 0, 0, 3, 4]
    return settings.build(random_walks(policy_version=versions), ACTION, seed)


def learn(learner: OfflineLearner, updates: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    for _ in range(updates):
        figures = learner.update(5, learner.version / 10)
    return figures


def assert_same(one: OfflineLearner, other: OfflineLearner) -> None:
    states = one.state(), other.state()
    assert states[0].keys() == states[1].keys()
    for name, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][name], err_msg=name)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(BCSettings(**SMALL), marks=pytest.mark.slow),
        IQLSettings(**SMALL, weighting=(PrioritySettings(per="step"), TurnsSettings())),
    ],
    ids=["bc", "iql"],
)
def test_what_is_learned_follows_from_the_seed_also_when_restored(settings):
    first, second = make(settings), make(settings)
    figures = learn(first, 4)
    learn(second, 2)
    third = make(settings)
    learn(third, 1)
    third.restore(second.state())
    assert learn(third, 2) == figures
    assert_same(first, third)
    assert third.version == 4
    other = make(settings, seed=1)
    learn(other, 4)
    weight = "actor.0.weight"
    assert (other.policy().parameters[weight] != first.policy().parameters[weight]).any()


def test_the_policy_brings_the_moments_of_what_is_stored():
    policy = make(BCSettings(**SMALL)).policy()
    seen = random_walks().observation
    np.testing.assert_allclose(policy.mean, seen.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(policy.scale, 1 / seen.std(axis=0), rtol=1e-5)


def test_cloning_finds_mean_and_deviation_of_what_was_done():
    rng = np.random.default_rng(0)
    action = np.clip(0.4 + 0.1 * rng.normal(size=(400, 1)), -1, 1).astype(np.float32)
    episodes = stored([400], np.zeros(400), observation=rng.normal(size=(400, 1)), action=action)
    learner = BCSettings(hidden=(8,), step_size=1e-2).build(episodes, ACTION, 0)
    figures = learner.update(400, 0.0)
    policy = learner.policy()
    acted = policy.act(np.zeros((1, 1), np.float32)).action[0, 0]
    assert acted == pytest.approx(action.mean(), abs=0.04)
    assert np.exp(policy.parameters["log_std"][0]) == pytest.approx(0.1, abs=0.02)
    # the entropy of that normal distribution, with which the mean of late steps begins to agree
    assert figures["log_likelihood"] < -0.5 * np.log(2 * np.pi * np.e * 0.01) + 0.2


@pytest.mark.parametrize("kind", [pytest.param(BCSettings, marks=pytest.mark.slow), IQLSettings])
def test_actions_may_be_categories(kind):
    rng = np.random.default_rng(0)
    observation = rng.normal(size=(300, 2)).astype(np.float32)
    best = (observation[:, 0] > 0).astype(np.int32)
    chosen = np.where(rng.random(300) < 0.7, best, 2).astype(np.int32)
    episodes = stored(
        [1] * 300, chosen == best, terminated=[True] * 300,
        observation=observation, next_observation=observation, action=chosen,
    )  # fmt: skip
    learner = kind(hidden=(16,), minibatch=64, step_size=1e-2).build(
        episodes, ArraySpec((), categories=3), 0
    )
    learner.update(200, 0.0)
    acted = learner.policy().act(observation).action
    assert (acted == best).mean() > 0.9


def test_what_counts_more_is_drawn_more_often():
    settings = BCSettings(**SMALL, weighting=(LagDecaySettings(half_life=1.0),))
    figures = learn(make(settings), 1)
    # by hand: versions 0, 0, 0, 0, 3, 4 count 1/16 four times, 1/2 and 1
    weights = np.array([1 / 16] * 4 + [1 / 2, 1])
    size = weights.sum() ** 2 / (weights**2).sum() / 6
    assert figures["weight_sample_size"] == pytest.approx(size)
    assert figures["weight_max"] == pytest.approx(1 / weights.mean())


def test_sources_are_what_the_settings_say():
    episodes = random_walks(experiment=["a", "b", "b", "b", "b", "b"], policy_version=[0] * 6)
    weighting = (SourceBalanceSettings(),)
    by_name = BCSettings(**SMALL, weighting=weighting, source="experiment")
    learner = by_name.build(episodes, ACTION, 0)
    # 10 and 50 steps, mean 30: weights 1 and 0.6
    assert learner.update(1, 0.0)["weight_max"] == pytest.approx(1 / ((1 + 5 * 0.6) / 6))
    wrong = BCSettings(**SMALL, weighting=weighting, source="instnce")
    with pytest.raises(UserError, match=r"learner\.source: unknown column 'instnce'.*experiment"):
        wrong.build(episodes, ACTION, 0)


def test_several_weightings_count_together():
    both = (ReturnSettings(), NoveltySettings(bits=2))
    figures = learn(make(IQLSettings(**SMALL, weighting=both)), 2)
    assert 0 < figures["weight_sample_size"] < 1
    assert np.isfinite(list(figures.values())).all()


def test_weightings_that_do_not_fit_are_refused():
    message = "'priority' needs the priorities of steps, which learner 'bc' does not have. Valid"
    with pytest.raises(UserError, match=message):
        validated(BCSettings, {"weighting": {"type": "priority"}}, "learner")
    settings = BCSettings(weighting=(LagDecaySettings(),))
    with pytest.raises(UserError, match="'lag-decay' needs 'policy_version'"):
        settings.build(random_walks(), ACTION, 0)
