"""The contract of a weighting, and the arithmetic that all share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from troupe.core.settings import Settings

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]
Weights = npt.NDArray[np.float64]

LEAST_WEIGHT = 1e-12
"""Of the highest one: what `normalised` raises lower weights to."""


@dataclass(frozen=True, kw_only=True)
class StepRecords:
    """What is known of M real steps (padding is left out) when they are weighed.

    Attributes:
        lag: newest version of the policy less the one that acted, (M,).
        source: number of the worker or environment that the step came from, (M,).
        trajectory: number of the episode, or piece of one, that it belongs to, (M,).
        trajectory_return: return of that trajectory as far as it is known, the same for all of its
            steps, (M,).
        observation: before the step, flat, (M, D).
        priority: |GAE| or |TD error|, (M,); None where no weighting needs it.
        progress: share of the run that is done, 0 .. 1.
    """

    lag: Integers
    source: Integers
    trajectory: Integers
    trajectory_return: Floats
    observation: Floats
    priority: Floats | None = None
    progress: float = 0.0

    @property
    def num_steps(self) -> int:
        """How many."""
        return len(self.lag)

    def take(self, order: Integers) -> StepRecords:
        """Return the records of some steps, in an order."""
        return StepRecords(
            lag=self.lag[order],
            source=self.source[order],
            trajectory=self.trajectory[order],
            trajectory_return=self.trajectory_return[order],
            observation=self.observation[order],
            priority=None if self.priority is None else self.priority[order],
            progress=self.progress,
        )


@dataclass(frozen=True)
class Draws:
    """How to draw steps from a store so that they count as their weights say.

    Attributes:
        probability: of drawing each step, (M,); they sum to 1.
        correction: what multiplies the loss of a step that is drawn, (M,), at most 1. Probability
            times correction is proportional to the weight.
    """

    probability: Weights
    correction: Weights


class Weighting(Protocol):
    """Says how much each step counts.

    Subclass it: one that holds no state and draws steps as often as they count needs `weigh` alone.

    Attributes:
        needs_priority: whether the records must have priorities.
    """

    needs_priority: bool = False

    def weigh(self, records: StepRecords) -> Weights:
        """Return weights that multiply the losses of steps which are all used, (M,), mean 1.

        What is finite gives finite weights, at least 0; equal steps give 1. A weighting with
        state may learn from the records: call either `weigh` or `draw`, once for each batch.
        """
        raise NotImplementedError

    def draw(self, records: StepRecords) -> Draws:
        """Return how to draw from the steps instead, with the same objective."""
        weights = self.weigh(records)
        return Draws(weights / len(weights), np.ones(len(weights)))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything that `restore` needs to go on bitwise the same; default: nothing."""
        return {}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a state."""
        assert not state, "a weighting that has a state must restore it"


class WeightingSettings(Settings):
    """What a user writes about a weighting; subclasses add their own keys.

    Attributes:
        type: its name in the entry-point group ``troupe.weightings``.
    """

    needs_priority: ClassVar[bool] = False

    type: str

    def build(self, seed: int = 0) -> Weighting:
        """Return a new weighting.

        Args:
            seed: the root seed, for one that draws numbers.
        """
        raise NotImplementedError


def normalised(values: Floats) -> Weights:
    """Return weights in proportion to values, with mean 1.

    Args:
        values: at least 0, one of them positive, (M,). What is less than `LEAST_WEIGHT` of the
            highest counts as that much, so that no weight is 0.
    """
    # by the highest first: a mean of subnormal numbers, or of huge ones, would not be exact
    relative = np.maximum(np.asarray(values, np.float64) / values.max(), LEAST_WEIGHT)
    weights: Weights = relative / relative.mean()
    return weights


def limited(values: Floats, maximum: float) -> Weights:
    """Return weights of at most a maximum, in proportion to values below it, with mean 1.

    w_i = min(maximum, c x_i), with the c that makes the mean 1.

    Args:
        values: at least 0, one of them positive, (M,).
        maximum: at least 1.
    """
    weights = normalised(values)
    if weights.max() <= maximum:
        return weights
    num_steps = len(weights)
    descending = np.sort(weights)[::-1]
    # with the k highest at the maximum, the others share what is left; the least k that will do
    num_limited = np.arange(int(np.ceil(num_steps / maximum)))
    rest = np.cumsum(descending[::-1])[::-1][num_limited]
    factors = (num_steps - num_limited * maximum) / rest
    will_do = factors * descending[num_limited] <= maximum * (1 + 1e-12)
    limited_weights: Weights = np.minimum(factors[np.argmax(will_do)] * weights, maximum)
    return limited_weights


def effective_sample_size(weights: Floats) -> float:
    """Return how many equally weighted steps would tell as much, as a share of the steps.

    (sum w)^2 / (M sum w^2), from 1/M, where one step has all the weight, to 1.
    """
    return float(weights.sum() ** 2 / np.square(weights).sum() / len(weights))


def per_trajectory_max(
    values: Floats, trajectory: Integers
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """Return the highest value of each trajectory, and each step's place among these."""
    numbers, place = np.unique(trajectory, return_inverse=True)
    highest = np.full(len(numbers), -np.inf)
    np.maximum.at(highest, place, values)
    return highest, place
