"""All steps count the same."""

from __future__ import annotations

from typing import Literal

import numpy as np

from troupe.learning.weighting.base import StepRecords, Weighting, WeightingSettings, Weights


class UniformSettings(WeightingSettings):
    """All steps count the same."""

    type: Literal["uniform"] = "uniform"

    def build(self, seed: int = 0) -> Uniform:
        """Return a new weighting."""
        return Uniform()


class Uniform(Weighting):
    """w = 1."""

    def weigh(self, records: StepRecords) -> Weights:
        return np.ones(records.num_steps)
