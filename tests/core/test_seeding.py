import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troupe.core import Streams

seeds = st.integers(0, 2**64 - 1)
ids = st.integers(0, 2**40)
purposes = st.sampled_from(["task", "engine", "action"])
names = st.tuples(seeds, purposes, ids, ids)


def numbers(name: tuple[int, str, int, int]) -> list[int]:
    root_seed, purpose, instance, episode = name
    rng = Streams(root_seed).generator(purpose, instance, episode)
    return [int(n) for n in rng.integers(2**63, size=4)]


@given(names)
def test_a_stream_follows_from_its_name(name: tuple[int, str, int, int]) -> None:
    assert numbers(name) == numbers(name)


@given(names, names)
def test_streams_of_different_names_differ(
    one: tuple[int, str, int, int], other: tuple[int, str, int, int]
) -> None:
    assert (numbers(one) == numbers(other)) == (one == other)


def test_neighbouring_streams_are_uncorrelated() -> None:
    streams = Streams(7)
    samples = np.array([streams.generator("task", i, 0).standard_normal(2000) for i in range(20)])
    correlations = np.corrcoef(samples)[np.triu_indices(20, 1)]
    # 190 correlations of standard deviation 1 / sqrt(2000)
    assert np.abs(correlations).max() < 4.5 / np.sqrt(2000)


def test_long_streams_do_not_run_into_the_next_one() -> None:
    first = Streams(0).generator("task", 0, 0).integers(2**63, size=50_000)
    for instance, episode in [(0, 1), (1, 0)]:
        other = Streams(0).generator("task", instance, episode).integers(2**63, size=50_000)
        assert not np.isin(other, first).any()


def test_a_simulator_gets_a_seed_of_32_bits() -> None:
    found = {Streams(1).seed("engine", instance) for instance in range(100)}
    assert len(found) == 100
    assert all(0 <= seed < 2**32 for seed in found)


@pytest.mark.parametrize("root_seed", [-1, 2**64])
def test_root_seeds_outside_64_bits_are_refused(root_seed: int) -> None:
    with pytest.raises(OverflowError):
        Streams(root_seed).generator("task")
