from dataclasses import replace

import numpy as np
import pytest

from tests.learning.bandit import N, T, long_episodes, make_learner, sample
from troupe.episodes import Fragment
from troupe.learning.ppo import PPO
from troupe.learning.ppo_order import minibatches


def assert_alike(first: PPO, second: PPO, but: tuple[str, ...] = ()) -> None:
    expected = second.parameters()
    for name, values in first.parameters().items():
        if name not in but:
            np.testing.assert_allclose(values, expected[name], rtol=2e-3, atol=2e-4, err_msg=name)


def assert_same_figures(first: dict[str, float], second: dict[str, float]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert value == pytest.approx(second[name], rel=5e-3, abs=5e-4), name


def padded(fragment: Fragment, num_rows: int) -> Fragment:
    """The same steps with garbage behind them, in episodes that seem to go on."""
    rng = np.random.default_rng(9)
    arrays = {}
    for name, values in fragment.arrays().items():
        garbage = 100 * rng.standard_normal((num_rows, *values.shape[1:]))
        arrays[name] = np.concatenate([values, garbage.astype(values.dtype)])
    ends = fragment.terminated | fragment.truncated
    truncated = fragment.truncated.copy()
    truncated[-1] |= ~ends[-1]
    never = np.zeros((num_rows, fragment.reward.shape[1]), np.bool_)
    arrays["terminated"] = np.concatenate([fragment.terminated, never])
    arrays["truncated"] = np.concatenate([truncated, never])
    arrays["final_step"] = np.argwhere(arrays["terminated"] | arrays["truncated"])
    arrays["final_observation"] = fragment.next_observation()[tuple(arrays["final_step"].T)]
    return Fragment.from_arrays(arrays)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param(
            {"schedule": "kl-adaptive", "normalise_advantages": "batch", "correction": "vtrace"},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["defaults", "whole-batch"],
)
def test_padding_changes_nothing(changes: dict[str, str]):
    without, with_padding = make_learner(**changes), make_learner(**changes)
    for seed in range(2):
        fragment = long_episodes(sample(without.policy(), seed, scale=3.0, shift=5.0), seed)
        weight = np.zeros((T + 5, N), np.float32)
        weight[:T] = 1
        expected = without.update(fragment)
        figures = with_padding.update(padded(fragment, 5), weight)
        assert_same_figures(figures, expected)
        assert_alike(with_padding, without)


def test_a_step_of_double_weight_counts_as_two():
    twice, weighted = (make_learner(batch=64, minibatch=64, epochs=3) for _ in range(2))
    once = long_episodes(sample(twice.policy(), shape=(16, 3), scale=3.0, shift=5.0))
    columns = [0, 0, 1, 2]
    final = once.next_observation()[:, columns]
    doubled = Fragment.from_arrays(
        {
            name: values if name.startswith("final") else values[:, columns]
            for name, values in once.arrays().items()
        }
    )
    final_step = np.argwhere(doubled.terminated | doubled.truncated)
    doubled = replace(doubled, final_step=final_step, final_observation=final[tuple(final_step.T)])
    weight = np.broadcast_to(np.float32([1.5, 0.75, 0.75]), (16, 3))
    assert_same_figures(weighted.update(once, weight), twice.update(doubled))
    # moments count the steps that there were
    assert_alike(weighted, twice, but=("observations.num_samples", "returns.num_samples"))
    assert weighted.parameters()["observations.num_samples"] == 48


@pytest.mark.slow
def test_fragments_of_any_shape_are_learned_from_whether_prepared_or_not():
    learner = make_learner(step_size=5e-3)
    learner.prepare(5, 3)
    for shape in [(5, 3), (7, 1), (T, N)]:
        before = learner.parameters()["actor.0.weight"]
        figures = learner.update(sample(learner.policy(), shape=shape))
        assert all(np.isfinite(value) for value in figures.values())
        assert np.abs(learner.parameters()["actor.0.weight"] - before).max() > 1e-4
    assert learner.version == 3


def test_a_fragment_without_any_weight_is_an_error():
    learner = make_learner()
    with pytest.raises(ValueError, match="no step"):
        learner.update(sample(learner.policy()), np.zeros((T, N), np.float32))


def test_minibatches_hold_each_step_with_a_weight_once_an_epoch_and_are_filled_evenly():
    weight = np.ones(20, np.float32)
    weight[[3, 7, 8]] = 0
    order = minibatches(20, weight, 2, 4, np.random.default_rng(0))
    assert order.shape == (2, 5, 4)
    for epoch in order:
        assert sorted(epoch[epoch < 20]) == [i for i in range(20) if i not in (3, 7, 8)]
        # 17 steps over 5 minibatches
        assert sorted((epoch < 20).sum(axis=1)) == [3, 3, 3, 4, 4]
    few = minibatches(20, (np.arange(20) < 5).astype(np.float32), 1, 4, np.random.default_rng(0))
    assert (few < 20).sum(axis=2).tolist() == [[3, 2, 0, 0, 0]]
