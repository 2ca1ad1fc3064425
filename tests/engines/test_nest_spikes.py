import numpy as np
import pytest

from troupe.core.errors import EngineError
from troupe.engines.spikes import PoissonSpikes, RateFilter

ALL = np.arange(2)


def trains(num_instances: int = 2, num_neurons: int = 3, seeds: tuple[int, ...] = (5, 6)):  # type: ignore[no-untyped-def]
    spikes = PoissonSpikes("noise", num_instances, num_neurons, timestep_s=1e-4)
    spikes.reset(seeds, np.arange(num_instances))
    return spikes


def drawn(spikes: PoissonSpikes, lengths: list[int]) -> list[tuple[int, int]]:
    found, begin = [], 0
    for length in lengths:
        neurons, steps = spikes.draw(length)
        assert ((steps >= 1) & (steps <= length)).all()
        found += [(int(n), begin + int(s)) for n, s in zip(neurons, steps, strict=True)]
        begin += length
    return sorted(found)


def test_spikes_do_not_depend_on_how_time_is_cut() -> None:
    whole, cut = trains(), trains()
    for spikes in (whole, cut):
        spikes.set_rates(np.array([50.0, 0.0, 900.0, 5000.0, 13.7, 200.0]))
    long = drawn(whole, [60_000])
    assert len(long) > 30_000
    assert drawn(cut, [1, 2, 3, 0, 994, 59_000]) == long


def test_a_copy_has_the_same_spikes_alone() -> None:
    both, alone = trains(), trains(1, seeds=(6,))
    both.set_rates(np.full(6, 800.0))
    alone.set_rates(np.full(3, 800.0))
    second = [(n - 3, s) for n, s in drawn(both, [20_000]) if n >= 3]
    assert drawn(alone, [20_000]) == second


def test_counts_are_poisson() -> None:
    spikes = PoissonSpikes("noise", 1, 400, timestep_s=1e-4)
    spikes.reset([0], np.array([0]))
    spikes.set_rates(np.full(400, 100.0))
    counts = np.bincount(spikes.draw(10_000)[0], minlength=400)
    assert abs(counts.mean() - 100.0) < 5 * np.sqrt(100 / 400)
    assert abs(counts.var() / 100.0 - 1.0) < 5 * np.sqrt(2 / 400)


def test_rates_change_at_once() -> None:
    spikes = trains(1, 1000, seeds=(1,))
    spikes.set_rates(np.full(1000, 100.0))
    spikes.draw(1000)
    spikes.set_rates(np.full(1000, 1000.0))
    assert abs(len(spikes.draw(1000)[0]) - 100_000) < 5 * np.sqrt(100_000)
    spikes.set_rates(np.zeros(1000))
    assert len(spikes.draw(1000)[0]) == 0


def test_a_reset_leaves_other_copies_alone() -> None:
    disturbed, undisturbed = trains(), trains()
    for spikes in (disturbed, undisturbed):
        spikes.set_rates(np.full(6, 500.0))
        spikes.draw(500)
    disturbed.reset([9], np.array([0]))
    rest = [(n, s) for n, s in drawn(undisturbed, [5000]) if n >= 3]
    assert drawn(disturbed, [5000]) == rest


@pytest.mark.parametrize("rate", [-1.0, np.nan, np.inf])
def test_wrong_rates_are_errors(rate: float) -> None:
    with pytest.raises(EngineError, match=r"noise: a rate is negative or not finite"):
        trains().set_rates(np.full(6, rate))


def test_rate_filter_by_hand() -> None:
    rates = RateFilter(1, 2, tau_s=0.1)
    rates.update(0.02, np.array([0, 0, 1]), np.array([0.015, 0.0, 0.01]))
    expected = [10 * np.exp(-0.15) + 10, 10 * np.exp(-0.1)]
    assert np.allclose(rates.rates_hz, [expected], rtol=1e-14)
    rates.update(0.1, np.zeros(0, np.int64), np.zeros(0))
    assert np.allclose(rates.rates_hz, np.exp(-1) * np.array([expected]), rtol=1e-14)
    rates.reset(np.array([0]))
    assert not rates.rates_hz.any()
