from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from troupe.engines.base import StepCounter

timesteps = st.fractions(min_value=Fraction(1), max_value=Fraction(10**8), max_denominator=1000)
durations = st.lists(st.integers(0, 10**9), min_size=1, max_size=30)


@given(timesteps, durations)
def test_steps_are_neither_lost_nor_gained(timestep_ns: Fraction, durations_ns: list[int]) -> None:
    counter = StepCounter(timestep_ns, 1)
    counts = [s.count for d in durations_ns for s in counter.advance(d)]
    assert sum(counts) == sum(durations_ns) // timestep_ns


@given(timesteps, durations, durations)
def test_instances_count_from_their_own_reset(
    timestep_ns: Fraction, before_ns: list[int], after_ns: list[int]
) -> None:
    counter, alone = StepCounter(timestep_ns, 3), StepCounter(timestep_ns, 1)
    for duration_ns in before_ns:
        counter.advance(duration_ns)
    counter.reset(np.array([1]))
    for duration_ns in after_ns:
        (expected,) = alone.advance(duration_ns)
        groups = counter.advance(duration_ns)
        found = [g.count for g in groups if g.instances is None or 1 in g.instances]
        assert found == [expected.count]


def test_a_step_of_a_240th_of_a_second_takes_24_in_100_ms() -> None:
    counter = StepCounter(Fraction(10**9, 240), 1)
    counts = [counter.advance(10_000_000)[0].count for _ in range(10)]
    assert counts == [2, 2, 3, 2, 3, 2, 2, 3, 2, 3]


def test_only_some_instances_advance() -> None:
    counter = StepCounter(Fraction(3), 3)
    counter.advance(2, np.array([0]))
    groups = {s.count: s.instances for s in counter.advance(1)}
    assert {count: ids.tolist() for count, ids in groups.items() if ids is not None} == {
        1: [0],
        0: [1, 2],
    }
