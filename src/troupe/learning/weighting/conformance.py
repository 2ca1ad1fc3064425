"""What every weighting must do: a suite that the tests of each implementation call.

A test parametrises over `CHECKS`, or calls `check_weighting`::

    check_weighting(lambda: LagDecaySettings(half_life=2).build())

Each check is a law of the contract in `troupe.learning.weighting.base`; a failure is an
AssertionError that says which.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.seeding import Streams
from troupe.learning.weighting.base import StepRecords, Weighting, Weights

NUM_STEPS = 120

Make = Callable[[], Weighting]
"""Returns a new weighting, always in the same way."""


def sample_records(num_steps: int = NUM_STEPS, batch: int = 0) -> StepRecords:
    """Return records of steps with 12 trajectories and 5 sources of different speed."""
    rng = Streams(0).generator("weighting records", batch)
    trajectory = rng.integers(12, size=num_steps) + 12 * batch
    return StepRecords(
        lag=rng.integers(9, size=num_steps),
        source=rng.choice(5, size=num_steps, p=[0.4, 0.3, 0.2, 0.05, 0.05]),
        trajectory=trajectory,
        trajectory_return=rng.normal(-50, 20, 12 * batch + 12)[trajectory],
        observation=rng.normal([0, 5, -100], [1, 0.1, 30], (num_steps, 3)).astype(np.float32),
        priority=rng.exponential(size=num_steps).astype(np.float32),
        progress=min(1.0, 0.25 * batch),
    )


def check_weights(make: Make) -> None:
    """One weight for each step, float64, finite, at least 0, of mean 1, batch after batch."""
    weighting = make()
    for batch in range(5):
        _check(weighting.weigh(sample_records(batch=batch)), NUM_STEPS)


def check_draws(make: Make) -> None:
    """Steps that are drawn count in the mean what they count where all are used."""
    records = sample_records()
    weights, draws = make().weigh(records), make().draw(records)
    _check(draws.probability * NUM_STEPS, NUM_STEPS)
    assert draws.correction.shape == (NUM_STEPS,), f"corrections of shape {draws.correction.shape}"
    assert np.isfinite(draws.correction).all(), "a correction is not finite"
    assert (draws.correction > 0).all(), "a correction is not positive"
    assert np.isclose(draws.correction.max(), 1), "the highest correction is not 1"
    counts = draws.probability * draws.correction
    _assert_close(counts / counts.mean(), weights, "drawn steps count other than weights say")


def check_one_step(make: Make) -> None:
    """A step alone has weight 1."""
    records = sample_records().take(np.array([3]))
    _assert_close(make().weigh(records), np.ones(1), "a step alone does not have weight 1")


def check_equal_steps(make: Make) -> None:
    """Steps that are all alike have weight 1."""
    records = sample_records().take(np.full(7, 3))
    _assert_close(make().weigh(records), np.ones(7), "equal steps do not have weight 1")


def check_extreme_records(make: Make) -> None:
    """Weights are finite for whatever values are."""
    for records in extreme_records():
        _check(make().weigh(records), NUM_STEPS)
        draws = make().draw(records)
        _check(draws.probability * NUM_STEPS, NUM_STEPS)
        assert np.isfinite(draws.correction).all(), "a correction is not finite"


def extreme_records() -> Iterator[StepRecords]:
    """Yield records with values at the ends of what can be."""
    records = sample_records()
    first = np.arange(NUM_STEPS) == 0
    yield replace(records, lag=records.lag + 10**6)
    yield replace(records, lag=np.where(first, 0, 10**6))
    yield replace(records, priority=np.zeros(NUM_STEPS, np.float32))
    yield replace(records, priority=np.where(first, 1e30, 0.0).astype(np.float32))
    yield replace(records, trajectory_return=np.where(first, 1e9, -1e9), trajectory=~first + 0)
    yield replace(records, trajectory_return=np.zeros(NUM_STEPS))
    yield replace(records, trajectory=np.arange(NUM_STEPS), source=np.arange(NUM_STEPS))
    yield replace(records, source=np.where(first, -1, 2**40))
    yield replace(records, observation=np.zeros((NUM_STEPS, 3), np.float32))
    yield replace(records, observation=np.full((NUM_STEPS, 3), 1e30, np.float32))
    yield replace(records, progress=1.0)


def check_determinism(make: Make) -> None:
    """Two new weightings give bitwise the same weights, batch after batch."""
    one, other = make(), make()
    for batch in range(3):
        records = sample_records(batch=batch)
        same = np.array_equal(one.weigh(records), other.weigh(records))
        assert same, f"other weights in batch {batch}"


def check_order_does_not_matter(make: Make) -> None:
    """Without state, weights follow their steps into any other order."""
    records = sample_records()
    weighting = make()
    weights = weighting.weigh(records)
    if weighting.state():
        return
    order = Streams(0).generator("order").permutation(NUM_STEPS)
    _assert_close(
        weighting.weigh(records.take(order)), weights[order], "weights depend on the order"
    )


def check_records_are_kept(make: Make) -> None:
    """Nothing is written into the records."""
    records = sample_records()
    before = copy.deepcopy(records)
    make().weigh(records)
    make().draw(records)
    for field in fields(records):
        same = np.array_equal(getattr(records, field.name), getattr(before, field.name))
        assert same, f"{field.name} of the records was changed"


def check_priorities(make: Make) -> None:
    """It works without priorities unless it says that it needs them."""
    if not make().needs_priority:
        records = replace(sample_records(), priority=None)
        _check(make().weigh(records), NUM_STEPS)


def check_state(make: Make) -> None:
    """After `restore`, in a new weighting or back in its own, all goes on bitwise the same."""
    weighting = make()
    new = copy.deepcopy(weighting.state())
    first = weighting.weigh(sample_records())
    weighting.weigh(sample_records(batch=1))
    state = weighting.state()
    kept = copy.deepcopy(state)
    expected = [weighting.weigh(sample_records(batch=batch)) for batch in (2, 3)]
    assert _same(state, kept), "the weighting went on in its state"
    for restored in (make(), weighting):
        restored.restore(state)
        again = [restored.weigh(sample_records(batch=batch)) for batch in (2, 3)]
        assert np.array_equal(again, expected), "other weights after restore"
    assert _same(state, kept), "the weighting went on in the state that it restored"
    weighting.restore(new)
    assert np.array_equal(weighting.weigh(sample_records()), first), "a new state is not restored"


CHECKS: tuple[Callable[[Make], None], ...] = (
    check_weights,
    check_draws,
    check_one_step,
    check_equal_steps,
    check_extreme_records,
    check_determinism,
    check_order_does_not_matter,
    check_records_are_kept,
    check_priorities,
    check_state,
)


def check_weighting(make: Make, checks: Sequence[Callable[[Make], None]] = CHECKS) -> None:
    """Check that a weighting keeps the contract.

    Args:
        make: returns a new one.
        checks: some of `CHECKS`.

    Raises:
        AssertionError: that says which law is broken.
    """
    for check in checks:
        check(make)


def _check(weights: Weights, num_steps: int) -> None:
    assert weights.shape == (num_steps,), f"weights of shape {weights.shape}"
    assert weights.dtype == np.float64, f"weights of {weights.dtype}"
    assert np.isfinite(weights).all(), "a weight is not finite"
    assert (weights >= 0).all(), "a weight is negative"
    assert np.isclose(weights.mean(), 1, rtol=1e-9), f"weights have mean {weights.mean()}"


def _assert_close(values: Weights, expected: Weights, message: str) -> None:
    assert np.allclose(values, expected, rtol=1e-9, atol=0), message


def _same(state: dict[str, npt.NDArray[Any]], other: dict[str, npt.NDArray[Any]]) -> bool:
    return state.keys() == other.keys() and all(np.array_equal(state[n], other[n]) for n in state)
