import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troupe.core import plugins
from troupe.learning.weighting import (
    StepRecords,
    Uniform,
    UniformSettings,
    Weighting,
    build_weighting,
    check_sample_size,
    effective_sample_size,
    summarise,
)
from troupe.learning.weighting.base import limited
from troupe.learning.weighting.composition import Composition
from troupe.learning.weighting.conformance import CHECKS, check_weighting, sample_records
from troupe.learning.weighting.lag_decay import LagDecaySettings
from troupe.learning.weighting.novelty import Novelty, NoveltySettings
from troupe.learning.weighting.priority import PrioritySettings
from troupe.learning.weighting.returns import ReturnSettings
from troupe.learning.weighting.source_balance import SourceBalanceSettings

ALL = (
    UniformSettings(),
    LagDecaySettings(),
    PrioritySettings(),
    ReturnSettings(),
    SourceBalanceSettings(),
    NoveltySettings(),
)
CASES: dict[str, Callable[[], Weighting]] = {
    **{settings.type: settings.build for settings in ALL},
    "priority of steps": PrioritySettings(per="step", alpha=1, beta=0).build,
    "strong priority": PrioritySettings(final_beta=0.4, alpha=3).build,
    "sharp return": ReturnSettings(temperature=0.001).build,
    "ver": SourceBalanceSettings(limit="ver").build,
    "sharp lag": LagDecaySettings(half_life=0.001).build,
    "coarse novelty": NoveltySettings(bits=1, exponent=2, half_life=1).build,
    "composition": lambda: build_weighting(ALL, seed=1),
    "limited": lambda: Composition([LagDecaySettings(half_life=0.1).build()], maximum=1.5),
    "opposed": lambda: Composition(
        [ReturnSettings(temperature=0.001).build(), PrioritySettings(per="step").build()]
    ),
}


def records_of(**given: Any) -> StepRecords:
    """Records in which all but what is given is the same for all steps."""
    given = {n: np.asarray(v) if n != "progress" else v for n, v in given.items()}
    num_steps = next(len(v) for n, v in given.items() if n != "progress")
    alike: dict[str, Any] = dict.fromkeys(
        ("lag", "source", "trajectory", "trajectory_return"), np.zeros(num_steps, int)
    )
    return StepRecords(**{**alike, "observation": np.zeros((num_steps, 1)), **given})


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", CASES)
def test_weightings_conform(case: str, check: Callable[[Any], None]) -> None:
    check_weighting(CASES[case], (check,))


def test_all_types_of_the_group_are_tested() -> None:
    ours = [n for n in plugins.names("troupe.weightings") if n in {s.type for s in ALL}]
    assert ours == sorted(settings.type for settings in ALL)
    for settings in ALL:
        assert plugins.load("troupe.weightings", settings.type) is type(settings)
        assert settings.needs_priority is settings.build().needs_priority


def test_uniform_is_exactly_one() -> None:
    assert (Uniform().weigh(sample_records()) == 1).all()


def test_lag_decay_by_hand() -> None:
    # 1, 1/2, 1/4 have the mean 7/12
    weighting = LagDecaySettings(half_life=4).build()
    for oldest in (0, 5000):
        weights = weighting.weigh(records_of(lag=[oldest, oldest + 4, oldest + 8]))
        np.testing.assert_allclose(weights, [12 / 7, 6 / 7, 3 / 7])


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        # 4^0.5 : 1 makes P = 2/3, 1/3 and so 2 P = 4/3, 2/3, to the power of 1 - beta
        (0.0, [4 / 3, 2 / 3]),
        # the square roots are as sqrt(2) : 1
        (0.5, [2 * np.sqrt(2) / (1 + np.sqrt(2)), 2 / (1 + np.sqrt(2))]),
        (1.0, [1, 1]),
    ],
)
def test_priority_of_steps_by_hand(progress: float, expected: list[float]) -> None:
    weighting = PrioritySettings(per="step", alpha=0.5, beta=0).build()
    records = records_of(priority=[-4.0, 1.0], progress=progress)
    np.testing.assert_allclose(weighting.weigh(records), expected)


def test_draws_by_priority_by_hand() -> None:
    weighting = PrioritySettings(per="step", alpha=0.5, beta=0.5, final_beta=0.5).build()
    draws = weighting.draw(records_of(priority=[4.0, 1.0]))
    np.testing.assert_allclose(draws.probability, [2 / 3, 1 / 3])
    # (4/3)^-1/2 and (2/3)^-1/2, by the higher of them
    np.testing.assert_allclose(draws.correction, [np.sqrt(0.5), 1])


def test_priority_of_trajectories_by_hand() -> None:
    weighting = PrioritySettings(eta=0.5, alpha=1, beta=0).build()
    records = records_of(priority=[1.0, 2.0, 3.0, 1.0], trajectory=[7, 2, 7, 2])
    # 0.5 · 3 + 0.5 · 2 = 2.5 and 0.5 · 2 + 0.5 · 1.5 = 1.75, mean 2.125
    expected = np.array([2.5, 1.75, 2.5, 1.75]) / 2.125
    np.testing.assert_allclose(weighting.weigh(records), expected)


def test_beta_rises_from_two_fifths_to_one() -> None:
    settings = PrioritySettings(per="step", alpha=1)
    weights = {
        progress: settings.build().weigh(records_of(priority=[8.0, 1.0], progress=progress))
        for progress in (0.0, 0.5, 1.0)
    }
    for progress, beta in ((0.0, 0.4), (0.5, 0.7), (1.0, 1.0)):
        assert weights[progress][0] / weights[progress][1] == pytest.approx(8 ** (1 - beta))


def test_a_priority_without_correction_can_turn_an_advantage_about() -> None:
    # mostly 1, rarely -5: 0.4 in the mean, but (9 - 25) / 14 if each counts by its size
    advantage = np.array([1.0] * 9 + [-5.0])
    for progress, expected in ((0.0, -16 / 14), (1.0, 0.4)):
        weighting = PrioritySettings(per="step", alpha=1, beta=0).build()
        weights = weighting.weigh(records_of(priority=advantage, progress=progress))
        assert (weights * advantage).mean() == pytest.approx(expected)


def test_return_by_hand() -> None:
    # one long trajectory of return 2, one short of 0: standard scores 1 and -1
    records = records_of(trajectory=[1, 1, 1, 0], trajectory_return=[2.0, 2.0, 2.0, 0.0])
    for temperature in (1.0, 4.0):
        high, low = np.exp(1 / temperature), np.exp(-1 / temperature)
        mean = (3 * high + low) / 4
        weights = ReturnSettings(temperature=temperature).build().weigh(records)
        np.testing.assert_allclose(weights, [high / mean, high / mean, high / mean, low / mean])


def test_returns_that_differ_by_rounding_count_as_equal() -> None:
    returns = 0.1 + np.array([0, 1e-9, -1e-9])
    records = records_of(trajectory=[0, 1, 2], trajectory_return=returns)
    np.testing.assert_array_equal(ReturnSettings().build().weigh(records), np.ones(3))


def test_source_balance_by_hand() -> None:
    records = records_of(source=[9, 9, 4, 9, 9, 9, 9, 4])
    # mean 4 steps: 4/6 for six steps and 1 for two, mean 3/4
    weights = SourceBalanceSettings().build().weigh(records)
    np.testing.assert_allclose(weights[records.source == 9], 8 / 9)
    np.testing.assert_allclose(weights[records.source == 4], 4 / 3)
    shares = summarise(weights, records.source).source_shares
    assert shares == {4: pytest.approx(1 / 3), 9: pytest.approx(2 / 3)}
    # VER: 5/6 for six steps and 1 for two, mean 7/8
    weights = SourceBalanceSettings(limit="ver").build().weigh(records)
    np.testing.assert_allclose(weights[records.source == 9], 20 / 21)
    np.testing.assert_allclose(weights[records.source == 4], 8 / 7)


def test_novelty_by_hand() -> None:
    weighting = NoveltySettings(half_life=1).build()
    # three steps at one place, one at another: 1/sqrt(3) and 1
    weights = weighting.weigh(records_of(observation=[[0.0], [0.0], [4.0], [0.0]]))
    mean = (3 / np.sqrt(3) + 1) / 4
    np.testing.assert_allclose(
        weights, np.array([1 / np.sqrt(3), 1 / np.sqrt(3), 1, 1 / np.sqrt(3)]) / mean
    )
    # counts 3 and 1 are halved, then the places have 1.5 + 1 and 0.5 + 1 steps
    weights = weighting.weigh(records_of(observation=[[0.0], [4.0]]))
    assert weights[1] / weights[0] == pytest.approx(np.sqrt(2.5 / 1.5))


def test_the_hash_of_novelty_follows_from_the_seed() -> None:
    records = sample_records()
    first, again, other = (NoveltySettings(bits=4).build(s).weigh(records) for s in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_novelty_measures_components_in_their_own_deviations() -> None:
    records = sample_records()
    scaled = replace(records, observation=records.observation.astype(float) * [1, 1e3, 1e-2] + 7)
    weights = NoveltySettings(bits=6).build().weigh(records)
    np.testing.assert_allclose(NoveltySettings(bits=6).build().weigh(scaled), weights)


def test_a_composition_is_the_product() -> None:
    weighting = build_weighting([LagDecaySettings(half_life=1), SourceBalanceSettings()])
    records = records_of(lag=[0, 1, 1, 1], source=[0, 0, 0, 5])
    # sources have 3 and 1 steps, mean 2; lag: 1, 1/2, 1/2, 1/2
    product = np.array([2 / 3, 1 / 3, 1 / 3, 1 / 2])
    np.testing.assert_allclose(weighting.weigh(records), product / product.mean())


def test_a_composition_of_uniform_ones_is_uniform() -> None:
    assert isinstance(build_weighting([UniformSettings(), UniformSettings()]), Uniform)


def test_a_composition_keeps_the_state_of_each() -> None:
    twice = Composition([NoveltySettings(bits=2).build(1), NoveltySettings(bits=3).build(2)])
    assert twice.state() == {}
    twice.weigh(sample_records())
    assert {n: len(a) for n, a in twice.state().items() if "counts" in n} == {
        "0.counts": 4,
        "1.counts": 8,
    }


def test_limited_by_hand() -> None:
    # 8 would be 8/11 of 4; at 2 it leaves 2 for 1 + 1 + 1
    np.testing.assert_allclose(limited(np.array([1.0, 8, 1, 1]), 2), [2 / 3, 2, 2 / 3, 2 / 3])
    np.testing.assert_allclose(limited(np.array([1.0, 0]), 1), [1, 1])


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=30).filter(lambda values: max(values) > 1e-3),
    st.floats(1, 20),
)
def test_limited_weights_have_mean_one_and_keep_order(values: list[float], maximum: float) -> None:
    given = np.array(values)
    weights = limited(given, maximum)
    assert weights.mean() == pytest.approx(1)
    assert weights.max() <= maximum * (1 + 1e-9)
    assert (np.diff(weights[np.argsort(given)]) >= -1e-9).all()


def test_effective_sample_size_by_hand() -> None:
    assert effective_sample_size(np.ones(7)) == pytest.approx(1)
    assert effective_sample_size(np.array([1.0, 0, 0, 0])) == pytest.approx(1 / 4)
    assert effective_sample_size(np.array([4.0, 2, 1])) == pytest.approx(49 / 21 / 3)


def test_a_summary_says_what_weights_amount_to() -> None:
    summary = summarise(np.array([2.0, 1, 0, 1]), np.array([5, 5, 1, 1]))
    assert summary.source_shares == {1: 0.25, 5: 0.75}
    assert summary.figures() == {
        "weight_sample_size": pytest.approx(16 / 6 / 4),
        "weight_min": 0,
        "weight_max": 2,
    }


def test_a_small_sample_is_told() -> None:
    assert check_sample_size(0.5) is None
    message = check_sample_size(0.31)
    assert message is not None
    assert "31%" in message
    assert "half_life" in message


class Broken(Weighting):
    """Breaks the laws that it is told to."""

    def __init__(self, weigh: Callable[[StepRecords], Any]) -> None:
        self._weigh = weigh

    def weigh(self, records: StepRecords) -> Any:
        return self._weigh(records)


class RestoresNothing(Novelty):
    """Keeps what it has seen when it is to go on from a state."""

    def restore(self, state: Any) -> None:
        pass


class TellsNoState(Novelty):
    """Has a state and says that it has none."""

    def state(self) -> dict[str, Any]:
        return {}


def changes(records: StepRecords) -> Any:
    records.lag[0] += 1
    return np.ones(records.num_steps)


def by_place(records: StepRecords) -> Any:
    weights = np.ones(records.num_steps)
    if records.num_steps > 50:
        weights[:2] = 2, 0
    return weights


def infinite(records: StepRecords) -> Any:
    assert records.priority is not None
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = 1 / records.priority.astype(float)
        return weights / weights.mean()


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (lambda: Broken(lambda records: np.full(records.num_steps, 2.0)), "mean 2"),
        (lambda: Broken(lambda records: np.ones(3)), "shape"),
        (lambda: Broken(lambda records: np.ones(records.num_steps, np.float32)), "float32"),
        (lambda: Broken(by_place), "order"),
        (lambda: Broken(changes), "lag of the records was changed"),
        (lambda: Broken(infinite), "not finite"),
        (lambda: RestoresNothing(NoveltySettings(), 0), "after restore"),
        (lambda: TellsNoState(NoveltySettings(), 0), "after restore"),
    ],
)
def test_the_suite_finds_what_is_broken(broken: Callable[[], Weighting], law: str) -> None:
    with pytest.raises(AssertionError, match=law):
        check_weighting(broken)


def test_weightings_load_without_jax() -> None:
    modules = ", ".join(type(settings).__module__ for settings in ALL)
    code = (
        f"import sys, {modules}, troupe.learning.weighting.conformance; print('jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
