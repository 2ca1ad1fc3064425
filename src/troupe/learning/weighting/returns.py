"""Trajectories of high return count more, which changes the objective."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from troupe.learning.weighting.base import (
    StepRecords,
    Weighting,
    WeightingSettings,
    Weights,
    normalised,
    per_trajectory_max,
)

LEAST_SPREAD = 1e-6
"""Standard deviation, relative to the returns, below which they count as equal."""


class ReturnSettings(WeightingSettings):
    """Trajectories of high return count more. This changes the objective.

    The policy no longer learns to maximise the expected return but one in which good outcomes,
    lucky ones too, weigh more, and the critic becomes optimistic. See
    docs/how-to/weight-episodes.md.

    Attributes:
        temperature: standard deviations of return that make a trajectory count e times as much.
    """

    type: Literal["return"] = "return"
    temperature: float = Field(1.0, gt=0)

    def build(self, seed: int = 0) -> Return:
        """Return a new weighting."""
        return Return(self.temperature)


class Return(Weighting):
    """w ∝ exp(z / temperature), z the standard score of the trajectory's return in the batch.

    It changes the objective: what is weighed by its outcome is not what the policy can expect.
    """

    def __init__(self, temperature: float) -> None:
        self._temperature = temperature

    def weigh(self, records: StepRecords) -> Weights:
        # scores are among trajectories, so that a long one has one say in what is usual
        returns, place = per_trajectory_max(records.trajectory_return, records.trajectory)
        highest, spread = returns.max(), returns.std()
        if spread <= LEAST_SPREAD * np.abs(returns).max():
            return np.ones(records.num_steps)
        return normalised(np.exp((returns - highest) / spread / self._temperature)[place])
